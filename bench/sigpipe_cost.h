// What each way to avoid SIGPIPE costs in CPU, side by side.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace lastack {

// CPU of the writing thread for 1,000 writes, one value a round, in the order of the rounds.
struct SigpipeCost {
  std::string_view way;
  std::vector<int64_t> live_ns;  // the peer takes everything
  std::vector<int64_t> dead_ns;  // every write fails with EPIPE; where the way writes at all
  uint64_t signals = 0;          // that the process got, in all rounds
  uint64_t collected = 0;        // that it took from the pending ones
};

// The ways take turns in every round, each round starting with another one.
Result<std::vector<SigpipeCost>> measure_sigpipe_costs(int64_t rounds);

}  // namespace lastack
