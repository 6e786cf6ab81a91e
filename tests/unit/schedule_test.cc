// Who dies how and when: exact shares, and instants and rows that repeat for a seed.
#include "plan/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "base/clock.h"
#include "base/random.h"

namespace lastack {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;

std::vector<int64_t> shares(int64_t total, const std::vector<double>& weights) {
  return divide(total, weights);
}

RunSpec arriving(Arrival arrival, double per_second, int64_t seed = 1) {
  RunSpec spec;
  spec.arrival = arrival;
  spec.arrivals_per_second = per_second;
  spec.seed = seed;
  return spec;
}

TEST(Random, IsSplitMix64) {
  // The values that the reference implementation yields for this seed: a run of an old version
  // must repeat under a new one.
  Random random{1234567};
  EXPECT_EQ(random.next(), 6457827717110365317u);
  EXPECT_EQ(random.next(), 3203168211198807973u);
  EXPECT_EQ(random.next(), 9817491932198370423u);
}

TEST(Divide, WholeSharesAreExact) {
  EXPECT_THAT(shares(100, {40, 40, 10, 10}), ElementsAre(40, 40, 10, 10));
  EXPECT_THAT(shares(1000, {0.5, 0.25, 0.25}), ElementsAre(500, 250, 250));
}

TEST(Divide, TheLargestRemaindersGetWhatIsLeft) {
  // Quotas 4.7, 1.6, 1.59, 1.2, 0.6, 0.31: three are left after rounding down.
  EXPECT_THAT(shares(10, {47000, 16000, 15900, 12000, 6000, 3100}), ElementsAre(5, 2, 1, 1, 1, 0));
  EXPECT_THAT(shares(10, {1, 9.5, 9.5}), ElementsAre(0, 5, 5));
}

TEST(Divide, TiesGoToTheFirst) {
  EXPECT_THAT(shares(10, {1, 1, 1}), ElementsAre(4, 3, 3));
  EXPECT_THAT(shares(11, {1, 1, 1}), ElementsAre(4, 4, 3));
  EXPECT_THAT(shares(10, {3, 1}), ElementsAre(8, 2));
  EXPECT_THAT(shares(10, {1, 3}), ElementsAre(3, 7));
}

TEST(Divide, AZeroWeightGetsNothing) {
  EXPECT_THAT(shares(7, {0, 1, 0}), ElementsAre(0, 7, 0));
  EXPECT_THAT(shares(3, {0, 1, 1}), ElementsAre(0, 2, 1));
}

TEST(Divide, NothingAmongSomeAndNobody) {
  EXPECT_THAT(shares(0, {1, 2}), ElementsAre(0, 0));
  EXPECT_THAT(shares(0, {}), IsEmpty());
  EXPECT_THAT(shares(5, {}), IsEmpty());
}

TEST(Divide, RandomWeightsSumUpAndStayWithinOneOfTheirQuota) {
  Random random{11};
  for (int round = 0; round < 500; ++round) {
    const auto total = static_cast<int64_t>(random.below(4'000'000));
    std::vector<double> weights = {1};  // so that they never sum to nothing
    for (uint64_t more = random.below(40); more > 0; --more)
      weights.push_back(random.below(4) == 0 ? 0 : random.uniform() * 100);
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    const std::vector<int64_t> counts = shares(total, weights);
    ASSERT_EQ(std::accumulate(counts.begin(), counts.end(), int64_t{0}), total);
    for (size_t i = 0; i < weights.size(); ++i) {
      const double quota = static_cast<double>(total) * weights[i] / sum;
      ASSERT_LT(std::abs(static_cast<double>(counts[i]) - quota), 1.0);
      ASSERT_TRUE(weights[i] > 0 || counts[i] == 0);
    }
  }
}

TEST(Instants, OfAStormAreAllZero) {
  const auto instants = schedule_instants(arriving(Arrival::storm, 0), 100);
  EXPECT_EQ(instants.size(), 100u);
  EXPECT_THAT(instants, Each(0));
}

TEST(Instants, OfAConstantRateHaveEqualGaps) {
  EXPECT_THAT(schedule_instants(arriving(Arrival::constant, 1000), 4),
              ElementsAre(0, 1'000'000, 2'000'000, 3'000'000));
}

TEST(Instants, OfAConstantRateDoNotDrift) {
  // A third of a second is no whole number of nanoseconds.
  const auto instants = schedule_instants(arriving(Arrival::constant, 3), 300'001);
  EXPECT_EQ(instants[1], 333'333'333);
  EXPECT_EQ(instants[300], 100 * kSecond_ns);
  EXPECT_EQ(instants[300'000], 100'000 * kSecond_ns);
  EXPECT_TRUE(std::is_sorted(instants.begin(), instants.end()));
}

TEST(Instants, OfAPoissonProcessHaveExponentialGaps) {
  constexpr int64_t kCount = 100'001;
  const auto instants = schedule_instants(arriving(Arrival::poisson, 5000), kCount);
  ASSERT_EQ(instants.size(), static_cast<size_t>(kCount));
  EXPECT_EQ(instants[0], 0);
  ASSERT_TRUE(std::is_sorted(instants.begin(), instants.end()));

  constexpr double kWantedGap_ns = 200'000;
  const double gaps = static_cast<double>(kCount - 1);
  const double mean_ns = static_cast<double>(instants.back()) / gaps;
  EXPECT_NEAR(mean_ns, kWantedGap_ns, 0.05 * kWantedGap_ns);

  // An exponential distribution has a deviation equal to its mean, and 1/e of it above the mean.
  double squares = 0, above = 0;
  for (size_t i = 1; i < instants.size(); ++i) {
    const double gap_ns = static_cast<double>(instants[i] - instants[i - 1]);
    squares += (gap_ns - mean_ns) * (gap_ns - mean_ns);
    above += gap_ns > mean_ns ? 1 : 0;
  }
  EXPECT_NEAR(std::sqrt(squares / gaps), kWantedGap_ns, 0.05 * kWantedGap_ns);
  EXPECT_NEAR(above / gaps, std::exp(-1), 0.02);
}

TEST(Instants, RepeatForASeedAndDifferForAnother) {
  const auto first = schedule_instants(arriving(Arrival::poisson, 5000, 1), 1000);
  EXPECT_EQ(schedule_instants(arriving(Arrival::poisson, 5000, 1), 1000), first);
  EXPECT_NE(schedule_instants(arriving(Arrival::poisson, 5000, 2), 1000), first);
}

TEST(Instants, OfNobodyAreNone) {
  for (const Arrival arrival : {Arrival::storm, Arrival::constant, Arrival::poisson})
    EXPECT_THAT(schedule_instants(arriving(arrival, 10), 0), IsEmpty());
}

TEST(Rows, AreAssignedExactlyAsOftenAsAskedFor) {
  const std::vector<int64_t> counts = {300, 0, 5, 1, 700};
  const auto rows = assign_rows(counts, 1);
  EXPECT_EQ(rows.size(), 1006u);
  for (size_t row = 0; row < counts.size(); ++row)
    EXPECT_EQ(std::count(rows.begin(), rows.end(), row), counts[row]) << "row " << row;
}

TEST(Rows, RepeatForASeedAndDifferForAnother) {
  const std::vector<int64_t> counts = {500, 500};
  EXPECT_EQ(assign_rows(counts, 1), assign_rows(counts, 1));
  EXPECT_NE(assign_rows(counts, 1), assign_rows(counts, 2));
}

TEST(Rows, AreMixedOverAllConnections) {
  // A quarter of the places holds a quarter of each row, up to chance: six deviations here.
  const auto rows = assign_rows(std::vector<int64_t>{2000, 2000}, 3);
  for (int quarter = 0; quarter < 4; ++quarter) {
    const auto start = rows.begin() + quarter * 1000;
    EXPECT_NEAR(static_cast<double>(std::count(start, start + 1000, 0)), 500, 85);
  }
}

TEST(Rows, OfNobodyAreNone) {
  EXPECT_THAT(assign_rows(std::vector<int64_t>{}, 1), IsEmpty());
  EXPECT_THAT(assign_rows(std::vector<int64_t>{0, 0}, 1), IsEmpty());
}

}  // namespace
}  // namespace lastack
