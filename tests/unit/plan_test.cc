// make_plan() with other hosts' values: shards, CPUs, fall-backs and skipped rows.
#include "plan/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "../named_case.h"
#include "base/clock.h"
#include "doctor/doctor.h"
#include "plan/rings.h"
#include "specs.h"

namespace lastack {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Host host_with(std::vector<int> cpus, int64_t descriptor_limit = 20'000, bool net_admin = true) {
  return {descriptor_limit, std::move(cpus), net_admin, net_admin, 64'512};
}

std::vector<int64_t> requested_of(const Plan& plan) {
  std::vector<int64_t> counts;
  for (const PlannedRow& row : plan.rows) counts.push_back(row.requested);
  return counts;
}

std::string all_notes(const Plan& plan) {
  return std::accumulate(plan.notes.begin(), plan.notes.end(), std::string());
}

std::string refusal(const RunSpec& spec, const Host& host) {
  const auto plan = make_plan(spec, host);
  return plan ? "" : plan.error().message();
}

TEST(PlanShards, TenThousandConnectionsFitOneShard) {
  const auto plan = make_plan(spec_of("fin", 10'000), host_with({0, 1}));
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->shard_connections, ElementsAre(10'000));
  EXPECT_EQ(plan->descriptors_needed, 10'128);  // 128 that are no connection
  EXPECT_THAT(plan->notes, IsEmpty());
}

TEST(PlanShards, AHundredThousandConnectionsNeedAsFewShardsAsTheLimitAllows) {
  const auto plan = make_plan(spec_of("fin", 100'000), host_with({0, 1}));
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->shard_connections, ElementsAre(16'667, 16'667, 16'667, 16'667, 16'666, 16'666));
  EXPECT_EQ(plan->descriptors_needed, 16'795);
}

TEST(PlanShards, HoldNoMoreThanTheirEngineCan) {
  RunSpec spec = spec_of("fin", 3'000);
  spec.watches = {Watch::select};
  const auto plan = make_plan(spec, host_with({0, 1}));
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->shard_connections, ElementsAre(750, 750, 750, 750));
  spec.shards = 3;
  EXPECT_THAT(
      refusal(spec, host_with({0, 1})),
      AllOf(HasSubstr("more than 960"), HasSubstr("FD_SETSIZE"), HasSubstr("at least 4 shards")));
  spec.watches = {Watch::blocking};
  spec.connections = 30'001;
  spec.shards = 0;
  const auto threads = make_plan(spec, host_with({0, 1}, 1'000'000));
  ASSERT_TRUE(threads);
  EXPECT_EQ(threads->shard_connections.size(), 2u);
}

TEST(PlanShards, RunOneEngineAndOneNetworkEach) {
  RunSpec spec = spec_of("fin,sigkill,cable,reboot", 800);
  spec.watches = {Watch::epoll, Watch::epoll_et, Watch::recv};
  const auto plan = make_plan(spec, host_with({0, 1}));
  ASSERT_TRUE(plan);
  // Two engines share what may be shared; every path that is cut is somebody's own.
  ASSERT_EQ(plan->groups.size(), 2u + 2 * 2);
  int64_t connections = 0;
  for (size_t i = 0; i < plan->groups.size(); ++i) {
    const PlannedGroup& group = plan->groups[i];
    connections += group.connections;
    for (const size_t row : group.rows) {
      const PlanRow& planned = plan->rows[row].row;
      EXPECT_EQ(watch_row(planned.watch).engine, group.engine);
      EXPECT_EQ(strategies()[planned.strategy].scope == Scope::path, group.own_network);
    }
    for (const size_t row : group.rows)
      if (group.own_network) {
        EXPECT_EQ(plan->rows[row].row.strategy, plan->rows[group.rows.front()].row.strategy);
      }
    EXPECT_EQ(plan->shard_groups[i], i);
  }
  EXPECT_EQ(connections, 800);
}

TEST(PlanShards, OfABacklogAreApart) {
  RunSpec spec = spec_of("fin,listener-close", 100);
  spec.survivor = Side::client;
  const auto plan = make_plan(spec, host_with({0, 1}));
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->groups.size(), 2u);
  EXPECT_FALSE(plan->groups[0].in_backlog);
  EXPECT_TRUE(plan->groups[1].in_backlog);
}

TEST(PlanShards, WhoseWindowsAreFilledAreApart) {
  const auto plan = make_plan(spec_of("fin,sigkill-sending,sigkill", 99), host_with({0, 1}));
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->groups.size(), 2u);
  EXPECT_FALSE(plan->groups[0].victims_send);
  EXPECT_TRUE(plan->groups[1].victims_send);
  EXPECT_THAT(plan->groups[1].rows, ElementsAre(1));
}

TEST(PlanTcpMemory, BoundsWhatIsFilled) {
  Host host = host_with({0, 1});
  host.tcp_memory_bytes = 200 * kFilledConnectionBytes;
  const RunSpec enough = spec_of("fin,sigkill-sending,sigkill-sending-chatty", 300);
  EXPECT_THAT(requested_of(*make_plan(enough, host)), ElementsAre(100, 100, 100));
  const RunSpec more = spec_of("fin,sigkill-sending,sigkill-sending-chatty", 303);
  const auto plan = make_plan(more, host);
  ASSERT_TRUE(plan);
  EXPECT_THAT(requested_of(*plan), ElementsAre(303, 0, 0));
  EXPECT_THAT(plan->rows[1].skipped,
              AllOf(HasSubstr("202 connections"), HasSubstr("net.ipv4.tcp_mem"),
                    HasSubstr("at most 200 such connections")));
  EXPECT_THAT(all_notes(*plan), HasSubstr("sigkill-sending-chatty skipped"));
  // The doctor asks what was wanted, the memory check what is left of it.
  EXPECT_EQ(filled_connections(more, host), 202);
  EXPECT_EQ(plan->filled_connections, 0);
  EXPECT_EQ(make_plan(enough, host)->filled_connections, 200);
  EXPECT_THAT(refusal(spec_of("sigkill-sending", 201), host), HasSubstr("at most 200"));
}

TEST(PlanTcpMemory, BoundsAStoppedReadersConnections) {
  Host host = host_with({0, 1});
  host.tcp_memory_bytes = 200 * kFilledConnectionBytes;
  RunSpec spec = spec_of("silent", 200);
  spec.victims.reader_stopped = true;
  EXPECT_EQ(refusal(spec, host), "");
  spec.connections = 201;
  EXPECT_THAT(refusal(spec, host), AllOf(HasSubstr("--reader stopped"), HasSubstr("at most 200")));
}

// A run is refused before it opens anything: here too many connections for any host.
TEST(LacksMemory, RefusesWhatTheHostCannotHold) {
  const auto plan = make_plan(spec_of("fin", 100), host_with({0, 1}));
  ASSERT_TRUE(plan);
  EXPECT_FALSE(doctor::lacks_memory(spec_of("fin", 100), *plan));
  const Status refused = doctor::lacks_memory(spec_of("fin", 1'000'000'000'000), *plan);
  ASSERT_TRUE(refused);
  EXPECT_THAT(refused->message(), AllOf(HasSubstr("memory is "), HasSubstr("must be "),
                                        HasSubstr("mend: --connections")));
  Plan filling = *plan;
  filling.filled_connections = 1'000'000'000;
  ASSERT_TRUE(doctor::lacks_memory(spec_of("fin", 100), filling));
  EXPECT_THAT(doctor::lacks_memory(spec_of("fin", 100), filling)->message(),
              HasSubstr("1000000000 windows that are filled"));
}

TEST(PlanShards, TheLimitIsUsedToItsLastDescriptor) {
  const Host host = host_with({0, 1});
  EXPECT_EQ(make_plan(spec_of("fin", 19'872), host)->shard_connections.size(), 1u);
  EXPECT_EQ(make_plan(spec_of("fin", 19'873), host)->shard_connections.size(), 2u);
}

TEST(PlanShards, AskedForShardsAreTaken) {
  RunSpec spec = spec_of("fin", 10);
  spec.shards = 3;
  const auto plan = make_plan(spec, host_with({0, 1}));
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->shard_connections, ElementsAre(4, 3, 3));
}

TEST(PlanShards, TooFewAreRefusedWithTheLeastNumber) {
  RunSpec spec = spec_of("fin", 100'000);
  spec.shards = 5;
  EXPECT_THAT(refusal(spec, host_with({0, 1})), HasSubstr("allowed: at least 6 shards"));
  spec.shards = 6;
  EXPECT_EQ(refusal(spec, host_with({0, 1})), "");
}

TEST(PlanShards, MoreThanTheLauncherHasDescriptorsForAreRefused) {
  // 228 - 128 descriptors: 100 connections a shard, and 33 shards of 3 descriptors each.
  EXPECT_THAT(refusal(spec_of("fin", 3'301), host_with({0, 1}, 228)),
              HasSubstr("allowed: at most 33 shards"));
  EXPECT_EQ(refusal(spec_of("fin", 3'300), host_with({0, 1}, 228)), "");
}

TEST(PlanShards, MoreThanEverAllowedAreRefused) {
  RunSpec spec = spec_of("fin", 10'000);
  spec.shards = kMostShards + 1;
  EXPECT_THAT(refusal(spec, host_with({0, 1})), HasSubstr("allowed: at most 512 shards"));
}

TEST(PlanShards, ALimitBelowOneConnectionIsRefused) {
  EXPECT_THAT(refusal(spec_of("fin", 1), host_with({0, 1}, 128)),
              HasSubstr("allowed: at least 129"));
  EXPECT_THAT(refusal(spec_of("fin", 1), host_with({0, 1}, 64)),
              HasSubstr("allowed: at least 129"));
}

TEST(PlanShards, EveryShardNeedsPortsForItsConnections) {
  Host host = host_with({0, 1});
  host.ports = 10;  // times 64 listening ports
  EXPECT_EQ(refusal(spec_of("fin", 640), host), "");
  EXPECT_THAT(refusal(spec_of("fin", 641), host), HasSubstr("10 ephemeral ports x 64 listeners"));
  RunSpec spread = spec_of("fin", 641);
  spread.shards = 2;
  EXPECT_EQ(refusal(spread, host), "");
}

struct WaitCase {
  const char* name;
  std::vector<int> cpus;
  int64_t shards;
  Wait wait;
  RingMode ring;
};

using cases::PrintTo;

class PlanSpin : public testing::TestWithParam<WaitCase> {};

TEST_P(PlanSpin, SpinsOnlyWithACpuForEverySurvivor) {
  RunSpec spec = spec_of("fin", 100);
  spec.wait = Wait::spin;
  spec.shards = GetParam().shards;
  const auto plan = make_plan(spec, host_with(GetParam().cpus));
  ASSERT_TRUE(plan);
  const bool spins = GetParam().wait == Wait::spin;
  EXPECT_EQ(plan->wait, GetParam().wait);
  EXPECT_EQ(plan->ring, RingMode::defer);
  EXPECT_EQ(all_notes(*plan).find("fell back to block") == std::string::npos, spins);
  EXPECT_EQ(plan->placements[1].role, "survivor");
  EXPECT_EQ(plan->placements[1].spins, spins);
}

INSTANTIATE_TEST_SUITE_P(
    Hosts, PlanSpin,
    testing::Values(WaitCase{"OneCpu", {0}, 1, Wait::block, RingMode::defer},
                    WaitCase{"TwoCpus", {0, 1}, 1, Wait::spin, RingMode::defer},
                    WaitCase{"MoreShardsThanCpus", {0, 1}, 3, Wait::block, RingMode::defer},
                    WaitCase{"MoreShardsThanSurvivorCpus", {0, 1}, 2, Wait::block, RingMode::defer},
                    WaitCase{"AsManyAsSurvivorCpus", {0, 1, 2}, 2, Wait::spin, RingMode::defer}),
    cases::by_name);

class PlanSqpoll : public testing::TestWithParam<WaitCase> {};

TEST_P(PlanSqpoll, NeedsACpuForEveryKernelThread) {
  RunSpec spec = spec_of("fin", 100);
  spec.ring = RingMode::sqpoll;
  spec.shards = GetParam().shards;
  const auto plan = make_plan(spec, host_with(GetParam().cpus));
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->ring, GetParam().ring);
  EXPECT_EQ(all_notes(*plan).find("fell back to defer") == std::string::npos,
            GetParam().ring == RingMode::sqpoll);
}

INSTANTIATE_TEST_SUITE_P(
    Hosts, PlanSqpoll,
    testing::Values(WaitCase{"OneCpu", {0}, 1, Wait::block, RingMode::defer},
                    WaitCase{"TwoCpus", {0, 1}, 1, Wait::block, RingMode::sqpoll},
                    WaitCase{"MoreShardsThanCpus", {0, 1}, 3, Wait::block, RingMode::defer}),
    cases::by_name);

TEST(PlanSpinAndSqpoll, TogetherOnlyTheKernelThreadSpins) {
  RunSpec spec = spec_of("fin", 100);
  spec.wait = Wait::spin;
  spec.ring = RingMode::sqpoll;
  const auto roomy = make_plan(spec, host_with({0, 1}));
  ASSERT_TRUE(roomy);
  EXPECT_EQ(roomy->ring, RingMode::sqpoll);
  EXPECT_EQ(roomy->wait, Wait::block);
  EXPECT_THAT(roomy->notes, ElementsAre(HasSubstr("two threads on one CPU")));

  const auto narrow = make_plan(spec, host_with({0}));
  ASSERT_TRUE(narrow);
  EXPECT_EQ(narrow->ring, RingMode::defer);
  EXPECT_EQ(narrow->wait, Wait::block);
  EXPECT_EQ(narrow->notes.size(), 2u);
}

TEST(PlanRows, AreMixTimesWatchTimesProbeInThatOrder) {
  RunSpec spec = spec_of("fin=1,rst-linger=3", 800);
  spec.watches = {Watch::poll, Watch::recv};
  spec.probes = {Probe::none, Probe::keepalive};
  const auto plan = make_plan(spec, host_with({0, 1}));
  ASSERT_TRUE(plan);
  EXPECT_THAT(requested_of(*plan), ElementsAre(50, 50, 50, 50, 150, 150, 150, 150));
  EXPECT_EQ(strategies()[plan->rows[3].row.strategy].name, "fin");
  EXPECT_EQ(plan->rows[3].row.watch, Watch::recv);
  EXPECT_EQ(plan->rows[3].row.probe, Probe::keepalive);
  EXPECT_EQ(plan->rows[4].row.watch, Watch::poll);
  EXPECT_EQ(strategies()[plan->rows[4].row.strategy].name, "rst-linger");
}

TEST(PlanRows, WithTheRightsNothingIsSkipped) {
  const auto plan = make_plan(spec_of("fin=1,rst-linger=3,destroy=4", 1'000), host_with({0, 1}));
  ASSERT_TRUE(plan);
  EXPECT_THAT(requested_of(*plan), ElementsAre(125, 375, 500));
  for (const PlannedRow& row : plan->rows) EXPECT_EQ(row.skipped, "");
}

TEST(PlanRows, ASkippedRowGetsNothingAndItsWeightIsSpread) {
  const auto plan =
      make_plan(spec_of("fin=1,rst-linger=3,destroy=4", 1'000), host_with({0, 1}, 20'000, false));
  ASSERT_TRUE(plan);
  EXPECT_THAT(requested_of(*plan), ElementsAre(250, 750, 0));
  EXPECT_EQ(plan->rows[0].skipped, "");
  EXPECT_EQ(plan->rows[2].skipped, "needs CAP_NET_ADMIN over the network namespace");
  EXPECT_THAT(plan->notes, ElementsAre(HasSubstr("destroy skipped: needs CAP_NET_ADMIN")));
  EXPECT_THAT(plan->notes, ElementsAre(HasSubstr("its weight 4 is spread over the other rows")));
}

TEST(PlanRows, EveryWatchOfASkippedStrategyIsSkippedWithOneNote) {
  RunSpec spec = spec_of("silent,fin", 101);
  spec.watches = {Watch::recv, Watch::poll};
  const auto plan = make_plan(spec, host_with({0, 1}, 20'000, false));
  ASSERT_TRUE(plan);
  EXPECT_THAT(requested_of(*plan), ElementsAre(0, 0, 51, 50));
  EXPECT_EQ(plan->notes.size(), 1u);
}

// A million connections under the 8 MiB that distributions allow.
TEST(PlanRings, AreSmallerWhereLittleMemoryMayBeLocked) {
  const RunSpec spec = spec_of("rst-linger", 1'000'000);
  Host host = host_with({0, 1}, 20'000);
  const auto wide = make_plan(spec, host);
  ASSERT_TRUE(wide);
  EXPECT_EQ(wide->most_completions, kMostCompletions);
  EXPECT_THAT(wide->notes, IsEmpty());
  host.locked_bytes = 8 << 20;
  const auto narrow = make_plan(spec, host);
  ASSERT_TRUE(narrow);
  const auto bytes_of = [&](int64_t most) {
    return locked_bytes(spec, static_cast<int64_t>(narrow->shard_connections.size()),
                        narrow->shard_connections[0], most, 4096);
  };
  EXPECT_LE(bytes_of(narrow->most_completions), host.locked_bytes / 8 * 7);
  EXPECT_GT(bytes_of(2 * narrow->most_completions), host.locked_bytes / 8 * 7);
  EXPECT_THAT(narrow->notes, ElementsAre(HasSubstr("what overflows them is kept by the kernel")));
  host.locked_bytes = 4096;
  EXPECT_EQ(make_plan(spec, host)->most_completions, kFewestCompletions);
}

TEST(PlanRows, DestroyIsSkippedWhereTheKernelHasItNot) {
  Host host = host_with({0, 1});
  host.socket_destroy = false;
  const auto plan = make_plan(spec_of("fin,destroy", 100), host);
  ASSERT_TRUE(plan);
  EXPECT_THAT(requested_of(*plan), ElementsAre(100, 0));
  EXPECT_THAT(plan->rows[1].skipped, HasSubstr("needs a kernel with SOCK_DESTROY"));
}

TEST(PlanRows, AllAreSkippedWhereASysctlIsMissing) {
  Host host = host_with({0, 1});
  const RunSpec spec = spec_of("fin,silent", 100);
  EXPECT_TRUE(skipped_rows(spec, host).empty());
  host.missing_sysctls = {"net.ipv4.tcp_rto_max_ms (Linux 6.15)"};
  EXPECT_EQ(refusal(spec, host),
            "every row of the mix is skipped: needs net.ipv4.tcp_rto_max_ms (Linux 6.15)");
  ASSERT_EQ(skipped_rows(spec, host).size(), 2u);
  EXPECT_EQ(skipped_rows(spec, host)[1].skipped, "needs net.ipv4.tcp_rto_max_ms (Linux 6.15)");
}

TEST(PlanRows, AMixWithNothingLeftIsAnError) {
  EXPECT_THAT(refusal(spec_of("vanish,silent,destroy", 100), host_with({0, 1}, 20'000, false)),
              HasSubstr("every row of the mix is skipped: needs CAP_NET_ADMIN"));
}

TEST(PlanRows, TooManyAreRefused) {
  RunSpec spec = spec_of("all", 10'000);
  spec.watches.assign(kMostRows / close_strategies().size() + 1, Watch::recv);
  EXPECT_THAT(refusal(spec, host_with({0, 1})), HasSubstr("allowed: at most 512"));
}

struct Place {
  std::string role;
  int cpu;
  bool spins;
  bool operator==(const Place&) const = default;
};

std::vector<Place> places_of(const Plan& plan) {
  std::vector<Place> places;
  for (size_t i = 0; i < plan.placements.size(); ++i) {
    EXPECT_EQ(plan.placements[i].shard, i / 2);
    places.push_back({plan.placements[i].role, plan.placements[i].cpu, plan.placements[i].spins});
  }
  return places;
}

TEST(PlanPlacements, VictimsAndSurvivorsShareNoCpu) {
  RunSpec spec = spec_of("fin", 100);
  spec.shards = 3;
  const auto plan = make_plan(spec, host_with({0, 2, 5, 7}));
  ASSERT_TRUE(plan);
  EXPECT_THAT(places_of(*plan),
              ElementsAre(Place{"victim", 0, false}, Place{"survivor", 5, false},
                          Place{"victim", 2, false}, Place{"survivor", 7, false},
                          Place{"victim", 0, false}, Place{"survivor", 5, false}));
}

TEST(PlanPlacements, AnOddCpuGoesToTheSurvivors) {
  RunSpec spec = spec_of("fin", 100);
  spec.shards = 2;
  spec.wait = Wait::spin;
  const auto plan = make_plan(spec, host_with({0, 1, 2}));
  ASSERT_TRUE(plan);
  // Two victims on one CPU must not spin for instants, their survivors may spin for completions.
  EXPECT_THAT(places_of(*plan), ElementsAre(Place{"victim", 0, false}, Place{"survivor", 1, true},
                                            Place{"victim", 0, false}, Place{"survivor", 2, true}));
}

TEST(PlanPlacements, AVictimWithACpuOfItsOwnSpins) {
  const auto plan = make_plan(spec_of("fin", 100), host_with({3, 4}));
  ASSERT_TRUE(plan);
  EXPECT_THAT(places_of(*plan), ElementsAre(Place{"victim", 3, true}, Place{"survivor", 4, false}));
}

TEST(PlanPlacements, OneCpuIsShared) {
  const auto plan = make_plan(spec_of("fin", 100), host_with({6}));
  ASSERT_TRUE(plan);
  EXPECT_THAT(places_of(*plan),
              ElementsAre(Place{"victim", 6, false}, Place{"survivor", 6, false}));
}

TEST(PlanEstimate, AStormOfFins) {
  // 0.5 s, 60 us to open and end and 20 us to schedule each one of 10,000.
  const auto plan = make_plan(spec_of("fin", 10'000), host_with({0, 1}));
  EXPECT_EQ(plan->estimated_ns, 1'300 * kMillisecond_ns);
}

TEST(PlanEstimate, SilenceLastsUntilTheDeadline) {
  RunSpec spec = spec_of("fin,silent", 10'000);
  EXPECT_EQ(make_plan(spec, host_with({0, 1}))->estimated_ns, 6'300 * kMillisecond_ns);
  // A row that is skipped is not waited for.
  EXPECT_EQ(make_plan(spec, host_with({0, 1}, 20'000, false))->estimated_ns,
            1'300 * kMillisecond_ns);
}

TEST(PlanEstimate, ARateAndAWarmUpAreAdded) {
  RunSpec spec = spec_of("fin", 10'000);
  spec.arrival = Arrival::constant;
  spec.arrivals_per_second = 1'000;
  spec.warm_up_ns = 2 * kSecond_ns;
  EXPECT_EQ(make_plan(spec, host_with({0, 1}))->estimated_ns, 13'100 * kMillisecond_ns);
}

TEST(PlanHost, ThisHostCanBePlannedFor) {
  const Host host = this_host(RunSpec{});
  EXPECT_GE(host.cpus.size(), 1u);
  EXPECT_GT(host.descriptor_limit, 0);
  EXPECT_TRUE(host.net_admin);    // a private namespace makes its own administrator
  EXPECT_EQ(host.ports, 64'512);  // and its own range: 1024 to 65535
}

TEST(PlanCircumstances, AreTheRowsAndTheSpecs) {
  RunSpec spec = spec_of("fin", 10);
  spec.traffic.load = Load::echo;
  spec.deadline_ns = 7;
  spec.probe_settings.keepalive_count = 9;
  const Circumstances when =
      planned_row(spec, {0, Watch::poll_multishot, Probe::user_timeout}).when;
  EXPECT_EQ(when.watch, Watch::poll_multishot);
  EXPECT_EQ(when.probe, Probe::user_timeout);
  EXPECT_EQ(when.load, Load::echo);
  EXPECT_EQ(when.deadline_ns, 7);
  EXPECT_EQ(when.settings.keepalive_count, 9);
}

TEST(PlanRows, OfAWriterAreCrossedWithItsPaths) {
  RunSpec spec = spec_of("fin,rst-linger", 600);
  spec.watches = {Watch::recv, Watch::writer};
  spec.write_paths = {WritePath::send, WritePath::sendfile};
  const auto plan = make_plan(spec, host_with({0, 1}));
  ASSERT_TRUE(plan);
  EXPECT_THAT(requested_of(*plan), ElementsAre(100, 100, 100, 100, 100, 100));
  EXPECT_EQ(plan->rows[0].row.write_path, WritePath::none);
  EXPECT_EQ(plan->rows[1].row.write_path, WritePath::send);
  EXPECT_EQ(plan->rows[2].row.write_path, WritePath::sendfile);
  EXPECT_EQ(plan->groups.size(), 2u) << "an engine has processes of its own";
}

TEST(PlanRows, AWritePathThatTheKernelLacksIsSkipped) {
  RunSpec spec = spec_of("fin", 100);
  spec.watches = {Watch::writer};
  spec.write_paths = {WritePath::write_nosignal, WritePath::write};
  Host host = host_with({0, 1});
  host.missing_write_needs = {WriteNeed::nosignal_flag};
  const auto plan = make_plan(spec, host);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->rows[0].skipped, "needs RWF_NOSIGNAL (Linux 6.18)");
  EXPECT_THAT(requested_of(*plan), ElementsAre(0, 100));
  EXPECT_TRUE(plan->otherwise.empty());
}

TEST(PlanRows, AWritePathThatIsDoneOtherwiseIsSaid) {
  RunSpec spec = spec_of("fin", 100);
  spec.watches = {Watch::recv, Watch::writer};
  spec.write_paths = {WritePath::send, WritePath::writev, WritePath::write, WritePath::splice};
  Host host = host_with({0, 1});
  host.sockets_take_nowait = false;
  const auto plan = make_plan(spec, host);
  ASSERT_TRUE(plan);
  for (const PlannedRow& row : plan->rows) EXPECT_EQ(row.skipped, "");
  ASSERT_EQ(plan->otherwise.size(), 1u);
  EXPECT_THAT(plan->otherwise[0], HasSubstr("each write of write, writev asks poll(2)"));
  EXPECT_THAT(plan->notes, Contains(plan->otherwise[0]));
  spec.write_paths = {WritePath::send, WritePath::splice};
  EXPECT_TRUE(make_plan(spec, host)->otherwise.empty());
}

}  // namespace
}  // namespace lastack
