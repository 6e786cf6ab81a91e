// What a row's probe did: how late it was, and whom it declared dead that lived.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "shard/ends.h"

namespace lastack {

// Exact, and possibly below zero: early.
struct Spread {
  int64_t count = 0, min_ns = 0, p50_ns = 0, p90_ns = 0, p99_ns = 0, max_ns = 0;
  bool operator==(const Spread&) const = default;
};
Spread spread_of(std::vector<int64_t> values_ns);

struct ProbeSums {
  // Known before the run. Without a promise there is nothing to be late against.
  bool promised = false;
  int64_t nominal_ns = 0;                          // as configured
  std::string since;                               // from when the prediction counts
  std::vector<std::pair<int64_t, int64_t>> spans;  // predicted: least and most, ascending
  // Of the deaths that the probe found.
  Spread after_nominal;    // since t0, minus nominal
  Spread after_predicted;  // since `since`, minus the least of the span it is in or behind
  int64_t early = 0, within = 0, later = 0;  // than the predicted spans; between two is later
  int64_t false_alarms = 0;                  // live peers declared dead
  int64_t false_alarms_in_stalls = 0;        // of them: the run stood still meanwhile
  int64_t longest_silence_ns = 0;  // of a live peer that heartbeats watch; 0: none was watched
  bool operator==(const ProbeSums&) const = default;
};

// Collects what the connections of one row add.
class ProbeLedger {
 public:
  explicit ProbeLedger(ProbeSums sums) : sums_(std::move(sums)) {}
  // A death that the row's probe found.
  void add_death(const VictimEnd& victim, const SurvivorEnd& survivor);
  void add_false_alarm(bool in_stall) {
    ++sums_.false_alarms;
    sums_.false_alarms_in_stalls += in_stall;
  }
  // Somebody who lives, or lived until the act.
  void add_silence(int64_t longest_ns);
  ProbeSums take();

 private:
  ProbeSums sums_;
  std::vector<int64_t> after_nominal_ns_, after_predicted_ns_;
};

// Whether this finding is the one that the row's probe promises.
bool found_by_probe(const PlanRow& row, Finding finding);

}  // namespace lastack
