#include "base/memory.h"

#include <fmt/format.h>

#include <cstdlib>
#include <sstream>
#include <string_view>

#include "base/file.h"

namespace lastack {

Result<int64_t> read_process_memory(pid_t process) {
  const std::string path = fmt::format("/proc/{}/smaps_rollup", process);
  const auto text = read_file(path);
  if (!text) return text.error();
  int64_t sum_kib = 0;
  for (const std::string_view name : {"Pss_Anon:", "Pss_Shmem:"}) {
    const size_t at = text->find(name);
    if (at == std::string::npos) return plain_error(path + " has no " + std::string(name));
    sum_kib += std::atoll(text->c_str() + at + name.size());
  }
  return sum_kib * 1024;
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
