// How workers are led and heard, over channels whose other ends this test holds.
#include "run/crew.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/clock.h"

namespace lastack {
namespace {

using testing::HasSubstr;

Message message_of(Verb verb, int64_t value = 0) {
  Message message;
  message.verb = verb;
  message.value = value;
  return message;
}

// A crew of one shard with two connections, whose workers are this process.
class CrewTest : public testing::Test {
 protected:
  CrewTest() : crew_{program_.first, kSecond_ns, 0, StallWatch(kSecond_ns)} {
    crew_.phase = "arm";
    crew_.shards.push_back({std::move(*ShardTable::create(2)), 0, 0, {}, {}, {}});
    shard().workers.push_back({{"victim", 0}, -1, getpid(), std::move(victim_.first)});
    shard().workers.push_back({{"survivor", 0}, 1, getpid(), std::move(survivor_.first)});
  }
  Shard& shard() { return crew_.shards.front(); }
  std::vector<Worker*> both() { return {&shard().victim(), &shard().survivor()}; }

  std::pair<Channel, Channel> program_ = std::move(*Channel::open_pair());
  std::pair<Channel, Channel> victim_ = std::move(*Channel::open_pair());
  std::pair<Channel, Channel> survivor_ = std::move(*Channel::open_pair());
  Crew crew_;
};

TEST_F(CrewTest, WaitsForTheAnswerOfAll) {
  ASSERT_FALSE(victim_.second.send(message_of(Verb::armed, 1)));
  bool looked = false;
  const auto answer_late = [&] {
    if (!std::exchange(looked, true)) {
      EXPECT_FALSE(survivor_.second.send(message_of(Verb::armed, 2)));
    }
  };
  EXPECT_FALSE(await(crew_, both(), Verb::armed, answer_late));
  EXPECT_TRUE(looked);
  EXPECT_EQ(shard().victim().answer->value, 1);
  EXPECT_EQ(shard().survivor().answer->value, 2);
}

TEST_F(CrewTest, AQuestionForgetsTheLastAnswerAndSkipsTheGone) {
  shard().survivor().answer = message_of(Verb::clean);
  shard().victim().gone = true;
  const auto reply = [&] {
    const auto asked = survivor_.second.receive(0);
    ASSERT_TRUE(asked);
    if (*asked) {
      EXPECT_EQ((*asked)->verb, Verb::clean_up);
      EXPECT_FALSE(survivor_.second.send(message_of(Verb::clean, 7)));
    }
  };
  ASSERT_FALSE(ask_all(crew_, Part::survivor, Verb::clean_up, Verb::clean, reply));
  EXPECT_EQ(shard().survivor().answer->value, 7);
  EXPECT_FALSE(ask_all(crew_, Part::victim, Verb::clean_up, Verb::clean));
}

TEST_F(CrewTest, AFailureIsThatOfTheWorkerWhoSaysIt) {
  ASSERT_FALSE(survivor_.second.send(failure_message(make_error("listen", EADDRINUSE, "port 7"))));
  const Status failed = await(crew_, both(), Verb::armed);
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->error_number, EADDRINUSE);
  EXPECT_THAT(failed->message(), HasSubstr("survivor 0 (process"));
  EXPECT_THAT(failed->message(), HasSubstr("CPU 1): listen port 7"));
}

TEST_F(CrewTest, ADeathIsToldWithItsPhaseAndReaped) {
  const pid_t child = fork();
  if (child == 0) _exit(9);
  siginfo_t ended;
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT), 0);
  shard().victim().pid = child;
  victim_.second.close();
  const Status failed = pump(crew_, now_ns() + kSecond_ns);
  ASSERT_TRUE(failed);
  EXPECT_THAT(failed->message(), HasSubstr("in phase 'arm', ended with exit code 9"));
  EXPECT_TRUE(shard().victim().gone);
  EXPECT_FALSE(shard().survivor().gone);
}

TEST_F(CrewTest, StampsGoOnToTheSurvivorsOfThoseVictims) {
  shard().survivor_of = {kNoPair, 0};
  Message stamp = message_of(Verb::stamp);
  stamp.count = 2;
  stamp.items[0] = 0;  // nobody is its survivor
  stamp.items[1] = 1;
  ASSERT_FALSE(victim_.second.send(stamp));
  ASSERT_FALSE(pump(crew_, now_ns() + kSecond_ns));
  const auto told = survivor_.second.receive(now_ns() + kSecond_ns);
  ASSERT_TRUE(told && *told);
  EXPECT_EQ((*told)->verb, Verb::told);
  EXPECT_EQ((*told)->count, 1u);
  EXPECT_EQ((*told)->items[0], 0u);
  EXPECT_FALSE(shard().victim().answer);
}

TEST_F(CrewTest, AHaltBeforeTheFirstDeathEndsTheWaiting) {
  ASSERT_FALSE(program_.second.send(message_of(Verb::halt)));
  const Status failed = await(crew_, both(), Verb::armed);
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->message(), "interrupted before the first death");
}

TEST_F(CrewTest, AHaltLaterGivesTheCrewItsTimeAndNamesTheSilent) {
  crew_.acting = true;
  ASSERT_FALSE(victim_.second.send(message_of(Verb::done)));
  ASSERT_FALSE(program_.second.send(message_of(Verb::halt)));
  const Status failed = await(crew_, both(), Verb::done);
  ASSERT_TRUE(failed);
  EXPECT_TRUE(crew_.halted);
  EXPECT_THAT(failed->message(), HasSubstr("no answer within 0 in phase 'arm' from survivor 0"));
}

TEST_F(CrewTest, TheProgramHearsHowFarItIsAndMayGo) {
  report(crew_, "establish", 3, 4);
  crew_.last_report_ns = now_ns() + 1000 * kSecond_ns;  // what comes now comes too soon
  report(crew_, "establish", 3, 4);
  report(crew_, "establish", 4, 4);
  for (const int64_t done : {3, 4}) {
    const auto heard = program_.second.receive(0);
    ASSERT_TRUE(heard && *heard);
    EXPECT_STREQ((*heard)->text, "establish");
    EXPECT_EQ((*heard)->value, done);
  }
  EXPECT_FALSE(*program_.second.receive(0));
  program_.second.close();
  const Status gone = pump(crew_, now_ns() + kSecond_ns);
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->message(), "the program that asked for this run is gone");
}

}  // namespace
}  // namespace lastack
