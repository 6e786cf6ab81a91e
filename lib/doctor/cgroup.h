// What control groups let this process have of processes and of memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/cgroup.h"

namespace lastack::doctor {

// A limit that a cgroup or one of its ancestors sets; kUnlimited: none.
struct CgroupLimit {
  std::string file;
  int64_t limit;
  std::optional<int64_t> used;  // without pages that the kernel takes back on demand
};

// Those of this cgroup and its ancestors, of both versions of control groups; without those that
// cannot be read.
std::vector<CgroupLimit> read_cgroup_process_limits(const CgroupTexts& texts);
std::vector<CgroupLimit> read_cgroup_memory_limits(const CgroupTexts& texts);

}  // namespace lastack::doctor
