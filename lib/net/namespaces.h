// A private user + network namespace: an ordinary user may do in it what needs an administrator
// outside, and nothing of it touches the host (user_namespaces(7), network_namespaces(7)).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace lastack {

// Moves the calling process, which must have one thread, into new namespaces where it is root,
// and brings loopback up. The namespaces end with their last process.
Status enter_private_namespaces();

// A sysctl by its path below /proc/sys ("net/ipv4/tcp_retries2").
struct Sysctl {
  std::string name;
  std::string value;
};
// What a run sets in its own namespace so that hosts with other defaults measure the same thing.
const std::vector<Sysctl>& private_sysctls();
// Writes and reads back all of them; the Error is of the first that is not as it should be.
std::string sysctl_path(std::string_view name);
Status write_sysctls(const std::vector<Sysctl>& sysctls);
// The TCP settings that change how connections end, as the calling process sees them; a setting
// that this kernel lacks is left out.
std::vector<Sysctl> read_tcp_sysctls();

// First and last ephemeral port: of a private namespace, and of the one the process is in.
constexpr std::pair<int, int> kPrivatePortRange = {1024, 65535};
std::pair<int, int> read_port_range();

// Whether the process may act as CAP_NET_ADMIN over its network namespace: tried, not guessed.
bool has_net_admin();

}  // namespace lastack
