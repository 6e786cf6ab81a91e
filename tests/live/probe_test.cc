// What finds a peer that died without a packet, when, and whom it takes for dead that lives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "program.h"

namespace lastack::live {
namespace {

using Json = nlohmann::json;

const Json& row_of(const Json& run, const std::string& strategy, const std::string& probe,
                   const std::string& watch = "recv") {
  for (const Json& row : run["ledger"])
    if (row["strategy"] == strategy && row["probe"] == probe && row["watch"] == watch) return row;
  static const Json kNone;
  ADD_FAILURE() << strategy << " " << watch << " " << probe;
  return kNone;
}

// All of them, by this finding, and none before its predicted time.
void expect_all_found(const Json& row, const char* finding) {
  SCOPED_TRACE(testing::Message() << row["strategy"] << " " << row["watch"] << " " << row["probe"]);
  EXPECT_GT(row["requested"], 0);
  EXPECT_EQ(row["found"], row["requested"]);
  EXPECT_EQ(row["findings"], (Json{{finding, row["requested"]}}));
  const Json& probing = row["probing"];
  EXPECT_FALSE(probing["prediction"].is_null());
  EXPECT_EQ(probing["early"], 0) << probing.dump();
}

void expect_nothing(const Json& row) {
  SCOPED_TRACE(testing::Message() << row["strategy"] << " " << row["watch"] << " " << row["probe"]);
  EXPECT_GT(row["requested"], 0);
  EXPECT_EQ(row["nothing"], row["requested"]);
  EXPECT_EQ(row["probing"]["false_alarms"], 0);
}

TEST(Probes, KernelTimersNeverFireBeforeTheirTimeAndSpareTheLiving) {
  const Json run = run_json({"--connections", "400", "--mix", "silent,alive", "--probe",
                             "none,keepalive,keepalive+user-timeout", "--user-timeout", "2500ms",
                             "--deadline", "7s"});
  expect_all_found(row_of(run, "silent", "keepalive"), "etimedout");
  expect_all_found(row_of(run, "silent", "keepalive+user-timeout"), "etimedout");
  expect_nothing(row_of(run, "silent", "none"));
  for (const char* probe : {"none", "keepalive", "keepalive+user-timeout"})
    expect_nothing(row_of(run, "alive", probe));
  // 1 s + 2 x 1 s, and the first probe after 2.5 s.
  EXPECT_EQ(row_of(run, "silent", "keepalive")["probing"]["prediction"]["nominal_ns"],
            3'000'000'000);
}

// An absence that is longer than keepalive's patience, and one between two lost probes: whether
// that one is enough is a matter of phase, and it is predicted either way.
TEST(Probes, APeerThatComesBackTooLateIsAFalseAlarm) {
  for (const std::string& cut_for : {std::string("3500ms"), std::string("1300ms")}) {
    SCOPED_TRACE(cut_for);
    const Json run =
        run_json({"--connections", "200", "--mix", "cable-restore", "--probe",
                  "none,keepalive,keepalive+user-timeout,heartbeat-wheel", "--user-timeout",
                  "2500ms", "--warm-up", "800ms", "--cut-for", cut_for});
    expect_nothing(row_of(run, "cable-restore", "none"));
    for (const char* probe : {"keepalive", "keepalive+user-timeout", "heartbeat-wheel"}) {
      const Json& row = row_of(run, "cable-restore", probe);
      SCOPED_TRACE(probe);
      EXPECT_EQ(row["probing"]["false_alarms"], row["found"]);
      if (cut_for == "3500ms") {
        EXPECT_EQ(row["found"], row["requested"]);
      }
    }
  }
}

TEST(Probes, OnlyAHeartbeatFindsAFrozenPeerAndItSilencesKeepalive) {
  const Json run =
      run_json({"--connections", "300", "--mix", "freeze,silent,alive", "--per-process", "25",
                "--probe", "keepalive,keepalive+heartbeat,heartbeat-wheel", "--keepalive-idle",
                "5s", "--keepalive-count", "1", "--heartbeat-interval", "500ms",
                "--heartbeat-deadline", "2500ms", "--deadline", "9s"});
  expect_nothing(row_of(run, "freeze", "keepalive"));
  expect_nothing(row_of(run, "freeze", "keepalive+heartbeat"));
  expect_all_found(row_of(run, "freeze", "heartbeat-wheel"), "heartbeat-missed");
  expect_all_found(row_of(run, "silent", "keepalive"), "etimedout");
  expect_nothing(row_of(run, "silent", "keepalive+heartbeat"));
}

TEST(Probes, EveryHeartbeatFindsTheDead) {
  const std::string ways =
      "heartbeat-link,heartbeat-wheel,heartbeat-multishot,heartbeat-timerfd,heartbeat-scan";
  for (const char* phase : {"spread", "aligned"}) {
    const Json run =
        run_json({"--connections", "600", "--mix", "silent,alive", "--watch", "recv,epoll",
                  "--probe", ways, "--heartbeat-interval", "300ms", "--heartbeat-deadline", "900ms",
                  "--heartbeat-phase", phase, "--deadline", "4s"});
    for (const Json& row : run["ledger"]) {
      if (!row["skipped"].is_null()) continue;
      if (row["strategy"] == "silent") expect_all_found(row, "heartbeat-missed");
      // A busy host may make them cry wolf, and then it is said.
      if (row["strategy"] == "alive") {
        EXPECT_EQ(row["probing"]["false_alarms"], row["found"]);
      }
    }
    EXPECT_FALSE(row_of(run, "silent", "heartbeat-link", "epoll")["skipped"].is_null());
  }
}

TEST(Probes, AUserTimeoutDoesNotForgiveAPeerThatDoesNotRead) {
  const Json run = run_json({"--connections", "120", "--mix", "silent,alive", "--reader", "stopped",
                             "--probe", "user-timeout,keepalive,retransmit", "--user-timeout", "2s",
                             "--retries2", "2", "--rto-max", "1s", "--deadline", "8s"});
  const Json& spared = row_of(run, "alive", "user-timeout");
  EXPECT_EQ(spared["probing"]["false_alarms"], spared["requested"]);
  expect_nothing(row_of(run, "alive", "retransmit"));
  expect_nothing(row_of(run, "alive", "keepalive"));
  // Keepalive waits while data does: the window's own probes find the death.
  for (const char* probe : {"user-timeout", "keepalive", "retransmit"})
    EXPECT_EQ(row_of(run, "silent", probe)["found"], row_of(run, "silent", probe)["requested"]);
  EXPECT_EQ(run["spec"]["retries2"], 2);
}

TEST(Probes, BulkNeighboursAndHogsKeepNobodyFromDying) {
  const Json run =
      run_json({"--connections", "60", "--mix", "silent", "--neighbours", "60", "--load", "bulk",
                "--neighbour-load", "echo=200/s", "--probe", "user-timeout", "--user-timeout",
                "500ms", "--cpu-hog", "2", "--deadline", "4s"});
  expect_nothing(row_of(run, "alive", "user-timeout"));
  const Json& dead = row_of(run, "silent", "user-timeout");
  EXPECT_GE(dead["findings"].value("etimedout", 0), 1) << dead.dump();
  EXPECT_GT(dead["probing"]["prediction"]["nominal_ns"], 0);
}

}  // namespace
}  // namespace lastack::live
