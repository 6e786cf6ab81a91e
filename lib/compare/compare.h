// Recordings side by side: what one kernel, host or version of lastack does otherwise than another.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/modes.h"
#include "base/statistics.h"
#include "base/time_unit.h"
#include "compare/facts.h"
#include "compare/recorded.h"

namespace lastack::compare {

// Claims are made at this level, corrected for the number of tests (see adjusted_p()).
constexpr double kLevel = 0.05;

enum class Better { less, more, neither };
std::string_view better_name(Better better);

// What is compared of the lines of summary.csv.
struct Quantity {
  std::string_view name, unit;
  Better better;
  Better better_alive;  // of peers that live: whoever finds something raised a false alarm
  Change change;        // whether a ratio says something, or a difference
  bool of_run;          // belongs to the whole run: looked at once, not for each of its lines
  // Of others than the run, too, or too coarse: only a machine that does nothing else, and does
  // it alike in each boot, tells it.
  bool virtual_only;
  std::optional<double> (*value)(const RecordedLine& line);  // nullopt: not to be had
  std::string_view help;
};
std::span<const Quantity> quantities();

// What the repetitions of one side say of a quantity.
struct SideFigures {
  std::vector<double> values;  // one per repetition, in their order; may be none
  double median = 0;
  std::optional<Range> range;  // of the true median, 95 %
};

enum class Verdict { worse, better, changed, same, untestable };
std::string_view verdict_name(Verdict verdict);

// A later side against the first one.
struct ChangeFigures {
  size_t side = 1;
  std::optional<double> percent;       // of the medians; nullopt where they have no ratio
  std::optional<Range> percent_range;  // 95 %
  std::optional<double> difference;    // of the medians, in the quantity's unit
  std::optional<Range> difference_range;
  std::optional<double> p, adjusted_p;  // nullopt: no values to test, not in the family
  Verdict verdict = Verdict::untestable;
  std::string reason;  // why nothing is claimed, where that is not the p-value
};

struct ComparedQuantity {
  const Quantity* quantity;
  Better better;
  std::vector<SideFigures> sides;
  std::vector<ChangeFigures> changes;        // one per side after the first
  std::optional<size_t> repetitions_needed;  // a side, for Comparison::shown_change
};

// Something that a row did on one side and never on the other.
struct KindChange {
  size_t side = 1;
  std::string text;
  bool counted = false;  // else rare: chance may be the reason
  bool worse = false;    // found less, skipped, a run that failed, a false alarm
};

// The repetitions of one side whose latencies are two groups, and those of the first of them.
struct SideModes {
  size_t repetitions = 0, of = 0;
  Modes first;
};

struct ComparedRow {
  RecordedKey key;                   // of what belongs to the whole run: "-" for all but the row
  std::vector<std::string> skipped;  // per side; empty: ran
  std::vector<std::map<std::string, double>> findings;  // per side: shares, of all repetitions
  std::vector<SideModes> modes;                         // per side
  std::vector<KindChange> kinds;
  std::vector<ComparedQuantity> quantities;

  bool of_run() const { return key.strategy == "-"; }
  bool changed_in_kind() const;
};

struct Drift {
  size_t tests = 0, different = 0;
  // Chance lets one of twenty differ.
  bool suspicious() const { return different > 2 && different * 10 > tests; }
};

struct ComparedSide {
  std::string label;
  size_t repetitions = 0, warm_up_left_out = 0, runs = 0;
  std::vector<RecordedRun> failed_runs;   // that did not end ok
  std::vector<RecordedRun> wanting_runs;  // that the host kept from running for a while
  Drift drift;
};

// Over the rows that have an interval of their own.
struct MeanChange {
  const Quantity* quantity;
  size_t side;
  double percent;  // of the geometric mean of the ratios
  size_t rows;
  std::optional<Range> percent_range;  // 95 %, by bootstrap: too narrow for few repetitions
  double adjusted_p = 1;  // rank test over the repetitions' means, corrected for all such means
  bool shown = false;     // whether that reaches the level
};

struct Options {
  bool force = false;          // compare what had better not be compared
  double shown_change = 0.05;  // of which to say how many repetitions would show it
};

struct Comparison {
  Options options;
  std::vector<Recording> recordings;
  TimeUnit time_unit = TimeUnit::ns;  // of all of them
  std::vector<ComparedSide> sides;
  std::vector<FactDifference> environment;
  std::vector<std::string> refusals;  // only with `force`
  std::vector<ComparedRow> rows;      // those that changed in kind first
  std::vector<MeanChange> geometric_means;
  size_t family = 0;    // tests that were corrected for
  size_t possible = 0;  // tests that enough repetitions would add to it
  size_t kind_changes = 0, worse = 0, better = 0;
  std::vector<std::string> notes;
  std::vector<std::string> detectable;  // what so many repetitions can show
};

// At least two recordings, the first of which is what the others are compared with. An Error where
// they had better not be compared, unless that is forced, and where they have no row in common.
//
// How it decides. Each row x quantity x later side is one rank test over repetitions
// (base/statistics.h says why over these), and so is the share of each finding, first error, skip
// and status that occurs at all. All of them are one family, corrected together. Left out of it is
// what could not reach the level whatever the assignment of the values to the sides: too few
// repetitions, or (nearly) equal values. That depends on the values alone and not on which side
// they came from, so that no error gets more likely by it (Tarone 1990, Gilbert 2005).
//
// A change in kind is counted where something occurs on one side and never on the other, and
// either its corrected p is at most the level, or more than half of the connections show it in
// every single repetition: what most of them find is decided by the kernel's rules, and not by
// how busy a host was (but for false alarms: of those, one repetition says nothing). Anything else
// of the sort is listed as rare. Of what both sides have, a share that moved, of those who found
// anything, is counted where the corrected p shows it, unless found_share tells it.
Result<Comparison> comparison_of(std::vector<Recording> recordings, const Options& options);

// Whether a later side is worse by at least this share (0.05: 5 %), or in kind. What has no ratio
// is not judged, but for what was zero and is not any more.
bool regressed(const Comparison& comparison, double share);

}  // namespace lastack::compare
