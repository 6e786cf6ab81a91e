#include "compare/compare.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "base/rows.h"
#include "base/time_unit.h"
#include "compare/align.h"
#include "compare/document.h"
#include "compare/kinds.h"

namespace lastack::compare {
namespace {

constexpr size_t kFewestInHalf = 4;  // that a rank test can tell apart at kLevel
constexpr uint64_t kSeed = 1;

double number(int64_t value) { return static_cast<double>(value); }

using Value = std::optional<double>;

// A quantile that the findings of a repetition can tell: one of them at least lies beyond it.
Value quantile(const RecordedLine& line, Value value_ns, int64_t fewest) {
  return line.latency_count >= fewest ? value_ns : std::nullopt;
}

Value per_connection(const RecordedLine& line, Value sum) {
  if (!sum || line.torn_down == 0) return std::nullopt;
  return *sum / number(line.torn_down);
}

constexpr Quantity kQuantities[] = {
    {"latency_p50", "ns", Better::less, Better::neither, Change::ratio, false, false,
     [](const RecordedLine& l) { return quantile(l, l.latency_p50_ns, 50); },
     "median latency since the act, of each repetition with 50 findings or more"},
    {"latency_p99", "ns", Better::less, Better::neither, Change::ratio, false, false,
     [](const RecordedLine& l) { return quantile(l, l.latency_p99_ns, 100); },
     "99th percentile, of each repetition with 100 findings or more"},
    {"latency_p999", "ns", Better::less, Better::neither, Change::ratio, false, false,
     [](const RecordedLine& l) { return quantile(l, l.latency_p999_ns, 1'000); },
     "99.9th percentile, of each repetition with 1,000 findings or more"},
    {"found_share", "share", Better::more, Better::less, Change::ratio, false, false,
     [](const RecordedLine& l) { return per_connection(l, number(l.found)); },
     "of the connections: found out before the deadline"},
    {"writes_before_error", "writes", Better::less, Better::neither, Change::ratio, false, false,
     [](const RecordedLine& l) { return per_connection(l, l.writes_accepted_after_act); },
     "writes that a connection's kernel accepted after the act"},
    {"lateness", "ns", Better::less, Better::neither, Change::difference, false, false,
     [](const RecordedLine& l) { return quantile(l, l.after_predicted_p50_ns, 2); },
     "median time by which a probe's finding came later than its earliest prediction"},
    {"cpu_per_connection", "ns", Better::less, Better::less, Change::ratio, true, false,
     [](const RecordedLine& l) { return l.cpu_ns_per_connection; },
     "user and system CPU of the run's survivors"},
    {"segments_per_connection", "segments", Better::less, Better::less, Change::ratio, true, false,
     [](const RecordedLine& l) { return l.segments_per_connection; },
     "TCP segments in the run's namespaces"},
    {"written_p50", "ns", Better::less, Better::neither, Change::ratio, false, true,
     [](const RecordedLine& l) { return l.written_p50_ns; },
     "median time from the survivor's first write, where it is told of the act, to its finding"},
    {"busy_per_connection", "ns", Better::less, Better::less, Change::ratio, true, true,
     [](const RecordedLine& l) { return l.busy_ns_per_connection; },
     "all that the machine did from the armed watch to the closed ledger"},
    {"establish_per_connection", "ns", Better::less, Better::less, Change::ratio, true, true,
     [](const RecordedLine& l) { return l.establish_ns_per_connection; }, "how long opening took"},
    {"arm_per_connection", "ns", Better::less, Better::less, Change::ratio, true, true,
     [](const RecordedLine& l) { return l.arm_ns_per_connection; }, "how long arming took"},
};
static_assert(named(kQuantities, &Quantity::name));

// ---- Figures

SideFigures figures_of(const Quantity& quantity, const Lines& lines) {
  SideFigures figures;
  for (const RecordedLine* line : lines) {
    if (!line->skipped.empty() && !quantity.of_run) continue;
    if (const Value value = quantity.value(*line)) figures.values.push_back(*value);
  }
  if (figures.values.empty()) return figures;
  figures.median = median(figures.values);
  figures.range = median_interval(figures.values);
  return figures;
}

// Of two sides with values; what the p-value means is said when all tests are known.
ChangeFigures change_of(const Quantity& quantity, Better better, const SideFigures& before,
                        const SideFigures& after, size_t side) {
  ChangeFigures change;
  change.side = side;
  if (quantity.change == Change::difference) {
    change.difference = after.median - before.median;
    change.difference_range =
        change_interval(Change::difference, before.values, after.values, kSeed);
  } else if (before.median > 0) {
    change.percent = (after.median / before.median - 1) * 100;
    if (const auto ratio = change_interval(Change::ratio, before.values, after.values, kSeed))
      change.percent_range = Range{(ratio->low - 1) * 100, (ratio->high - 1) * 100};
  }
  const RankTest test = rank_test(before.values, after.values);
  change.p = test.p;
  // What the verdict is if the test says that there is a difference.
  const bool rose_is_worse = better == Better::less;
  change.verdict = better == Better::neither           ? Verdict::changed
                   : test.b_is_higher == rose_is_worse ? Verdict::worse
                                                       : Verdict::better;
  const size_t n = before.values.size(), m = after.values.size();
  if (all_equal(before.values, after.values)) {
    change.verdict = Verdict::same;
    change.reason = "all values are equal";
  } else if (least_rank_test_p(n, m) > kLevel) {
    change.verdict = Verdict::untestable;
    change.reason = fmt::format("too few repetitions ({} and {})", n, m);
  } else if (test.least_p > kLevel) {
    change.verdict = Verdict::same;
    change.reason = "nearly all values are equal";
  } else {
    change.adjusted_p = test.p;  // in the family
  }
  return change;
}

// ---- The whole

SideModes modes_of(const Lines& lines) {
  SideModes modes;
  modes.of = lines.size();
  for (const RecordedLine* l : lines) {
    if (!l->mode_1_p50_ns || !l->mode_1_share || !l->mode_2_p50_ns || !l->mode_2_share) continue;
    if (modes.repetitions++ == 0)
      modes.first = {{{std::llround(*l->mode_1_p50_ns), *l->mode_1_share},
                      {std::llround(*l->mode_2_p50_ns), *l->mode_2_share}}};
  }
  return modes;
}

ComparedRow compared_row(const RecordedKey& key, const LinesOfKey& lines, TimeUnit unit) {
  ComparedRow row;
  row.key = key;
  const bool alive = is_alive(lines);
  for (size_t side = 0; side < lines.sides.size(); ++side) {
    const Lines& of_side = lines.sides[side];
    const bool absent = of_side.empty() && lines.runs[side].empty();
    const bool all_skipped =
        !of_side.empty() && std::all_of(of_side.begin(), of_side.end(),
                                        [](const RecordedLine* l) { return !l->skipped.empty(); });
    row.skipped.push_back(absent                         ? "no such row"
                          : row.of_run() || !all_skipped ? ""
                                                         : of_side.front()->skipped);
    row.modes.push_back(modes_of(of_side));
    std::map<std::string, double>& shares = row.findings.emplace_back();
    int64_t all = 0;
    if (row.of_run()) continue;
    for (const RecordedLine* line : of_side) {
      all += line->torn_down;
      for (const auto& [name, count] : line->findings) shares[name] += number(count);
    }
    for (auto& [name, share] : shares) share /= number(std::max<int64_t>(all, 1));
  }
  for (const Quantity& quantity : kQuantities) {
    if (quantity.of_run != row.of_run()) continue;
    if (quantity.virtual_only && unit != TimeUnit::virtual_ns) continue;
    ComparedQuantity compared{
        &quantity, alive ? quantity.better_alive : quantity.better, {}, {}, std::nullopt};
    bool any = false;
    for (const Lines& side : lines.sides) {
      compared.sides.push_back(figures_of(quantity, side));
      any = any || !compared.sides.back().values.empty();
    }
    if (any) row.quantities.push_back(std::move(compared));
  }
  return row;
}

Drift drift_of(const std::vector<ComparedRow>& rows, size_t side) {
  Drift drift;
  for (const ComparedRow& row : rows)
    for (const ComparedQuantity& quantity : row.quantities) {
      const std::span<const double> values = quantity.sides[side].values;
      const size_t half = values.size() / 2;
      if (half < kFewestInHalf) continue;
      const RankTest test = rank_test(values.first(half), values.last(half));
      if (test.least_p > kLevel) continue;
      ++drift.tests;
      drift.different += test.p <= kLevel;
    }
  return drift;
}

std::vector<ComparedSide> describe_sides(const std::vector<Recording>& recordings) {
  std::vector<std::string> paths;
  for (const Recording& recording : recordings) paths.push_back(recording.path);
  const auto labels = labels_of(paths);
  std::vector<ComparedSide> sides;
  for (size_t i = 0; i < recordings.size(); ++i) {
    ComparedSide side;
    side.label = labels[i];
    std::map<std::string, size_t> repetitions;
    for (const RecordedRun& run : recordings[i].runs) {
      side.warm_up_left_out += run.warm_up;
      if (run.warm_up) continue;
      ++side.runs;
      side.repetitions = std::max(side.repetitions, ++repetitions[run.row]);
      if (run.status != kOk) side.failed_runs.push_back(run);
      if (run.stalled_ns > 0 || run.throttled_ns > 0) side.wanting_runs.push_back(run);
    }
    sides.push_back(std::move(side));
  }
  return sides;
}

// The verdicts, once every test is there to correct for.
void decide(Comparison& comparison, std::vector<std::vector<KindTest>>& kind_tests) {
  std::vector<double> family;
  for (ComparedRow& row : comparison.rows)
    for (ComparedQuantity& quantity : row.quantities)
      for (const ChangeFigures& change : quantity.changes)
        if (change.adjusted_p) family.push_back(*change.p);
  for (const auto& of_row : kind_tests)
    for (const KindTest& test : of_row)
      if (test.p) family.push_back(*test.p);
  comparison.family = family.size();
  const auto adjusted = adjusted_p(family);
  size_t next = 0;
  for (ComparedRow& row : comparison.rows)
    for (ComparedQuantity& quantity : row.quantities)
      for (ChangeFigures& change : quantity.changes) {
        if (!change.adjusted_p) continue;
        change.adjusted_p = adjusted[next++];
        if (*change.adjusted_p > kLevel) change.verdict = Verdict::same;
        comparison.worse += change.verdict == Verdict::worse;
        comparison.better += change.verdict == Verdict::better;
      }
  for (size_t i = 0; i < kind_tests.size(); ++i) {
    std::set<size_t> changed_sides;
    for (KindTest& test : kind_tests[i]) {
      const bool significant = test.p && adjusted[next++] <= kLevel;
      if (!test.one_sided && !(significant && test.neutral)) continue;
      test.change.counted = significant || test.mostly;
      if (!test.change.counted) test.change.text += ", " + test.where;
      if (test.change.counted) changed_sides.insert(test.change.side);
      comparison.rows[i].kinds.push_back(std::move(test.change));
    }
    comparison.kind_changes += changed_sides.size();
  }
}

// One value per repetition of a side: how far its rows are from their middle, as the mean of
// logarithms. Rows of one repetition err together, so that nothing less can be tested.
std::vector<double> repetition_means(std::span<const BeforeAfter> rows,
                                     std::span<const double> BeforeAfter::*side) {
  std::vector<double> sums, counts;
  for (const BeforeAfter& row : rows) {
    std::vector<double> all(row.before.begin(), row.before.end());
    all.insert(all.end(), row.after.begin(), row.after.end());
    const double middle = median(all);
    const std::span<const double> values = row.*side;
    if (values.size() > sums.size()) {
      sums.resize(values.size());
      counts.resize(values.size());
    }
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i] <= 0 || middle <= 0) continue;
      sums[i] += std::log(values[i] / middle);
      ++counts[i];
    }
  }
  for (size_t i = 0; i < sums.size(); ++i) sums[i] /= std::max(counts[i], 1.0);
  return sums;
}

std::vector<MeanChange> geometric_means_of(const std::vector<ComparedRow>& rows, size_t sides) {
  std::vector<MeanChange> means;
  std::vector<double> p_values;
  for (const Quantity& quantity : kQuantities)
    for (size_t side = 1; side < sides; ++side) {
      std::vector<double> ratios;
      std::vector<BeforeAfter> values;
      for (const ComparedRow& row : rows)
        for (const ComparedQuantity& compared : row.quantities)
          if (compared.quantity == &quantity && compared.better == quantity.better)
            if (const ChangeFigures& change = compared.changes[side - 1];
                change.percent_range && *change.percent > -100) {
              ratios.push_back(1 + *change.percent / 100);
              values.push_back({compared.sides[0].values, compared.sides[side].values});
            }
      if (ratios.empty()) continue;
      MeanChange mean;
      mean.quantity = &quantity;
      mean.side = side;
      mean.percent = (geometric_mean(ratios) - 1) * 100;
      mean.rows = ratios.size();
      p_values.push_back(rank_test(repetition_means(values, &BeforeAfter::before),
                                   repetition_means(values, &BeforeAfter::after))
                             .p);
      if (const auto range = mean_ratio_interval(values, kSeed))
        mean.percent_range = Range{(range->low - 1) * 100, (range->high - 1) * 100};
      means.push_back(mean);
    }
  const auto adjusted = adjusted_p(p_values);
  for (size_t i = 0; i < means.size(); ++i) {
    means[i].adjusted_p = adjusted[i];
    means[i].shown = adjusted[i] <= kLevel;
  }
  return means;
}

// How many repetitions each row needs, and a sentence for each quantity.
void size_up(Comparison& comparison) {
  const double level = kLevel / static_cast<double>(std::max<size_t>(comparison.possible, 1));
  const double ratio = 1 + comparison.options.shown_change;
  std::map<const Quantity*, std::vector<size_t>> needed;
  for (ComparedRow& row : comparison.rows)
    for (ComparedQuantity& quantity : row.quantities) {
      if (quantity.quantity->change == Change::difference) continue;
      std::vector<std::vector<double>> values;
      for (const SideFigures& side : quantity.sides) values.push_back(side.values);
      const auto spread = log_spread(values);
      if (!spread) continue;
      quantity.repetitions_needed = repetitions_to_show(ratio, *spread, level);
      if (quantity.repetitions_needed)
        needed[quantity.quantity].push_back(*quantity.repetitions_needed);
    }
  for (const Quantity& quantity : kQuantities) {
    const auto of_quantity = needed.find(&quantity);
    if (of_quantity == needed.end()) continue;
    auto& counts = of_quantity->second;
    std::sort(counts.begin(), counts.end());
    const std::string range =
        counts.front() == counts.back()
            ? fmt::format("{}", counts.front())
            : fmt::format("{} to {} repetitions a side, {} in the middle row", counts.front(),
                          counts.back(), counts[counts.size() / 2]);
    comparison.detectable.push_back(
        fmt::format("{}: to show a change of {:.3g} % in one row alone takes {}{}", quantity.name,
                    comparison.options.shown_change * 100, range,
                    counts.front() == counts.back() ? " repetitions a side" : ""));
  }
}

std::string plural(size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

// What the host kept from the runs of a side; "" where it served them.
std::string wanting_host(const ComparedSide& side, TimeUnit unit) {
  if (side.wanting_runs.empty()) return "";
  double stalled_ns = 0, throttled_ns = 0;
  for (const RecordedRun& run : side.wanting_runs) {
    stalled_ns += number(run.stalled_ns);
    throttled_ns += number(run.throttled_ns);
  }
  return fmt::format(
      "{}: the host did not serve {}, such as {}: they stood still for {} and were throttled by a "
      "CPU quota for {}; differences between recordings may be that",
      side.label, plural(side.wanting_runs.size(), "run"), side.wanting_runs.front().folder,
      format_rounded_duration(stalled_ns, unit), format_rounded_duration(throttled_ns, unit));
}

// Of virtual time only: the noise of a host makes modes as well, and repetitions tell of it.
void add_modes_notes(Comparison& comparison) {
  if (comparison.time_unit != TimeUnit::virtual_ns) return;
  for (const ComparedRow& row : comparison.rows)
    for (size_t side = 0; !row.of_run() && side < row.modes.size(); ++side) {
      const SideModes& modes = row.modes[side];
      if (modes.repetitions == 0) continue;
      const std::string often =
          modes.of == 1 ? ""
                        : fmt::format(", in {} of {} repetitions", modes.repetitions, modes.of);
      comparison.notes.push_back(fmt::format("{} of {}: {}{}; its median may be either",
                                             row_text(row.key), comparison.sides[side].label,
                                             modes_text(modes.first, comparison.time_unit), often));
    }
}

void add_notes(Comparison& comparison) {
  const auto note = [&](std::string text) { comparison.notes.push_back(std::move(text)); };
  const auto& sides = comparison.sides;
  if (comparison.possible > 0) {
    const double alone = kLevel / static_cast<double>(comparison.possible);
    const size_t needed = fewest_repetitions(alone);
    for (size_t side = 1; side < sides.size(); ++side) {
      const double least = least_rank_test_p(sides[0].repetitions, sides[side].repetitions);
      const std::string who =
          fmt::format("{} and {} repetitions ({}, {})", sides[0].repetitions,
                      sides[side].repetitions, sides[0].label, sides[side].label);
      if (least > kLevel)
        note(fmt::format(
            "too few: {} can show no change of a figure at all; {} a side are the "
            "least, and {} show one row alone among {}",
            who, fewest_repetitions(kLevel), needed, plural(comparison.possible, "test")));
      else if (least > alone)
        note(
            fmt::format("few: {} show a change only where several rows change; {} a side can show "
                        "one row alone among {}",
                        who, needed, plural(comparison.possible, "test")));
    }
  }
  for (const ComparedSide& side : sides) {
    if (side.drift.suspicious())
      note(
          fmt::format("{}: the host drifted: {} of {} differ between the first and the second "
                      "half of the repetitions; differences between recordings may be that",
                      side.label, side.drift.different, plural(side.drift.tests, "figure")));
    if (const std::string wanting = wanting_host(side, comparison.time_unit); !wanting.empty())
      note(wanting);
    if (side.failed_runs.empty()) continue;
    const RecordedRun& run = side.failed_runs.front();
    note(fmt::format("{}: {} not ended ok, such as {}: {}{}{}", side.label,
                     plural(side.failed_runs.size(), "run"), run.folder,
                     run.status.empty() ? "not played" : run.status, run.error.empty() ? "" : ": ",
                     run.error));
  }
  for (const ComparedRow& row : comparison.rows) {
    if (row.of_run()) continue;
    for (const std::string& skipped : row.skipped)
      if (skipped == "no such row") {
        std::vector<std::string> with;
        for (size_t i = 0; i < sides.size(); ++i)
          if (row.skipped[i] != skipped) with.push_back(sides[i].label);
        note(fmt::format("only in {}: {}", fmt::join(with, ", "), row_text(row.key)));
        break;
      }
  }
  add_modes_notes(comparison);
  for (const ComparedRow& row : comparison.rows)
    for (const KindChange& kind : row.kinds)
      if (!kind.counted) note(fmt::format("rare: {}: {}", row_text(row.key), kind.text));
}

}  // namespace

std::span<const Quantity> quantities() { return kQuantities; }

std::string_view better_name(Better better) {
  constexpr std::string_view kNames[] = {"less", "more", "neither"};
  return kNames[static_cast<size_t>(better)];
}

std::string_view verdict_name(Verdict verdict) {
  constexpr std::string_view kNames[] = {"worse", "better", "changed", "same", "untestable"};
  return kNames[static_cast<size_t>(verdict)];
}

bool ComparedRow::changed_in_kind() const {
  return std::any_of(kinds.begin(), kinds.end(), [](const KindChange& k) { return k.counted; });
}

namespace {

// An Error where no force can help; a note where the quantity is not what a reader takes it for.
Status same_quantities(Comparison& comparison) {
  const auto& sides = comparison.sides;
  for (const FactDifference& difference : comparison.environment)
    if (difference.separating)
      return plain_error(
          fmt::format("not comparable, by force either: {} is another quantity: {} in {}, {} in {}",
                      difference.key, difference.values.front().value_or("-"), sides.front().label,
                      difference.values.back().value_or("-"), sides.back().label));
  const auto& facts = comparison.recordings.front().facts;
  if (const auto unit = facts.find("lab.time_unit"); unit != facts.end())
    comparison.time_unit = time_unit_named(unit->second);
  if (std::string note = time_unit_note(comparison.time_unit); !note.empty())
    comparison.notes.push_back(std::move(note));
  return {};
}

}  // namespace

Result<Comparison> comparison_of(std::vector<Recording> recordings, const Options& options) {
  Comparison comparison;
  comparison.options = options;
  comparison.sides = describe_sides(recordings);
  comparison.recordings = std::move(recordings);
  const auto& sides = comparison.sides;
  std::vector<const Recording*> all;
  for (size_t i = 0; i < sides.size(); ++i) {
    const Recording& recording = comparison.recordings[i];
    all.push_back(&recording);
    for (const std::string& doubt : recording.doubts) comparison.refusals.push_back(doubt);
    if (i == 0) continue;
    for (std::string& reason :
         why_not_comparable(*all[0], sides[0].label, recording, sides[i].label))
      comparison.refusals.push_back(std::move(reason));
  }
  if (!comparison.refusals.empty() && !options.force)
    return plain_error(fmt::format("not comparable: {} (--force compares all the same)",
                                   fmt::join(comparison.refusals, "; ")));
  comparison.environment = fact_differences(all);
  if (const Status separate = same_quantities(comparison)) return *separate;
  const Aligned aligned = align(comparison.recordings);
  for (size_t side = 1; side < sides.size(); ++side)
    if (const std::string nothing = nothing_in_common(aligned, side); !nothing.empty())
      return plain_error(
          fmt::format("{} and {} have {}", sides[0].label, sides[side].label, nothing));

  std::vector<std::vector<KindTest>> kind_tests;
  for (const RecordedKey& key : aligned.order) {
    const LinesOfKey& lines = aligned.keys.at(key);
    ComparedRow row = compared_row(key, lines, comparison.time_unit);
    std::vector<KindTest> tests;
    bool shown = false;
    for (size_t side = 1; side < sides.size(); ++side)
      for (const Kind& kind : kinds_of(key, lines))
        if (auto test = kind_test(kind, side, sides, comparison.possible)) {
          shown = shown || test->one_sided;
          tests.push_back(std::move(*test));
        }
    for (ComparedQuantity& quantity : row.quantities)
      for (size_t side = 1; side < sides.size(); ++side) {
        const SideFigures &before = quantity.sides[0], &after = quantity.sides[side];
        if (before.values.empty() || after.values.empty()) {
          ChangeFigures change;
          change.side = side;
          change.reason =
              fmt::format("no value in {}", sides[before.values.empty() ? 0 : side].label);
          quantity.changes.push_back(std::move(change));
          continue;
        }
        quantity.changes.push_back(
            change_of(*quantity.quantity, quantity.better, before, after, side));
        comparison.possible += !all_equal(before.values, after.values);
      }
    if (row.of_run() && row.quantities.empty() && !shown) continue;
    comparison.rows.push_back(std::move(row));
    kind_tests.push_back(std::move(tests));
  }
  decide(comparison, kind_tests);
  std::stable_partition(comparison.rows.begin(), comparison.rows.end(),
                        [](const ComparedRow& row) { return row.changed_in_kind(); });
  for (size_t side = 0; side < sides.size(); ++side)
    comparison.sides[side].drift = drift_of(comparison.rows, side);
  comparison.geometric_means = geometric_means_of(comparison.rows, sides.size());
  size_up(comparison);
  add_notes(comparison);
  return comparison;
}

bool regressed(const Comparison& comparison, double share) {
  for (const ComparedRow& row : comparison.rows) {
    for (const KindChange& kind : row.kinds)
      if (kind.counted && kind.worse) return true;
    for (const ComparedQuantity& quantity : row.quantities)
      for (const ChangeFigures& change : quantity.changes) {
        if (change.verdict != Verdict::worse) continue;
        const bool was_zero =
            quantity.quantity->change == Change::ratio && !change.percent.has_value();
        // Rounding must not make 5 % less than 5 %.
        const bool much = change.percent && std::abs(*change.percent) >= share * 100 - 1e-9;
        if (was_zero || much) return true;
      }
  }
  return false;
}

}  // namespace lastack::compare
