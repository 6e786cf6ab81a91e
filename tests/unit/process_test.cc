// Ends of child processes, and how long somebody waits for a step.
#include "base/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>

#include "base/clock.h"
#include "plan/patience.h"
#include "plan/values.h"

namespace lastack {
namespace {

using testing::HasSubstr;

pid_t child_that(void (*lives)()) {
  const pid_t child = fork();
  if (child == 0) {
    lives();
    _exit(0);
  }
  return child;
}

void sleep_for_ever() {
  while (true) pause();
}

TEST(Process, AnEndIsSeenOnceAndAsAValue) {
  const pid_t child = child_that([] { _exit(3); });
  const auto ended = await_end(child, now_ns() + 10 * kSecond_ns);
  ASSERT_TRUE(ended);
  EXPECT_EQ(death_text(*ended), "ended with exit code 3");
  // A process that is no child any more is an error, and nothing to wait for.
  const auto again = await_end(child, now_ns() + 10 * kSecond_ns);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().error_number, ECHILD);
}

TEST(Process, AStoppedChildLivesAndCanBeEnded) {
  const pid_t child = child_that(sleep_for_ever);
  ASSERT_EQ(kill(child, SIGSTOP), 0);
  const auto alive = await_end(child, now_ns() + 20 * kMillisecond_ns);
  ASSERT_FALSE(alive);
  EXPECT_EQ(alive.error().error_number, ETIME);
  const auto ended = end_child(child);
  ASSERT_TRUE(ended);
  EXPECT_THAT(death_text(*ended), HasSubstr("was killed by SIGKILL (out of memory"));
}

TEST(Process, ADeathSaysWhatItsSignalMeans) {
  // Wait statuses as wait(2) has them: the signal's number.
  EXPECT_THAT(death_text(SIGSYS), HasSubstr("SIGSYS (a seccomp filter"));
  EXPECT_THAT(death_text(SIGXFSZ), HasSubstr("SIGXFSZ (the limit of file sizes"));
  EXPECT_THAT(death_text(SIGXCPU), HasSubstr("SIGXCPU (the limit of CPU time"));
  EXPECT_THAT(death_text(SIGSEGV), HasSubstr("SIGSEGV (a fault of lastack's"));
  EXPECT_THAT(death_text(SIGUSR1), HasSubstr("SIGUSR1 (sent from outside)"));
}

// What it lacked, where that is known: it makes the difference between exit codes 1 and 3.
TEST(DeathError, SaysWhatWasLacking) {
  watch_for_oom_kills();
  constexpr int kExitedWith3 = 3 << 8, kExitedWith1 = 1 << 8;
  EXPECT_EQ(death_error("survivor 0", kExitedWith3).error_number, ENOMEM);
  EXPECT_EQ(death_error("survivor 0", kExitedWith1).error_number, 0);
  EXPECT_EQ(death_error("survivor 0", SIGSYS).error_number, ENOSYS);
  EXPECT_THAT(death_error("survivor 0", SIGXCPU).cure, HasSubstr("ulimit -t"));
  const Error killed = death_error("survivor 0", SIGKILL);
  EXPECT_EQ(killed.error_number, 0);
  EXPECT_EQ(killed.cure, "");
  EXPECT_THAT(killed.message(), HasSubstr("survivor 0 was killed by SIGKILL"));
}

TEST(Patience, FollowsFromWhatTheStepHasToDo) {
  RunSpec spec;
  spec.mix = *parse_mix("fin");
  spec.connections = 100;
  EXPECT_EQ(step_patience_ns(spec), 30 * kSecond_ns + 25 * kMillisecond_ns);
  EXPECT_EQ(halt_patience_ns(spec), 4 * kSecond_ns + 5 * kMillisecond_ns);
  EXPECT_EQ(interrupted_run_patience_ns(spec), 11 * kSecond_ns + 10 * kMillisecond_ns);
  spec.connections = 1'000'000;
  EXPECT_EQ(step_patience_ns(spec), 280 * kSecond_ns);
  // A process per 100 connections, and one that is not full.
  spec.mix = *parse_mix("sigkill");
  spec.connections = 1000;
  spec.per_process = 100;
  EXPECT_EQ(step_patience_ns(spec),
            30 * kSecond_ns + 250 * kMillisecond_ns + 11 * 50 * kMillisecond_ns);
  // Windows that are filled first.
  spec.mix = *parse_mix("fin");
  spec.victims.reader_stopped = true;
  EXPECT_EQ(step_patience_ns(spec), 30 * kSecond_ns + 250 * kMillisecond_ns + 2 * kSecond_ns);
}

}  // namespace
}  // namespace lastack
