// Comparisons of recordings that are made here, as texts, by a seeded generator.
#include "compare/compare.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/random.h"
#include "compare/compare_text.h"
#include "compare/csv_table.h"

namespace lastack::compare {
namespace {

using Json = nlohmann::ordered_json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr int64_t kConnections = 2'000;

// One line of a repetition, which a test may change before it is written.
struct MadeLine {
  std::string row;
  int repetition;
  double p50_ns, p99_ns, p999_ns, cpu_ns, segments, lateness_ns, writes;
  int64_t found = kConnections;
  int64_t latency_count = kConnections;
  std::string finding = "econnreset", other_finding, skipped, family = "rst", status = "ok";
  int64_t other = 0;  // of the found ones: with other_finding
  std::string modes = ",,,";
};

struct MadeSuite {
  int rows = 6, repetitions = 10;
  uint64_t seed = 1;
  double noise = 0.02;
  std::string name = "made";
  bool quick = false;
  std::string command = "lastack run --connections 2k";
  Json facts = {{"cpu", {{"model", "Quick 1"}, {"usable_count", 2}, {"frequency_mhz", 2400.5}}},
                {"kernel", {{"release", "6.18"}, {"hz", 250}}},
                {"build", {{"version", "0.1.0"}, {"build_type", "Release"}, {"sanitizers", false}}},
                {"time", "2026-11-22T00:00:00Z"},
                {"load_average", {1.5, 1, 1}}};
  std::function<void(MadeLine&)> change = [](MadeLine&) {};
  std::function<void(Json&)> run_change = [](Json&) {};  // of the manifest
};

double normal(Random& random) {
  return std::sqrt(2 * random.exponential()) * std::cos(2 * M_PI * random.uniform());
}

Recording made(const MadeSuite& suite, const std::string& path = "") {
  Random random{suite.seed};
  std::string csv =
      "schema_version,row,run,repetition,warm_up,run_status,cpu_ns_per_connection,"
      "segments_per_connection,strategy,watch,probe,family,requested,torn_down,found,nothing,"
      "findings,skipped,latency_count,latency_p50_ns,latency_p99_ns,latency_p999_ns,write_path,"
      "writes_accepted_after_act,first_errors,after_predicted_p50_ns,mode_1_p50_ns,mode_1_share,"
      "mode_2_p50_ns,mode_2_share\n";
  Json runs = Json::array(), rows = Json::array();
  for (int row = 0; row < suite.rows; ++row)
    rows.push_back({{"name", fmt::format("row-{}", row)}, {"command", suite.command}});
  for (int repetition = 0; repetition <= suite.repetitions; ++repetition)
    for (int row = 0; row < suite.rows; ++row) {
      const auto noisy = [&](double value) {
        return std::round(value * std::exp(suite.noise * normal(random)));
      };
      MadeLine line;
      line.row = fmt::format("row-{}", row);
      line.repetition = repetition;
      line.p50_ns = noisy(60'000 * (row + 1));
      line.p99_ns = noisy(400'000 * (row + 1));
      line.p999_ns = noisy(900'000 * (row + 1));
      line.cpu_ns = noisy(200'000);
      line.segments = noisy(7'000) / 1'000;
      line.lateness_ns = noisy(1'000'000) - 990'000;
      line.writes = 2 * kConnections;
      if (repetition == 0) line.p50_ns *= 9;  // a warm-up must not count
      suite.change(line);
      const std::string folder = fmt::format("{:02}-{}/rep-{}", row + 1, line.row, repetition);
      const bool warm_up = repetition == 0;
      std::string findings;
      if (line.found > line.other)
        findings = fmt::format("{}={}", line.finding, line.found - line.other);
      if (line.other > 0)
        findings +=
            fmt::format("{}{}={}", findings.empty() ? "" : ";", line.other_finding, line.other);
      const bool skipped = !line.skipped.empty();
      csv += fmt::format("1,{},{},{},{:d},{},{},{},rst-linger,recv,none,{},", line.row, folder,
                         repetition, warm_up, line.status, line.cpu_ns, line.segments, line.family);
      if (skipped)
        csv += fmt::format("0,0,0,0,,{},0,,,,,,,,,,,\n", line.skipped);
      else
        csv += fmt::format("{0},{0},{1},{2},{3},,{4},{5},{6},{7},,{8},,{9},{10}\n", kConnections,
                           line.found, kConnections - line.found, findings, line.latency_count,
                           line.p50_ns, line.p99_ns, line.p999_ns, line.writes, line.lateness_ns,
                           line.modes);
      runs.push_back({{"name", line.row},
                      {"folder", folder},
                      {"repetition", repetition},
                      {"warm_up", warm_up},
                      {"command", suite.command + fmt::format(" --seed {}", repetition)},
                      {"status", line.status},
                      {"error", nullptr}});
      suite.run_change(runs.back());
    }
  const Json manifest = {
      {"schema_version", 1}, {"suite", suite.name}, {"quick", suite.quick},      {"status", "ok"},
      {"rows", rows},        {"runs", runs},        {"environment", suite.facts}};
  const std::string folder = path.empty() ? fmt::format("made/{}", suite.seed) : path;
  auto recording = recorded_suite(folder, manifest.dump(), csv);
  EXPECT_TRUE(recording) << recording.error().message();
  return recording ? *recording : Recording{};
}

Comparison compared(std::vector<Recording> recordings, const Options& options = {}) {
  auto comparison = comparison_of(std::move(recordings), options);
  EXPECT_TRUE(comparison) << comparison.error().message();
  return comparison ? std::move(*comparison) : Comparison{};
}

std::string refusal(std::vector<Recording> recordings) {
  const auto comparison = comparison_of(std::move(recordings), {});
  EXPECT_FALSE(comparison);
  return comparison ? "" : comparison.error().message();
}

MadeSuite suite_b() {
  MadeSuite suite;
  suite.seed = 2;
  return suite;
}

const ComparedQuantity& quantity_of(const Comparison& comparison, std::string_view row,
                                    std::string_view name) {
  static const ComparedQuantity kNone{};
  for (const ComparedRow& one : comparison.rows)
    if (one.key.row == row)
      for (const ComparedQuantity& quantity : one.quantities)
        if (quantity.quantity->name == name) return quantity;
  ADD_FAILURE() << "no " << name << " of " << row;
  return kNone;
}

const ChangeFigures& change_of(const Comparison& comparison, std::string_view row,
                               std::string_view name, size_t side = 1) {
  return quantity_of(comparison, row, name).changes.at(side - 1);
}

std::vector<std::string> kinds_of(const Comparison& comparison, bool counted) {
  std::vector<std::string> texts;
  for (const ComparedRow& row : comparison.rows)
    for (const KindChange& kind : row.kinds)
      if (kind.counted == counted) texts.push_back(kind.text);
  return texts;
}

TEST(Compare, OfARecordingWithItselfSaysNothing) {
  const Recording a = made({});
  const Comparison comparison = compared({a, a});
  EXPECT_EQ(comparison.worse + comparison.better + comparison.kind_changes, 0u);
  EXPECT_GT(comparison.family, 20u) << "though there was much to test";
  for (const ComparedRow& row : comparison.rows)
    for (const ComparedQuantity& quantity : row.quantities) {
      EXPECT_EQ(quantity.changes[0].verdict, Verdict::same);
      EXPECT_NEAR(*quantity.changes[0].p, 1, 1e-9);
    }
  EXPECT_THAT(comparison.environment, IsEmpty());
  EXPECT_EQ(comparison.sides[0].repetitions, 10u);
  EXPECT_EQ(comparison.sides[0].warm_up_left_out, 6u);
  EXPECT_EQ(comparison.sides[0].runs, 60u);
  EXPECT_FALSE(regressed(comparison, 0.001));
}

// Of twenty pairs of equal hosts, each with some twenty tests, about one says something.
TEST(Compare, OfEqualHostsCriesWolfRarely) {
  int alarms = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    MadeSuite a, b;
    a.seed = 2 * seed, b.seed = 2 * seed + 1;
    a.rows = b.rows = 3, a.repetitions = b.repetitions = 6;
    const Comparison comparison = compared({made(a), made(b)});
    alarms += comparison.worse + comparison.better > 0;
  }
  EXPECT_LE(alarms, 4);
}

TEST(Compare, FindsARowThatIsTenPercentSlower) {
  MadeSuite b = suite_b();
  b.change = [](MadeLine& line) {
    if (line.row == "row-2") line.p50_ns *= 1.1;
    if (line.row == "row-4") line.p99_ns /= 1.1;
  };
  const Comparison comparison = compared({made({}), made(b)});
  const ChangeFigures& slower = change_of(comparison, "row-2", "latency_p50");
  EXPECT_EQ(slower.verdict, Verdict::worse);
  EXPECT_NEAR(*slower.percent, 10, 4);
  EXPECT_LT(slower.percent_range->low, *slower.percent);
  EXPECT_GT(slower.percent_range->high, *slower.percent);
  EXPECT_GT(slower.percent_range->low, 4);
  EXPECT_LT(*slower.p, *slower.adjusted_p);
  EXPECT_LE(*slower.adjusted_p, 0.05);
  const ChangeFigures& faster = change_of(comparison, "row-4", "latency_p99");
  EXPECT_EQ(faster.verdict, Verdict::better);
  EXPECT_NEAR(*faster.percent, -9, 4);
  EXPECT_EQ(comparison.worse, 1u);
  EXPECT_EQ(comparison.better, 1u);
  EXPECT_EQ(change_of(comparison, "row-3", "latency_p50").verdict, Verdict::same);
  EXPECT_EQ(comparison.kind_changes, 0u);

  EXPECT_TRUE(regressed(comparison, 0.05));
  EXPECT_FALSE(regressed(comparison, 0.30)) << "no such large one";
}

TEST(Compare, LooksOnceAtWhatBelongsToARun) {
  MadeSuite b = suite_b();
  b.change = [](MadeLine& line) { line.cpu_ns *= 1.2; };
  const Comparison comparison = compared({made({}), made(b)});
  size_t tests = 0;
  for (const ComparedRow& row : comparison.rows)
    for (const ComparedQuantity& quantity : row.quantities) {
      const bool of_run = quantity.quantity->name == "cpu_per_connection" ||
                          quantity.quantity->name == "segments_per_connection";
      EXPECT_EQ(of_run, row.key.strategy == "-");
      if (quantity.quantity->name != "cpu_per_connection") continue;
      ++tests;
      EXPECT_EQ(quantity.sides[0].values.size(), 10u) << "one value a repetition";
      EXPECT_EQ(quantity.changes[0].verdict, Verdict::worse);
    }
  EXPECT_EQ(tests, 6u);
}

TEST(Compare, TakesAQuantileOnlyWhereTheFindingsTellIt) {
  MadeSuite a, b = suite_b();
  a.change = b.change = [](MadeLine& line) {
    if (line.row == "row-0") line.latency_count = 999;
    if (line.row == "row-1") line.latency_count = 99;
    if (line.row == "row-2") line.latency_count = 1;
  };
  const Comparison comparison = compared({made(a), made(b)});
  const auto names = [&](std::string_view row) {
    std::vector<std::string_view> list;
    for (const ComparedRow& one : comparison.rows)
      if (one.key.row == row)
        for (const ComparedQuantity& quantity : one.quantities)
          list.push_back(quantity.quantity->name);
    return list;
  };
  EXPECT_THAT(names("row-3"), testing::Contains("latency_p999"));
  EXPECT_THAT(names("row-0"),
              AllOf(testing::Contains("latency_p99"), Not(testing::Contains("latency_p999"))));
  EXPECT_THAT(names("row-1"),
              AllOf(testing::Contains("latency_p50"), Not(testing::Contains("latency_p99"))));
  EXPECT_THAT(names("row-2"), Not(testing::Contains("latency_p50")));
}

TEST(Compare, OfLatenessTellsADifferenceAndNoPercentage) {
  MadeSuite b = suite_b();
  b.change = [](MadeLine& line) { line.lateness_ns += 500'000; };
  const Comparison comparison = compared({made({}), made(b)});
  const ChangeFigures& later = change_of(comparison, "row-1", "lateness");
  EXPECT_EQ(later.verdict, Verdict::worse);
  EXPECT_FALSE(later.percent);
  EXPECT_NEAR(*later.difference, 500'000, 40'000);
  ASSERT_TRUE(later.difference_range);
  EXPECT_FALSE(regressed(comparison, 0.05)) << "no share of anything";
  EXPECT_THAT(compare_text(comparison), HasSubstr("+5"));
}

// ---- Kinds

TEST(Compare, ListsAChangedFindingFirstAndCountsIt) {
  MadeSuite b = suite_b();
  b.change = [](MadeLine& line) {
    if (line.row == "row-4") line.finding = "eof";
  };
  const Comparison comparison = compared({made({}), made(b)});
  EXPECT_EQ(comparison.rows.front().key.row, "row-4");
  EXPECT_EQ(comparison.kind_changes, 1u) << "one row, though one finding went and one came";
  EXPECT_THAT(kinds_of(comparison, true),
              ElementsAre("finding econnreset: 20000 of 20000 in 1, 0 of 20000 in 2",
                          "finding eof: 0 of 20000 in 1, 20000 of 20000 in 2"));
  EXPECT_FALSE(regressed(comparison, 0.05)) << "another finding, but a finding";
}

TEST(Compare, CountsANewFindingOfAFewIfItIsThereInEveryRepetition) {
  MadeSuite b = suite_b();
  b.change = [](MadeLine& line) {
    if (line.row == "row-4") line.other_finding = "epipe", line.other = 3 + line.repetition % 2;
  };
  const Comparison comparison = compared({made({}), made(b)});
  EXPECT_EQ(comparison.kind_changes, 1u);
  EXPECT_THAT(kinds_of(comparison, true),
              ElementsAre("finding econnreset: 20000 of 20000 in 1, 19965 of 20000 in 2",
                          "finding epipe: 0 of 20000 in 1, 35 of 20000 in 2"));
}

// How often something is found may change without anything that only one side finds.
TEST(Compare, CountsAFindingWhoseShareMoves) {
  const auto with_epipe = [](int64_t connections) {
    return [connections](MadeLine& line) {
      if (line.row == "row-4") line.other_finding = "epipe", line.other = connections;
    };
  };
  MadeSuite a, b = suite_b();
  a.change = with_epipe(1'600);
  b.change = with_epipe(400);
  const Comparison comparison = compared({made(a), made(b)});
  EXPECT_EQ(comparison.rows.front().key.row, "row-4");
  EXPECT_EQ(comparison.kind_changes, 1u);
  EXPECT_THAT(kinds_of(comparison, true),
              ElementsAre("finding econnreset: 4000 of 20000 in 1, 16000 of 20000 in 2",
                          "finding epipe: 16000 of 20000 in 1, 4000 of 20000 in 2"));
  EXPECT_FALSE(regressed(comparison, 0.05)) << "all found something";

  b.change = with_epipe(1'600);
  EXPECT_THAT(kinds_of(compared({made(a), made(b)}), true), IsEmpty());
}

// What found_share tells is not told twice.
TEST(Compare, AShareOfNothingThatMovesIsNoKind) {
  MadeSuite a, b = suite_b();
  a.change = [](MadeLine& line) { line.found = kConnections - 10; };
  b.change = [](MadeLine& line) { line.found = kConnections - (line.row == "row-1" ? 90 : 10); };
  const Comparison comparison = compared({made(a), made(b)});
  EXPECT_THAT(kinds_of(comparison, true), IsEmpty());
  EXPECT_EQ(change_of(comparison, "row-1", "found_share").verdict, Verdict::worse);
}

TEST(Compare, ListsWhatIsSeenOnceAsRare) {
  MadeSuite b = suite_b();
  b.change = [](MadeLine& line) {
    if (line.row == "row-4" && line.repetition == 3) line.other_finding = "epipe", line.other = 1;
  };
  const Comparison comparison = compared({made({}), made(b)});
  EXPECT_EQ(comparison.kind_changes, 0u);
  EXPECT_THAT(kinds_of(comparison, true), IsEmpty());
  EXPECT_THAT(kinds_of(comparison, false),
              ElementsAre("finding epipe: 0 of 20000 in 1, 1 of 20000 in 2, seen in 1 of 10 "
                          "repetitions"));
  EXPECT_THAT(compare_text(comparison), HasSubstr("note    rare: row-4"));
  EXPECT_EQ(comparison.rows.front().key.row, "row-0") << "no reason to come first";
}

// In seven of ten repetitions and never on the other side: exact p 0.0031, and some sixty tests.
TEST(Compare, CorrectsChangesInKindToo) {
  MadeSuite b = suite_b();
  b.change = [](MadeLine& line) {
    if (line.row == "row-4" && line.repetition <= 7) line.other_finding = "epipe", line.other = 1;
  };
  const Comparison many = compared({made({}), made(b)});
  EXPECT_GT(many.family, 20u);
  EXPECT_EQ(many.kind_changes, 0u);
  EXPECT_EQ(kinds_of(many, false).size(), 1u);
}

TEST(Compare, FoundLessIsARegression) {
  MadeSuite b = suite_b();
  b.change = [](MadeLine& line) {
    if (line.row == "row-1") line.found = kConnections - 20 - line.repetition;
  };
  const Comparison comparison = compared({made({}), made(b)});
  EXPECT_EQ(comparison.kind_changes, 1u);
  EXPECT_THAT(kinds_of(comparison, true), ElementsAre(HasSubstr("finding nothing: 0 of 20000")));
  EXPECT_EQ(change_of(comparison, "row-1", "found_share").verdict, Verdict::worse);
  EXPECT_TRUE(regressed(comparison, 0.5)) << "in kind, whatever the share";
}

TEST(Compare, AFalseAlarmIsWorse) {
  MadeSuite a, b = suite_b();
  a.change = [](MadeLine& line) { line.family = "alive", line.found = 0; };
  b.change = [](MadeLine& line) {
    line.family = "alive", line.found = 0;
    if (line.row == "row-1") line.found = 40 + line.repetition;
  };
  const Comparison comparison = compared({made(a), made(b)});
  const ComparedQuantity& found = quantity_of(comparison, "row-1", "found_share");
  EXPECT_EQ(found.better, Better::less);
  EXPECT_EQ(found.changes[0].verdict, Verdict::worse);
  EXPECT_FALSE(found.changes[0].percent) << "there was none";
  EXPECT_TRUE(regressed(comparison, 0.05));
}

// Two recordings of one host had 0 and 287 of 333 live peers spared, beside CPU hogs.
TEST(Compare, AFalseAlarmOfOneRepetitionMayBeTheHosts) {
  MadeSuite a, b = suite_b();
  a.repetitions = b.repetitions = 1;
  a.change = [](MadeLine& line) { line.family = "alive", line.found = 0; };
  b.change = [](MadeLine& line) { line.family = "alive", line.found = kConnections; };
  EXPECT_EQ(compared({made(a), made(b)}).kind_changes, 0u);
  EXPECT_THAT(kinds_of(compared({made(a), made(b)}), false), Not(IsEmpty()));
  a.repetitions = b.repetitions = 2;
  EXPECT_EQ(compared({made(a), made(b)}).kind_changes, 6u) << "every row";
}

TEST(Compare, ASkippedRowIsAChangeInKind) {
  MadeSuite b = suite_b();
  b.repetitions = 1;
  b.change = [](MadeLine& line) {
    if (line.row == "row-5") line.skipped = "needs rights";
  };
  const Comparison comparison = compared({made({}), made(b)});
  EXPECT_EQ(comparison.rows.front().key.row, "row-5");
  EXPECT_EQ(comparison.rows.front().skipped[1], "needs rights");
  EXPECT_THAT(kinds_of(comparison, true),
              ElementsAre("skipped: needs rights: 0 of 10 in 1, 1 of 1 in 2"));
  EXPECT_TRUE(regressed(comparison, 0.05));
}

TEST(Compare, ARunThatFailsIsAChangeInKind) {
  MadeSuite b = suite_b();
  b.change = [](MadeLine& line) {
    if (line.row == "row-5") line.status = "unbalanced";
  };
  const Comparison comparison = compared({made({}), made(b)});
  EXPECT_THAT(kinds_of(comparison, true),
              ElementsAre("run ok: 10 of 10 in 1, 0 of 10 in 2",
                          "run unbalanced: 0 of 10 in 1, 10 of 10 in 2"));
  EXPECT_EQ(comparison.rows.front().key.strategy, "-");
  EXPECT_EQ(comparison.sides[1].failed_runs.size(), 10u);
  EXPECT_THAT(comparison.notes, testing::Contains(HasSubstr("10 runs not ended ok, such as "
                                                            "06-row-5/rep-1: unbalanced")));
  EXPECT_TRUE(regressed(comparison, 0.05));
}

// ---- Whether it may be compared

TEST(Compare, RefusesOtherHostsAndBuildsUnlessForced) {
  struct Case {
    std::function<void(MadeSuite&)> change;
    std::string reason;
  };
  const Case kCases[] = {
      {[](MadeSuite& s) { s.facts["cpu"]["model"] = "Slow 2"; },
       "cpu.model differs: Quick 1 in 1, Slow 2 in 2"},
      {[](MadeSuite& s) { s.facts["cpu"]["usable_count"] = 4; },
       "cpu.usable_count differs: 2 in 1, 4 in 2"},
      {[](MadeSuite& s) { s.facts["build"]["build_type"] = "Debug"; },
       "build.build_type differs: Release in 1, Debug in 2"},
      {[](MadeSuite& s) { s.facts["build"]["sanitizers"] = true; },
       "build.sanitizers differs: false in 1, true in 2"},
      {[](MadeSuite& s) { s.facts["lab"]["accelerator"] = "tcg"; },
       "lab.accelerator differs: none in 1, tcg in 2"},
      {[](MadeSuite& s) { s.name = "other"; }, "suite differs: made in 1, other in 2"},
      {[](MadeSuite& s) { s.quick = true; }, "suite differs: made in 1, made --quick in 2"},
      {[](MadeSuite& s) { s.command = "lastack run --connections 3k"; },
       "other commands of 2 rows: 'row-0' has --connections 2k in 1, --connections 3k in 2"},
  };
  for (const Case& one : kCases) {
    MadeSuite a, b = suite_b();
    a.rows = b.rows = 2, a.repetitions = b.repetitions = 4;
    a.facts["lab"]["accelerator"] = b.facts["lab"]["accelerator"] = "none";
    one.change(b);
    const std::string message = refusal({made(a), made(b)});
    EXPECT_THAT(message, AllOf(HasSubstr(one.reason), HasSubstr("--force"), Not(HasSubstr("\n"))));
    Options force;
    force.force = true;
    const Comparison comparison = compared({made(a), made(b)}, force);
    EXPECT_EQ(comparison.refusals.size(), 1u);
    EXPECT_THAT(compare_text(comparison), HasSubstr("forced  "));
  }
}

TEST(Compare, NeverMixesInstructionsWithTime) {
  Options force;
  force.force = true;
  MadeSuite a, b = suite_b();
  b.facts["lab"]["time_unit"] = "virtual_ns";
  // Whether the other side says so, or is of an older lastack.
  for (const bool told : {false, true}) {
    if (told) a.facts["lab"]["time_unit"] = "ns";
    const auto comparison = comparison_of({made(a), made(b)}, force);
    ASSERT_FALSE(comparison);
    EXPECT_THAT(comparison.error().message(), HasSubstr("lab.time_unit is another quantity"));
  }
  EXPECT_EQ(compared({made({}), made(a)}).notes, compared({made({}), made({})}).notes);
  a.facts["lab"]["time_unit"] = "virtual_ns";
  EXPECT_THAT(compared({made(a), made(b)}).notes,
              testing::Contains(HasSubstr("times are virtual_ns")));
}

TEST(Compare, OfVirtualTimeShowsThousandthsAndTheUnit) {
  const auto comparison_in = [](std::string_view unit) {
    MadeSuite a, b = suite_b();
    a.noise = b.noise = 0;
    a.facts["lab"]["time_unit"] = b.facts["lab"]["time_unit"] = unit;
    b.change = [](MadeLine& line) { line.p50_ns = std::round(line.p50_ns * 1.0015); };
    return compared({made(a), made(b)});
  };
  const Comparison in_time = comparison_in("ns"), in_virtual = comparison_in("virtual_ns");
  EXPECT_THAT(compare_text(in_time), AllOf(Not(HasSubstr("virtual")), HasSubstr("60.1us +-0%")));
  EXPECT_THAT(compare_text(in_time), HasSubstr("+0.2% [+0.2%..+0.2%]"));
  const std::string text = compare_text(in_virtual);
  EXPECT_THAT(text, HasSubstr("latency_p50, virtual_ns (less is better)\n"));
  EXPECT_THAT(text, HasSubstr("60,090vns +-0.00%  +0.15% [+0.15%..+0.15%]"));
  EXPECT_THAT(text, Not(testing::ContainsRegex("[0-9](us|ms) ")));
  EXPECT_THAT(compare_csv(in_virtual), HasSubstr(",latency_p50,virtual_ns,less,"));
  EXPECT_THAT(compare_document(in_virtual, "").dump(),
              AllOf(HasSubstr(R"("unit":"virtual_ns")"), Not(HasSubstr(R"("unit":"ns")"))));
}

TEST(Compare, NotesOfVirtualTimeWhichRowsHaveTwoModes) {
  const auto notes_in = [](std::string_view unit, int repetitions) {
    MadeSuite a, b = suite_b();
    a.repetitions = b.repetitions = repetitions;
    a.facts["lab"]["time_unit"] = b.facts["lab"]["time_unit"] = unit;
    b.change = [](MadeLine& line) {
      if (line.row == "row-1" && line.repetition != 2) line.modes = "14079,0.62,18687,0.38";
    };
    return fmt::format("{}", fmt::join(compared({made(a), made(b)}).notes, "\n"));
  };
  const std::string notes = notes_in("virtual_ns", 10);
  EXPECT_THAT(notes, HasSubstr("row-1 rst-linger recv none of 2: two modes: 14,079vns (62 %) and "
                               "18,687vns (38 %), in 9 of 10 repetitions; its median may be "
                               "either"));
  EXPECT_EQ(notes.find("two modes"), notes.rfind("two modes"));  // no other row, no other side
  EXPECT_THAT(notes_in("virtual_ns", 1), HasSubstr("and 18,687vns (38 %); its median"));
  EXPECT_THAT(notes_in("ns", 10), Not(HasSubstr("modes")));
}

TEST(Compare, ShowsOtherDifferencesOfTheHosts) {
  MadeSuite b = suite_b();
  b.facts["kernel"]["release"] = "6.1";
  b.facts["cpu"]["frequency_mhz"] = 1000;
  b.facts["time"] = "2026-11-23T00:00:00Z";
  b.facts["load_average"] = {9, 9, 9};
  b.facts["memory"]["total_bytes"] = 1024;
  const Comparison comparison = compared({made({}), made(b)});
  ASSERT_EQ(comparison.environment.size(), 2u);
  EXPECT_EQ(comparison.environment[0].key, "kernel.release");
  EXPECT_THAT(comparison.environment[0].values, ElementsAre("6.18", "6.1"));
  EXPECT_EQ(comparison.environment[1].key, "memory.total_bytes");
  EXPECT_THAT(comparison.environment[1].values, ElementsAre(std::nullopt, "1024"));
  EXPECT_FALSE(comparison.environment[0].blocking || comparison.environment[1].blocking);
}

TEST(Compare, RefusesHostsWhoseQuotasOfCpuTimeDiffer) {
  MadeSuite a, b = suite_b();
  a.facts["cpu"]["quota_cpus"] = "none";
  b.facts["cpu"]["quota_cpus"] = 0.1;
  EXPECT_THAT(refusal({made(a), made(b)}),
              HasSubstr("cpu.quota_cpus differs: none in 1, 0.1 in 2"));
  // An older lastack did not look.
  a.facts["cpu"].erase("quota_cpus");
  const Comparison comparison = compared({made(a), made(b)});
  ASSERT_EQ(comparison.environment.size(), 1u);
  EXPECT_THAT(comparison.environment[0].values, ElementsAre(std::nullopt, "0.1"));
}

TEST(Compare, SaysWhichSideStoodStillOrWasThrottled) {
  MadeSuite b = suite_b();
  b.run_change = [](Json& run) {
    if (run["repetition"] == 3) run["stalled_ns"] = 1'500'000'000;
    if (run["repetition"] == 4) run["throttled_ns"] = 800'000'000;
    // A warm-up does not count.
    if (run["repetition"] == 0) run["stalled_ns"] = 1;
  };
  const Comparison comparison = compared({made({}), made(b)});
  EXPECT_THAT(comparison.notes,
              testing::Contains(AllOf(HasSubstr("2: the host did not serve 12 runs"),
                                      HasSubstr("stood still for 9.00s"),
                                      HasSubstr("throttled by a CPU quota for 4.80s"))));
  EXPECT_THAT(comparison.notes, Not(testing::Contains(HasSubstr("1: the host did not serve"))));
}

TEST(Compare, NeedsARowInCommon) {
  MadeSuite b = suite_b();
  b.change = [](MadeLine& line) { line.row += "-other"; };
  EXPECT_EQ(refusal({made({}), made(b)}),
            "1 and 2 have no row in common; the first ones are 'row-0 rst-linger recv none' and "
            "'row-0-other rst-linger recv none'");
}

TEST(Compare, ListsRowsOfOneSideOnly) {
  MadeSuite b = suite_b();
  b.rows = 5;
  const Comparison comparison = compared({made({}), made(b)});
  EXPECT_THAT(comparison.notes, testing::Contains("only in 1: row-5 rst-linger recv none"));
  const ChangeFigures& change = change_of(comparison, "row-5", "cpu_per_connection");
  EXPECT_EQ(change.verdict, Verdict::untestable);
  EXPECT_EQ(change.reason, "no value in 2");
  EXPECT_FALSE(regressed(comparison, 0.05));
}

// ---- Few repetitions, drift

TEST(Compare, SaysPlainlyThatThereAreTooFewRepetitions) {
  MadeSuite a, b = suite_b();
  a.repetitions = b.repetitions = 3;
  b.change = [](MadeLine& line) { line.p50_ns *= 3; };
  const Comparison comparison = compared({made(a), made(b)});
  const ChangeFigures& change = change_of(comparison, "row-0", "latency_p50");
  EXPECT_EQ(change.verdict, Verdict::untestable);
  EXPECT_EQ(change.reason, "too few repetitions (3 and 3)");
  EXPECT_FALSE(change.percent_range);
  EXPECT_EQ(comparison.family, 0u);
  EXPECT_THAT(comparison.notes, testing::Contains(AllOf(HasSubstr("too few: 3 and 3 repetitions"),
                                                        HasSubstr("4 a side are the least"))));
  EXPECT_FALSE(regressed(comparison, 0.05));
}

// All rows are worse: six of six a side, each at p = 0.0022, and their number helps them.
// A suite may play some rows ten times and others once.
TEST(Compare, AMeanIsOfRowsThatHaveAnInterval) {
  MadeSuite a, b = suite_b();
  a.change = b.change = [](MadeLine& line) {
    if (line.row == "row-5" && line.repetition > 1) line.latency_count = 1;
  };
  const Comparison comparison = compared({made(a), made(b)});
  EXPECT_EQ(quantity_of(comparison, "row-5", "latency_p50").sides[0].values.size(), 1u);
  const MeanChange& mean = comparison.geometric_means.at(0);
  EXPECT_EQ(mean.quantity->name, "latency_p50");
  EXPECT_EQ(mean.rows, 5u);
  EXPECT_TRUE(mean.percent_range);
  EXPECT_FALSE(mean.shown);
}

// Rows of one repetition err together: all of them 20 % off in four of ten repetitions of one
// side and in six of the other are no difference; 20 % off in all of one side are.
TEST(Compare, AMeanIsTestedOverRepetitions) {
  const auto in_repetitions = [](int first, int last) {
    return [first, last](MadeLine& line) {
      if (first <= line.repetition && line.repetition <= last) line.p50_ns *= 1.2;
    };
  };
  MadeSuite a, b = suite_b();
  a.change = in_repetitions(1, 4);
  b.change = in_repetitions(3, 8);
  EXPECT_FALSE(compared({made(a), made(b)}).geometric_means.at(0).shown);
  a.change = in_repetitions(1, 0);
  b.change = in_repetitions(1, 10);
  const MeanChange all = compared({made(a), made(b)}).geometric_means.at(0);
  EXPECT_TRUE(all.shown);
  EXPECT_LT(all.adjusted_p, 0.001);
}

TEST(Compare, OfFewRepetitionsShowsWhatChangesInManyRows) {
  MadeSuite a, b = suite_b();
  a.repetitions = b.repetitions = 5;
  b.change = [](MadeLine& line) { line.p50_ns *= 3, line.p99_ns *= 3, line.p999_ns *= 3; };
  const Comparison comparison = compared({made(a), made(b)});
  EXPECT_EQ(comparison.worse, 18u);
  EXPECT_THAT(comparison.notes, testing::Contains(HasSubstr("few: 5 and 5 repetitions")));
}

TEST(Compare, NotesAHostThatDrifts) {
  MadeSuite b = suite_b();
  b.change = [](MadeLine& line) {
    if (line.repetition > 5) line.p50_ns *= 1.2, line.p99_ns *= 1.2;
  };
  const Comparison comparison = compared({made({}), made(b)});
  EXPECT_FALSE(comparison.sides[0].drift.suspicious());
  EXPECT_GT(comparison.sides[0].drift.tests, 20u);
  EXPECT_TRUE(comparison.sides[1].drift.suspicious());
  EXPECT_THAT(comparison.notes, testing::Contains(HasSubstr("2: the host drifted: 1")));
}

TEST(Compare, SaysHowManyRepetitionsWouldShowAChange) {
  Options options;
  options.shown_change = 0.01;
  const Comparison fine = compared({made({}), made(suite_b())}, options);
  const Comparison coarse = compared({made({}), made(suite_b())});
  const auto needed = [](const Comparison& comparison) {
    return *quantity_of(comparison, "row-0", "latency_p50").repetitions_needed;
  };
  EXPECT_GT(needed(fine), 80u) << "noise of 2 %, a change of 1 %";
  EXPECT_LT(needed(coarse), 20u);
  EXPECT_GE(needed(coarse), 6u);
  EXPECT_THAT(fine.detectable,
              testing::Contains(HasSubstr("latency_p50: to show a change of 1 %")));
  EXPECT_FALSE(quantity_of(fine, "row-0", "lateness").repetitions_needed);
  MadeSuite once = suite_b(), again;
  once.repetitions = again.repetitions = 1;
  EXPECT_FALSE(
      quantity_of(compared({made(again), made(once)}), "row-0", "latency_p50").repetitions_needed)
      << "the spread is unknown";
}

// ---- Sides

TEST(Compare, TakesMoreSidesThanTwo) {
  MadeSuite b = suite_b(), c;
  c.seed = 3;
  c.change = [](MadeLine& line) {
    if (line.row == "row-2") line.p50_ns *= 1.3;
    if (line.row == "row-0") line.finding = "eof";
  };
  const Comparison comparison = compared({made({}), made(b), made(c)});
  EXPECT_EQ(change_of(comparison, "row-2", "latency_p50", 1).verdict, Verdict::same);
  EXPECT_EQ(change_of(comparison, "row-2", "latency_p50", 2).verdict, Verdict::worse);
  EXPECT_EQ(comparison.kind_changes, 1u);
  EXPECT_EQ(comparison.rows.front().kinds[0].side, 2u);
  EXPECT_TRUE(regressed(comparison, 0.05));
  const Comparison two = compared({made({}), made(b)});
  EXPECT_GT(comparison.family, two.family) << "all sides are one family";
}

TEST(Compare, NamesSidesByWhatTellsThemApart) {
  const auto labels = [](const std::string& a, const std::string& b) {
    const Comparison comparison = compared({made({}, a), made({}, b)});
    return comparison.sides[0].label + ", " + comparison.sides[1].label;
  };
  EXPECT_EQ(labels("runs/old", "runs/new"), "old, new");
  EXPECT_EQ(labels("old/run/", "new/run"), "old/run, new/run");
  EXPECT_EQ(labels("runs/old", "runs/old"), "old (1), old (2)");
}

// ---- Output

Comparison telling() {
  MadeSuite b = suite_b();
  b.facts["kernel"]["release"] = "6|1";
  b.change = [](MadeLine& line) {
    if (line.row == "row-2") line.p50_ns *= 1.1;
    if (line.row == "row-4") line.finding = "eof";
    if (line.row == "row-5" && line.repetition == 3) line.other_finding = "epipe", line.other = 1;
  };
  return compared({made({}, "runs/old"), made(b, "runs/new")});
}

TEST(CompareText, HasEnvironmentKindsAndQuantitiesInThatOrder) {
  const std::string text = compare_text(telling());
  const size_t environment = text.find("environment: what differs");
  const size_t kinds = text.find("changed in kind");
  const size_t latency = text.find("\nlatency_p50 (less is better)");
  const size_t result = text.find("result  1 changed in kind, 1 worse, 0 better");
  ASSERT_NE(result, std::string::npos) << text;
  EXPECT_LT(environment, kinds);
  EXPECT_LT(kinds, latency);
  EXPECT_LT(latency, result);
  EXPECT_THAT(text, HasSubstr("finding eof: 0 of 20000 in old, 20000 of 20000 in new"));
  EXPECT_THAT(text, HasSubstr("geometric mean"));
  EXPECT_THAT(text, HasSubstr("corrected for"));
  EXPECT_THAT(text, HasSubstr("power   latency_p50: to show a change of 5 %"));
  const size_t row = text.find("\nrow-2 ", latency) + 1;
  EXPECT_THAT(text.substr(row, text.find('\n', row) - row),
              AllOf(HasSubstr("us +-"), HasSubstr("% [+"), HasSubstr("worse")));
}

TEST(CompareText, OfRunsWithoutASuite) {
  const std::string folder = std::string(LASTACK_SOURCE_DIR) + "/tests/unit/data/csv-v1-run/";
  const std::string summary = *read_file(folder + "summary.csv");
  Json document = Json::parse(*read_file(folder + "run.json"));
  const auto before = recorded_run("runs/a", document.dump(), summary);
  document["cost"]["survivors"]["user_ns"] = 40'000'000;
  document["spec"]["new-option"] = "which an older lastack did not know";
  const auto after = recorded_run("runs/b", document.dump(), summary);
  ASSERT_TRUE(before && after);
  const Comparison comparison = compared({*before, *after});
  const std::string text = compare_text(comparison);
  EXPECT_THAT(text, HasSubstr("cpu_per_connection (less is better)\nrow"));
  EXPECT_THAT(text,
              HasSubstr("the run  3.80us  104us       ?  -  too few repetitions (1 and 1)\n\n"));
  EXPECT_THAT(compare_markdown(comparison), HasSubstr("| the run | 3.80us | 104us | ? |"));
}

// What is only told in virtual time is left out elsewhere: of a host it is whoever's, or too
// coarse.
TEST(CompareText, OfVirtualRunsHasWhatTheMachineDid) {
  const std::string folder = std::string(LASTACK_SOURCE_DIR) + "/tests/unit/data/csv-v1-run/";
  const std::string summary = *read_file(folder + "summary.csv");
  Json document = Json::parse(*read_file(folder + "run.json"));
  document["cost"]["host_busy_ns"] = 8'000'000;
  document["phases"] = {{{"name", "establish"}, {"start_ns", 0}, {"duration_ns", 2'000'000}},
                        {{"name", "arm"}, {"start_ns", 0}, {"duration_ns", 1'000'000}}};
  const auto quantities_in = [&](std::string_view unit) {
    document["environment"]["lab"] = {{"accelerator", "tcg"}, {"time_unit", unit}};
    const auto run = recorded_run("runs/a", document.dump(), summary);
    EXPECT_TRUE(run);
    std::map<std::string_view, double> values;
    for (const ComparedRow& row : compared({*run, *run}).rows)
      for (const ComparedQuantity& quantity : row.quantities)
        if (quantity.quantity->virtual_only)
          values[quantity.quantity->name] = quantity.sides[0].median;
    return values;
  };
  EXPECT_THAT(quantities_in("ns"), IsEmpty());
  EXPECT_THAT(quantities_in("virtual_ns"),
              AllOf(testing::Contains(testing::Pair("busy_per_connection", 20'000)),
                    testing::Contains(testing::Pair("establish_per_connection", 5'000)),
                    testing::Contains(testing::Pair("arm_per_connection", 2'500))));
}

TEST(CompareMarkdown, IsTablesWhoseCellsCannotBreakOut) {
  const std::string text = compare_markdown(telling());
  EXPECT_THAT(text, HasSubstr("| kernel.release | 6.18 | 6\\|1 |"));
  EXPECT_THAT(text, HasSubstr("## latency_p50 (less is better)\n\n| row |"));
  size_t columns = 0;
  size_t start = 0;
  while (start < text.size()) {
    const size_t end = text.find('\n', start);
    const std::string line = text.substr(start, end - start);
    start = end + 1;
    size_t bars = 0;
    for (size_t i = 0; i < line.size(); ++i)
      bars += line[i] == '|' && (i == 0 || line[i - 1] != '\\');
    if (line.empty() || line[0] != '|')
      columns = 0;
    else if (columns == 0)
      columns = bars;
    else
      EXPECT_EQ(bars, columns) << line;
  }
}

TEST(CompareCsv, ReadsBackWithALinePerTestAndKind) {
  const Comparison comparison = telling();
  const auto table = read_csv(compare_csv(comparison), "compare.csv");
  ASSERT_TRUE(table) << table.error().message();
  size_t expected = 0;
  for (const ComparedRow& row : comparison.rows) {
    expected += row.kinds.size();
    for (const ComparedQuantity& quantity : row.quantities) expected += quantity.changes.size();
  }
  EXPECT_EQ(table->rows(), expected);
  const auto column = [&](std::string_view name) { return *table->column(name); };
  EXPECT_EQ(table->at(0, column("row")), "row-4");
  EXPECT_EQ(table->at(0, column("quantity")), "kind");
  size_t worse = 0, rare = 0;
  for (size_t row = 0; row < table->rows(); ++row) {
    rare += table->at(row, column("verdict")) == "rare";
    if (table->at(row, column("verdict")) != "worse") continue;
    ++worse;
    EXPECT_EQ(table->at(row, column("row")), "row-2");
    EXPECT_EQ(table->at(row, column("first_n")), "10");
    const double before = *any_number(table->at(row, column("first_median")));
    const double after = *any_number(table->at(row, column("median")));
    EXPECT_NEAR(*any_number(table->at(row, column("percent"))), (after / before - 1) * 100, 1e-6);
    EXPECT_LE(*any_number(table->at(row, column("adjusted_p"))), 0.05);
  }
  EXPECT_EQ(worse, 1u);
  EXPECT_EQ(rare, 1u);
}

TEST(CompareJson, HasTheKeysThatReadersRelyOn) {
  const Comparison comparison = telling();
  const std::string text = compare_document(comparison, "lastack compare old new").dump(2);
  const Json json = Json::parse(text);
  for (const char* key :
       {"schema_version", "command", "confidence", "family", "correction", "sides", "environment",
        "refusals", "rows", "geometric_means", "detectable", "kind_changes", "worse", "better"})
    EXPECT_TRUE(json.contains(key)) << key;
  EXPECT_EQ(json["schema_version"], 1);
  EXPECT_EQ(json["command"], "lastack compare old new");
  EXPECT_EQ(json["confidence"], 0.95);
  EXPECT_EQ(json["family"], comparison.family);
  EXPECT_EQ(json["kind_changes"], 1);
  EXPECT_EQ(json["worse"], 1);
  const Json& side = json["sides"][1];
  EXPECT_EQ(side["label"], "new");
  EXPECT_EQ(side["path"], "runs/new");
  EXPECT_EQ(side["suite"], "made");
  EXPECT_EQ(side["lastack"], "0.1.0");
  EXPECT_EQ(side["repetitions"], 10);
  EXPECT_EQ(side["warm_up_left_out"], 6);
  EXPECT_EQ(side["runs"], 60);
  EXPECT_TRUE(side["drift"].contains("tests") && side["drift"].contains("different"));
  EXPECT_EQ(json["environment"][0]["key"], "kernel.release");
  EXPECT_EQ(json["environment"][0]["values"], Json({"6.18", "6|1"}));
  EXPECT_EQ(json["environment"][0]["blocking"], false);
  const Json& first = json["rows"][0];
  EXPECT_EQ(first["row"], "row-4");
  EXPECT_EQ(first["strategy"], "rst-linger");
  EXPECT_EQ(first["findings"], Json({{{"econnreset", 1.0}}, {{"eof", 1.0}}}));
  EXPECT_EQ(first["changes_in_kind"].size(), 2u);
  EXPECT_EQ(first["skipped"], Json({nullptr, nullptr}));
  size_t rare = 0;
  for (const Json& row : json["rows"]) {
    rare += row["rare"].size();
    for (const Json& quantity : row["quantities"]) {
      ASSERT_EQ(quantity["sides"].size(), 2u);
      ASSERT_EQ(quantity["changes"].size(), 1u);
      EXPECT_EQ(quantity["sides"][0]["n"], 10);
      EXPECT_EQ(quantity["sides"][0]["values"].size(), 10u);
      for (const char* key : {"median", "low", "high"})
        EXPECT_TRUE(quantity["sides"][0][key].is_number()) << key;
      const Json& change = quantity["changes"][0];
      EXPECT_EQ(change["side"], 1);
      for (const char* key : {"percent", "low", "high", "p", "adjusted_p", "verdict", "reason"})
        EXPECT_TRUE(change.contains(key)) << key;
    }
  }
  EXPECT_EQ(rare, 1u);
  EXPECT_EQ(json["detectable"]["repetitions"], Json({10, 10}));
  EXPECT_EQ(json["detectable"]["percent"], 5);
  EXPECT_EQ(json["detectable"]["rows"][0]["quantity"], "latency_p50");
  EXPECT_EQ(json["geometric_means"][0]["quantity"], "latency_p50");
  EXPECT_EQ(json["geometric_means"][0]["rows"], 6);
}

TEST(CompareJson, OfNothingMissingIsNull) {
  MadeSuite a, b = suite_b();
  a.repetitions = b.repetitions = 1;
  b.rows = 5;
  const Json json = compare_document(compared({made(a), made(b)}), "again");
  bool absent = false;
  for (const Json& row : json["rows"])
    for (const Json& quantity : row["quantities"]) {
      EXPECT_TRUE(quantity["changes"][0]["low"].is_null());
      EXPECT_TRUE(quantity["sides"][0]["low"].is_null());
      absent = absent || quantity["sides"][1].is_null();
    }
  EXPECT_TRUE(absent);
}

}  // namespace
}  // namespace lastack::compare
