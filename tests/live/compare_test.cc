// `lastack compare` as its user meets it: exit codes, one line for what is wrong, every format.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "program.h"

namespace lastack::live {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

void replace(std::string& text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
}

// Repetitions of the frozen run: their median latency is so much, and a little more each time.
void write_runs(const std::string& prefix, int repetitions, int64_t p50_ns,
                const std::string& cpu = "AMD EPYC") {
  for (int i = 1; i <= repetitions; ++i) {
    const std::string folder = prefix + "-" + std::to_string(i);
    std::filesystem::create_directories(folder);
    std::string summary = *read_file(kData + "csv-v1-run/summary.csv");
    replace(summary, ",115343359,", "," + std::to_string(p50_ns + 1'000 * i) + ",");
    std::string document = *read_file(kData + "csv-v1-run/run.json");
    replace(document, "AMD EPYC", cpu);
    std::ofstream(folder + "/summary.csv") << summary;
    std::ofstream(folder + "/run.json") << document;
  }
}

TEST(Compare, EndsWithTheCodeThatItsHelpSays) {
  const TemporaryFolder folder;
  const std::string a = folder.path() + "/a", b = folder.path() + "/b",
                    other = folder.path() + "/o", few = folder.path() + "/f";
  write_runs(a, 8, 1'000'000);
  write_runs(b, 8, 1'100'000);
  write_runs(other, 8, 1'100'000, "Slow 2");
  write_runs(few, 3, 1'100'000);
  struct Case {
    std::vector<std::string> arguments;
    int exit_code;
    std::string message;  // that the one line on stderr holds; empty: no line
  };
  const Case kCases[] = {
      {{a + "-*", b + "-*"}, 0, ""},
      {{a + "-*", b + "-*", "--fail-on", "regression=5%"}, 8, ""},
      {{a + "-*", b + "-*", "--fail-on", "regression=20%"}, 0, ""},
      {{b + "-*", a + "-*", "--fail-on", "regression=5%"}, 0, ""},
      {{a + "-*", few + "-*", "--fail-on", "regression=5%"}, 8, ""},  // 8 and 3 are enough
      {{few + "-[12]", few + "-[23]", "--fail-on", "regression=5%"}, 2, "no change can be shown"},
      {{a + "-*", other + "-*"}, 2, "cpu.model differs: AMD EPYC in a-*, Slow 2 in o-*"},
      {{a + "-*", other + "-*", "--force"}, 0, ""},
      {{a + "-1"}, 2, "two folders or more"},
      {{a + "-1", folder.path() + "/none"}, 2, "No such file or directory"},
      {{a + "-1", kData + "csv-v1-suite"}, 2, "suite differs: runs in a-1, short in csv-v1-suite"},
      {{a + "-1", kData + "csv-v1-suite", "--force"}, 2, "no row in common"},
      {{a + "-1", b + "-1", "--fail-on", "improvement=5%"}, 2, "is not such as regression=5%"},
      {{a + "-1", b + "-1", "--fail-on", "regression=5"}, 2, "is not such as regression=5%"},
      {{a + "-1", b + "-1", "--fail-on", ""}, 2, "is not such as regression=5%"},
      {{a + "-1", b + "-1", "--show", "much"}, 2, "--show: 'much' is not a percentage"},
  };
  for (const Case& one : kCases) {
    std::vector<std::string> arguments = {"compare"};
    arguments.insert(arguments.end(), one.arguments.begin(), one.arguments.end());
    SCOPED_TRACE(one.arguments.back() + " " + one.message);
    const Outcome outcome = run_program(arguments);
    EXPECT_EQ(outcome.exit_code, one.exit_code) << outcome.out << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(one.message));
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), one.message.empty() ? 0 : 1) << outcome.err;
  }
}

TEST(Compare, PrintsEveryFormat) {
  const TemporaryFolder folder;
  write_runs(folder.path() + "/a", 8, 1'000'000);
  write_runs(folder.path() + "/b", 8, 1'100'000);
  const auto printed = [&](const std::string& format) {
    const Outcome outcome = run_program({"compare", folder.path() + "/a-*", folder.path() + "/b-*",
                                         "--format", format, "--show", "2%"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return outcome;
  };
  EXPECT_THAT(printed("text").out, AllOf(HasSubstr("result  0 changed in kind, 1 worse, 0 better"),
                                         HasSubstr("a change of 2 %")));
  EXPECT_THAT(printed("markdown").out, StartsWith("# Comparison\n"));
  EXPECT_THAT(printed("csv").out, StartsWith("schema_version,row,strategy,"));
  const auto json = printed("json").json();
  EXPECT_EQ(json["worse"], 1);
  EXPECT_EQ(json["command"],
            "lastack compare '" + folder.path() + "/a-*' '" + folder.path() + "/b-*' --show 2%");
}

// --- Tables of verify

// Twice the same kernel is no difference; one that a hand made is told, and can close a gate.
TEST(Compare, TablesOfVerifyDifferOnlyWhereAKernelDoes) {
  const TemporaryFolder folder;
  const std::string a = folder.path() + "/a", b = folder.path() + "/b.json",
                    changed = folder.path() + "/c.json", less = folder.path() + "/d.json";
  std::filesystem::create_directory(a);
  nlohmann::json rows;
  for (const std::string& file : {a + "/verify.json", b}) {
    const Outcome outcome = run_program({"verify", "--case", "A2,A3,S5,C1", "--format", "json"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
    std::ofstream(file) << outcome.out;
    rows = outcome.json();
  }
  auto other = rows;
  other[0]["verdict"] = "does not hold";
  std::ofstream(changed) << other;
  other = rows;
  other.erase(other.size() - 1);
  std::ofstream(less) << other;
  const std::string gate = "--fail-on=difference";
  struct Case {
    Words arguments;
    int exit_code;
    std::string out, err;
  };
  const Case kCases[] = {
      {{a, b, gate}, 0, "\nno difference in " + std::to_string(rows.size()) + " rows\n", ""},
      {{a, changed}, 0, "\n1 difference in 1 row, of ", ""},
      {{a, changed, gate}, 8, "does not hold\n", ""},
      {{a, b, changed, gate, "--format", "markdown"}, 8, " | does not hold |\n", ""},
      {{a, less}, 0, "1 row NOT COMPARED", ""},
      {{a, less, gate}, 2, "absent", "some rows were not played on every side"},
      {{a}, 2, "", "two files or more"},
      {{a, folder.path()}, 2, "", "/verify.json: No such file or directory"},
      {{a, b, "--fail-on", "regression=5%"}, 2, "", "is not of --verify; allowed: difference"},
      {{a, b, "--show", "1%"}, 2, "", "--show and --force are for figures"},
      {{a, b, "--format", "csv"}, 2, "", "not with --verify; allowed: text, markdown, json"},
  };
  for (const Case& one : kCases) {
    SCOPED_TRACE(testing::PrintToString(one.arguments));
    const Outcome outcome = run_program(with({"compare", "--verify"}, one.arguments));
    EXPECT_EQ(outcome.exit_code, one.exit_code) << outcome.out << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr(one.out));
    EXPECT_THAT(outcome.err, HasSubstr(one.err));
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), one.err.empty() ? 0 : 1) << outcome.err;
  }
  const auto document = run_program({"compare", "--verify", a, changed, "--format=json"}).json();
  EXPECT_EQ(document["differences"][0]["what"], "verdict");
  EXPECT_EQ(document["differences"].size(), 1u);
}

}  // namespace
}  // namespace lastack::live
