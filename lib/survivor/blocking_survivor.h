// The survivors of one shard, each with a thread of its own in a blocking recv(2).
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "survivor/common.h"
#include "survivor/survivor.h"

namespace lastack {

class BlockingSurvivor final : public Survivor {
 public:
  static Result<BlockingSurvivor> open(const ShardView& shard, int control);
  BlockingSurvivor(BlockingSurvivor&&) = default;  // before arm() only: threads know its address
  ~BlockingSurvivor() override { (void)end_threads(); }  // clean_up() has told

  // Starts the threads, and returns when each is about to block.
  Status arm() override;
  void hear_of_acts(std::span<const uint32_t> slots) override;
  Status run_until_control() override;
  void stop_load() override { requests_.stop(); }
  Status clean_up() override;

 private:
  // What the main thread tells the thread of one connection.
  struct Line {
    BlockingSurvivor* owner = nullptr;
    uint32_t slot = 0;
    pthread_t thread{};
    bool started = false;
    std::atomic<uint32_t> told{0};  // 1: the victim has gone
    std::atomic<bool> writing{false};
    std::atomic<int16_t> write_error{0};
  };
  struct Shared {
    std::atomic<bool> stopping{false};
    std::atomic<uint32_t> at_work{0};
    std::atomic<int> wait_error{0};  // with which a thread's poll(2) was refused
  };

  BlockingSurvivor(const ShardView& shard, int control)
      : shard_(shard), requests_(shard), control_(control) {}
  static void* thread_main(void* line);
  void survive(Line& line);
  bool stopping() const { return shared_->stopping.load(std::memory_order_acquire); }
  // Blocks until one of these, or a hang-up, is there.
  unsigned wait_for_events(const SurvivorEnd& end, short events);
  void take_write_error(Line& line, SurvivorEnd& end);
  bool send_request_of(uint32_t slot);
  Status end_threads();

  ShardView shard_;
  Requests requests_;
  int control_;
  std::unique_ptr<Shared> shared_;
  std::vector<Line> lines_;  // by slot
  std::vector<char> scratch_;
};

}  // namespace lastack
