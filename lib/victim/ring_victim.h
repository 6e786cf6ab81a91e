// Victims inside a living process, on a ring: those of a shard that go away one by one, and those
// that a victim process holds until it goes away as a whole.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "model/strategy.h"
#include "net/sock_diag.h"
#include "ring/ring.h"
#include "shard/ends.h"

namespace lastack {

// What run_schedule() asks of its caller.
struct ScheduleHooks {
  // Asked whenever the control socket has something to read: whether to stop.
  std::function<bool()> interrupted;
  // Hears of every connection that has gone and whose survivor is to be told.
  std::function<void(uint32_t slot)> acted;
  // Makes a whole group go away, with the stamps of all its ends.
  std::function<void(uint32_t group)> act_on_group;
};

// Step::verify_unread: waits until the survivor's byte lies in the receive queue. 0 or an errno.
int wait_until_unread(int descriptor);

// t0 of ends that go away together, stored where writing survivors look for it before the act.
void stamp_acts(const ShardView& shard, std::span<const uint32_t> slots);
// Asks the kernel what was received for this end and lies unread, where a writing survivor's bytes
// are to be held against it.
void note_account(const ShardView& shard, uint32_t slot);

class RingVictim {
 public:
  // `slots`: the ends that this process holds.
  static Result<RingVictim> open(const ShardView& shard, int control, std::vector<uint32_t> slots);

  // The strategies' prepare steps.
  Status prepare();
  // Under load, arms the receives that feed the echo; moves direct ends into the file table.
  Status arm();
  // Performs the acts of the whole shard from start_ns on, each group's once. The Error, here and
  // below, says that the kernel refuses to wait for completions.
  Status run_schedule(int64_t start_ns, const ScheduleHooks& hooks);
  // Serves the echo until the control socket is readable.
  Status run_until_control();
  Status clean_up();

  // Ends one connection: the ready step, the stamp, the act. For run_schedule and for tests.
  void inject(uint32_t slot);

 private:
  RingVictim(const ShardView& shard, Ring ring, std::vector<uint32_t> slots)
      : shard_(shard), ring_(std::move(ring)), slots_(std::move(slots)) {}
  bool arm_control();
  bool arm_receive(uint32_t slot);
  void show_life(uint32_t slot);
  void count_drained(uint32_t slot, int result);
  bool reads_on(const VictimEnd& end) const;
  void reap(bool sleep, int64_t until_ns);
  void handle(const io_uring_cqe& completion);
  Status wait_for_instant(int64_t instant_ns, const std::function<bool()>& interrupted);
  int cancel_receive(uint32_t slot);
  int perform(Step step, VictimEnd& end);
  int perform_on_ring(const std::function<void(io_uring_sqe*)>& prepare, const VictimEnd& end);

  ShardView shard_;
  std::optional<Ring> ring_;
  std::optional<SockDiag> diag_;
  std::vector<char> scratch_;
  std::vector<char> drain_;            // for what a writing survivor sent; counted, not looked at
  std::vector<int64_t> next_sign_ns_;  // by slot; under bulk load
  std::vector<uint32_t> slots_;
  int control_ = -1;
  bool control_ready_ = false;
  bool stopped_ = false;
  std::optional<int> act_result_;
  uint32_t acting_slot_ = 0;     // whose act that is
  uint32_t accepted_bytes_ = 0;  // by the last act that was a send
};

}  // namespace lastack
