// A worker process: the victims or the survivors of one shard, driven by messages.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/error.h"

namespace lastack {

// What a process of a run is: its part, and which of several. ps(1) shows it as
// "lastack: survivor 3".
struct Role {
  std::string name;
  int64_t number = 0;
};

// Starts this program again as `role`; `inherited` become its descriptors 3, 4, ... Exec, never a
// bare fork: the caller may have threads.
Result<pid_t> spawn_self(const Role& role, std::span<const int> inherited);

// In a process that was started so: its role, taken from its arguments; nullopt in any other.
std::optional<Role> own_role(int argc, char** argv);
// In the child, first thing: dies when its parent dies, and takes its name.
void become(const Role& role, pid_t parent);

// The worker's whole life; returns its exit code. Descriptors: 3 the table, 4 the channel.
int victim_worker_main();
int survivor_worker_main();

}  // namespace lastack
