// What the survivors of every engine do alike: the preparations, what a read or a write says, and
// how that becomes a finding. Written once, so that engines differ in how they wait and in nothing
// else.
#pragma once

#include <poll.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <span>

#include "base/clock.h"
#include "base/error.h"
#include "model/ends.h"
#include "model/strategy.h"

namespace lastack {

constexpr unsigned kWatchedEvents = POLLIN | POLLRDHUP;  // EPOLLIN, EPOLLRDHUP are the same bits
constexpr unsigned kDeathEvents = POLLRDHUP | POLLHUP | POLLERR;  // of those that poll(2) returns
constexpr size_t kEventsPerWait = 256;  // that one wait hands over at most

// The flags and the open request are read by the thread that sends requests while, with a thread
// per connection, another one concludes. Relaxed: each field has one writer at a time.
inline uint8_t flags_of(SurvivorEnd& end) {
  return std::atomic_ref(end.flags).load(std::memory_order_relaxed);
}
inline uint32_t response_left(SurvivorEnd& end) {
  return std::atomic_ref(end.response_left).load(std::memory_order_relaxed);
}
inline void set_response_left(SurvivorEnd& end, uint32_t bytes) {
  std::atomic_ref(end.response_left).store(bytes, std::memory_order_relaxed);
}

// The byte that stays unread, where the strategy wants one.
Status send_unread_bytes(const ShardView& shard);
// The socket options of the row's probe.
Status set_probe(const ShardView& shard, const SurvivorEnd& end);
// Sets the probe of every connection, and calls arm(slot), which returns a Status, for those whose
// survivor is not told of the act.
template <class Arm>
Status arm_survivors(const ShardView& shard, Arm arm) {
  for (uint32_t slot = 0; slot < shard.survivors.size(); ++slot) {
    const SurvivorEnd& end = shard.survivors[slot];
    if (!(end.flags & kEstablished)) continue;
    if (Status failed = set_probe(shard, end)) return failed;
    if (strategy_of(shard, end).when_told != WhenTold::goes_on) continue;
    if (Status failed = arm(slot)) return failed;
  }
  return std::nullopt;
}
// Stamps and sends the byte of a survivor that writes first.
void write_first(SurvivorEnd& end);
// The same for one that reads on: writes where the strategy says so.
inline void write_if_chatty(const ShardView& shard, SurvivorEnd& end) {
  if (strategy_of(shard, end).when_told == WhenTold::writes_and_reads) write_first(end);
}
// What survivors do that are told of the act: await_fin(slot) has them write when the FIN is there,
// watch(slot) has them watch at once.
template <class AwaitFin, class Watch>
void tell_survivors(const ShardView& shard, std::span<const uint32_t> slots, AwaitFin await_fin,
                    Watch watch) {
  for (const uint32_t slot : slots) {
    if (slot >= shard.survivors.size()) continue;
    SurvivorEnd& end = shard.survivors[slot];
    if (strategy_of(shard, end).when_told == WhenTold::writes_after_fin) {
      // The victim's close() has returned, but its FIN may still be on its way. A write that
      // crosses it would draw another RST for the FIN's ACK, or none that is in the window.
      await_fin(slot);
    } else {
      write_if_chatty(shard, end);
      watch(slot);
    }
  }
}
// Sends a byte to every victim that should have come back; its echo will prove it.
void ask_whether_alive(const ShardView& shard);
void close_abortively(const ShardView& shard);

void count_received(const ShardView& shard, SurvivorEnd& end, uint32_t bytes);
// Non-blocking reads until nothing is left; notes how they ended.
void read_until_empty(const ShardView& shard, SurvivorEnd& end, std::span<char> scratch);

// What the evidence so far means for the watch of this connection.
enum class Verdict : uint8_t {
  goes_on,  // nothing has ended: wait on
  found,    // the finding is final
  held,     // the write in flight holds the errno and decides
  hang_up,  // the answer to the survivor's write is still to come, and only POLLHUP tells it
};
// Something said that the connection has ended: decides from all its evidence.
Verdict conclude(const ShardView& shard, SurvivorEnd& end, int64_t stamp_ns);
// A poll-like wait reported `events` at `stamp_ns`: reads, and concludes where there is an end.
Verdict look(const ShardView& shard, SurvivorEnd& end, unsigned events, int64_t stamp_ns,
             std::span<char> scratch);
// Sends one request without blocking and concludes when that fails.
Verdict send_request(const ShardView& shard, SurvivorEnd& end, std::span<const char> request);

// The echo load's requests: evenly spread over time, and over the connections in turn; one in
// flight per connection.
class Requests {
 public:
  explicit Requests(const ShardView& shard) : shard_(shard) {}
  void start() {
    running_ = shard_.header->settings.load == Load::echo;
    next_ns_ = now_ns();
  }
  void stop() { running_ = false; }
  bool running() const { return running_; }
  int64_t next_ns() const { return next_ns_; }
  // How long a wait may take; nullptr for ever. `spin`: not at all.
  const timespec* patience(bool spin, timespec& room) const {
    if (spin) return &(room = {});
    if (!running_) return nullptr;
    return &(room = to_timespec(std::max<int64_t>(0, next_ns_ - now_ns())));
  }

  // Calls send(slot) for every request that is due, until it returns false.
  template <class Send>
  void send_due(Send send) {
    if (!running_) return;
    const int64_t now = now_ns();
    const ShardSettings& settings = shard_.header->settings;
    const auto gap_ns = static_cast<int64_t>(1e9 / settings.round_trips_per_second);
    const auto count = static_cast<uint32_t>(shard_.survivors.size());
    while (next_ns_ <= now) {
      next_ns_ += std::max<int64_t>(gap_ns, 1);
      // Busy and finished connections are passed over.
      uint32_t tried = 0;
      for (; tried < count; ++tried) {
        const uint32_t slot = next_slot_++ % count;
        SurvivorEnd& end = shard_.survivors[slot];
        if (!takes_request(end)) continue;
        set_response_left(end, static_cast<uint32_t>(settings.payload_bytes));
        if (!send(slot)) return set_response_left(end, 0);
        break;
      }
      // Nobody is free: look again soon instead of scanning the table for every missed instant.
      if (tried == count) next_ns_ = now + kMillisecond_ns;
    }
  }

 private:
  bool takes_request(SurvivorEnd& end) const {
    const uint8_t flags = flags_of(end);
    if (!(flags & kEstablished) || (flags & (kConcluded | kHeld | kSendInFlight))) return false;
    const Strategy& strategy = strategy_of(shard_, end);
    const bool answers = strategy.scope != Scope::listener && !strategy.victim_sends;
    if (!answers || strategy.survivor_sends_unread) return false;
    if (strategy.when_told != WhenTold::goes_on) return false;
    return response_left(end) == 0;
  }
  ShardView shard_;
  bool running_ = false;
  int64_t next_ns_ = 0;
  uint32_t next_slot_ = 0;
};

}  // namespace lastack
