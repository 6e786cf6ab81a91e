// A worker process: the victims or the survivors of one shard, driven by messages.
#pragma once

#include <sys/types.h>

#include <span>
#include <string_view>

#include "base/error.h"

namespace lastack {

// Starts this program again as `role`; `inherited` become its descriptors 3, 4, ... Exec, never a
// bare fork: the caller may have threads.
Result<pid_t> spawn_self(std::string_view role, std::span<const int> inherited);

// In the child, first thing: dies when the process `parent` dies.
void die_with_parent(pid_t parent);

// The worker's whole life; returns its exit code. Descriptors: 3 the table, 4 the channel.
int victim_worker_main();
int survivor_worker_main();

}  // namespace lastack
