// The kernel's own TCP counters (SNMP), kept per network namespace.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace lastack {

// The counters that tell how connections end. Their meaning is the kernel's:
// net/ipv4/proc.c (snmp4_tcp_list, snmp4_net_list).
enum class Counter : uint8_t {
  active_opens,
  passive_opens,
  listen_overflows,
  out_rsts,
  estab_resets,
  abort_on_data,
  abort_on_close,
  abort_on_timeout,
  keepalive,
  timeouts,
  retrans_segs,
};

struct CounterRow {
  Counter id;
  std::string_view name;  // as in /proc/net/snmp and /proc/net/netstat
  std::string_view help;
};

constexpr CounterRow kCounters[] = {
    {Counter::active_opens, "ActiveOpens", "connections opened by connect()"},
    {Counter::passive_opens, "PassiveOpens", "connections opened by a listener"},
    {Counter::listen_overflows, "ListenOverflows", "connections lost to a full accept queue"},
    {Counter::out_rsts, "OutRsts", "RST segments sent"},
    {Counter::estab_resets, "EstabResets",
     "ends that went from ESTABLISHED or CLOSE_WAIT straight to CLOSE (tcp_set_state)"},
    {Counter::abort_on_data, "TCPAbortOnData",
     "SO_LINGER {1,0} closes, and data that came for a closed socket"},
    {Counter::abort_on_close, "TCPAbortOnClose", "closes with unread data in the receive queue"},
    {Counter::abort_on_timeout, "TCPAbortOnTimeout",
     "connections ended by a timer: retransmission, keepalive, user timeout (tcp_write_err)"},
    {Counter::keepalive, "TCPKeepAlive", "keepalive probes sent"},
    {Counter::timeouts, "TCPTimeouts", "retransmission timers that fired"},
    {Counter::retrans_segs, "RetransSegs", "segments sent again"},
};
constexpr size_t kCounterCount = std::size(kCounters);

// A value per counter: absolute, a difference, or an expectation.
struct CounterValues {
  std::array<int64_t, kCounterCount> values{};
  int64_t& operator[](Counter counter) { return values[static_cast<size_t>(counter)]; }
  int64_t operator[](Counter counter) const { return values[static_cast<size_t>(counter)]; }
};

constexpr CounterValues counter_changes(
    std::initializer_list<std::pair<Counter, int64_t>> changes) {
  CounterValues values;
  for (const auto& [counter, change] : changes)
    values.values[static_cast<size_t>(counter)] = change;
  return values;
}

// Reads the counters of the calling thread's network namespace.
Result<CounterValues> read_counters();
// All TCP counters of that namespace, by the kernel's names.
Result<std::map<std::string, int64_t>> read_named_tcp_counters();

CounterValues operator-(const CounterValues& later, const CounterValues& earlier);
CounterValues& operator+=(CounterValues& sum, const CounterValues& more);

}  // namespace lastack
