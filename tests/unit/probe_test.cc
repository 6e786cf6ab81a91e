// What the probes promise: worked out by hand from the kernel's timers, for a tick of 4 ms (HZ 250)
// unless a test says otherwise.
#include "model/probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "ledger/probe_ledger.h"
#include "model/expectation.h"

namespace lastack {
namespace {

constexpr int64_t kTick_ns = 4 * kMillisecond_ns;

Prediction promise(Probe probe, const ProbeSettings& settings, Pending pending,
                   int64_t shut_for_ns = 0) {
  return predict(probe, settings, pending, kTick_ns, shut_for_ns);
}

TEST(WheelGranularity, GrowsByEightAtEveryLevel) {
  EXPECT_EQ(wheel_granularity_ns(1, kTick_ns), kTick_ns);
  EXPECT_EQ(wheel_granularity_ns(62 * kTick_ns, kTick_ns), kTick_ns);
  EXPECT_EQ(wheel_granularity_ns(63 * kTick_ns, kTick_ns), 8 * kTick_ns);
  EXPECT_EQ(wheel_granularity_ns(503 * kTick_ns, kTick_ns), 8 * kTick_ns);
  EXPECT_EQ(wheel_granularity_ns(504 * kTick_ns, kTick_ns), 64 * kTick_ns);
  EXPECT_EQ(wheel_granularity_ns(kSecond_ns, kMillisecond_ns), 64 * kMillisecond_ns);  // HZ 1000
}

TEST(Predict, KeepaliveIsIdlePlusIntervalsEachRoundedUp) {
  const ProbeSettings settings = {.keepalive_idle_ns = 2 * kSecond_ns,
                                  .keepalive_interval_ns = kSecond_ns,
                                  .keepalive_count = 3};
  const Prediction seen = promise(Probe::keepalive, settings, Pending::nothing);
  EXPECT_TRUE(seen.promised);
  EXPECT_EQ(seen.since, Since::heard);
  EXPECT_EQ(seen.least_ns, 5 * kSecond_ns - kTick_ns);
  // 500 and 250 ticks are of the level with a slot for 8 ticks.
  EXPECT_EQ(seen.most_ns, 5 * kSecond_ns + 4 * 8 * kTick_ns + kTick_ns);
}

TEST(DeadlyAbsence, OfKeepaliveIsBetweenItsFirstAndItsLastLostProbe) {
  ProbeSettings settings = {.keepalive_idle_ns = 2 * kSecond_ns,
                            .keepalive_interval_ns = kSecond_ns,
                            .keepalive_count = 3,
                            .user_timeout_ns = 3'500 * kMillisecond_ns};
  const auto absence = [&](Probe probe, Pending pending) {
    return shortest_deadly_absence_ns(probe, settings, pending, kTick_ns, 0);
  };
  EXPECT_EQ(absence(Probe::keepalive, Pending::nothing), 2 * kSecond_ns - kTick_ns);
  // Probes at 2 and 3 s are lost, and the timer at 4 s finds 3.5 s passed.
  EXPECT_EQ(absence(Probe::keepalive_user_timeout, Pending::nothing), kSecond_ns - kTick_ns);
  settings.user_timeout_ns = kSecond_ns;  // the first lost probe is one too many
  EXPECT_EQ(absence(Probe::keepalive_user_timeout, Pending::nothing), -kTick_ns);
  // Without a timer that runs, no absence is too long.
  EXPECT_EQ(absence(Probe::none, Pending::nothing), INT64_MAX);
  EXPECT_EQ(absence(Probe::user_timeout, Pending::nothing), INT64_MAX);
}

TEST(DeadlyAbsence, OfATimerThatSendsAgainIsLessThanHalfOfItsTime) {
  const ProbeSettings settings = {.user_timeout_ns = 2 * kSecond_ns};
  const auto absence = [&](Probe probe, Pending pending) {
    return shortest_deadly_absence_ns(probe, settings, pending, kTick_ns, 0);
  };
  const Prediction request = promise(Probe::user_timeout, settings, Pending::request);
  EXPECT_EQ(absence(Probe::user_timeout, Pending::request),
            request.least_ns / 2 - settings.rto_min_ns);
  // 3 s of silence, of which one may have passed before the peer went.
  EXPECT_EQ(absence(Probe::heartbeat_wheel, Pending::request), kSecond_ns - settings.rto_min_ns);
  // Behind a shut window a user timeout ends the living, too.
  EXPECT_EQ(absence(Probe::user_timeout, Pending::window), 0);
}

TEST(Predict, AnIntervalAboveTheIdleTimeMayComeFirst) {
  const ProbeSettings settings = {.keepalive_idle_ns = kSecond_ns,
                                  .keepalive_interval_ns = 2 * kSecond_ns,
                                  .keepalive_count = 1};
  const Prediction seen = promise(Probe::keepalive, settings, Pending::nothing);
  EXPECT_EQ(seen.least_ns, 3 * kSecond_ns - kTick_ns);
  EXPECT_GE(seen.most_ns, 4 * kSecond_ns);
}

TEST(Predict, AUserTimeoutReplacesKeepalivesCount) {
  ProbeSettings settings = {.keepalive_idle_ns = 2 * kSecond_ns,
                            .keepalive_interval_ns = kSecond_ns,
                            .keepalive_count = 100,
                            .user_timeout_ns = 3'500 * kMillisecond_ns};
  const auto seen = [&] {
    return promise(Probe::keepalive_user_timeout, settings, Pending::nothing);
  };
  // Looked at with each probe: 2 + 1 s is too early, 2 + 2 s is the first one after 3.5 s.
  EXPECT_EQ(seen().least_ns, 4 * kSecond_ns - kTick_ns);
  EXPECT_EQ(seen().most_ns, 4 * kSecond_ns + 3 * 8 * kTick_ns + kTick_ns);
  // Below a second: not before one probe went unanswered.
  settings.user_timeout_ns = 100 * kMillisecond_ns;
  EXPECT_EQ(seen().least_ns, 3 * kSecond_ns - kTick_ns);
}

TEST(Predict, AnIdleConnectionHasNoUserTimeoutAndNoRetransmission) {
  const ProbeSettings settings;
  for (const Probe probe : {Probe::none, Probe::user_timeout, Probe::retransmit})
    EXPECT_FALSE(promise(probe, settings, Pending::nothing).promised);
}

TEST(Predict, AUserTimeoutStartsWithTheFirstRetransmission) {
  for (const int64_t timeout_ns : {100 * kMillisecond_ns, 700 * kMillisecond_ns, 3 * kSecond_ns}) {
    const ProbeSettings settings = {.user_timeout_ns = timeout_ns};
    const Prediction seen = promise(Probe::user_timeout, settings, Pending::request);
    EXPECT_EQ(seen.since, Since::written);
    // A tail loss probe after an RTO, the first retransmission an RTO later.
    EXPECT_EQ(seen.least_ns, 400 * kMillisecond_ns + timeout_ns);
    EXPECT_LE(seen.most_ns, seen.least_ns + 96 * kMillisecond_ns + 64 * kTick_ns);
  }
}

TEST(Predict, Retries2IsAComputedTimeThatTheNextTimerFindsPassed) {
  // 0.2 + 0.4 + 0.8 + 1.6 s = 3 s; the timers after the first retransmission are 0.4, 1.2, 2.8 and
  // 6 s after it: the last one is the first beyond 3 s.
  const ProbeSettings settings = {.retries2 = 3};
  EXPECT_EQ(nominal_ns(Probe::retransmit, settings), 3 * kSecond_ns);
  const Prediction seen = promise(Probe::retransmit, settings, Pending::request);
  ASSERT_EQ(seen.spans.size(), 2u);
  EXPECT_EQ(seen.spans[1].least_ns, 6'400 * kMillisecond_ns);
  // With an RTO of more than 3 s / 14 = 214 ms the third one is beyond it already.
  EXPECT_EQ(seen.spans[0].least_ns, 3'400 * kMillisecond_ns);
  EXPECT_LT(seen.spans[0].most_ns, 4'200 * kMillisecond_ns);
}

TEST(Predict, TheLongestRtoCapsBothTheComputedTimeAndTheTimers) {
  // 0.2 + 0.4 + 0.8 s, then 1 s each: ilog2(1 s / 0.2 s) = 2.
  const ProbeSettings settings = {.retries2 = 5, .rto_max_ns = kSecond_ns};
  EXPECT_EQ(nominal_ns(Probe::retransmit, settings), 4'400 * kMillisecond_ns);
  // After the first retransmission: 0.4, 1.2, 2.2, 3.2, 4.2, 5.2 s.
  const Prediction seen = promise(Probe::retransmit, settings, Pending::request);
  EXPECT_LE(seen.least_ns, 5'600 * kMillisecond_ns);
  EXPECT_GE(seen.most_ns, 5'600 * kMillisecond_ns);
}

TEST(Predict, AShutWindowIsProbedUntilRetries2) {
  const ProbeSettings settings = {.retries2 = 3, .rto_max_ns = kSecond_ns};
  // Never probed before: 0.2, 0.4, 0.8 and 1 s. Probed for long: 1 s each.
  EXPECT_EQ(promise(Probe::retransmit, settings, Pending::window).least_ns,
            2'400 * kMillisecond_ns - kTick_ns);
  const Prediction late = promise(Probe::retransmit, settings, Pending::window, 10 * kSecond_ns);
  EXPECT_EQ(late.since, Since::heard);
  EXPECT_EQ(late.least_ns, 4 * kSecond_ns - kTick_ns);
  EXPECT_EQ(promise(Probe::user_timeout, settings, Pending::window).since, Since::shut);
}

TEST(Predict, HeartbeatsDifferInHowLateTheyLook) {
  const ProbeSettings settings = {.heartbeat_interval_ns = kSecond_ns,
                                  .heartbeat_deadline_ns = 3 * kSecond_ns};
  for (const ProbeRow& row : probes()) {
    if (!row.heartbeat_decides) continue;
    const Prediction seen = promise(row.id, settings, Pending::request);
    EXPECT_TRUE(seen.promised) << row.name;
    EXPECT_EQ(seen.least_ns, 3 * kSecond_ns) << row.name;
    EXPECT_EQ(nominal_ns(row.id, settings), 3 * kSecond_ns) << row.name;
  }
  EXPECT_LT(promise(Probe::heartbeat_link, settings, Pending::request).most_ns,
            promise(Probe::heartbeat_wheel, settings, Pending::request).most_ns);
  EXPECT_EQ(promise(Probe::heartbeat_scan, settings, Pending::request).most_ns, 4 * kSecond_ns);
}

Circumstances silence_with(Probe probe, Load load = Load::idle) {
  Circumstances when{Watch::recv, probe, ProbeSettings(), load, 20 * kSecond_ns};
  when.tick_ns = kTick_ns;
  return when;
}

std::vector<Finding> findings(std::string_view name, const Circumstances& when) {
  std::vector<Finding> list;
  for (const Strategy& strategy : strategies())
    if (strategy.name == name)
      for (const Expected& one : expected_findings(strategy, when)) list.push_back(one.finding);
  return list;
}

using testing::Contains;
using testing::ElementsAre;
using testing::UnorderedElementsAre;

TEST(ExpectedByProbes, AFrozenPeerIsFoundByAHeartbeatAndNeverByKeepalive) {
  for (const ProbeRow& row : probes())
    EXPECT_THAT(findings("freeze", silence_with(row.id)),
                ElementsAre(row.heartbeat_decides ? Finding::heartbeat_missed : Finding::nothing))
        << row.name;
}

TEST(ExpectedByProbes, AHeartbeatThatNobodyTimesSilencesKeepalive) {
  EXPECT_THAT(findings("silent", silence_with(Probe::keepalive)), ElementsAre(Finding::etimedout));
  EXPECT_THAT(findings("silent", silence_with(Probe::keepalive_heartbeat)),
              ElementsAre(Finding::nothing));
}

TEST(ExpectedByProbes, OnlyHeartbeatsMayTakeTheLivingForDead) {
  for (const ProbeRow& row : probes()) {
    EXPECT_THAT(findings("alive", silence_with(row.id)), Contains(Finding::nothing)) << row.name;
    EXPECT_EQ(findings("alive", silence_with(row.id)).size(), row.heartbeat_decides ? 2u : 1u)
        << row.name;
  }
}

TEST(ExpectedByProbes, AUserTimeoutDoesNotForgiveAShutWindow) {
  Circumstances when = silence_with(Probe::user_timeout);
  when.victims.reader_stopped = true;
  EXPECT_THAT(findings("alive", when), UnorderedElementsAre(Finding::etimedout, Finding::nothing));
  when.probe = Probe::keepalive;
  EXPECT_THAT(findings("alive", when), ElementsAre(Finding::nothing));
}

TEST(SpreadOf, IsExactAndMayBeNegative) {
  EXPECT_EQ(spread_of({}).count, 0);
  std::vector<int64_t> values;
  for (int64_t i = 100; i > 0; --i) values.push_back(i - 50);
  const Spread spread = spread_of(values);
  EXPECT_EQ(spread.count, 100);
  EXPECT_EQ(spread.min_ns, -49);
  EXPECT_EQ(spread.p50_ns, 0);
  EXPECT_EQ(spread.p90_ns, 40);
  EXPECT_EQ(spread.p99_ns, 49);
  EXPECT_EQ(spread.max_ns, 50);
}

TEST(ProbeLedger, CountsEarlyWithinAndLater) {
  ProbeSums sums;
  sums.promised = true;
  sums.nominal_ns = 90;
  sums.spans = {{100, 110}};
  ProbeLedger ledger(sums);
  for (const int64_t silent_ns : {99, 100, 110, 111, 112}) {
    VictimEnd victim{};
    SurvivorEnd survivor{};
    survivor.silent_since_ns = 1000;
    victim.issued_ns = 1010;
    survivor.found_ns = 1000 + silent_ns;
    ledger.add_death(victim, survivor);
  }
  SurvivorEnd unknown{};
  VictimEnd unacted{};
  unacted.issued_ns = 4500;
  unknown.found_ns = 5000;  // nothing was on its way: the prediction has no start
  ledger.add_death(unacted, unknown);
  ledger.add_silence(7);
  ledger.add_silence(5);
  ledger.add_false_alarm(true);
  const ProbeSums seen = ledger.take();
  EXPECT_EQ(seen.early, 1);
  EXPECT_EQ(seen.within, 2);
  EXPECT_EQ(seen.later, 2);
  EXPECT_EQ(seen.after_predicted.min_ns, -1);
  EXPECT_EQ(seen.after_predicted.max_ns, 12);
  EXPECT_EQ(seen.after_nominal.min_ns, 99 - 10 - 90);
  EXPECT_EQ(seen.longest_silence_ns, 7);
  EXPECT_EQ(seen.false_alarms, 1);
  EXPECT_EQ(seen.false_alarms_in_stalls, 1);
}

}  // namespace
}  // namespace lastack
