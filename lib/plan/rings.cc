#include "plan/rings.h"

#include <algorithm>

#include "ring/ring.h"
#include "shard/ends.h"
#include "shard/establish.h"
#include "shard/limits.h"

namespace lastack {

bool has_traffic(const RunSpec& spec) {
  return spec.traffic.load != Load::idle ||
         (spec.neighbours > 0 && spec.neighbour_traffic.load != Load::idle);
}

int64_t locked_bytes(const RunSpec& spec, int64_t shards, int64_t largest_shard,
                     int64_t most_completions, int64_t page_bytes) {
  constexpr int64_t kBufferRingBytes = kReceiveBuffers * sizeof(io_uring_buf);
  const unsigned completions =
      ring_completions(static_cast<size_t>(largest_shard), has_traffic(spec) ? 2 : 1,
                       static_cast<unsigned>(most_completions));
  int64_t worker = ring_bytes(RingSetup().submission_entries, completions, page_bytes) +
                   ring_bytes(kEstablishSubmissions, kEstablishCompletions, page_bytes);
  if (std::ranges::find(spec.watches, Watch::recv_multishot) != spec.watches.end())
    worker += kBufferRingBytes;
  return 2 * shards * worker;
}

int64_t most_completions(const RunSpec& spec, int64_t shards, int64_t largest_shard,
                         int64_t locked_limit_bytes, int64_t page_bytes) {
  int64_t most = kMostCompletions;
  while (most > kFewestCompletions &&
         locked_bytes(spec, shards, largest_shard, most, page_bytes) > locked_limit_bytes / 8 * 7)
    most /= 2;
  return most;
}

}  // namespace lastack
