// Suites are played: in which order, how long it takes, and what of it is written down and merged.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ledger/result.h"
#include "run/runner.h"
#include "suite/cost.h"
#include "suite/tables.h"

namespace lastack::suite {

constexpr int64_t kMostRepetitions = 1000;

// What to play. Two of these that are equal play the same runs in the same order.
struct Spec {
  const Suite* suite = nullptr;
  bool quick = false;
  int64_t repetitions = 0;  // of every row but prices, which repeat themselves; 0: as rows say
  int64_t seed = 1;         // of the order
};
std::vector<Row> rows_of(const Spec& spec);

// One run of a suite.
struct SuiteTurn {
  size_t row = 0;
  int64_t repetition = 1;  // 0: the warm-up
  bool warm_up() const { return repetition == 0; }
  bool operator==(const SuiteTurn&) const = default;
};
// Repetition by repetition, the rows of each in an order by chance: what drifts on the host
// burdens all rows alike.
std::vector<SuiteTurn> turns_of(std::span<const Row> rows, int64_t seed);

// The names of the parameters in which runs of suites differ, and of those that set probes: columns
// of a suite's summary.csv. Without those that name a row of the ledger.
const std::vector<std::string_view>& varied_parameters();

// What a row asks for; an Error where its text says nonsense.
Result<RunSpec> run_of(const Row& row);
Result<CostSpec> cost_of(const Row& row);

// The longest that one run of a row should take on this host; deadlines bound it, so most come
// close.
int64_t estimated_ns(const Row& row);
// Of all its runs.
int64_t estimated_ns(std::span<const Row> rows);

// "03-keepalive-1s-1s-2": the folder of the row at that index, and "03-keepalive-1s-1s-2/rep-1" or
// ".../warm-up" of one of its runs.
std::string row_folder(size_t index, const Row& row);
std::string run_folder(const SuiteTurn& turn, const Row& row);

// A run that was played, to its end or as far as it came.
struct Run {
  SuiteTurn turn;
  RunStatus status = RunStatus::ok;
  std::string error;
  int64_t estimated_ns = 0;
  int64_t wall_ns = 0;
  RunSpec spec;
  RunResult result;  // of a run
  CostResult cost;   // of prices
};
// For a suite that is resumed, by the build that began it. The spec is not in it: the row has it.
std::string serialize(const Run& run);
Result<Run> deserialize_suite_run(const std::string& text, std::span<const Row> rows);

// Not `Result`: that is a value or an Error in all of lib/.
struct SuiteResult {
  Spec spec;
  RunStatus status = RunStatus::ok;  // the worst one
  int64_t estimated_ns = 0;
  int64_t wall_ns = 0;  // of all runs together
  std::vector<Row> rows;
  std::vector<SuiteTurn> turns;
  std::vector<Run> runs;  // those that ended, as played; fewer than turns if interrupted
};

// The rows of a row's ledger, of all its measured runs together: counts are sums, histograms are
// merged. What a sum cannot say (spreads, writes' errors) is that of the first run.
std::vector<LedgerRow> merged_ledger(const SuiteResult& result, size_t row);

// Whether a run writes the sysctls of timers into its namespace.
bool scales_timers(const SuiteResult& result);

// How long the turns from `next` on will take: a row that was played takes as long as it took,
// others as much less than their estimate as the ones before did.
int64_t time_left_ns(const SuiteResult& result, std::span<const int64_t> row_estimates_ns,
                     size_t next);

struct Hooks {
  RunHooks run;
  // Called before each run with what it is, "3 of 48, about 20 s left, 02-storm/rep-1"; may be
  // empty.
  std::function<void(const std::string& what)> begins;
  // Called after each run, to write it down; may be empty. An Error ends the suite.
  std::function<Status(const Row& row, const Run& run)> finished;
};

// Plays the turns one after the other, but for those in `done`. A row that cannot run here is kept
// with its error, and the next one follows; an interruption ends the suite, without the run that
// it hit.
SuiteResult play(const Spec& spec, std::vector<Run> done, const Hooks& hooks);

}  // namespace lastack::suite
