// `lastack cost` as its user meets it. What a probe costs is the host's business: only what must be
// so is asserted, never a time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "program.h"

namespace lastack::live {
namespace {

using testing::HasSubstr;

TEST(Cost, OfKeepaliveThatHasNoTimeToProbeIsNoPacket) {
  const TemporaryFolder folder;
  const std::string out = folder.path() + "/cost";
  const Outcome outcome = run_program({"cost", "--connections", "200", "--rounds", "3", "--window",
                                       "300ms", "--probe", "none,keepalive", "--out", out});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("3 rounds x 2 runs"));
  EXPECT_THAT(outcome.out, HasSubstr("watch recv: 200 connections, 3 rounds of 300ms"));

  const auto document = nlohmann::json::parse(*read_file(out + "/cost.json"));
  EXPECT_EQ(document["status"], "ok");
  EXPECT_EQ(document["spec"]["mix"], "alive=1");
  EXPECT_EQ(document["rounds"], 3);
  EXPECT_TRUE(document["environment"].contains("kernel"));
  const auto& probes = document["watches"][0]["probes"];
  ASSERT_EQ(probes.size(), 2u);
  for (const auto& probe : probes) {
    ASSERT_EQ(probe["samples"].size(), 3u);
    for (const auto& sample : probe["samples"]) {
      EXPECT_EQ(sample["connections"], 200);
      EXPECT_GE(sample["wall_ns"], 300'000'000);
      // Idle connections, and the first probe is due after a second.
      for (const char* quantity : {"segments-in", "segments-out", "bytes-out", "interface-packets"})
        EXPECT_EQ(sample[quantity], 0) << quantity;
      for (const char* quantity : {"survivor-cpu", "survivor-switches", "survivor-enters",
                                   "victim-cpu", "victim-enters", "memory"})
        EXPECT_GT(sample[quantity], 0) << quantity;
    }
  }

  const auto csv = read_csv(out + "/cost.csv");
  ASSERT_GT(csv.size(), 10u);
  EXPECT_EQ(csv[0][0], "schema_version");
  for (size_t i = 1; i < csv.size(); ++i) {
    EXPECT_EQ(csv[i][2], "keepalive");
    if (csv[i][7] != "segments-out") continue;
    EXPECT_EQ(csv[i][13], "false");
  }
  EXPECT_EQ(run_program({"cost", "--probe", "keepalive", "--out", out}).exit_code, 2);
}

// No figure is 0 because nobody read it: an echo is a request and its answer, on loopback and,
// with the link's header, on veth, where each side is a namespace of its own.
TEST(Cost, OfARunUnderLoadIsSeenByEveryMeter) {
  for (const std::string path : {"loopback", "veth"}) {
    SCOPED_TRACE(path);
    const Outcome outcome = run_program({"run", "--connections", "50", "--mix", "alive",
                                         "--deadline", "500ms", "--path", path, "--load",
                                         "echo=2k/s", "--payload", "100", "--format", "json"});
    ASSERT_THAT(outcome.exit_code, testing::AnyOf(0, 6)) << outcome.err;
    const auto cost = outcome.json()["cost"];
    const double round_trips =
        outcome.json()["rates"]["achieved_round_trips_per_second"].get<double>() *
        cost["wall_ns"].get<double>() / 1e9;
    ASSERT_GT(round_trips, 10);
    // Some are under way at either end of the measurement.
    constexpr int kUnderWay = 50;
    const auto& traffic = cost["traffic"];
    for (const char* figure : {"in_segments", "out_segments", "interface_packets"})
      EXPECT_GE(traffic[figure], 2 * (round_trips - kUnderWay)) << figure;
    for (const char* figure : {"in_bytes", "out_bytes", "interface_bytes"})
      EXPECT_GE(traffic[figure], 2 * 140 * (round_trips - kUnderWay)) << figure;
    for (const char* role : {"victims", "survivors"}) {
      EXPECT_GT(cost[role]["context_switches"], 0) << role;
      EXPECT_GT(cost[role]["ring_enters"], 0) << role;
      EXPECT_GT(cost[role]["user_ns"].get<int64_t>() + cost[role]["system_ns"].get<int64_t>(), 0);
    }
  }
}

TEST(Cost, RefusesWhatItSetsItself) {
  const Outcome mix = run_program({"cost", "--probe", "keepalive", "--mix", "fin"});
  EXPECT_EQ(mix.exit_code, 2);
  EXPECT_THAT(mix.err, HasSubstr("--mix: not with `lastack cost`: nobody dies"));
  const Outcome deadline = run_program({"cost", "--probe", "keepalive", "--deadline", "1s"});
  EXPECT_EQ(deadline.exit_code, 2);
  EXPECT_THAT(deadline.err, HasSubstr("--window"));
  EXPECT_EQ(run_program({"cost", "--probe", "none"}).exit_code, 2);
  EXPECT_EQ(run_program({"cost", "--probe", "keepalive", "--rounds", "2"}).exit_code, 2);
}

}  // namespace
}  // namespace lastack::live
