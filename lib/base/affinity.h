// Which CPUs a process may use, and how the scheduler treats it: as the kernel says, not as asked.
#pragma once

#include <sys/types.h>

#include <span>
#include <string>
#include <vector>

#include "base/error.h"

namespace lastack {

// The CPUs that the scheduler may use for a process's first thread (0: the caller), ascending.
// Cpus_allowed_list in /proc/PID/status would count CPUs that are offline (sched_getaffinity() in
// kernel/sched/ masks with cpu_active_mask).
Result<std::vector<int>> usable_cpus(pid_t process);
// As taskset(1) prints them: "0-3,8".
std::string cpu_list(std::span<const int> cpus);
// The calling thread, and what it starts from then on.
Status pin_to(int cpu);

struct Scheduling {
  std::string policy;  // "other", "fifo", "rr", "batch", "idle", "deadline" (sched(7))
  int nice = 0;
  bool usual() const { return policy == "other" && nice == 0; }
};
Result<Scheduling> read_scheduling(pid_t process);
// The calling thread, and what it starts from then on, become SCHED_IDLE: any other thread that
// wakes on their CPU preempts them (check_preempt_wakeup() in kernel/sched/fair.c, since 6.12
// check_preempt_wakeup_fair(): "Idle tasks are by definition preempted by non-idle tasks").
Status become_idle();

}  // namespace lastack
