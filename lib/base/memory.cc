#include "base/memory.h"

#include <fmt/format.h>

#include <cstdlib>
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

}  // namespace lastack
