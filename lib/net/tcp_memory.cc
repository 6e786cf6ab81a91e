#include "net/tcp_memory.h"

#include <unistd.h>

#include <cstdio>
#include <string>

#include "base/file.h"
#include "base/parse.h"

namespace lastack {

std::optional<int64_t> parse_tcp_memory_pages(std::string_view sockstat) {
  constexpr std::string_view kName = " mem ";
  for (const std::string_view line : split(sockstat, '\n')) {
    // "TCP: inuse 5 orphan 0 tw 0 alloc 6 mem 1"
    const size_t at = line.starts_with("TCP:") ? line.find(kName) : std::string_view::npos;
    if (at != std::string_view::npos) return leading_count(line.substr(at + kName.size()));
  }
  return std::nullopt;
}

std::optional<int64_t> tcp_memory_bytes() {
  // thread-self: /proc/net is not there where only processes are shown (subset=pid, proc(5)).
  const auto pages = parse_tcp_memory_pages(read_text("/proc/thread-self/net/sockstat"));
  if (!pages) return std::nullopt;
  return *pages * sysconf(_SC_PAGESIZE);
}

int64_t tcp_memory_pressure_bytes() {
  const std::string text = read_first_line("/proc/sys/net/ipv4/tcp_mem");
  long long pages = 0;
  if (std::sscanf(text.c_str(), "%*d %lld", &pages) != 1) pages = sysconf(_SC_PHYS_PAGES) / 16;
  return pages * sysconf(_SC_PAGESIZE);
}

}  // namespace lastack
