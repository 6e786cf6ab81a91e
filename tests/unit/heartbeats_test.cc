// When whom is asked and who is dead, by the instants alone; and the wheel that keeps them.
#include "survivor/heartbeats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

#include "shard/table.h"

namespace lastack {
namespace {

using testing::ElementsAre;

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kStart_ns = 77 * kMs;

TEST(TimerWheel, IsNeverEarlyAndLessThanTwoTicksLate) {
  constexpr int64_t kTick = 10 * kMs, kSpan = 1000 * kMs;
  TimerWheel wheel(kTick, kSpan, kStart_ns);
  std::mt19937 random(7);
  std::map<uint32_t, int64_t> due;
  int64_t now = kStart_ns;
  const auto set = [&](uint32_t slot) {
    due[slot] = now + static_cast<int64_t>(random() % kSpan);
    wheel.set(slot, due[slot]);
  };
  for (uint32_t slot = 0; slot < 500; ++slot) set(slot);
  size_t fired = 0;
  for (int turn = 0; turn < 400; ++turn) {
    now = wheel.next_ns();
    wheel.turn(now, [&](uint32_t slot) {
      ++fired;
      EXPECT_GE(now, due.at(slot));
      EXPECT_LT(now, due.at(slot) + 2 * kTick);
      due.erase(slot);
      set(slot);  // as the engines do it
    });
    EXPECT_EQ(due.size(), 500u);
  }
  EXPECT_GT(fired, 2'000u);
}

TEST(TimerWheel, CatchesUpWhenItWasTurnedLate) {
  TimerWheel wheel(10 * kMs, 100 * kMs, kStart_ns);
  wheel.set(1, kStart_ns + 15 * kMs);
  wheel.set(2, kStart_ns + 95 * kMs);
  std::vector<uint32_t> order;
  wheel.turn(kStart_ns + 5'000 * kMs, [&](uint32_t slot) { order.push_back(slot); });
  EXPECT_THAT(order, ElementsAre(1, 2));
  EXPECT_EQ(wheel.next_ns(), kNever_ns) << "empty";
}

TEST(TimerWheel, APastInstantIsDueInTheNextTick) {
  TimerWheel wheel(10 * kMs, 100 * kMs, kStart_ns);
  wheel.set(3, kStart_ns - 50 * kMs);
  std::vector<uint32_t> order;
  wheel.turn(kStart_ns + 10 * kMs, [&](uint32_t slot) { order.push_back(slot); });
  EXPECT_THAT(order, ElementsAre(3));
}

// Whose peer is heard now and then; one row, of one probe.
class Watched {
 public:
  explicit Watched(Probe probe) : table_(std::move(*ShardTable::create(4))), beats(table_.view()) {
    ShardHeader& header = *table_.view().header;
    header.settings.row_count = 1;
    header.settings.probe_settings.heartbeat_interval_ns = 100 * kMs;
    header.settings.probe_settings.heartbeat_deadline_ns = 250 * kMs;
    header.rows[0] = {static_cast<uint16_t>(parse_silent()), Watch::recv, probe};
    for (SurvivorEnd& end : table_.view().survivors) {
      end.descriptor = -1;
      end.flags = kEstablished;
      end.silent_since_ns = kStart_ns;
    }
  }
  SurvivorEnd& end() { return table_.view().survivors[0]; }

 private:
  static size_t parse_silent() {
    size_t index = 0;
    while (strategies()[index].name != "silent") ++index;
    return index;
  }
  ShardTable table_;

 public:
  Heartbeats beats;
};

using Due = Heartbeats::Due;

TEST(Heartbeats, AskAfterHalfAnIntervalAndGiveUpAtTheDeadline) {
  Watched one(Probe::heartbeat_wheel);
  EXPECT_EQ(one.beats.look(0, kStart_ns + 49 * kMs), Due::nothing);
  EXPECT_EQ(one.beats.look(0, kStart_ns + 50 * kMs), Due::heartbeat);
  EXPECT_EQ(one.beats.look(0, kStart_ns + 249 * kMs), Due::heartbeat);
  EXPECT_EQ(one.beats.look(0, kStart_ns + 250 * kMs), Due::death);
}

TEST(Heartbeats, LookAgainAnIntervalAfterWhatCameAndNoLaterThanTheDeadline) {
  Watched one(Probe::heartbeat_wheel);
  EXPECT_EQ(one.beats.next_look_ns(0, kStart_ns + 10 * kMs), kStart_ns + 100 * kMs);
  EXPECT_EQ(one.beats.next_look_ns(0, kStart_ns + 100 * kMs), kStart_ns + 200 * kMs);
  EXPECT_EQ(one.beats.next_look_ns(0, kStart_ns + 200 * kMs), kStart_ns + 250 * kMs);
}

TEST(Heartbeats, ThatNobodyTimesOnlyAsk) {
  Watched one(Probe::keepalive_heartbeat);
  EXPECT_EQ(one.beats.look(0, kStart_ns + 9'000 * kMs), Due::heartbeat);
  EXPECT_EQ(one.beats.next_look_ns(0, kStart_ns), kStart_ns + 100 * kMs);
}

TEST(Heartbeats, EndWithTheConnectionOrTheLedger) {
  Watched one(Probe::heartbeat_wheel);
  one.end().flags |= kConcluded;
  EXPECT_EQ(one.beats.look(0, kStart_ns + 250 * kMs), Due::ended);
  one.end().flags &= ~kConcluded;
  one.end().longest_silence_ns = 5;
  one.beats.stop();
  EXPECT_EQ(one.beats.look(0, kStart_ns + 250 * kMs), Due::ended);
  one.end().longest_silence_ns = 9;  // of the taking down
  one.beats.clean_up();
  EXPECT_EQ(one.end().longest_silence_ns, 5);
}

TEST(Heartbeats, AreSpreadOverTheIntervalOrNot) {
  Watched one(Probe::heartbeat_wheel);
  EXPECT_EQ(one.beats.first_after_ns(0), 25 * kMs);
  EXPECT_EQ(one.beats.first_after_ns(3), 100 * kMs);
}

}  // namespace
}  // namespace lastack
