// The suites' tables, and what is merged of their runs.
#include "suite/suite.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include "plan/plan.h"
#include "report/suite_folder.h"
#include "report/suite_text.h"
#include "suite/frontier.h"

// Tests say suite::Run, as testing::Test has a Run() of its own.
namespace lastack::suite {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

constexpr int64_t kLatency_ns = 1'000'000'000;

TEST(Suites, EveryRowCanBePlayed) {
  for (const Suite& suite : suites())
    for (const bool quick : {false, true}) {
      std::set<std::string> names;
      for (const Row& row : suite.rows(quick)) {
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
      for (const Row& row : suite.rows(quick)) {
        std::set<std::string> said;
        for (const auto& [name, value] : row.parameters)
          EXPECT_TRUE(said.insert(name).second) << row.name << " " << name;
      }
}

TEST(Suites, NoRowRunsLongerThanItsEstimate) {
  for (const Row& row : (*find_suite("dead-peer"))->rows(true)) {
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

Row heartbeat_row(const std::string& deadline, const std::string& interval,
                  const std::string& more = "") {
  return {"beat-" + deadline + more,
          parse_parameters("probe=heartbeat-wheel mix=silent=1,alive=1 heartbeat-deadline=" +
                           deadline + " heartbeat-interval=" + interval + " " + more)};
}

// Adds a row with a run of 100 silent and 100 live peers.
void add_run(SuiteResult& suite, const Row& row, int64_t false_alarms, int64_t early_alarms) {
  suite::Run run;
  run.turn = {suite.rows.size(), 1};
  run.spec = *run_of(row);
  run.result.ledger = {ledger_row("silent", "heartbeat-wheel", 100, 90, early_alarms),
                       ledger_row("alive", "heartbeat-wheel", 100, false_alarms, false_alarms)};
  suite.rows.push_back(row);
  suite.turns.push_back(run.turn);
  suite.runs.push_back(std::move(run));
}

// Adds prices of a probe: each connection uses so much CPU in a second.
void add_prices(SuiteResult& suite, Probe probe, const std::string& parameters, int64_t cpu_ns) {
  const Row row{"prices " + parameters, parse_parameters(parameters), 3, 1'000'000'000};
  suite::Run run;
  run.turn = {suite.rows.size(), 1};
  run.spec = cost_of(row)->run;
  run.cost.rounds = 3;
  PricedWatch watch{Watch::recv, {{Probe::none, "", {}}, {probe, "", {}}}};
  for (int round = 0; round < 3; ++round) {
    watch.probes[0].samples.push_back(cost_sample(50));
    watch.probes[1].samples.push_back(cost_sample(50 + cpu_ns * 10));
  }
  run.cost.watches = {watch};
  suite.rows.push_back(row);
  suite.turns.push_back(run.turn);
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
  Row row{"slow", parse_parameters("probe=keepalive mix=silent=1,alive=1 keepalive-idle=2s")};
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
    EXPECT_EQ(field("run"), i <= 2 ? "01-beat-300ms/rep-1" : "02-beat-500mscpu-hog=4/rep-1");
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
  EXPECT_THAT(suite_text(suite, {}),
              HasSubstr("01-beat-300ms/rep-1 took 9.0 s, longer than the 2.0"));
}

TEST(SuiteText, OfVirtualTimeNamesItsUnit) {
  SuiteResult suite;
  add_run(suite, heartbeat_row("300ms", "100ms"), 0, 0);
  suite.spec.suite = *find_suite("dead-peer");
  suite.runs[0].wall_ns = 1'900'000'000;
  const auto text_of = [&](TimeUnit unit) {
    suite.runs[0].result.time_unit = unit;
    auto frontier = frontier_of(suite);
    frontier.front().cost = FrontierCost{true, 16'057, 16'000, 17'000, 0, 0};
    return suite_text(suite, frontier);
  };
  EXPECT_THAT(text_of(TimeUnit::ns), Not(HasSubstr("virtual")));
  EXPECT_THAT(text_of(TimeUnit::ns), HasSubstr("in us per connection and second"));
  const std::string text = text_of(TimeUnit::virtual_ns);
  EXPECT_THAT(text, HasSubstr("16,057vns"));
  EXPECT_THAT(text, HasSubstr("in virtual_ns per connection and virtual second"));
  EXPECT_THAT(text, HasSubstr("1.9 virtual s"));
  EXPECT_THAT(text, HasSubstr("note      " + time_unit_note(TimeUnit::virtual_ns)));
  EXPECT_THAT(text, Not(testing::ContainsRegex("[0-9][.][0-9]+(us|ms|s)")));
  EXPECT_EQ(suite_document(suite, {}, {})["notes"][0], time_unit_note(TimeUnit::virtual_ns));
}

TEST(SuiteDocument, TellsWhatWasNotPlayed) {
  SuiteResult suite;
  suite.spec.suite = *find_suite("dead-peer");
  suite.status = RunStatus::interrupted;
  add_run(suite, heartbeat_row("300ms", "100ms", "retries2=3"), 0, 0);
  suite.runs.back().result.sysctls = {{"net.ipv4.tcp_retries2", "3"}};
  suite.rows.push_back(heartbeat_row("1s", "333ms"));
  suite.turns.push_back({1, 1});
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

Row plain_row(const std::string& name, int64_t repetitions) {
  Row row{name, parse_parameters("mix=fin connections=10")};
  row.repetitions = repetitions;
  return row;
}

TEST(SuiteTurns, AreBlocksOfAllRowsInAnOrderByChance) {
  std::vector<Row> rows;
  for (int i = 0; i < 8; ++i) rows.push_back(plain_row("row" + std::to_string(i), 3));
  rows.push_back(plain_row("once", 1));
  const auto turns = turns_of(rows, 7);
  ASSERT_EQ(turns.size(), 8u * 4 + 1);
  for (size_t i = 1; i < turns.size(); ++i) EXPECT_GE(turns[i].repetition, turns[i - 1].repetition);
  std::set<std::pair<size_t, int64_t>> different;
  for (const SuiteTurn& turn : turns) different.insert({turn.row, turn.repetition});
  EXPECT_EQ(different.size(), turns.size());
  EXPECT_FALSE(different.contains({8, 0})) << "a row that is played once has no warm-up";
  EXPECT_TRUE(turns[0].warm_up());
  const auto order = [&](size_t from) {
    std::vector<size_t> block;
    for (size_t i = from; i < from + 8; ++i) block.push_back(turns[i].row);
    return block;
  };
  EXPECT_NE(order(17), order(25)) << "two repetitions in the same order";
  EXPECT_EQ(turns_of(rows, 7), turns);
  EXPECT_NE(turns_of(rows, 8), turns);
}

TEST(SuiteRows, RepeatAsTheyOrTheUserSay) {
  const Suite* suite = *find_suite("dead-peer");
  for (const Row& row : rows_of({suite, true, 0, 1})) EXPECT_EQ(row.repetitions, 1);
  for (const Row& row : rows_of({suite, true, 5, 1}))
    EXPECT_EQ(row.repetitions, row.prices() ? 1 : 5) << row.name;
}

// Two rows, each with a warm-up and two repetitions.
SuiteResult repeated_suite() {
  SuiteResult suite;
  suite.spec = {*find_suite("quick"), true, 0, 1};
  suite.rows = {plain_row("one", 2), plain_row("two", 2)};
  suite.turns = turns_of(suite.rows, 1);
  for (const SuiteTurn& turn : suite.turns) {
    suite::Run run;
    run.turn = turn;
    run.spec = *run_of(suite.rows[turn.row]);
    LedgerRow row = ledger_row("silent", "none", 10, 10, 0);
    row.findings[static_cast<size_t>(Finding::eof)] = 10;
    row.established = 10;
    run.result.ledger = {row};
    run.result.cost.survivors.user_ns = 1'000;
    run.result.cost.traffic.out_segments = 25;
    run.result.cost.host_busy_ns = 7'000;
    run.result.phases = {{"establish", 0, 400}, {"arm", 400, 30}};
    run.result.timeline = {{0, 1'000'000, 10, 10, 0}};
    run.wall_ns = (turn.row == 0 ? 1 : 3) * kSecond_ns;
    suite.runs.push_back(std::move(run));
  }
  return suite;
}

TEST(SuiteRepetitions, AreMergedAndTheWarmUpIsNot) {
  const SuiteResult suite = repeated_suite();
  const auto merged = merged_ledger(suite, 0);
  ASSERT_EQ(merged.size(), 1u);
  EXPECT_EQ(merged[0].requested, 20);
  EXPECT_EQ(merged[0].found, 20);
  EXPECT_EQ(merged[0].issued.count(), 20u);
  EXPECT_EQ(merged[0].findings[static_cast<size_t>(Finding::eof)], 20);
  EXPECT_THAT(suite_latency_csv(suite), HasSubstr("1,two,silent,recv,none,issued,0,"));
  EXPECT_THAT(suite_latency_csv(suite), HasSubstr("issued,100,1000000000,20,\n"));
  EXPECT_EQ(suite_timeline_csv(suite),
            "schema_version,row,start_ns,injected,found,in_flight,width_ns\n"
            "1,one,0,10,10,0,1000000\n"
            "1,two,0,10,10,0,1000000\n");
  EXPECT_TRUE(frontier_of(suite).empty()) << "nobody looks for these dead";
}

TEST(SuiteRepetitions, AreMarkedInTheSummary) {
  const std::string text = suite_summary_csv(repeated_suite());
  EXPECT_THAT(text, HasSubstr("schema_version,row,run,repetition,warm_up,run_status,"
                              "cpu_ns_per_connection,segments_per_connection,"
                              "busy_ns_per_connection,establish_ns_per_connection,"
                              "arm_ns_per_connection,connections,"));
  EXPECT_THAT(text, HasSubstr("1,one,01-one/warm-up,0,1,ok,100.0,2.5,700.0,40.0,3.0,"));
  EXPECT_THAT(text, HasSubstr("1,two,02-two/rep-2,2,0,ok,100.0,2.5,700.0,40.0,3.0,"));
  SuiteResult spinning = repeated_suite();
  for (suite::Run& run : spinning.runs) run.result.cost.survivors.spins = true;
  EXPECT_THAT(suite_summary_csv(spinning), HasSubstr("1,one,01-one/rep-1,1,0,ok,,2.5,"));
  SuiteResult unknown = repeated_suite();
  for (suite::Run& run : unknown.runs) run.result.cost.host_busy_ns = kNotKnown;
  EXPECT_THAT(suite_summary_csv(unknown), HasSubstr("1,one,01-one/rep-1,1,0,ok,100.0,2.5,,40.0,"));
}

TEST(SuiteTimeLeft, IsWhatRowsTookOrElseTheirEstimate) {
  SuiteResult suite = repeated_suite();
  const std::vector<int64_t> estimates_ns = {2 * kSecond_ns, 6 * kSecond_ns};
  EXPECT_EQ(time_left_ns(suite, estimates_ns, 4), (1 + 3) * kSecond_ns);
  suite.runs.clear();
  EXPECT_EQ(time_left_ns(suite, estimates_ns, 0), 3 * (2 + 6) * kSecond_ns);
  suite::Run first;
  first.turn = {0, 0};
  first.wall_ns = kSecond_ns;  // half of the estimate
  suite.runs = {first};
  suite.turns = {{0, 0}, {1, 0}, {0, 1}, {1, 1}};
  EXPECT_EQ(time_left_ns(suite, estimates_ns, 1), (1 + 2 * 3) * kSecond_ns);
}

TEST(SuiteRecords, ComeBackWhole) {
  SuiteResult suite = repeated_suite();
  suite::Run& run = suite.runs[4];
  run.status = RunStatus::too_slow;
  run.error = "slow";
  const auto back = deserialize_suite_run(serialize(run), suite.rows);
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(back->turn, run.turn);
  EXPECT_EQ(back->status, run.status);
  EXPECT_EQ(back->error, "slow");
  EXPECT_EQ(back->wall_ns, run.wall_ns);
  EXPECT_EQ(print_spec(back->spec), print_spec(run.spec));
  EXPECT_EQ(serialize(*back), serialize(run));

  SuiteResult prices;
  add_prices(prices, Probe::keepalive, "keepalive-idle=1s", 300);
  const auto priced = deserialize_suite_run(serialize(prices.runs[0]), prices.rows);
  ASSERT_TRUE(priced) << priced.error().message();
  ASSERT_EQ(priced->cost.watches.size(), 1u);
  EXPECT_EQ(priced->cost.watches[0].probes[1].samples[2].cost.survivors.user_ns, 3050);

  const std::string text = serialize(run);
  for (const size_t length : {size_t{0}, size_t{1}, text.size() / 2, text.size() - 1})
    EXPECT_FALSE(deserialize_suite_run(text.substr(0, length), suite.rows)) << length;
  EXPECT_FALSE(deserialize_suite_run(text, {})) << "no such row";
}

class SuiteFolder : public testing::Test {
 protected:
  SuiteFolder() {
    char path[] = "/tmp/lastack-suite-XXXXXX";
    folder_ = mkdtemp(path);
  }
  ~SuiteFolder() override { std::filesystem::remove_all(folder_); }
  // One run of it was played.
  Folder begun_with_a_run() {
    auto folder = begin_suite(folder_, spec_);
    suite::Run run;
    run.turn = turns_[0];
    run.result.ledger = {ledger_row("silent", "none", 10, 10, 0)};
    const Status failed = write_suite_run(*folder, rows_[turns_[0].row], run, {{"host", "here"}});
    EXPECT_FALSE(failed) << failed->message();
    return std::move(*folder);
  }
  static void put(const std::string& path, const std::string& content) {
    std::ofstream(path) << content;
  }
  std::string record() const {
    return fmt::format("{}/unfinished/row-{}-rep-{}", folder_, turns_[0].row, turns_[0].repetition);
  }
  std::string folder_;
  Spec spec_ = {*find_suite("quick"), true, 0, 1};
  std::vector<Row> rows_ = rows_of(spec_);
  std::vector<SuiteTurn> turns_ = turns_of(rows_, spec_.seed);
};

TEST_F(SuiteFolder, GoesOnBehindWhatIsRecorded) {
  const Folder folder = begun_with_a_run();
  // What a kill leaves: a folder without a record, and a file without its name.
  const std::string half_written = folder_ + "/" + run_folder(turns_[1], rows_[turns_[1].row]);
  std::filesystem::create_directories(half_written);
  put(half_written + "/summary.csv", "schema_ver");
  put(half_written + "/.latency.csv.17-0.tmp", "schema_ver");
  const auto done = resume_suite(folder, spec_);
  ASSERT_TRUE(done) << done.error().message();
  ASSERT_EQ(done->size(), 1u);
  EXPECT_EQ(done->front().turn, turns_[0]);
  EXPECT_FALSE(std::filesystem::exists(half_written));
}

TEST_F(SuiteFolder, RefusesARecordThatItCannotTrust) {
  const Folder folder = begun_with_a_run();
  const std::string whole = *read_file(record());
  std::string other_bit = whole;
  other_bit[whole.size() / 2] ^= 1;
  const std::string half_written = folder_ + "/" + run_folder(turns_[1], rows_[turns_[1].row]);
  std::filesystem::create_directories(half_written);
  for (const std::string& damaged :
       {std::string(), whole.substr(0, whole.size() / 2), whole.substr(0, 9), whole + "x",
        whole.substr(9), other_bit, std::string("00000001\n")}) {
    put(record(), damaged);
    const auto done = resume_suite(folder, spec_);
    ASSERT_FALSE(done) << damaged.size();
    EXPECT_THAT(done.error().message(), HasSubstr("damaged"));
    EXPECT_THAT(done.error().message(), HasSubstr(record()));
    EXPECT_TRUE(std::filesystem::exists(half_written)) << "deleted before all was read";
  }
  // That of another run, under its own checksum.
  put(folder_ + fmt::format("/unfinished/row-{}-rep-{}", turns_[1].row, turns_[1].repetition),
      whole);
  put(record(), whole);
  EXPECT_THAT(resume_suite(folder, spec_).error().message(), HasSubstr("of another run"));
}

TEST_F(SuiteFolder, FollowsNoLink) {
  namespace fs = std::filesystem;
  const std::string elsewhere = folder_ + "-elsewhere";
  fs::create_directories(elsewhere + "/rep-1");
  fs::create_directories(elsewhere + "/warm-up");
  put(elsewhere + "/rep-1/run.json", "mine");
  put(elsewhere + "/warm-up/run.json", "mine");
  const auto intact = [&] {
    return fs::exists(elsewhere + "/rep-1/run.json") && fs::exists(elsewhere + "/warm-up/run.json");
  };
  {
    const Folder folder = begun_with_a_run();
    const std::string kept = elsewhere + "/record";
    fs::rename(record(), kept);
    fs::create_symlink(kept, record());
    EXPECT_THAT(resume_suite(folder, spec_).error().message(), HasSubstr("ELOOP"));
    fs::remove(record());
    fs::create_directory(record());
    EXPECT_THAT(resume_suite(folder, spec_).error().message(), HasSubstr("is no regular file"));
    fs::remove(record());
    fs::rename(kept, record());
    ASSERT_TRUE(resume_suite(folder, spec_));

    // A run's folder, and the folder around it.
    const std::string row = folder_ + "/" + row_folder(turns_[1].row, rows_[turns_[1].row]);
    fs::remove_all(row);
    fs::create_symlink(elsewhere, row);
    EXPECT_FALSE(resume_suite(folder, spec_));
    EXPECT_TRUE(intact());
    suite::Run run;
    run.turn = turns_[1];
    run.result.ledger = {ledger_row("silent", "none", 10, 10, 0)};
    EXPECT_TRUE(write_suite_run(folder, rows_[turns_[1].row], run, {}));
    EXPECT_TRUE(intact());
    fs::remove(row);
    const std::string half_written = folder_ + "/" + run_folder(turns_[1], rows_[turns_[1].row]);
    fs::create_directories(fs::path(half_written).parent_path());
    fs::create_symlink(elsewhere + "/rep-1", half_written);
    EXPECT_FALSE(resume_suite(folder, spec_));
    EXPECT_TRUE(intact());
    fs::remove(half_written);

    // What somebody else has put there is not removed.
    fs::create_directories(half_written);
    put(half_written + "/notes.txt", "mine");
    put(half_written + "/run.json", "{");
    EXPECT_THAT(resume_suite(folder, spec_).error().message(),
                HasSubstr("notes.txt was not written"));
    EXPECT_TRUE(fs::exists(half_written + "/notes.txt"));
    EXPECT_TRUE(fs::exists(half_written + "/run.json"));
  }
  // The records' folder itself.
  fs::remove_all(elsewhere);
  fs::rename(folder_ + "/unfinished", elsewhere);
  fs::create_symlink(elsewhere, folder_ + "/unfinished");
  const auto again = open_suite(folder_);
  ASSERT_TRUE(again);
  EXPECT_FALSE(resume_suite(*again, spec_));
  fs::remove_all(elsewhere);
}

TEST_F(SuiteFolder, IsReservedForOneProcess) {
  {
    const auto first = begin_suite(folder_, spec_);
    ASSERT_TRUE(first);
    EXPECT_THAT(begin_suite(folder_, spec_).error().message(), HasSubstr("in use by another"));
    EXPECT_THAT(open_suite(folder_).error().message(), HasSubstr("in use by another"));
  }
  EXPECT_TRUE(open_suite(folder_));
}

TEST_F(SuiteFolder, IsNotSharedByDifferentSuites) {
  EXPECT_THAT(resume_suite(*open_suite(folder_), spec_).error().message(),
              HasSubstr("no unfinished suite"));
  ASSERT_TRUE(begin_suite(folder_, spec_));
  EXPECT_FALSE(begin_suite(folder_, spec_)) << "not empty";
  const auto folder = open_suite(folder_);
  ASSERT_TRUE(folder);
  Spec other = spec_;
  other.seed = 2;
  EXPECT_THAT(resume_suite(*folder, other).error().message(),
              HasSubstr("was begun with seed 1; now it is 2"));
  other = spec_;
  other.suite = *find_suite("rst");
  EXPECT_THAT(resume_suite(*folder, other).error().message(), HasSubstr("begun with suite"));
  put(folder_ + "/unfinished/plan.json", "{\"suite\":");
  EXPECT_THAT(resume_suite(*folder, spec_).error().message(), HasSubstr("is damaged"));
}

TEST_F(SuiteFolder, IsFinishedWhenAllWasPlayed) {
  auto folder = begin_suite(folder_, spec_);
  ASSERT_TRUE(folder);
  SuiteResult suite = repeated_suite();
  suite.runs.pop_back();
  ASSERT_FALSE(write_suite(*folder, suite, {{"a", 1}}, {}));
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/unfinished"));
  ASSERT_FALSE(write_suite(*folder, repeated_suite(), {{"a", 1}}, {}));
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/unfinished"));
  for (const char* name : {"manifest.json", "summary.csv", "latency.csv", "timeline.csv"})
    EXPECT_TRUE(std::filesystem::exists(folder_ + "/" + name)) << name;
}

}  // namespace
}  // namespace lastack::suite
