#include "survivor/late_survivor.h"

#include <sys/socket.h>

#include <cerrno>

namespace lastack {

Result<LateSurvivor> LateSurvivor::open(const ShardView& shard, int control) {
  LateSurvivor survivor(shard, control);
  survivor.queue_.resize(shard.survivors.size());
  survivor.scratch_.resize(4096);
  return survivor;
}

Status LateSurvivor::arm() {
  return arm_survivors(shard_, [](uint32_t) -> Status { return std::nullopt; });
}

void LateSurvivor::schedule(uint32_t slot, int64_t from_ns) {
  if (count_ == queue_.size()) return;  // told twice of one connection: it waits already
  queue_[(first_ + count_++) % queue_.size()] = {from_ns + kLateWrite_ns, slot};
}

void LateSurvivor::hear_of_acts(std::span<const uint32_t> slots) {
  const int64_t heard_ns = now_ns();
  for (const uint32_t slot : slots)
    if (slot < shard_.survivors.size()) schedule(slot, heard_ns);
}

Status LateSurvivor::run_until_control() {
  const bool spin = shard_.header->settings.spin;
  pollfd control{control_, POLLIN, 0};
  while (true) {
    if (!stopped_) write_due(now_ns());
    const bool idle = stopped_ || count_ == 0;
    const int64_t left_ns = idle ? 0 : std::max<int64_t>(0, queue_[first_].due_ns - now_ns());
    const timespec room = to_timespec(spin ? 0 : left_ns);
    const int ready = ppoll(&control, 1, idle && !spin ? nullptr : &room, nullptr);
    if (ready > 0) return std::nullopt;
    if (ready < 0 && errno != EINTR) return errno_error("ppoll", "control");
  }
}

void LateSurvivor::write_due(int64_t now) {
  while (count_ > 0 && queue_[first_].due_ns <= now) {
    const uint32_t slot = queue_[first_].slot;
    first_ = (first_ + 1) % queue_.size();
    --count_;
    if (!write_one(slot)) schedule(slot, now_ns());
  }
}

bool LateSurvivor::write_one(uint32_t slot) {
  SurvivorEnd& end = shard_.survivors[slot];
  const char byte = 'w';
  if (end.written_ns == 0) end.written_ns = now_ns();
  note_sent(shard_, end);
  if (send(end.descriptor, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1) return false;
  const int failed = errno;
  const int64_t stamp_ns = now_ns();
  if (failed == EAGAIN) return false;  // a full send queue is no news of the peer
  end.evidence.write_error = static_cast<int16_t>(failed);
  conclude(shard_, end, stamp_ns);
  read_until_empty(shard_, end, scratch_);  // what came before the end was never read
  return true;
}

}  // namespace lastack
