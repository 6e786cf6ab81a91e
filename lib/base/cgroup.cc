#include "base/cgroup.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"

namespace lastack {
namespace {

constexpr std::string_view kControllers[] = {"cpu", ""};  // of v1, and v2

// The process's path in the hierarchy of this controller ("" is v2), from /proc/self/cgroup:
// "4:memory:/user" or "0::/user" (cgroups(7)).
std::optional<std::string_view> cgroup_path(std::string_view membership,
                                            std::string_view controller) {
  for (const std::string_view line : split(membership, '\n')) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const auto names = split(line.substr(first + 1, second - first - 1), ',');
    const bool found = controller.empty()
                           ? names.empty()
                           : std::find(names.begin(), names.end(), controller) != names.end();
    if (found) return line.substr(second + 1);
  }
  return std::nullopt;
}

struct CgroupPlace {
  std::string mount_point;
  std::string directory;  // of the process's own cgroup, below the mount point
};

// Where that hierarchy is mounted, from /proc/self/mountinfo (proc(5)): "32 31 0:29 ROOT POINT
// OPTIONS ... - TYPE SOURCE OPTIONS". In a container ROOT is the container's own cgroup.
std::optional<CgroupPlace> cgroup_place(const CgroupTexts& texts, std::string_view controller) {
  const auto path = cgroup_path(texts.membership, controller);
  if (!path) return std::nullopt;
  for (const std::string_view line : split(texts.mounts, '\n')) {
    const size_t dash = line.find(" - ");
    if (dash == std::string_view::npos) continue;
    const auto before = split(line.substr(0, dash), ' '), after = split(line.substr(dash + 3), ' ');
    if (before.size() < 5 || after.size() < 3) continue;
    const auto options = split(after[2], ',');
    const bool found = controller.empty()
                           ? after[0] == "cgroup2"
                           : after[0] == "cgroup" && std::find(options.begin(), options.end(),
                                                               controller) != options.end();
    if (!found) continue;
    const std::string_view root = before[3] == "/" ? "" : before[3];
    std::string_view below;
    if (path->starts_with(root)) below = path->substr(root.size());
    if (!below.starts_with('/')) below = {};  // root is "/ab", and path "/abc"
    return CgroupPlace{std::string(before[4]),
                       fmt::format("{}{}", before[4], below == "/" ? "" : below)};
  }
  return std::nullopt;
}

// The number behind "throttled_usec 12" (v2) or "throttled_time 12000" (v1, nanoseconds).
int64_t throttled_ns(std::string_view stat) {
  constexpr std::pair<std::string_view, int64_t> kKeys[] = {{"throttled_usec ", kMicrosecond_ns},
                                                            {"throttled_time ", 1}};
  for (const std::string_view line : split(stat, '\n'))
    for (const auto& [key, unit_ns] : kKeys)
      if (line.starts_with(key))
        return leading_count(line.substr(key.size())).value_or(0) * unit_ns;
  return 0;
}

}  // namespace

CgroupTexts read_cgroup_texts() {
  return {read_text("/proc/self/cgroup"), read_text("/proc/self/mountinfo")};
}

std::vector<std::string> cgroup_directories(const CgroupTexts& texts, std::string_view controller) {
  std::vector<std::string> directories;
  const auto place = cgroup_place(texts, controller);
  if (!place) return directories;
  std::string directory = place->directory;
  while (directory.size() >= place->mount_point.size()) {
    directories.push_back(directory);
    const size_t parent = directory.rfind('/');
    if (parent == std::string::npos) break;
    directory.resize(parent);
  }
  return directories;
}

std::optional<double> cpus_of_quota(std::string_view quota_us, std::string_view period_us) {
  const auto quota = leading_count(quota_us), period = leading_count(period_us);
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

CpuQuotas read_cpu_quotas(const CgroupTexts& texts) {
  CpuQuotas quotas;
  for (const std::string_view controller : kControllers)
    for (const std::string& directory : cgroup_directories(texts, controller)) {
      const bool first_version = !controller.empty();
      const std::string file =
          fmt::format("{}/{}", directory, first_version ? "cpu.cfs_quota_us" : "cpu.max");
      const std::string line = read_first_line(file);
      quotas.known = quotas.known || first_version || !line.empty();
      const auto words = split(line, ' ');
      if (words.empty()) continue;
      const auto cpus = cpus_of_quota(
          words.front(),
          first_version ? read_first_line(directory + "/cpu.cfs_period_us") : words.back());
      if (cpus && (!quotas.tightest || *cpus < quotas.tightest->cpus))
        quotas.tightest = CpuQuota{*cpus, file};
    }
  return quotas;
}

int64_t read_throttled_ns() {
  const CgroupTexts texts = read_cgroup_texts();
  int64_t sum_ns = 0;
  for (const std::string_view controller : kControllers)
    for (const std::string& directory : cgroup_directories(texts, controller))
      sum_ns += throttled_ns(read_text(directory + "/cpu.stat"));
  return sum_ns;
}

}  // namespace lastack
