// What the program prints and writes reaches its user, or the exit code says that it did not:
// commands by sinks, folders that are full, gone or shared, names that would act on a terminal.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "../named_case.h"
#include "base/file.h"
#include "base/printable.h"
#include "program.h"

namespace lastack::live {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::AnyOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const Words kRun = {"run", "--connections", "20", "--mix", "rst-linger"};

// --- Sinks

bool open_full() { return dup2(open("/dev/full", O_WRONLY), STDOUT_FILENO) >= 0; }
bool close_output() { return close(STDOUT_FILENO) == 0; }
bool leave_no_reader() {
  int ends[2];
  if (pipe(ends) != 0 || dup2(ends[1], STDOUT_FILENO) < 0) return false;
  close(ends[0]);
  close(ends[1]);
  return true;
}

struct Sink {
  bool (*open)();
  std::string cause;
};
const Sink kSinks[] = {
    {open_full, "No space left on device (ENOSPC 28)"},
    {close_output, "Bad file descriptor (EBADF 9)"},
    {leave_no_reader, "Broken pipe (EPIPE 32)"},
};

struct Printing {
  std::string name;
  Words command;
  bool quick = true;   // else with the first sink only
  int worse_code = 1;  // of a status that stands above `failed` in the table
};
const Printing kPrinting[] = {
    {"Help", {"--help"}},
    {"RunHelp", {"run", "--help"}},
    {"CompareHelp", {"compare", "--help"}},
    {"Version", {"--version"}},
    {"List", {"list"}},
    {"ListJson", {"list", "--format", "json"}},
    {"ListMarkdown", {"list", "--format", "markdown"}},
    {"ListSchema", {"list", "--format", "schema"}},
    {"Doctor", {"doctor", "--connections", "30"}},
    {"DoctorWithAWorseCode", {"doctor", "--connections", "4M"}, true, 3},
    {"SuiteList", {"suite", "list"}},
    {"SuiteListJson", {"suite", "list", "--format", "json"}},
    {"DryRun", with(kRun, {"--dry-run"})},
    {"Run", kRun},
    {"RunJson", with(kRun, {"--format", "json"})},
    {"RunWithABetterCode", with(kRun, {"--expect", "rst-linger=eof"}), false},
    {"Compare", {"compare", kData + "csv-v1-suite", kData + "csv-v1-suite"}},
    {"CompareJson",
     {"compare", kData + "csv-v1-suite", kData + "csv-v1-suite", "--format", "json"}},
    {"CompareCsv", {"compare", kData + "csv-v1-suite", kData + "csv-v1-suite", "--format", "csv"}},
    {"CompareMarkdown",
     {"compare", kData + "csv-v1-suite", kData + "csv-v1-suite", "--format", "markdown"}},
    {"Verify", {"verify", "--case", "A4", "--path", "loopback"}},
    {"VerifyJson", {"verify", "--case", "A4", "--path", "loopback", "--format", "json"}, false},
    {"VerifyMatrix", {"verify", "--matrix", "--path", "loopback"}, false},
    {"Cost",
     {"cost", "--connections", "20", "--probe", "keepalive", "--rounds", "3", "--window", "200ms"},
     false},
};

using cases::PrintTo;
class Undelivered : public testing::TestWithParam<Printing> {};

TEST_P(Undelivered, IsAnError) {
  for (const Sink& sink : kSinks) {
    SCOPED_TRACE(sink.cause);
    const Outcome outcome = run_program(GetParam().command, {.before_exec = sink.open});
    EXPECT_EQ(outcome.exit_code, GetParam().worse_code);
    EXPECT_THAT(outcome.err, EndsWith("lastack: write to standard output: " + sink.cause + "\n"));
    EXPECT_EQ(outcome.out, "");
    if (!GetParam().quick) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Output, Undelivered, testing::ValuesIn(kPrinting), cases::by_name);

TEST(Output, AMessageThatNobodyReadsChangesNoExitCode) {
  const Words kCommands[] = {
      {"rn"}, {"run", "--mix", "rst-lingre"}, {"compare", "a"}, {"suite", "quick"}};
  for (const Words& command : kCommands)
    for (const bool full : {false, true}) {
      const Outcome outcome = run_program(command, {.before_exec = [full] {
                                            close(STDERR_FILENO);
                                            return !full || open("/dev/full", O_WRONLY) >= 0;
                                          }});
      EXPECT_EQ(outcome.exit_code, 2) << command[0];
      EXPECT_EQ(outcome.out, "");
    }
  const Outcome cost = run_program(
      {"cost", "--connections", "20", "--probe", "keepalive", "--rounds", "3", "--window", "200ms"},
      {.before_exec = [] { return close(STDERR_FILENO) == 0; }});
  EXPECT_EQ(cost.exit_code, 0);
  EXPECT_THAT(cost.out, StartsWith("watch recv: 20 connections"));
}

// The next descriptors that a program opens would be standard input, output and error.
TEST(Output, ClosedDescriptorsAreNobodyElsesOutput) {
  const TemporaryFolder folder;
  const std::string out = folder.path() + "/out";
  const Outcome outcome = run_program(with(kRun, {"--events", "--out", out}), {.before_exec = [] {
                                        for (int i = 0; i <= STDERR_FILENO; ++i) close(i);
                                        return true;
                                      }});
  EXPECT_EQ(outcome.exit_code, 1);
  const auto run = nlohmann::json::parse(*read_file(out + "/run.json"));
  EXPECT_EQ(run["status"], "ok") << run["error"] << run["reconciliation"];
  EXPECT_EQ(read_csv(out + "/summary.csv").size(), 2u);
  EXPECT_EQ(read_csv(out + "/events.csv").size(), 21u);
  const Outcome no_input =
      run_program(kRun, {.before_exec = [] { return close(STDIN_FILENO) == 0; }});
  EXPECT_EQ(no_input.exit_code, 0) << no_input.err;
}

TEST(Output, AReaderThatHasEnoughOfAShortListIsNoError) {
  const Outcome outcome = run_program({"list"}, {.before_exec = [] {
                                        int ends[2];  // a pipe holds it all
                                        return pipe(ends) == 0 && dup2(ends[1], STDOUT_FILENO) >= 0;
                                      }});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

// --- Folders

TEST(Output, AnEmptyNameOfAFolderIsBadUsage) {
  for (const Words& command : {kRun, Words{"cost", "--probe", "keepalive"}, {"suite", "quick"}})
    for (const Words& name : {Words{"--out", ""}, {"--out="}}) {
      const Outcome outcome = run_program(with(command, name));
      EXPECT_EQ(outcome.exit_code, 2);
      EXPECT_THAT(outcome.err, StartsWith("lastack: --out: "));
      EXPECT_EQ(outcome.out, "");
    }
}

TEST(Output, OfTwoRunsIntoOneFolderTheSecondIsRefused) {
  const TemporaryFolder folder;
  const std::string out = folder.path() + "/out";
  Program first({"run", "--connections", "20", "--mix", "alive", "--deadline", "3s", "--out", out});
  ASSERT_TRUE(eventually(20'000'000'000, [&] { return launcher_of(first) != "none"; }));
  for (const Words& command : {kRun,
                               Words{"cost", "--probe", "keepalive"},
                               {"suite", "quick"},
                               {"suite", "quick", "--resume"}}) {
    const Outcome second = run_program(with(command, {"--out", out}));
    EXPECT_EQ(second.exit_code, 2);
    EXPECT_THAT(second.err, HasSubstr("folder '" + out + "' is in use by another lastack"));
  }
  const Outcome outcome = first.wait();
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_TRUE(fs::exists(out + "/run.json"));
  // A killed one holds nothing.
  const std::string again = folder.path() + "/again";
  {
    Program killed(
        {"run", "--connections", "20", "--mix", "alive", "--deadline", "30s", "--out", again});
    ASSERT_TRUE(eventually(20'000'000'000, [&] { return launcher_of(killed) != "none"; }));
  }
  EXPECT_EQ(run_program(with(kRun, {"--out", again})).exit_code, 0);
}

TEST(Output, AFolderThatIsGoneCostsNoResult) {
  const TemporaryFolder folder;
  for (const std::string format : {"text", "json"}) {
    const std::string out = folder.path() + "/deep/out";
    Program program({"run", "--connections", "20", "--mix", "rst-linger", "--schedule", "rate=20/s",
                     "--out", out, "--format", format});
    ASSERT_TRUE(eventually(20'000'000'000, [&] { return launcher_of(program) != "none"; }));
    fs::remove_all(out);
    const Outcome outcome = program.wait();
    EXPECT_EQ(outcome.exit_code, 3);
    EXPECT_THAT(outcome.err, HasSubstr("lastack: create " + out +
                                       "/summary.csv: No such file or directory (ENOENT 2)\n"));
    EXPECT_THAT(outcome.out, HasSubstr("rst-linger"));
    EXPECT_FALSE(fs::exists(folder.path() + "/deep")) << "made by the run, and empty";
  }
}

// Runs a script in a mount namespace of its own, in which `folder` is a file system of so many KiB.
Outcome on_a_small_disk(const std::string& folder, int size_kib, const std::string& script) {
  return run_program({}, {.before_exec = [&] {
                       const std::string size = "size=" + std::to_string(size_kib) + "k";
                       const bool mounted =
                           unshare(CLONE_NEWNS) == 0 &&
                           mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                           mount("none", folder.c_str(), "tmpfs", 0, size.c_str()) == 0;
                       if (!mounted) return false;
                       const std::string text =
                           std::string("L=") + LASTACK_PROGRAM + "; cd " + folder + "; " + script;
                       execl("/bin/sh", "sh", "-c", text.c_str(), nullptr);
                       return false;
                     }});
}

TEST(Output, AFullDiskCostsNoResult) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to mount a small file system";
  const TemporaryFolder folder;
  const Outcome outcome = on_a_small_disk(
      folder.path(), 16,
      "$L run --connections 20 --mix rst-linger --out out; echo \"code $?\"; ls -A;"
      "$L cost --connections 20 --probe keepalive --rounds 3 --window 200ms --out out; "
      "echo \"code $?\"; ls -A; mount -o remount,size=4m .;"
      "$L run --connections 20 --mix rst-linger --out out >/dev/null; echo \"code $?\"; ls -A out");
  EXPECT_THAT(outcome.err, HasSubstr("lastack: write out/run.json: No space left on device"));
  EXPECT_THAT(outcome.err, HasSubstr("lastack: write out/cost.json: No space left on device"));
  EXPECT_THAT(outcome.out, testing::ContainsRegex("rst-linger [^$]*status    ok\ncode 3\nwatch"));
  EXPECT_THAT(outcome.out,
              EndsWith("\ncode 3\ncode 0\nlatency.csv\nrun.json\nsummary.csv\ntimeline.csv\n"));
}

TEST(Output, ASuiteGoesOnWhenTheDiskHasRoomAgain) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to mount a small file system";
  const TemporaryFolder folder;
  const std::string suite = "$L suite quick --quick --repetitions 1 --out out";
  const Outcome outcome =
      on_a_small_disk(folder.path(), 200,
                      suite + "; echo \"code $?\"; mount -o remount,size=20m .; " + suite +
                          " --resume; echo \"code $?\"; ls out");
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("No space left on device (ENOSPC 28)"),
                                 HasSubstr("the same command with --resume goes on"),
                                 HasSubstr("runs are there already")))
      << outcome.out;
  EXPECT_THAT(outcome.err, Not(HasSubstr("0 runs are there already")));
  EXPECT_THAT(outcome.out, StartsWith("row "));
  EXPECT_THAT(outcome.out, testing::ContainsRegex("\nruns      [1-5] of 6\n[^$]*\ncode 3\nrow "
                                                  "[^$]*\nruns      6 of 6\n[^$]*\ncode [046]\n"));
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("\nmanifest.json\n"), Not(HasSubstr("unfinished"))));
}

// --- Names

// Whatever is printed acts on no terminal, and a message stays one line.
void expect_harmless(const Outcome& outcome, bool one_line) {
  EXPECT_EQ(printable_lines(outcome.out), outcome.out);
  EXPECT_EQ(printable_lines(outcome.err), outcome.err);
  if (one_line) {
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
  }
}

TEST(Output, IsHarmlessWhateverItsUserWrites) {
  const std::string bad =
      "\x1b[2J\x1b]0;x\x07\xc2\x9b"
      "1m\xff\xe2\x80\xae\nlastack: ok";
  const TemporaryFolder folder;
  const std::string file = folder.path() + "/" + bad;
  std::ofstream(file) << "x";
  for (const Words& command : {Words{bad},
                               {"--" + bad},
                               {"run", bad},
                               {"run", "--mix", bad},
                               {"run", "--connections", bad},
                               {"run", "--format", bad},
                               {"run", "--out", file},
                               {"cost", "--probe", bad},
                               {"suite", bad},
                               {"suite", "quick", "--out", folder.path() + "/" + bad, "--resume"},
                               {"verify", "--case", bad},
                               {"verify", "--expect", bad},
                               {"list", "--format", bad},
                               {"compare", file, bad},
                               {"compare", "a", "b", "--fail-on", bad},
                               {"compare", "a", "b", "--show", bad}}) {
    SCOPED_TRACE(printable(command[0] + " " + command.back()));
    const Outcome outcome = run_program(command);
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_EQ(outcome.out, "");
    expect_harmless(outcome, true);
  }
}

TEST(Output, IsHarmlessWhateverFilesHold) {
  const std::string bad = "\xc2\x9bJ\xe2\x80\xae";  // in a CSV file ESC is refused
  const TemporaryFolder folder;
  const std::string suite = folder.path() + "/\x1b[2J" + bad + "'\n; x";
  fs::create_directories(suite);
  const auto spoiled = [&](const std::string& name, const std::string& in_json) {
    std::string text = *read_file(kData + "csv-v1-suite/" + name);
    for (size_t at = 0; (at = text.find("short-block", at)) != std::string::npos;) {
      text.replace(at, 11, in_json);
      at += in_json.size();
    }
    std::ofstream(suite + "/" + name) << text;
  };
  spoiled("summary.csv", "short" + bad);
  spoiled("manifest.json", "short\\u009bJ\\u202e");
  for (const std::string format : {"text", "markdown", "csv", "json"}) {
    const Outcome outcome = run_program({"compare", suite, suite, "--format", format});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("short"));
    expect_harmless(outcome, false);
  }
}

}  // namespace
}  // namespace lastack::live
