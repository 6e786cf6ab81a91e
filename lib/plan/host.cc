#include "plan/host.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>

#include "base/affinity.h"
#include "base/file.h"
#include "net/namespaces.h"
#include "net/sock_diag.h"
#include "net/tcp_memory.h"
#include "ring/ring.h"

namespace lastack {
namespace {

// Whether a write with this flag of pwritev2(2) goes through on a socket.
bool sockets_take(uint32_t flag) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
  const Fd one(ends[0]), other(ends[1]);
  char byte = 'w';
  const iovec vector{&byte, 1};
  return pwritev2(one.get(), &vector, 1, -1, static_cast<int>(flag)) == 1;
}

// "net.ipv4.tcp_rto_max_ms (Linux 6.15)".
std::vector<std::string> missing_sysctls(const RunSpec& spec) {
  std::vector<std::string> missing;
  const auto wanted = timer_sysctls(spec);
  for (const Parameter& parameter : parameters()) {
    const auto& [name, value, since] = parameter.sysctl;
    if (std::ranges::find(wanted, name, &Sysctl::name) == wanted.end()) continue;
    if (access(sysctl_path(name).c_str(), F_OK) == 0) continue;
    missing.push_back(std::string(name));
    std::ranges::replace(missing.back(), '/', '.');
    if (!since.empty()) missing.back() += fmt::format(" (Linux {})", since);
  }
  return missing;
}

}  // namespace

bool sockets_take_nowait() { return sockets_take(kNoWait); }

bool kernel_has(WriteNeed need) {
  switch (need) {
    case WriteNeed::none:
      return true;
    case WriteNeed::send_zc: {
      io_uring_probe* probe = io_uring_get_probe();
      const bool has = probe && io_uring_opcode_supported(probe, kOpSendZc);
      if (probe) io_uring_free_probe(probe);
      return has;
    }
    case WriteNeed::nosignal_flag:
      return sockets_take(kNoSignal);
    case WriteNeed::submission_thread:
      return static_cast<bool>(
          Ring::open({.mode = RingMode::sqpoll, .submission_entries = 8, .completion_entries = 8}));
  }
  return false;
}

Host this_host(const RunSpec& spec) {
  Host host{};
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  host.descriptor_limit =
      limit.rlim_max > 1'000'000'000 ? 1'000'000'000 : static_cast<int64_t>(limit.rlim_max);
  if (const auto cpus = usable_cpus(0)) host.cpus = *cpus;
  if (host.cpus.empty()) host.cpus.push_back(0);
  host.net_admin = !spec.host_network || has_net_admin();
  host.private_network = !spec.host_network;
  const auto [first, last] = spec.host_network ? read_port_range() : kPrivatePortRange;
  host.ports = last - first + 1;
  const bool multishot = std::any_of(spec.probes.begin(), spec.probes.end(), [](Probe probe) {
    return probe_row(probe).heartbeat == Heartbeat::multishot;
  });
  host.tcp_memory_bytes = tcp_memory_pressure_bytes() - tcp_memory_bytes().value_or(0);
  // Twice what 4 requests of a connection complete with, and some for each worker. Below it a trial
  // tells, which takes a ring.
  rlimit locked{};
  getrlimit(RLIMIT_MEMLOCK, &locked);
  const auto enough = static_cast<rlim_t>(all_connections(spec)) * 256 + (1 << 20);
  if (locked.rlim_cur < enough && rings_are_locked().value_or(false))
    host.locked_bytes = static_cast<int64_t>(locked.rlim_cur);
  if (multishot) host.multishot_timeouts = has_multishot_timeouts();
  const bool destroys = std::ranges::any_of(effective_mix(spec), [](const Weight& weight) {
    return strategies()[weight.strategy].need == Need::socket_destroy;
  });
  if (destroys) host.socket_destroy = kernel_has_socket_destroy();
  host.missing_sysctls = missing_sysctls(spec);
  if (has_writers(spec)) {
    host.sockets_take_nowait = sockets_take_nowait();
    for (const WritePath path : spec.write_paths) {
      const WriteNeed need = write_path_row(path).need;
      if (!kernel_has(need)) host.missing_write_needs.push_back(need);
    }
  }
  return host;
}

}  // namespace lastack
