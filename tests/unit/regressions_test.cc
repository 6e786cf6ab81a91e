// The table of regressions: what it promises of itself, what it expects of which kernel, and how a
// row that differs, or was not played, is told.
#include "verify/regressions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "report/regressions_text.h"
#include "report/schema.h"
#include "verify/regression_scenes.h"
#include "verify/regression_suite.h"

namespace lastack::verify {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

void expect_ascending(Arrivals arrivals, std::string_view name) {
  for (size_t i = 1; i < arrivals.size(); ++i) {
    EXPECT_LT(arrivals[i - 1], arrivals[i]) << name;
    EXPECT_FALSE(arrivals[i].same_series(arrivals[i - 1])) << name;
  }
}

TEST(Regressions, EveryRowIsWhole) {
  for (const Regression& one : regressions()) {
    EXPECT_FALSE(one.broke.empty() || one.title.empty()) << one.name;
    EXPECT_EQ(one.commit.size(), 12u) << one.name;
    EXPECT_EQ(one.commit.find_first_not_of("0123456789abcdef"), std::string::npos) << one.name;
    EXPECT_FALSE(one.fixed.empty()) << one.name;
    EXPECT_EQ(one.cause.empty(), one.introduced.empty()) << one.name;
    expect_ascending(one.fixed, one.name);
    expect_ascending(one.introduced, one.name);
    EXPECT_TRUE(find_regression(one.name));
  }
  EXPECT_FALSE(find_regression("none"));
}

TEST(Regressions, EveryRowHasItsSceneAndEverySceneItsRow) {
  std::set<std::string_view> rows, scenes;
  for (const Regression& one : regressions()) rows.insert(one.name);
  for (const Scene& scene : regression_scenes()) {
    EXPECT_EQ(scene.case_id, kRegressionCase);
    EXPECT_TRUE(scenes.insert(scene.variant).second) << scene.variant;
  }
  EXPECT_EQ(rows, scenes);
}

std::set<std::string_view> failing(const KernelVersion& version) {
  std::set<std::string_view> names;
  for (const Regression& one : regressions())
    if (should_fail(one, version)) names.insert(one.name);
  return names;
}

TEST(Regressions, EachVersionFailsWhereItShould) {
  using Names = std::set<std::string_view>;
  const Names old = {"zero-window-user-timeout", "direct-close-late", "direct-close-waits"};
  Names names = old;
  EXPECT_EQ(failing({6, 1, 192}), names);
  EXPECT_EQ(failing({6, 1, 176}), names);
  names.insert("filter-without-rights");
  EXPECT_EQ(failing({6, 1, 175}), names);
  names.insert("listener-migration");
  EXPECT_EQ(failing({6, 1, 174}), names);
  EXPECT_EQ(failing({6, 1, 132}), names);
  names.insert("destroy-shut-window");
  EXPECT_EQ(failing({6, 1, 131}), names);
  names.insert("close-wait-currestab");
  EXPECT_EQ(failing({6, 1, 94}), names);
  EXPECT_EQ(failing({6, 1, 60}), names);
  names.insert("disconnect-blocked-reader");
  EXPECT_EQ(failing({6, 1, 59}), names);
  EXPECT_EQ(failing({6, 1, 33}), names);
  names.erase("disconnect-blocked-reader");
  EXPECT_EQ(failing({6, 1, 32}), names);
  EXPECT_EQ(failing({6, 12, 111}), Names{"direct-close-waits"});
  EXPECT_EQ(failing({6, 6, 143}), (Names{"zero-window-user-timeout", "direct-close-waits"}));
  EXPECT_EQ(failing({6, 18, 44}), Names{});
  EXPECT_TRUE(failing({6, 18, 19}).contains("multishot-eof"));
  EXPECT_FALSE(failing({6, 18, 20}).contains("multishot-eof"));
  EXPECT_FALSE(failing({6, 12, 1}).contains("multishot-eof"));
  EXPECT_EQ(failing({7, 1, 0}), Names{});
}

const Regression& row(std::string_view name) { return **find_regression(name); }

Record record_of(int64_t sound, int64_t connections) {
  Record record;
  record.ways.emplace_back();
  Way& way = record.ways.back();
  way.name = "abort";
  for (int64_t i = 0; i < connections; ++i) {
    way.see("epoll_wait()", i < sound ? "tells" : "does not tell");
    way.conclude(i < sound);
  }
  return record;
}

TEST(RegressionRow, OneConnectionWithTheFaultIsEnough) {
  const Regression& one = row("listener-migration");
  constexpr KernelVersion kBefore{6, 1, 174}, kAfter{6, 1, 175};
  EXPECT_TRUE(judge(one, kAfter, record_of(10, 10)).ok());
  EXPECT_FALSE(judge(one, kAfter, record_of(9, 10)).ok());
  EXPECT_TRUE(judge(one, kBefore, record_of(9, 10)).ok());
  EXPECT_FALSE(judge(one, kBefore, record_of(10, 10)).ok());
  Record unplayed = record_of(10, 10);
  unplayed.error = "socket: no";
  EXPECT_FALSE(judge(one, kAfter, unplayed).ok());
}

RegressionResult result_of(std::vector<RegressionRow> rows) {
  RegressionResult result;
  result.release = "6.1.0-49-cloud-amd64";
  result.kernel = {{6, 1, 174}, "uname -v", false};
  result.expected_of = result.kernel.version;
  result.rows = std::move(rows);
  result.status = status_of(result.rows);
  return result;
}

TEST(RegressionsText, TellsWhatDiffersAndWhatWasNotPlayed) {
  constexpr KernelVersion kVersion{6, 1, 174};
  const Regression& one = row("listener-migration");
  auto result = result_of({judge(one, kVersion, record_of(0, 10))});
  EXPECT_EQ(result.status, RunStatus::ok);
  EXPECT_THAT(regressions_text(result),
              AllOf(HasSubstr(one.title), HasSubstr("does not tell"), Not(HasSubstr("DIFFER")),
                    HasSubstr("Linux 6.1.174 (uname -v; release 6.1.0-49-cloud-amd64): 1 of 1 rows "
                              "as expected"),
                    Not(HasSubstr("vendor"))));
  result = result_of({judge(one, kVersion, record_of(10, 10))});
  result.kernel.may_differ = true;
  EXPECT_EQ(result.status, RunStatus::unmet_expectation);
  EXPECT_THAT(
      regressions_text(result),
      AllOf(HasSubstr("DIFFERS listener-migration: sound, expected broken of Linux 6.1.174"),
            HasSubstr("by version: a vendor's kernel")));
  EXPECT_THAT(regressions_markdown(result), AllOf(HasSubstr("0 of 1 rows as expected, 1 DIFFERS"),
                                                  HasSubstr("| broken | sound | DIFFERS |")));
  Record unplayed;
  unplayed.error = "socket: no";
  result = result_of({judge(one, kVersion, unplayed), judge(one, kVersion, record_of(10, 10))});
  EXPECT_EQ(result.status, RunStatus::no_resources);
  EXPECT_THAT(regressions_text(result), HasSubstr("NOT PLAYED listener-migration: socket: no\n"));
}

TEST(RegressionsDocument, HasTheRowAndItsVerdict) {
  const auto result = result_of({judge(row("multishot-eof"), {6, 1, 174}, record_of(10, 10))});
  const auto document = regressions_document(result, {{"hz", 250}});
  EXPECT_EQ(document["kernel"]["version"], "6.1.174");
  EXPECT_EQ(document["status"], "ok");
  const auto& one = document["rows"][0];
  EXPECT_EQ(one["expected"], "sound");
  EXPECT_EQ(one["observed"], "sound");
  EXPECT_EQ(one["ok"], true);
  EXPECT_EQ(one["broken_since"][0], "6.17");
  EXPECT_EQ(one["fixed_in"].size(), 6u);
  EXPECT_EQ(one["ways"][0]["connections"], 10);
  EXPECT_EQ(document["environment"]["hz"], 250);
  for (const auto& [key, value] : document.items()) EXPECT_THAT(schema_markdown(), HasSubstr(key));
  for (const auto& [key, value] : one.items()) EXPECT_THAT(schema_markdown(), HasSubstr(key));
}

}  // namespace
}  // namespace lastack::verify
