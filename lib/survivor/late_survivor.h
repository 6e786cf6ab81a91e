// Survivors that make no call on their sockets until their next write: an application that only
// sends, and learns by the errors of its writes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "survivor/common.h"
#include "survivor/survivor.h"

namespace lastack {

class LateSurvivor final : public Survivor {
 public:
  static Result<LateSurvivor> open(const ShardView& shard, int control);

  Status arm() override;
  void hear_of_acts(std::span<const uint32_t> slots) override;
  Status run_until_control() override;
  void stop_load() override { stopped_ = true; }
  Status clean_up() override { return close_abortively(shard_), Status(); }

 private:
  struct Write {
    int64_t due_ns;
    uint32_t slot;
  };

  LateSurvivor(const ShardView& shard, int control) : shard_(shard), control_(control) {}
  // All waits are equally long, so that the order of asking is the order of the instants.
  void schedule(uint32_t slot, int64_t from_ns);
  bool write_one(uint32_t slot);  // whether it failed
  void write_due(int64_t now);

  ShardView shard_;
  int control_;
  bool stopped_ = false;
  std::vector<Write> queue_;  // a circle with room for every connection once
  size_t first_ = 0, count_ = 0;
  std::vector<char> scratch_;
};

}  // namespace lastack
