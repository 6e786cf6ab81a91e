// The survivors of one shard, watched through io_uring.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "model/ends.h"
#include "ring/ring.h"

namespace lastack {

class UringSurvivor {
 public:
  // `control` is watched by the same ring: run_until_control() returns when it has something.
  static Result<UringSurvivor> open(const ShardView& shard, int control);

  // Sets the probes' options, and sends the byte that stays unread where the strategy wants one.
  Status prepare();
  // Arms the watch of every connection but those whose survivor writes first.
  Status arm();
  // The victims of these have gone: as soon as their FIN is here, stamps, writes one byte, and
  // only then arms the watch.
  void write_when_fin_arrives(std::span<const uint32_t> slots);
  // Reaps completions and runs the load until the control socket is readable.
  void run_until_control();
  // The ledger is closed: completions count no more.
  void stop_load() { load_runs_ = false; }
  // Ends every connection abortively, so that neither TIME_WAIT nor orphans stay.
  void clean_up();

 private:
  UringSurvivor(const ShardView& shard, Ring ring) : shard_(shard), ring_(std::move(ring)) {}
  enum class Kind : uint32_t;
  static uint64_t tag(Kind kind, uint32_t slot);
  bool arm_watch(uint32_t slot);
  bool arm_poll(uint32_t slot, unsigned events, Kind kind);
  void write_then_watch(uint32_t slot);
  void handle(const io_uring_cqe& completion, int64_t stamp_ns);
  void handle_receive(uint32_t slot, const io_uring_cqe& completion, int64_t stamp_ns);
  void handle_poll(uint32_t slot, const io_uring_cqe& completion, int64_t stamp_ns);
  void handle_write(uint32_t slot, int result, int64_t stamp_ns);
  void count_received(SurvivorEnd& end, uint32_t bytes);
  void read_until_empty(SurvivorEnd& end);
  void conclude(SurvivorEnd& end, int64_t stamp_ns);
  void send_due_requests(int64_t now);
  bool arm_control();

  ShardView shard_;
  std::optional<Ring> ring_;
  std::optional<BufferRing> buffers_;
  std::vector<char> scratch_;  // what arrives is counted, not looked at: one piece for all
  int control_ = -1;
  bool control_ready_ = false;
  bool load_runs_ = false;
  int64_t next_request_ns_ = 0;
  uint32_t next_slot_ = 0;
};

}  // namespace lastack
