// The environment manifest: what a reader has to know of a host, its kernel and this build before
// believing that two runs may be compared.
#pragma once

#include <sys/resource.h>
#include <sys/utsname.h>

#include <array>
#include <ctime>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/cgroup.h"
#include "base/kernel_config.h"
#include "ledger/result.h"

namespace lastack {

// What is read of a host, as it was read.
struct EnvironmentFacts {
  std::map<std::string, std::string, std::less<>> files;  // by path; "" or absent: not to be read
  std::map<std::string, std::string> mitigations;         // states, by vulnerability
  std::time_t now_s = 0;
  utsname kernel{};
  bool privileged = false;
  KernelConfig config;
  std::optional<std::vector<int>> usable_cpus;
  long online_cpus = -1;
  std::string hypervisor_signature;  // whatever the CPU answers, also where there is none
  CpuQuotas quotas;
  std::optional<rlim_t> open_files_soft, open_files_hard, memlock_bytes;
  std::string liburing;
  std::map<std::string, bool> ring_features;
  std::vector<std::string> container_markers;  // files that are there
  std::optional<std::array<double, 3>> load_average;
};
EnvironmentFacts read_environment_facts();
// The manifest that follows from them alone.
nlohmann::ordered_json environment_of(const EnvironmentFacts& facts, const RunResult& result);

// What the host is, as one JSON object. A fact that cannot be read is null. To be called outside
// the run's namespaces: inside, the limits and `privileged` would be those of the namespace.
nlohmann::ordered_json describe_environment(const RunResult& result);

// Version and commit of this build, for --version.
std::string build_version();

}  // namespace lastack
