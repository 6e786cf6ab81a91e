// The suites' tables, and what is merged of their runs.
#include "run/suite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/parse.h"
#include "report/frontier.h"
#include "report/suite_text.h"
#include "run/plan.h"

namespace lastack {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

constexpr int64_t kLatency_ns = 1'000'000'000;

TEST(Suites, EveryRowCanBePlayed) {
  for (const Suite& suite : suites())
    for (const bool quick : {false, true}) {
      std::set<std::string> names;
      for (const SuiteRow& row : suite.rows(quick)) {
        SCOPED_TRACE(std::string(suite.name) + " " + row.name);
        EXPECT_TRUE(names.insert(row.name).second) << "named twice";
        EXPECT_EQ(row.name.find_first_of("/ ,"), std::string::npos) << "it names a folder";
        if (row.prices()) {
          const auto spec = cost_of(row);
          ASSERT_TRUE(spec) << spec.error().message();
          EXPECT_NE(plan_cost(*spec).status, RunStatus::bad_usage) << plan_cost(*spec).error;
        } else {
          const auto spec = run_of(row);
          ASSERT_TRUE(spec) << spec.error().message();
        }
      }
      EXPECT_FALSE(names.empty());
    }
}

TEST(Suites, NoRowSaysAnythingTwice) {
  for (const Suite& suite : suites())
    for (const bool quick : {false, true})
      for (const SuiteRow& row : suite.rows(quick)) {
        std::set<std::string> said;
        for (const auto& [name, value] : row.parameters)
          EXPECT_TRUE(said.insert(name).second) << row.name << " " << name;
      }
}

TEST(Suites, NoRowRunsLongerThanItsEstimate) {
  for (const SuiteRow& row : (*find_suite("dead-peer"))->rows(true)) {
    if (row.prices()) continue;
    const auto spec = run_of(row);
    ASSERT_TRUE(spec);
    EXPECT_GT(estimated_ns(row), spec->warm_up_ns + spec->deadline_ns) << row.name;
  }
}

TEST(Suites, AreFoundByName) {
  EXPECT_EQ((*find_suite("dead-peer"))->name, "dead-peer");
  EXPECT_THAT(find_suite("dead-pear").error().message(), HasSubstr("did you mean 'dead-peer'"));
}

TEST(SuiteParameters, AreSplitAtTheFirstEqualsSign) {
  EXPECT_THAT(parse_parameters("mix=silent=1,alive=1  probe=keepalive"),
              ElementsAre(Pair("mix", "silent=1,alive=1"), Pair("probe", "keepalive")));
  EXPECT_THAT(parse_parameters("flag"), ElementsAre(Pair("flag", "")));
  EXPECT_TRUE(parse_parameters("").empty());
}

TEST(SuiteRows, OfNonsenseAreErrors) {
  EXPECT_FALSE(run_of({"row", {{"colour", "red"}}}));
  EXPECT_FALSE(run_of({"row", {{"deadline", "soon"}}}));
  EXPECT_FALSE(run_of({"row", parse_parameters("mix=silent probe=keepalive deadline=10ms")}));
}

LedgerRow ledger_row(std::string strategy, std::string probe, int64_t requested, int64_t found,
                     int64_t false_alarms) {
  LedgerRow row;
  row.strategy = std::move(strategy);
  row.watch = "recv";
  row.probe = std::move(probe);
  row.requested = requested;
  row.found = found;
  row.probing.false_alarms = false_alarms;
  for (int64_t i = 0; i < found - false_alarms && row.strategy == "silent"; ++i)
    row.issued.record(kLatency_ns);
  return row;
}

CostSample cost_sample(int64_t cpu_ns) {
  CostSample sample;
  sample.connections = 10;
  sample.cost.wall_ns = 1'000'000'000;
  sample.cost.survivors.user_ns = cpu_ns;
  return sample;
}

SuiteRow heartbeat_row(const std::string& deadline, const std::string& interval,
                       const std::string& more = "") {
  return {"beat-" + deadline + more,
          parse_parameters("probe=heartbeat-wheel mix=silent=1,alive=1 heartbeat-deadline=" +
                           deadline + " heartbeat-interval=" + interval + " " + more)};
}

// Adds a row with a run of 100 silent and 100 live peers.
void add_run(SuiteResult& suite, const SuiteRow& row, int64_t false_alarms, int64_t early_alarms) {
  SuiteRun run;
  run.index = suite.rows.size();
  run.spec = *run_of(row);
  run.result.ledger = {ledger_row("silent", "heartbeat-wheel", 100, 90, early_alarms),
                       ledger_row("alive", "heartbeat-wheel", 100, false_alarms, false_alarms)};
  suite.rows.push_back(row);
  suite.runs.push_back(std::move(run));
}

// Adds prices of a probe: each connection uses so much CPU in a second.
void add_prices(SuiteResult& suite, Probe probe, const std::string& parameters, int64_t cpu_ns) {
  const SuiteRow row{"prices " + parameters, parse_parameters(parameters), 3, 1'000'000'000};
  SuiteRun run;
  run.index = suite.rows.size();
  run.spec = cost_of(row)->run;
  run.cost.rounds = 3;
  PricedWatch watch{Watch::recv, {{Probe::none, "", {}}, {probe, "", {}}}};
  for (int round = 0; round < 3; ++round) {
    watch.probes[0].samples.push_back(cost_sample(50));
    watch.probes[1].samples.push_back(cost_sample(50 + cpu_ns * 10));
  }
  run.cost.watches = {watch};
  suite.rows.push_back(row);
  suite.runs.push_back(std::move(run));
}

TEST(Frontier, IsALineOfEachSilentRowWithItsLivePeers) {
  SuiteResult suite;
  add_run(suite, heartbeat_row("300ms", "100ms", "cpu-hog=4"), 7, 4);
  const auto lines = frontier_of(suite);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].probe, "heartbeat-wheel");
  EXPECT_THAT(lines[0].settings, HasSubstr("heartbeat-deadline=300ms"));
  EXPECT_EQ(lines[0].load_state(), "cpu-hog");
  EXPECT_EQ(lines[0].silent, 96);
  EXPECT_EQ(lines[0].found, 86);
  EXPECT_NEAR(static_cast<double>(lines[0].latency_p50_ns), kLatency_ns, kLatency_ns / 50.0);
  EXPECT_EQ(lines[0].alive, 100);
  EXPECT_EQ(lines[0].false_alarms, 7);
  EXPECT_EQ(lines[0].early_alarms, 4);
  EXPECT_FALSE(lines[0].no_false_alarm());
  EXPECT_FALSE(lines[0].cost);
  EXPECT_THAT(frontier_csv(lines), HasSubstr(",cpu-hog,96,86,0.895833333,"));
}

TEST(Frontier, PricesAreMeasuredOrLinearInTheFrequency) {
  SuiteResult suite;
  add_prices(suite, Probe::heartbeat_wheel, "heartbeat-interval=100ms heartbeat-deadline=9s", 1000);
  add_prices(suite, Probe::heartbeat_wheel, "heartbeat-interval=1s heartbeat-deadline=9s", 100);
  add_run(suite, heartbeat_row("300ms", "100ms"), 0, 0);
  add_run(suite, heartbeat_row("1s", "500ms"), 0, 0);
  add_run(suite, heartbeat_row("4s", "2s"), 0, 0);
  const auto lines = frontier_of(suite);
  ASSERT_EQ(lines.size(), 3u);
  ASSERT_TRUE(lines[0].cost && lines[1].cost);
  EXPECT_TRUE(lines[0].cost->measured);
  EXPECT_NEAR(lines[0].cost->survivor_cpu_ns, 1000, 1e-6);
  EXPECT_FALSE(lines[1].cost->measured);
  EXPECT_NEAR(lines[1].cost->survivor_cpu_ns, 200, 1e-6);
  EXPECT_FALSE(lines[2].cost) << "rarer than any that was measured";
}

TEST(Frontier, AKeepaliveThatIsHalfAsFrequentCostsHalf) {
  SuiteResult suite;
  add_prices(suite, Probe::keepalive, "keepalive-idle=1s keepalive-interval=1s", 300);
  SuiteRow row{"slow", parse_parameters("probe=keepalive mix=silent=1,alive=1 keepalive-idle=2s")};
  add_run(suite, row, 0, 0);
  suite.runs.back().result.ledger = {ledger_row("silent", "keepalive", 100, 100, 0)};
  const auto lines = frontier_of(suite);
  ASSERT_EQ(lines.size(), 1u);
  ASSERT_TRUE(lines[0].cost);
  EXPECT_NEAR(lines[0].cost->survivor_cpu_ns, 150, 1e-3);
}

TEST(SafeDeadlines, AreThoseBelowWhichAlarmsBegin) {
  SuiteResult suite;
  add_run(suite, heartbeat_row("100ms", "33ms"), 0, 0);
  add_run(suite, heartbeat_row("250ms", "83ms"), 0, 1);
  add_run(suite, heartbeat_row("500ms", "166ms"), 0, 0);
  add_run(suite, heartbeat_row("1s", "333ms"), 0, 0);
  add_run(suite, heartbeat_row("1s", "333ms", "cpu-hog=4"), 1, 0);
  const auto safe = safe_deadlines(frontier_of(suite));
  ASSERT_EQ(safe.size(), 2u);
  const auto of_state = [&](std::string_view state) {
    return std::ranges::find(safe, state, &SafeDeadline::load_state)->deadline_ns;
  };
  EXPECT_EQ(of_state("quiet"), 500'000'000) << "100ms was luck";
  EXPECT_EQ(of_state("cpu-hog"), 0);
  EXPECT_THAT(suite_text(suite, frontier_of(suite)), HasSubstr("smallest safe deadline"));
}

TEST(SuiteSummary, HasEveryRunsRowsWithTheirSettings) {
  SuiteResult suite;
  add_run(suite, heartbeat_row("300ms", "100ms"), 0, 0);
  add_run(suite, heartbeat_row("500ms", "166ms", "cpu-hog=4"), 0, 0);
  const std::string text = suite_summary_csv(suite);
  const auto lines = split(text, '\n');
  ASSERT_EQ(lines.size(), 6u);  // a header, 2 x 2 rows, and the end
  const auto header = split(lines[0], ',');
  for (size_t i = 1; i <= 4; ++i) {
    const auto fields = split(lines[i], ',');
    ASSERT_EQ(fields.size(), header.size()) << lines[i];
    const auto field = [&](std::string_view name) {
      return fields[static_cast<size_t>(std::ranges::find(header, name) - header.begin())];
    };
    EXPECT_EQ(field("run"), i <= 2 ? "01-beat-300ms" : "02-beat-500mscpu-hog=4");
    EXPECT_EQ(field("heartbeat-deadline"), i <= 2 ? "300ms" : "500ms");
    EXPECT_EQ(field("cpu-hog"), i <= 2 ? "0" : "4");
    EXPECT_EQ(field("strategy"), i % 2 ? "silent" : "alive");
    EXPECT_EQ(field("requested"), "100");
  }
}

TEST(SuiteText, NamesRunsThatTookTooLong) {
  SuiteResult suite;
  add_run(suite, heartbeat_row("300ms", "100ms"), 0, 0);
  suite.runs[0].estimated_ns = 2'000'000'000;
  suite.runs[0].wall_ns = 1'900'000'000;
  EXPECT_THAT(suite_text(suite, {}), testing::Not(HasSubstr("instead of")));
  suite.runs[0].wall_ns = 9'000'000'000;
  EXPECT_THAT(suite_text(suite, {}), HasSubstr("01-beat-300ms took 9.0 s, longer than the 2.0"));
}

TEST(SuiteDocument, TellsWhatWasNotPlayed) {
  SuiteResult suite;
  suite.name = "dead-peer";
  suite.status = RunStatus::interrupted;
  add_run(suite, heartbeat_row("300ms", "100ms"), 0, 0);
  suite.runs.back().result.sysctls = {{"net.ipv4.tcp_retries2", "3"}};
  suite.rows.push_back(heartbeat_row("1s", "333ms"));
  const auto document = suite_document(suite, {{"host", "here"}}, frontier_of(suite));
  EXPECT_EQ(document["status"], "interrupted");
  EXPECT_EQ(document["exit_code"], 7);
  EXPECT_THAT(document["notes"][0].get<std::string>(), HasSubstr("scaled down by sysctls"));
  ASSERT_EQ(document["runs"].size(), 2u);
  EXPECT_EQ(document["runs"][0]["status"], "ok");
  EXPECT_EQ(document["runs"][0]["sysctls"]["net.ipv4.tcp_retries2"], "3");
  EXPECT_THAT(document["runs"][0]["command"].get<std::string>(),
              HasSubstr("lastack run --probe heartbeat-wheel"));
  EXPECT_TRUE(document["runs"][1]["status"].is_null());
  EXPECT_GT(document["runs"][1]["estimated_ns"], 1'000'000'000);
  for (const auto& [key, value] : document.items()) EXPECT_NE(value.is_null(), true) << key;
}

}  // namespace
}  // namespace lastack
