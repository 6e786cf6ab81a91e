// The model's promises: which finding and which counters each strategy, probe and load lead to.
// The wanted values are written down here a second time, from what kernels do.
#include "model/strategy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <string>

#include "base/clock.h"
#include "model/changes.h"
#include "model/expectation.h"
#include "model/load.h"
#include "model/probe.h"
#include "model/watch.h"

namespace lastack {
namespace {

using testing::UnorderedElementsAre;
using Findings = std::vector<Finding>;

constexpr auto kNothing = Finding::nothing;
constexpr auto kEof = Finding::eof;
constexpr auto kReset = Finding::econnreset;
constexpr auto kPipe = Finding::epipe;
constexpr auto kTimeout = Finding::etimedout;

const Strategy& strategy_named(std::string_view name) {
  const auto found = std::find_if(strategies().begin(), strategies().end(),
                                  [&](const Strategy& row) { return row.name == name; });
  EXPECT_NE(found, strategies().end()) << name;
  return *found;
}

Circumstances circumstances_of(Probe probe, Load load, int64_t deadline_ns = 5 * kSecond_ns) {
  return {Watch::recv, probe, ProbeSettings(), load, deadline_ns};
}

Findings findings(const Strategy& strategy, const Circumstances& when) {
  Findings all;
  for (const Expected& expected : expected_findings(strategy, when))
    all.push_back(expected.finding);
  return all;
}

Findings findings(std::string_view name, Probe probe, Load load) {
  return findings(strategy_named(name), circumstances_of(probe, load));
}

// The probes without heartbeats and combinations; probe_test.cc has the others.
std::span<const ProbeRow> socket_probes() { return probes().first(3); }

// Strategy x probe without traffic: exactly one finding each.
const std::map<std::string_view, std::map<Probe, Finding>> kWantedIdle = {
    {"alive",
     {{Probe::none, kNothing}, {Probe::keepalive, kNothing}, {Probe::user_timeout, kNothing}}},
    {"fin", {{Probe::none, kEof}, {Probe::keepalive, kEof}, {Probe::user_timeout, kEof}}},
    {"fin-data", {{Probe::none, kEof}, {Probe::keepalive, kEof}, {Probe::user_timeout, kEof}}},
    {"half-close", {{Probe::none, kEof}, {Probe::keepalive, kEof}, {Probe::user_timeout, kEof}}},
    {"shutdown-both", {{Probe::none, kEof}, {Probe::keepalive, kEof}, {Probe::user_timeout, kEof}}},
    {"rst-linger",
     {{Probe::none, kReset}, {Probe::keepalive, kReset}, {Probe::user_timeout, kReset}}},
    {"rst-disconnect",
     {{Probe::none, kReset}, {Probe::keepalive, kReset}, {Probe::user_timeout, kReset}}},
    {"rst-unread",
     {{Probe::none, kReset}, {Probe::keepalive, kReset}, {Probe::user_timeout, kReset}}},
    {"rst-unread-data",
     {{Probe::none, kReset}, {Probe::keepalive, kReset}, {Probe::user_timeout, kReset}}},
    {"fin-then-rst",
     {{Probe::none, kPipe}, {Probe::keepalive, kPipe}, {Probe::user_timeout, kPipe}}},
    {"destroy", {{Probe::none, kReset}, {Probe::keepalive, kReset}, {Probe::user_timeout, kReset}}},
    // A keepalive probe meets a host that forgot the connection: an RST answers it.
    {"vanish",
     {{Probe::none, kNothing}, {Probe::keepalive, kReset}, {Probe::user_timeout, kNothing}}},
    // TCP_USER_TIMEOUT alone never fires on an idle socket.
    {"silent",
     {{Probe::none, kNothing}, {Probe::keepalive, kTimeout}, {Probe::user_timeout, kNothing}}},
    {"exit", {{Probe::none, kEof}, {Probe::keepalive, kEof}, {Probe::user_timeout, kEof}}},
    {"exit-unread",
     {{Probe::none, kReset}, {Probe::keepalive, kReset}, {Probe::user_timeout, kReset}}},
    {"sigkill", {{Probe::none, kEof}, {Probe::keepalive, kEof}, {Probe::user_timeout, kEof}}},
    {"sigkill-unread",
     {{Probe::none, kReset}, {Probe::keepalive, kReset}, {Probe::user_timeout, kReset}}},
    {"sigkill-sending",
     {{Probe::none, kEof}, {Probe::keepalive, kEof}, {Probe::user_timeout, kEof}}},
    {"sigkill-sending-chatty",
     {{Probe::none, kReset}, {Probe::keepalive, kReset}, {Probe::user_timeout, kReset}}},
    // A stopped process has a kernel that answers for it.
    {"freeze",
     {{Probe::none, kNothing}, {Probe::keepalive, kNothing}, {Probe::user_timeout, kNothing}}},
    {"listener-close",
     {{Probe::none, kReset}, {Probe::keepalive, kReset}, {Probe::user_timeout, kReset}}},
    {"cable",
     {{Probe::none, kNothing}, {Probe::keepalive, kTimeout}, {Probe::user_timeout, kNothing}}},
    {"cable-restore",
     {{Probe::none, kNothing}, {Probe::keepalive, kNothing}, {Probe::user_timeout, kNothing}}},
    {"unreachable",
     {{Probe::none, kNothing}, {Probe::keepalive, kTimeout}, {Probe::user_timeout, kNothing}}},
    {"reboot",
     {{Probe::none, kNothing}, {Probe::keepalive, kReset}, {Probe::user_timeout, kNothing}}},
};

TEST(ExpectedFindings, WithoutTrafficAreExactlyOne) {
  for (const Strategy& strategy : strategies()) {
    if (strategy.name == "linger2") continue;  // whether the RST was there when it looked
    ASSERT_TRUE(kWantedIdle.contains(strategy.name)) << strategy.name;
    for (const ProbeRow& probe : socket_probes()) {
      SCOPED_TRACE(testing::Message() << strategy.name << " with " << probe.name);
      EXPECT_EQ(findings(strategy, circumstances_of(probe.id, Load::idle)),
                Findings{kWantedIdle.at(strategy.name).at(probe.id)});
    }
  }
}

TEST(ExpectedFindings, WithTrafficOfTheFinFamilyIncludeTheCrossingRequest) {
  for (const ProbeRow& probe : socket_probes()) {
    SCOPED_TRACE(probe.name);
    // A request that lies unread turns close() into an RST; one that comes later draws an RST.
    for (const char* name : {"fin", "fin-data"})
      EXPECT_THAT(findings(name, probe.id, Load::echo), UnorderedElementsAre(kEof, kPipe, kReset));
    EXPECT_THAT(findings("shutdown-both", probe.id, Load::echo), UnorderedElementsAre(kEof, kPipe));
    EXPECT_THAT(findings("half-close", probe.id, Load::echo), UnorderedElementsAre(kEof));
    // Its survivor writes once, after the act, and takes no part in the load.
    EXPECT_THAT(findings("fin-then-rst", probe.id, Load::echo), UnorderedElementsAre(kPipe));
  }
}

TEST(ExpectedFindings, WithTrafficOfTheRstFamilyAreTheReset) {
  for (const ProbeRow& probe : socket_probes())
    for (const Strategy& strategy : strategies())
      if (strategy.family == "rst") {
        EXPECT_EQ(findings(strategy, circumstances_of(probe.id, Load::echo)), Findings{kReset})
            << strategy.name << " with " << probe.name;
      }
}

TEST(ExpectedFindings, WithTrafficOfASilentDeathMayComeAfterTheDeadline) {
  for (const ProbeRow& probe : socket_probes())
    EXPECT_THAT(findings("vanish", probe.id, Load::echo), UnorderedElementsAre(kReset, kNothing))
        << probe.name;
  EXPECT_THAT(findings("silent", Probe::none, Load::echo), UnorderedElementsAre(kNothing));
  EXPECT_THAT(findings("silent", Probe::user_timeout, Load::echo),
              UnorderedElementsAre(kTimeout, kNothing));
  // Unacknowledged data suspends keepalive.
  EXPECT_THAT(findings("silent", Probe::keepalive, Load::echo),
              UnorderedElementsAre(kTimeout, kNothing));
}

TEST(ExpectedFindings, OfTheFinFamilyDoNotDependOnTheProbe) {
  for (const Strategy& strategy : strategies()) {
    if (strategy.family != "fin") continue;
    for (const Load load : {Load::idle, Load::echo})
      for (const ProbeRow& probe : socket_probes())
        EXPECT_EQ(findings(strategy, circumstances_of(probe.id, load)),
                  findings(strategy, circumstances_of(Probe::none, load)))
            << strategy.name << " with " << probe.name;
  }
}

TEST(ExpectedFindings, DoNotDependOnAWatchThatWaits) {
  for (const Strategy& strategy : strategies())
    for (const WatchRow& watch : watches()) {
      if (engine_row(watch.engine).only_writes) continue;
      Circumstances when = circumstances_of(Probe::keepalive, Load::idle);
      const Findings wanted = findings(strategy, when);
      when.watch = watch.id;
      EXPECT_EQ(findings(strategy, when), wanted) << strategy.name << " with " << watch.name;
    }
}

Circumstances late_with(Probe probe, int64_t deadline_ns = 5 * kSecond_ns) {
  return {Watch::late, probe, ProbeSettings(), Load::idle, deadline_ns};
}

TEST(ExpectedFindings, OfALateWriterAreWhatItsWritesTell) {
  const std::map<std::string_view, Finding> wanted = {
      {"fin", kPipe},           {"fin-data", kPipe},         {"half-close", kNothing},
      {"shutdown-both", kPipe}, {"rst-linger", kReset},      {"rst-disconnect", kReset},
      {"rst-unread", kReset},   {"rst-unread-data", kReset}, {"fin-then-rst", kPipe},
      {"destroy", kReset},      {"vanish", kReset}};
  for (const auto& [name, finding] : wanted)
    for (const ProbeRow& probe : socket_probes())
      EXPECT_EQ(findings(strategy_named(name), late_with(probe.id)), Findings{finding})
          << name << " with " << probe.name;
  const Strategy& silent = strategy_named("silent");
  EXPECT_EQ(findings(silent, late_with(Probe::none)), Findings{kNothing});
  // Its unacknowledged byte suspends keepalive and starts the user timeout.
  EXPECT_EQ(findings(silent, late_with(Probe::keepalive)), Findings{kNothing});
  EXPECT_EQ(findings(silent, late_with(Probe::user_timeout)), Findings{kTimeout});
  EXPECT_THAT(findings(silent, late_with(Probe::user_timeout, 3 * kSecond_ns)),
              UnorderedElementsAre(kTimeout, kNothing));
}

TEST(SurvivorIsTold, WhereItWritesNext) {
  for (const Strategy& strategy : strategies()) {
    EXPECT_TRUE(survivor_is_told(strategy, Watch::late)) << strategy.name;
    for (const Watch watch : {Watch::recv, Watch::epoll, Watch::blocking})
      EXPECT_EQ(survivor_is_told(strategy, watch),
                strategy.name == "fin-then-rst" || strategy.victim_sends)
          << strategy.name;
  }
}

TEST(ExpectedFindings, DeadlineInsideTheTimersRoundingAllowsNothing) {
  const Strategy& silent = strategy_named("silent");
  const int64_t most_ns = prediction_of(circumstances_of(Probe::keepalive, Load::idle)).most_ns;
  const int64_t kSurely_ns = most_ns + timer_slack_ns(most_ns);
  const auto at = [&](int64_t deadline_ns) {
    return findings(silent, circumstances_of(Probe::keepalive, Load::idle, deadline_ns));
  };
  EXPECT_THAT(at(3 * kSecond_ns), UnorderedElementsAre(kTimeout, kNothing));
  EXPECT_THAT(at(kSurely_ns - 1), UnorderedElementsAre(kTimeout, kNothing));
  EXPECT_THAT(at(kSurely_ns), UnorderedElementsAre(kTimeout));
}

TEST(ExpectedFindings, OfLinger2DependOnWhenTheSurvivorLooks) {
  for (const ProbeRow& probe : socket_probes())
    EXPECT_THAT(findings("linger2", probe.id, Load::idle), UnorderedElementsAre(kEof, kPipe));
}

TEST(ExpectedFindings, OfAPathThatComesBackDependOnTheProbesPatience) {
  const Strategy& restored = strategy_named("cable-restore");
  const auto after = [&](int64_t cut_for_ns) {
    Circumstances when = circumstances_of(Probe::keepalive, Load::idle, 20 * kSecond_ns);
    when.victims.cut_for_ns = cut_for_ns;
    return findings(restored, when);
  };
  // Idle 1 s, 2 x 1 s: two probes are a second apart, and when both are lost nothing helps; an
  // absence of 3 s and the timer's rounding loses two for sure.
  const Circumstances when = circumstances_of(Probe::keepalive, Load::idle);
  const Prediction promise = prediction_of(when);
  EXPECT_THAT(after(kSecond_ns - when.tick_ns - 1), UnorderedElementsAre(kNothing));
  EXPECT_THAT(after(kSecond_ns), UnorderedElementsAre(kTimeout, kNothing));
  EXPECT_THAT(after(promise.most_ns - 1), UnorderedElementsAre(kTimeout, kNothing));
  EXPECT_THAT(after(promise.most_ns), UnorderedElementsAre(kTimeout));
}

TEST(ExpectedFindings, AHeartbeatMayTakeAPeerForDeadThatIsAwayForAMoment) {
  Circumstances when = circumstances_of(Probe::heartbeat_wheel, Load::idle, 20 * kSecond_ns);
  when.victims.cut_for_ns = 1;
  EXPECT_THAT(findings(strategy_named("cable-restore"), when),
              UnorderedElementsAre(Finding::heartbeat_missed, kNothing));
}

TEST(ExpectedFindings, OfACloseWithAReceiveInFlightAreNothingUntilItEnds) {
  const auto with = [&](const char* name, VictimRequests requests, Watch watch, Load load) {
    Circumstances when = circumstances_of(Probe::none, load);
    when.victims.victim_requests = requests;
    when.watch = watch;
    return findings(strategy_named(name), when);
  };
  for (const char* name : {"fin", "fin-data", "rst-linger", "vanish", "linger2"}) {
    EXPECT_THAT(with(name, VictimRequests::recv, Watch::recv, Load::idle),
                UnorderedElementsAre(kNothing))
        << name;
    EXPECT_THAT(with(name, VictimRequests::recv_cancel, Watch::recv, Load::idle),
                with(name, VictimRequests::none, Watch::recv, Load::idle))
        << name;
  }
  // These do not wait: shutdown, disconnect, and a process that dies; or have no receive in flight.
  for (const char* name : {"half-close", "shutdown-both", "rst-disconnect", "destroy", "sigkill",
                           "rst-unread", "fin-then-rst"})
    EXPECT_THAT(with(name, VictimRequests::recv, Watch::recv, Load::idle),
                with(name, VictimRequests::none, Watch::recv, Load::idle))
        << name;
  // The survivor's next byte ends the request.
  EXPECT_THAT(with("rst-linger", VictimRequests::recv, Watch::late, Load::idle),
              UnorderedElementsAre(kReset, kNothing));
  EXPECT_THAT(with("fin", VictimRequests::recv, Watch::recv, Load::echo),
              UnorderedElementsAre(kEof, kPipe, kReset, kNothing));
}

TEST(ExpectedChanges, OfACloseThatWaitsAreNone) {
  Circumstances when = circumstances_of(Probe::none, Load::idle);
  when.victims.victim_requests = VictimRequests::recv;
  const auto [least, most] = expected_changes(strategy_named("rst-linger"), when, kNothing);
  EXPECT_EQ(least[Counter::out_rsts], 0);
  when.victims.victim_requests = VictimRequests::recv_cancel;
  EXPECT_EQ(expected_changes(strategy_named("rst-linger"), when, kReset).first[Counter::out_rsts],
            1);
}

TEST(ExpectedFindings, OfAnUnreachablePeerUnderTrafficNameTheIcmp) {
  EXPECT_THAT(findings("unreachable", Probe::user_timeout, Load::echo),
              UnorderedElementsAre(Finding::ehostunreach, kTimeout, kNothing));
}

TEST(ExpectedFindings, CarryTheErrorOfTheirFinding) {
  const std::map<Finding, int> errors = {
      {kNothing, 0},         {kEof, 0},
      {kReset, ECONNRESET},  {kPipe, EPIPE},
      {kTimeout, ETIMEDOUT}, {Finding::ehostunreach, EHOSTUNREACH}};
  for (const Strategy& strategy : strategies())
    for (const ProbeRow& probe : socket_probes())
      for (const Load load : {Load::idle, Load::echo})
        for (const Expected& expected :
             expected_findings(strategy, circumstances_of(probe.id, load)))
          EXPECT_EQ(expected.error_number, errors.at(expected.finding)) << strategy.name;
}

// What one connection moves between the armed watch and the closed ledger, without traffic.
struct WantedChanges {
  std::map<Counter, int64_t> least, may_add;
};
const std::map<std::string_view, WantedChanges> kWantedChanges = {
    {"alive", {}},
    {"fin", {}},
    {"fin-data", {}},
    {"half-close", {}},
    {"shutdown-both", {}},
    // LINGER {1,0} counts as TCPAbortOnData, unread data as TCPAbortOnClose.
    {"rst-linger",
     {{{Counter::out_rsts, 1}, {Counter::estab_resets, 2}, {Counter::abort_on_data, 1}}, {}}},
    {"rst-disconnect", {{{Counter::out_rsts, 1}, {Counter::estab_resets, 2}}, {}}},
    {"rst-unread",
     {{{Counter::out_rsts, 1}, {Counter::estab_resets, 2}, {Counter::abort_on_close, 1}}, {}}},
    {"rst-unread-data",
     {{{Counter::out_rsts, 1}, {Counter::estab_resets, 2}, {Counter::abort_on_close, 1}}, {}}},
    {"fin-then-rst",
     {{{Counter::out_rsts, 1}, {Counter::estab_resets, 1}},
      {{Counter::out_rsts, 1}, {Counter::abort_on_data, 1}}}},
    {"destroy", {{{Counter::out_rsts, 1}, {Counter::estab_resets, 2}}, {}}},
    {"vanish", {{{Counter::estab_resets, 1}}, {}}},
    {"silent", {}},
    {"exit", {}},
    {"exit-unread",
     {{{Counter::out_rsts, 1}, {Counter::estab_resets, 2}, {Counter::abort_on_close, 1}}, {}}},
    {"sigkill", {}},
    {"sigkill-unread",
     {{{Counter::out_rsts, 1}, {Counter::estab_resets, 2}, {Counter::abort_on_close, 1}}, {}}},
    {"sigkill-sending", {}},
    {"sigkill-sending-chatty",
     {{{Counter::out_rsts, 1}, {Counter::estab_resets, 1}},
      {{Counter::out_rsts, 2},
       {Counter::estab_resets, 1},
       {Counter::abort_on_data, 1},
       {Counter::abort_on_close, 1}}}},
    {"freeze", {}},
    {"linger2",
     {{}, {{Counter::out_rsts, 1}, {Counter::estab_resets, 1}, {Counter::abort_on_data, 1}}}},
    {"listener-close", {{{Counter::out_rsts, 1}, {Counter::estab_resets, 2}}, {}}},
    {"cable", {}},
    {"cable-restore", {}},
    {"unreachable", {}},
    {"reboot", {}},
};

void expect_counters(const CounterValues& changes, std::map<Counter, int64_t> wanted) {
  for (const CounterRow& row : kCounters) EXPECT_EQ(changes[row.id], wanted[row.id]) << row.name;
}

TEST(ExpectedChanges, WithoutTrafficAreExactForEachStrategy) {
  const Circumstances when = circumstances_of(Probe::none, Load::idle);
  for (const Strategy& strategy : strategies()) {
    SCOPED_TRACE(strategy.name);
    ASSERT_TRUE(kWantedChanges.contains(strategy.name));
    const WantedChanges& wanted = kWantedChanges.at(strategy.name);
    const auto [least, most] = expected_changes(strategy, when, strategy.finding);
    expect_counters(least, wanted.least);
    std::map<Counter, int64_t> wanted_most = wanted.least;
    for (const auto& [counter, more] : wanted.may_add) wanted_most[counter] += more;
    expect_counters(most, wanted_most);
  }
}

TEST(ExpectedChanges, ALateWriteToAClosedPeerDrawsAReset) {
  for (const char* name : {"fin", "fin-data", "shutdown-both", "fin-then-rst"}) {
    SCOPED_TRACE(name);
    const auto [least, most] =
        expected_changes(strategy_named(name), late_with(Probe::none), kPipe);
    expect_counters(least, {{Counter::out_rsts, 1}, {Counter::estab_resets, 1}});
    expect_counters(
        most, {{Counter::out_rsts, 2}, {Counter::estab_resets, 1}, {Counter::abort_on_data, 1}});
  }
  expect_counters(
      expected_changes(strategy_named("half-close"), late_with(Probe::none), kNothing).second, {});
  expect_counters(expected_changes(strategy_named("vanish"), late_with(Probe::none), kReset).first,
                  {{Counter::out_rsts, 1}, {Counter::estab_resets, 2}});
}

TEST(ExpectedChanges, KeepaliveThatGivesUpSendsAReset) {
  const auto [least, most] = expected_changes(
      strategy_named("silent"), circumstances_of(Probe::keepalive, Load::idle), kTimeout);
  const std::map<Counter, int64_t> wanted = {
      {Counter::out_rsts, 1}, {Counter::estab_resets, 1}, {Counter::abort_on_timeout, 1}};
  expect_counters(least, wanted);
  expect_counters(most, wanted);
}

TEST(ExpectedChanges, KeepaliveToAVanishedPeerDrawsAReset) {
  const auto [least, most] = expected_changes(
      strategy_named("vanish"), circumstances_of(Probe::keepalive, Load::idle), kReset);
  const std::map<Counter, int64_t> wanted = {{Counter::out_rsts, 1}, {Counter::estab_resets, 2}};
  expect_counters(least, wanted);
  expect_counters(most, wanted);
}

TEST(ExpectedChanges, UserTimeoutEndsWithoutAReset) {
  const auto least = expected_changes(strategy_named("silent"),
                                      circumstances_of(Probe::user_timeout, Load::echo), kTimeout)
                         .first;
  expect_counters(least, {{Counter::estab_resets, 1}, {Counter::abort_on_timeout, 1}});
}

TEST(ExpectedChanges, OfASilentDeathThatIsNotFoundAreTheVictimsAlone) {
  for (const ProbeRow& probe : socket_probes()) {
    const Circumstances when = circumstances_of(probe.id, Load::idle);
    expect_counters(expected_changes(strategy_named("silent"), when, kNothing).second, {});
    expect_counters(expected_changes(strategy_named("vanish"), when, kNothing).second,
                    {{Counter::estab_resets, 1}});
  }
}

TEST(ExpectedChanges, TheProbeCountsOnlyWhenItFound) {
  for (const Strategy& strategy : strategies()) {
    if (strategy.family == "silent") continue;
    const auto with_probe = expected_changes(
        strategy, circumstances_of(Probe::keepalive, Load::idle), strategy.finding);
    const auto without =
        expected_changes(strategy, circumstances_of(Probe::none, Load::idle), strategy.finding);
    EXPECT_EQ(with_probe.first.values, without.first.values) << strategy.name;
    EXPECT_EQ(with_probe.second.values, without.second.values) << strategy.name;
  }
}

TEST(ExpectedChanges, TrafficAllowsForRequestsAroundTheAct) {
  const auto [least, most] = expected_changes(strategy_named("rst-linger"),
                                              circumstances_of(Probe::none, Load::echo), kReset);
  // An unread request makes the kernel count TCPAbortOnClose and not look at SO_LINGER.
  EXPECT_EQ(least[Counter::abort_on_data], 0);
  EXPECT_EQ(most[Counter::abort_on_close], 1);
  EXPECT_EQ(least[Counter::out_rsts], 1);
  EXPECT_GT(most[Counter::out_rsts], 1);
}

TEST(ExpectedChanges, TrafficAllowsForRetransmissionsUntilTheDeadline) {
  for (const char* name : {"silent", "vanish"}) {
    const auto [least, most] =
        expected_changes(strategy_named(name), circumstances_of(Probe::none, Load::echo), kNothing);
    EXPECT_EQ(least[Counter::retrans_segs], 0);
    EXPECT_EQ(least[Counter::timeouts], 0);
    // Five seconds: sent again after 0.2, 0.6, 1.4 and 3 s (RTO of 200 ms, doubling).
    EXPECT_GE(most[Counter::retrans_segs], 4);
    EXPECT_GE(most[Counter::timeouts], 4);
  }
}

TEST(ExpectedChanges, LeastIsNeverAboveMostNorBelowZero) {
  for (const Strategy& strategy : strategies())
    for (const ProbeRow& probe : socket_probes())
      for (const Load load : {Load::idle, Load::echo})
        for (const FindingRow& finding : kFindings) {
          const auto [least, most] =
              expected_changes(strategy, circumstances_of(probe.id, load), finding.id);
          for (const CounterRow& row : kCounters) {
            EXPECT_GE(least[row.id], 0) << strategy.name << " " << row.name;
            EXPECT_LE(least[row.id], most[row.id]) << strategy.name << " " << row.name;
          }
        }
}

TEST(Tables, EveryStrategyHasWhatTheProgramShows) {
  for (const Strategy& strategy : strategies()) {
    SCOPED_TRACE(strategy.name);
    EXPECT_FALSE(strategy.wire.empty());
    EXPECT_FALSE(strategy.help.empty());
    EXPECT_TRUE(strategy.server_may_survive || strategy.client_may_survive);
    EXPECT_EQ(strategy.act == Step::none, stays_alive(strategy));
    EXPECT_EQ(stays_alive(strategy), strategy.name == "alive");
  }
}

TEST(Tables, AStepThatAbortsNeverFollowsAShutdown) {
  // SHUTDOWN before CLOSE turns an abort into a FIN.
  for (const Strategy& strategy : strategies()) {
    bool shut_down = false;
    for (const Step step : {strategy.prepare, strategy.ready, strategy.act}) {
      const bool aborts = step == Step::set_linger_zero || step == Step::disconnect ||
                          step == Step::destroy || step == Step::set_repair || step == Step::close;
      EXPECT_FALSE(shut_down && aborts) << strategy.name << ": " << step_name(step);
      shut_down = shut_down || step == Step::shutdown_write || step == Step::shutdown_both;
    }
  }
}

TEST(Tables, TheFamilyAgreesWithTheFinding) {
  const std::map<std::string_view, Finding> wanted = {{"fin", kEof},
                                                      {"rst", kReset},
                                                      {"fin-rst", kPipe},
                                                      {"silent", kNothing},
                                                      {"alive", kNothing}};
  for (const Strategy& strategy : strategies()) {
    ASSERT_TRUE(wanted.contains(strategy.family)) << strategy.name;
    if (strategy.name == "linger2") continue;  // its RST comes with the ACK of the FIN, later
    EXPECT_EQ(strategy.finding, wanted.at(strategy.family)) << strategy.name;
  }
}

TEST(Tables, UnreadDataIsSentWheneverItIsVerified) {
  // Waiting for a byte that nobody sends would never end.
  for (const Strategy& strategy : strategies())
    EXPECT_EQ(strategy.survivor_sends_unread, strategy.prepare == Step::verify_unread)
        << strategy.name;
}

TEST(Tables, StepsBeyondAnOrdinaryUserNameTheirNeed) {
  for (const Strategy& strategy : strategies()) {
    bool privileged = false, destroys = false;
    for (const Step step : {strategy.prepare, strategy.ready, strategy.act}) {
      privileged = privileged || step == Step::set_repair || step == Step::drop_packets;
      destroys = destroys || step == Step::destroy;
    }
    EXPECT_EQ(strategy.need == Need::net_admin, privileged) << strategy.name;
    EXPECT_EQ(strategy.need == Need::socket_destroy, destroys) << strategy.name;
  }
}

TEST(Probes, PredictTheTimeOfTheirSettings) {
  const ProbeSettings settings = {.keepalive_idle_ns = 10 * kSecond_ns,
                                  .keepalive_interval_ns = 3 * kSecond_ns,
                                  .keepalive_count = 4,
                                  .user_timeout_ns = 1500 * kMillisecond_ns};
  EXPECT_EQ(nominal_ns(Probe::none, settings), 0);
  EXPECT_EQ(nominal_ns(Probe::keepalive, settings), 22 * kSecond_ns);
  EXPECT_EQ(nominal_ns(Probe::user_timeout, settings), 1500 * kMillisecond_ns);
}

TEST(Probes, TimersMayBeAnEighthAndATickLate) {
  EXPECT_EQ(timer_slack_ns(0), 10 * kMillisecond_ns);
  EXPECT_EQ(timer_slack_ns(8 * kSecond_ns), 1010 * kMillisecond_ns);
}

TEST(Names, AreTheOnesOfTheirValues) {
  EXPECT_EQ(step_name(Step::none), "none");
  EXPECT_EQ(step_name(Step::set_linger_zero), "set-linger-zero");
  EXPECT_EQ(step_name(Step::close), "close");
  EXPECT_EQ(step_name(Step::drop_packets), "drop-packets");
  EXPECT_EQ(scope_name(Scope::connection), "connection");
  EXPECT_EQ(scope_name(Scope::path), "path");
  EXPECT_EQ(side_name(Side::server), "server");
  EXPECT_EQ(side_name(Side::client), "client");
  EXPECT_EQ(need_name(Need::none), "none");
  EXPECT_THAT(std::string(need_name(Need::net_admin)), testing::HasSubstr("CAP_NET_ADMIN"));
}

Circumstances writer_with(Probe probe, BeforeWrite before = BeforeWrite::none,
                          int64_t deadline_ns = 5 * kSecond_ns) {
  Circumstances when{Watch::writer, probe, ProbeSettings(), Load::idle, deadline_ns};
  when.write_path = WritePath::write;
  when.writing.before_write = before;
  when.writing.writes_per_second = 10;
  return when;
}

TEST(ExpectedFindings, OfAStreamAreWhatItsWritesTell) {
  const auto found = [](std::string_view name, const Circumstances& when) {
    std::set<Finding> set;
    for (const Expected& one : expected_findings(strategy_named(name), when))
      set.insert(one.finding);
    return set;
  };
  using Set = std::set<Finding>;
  const Circumstances plain = writer_with(Probe::none);
  EXPECT_EQ(found("fin", plain), (Set{Finding::epipe, Finding::econnreset}));
  EXPECT_EQ(found("fin-then-rst", plain), (Set{Finding::epipe, Finding::econnreset}));
  EXPECT_EQ(found("shutdown-both", plain), (Set{Finding::epipe}));
  EXPECT_EQ(found("half-close", plain), (Set{Finding::nothing}));
  EXPECT_EQ(found("rst-linger", plain), (Set{Finding::econnreset}));
  EXPECT_EQ(found("vanish", plain), (Set{Finding::econnreset}));
  EXPECT_EQ(found("silent", plain), (Set{Finding::nothing}));
  EXPECT_EQ(found("freeze", plain), (Set{Finding::nothing}));
  const Circumstances asking = writer_with(Probe::none, BeforeWrite::poll);
  EXPECT_EQ(found("fin", asking), (Set{Finding::epipe, Finding::econnreset, Finding::eof}));
  EXPECT_EQ(found("half-close", asking), (Set{Finding::eof}));
  EXPECT_EQ(found("rst-linger", asking), (Set{Finding::econnreset}));
  const Circumstances timed = writer_with(Probe::user_timeout, BeforeWrite::none, 30 * kSecond_ns);
  EXPECT_EQ(found("silent", timed), (Set{Finding::etimedout}));
  EXPECT_EQ(found("freeze", timed), (Set{Finding::nothing, Finding::etimedout}));
  // Too slow for the deadline.
  Circumstances slow = plain;
  slow.writing.writes_per_second = 1;
  EXPECT_EQ(found("rst-linger", slow).count(Finding::nothing), 0u);
  slow.writing.poisson_writes = true;
  EXPECT_EQ(found("rst-linger", slow), (Set{Finding::econnreset, Finding::nothing}));
}

TEST(ExpectedChanges, OfAStreamHaveRoomForItsSegments) {
  const Circumstances when = writer_with(Probe::none);
  const auto [least, most] = expected_changes(strategy_named("fin"), when, Finding::epipe);
  EXPECT_EQ(least[Counter::out_rsts], 1);
  EXPECT_EQ(least[Counter::estab_resets], 1);
  EXPECT_EQ(most[Counter::estab_resets], 2);
  EXPECT_GE(most[Counter::out_rsts], 2);
  const auto reset = expected_changes(strategy_named("rst-linger"), when, Finding::econnreset);
  EXPECT_EQ(reset.first[Counter::estab_resets], 2);
  EXPECT_EQ(reset.second[Counter::estab_resets], 2);
  EXPECT_EQ(reset.first[Counter::out_rsts], 1);
}

}  // namespace
}  // namespace lastack
