#include "model/probe.h"

#include <algorithm>
#include <array>

#include "base/clock.h"
#include "base/rows.h"

namespace lastack {
namespace {

constexpr CounterValues kTimerAlone =
    counter_changes({{Counter::estab_resets, 1}, {Counter::abort_on_timeout, 1}});
constexpr CounterValues kTimerWithReset = counter_changes(
    {{Counter::out_rsts, 1}, {Counter::estab_resets, 1}, {Counter::abort_on_timeout, 1}});

constexpr ProbeRow kProbes[] = {
    {Probe::none, "none", false, false, false, Heartbeat::none, false, 1, kTimerAlone,
     "no timer: silence stays silence, until tcp_retries2 where data is in flight"},
    // tcp_keepalive_timer(): tcp_send_active_reset(), then tcp_write_err().
    {Probe::keepalive, "keepalive", true, false, false, Heartbeat::none, false, 1, kTimerWithReset,
     "SO_KEEPALIVE: idle + interval x count (tcp(7), tcp_keepalive_timer)"},
    // tcp_write_timeout(): tcp_write_err() alone, no RST.
    {Probe::user_timeout, "user-timeout", false, true, false, Heartbeat::none, false, 1,
     kTimerAlone,
     "TCP_USER_TIMEOUT: runs only while data is unacknowledged (RFC 5482, tcp_write_timeout)"},
    {Probe::keepalive_user_timeout, "keepalive+user-timeout", true, true, false, Heartbeat::none,
     false, 1, kTimerWithReset,
     "both: the user timeout replaces keepalive's count (tcp_keepalive_timer)"},
    {Probe::retransmit, "retransmit", false, false, true, Heartbeat::none, false, 1, kTimerAlone,
     "no option: tcp_retries2 ends a connection with unacknowledged data, after a time that is "
     "computed from it (tcp_model_timeout)"},
    {Probe::keepalive_heartbeat, "keepalive+heartbeat", true, false, false, Heartbeat::wheel, false,
     1, kTimerAlone,
     "keepalive under heartbeats that nobody times: they silence it, for it waits while data is in "
     "flight"},
    {Probe::heartbeat_link, "heartbeat-link", false, false, false, Heartbeat::link, true, 1,
     kTimerAlone, "heartbeats: a RECV with a LINK_TIMEOUT per connection; needs --watch recv"},
    {Probe::heartbeat_wheel, "heartbeat-wheel", false, false, false, Heartbeat::wheel, true, 1,
     kTimerAlone,
     "heartbeats: a timer wheel for all connections, turned by the ring's one timeout"},
    {Probe::heartbeat_multishot, "heartbeat-multishot", false, false, false, Heartbeat::multishot,
     true, 1, kTimerAlone, "heartbeats: a multishot IORING_OP_TIMEOUT per connection (Linux 6.4)"},
    {Probe::heartbeat_timerfd, "heartbeat-timerfd", false, false, false, Heartbeat::timerfd, true,
     2, kTimerAlone, "heartbeats: a timerfd per connection in the epoll set; needs --watch epoll"},
    {Probe::heartbeat_scan, "heartbeat-scan", false, false, false, Heartbeat::scan, true, 1,
     kTimerAlone,
     "heartbeats: a scan of all connections each interval, by epoll's timeout; needs --watch "
     "epoll"},
};
static_assert(indexed(kProbes));

// The kernel's own lower bound in its computed time, whatever tcp_rto_min_us says (TCP_RTO_MIN).
constexpr int64_t kModelRto_ns = 200 * kMillisecond_ns;
// Round trips that predictions allow for, as the RTO is SRTT + max(4 x RTTVAR, rto_min): those of
// an answer that comes late and lets a delayed ACK go first (TCP_DELACK_MIN), and of full queues.
constexpr int64_t kRequestRtt_ns = 40 * kMillisecond_ns, kStreamRtt_ns = 100 * kMillisecond_ns;

Span operator+(Span one, Span other) {
  return {one.least_ns + other.least_ns, one.most_ns + other.most_ns};
}

// A kernel timer that is set to a delay of that span.
Span fires(Span delay, int64_t tick_ns) {
  return {delay.least_ns, delay.most_ns + wheel_granularity_ns(delay.most_ns, tick_ns)};
}

// The retransmission timeout after so many doublings.
Span rto_of(const ProbeSettings& settings, Pending pending, int doublings, int64_t tick_ns) {
  const int64_t rtt_ns = pending == Pending::request ? kRequestRtt_ns : kStreamRtt_ns;
  const int64_t longest_ns = settings.rto_min_ns + rtt_ns;
  Span rto{settings.rto_min_ns, (longest_ns + tick_ns - 1) / tick_ns * tick_ns};
  for (int i = 0; i < doublings && rto.least_ns < settings.rto_max_ns; ++i)
    rto = {2 * rto.least_ns, 2 * rto.most_ns};
  return {std::min(rto.least_ns, settings.rto_max_ns), std::min(rto.most_ns, settings.rto_max_ns)};
}

// From the write to the first retransmission that counts: the tail loss probe comes first and does
// not (tcp_send_loss_probe calls __tcp_retransmit_skb, which leaves retrans_stamp alone), and the
// RTO starts anew behind it (tcp_rearm_rto).
Span first_retransmission(const ProbeSettings& settings, Pending pending, int64_t tick_ns) {
  const Span rto = rto_of(settings, pending, 0, tick_ns);
  // One segment alone waits for a delayed ACK, at most an RTO (tcp_schedule_loss_probe); of several
  // the last one is probed after two round trips.
  const Span probe = pending == Pending::request ? rto : Span{0, rto.most_ns};
  return fires(probe, tick_ns) + fires(rto, tick_ns);
}

// The time after the first retransmission that tcp_retries2 stands for (tcp_model_timeout).
int64_t computed_timeout_ns(const ProbeSettings& settings) {
  int64_t timeout_ns = 0, rto_ns = kModelRto_ns;
  // Doubling up to the largest power of two below rto_max, then rto_max itself.
  for (int64_t i = 0; i <= settings.retries2; ++i) {
    const bool doubles = rto_ns <= settings.rto_max_ns;
    timeout_ns += doubles ? rto_ns : settings.rto_max_ns;
    if (doubles) rto_ns *= 2;
  }
  return timeout_ns;
}

// After the first retransmission: the RTO doubles, and whenever it fires the time since then is
// held against the limit (retransmits_timed_out). So the limit is found passed at the next RTO, and
// a longer RTO may find it a whole RTO earlier.
std::vector<Span> retransmissions_end(const ProbeSettings& settings, Pending pending,
                                      int64_t tick_ns) {
  const int64_t limit_ns = computed_timeout_ns(settings);
  std::vector<Span> ends;
  Span elapsed{0, 0};
  for (int doublings = 1; elapsed.least_ns < limit_ns; ++doublings) {
    elapsed = elapsed + fires(rto_of(settings, pending, doublings, tick_ns), tick_ns);
    if (elapsed.most_ns >= limit_ns)
      ends.push_back({std::max(elapsed.least_ns, limit_ns), elapsed.most_ns});
  }
  return ends;
}

// With TCP_USER_TIMEOUT the RTO is cut to what is left of it (tcp_clamp_rto_to_user_timeout).
Span user_timeout_ends(const ProbeSettings& settings, Pending pending, int64_t tick_ns) {
  const int64_t limit_ns = settings.user_timeout_ns;
  int64_t elapsed_ns = 0, slack_ns = 0;
  for (int doublings = 1; elapsed_ns < limit_ns; ++doublings) {
    const int64_t rto_ns = rto_of(settings, pending, doublings, tick_ns).least_ns;
    const int64_t delay_ns = std::min(rto_ns, limit_ns - elapsed_ns);
    // The timer before the last one may already be late enough.
    slack_ns = std::max(slack_ns / 2, wheel_granularity_ns(delay_ns, tick_ns));
    elapsed_ns += delay_ns;
  }
  return {limit_ns, limit_ns + slack_ns + tick_ns};
}

// Keepalive of an idle connection, since the last packet that came (keepalive_time_elapsed).
Span keepalive_ends(const ProbeSettings& settings, bool user_timeout, int64_t tick_ns) {
  const int64_t idle_ns = settings.keepalive_idle_ns;
  const Span interval =
      fires({settings.keepalive_interval_ns, settings.keepalive_interval_ns}, tick_ns);
  // The timer behind an answered probe is set to the interval: where that is longer, the next probe
  // goes out after it.
  const int64_t longer_ns = std::max(idle_ns, settings.keepalive_interval_ns);
  Span elapsed{idle_ns, longer_ns + wheel_granularity_ns(longer_ns, tick_ns)};
  if (!user_timeout) {
    for (int64_t i = 0; i < settings.keepalive_count; ++i) elapsed = elapsed + interval;
  } else {
    // It ends at the first timer after a probe that finds the user timeout passed.
    const int64_t limit_ns = settings.user_timeout_ns;
    int64_t least_ns = -1;
    do {
      elapsed = elapsed + interval;
      if (least_ns < 0 && elapsed.most_ns >= limit_ns)
        least_ns = std::max(elapsed.least_ns, limit_ns);
    } while (elapsed.least_ns < limit_ns);
    elapsed.least_ns = least_ns;
  }
  // Both ends are read in ticks.
  return {elapsed.least_ns - tick_ns, elapsed.most_ns + tick_ns};
}

// Behind a shut window (tcp_probe_timer): probes at doubling intervals, of which an answer resets
// the count and not the interval. Since the last answer.
Span window_probes_end(const ProbeSettings& settings, int64_t tick_ns, int64_t shut_for_ns) {
  const auto most_doublings = static_cast<int>(settings.retries2);
  // So many probes were answered before the peer died, at least.
  int doublings = 0;
  for (int64_t at_ns = 0; doublings < most_doublings; ++doublings) {
    at_ns += fires(rto_of(settings, Pending::window, doublings, tick_ns), tick_ns).most_ns;
    if (at_ns > shut_for_ns) break;
  }
  const auto probes_from = [&](int first) {
    Span sum{0, 0};
    for (int64_t i = 0; i <= settings.retries2; ++i) {
      const int one = std::min(first + static_cast<int>(i), most_doublings);
      sum = sum + fires(rto_of(settings, Pending::window, one, tick_ns), tick_ns);
    }
    return sum;
  };
  return {probes_from(doublings).least_ns - tick_ns, probes_from(most_doublings).most_ns + tick_ns};
}

// How late a heartbeat's own timer may look.
int64_t heartbeat_slack_ns(Heartbeat heartbeat, const ProbeSettings& settings) {
  switch (heartbeat) {
    case Heartbeat::none:
      return 0;
    case Heartbeat::link:
      return 4 * kMillisecond_ns;  // a high-resolution timer, and a wake-up
    case Heartbeat::wheel:
      return 2 * heartbeat_tick_ns(settings);
    case Heartbeat::multishot:
    case Heartbeat::timerfd:
    case Heartbeat::scan:
      return settings.heartbeat_interval_ns;
  }
  return 0;
}

Prediction promise(Since since, std::vector<Span> spans) {
  const int64_t least_ns = spans.front().least_ns, most_ns = spans.back().most_ns;
  return {true, since, std::move(spans), least_ns, most_ns};
}

}  // namespace

std::span<const ProbeRow> probes() { return kProbes; }
const ProbeRow& probe_row(Probe probe) { return kProbes[static_cast<size_t>(probe)]; }

std::string_view since_name(Since since) {
  constexpr std::string_view kNames[] = {"heard", "written", "shut"};
  return kNames[static_cast<size_t>(since)];
}

Prediction predict(Probe probe, const ProbeSettings& settings, Pending pending, int64_t tick_ns,
                   int64_t shut_for_ns) {
  const ProbeRow& row = probe_row(probe);
  if (row.heartbeat_decides) {
    const int64_t least_ns = settings.heartbeat_deadline_ns;
    return promise(Since::heard,
                   {{least_ns, least_ns + heartbeat_slack_ns(row.heartbeat, settings)}});
  }
  // Without data on its way only keepalive runs.
  if (pending == Pending::nothing) {
    if (!row.keepalive) return {};
    return promise(Since::heard, {keepalive_ends(settings, row.user_timeout, tick_ns)});
  }
  if (pending == Pending::window) {
    // Whichever is passed first (tcp_probe_timer).
    const Span by_count = window_probes_end(settings, tick_ns, shut_for_ns);
    if (!row.user_timeout || by_count.most_ns < settings.user_timeout_ns)
      return promise(Since::heard, {by_count});
    // From the first probe on, answered or not (icsk_probes_tstamp). A window that is open by less
    // than a segment is filled by a first probe, and probing starts anew (tcp_send_probe0).
    const Span alone = fires(rto_of(settings, pending, 0, tick_ns), tick_ns);
    const Span first{alone.least_ns, 2 * alone.most_ns};
    return promise(Since::shut, {first + user_timeout_ends(settings, pending, tick_ns)});
  }
  // Each answer starts the clock of a stream anew; a request's starts with it.
  const Since since = pending == Pending::request ? Since::written : Since::heard;
  const Span first = first_retransmission(settings, pending, tick_ns);
  if (row.user_timeout)
    return promise(since, {first + user_timeout_ends(settings, pending, tick_ns)});
  std::vector<Span> ends = retransmissions_end(settings, pending, tick_ns);
  for (Span& end : ends) end = first + end;
  return promise(since, std::move(ends));
}

int64_t shortest_deadly_absence_ns(Probe probe, const ProbeSettings& settings, Pending pending,
                                   int64_t tick_ns, int64_t shut_for_ns) {
  const ProbeRow& row = probe_row(probe);
  const Prediction promise = predict(probe, settings, pending, tick_ns, shut_for_ns);
  if (!promise.promised) return INT64_MAX;
  const bool by_keepalive = pending == Pending::nothing && !row.heartbeat_decides;
  if (by_keepalive) {
    // So many probes in a row are lost, the first one just after the peer went
    // (tcp_keepalive_timer: icsk_probes_out, or the time since the last packet).
    int64_t lost = settings.keepalive_count;
    if (row.user_timeout) {
      const int64_t beyond_ns = settings.user_timeout_ns - settings.keepalive_idle_ns;
      const int64_t interval_ns = settings.keepalive_interval_ns;
      lost = std::max<int64_t>(1, (beyond_ns + interval_ns - 1) / interval_ns);
    }
    return (lost - 1) * settings.keepalive_interval_ns - tick_ns;
  }
  if (promise.since == Since::shut) return 0;  // it ends who lives and does not read, too
  if (pending == Pending::window && !row.heartbeat_decides) {
    // Of retries2 + 1 intervals, the last one ends after the return, and the first one began before
    // the peer went.
    const int64_t longest_ns =
        rto_of(settings, pending, static_cast<int>(settings.retries2), tick_ns).least_ns;
    return std::max<int64_t>(0, promise.least_ns - 2 * longest_ns);
  }
  // What was lost is sent again after an RTO that has doubled: up to as long after the return as
  // the peer was away. The last byte may have come an interval before it went.
  const int64_t before_ns = row.heartbeat_decides ? settings.heartbeat_interval_ns : 0;
  return std::max<int64_t>(0, (promise.least_ns - before_ns) / 2 - settings.rto_min_ns);
}

int64_t nominal_ns(Probe probe, const ProbeSettings& settings) {
  const ProbeRow& row = probe_row(probe);
  const int64_t idle_and_first_ns = settings.keepalive_idle_ns + settings.keepalive_interval_ns;
  if (row.heartbeat_decides) return settings.heartbeat_deadline_ns;
  if (row.heartbeat != Heartbeat::none) return 0;
  if (row.keepalive && row.user_timeout)
    return std::max(settings.user_timeout_ns, idle_and_first_ns);
  if (row.keepalive)
    return settings.keepalive_idle_ns + settings.keepalive_interval_ns * settings.keepalive_count;
  if (row.user_timeout) return settings.user_timeout_ns;
  if (row.retransmits) return computed_timeout_ns(settings);
  return 0;
}

int64_t wheel_granularity_ns(int64_t delay_ns, int64_t tick_ns) {
  constexpr int64_t kSlots = 63;
  const int64_t ticks = (delay_ns + tick_ns - 1) / tick_ns;
  int64_t granularity = 1;
  for (int64_t limit = kSlots; ticks >= limit; limit *= 8) granularity *= 8;
  return granularity * tick_ns;
}

int64_t timer_slack_ns(int64_t delay_ns) {
  constexpr int64_t kSlowestTick_ns = 10'000'000;  // CONFIG_HZ=100
  return delay_ns / 8 + kSlowestTick_ns;
}

int64_t heartbeat_tick_ns(const ProbeSettings& settings) {
  constexpr int64_t kTicksPerInterval = 32;
  return std::max(kMillisecond_ns, settings.heartbeat_interval_ns / kTicksPerInterval);
}

}  // namespace lastack
