#include "base/limits.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>

namespace lastack {
namespace {

struct LimitRow {
  const char* name;
  decltype(RLIMIT_NOFILE) resource;
  bool decides_size;
};
// SIGXFSZ and SIGXCPU come at the soft limit; locked memory is what rings need; a core file,
// though, is wanted by nobody who has switched it off.
constexpr LimitRow kLimits[] = {
    {"open_files", RLIMIT_NOFILE, true},
    {"memlock", RLIMIT_MEMLOCK, true},
    {"file_size", RLIMIT_FSIZE, false},
    {"cpu", RLIMIT_CPU, false},
    {"as", RLIMIT_AS, false},
    {"data", RLIMIT_DATA, false},
    {"nproc", RLIMIT_NPROC, false},
    {"stack", RLIMIT_STACK, false},
};
constexpr rlim_t kStackBytes = 8 << 20;

rlim_t wanted(const LimitRow& row, const rlimit& limit) {
  // At the hard limit the kernel sends SIGKILL, which does not tell its reason (setrlimit(2)).
  const bool may_warn = limit.rlim_max != RLIM_INFINITY && limit.rlim_max > 1;
  if (row.resource == RLIMIT_CPU && may_warn) return limit.rlim_max - 1;
  // Only a small one is raised: an unlimited stack would change where exec'ed programs put their
  // memory (mmap_is_legacy in arch/x86/mm/mmap.c).
  if (row.resource == RLIMIT_STACK)
    return std::max(limit.rlim_cur, std::min(kStackBytes, limit.rlim_max));
  return limit.rlim_max;
}

int64_t number(rlim_t limit) { return limit == RLIM_INFINITY ? -1 : static_cast<int64_t>(limit); }

}  // namespace

std::vector<Limit> read_limits() {
  std::vector<Limit> limits;
  for (const LimitRow& row : kLimits) {
    rlimit limit{};
    if (row.decides_size && getrlimit(row.resource, &limit) == 0)
      limits.push_back({row.name, number(limit.rlim_cur), number(limit.rlim_max)});
  }
  return limits;
}

Status raise_limits() {
  Status first;
  for (const LimitRow& row : kLimits) {
    rlimit limit{};
    Status failed;
    if (getrlimit(row.resource, &limit) != 0) failed = errno_error("getrlimit", row.name);
    limit.rlim_cur = wanted(row, limit);
    if (!failed && setrlimit(row.resource, &limit) != 0)
      failed = errno_error("setrlimit", fmt::format("{} to {}", row.name, number(limit.rlim_cur)));
    if (!first) first = failed;
  }
  return first;
}

}  // namespace lastack
