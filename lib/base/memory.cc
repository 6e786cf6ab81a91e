#include "base/memory.h"

#include <fmt/format.h>

#include <sstream>
#include <string_view>

#include "base/file.h"
#include "base/proc.h"

namespace lastack {

Result<int64_t> read_process_memory(pid_t process) {
  const std::string path = fmt::format("/proc/{}/smaps_rollup", process);
  const auto text = read_file(path);
  if (!text) return text.error();
  int64_t sum = 0;
  for (const std::string_view name : {"Pss_Anon", "Pss_Shmem"}) {
    const auto bytes = bytes_of(*text, name);
    if (!bytes) return plain_error(fmt::format("{} has no {}:", path, name));
    sum += *bytes;
  }
  return sum;
}

std::vector<pid_t> children_of(pid_t process) {
  std::vector<pid_t> children;
  const auto text = read_file(fmt::format("/proc/{0}/task/{0}/children", process));
  if (!text) return children;
  std::istringstream words(*text);
  for (pid_t child; words >> child;) children.push_back(child);
  return children;
}

}  // namespace lastack
