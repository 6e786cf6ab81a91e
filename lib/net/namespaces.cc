#include "net/namespaces.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/file.h"
#include "net/socket.h"
#include "net/veth.h"

namespace lastack {
namespace {

// Without the line's end, and with blanks between numbers, where the kernel has tabs.
Result<std::string> read_sysctl(const std::string& name) {
  auto value = read_file(sysctl_path(name));
  if (!value) return value;
  std::replace(value->begin(), value->end(), '\t', ' ');
  if (value->ends_with('\n')) value->pop_back();
  return value;
}

}  // namespace

Status enter_private_namespaces() {
  const uid_t user = geteuid();
  const gid_t group = getegid();
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
    return errno_error("unshare", "user and network namespace");
  // A group may be mapped only after setgroups() was given up (user_namespaces(7)).
  if (const Status failed = write_existing_file("/proc/self/setgroups", "deny")) return failed;
  if (const Status failed = write_existing_file("/proc/self/uid_map", fmt::format("0 {} 1", user)))
    return failed;
  if (const Status failed = write_existing_file("/proc/self/gid_map", fmt::format("0 {} 1", group)))
    return failed;
  return bring_up("lo");
}

const std::vector<Sysctl>& private_sysctls() {
  static const std::vector<Sysctl> kSysctls = {
      {"net/ipv4/ip_local_port_range",
       fmt::format("{} {}", kPrivatePortRange.first, kPrivatePortRange.second)},
      {"net/ipv4/tcp_rmem", "4096 131072 6291456"},
      {"net/ipv4/tcp_wmem", "4096 16384 4194304"},
      {"net/ipv4/tcp_max_syn_backlog", "65536"},
      // A killed run leaves orphans that try to send their FIN; two retries and they are gone. Not
      // one: on loopback a zero-window probe is answered before it is counted (tcp_send_probe0), so
      // that one would be the limit for an orphan whose peer is alive and only slow.
      {"net/ipv4/tcp_orphan_retries", "2"},
  };
  return kSysctls;
}

std::string sysctl_path(std::string_view name) { return fmt::format("/proc/sys/{}", name); }

Status write_sysctls(const std::vector<Sysctl>& sysctls) {
  // All of them, whatever becomes of one: the first that did not become what it should is told.
  Status first;
  for (const Sysctl& sysctl : sysctls) {
    Status failed = write_existing_file(sysctl_path(sysctl.name), sysctl.value);
    const auto had = failed ? Result<std::string>(*failed) : read_sysctl(sysctl.name);
    if (!had) failed = had.error();
    if (had && *had != sysctl.value)
      failed = plain_error(
          fmt::format("{} is '{}' after '{}' was written", sysctl.name, *had, sysctl.value));
    if (!first) first = failed;
  }
  return first;
}

std::vector<Sysctl> read_tcp_sysctls() {
  constexpr const char* kNames[] = {"ip_local_port_range",
                                    "tcp_abort_on_overflow",
                                    "tcp_autocorking",
                                    "tcp_challenge_ack_limit",
                                    "tcp_congestion_control",
                                    "tcp_early_retrans",
                                    "tcp_fastopen",
                                    "tcp_fin_timeout",
                                    "tcp_frto",
                                    "tcp_keepalive_intvl",
                                    "tcp_keepalive_probes",
                                    "tcp_keepalive_time",
                                    "tcp_max_orphans",
                                    "tcp_max_syn_backlog",
                                    "tcp_max_tw_buckets",
                                    "tcp_mem",
                                    "tcp_min_rtt_wlen",
                                    "tcp_notsent_lowat",
                                    "tcp_orphan_retries",
                                    "tcp_recovery",
                                    "tcp_retries1",
                                    "tcp_retries2",
                                    "tcp_rfc1337",
                                    "tcp_rmem",
                                    "tcp_rto_max_ms",
                                    "tcp_rto_min_us",
                                    "tcp_sack",
                                    "tcp_syn_retries",
                                    "tcp_syncookies",
                                    "tcp_synack_retries",
                                    "tcp_thin_linear_timeouts",
                                    "tcp_timestamps",
                                    "tcp_tw_reuse",
                                    "tcp_window_scaling",
                                    "tcp_wmem"};
  std::vector<Sysctl> sysctls;
  const auto read = [&](std::string name) {
    // Some are newer than some kernels.
    if (auto value = read_sysctl(name)) sysctls.push_back({std::move(name), std::move(*value)});
  };
  for (const char* name : kNames) read(fmt::format("net/ipv4/{}", name));
  read("net/core/somaxconn");
  return sysctls;
}

std::pair<int, int> read_port_range() {
  int first = 32768, last = 60999;  // the kernel's defaults (ip-sysctl.rst)
  std::sscanf(read_first_line("/proc/sys/net/ipv4/ip_local_port_range").c_str(), "%d %d", &first,
              &last);
  return {first, last};
}

bool has_net_admin() {
  const auto socket = open_socket(Family::inet);
  return socket && !set_option(socket->get(), Option::repair, 1);
}

}  // namespace lastack
