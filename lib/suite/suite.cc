#include "suite/suite.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/clock.h"
#include "base/parse.h"
#include "base/random.h"
#include "base/rows.h"
#include "ledger/quantities.h"
#include "ledger/result_json.h"
#include "plan/plan.h"
#include "plan/rules.h"

namespace lastack {
namespace {

// Rows that differ in one setting. Every text is `name=value name=value`; where both say something,
// the setting wins over what the block's rows have in common.
struct Setting {
  std::string name;  // of the row, behind the block's
  std::string parameters;
};
struct Block {
  std::string name;
  std::string common;
  std::vector<Setting> settings;
  int64_t repetitions = 1;
  int64_t rounds = 0;  // above 0: prices
  int64_t window_ns = 0;
};

std::vector<SuiteRow> rows_in(const std::vector<Block>& blocks) {
  std::vector<SuiteRow> rows;
  for (const Block& block : blocks)
    for (const Setting& setting : block.settings) {
      Parameters parameters = parse_parameters(block.common);
      for (auto& pair : parse_parameters(setting.parameters)) parameters.push_back(std::move(pair));
      const std::string name =
          setting.name.empty() ? block.name : fmt::format("{}-{}", block.name, setting.name);
      rows.push_back(
          {name, std::move(parameters), block.rounds, block.window_ns, block.repetitions});
    }
  return rows;
}

// A heartbeat goes out three times per deadline, so that one lost answer is no death. The run's
// deadline leaves a host with CPU hogs time to come round to its timers.
const std::vector<Setting> kHeartbeatDeadlines = {
    {"100ms", "heartbeat-deadline=100ms heartbeat-interval=33ms deadline=3100ms"},
    {"250ms", "heartbeat-deadline=250ms heartbeat-interval=83ms deadline=3250ms"},
    {"500ms", "heartbeat-deadline=500ms heartbeat-interval=166ms deadline=3500ms"},
    {"1s", "heartbeat-deadline=1s heartbeat-interval=333ms deadline=4s"},
    {"2s", "heartbeat-deadline=2s heartbeat-interval=666ms deadline=5s"},
    {"5s", "heartbeat-deadline=5s heartbeat-interval=1666ms deadline=8s"},
};
// Prices at both ends of those intervals. The deadline has no part in them, and is long so that
// nobody is given up.
const std::vector<Setting> kHeartbeatIntervals = {
    {"33ms", "heartbeat-interval=33ms heartbeat-deadline=10s"},
    {"1666ms", "heartbeat-interval=1666ms heartbeat-deadline=10s"},
};
const std::string kUringHeartbeats =
    "watch=recv probe=heartbeat-link,heartbeat-wheel,heartbeat-multishot ";
const std::string kEpollHeartbeats = "watch=epoll probe=heartbeat-timerfd,heartbeat-scan ";

// Where a kernel timer decides, the deadline is about two seconds more than predict() says.
std::vector<SuiteRow> dead_peer_full() {
  const std::string half_silent = "mix=silent=1,alive=1 connections=2k ";
  constexpr int64_t kRounds = 4, kWindow_ns = 1'500'000'000;
  return rows_in({
      {"keepalive",
       half_silent + "probe=keepalive",
       {{"1s-1s-2", "keepalive-idle=1s keepalive-interval=1s keepalive-count=2 deadline=5s"},
        {"2s-1s-3", "keepalive-idle=2s keepalive-interval=1s keepalive-count=3 deadline=7s"},
        {"1s-2s-2", "keepalive-idle=1s keepalive-interval=2s keepalive-count=2 deadline=8s"},
        {"3s-1s-1", "keepalive-idle=3s keepalive-interval=1s keepalive-count=1 deadline=6s"},
        {"1s-1s-5", "keepalive-idle=1s keepalive-interval=1s keepalive-count=5 deadline=8s"},
        {"5s-1s-2", "keepalive-idle=5s keepalive-interval=1s keepalive-count=2 deadline=9s"}}},
      // The count is high: only the user timeout can end these.
      {"keepalive+user-timeout",
       half_silent + "probe=keepalive+user-timeout keepalive-idle=1s keepalive-interval=1s "
                     "keepalive-count=9",
       {{"500ms", "user-timeout=500ms deadline=4s"},
        {"1500ms", "user-timeout=1500ms deadline=4s"},
        {"2500ms", "user-timeout=2500ms deadline=5s"},
        {"3500ms", "user-timeout=3500ms deadline=6s"},
        {"5s", "user-timeout=5s deadline=8s"},
        {"7s", "user-timeout=7s deadline=10s"}}},
      {"user-timeout",
       half_silent + "probe=user-timeout load=echo=2k/s warm-up=2s",
       {{"100ms", "user-timeout=100ms deadline=3500ms"},
        {"300ms", "user-timeout=300ms deadline=3800ms"},
        {"700ms", "user-timeout=700ms deadline=4s"},
        {"1500ms", "user-timeout=1500ms deadline=5s"},
        {"3s", "user-timeout=3s deadline=6500ms"},
        {"6s", "user-timeout=6s deadline=10s"}}},
      {"retransmit",
       half_silent + "probe=retransmit load=echo=2k/s warm-up=2s",
       {{"1-1s", "retries2=1 rto-max=1s deadline=5s"},
        {"2-1s", "retries2=2 rto-max=1s deadline=6s"},
        {"3-1s", "retries2=3 rto-max=1s deadline=7s"},
        {"5-1s", "retries2=5 rto-max=1s deadline=9s"},
        {"3", "retries2=3 deadline=8s"},
        {"4", "retries2=4 deadline=11s"}}},
      // A window that is full holds about 200 KB of the kernel's memory.
      {"stopped-reader-user-timeout",
       "mix=silent=1,alive=1 connections=1k probe=user-timeout reader=stopped warm-up=3s",
       {{"4s", "user-timeout=4s deadline=6s"}, {"6s", "user-timeout=6s deadline=8s"}}},
      {"stopped-reader-retransmit",
       "mix=silent=1,alive=1 connections=1k probe=retransmit rto-max=1s reader=stopped warm-up=3s",
       {{"2", "retries2=2 deadline=5s"},
        {"3", "retries2=3 deadline=6s"},
        {"4", "retries2=4 deadline=7s"}}},
      {"writer-user-timeout",
       "mix=silent=1,alive=1 connections=1k watch=writer write-rate=rate=5/s probe=user-timeout",
       {{"1s", "user-timeout=1s deadline=4s"}}},
      {"heartbeats-uring", half_silent + kUringHeartbeats, kHeartbeatDeadlines},
      {"heartbeats-epoll", half_silent + kEpollHeartbeats, kHeartbeatDeadlines},
      {"heartbeats-uring-hogs", half_silent + kUringHeartbeats + "cpu-hog=4", kHeartbeatDeadlines},
      {"heartbeats-epoll-hogs", half_silent + kEpollHeartbeats + "cpu-hog=4", kHeartbeatDeadlines},
      // The kernel of a frozen process goes on to answer keepalive probes.
      {"freeze",
       "mix=freeze connections=2k probe=keepalive,keepalive+heartbeat,heartbeat-wheel",
       {{"", "heartbeat-deadline=1s heartbeat-interval=333ms deadline=5s"}}},
      // Who comes back before the heartbeat's deadline has never been away.
      {"cable-restore",
       "mix=cable-restore connections=1k probe=heartbeat-wheel heartbeat-deadline=1s "
       "heartbeat-interval=333ms deadline=4s",
       {{"500ms", "cut-for=500ms"}, {"2s", "cut-for=2s"}}},
      {"neighbours",
       "mix=silent connections=1k load=bulk warm-up=1s neighbours=1k neighbour-load=echo=2k/s",
       {{"user-timeout", "probe=user-timeout user-timeout=1s deadline=4s"},
        {"heartbeat",
         "probe=heartbeat-wheel heartbeat-deadline=2s heartbeat-interval=666ms "
         "deadline=5s"}}},
      // Connections of one age send their probes all at once, each second: the window holds two.
      {"prices-kernel",
       "connections=500 watch=recv probe=keepalive,keepalive+user-timeout,user-timeout "
       "warm-up=500ms",
       {{"1s", "keepalive-idle=1s keepalive-interval=1s"}},
       1,
       kRounds,
       2 * kSecond_ns},
      {"prices-uring", "connections=500 " + kUringHeartbeats, kHeartbeatIntervals, 1, kRounds,
       kWindow_ns},
      {"prices-epoll", "connections=500 " + kEpollHeartbeats, kHeartbeatIntervals, 1, kRounds,
       kWindow_ns},
  });
}

std::vector<SuiteRow> dead_peer_quick() {
  const std::string half_silent = "mix=silent=1,alive=1 connections=200 ";
  const std::vector<Setting> heartbeat_deadline = {
      {"300ms", "heartbeat-deadline=300ms heartbeat-interval=100ms deadline=800ms"}};
  constexpr int64_t kRounds = 3, kWindow_ns = 300'000'000;
  return rows_in({
      {"keepalive",
       half_silent + "probe=keepalive,keepalive+user-timeout",
       {{"1s-1s-1",
         "keepalive-idle=1s keepalive-interval=1s keepalive-count=1 user-timeout=1500ms "
         "deadline=2500ms"}}},
      {"unanswered",
       half_silent + "probe=user-timeout,retransmit load=echo=2k/s warm-up=300ms",
       {{"", "user-timeout=100ms retries2=1 rto-max=1s deadline=2500ms"}}},
      // With fewer retries a live peer dies, too: of two probes within half a second it answers one
      // (tcp_invalid_ratelimit).
      {"stopped-reader",
       "mix=silent=1,alive=1 connections=50 probe=user-timeout,retransmit reader=stopped "
       "warm-up=300ms",
       {{"", "user-timeout=700ms retries2=2 rto-max=1s deadline=3200ms"}}},
      {"writer-user-timeout",
       "mix=silent=1,alive=1 connections=100 watch=writer write-rate=rate=20/s probe=user-timeout",
       {{"300ms", "user-timeout=300ms deadline=1500ms"}}},
      {"heartbeats-uring", half_silent + kUringHeartbeats, heartbeat_deadline},
      {"heartbeats-epoll-hogs", half_silent + kEpollHeartbeats + "cpu-hog=4", heartbeat_deadline},
      {"freeze",
       "mix=freeze connections=200 probe=keepalive,keepalive+heartbeat,heartbeat-wheel "
       "keepalive-count=1",
       {{"", "heartbeat-deadline=500ms heartbeat-interval=166ms deadline=2s"}}},
      {"cable-restore",
       "mix=cable-restore connections=100 probe=heartbeat-wheel heartbeat-deadline=600ms "
       "heartbeat-interval=200ms deadline=1s",
       {{"50ms", "cut-for=50ms"}, {"900ms", "cut-for=900ms"}}},
      {"neighbours",
       "mix=silent connections=50 load=bulk warm-up=200ms neighbours=50 neighbour-load=echo=500/s",
       {{"", "probe=user-timeout user-timeout=300ms deadline=1500ms"}}},
      {"prices-uring",
       "connections=100 watch=recv probe=heartbeat-wheel",
       {{"100ms", "heartbeat-interval=100ms heartbeat-deadline=10s"}},
       1,
       kRounds,
       kWindow_ns},
  });
}

std::vector<SuiteRow> dead_peer(bool quick) { return quick ? dead_peer_quick() : dead_peer_full(); }

// A tail of one in a thousand takes a thousand findings: of every strategy of a row, in every run.
std::vector<SuiteRow> rst(bool quick) {
  const std::string size =
      quick ? "connections=200 deadline=300ms " : "connections=2k deadline=500ms ";
  const std::string paced = size + "mix=fin=1,rst-linger=1 schedule=rate=4k/s ";
  const std::string storm =
      quick ? "connections=400 deadline=500ms " : "connections=10k deadline=1s ";
  const int64_t repetitions = quick ? 2 : 10;
  return rows_in({
      {"paced",
       paced,
       {{"recv", "watch=recv"},
        {"recv-multishot", "watch=recv-multishot"},
        {"poll", "watch=poll"},
        {"poll-multishot", "watch=poll-multishot"},
        {"epoll", "watch=epoll"},
        {"epoll-et", "watch=epoll-et"},
        {"ppoll", "watch=ppoll"},
        {"blocking", "watch=blocking"},
        {"recv-spin", "watch=recv wait=spin"}},
       repetitions},
      // Every way to go away, one after another.
      {"every-strategy",
       std::string("mix=all watch=recv ") +
           (quick ? "connections=300 schedule=rate=4k/s deadline=1s"
                  : "connections=10k schedule=rate=5k/s deadline=1s"),
       {{"", ""}},
       repetitions},
      {"storm",
       storm + "mix=fin=1,rst-linger=1",
       {{"recv", "watch=recv"}, {"epoll", "watch=epoll"}},
       repetitions},
      {"storm-process",
       storm + "watch=recv",
       {{"exit", "mix=exit"}, {"sigkill", "mix=sigkill"}, {"sigkill-unread", "mix=sigkill-unread"}},
       repetitions},
      // One process that holds all its sockets in one of three ways.
      {"killed-process",
       std::string("mix=sigkill watch=recv ") +
           (quick ? "connections=300 per-process=300 deadline=500ms"
                  : "connections=4k per-process=4k deadline=1s"),
       {{"descriptors", ""},
        {"armed-requests", "victim-requests=recv"},
        {"direct-descriptors", "descriptors=direct"}},
       repetitions},
      // Who finds what: no latency is asked for.
      {"findings",
       std::string("mix=all deadline=1s connections=") + (quick ? "300" : "3k"),
       {{"", "watch=recv,epoll,blocking"}},
       repetitions},
  });
}

std::vector<SuiteRow> pipe_rows(bool quick) {
  const std::string common =
      std::string("watch=writer mix=fin=1,rst-linger=1 write-rate=rate=20/s schedule=rate=4k/s ") +
      (quick ? "connections=100 deadline=500ms" : "connections=1k deadline=1s");
  return rows_in({{"pipe",
                   common,
                   {{"send", "write-path=send"},
                    {"sendmsg", "write-path=sendmsg"},
                    {"write", "write-path=write"},
                    {"splice", "write-path=splice"},
                    {"send-call", "write-path=send-call"},
                    {"send-nosignal", "write-path=send-nosignal"},
                    {"write-call", "write-path=write-call"},
                    {"sendfile", "write-path=sendfile"},
                    {"poll-before-send", "write-path=send-nosignal before-write=poll"}},
                   quick ? 2 : 10}});
}

std::vector<SuiteRow> scale(bool quick) {
  const std::string mix = "mix=fin=1,rst-linger=1 watch=recv ";
  const int64_t repetitions = quick ? 2 : 5;
  if (quick)
    return rows_in(
        {{"scale-storm",
          mix,
          {{"100", "connections=100 deadline=300ms"}, {"1k", "connections=1k deadline=500ms"}},
          repetitions}});
  return rows_in({{"scale-storm",
                   mix,
                   {{"1k", "connections=1k deadline=1s"},
                    {"10k", "connections=10k deadline=1s"},
                    {"30k", "connections=30k deadline=2s"},
                    {"100k", "connections=100k deadline=5s"}},
                   repetitions},
                  {"scale-rate",
                   mix + "schedule=rate=5k/s",
                   {{"1k", "connections=1k deadline=1s"}, {"30k", "connections=30k deadline=1s"}},
                   repetitions}});
}

std::vector<SuiteRow> quick_rows(bool quick) {
  // Fewer could not show that one row alone differs.
  const int64_t repetitions = quick ? 2 : 7;
  const std::string size = quick ? "connections=100 " : "connections=1k ";
  const std::string paced = size + "schedule=rate=4k/s deadline=300ms ";
  return rows_in({
      {"quick-paced",
       paced,
       {{"recv", "mix=fin=1,rst-linger=1 watch=recv"},
        {"epoll", "mix=fin=1,rst-linger=1 watch=epoll"}},
       repetitions},
      {"quick-storm",
       size + "mix=fin=1,rst-linger=1,sigkill=1 deadline=500ms",
       {{"", ""}},
       repetitions},
      {"quick-findings",
       std::string("mix=all watch=recv,epoll deadline=1s connections=") + (quick ? "60" : "600"),
       {{"", ""}},
       repetitions},
      {"quick-pipe",
       size + "mix=fin=1,rst-linger=1 watch=writer write-path=send write-rate=rate=20/s "
              "schedule=rate=4k/s deadline=500ms",
       {{"", ""}},
       repetitions},
      {"quick-heartbeat",
       size + "mix=silent=1,alive=1 probe=heartbeat-wheel heartbeat-deadline=300ms "
              "heartbeat-interval=100ms deadline=800ms",
       {{"", ""}},
       repetitions},
  });
}

std::vector<SuiteRow> full(bool quick) {
  std::vector<SuiteRow> rows;
  for (const auto part : {rst, pipe_rows, scale, dead_peer})
    for (SuiteRow& row : part(quick)) rows.push_back(std::move(row));
  return rows;
}

constexpr Suite kSuites[] = {
    {"quick", "a little of everything, in half a minute", quick_rows},
    {"rst", "how soon which watch finds a FIN or an RST, alone and in storms", rst},
    {"pipe", "what writers lose before they learn of it, by every way to write", pipe_rows},
    {"dead-peer", "how soon which probe finds a peer that fell silent, and what it costs",
     dead_peer},
    {"scale", "the same with a thousand to a hundred thousand connections", scale},
    {"full", "every row of rst, pipe, scale and dead-peer", full, true},
};
static_assert(named(kSuites, &Suite::name));

// Beyond what a plan counts: processes that start and end, and under --load bulk the acts, whose
// thread gets its turn between two survivors' data.
int64_t overhead_ns(const RunSpec& spec) {
  constexpr int64_t kEach_ns = kSecond_ns / 2, kBulkAct_ns = 5 * kMillisecond_ns;
  return kEach_ns + (spec.traffic.load == Load::bulk ? spec.connections * kBulkAct_ns : 0);
}

std::vector<int64_t> estimates_of(std::span<const SuiteRow> rows) {
  std::vector<int64_t> estimates_ns;
  for (const SuiteRow& row : rows) estimates_ns.push_back(estimated_ns(row));
  return estimates_ns;
}

int64_t sum_of(std::span<const int64_t> row_estimates_ns, std::span<const SuiteTurn> turns) {
  int64_t sum_ns = 0;
  for (const SuiteTurn& turn : turns) sum_ns += row_estimates_ns[turn.row];
  return sum_ns;
}

void play(SuiteRun& run, const SuiteRow& row, const RunHooks& hooks) {
  const auto refuse = [&](RunStatus status, std::string error) {
    run.status = status;
    run.error = std::move(error);
  };
  if (row.prices()) {
    const auto spec = cost_of(row);
    if (!spec) return refuse(RunStatus::bad_usage, spec.error().message());
    run.spec = spec->run;
    const CostPlan plan = plan_cost(*spec);
    if (!plan.error.empty()) return refuse(plan.status, plan.error);
    run.cost = measure_cost(*spec, plan, hooks);
    return refuse(run.cost.status, run.cost.error);
  }
  const auto spec = run_of(row);
  if (!spec) return refuse(RunStatus::bad_usage, spec.error().message());
  run.spec = *spec;
  run.result = lastack::run(*spec, hooks);
  refuse(run.result.status, run.result.error);
}

}  // namespace

std::span<const Suite> suites() { return kSuites; }

Result<const Suite*> find_suite(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Suite& suite : kSuites) {
    if (suite.name == name) return &suite;
    names.push_back(suite.name);
  }
  names.push_back("list");
  return unknown_name("suite", name, names);
}

Parameters parse_parameters(std::string_view text) {
  Parameters parameters;
  for (const std::string_view word : split(text, ' ')) {
    if (word.empty()) continue;
    const size_t equals = std::min(word.find('='), word.size());
    const size_t value = std::min(equals + 1, word.size());
    parameters.emplace_back(word.substr(0, equals), word.substr(value));
  }
  return parameters;
}

const std::vector<std::string_view>& varied_parameters() {
  static const std::vector<std::string_view> kVaried = [] {
    std::set<std::string, std::less<>> given;
    for (const Suite& suite : suites())
      for (const bool quick : {false, true})
        for (const SuiteRow& row : suite.rows(quick))
          for (const auto& [name, value] : row.parameters) given.insert(name);
    std::vector<std::string_view> varied;
    for (const Parameter& parameter : parameters()) {
      const std::string_view name = parameter.flag.substr(2);
      const bool names_row =
          name == "mix" || name == "watch" || name == "probe" || name == "write-path";
      if (parameter.sets || (given.contains(name) && !names_row)) varied.push_back(name);
    }
    return varied;
  }();
  return kVaried;
}

Result<RunSpec> run_of(const SuiteRow& row) {
  auto spec = read_spec(row.parameters);
  if (!spec) return spec;
  if (const Status bad = check_spec(*spec)) return *bad;
  return spec;
}

Result<CostSpec> cost_of(const SuiteRow& row) {
  const auto spec = read_spec(row.parameters);
  if (!spec) return spec.error();
  return CostSpec{*spec, row.rounds, row.window_ns};
}

std::vector<SuiteRow> rows_of(const SuiteSpec& spec) {
  std::vector<SuiteRow> rows = spec.suite->rows(spec.quick);
  for (SuiteRow& row : rows)
    if (spec.repetitions > 0 && !row.prices()) row.repetitions = spec.repetitions;
  return rows;
}

std::vector<SuiteTurn> turns_of(std::span<const SuiteRow> rows, int64_t seed) {
  Random random{static_cast<uint64_t>(seed)};
  int64_t most = 0;
  for (const SuiteRow& row : rows) most = std::max(most, row.repetitions);
  std::vector<SuiteTurn> turns;
  for (int64_t repetition = 0; repetition <= most; ++repetition) {
    std::vector<SuiteTurn> block;
    for (size_t i = 0; i < rows.size(); ++i) {
      const bool warmed_up = rows[i].repetitions > 1;
      if (repetition == 0 ? warmed_up : repetition <= rows[i].repetitions)
        block.push_back({i, repetition});
    }
    shuffle(block, random);
    turns.insert(turns.end(), block.begin(), block.end());
  }
  return turns;
}

int64_t estimated_ns(const SuiteRow& row) {
  if (row.prices()) {
    const auto spec = cost_of(row);
    return spec ? plan_cost(*spec).estimated_ns : 0;
  }
  const auto spec = run_of(row);
  if (!spec) return 0;
  const auto plan = make_plan(*spec, this_host(*spec));
  return plan ? plan->longest_ns + overhead_ns(*spec) : 0;
}

int64_t estimated_ns(std::span<const SuiteRow> rows) {
  return sum_of(estimates_of(rows), turns_of(rows, 1));
}

std::string row_folder(size_t index, const SuiteRow& row) {
  return fmt::format("{:02}-{}", index + 1, row.name);
}

std::string run_folder(const SuiteTurn& turn, const SuiteRow& row) {
  const std::string folder = row_folder(turn.row, row);
  return turn.warm_up() ? folder + "/warm-up" : fmt::format("{}/rep-{}", folder, turn.repetition);
}

std::vector<LedgerRow> merged_ledger(const SuiteResult& result, size_t row) {
  std::vector<LedgerRow> merged;
  for (const SuiteRun& run : result.runs) {
    if (run.turn.row != row || run.turn.warm_up()) continue;
    for (const LedgerRow& one : run.result.ledger) {
      const auto known = std::ranges::find_if(merged, [&](const LedgerRow& other) {
        return other.strategy == one.strategy && other.watch == one.watch &&
               other.probe == one.probe && other.write_path == one.write_path;
      });
      if (known == merged.end())
        merged.push_back(one);
      else
        merge(one, *known);
    }
  }
  return merged;
}

bool scales_timers(const SuiteResult& result) {
  return std::ranges::any_of(result.runs,
                             [](const SuiteRun& run) { return !timer_sysctls(run.spec).empty(); });
}

int64_t time_left_ns(const SuiteResult& result, std::span<const int64_t> row_estimates_ns,
                     size_t next) {
  std::vector<int64_t> taken_ns(result.rows.size()), times(result.rows.size());
  int64_t all_taken_ns = 0, all_estimated_ns = 0;
  for (const SuiteRun& run : result.runs) {
    taken_ns[run.turn.row] += run.wall_ns;
    ++times[run.turn.row];
    all_taken_ns += run.wall_ns;
    all_estimated_ns += row_estimates_ns[run.turn.row];
  }
  const double ratio = all_estimated_ns > 0 ? static_cast<double>(all_taken_ns) /
                                                  static_cast<double>(all_estimated_ns)
                                            : 1;
  double left_ns = 0;
  for (size_t i = next; i < result.turns.size(); ++i) {
    const size_t row = result.turns[i].row;
    left_ns += times[row] > 0 ? static_cast<double>(taken_ns[row]) / static_cast<double>(times[row])
                              : ratio * static_cast<double>(row_estimates_ns[row]);
  }
  return static_cast<int64_t>(left_ns);
}

SuiteResult run_suite(const SuiteSpec& spec, std::vector<SuiteRun> done, const SuiteHooks& hooks) {
  SuiteResult result;
  result.spec = spec;
  result.rows = rows_of(spec);
  result.turns = turns_of(result.rows, spec.seed);
  const std::vector<int64_t> estimates_ns = estimates_of(result.rows);
  result.estimated_ns = sum_of(estimates_ns, result.turns);
  for (size_t i = 0; i < result.turns.size(); ++i) {
    const SuiteTurn& turn = result.turns[i];
    const SuiteRow& row = result.rows[turn.row];
    const auto known = std::ranges::find(done, turn, &SuiteRun::turn);
    if (known != done.end()) {
      result.wall_ns += known->wall_ns;
      result.status = std::min(result.status, known->status);
      result.runs.push_back(std::move(*known));
      continue;
    }
    const std::string front =
        fmt::format("{} of {}, about {} s left, {}", i + 1, result.turns.size(),
                    time_left_ns(result, estimates_ns, i) / kSecond_ns, run_folder(turn, row));
    RunHooks run_hooks = hooks.run;
    run_hooks.progress = [&](const Progress& progress) {
      if (!hooks.run.progress) return;
      hooks.run.progress(
          {fmt::format("{}: {}", front, progress.phase), progress.done, progress.total});
    };
    SuiteRun run;
    run.turn = turn;
    run.estimated_ns = estimates_ns[turn.row];
    const int64_t start_ns = now_ns();
    play(run, row, run_hooks);
    run.wall_ns = now_ns() - start_ns;
    result.wall_ns += run.wall_ns;
    result.status = std::min(result.status, run.status);  // the worse one stands first
    if (run.status == RunStatus::interrupted) break;
    const bool asked_to_end = hooks.run.interrupted && hooks.run.interrupted();
    Status failed;
    if (hooks.finished) failed = hooks.finished(row, run);
    if (failed) {
      run.status = RunStatus::no_resources;
      result.status = std::min(result.status, run.status);
      run.error = failed->message();
    }
    result.runs.push_back(std::move(run));
    if (failed) break;
    if (asked_to_end) {
      result.status = std::min(result.status, RunStatus::interrupted);
      break;
    }
  }
  return result;
}

// --- A run, kept for a suite that is resumed

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(CostSample, connections, cost)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PricedProbe, probe, skipped, samples)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PricedWatch, watch, probes)

std::string serialize(const SuiteRun& run) {
  const nlohmann::json json = {{"row", run.turn.row},
                               {"repetition", run.turn.repetition},
                               {"status", run.status},
                               {"error", run.error},
                               {"estimated_ns", run.estimated_ns},
                               {"wall_ns", run.wall_ns},
                               {"result", run.result},
                               {"cost",
                                {{"status", run.cost.status},
                                 {"error", run.cost.error},
                                 {"rounds", run.cost.rounds},
                                 {"notes", run.cost.notes},
                                 {"watches", run.cost.watches},
                                 {"host", run.cost.host}}}};
  const auto bytes = nlohmann::json::to_msgpack(json);
  return std::string(bytes.begin(), bytes.end());
}

Result<SuiteRun> deserialize_suite_run(const std::string& text, std::span<const SuiteRow> rows) {
  // The library reports a wrong shape by an exception; it stops here.
  try {
    const nlohmann::json json = nlohmann::json::from_msgpack(text);
    SuiteRun run;
    json.at("row").get_to(run.turn.row);
    json.at("repetition").get_to(run.turn.repetition);
    json.at("status").get_to(run.status);
    json.at("error").get_to(run.error);
    json.at("estimated_ns").get_to(run.estimated_ns);
    json.at("wall_ns").get_to(run.wall_ns);
    json.at("result").get_to(run.result);
    const auto& cost = json.at("cost");
    cost.at("status").get_to(run.cost.status);
    cost.at("error").get_to(run.cost.error);
    cost.at("rounds").get_to(run.cost.rounds);
    cost.at("notes").get_to(run.cost.notes);
    cost.at("watches").get_to(run.cost.watches);
    cost.at("host").get_to(run.cost.host);
    if (run.turn.row >= rows.size()) return plain_error("the record is of another suite");
    const SuiteRow& row = rows[run.turn.row];
    if (row.prices()) {
      if (const auto spec = cost_of(row)) run.cost.spec = *spec;
      run.spec = run.cost.spec.run;
    } else if (const auto spec = run_of(row)) {
      run.spec = *spec;
    }
    return run;
  } catch (const nlohmann::json::exception&) {
    return plain_error("the record is not whole");
  }
}

}  // namespace lastack
