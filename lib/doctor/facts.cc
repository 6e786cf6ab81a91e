#include "doctor/facts.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/kernel_config.h"
#include "base/parse.h"
#include "net/tcp_memory.h"
#include "ring/ring.h"

namespace lastack::doctor {
namespace {

constexpr SysctlRow kSysctls[] = {
    {"fs.nr_open", &SysctlValues::nr_open},
    {"fs.file-max", &SysctlValues::file_max},
    {"fs.file-nr", &SysctlValues::files_in_use},  // the first of its numbers
    {"kernel.io_uring_disabled", &SysctlValues::io_uring_disabled},
    {"kernel.io_uring_group", &SysctlValues::io_uring_group},
    {"user.max_user_namespaces", &SysctlValues::max_user_namespaces},
    {"user.max_net_namespaces", &SysctlValues::max_net_namespaces},
    {"kernel.unprivileged_userns_clone", &SysctlValues::unprivileged_userns_clone},
    {"kernel.apparmor_restrict_unprivileged_userns", &SysctlValues::apparmor_restrict_userns},
    {"net.ipv4.tcp_max_orphans", &SysctlValues::max_orphans},
    {"net.ipv4.tcp_max_tw_buckets", &SysctlValues::max_tw_buckets},
    {"net.netfilter.nf_conntrack_max", &SysctlValues::conntrack_max},
    {"net.netfilter.nf_conntrack_count", &SysctlValues::conntrack_count},
};

SysctlValues read_sysctl_values() {
  SysctlValues values;
  for (const SysctlRow& row : sysctl_rows()) {
    std::string path = "/proc/sys/" + std::string(row.name);
    std::replace(path.begin(), path.end(), '.', '/');
    values.*row.value = leading_count(read_first_line(path));
  }
  return values;
}

int64_t limit_value(rlim_t limit) {
  // RLIM_INFINITY is the largest unsigned number.
  return limit > static_cast<rlim_t>(kUnlimited) ? kUnlimited : static_cast<int64_t>(limit);
}

void read_trial(bool host_network, HostFacts& facts) {
  const Result<Trial> tried = try_in_child(host_network);
  facts.trial = tried ? *tried : trial_from_here();
  if (!tried) facts.untried = tried.error();
  // Not before it is known to be harmless: a filter may kill whoever asks for a ring.
  if (tried && facts.trial.ring_error == 0 && facts.trial.enter_error == 0)
    facts.ring_features = probe_ring_features();
}

}  // namespace

std::span<const SysctlRow> sysctl_rows() { return kSysctls; }

ProcessLimits read_process_limits() {
  struct Row {
    decltype(RLIMIT_NOFILE) resource;
    rlim_t rlimit::*side;
    int64_t ProcessLimits::*value;
  };
  constexpr Row kLimits[] = {
      {RLIMIT_NOFILE, &rlimit::rlim_max, &ProcessLimits::open_files_hard},
      {RLIMIT_NPROC, &rlimit::rlim_cur, &ProcessLimits::processes},
      {RLIMIT_FSIZE, &rlimit::rlim_cur, &ProcessLimits::file_bytes},
      {RLIMIT_AS, &rlimit::rlim_cur, &ProcessLimits::address_space_bytes},
      {RLIMIT_DATA, &rlimit::rlim_cur, &ProcessLimits::data_bytes},
      {RLIMIT_CPU, &rlimit::rlim_cur, &ProcessLimits::cpu_s},
      {RLIMIT_MEMLOCK, &rlimit::rlim_cur, &ProcessLimits::locked_bytes},
  };
  ProcessLimits limits;
  for (const Row& row : kLimits) {
    rlimit limit{};
    getrlimit(row.resource, &limit);
    limits.*row.value = limit_value(limit.*row.side);
  }
  return limits;
}

HostMemory host_memory_of(std::string_view meminfo) {
  return {bytes_of(meminfo, "MemAvailable"), bytes_of(meminfo, "SwapFree")};
}

HostFacts read_host_facts(const RunSpec& spec) {
  HostFacts facts;
  facts.host = this_host(spec);
  read_trial(spec.host_network, facts);
  facts.sysctls = read_sysctl_values();
  facts.limits = read_process_limits();
  facts.rights = read_rights();
  facts.tasks_of_user = tasks_of_user("/proc", facts.rights.user);
  const CgroupTexts cgroups = read_cgroup_texts();
  facts.process_limits = read_cgroup_process_limits(cgroups);
  facts.memory_limits = read_cgroup_memory_limits(cgroups);
  facts.quotas = read_cpu_quotas(cgroups);
  facts.memory = host_memory_of(read_text("/proc/meminfo"));
  const std::string status = read_text("/proc/self/status");
  facts.mapped_bytes = bytes_of(status, "VmSize");
  facts.data_bytes = bytes_of(status, "VmData");
  facts.tcp_memory_bytes = tcp_memory_bytes();
  facts.tcp_pressure_bytes = tcp_memory_pressure_bytes();
  facts.load = measure_host_load();
  facts.kernel_release = kernel_release();
  facts.page_bytes = sysconf(_SC_PAGESIZE);
  facts.online_cpus = sysconf(_SC_NPROCESSORS_ONLN);
  return facts;
}

}  // namespace lastack::doctor
