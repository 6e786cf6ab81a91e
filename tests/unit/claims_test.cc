#include "verify/claims.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <string>

#include "base/file.h"
#include "base/parse.h"
#include "report/verify_tap.h"
#include "report/verify_text.h"
#include "verify/verify.h"

namespace lastack::verify {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(Claims, EveryCaseHasRowsAndEveryRowItsCase) {
  std::set<std::string> names, with_rows;
  for (const Claim& claim : claims()) {
    EXPECT_EQ(case_row(claim.case_id).id, claim.case_id);
    EXPECT_TRUE(names.insert(std::string(claim.case_id) + "/" + std::string(claim.variant)).second)
        << claim.case_id << "/" << claim.variant << " twice";
    with_rows.insert(std::string(claim.case_id));
    EXPECT_NE(claim.expected, Verdict::undecided);
    EXPECT_EQ(claim.expected == Verdict::holds_if, !claim.condition.empty()) << claim.variant;
    EXPECT_FALSE(claim.sights.empty());
  }
  EXPECT_EQ(with_rows.size(), 14u);
  EXPECT_EQ(cases().size(), 14u);
}

TEST(Claims, VerdictComesFromTheFrequencies) {
  EXPECT_EQ(decide({.met_with = 100}), Verdict::holds);
  EXPECT_EQ(decide({.met_with = 99, .met_without = 1}), Verdict::holds);
  EXPECT_EQ(decide({.unmet_without = 100}), Verdict::does_not_hold);
  EXPECT_EQ(decide({.met_with = 99, .unmet_without = 1}), Verdict::holds_if);
  EXPECT_EQ(decide({.met_with = 99, .unmet_with = 1}), Verdict::undecided);
  EXPECT_EQ(decide({.met_with = 99, .met_without = 1, .unmet_without = 1}), Verdict::undecided);
  EXPECT_EQ(decide({}), Verdict::undecided);
}

TEST(Claims, ExpectedVerdictIsParsed) {
  const auto one = parse_expected_verdict("A3/first-read=holds-if");
  ASSERT_TRUE(one);
  EXPECT_EQ(one->case_id, "A3");
  EXPECT_EQ(one->variant, "first-read");
  EXPECT_EQ(one->verdict, Verdict::holds_if);
  for (const char* wrong : {"", "A3", "A3/first-read", "A3/first-read=", "A3=holds/x",
                            "A3/first-read=undecided", "A3/nothing=holds"})
    EXPECT_FALSE(parse_expected_verdict(wrong)) << wrong;
}

Record record_of(int64_t met, int64_t connections, const std::string& first_read) {
  Record record;
  Way way;
  way.name = "abort";
  for (int64_t i = 0; i < connections; ++i) way.conclude(i < met);
  way.see("first read", first_read, connections);
  record.ways.push_back(way);
  return record;
}

const Claim kClaim = {"A6", "poll", "", Verdict::holds, "", {{"", "first read", "ECONNRESET"}}};

TEST(Judge, EveryKindOfDifferenceIsNoticed) {
  const Spec spec;
  EXPECT_TRUE(judge(kClaim, "veth", spec, record_of(100, 100, "ECONNRESET")).ok());
  EXPECT_FALSE(judge(kClaim, "veth", spec, record_of(99, 100, "ECONNRESET")).ok());
  EXPECT_FALSE(judge(kClaim, "veth", spec, record_of(100, 100, "0")).ok());
  EXPECT_FALSE(judge(kClaim, "veth", spec, record_of(99, 99, "ECONNRESET")).ok());
  EXPECT_FALSE(judge(kClaim, "veth", spec, Record{}).ok());
  Record broken = record_of(100, 100, "ECONNRESET");
  broken.error = "bind: no";
  EXPECT_FALSE(judge(kClaim, "veth", spec, broken).ok());
  Spec otherwise;
  otherwise.expected.push_back({"A6", "poll", Verdict::does_not_hold});
  EXPECT_FALSE(judge(kClaim, "veth", otherwise, record_of(100, 100, "ECONNRESET")).ok());
  EXPECT_TRUE(judge(kClaim, "veth", otherwise, record_of(0, 100, "ECONNRESET")).ok());
}

TEST(VerifyMarkdown, NoTextEndsItsCell) {
  Record record = record_of(100, 100, "ECONNRESET");
  record.notes.emplace_back("seen", "IN|HUP");
  VerifyResult result;
  result.rows = {judge(kClaim, "veth", {}, record)};
  EXPECT_THAT(verify_markdown(result), HasSubstr("ECONNRESET; seen: IN\\|HUP | holds | yes |\n"));
}

// What was not played says nothing about the kernel, and differs from nothing.
TEST(Judge, ARowThatWasNotPlayedDoesNotDiffer) {
  Record broken;
  broken.error = "socket: Too many open files (EMFILE 24)";
  VerifyResult result;
  result.kernel = "6.1.0";
  result.rows = {judge(kClaim, "veth", {}, broken),
                 judge(kClaim, "loopback", {}, record_of(100, 100, "ECONNRESET"))};
  EXPECT_FALSE(result.rows[0].played());
  EXPECT_TRUE(result.rows[0].differences.empty());
  EXPECT_EQ(status_of(result.rows), RunStatus::no_resources);

  EXPECT_THAT(verify_text(result),
              AllOf(HasSubstr("NOT PLAYED A6/poll on veth: " + broken.error),
                    HasSubstr(": 1 row NOT PLAYED\n"), Not(HasSubstr("DIFFER"))));
  EXPECT_THAT(verify_markdown(result),
              AllOf(HasSubstr(": 1 row NOT PLAYED.\n"), HasSubstr("| not played |  |\n"),
                    HasSubstr("| holds | yes |\n"), Not(HasSubstr("NO |"))));
  const auto rows = nlohmann::json::parse(verify_json(result));
  EXPECT_EQ(rows[0]["ok"], false);
  EXPECT_EQ(rows[0]["played"], false);
  EXPECT_EQ(rows[0]["error"], broken.error);
  EXPECT_TRUE(rows[0]["differences"].empty());
  EXPECT_EQ(rows[1]["played"], true);

  // A row that differs beside it is still told apart; the row that was not played decides.
  result.rows[1] = judge(kClaim, "loopback", {}, record_of(0, 100, "0"));
  EXPECT_EQ(status_of(result.rows), RunStatus::no_resources);
  EXPECT_THAT(verify_text(result),
              HasSubstr(": 1 row DIFFERS from what is expected, 1 row NOT PLAYED\n"));
  result.rows.erase(result.rows.begin());
  EXPECT_EQ(status_of(result.rows), RunStatus::unmet_expectation);
}

// --- TAP

// One row of each kind, with texts that would break their lines if anything could.
VerifyResult rows_of_all_kinds() {
  const std::string hostile = "a\nnot ok 9 b # TODO \\# c\r\nBail out! \n1..7 ";
  Record odd = record_of(100, 100, hostile);
  Record refused, dead;
  refused.error = "socket: " + hostile;
  dead.error = "its process ended: " + hostile;
  dead.died = true;
  VerifyResult result;
  result.kernel = "6.1.0 # SKIP\n1..9";
  result.rows = {judge(kClaim, "loopback", {}, record_of(100, 100, "ECONNRESET")),
                 judge(kClaim, "veth", {}, odd), judge(kClaim, "veth", {}, refused),
                 judge(kClaim, "veth", {}, dead)};
  return result;
}

TEST(Tap, EveryRowIsATestAndEveryTextStaysInItsLine) {
  const std::string text = verify_tap(rows_of_all_kinds());
  const std::string fate = "a not ok 9 b   TODO \\  c  Bail out!  1..7";
  EXPECT_EQ(text,
            "TAP version 13\n1..4\n"
            "# lastack verify, Linux 6.1.0   SKIP 1..9\n"
            "ok 1 A6/poll/loopback\n"
            "# A6/poll/veth: abort: first read is " +
                fate +
                "  (100), expected ECONNRESET\n"
                "not ok 2 A6/poll/veth\n"
                "ok 3 A6/poll/veth # SKIP socket: " +
                fate +
                "\n"
                "not ok 4 A6/poll/veth # ERROR its process ended: " +
                fate +
                "\n"
                "# Totals: pass:1 fail:1 xfail:0 xpass:0 skip:1 error:1\n");
}

TEST(Tap, WithoutRowsItSaysWhetherTheHostLacksSomething) {
  VerifyResult result;
  result.status = RunStatus::no_resources;
  result.error = "unshare: Operation not permitted (EPERM 1)";
  EXPECT_EQ(verify_tap(result), "TAP version 13\n1..0 # SKIP " + result.error + "\n");
  result.status = RunStatus::interrupted;
  result.error = "interrupted";
  EXPECT_EQ(verify_tap(result), "TAP version 13\nBail out! interrupted\n");
}

// What Perl's parser of TAP counts: planned, passed, failed, skipped, and what it cannot parse.
std::string counted_by_perl(const std::string& tap) {
  auto file = memory_file("tap", tap);
  if (!file) return "no file";
  const std::string command =
      "perl -MTAP::Parser -e 'my $p = TAP::Parser->new({tap => join \"\", <>}); my $unknown = 0; "
      "while (my $r = $p->next) { $unknown++ if $r->is_unknown } "
      "printf \"%d planned, %d passed, %d failed, %d skipped, %d todo, %d unknown, %d errors\", "
      "$p->tests_planned, scalar $p->passed, scalar $p->failed, scalar $p->skipped, "
      "scalar $p->todo, $unknown, scalar $p->parse_errors' /proc/" +
      std::to_string(getpid()) + "/fd/" + std::to_string(file->get());
  FILE* pipe = popen(command.c_str(), "r");
  std::string said(200, '\0');
  said.resize(pipe ? fread(said.data(), 1, said.size(), pipe) : 0);
  if (pipe) pclose(pipe);
  return said;
}

TEST(Tap, PerlReadsIt) {
  if (system("perl -MTAP::Parser -e 1 2>/dev/null") != 0) GTEST_SKIP() << "no TAP::Parser";
  // Who is skipped has passed.
  EXPECT_EQ(counted_by_perl(verify_tap(rows_of_all_kinds())),
            "4 planned, 2 passed, 2 failed, 1 skipped, 0 todo, 0 unknown, 0 errors");
  VerifyResult none;
  none.status = RunStatus::no_resources;
  none.error = "no # rights";
  EXPECT_EQ(counted_by_perl(verify_tap(none)),
            "0 planned, 0 passed, 0 failed, 0 skipped, 0 todo, 0 unknown, 0 errors");
}

// The rules by which netdev's CI takes a line apart: a name without a number sign, then a comment.
TEST(Tap, AReaderOfNestedResultsFindsNameAndSkip) {
  const std::regex line_of("(not )?ok (\\d+)( -)? ([^#]*[^ ])( # )?([^ ].*)?$");
  std::string seen;
  const std::string text = verify_tap(rows_of_all_kinds());
  for (const std::string_view line : split(text, '\n')) {
    std::smatch parts;
    const std::string one(line);
    if (!std::regex_match(one, parts, line_of)) continue;
    seen += fmt::format("{}{} {}; ", parts[1].str(), parts[4].str(), parts[6].str().substr(0, 5));
  }
  EXPECT_EQ(seen,
            "A6/poll/loopback ; not A6/poll/veth ; A6/poll/veth SKIP ; not A6/poll/veth ERROR; ");
}

}  // namespace
}  // namespace lastack::verify
