// What a probe costs while nobody dies: runs with it and without it, side by side, round after
// round, and the mean of the differences with its confidence interval.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/statistics.h"
#include "ledger/result.h"
#include "plan/spec.h"
#include "run/runner.h"

namespace lastack::suite {

constexpr int64_t kFewestRounds = 3, kMostRounds = 100;
constexpr int64_t kShortestWindow_ns = 10'000'000, kLongestWindow_ns = 3'600'000'000'000;

struct CostSpec {
  RunSpec run;  // with the probes whose price is asked
  int64_t rounds = 6;
  int64_t window_ns = 5'000'000'000;
};

// A parameter that such runs set themselves, and why a user's value is refused.
struct FixedParameter {
  std::string_view flag, why;
};
std::span<const FixedParameter> fixed_parameters();

// The run of one probe of one watch.
RunSpec cost_run(const CostSpec& spec, Watch watch, Probe probe);

// What is measured of a run, shared by its connections and, where `per_second`, by its seconds.
struct QuantityRow {
  std::string_view name;
  std::string_view unit;  // of one connection
  bool per_second;
  std::optional<double> (*value)(const Cost& cost);  // nullopt: not to be had here
  std::string_view help;
};
std::span<const QuantityRow> quantities();

struct CostSample {
  int64_t connections = 0;
  Cost cost;
};
std::optional<double> share(const QuantityRow& quantity, const CostSample& sample);

struct PricedProbe {
  Probe probe;
  std::string skipped;              // why it cannot run; empty when it can
  std::vector<CostSample> samples;  // one a round
};

struct PricedWatch {
  Watch watch;
  std::vector<PricedProbe> probes;  // the first one is the control, Probe::none
};

// What a quantity is without the probe, and how much more it is with it.
struct Price {
  double control_mean;
  Interval more;
};
// The samples of round i stand at index i in both. Nullopt where the quantity is not to be had, or
// with fewer than two rounds.
std::optional<Price> price(const QuantityRow& quantity, std::span<const CostSample> control,
                           std::span<const CostSample> probe);

// A run of a round: indexes into CostResult::watches and PricedWatch::probes.
struct CostTurn {
  size_t watch, probe;
};
// The runs of one round in an order by chance, so that no probe always profits from what its
// predecessors leave behind. Those of one watch follow each other: they are compared.
std::vector<CostTurn> turns_of_round(std::span<const PricedWatch> watches, Random& random);

struct CostResult {
  RunStatus status = RunStatus::ok;
  std::string error;  // why there are no prices; empty when there are
  CostSpec spec;
  int64_t rounds = 0;  // whole ones
  std::vector<std::string> notes;
  std::vector<PricedWatch> watches;
  RunResult host;  // of the first run, without its ledger: for the environment manifest
};

// The watches with their probes, and what of that cannot run here. An Error when the spec asks for
// something impossible, or nothing is left.
struct CostPlan {
  RunStatus status = RunStatus::ok;
  std::string error;
  std::vector<PricedWatch> watches;
  int64_t estimated_ns = 0;
};
CostPlan plan_cost(const CostSpec& spec);

CostResult measure_cost(const CostSpec& spec, const CostPlan& plan, const RunHooks& hooks);

}  // namespace lastack::suite
