#include "net/counters.h"

#include <sstream>

#include "base/file.h"
#include "base/parse.h"
#include "base/rows.h"

namespace lastack {

static_assert(indexed(kCounters));

namespace {

// Both files hold pairs of lines: "Tcp: NAME NAME ..." and "Tcp: VALUE VALUE ...".
void parse_pairs(const std::string& text, std::map<std::string, int64_t>& values) {
  std::istringstream lines(text);
  std::string names_line, values_line;
  while (std::getline(lines, names_line) && std::getline(lines, values_line)) {
    if (!names_line.starts_with("Tcp")) continue;  // "Tcp:" and "TcpExt:"
    std::istringstream names(names_line), numbers(values_line);
    std::string name, number;
    names >> name;
    numbers >> number;
    while (names >> name && numbers >> number)
      if (const auto value = leading_count(number)) values[name] = *value;
  }
}

}  // namespace

Result<std::map<std::string, int64_t>> read_named_tcp_counters() {
  std::map<std::string, int64_t> by_name;
  // thread-self, not self: a thread may have entered another namespace than its process.
  for (const char* path : {"/proc/thread-self/net/snmp", "/proc/thread-self/net/netstat"}) {
    const auto text = read_file(path);
    if (!text) return text.error();
    parse_pairs(*text, by_name);
  }
  return by_name;
}

Result<CounterValues> read_counters() {
  const auto by_name = read_named_tcp_counters();
  if (!by_name) return by_name.error();
  CounterValues counters;
  for (const CounterRow& row : kCounters) {
    const auto found = by_name->find(std::string(row.name));
    if (found == by_name->end())
      return plain_error("this kernel does not report the counter " + std::string(row.name));
    counters[row.id] = found->second;
  }
  return counters;
}

CounterValues& operator+=(CounterValues& sum, const CounterValues& more) {
  for (size_t i = 0; i < kCounterCount; ++i) sum.values[i] += more.values[i];
  return sum;
}

CounterValues operator-(const CounterValues& later, const CounterValues& earlier) {
  CounterValues difference;
  for (size_t i = 0; i < kCounterCount; ++i)
    difference.values[i] = later.values[i] - earlier.values[i];
  return difference;
}

}  // namespace lastack
