// A host that does not serve the run: stopped, one worker stopped, out of its CPU quota. Nothing
// here says that a run is never kept waiting: on a busy machine it is.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "base/cgroup.h"
#include "base/clock.h"
#include "base/file.h"
#include "program.h"

namespace lastack::live {
namespace {

using Json = nlohmann::json;
using testing::Contains;
using testing::HasSubstr;

// A heartbeat whose deadline is shorter than the stop.
std::vector<std::string> alive_for(const char* deadline) {
  return {"run",
          "--connections",
          "60",
          "--mix",
          "alive",
          "--probe",
          "heartbeat-wheel",
          "--heartbeat-interval",
          "200ms",
          "--heartbeat-deadline",
          "800ms",
          "--deadline",
          deadline,
          "--format",
          "json"};
}

// The process of this role, once the watch is armed.
pid_t process_of(const Program& program, const std::string& role) {
  for (const pid_t one : descendants_of(program.pid())) {
    const auto words = read_file(fmt::format("/proc/{}/cmdline", one));
    if (words && words->find("--lastack-process=" + role) != std::string::npos) return one;
  }
  return -1;
}

// Lets the heartbeats begin.
void await_the_watch(const Program& program) {
  ASSERT_TRUE(eventually(20 * kSecond_ns, [&] { return process_of(program, "survivor") > 0; }));
  sleep_for(2 * kSecond_ns);
}

int64_t longest(const Json& run, const std::string& process, const std::string& cause) {
  int64_t longest_ns = 0;
  for (const Json& stall : run["host"]["stalls"]["first"])
    if (stall["process"] == process && stall["cause"] == cause)
      longest_ns = std::max(longest_ns, stall["duration_ns"].get<int64_t>());
  return longest_ns;
}

// All false alarms of the stop are known to be its.
void expect_alarms_of_the_stall(const Json& run) {
  const Json& row = run["ledger"][0];
  EXPECT_GT(row["probing"]["false_alarms_in_stalls"], 0) << row.dump();
  EXPECT_GE(row["stalled"], row["probing"]["false_alarms_in_stalls"]);
  EXPECT_LE(row["probing"]["false_alarms_in_stalls"], row["probing"]["false_alarms"]);
  EXPECT_THAT(notes_of(run), HasSubstr("STALLED: "));
  EXPECT_THAT(notes_of(run), HasSubstr("false alarms fall into it"));
}

TEST(Stalls, ARunThatWasStoppedSaysSo) {
  Program program(alive_for("7s"), {.before_exec = [] { return setpgid(0, 0) == 0; }});
  await_the_watch(program);
  ASSERT_EQ(kill(-program.pid(), SIGSTOP), 0);
  sleep_for(3 * kSecond_ns / 2);
  ASSERT_EQ(kill(-program.pid(), SIGCONT), 0);
  const Outcome outcome = program.wait();
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json run = outcome.json();
  EXPECT_GE(longest(run, "launcher", "stopped"), kSecond_ns) << run["host"].dump(1);
  expect_alarms_of_the_stall(run);
}

TEST(Stalls, OneStoppedSurvivorIsSeenFromOutside) {
  Program program(alive_for("7s"));
  await_the_watch(program);
  const pid_t survivor = process_of(program, "survivor");
  ASSERT_EQ(kill(survivor, SIGSTOP), 0);
  sleep_for(3 * kSecond_ns / 2);
  ASSERT_EQ(kill(survivor, SIGCONT), 0);
  const Outcome outcome = program.wait();
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  const Json run = outcome.json();
  EXPECT_GE(longest(run, "survivor", "stopped"), kSecond_ns) << run["host"].dump(1);
  expect_alarms_of_the_stall(run);
}

// A control group with a tenth of a CPU; gone at the end.
class SmallQuota {
 public:
  SmallQuota() {
    for (const std::string_view controller : {std::string_view("cpu"), std::string_view()}) {
      const auto places = cgroup_directories(read_cgroup_texts(), controller);
      if (places.empty()) continue;
      folder_ = fmt::format("{}/lastack-test-{}", places.front(), getpid());
      if (mkdir(folder_.c_str(), 0755) != 0) {
        why_not = fmt::format("no cgroup can be made in {}", places.front());
        folder_.clear();
        continue;
      }
      const bool second = controller.empty();
      file = folder_ + (second ? "/cpu.max" : "/cpu.cfs_quota_us");
      if (!write_existing_file(file, second ? "10000 100000" : "10000")) {
        why_not.clear();
        return;
      }
      why_not = fmt::format("{} has no {}", folder_, file);
      rmdir(folder_.c_str());
      folder_.clear();
    }
  }
  ~SmallQuota() {
    if (!folder_.empty()) eventually(5 * kSecond_ns, [&] { return rmdir(folder_.c_str()) == 0; });
  }
  // For Program::Options.
  std::function<bool()> join() const {
    return [file = folder_ + "/cgroup.procs"] { return !write_existing_file(file, "0"); };
  }

  std::string file, why_not = "no control group hierarchy with CPU is mounted";

 private:
  std::string folder_;
};

TEST(Stalls, AQuotaThatStopsTheRunIsSaidAndTheDoctorSeesIt) {
  const SmallQuota quota;
  if (!quota.why_not.empty()) GTEST_SKIP() << quota.why_not;
  // The hog uses up any quota, however little a run needs.
  const Outcome outcome =
      run_program({"run", "--connections", "500", "--mix", "rst-linger", "--schedule", "rate=250/s",
                   "--cpu-hog", "1", "--format", "json"},
                  {.before_exec = quota.join()});
  const Json run = outcome.json();
  EXPECT_THAT(notes_of(run), HasSubstr("THROTTLED: the quota of 0.1 CPUs (" + quota.file));
  EXPECT_EQ(run["host"]["quota_cpus"], 0.1);
  EXPECT_GT(run["host"]["throttled_ns"], 0);
  EXPECT_EQ(run["environment"]["cpu"]["quota_cpus"], 0.1);
  const Outcome doctor =
      run_program({"doctor", "--connections", "100"}, {.before_exec = quota.join()});
  EXPECT_THAT(doctor.out, HasSubstr("0.1 CPUs (" + quota.file + ")")) << doctor.err;
}

}  // namespace
}  // namespace lastack::live
