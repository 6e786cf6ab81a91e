// reconcile(): what the kernel's counters must say for a given ledger.
#include "ledger/reconcile.h"

#include <gtest/gtest.h>

#include <utility>

#include "base/clock.h"
#include "plan/values.h"

namespace lastack {
namespace {

struct Ended {
  PlanRow row;
  Finding finding;
  bool late;
  int64_t connections;
};

Ended outcome_of(std::string_view strategy, Finding finding, int64_t connections,
                 Probe probe = Probe::none, bool late = false) {
  const auto index = static_cast<uint16_t>(parse_mix(strategy)->front().strategy);
  return {{index, Watch::recv, probe}, finding, late, connections};
}

// One run: its ledger, and how far the counters moved in each of the two phases.
struct CountedRun {
  RunSpec spec;
  std::vector<Ended> outcomes;
  int64_t established = 0;
  int64_t armed_ns = 5 * kSecond_ns;
  int64_t opening_ns = kSecond_ns / 10;
  CounterValues opened, ended;

  std::vector<Check> checks() const {
    Snapshots snapshots;
    snapshots.opening_ns = opening_ns;
    // Counters start anywhere: only differences matter.
    for (size_t i = 0; i < kCounterCount; ++i) {
      snapshots.before.values[i] = 1'000 * static_cast<int64_t>(i + 1);
      snapshots.armed.values[i] = snapshots.before.values[i] + opened.values[i];
      snapshots.closed.values[i] = snapshots.armed.values[i] + ended.values[i];
    }
    Plan plan{};
    std::vector<Outcome> by_row;
    for (const Ended& one : outcomes) {
      by_row.push_back({plan.rows.size(), one.finding, one.late, one.connections});
      plan.rows.push_back(planned_row(spec, one.row));
    }
    return reconcile(plan, by_row, established, armed_ns, snapshots);
  }
  Check check(std::string_view phase, Counter counter) const {
    for (const Check& one : checks())
      if (one.phase == phase && one.counter == kCounters[static_cast<size_t>(counter)].name)
        return one;
    ADD_FAILURE() << "no such check";
    return {};
  }
  // Names of the checks that are not ok.
  std::vector<std::string> wrong() const {
    std::vector<std::string> names;
    for (const Check& one : checks())
      if (!one.ok) names.push_back(one.phase + " " + one.counter);
    return names;
  }
};

using Names = std::vector<std::string>;

void expect_bounds(const Check& check, int64_t least, int64_t most) {
  EXPECT_EQ(check.least, least) << check.phase << " " << check.counter;
  EXPECT_EQ(check.most, most) << check.phase << " " << check.counter;
}

// Ten SO_LINGER {1,0} closes, counted as the kernel counts them.
CountedRun ten_resets() {
  CountedRun run;
  run.outcomes = {outcome_of("rst-linger", Finding::econnreset, 10)};
  run.established = 10;
  run.opened = counter_changes({{Counter::active_opens, 10}, {Counter::passive_opens, 10}});
  run.ended = counter_changes(
      {{Counter::out_rsts, 10}, {Counter::estab_resets, 20}, {Counter::abort_on_data, 10}});
  return run;
}

TEST(Reconcile, ChecksEveryCounterInBothPhases) {
  const std::vector<Check> checks = ten_resets().checks();
  ASSERT_EQ(checks.size(), 2 * kCounterCount);
  for (size_t i = 0; i < kCounterCount; ++i) {
    EXPECT_EQ(checks[i].phase, "establish");
    EXPECT_EQ(checks[i].counter, kCounters[i].name);
    EXPECT_EQ(checks[kCounterCount + i].phase, "ledger");
    EXPECT_EQ(checks[kCounterCount + i].counter, kCounters[i].name);
  }
}

TEST(Reconcile, WhatTheRowsSayIsOk) { EXPECT_EQ(ten_resets().wrong(), Names()); }

TEST(Reconcile, ResetsAreCheckedExactly) {
  const CountedRun run = ten_resets();
  expect_bounds(run.check("ledger", Counter::out_rsts), 10, 10);
  expect_bounds(run.check("ledger", Counter::estab_resets), 20, 20);
  expect_bounds(run.check("ledger", Counter::abort_on_data), 10, 10);
  expect_bounds(run.check("ledger", Counter::abort_on_close), 0, 0);
  EXPECT_EQ(run.check("ledger", Counter::out_rsts).observed, 10);
}

TEST(Reconcile, OneForeignResetIsSeen) {
  CountedRun run = ten_resets();
  ++run.ended[Counter::out_rsts];
  EXPECT_EQ(run.wrong(), Names{"ledger OutRsts"});
  EXPECT_EQ(run.check("ledger", Counter::out_rsts).observed, 11);
}

TEST(Reconcile, OneMissingResetIsSeen) {
  CountedRun run = ten_resets();
  --run.ended[Counter::out_rsts];
  EXPECT_EQ(run.wrong(), Names{"ledger OutRsts"});
}

TEST(Reconcile, EstablishingOpensEveryConnectionOnceOnEachSide) {
  CountedRun run = ten_resets();
  expect_bounds(run.check("establish", Counter::active_opens), 10, 10);
  expect_bounds(run.check("establish", Counter::passive_opens), 10, 10);
  expect_bounds(run.check("establish", Counter::listen_overflows), 0, 0);
  expect_bounds(run.check("establish", Counter::out_rsts), 0, 0);
  // The ledger's phase opens nothing.
  expect_bounds(run.check("ledger", Counter::active_opens), 0, 0);

  ++run.opened[Counter::passive_opens];
  --run.opened[Counter::active_opens];
  run.opened[Counter::listen_overflows] = 1;
  EXPECT_EQ(run.wrong(), (Names{"establish ActiveOpens", "establish PassiveOpens",
                                "establish ListenOverflows"}));
}

TEST(Reconcile, AResetWhileEstablishingIsSeen) {
  CountedRun run = ten_resets();
  run.opened[Counter::out_rsts] = 1;
  EXPECT_EQ(run.wrong(), Names{"establish OutRsts"});
}

TEST(Reconcile, ARetransmissionPerConnectionIsForgivenInEachPhase) {
  CountedRun run = ten_resets();
  for (CounterValues* changes : {&run.opened, &run.ended}) {
    (*changes)[Counter::timeouts] = 10;
    (*changes)[Counter::retrans_segs] = 10;
  }
  EXPECT_EQ(run.wrong(), Names());
  run.opened[Counter::timeouts] = 11;
  run.ended[Counter::retrans_segs] = 11;
  EXPECT_EQ(run.wrong(), (Names{"establish TCPTimeouts", "ledger RetransSegs"}));
}

TEST(Reconcile, RowsAddUp) {
  CountedRun run;
  run.outcomes = {outcome_of("fin", Finding::eof, 7),
                  outcome_of("rst-linger", Finding::econnreset, 2),
                  outcome_of("rst-unread", Finding::econnreset, 3)};
  run.established = 12;
  expect_bounds(run.check("ledger", Counter::out_rsts), 5, 5);
  expect_bounds(run.check("ledger", Counter::estab_resets), 10, 10);
  expect_bounds(run.check("ledger", Counter::abort_on_data), 2, 2);
  expect_bounds(run.check("ledger", Counter::abort_on_close), 3, 3);
}

TEST(Reconcile, WhatARowLeavesOpenIsABound) {
  CountedRun run;
  run.outcomes = {outcome_of("fin-then-rst", Finding::epipe, 4)};
  run.established = 4;
  expect_bounds(run.check("ledger", Counter::out_rsts), 4, 8);
  expect_bounds(run.check("ledger", Counter::abort_on_data), 0, 4);
  expect_bounds(run.check("ledger", Counter::estab_resets), 4, 4);

  run.opened = counter_changes({{Counter::active_opens, 4}, {Counter::passive_opens, 4}});
  run.ended = counter_changes({{Counter::out_rsts, 8}, {Counter::estab_resets, 4}});
  EXPECT_EQ(run.wrong(), Names());
  run.ended[Counter::out_rsts] = 9;
  EXPECT_EQ(run.wrong(), Names{"ledger OutRsts"});
  run.ended[Counter::out_rsts] = 3;
  EXPECT_EQ(run.wrong(), Names{"ledger OutRsts"});
}

TEST(Reconcile, AForgottenPeerAnswersWithAReset) {
  CountedRun run;
  run.outcomes = {outcome_of("vanish", Finding::econnreset, 5, Probe::keepalive)};
  expect_bounds(run.check("ledger", Counter::out_rsts), 5, 5);
  expect_bounds(run.check("ledger", Counter::estab_resets), 10, 10);
}

TEST(Reconcile, ALateFindingMayHaveMovedTheCountersOrNot) {
  CountedRun run;
  run.outcomes = {outcome_of("vanish", Finding::econnreset, 5, Probe::keepalive, true)};
  expect_bounds(run.check("ledger", Counter::out_rsts), 0, 5);
  expect_bounds(run.check("ledger", Counter::estab_resets), 5, 10);
  run.outcomes = {outcome_of("silent", Finding::etimedout, 5, Probe::keepalive, true)};
  expect_bounds(run.check("ledger", Counter::abort_on_timeout), 0, 5);
}

TEST(Reconcile, ALateNoticeOfAResetStaysExact) {
  // The RST itself was sent at once, however late the survivor noticed it.
  CountedRun run;
  run.outcomes = {outcome_of("rst-linger", Finding::econnreset, 5, Probe::none, true)};
  expect_bounds(run.check("ledger", Counter::out_rsts), 5, 5);
}

TEST(Reconcile, KeepaliveThatGaveUpResetsAndIsCounted) {
  CountedRun run;
  run.outcomes = {outcome_of("silent", Finding::etimedout, 3, Probe::keepalive)};
  expect_bounds(run.check("ledger", Counter::out_rsts), 3, 3);
  expect_bounds(run.check("ledger", Counter::estab_resets), 3, 3);
  expect_bounds(run.check("ledger", Counter::abort_on_timeout), 3, 3);
}

TEST(Reconcile, UserTimeoutGivesUpWithoutAReset) {
  CountedRun run;
  run.outcomes = {outcome_of("silent", Finding::etimedout, 3, Probe::user_timeout)};
  expect_bounds(run.check("ledger", Counter::out_rsts), 0, 0);
  expect_bounds(run.check("ledger", Counter::estab_resets), 3, 3);
  expect_bounds(run.check("ledger", Counter::abort_on_timeout), 3, 3);
}

TEST(ReconcileKeepalive, ProbesAreBoundByTheTimeAndByWhatWasFound) {
  // At most 5 s / 1 s of probes, the two that a death takes, and one at the edge.
  CountedRun run;
  run.outcomes = {outcome_of("silent", Finding::etimedout, 10, Probe::keepalive)};
  expect_bounds(run.check("ledger", Counter::keepalive), 20, 80);
  run.outcomes = {outcome_of("vanish", Finding::econnreset, 10, Probe::keepalive)};
  expect_bounds(run.check("ledger", Counter::keepalive), 10, 80);
  run.outcomes = {outcome_of("rst-linger", Finding::econnreset, 10, Probe::keepalive)};
  expect_bounds(run.check("ledger", Counter::keepalive), 0, 80);
  run.outcomes = {outcome_of("half-close", Finding::eof, 10, Probe::keepalive)};
  expect_bounds(run.check("ledger", Counter::keepalive), 0, 80);
}

TEST(ReconcileKeepalive, DataInFlightMaySuspendIt) {
  CountedRun run;
  run.outcomes = {outcome_of("vanish", Finding::econnreset, 10, Probe::keepalive)};
  run.spec.traffic.load = Load::echo;
  expect_bounds(run.check("ledger", Counter::keepalive), 0, 80);
  run.spec.traffic.load = Load::idle;
  run.outcomes[0].row.watch = Watch::late;
  expect_bounds(run.check("ledger", Counter::keepalive), 0, 80);
}

TEST(ReconcileKeepalive, TheShorterPeriodCounts) {
  CountedRun run;
  run.outcomes = {outcome_of("silent", Finding::etimedout, 1, Probe::keepalive)};
  run.armed_ns = 12 * kSecond_ns;
  run.spec.probe_settings = {.keepalive_idle_ns = 4 * kSecond_ns,
                             .keepalive_interval_ns = 2 * kSecond_ns,
                             .keepalive_count = 3};
  expect_bounds(run.check("ledger", Counter::keepalive), 3, 10);
  std::swap(run.spec.probe_settings.keepalive_idle_ns,
            run.spec.probe_settings.keepalive_interval_ns);
  expect_bounds(run.check("ledger", Counter::keepalive), 3, 10);
}

TEST(ReconcileKeepalive, WithoutTheProbeNoneMayBeSent) {
  CountedRun run = ten_resets();
  expect_bounds(run.check("ledger", Counter::keepalive), 0, 0);
  run.ended[Counter::keepalive] = 1;
  EXPECT_EQ(run.wrong(), Names{"ledger TCPKeepAlive"});
}

TEST(ReconcileKeepalive, NoProbeIsDueWhileEstablishing) {
  CountedRun run;
  run.outcomes = {outcome_of("half-close", Finding::eof, 10, Probe::keepalive)};
  expect_bounds(run.check("establish", Counter::keepalive), 0, 0);
  run.opening_ns = 2 * kSecond_ns;  // unless arming takes longer than the idle time
  expect_bounds(run.check("establish", Counter::keepalive), 0, 20);
}

TEST(ReconcileLoad, RequestsThatCrossTheEndWidenTheBounds) {
  CountedRun run;
  run.outcomes = {outcome_of("fin", Finding::eof, 10)};
  run.established = 10;
  run.spec.traffic.load = Load::echo;
  run.spec.deadline_ns = kSecond_ns;
  expect_bounds(run.check("ledger", Counter::out_rsts), 0, 20);
  expect_bounds(run.check("ledger", Counter::abort_on_close), 0, 10);
  expect_bounds(run.check("ledger", Counter::abort_on_data), 0, 10);
  expect_bounds(run.check("ledger", Counter::estab_resets), 0, 20);
  // 2 + 1 s / 200 ms for each connection, and one for a stalled host.
  expect_bounds(run.check("ledger", Counter::retrans_segs), 0, 80);
}

}  // namespace
}  // namespace lastack
