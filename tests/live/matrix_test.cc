// Every strategy x watch x probe x survivor side on real sockets: what is found, with which errno,
// in a ledger that is whole and that the kernel's counters confirm.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "program.h"

namespace lastack::live {
namespace {

constexpr int kStrategies = 25;

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
      {"exit", {"eof", "0"}},
      {"exit-unread", {"econnreset", "ECONNRESET"}},
      {"sigkill", {"eof", "0"}},
      {"sigkill-unread", {"econnreset", "ECONNRESET"}},
      {"sigkill-sending", {"eof", "0"}},
      {"sigkill-sending-chatty", {"econnreset", "ECONNRESET"}},
      {"freeze", {"nothing", "0"}},
      {"linger2", {"eof", "0"}},  // or epipe, where the RST was there before the survivor looked
      {"listener-close", {"econnreset", "ECONNRESET"}},
      {"cable", {"nothing", "0"}},
      {"cable-restore", {"nothing", "0"}},
      {"unreachable", {"nothing", "0"}},
      {"reboot", {"nothing", "0"}},
  };
  if (probe == "keepalive") {
    wanted["vanish"] = wanted["reboot"] = {"econnreset", "ECONNRESET"};
    // ICMP answers to keepalive probes are taken for stale ones.
    wanted["silent"] = wanted["cable"] = wanted["unreachable"] = {"etimedout", "ETIMEDOUT"};
  }
  if (watch == "late") {
    // Only writes: the first one to a closed socket draws an RST, the second one fails.
    const Wanted pipe = {"epipe", "EPIPE"};
    for (const char* name : {"fin", "fin-data", "shutdown-both", "exit", "sigkill", "linger2"})
      wanted[name] = pipe;
    wanted["half-close"] = {"nothing", "0"};
    wanted["vanish"] = wanted["reboot"] = {"econnreset", "ECONNRESET"};
    wanted["sigkill-sending"] = {"econnreset", "ECONNRESET"};
    // Data in flight suspends keepalive and starts the user timeout.
    const bool timer = probe == "user-timeout";
    wanted["silent"] = wanted["cable"] = wanted["unreachable"] =
        timer ? Wanted{"etimedout", "ETIMEDOUT"} : Wanted{"nothing", "0"};
    if (timer) wanted["unreachable"] = {"ehostunreach", "EHOSTUNREACH"};
  }
  return wanted;
}

struct Case {
  std::string survivor, probe, deadline;
  std::vector<std::string> watches = {"recv", "recv-multishot", "poll", "poll-multishot"};
  int connections = 200;  // of each row
  std::string path = "loopback";
  std::string mix = "all";
};

void PrintTo(const Case& one, std::ostream* out) {
  *out << one.survivor << "-" << one.probe << "-" << one.watches.front();
}

// A timer that gave up on a write names the ICMP, where one came: routers limit how many they send.
bool may_name_icmp(const std::string& strategy, const Wanted& want) {
  return strategy == "unreachable" && want.finding == "ehostunreach";
}

class Matrix : public testing::TestWithParam<Case> {};

constexpr std::string_view kDieAlone =
    "fin,fin-data,half-close,shutdown-both,rst-linger,rst-disconnect,rst-unread,rst-unread-data,"
    "fin-then-rst,destroy,vanish,silent,linger2";
constexpr size_t kDyingAlone = 13;

using Wants = std::map<std::string, std::map<std::string, Wanted>>;  // by watch, by strategy

void expect_findings(const nlohmann::json& row, const Wanted& want, int64_t count) {
  const std::string name = row["strategy"], watch = row["watch"];
  if (name == "linger2" && watch != "late") {
    EXPECT_EQ(row["findings"].value("eof", 0) + row["findings"].value("epipe", 0), count);
  } else if (may_name_icmp(name, want)) {
    const int icmp = row["findings"].value("ehostunreach", 0);
    EXPECT_EQ(icmp + row["findings"].value("etimedout", 0), count);
    EXPECT_GT(icmp, 0);
  } else {
    EXPECT_EQ(row["findings"].size(), 1u);
    EXPECT_EQ(row["findings"].value(want.finding, 0), count);
  }
  const bool nothing = want.finding == "nothing";
  EXPECT_EQ(row["found"], nothing ? 0 : count);
  EXPECT_EQ(row["nothing"], nothing ? count : 0);
  EXPECT_EQ(row["latency_ns"]["p50"].is_null(), nothing);
}

void expect_bytes(const nlohmann::json& row, int64_t count) {
  const std::string name = row["strategy"], watch = row["watch"];
  const int64_t received = row["bytes_received"], sent = row["bytes_sent"];
  if (name == "sigkill-sending" && watch != "late") {
    EXPECT_EQ(received, sent);  // an orphan's data is delivered
    EXPECT_GT(received, 0);
  } else if (name.starts_with("sigkill-sending")) {
    EXPECT_LT(received, sent);  // a write to it cuts the data short
  } else {
    // Data that was sent before the end arrives, whatever the end was.
    const bool sends_data = name == "fin-data" || name == "rst-unread-data";
    EXPECT_EQ(received, sends_data ? 512 * count : name == "cable-restore" ? received : 0);
  }
  if (name == "cable-restore" && watch != "late") {
    EXPECT_EQ(row["alive"], count);
  } else {
    EXPECT_TRUE(row["alive"].is_null());
  }
}

void expect_row(const nlohmann::json& row, const Wanted& want, int64_t count) {
  EXPECT_TRUE(row["skipped"].is_null());
  EXPECT_EQ(row["requested"], count);
  EXPECT_EQ(row["established"], count);
  EXPECT_EQ(row["torn_down"], count);
  EXPECT_EQ(row["unexpected"], 0);
  expect_findings(row, want, count);
  expect_bytes(row, count);
}

void expect_events(const std::string& path, const Wants& wanted, size_t connections) {
  const auto events = read_csv(path);
  ASSERT_EQ(events.size(), 1u + connections);
  const auto column = [&](const std::string& name) {
    return std::find(events[0].begin(), events[0].end(), name) - events[0].begin();
  };
  const auto strategy = column("strategy"), watch = column("watch"), error = column("errno"),
             finding = column("finding");
  for (size_t i = 1; i < events.size(); ++i) {
    const Wanted& want = wanted.at(events[i][watch]).at(events[i][strategy]);
    if (events[i][strategy] == "linger2" || may_name_icmp(events[i][strategy], want)) continue;
    ASSERT_EQ(events[i][finding], want.finding) << events[i][strategy];
    ASSERT_EQ(events[i][error], want.error) << events[i][strategy];
  }
}

TEST_P(Matrix, EveryRowFindsWhatItMust) {
  const TemporaryFolder folder;
  const Case& param = GetParam();
  const bool server_survives = param.survivor == "server";
  const bool everything = param.mix == "all";
  const size_t strategies = everything ? kStrategies : kDyingAlone;
  const size_t skipped = everything && server_survives ? 1 : 0;
  const size_t rows = (strategies - skipped) * param.watches.size();
  const int64_t count = param.connections;
  const size_t connections = static_cast<size_t>(count) * rows;
  std::string watches;
  for (const std::string& name : param.watches) watches += (watches.empty() ? "" : ",") + name;
  const Outcome outcome = run_program({"run",          "--connections", std::to_string(connections),
                                       "--mix",        param.mix,       "--watch",
                                       watches,        "--probe",       param.probe,
                                       "--survivor",   param.survivor,  "--deadline",
                                       param.deadline, "--path",        param.path,
                                       "--events",     "--format",      "json",
                                       "--out",        folder.path()});
  const auto run = outcome.json();
  ASSERT_EQ(outcome.exit_code, 0) << run["unexpected"].dump(1).substr(0, 2000)
                                  << run["reconciliation"].dump(1) << run["error"] << outcome.err;
  EXPECT_EQ(run["status"], "ok");
  EXPECT_TRUE(run["reconciliation"]["balanced"]);
  EXPECT_TRUE(run["reconciliation"]["exclusive"]);
  Wants wanted;
  for (const std::string& watch : param.watches) {
    wanted[watch] = wanted_findings(param.probe, watch);
    ASSERT_EQ(wanted[watch].size(), kStrategies);
  }
  ASSERT_EQ(run["ledger"].size(), strategies * param.watches.size());
  for (const auto& row : run["ledger"]) {
    const std::string name = row["strategy"], watch = row["watch"];
    SCOPED_TRACE(name + " " + watch);
    if (name == "listener-close" && server_survives) {
      EXPECT_EQ(row["skipped"], "the server cannot be the survivor of 'listener-close'");
      continue;
    }
    expect_row(row, wanted[watch].at(name), count);
  }
  expect_events(folder.path() + "/events.csv", wanted, connections);
}

std::string name_of(const testing::TestParamInfo<Case>& test) {
  std::string name = test.param.survivor + "_" + test.param.probe;
  if (test.param.path != "loopback") name += "_" + test.param.path;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

const std::vector<std::string> kRingWatches = {"recv", "recv-multishot", "poll", "poll-multishot"};
const std::vector<std::string> kAllWatches = {
    "recv",     "recv-multishot", "poll",  "poll-multishot", "epoll",
    "epoll-et", "select",         "ppoll", "blocking",       "late"};
const std::map<std::string, std::string> kDeadlines = {
    {"none", "2s"}, {"keepalive", "5s"}, {"user-timeout", "5s"}};

// What dies alone in its process, on the ring: 200 connections of each.
std::vector<Case> many_on_the_ring() {
  std::vector<Case> cases;
  for (const char* survivor : {"server", "client"})
    for (const auto& [probe, deadline] : kDeadlines)
      // A probe does not know which side it is on; veth has one on the client's.
      if (survivor == std::string("server") || probe == "none")
        cases.push_back(
            {survivor, probe, deadline, kRingWatches, 200, "loopback", std::string(kDieAlone)});
  return cases;
}
INSTANTIATE_TEST_SUITE_P(OnTheRing, Matrix, testing::ValuesIn(many_on_the_ring()), name_of);

// Everything with every watch: 20 connections of each.
std::vector<Case> everything(const std::string& path) {
  std::vector<Case> cases;
  for (const char* survivor : {"server", "client"})
    for (const auto& [probe, deadline] : kDeadlines) {
      // Without a probe `lastack verify --matrix` has every watch on either side; keepalive is
      // played on veth.
      const bool known =
          path == "loopback" && (survivor == std::string("client") || probe != "user-timeout");
      if (!known) cases.push_back({survivor, probe, deadline, kAllWatches, 20, path});
    }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Loopback, Matrix, testing::ValuesIn(everything("loopback")), name_of);
INSTANTIATE_TEST_SUITE_P(Veth, Matrix,
                         testing::Values(everything("veth").front(), everything("veth").back()),
                         name_of);

// The variants that share the strategies' table: every row must still find what it must.
class Variant : public testing::TestWithParam<std::vector<std::string>> {};

TEST_P(Variant, EveryRowFindsWhatItMust) {
  std::vector<std::string> arguments = {
      "run",     "--connections",       "1000",       "--mix", "all",
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
    if (!row["skipped"].is_null()) continue;
    EXPECT_GE(row["requested"], 20);
    if (row["strategy"] == "linger2") continue;
    EXPECT_EQ(row["findings"].value(wanted.at(row["strategy"]).finding, 0), row["requested"]);
  }
}

// What a program sees that only closes: while its receive is in flight nothing is sent.
TEST(VictimRequests, ACloseWithAReceiveInFlightSendsNothingUntilItEnds) {
  const auto run = run_json(
      {"--connections", "360", "--mix", "fin,fin-data,rst-linger,vanish,half-close,rst-disconnect",
       "--victim-requests", "recv", "--watch", "recv,late", "--deadline", "1s"});
  for (const auto& row : run["ledger"]) {
    const std::string strategy = row["strategy"];
    SCOPED_TRACE(strategy + " " + std::string(row["watch"]));
    const bool closes = strategy != "half-close" && strategy != "rst-disconnect";
    if (row["watch"] == "recv") {
      EXPECT_EQ(row[closes ? "nothing" : "found"], row["requested"]);
    }
    // Its first byte ends the request.
    if (row["watch"] == "late" && strategy == "rst-linger") {
      EXPECT_EQ(row["findings"].value("econnreset", 0), row["requested"]);
    }
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
                    std::vector<std::string>{"--victim-requests", "recv-cancel"},
                    std::vector<std::string>{"--victim-requests", "recv-cancel", "--descriptors",
                                             "direct", "--per-process", "7"},
                    std::vector<std::string>{"--payload", "16KiB"}),
    [](const auto& test) {
      std::string name;
      for (const std::string& word : test.param) name += word;
      std::erase_if(name, [](char letter) { return !isalnum(letter); });
      return name;
    });

}  // namespace
}  // namespace lastack::live
