// What makes a silent peer noticeable: the settings, the predicted time, and the trace in the
// kernel's counters.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "net/counters.h"

namespace lastack {

enum class Probe : uint8_t { none, keepalive, user_timeout };

struct ProbeSettings {
  int64_t keepalive_idle_ns = 1'000'000'000;      // TCP_KEEPIDLE, whole seconds
  int64_t keepalive_interval_ns = 1'000'000'000;  // TCP_KEEPINTVL, whole seconds
  int64_t keepalive_count = 2;                    // TCP_KEEPCNT
  int64_t user_timeout_ns = 2'000'000'000;        // TCP_USER_TIMEOUT, whole milliseconds
};

struct ProbeRow {
  Probe id;
  std::string_view name;
  bool probes_idle_peers;     // sends something although the application does not
  bool needs_data_in_flight;  // its timer runs only while data is unacknowledged
  CounterValues on_timeout;   // counter changes per connection that this probe declares dead
  std::string_view help;
};

std::span<const ProbeRow> probes();
const ProbeRow& probe_row(Probe probe);

// The longest time from a silent death to the finding that the settings promise; 0 when the
// probe promises nothing. Kernel timers add at most timer_slack_ns() to it.
int64_t predicted_ns(Probe probe, const ProbeSettings& settings);

// How much later than asked a kernel timer may fire: the timer wheel rounds up by at most an
// eighth of the delay (kernel/time/timer.c, LVL_CLK_SHIFT 3), and a tick.
int64_t timer_slack_ns(int64_t delay_ns);

}  // namespace lastack
