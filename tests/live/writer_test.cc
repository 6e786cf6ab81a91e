// Survivors that write: which error comes first, how many signals, and where every byte went.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "../named_case.h"
#include "program.h"

namespace lastack::live {
namespace {

using Json = nlohmann::json;

// Written down from what kernels do, not asked of the model.
const std::set<std::string> kRaisesSigpipe = {"write",     "writev",     "write-linked",
                                              "send-call", "write-call", "sendfile"};
constexpr size_t kWritePaths = 14;

Json run_writers(std::vector<std::string> more, int wanted_exit_code = 0) {
  if (std::find(more.begin(), more.end(), "--watch") == more.end())
    more.insert(more.begin(), {"--watch", "writer"});
  return run_json(std::move(more), wanted_exit_code);
}

// The sums as a reader of run.json would check them.
void expect_sums(const Json& row) {
  const Json& writes = row["writes"];
  EXPECT_EQ(writes["attempted"],
            writes["accepted"].get<int64_t>() + writes["failed"].get<int64_t>() +
                writes["would_block"].get<int64_t>() + writes["cancelled"].get<int64_t>());
  const Json& bytes = writes["bytes"];
  EXPECT_EQ(bytes["accepted"], bytes["delivered"].get<int64_t>() + bytes["lost"].get<int64_t>() +
                                   bytes["queued"].get<int64_t>() + bytes["untold"].get<int64_t>());
  EXPECT_EQ(bytes["unexplained"], 0);
  EXPECT_EQ(writes["unexplained_connections"], 0);
  int64_t connections = 0;
  for (const Json& bar : writes["by_accepted_after_act"]) connections += bar[1].get<int64_t>();
  EXPECT_EQ(connections, row["torn_down"]);
}

int64_t errors_of(const Json& row, const char* which, const char* name) {
  return row["writes"][which].value(name, int64_t{0});
}

TEST(Writers, EveryWritePathLosesAndSignalsAsTheKernelSays) {
  constexpr int kEach = 100;
  const Json run = run_writers({"--connections", std::to_string(2 * kWritePaths * kEach), "--mix",
                                "fin,rst-linger", "--write-path", "all"});
  ASSERT_EQ(run["ledger"].size(), 2 * kWritePaths);
  for (const Json& row : run["ledger"]) {
    const std::string path = row["write_path"], strategy = row["strategy"];
    SCOPED_TRACE(strategy + " " + path);
    if (!row["skipped"].is_null()) continue;  // an older kernel
    expect_sums(row);
    EXPECT_EQ(row["torn_down"], kEach);
    const int64_t epipes =
        errors_of(row, "first_errors", "EPIPE") + errors_of(row, "second_errors", "EPIPE");
    EXPECT_EQ(row["writes"]["sigpipes"], kRaisesSigpipe.contains(path) ? epipes : 0);
    const int64_t resets = errors_of(row, "first_errors", "ECONNRESET");
    EXPECT_EQ(resets + errors_of(row, "first_errors", "EPIPE"), kEach);
    // A message that lay unread turns a FIN into an RST: never many of them at this rate.
    if (strategy == "fin")
      EXPECT_LT(resets, kEach / 2);
    else
      EXPECT_EQ(resets, kEach);
    EXPECT_EQ(errors_of(row, "second_errors", "EPIPE"), kEach);
  }
  EXPECT_EQ(run["writers"]["sigpipes_unblamed"], 0);
  int64_t by_row = 0, by_thread = 0;
  for (const Json& row : run["ledger"])
    if (row["skipped"].is_null()) by_row += row["writes"]["sigpipes"].get<int64_t>();
  for (const Json& thread : run["writers"]["threads"])
    by_thread += thread["sigpipes"].get<int64_t>();
  EXPECT_EQ(by_row, by_thread);
}

TEST(Writers, AMessageIsAcceptedAfterTheFinAndLost) {
  const Json run = run_writers({"--connections", "300", "--mix", "fin", "--write-path", "send"});
  const Json& writes = run["ledger"][0]["writes"];
  // Nearly all: one FIN may arrive within the write that draws the RST, one RST may be delayed.
  EXPECT_GT(writes["accepted_after_fin"].get<int64_t>(), 150);
  EXPECT_GT(writes["first_errors"].value("EPIPE", 0), 150);
  EXPECT_GT(writes["bytes"]["lost_after_act"].get<int64_t>(), 150 * 512);
}

struct Everywhere {
  const char* name;
  std::vector<std::string> options;
};
using cases::PrintTo;

class EveryStrategy : public testing::TestWithParam<Everywhere> {};

TEST_P(EveryStrategy, AddsUp) {
  std::vector<std::string> options = {"--connections", "750", "--deadline", "3s"};
  const auto& given = GetParam().options;
  if (std::find(given.begin(), given.end(), "--write-path") == given.end())
    options.insert(options.end(), {"--write-path", "write"});

  options.insert(options.end(), GetParam().options.begin(), GetParam().options.end());
  const Json run = run_writers(options);
  EXPECT_EQ(run["status"], "ok");
  EXPECT_TRUE(run["reconciliation"]["balanced"]);
  for (const Json& row : run["ledger"]) {
    if (!row["skipped"].is_null()) continue;
    SCOPED_TRACE(row["strategy"].get<std::string>());
    expect_sums(row);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Writers, EveryStrategy,
    testing::Values(Everywhere{"server", {}},
                    Everywhere{"veth", {"--path", "veth", "--survivor", "client"}},
                    Everywhere{"fast", {"--write-rate", "max"}},
                    Everywhere{"poisson", {"--write-rate", "poisson=20/s", "--payload", "64KiB"}},
                    Everywhere{"polling", {"--before-write", "poll", "--survivor", "client"}},
                    Everywhere{"reading", {"--before-write", "recv", "--sigpipe", "signalfd"}},
                    Everywhere{"timeout", {"--probe", "user-timeout", "--user-timeout", "500ms"}},
                    // Their pages run out (RLIMIT_MEMLOCK) where nobody acknowledges them.
                    Everywhere{"zerocopy", {"--write-path", "send-zc", "--write-rate", "max"}},
                    Everywhere{"pieces",
                               {"--write-path", "splice,sendfile", "--payload", "256KiB"}}),
    cases::by_name);

TEST(Writers, AWrongPredictionOfTheSignalIsCaught) {
  for (const char* wrong : {"write=no-sigpipe", "send=sigpipe"}) {
    const Json run = run_writers({"--connections", "100", "--mix", "rst-linger", "--write-path",
                                  "write,send", "--expect", wrong},
                                 5);
    EXPECT_EQ(run["status"], "unbalanced");
    EXPECT_EQ(run["unexpected"].size(), 50u);
    EXPECT_THAT(run["unexpected"][0]["seen"], testing::HasSubstr("SIGPIPE"));
  }
}

TEST(Writers, TheDefaultActionKillsAProcessForEachSignal) {
  const Json run = run_writers({"--connections", "200", "--mix", "fin,rst-linger", "--write-path",
                                "write-call,send", "--sigpipe", "default", "--deadline", "10s"});
  for (const Json& row : run["ledger"]) {
    expect_sums(row);
    const int64_t killed = row["writes"]["killed"];
    EXPECT_EQ(killed, row["write_path"] == "send" ? 0 : 50);
    EXPECT_EQ(row["writes"]["sigpipes"], killed);
  }
}

TEST(Writers, SendfileSignalsWithAShortCount) {
  const Json run = run_writers(
      {"--connections", "100", "--mix", "fin", "--write-path", "sendfile", "--payload", "256KiB"});
  const Json& writes = run["ledger"][0]["writes"];
  expect_sums(run["ledger"][0]);
  // The first 64 KiB draw the RST, the next ones fail, and the call returns 64 KiB.
  EXPECT_GT(writes["sigpipes_of_short"].get<int64_t>(), 50);
  const int64_t epipes =
      writes["first_errors"].value("EPIPE", 0) + writes["second_errors"].value("EPIPE", 0);
  EXPECT_EQ(writes["sigpipes"], epipes + writes["sigpipes_of_short"].get<int64_t>());
}

TEST(Writers, WhoReadsFirstStillWritesUntilTheSecondError) {
  const Json run = run_writers({"--connections", "3", "--mix", "fin", "--write-path", "send-call",
                                "--before-write", "recv"});
  EXPECT_EQ(run["ledger"][0]["writes"]["failed"], 6);
}

TEST(Writers, AnIgnoredSignalLeavesTheErrors) {
  const Json run = run_writers({"--connections", "100", "--mix", "fin", "--write-path",
                                "write-call", "--sigpipe", "ignore"});
  const Json& writes = run["ledger"][0]["writes"];
  EXPECT_EQ(writes["sigpipes"], 0);
  EXPECT_EQ(writes["second_errors"].value("EPIPE", 0), 100);
}

TEST(Writers, WhatComesBeforeTheWriteDecidesTheFirstError) {
  const auto row_of = [](const char* before) {
    return run_writers({"--connections", "200", "--mix", "rst-linger", "--write-path", "send-call",
                        "--before-write", before})["ledger"][0]["writes"];
  };
  EXPECT_EQ(row_of("none")["first_errors"].value("ECONNRESET", 0), 200);
  // The read took the errno; unless the RST came between the read and the write.
  const Json reading = row_of("recv");
  EXPECT_GT(reading["first_errors"].value("EPIPE", 0), 100);
  EXPECT_GT(reading["sigpipes"].get<int64_t>(), 200);
  // Who asks first does not write; unless the RST came between the two.
  const Json polling = row_of("poll");
  EXPECT_LT(polling["failed"].get<int64_t>(), 100);
  EXPECT_LT(polling["sigpipes"].get<int64_t>(), 100);
}

TEST(Writers, ChangeNothingForTheOtherWatches) {
  const Json run = run_writers({"--connections", "1200", "--watch", "recv,epoll,late,writer",
                                "--mix", "fin,rst-linger,cable-restore", "--write-path",
                                "write,sendfile", "--deadline", "2s"});
  EXPECT_EQ(run["status"], "ok");
  EXPECT_EQ(run["ledger"].size(), 15u);
  for (const Json& row : run["ledger"]) {
    const bool writes = row["watch"] == "writer";
    EXPECT_EQ(row["write_path"].is_null(), !writes);
    EXPECT_EQ(row["writes"].is_null(), !writes);
    if (writes) expect_sums(row);
    if (row["watch"] == "recv" && row["strategy"] == "fin") {
      EXPECT_EQ(row["findings"].value("eof", 0), row["torn_down"]);
    }
  }
}

}  // namespace
}  // namespace lastack::live
