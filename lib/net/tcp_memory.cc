#include "net/tcp_memory.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/file.h"

namespace lastack {

std::optional<int64_t> tcp_memory_bytes() {
  // "TCP: inuse 5 orphan 0 tw 0 alloc 6 mem 1", in pages.
  const auto text = read_file("/proc/net/sockstat");
  const size_t line = text ? text->find("TCP:") : std::string::npos;
  const size_t at = line == std::string::npos ? line : text->find(" mem ", line);
  if (at == std::string::npos) return std::nullopt;
  return std::atoll(text->c_str() + at + 5) * sysconf(_SC_PAGESIZE);
}

int64_t tcp_memory_pressure_bytes() {
  const std::string text = read_first_line("/proc/sys/net/ipv4/tcp_mem");
  long long pages = 0;
  if (std::sscanf(text.c_str(), "%*d %lld", &pages) != 1) pages = sysconf(_SC_PHYS_PAGES) / 16;
  return pages * sysconf(_SC_PAGESIZE);
}

}  // namespace lastack
