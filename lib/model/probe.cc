#include "model/probe.h"

namespace lastack {
namespace {

constexpr ProbeRow kProbes[] = {
    {Probe::none, "none", false, false, {}, "no timer: silence stays silence"},
    // tcp_keepalive_timer(): tcp_send_active_reset(), then tcp_write_err().
    {Probe::keepalive, "keepalive", true, false,
     counter_changes(
         {{Counter::out_rsts, 1}, {Counter::estab_resets, 1}, {Counter::abort_on_timeout, 1}}),
     "SO_KEEPALIVE: idle + interval x count (tcp(7), tcp_keepalive_timer)"},
    // tcp_write_timeout(): tcp_write_err() alone, no RST.
    {Probe::user_timeout, "user-timeout", false, true,
     counter_changes({{Counter::estab_resets, 1}, {Counter::abort_on_timeout, 1}}),
     "TCP_USER_TIMEOUT: runs only while data is unacknowledged (RFC 5482, tcp_write_timeout)"},
};

}  // namespace

std::span<const ProbeRow> probes() { return kProbes; }
const ProbeRow& probe_row(Probe probe) { return kProbes[static_cast<size_t>(probe)]; }

int64_t predicted_ns(Probe probe, const ProbeSettings& settings) {
  switch (probe) {
    case Probe::none:
      return 0;
    case Probe::keepalive:
      return settings.keepalive_idle_ns + settings.keepalive_interval_ns * settings.keepalive_count;
    case Probe::user_timeout:
      return settings.user_timeout_ns;
  }
  return 0;
}

int64_t timer_slack_ns(int64_t delay_ns) {
  constexpr int64_t kSlowestTick_ns = 10'000'000;  // CONFIG_HZ=100
  return delay_ns / 8 + kSlowestTick_ns;
}

}  // namespace lastack
