#include "survivor/select_survivor.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>

namespace lastack {
namespace {

constexpr int64_t kAskAgain_ns = kMillisecond_ns;

unsigned events_for(bool fin_only) { return fin_only ? POLLRDHUP : kWatchedEvents; }

Status check_descriptor(int descriptor) {
  if (descriptor < FD_SETSIZE) return std::nullopt;
  return plain_error(fmt::format(
      "--watch select: descriptor {} does not fit into an fd_set; allowed: below {} (FD_SETSIZE)",
      descriptor, FD_SETSIZE));
}

}  // namespace

Result<SelectSurvivor> SelectSurvivor::open(const ShardView& shard, int control) {
  SelectSurvivor survivor(shard);
  const ShardSettings& settings = shard.header->settings;
  survivor.scratch_.resize(std::max<size_t>(static_cast<size_t>(settings.payload_bytes), 4096));
  FD_ZERO(&survivor.wanted_);
  FD_ZERO(&survivor.readable_);
  if (survivor.by_select()) {
    // All of them before any goes into a set: FD_SET writes wherever its argument points to.
    if (Status bad = check_descriptor(control)) return *bad;
    for (const SurvivorEnd& end : shard.survivors)
      if (Status bad = check_descriptor(end.descriptor)) return *bad;
    FD_SET(control, &survivor.wanted_);
    survivor.beyond_ = control + 1;
  }
  survivor.polled_.reserve(shard.survivors.size() + 1);
  survivor.waiting_.reserve(shard.survivors.size() + 1);
  survivor.half_closed_.reserve(shard.survivors.size());
  survivor.polled_.push_back({control, POLLIN, 0});
  survivor.waiting_.push_back({});
  return survivor;
}

void SelectSurvivor::add(uint32_t slot, Stage stage) {
  const int descriptor = shard_.survivors[slot].descriptor;
  const auto events = static_cast<short>(events_for(stage == Stage::fin_awaited));
  polled_.push_back({descriptor, events, 0});
  waiting_.push_back({slot, stage});
  if (!by_select()) return;
  FD_SET(descriptor, &wanted_);
  beyond_ = std::max(beyond_, descriptor + 1);
}

void SelectSurvivor::remove(size_t index) {
  if (by_select()) FD_CLR(polled_[index].fd, &wanted_);
  polled_[index] = polled_.back();
  waiting_[index] = waiting_.back();
  polled_.pop_back();
  waiting_.pop_back();
}

Status SelectSurvivor::arm() {
  const auto arm = [&](uint32_t slot) -> Status { return add(slot, Stage::watch), std::nullopt; };
  if (Status failed = arm_survivors(shard_, arm)) return failed;
  requests_.start();
  return std::nullopt;
}

void SelectSurvivor::hear_of_acts(std::span<const uint32_t> slots) {
  tell_survivors(
      shard_, slots, [&](uint32_t slot) { add(slot, Stage::fin_awaited); },
      [&](uint32_t slot) { add(slot, Stage::watch); });
}

int SelectSurvivor::wait_once(bool spin) {
  timespec room;
  const timespec* limit = patience(spin, requests_.next_ns(), room);
  if (!by_select()) return ppoll(polled_.data(), polled_.size(), limit, nullptr);
  const timespec again = to_timespec(kAskAgain_ns);
  const bool sooner =
      !limit || limit->tv_sec > 0 || limit->tv_nsec > static_cast<long>(kAskAgain_ns);
  if (!half_closed_.empty() && sooner) limit = &again;
  readable_ = wanted_;
  // pselect() for its nanoseconds; the kernel does the same for both (do_select).
  return pselect(beyond_, &readable_, nullptr, nullptr, limit, nullptr);
}

unsigned SelectSurvivor::events_of(size_t index) const {
  if (!by_select()) return static_cast<unsigned>(static_cast<uint16_t>(polled_[index].revents));
  // "Readable" is all that select says: no hang-up, no error, no half-close.
  return FD_ISSET(polled_[index].fd, &readable_) ? POLLIN : 0;
}

Status SelectSurvivor::run_until_control() {
  const bool spin = shard_.header->settings.spin;
  while (true) {
    requests_.send_due([&](uint32_t slot) {
      return send_request(
          shard_, shard_.survivors[slot],
          std::span(scratch_).first(static_cast<size_t>(shard_.header->settings.payload_bytes)));
    });
    int ready = wait_once(spin);
    if (ready < 0 && errno != EINTR) return errno_error(by_select() ? "pselect" : "ppoll");
    const int64_t stamp_ns = ready > 0 ? reap_stamp(shard_) : now_ns();
    if (!half_closed_.empty()) ask_half_closed();
    if (ready <= 0) continue;  // the load's next instant, or a signal
    const bool control_ready = events_of(0) != 0;
    if (control_ready) --ready;
    // Backwards: what remove() moves into a gap has been seen already.
    for (size_t index = polled_.size() - 1; index > 0 && ready > 0; --index) {
      const unsigned events = events_of(index);
      if (events == 0) continue;
      --ready;
      handle(index, events, stamp_ns);
    }
    if (control_ready) return std::nullopt;
  }
}

void SelectSurvivor::handle(size_t index, unsigned events, int64_t stamp_ns) {
  const uint32_t slot = waiting_[index].slot;
  SurvivorEnd& end = shard_.survivors[slot];
  if (waiting_[index].stage == Stage::fin_awaited) {
    char byte;
    const bool only_data =
        by_select() && recv(end.descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
    if (only_data) return;
    write_first(end);
    waiting_[index].stage = Stage::watch;
    polled_[index].events = static_cast<short>(events_for(false));
    return;
  }
  switch (look(shard_, end, events, stamp_ns, scratch_)) {
    case Conclusion::goes_on:
    case Conclusion::held:
      return;
    case Conclusion::hang_up:
      waiting_[index].stage = Stage::hang_up_awaited;
      polled_[index].events = 0;  // POLLHUP and POLLERR are always reported
      if (!by_select()) return;
      half_closed_.push_back(slot);
      remove(index);
      return;
    case Conclusion::found:
      remove(index);
      return;
  }
}

// TCP_INFO tells the reset that select cannot tell from the FIN before it.
void SelectSurvivor::ask_half_closed() {
  std::erase_if(half_closed_, [&](uint32_t slot) {
    return conclude(shard_, shard_.survivors[slot], now_ns()) == Conclusion::found;
  });
}

Status SelectSurvivor::clean_up() {
  polled_.resize(1);
  waiting_.resize(1);
  half_closed_.clear();
  close_abortively(shard_);
  return std::nullopt;
}

}  // namespace lastack
