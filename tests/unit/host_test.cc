// What /proc and control groups say of the host, and what a run makes of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/clock.h"
#include "base/host_load.h"
#include "ledger/stalls.h"

namespace lastack {
namespace {

using testing::Contains;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST(CpuQuota, OfBothVersionsOfControlGroups) {
  EXPECT_EQ(cpus_of_quota("10000", "100000"), 0.1);
  EXPECT_EQ(cpus_of_quota("250000", "100000"), 2.5);
  EXPECT_EQ(cpus_of_quota("max", "100000"), std::nullopt);  // v2
  EXPECT_EQ(cpus_of_quota("-1", "100000"), std::nullopt);   // v1
  EXPECT_EQ(cpus_of_quota("", ""), std::nullopt);
  EXPECT_EQ(cpus_of_quota("10000", "0"), std::nullopt);
}

TEST(HostLoad, IsReadFromTheLineOfTheKernel) {
  const auto load = parse_load_line("42.30 21.14 8.23 21/197 12083");
  ASSERT_TRUE(load);
  EXPECT_EQ(load->average, 42.3);
  EXPECT_EQ(load->runnable, 21);
  EXPECT_FALSE(parse_load_line(""));
  EXPECT_FALSE(parse_load_line("42.30 21.14"));
}

TEST(HostLoad, IsBusyFromHalfOfTheCpusOn) {
  EXPECT_FALSE((HostLoad{0, 0.9, 2}).busy());
  EXPECT_TRUE((HostLoad{0, 1, 2}).busy());
  EXPECT_TRUE((HostLoad{8, 0.5, 1}).busy());
}

TEST(HostTimes, AreTheFirstLineOfTheKernels) {
  const int64_t tick_ns = kSecond_ns / sysconf(_SC_CLK_TCK);
  const auto times = parse_host_times("cpu  1 2 3 40 5 6 7 8 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n");
  ASSERT_TRUE(times);
  EXPECT_EQ(times->idle_ns, (40 + 5 + 8) * tick_ns);
  EXPECT_EQ(times->softirq_ns, 7 * tick_ns);
  EXPECT_EQ(times->steal_ns, 8 * tick_ns);
  EXPECT_TRUE(read_host_times(TimeUnit::ns));
}

// The lines of print_cpu(), of two CPUs.
TEST(HostTimes, KnowTheSleepOfAllCpusToTheNanosecond) {
  const std::string cpu =
      "  .nr_hres        : 1\n  .idle_jiffies   : 7\n  .idle_sleeptime : 1234567891 nsecs\n"
      "  .iowait_sleeptime : 9 nsecs\n  .last_jiffies   : 3\n";
  EXPECT_EQ(parse_idle_sleep_ns("Timer List Version: v0.9\n" + cpu), 1234567900);
  EXPECT_EQ(parse_idle_sleep_ns(cpu + cpu), 2 * 1234567900ll);
  EXPECT_FALSE(parse_idle_sleep_ns(""));
  EXPECT_FALSE(parse_idle_sleep_ns("  .nr_hres        : 1\n"));
  EXPECT_FALSE(parse_idle_sleep_ns(cpu + "  .idle_sleeptime : much\n"));
}

TEST(HostTimes, AreNotKnownWhereNothingTells) {
  for (const char* text : {"", "cpu", "cpu  1 2 3 40 5 6 7\n8\n", "cpu  1 2 3 many 5 6 7 8\n",
                           "cpu0 1 2 3 4 5 6 7 8 0 0\n", "intr 1 2 3 4 5 6 7 8 9\n"})
    EXPECT_FALSE(parse_host_times(text)) << text;
}

TEST(Turn, TellsAStoppedProcessFromOneThatSleeps) {
  const pid_t child = fork();
  if (child == 0)
    for (;;) pause();
  const auto state_becomes = [&](bool stopped) {
    const int64_t until_ns = now_ns() + 20 * kSecond_ns;
    while (now_ns() < until_ns)
      if (const auto turn = read_turn(child); turn && turn->stopped() == stopped) return true;
    return false;
  };
  kill(child, SIGSTOP);
  EXPECT_TRUE(state_becomes(true));
  kill(child, SIGCONT);
  EXPECT_TRUE(state_becomes(false));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_FALSE(read_turn(child));
}

TEST(Stalls, AShortHeartbeatMakesShorterOnesCount) {
  RunSpec spec;
  EXPECT_EQ(least_stall_ns(spec), 100 * kMillisecond_ns);
  spec.probes = {Probe::none, Probe::heartbeat_wheel};
  spec.probe_settings.heartbeat_deadline_ns = 3 * kSecond_ns;
  EXPECT_EQ(least_stall_ns(spec), 100 * kMillisecond_ns);
  spec.probe_settings.heartbeat_deadline_ns = 60 * kMillisecond_ns;
  EXPECT_EQ(least_stall_ns(spec), 30 * kMillisecond_ns);
}

TEST(Stalls, OverlapWhereTheyShareATime) {
  const Stall stalls[] = {{"survivor", 1, std::string(kStopped), 100, 50}};
  EXPECT_TRUE(overlaps(stalls, 1, 0, 101));
  EXPECT_TRUE(overlaps(stalls, 1, 149, 200));
  EXPECT_TRUE(overlaps(stalls, 1, 110, 120));
  EXPECT_FALSE(overlaps(stalls, 1, 0, 100));
  EXPECT_FALSE(overlaps(stalls, 1, 150, 200));
  EXPECT_FALSE(overlaps(stalls, 0, 110, 120));
}

TEST(HostNotes, SayWhatTheHostKeptFromTheRun) {
  RunResult result;
  result.cost.wall_ns = 10 * kSecond_ns;
  result.host.load = {0.2, 0, 2};
  result.workers.resize(2);
  EXPECT_THAT(host_notes({}, result), IsEmpty());
  EXPECT_EQ(want_of_host(result), "");

  result.host.load = {7.5, 3, 2};
  result.host.quota_cpus = 0.1;
  result.host.quota_file = "/a/cpu.max";
  result.host.throttled_ns = 9 * kSecond_ns;
  result.host.steal_ns = kSecond_ns;
  result.host.survivors_waited_ns = 2 * kSecond_ns;
  result.stalls = {{"launcher", -1, std::string(kStopped), 0, 4 * kSecond_ns},
                   {"survivor", 0, std::string(kWaited), 0, kSecond_ns / 2},
                   {"survivor", 0, std::string(kWaited), 0, kSecond_ns}};
  LedgerRow& row = result.ledger.emplace_back();
  row.established = 100;
  row.stalled = 90;
  row.probing.false_alarms = 80;
  row.probing.false_alarms_in_stalls = 70;
  const auto notes = host_notes({}, result);
  EXPECT_THAT(notes, Contains(HasSubstr("busy before the run began: 3.0 other tasks")));
  EXPECT_THAT(notes, Contains(HasSubstr("STALLED: launcher stood still once, 4.00s; survivor "
                                        "waited for a CPU 2 times, 1.00s at the longest; "
                                        "meanwhile 90 of 100 connections")));
  EXPECT_THAT(notes, Contains(HasSubstr("70 of 80 false alarms")));
  EXPECT_THAT(notes, Contains(HasSubstr("0.1 CPUs (/a/cpu.max) stopped the run's cgroup for "
                                        "9.00s of 10.0s")));
  EXPECT_THAT(notes, Contains(HasSubstr("the hypervisor gave 1.00s of 20.0s")));
  EXPECT_THAT(notes, Not(Contains(HasSubstr("virtual"))));
  EXPECT_THAT(notes, Contains(HasSubstr("waited for a CPU for 2.00s of 10.0s")));
  EXPECT_EQ(want_of_host(result), "stood still for 5.50s and was throttled for 9.00s");

  RunResult in_virtual_time = result;
  in_virtual_time.time_unit = TimeUnit::virtual_ns;
  const auto of_virtual_time = host_notes({}, in_virtual_time);
  EXPECT_EQ(of_virtual_time.size(), notes.size() + 1);
  EXPECT_EQ(of_virtual_time.front(), time_unit_note(TimeUnit::virtual_ns));
  EXPECT_THAT(of_virtual_time, Not(Contains(ContainsRegex("[0-9](ms|s)[ ,.]"))));
  EXPECT_THAT(want_of_host(in_virtual_time), HasSubstr("was throttled for 9,000,000,000vns"));

  RunSpec with_hogs;
  with_hogs.cpu_hogs = 2;
  EXPECT_THAT(host_notes(with_hogs, result), Not(Contains(HasSubstr("survivors were ready"))));
}

}  // namespace
}  // namespace lastack
