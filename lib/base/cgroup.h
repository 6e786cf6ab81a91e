// Control groups of this process, of either version: where their files are, and its CPU quota.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lastack {

// Where the control groups of a process are: /proc/self/cgroup and /proc/self/mountinfo.
struct CgroupTexts {
  std::string membership;
  std::string mounts;
};
CgroupTexts read_cgroup_texts();

// The directories of this process's cgroup and its ancestors in the hierarchy of a controller ("":
// cgroup v2), the own one first; none when that hierarchy is not mounted. Each of them may set a
// limit (cgroups(7)). In a container the container's own cgroup is the last.
std::vector<std::string> cgroup_directories(const CgroupTexts& texts, std::string_view controller);

// How much of the CPUs a cgroup may use: sched-bwc.rst for v1, cgroup-v2.rst.
struct CpuQuota {
  double cpus;       // 0.1: a tenth of one CPU
  std::string file;  // that sets it
};
// What "cpu.max" of v2 says ("10000 100000", "max 100000"), and "cpu.cfs_quota_us" of v1 with its
// "cpu.cfs_period_us" ("-1", "10000"); nullopt: no quota.
std::optional<double> cpus_of_quota(std::string_view quota_us, std::string_view period_us);

struct CpuQuotas {
  bool known = false;                // a hierarchy with the CPU controller is mounted
  std::optional<CpuQuota> tightest;  // of this cgroup and its ancestors
};
CpuQuotas read_cpu_quotas(const CgroupTexts& texts = read_cgroup_texts());
// For how long CPUs were taken from one of these cgroups because its quota was used up, since it
// was made, summed over CPUs and cgroups (cpu.stat); 0 where nothing tells.
int64_t read_throttled_ns();

}  // namespace lastack
