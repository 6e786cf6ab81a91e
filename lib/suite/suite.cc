#include "suite/suite.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/clock.h"
#include "base/parse.h"
#include "base/random.h"
#include "ledger/quantities.h"
#include "ledger/result_json.h"
#include "plan/plan.h"
#include "plan/rules.h"

namespace lastack::suite {
namespace {

// Beyond what a plan counts: processes that start and end, and under --load bulk the acts, whose
// thread gets its turn between two survivors' data.
int64_t overhead_ns(const RunSpec& spec) {
  constexpr int64_t kEach_ns = kSecond_ns / 2, kBulkAct_ns = 5 * kMillisecond_ns;
  return kEach_ns + (spec.traffic.load == Load::bulk ? spec.connections * kBulkAct_ns : 0);
}

std::vector<int64_t> estimates_of(std::span<const Row> rows) {
  std::vector<int64_t> estimates_ns;
  for (const Row& row : rows) estimates_ns.push_back(estimated_ns(row));
  return estimates_ns;
}

int64_t sum_of(std::span<const int64_t> row_estimates_ns, std::span<const SuiteTurn> turns) {
  int64_t sum_ns = 0;
  for (const SuiteTurn& turn : turns) sum_ns += row_estimates_ns[turn.row];
  return sum_ns;
}

// What cannot be played here is told, and takes nothing from the rest.
RunStatus worse(RunStatus one, RunStatus other) {
  return other == RunStatus::skipped ? one : std::min(one, other);
}

void play_turn(Run& run, const Row& row, const RunHooks& hooks) {
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

const std::vector<std::string_view>& varied_parameters() {
  static const std::vector<std::string_view> kVaried = [] {
    std::set<std::string, std::less<>> given;
    for (const Suite& suite : suites())
      for (const bool quick : {false, true})
        for (const Row& row : suite.rows(quick))
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

Result<RunSpec> run_of(const Row& row) {
  auto spec = read_spec(row.parameters);
  if (!spec) return spec;
  if (const Status bad = check_spec(*spec)) return *bad;
  return spec;
}

Result<CostSpec> cost_of(const Row& row) {
  const auto spec = read_spec(row.parameters);
  if (!spec) return spec.error();
  return CostSpec{*spec, row.rounds, row.window_ns};
}

std::vector<Row> rows_of(const Spec& spec) {
  std::vector<Row> rows = spec.suite->rows(spec.quick);
  for (Row& row : rows)
    if (spec.repetitions > 0 && !row.prices()) row.repetitions = spec.repetitions;
  return rows;
}

std::vector<SuiteTurn> turns_of(std::span<const Row> rows, int64_t seed) {
  Random random{static_cast<uint64_t>(seed)};
  int64_t most = 0;
  for (const Row& row : rows) most = std::max(most, row.repetitions);
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

int64_t estimated_ns(const Row& row) {
  if (row.prices()) {
    const auto spec = cost_of(row);
    return spec ? plan_cost(*spec).estimated_ns : 0;
  }
  const auto spec = run_of(row);
  if (!spec) return 0;
  const auto plan = make_plan(*spec, this_host(*spec));
  return plan ? plan->longest_ns + overhead_ns(*spec) : 0;
}

int64_t estimated_ns(std::span<const Row> rows) {
  return sum_of(estimates_of(rows), turns_of(rows, 1));
}

std::string row_folder(size_t index, const Row& row) {
  return fmt::format("{:02}-{}", index + 1, row.name);
}

std::string run_folder(const SuiteTurn& turn, const Row& row) {
  const std::string folder = row_folder(turn.row, row);
  return turn.warm_up() ? folder + "/warm-up" : fmt::format("{}/rep-{}", folder, turn.repetition);
}

std::vector<LedgerRow> merged_ledger(const SuiteResult& result, size_t row) {
  std::vector<LedgerRow> merged;
  for (const Run& run : result.runs) {
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
                             [](const Run& run) { return !timer_sysctls(run.spec).empty(); });
}

int64_t time_left_ns(const SuiteResult& result, std::span<const int64_t> row_estimates_ns,
                     size_t next) {
  std::vector<int64_t> taken_ns(result.rows.size()), times(result.rows.size());
  int64_t all_taken_ns = 0, all_estimated_ns = 0;
  for (const Run& run : result.runs) {
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

SuiteResult play(const Spec& spec, std::vector<Run> done, const Hooks& hooks) {
  SuiteResult result;
  result.spec = spec;
  result.rows = rows_of(spec);
  result.turns = turns_of(result.rows, spec.seed);
  const std::vector<int64_t> estimates_ns = estimates_of(result.rows);
  result.estimated_ns = sum_of(estimates_ns, result.turns);
  for (size_t i = 0; i < result.turns.size(); ++i) {
    const SuiteTurn& turn = result.turns[i];
    const Row& row = result.rows[turn.row];
    const auto known = std::ranges::find(done, turn, &Run::turn);
    if (known != done.end()) {
      result.wall_ns += known->wall_ns;
      result.status = worse(result.status, known->status);
      result.runs.push_back(std::move(*known));
      continue;
    }
    const std::string front =
        fmt::format("{} of {}, about {} s left, {}", i + 1, result.turns.size(),
                    time_left_ns(result, estimates_ns, i) / kSecond_ns, run_folder(turn, row));
    if (hooks.begins) hooks.begins(front);
    RunHooks run_hooks = hooks.run;
    run_hooks.progress = [&](const Progress& progress) {
      if (!hooks.run.progress) return;
      hooks.run.progress(
          {fmt::format("{}: {}", front, progress.phase), progress.done, progress.total});
    };
    Run run;
    run.turn = turn;
    run.estimated_ns = estimates_ns[turn.row];
    const int64_t start_ns = now_ns();
    play_turn(run, row, run_hooks);
    run.wall_ns = now_ns() - start_ns;
    result.wall_ns += run.wall_ns;
    result.status = worse(result.status, run.status);
    if (run.status == RunStatus::interrupted) break;
    const bool asked_to_end = hooks.run.interrupted && hooks.run.interrupted();
    Status failed;
    if (hooks.finished) failed = hooks.finished(row, run);
    if (failed) {
      run.status = RunStatus::no_resources;
      result.status = worse(result.status, run.status);
      run.error = failed->message();
    }
    result.runs.push_back(std::move(run));
    if (failed) break;
    if (asked_to_end) {
      result.status = worse(result.status, RunStatus::interrupted);
      break;
    }
  }
  const auto skipped = [](const Run& run) { return run.status == RunStatus::skipped; };
  if (result.status == RunStatus::ok && std::ranges::all_of(result.runs, skipped))
    result.status = RunStatus::skipped;
  return result;
}

// --- A run, kept for a suite that is resumed

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(CostSample, connections, cost)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PricedProbe, probe, skipped, samples)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PricedWatch, watch, probes)

std::string serialize(const Run& run) {
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

Result<Run> deserialize_suite_run(const std::string& text, std::span<const Row> rows) {
  // The library reports a wrong shape by an exception; it stops here.
  try {
    const nlohmann::json json = nlohmann::json::from_msgpack(text);
    Run run;
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
    const Row& row = rows[run.turn.row];
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

}  // namespace lastack::suite
