// fill_ledger() on records written by hand: who found what, when, and who never did.
#include "ledger/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "base/assert.h"
#include "base/clock.h"
#include "plan/values.h"
#include "shard/table.h"

namespace lastack {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

constexpr int64_t kStart = 1'000 * kSecond_ns;  // CLOCK_MONOTONIC when the schedule starts
constexpr int64_t kDeadline = kSecond_ns;

// One shard whose records the test writes; connector i talks to acceptor i + 1, around.
class Books {
 public:
  Books(std::string_view mix, uint32_t connections)
      : table_(std::move(*ShardTable::create(connections))) {
    spec.connections = connections;
    spec.mix = *parse_mix(mix);
    spec.deadline_ns = kDeadline;
    plan_again();
    for (uint32_t slot = 0; slot < connections; ++slot)
      acceptor_of.push_back((slot + 1) % connections);
  }

  // After the spec was changed.
  void plan_again() { plan = *make_plan(spec, {20'000, {0, 1}, true, true, 64'512}); }

  VictimEnd& victim(uint32_t slot) {
    return table_.view().victims[spec.survivor == Side::server ? slot : acceptor_of[slot]];
  }
  SurvivorEnd& survivor(uint32_t slot) {
    return table_.view().survivors[spec.survivor == Side::server ? acceptor_of[slot] : slot];
  }

  // The act of connection `slot`, which was due at `due_ns` after the start.
  void act(uint32_t slot, int64_t issued_ns, int64_t due_ns = 0, uint16_t row = 0) {
    VictimEnd& end = victim(slot);
    end.pair = survivor(slot).pair = slot;
    end.row = row;
    end.flags = kEstablished | kInjected;
    end.scheduled_ns = due_ns;
    end.issued_ns = kStart + issued_ns;
  }
  void find(uint32_t slot, int64_t found_ns, Finding finding, int error_number = 0) {
    SurvivorEnd& end = survivor(slot);
    end.pair = victim(slot).pair = slot;
    end.flags = kEstablished | kConcluded;
    end.finding = finding;
    end.error_number = static_cast<int16_t>(error_number);
    end.found_ns = kStart + found_ns;
  }

  // Closes the ledger, long after the last deadline unless told otherwise.
  const LedgerRow& close(int64_t closed_ns = 100 * kSecond_ns) {
    const LedgerShard shard{&table_.view(), &acceptor_of};
    outcomes = fill_ledger(spec, plan, {&shard, 1}, kStart, kStart + closed_ns, result);
    return result.ledger.front();
  }

  LedgerShard shard() const { return {&table_.view(), &acceptor_of}; }

  RunSpec spec;
  Plan plan;
  std::vector<uint32_t> acceptor_of;
  RunResult result;
  std::vector<Outcome> outcomes;

 private:
  ShardTable table_;
};

int64_t count_of(const LedgerRow& row, Finding finding) {
  return row.findings[static_cast<size_t>(finding)];
}

TEST(Ledger, APeerThatWasAwayAndIsDeclaredDeadIsAFalseAlarm) {
  Books books("cable-restore", 2);
  books.spec.probes = {Probe::keepalive};
  books.spec.victims.cut_for_ns = 2 * kSecond_ns;
  books.spec.deadline_ns = 10 * kSecond_ns;
  books.plan_again();
  books.act(0, 0);
  books.find(0, 2 * kSecond_ns + 200 * kMillisecond_ns, Finding::etimedout, ETIMEDOUT);
  books.survivor(0).silent_since_ns = kStart - 800 * kMillisecond_ns;
  books.act(1, 0);
  const LedgerRow& row = books.close();
  EXPECT_EQ(row.found, 1);
  EXPECT_EQ(row.nothing, 1);
  EXPECT_EQ(row.unexpected, 0);  // the settings predict it
  EXPECT_EQ(row.probing.false_alarms, 1);
  EXPECT_EQ(row.probing.within, 1);  // and when
}

// Whoever forgets answers the first probe, and a frozen peer's kernel answers them all: of when the
// probe itself would end nothing is predicted.
TEST(Ledger, NothingIsPromisedOfAProbeThatIsAnswered) {
  const auto promised = [](std::string_view mix, Probe probe) {
    Books books(mix, 2);
    books.spec.probes = {probe};
    books.spec.deadline_ns = 20 * kSecond_ns;
    books.plan_again();
    books.act(0, 0);
    books.act(1, 0);
    return books.close().probing.promised;
  };
  EXPECT_TRUE(promised("silent", Probe::keepalive));
  EXPECT_FALSE(promised("vanish", Probe::keepalive));
  EXPECT_FALSE(promised("reboot", Probe::keepalive));
  EXPECT_FALSE(promised("vanish", Probe::heartbeat_wheel));
  EXPECT_FALSE(promised("freeze", Probe::keepalive));
  EXPECT_TRUE(promised("freeze", Probe::heartbeat_wheel));
}

TEST(Ledger, RowsSayWhatWasPlanned) {
  Books books("rst-linger=1,fin=3", 8);
  books.plan.rows[1].skipped = "a reason";
  books.close();
  ASSERT_THAT(books.result.ledger, SizeIs(2));
  const LedgerRow& row = books.result.ledger[0];
  EXPECT_EQ(row.strategy, "rst-linger");
  EXPECT_EQ(row.family, "rst");
  EXPECT_EQ(row.watch, "recv");
  EXPECT_EQ(row.probe, "none");
  EXPECT_EQ(row.requested, 2);
  EXPECT_THAT(row.expected, ElementsAre("econnreset"));
  EXPECT_EQ(row.skipped, "");
  EXPECT_EQ(books.result.ledger[1].skipped, "a reason");
}

TEST(Ledger, CountsWhoWaitedWhileTheRunStoodStill) {
  Books books("fin", 4);
  const auto stall = [](int64_t shard, int64_t start_ns, int64_t duration_ns) {
    return Stall{"survivor", shard, std::string(kStopped), kStart + start_ns, duration_ns};
  };
  // The launcher's counts for everybody, another shard's does not.
  books.result.stalls = {stall(-1, 20 * kMillisecond_ns, 10 * kMillisecond_ns),
                         stall(1, 0, 50 * kSecond_ns)};
  for (uint32_t slot = 0; slot < 4; ++slot) books.act(slot, 0);
  books.find(0, 19 * kMillisecond_ns, Finding::eof);  // before
  books.find(1, 25 * kMillisecond_ns, Finding::eof);  // within
  books.act(2, 31 * kMillisecond_ns);
  books.find(2, 40 * kMillisecond_ns, Finding::eof);  // after
  EXPECT_EQ(books.close().stalled, 2);                // 1, and 3, which found nothing
}

TEST(Ledger, TellsFalseAlarmsOfAStallFromOthers) {
  Books books("alive", 3);
  books.spec.probes = {Probe::heartbeat_wheel};
  books.plan_again();
  books.result.stalls = {
      Stall{"launcher", -1, std::string(kStopped), kStart + kSecond_ns, 4 * kSecond_ns}};
  for (uint32_t slot = 0; slot < 3; ++slot) books.act(slot, 0);
  const auto declare = [&](uint32_t slot, int64_t heard_ns, int64_t found_ns) {
    books.find(slot, found_ns, Finding::heartbeat_missed);
    books.survivor(slot).silent_since_ns = kStart + heard_ns;
  };
  declare(0, kSecond_ns / 2, 5 * kSecond_ns + kMillisecond_ns);  // silent meanwhile
  declare(1, 6 * kSecond_ns, 9 * kSecond_ns);                    // later
  const LedgerRow& row = books.close();
  EXPECT_EQ(row.probing.false_alarms, 2);
  EXPECT_EQ(row.probing.false_alarms_in_stalls, 1);
  EXPECT_EQ(row.stalled, 1);  // who lives and was found by nobody waited for nothing
}

TEST(Ledger, AFindingBeforeTheDeadline) {
  Books books("fin", 1);
  books.act(0, 0);
  books.find(0, 3 * kMillisecond_ns, Finding::eof);
  books.survivor(0).bytes_received = 17;
  const LedgerRow& row = books.close();
  EXPECT_EQ(row.established, 1);
  EXPECT_EQ(row.torn_down, 1);
  EXPECT_EQ(row.found, 1);
  EXPECT_EQ(row.nothing, 0);
  EXPECT_EQ(row.unexpected, 0);
  EXPECT_EQ(count_of(row, Finding::eof), 1);
  EXPECT_EQ(row.bytes_received, 17);
  EXPECT_TRUE(row.whole(false));
  EXPECT_THAT(books.result.surprises, IsEmpty());
  ASSERT_THAT(books.outcomes, SizeIs(1));
  EXPECT_EQ(books.outcomes[0].finding, Finding::eof);
  EXPECT_EQ(books.outcomes[0].connections, 1);
  EXPECT_FALSE(books.outcomes[0].late);
}

TEST(Ledger, AFindingAtTheDeadlineIsInTimeAndOneLaterIsNot) {
  Books books("rst-linger", 2);
  books.act(0, 0);
  books.find(0, kDeadline, Finding::econnreset, ECONNRESET);
  books.act(1, 0);
  books.find(1, kDeadline + 1, Finding::econnreset, ECONNRESET);
  const LedgerRow& row = books.close();
  EXPECT_EQ(row.found, 1);
  EXPECT_EQ(row.nothing, 1);
  EXPECT_EQ(row.late, 1);
  EXPECT_EQ(row.unexpected, 1);  // an RST was to be noticed in time
  EXPECT_EQ(count_of(row, Finding::econnreset), 1);
  EXPECT_EQ(count_of(row, Finding::nothing), 1);
  EXPECT_EQ(row.issued.count(), 1u);
  EXPECT_TRUE(row.whole(false));
  // The counters moved for the late one, too, so its outcome keeps what it found.
  ASSERT_THAT(books.outcomes, SizeIs(2));
  EXPECT_FALSE(books.outcomes[0].late);
  EXPECT_TRUE(books.outcomes[1].late);
  EXPECT_EQ(books.outcomes[1].finding, Finding::econnreset);
}

TEST(Ledger, SilenceFindsNothingAsExpected) {
  Books books("silent", 2);
  books.act(0, 0);
  books.act(1, 0);
  const LedgerRow& row = books.close();
  EXPECT_EQ(row.nothing, 2);
  EXPECT_EQ(row.found, 0);
  EXPECT_EQ(row.unexpected, 0);
  EXPECT_EQ(count_of(row, Finding::nothing), 2);
  EXPECT_EQ(row.issued.count(), 0u);
  EXPECT_TRUE(row.whole(false));
}

TEST(Ledger, AFinThatNobodyNoticesIsUnexpected) {
  Books books("fin", 1);
  books.act(0, 0);
  books.survivor(0).tuple.local = {0x7f000001, 4321};
  const LedgerRow& row = books.close();
  EXPECT_EQ(row.nothing, 1);
  EXPECT_EQ(row.unexpected, 1);
  ASSERT_THAT(books.result.surprises, SizeIs(1));
  const Surprise& surprise = books.result.surprises[0];
  EXPECT_EQ(surprise.pair, 0u);
  EXPECT_EQ(surprise.strategy, "fin");
  EXPECT_EQ(surprise.survivor_address, "127.0.0.1:4321");
  EXPECT_EQ(surprise.expected, "eof");
  EXPECT_EQ(surprise.seen, "nothing");
  EXPECT_EQ(surprise.error, "0");
  EXPECT_FALSE(surprise.before_act);
}

// A reset is sent once. As many of them as packets were dropped may be among those, not one more.
TEST(Ledger, AResetMayBeAmongThePacketsThatWereDropped) {
  Books books("rst-linger", 4);
  books.result.backlog_drops = 2;
  for (uint32_t slot = 0; slot < 4; ++slot) books.act(slot, 0);
  books.find(0, kMillisecond_ns, Finding::econnreset, ECONNRESET);
  const LedgerRow& row = books.close();
  EXPECT_EQ(row.nothing, 3);
  EXPECT_EQ(row.unexpected, 1);
  EXPECT_THAT(books.result.notes,
              ElementsAre(testing::StartsWith("2 of rst-linger under recv saw nothing")));
}

// A FIN is sent again.
TEST(Ledger, ADroppedFinIsNoExcuse) {
  Books books("fin", 2);
  books.result.backlog_drops = 2;
  for (uint32_t slot = 0; slot < 2; ++slot) books.act(slot, 0);
  EXPECT_EQ(books.close().unexpected, 2);
  EXPECT_THAT(books.result.notes, IsEmpty());
}

TEST(Ledger, ALedgerThatClosesBeforeTheDeadlineLeavesItUndecided) {
  Books books("fin", 2);
  books.act(0, 0);
  books.act(1, 0);
  books.find(1, 5, Finding::eof);
  const LedgerRow& row = books.close(kDeadline - 1);
  EXPECT_EQ(row.torn_down, 2);
  EXPECT_EQ(row.found, 1);
  EXPECT_EQ(row.undecided, 1);
  EXPECT_EQ(row.nothing, 0);
  EXPECT_EQ(count_of(row, Finding::nothing), 0);
  EXPECT_EQ(row.unexpected, 0);
  EXPECT_TRUE(row.whole(true));
  EXPECT_FALSE(row.whole(false));
}

TEST(Ledger, ALedgerThatClosesAtTheDeadlineDecides) {
  Books books("silent", 1);
  books.act(0, 0);
  const LedgerRow& row = books.close(kDeadline);
  EXPECT_EQ(row.undecided, 0);
  EXPECT_EQ(row.nothing, 1);
}

TEST(Ledger, AFindingBeforeItsActIsUnexpectedAndHasNoLatency) {
  Books books("fin", 1);
  books.act(0, 5 * kMillisecond_ns);
  books.find(0, 5 * kMillisecond_ns - 1, Finding::eof);
  const LedgerRow& row = books.close();
  EXPECT_EQ(row.found, 1);
  EXPECT_EQ(row.unexpected, 1);
  EXPECT_EQ(row.issued.count(), 0u);
  EXPECT_EQ(row.scheduled.count(), 0u);
  ASSERT_THAT(books.result.surprises, SizeIs(1));
  EXPECT_TRUE(books.result.surprises[0].before_act);
  EXPECT_EQ(books.result.surprises[0].seen, "eof");
}

TEST(Ledger, AFindingAtTheInstantOfTheActIsNotBeforeIt) {
  Books books("fin", 1);
  books.act(0, 5);
  books.find(0, 5, Finding::eof);
  const LedgerRow& row = books.close();
  EXPECT_EQ(row.unexpected, 0);
  EXPECT_EQ(row.issued.count(), 1u);
}

TEST(Ledger, AFindingWithoutAnyActIsUnexpected) {
  Books books("fin", 1);
  books.find(0, 5, Finding::eof);
  const LedgerRow& row = books.close();
  EXPECT_EQ(row.established, 1);
  EXPECT_EQ(row.torn_down, 0);
  EXPECT_EQ(row.unexpected, 1);
  EXPECT_FALSE(row.whole(false));
  ASSERT_THAT(books.result.surprises, SizeIs(1));
  EXPECT_TRUE(books.result.surprises[0].before_act);
}

TEST(Ledger, AFailedActIsUnexpectedAndTearsNothingDown) {
  Books books("fin", 1);
  books.act(0, 0);
  books.victim(0).act_error = EPERM;
  const LedgerRow& row = books.close();
  EXPECT_EQ(row.torn_down, 0);
  EXPECT_EQ(row.nothing, 0);
  EXPECT_EQ(row.unexpected, 1);
  EXPECT_FALSE(row.whole(false));
  EXPECT_THAT(books.outcomes, IsEmpty());
  EXPECT_THAT(books.result.timeline, IsEmpty());
  ASSERT_THAT(books.result.surprises, SizeIs(1));
  EXPECT_EQ(books.result.surprises[0].seen, "failed act");
  EXPECT_EQ(books.result.surprises[0].error, "EPERM");
}

TEST(Ledger, TheRightFindingWithTheWrongErrnoIsUnexpected) {
  Books books("rst-linger", 2);
  books.act(0, 0);
  books.find(0, 1, Finding::econnreset, ECONNRESET);
  books.act(1, 0);
  books.find(1, 1, Finding::econnreset, 0);
  const LedgerRow& row = books.close();
  EXPECT_EQ(row.found, 2);
  EXPECT_EQ(row.unexpected, 1);
  ASSERT_THAT(books.result.surprises, SizeIs(1));
  EXPECT_EQ(books.result.surprises[0].pair, 1u);
  EXPECT_EQ(books.result.surprises[0].seen, "econnreset");
  EXPECT_EQ(books.result.surprises[0].error, "0");
}

TEST(Ledger, AnyOfSeveralExpectedFindingsWillDo) {
  Books books("fin", 4);
  books.spec.traffic.load = Load::echo;
  books.plan_again();
  for (uint32_t slot = 0; slot < 4; ++slot) books.act(slot, 0);
  books.find(0, 1, Finding::eof);
  books.find(1, 1, Finding::epipe, EPIPE);
  books.find(2, 1, Finding::econnreset, ECONNRESET);
  books.find(3, 1, Finding::etimedout, ETIMEDOUT);
  const LedgerRow& row = books.close();
  EXPECT_THAT(row.expected, ElementsAre("eof", "epipe", "econnreset"));
  EXPECT_EQ(row.found, 4);
  EXPECT_EQ(row.unexpected, 1);
  ASSERT_THAT(books.result.surprises, SizeIs(1));
  EXPECT_EQ(books.result.surprises[0].expected, "eof|epipe|econnreset");
  EXPECT_EQ(books.result.surprises[0].error, "ETIMEDOUT");
}

TEST(Ledger, AWrongExpectationIsCaught) {
  Books books("fin", 1);
  books.spec.expect = {{books.spec.mix[0].strategy, Finding::econnreset}};
  books.plan_again();
  books.act(0, 0);
  books.find(0, 1, Finding::eof);
  const LedgerRow& row = books.close();
  EXPECT_THAT(row.expected, ElementsAre("econnreset"));
  EXPECT_EQ(row.unexpected, 1);
  ASSERT_THAT(books.result.surprises, SizeIs(1));
  EXPECT_EQ(books.result.surprises[0].expected, "econnreset");
}

TEST(Ledger, AnExpectationOfAnotherStrategyChangesNothing) {
  Books books("fin", 1);
  books.spec.expect = {{parse_mix("half-close")->front().strategy, Finding::econnreset}};
  books.plan_again();
  books.act(0, 0);
  books.find(0, 1, Finding::eof);
  EXPECT_EQ(books.close().unexpected, 0);
}

TEST(Ledger, SurprisesAreCappedAndTheCountIsNot) {
  Books books("fin", 150);
  for (uint32_t slot = 0; slot < 150; ++slot) books.act(slot, 0);
  const LedgerRow& row = books.close();
  EXPECT_EQ(row.unexpected, 150);
  EXPECT_THAT(books.result.surprises, SizeIs(100));
}

TEST(Ledger, LatenciesCountFromTheActAndFromTheInstantAskedFor) {
  Books books("fin", 2);
  books.act(0, 1'000'040, 1'000'000);  // 40 ns late
  books.find(0, 1'000'100, Finding::eof);
  books.act(1, 2'000'000, 2'000'000);
  books.find(1, 2'000'020, Finding::eof);
  const LedgerRow& row = books.close();
  EXPECT_EQ(row.issued.count(), 2u);
  EXPECT_EQ(row.issued.min(), 20);
  EXPECT_EQ(row.issued.max(), 60);
  EXPECT_EQ(row.scheduled.min(), 20);
  EXPECT_EQ(row.scheduled.max(), 100);
  EXPECT_EQ(row.written.count(), 0u);
  EXPECT_EQ(books.result.span_ns, 2'000'020 - 1'000'040);
}

TEST(Ledger, ASurvivorThatWritesFirstAlsoCountsFromItsWrite) {
  Books books("fin-then-rst", 1);
  books.act(0, 0);
  books.survivor(0).written_ns = kStart + 70;
  books.find(0, 100, Finding::epipe, EPIPE);
  const LedgerRow& row = books.close();
  EXPECT_EQ(row.unexpected, 0);
  EXPECT_EQ(row.issued.max(), 100);
  EXPECT_EQ(row.written.count(), 1u);
  EXPECT_EQ(row.written.max(), 30);
}

TEST(Ledger, TheSurvivorMayBeOnEitherSide) {
  for (const Side side : {Side::server, Side::client}) {
    Books books("fin", 3);
    books.spec.survivor = side;
    for (uint32_t slot = 0; slot < 3; ++slot) {
      books.act(slot, 0);
      books.find(slot, 10 + slot, Finding::eof);
    }
    // Were the ends joined the wrong way round, this one would belong to another finding.
    books.victim(0).issued_ns = kStart + 9;
    const LedgerRow& row = books.close();
    EXPECT_EQ(row.found, 3) << side_name(side);
    EXPECT_EQ(row.issued.min(), 1) << side_name(side);
    EXPECT_EQ(row.issued.max(), 12) << side_name(side);
  }
}

TEST(Ledger, AnEndThatWasNeverJoinedIsNotEstablished) {
  Books books("fin", 2);
  books.act(0, 0);
  books.find(0, 1, Finding::eof);
  books.acceptor_of[1] = kNoPair;
  const LedgerRow& row = books.close();
  EXPECT_EQ(row.requested, 2);
  EXPECT_EQ(row.established, 1);
  EXPECT_FALSE(row.whole(false));
  EXPECT_TRUE(row.whole(true));
}

TEST(Ledger, AConnectionWhoseTurnNeverCameIsNoSurprise) {
  Books books("fin", 2);
  books.act(0, 0);
  books.find(0, 1, Finding::eof);
  const LedgerRow& row = books.close();
  EXPECT_EQ(row.established, 2);
  EXPECT_EQ(row.torn_down, 1);
  EXPECT_EQ(row.unexpected, 0);
  EXPECT_TRUE(row.whole(true));
}

TEST(Ledger, RowsAndShardsAreKeptApartAndAddedUp) {
  Books one("fin,silent", 2), two("fin,silent", 2);
  for (Books* books : {&one, &two}) {
    books->act(0, 0, 0, 0);
    books->find(0, 1, Finding::eof);
    books->act(1, 0, 0, 1);
  }
  const LedgerShard shards[] = {one.shard(), two.shard()};
  RunResult result;
  const auto outcomes =
      fill_ledger(one.spec, one.plan, shards, kStart, kStart + 100 * kSecond_ns, result);
  ASSERT_THAT(result.ledger, SizeIs(2));
  EXPECT_EQ(result.ledger[0].found, 2);
  EXPECT_EQ(result.ledger[0].nothing, 0);
  EXPECT_EQ(result.ledger[1].found, 0);
  EXPECT_EQ(result.ledger[1].nothing, 2);
  ASSERT_THAT(outcomes, SizeIs(2));
  EXPECT_EQ(one.plan.rows[outcomes[0].row].row.strategy, one.spec.mix[0].strategy);
  EXPECT_EQ(outcomes[0].connections, 2);
  EXPECT_EQ(one.plan.rows[outcomes[1].row].row.strategy, one.spec.mix[1].strategy);
  EXPECT_EQ(outcomes[1].finding, Finding::nothing);
}

TEST(LedgerTimeline, CountsEveryActAndEveryEndOnce) {
  Books books("fin,silent", 3);
  books.act(0, 50 * kMillisecond_ns);
  books.find(0, 60 * kMillisecond_ns, Finding::eof);
  books.act(1, 150 * kMillisecond_ns);
  books.find(1, 320 * kMillisecond_ns, Finding::eof);
  books.act(2, 150 * kMillisecond_ns, 0, 1);  // in flight until its deadline at 1150 ms
  books.close();
  // 1,150 ms are more than 400 bins of 1 ms.
  const std::vector<TimelineBin>& bins = books.result.timeline;
  ASSERT_THAT(bins, SizeIs(116));
  int64_t injected = 0, found = 0;
  for (size_t i = 0; i < bins.size(); ++i) {
    EXPECT_EQ(bins[i].start_ns, static_cast<int64_t>(i) * 10 * kMillisecond_ns);
    EXPECT_EQ(bins[i].width_ns, 10 * kMillisecond_ns);
    injected += bins[i].injected;
    found += bins[i].found;
  }
  EXPECT_EQ(injected, 3);
  EXPECT_EQ(found, 2);
  EXPECT_EQ(bins[5].injected, 1);
  EXPECT_EQ(bins[5].in_flight, 1);
  EXPECT_EQ(bins[6].found, 1);
  EXPECT_EQ(bins[6].in_flight, 0);
  EXPECT_EQ(bins[15].injected, 2);
  EXPECT_EQ(bins[31].in_flight, 2);
  EXPECT_EQ(bins[32].found, 1);
  EXPECT_EQ(bins[114].in_flight, 1);
  EXPECT_EQ(bins[115].in_flight, 0);
}

TEST(LedgerTimeline, TheUndecidedEndWithTheLedger) {
  Books books("fin", 1);
  books.act(0, 0);
  books.close(250 * kMillisecond_ns);
  ASSERT_THAT(books.result.timeline, SizeIs(251));
  EXPECT_EQ(books.result.timeline[0].width_ns, kMillisecond_ns);
  EXPECT_EQ(books.result.timeline[249].in_flight, 1);
  EXPECT_EQ(books.result.timeline[250].in_flight, 0);
  EXPECT_EQ(books.result.timeline[250].found, 0);
}

TEST(LedgerEvents, AreWrittenOnlyOnRequest) {
  Books books("fin", 1);
  books.act(0, 0);
  books.find(0, 1, Finding::eof);
  books.close();
  EXPECT_THAT(books.result.events, IsEmpty());
}

TEST(LedgerEvents, TellInstantsSinceTheStartInTheOrderOfPairs) {
  Books books("fin-then-rst", 3);
  books.spec.keep_events = true;
  books.act(0, 40, 30);
  books.find(0, 100, Finding::epipe, EPIPE);
  books.survivor(0).written_ns = kStart + 70;
  books.survivor(0).bytes_received = 5;
  books.victim(0).tuple.local = {0x7f000001, 11};
  books.survivor(0).tuple.local = {0x7f000001, 22};
  books.act(1, 50);
  books.act(2, 60);
  books.victim(0).pair = books.survivor(0).pair = 2;
  books.victim(2).pair = books.survivor(2).pair = 0;
  books.close();
  ASSERT_THAT(books.result.events, SizeIs(3));
  EXPECT_EQ(books.result.events[0].pair, 0u);
  EXPECT_EQ(books.result.events[0].issued_ns, 60);
  EXPECT_EQ(books.result.events[0].found_ns, -1);
  EXPECT_EQ(books.result.events[0].written_ns, -1);
  EXPECT_EQ(books.result.events[0].finding, "nothing");
  EXPECT_EQ(books.result.events[0].error, "0");
  const Event& event = books.result.events[2];
  EXPECT_EQ(event.pair, 2u);
  EXPECT_EQ(event.victim_address, "127.0.0.1:11");
  EXPECT_EQ(event.survivor_address, "127.0.0.1:22");
  EXPECT_EQ(event.scheduled_ns, 30);
  EXPECT_EQ(event.issued_ns, 40);
  EXPECT_EQ(event.written_ns, 70);
  EXPECT_EQ(event.found_ns, 100);
  EXPECT_EQ(event.finding, "epipe");
  EXPECT_EQ(event.error, "EPIPE");
  EXPECT_EQ(event.bytes_received, 5);
}

TEST(LedgerEvents, NameTheUndecided) {
  Books books("fin", 1);
  books.spec.keep_events = true;
  books.act(0, 0);
  books.close(kMillisecond_ns);
  ASSERT_THAT(books.result.events, SizeIs(1));
  EXPECT_EQ(books.result.events[0].finding, "undecided");
}

TEST(LedgerRate, IsTheSchedulesLengthAgainstTheActs) {
  Books books("fin", 3);
  books.spec.arrival = Arrival::constant;
  books.spec.arrivals_per_second = 10;
  // The last one was due after 200 ms and came after 400 ms: half of the rate.
  for (uint32_t slot = 0; slot < 3; ++slot)
    books.act(slot, slot * 200 * kMillisecond_ns, slot * 100 * kMillisecond_ns);
  books.close();
  EXPECT_DOUBLE_EQ(books.result.requested_rate, 10);
  EXPECT_DOUBLE_EQ(books.result.achieved_rate, 5);
}

TEST(LedgerRate, AStormHasNone) {
  Books books("fin", 2);
  books.act(0, 0);
  books.act(1, 1);
  books.close();
  EXPECT_EQ(books.result.requested_rate, 0);
  EXPECT_EQ(books.result.achieved_rate, 0);
}

LedgerRow row_with(int64_t requested, int64_t established, int64_t torn_down, int64_t found,
                   int64_t nothing, int64_t undecided) {
  LedgerRow row;
  row.requested = requested;
  row.established = established;
  row.not_established = std::max<int64_t>(0, requested - established);
  if (row.not_established > 0) row.not_established_by[EMFILE] = row.not_established;
  row.torn_down = torn_down;
  row.not_torn_down = std::max<int64_t>(0, established - torn_down);
  row.found = found;
  row.nothing = nothing;
  row.undecided = undecided;
  return row;
}

TEST(LedgerRowWhole, EveryConnectionIsAccountedFor) {
  EXPECT_TRUE(row_with(10, 10, 10, 6, 4, 0).whole(false));
  EXPECT_TRUE(row_with(0, 0, 0, 0, 0, 0).whole(false));
  EXPECT_FALSE(row_with(10, 9, 9, 5, 4, 0).whole(false));
  EXPECT_FALSE(row_with(10, 10, 9, 5, 4, 0).whole(false));
  EXPECT_FALSE(row_with(10, 10, 10, 5, 4, 0).whole(false));
  EXPECT_FALSE(row_with(10, 10, 10, 5, 4, 1).whole(false));
}

TEST(LedgerRowWhole, AnInterruptedRunMayLackSomeButNoneTwice) {
  EXPECT_TRUE(row_with(10, 9, 8, 5, 2, 1).whole(true));
  EXPECT_FALSE(row_with(10, 9, 8, 5, 2, 0).whole(true));
  EXPECT_FALSE(row_with(8, 9, 8, 5, 3, 0).whole(true));
  EXPECT_FALSE(row_with(10, 7, 8, 5, 3, 0).whole(true));
}

TEST(LedgerRowWhole, WhatIsMissingIsCounted) {
  LedgerRow row = row_with(10, 9, 8, 5, 2, 1);
  row.not_established = 0;
  EXPECT_FALSE(row.whole(true));
  row = row_with(10, 9, 8, 5, 2, 1);
  row.not_established_by.clear();
  EXPECT_FALSE(row.whole(true));
  row = row_with(10, 9, 8, 5, 2, 1);
  row.not_torn_down = 0;
  EXPECT_FALSE(row.whole(true));
}

// The first of three could not connect, the second was not tried, the third never went away.
TEST(Ledger, WhatDoesNotStandAndWhatStaysIsCounted) {
  for (const Side survivor : {Side::server, Side::client}) {
    Books books("fin", 3);
    books.spec.survivor = survivor;
    const bool victim_connects = survivor == Side::server;
    books.acceptor_of = {kNoPair, kNoPair, 2};
    const ShardView& view = *books.shard().view;
    (victim_connects ? view.victims[0].open_error : view.survivors[0].open_error) = ENETUNREACH;
    books.victim(2).flags = books.survivor(2).flags = kEstablished;
    const LedgerRow& row = books.close();
    EXPECT_EQ(row.established, 1);
    EXPECT_EQ(row.not_established, 2);
    EXPECT_THAT(row.not_established_by, ElementsAre(Pair(0, 1), Pair(ENETUNREACH, 1)));
    EXPECT_EQ(row.torn_down, 0);
    EXPECT_EQ(row.not_torn_down, 1);
    EXPECT_TRUE(row.whole(true));
    EXPECT_FALSE(row.whole(false));
    EXPECT_EQ(not_established(books.result)->error_number, ENETUNREACH);
    books.result.balanced = true;
    EXPECT_EQ(judge(books.spec, books.result, false), RunStatus::no_resources);
  }
}

TEST(Ledger, WhatWasOnlyNotTriedIsNoShortage) {
  Books books("fin", 2);
  books.acceptor_of = {kNoPair, kNoPair};
  books.close();
  EXPECT_FALSE(not_established(books.result));
}

// A run that is unbalanced, unmet and too slow all at once; tests mend one fault after the other.
RunResult worst_result() {
  RunResult result;
  result.ledger = {row_with(10, 10, 10, 10, 0, 0)};
  result.ledger[0].unexpected = 1;
  result.balanced = false;
  result.requested_rate = 100;
  result.achieved_rate = 94;
  return result;
}

RunSpec rate_spec() {
  RunSpec spec;
  spec.arrival = Arrival::constant;
  spec.arrivals_per_second = 100;
  return spec;
}

TEST(Judge, TheFirstStatusOfTheListWins) {
  RunResult result = worst_result();
  EXPECT_EQ(judge(rate_spec(), result, true), RunStatus::interrupted);
  EXPECT_EQ(judge(rate_spec(), result, false), RunStatus::unbalanced);
  result.balanced = true;
  EXPECT_EQ(judge(rate_spec(), result, false), RunStatus::unmet_expectation);
  result.ledger[0].unexpected = 0;
  EXPECT_EQ(judge(rate_spec(), result, false), RunStatus::too_slow);
  result.achieved_rate = 95;
  EXPECT_EQ(judge(rate_spec(), result, false), RunStatus::ok);
}

TEST(Judge, AMissingConnectionIsUnbalancedAlthoughTheCountersAgree) {
  RunResult result = worst_result();
  result.balanced = true;
  result.ledger[0] = row_with(10, 9, 9, 9, 0, 0);
  result.ledger[0].not_established_by = {{0, 1}};
  EXPECT_EQ(judge(rate_spec(), result, false), RunStatus::unbalanced);
}

TEST(Judge, OtherProgramsCountersAreNoFault) {
  RunResult result = worst_result();
  result.exclusive = false;
  result.ledger[0].unexpected = 0;
  result.achieved_rate = 100;
  EXPECT_EQ(judge(rate_spec(), result, false), RunStatus::ok);
}

TEST(Judge, AStormIsNeverTooSlow) {
  RunResult result = worst_result();
  result.balanced = true;
  result.ledger[0].unexpected = 0;
  EXPECT_EQ(judge(RunSpec{}, result, false), RunStatus::ok);
}

TEST(Judge, EveryStatusHasItsOwnRowAndExitCode) {
  for (const RunStatusRow& row : run_statuses()) EXPECT_EQ(&status_row(row.id), &row);
  EXPECT_EQ(status_row(RunStatus::ok).exit_code, 0);
  EXPECT_EQ(status_row(RunStatus::unmet_expectation).name, "unmet-expectation");
  EXPECT_EQ(status_row(RunStatus::interrupted).exit_code, 7);
}

TEST(Ledger, AFindingWithoutAnActSaysWhatWasSeen) {
  Books books("fin", 1);
  books.find(0, 5, Finding::eof);
  books.close();
  ASSERT_THAT(books.result.surprises, SizeIs(1));
  EXPECT_EQ(books.result.surprises[0].seen, "eof");
  EXPECT_TRUE(books.result.surprises[0].before_act);
}

TEST(Ledger, WhatHappenedBeforeTheStartIsInTheFirstBin) {
  Books books("fin", 1);
  books.act(0, -kSecond_ns);
  books.find(0, -kSecond_ns + 5, Finding::eof);
  EXPECT_EQ(books.close().found, 1);
  ASSERT_THAT(books.result.timeline, SizeIs(1));
  EXPECT_EQ(books.result.timeline[0].in_flight, 0);
}

TEST(Ledger, OtherIsMetByAnyErrnoWithoutARow) {
  Books books("fin", 1);
  books.spec.expect = {{books.spec.mix[0].strategy, Finding::other}};
  books.plan_again();
  books.act(0, 0);
  books.find(0, 5, Finding::other, EHOSTUNREACH);
  EXPECT_EQ(books.close().unexpected, 0);
}

TEST(Result, TextOfAnotherShapeIsAnError) {
  for (const char* text : {"", "\x01", "\x81\xa1x\x01"}) EXPECT_FALSE(deserialize(text));
}

TEST(Assertions, SayTheValues) {
  const int one = 1, two = 2;
  EXPECT_DEATH(LASTACK_ASSERT(one > two, one, two), "assertion failed: one > two; one, two = 1, 2");
}

TEST(Assertions, ARecordOfAnotherRunEndsTheLedger) {
  Books books("fin", 2);
  books.act(0, kMillisecond_ns);
  books.act(1, kMillisecond_ns);
  books.find(0, 2 * kMillisecond_ns, Finding::eof);
  books.find(1, 2 * kMillisecond_ns, Finding::eof);
  books.survivor(1).pair = 9;
  EXPECT_DEATH(books.close(), "victim.pair == ends.survivor.pair; .* = 1, 9");
  books.survivor(1).pair = 1;
  books.victim(1).row = 77;
  EXPECT_DEATH(books.close(), "victim.row < plan_.rows.size.*= 77, 1");
}

}  // namespace
}  // namespace lastack
