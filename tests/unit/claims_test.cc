#include "verify/claims.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>

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

}  // namespace
}  // namespace lastack::verify
