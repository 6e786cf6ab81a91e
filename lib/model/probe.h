// What makes a silent peer noticeable: the settings, the predicted time, and the trace in the
// kernel's counters.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "net/counters.h"

namespace lastack {

enum class Probe : uint8_t {
  none,
  keepalive,
  user_timeout,
  keepalive_user_timeout,
  retransmit,
  keepalive_heartbeat,
  heartbeat_link,
  heartbeat_wheel,
  heartbeat_multishot,
  heartbeat_timerfd,
  heartbeat_scan,
};

// How an application keeps the timers of its heartbeats.
enum class Heartbeat : uint8_t { none, link, wheel, multishot, timerfd, scan };

struct ProbeSettings {
  int64_t keepalive_idle_ns = 1'000'000'000;      // TCP_KEEPIDLE, whole seconds
  int64_t keepalive_interval_ns = 1'000'000'000;  // TCP_KEEPINTVL, whole seconds
  int64_t keepalive_count = 2;                    // TCP_KEEPCNT
  int64_t user_timeout_ns = 2'000'000'000;        // TCP_USER_TIMEOUT, whole milliseconds
  // Of the run's namespace.
  int64_t retries2 = 15;                 // tcp_retries2
  int64_t rto_min_ns = 200'000'000;      // tcp_rto_min_us (Linux 6.11)
  int64_t rto_max_ns = 120'000'000'000;  // tcp_rto_max_ms (Linux 6.15), whole milliseconds
  int64_t heartbeat_interval_ns = 1'000'000'000;
  int64_t heartbeat_deadline_ns = 3'000'000'000;  // dead after so long without a byte
  bool heartbeats_aligned = false;  // all at one instant, else spread over the interval
  bool operator==(const ProbeSettings&) const = default;
};

struct ProbeRow {
  Probe id;
  std::string_view name;
  bool keepalive;            // SO_KEEPALIVE
  bool user_timeout;         // TCP_USER_TIMEOUT
  bool retransmits;          // promises to end a connection by tcp_retries2
  Heartbeat heartbeat;       // sends heartbeats, which the victim answers
  bool heartbeat_decides;    // and declares a peer dead that is silent for the heartbeat's deadline
  int survivor_descriptors;  // per connection
  CounterValues on_timeout;  // counter changes per connection that the kernel's timer ends
  std::string_view help;
};

std::span<const ProbeRow> probes();
const ProbeRow& probe_row(Probe probe);

// What is on its way to a peer when it dies: that decides which timer runs.
enum class Pending : uint8_t {
  nothing,
  request,  // one message, and nothing more until it is answered
  stream,   // as much as the windows allow
  window,   // the peer's window is shut: data waits behind it, and nothing is in flight
};

// From which instant a prediction counts.
enum class Since : uint8_t {
  heard,    // the last packet, or for heartbeats the last byte, that came from the peer
  written,  // the first write that nobody answered
  shut,     // the window was shut
};
std::string_view since_name(Since since);

struct Span {
  int64_t least_ns, most_ns;
};

// How long after that instant a probe declares a peer dead that has gone without a packet. The
// width is what kernel timers round (wheel_granularity_ns) and what the mechanism leaves open.
struct Prediction {
  bool promised = false;  // else it never does
  Since since = Since::heard;
  // More than one where an RTO a little longer makes an earlier timer the last one.
  std::vector<Span> spans = {};
  int64_t least_ns = 0, most_ns = 0;  // of all spans
};

// `shut_for_ns`: how long a window has been shut before the peer dies, at least.
Prediction predict(Probe probe, const ProbeSettings& settings, Pending pending, int64_t tick_ns,
                   int64_t shut_for_ns);

// How long a peer that comes back must have been away, at least, for the probe to declare it dead;
// INT64_MAX when no absence is long enough. Less than until the declaration: a probe that was sent
// into the absence is lost, also when the peer is back before the probe's own end.
int64_t shortest_deadly_absence_ns(Probe probe, const ProbeSettings& settings, Pending pending,
                                   int64_t tick_ns, int64_t shut_for_ns);

// The time that a user configured, by the documentation; 0 when the probe promises nothing.
int64_t nominal_ns(Probe probe, const ProbeSettings& settings);

// How much later than asked a kernel timer may fire (kernel/time/timer.c, calc_index): the wheel
// has a slot per tick for delays below 63 ticks, one per 8 ticks below 63 x 8, and so on, and a
// timer goes into the slot after its instant.
int64_t wheel_granularity_ns(int64_t delay_ns, int64_t tick_ns);

// An allowance for deadlines where nothing finer is known: an eighth, and a tick.
int64_t timer_slack_ns(int64_t delay_ns);

// How often a timer wheel turns that serves these heartbeats.
int64_t heartbeat_tick_ns(const ProbeSettings& settings);

}  // namespace lastack
