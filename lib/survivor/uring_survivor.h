// The survivors of one shard, watched through io_uring.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "ring/ring.h"
#include "shard/ends.h"
#include "survivor/common.h"
#include "survivor/heartbeats.h"
#include "survivor/survivor.h"

namespace lastack {

class UringSurvivor final : public Survivor {
 public:
  static Result<UringSurvivor> open(const ShardView& shard, int control);

  Status arm() override;
  void hear_of_acts(std::span<const uint32_t> slots) override;
  Status run_until_control() override;
  void stop_load() override {
    requests_.stop();
    heartbeats_.stop();
  }
  Status clean_up() override;

 private:
  UringSurvivor(const ShardView& shard, Ring ring)
      : shard_(shard), ring_(std::move(ring)), requests_(shard), heartbeats_(shard) {}
  enum class Kind : uint32_t;
  static uint64_t tag(Kind kind, uint32_t slot);
  bool arm_watch(uint32_t slot);
  bool arm_poll(uint32_t slot, unsigned events, Kind kind);
  void write_then_watch(uint32_t slot);
  void handle(const io_uring_cqe& completion, int64_t stamp_ns);
  void handle_receive(uint32_t slot, const io_uring_cqe& completion, int64_t stamp_ns);
  void handle_poll(uint32_t slot, const io_uring_cqe& completion, int64_t stamp_ns);
  void handle_write(uint32_t slot, int result, int64_t stamp_ns);
  void conclude_or_wait(uint32_t slot, int64_t stamp_ns);
  bool send_request_of(uint32_t slot);
  bool send_bytes(uint32_t slot, size_t bytes);
  bool arm_receive_until(uint32_t slot, int64_t look_ns);
  __kernel_timespec* timeout_of(uint32_t slot, int64_t after_ns);
  bool arm_timeout(uint32_t slot, int64_t after_ns, unsigned flags, Kind kind);
  Status arm_heartbeats();
  // What a look at the heartbeats of this connection asks for; whether its timer is needed still.
  bool serve_heartbeat(uint32_t slot, int64_t now);
  void turn_wheel();
  void handle_heartbeat_timer(uint32_t slot, bool armed_still);
  bool arm_control();

  ShardView shard_;
  std::optional<Ring> ring_;
  std::optional<BufferRing> buffers_;
  Requests requests_;
  Heartbeats heartbeats_;
  std::optional<TimerWheel> wheel_;
  std::vector<__kernel_timespec> timeouts_;  // by slot; requests point at them until submitted
  bool beating_ = false;                     // the first looks at heartbeats are set
  std::vector<char> scratch_;  // what arrives is counted, not looked at: one piece for all
  int control_ = -1;
  bool control_ready_ = false;
};

}  // namespace lastack
