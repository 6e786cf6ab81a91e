#include "run/runner.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <new>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/parse.h"
#include "base/process.h"
#include "net/tcp_memory.h"
#include "run/coordinator.h"
#include "run/patience.h"
#include "run/process_hosts.h"
#include "run/shortage.h"
#include "run/verify.h"
#include "run/worker.h"

namespace lastack {
namespace {

constexpr int kSpecDescriptor = 3, kResultDescriptor = 4, kChannelDescriptor = 5;
constexpr int kWorkerChannel = 4;

RunResult failed_result(RunStatus status, std::string error) {
  RunResult result;
  result.status = status;
  result.error = std::move(error);
  return result;
}

// The launcher: enters the namespaces while it has one thread, then coordinates the workers,
// which inherit them.
int launcher_main() {
  Channel channel(kChannelDescriptor);
  const auto text = read_descriptor(kSpecDescriptor);
  if (!text) return 1;
  const auto values =
      nlohmann::json::parse(*text).get<std::vector<std::pair<std::string, std::string>>>();
  const auto spec = read_spec(values);
  RunResult result;
  if (!spec) {
    result = failed_result(RunStatus::bad_usage, spec.error().message());
  } else {
    // Before: namespaces do not show it. The rest of the host is looked at in them: a trial of
    // SQPOLL leaves a kernel thread for a while, and who has threads may enter none (EINVAL).
    const int64_t tcp_room_bytes = tcp_memory_pressure_bytes() - tcp_memory_bytes();
    std::vector<std::string> notes = kept_state();
    if (const Status refused = raise_limits())
      notes.push_back("a limit stays as it is: " + refused->message());
    Status failed;
    if (!spec->host_network) {
      failed = enter_private_namespaces();
      if (!failed)
        if (const Status refused = write_sysctls(private_sysctls()))
          notes.push_back("sysctls stay at the kernel's defaults: " + refused->message());
      if (!failed) failed = write_sysctls(timer_sysctls(*spec));
    }
    if (failed) {
      result = failed_result(RunStatus::no_resources,
                             with_cure(*failed) + "; --host-network does without namespaces");
    } else {
      Host host = this_host(*spec);
      host.tcp_memory_bytes = tcp_room_bytes;
      result = coordinate(*spec, host, std::move(notes), channel);
    }
  }
  const std::string serialized = serialize(result);
  for (size_t written = 0; written < serialized.size();) {
    const ssize_t got =
        write(kResultDescriptor, serialized.data() + written, serialized.size() - written);
    if (got <= 0) return say_shortage(channel, "write the run's result", got < 0 ? errno : ENOSPC);
    written += static_cast<size_t>(got);
  }
  return 0;
}

// Memory that cannot be had ends no process by a signal: whoever leads it is told, in words that
// need none.
int with_memory_errors(int (*role_main)(), int channel) {
  Channel leader(fcntl(channel, F_DUPFD_CLOEXEC, kSpecDescriptor));  // the role closes its own
  try {
    return role_main();
  } catch (const std::bad_alloc&) {
    return say_shortage(leader, "allocate memory (std::bad_alloc)", ENOMEM);
  }
}

}  // namespace

std::optional<int> process_entry(int argc, char** argv) {
  enter_known_state();
  const auto role = own_role(argc, argv);
  if (!role) return std::nullopt;
  become(*role, static_cast<pid_t>(std::strtol(argv[2], nullptr, 10)));
  if (role->name == "launcher") return with_memory_errors(launcher_main, kChannelDescriptor);
  if (role->name == "victim") return with_memory_errors(victim_worker_main, kWorkerChannel);
  if (role->name == "survivor") return with_memory_errors(survivor_worker_main, kWorkerChannel);
  if (role->name == "host") return with_memory_errors(process_host_main, kWorkerChannel);
  if (role->name == "verify") return with_memory_errors(verify_launcher_main, kChannelDescriptor);
  if (role->name == "hog")
    for (;;) asm volatile("");  // --cpu-hog; it dies with its parent
  return 1;
}

namespace {

// Follows the run until the launcher has closed its channel. After an interruption it has so long
// to hand back what there is. The Error says why it is to be killed, and everything with it.
Status follow(Channel& launcher, const RunSpec& spec, const RunHooks& hooks, bool& halted,
              std::optional<Message>& failure) {
  Waited silence, interruption;
  while (true) {
    const auto received = launcher.receive(now_ns() + 100 * kMillisecond_ns);
    if (!received && received.error().error_number == EPIPE) return std::nullopt;
    if (!received) return received.error();
    if (*received) silence = {};
    if (*received && (*received)->verb == Verb::failed) failure = **received;
    const bool shows = *received && (*received)->verb == Verb::progress && (*received)->text[0];
    if (shows && hooks.progress)
      hooks.progress({(*received)->text, (*received)->value, (*received)->total});
    if (!halted && hooks.interrupted && hooks.interrupted()) {
      Message halt;
      halt.verb = Verb::halt;
      halted = true;
      interruption = {};
      if (const Status unsent = launcher.send(halt)) return unsent;
    }
    if (halted && interruption.longer_than(interrupted_run_patience_ns(spec)))
      return plain_error(
          fmt::format("interrupted; the launcher did not end within {} and was killed",
                      format_duration(interrupted_run_patience_ns(spec))));
    if (silence.longer_than(silence_patience_ns(spec)))
      return plain_error(fmt::format("the launcher has said nothing for {} and was killed",
                                     format_duration(silence_patience_ns(spec))));
  }
}

}  // namespace

RunResult run(const RunSpec& spec, const RunHooks& hooks) {
  if (const Status bad = check_spec(spec))
    return failed_result(RunStatus::bad_usage, bad->message());
  const auto spec_file = memory_file("lastack-spec", nlohmann::json(print_spec(spec)).dump());
  const auto result_file = memory_file("lastack-result", "");
  auto channels = Channel::open_pair();
  const auto lacks = [](const Error& error) {
    return failed_result(RunStatus::no_resources, with_cure(error));
  };
  if (!spec_file) return lacks(spec_file.error());
  if (!result_file) return lacks(result_file.error());
  if (!channels) return lacks(channels.error());
  auto& [mine, theirs] = *channels;
  const int inherited[] = {spec_file->get(), result_file->get(), theirs.descriptor()};
  const auto launcher = spawn_self({"launcher", 0}, inherited);
  if (!launcher) return lacks(launcher.error());
  theirs.close();

  bool halted = false;
  std::optional<Message> failure;  // the launcher's last word
  const Status refused = follow(mine, spec, hooks, halted, failure);
  // By itself it has nothing more to do than to end.
  auto ended = refused ? end_child(*launcher)
                       : await_end(*launcher, now_ns() + interrupted_run_patience_ns(spec));
  if (refused) {
    const RunStatus status = halted                  ? RunStatus::interrupted
                             : refused->error_number ? RunStatus::no_resources
                                                     : RunStatus::failed;
    return failed_result(status, refused->message());
  }
  if (!ended) return failed_result(RunStatus::failed, ended.error().message());
  if (failure) return failed_result(RunStatus::no_resources, last_word(*failure));
  if (*ended != 0) {
    const bool lacking =
        WIFEXITED(*ended) && WEXITSTATUS(*ended) == status_row(RunStatus::no_resources).exit_code;
    return failed_result(
        lacking ? RunStatus::no_resources : RunStatus::failed,
        fmt::format("the launcher, process {}, {}", *launcher, death_text(*ended)));
  }
  const auto own_bytes = read_process_memory(getpid());  // hardly changes while it waits
  const auto text = read_descriptor(result_file->get());
  if (!text) return failed_result(RunStatus::failed, text.error().message());
  auto result = deserialize(*text);
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
