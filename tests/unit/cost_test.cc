// The prices of probes: who is compared with whom, in what unit, and what readers get to see.
#include "suite/cost.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "plan/rules.h"
#include "plan/values.h"
#include "report/cost_text.h"

namespace lastack::suite {
namespace {

using testing::HasSubstr;
using testing::Not;

const QuantityRow& quantity(std::string_view name) {
  const auto rows = quantities();
  return *std::find_if(rows.begin(), rows.end(),
                       [&](const QuantityRow& row) { return row.name == name; });
}

// A run of 10 connections over two seconds.
CostSample sample(int64_t segments, int64_t slab_bytes = 0) {
  CostSample sample;
  sample.connections = 10;
  sample.cost.wall_ns = 2'000'000'000;
  sample.cost.traffic.in_segments = segments;
  sample.cost.slab_bytes = slab_bytes;
  return sample;
}

TEST(Share, IsOfAConnectionAndASecond) {
  EXPECT_DOUBLE_EQ(*share(quantity("segments-in"), sample(100)), 5);
  CostSample longer = sample(100);
  longer.cost.wall_ns *= 2;
  EXPECT_DOUBLE_EQ(*share(quantity("segments-in"), longer), 2.5);
}

TEST(Share, OfMemoryHasNoTime) {
  EXPECT_DOUBLE_EQ(*share(quantity("kernel-slab"), sample(0, 4'000)), 400);
}

TEST(Share, OfNoConnectionOrNoTimeIsNotToBeHad) {
  CostSample empty = sample(100);
  empty.connections = 0;
  EXPECT_FALSE(share(quantity("segments-in"), empty));
  CostSample instant = sample(100);
  instant.cost.wall_ns = 0;
  EXPECT_FALSE(share(quantity("segments-in"), instant));
}

TEST(Share, KnowsWhatAHostCannotTell) {
  CostSample one = sample(0);
  one.cost.softirq_ns = -1;
  EXPECT_FALSE(share(quantity("softirq-cpu"), one));
  one.cost.softirq_ns = 40;
  EXPECT_DOUBLE_EQ(*share(quantity("softirq-cpu"), one), 2);
  one.cost.survivors.context_switches = 20;
  EXPECT_DOUBLE_EQ(*share(quantity("survivor-switches"), one), 1);
  one.cost.survivors.spins = true;
  EXPECT_FALSE(share(quantity("survivor-switches"), one));
}

// The host drifts by far more than the probe costs. Only the difference within a round sees the
// probe: the two unpaired means would be lost in the drift.
TEST(Price, ComparesWithTheControlOfTheSameRound) {
  std::vector<CostSample> control, probe;
  for (const int64_t drift : {0, 1'000, 4'000, 9'000}) {
    control.push_back(sample(200 + drift));
    probe.push_back(sample(240 + drift));
  }
  const auto priced = price(quantity("segments-in"), control, probe);
  ASSERT_TRUE(priced);
  EXPECT_DOUBLE_EQ(priced->more.mean, 2);
  EXPECT_NEAR(priced->more.low, 2, 1e-9);
  EXPECT_NEAR(priced->more.high, 2, 1e-9);
  EXPECT_TRUE(priced->more.distinguishable());
  EXPECT_DOUBLE_EQ(priced->control_mean, (200 + 3'500) / 20.0);
}

TEST(Price, OfNoiseIsNotDistinguishable) {
  const std::vector<CostSample> control = {sample(100), sample(140), sample(90)};
  const std::vector<CostSample> probe = {sample(120), sample(110), sample(100)};
  const auto priced = price(quantity("segments-in"), control, probe);
  ASSERT_TRUE(priced);
  EXPECT_FALSE(priced->more.distinguishable());
}

TEST(Price, MayBeASaving) {
  const std::vector<CostSample> control = {sample(100), sample(100), sample(101)};
  const std::vector<CostSample> probe = {sample(60), sample(60), sample(60)};
  const auto priced = price(quantity("segments-in"), control, probe);
  EXPECT_LT(priced->more.high, 0);
  EXPECT_TRUE(priced->more.distinguishable());
}

TEST(Price, NeedsTwoWholeRoundsAndTheQuantityInAllOfThem) {
  const std::vector<CostSample> one = {sample(1)}, two = {sample(1), sample(2)};
  EXPECT_FALSE(price(quantity("segments-in"), one, one));
  EXPECT_FALSE(price(quantity("segments-in"), two, one));
  EXPECT_TRUE(price(quantity("segments-in"), two, two));
  EXPECT_FALSE(price(quantity("softirq-cpu"), two, two));
}

std::vector<PricedWatch> two_watches() {
  return {{Watch::recv,
           {{Probe::none, "", {}}, {Probe::keepalive, "", {}}, {Probe::user_timeout, "", {}}}},
          {Watch::poll, {{Probe::none, "", {}}, {Probe::keepalive, "no rights", {}}}}};
}

TEST(Turns, EveryRunOnceAndWatchesTogether) {
  Random random{1};
  for (int round = 0; round < 50; ++round) {
    const auto turns = turns_of_round(two_watches(), random);
    std::set<std::pair<size_t, size_t>> seen;
    int changes = 0;
    for (size_t i = 0; i < turns.size(); ++i) {
      seen.insert({turns[i].watch, turns[i].probe});
      changes += i > 0 && turns[i].watch != turns[i - 1].watch;
    }
    // The skipped one has no turn.
    EXPECT_EQ(seen, (std::set<std::pair<size_t, size_t>>{{0, 0}, {0, 1}, {0, 2}, {1, 0}}));
    EXPECT_EQ(turns.size(), 4u);
    EXPECT_EQ(changes, 1);
  }
}

TEST(Turns, NobodyIsAlwaysFirst) {
  Random random{1};
  std::map<size_t, int> first;
  constexpr int kRounds = 3000;
  const std::vector<PricedWatch> one = {two_watches().front()};
  for (int round = 0; round < kRounds; ++round) ++first[turns_of_round(one, random)[0].probe];
  for (size_t probe = 0; probe < 3; ++probe) EXPECT_NEAR(first[probe], kRounds / 3, 150) << probe;
}

TEST(Turns, AreRepeatedByTheSeed) {
  const auto order = [](uint64_t seed) {
    Random random{seed};
    std::vector<size_t> probes;
    for (int round = 0; round < 10; ++round)
      for (const CostTurn& turn : turns_of_round(two_watches(), random))
        probes.push_back(turn.watch * 10 + turn.probe);
    return probes;
  };
  EXPECT_EQ(order(7), order(7));
  EXPECT_NE(order(7), order(8));
}

TEST(CostRun, IsOfConnectionsThatLiveForAWindow) {
  CostSpec spec;
  spec.window_ns = 300'000'000;
  spec.run.connections = 5;
  spec.run.probes = {Probe::keepalive, Probe::user_timeout};
  const RunSpec run = cost_run(spec, Watch::poll, Probe::keepalive);
  ASSERT_EQ(run.mix.size(), 1u);
  EXPECT_EQ(strategies()[run.mix[0].strategy].name, "alive");
  EXPECT_EQ(run.watches, std::vector{Watch::poll});
  EXPECT_EQ(run.probes, std::vector{Probe::keepalive});
  EXPECT_EQ(run.deadline_ns, 300'000'000);
  EXPECT_EQ(run.connections, 5);
  // Shorter than keepalive would take to find anything: there is nothing to find.
  EXPECT_FALSE(check_spec(run));
  RunSpec dying = run;
  dying.mix = *parse_mix("fin,alive");
  EXPECT_TRUE(check_spec(dying));
}

TEST(PlanCost, RefusesWhatCannotBeCompared) {
  CostSpec spec;
  EXPECT_EQ(plan_cost(spec).status, RunStatus::bad_usage);
  EXPECT_THAT(plan_cost(spec).error, HasSubstr("none"));
  spec.run.probes = {Probe::keepalive};
  spec.run.watches = {Watch::late};
  spec.window_ns = kShortestWindow_ns;
  const CostPlan plan = plan_cost(spec);
  EXPECT_EQ(plan.status, RunStatus::bad_usage);
  EXPECT_THAT(plan.error, HasSubstr("--window"));
  EXPECT_THAT(plan.error, Not(HasSubstr("--deadline")));
}

TEST(PlanCost, TheControlNeedsNoNameAndIsNamedOnce) {
  for (const std::vector<Probe>& probes :
       {std::vector{Probe::keepalive}, std::vector{Probe::keepalive, Probe::none}}) {
    CostSpec spec;
    spec.run.probes = probes;
    const CostPlan plan = plan_cost(spec);
    ASSERT_EQ(plan.error, "");
    ASSERT_EQ(plan.watches.size(), 1u);
    ASSERT_EQ(plan.watches[0].probes.size(), 2u);
    EXPECT_EQ(plan.watches[0].probes[0].probe, Probe::none);
    EXPECT_EQ(plan.watches[0].probes[1].probe, Probe::keepalive);
    EXPECT_GE(plan.estimated_ns, 2 * spec.rounds * spec.window_ns);
  }
}

// Keepalive sends 2 more segments per connection and second; of user-timeout nothing is known.
CostResult sample_result() {
  CostResult result;
  result.rounds = 3;
  result.spec.rounds = 3;
  result.spec.window_ns = 2'000'000'000;
  result.spec.run.probes = {Probe::keepalive, Probe::user_timeout};
  PricedWatch watch{Watch::recv,
                    {{Probe::none, "", {}},
                     {Probe::keepalive, "", {}},
                     {Probe::user_timeout, "needs, say, rights", {}}}};
  for (const int64_t drift : {0, 20, 40}) {
    watch.probes[0].samples.push_back(sample(200 + drift));
    watch.probes[1].samples.push_back(sample(240 + drift));
  }
  result.watches = {watch};
  result.notes = {"a note"};
  return result;
}

std::string line_with(const std::string& text, std::string_view start) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (std::string_view(text).substr(at).starts_with(start)) return text.substr(at, end - at);
    at = end + 1;
  }
  return "";
}

TEST(CostText, ShowsPricesAndWhatIsNone) {
  const std::string text = cost_text(sample_result());
  EXPECT_THAT(text, HasSubstr("watch recv: 10 connections, 3 rounds of 2s"));
  EXPECT_THAT(line_with(text, "segments-in"), HasSubstr("2 +-0"));
  EXPECT_THAT(line_with(text, "segments-in"), HasSubstr("11"));
  EXPECT_THAT(line_with(text, "segments-out"), HasSubstr("~"));
  EXPECT_THAT(line_with(text, "softirq-cpu"), HasSubstr("n/a"));
  EXPECT_THAT(text, HasSubstr("contained in the system time"));
  EXPECT_THAT(text, HasSubstr("keepalive: keepalive-idle=1s;keepalive-interval=1s;"));
  EXPECT_THAT(text, HasSubstr("user-timeout skipped: needs, say, rights"));
  EXPECT_THAT(text, HasSubstr("a note"));
  EXPECT_THAT(text, HasSubstr("status  ok"));
}

TEST(CostText, OfVirtualTimeNamesItsUnit) {
  CostResult result = sample_result();
  EXPECT_THAT(line_with(cost_text(result), "survivor-cpu"), HasSubstr(" ns/s "));
  result.host.time_unit = TimeUnit::virtual_ns;
  EXPECT_THAT(line_with(cost_text(result), "survivor-cpu"), HasSubstr(" virtual_ns/virtual s "));
  EXPECT_THAT(line_with(cost_text(result), "segments-in"), HasSubstr(" 1/virtual s "));
  EXPECT_THAT(cost_csv(result), HasSubstr(",survivor-cpu,virtual_ns/virtual s,"));
  EXPECT_THAT(cost_document(result, {}).dump(), HasSubstr(R"("unit":"virtual_ns/virtual s")"));
}

TEST(CostCsv, HasALineAQuantityAndOneForWhoIsSkipped) {
  const std::string csv = cost_csv(sample_result());
  EXPECT_THAT(csv, testing::StartsWith("schema_version,watch,probe,settings,connections,rounds,"));
  EXPECT_THAT(
      line_with(csv,
                "1,recv,keepalive,keepalive-idle=1s;keepalive-interval=1s;keepalive-count=2,"
                "10,3,2000000000,segments-in,"),
      HasSubstr("segments-in,1/s,11,2,2,2,true,"));
  EXPECT_THAT(csv, HasSubstr("segments-out,1/s,0,0,0,0,false,\n"));
  EXPECT_THAT(csv, HasSubstr("softirq-cpu,ns/s,,,,,,\n"));
  EXPECT_THAT(csv, HasSubstr("1,recv,user-timeout,user-timeout=2s,0,3,2000000000,,,,,,,,"
                             "\"needs, say, rights\"\n"));
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'),
            static_cast<ptrdiff_t>(1 + quantities().size() + 1));
}

TEST(CostDocument, HoldsPricesSamplesAndHowToRepeatThem) {
  const auto document = cost_document(sample_result(), {{"host", "here"}});
  EXPECT_EQ(document["schema_version"], 1);
  EXPECT_EQ(document["status"], "ok");
  EXPECT_TRUE(document["error"].is_null());
  EXPECT_EQ(document["environment"]["host"], "here");
  EXPECT_EQ(document["spec"]["mix"], "alive=1");
  EXPECT_EQ(document["spec"]["probe"], "keepalive,user-timeout");
  EXPECT_EQ(document["spec"]["deadline"], "2s");
  EXPECT_EQ(document["rounds"], 3);
  const auto& probes = document["watches"][0]["probes"];
  ASSERT_EQ(probes.size(), 3u);
  EXPECT_EQ(probes[0]["prices"].size(), 0u);
  EXPECT_EQ(probes[0]["samples"].size(), 3u);
  EXPECT_DOUBLE_EQ(probes[0]["samples"][2]["segments-in"], 12);
  EXPECT_TRUE(probes[0]["samples"][0]["softirq-cpu"].is_null());
  bool found = false;
  for (const auto& priced : probes[1]["prices"]) {
    EXPECT_NE(priced["quantity"], "softirq-cpu");
    if (priced["quantity"] != "segments-in") continue;
    found = true;
    EXPECT_DOUBLE_EQ(priced["mean"], 2);
    EXPECT_EQ(priced["distinguishable"], true);
  }
  EXPECT_TRUE(found);
  EXPECT_EQ(probes[2]["skipped"], "needs, say, rights");
}

TEST(CostSettings, AreThoseOfTheProbe) {
  const std::string csv = cost_csv(sample_result());
  EXPECT_THAT(line_with(csv, "1,recv,keepalive"), Not(HasSubstr("user-timeout=")));
  EXPECT_THAT(line_with(csv, "1,recv,user-timeout"), Not(HasSubstr("keepalive-")));
}

}  // namespace
}  // namespace lastack::suite
