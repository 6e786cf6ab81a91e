// `lastack run` as its user meets it: mixes, interruption, canaries, rights, bad input.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "../named_case.h"
#include "base/clock.h"
#include "base/file.h"
#include "net/namespaces.h"
#include "program.h"

namespace lastack::live {
namespace {

using testing::HasSubstr;

// Whether a schedule was kept is the machine's business, not the test's: too slow (6) is as good.
bool all_as_expected(const Outcome& outcome) {
  return outcome.exit_code == 0 || outcome.exit_code == 6;
}

TEST(Run, AMixOfFiveThousandAtARate) {
  const Outcome outcome = run_program({"run", "--connections", "5k", "--schedule", "rate=2k/s",
                                       "--deadline", "2s", "--format", "json"});
  ASSERT_TRUE(all_as_expected(outcome)) << outcome.out.substr(0, 4000);
  const auto run = outcome.json();
  for (const char* key : {"requested", "established", "torn_down"})
    EXPECT_EQ(sum_over_rows(run, key), 5000);
  EXPECT_EQ(sum_over_rows(run, "found") + sum_over_rows(run, "nothing"), 5000);
  EXPECT_EQ(sum_over_rows(run, "unexpected"), 0);
  EXPECT_EQ(run["cost"]["completion_overflows"], 0);
}

TEST(Run, AStormNeedsNoMoreCompletionsThanTheRingHolds) {
  const Outcome outcome = run_program({"run", "--connections", "10k", "--mix", "rst-linger",
                                       "--watch", "recv,poll-multishot", "--format", "json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out.substr(0, 4000);
  EXPECT_EQ(outcome.json()["cost"]["completion_overflows"], 0);
}

// Requests in flight at the victim's end keep its socket open: without the cancel before the close
// no FIN and no RST would leave, and these rows would find nothing.
TEST(Run, UnderLoadEveryVictimStillGoesAway) {
  for (const char* descriptors : {"plain", "direct"}) {
    const Outcome outcome =
        run_program({"run", "--connections", "1400", "--mix",
                     "fin,fin-data,half-close,shutdown-both,rst-linger,rst-disconnect,destroy",
                     "--load", "echo=5k/s", "--warm-up", "300ms", "--schedule", "rate=2k/s",
                     "--descriptors", descriptors, "--deadline", "2s", "--format", "json"});
    ASSERT_TRUE(all_as_expected(outcome)) << outcome.out.substr(0, 4000);
    const auto run = outcome.json();
    EXPECT_EQ(sum_over_rows(run, "found"), 1400);
    EXPECT_GT(run["rates"]["achieved_round_trips_per_second"], 0);
  }
}

TEST(Run, UnderLoadAUserTimeoutFindsTheSilentPeer) {
  const Outcome outcome = run_program({"run", "--connections", "200", "--mix", "silent", "--probe",
                                       "user-timeout", "--user-timeout", "500ms", "--load",
                                       "echo=20k/s", "--deadline", "4s", "--format", "json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out.substr(0, 4000);
  const auto row = outcome.json()["ledger"][0];
  // A request that the victim's kernel acknowledged just before the act is never answered, and
  // nothing is in flight that the timer could run for.
  const int timed_out = row["findings"].value("etimedout", 0);
  EXPECT_EQ(timed_out + row["findings"].value("nothing", 0), 200);
  EXPECT_GT(timed_out, 100);
  // The timer's own bound: it cannot fire early; how late it is, is a measurement.
  EXPECT_GE(row["latency_ns"]["min"], 300'000'000);
}

TEST(Run, OtherEnginesCarryTheLoad) {
  for (const char* watch : {"epoll,epoll-et", "select", "ppoll", "blocking"}) {
    SCOPED_TRACE(watch);
    const Outcome outcome =
        run_program({"run", "--connections", "240", "--mix", "all", "--watch", watch, "--load",
                     "echo=2k/s", "--warm-up", "200ms", "--deadline", "2s", "--format", "json"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.out.substr(0, 4000) << outcome.err;
    EXPECT_GT(outcome.json()["rates"]["achieved_round_trips_per_second"], 0);
  }
}

TEST(Run, OtherEnginesMaySpin) {
  for (const char* watch : {"epoll,epoll-et", "select", "ppoll", "late"}) {
    SCOPED_TRACE(watch);
    const Outcome outcome =
        run_program({"run", "--connections", "240", "--mix", "all", "--watch", watch, "--wait",
                     "spin", "--deadline", "2s", "--format", "json"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.out.substr(0, 4000) << outcome.err;
  }
}

TEST(Run, AThreadPerConnection) {
  const Outcome outcome = run_program({"run", "--connections", "1000", "--mix", "rst-linger,fin",
                                       "--watch", "blocking", "--format", "json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out.substr(0, 4000) << outcome.err;
  EXPECT_EQ(outcome.json()["ledger"][0]["found"], 500);
}

TEST(Run, SelectSpreadsOverProcessesAndSaysWhereItsLimitIs) {
  const Outcome spread = run_program({"run", "--connections", "1100", "--mix", "rst-linger",
                                      "--watch", "select", "--format", "json"});
  ASSERT_EQ(spread.exit_code, 0) << spread.out.substr(0, 4000) << spread.err;
  EXPECT_EQ(spread.json()["ledger"][0]["findings"]["econnreset"], 1100);
  const Outcome refused = run_program(
      {"run", "--connections", "961", "--mix", "rst-linger", "--watch", "select", "--shards", "1"});
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_NE(refused.err.find("FD_SETSIZE"), std::string::npos) << refused.err;
  EXPECT_EQ(std::count(refused.err.begin(), refused.err.end(), '\n'), 1);
}

TEST(Run, TheSeedRepeatsTheAssignment) {
  const auto assignment = [](const char* seed) {
    const TemporaryFolder folder;
    const Outcome outcome =
        run_program({"run", "--connections", "300", "--seed", seed, "--schedule", "poisson=5k/s",
                     "--deadline", "1s", "--events", "--out", folder.path()});
    EXPECT_TRUE(all_as_expected(outcome)) << outcome.out;
    std::vector<std::string> pairs;
    const auto rows = read_csv(folder.path() + "/events.csv");
    for (const auto& row : rows) pairs.push_back(row[1] + row[2] + row[7]);  // pair, name, instant
    EXPECT_EQ(rows[0][7], "scheduled_ns");
    return pairs;
  };
  const auto first = assignment("7");
  EXPECT_EQ(first.size(), 301u);
  EXPECT_EQ(first, assignment("7"));
  EXPECT_NE(first, assignment("8"));
}

// The canary of the expectations: a wrong one must be caught, counted and listed.
TEST(Run, AWrongExpectationIsCaught) {
  const Outcome outcome = run_program({"run", "--connections", "100", "--mix", "fin,rst-linger",
                                       "--expect", "fin=econnreset", "--format", "json"});
  EXPECT_EQ(outcome.exit_code, 4);
  const auto run = outcome.json();
  EXPECT_EQ(run["status"], "unmet-expectation");
  EXPECT_EQ(run["ledger"][0]["unexpected"], 50);
  EXPECT_EQ(run["ledger"][1]["unexpected"], 0);
  ASSERT_EQ(run["unexpected"].size(), 50u);
  EXPECT_EQ(run["unexpected"][0]["seen"], "eof");
  EXPECT_EQ(run["unexpected"][0]["expected"], "econnreset");
}

// Connects to a port of the run's namespace where nobody listens: one RST that is not the run's.
void inject_foreign_rst(pid_t inside) {
  const pid_t child = fork();
  if (child == 0) {
    const std::string base = "/proc/" + std::to_string(inside) + "/ns/";
    const int user = open((base + "user").c_str(), O_RDONLY);
    const int net = open((base + "net").c_str(), O_RDONLY);
    if (setns(user, CLONE_NEWUSER) != 0 || setns(net, CLONE_NEWNET) != 0) _exit(2);
    const int socket_descriptor = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(9);  // below the range that the run uses
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connect(socket_descriptor, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    _exit(errno == ECONNREFUSED ? 0 : 3);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Run, OneForeignRstUnbalancesTheCounters) {
  if (!kForkedChildMayEnterNamespaces) GTEST_SKIP() << "ThreadSanitizer";
  Program program({"run", "--connections", "100", "--mix", "rst-linger,silent", "--deadline", "2s",
                   "--format", "json"});
  pid_t worker = -1;
  ASSERT_TRUE(eventually(10 * kSecond_ns, [&] {
    for (const pid_t one : descendants_of(program.pid()))
      if (snmp(std::to_string(one), "OutRsts") == 50) worker = one;  // its own RSTs are out
    return worker > 0;
  }));
  inject_foreign_rst(worker);
  const Outcome outcome = program.wait();
  EXPECT_EQ(outcome.exit_code, 5) << outcome.out.substr(0, 2000);
  const auto run = outcome.json();
  EXPECT_EQ(run["status"], "unbalanced");
  EXPECT_FALSE(run["reconciliation"]["balanced"]);
  for (const auto& check : run["reconciliation"]["checks"]) {
    if (check["counter"] != "OutRsts" || check["phase"] != "ledger") continue;
    EXPECT_FALSE(check["ok"]);
    EXPECT_EQ(check["observed"].get<int64_t>(), check["expected"].get<int64_t>() + 1);
  }
}

TEST(Run, ARateThatCannotBeReachedHasItsOwnExitCode) {
  const Outcome outcome = run_program({"run", "--connections", "5k", "--mix", "rst-linger",
                                       "--schedule", "rate=1M/s", "--format", "json"});
  EXPECT_EQ(outcome.exit_code, 6);
  const auto run = outcome.json();
  EXPECT_EQ(run["status"], "too-slow");
  EXPECT_LT(run["rates"]["achieved_per_second"], run["rates"]["requested_per_second"]);
}

void expect_interrupted(const nlohmann::json& run) {
  EXPECT_EQ(run["status"], "interrupted");
  for (const auto& row : run["ledger"]) {
    const auto of = [&](const char* key) { return row[key].get<int64_t>(); };
    EXPECT_EQ(of("requested"), of("established") + of("not_established"));
    EXPECT_EQ(of("established"), of("torn_down") + of("not_torn_down"));
    EXPECT_EQ(of("torn_down"), of("found") + of("nothing") + of("undecided"));
  }
}

class Interrupt : public testing::TestWithParam<int> {};

TEST_P(Interrupt, WhileInjectingKeepsWhatThereIs) {
  const TemporaryFolder folder;
  Program program({"run", "--connections", "2000", "--schedule", "rate=500/s", "--out",
                   folder.path(), "--format", "json"});
  std::vector<pid_t> family;
  ASSERT_TRUE(eventually(20 * kSecond_ns, [&] {
    family = descendants_of(program.pid());
    return snmp(launcher_of(program), "OutRsts") > 100;
  }));
  kill(program.pid(), GetParam());
  const Outcome outcome = program.wait();
  EXPECT_EQ(outcome.exit_code, 7);
  const auto run = outcome.json();
  expect_interrupted(run);
  EXPECT_GT(sum_over_rows(run, "torn_down"), 100);
  EXPECT_LT(sum_over_rows(run, "torn_down"), 2000);
  EXPECT_GT(sum_over_rows(run, "undecided"), 0);  // silent ones whose deadline lay ahead
  EXPECT_EQ(nlohmann::json::parse(*read_file(folder.path() + "/run.json"))["status"],
            "interrupted");
  for (const pid_t one : family) EXPECT_FALSE(is_alive(one));
}

INSTANTIATE_TEST_SUITE_P(Signals, Interrupt, testing::Values(SIGINT, SIGTERM, SIGHUP),
                         [](const auto& test) { return sigabbrev_np(test.param); });

TEST(Run, InterruptWhileEstablishingLeavesALedgerWithoutDeaths) {
  const TemporaryFolder folder;
  Program program(
      {"run", "--connections", "30k", "--mix", "fin", "--out", folder.path(), "--format", "json"});
  ASSERT_TRUE(
      eventually(20 * kSecond_ns, [&] { return snmp(launcher_of(program), "ActiveOpens") > 500; }));
  kill(program.pid(), SIGINT);
  const Outcome outcome = program.wait();
  EXPECT_EQ(outcome.exit_code, 7);
  const auto run = outcome.json();
  expect_interrupted(run);
  EXPECT_EQ(sum_over_rows(run, "requested"), 30'000);
  EXPECT_GT(sum_over_rows(run, "established"), 0);
  EXPECT_EQ(sum_over_rows(run, "torn_down"), 0);
  EXPECT_EQ(run["ledger"][0]["not_established_errors"].value("pending", int64_t{0}),
            30'000 - sum_over_rows(run, "established"));
}

TEST(Run, InterruptWhileWarmingUpLeavesALedgerOfThoseThatStand) {
  Program program({"run", "--connections", "100", "--mix", "fin", "--warm-up", "60s"});
  ASSERT_TRUE(eventually(20 * kSecond_ns,
                         [&] { return snmp(launcher_of(program), "ActiveOpens") >= 100; }));
  sleep_for(kSecond_ns / 2);  // armed by now, or still arming: both are before the first death
  kill(program.pid(), SIGINT);
  const Outcome outcome = program.wait();
  EXPECT_EQ(outcome.exit_code, 7);
  EXPECT_THAT(outcome.out, HasSubstr("100 established and not torn down"));
  EXPECT_THAT(outcome.err, HasSubstr("interrupted before the first death"));
}

TEST(Run, AnOrdinaryUserRunsEveryRow) {
  if (geteuid() != 0) GTEST_SKIP() << "this user is an ordinary one: the other tests show it";
  const Outcome outcome =
      run_program({"run", "--connections", "2400", "--deadline", "2s", "--format", "json"}, {true});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out.substr(0, 4000) << outcome.err;
  const auto run = outcome.json();
  for (const auto& row : run["ledger"])
    EXPECT_EQ(row["requested"], row["strategy"] == "listener-close" ? 0 : 100) << row["strategy"];
  EXPECT_TRUE(run["reconciliation"]["balanced"]);
  EXPECT_FALSE(run["environment"]["privileged"]);
}

TEST(HostNetwork, WithoutRightsRowsAreSkippedAndTheirWeightSpread) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become an ordinary user";
  const Outcome outcome = run_program(
      {"run", "--connections", "1200", "--host-network", "--deadline", "2s", "--format", "json"},
      {true});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out.substr(0, 4000) << outcome.err;
  const auto run = outcome.json();
  int without_rights = 0, without_namespace = 0;
  for (const auto& row : run["ledger"]) {
    if (row["skipped"].is_null()) continue;
    EXPECT_EQ(row["requested"], 0);
    const std::string reason = row["skipped"];
    without_rights += reason.find("CAP_NET_ADMIN") != std::string::npos;
    without_namespace += reason.find("private network namespace") != std::string::npos;
  }
  EXPECT_EQ(without_rights, 3);     // destroy, vanish, silent
  EXPECT_EQ(without_namespace, 4);  // cable, cable-restore, unreachable, reboot
  EXPECT_EQ(sum_over_rows(run, "requested"), 1200);
  EXPECT_FALSE(run["reconciliation"]["exclusive"]);
}

// In a namespace that holds nothing else, --host-network counts exactly, and writes no sysctl.
TEST(HostNetwork, IsExactWhereNothingElseRuns) {
  if (!kForkedChildMayEnterNamespaces) GTEST_SKIP() << "ThreadSanitizer";
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    if (enter_private_namespaces()) _exit(2);
    const auto before = read_tcp_sysctls();
    const Outcome outcome = run_program(
        {"run", "--connections", "600", "--host-network", "--deadline", "2s", "--format", "json"});
    const auto after = read_tcp_sysctls();
    bool same = before.size() == after.size();
    for (size_t i = 0; same && i < before.size(); ++i) same = before[i].value == after[i].value;
    const bool balanced = outcome.exit_code == 0 && outcome.json()["reconciliation"]["balanced"];
    _exit(!same ? 3 : !balanced ? 4 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

using cases::PrintTo;
struct BadInput {
  std::string name;
  Words arguments;
  std::vector<std::string> says;
};

class Bad : public testing::TestWithParam<BadInput> {};

TEST_P(Bad, IsOneClearLineAndExitCodeTwo) {
  const Outcome outcome = run_program(GetParam().arguments);
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  for (const std::string& part : GetParam().says) EXPECT_THAT(outcome.err, HasSubstr(part));
}

INSTANTIATE_TEST_SUITE_P(
    Usage, Bad,
    testing::Values(
        BadInput{
            "strategy", {"run", "--mix", "finn=1"}, {"'finn'", "did you mean 'fin'", "silent"}},
        BadInput{"weight", {"run", "--mix", "fin=x"}, {"'x'", "number"}},
        BadInput{"nothing", {"run", "--mix", "fin=0"}, {"sums to nothing"}},
        BadInput{"twice", {"run", "--mix", "fin,fin"}, {"'fin'", "twice"}},
        BadInput{"zero", {"run", "--connections", "0"}, {"'0'", "allowed: 1 to"}},
        BadInput{"absurd", {"run", "--connections", "900G"}, {"'900G'", "allowed"}},
        BadInput{"negative", {"run", "--connections", "-5"}, {"-5"}},
        BadInput{"unit", {"run", "--deadline", "5"}, {"'5'", "unit", "250ms"}},
        BadInput{"watch", {"run", "--watch", "rcv"}, {"'rcv'", "did you mean 'recv'"}},
        BadInput{"probe", {"run", "--probe", "keepalives"}, {"did you mean 'keepalive'"}},
        BadInput{"schedule", {"run", "--schedule", "rate=5"}, {"'5'", "5k/s"}},
        BadInput{"load", {"run", "--load", "loud"}, {"'loud'", "echo=RATE"}},
        BadInput{"deadline",
                 {"run", "--probe", "keepalive", "--deadline", "1s"},
                 {"--deadline 1s", "3s", "keepalive"}},
        BadInput{"fewer", {"run", "--connections", "5"}, {"--connections 5", "25 rows"}},
        BadInput{"flag", {"run", "--conections", "5"}, {"--conections", "--connections"}},
        BadInput{"side", {"run", "--survivor", "servr"}, {"did you mean 'server'"}},
        BadInput{"idle", {"run", "--keepalive-idle", "1500ms"}, {"1500ms", "1s"}},
        BadInput{"format", {"run", "--format", "xml"}, {"xml", "json"}},
        BadInput{"parent", {"run", "--connections", "30", "--out", "/proc/none/x"}, {"/proc/none"}},
        BadInput{"none", {}, {"command is missing", "doctor"}},
        BadInput{"command", {"rn"}, {"did you mean 'run'"}}),
    cases::by_name);

TEST(Output, AFolderThatIsNotEmptyIsLeftAlone) {
  const TemporaryFolder folder;
  std::ofstream(folder.path() + "/mine") << "precious";
  const Outcome outcome = run_program({"run", "--connections", "30", "--out", folder.path()});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("not empty"));
  EXPECT_EQ(*read_file(folder.path() + "/mine"), "precious");
}

TEST(Output, AFolderThatCannotBeWrittenIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become an ordinary user";
  const TemporaryFolder folder;
  const Outcome outcome =
      run_program({"run", "--connections", "30", "--out", folder.path() + "/x"}, {true});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("EACCES"));
}

TEST(Output, AFailedRunLeavesNoFolder) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/new";
  const Outcome outcome =
      run_program({"run", "--connections", "5", "--out", path});  // fewer than rows
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Output, AllFilesAreThere) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/deep/er";
  const Outcome outcome =
      run_program({"run", "--connections", "240", "--deadline", "2s", "--events", "--out", path});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out;
  EXPECT_THAT(outcome.out, HasSubstr("status    ok"));
  const auto run = nlohmann::json::parse(*read_file(path + "/run.json"));
  for (const char* key : {"schema_version", "status", "spec", "environment", "ledger",
                          "reconciliation", "cost", "phases"})
    EXPECT_TRUE(run.contains(key)) << key;
  EXPECT_EQ(read_csv(path + "/summary.csv").size(), 26u);
  EXPECT_EQ(read_csv(path + "/events.csv").size(), 241u);
  int64_t injected = 0, found = 0;
  const auto timeline = read_csv(path + "/timeline.csv");
  for (size_t i = 1; i < timeline.size(); ++i) {
    injected += std::stoll(timeline[i][2]);
    found += std::stoll(timeline[i][3]);
  }
  EXPECT_EQ(injected, 240);
  EXPECT_EQ(found, 170);  // seven of 24 rows find nothing
  EXPECT_EQ(timeline.back()[4], "0");
  EXPECT_GT(read_csv(path + "/latency.csv").size(), 100u);
  for (const auto& entry : std::filesystem::directory_iterator(path))
    EXPECT_NE(entry.path().extension(), ".tmp");
}

TEST(Program_, DryRunShowsThePlanAndStartsNoProcess) {
  const Outcome outcome = run_program({"run", "--connections", "100k", "--dry-run"});
  EXPECT_EQ(outcome.exit_code, 0);
  for (const char* part : {"--connections", "rst-linger", "shard 0", "estimate"})
    EXPECT_THAT(outcome.out, HasSubstr(part));
}

TEST(Program_, ListsVersionAndHelpSpeak) {
  EXPECT_THAT(run_program({"--version"}).out, HasSubstr("lastack 0."));
  const Outcome help = run_program({"run", "--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* part : {"--connections", "Exit codes", "5  unbalanced"})
    EXPECT_THAT(help.out, HasSubstr(part));
  const auto list = nlohmann::json::parse(run_program({"list", "--format", "json"}).out);
  EXPECT_EQ(list["strategies"].size(), 26u);
  EXPECT_EQ(list["watches"].size(), 11u);
  EXPECT_EQ(list["engines"].size(), 7u);
  for (const auto& row : list["strategies"]) {
    if (row["name"] == "fin-then-rst") {
      EXPECT_EQ(row["counters"], "OutRsts 1..2 EstabResets 1 TCPAbortOnData 0..1");
    }
    if (row["name"] == "fin") {
      EXPECT_EQ(row["counters"], "none");
    }
  }
  EXPECT_THAT(run_program({"list", "--format", "markdown"}).out, HasSubstr("| rst-linger |"));
  EXPECT_THAT(run_program({"list"}).out, HasSubstr("fin-then-rst"));
}

TEST(Program_, DoctorJudgesThisHost) {
  if (!kForkedChildMayEnterNamespaces) GTEST_SKIP() << "ThreadSanitizer";
  const Outcome good = run_program({"doctor", "--connections", "1k"});
  EXPECT_EQ(good.exit_code, 0) << good.out;
  EXPECT_THAT(good.out, HasSubstr("open-files"));
  const Outcome bad = run_program({"doctor", "--connections", "4M"});
  EXPECT_EQ(bad.exit_code, 3) << bad.out;
  EXPECT_THAT(bad.out, HasSubstr("BAD"));
}

}  // namespace
}  // namespace lastack::live
