// Joining ends that only their 4-tuples tell apart, and what each pair is given.
#include "run/join.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <numeric>
#include <set>

#include "shard/table.h"
#include "specs.h"

namespace lastack {
namespace {

using testing::Each;
using testing::ElementsAre;

const Host kHost = {.descriptor_limit = 20'000,
                    .cpus = {0, 1},
                    .net_admin = true,
                    .private_network = true,
                    .ports = 64'512};

constexpr uint32_t kHere = 0x7f000001;

// A shard whose connecting end i stands at port 1000 + i, and was accepted in another order: by
// slot (i * 3 + 1) modulo the number of ends.
class Joined {
 public:
  Joined(RunSpec given, uint32_t connections)
      : spec(std::move(given)),
        plan(*make_plan(spec, kHost)),
        assignment(assign_pairs(spec, plan)),
        table_(std::move(*ShardTable::create(connections))) {
    for (size_t row = 0; row < plan.rows.size(); ++row)
      view().header->rows[row] = plan.rows[row].row;
    for (uint32_t slot = 0; slot < connections; ++slot) {
      const FourTuple tuple{{kHere, static_cast<uint16_t>(1000 + slot)}, {kHere, 80}};
      set(connecting(slot), tuple);
      accept(slot, tuple);
    }
  }
  ShardView view() const { return table_.view(); }
  bool listens() const { return spec.survivor == Side::server; }
  uint32_t acceptor_of(uint32_t slot) const {
    return (slot * 7 + 1) % static_cast<uint32_t>(view().victims.size());
  }
  // Calls `see` with the end of this slot at the connecting or the accepting side.
  template <class See>
  void connecting_end(uint32_t slot, See see) {
    listens() ? see(view().victims[slot]) : see(view().survivors[slot]);
  }
  template <class See>
  void accepting_end(uint32_t slot, See see) {
    listens() ? see(view().survivors[slot]) : see(view().victims[slot]);
  }
  void join(int accept_error = ETIMEDOUT) {
    matched = match_ends(view(), spec.survivor);
    hand_out(view(), pairs_of_shard(plan, assignment, 0), matched, assignment, spec.survivor,
             accept_error);
  }

  RunSpec spec;
  Plan plan;
  Assignment assignment;
  std::vector<uint32_t> matched;

 private:
  struct Tupled {
    uint32_t slot;
  };
  Tupled connecting(uint32_t slot) { return {slot}; }
  void set(Tupled at, const FourTuple& tuple) {
    connecting_end(at.slot, [&](auto& end) { end.tuple = tuple, end.flags = kEstablished; });
  }
  void accept(uint32_t slot, const FourTuple& tuple) {
    accepting_end(acceptor_of(slot),
                  [&](auto& end) { end.tuple = tuple.reversed(), end.flags = kEstablished; });
  }
  ShardTable table_;
};

TEST(Join, FindsThePeerWhateverTheOrderOfAccepts) {
  for (const Side side : {Side::server, Side::client}) {
    RunSpec spec = spec_of("fin,rst-linger", 10);
    spec.survivor = side;
    Joined one(spec, 10);
    one.join();
    for (uint32_t slot = 0; slot < 10; ++slot) {
      ASSERT_EQ(one.matched[slot], one.acceptor_of(slot));
      uint32_t pair = kNoPair;
      uint16_t row = 9;
      one.connecting_end(slot, [&](const auto& end) { pair = end.pair, row = end.row; });
      EXPECT_EQ(pair, slot);
      EXPECT_EQ(row, one.assignment.row_of[slot]);
      one.accepting_end(one.matched[slot], [&](const auto& end) {
        EXPECT_EQ(end.pair, pair);
        EXPECT_EQ(end.row, row);
      });
    }
  }
}

TEST(Join, WhoWasNotAcceptedHasTheErrnoOfTheAccept) {
  Joined one(spec_of("fin", 8), 8);
  const uint32_t acceptor = one.acceptor_of(5);
  one.accepting_end(acceptor, [](auto& end) { end.flags = 0; });
  one.join(EMFILE);
  EXPECT_EQ(one.matched[5], kNoPair);
  const VictimEnd& lost = one.view().victims[5];
  EXPECT_EQ(lost.open_error, EMFILE);
  EXPECT_FALSE(lost.flags & kEstablished);
  EXPECT_EQ(lost.pair, 5u) << "the ledger counts it in its row";
  EXPECT_EQ(std::ranges::count(one.matched, kNoPair), 1);
}

TEST(Join, AStrangerTakesNoPart) {
  Joined one(spec_of("fin", 8), 8);
  const uint32_t acceptor = one.acceptor_of(5);
  one.accepting_end(acceptor, [](auto& end) { end.tuple.remote.port = 9; });
  one.join();
  const SurvivorEnd& stranger = one.view().survivors[acceptor];
  EXPECT_FALSE(stranger.flags & kEstablished);
  EXPECT_EQ(stranger.pair, kNoPair);
}

TEST(Join, ConnectsThatFailedKeepTheirOwnErrno) {
  Joined one(spec_of("fin", 8), 8);
  VictimEnd& failed = one.view().victims[2];
  failed.flags = 0;
  failed.open_error = ECONNREFUSED;
  one.view().survivors[one.acceptor_of(2)].flags = 0;
  one.join(EMFILE);
  EXPECT_EQ(failed.open_error, ECONNREFUSED);
}

TEST(Join, OfABacklogTheSurvivorsSpeakForTheVictims) {
  RunSpec spec = spec_of("listener-close", 4);
  spec.survivor = Side::client;
  Joined one(spec, 4);
  for (VictimEnd& end : one.view().victims) end = {};
  one.view().survivors[3].flags = 0;
  accept_by_backlog(one.view());
  for (uint32_t slot = 0; slot < 3; ++slot) {
    EXPECT_TRUE(one.view().victims[slot].flags & kEstablished);
    EXPECT_EQ(one.view().victims[slot].tuple, one.view().survivors[slot].tuple.reversed());
  }
  EXPECT_FALSE(one.view().victims[3].flags & kEstablished);
}

TEST(Assignment, DependsOnTheSeedAlone) {
  RunSpec spec = spec_of("fin,rst-linger,alive", 300);
  const Plan plan = *make_plan(spec, kHost);
  const Assignment one = assign_pairs(spec, plan), again = assign_pairs(spec, plan);
  EXPECT_EQ(one.row_of, again.row_of);
  EXPECT_EQ(one.instants, again.instants);
  spec.seed = 2;
  EXPECT_NE(assign_pairs(spec, plan).row_of, one.row_of);
  for (const uint16_t row : {0, 1, 2}) EXPECT_EQ(std::ranges::count(one.row_of, row), 100);
}

TEST(Assignment, WhoStaysAliveHasNoInstant) {
  RunSpec spec = spec_of("fin,alive", 100);
  spec.arrival = Arrival::constant;
  spec.arrivals_per_second = 10;
  const Plan plan = *make_plan(spec, kHost);
  const Assignment assignment = assign_pairs(spec, plan);
  std::vector<int64_t> dying;
  for (size_t pair = 0; pair < 100; ++pair) {
    if (stays_alive(strategy_of(plan.rows[assignment.row_of[pair]].row)))
      EXPECT_EQ(assignment.instants[pair], 0);
    else
      dying.push_back(assignment.instants[pair]);
  }
  EXPECT_TRUE(std::ranges::is_sorted(dying));
  EXPECT_EQ(dying[1] - dying[0], 100'000'000);
}

TEST(Assignment, ShardsOfAGroupShareItsPairs) {
  RunSpec spec = spec_of("fin,cable", 101);
  spec.shards = 3;
  const Plan plan = *make_plan(spec, kHost);
  const Assignment assignment = assign_pairs(spec, plan);
  ASSERT_EQ(plan.shard_connections.size(), 6u);
  std::set<uint32_t> all;
  size_t sum = 0;
  for (size_t shard = 0; shard < 6; ++shard) {
    const auto pairs = pairs_of_shard(plan, assignment, shard);
    EXPECT_EQ(pairs.size(), plan.shard_connections[shard]);
    for (const uint32_t pair : pairs) {
      const auto& rows = plan.groups[plan.shard_groups[shard]].rows;
      EXPECT_EQ(std::ranges::count(rows, assignment.row_of[pair]), 1);
    }
    all.insert(pairs.begin(), pairs.end());
    sum += pairs.size();
  }
  EXPECT_EQ(all.size(), 101u);
  EXPECT_EQ(sum, 101u);
}

std::vector<uint32_t> groups_of(const ShardView& view) {
  std::vector<uint32_t> groups;
  for (const VictimEnd& end : view.victims) groups.push_back(end.group);
  return groups;
}

TEST(Groups, OfAProcessDieAtTheInstantOfTheFirst) {
  Joined one(spec_of("sigkill", 6), 6);
  one.join();
  const int64_t instants[] = {60, 10, 40, 20, 50, 30};
  for (size_t slot = 0; slot < 6; ++slot) one.view().victims[slot].scheduled_ns = instants[slot];
  form_groups(one.view(), 4);
  EXPECT_THAT(groups_of(one.view()), ElementsAre(1, 0, 0, 0, 1, 0));
  std::vector<int64_t> scheduled;
  for (const VictimEnd& end : one.view().victims) scheduled.push_back(end.scheduled_ns);
  EXPECT_THAT(scheduled, ElementsAre(50, 10, 10, 10, 50, 10));
}

TEST(Groups, OfAConnectionThereAreNone) {
  Joined one(spec_of("fin", 5), 5);
  one.join();
  form_groups(one.view(), 100);
  EXPECT_THAT(groups_of(one.view()), Each(kNoGroup));
}

TEST(Groups, AreOneStrategysAndLeaveOutWhoDoesNotStand) {
  Joined one(spec_of("sigkill,exit", 8), 8);
  one.join();
  one.view().victims[4].flags &= ~kEstablished;
  form_groups(one.view(), 100);
  for (size_t slot = 0; slot < 8; ++slot) {
    const VictimEnd& end = one.view().victims[slot];
    // In the order of strategies: exit, row 1, comes before sigkill.
    EXPECT_EQ(end.group, slot == 4 ? kNoGroup : 1u - end.row);
  }
}

TEST(Groups, OfAListenerAreThoseOfItsPort) {
  RunSpec spec = spec_of("listener-close", 4);
  spec.survivor = Side::client;
  Joined one(spec, 4);
  one.join();
  for (size_t slot = 0; slot < 4; ++slot)
    one.view().victims[slot].tuple.local.port = static_cast<uint16_t>(90 + slot % 2);
  form_groups(one.view(), 1);
  EXPECT_THAT(groups_of(one.view()), ElementsAre(0, 1, 0, 1));
}

TEST(TrafficOfAShard, SumsToTheWhole) {
  RunSpec spec = spec_of("fin,cable", 101);
  spec.shards = 3;
  spec.neighbours = 10;
  spec.traffic = {Load::echo, 1000};
  spec.neighbour_traffic = {Load::echo, 50};
  const Plan plan = *make_plan(spec, kHost);
  double of_mix = 0, of_neighbours = 0;
  for (size_t shard = 0; shard < plan.shard_connections.size(); ++shard) {
    of_mix += traffic_of_shard(spec, plan, shard, spec.traffic, false).round_trips_per_second;
    of_neighbours +=
        traffic_of_shard(spec, plan, shard, spec.neighbour_traffic, true).round_trips_per_second;
  }
  EXPECT_NEAR(of_mix, 1000, 1e-6);
  EXPECT_NEAR(of_neighbours, 50, 1e-6);
}

TEST(SurvivorsByVictim, AreThePairsSeenFromTheVictims) {
  const std::vector<uint32_t> acceptor_of = {1, 2, kNoPair};
  // The survivor accepts: victims are the connecting ends.
  EXPECT_THAT(survivors_by_victim(acceptor_of, 3, Side::server), ElementsAre(1, 2, kNoPair));
  // The survivor connects: victims are the accepting ends.
  EXPECT_THAT(survivors_by_victim(acceptor_of, 3, Side::client), ElementsAre(kNoPair, 0, 1));
}

}  // namespace
}  // namespace lastack
