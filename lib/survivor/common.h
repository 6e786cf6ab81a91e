// What the survivors of every engine do alike: the preparations, what a read or a write says, and
// how that becomes a finding. Written once, so that engines differ in how they wait and in nothing
// else.
#pragma once

#include <poll.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "model/strategy.h"
#include "shard/ends.h"

namespace lastack {

constexpr unsigned kWatchedEvents = POLLIN | POLLRDHUP;  // EPOLLIN, EPOLLRDHUP are the same bits
constexpr unsigned kDeathEvents = POLLRDHUP | POLLHUP | POLLERR;  // of those that poll(2) returns
constexpr size_t kEventsPerWait = 256;  // that one wait hands over at most

constexpr int64_t kNever_ns = int64_t{1} << 62;
// How long a wait may take that is to end at an instant; nullptr for ever. `spin`: not at all.
inline const timespec* patience(bool spin, int64_t until_ns, timespec& room) {
  if (spin) return &(room = {});
  if (until_ns == kNever_ns) return nullptr;
  return &(room = to_timespec(std::max<int64_t>(0, until_ns - now_ns())));
}

// So many instructions, and a few: two in a turn.
inline void execute_instructions(int64_t count) {
  int64_t turns = count / 2;
  if (turns <= 0) return;
#if defined(__x86_64__)
  asm volatile("1: dec %0\n\tjnz 1b" : "+r"(turns) : : "cc");
#elif defined(__aarch64__)
  asm volatile("1: subs %0, %0, #1\n\tb.ne 1b" : "+r"(turns) : : "cc");
#else
  while (turns-- > 0) asm volatile("");
#endif
}

// The instant at which a wait's events are taken up: now, or later by --reap-delay or
// --reap-instructions.
inline int64_t reap_stamp(const ShardView& shard) {
  execute_instructions(shard.header->settings.reap_instructions);
  int64_t now = now_ns();
  const int64_t delay_ns = shard.header->settings.reap_delay_ns;
  for (const int64_t until_ns = now + delay_ns; now < until_ns;) now = now_ns();
  return now;
}

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
// After all are armed: reads what a socket of each row has, for the manifest; an Error where its
// timers are not those of the row's probe.
Status check_sockets(const ShardView& shard);
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

// When the row's prediction counts from a message that nobody has answered: this is one.
// The value, or 0 and a note (ShardProgress::look_error) of why the kernel did not tell it.
template <class T>
T looked(const ShardView& shard, const Result<T>& value) {
  if (value) return *value;
  int32_t none = 0;
  shard.header->progress.look_error.compare_exchange_strong(none, value.error().error_number);
  return T{};
}
void note_sent(const ShardView& shard, SurvivorEnd& end);
// Fills the windows of victims that do not read, until each is shut.
Status fill_windows(const ShardView& shard);
// The application's own verdict: nothing has come for so long that the peer must be dead.
void declare_dead(const ShardView& shard, SurvivorEnd& end, int64_t stamp_ns);

void count_received(const ShardView& shard, SurvivorEnd& end, uint32_t bytes);
// Non-blocking reads until nothing is left; notes how they ended.
void read_until_empty(const ShardView& shard, SurvivorEnd& end, std::span<char> scratch);

// What the evidence so far means for the watch of this connection.
enum class Conclusion : uint8_t {
  goes_on,  // nothing has ended: wait on
  found,    // the finding is final
  held,     // the write in flight holds the errno and decides
  hang_up,  // the answer to the survivor's write is still to come, and only POLLHUP tells it
};
// Something said that the connection has ended: decides from all its evidence.
Conclusion conclude(const ShardView& shard, SurvivorEnd& end, int64_t stamp_ns);
// A poll-like wait reported `events` at `stamp_ns`: reads, and concludes where there is an end.
Conclusion look(const ShardView& shard, SurvivorEnd& end, unsigned events, int64_t stamp_ns,
                std::span<char> scratch);
// Sends one message without blocking, and concludes when that fails. Whether the kernel took it.
bool send_request(const ShardView& shard, SurvivorEnd& end, std::span<const char> request);

// What the survivors of a shard send under load, by streams: the mix's and the neighbours'. An echo
// stream's requests are evenly spread over time, and over its connections in turn, with one in
// flight per connection. A bulk stream sends on each of its connections in turn, and never waits.
class Requests {
 public:
  explicit Requests(const ShardView& shard) : shard_(shard) {}
  void start() {
    const ShardSettings& settings = shard_.header->settings;
    const int64_t now = now_ns();
    for (const bool neighbours : {false, true}) {
      const Traffic& traffic = neighbours ? settings.neighbour_traffic : settings.traffic;
      if (traffic.load == Load::idle) continue;
      const auto gap_ns = static_cast<int64_t>(
          traffic.load == Load::echo ? 1e9 / traffic.round_trips_per_second : 0);
      streams_.push_back({traffic.load, neighbours, std::max<int64_t>(gap_ns, 1), now, 0});
    }
  }
  void stop() { streams_.clear(); }

  int64_t next_ns() const {
    int64_t next_ns = kNever_ns;
    for (const Stream& stream : streams_) next_ns = std::min(next_ns, stream.next_ns);
    return next_ns;
  }

  // Calls send(slot), which says whether the kernel took the message, for what is due.
  template <class Send>
  void send_due(Send send) {
    if (streams_.empty()) return;
    const int64_t now = now_ns();
    for (Stream& stream : streams_) send_due_of(stream, now, send);
  }

 private:
  struct Stream {
    Load load;
    bool neighbours;
    int64_t gap_ns;
    int64_t next_ns;
    uint32_t next_slot;
  };
  // A bulk stream's turn; between two of them the survivor looks at what has come.
  static constexpr int kBulkTurn = 64;

  template <class Send>
  void send_due_of(Stream& stream, int64_t now, Send& send) {
    int turn = 0;
    bool taken = false;
    while (stream.next_ns <= now) {
      if (stream.load == Load::echo) {
        stream.next_ns += stream.gap_ns;
      } else if (turn++ == kBulkTurn) {
        // All queues are full.
        if (!taken) stream.next_ns = now + kMillisecond_ns;
        return;
      }
      const uint32_t slot = next_free(stream);
      // Nobody is free: look again soon instead of scanning the table for every missed instant.
      if (slot == kNoPair) {
        stream.next_ns = now + kMillisecond_ns;
        return;
      }
      SurvivorEnd& end = shard_.survivors[slot];
      if (stream.load == Load::echo) {
        set_response_left(end, static_cast<uint32_t>(shard_.header->settings.payload_bytes));
        note_sent(shard_, end);
      }
      if (send(slot))
        taken = true;
      else if (stream.load == Load::echo)
        return set_response_left(end, 0);
    }
  }
  // Busy and finished connections, and those of the other stream, are passed over.
  uint32_t next_free(Stream& stream) {
    const auto count = static_cast<uint32_t>(shard_.survivors.size());
    for (uint32_t tried = 0; tried < count; ++tried) {
      const uint32_t slot = stream.next_slot++ % count;
      if (takes_request(stream, shard_.survivors[slot])) return slot;
    }
    return kNoPair;
  }
  bool takes_request(const Stream& stream, SurvivorEnd& end) const {
    const uint8_t flags = flags_of(end);
    if (!(flags & kEstablished) || (flags & (kConcluded | kHeld | kSendInFlight))) return false;
    const Strategy& strategy = strategy_of(shard_, end);
    const bool neighbour = shard_.header->settings.has_neighbours && stays_alive(strategy);
    if (neighbour != stream.neighbours) return false;
    return victim_answers(strategy) && response_left(end) == 0;
  }
  ShardView shard_;
  std::vector<Stream> streams_;
};

}  // namespace lastack
