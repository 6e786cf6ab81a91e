// What of a host the doctor examines: plain values, as they were read at one time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/cgroup.h"
#include "base/error.h"
#include "base/host_load.h"
#include "base/proc.h"
#include "doctor/cgroup.h"
#include "doctor/rights.h"
#include "doctor/trial.h"
#include "plan/host.h"

namespace lastack::doctor {

// nullopt: this kernel or this network namespace has none, or it cannot be read.
struct SysctlValues {
  std::optional<int64_t> nr_open, file_max, files_in_use;
  std::optional<int64_t> io_uring_disabled, io_uring_group;
  std::optional<int64_t> max_user_namespaces, max_net_namespaces;
  std::optional<int64_t> unprivileged_userns_clone, apparmor_restrict_userns;
  std::optional<int64_t> max_orphans, max_tw_buckets;
  std::optional<int64_t> conntrack_max, conntrack_count;
};
struct SysctlRow {
  std::string_view name;
  std::optional<int64_t> SysctlValues::*value;
};
std::span<const SysctlRow> sysctl_rows();

// Limits of this process (setrlimit(2)), the soft ones; kUnlimited: none.
struct ProcessLimits {
  int64_t open_files_hard = kUnlimited;
  int64_t processes = kUnlimited;
  int64_t file_bytes = kUnlimited;
  int64_t address_space_bytes = kUnlimited;
  int64_t data_bytes = kUnlimited;
  int64_t cpu_s = kUnlimited;
  int64_t locked_bytes = kUnlimited;
};
ProcessLimits read_process_limits();

// Of /proc/meminfo.
struct HostMemory {
  std::optional<int64_t> available_bytes, swap_free_bytes;
};
HostMemory host_memory_of(std::string_view meminfo);

struct HostFacts {
  Host host;  // what a plan depends on
  SysctlValues sysctls;
  ProcessLimits limits;
  Rights rights;
  std::optional<int64_t> tasks_of_user;
  std::vector<CgroupLimit> process_limits, memory_limits;  // of control groups
  HostMemory memory;
  // Mapped by this process now, all of it and the private data.
  std::optional<int64_t> mapped_bytes, data_bytes;
  std::optional<int64_t> tcp_memory_bytes;  // in use
  int64_t tcp_pressure_bytes = 0;
  CpuQuotas quotas;
  HostLoad load;
  std::string kernel_release;
  int64_t page_bytes = 4096;
  int64_t online_cpus = 1;
  Status untried;  // why nothing could be tried
  Trial trial;     // without a child process what can be seen from here
  std::map<std::string, bool> ring_features;
};

// Changes nothing: what has to be tried is tried in a child process, of what the spec asks for.
// The caller must have one thread, as it forks.
HostFacts read_host_facts(const RunSpec& spec);

}  // namespace lastack::doctor
