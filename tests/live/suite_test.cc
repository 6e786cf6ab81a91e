// `lastack suite` as its user meets it: small, whole, and drawn. No time is asserted but that the
// estimate is a bound.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/file.h"
#include "program.h"

namespace lastack::live {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

TEST(Suite, OfDeadPeersQuickly) {
  const TemporaryFolder folder;
  const std::string out = folder.path() + "/suite";
  const Outcome outcome = run_program({"suite", "dead-peer", "--quick", "--out", out});
  // A busy host may keep a rate from being reached; that is no matter here.
  ASSERT_THAT(outcome.exit_code, testing::AnyOf(0, 6)) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("suite dead-peer: 11 rows, 11 runs, at most about"));
  EXPECT_THAT(outcome.out, HasSubstr("smallest safe deadline"));

  const auto manifest = nlohmann::json::parse(*read_file(out + "/manifest.json"));
  EXPECT_EQ(manifest["exit_code"], outcome.exit_code);
  ASSERT_EQ(manifest["runs"].size(), 11u);
  for (const auto& run : manifest["runs"]) {
    SCOPED_TRACE(run["name"].get<std::string>());
    EXPECT_FALSE(run["sysctls"].empty());
    const std::string in = out + "/" + run["folder"].get<std::string>();
    EXPECT_TRUE(fs::exists(in + "/run.json") || fs::exists(in + "/cost.json"));
  }

  // A frozen process is alive to keepalive, and a path that comes back in time was never gone.
  const auto summary = read_csv(out + "/summary.csv");
  const auto column = [&](const std::string& name) {
    return static_cast<size_t>(std::ranges::find(summary[0], name) - summary[0].begin());
  };
  int frozen = 0, restored = 0;
  for (const auto& row : summary) {
    const std::string &strategy = row[column("strategy")], &probe = row[column("probe")];
    if (strategy == "freeze") {
      ++frozen;
      EXPECT_EQ(row[column("found")], probe == "heartbeat-wheel" ? row[column("requested")] : "0");
    }
    if (strategy == "cable-restore") ++restored;
  }
  EXPECT_EQ(frozen, 3);
  EXPECT_EQ(restored, 2);
  EXPECT_GT(read_csv(out + "/frontier.csv").size(), 10u);

  const std::string picture = folder.path() + "/probes.png";
  const std::string command = std::string("/usr/bin/python3 ") + LASTACK_SOURCE_DIR +
                              "/scripts/plot_probes.py " + out + " -o " + picture + " > " +
                              folder.path() + "/plot.log";
  EXPECT_EQ(std::system(command.c_str()), 0);
  EXPECT_TRUE(fs::exists(picture));
}

size_t runs_recorded(const std::string& folder) {
  size_t records = 0;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(folder + "/unfinished", missing))
    records += entry.path().filename().string().starts_with("row-") &&
               entry.path().extension() != ".tmp";  // of a write that was killed
  return records;
}

// Interrupted, killed, and each time taken up again.
TEST(Suite, GoesOnWhereItWasInterrupted) {
  const TemporaryFolder folder;
  const std::string out = folder.path() + "/suite";
  std::vector<std::string> command = {"suite", "quick", "--quick", "--out", out};
  for (const auto& [signal, least] : {std::pair{SIGINT, size_t{1}}, {SIGKILL, size_t{4}}}) {
    Program program(command);
    ASSERT_TRUE(
        eventually(60'000'000'000, [&, wanted = least] { return runs_recorded(out) >= wanted; }));
    kill(program.pid(), signal);
    const Outcome outcome = program.wait();
    if (signal == SIGINT) {
      EXPECT_EQ(outcome.exit_code, 7) << outcome.err;
      EXPECT_THAT(outcome.err, HasSubstr("--resume goes on"));
      const auto manifest = nlohmann::json::parse(*read_file(out + "/manifest.json"));
      EXPECT_EQ(manifest["status"], "interrupted");
      EXPECT_EQ(manifest["runs"][0]["status"], "ok");
      EXPECT_TRUE(manifest["runs"][17]["status"].is_null());
      EXPECT_GT(read_csv(out + "/summary.csv").size(), 1u);
      EXPECT_EQ(run_program(command).exit_code, 2) << "not empty";
      command.push_back("--resume");
    }
  }
  const size_t before = runs_recorded(out);
  const Outcome outcome = run_program(command);
  ASSERT_THAT(outcome.exit_code, testing::AnyOf(0, 6)) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr(std::to_string(before) + " runs are there already"));
  EXPECT_FALSE(fs::exists(out + "/unfinished"));
  EXPECT_EQ(run_program(command).exit_code, 2) << "nothing is left to play";

  // Six rows, each with a warm-up and two repetitions, none twice.
  const auto manifest = nlohmann::json::parse(*read_file(out + "/manifest.json"));
  ASSERT_EQ(manifest["runs"].size(), 18u);
  std::set<std::string> folders;
  int warm_ups = 0;
  for (const auto& run : manifest["runs"]) {
    EXPECT_FALSE(run["status"].is_null());
    folders.insert(run["folder"]);
    warm_ups += run["warm_up"].get<bool>();
    EXPECT_TRUE(fs::exists(out + "/" + run["folder"].get<std::string>() + "/run.json"));
  }
  EXPECT_EQ(folders.size(), 18u);
  EXPECT_EQ(warm_ups, 6);
  const auto latency = read_csv(out + "/latency.csv");
  const auto column = [&](const char* name) {
    return static_cast<size_t>(std::ranges::find(latency[0], name) - latency[0].begin());
  };
  int64_t most = 0;  // findings of quick-paced-recv's FINs: 50 in each of two repetitions
  for (const auto& line : latency)
    if (line[column("row")] == "quick-paced-recv" && line[column("strategy")] == "fin")
      most = std::max<int64_t>(most, std::stoll(line[column("count")]));
  EXPECT_EQ(most, 100);
}

TEST(Suite, RefusesWhatItCannotDo) {
  EXPECT_EQ(run_program({"suite", "dead-peer"}).exit_code, 2);
  EXPECT_THAT(run_program({"suite", "dead-pear"}).err, HasSubstr("did you mean 'dead-peer'"));
  const TemporaryFolder folder;
  std::ofstream(folder.path() + "/file") << "something";
  EXPECT_EQ(run_program({"suite", "dead-peer", "--out", folder.path()}).exit_code, 2);
  EXPECT_THAT(run_program({"suite", "list"}).out, HasSubstr("lastack run --mix"));
}

}  // namespace
}  // namespace lastack::live
