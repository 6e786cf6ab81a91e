#include "survivor/epoll_survivor.h"

#include <sys/epoll.h>

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
  return survivor;
}

int EpollSurvivor::set_interest(int operation, uint32_t slot, uint32_t events, Kind kind) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = uint64_t{static_cast<uint32_t>(kind)} << 32 | slot;
  return epoll_ctl(epoll_.get(), operation, shard_.survivors[slot].descriptor, &event) == 0 ? 0
                                                                                            : errno;
}

uint32_t EpollSurvivor::watch_events(uint32_t slot) const {
  const bool edge = shard_.row_of(shard_.survivors[slot]).watch == Watch::epoll_et;
  return kWatchedEvents | (edge ? uint32_t{EPOLLET} : 0u);
}

Status EpollSurvivor::arm() {
  const auto arm = [&](uint32_t slot) -> Status {
    if (const int failed = set_interest(EPOLL_CTL_ADD, slot, watch_events(slot), Kind::watch))
      return make_error("epoll_ctl", failed, "arm (fs.epoll.max_user_watches limits them)");
    return std::nullopt;
  };
  if (Status failed = arm_survivors(shard_, arm)) return failed;
  requests_.start();
  return std::nullopt;
}

void EpollSurvivor::hear_of_acts(std::span<const uint32_t> slots) {
  tell_survivors(
      shard_, slots,
      [&](uint32_t slot) { set_interest(EPOLL_CTL_ADD, slot, EPOLLRDHUP, Kind::fin_arrived); },
      [&](uint32_t slot) { set_interest(EPOLL_CTL_ADD, slot, watch_events(slot), Kind::watch); });
}

void EpollSurvivor::run_until_control() {
  const bool spin = shard_.header->settings.spin;
  std::array<epoll_event, kEventsPerWait> batch;
  while (true) {
    requests_.send_due([&](uint32_t slot) {
      return send_request(
          shard_, shard_.survivors[slot],
          std::span(scratch_).first(static_cast<size_t>(shard_.header->settings.payload_bytes)));
    });
    timespec room;
    const int ready = epoll_pwait2(epoll_.get(), batch.data(), static_cast<int>(batch.size()),
                                   requests_.patience(spin, room), nullptr);
    if (ready <= 0) continue;  // the load's next instant, or a signal
    const int64_t stamp_ns = now_ns();
    bool control_ready = false;
    for (int i = 0; i < ready; ++i) {
      const epoll_event& event = batch[static_cast<size_t>(i)];
      if (static_cast<Kind>(event.data.u64 >> 32) == Kind::control)
        control_ready = true;
      else
        handle(event, stamp_ns);
    }
    if (control_ready) return;
  }
}

void EpollSurvivor::handle(const epoll_event& event, int64_t stamp_ns) {
  const auto slot = static_cast<uint32_t>(event.data.u64);
  SurvivorEnd& end = shard_.survivors[slot];
  const uint32_t wanted = watch_events(slot), edge = wanted & EPOLLET;
  if (static_cast<Kind>(event.data.u64 >> 32) == Kind::fin_arrived) {
    write_first(end);
    set_interest(EPOLL_CTL_MOD, slot, wanted, Kind::watch);
    return;
  }
  switch (look(shard_, end, event.events, stamp_ns, scratch_)) {
    case Verdict::goes_on:
    case Verdict::held:
      return;
    case Verdict::hang_up:  // EPOLLHUP and EPOLLERR are always reported
      set_interest(EPOLL_CTL_MOD, slot, edge, Kind::watch);
      return;
    case Verdict::found:
      // Level-triggered, an ended connection would be reported for ever.
      if (!edge) set_interest(EPOLL_CTL_DEL, slot, 0, Kind::watch);
      return;
  }
}

void EpollSurvivor::clean_up() {
  epoll_.reset();
  close_abortively(shard_);
}

}  // namespace lastack
