#include "survivor/epoll_survivor.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace lastack {

static_assert(kWatchedEvents == (EPOLLIN | EPOLLRDHUP));

Result<EpollSurvivor> EpollSurvivor::open(const ShardView& shard, int control) {
  EpollSurvivor survivor(shard);
  survivor.epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  if (!survivor.epoll_.valid()) return errno_error("epoll_create1");
  const auto payload = static_cast<size_t>(shard.header->settings.payload_bytes);
  survivor.scratch_.resize(std::max<size_t>(payload, 4096));
  // In the same set, so that one wait serves both.
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = uint64_t{static_cast<uint32_t>(Kind::control)} << 32;
  if (epoll_ctl(survivor.epoll_.get(), EPOLL_CTL_ADD, control, &event) != 0)
    return errno_error("epoll_ctl", "control");
  if (Status failed = survivor.try_wait()) return *failed;
  return survivor;
}

// Kernels before 5.11 lack epoll_pwait2, and profiles of containers from before it deny it. What
// counts, being woken by a socket, is the same with epoll_wait; its time-out, in milliseconds, is
// not, so that a timer in the set keeps the instants.
Status EpollSurvivor::try_wait() {
  epoll_event event{};
  const timespec at_once{};
  if (epoll_pwait2(epoll_.get(), &event, 1, &at_once, nullptr) >= 0) return std::nullopt;
  const int refused = errno;
  if (refused != ENOSYS && refused != EPERM) return make_error("epoll_pwait2", refused, "");
  instant_ = Fd(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!instant_.valid()) return errno_error("timerfd_create", "in place of epoll_pwait2");
  event.events = EPOLLIN | EPOLLET;  // it is set anew, never read
  event.data.u64 = uint64_t{static_cast<uint32_t>(Kind::instant)} << 32;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, instant_.get(), &event) != 0)
    return errno_error("epoll_ctl", "timer");
  note_ = fmt::format("epoll_pwait2 is refused ({}): epoll_wait and a timerfd stand in for it",
                      errno_name(refused));
  return std::nullopt;
}

int EpollSurvivor::wait_once(std::span<epoll_event> batch, int64_t until_ns) {
  const bool spin = shard_.header->settings.spin;
  const int room_for = static_cast<int>(batch.size());
  timespec room;
  if (!instant_.valid())
    return epoll_pwait2(epoll_.get(), batch.data(), room_for, patience(spin, until_ns, room),
                        nullptr);
  const bool at_once = spin || until_ns <= now_ns();
  if (!at_once && until_ns != instant_ns_) {
    instant_ns_ = until_ns;
    const itimerspec when{{}, until_ns == kNever_ns ? timespec{} : to_timespec(until_ns)};
    if (timerfd_settime(instant_.get(), TFD_TIMER_ABSTIME, &when, nullptr) != 0) return -1;
  }
  return epoll_wait(epoll_.get(), batch.data(), room_for, at_once ? 0 : -1);
}

namespace {

Error refusal(int failed) {
  Error error = make_error("epoll_ctl", failed, "a watched socket");
  if (failed == ENOSPC) error.cure = "a larger fs.epoll.max_user_watches (epoll(7))";
  return error;
}

}  // namespace

int EpollSurvivor::set_interest(int operation, uint32_t slot, uint32_t events, Kind kind) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = uint64_t{static_cast<uint32_t>(kind)} << 32 | slot;
  return epoll_ctl(epoll_.get(), operation, shard_.survivors[slot].descriptor, &event) == 0 ? 0
                                                                                            : errno;
}

void EpollSurvivor::change_interest(int operation, uint32_t slot, uint32_t events, Kind kind) {
  const int failed = set_interest(operation, slot, events, kind);
  if (failed && !refused_) refused_ = refusal(failed);
}

uint32_t EpollSurvivor::watch_events(uint32_t slot) const {
  const bool edge = shard_.row_of(shard_.survivors[slot]).watch == Watch::epoll_et;
  return kWatchedEvents | (edge ? uint32_t{EPOLLET} : 0u);
}

Status EpollSurvivor::arm() {
  const auto arm = [&](uint32_t slot) -> Status {
    if (const int failed = set_interest(EPOLL_CTL_ADD, slot, watch_events(slot), Kind::watch))
      return refusal(failed);
    return std::nullopt;
  };
  heartbeats_.start();
  if (Status failed = arm_survivors(shard_, arm)) return failed;
  if (Status failed = arm_heartbeats()) return failed;
  heartbeats_.start();
  requests_.start();
  return std::nullopt;
}

Status EpollSurvivor::arm_heartbeats() {
  const int64_t interval_ns = shard_.header->settings.probe_settings.heartbeat_interval_ns;
  timers_.resize(shard_.survivors.size());
  for (uint32_t slot = 0; slot < shard_.survivors.size(); ++slot) {
    if (!heartbeats_.uses(slot, Heartbeat::timerfd)) continue;
    Fd timer(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    if (!timer.valid()) return errno_error("timerfd_create");
    const itimerspec when{to_timespec(interval_ns), to_timespec(heartbeats_.first_after_ns(slot))};
    if (timerfd_settime(timer.get(), 0, &when, nullptr) != 0) return errno_error("timerfd_settime");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = uint64_t{static_cast<uint32_t>(Kind::heartbeat_timer)} << 32 | slot;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, timer.get(), &event) != 0)
      return errno_error("epoll_ctl", "heartbeat timer");
    timers_[slot] = std::move(timer);
  }
  if (heartbeats_.any(Heartbeat::scan)) next_scan_ns_ = now_ns() + interval_ns / scan_parts();
  return std::nullopt;
}

// Whether its timer is needed still.
bool EpollSurvivor::serve_heartbeat(uint32_t slot, int64_t now) {
  SurvivorEnd& end = shard_.survivors[slot];
  switch (heartbeats_.look(slot, now)) {
    case Heartbeats::Due::ended:
      return false;
    case Heartbeats::Due::death:
      declare_dead(shard_, end, now);
      return false;
    case Heartbeats::Due::heartbeat:
      note_sent(shard_, end);
      send_request(shard_, end, std::span(scratch_).first(1));
      return true;
    case Heartbeats::Due::nothing:
      return true;
  }
  return true;
}

void EpollSurvivor::handle_timer(uint32_t slot, int64_t now) {
  uint64_t expirations = 0;
  (void)!read(timers_[slot].get(), &expirations, sizeof(expirations));
  if (!serve_heartbeat(slot, now)) timers_[slot].reset();
}

// With heartbeats spread, one interval's scans look at so many parts, one after the other.
uint32_t EpollSurvivor::scan_parts() const {
  constexpr uint32_t kParts = 16;
  const auto count = static_cast<uint32_t>(shard_.survivors.size());
  const bool aligned = shard_.header->settings.probe_settings.heartbeats_aligned;
  return aligned ? 1 : std::min(count, kParts);
}

void EpollSurvivor::scan(int64_t now) {
  const ProbeSettings& probe = shard_.header->settings.probe_settings;
  const auto count = static_cast<uint32_t>(shard_.survivors.size());
  const uint32_t parts = scan_parts();
  // Equal steps in time, and as equal as they can be in connections.
  const uint32_t last = static_cast<uint32_t>(uint64_t{count} * (scanned_parts_ + 1) / parts);
  for (uint32_t slot = static_cast<uint32_t>(uint64_t{count} * scanned_parts_ / parts); slot < last;
       ++slot)
    if (heartbeats_.uses(slot, Heartbeat::scan)) serve_heartbeat(slot, now);
  scanned_parts_ = (scanned_parts_ + 1) % parts;
  next_scan_ns_ += probe.heartbeat_interval_ns / parts;
}

void EpollSurvivor::hear_of_acts(std::span<const uint32_t> slots) {
  tell_survivors(
      shard_, slots,
      [&](uint32_t slot) { change_interest(EPOLL_CTL_ADD, slot, EPOLLRDHUP, Kind::fin_arrived); },
      [&](uint32_t slot) {
        change_interest(EPOLL_CTL_ADD, slot, watch_events(slot), Kind::watch);
      });
}

Status EpollSurvivor::run_until_control() {
  std::array<epoll_event, kEventsPerWait> batch;
  while (true) {
    if (refused_) return refused_;
    requests_.send_due([&](uint32_t slot) {
      return send_request(
          shard_, shard_.survivors[slot],
          std::span(scratch_).first(static_cast<size_t>(shard_.header->settings.payload_bytes)));
    });
    const int ready = wait_once(batch, std::min(requests_.next_ns(), next_scan_ns_));
    if (ready < 0 && errno != EINTR)
      return errno_error(instant_.valid() ? "epoll_wait" : "epoll_pwait2");
    const int64_t stamp_ns = ready > 0 ? reap_stamp(shard_) : now_ns();
    bool control_ready = false;
    for (int i = 0; i < ready; ++i) {
      const epoll_event& event = batch[static_cast<size_t>(i)];
      const auto kind = static_cast<Kind>(event.data.u64 >> 32);
      if (kind == Kind::control) control_ready = true;
      if (kind == Kind::watch || kind == Kind::fin_arrived) handle(event, stamp_ns);
    }
    // Timers last: an answer in the same batch counts.
    for (int i = 0; i < ready; ++i) {
      const epoll_event& event = batch[static_cast<size_t>(i)];
      if (static_cast<Kind>(event.data.u64 >> 32) == Kind::heartbeat_timer)
        handle_timer(static_cast<uint32_t>(event.data.u64), now_ns());
    }
    if (stamp_ns >= next_scan_ns_) scan(now_ns());
    if (control_ready) return std::nullopt;
  }
}

void EpollSurvivor::handle(const epoll_event& event, int64_t stamp_ns) {
  const auto slot = static_cast<uint32_t>(event.data.u64);
  SurvivorEnd& end = shard_.survivors[slot];
  const uint32_t wanted = watch_events(slot), edge = wanted & EPOLLET;
  if (static_cast<Kind>(event.data.u64 >> 32) == Kind::fin_arrived) {
    write_first(end);
    change_interest(EPOLL_CTL_MOD, slot, wanted, Kind::watch);
    return;
  }
  switch (look(shard_, end, event.events, stamp_ns, scratch_)) {
    case Conclusion::goes_on:
    case Conclusion::held:
      return;
    case Conclusion::hang_up:  // EPOLLHUP and EPOLLERR are always reported
      change_interest(EPOLL_CTL_MOD, slot, edge, Kind::watch);
      return;
    case Conclusion::found:
      // Level-triggered, an ended connection would be reported for ever.
      if (!edge) change_interest(EPOLL_CTL_DEL, slot, 0, Kind::watch);
      return;
  }
}

Status EpollSurvivor::clean_up() {
  timers_.clear();
  epoll_.reset();
  heartbeats_.clean_up();
  close_abortively(shard_);
  return std::nullopt;
}

}  // namespace lastack
