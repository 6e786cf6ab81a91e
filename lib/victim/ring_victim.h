// The victims of one shard that go away one by one inside a living process, through a ring.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "model/ends.h"
#include "model/strategy.h"
#include "net/sock_diag.h"
#include "ring/ring.h"

namespace lastack {

class RingVictim {
 public:
  static Result<RingVictim> open(const ShardView& shard, int control);

  // The strategies' prepare steps.
  Status prepare();
  // Under load, arms the receives that feed the echo; moves direct ends into the file table.
  Status arm();
  // Performs the acts from start_ns on. `interrupted` is asked whenever the control socket has
  // something to read and says whether to stop; `acted` hears of every slot whose survivor
  // is told of the act.
  Status run_schedule(int64_t start_ns, const std::function<bool()>& interrupted,
                      const std::function<void(uint32_t)>& acted);
  // Serves the echo until the control socket is readable.
  void run_until_control();
  void clean_up();

  // Ends one connection: the ready step, the stamp, the act. For run_schedule and for tests.
  void inject(uint32_t slot);

 private:
  RingVictim(const ShardView& shard, Ring ring) : shard_(shard), ring_(std::move(ring)) {}
  bool arm_control();
  bool arm_receive(uint32_t slot);
  void reap(bool sleep, int64_t until_ns);
  void handle(const io_uring_cqe& completion);
  void wait_for_instant(int64_t instant_ns, const std::function<bool()>& interrupted);
  void cancel_receive(uint32_t slot);
  int perform(Step step, VictimEnd& end);
  int perform_on_ring(const std::function<void(io_uring_sqe*)>& prepare, const VictimEnd& end);

  ShardView shard_;
  std::optional<Ring> ring_;
  std::optional<SockDiag> diag_;
  std::vector<char> scratch_;
  std::vector<uint32_t> order_;  // slots by scheduled instant
  int control_ = -1;
  bool control_ready_ = false;
  bool stopped_ = false;
  std::optional<int> act_result_;
};

}  // namespace lastack
