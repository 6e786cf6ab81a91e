#include "base/limits.h"

#include <fmt/format.h>
#include <sys/resource.h>

namespace lastack {
namespace {

struct LimitRow {
  const char* name;
  decltype(RLIMIT_NOFILE) resource;
};
// Rings need locked memory.
constexpr LimitRow kLimits[] = {{"open_files", RLIMIT_NOFILE}, {"memlock", RLIMIT_MEMLOCK}};

int64_t number(rlim_t limit) { return limit == RLIM_INFINITY ? -1 : static_cast<int64_t>(limit); }

}  // namespace

std::vector<Limit> read_limits() {
  std::vector<Limit> limits;
  for (const LimitRow& row : kLimits) {
    rlimit limit{};
    if (getrlimit(row.resource, &limit) == 0)
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
    limit.rlim_cur = limit.rlim_max;
    if (!failed && setrlimit(row.resource, &limit) != 0)
      failed = errno_error("setrlimit", fmt::format("{} to {}", row.name, number(limit.rlim_max)));
    if (!first) first = failed;
  }
  return first;
}

}  // namespace lastack
