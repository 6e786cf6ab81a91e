// What a run costs: from made-up readings, and what is not known of them.
#include "run/meter.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "base/clock.h"
#include "base/proc.h"

namespace lastack {
namespace {

TEST(Slab, IsALineOfMeminfo) {
  EXPECT_EQ(bytes_of("MemTotal:  9 kB\nSlab:             75640 kB\nSReclaimable: 1 kB\n", "Slab"),
            75640 * 1024);
  EXPECT_EQ(bytes_of("Slab: 0 kB\n", "Slab"), 0);
  for (const char* text : {"", "MemTotal:  9 kB\n", "Slab:\n", "Slab: kB\n", "Slab: many kB\n",
                           "Slab: 7\n", "KSlab: 7 kB\n"})
    EXPECT_EQ(bytes_of(text, "Slab"), std::nullopt) << text;
  EXPECT_TRUE(slab_bytes());
}

TEST(Growth, IsNotKnownOfWhatIsNotKnown) {
  EXPECT_EQ(growth(4096, 12288), 8192);
  EXPECT_EQ(growth(12288, 4096), -8192);
  EXPECT_EQ(growth(std::nullopt, 4096), kNotKnown);
  EXPECT_EQ(growth(4096, std::nullopt), kNotKnown);
}

MeterReading reading_of(int64_t times) {
  MeterReading reading;
  reading.at_ns = 1000 + 100 * times;
  reading.victims = {1 * times, 2 * times, 3 * times, 4 * times};
  reading.survivors = {5 * times, 6 * times, 7 * times, 8 * times};
  reading.throttled_ns = 9 * times;
  reading.host = HostTimes{.softirq_ns = 10 * times, .idle_ns = 20 * times, .steal_ns = 3 * times};
  reading.host_cpu_ns = 200 * times;
  reading.backlog_drops = 11 * times;
  reading.traffic.out_bytes = 12 * times;
  return reading;
}

struct Charged {
  Cost cost;
  HostService host;
  int64_t backlog_drops = 0;
};
Charged charged(const MeterReading& before, const MeterReading& after, bool softirqs_apart = true) {
  Charged charged;
  charge(before, after, softirqs_apart, charged.cost, charged.host, charged.backlog_drops);
  return charged;
}

TEST(Meter, ChargesWhatLiesBetweenTwoReadings) {
  const auto [cost, host, drops] = charged(reading_of(2), reading_of(5));
  EXPECT_EQ(cost.wall_ns, 300);
  EXPECT_EQ(cost.victims, (RoleCost{3, 6, 9, 12}));
  EXPECT_EQ(cost.survivors, (RoleCost{15, 18, 21, 24}));
  EXPECT_EQ(host.throttled_ns, 27);
  EXPECT_EQ(host.steal_ns, 9);
  EXPECT_EQ(cost.softirq_ns, 30);
  EXPECT_EQ(cost.host_busy_ns, 600 - 60);
  EXPECT_EQ(drops, 33);
  EXPECT_EQ(cost.traffic.out_bytes, 36);
}

TEST(Meter, SoftirqsThatAreNotToldApartAreNotKnown) {
  const auto [cost, host, drops] = charged(reading_of(2), reading_of(5), false);
  EXPECT_EQ(cost.softirq_ns, kNotKnown);
  EXPECT_EQ(cost.host_busy_ns, 540);
}

TEST(Meter, WhatOneReadingLacksIsNotKnown) {
  MeterReading lacking = reading_of(2);
  lacking.host.reset();
  lacking.backlog_drops.reset();
  for (const auto& [cost, host, drops] :
       {charged(lacking, reading_of(5)), charged(reading_of(1), lacking)}) {
    EXPECT_EQ(host.steal_ns, kNotKnown);
    EXPECT_EQ(cost.softirq_ns, kNotKnown);
    EXPECT_EQ(cost.host_busy_ns, kNotKnown);
    EXPECT_EQ(drops, kNotKnown);
    EXPECT_GT(cost.wall_ns, 0);
    EXPECT_GT(cost.survivors.user_ns, 0);
  }
}

TEST(SumOver, AddsEveryNetworkToTheOwnFigures) {
  std::vector<Network> networks(2);
  networks[0].number = 10;
  networks[1].number = 100;
  const auto own = []() -> Result<int64_t> { return 1; };
  const auto of_network = [](const Network& network) -> Result<int64_t> { return network.number; };
  EXPECT_EQ(*sum_over<int64_t>(networks, own, of_network), 111);
  EXPECT_EQ(*sum_over<int64_t>({}, own, of_network), 1);
}

TEST(SumOver, OneThatCannotBeReadIsTheErrorOfAll) {
  std::vector<Network> networks(3);
  networks[1].number = 7;
  const auto own = []() -> Result<int64_t> { return 1; };
  const auto no_own = []() -> Result<int64_t> { return make_error("open", ENOENT, "snmp"); };
  const auto of_network = [](const Network& network) -> Result<int64_t> {
    if (network.number == 7) return make_error("open", EMFILE, "snmp");
    return 1;
  };
  const auto one_missing = sum_over<int64_t>(networks, own, of_network);
  ASSERT_FALSE(one_missing);
  EXPECT_EQ(one_missing.error().error_number, EMFILE);
  const auto own_missing = sum_over<int64_t>(networks, no_own, of_network);
  ASSERT_FALSE(own_missing);
  EXPECT_EQ(own_missing.error().error_number, ENOENT);
}

}  // namespace
}  // namespace lastack
