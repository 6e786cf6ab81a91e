#include "verify/performance.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "base/affinity.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/process.h"
#include "base/waited.h"
#include "net/namespaces.h"
#include "shard/control.h"
#include "shard/launcher.h"
#include "shard/shortage.h"
#include "verify/abort_scenes.h"
#include "verify/client_scenes.h"
#include "verify/regression_scenes.h"
#include "verify/server_scenes.h"

namespace lastack::verify {
namespace {

// Rows that use the CPU at the same time; those that wait for a timer come on top. Their packets
// wait in the backlog of the CPU that sent them, which drops what is more than 1,000
// (net.core.netdev_max_backlog), and an RST that is dropped is not sent again.
size_t played_at_once() {
  constexpr size_t kMost = 4, kOnCpu = 2;
  const auto cpus = usable_cpus(0);
  return cpus ? std::min(kMost, kOnCpu * cpus->size()) : kOnCpu;
}

// How many times slower this machine is than one that is not emulated and has nothing else to do,
// which makes a million small system calls a second; from 1 to 30.
double measure_slowness() {
  constexpr int kCalls = 10'000;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return 1;
  const Fd reader(ends[0]), writer(ends[1]);
  char byte = 0;
  const int64_t start_ns = now_ns();
  for (int i = 0; i < kCalls; i += 2)
    if (write(writer.get(), &byte, 1) != 1 || read(reader.get(), &byte, 1) != 1) return 1;
  const auto elapsed_ns = static_cast<double>(now_ns() - start_ns);
  return std::clamp(elapsed_ns / (kCalls * 1e3), 1.0, 30.0);
}

// For a row that hangs or is stopped: some ten times of what the longest takes (6 s here), and
// longer than the patience within it. Some of them make a process per connection.
int64_t row_limit_ns(size_t connections) {
  return 2 * patience_ns() + 5 * kSecond_ns +
         static_cast<int64_t>(connections) * patience_ns() / 200;
}

const Scene* find_scene(const Performance& row) {
  for (const auto scenes : {abort_scenes(), server_scenes(), client_scenes(), regression_scenes()})
    for (const Scene& scene : scenes)
      if (scene.case_id == row.case_id && scene.variant == row.variant) return &scene;
  return nullptr;
}

// In the row's own process.
[[noreturn]] void perform_scene(const Scene& scene, bool veth, size_t connections, int report) {
  Stage stage;
  stage.veth = veth;
  stage.connections = connections;
  Retries retries;
  if (scene.waits) retries.established = kScaledRetries;
  if (scene.patient_orphans) retries.orphans = 0;
  try {
    if (const Status failed = set_stage(stage, retries, report)) fail_stage(*failed);
    scene.play(stage, scene);
  } catch (const std::bad_alloc&) {  // the launcher's own handler would speak for all rows
    fail_stage(make_error("allocate memory (std::bad_alloc)", ENOMEM, ""));
  }
  _exit(hand_back(report, stage.record));
}

// A row whose process lives.
struct Playing {
  Performance* performance;
  const Scene* scene;
  int64_t started_ns;
  pid_t process;
  Fd report;
  Waited waited = {};
};

// nullopt: it has no process, and the performance says why.
std::optional<Playing> start(Performance& performance, const Scene& scene, size_t number,
                             size_t connections) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    performance.error = with_cure(errno_error("pipe"));
    return std::nullopt;
  }
  Fd ours(ends[0]);
  const Fd theirs(ends[1]);
  const int64_t started_ns = now_ns();
  const pid_t parent = getpid();
  const pid_t process = fork();  // the launcher has one thread
  if (process == 0) {
    become({"row", static_cast<int64_t>(number)}, parent);
    ours.reset();
    perform_scene(scene, performance.veth, connections, theirs.get());
  }
  if (process < 0) {
    performance.error = with_cure(errno_error("fork"));
    return std::nullopt;
  }
  return Playing{&performance, &scene, started_ns, process, std::move(ours)};
}

// Takes what there is of the record; true at its end.
bool take_report(const Playing& playing) {
  char buffer[65536];
  const ssize_t got = read(playing.report.get(), buffer, sizeof(buffer));
  if (got < 0 && errno == EINTR) return false;
  if (got < 0) playing.performance->error = errno_error("read", "a row's record").message();
  if (got > 0) playing.performance->record.append(buffer, static_cast<size_t>(got));
  return got <= 0;
}

// It has closed its report.
void await_row(const Playing& playing) {
  Performance& performance = *playing.performance;
  const auto ended = await_end(playing.process, now_ns() + 10 * kSecond_ns);
  if (!ended) {
    performance.error = ended.error().message();
    performance.died = true;
    (void)end_child(playing.process);  // it is told already that this one fails
    return;
  }
  // Who could not play to its end says why in its record, and ends with 1 if it could say it.
  if (WIFEXITED(*ended) && WEXITSTATUS(*ended) <= 1) return;
  const Error death = death_error(fmt::format("the row's process {}", playing.process), *ended);
  performance.error = with_cure(death);
  performance.died = !is_shortage(death);
}

void end_late_row(const Playing& playing, int64_t limit_ns) {
  const auto ended = end_child(playing.process);
  playing.performance->died = true;
  playing.performance->error = ended ? fmt::format("no result of its process {} within {}",
                                                   playing.process, format_duration(limit_ns))
                                     : ended.error().message();
}

// True when it is over, by itself or because it took too long.
bool is_played(Playing& playing, bool speaks, int64_t limit_ns) {
  const bool ended = speaks && take_report(playing);
  if (!ended && !playing.waited.longer_than(limit_ns)) return false;
  playing.report.reset();
  playing.performance->duration_ns = now_ns() - playing.started_ns;
  if (ended)
    await_row(playing);
  else
    end_late_row(playing, limit_ns);
  return true;
}

void report(Channel& channel, size_t done, size_t all) {
  send_progress(channel, "verify", static_cast<int64_t>(done), static_cast<int64_t>(all));
}

using Played = std::pair<Performance*, const Scene*>;

Status play_all(const std::vector<Played>& all, size_t connections, Channel& channel) {
  std::vector<Playing> playing;
  size_t started = 0;
  int64_t reported_ns = 0;
  const size_t at_once = played_at_once();
  const auto may_start = [&](const Scene& scene) {
    const auto busy =
        std::ranges::count_if(playing, [](const Playing& one) { return !one.scene->waits; });
    return scene.waits || static_cast<size_t>(busy) < at_once;
  };
  while (started < all.size() || !playing.empty()) {
    while (started < all.size() && may_start(*all[started].second)) {
      const auto& [performance, scene] = all[started];
      if (auto one = start(*performance, *scene, started++, connections))
        playing.push_back(std::move(*one));
    }
    if (now_ns() - reported_ns > kSecond_ns) {
      reported_ns = now_ns();
      report(channel, started - playing.size(), all.size());
    }
    std::vector<pollfd> waited;
    for (const Playing& one : playing) waited.push_back({one.report.get(), POLLIN, 0});
    if (poll(waited.data(), waited.size(), 100) < 0) {
      if (errno != EINTR) return errno_error("poll", "rows");
      continue;
    }
    for (size_t i = playing.size(); i-- > 0;) {
      if (!is_played(playing[i], waited[i].revents != 0, row_limit_ns(connections))) continue;
      playing.erase(playing.begin() + static_cast<std::ptrdiff_t>(i));
      report(channel, started - playing.size(), all.size());
    }
  }
  return std::nullopt;
}

nlohmann::json play(const nlohmann::json& request, Channel& channel) {
  if (const Status failed = enter_private_namespaces()) return {{"error", with_cure(*failed)}};
  watch_for_oom_kills();
  stretch_patience(measure_slowness());
  auto performances = request.at("rows").get<std::vector<Performance>>();
  std::vector<Played> all;
  for (Performance& performance : performances) {
    all.emplace_back(&performance, find_scene(performance));
    if (!all.back().second)
      return {{"error",
               fmt::format("no scene for row {}/{}", performance.case_id, performance.variant)}};
  }
  // Timers first: the rest is played while they run.
  std::stable_partition(all.begin(), all.end(),
                        [](const Played& one) { return one.second->waits; });
  if (const Status failed = play_all(all, request.at("connections").get<size_t>(), channel))
    return {{"error", with_cure(*failed)}};
  return {{"rows", performances}};
}

// The launcher speaks every second.
constexpr int64_t kSilencePatience_ns = 30 * kSecond_ns;

}  // namespace

Performed perform(const std::vector<Performance>& rows, int64_t connections,
                  const RunHooks& hooks) {
  const nlohmann::json request = {{"connections", connections}, {"rows", rows}};
  const Launched launched = launch({"verify", 0}, request.dump(), hooks, {kSilencePatience_ns, 0});
  if (launched.status != RunStatus::ok) return {launched.status, launched.error, {}};
  const nlohmann::json answer = nlohmann::json::parse(launched.text, nullptr, false);
  if (answer.is_discarded())
    return {RunStatus::failed, "the launcher ended without a whole result", {}};
  if (answer.contains("error"))
    return {RunStatus::no_resources, answer.at("error").get<std::string>(), {}};
  return {RunStatus::ok, "", answer.at("rows").get<std::vector<Performance>>()};
}

Record record_of(const Performance& performance) {
  auto whole = deserialize_record(performance.record);
  Record record;
  if (whole) record = std::move(*whole);
  if (!whole) record.error = whole.error().message();
  if (!whole) record.died = performance.error.empty();
  if (!performance.error.empty() && (!whole || record.error.empty()))
    record.error = performance.error;
  record.died |= performance.died;
  return record;
}

int launcher_main() {
  return serve([](const std::string& request, Channel& channel) {
    return play(nlohmann::json::parse(request), channel).dump();
  });
}

}  // namespace lastack::verify
