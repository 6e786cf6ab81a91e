// What bounds a shard, for its processes, the plan and the doctor.
#pragma once

#include <cstdint>

namespace lastack {

// Of a shard, each on a port of its own.
constexpr int64_t kMostListeners = 64;

// Descriptors of a worker that are no connection: rings, control, table, listeners, standard ones.
constexpr int64_t kReservedDescriptors = 128;

// The stack of a connection's thread (--watch blocking).
constexpr int64_t kThreadStackBytes = 64 * 1024;

// Buffers that a survivor's multishot receives share; their ring is locked memory.
constexpr unsigned kReceiveBuffers = 4096;

}  // namespace lastack
