#include "base/affinity.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>

#include <array>
#include <cerrno>

namespace lastack {
namespace {

// A cpu_set_t holds 1,024; x86 can be built for 8,192 (NR_CPUS), and a set that is too small is
// EINVAL (sched_setaffinity(2)).
using CpuSet = std::array<cpu_set_t, 8>;
constexpr int kMostCpus = 8 * CPU_SETSIZE;

}  // namespace

Result<std::vector<int>> usable_cpus(pid_t process) {
  CpuSet set{};
  if (sched_getaffinity(process, sizeof set, set.data()) != 0)
    return errno_error("sched_getaffinity", fmt::format("process {}", process));
  std::vector<int> cpus;
  for (int cpu = 0; cpu < kMostCpus; ++cpu)
    if (CPU_ISSET_S(cpu, sizeof set, set.data())) cpus.push_back(cpu);
  return cpus;
}

std::string cpu_list(std::span<const int> cpus) {
  std::string list;
  for (size_t i = 0; i < cpus.size(); ++i) {
    const int first = cpus[i];
    while (i + 1 < cpus.size() && cpus[i + 1] == cpus[i] + 1) ++i;
    if (!list.empty()) list += ',';
    list += first == cpus[i] ? fmt::format("{}", first) : fmt::format("{}-{}", first, cpus[i]);
  }
  return list;
}

Status pin_to(int cpu) {
  CpuSet set{};
  if (cpu < 0 || cpu >= kMostCpus)
    return make_error("sched_setaffinity", EINVAL, fmt::format("CPU {}", cpu));
  CPU_SET_S(cpu, sizeof set, set.data());
  if (sched_setaffinity(0, sizeof set, set.data()) != 0)
    return errno_error("sched_setaffinity", fmt::format("CPU {}", cpu));
  return std::nullopt;
}

Status become_idle() {
  const sched_param none{};
  if (sched_setscheduler(0, SCHED_IDLE, &none) != 0)
    return errno_error("sched_setscheduler", "SCHED_IDLE");
  return std::nullopt;
}

Result<Scheduling> read_scheduling(pid_t process) {
  constexpr const char* kPolicies[] = {"other", "fifo", "rr", "batch", "iso", "idle", "deadline"};
  const int policy = sched_getscheduler(process) & ~SCHED_RESET_ON_FORK;
  if (policy < 0) return errno_error("sched_getscheduler", fmt::format("process {}", process));
  Scheduling scheduling;
  scheduling.policy = static_cast<size_t>(policy) < std::size(kPolicies)
                          ? kPolicies[policy]
                          : fmt::format("{}", policy);
  errno = 0;  // -1 is a priority, too
  scheduling.nice = getpriority(PRIO_PROCESS, static_cast<id_t>(process));
  if (errno != 0) return errno_error("getpriority", fmt::format("process {}", process));
  return scheduling;
}

}  // namespace lastack
