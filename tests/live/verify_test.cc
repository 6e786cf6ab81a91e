// `lastack verify`: every claim is played, the verdicts are those of the table and are always the
// same, a wrong table is noticed, and nothing is left behind.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "base/clock.h"
#include "program.h"
#include "verify/claims.h"

namespace lastack::live {
namespace {

using verify::Claim;
using verify::claims;
using verify::Paths;
using verify::Verdict;

// What went wrong, for a failing test's output.
std::string differences(const nlohmann::json& rows) {
  std::string text;
  for (const auto& row : rows)
    for (const auto& difference : row.at("differences"))
      text += row.at("case").get<std::string>() + "/" + row.at("variant").get<std::string>() +
              " on " + row.at("path").get<std::string>() + ": " + difference.get<std::string>() +
              "\n";
  return text;
}

void expect_whole(const Outcome& outcome) {
  ASSERT_TRUE(outcome.exit_code == 0 || outcome.exit_code == 4) << outcome.err;
  const auto rows = outcome.json();
  EXPECT_EQ(outcome.exit_code, 0) << differences(rows);
  std::set<std::string> seen;
  for (const auto& row : rows) {
    seen.insert(row.at("case").get<std::string>() + "/" + row.at("variant").get<std::string>() +
                "/" + row.at("path").get<std::string>());
    EXPECT_TRUE(row.at("ok").get<bool>()) << row.dump(1);
    EXPECT_EQ(row.at("verdict"), row.at("expected_verdict"));
    EXPECT_FALSE(row.at("observed").empty());
    for (const auto& way : row.at("frequencies")) {
      EXPECT_GE(way.at("connections").get<int64_t>(), 100) << row.dump(1);
      EXPECT_EQ(way.at("connections").get<int64_t>(),
                way.at("as_claimed_with_condition").get<int64_t>() +
                    way.at("as_claimed_without_condition").get<int64_t>() +
                    way.at("otherwise_with_condition").get<int64_t>() +
                    way.at("otherwise_without_condition").get<int64_t>());
    }
  }
  for (const Claim& claim : claims()) {
    const std::string name = std::string(claim.case_id) + "/" + std::string(claim.variant);
    if (claim.paths == Paths::both) {
      EXPECT_EQ(seen.count(name + "/loopback"), 1u) << name;
    }
    EXPECT_EQ(seen.count(name + "/veth"), 1u) << name;
  }
}

TEST(Verify, EveryClaimAsTheTableSays) {
  expect_whole(run_program({"verify", "--format", "json"}));
}

TEST(Verify, AlsoForAnOrdinaryUser) {
  if (geteuid() != 0) GTEST_SKIP() << "is an ordinary user already";
  // An abort, a killed process, a cut cable: what rights could keep from being played.
  const Outcome outcome =
      run_program({"verify", "--case", "A2,S4,C1", "--format", "json"}, {.as_nobody = true});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.out.substr(0, 4000) << outcome.err;
  std::set<std::string> cases;
  for (const auto& row : outcome.json()) {
    EXPECT_TRUE(row.at("ok").get<bool>()) << row.dump(1);
    cases.insert(row.at("case").get<std::string>() + row.at("path").get<std::string>());
  }
  for (const char* name : {"A2loopback", "A2veth", "S4loopback", "S4veth", "C1veth"})
    EXPECT_TRUE(cases.contains(name)) << name;
}

TEST(Verify, CanaryAWrongTableIsNoticed) {
  const auto outcome =
      run_program({"verify", "--case", "A2,A3/first-read", "--expect",
                   "A3/first-read=does-not-hold", "--path", "loopback", "--format", "json"});
  EXPECT_EQ(outcome.exit_code, 4) << outcome.err;
  const auto rows = outcome.json();
  ASSERT_EQ(rows.size(), 2u);
  // What differs comes first.
  EXPECT_EQ(rows[0].at("case"), "A3");
  EXPECT_FALSE(rows[0].at("ok").get<bool>());
  EXPECT_EQ(rows[0].at("verdict"), "holds");
  EXPECT_EQ(rows[0].at("expected_verdict"), "does not hold");
  EXPECT_TRUE(rows[1].at("ok").get<bool>()) << rows[1].dump(1);
}

// No expectation is one that anything meets.
TEST(Verify, CanaryEveryRowCanFail) {
  std::vector<std::string> arguments = {"verify", "--format", "json", "--path", "veth"};
  for (const Claim& claim : claims()) {
    const Verdict wrong =
        claim.expected == Verdict::does_not_hold ? Verdict::holds : Verdict::does_not_hold;
    arguments.push_back("--expect");
    arguments.push_back(std::string(claim.case_id) + "/" + std::string(claim.variant) + "=" +
                        std::string(verdict_row(wrong).flag));
  }
  const auto outcome = run_program(arguments);
  EXPECT_EQ(outcome.exit_code, 4) << outcome.err;
  const auto rows = outcome.json();
  EXPECT_EQ(rows.size(), claims().size());
  for (const auto& row : rows) EXPECT_FALSE(row.at("ok").get<bool>()) << row.dump(1);
}

TEST(Verify, TextAndMarkdownNameTheCaseAndItsVerdict) {
  for (const char* format : {"text", "markdown"}) {
    const auto outcome = run_program({"verify", "--case", "A4", "--format", format});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.out;
    EXPECT_NE(outcome.out.find("A4"), std::string::npos);
    EXPECT_NE(outcome.out.find("holds"), std::string::npos);
    EXPECT_NE(outcome.out.find("segments after the RST: 0"), std::string::npos) << outcome.out;
  }
}

// Exit code and lines say the same: here a row that does as the table expects, and one that does
// not.
TEST(Verify, TapHasATestPerRowAndPath) {
  const auto outcome = run_program({"verify", "--case", "A4,A3/first-read", "--expect",
                                    "A4/idle=does-not-hold", "--format", "tap"});
  EXPECT_EQ(outcome.exit_code, 4) << outcome.err;
  EXPECT_EQ(outcome.out.substr(0, outcome.out.find("# lastack")), "TAP version 13\n1..4\n");
  for (const char* line : {"\nok 1 A3/first-read/loopback\n", "\nok 2 A3/first-read/veth\n",
                           "# A4/idle/veth: the claim holds, expected: does not hold\n",
                           "\nnot ok 3 A4/idle/loopback\n", "\nnot ok 4 A4/idle/veth\n",
                           "# Totals: pass:2 fail:2 xfail:0 xpass:0 skip:0 error:0\n"})
    EXPECT_NE(outcome.out.find(line), std::string::npos) << line << outcome.out;
}

TEST(Verify, RefusesWhatItDoesNotKnow) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"--case", "A9"},
                                                    {"--case", "A3/none"},
                                                    {"--path", "wifi"},
                                                    {"--connections", "3"},
                                                    {"--expect", "A3=holds"},
                                                    {"--expect", "A3/first-read=maybe"},
                                                    {"--expect", "A9/x=holds"},
                                                    {"--matrix", "--format=tap"}}) {
    std::vector<std::string> words = {"verify"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    const auto outcome = run_program(words);
    EXPECT_EQ(outcome.exit_code, 2) << arguments[0] << " " << arguments[1];
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  }
}

// Every process of the program under test, wherever it hangs now.
size_t running_processes() {
  size_t found = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::error_code gone;
    const auto program = std::filesystem::read_symlink(entry.path() / "exe", gone);
    found += !gone && program == LASTACK_PROGRAM && is_alive(std::stoi(name));
  }
  return found;
}

// A namespace lives as long as a process or a connection is in it.
void expect_nothing_left(int64_t orphans_before) {
  EXPECT_TRUE(eventually(10 * kSecond_ns, [] { return running_processes() == 0; }))
      << running_processes() << " processes are left";
  EXPECT_TRUE(
      eventually(20 * kSecond_ns, [&] { return sockstat("self", "orphan") <= orphans_before; }))
      << sockstat("self", "orphan") << " orphans, " << orphans_before << " before";
}

// Named apart: they count every process of the program on the host, so no test may run beside them.
TEST(VerifyAlone, SigkillAtAnyMomentLeavesNoProcess) {
  for (const int after_ms : {5, 50, 200, 500, 1000, 2000, 4000}) {
    SCOPED_TRACE(after_ms);
    const int64_t orphans = sockstat("self", "orphan");
    Program program({"verify", "--format", "json"});
    sleep_for(after_ms * kMillisecond_ns);
    kill(program.pid(), SIGKILL);
    program.wait();
    expect_nothing_left(orphans);
  }
}

TEST(VerifyAlone, SigintEndsItWithItsOwnCode) {
  const int64_t orphans = sockstat("self", "orphan");
  Program program({"verify"});
  EXPECT_TRUE(
      eventually(10 * kSecond_ns, [&] { return descendants_of(program.pid()).size() >= 3; }));
  kill(program.pid(), SIGINT);
  const auto outcome = program.wait();
  EXPECT_EQ(outcome.exit_code, 7) << outcome.err;
  expect_nothing_left(orphans);
}

// Alone, too: thousands of ends at once, and who is late has found nothing.
TEST(VerifyAlone, TheMatrixHasACellForEveryStrategyAndWatch) {
  const Outcome outcome =
      run_program({"verify", "--matrix", "--path", "loopback", "--format", "json"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto cells = outcome.json();
  // 24 strategies where the server survives, 25 where the client does; 10 watches.
  ASSERT_EQ(cells.size(), (24u + 25u) * 11);
  for (const auto& cell : cells) {
    EXPECT_EQ(cell["requested"], 20);
    EXPECT_EQ(cell["unexpected"], 0) << cell;
  }
}

}  // namespace
}  // namespace lastack::live
