#include "run/runner.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <new>
#include <nlohmann/json.hpp>

#include "base/limits.h"
#include "base/memory.h"
#include "base/process.h"
#include "net/tcp_memory.h"
#include "plan/patience.h"
#include "plan/rules.h"
#include "run/coordinator.h"
#include "run/worker.h"
#include "shard/shortage.h"
#include "verify/performance.h"
#include "victim/process_hosts.h"

namespace lastack {
namespace {

constexpr int kWorkerChannel = 4;

RunResult failed_result(RunStatus status, std::string error) {
  RunResult result;
  result.status = status;
  result.error = std::move(error);
  return result;
}

// The launcher: enters the namespaces while it has one thread, then coordinates the workers,
// which inherit them.
RunResult lead_run(const RunSpec& spec, Channel& channel) {
  // Before: namespaces do not show it. The rest of the host is looked at in them: a trial of
  // SQPOLL leaves a kernel thread for a while, and who has threads may enter none (EINVAL).
  const int64_t tcp_room_bytes = tcp_memory_pressure_bytes() - tcp_memory_bytes().value_or(0);
  std::vector<std::string> notes = kept_state();
  if (const Status refused = raise_limits())
    notes.push_back("a limit stays as it is: " + refused->message());
  Status failed;
  if (!spec.host_network) {
    failed = enter_private_namespaces();
    if (!failed)
      if (const Status refused = write_sysctls(private_sysctls()))
        notes.push_back("sysctls stay at the kernel's defaults: " + refused->message());
  }
  Host host = this_host(spec);
  if (!failed && host.missing_sysctls.empty()) failed = write_sysctls(timer_sysctls(spec));
  if (failed)
    return failed_result(RunStatus::no_resources,
                         with_cure(*failed) + "; --host-network does without namespaces");
  host.tcp_memory_bytes = tcp_room_bytes;
  return coordinate(spec, host, std::move(notes), channel);
}

int launcher_main() {
  return serve([](const std::string& request, Channel& channel) {
    using Values = std::vector<std::pair<std::string, std::string>>;
    const auto spec = read_spec(nlohmann::json::parse(request).get<Values>());
    return serialize(spec ? lead_run(*spec, channel)
                          : failed_result(RunStatus::bad_usage, spec.error().message()));
  });
}

// Memory that cannot be had ends no process by a signal: whoever leads it is told, in words that
// need none.
int with_memory_errors(int (*role_main)(), int channel) {
  Channel leader(fcntl(channel, F_DUPFD_CLOEXEC, kRequestDescriptor));  // the role closes its own
  try {
    return role_main();
  } catch (const std::bad_alloc&) {
    return say_shortage(leader, "allocate memory (std::bad_alloc)", ENOMEM);
  }
}

[[noreturn]] int hog_main() {
  for (;;) asm volatile("");  // --cpu-hog; it dies with its parent
}

struct RoleMain {
  std::string_view role;
  int (*main)();
  int channel;  // to its leader; -1: none
};
constexpr RoleMain kRoles[] = {
    {"launcher", launcher_main, kLauncherChannel},
    {"victim", victim_worker_main, kWorkerChannel},
    {"survivor", survivor_worker_main, kWorkerChannel},
    {"host", process_host_main, kWorkerChannel},
    {"verify", verify::launcher_main, kLauncherChannel},
    {"hog", hog_main, -1},
};

}  // namespace

std::optional<int> process_entry(int argc, char** argv) {
  enter_known_state();
  prepare_for_lack_of_memory();
  const auto role = own_role(argc, argv);
  if (!role) return std::nullopt;
  become(*role, static_cast<pid_t>(std::strtol(argv[2], nullptr, 10)));
  for (const RoleMain& row : kRoles)
    if (row.role == role->name) return with_memory_errors(row.main, row.channel);
  return 1;
}

RunResult run(const RunSpec& spec, const RunHooks& hooks) {
  if (const Status bad = check_spec(spec))
    return failed_result(RunStatus::bad_usage, bad->message());
  const LaunchPatience patience = {silence_patience_ns(spec), interrupted_run_patience_ns(spec)};
  const Launched launched =
      launch({"launcher", 0}, nlohmann::json(print_spec(spec)).dump(), hooks, patience);
  if (launched.status != RunStatus::ok) return failed_result(launched.status, launched.error);
  const auto own_bytes = read_process_memory(getpid());  // hardly changes while it waits
  auto result = deserialize(launched.text);
  if (!result) return failed_result(RunStatus::failed, result.error().message());
  result->spec = print_spec(spec);
  // The launcher may not read it: this process is outside of its user namespace.
  if (own_bytes) {
    result->cost.memory_armed_bytes += *own_bytes;
    result->cost.memory_peak_bytes += *own_bytes;
  } else {
    result->notes.push_back("the memory figure lacks a process: " + own_bytes.error().message());
  }
  return std::move(*result);
}

}  // namespace lastack
