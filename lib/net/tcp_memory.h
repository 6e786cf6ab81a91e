// The memory that the kernel lends to the queues of all TCP sockets of the host together (tcp(7)).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace lastack {

// In use now: "mem" of /proc/net/sockstat (tcp_memory_allocated), which counts pages; nullopt when
// nothing tells.
std::optional<int64_t> parse_tcp_memory_pages(std::string_view sockstat);
std::optional<int64_t> tcp_memory_bytes();

// The mark from which on the kernel saves memory: the second figure of net.ipv4.tcp_mem. Windows
// are no longer what sockets advertised then, and need not shut (__tcp_select_window,
// tcp_try_rmem_schedule). Only the host's first network namespace shows the sysctl, and it holds
// for all; elsewhere it is what the kernel computes at boot, a sixteenth of the memory
// (tcp_init_mem).
int64_t tcp_memory_pressure_bytes();

}  // namespace lastack
