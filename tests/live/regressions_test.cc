// `lastack suite regressions`: this kernel does what its version should, another version's
// expectations are noticed, and what is asked for wrongly is refused.
#include "verify/regressions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/kernel_version.h"
#include "program.h"

namespace lastack::live {
namespace {

using testing::HasSubstr;

TEST(Regressions, ThisKernelIsAsItsVersionSays) {
  const Outcome outcome = run_program({"suite", "regressions", "--format", "json"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  const auto rows = outcome.json().at("rows");
  ASSERT_EQ(rows.size(), verify::regressions().size());
  for (const auto& row : rows) {
    EXPECT_TRUE(row.at("ok").get<bool>()) << row.dump(1);
    EXPECT_FALSE(row.at("ways").empty()) << row.dump(1);
    for (const auto& way : row.at("ways")) EXPECT_GE(way.at("connections").get<int>(), 9);
  }
}

TEST(Regressions, AlsoForAnOrdinaryUser) {
  if (geteuid() != 0) GTEST_SKIP() << "is an ordinary user already";
  const Outcome outcome =
      run_program({"suite", "regressions", "--row",
                   "listener-migration,filter-without-rights,destroy-shut-window"},
                  {.as_nobody = true});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
}

TEST(Regressions, CanaryAnotherVersionsExpectationsAreNoticed) {
  constexpr KernelVersion kOther{6, 1, 59};
  const std::vector<std::string> names = {"close-wait-currestab", "listener-migration",
                                          "filter-without-rights", "direct-close-late"};
  std::string asked;
  for (const std::string& name : names) asked += (asked.empty() ? "" : ",") + name;
  const Outcome outcome = run_program({"suite", "regressions", "--row", asked, "--expect-version",
                                       to_text(kOther), "--format", "json"});
  const auto document = outcome.json();
  EXPECT_EQ(document.at("expected_of"), to_text(kOther));
  const auto running =
      leading_kernel_version(document.at("kernel").at("version").get<std::string>());
  ASSERT_TRUE(running);
  bool any = false;
  for (const auto& row : document.at("rows")) {
    const auto one = verify::find_regression(row.at("name").get<std::string>());
    ASSERT_TRUE(one);
    const bool differs = should_fail(**one, kOther) != should_fail(**one, *running);
    EXPECT_EQ(row.at("ok").get<bool>(), !differs) << row.dump(1);
    any |= differs;
  }
  EXPECT_EQ(outcome.exit_code, any ? 4 : 0);
  EXPECT_TRUE(any) << "a kernel of such an age needs another version here";
}

TEST(Regressions, LeavesItsDocument) {
  std::string folder = std::filesystem::temp_directory_path() / "lastack-regressions-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const Outcome outcome = run_program({"suite", "regressions", "--row", "close-wait-currestab",
                                       "--out", folder, "--format", "markdown"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("| close-wait-currestab |"));
  std::ifstream file(folder + "/regressions.json");
  const auto document = nlohmann::json::parse(file, nullptr, false);
  ASSERT_FALSE(document.is_discarded());
  EXPECT_EQ(document.at("rows").size(), 1u);
  EXPECT_TRUE(document.at("environment").contains("kernel"));
  std::filesystem::remove_all(folder);
}

TEST(Regressions, TheListNamesThem) {
  const Outcome outcome = run_program({"suite", "list"});
  EXPECT_THAT(outcome.out, HasSubstr("\nregressions: "));
  for (const verify::Regression& one : verify::regressions())
    EXPECT_THAT(outcome.out, HasSubstr(std::string(one.name)));
}

TEST(Regressions, RefusesWhatItDoesNotKnow) {
  for (const Words& words :
       {Words{"regressions", "--row", "none"}, Words{"regressions", "--expect-version", "six"},
        Words{"regressions", "--quick"}, Words{"regressions", "--resume"},
        Words{"regressions", "--seed", "2"}, Words{"regressions", "--repetitions", "2"},
        Words{"quick", "--row", "close-wait-currestab"}, Words{"list", "--format", "markdown"},
        Words{"quick", "--expect-version", "6.1.174"}}) {
    const Outcome outcome = run_program(with({"suite"}, words));
    EXPECT_EQ(outcome.exit_code, 2) << words[0] << " " << words[1];
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  }
}

}  // namespace
}  // namespace lastack::live
