// The heartbeats of one shard: who is to be asked, who is silent for too long, and when to look
// next. The engines keep the timers and send the bytes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/assert.h"
#include "shard/ends.h"
#include "survivor/common.h"

namespace lastack {

class Heartbeats {
 public:
  explicit Heartbeats(const ShardView& shard) : shard_(shard) {}

  // The peers that heartbeats watch have been heard: now. Before the first watch is armed, and
  // again
  // after the last one, for arming thousands takes time.
  void start();
  // The ledger is closed: nobody is asked or declared dead any more, and what comes while the run
  // is
  // taken down is not counted as a silence.
  void stop();
  void clean_up();
  // Whether this connection's timers are kept in that way.
  bool uses(uint32_t slot, Heartbeat way) const;
  bool any(Heartbeat way) const;
  // Until the first heartbeat of this connection: an interval, or its own part of one.
  int64_t first_after_ns(uint32_t slot) const;

  enum class Due : uint8_t { nothing, heartbeat, death, ended };
  // `ended`: needs no timer any more.
  Due look(uint32_t slot, int64_t now) const;
  // After a look: when to look again, for timers that are set one by one.
  int64_t next_look_ns(uint32_t slot, int64_t now) const;

 private:
  const ProbeSettings& settings() const { return shard_.header->settings.probe_settings; }
  ShardView shard_;
  bool stopped_ = false;
  std::vector<int64_t> longest_silence_ns_;  // by slot, when stopped
};

// Slots by the tick in which they are due; turned by one timeout for all of them.
class TimerWheel {
 public:
  // `span_ns`: no timer is set further ahead than that.
  TimerWheel(int64_t tick_ns, int64_t span_ns, int64_t now);
  void set(uint32_t slot, int64_t due_ns);
  // When it wants to be turned; kNever_ns when it is empty.
  int64_t next_ns() const { return count_ ? turned_ns_ + tick_ns_ : kNever_ns; }
  // Calls due(slot) for each timer that is due at `now`; it may set timers.
  template <class Due>
  void turn(int64_t now, Due due) {
    while (turned_ns_ + tick_ns_ <= now) {
      turned_ns_ += tick_ns_;
      taken_.clear();
      taken_.swap(ticks_[index_of(turned_ns_)]);
      LASTACK_ASSERT(taken_.size() <= count_, taken_.size(), count_);
      count_ -= taken_.size();
      for (const uint32_t slot : taken_) due(slot);
    }
  }

 private:
  size_t index_of(int64_t at_ns) const {
    return static_cast<size_t>((at_ns - first_ns_) / tick_ns_) % ticks_.size();
  }
  int64_t tick_ns_, first_ns_, turned_ns_;
  size_t count_ = 0;
  std::vector<std::vector<uint32_t>> ticks_;
  std::vector<uint32_t> taken_;
};

}  // namespace lastack
