// The rings of a run's workers, and what they lock of memory.
#pragma once

#include <cstdint>

#include "plan/spec.h"

namespace lastack {

// Of the mix, or of the neighbours.
bool has_traffic(const RunSpec& spec);

// A completion queue that cannot hold all at once costs time, for the kernel keeps the rest in a
// list (IORING_FEAT_NODROP), but loses nothing. Below this a ring is hardly one.
constexpr int64_t kFewestCompletions = 1024;

// Of the rings of all workers, those that establish included, which the kernel gives back in its
// own time. Completion queues have at most so many entries.
int64_t locked_bytes(const RunSpec& spec, int64_t shards, int64_t largest_shard,
                     int64_t most_completions, int64_t page_bytes);
// The largest completion queues with which all of them fit into so much locked memory, with some
// of it left to the user's other programs; kFewestCompletions where none do.
int64_t most_completions(const RunSpec& spec, int64_t shards, int64_t largest_shard,
                         int64_t locked_limit_bytes, int64_t page_bytes);

}  // namespace lastack
