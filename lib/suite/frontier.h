// What a suite about dead peers says in the end: how soon each setting of each probe finds them,
// whom it takes for dead by mistake, and what it costs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/csv.h"
#include "suite/suite.h"

namespace lastack::suite {

// Per connection and second, measured on a quiet host whose connections carry nothing else.
struct FrontierCost {
  bool measured = false;  // with this very period; else between two others
  double survivor_cpu_ns = 0, survivor_cpu_low_ns = 0, survivor_cpu_high_ns = 0;
  double victim_cpu_ns = 0;
  double segments = 0;
};

// One setting of one probe in one run: peers that fell silent, and live ones beside them.
struct FrontierLine {
  std::string run, watch, probe, settings, load, reader;
  int64_t neighbours = 0;
  int64_t cpu_hogs = 0;
  int64_t heartbeat_deadline_ns = 0;                 // 0: the probe has none
  int64_t silent = 0, found = 0;                     // without those taken for dead before
  int64_t latency_p50_ns = -1, latency_p99_ns = -1;  // since the death; -1: nothing found
  int64_t alive = 0;                                 // peers that lived all the time
  int64_t false_alarms = 0;                          // of them
  int64_t early_alarms = 0;                          // silent ones taken for dead while they lived
  std::optional<FrontierCost> cost;

  std::string_view load_state() const { return cpu_hogs > 0 ? "cpu-hog" : "quiet"; }
  bool no_false_alarm() const { return false_alarms + early_alarms == 0; }
};
std::vector<FrontierLine> frontier_of(const SuiteResult& result);
std::string frontier_csv(const std::vector<FrontierLine>& lines);
CsvSchema frontier_csv_schema();

// The smallest deadline of a way to keep heartbeats that raised no false alarm, and none of the
// longer ones did; 0: even the longest one did.
struct SafeDeadline {
  std::string watch, probe;
  std::string_view load_state;
  int64_t deadline_ns = 0;
};
std::vector<SafeDeadline> safe_deadlines(const std::vector<FrontierLine>& lines);

}  // namespace lastack::suite
