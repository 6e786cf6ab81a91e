// What a folder of recorded runs holds, as far as two of them can be compared by it: the folder of
// a suite, that of a run, or several of either that count as repetitions of one another.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace lastack::compare {

// Nor does lastack count repetitions beyond this.
constexpr int64_t kMostRecordedRepetitions = 10'000;

// What tells lines of summary.csv apart; equal ones of two recordings are compared.
struct RecordedKey {
  std::string row, strategy, watch, probe, write_path;
  auto operator<=>(const RecordedKey&) const = default;
};

// A line of summary.csv: what one repetition found. An optional is empty where the file is.
struct RecordedLine {
  RecordedKey key;
  std::string run;  // its folder
  int64_t repetition = 1;
  bool warm_up = false;
  std::string family, skipped;
  int64_t requested = 0, torn_down = 0, found = 0, nothing = 0, latency_count = 0;
  std::map<std::string, int64_t> findings, first_errors;  // by name; `nothing` is one of them
  std::optional<double> latency_p50_ns, latency_p99_ns, latency_p999_ns, after_predicted_p50_ns,
      written_p50_ns, writes_accepted_after_act, cpu_ns_per_connection, segments_per_connection,
      busy_ns_per_connection, establish_ns_per_connection, arm_ns_per_connection, mode_1_p50_ns,
      mode_1_share, mode_2_p50_ns, mode_2_share;
};

struct RecordedRun {
  std::string row, folder;
  std::string status;  // empty: not played
  std::string error;
  int64_t stalled_ns = 0, throttled_ns = 0;  // how long the host kept it from running
  int64_t repetition = 1;
  bool warm_up = false;
};

struct Recording {
  std::string path;   // as it was given
  std::string suite;  // empty for runs
  bool quick = false;
  std::string time, kernel, version;            // of the first run
  std::map<std::string, std::string> facts;     // "kernel.release": what its host is, flattened
  std::map<std::string, std::string> commands;  // by row, without the seed
  std::vector<RecordedRun> runs;                // with warm-ups
  std::vector<RecordedLine> lines;              // without
  std::vector<std::string> doubts;              // why it had better not be compared at all
};

// The texts of manifest.json and summary.csv of a suite, of run.json and summary.csv of a run.
// `folder` is what messages call the place.
Result<Recording> recorded_suite(const std::string& folder, std::string_view manifest,
                                 std::string_view summary);
Result<Recording> recorded_run(const std::string& folder, std::string_view document,
                               std::string_view summary);

// Reads the folder of a suite or of a run, or what a pattern such as "runs/a-*" names: these count
// as repetitions, in the order of their names.
Result<Recording> read_recording(const std::string& path);

// Why figures of the two say nothing about each other: another CPU, another kind of build, other
// runs. Empty when they do. The names stand for them in the reasons.
std::vector<std::string> why_not_comparable(const Recording& a, const std::string& name_of_a,
                                            const Recording& b, const std::string& name_of_b);

}  // namespace lastack::compare
