#include "net/traffic.h"

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"

namespace lastack {
namespace {

constexpr int64_t TrafficCounters::*kFields[] = {
    &TrafficCounters::in_segments,       &TrafficCounters::out_segments,
    &TrafficCounters::in_bytes,          &TrafficCounters::out_bytes,
    &TrafficCounters::interface_packets, &TrafficCounters::interface_bytes};

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(std::move(word));
  return words;
}

// "Tcp: NAME NAME ..." and then "Tcp: VALUE VALUE ...".
int64_t value_in_pairs(std::string_view text, std::string_view line_start, std::string_view name) {
  std::istringstream lines{std::string(text)};
  std::string names_line, values_line;
  while (std::getline(lines, names_line) && std::getline(lines, values_line)) {
    if (!names_line.starts_with(line_start)) continue;
    const auto names = words_of(names_line), values = words_of(values_line);
    for (size_t i = 1; i < std::min(names.size(), values.size()); ++i)
      if (names[i] == name) return std::stoll(values[i]);
  }
  return 0;
}

// "NAME VALUE", a line each.
int64_t value_in_lines(std::string_view text, std::string_view name) {
  std::istringstream words{std::string(text)};
  std::string word, value;
  while (words >> word >> value)
    if (word == name) return std::stoll(value);
  return 0;
}

}  // namespace

TrafficCounters parse_traffic(std::string_view snmp, std::string_view netstat,
                              std::string_view snmp6, std::string_view dev) {
  TrafficCounters traffic;
  traffic.in_segments = value_in_pairs(snmp, "Tcp:", "InSegs");
  traffic.out_segments = value_in_pairs(snmp, "Tcp:", "OutSegs");
  traffic.in_bytes =
      value_in_pairs(netstat, "IpExt:", "InOctets") + value_in_lines(snmp6, "Ip6InOctets");
  traffic.out_bytes =
      value_in_pairs(netstat, "IpExt:", "OutOctets") + value_in_lines(snmp6, "Ip6OutOctets");
  // "lo: BYTES PACKETS" and six more of what was received, then the same of what was sent
  // (dev_seq_printf_stats). A long number may stand right behind the colon.
  constexpr size_t kSentBytes = 8, kSentPackets = 9;
  std::istringstream lines{std::string(dev)};
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const auto figures = words_of(line.substr(colon + 1));
    if (figures.size() <= kSentPackets) continue;
    traffic.interface_bytes += std::stoll(figures[kSentBytes]);
    traffic.interface_packets += std::stoll(figures[kSentPackets]);
  }
  return traffic;
}

Result<TrafficCounters> read_traffic() {
  // thread-self, not self: a thread may have entered another namespace than its process.
  const auto snmp = read_file("/proc/thread-self/net/snmp");
  if (!snmp) return snmp.error();
  const auto netstat = read_file("/proc/thread-self/net/netstat");
  if (!netstat) return netstat.error();
  const auto dev = read_file("/proc/thread-self/net/dev");
  if (!dev) return dev.error();
  const auto snmp6 = read_file("/proc/thread-self/net/snmp6");  // not there without IPv6
  return parse_traffic(*snmp, *netstat, snmp6 ? *snmp6 : "", *dev);
}

TrafficCounters& operator+=(TrafficCounters& sum, const TrafficCounters& more) {
  for (const auto field : kFields) sum.*field += more.*field;
  return sum;
}

TrafficCounters operator-(const TrafficCounters& later, const TrafficCounters& earlier) {
  TrafficCounters difference;
  for (const auto field : kFields) difference.*field = later.*field - earlier.*field;
  return difference;
}

}  // namespace lastack
