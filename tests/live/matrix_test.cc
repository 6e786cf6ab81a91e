// Every strategy x watch x probe x survivor side on real sockets: what is found, with which errno,
// in a ledger that is whole and that the kernel's counters confirm.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "program.h"

namespace lastack::live {
namespace {

constexpr int kStrategies = 12;

struct Wanted {
  std::string finding, error;
};

// Written down from what kernels do, not asked of the model: the model is under test, too.
std::map<std::string, Wanted> wanted_findings(const std::string& probe,
                                              const std::string& watch = "recv") {
  std::map<std::string, Wanted> wanted = {
      {"fin", {"eof", "0"}},
      {"fin-data", {"eof", "0"}},
      {"half-close", {"eof", "0"}},
      {"shutdown-both", {"eof", "0"}},
      {"rst-linger", {"econnreset", "ECONNRESET"}},
      {"rst-disconnect", {"econnreset", "ECONNRESET"}},
      {"rst-unread", {"econnreset", "ECONNRESET"}},
      {"rst-unread-data", {"econnreset", "ECONNRESET"}},
      {"fin-then-rst", {"epipe", "EPIPE"}},
      {"destroy", {"econnreset", "ECONNRESET"}},
      {"vanish", {"nothing", "0"}},
      {"silent", {"nothing", "0"}},
  };
  if (probe == "keepalive") {
    wanted["vanish"] = {"econnreset", "ECONNRESET"};
    wanted["silent"] = {"etimedout", "ETIMEDOUT"};
  }
  if (watch == "late") {
    // Only writes: the first one to a closed socket draws an RST, the second one fails.
    const Wanted pipe = {"epipe", "EPIPE"};
    wanted["fin"] = wanted["fin-data"] = wanted["shutdown-both"] = pipe;
    wanted["half-close"] = {"nothing", "0"};
    wanted["vanish"] = {"econnreset", "ECONNRESET"};
    // Data in flight suspends keepalive and starts the user timeout.
    wanted["silent"] = {"nothing", "0"};
    if (probe == "user-timeout") wanted["silent"] = {"etimedout", "ETIMEDOUT"};
  }
  return wanted;
}

struct Case {
  std::string survivor, probe, deadline;
  std::vector<std::string> watches = {"recv", "recv-multishot", "poll", "poll-multishot"};
  int connections = 200;  // of each row
};

void PrintTo(const Case& one, std::ostream* out) {
  *out << one.survivor << "-" << one.probe << "-" << one.watches.front();
}

class Matrix : public testing::TestWithParam<Case> {};

TEST_P(Matrix, EveryRowFindsWhatItMust) {
  const TemporaryFolder folder;
  const int count = GetParam().connections;
  const size_t rows = kStrategies * GetParam().watches.size();
  std::string watches;
  for (const std::string& name : GetParam().watches) watches += (watches.empty() ? "" : ",") + name;
  const Outcome outcome = run_program(
      {"run", "--connections", std::to_string(static_cast<size_t>(count) * rows), "--mix", "all",
       "--watch", watches, "--probe", GetParam().probe, "--survivor", GetParam().survivor,
       "--deadline", GetParam().deadline, "--events", "--format", "json", "--out", folder.path()});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out.substr(0, 4000) << outcome.err;
  const auto run = outcome.json();
  EXPECT_EQ(run["status"], "ok");
  EXPECT_TRUE(run["reconciliation"]["balanced"]);
  EXPECT_TRUE(run["reconciliation"]["exclusive"]);
  const auto wanted = wanted_findings(GetParam().probe, GetParam().watches.front());
  ASSERT_EQ(wanted.size(), kStrategies);
  ASSERT_EQ(run["ledger"].size(), rows);
  for (const auto& row : run["ledger"]) {
    const std::string name = row["strategy"];
    SCOPED_TRACE(name + " " + std::string(row["watch"]));
    const Wanted& want = wanted.at(name);
    EXPECT_TRUE(row["skipped"].is_null());
    EXPECT_EQ(row["requested"], count);
    EXPECT_EQ(row["established"], count);
    EXPECT_EQ(row["torn_down"], count);
    EXPECT_EQ(row["unexpected"], 0);
    EXPECT_EQ(row["findings"].size(), 1u);
    EXPECT_EQ(row["findings"].value(want.finding, 0), count);
    const bool nothing = want.finding == "nothing";
    EXPECT_EQ(row["found"], nothing ? 0 : count);
    EXPECT_EQ(row["nothing"], nothing ? count : 0);
    EXPECT_EQ(row["latency_ns"]["p50"].is_null(), nothing);
    // Data that was sent before the end arrives, whatever the end was.
    const bool sends_data = name == "fin-data" || name == "rst-unread-data";
    EXPECT_EQ(row["bytes_received"], sends_data ? 512 * count : 0);
  }
  const auto events = read_csv(folder.path() + "/events.csv");
  ASSERT_EQ(events.size(), 1u + static_cast<size_t>(count) * rows);
  const auto column = [&](const std::string& name) {
    return std::find(events[0].begin(), events[0].end(), name) - events[0].begin();
  };
  const auto strategy = column("strategy"), error = column("errno"), finding = column("finding");
  for (size_t i = 1; i < events.size(); ++i) {
    ASSERT_EQ(events[i][finding], wanted.at(events[i][strategy]).finding);
    ASSERT_EQ(events[i][error], wanted.at(events[i][strategy]).error) << events[i][strategy];
  }
}

std::string name_of(const testing::TestParamInfo<Case>& test) {
  std::string name = test.param.survivor + "_" + test.param.probe;
  if (test.param.watches.size() < 4) name = test.param.watches.front() + "_" + name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Loopback, Matrix,
                         testing::Values(Case{"server", "none", "2s"}, Case{"client", "none", "2s"},
                                         Case{"server", "keepalive", "5s"},
                                         Case{"client", "keepalive", "5s"},
                                         Case{"server", "user-timeout", "2s"},
                                         Case{"client", "user-timeout", "2s"}),
                         name_of);

std::vector<Case> other_engines() {
  std::vector<Case> cases;
  const std::vector<std::vector<std::string>> engines = {
      {"epoll", "epoll-et"}, {"select"}, {"ppoll"}, {"blocking"}, {"late"}};
  for (const auto& watches : engines)
    for (const char* survivor : {"server", "client"})
      for (const auto& [probe, deadline] : std::map<std::string, std::string>{
               {"none", "2s"}, {"keepalive", "5s"}, {"user-timeout", "5s"}})
        cases.push_back({survivor, probe, deadline, watches, 20});
  return cases;
}

INSTANTIATE_TEST_SUITE_P(OtherEngines, Matrix, testing::ValuesIn(other_engines()), name_of);

// The variants that share the strategies' table: every row must still find what it must.
class Variant : public testing::TestWithParam<std::vector<std::string>> {};

TEST_P(Variant, EveryRowFindsWhatItMust) {
  std::vector<std::string> arguments = {
      "run",     "--connections",       "2400",       "--mix", "all",
      "--watch", "recv,poll-multishot", "--deadline", "2s",    "--format",
      "json"};
  arguments.insert(arguments.end(), GetParam().begin(), GetParam().end());
  const Outcome outcome = run_program(arguments);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out.substr(0, 4000) << outcome.err;
  const auto run = outcome.json();
  EXPECT_TRUE(run["reconciliation"]["balanced"]);
  const auto wanted = wanted_findings("none");
  for (const auto& row : run["ledger"]) {
    SCOPED_TRACE(row["strategy"]);
    EXPECT_EQ(row["requested"], 100);
    EXPECT_EQ(row["findings"].value(wanted.at(row["strategy"]).finding, 0), 100);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Loopback, Variant,
    testing::Values(std::vector<std::string>{"--descriptors", "direct"},
                    std::vector<std::string>{"--family", "inet6"},
                    std::vector<std::string>{"--ring", "default"},
                    std::vector<std::string>{"--ring", "coop"},
                    std::vector<std::string>{"--ring", "sqpoll"},
                    std::vector<std::string>{"--wait", "spin"},
                    std::vector<std::string>{"--ring", "default", "--wait", "spin"},
                    std::vector<std::string>{"--ring", "coop", "--wait", "spin"},
                    std::vector<std::string>{"--shards", "3", "--survivor", "client"},
                    std::vector<std::string>{"--payload", "16KiB"}),
    [](const auto& test) {
      std::string name;
      for (const std::string& word : test.param) name += word;
      std::erase_if(name, [](char letter) { return !isalnum(letter); });
      return name;
    });

}  // namespace
}  // namespace lastack::live
