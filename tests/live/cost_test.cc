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
    if (csv[i][7] == "segments-out") EXPECT_EQ(csv[i][13], "false");
  }
  EXPECT_EQ(run_program({"cost", "--probe", "keepalive", "--out", out}).exit_code, 2);
}

TEST(Cost, OfKeepaliveThatProbesIsTwoPacketsAProbe) {
  const Outcome outcome =
      run_program({"cost", "--connections", "50", "--rounds", "3", "--window", "1200ms", "--probe",
                   "keepalive", "--keepalive-idle", "1s", "--format", "json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto document = outcome.json();
  for (const auto& priced : document["watches"][0]["probes"][1]["prices"]) {
    if (priced["quantity"] != "segments-out") continue;
    EXPECT_EQ(priced["control_mean"], 0);
    EXPECT_EQ(priced["distinguishable"], true);
    EXPECT_GT(priced["low"], 0);
  }
  for (const auto& sample : document["watches"][0]["probes"][1]["samples"]) {
    const double segments =
        sample["segments-out"].get<double>() * 50 * sample["wall_ns"].get<double>() / 1e9;
    // A probe and its answer; a slow host may get to a second one.
    EXPECT_GE(segments, 99.5);
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
