// What a process's memory costs the host.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "base/error.h"

namespace lastack {

// Anonymous and shared memory of a process, in bytes; shared pages count by their share (PSS).
// From /proc/PID/smaps_rollup, which only the process itself, its user in the same user namespace
// or a parent namespace, and root may read (proc_pid_smaps(5)).
Result<int64_t> read_process_memory(pid_t process);
// The processes that this one has started and not reaped, as far as the kernel tells
// (CONFIG_PROC_CHILDREN); of a process with one thread.
std::vector<pid_t> children_of(pid_t process);

}  // namespace lastack
