#include "shard/launcher.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include "base/process.h"
#include "base/waited.h"
#include "shard/shortage.h"

namespace lastack {
namespace {

// Until the launcher has closed its channel, by itself there is nothing left to do for it but to
// end.
constexpr int64_t kExitPatience_ns = 10 * kSecond_ns;

struct Followed {
  bool halted = false;
  std::optional<Message> last_word;  // a shortage that it could say nothing more of
  Status refused;                    // why it is to be killed, and everything with it
};

Followed follow(Channel& launcher, const RunHooks& hooks, const LaunchPatience& patience) {
  Followed followed;
  Waited silence, interruption;
  const auto refuse = [&](Error why) {
    followed.refused = std::move(why);
    return followed;
  };
  while (true) {
    const auto received = launcher.receive(now_ns() + 100 * kMillisecond_ns);
    if (!received && received.error().error_number == EPIPE) return followed;
    if (!received) return refuse(received.error());
    if (*received) silence = {};
    if (*received && (*received)->verb == Verb::failed) followed.last_word = **received;
    const bool shows = *received && (*received)->verb == Verb::progress && (*received)->text[0];
    if (shows && hooks.progress)
      hooks.progress({(*received)->text, (*received)->value, (*received)->total});
    if (!followed.halted && hooks.interrupted && hooks.interrupted()) {
      followed.halted = true;
      interruption = {};
      if (patience.interrupt_ns == 0) return refuse(plain_error("interrupted"));
      Message halt;
      halt.verb = Verb::halt;
      const Status unsent = launcher.send(halt);
      // Gone: what it has said before is still to be received.
      if (unsent && unsent->error_number != EPIPE) return refuse(*unsent);
    }
    if (followed.halted && interruption.longer_than(patience.interrupt_ns))
      return refuse(
          plain_error(fmt::format("interrupted; the launcher did not end within {} and was killed",
                                  format_duration(patience.interrupt_ns))));
    if (silence.longer_than(patience.silence_ns))
      return refuse(plain_error(fmt::format("the launcher has said nothing for {} and was killed",
                                            format_duration(patience.silence_ns))));
  }
}

Launched nothing(RunStatus status, std::string error) { return {status, std::move(error), ""}; }

}  // namespace

Launched launch(const Role& role, const std::string& request, const RunHooks& hooks,
                const LaunchPatience& patience) {
  const auto lacks = [](const Error& error) {
    return nothing(RunStatus::no_resources, with_cure(error));
  };
  const auto request_file = memory_file("lastack-request", request);
  if (!request_file) return lacks(request_file.error());
  const auto result_file = memory_file("lastack-result", "");
  if (!result_file) return lacks(result_file.error());
  auto channels = Channel::open_pair();
  if (!channels) return lacks(channels.error());
  auto& [mine, theirs] = *channels;
  const int inherited[] = {request_file->get(), result_file->get(), theirs.descriptor()};
  const auto launcher = spawn_self(role, inherited);
  if (!launcher) return lacks(launcher.error());
  theirs.close();

  const Followed followed = follow(mine, hooks, patience);
  if (followed.refused) {
    const auto killed = end_child(*launcher);
    const RunStatus status = followed.halted                  ? RunStatus::interrupted
                             : followed.refused->error_number ? RunStatus::no_resources
                                                              : RunStatus::failed;
    return nothing(status, killed ? followed.refused->message() : killed.error().message());
  }
  const auto ended = await_end(*launcher, now_ns() + kExitPatience_ns + patience.interrupt_ns);
  if (!ended) {
    const auto killed = end_child(*launcher);
    return nothing(RunStatus::failed,
                   killed ? "the launcher did not end, and was killed: " + ended.error().message()
                          : killed.error().message());
  }
  if (followed.last_word) return nothing(RunStatus::no_resources, last_word(*followed.last_word));
  if (*ended != 0) {
    const Error death = death_error(fmt::format("the launcher, process {},", *launcher), *ended);
    return nothing(is_shortage(death) ? RunStatus::no_resources : RunStatus::failed,
                   with_cure(death));
  }
  auto text = read_descriptor(result_file->get());
  if (!text) return nothing(RunStatus::failed, text.error().message());
  return {RunStatus::ok, "", std::move(*text)};
}

int serve(std::string (*lead)(const std::string& request, Channel& channel)) {
  Channel channel(kLauncherChannel);
  const auto request = read_descriptor(kRequestDescriptor);
  if (!request) return say_shortage(channel, "read the request", request.error().error_number);
  const Status failed = write_all(kResultDescriptor, lead(*request, channel), "");
  return failed ? say_shortage(channel, "hand over the result", failed->error_number) : 0;
}

}  // namespace lastack
