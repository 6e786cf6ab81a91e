// Suites: tables of runs that answer one question together, with the prices of the probes among
// them.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "run/cost.h"
#include "run/result.h"
#include "run/runner.h"

namespace lastack {

// Parameters as (flag without dashes, value).
using Parameters = std::vector<std::pair<std::string, std::string>>;

struct SuiteRow {
  std::string name;  // unique within the suite
  Parameters parameters;
  // Above 0: not one run, but what its probes cost, in so many rounds of such windows.
  int64_t rounds = 0;
  int64_t window_ns = 0;

  bool prices() const { return rounds > 0; }
};

struct Suite {
  std::string_view name;
  std::string_view help;
  // `quick`: the same kinds of rows with small numbers, to see that everything works.
  std::vector<SuiteRow> (*rows)(bool quick);
};
std::span<const Suite> suites();
Result<const Suite*> find_suite(std::string_view name);

// "mix=silent=1,alive=1 probe=keepalive" in pairs.
Parameters parse_parameters(std::string_view text);

// What a row asks for; an Error where its text says nonsense.
Result<RunSpec> run_of(const SuiteRow& row);
Result<CostSpec> cost_of(const SuiteRow& row);

// The longest that a row should take on this host; deadlines bound it, so most come close.
int64_t estimated_ns(const SuiteRow& row);

// "03-keepalive-1s-1s-2": the folder of the row at that index.
std::string row_folder(size_t index, const SuiteRow& row);

// A row that was played, to its end or as far as it came.
struct SuiteRun {
  size_t index;  // of its row
  RunStatus status = RunStatus::ok;
  std::string error;
  int64_t estimated_ns = 0;
  int64_t wall_ns = 0;
  RunSpec spec;
  RunResult result;  // of a run
  CostResult cost;   // of prices
};

struct SuiteResult {
  std::string_view name;
  bool quick = false;
  RunStatus status = RunStatus::ok;  // the worst one
  int64_t estimated_ns = 0;
  int64_t wall_ns = 0;
  std::vector<SuiteRow> rows;
  std::vector<SuiteRun> runs;  // those that ended; fewer than rows after an interruption
};

struct SuiteHooks {
  RunHooks run;
  // Called after each run, to write it down; may be empty. An Error ends the suite.
  std::function<Status(const SuiteRow& row, const SuiteRun& run)> finished;
};

// Plays the rows one after the other. A row that cannot run here is kept with its error, and the
// next one follows; an interruption ends the suite, without the run that it hit.
SuiteResult run_suite(const Suite& suite, bool quick, const SuiteHooks& hooks);

}  // namespace lastack
