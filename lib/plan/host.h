// What of a host a plan depends on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/write_path.h"
#include "plan/spec.h"

namespace lastack {

// Whether the running kernel has what a write path needs.
bool kernel_has(WriteNeed need);
// Whether its sockets take RWF_NOWAIT (FMODE_NOWAIT in sock_alloc_file; not in Linux 6.1). Where
// they do not, a write path with nowait_flag asks poll(2) for room before each write instead.
bool sockets_take_nowait();

// What the plan depends on, so that it can be tested with other hosts' values.
struct Host {
  int64_t descriptor_limit;                         // hard limit of RLIMIT_NOFILE
  std::vector<int> cpus;                            // that the process may use
  bool net_admin;                                   // over the namespace the run will be in
  bool private_network;                             // the run makes its namespaces itself
  int64_t ports;                                    // ephemeral ones, of that namespace
  std::vector<WriteNeed> missing_write_needs = {};  // that the kernel or its settings do not give
  bool multishot_timeouts = true;                   // of io_uring
  int64_t locked_bytes = INT64_MAX;                 // that rings may lock; no limit where it is far
  int64_t tcp_memory_bytes = INT64_MAX;             // that is left below the pressure mark
  bool sockets_take_nowait = true;                  // RWF_NOWAIT
  bool socket_destroy = true;                       // SOCK_DESTROY of sock_diag(7)
  std::vector<std::string> missing_sysctls = {};    // of timer_sysctls(), with their versions
};
Host this_host(const RunSpec& spec);

}  // namespace lastack
