#include "net/traffic.h"

#include <algorithm>
#include <charconv>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/parse.h"

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
std::optional<int64_t> value_in_pairs(std::string_view text, std::string_view line_start,
                                      std::string_view name) {
  std::istringstream lines{std::string(text)};
  std::string names_line, values_line;
  while (std::getline(lines, names_line) && std::getline(lines, values_line)) {
    if (!names_line.starts_with(line_start)) continue;
    const auto names = words_of(names_line), values = words_of(values_line);
    for (size_t i = 1; i < std::min(names.size(), values.size()); ++i)
      if (names[i] == name) return leading_count(values[i]);
  }
  return std::nullopt;
}

// "NAME VALUE", a line each.
std::optional<int64_t> value_in_lines(std::string_view text, std::string_view name) {
  std::istringstream words{std::string(text)};
  std::string word, value;
  while (words >> word >> value)
    if (word == name) return leading_count(value);
  return std::nullopt;
}

// "lo: BYTES PACKETS" and six more of what was received, then the same of what was sent
// (dev_seq_printf_stats). A long number may stand right behind the colon.
Status add_interfaces(std::string_view dev, TrafficCounters& traffic) {
  constexpr size_t kSentBytes = 8, kSentPackets = 9;
  std::istringstream lines{std::string(dev)};
  bool any = false;
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    auto figures = words_of(line.substr(colon + 1));
    figures.resize(std::max(figures.size(), kSentPackets + 1));
    const auto bytes = leading_count(figures[kSentBytes]);
    const auto packets = leading_count(figures[kSentPackets]);
    if (!bytes || !packets) return plain_error("/proc/net/dev has a line without figures: " + line);
    traffic.interface_bytes += *bytes;
    traffic.interface_packets += *packets;
    any = true;
  }
  if (!any) return plain_error("/proc/net/dev names no interface");
  return std::nullopt;
}

}  // namespace

Result<TrafficCounters> parse_traffic(std::string_view snmp, std::string_view netstat,
                                      std::string_view snmp6, std::string_view dev) {
  TrafficCounters traffic;
  struct Figure {
    int64_t& figure;
    std::string_view name;
    std::optional<int64_t> value;
  };
  std::vector<Figure> figures = {
      {traffic.in_segments, "InSegs", value_in_pairs(snmp, "Tcp:", "InSegs")},
      {traffic.out_segments, "OutSegs", value_in_pairs(snmp, "Tcp:", "OutSegs")},
      {traffic.in_bytes, "InOctets", value_in_pairs(netstat, "IpExt:", "InOctets")},
      {traffic.out_bytes, "OutOctets", value_in_pairs(netstat, "IpExt:", "OutOctets")}};
  if (!snmp6.empty()) {
    figures.push_back({traffic.in_bytes, "Ip6InOctets", value_in_lines(snmp6, "Ip6InOctets")});
    figures.push_back({traffic.out_bytes, "Ip6OutOctets", value_in_lines(snmp6, "Ip6OutOctets")});
  }
  for (const auto& [figure, name, value] : figures) {
    if (!value) return plain_error("this kernel does not report " + std::string(name));
    figure += *value;
  }
  if (Status failed = add_interfaces(dev, traffic)) return *failed;
  return traffic;
}

std::optional<int64_t> parse_backlog_drops(std::string_view softnet_stat) {
  constexpr int kHexadecimal = 16;
  std::optional<int64_t> drops;
  for (const std::string_view line : split(softnet_stat, '\n')) {
    if (line.empty()) continue;
    const auto columns = words_of(std::string(line));
    if (columns.size() < 2) return std::nullopt;
    const std::string& column = columns[1];
    int64_t value = 0;
    const char* end = column.data() + column.size();
    const auto read = std::from_chars(column.data(), end, value, kHexadecimal);
    if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
    drops = drops.value_or(0) + value;
  }
  return drops;
}

std::optional<int64_t> read_backlog_drops() {
  // thread-self: /proc/net is not there where only processes are shown (subset=pid, proc(5)).
  return parse_backlog_drops(read_text("/proc/thread-self/net/softnet_stat"));
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
