#include "verify/verify.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/kernel_config.h"
#include "base/limits.h"
#include "base/parse.h"
#include "base/process.h"
#include "base/waited.h"
#include "net/namespaces.h"
#include "shard/control.h"
#include "shard/shortage.h"
#include "verify/abort_scenes.h"
#include "verify/client_scenes.h"
#include "verify/server_scenes.h"

namespace lastack {
namespace {

// Rows that use the CPU at the same time; those that wait for a timer come on top.
constexpr size_t kPlayedAtOnce = 4;
// For a row that hangs or is stopped: some ten times of what the longest takes (6 s here, 20 s on
// an emulated machine). Some of them make a process per connection.
int64_t row_limit_ns(size_t connections) {
  return 45 * kSecond_ns + static_cast<int64_t>(connections) * 100 * kMillisecond_ns;
}
// The launcher speaks every second.
constexpr int64_t kSilencePatience_ns = 30 * kSecond_ns;

const Scene* find_scene(const Claim& claim) {
  for (const auto scenes : {abort_scenes(), server_scenes(), client_scenes()})
    for (const Scene& scene : scenes)
      if (scene.case_id == claim.case_id && scene.variant == claim.variant) return &scene;
  return nullptr;
}

bool asked_for(const VerifySpec& spec, const Claim& claim) {
  if (spec.rows.empty()) return true;
  const std::string full = fmt::format("{}/{}", claim.case_id, claim.variant);
  return std::any_of(spec.rows.begin(), spec.rows.end(),
                     [&](const std::string& row) { return row == claim.case_id || row == full; });
}

// One row on one path, from its start to its record.
struct Performance {
  size_t claim = 0;  // in claims()
  bool veth = false;
  const Scene* scene = nullptr;
  pid_t process = -1;
  Fd report;
  Waited waited;
  int64_t started_ns = 0, ended_ns = 0;
  std::string text;   // what has come of the record
  std::string error;  // of the launcher's own
  bool died = false;  // by whatever does not come of a shortage
};

// In the row's own process.
[[noreturn]] void perform(const Scene& scene, bool veth, size_t connections, int report) {
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

void start(Performance& performance, size_t connections) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    performance.error = with_cure(errno_error("pipe"));
    return;
  }
  performance.started_ns = now_ns();
  performance.waited = {};
  const pid_t parent = getpid();
  performance.process = fork();  // the launcher has one thread
  if (performance.process == 0) {
    become({"row", static_cast<int64_t>(performance.claim)}, parent);
    close(ends[0]);
    perform(*performance.scene, performance.veth, connections, ends[1]);
  }
  close(ends[1]);
  performance.report = Fd(ends[0]);
  if (performance.process < 0) performance.error = with_cure(errno_error("fork"));
}

// It has closed its report, or is to go because it took too long.
void finish(Performance& performance, bool too_late) {
  performance.report.reset();
  performance.ended_ns = now_ns();
  const auto ended = too_late ? end_child(performance.process)
                              : await_end(performance.process, now_ns() + 10 * kSecond_ns);
  if (!ended) {
    performance.error = ended.error().message();
    performance.died = true;
    (void)end_child(performance.process);  // it is told already that this one fails
  }
  // Who could not play to its end says why in its record, and ends with 1 if it could say it.
  const bool told = ended && WIFEXITED(*ended) && WEXITSTATUS(*ended) <= 1;
  if (ended && !too_late && !told) {
    const Error death =
        death_error(fmt::format("the row's process {}", performance.process), *ended);
    performance.error = with_cure(death);
    performance.died = !is_shortage(death);
  }
  performance.process = -1;
}

// Takes what there is of the record; true at its end.
bool take_report(Performance& performance) {
  char buffer[65536];
  const ssize_t got = read(performance.report.get(), buffer, sizeof(buffer));
  if (got < 0 && errno == EINTR) return false;
  if (got < 0) performance.error = errno_error("read", "a row's record").message();
  if (got > 0) performance.text.append(buffer, static_cast<size_t>(got));
  return got <= 0;
}

void report(Channel& channel, size_t done, size_t all) {
  Message message;
  message.verb = Verb::progress;
  message.value = static_cast<int64_t>(done);
  message.total = static_cast<int64_t>(all);
  fmt::format_to_n(message.text, sizeof(message.text) - 1, "verify");
  if (channel.has_room()) (void)channel.send(message);  // who does not read it will not miss it
}

Status play_all(std::vector<Performance>& performances, size_t connections, Channel& channel) {
  // Timers first: the rest is played while they run.
  std::stable_sort(
      performances.begin(), performances.end(),
      [](const Performance& a, const Performance& b) { return a.scene->waits > b.scene->waits; });
  std::vector<Performance*> running;
  size_t next = 0, done = 0, busy = 0;
  int64_t reported_ns = 0;
  while (done < performances.size()) {
    while (next < performances.size() &&
           (performances[next].scene->waits || busy < kPlayedAtOnce)) {
      Performance& performance = performances[next++];
      start(performance, connections);
      if (performance.process < 0) {
        ++done;
        continue;
      }
      busy += !performance.scene->waits;
      running.push_back(&performance);
    }
    if (now_ns() - reported_ns > kSecond_ns) {
      reported_ns = now_ns();
      report(channel, done, performances.size());
    }
    std::vector<pollfd> waited;
    for (const Performance* performance : running)
      waited.push_back({performance->report.get(), POLLIN, 0});
    if (poll(waited.data(), waited.size(), 100) < 0) {
      if (errno != EINTR) return errno_error("poll", "rows");
      continue;
    }
    for (size_t i = running.size(); i-- > 0;) {
      Performance& performance = *running[i];
      const bool ended = waited[i].revents != 0 && take_report(performance);
      const bool too_late = !ended && performance.waited.longer_than(row_limit_ns(connections));
      if (!ended && !too_late) continue;
      if (too_late) {
        performance.error =
            fmt::format("no result of its process {} within {}", performance.process,
                        format_duration(row_limit_ns(connections)));
        performance.died = true;
      }
      finish(performance, too_late);
      busy -= !performance.scene->waits;
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
      ++done;
      report(channel, done, performances.size());
    }
  }
  return std::nullopt;
}

nlohmann::json perform_spec(const nlohmann::json& spec, Channel& channel) {
  if (const Status failed = enter_private_namespaces()) return {{"error", with_cure(*failed)}};
  watch_for_oom_kills();
  std::vector<Performance> performances;
  for (const auto& one : spec.at("rows")) {
    Performance performance;
    performance.claim = one.at(0).get<size_t>();
    performance.veth = one.at(1).get<bool>();
    performance.scene = find_scene(claims()[performance.claim]);
    if (!performance.scene)
      return {{"error", fmt::format("no scene for row {}/{}", claims()[performance.claim].case_id,
                                    claims()[performance.claim].variant)}};
    performances.push_back(std::move(performance));
  }
  if (const Status failed = play_all(performances, spec.at("connections").get<size_t>(), channel))
    return {{"error", with_cure(*failed)}};
  nlohmann::json rows = nlohmann::json::array();
  for (const Performance& performance : performances)
    rows.push_back({{"claim", performance.claim},
                    {"veth", performance.veth},
                    {"record", performance.text},
                    {"error", performance.error},
                    {"died", performance.died},
                    {"duration_ns", performance.ended_ns - performance.started_ns}});
  return {{"rows", rows}};
}

std::string alternatives_text(const Sight& sight) {
  std::string text;
  for (const auto& [value, times] : sight.values)
    text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", value, times);
  return text;
}

void compare_sights(const Claim& claim, VerifiedRow& row) {
  for (const ExpectedSight& expected : claim.sights) {
    bool found = false;
    for (const Way& way : row.record.ways) {
      if (!expected.way.empty() && expected.way != way.name) continue;
      for (const Sight& sight : way.sights) {
        if (sight.what != expected.what) continue;
        found = true;
        const auto allowed = split(expected.value, '|');
        const bool all =
            std::all_of(sight.values.begin(), sight.values.end(), [&](const auto& one) {
              return std::find(allowed.begin(), allowed.end(), one.first) != allowed.end();
            });
        if (!all)
          row.differences.push_back(fmt::format("{}: {} is {}, expected {}", way.name,
                                                expected.what, alternatives_text(sight),
                                                expected.value));
      }
    }
    if (!found) row.differences.push_back(fmt::format("{} was not seen", expected.what));
  }
}

VerifyResult failed_verify(RunStatus status, std::string error) {
  VerifyResult result;
  result.status = status;
  result.error = std::move(error);
  return result;
}

}  // namespace

Status check_row_name(const std::string& given) {
  std::vector<std::string_view> known;
  for (const Case& row : cases()) {
    if (given == row.id) return std::nullopt;
    known.push_back(row.id);
  }
  for (const Claim& claim : claims())
    if (given == fmt::format("{}/{}", claim.case_id, claim.variant)) return std::nullopt;
  if (given.find('/') != std::string::npos)
    return plain_error(fmt::format("unknown row '{}'; `lastack verify` prints them all", given));
  return unknown_name("case", given, known);
}

VerifiedRow judge(const Claim& claim, const std::string& path, const VerifySpec& spec,
                  Record record) {
  VerifiedRow row;
  row.case_id = claim.case_id;
  row.variant = claim.variant;
  row.path = path;
  row.condition = claim.condition;
  row.expected = claim.expected;
  for (const ExpectedVerdict& one : spec.expected)
    if (one.case_id == row.case_id && one.variant == row.variant) row.expected = one.verdict;
  row.record = std::move(record);
  Outcomes sum;
  for (const Way& way : row.record.ways) {
    sum.met_with += way.outcomes.met_with;
    sum.met_without += way.outcomes.met_without;
    sum.unmet_with += way.outcomes.unmet_with;
    sum.unmet_without += way.outcomes.unmet_without;
  }
  row.observed = row.played() ? decide(sum) : Verdict::undecided;
  if (!row.played()) return row;
  if (row.observed != row.expected)
    row.differences.push_back(fmt::format("the claim {}, expected: {}",
                                          verdict_text(row.observed, row.condition),
                                          verdict_text(row.expected, row.condition)));
  for (const Way& way : row.record.ways)
    if (way.connections < spec.connections)
      row.differences.push_back(fmt::format("{}: {} connections instead of {}", way.name,
                                            way.connections, spec.connections));
  compare_sights(claim, row);
  return row;
}

RunStatus status_of(const std::vector<VerifiedRow>& rows) {
  RunStatus status = RunStatus::ok;
  for (const VerifiedRow& row : rows) {
    if (row.record.died) return RunStatus::failed;
    if (!row.played()) status = RunStatus::no_resources;
    if (row.played() && !row.ok()) status = std::min(status, RunStatus::unmet_expectation);
  }
  return status;
}

int verify_launcher_main() {
  Channel channel(kLauncherChannel);
  const auto text = read_descriptor(kRequestDescriptor);
  if (!text) return say_shortage(channel, "read the request", text.error().error_number);
  return hand_over(perform_spec(nlohmann::json::parse(*text), channel).dump(), channel);
}

VerifyResult verify(const VerifySpec& spec, const RunHooks& hooks) {
  const int64_t start_ns = now_ns();
  nlohmann::json rows = nlohmann::json::array();
  for (size_t i = 0; i < claims().size(); ++i) {
    const Claim& claim = claims()[i];
    if (!asked_for(spec, claim)) continue;
    if (spec.loopback && claim.paths == Paths::both) rows.push_back({i, false});
    if (spec.veth) rows.push_back({i, true});
  }
  if (rows.empty())
    return failed_verify(RunStatus::bad_usage,
                         "the rows of --case need a path that can be cut; allowed: --path veth");
  const nlohmann::json request = {{"connections", spec.connections}, {"rows", rows}};
  const Launched launched = launch({"verify", 0}, request.dump(), hooks, {kSilencePatience_ns, 0});
  if (launched.status != RunStatus::ok) return failed_verify(launched.status, launched.error);
  const nlohmann::json answer = nlohmann::json::parse(launched.text, nullptr, false);
  if (answer.is_discarded())
    return failed_verify(RunStatus::failed, "the launcher ended without a whole result");
  if (answer.contains("error"))
    return failed_verify(RunStatus::no_resources, answer.at("error").get<std::string>());

  VerifyResult result;
  result.kernel = kernel_release();
  for (const auto& one : answer.at("rows")) {
    const Claim& claim = claims()[one.at("claim").get<size_t>()];
    const auto own_error = one.at("error").get<std::string>();
    auto record = deserialize_record(one.at("record").get<std::string>());
    Record whole;
    if (record) whole = std::move(*record);
    if (!record) whole.error = record.error().message();
    if (!record) whole.died = own_error.empty();
    if (!own_error.empty() && (!record || whole.error.empty())) whole.error = own_error;
    whole.died |= one.at("died").get<bool>();
    VerifiedRow row =
        judge(claim, one.at("veth").get<bool>() ? "veth" : "loopback", spec, std::move(whole));
    row.duration_ns = one.at("duration_ns").get<int64_t>();
    result.rows.push_back(std::move(row));
  }
  // Rows come in the order of the table, whatever was played first.
  const auto place = [](const VerifiedRow& row) {
    size_t at = 0;
    while (at < claims().size() &&
           (claims()[at].case_id != row.case_id || claims()[at].variant != row.variant))
      ++at;
    return std::pair(at, row.path);
  };
  std::sort(result.rows.begin(), result.rows.end(),
            [&](const VerifiedRow& a, const VerifiedRow& b) { return place(a) < place(b); });
  result.status = status_of(result.rows);
  result.duration_ns = now_ns() - start_ns;
  return result;
}

}  // namespace lastack
