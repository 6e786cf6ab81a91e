#include "doctor/cgroup.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <string_view>

#include "base/file.h"
#include "base/proc.h"

namespace lastack::doctor {
namespace {

// The files of one controller: cgroup v1 (cgroup-v1/*.rst), cgroup v2 (cgroup-v2.rst).
struct CgroupFiles {
  std::string_view controller;
  std::string_view limit;
  std::string_view usage;
  // Keys of memory.stat for pages that the kernel takes back on demand. With v2 that file lies
  // beside those of other controllers.
  std::array<std::string_view, 2> cache = {};
};
constexpr CgroupFiles kProcesses[] = {{"pids", "pids.max", "pids.current"},
                                      {"", "pids.max", "pids.current"}};
constexpr CgroupFiles kMemory[] = {
    {"memory",
     "memory.limit_in_bytes",
     "memory.usage_in_bytes",
     {"total_inactive_file", "total_active_file"}},
    {"", "memory.max", "memory.current", {"inactive_file", "active_file"}}};

std::optional<CgroupLimit> read_limit(const std::string& directory, const CgroupFiles& files) {
  const std::string file = fmt::format("{}/{}", directory, files.limit);
  const auto limit = limit_of(read_first_line(file));
  if (!limit) return std::nullopt;
  // v1 writes "no limit" as the largest number of whole pages.
  if (*limit > kUnlimited / 2) return CgroupLimit{file, kUnlimited, std::nullopt};
  auto used = limit_of(read_first_line(fmt::format("{}/{}", directory, files.usage)));
  if (used) {
    const std::string stat = read_text(directory + "/memory.stat");
    int64_t cache = 0;
    for (const std::string_view key : files.cache)
      if (!key.empty()) cache += number_of(stat, key, ' ').value_or(0);
    *used -= std::min(cache, *used);
  }
  return CgroupLimit{file, *limit, used};
}

std::vector<CgroupLimit> limits_in(const CgroupTexts& texts,
                                   std::span<const CgroupFiles> versions) {
  std::vector<CgroupLimit> limits;
  for (const CgroupFiles& files : versions)
    for (const std::string& directory : cgroup_directories(texts, files.controller))
      if (auto limit = read_limit(directory, files)) limits.push_back(std::move(*limit));
  return limits;
}

}  // namespace

std::vector<CgroupLimit> read_cgroup_process_limits(const CgroupTexts& texts) {
  return limits_in(texts, kProcesses);
}

std::vector<CgroupLimit> read_cgroup_memory_limits(const CgroupTexts& texts) {
  return limits_in(texts, kMemory);
}

}  // namespace lastack::doctor
