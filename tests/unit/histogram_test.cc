// The histogram against sorted values: few are exact, of many what is promised to be exact is, and
// the rest stays in bounds.
#include "base/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "base/random.h"
#include "ledger/result_json.h"

namespace lastack {
namespace {

constexpr int64_t kLargest = int64_t{1} << 62;
constexpr size_t kMost = Histogram::kMostExact;

// Values of every magnitude from 1 bit to 62 bits, each magnitude equally often.
std::vector<int64_t> values_of_all_magnitudes(size_t count, uint64_t seed) {
  Random random{seed};
  std::vector<int64_t> values;
  for (size_t i = 0; i < count; ++i)
    values.push_back(static_cast<int64_t>(random.next() >> (2 + random.below(62))));
  return values;
}

// Small enough that a double sums them without rounding, in any order.
std::vector<int64_t> values_with_exact_sums(size_t count, uint64_t seed) {
  Random random{seed};
  std::vector<int64_t> values;
  for (size_t i = 0; i < count; ++i)
    values.push_back(static_cast<int64_t>(random.below(1'000'000'000)));
  return values;
}

Histogram histogram_of(const std::vector<int64_t>& values) {
  Histogram histogram;
  for (const int64_t value : values) histogram.record(value);
  return histogram;
}

int64_t exact_quantile(const std::vector<int64_t>& sorted, double quantile) {
  const double rank = std::ceil(quantile * static_cast<double>(sorted.size()));
  return sorted[static_cast<size_t>(std::max(rank, 1.0)) - 1];
}

void expect_same(const Histogram& a, const Histogram& b) {
  const Histogram::State left = a.state(), right = b.state();
  EXPECT_EQ(left.values, right.values);
  EXPECT_EQ(left.buckets, right.buckets);
  EXPECT_EQ(left.count, right.count);
  EXPECT_EQ(left.min, right.min);
  EXPECT_EQ(left.max, right.max);
  EXPECT_EQ(left.sum, right.sum);
}

TEST(Histogram, EmptyOneAnswersZero) {
  const Histogram empty;
  EXPECT_EQ(empty.count(), 0u);
  EXPECT_EQ(empty.min(), 0);
  EXPECT_EQ(empty.max(), 0);
  EXPECT_EQ(empty.mean(), 0);
  for (const double share : {0.0, 0.5, 1.0}) EXPECT_EQ(empty.quantile(share), 0);
  EXPECT_EQ(empty.count_up_to(kLargest), 0u);
}

// Seeds stand for a count each, the bound and its neighbour among them.
size_t count_of_seed(uint64_t seed) {
  if (seed <= 2) return seed;
  if (seed == 3) return kMost;
  if (seed == 4) return kMost - 1;
  return 1 + Random{seed}.below(kMost);
}

TEST(Histogram, FewValuesAreExact) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    std::vector<int64_t> values = values_of_all_magnitudes(count_of_seed(seed), seed);
    const Histogram histogram = histogram_of(values);
    std::sort(values.begin(), values.end());
    ASSERT_TRUE(histogram.exact());
    const auto count = static_cast<double>(values.size());
    for (size_t rank = 1; rank <= values.size(); ++rank) {
      ASSERT_EQ(histogram.quantile(static_cast<double>(rank) / count), values[rank - 1]);
      ASSERT_EQ(histogram.quantile((static_cast<double>(rank) - 0.5) / count), values[rank - 1]);
    }
    Random random{seed};
    for (int i = 0; i < 200; ++i) {
      const int64_t limit =
          values[random.below(values.size())] + static_cast<int64_t>(random.below(3)) - 1;
      ASSERT_EQ(histogram.count_up_to(limit),
                static_cast<uint64_t>(
                    std::ranges::count_if(values, [&](int64_t value) { return value <= limit; })))
          << "seed " << seed;
    }
  }
}

TEST(Histogram, OneValueTooManyFallsToBuckets) {
  std::vector<int64_t> values = values_with_exact_sums(kMost + 1, 9);
  Histogram histogram = histogram_of({values.begin(), values.end() - 1});
  EXPECT_TRUE(histogram.exact());
  EXPECT_TRUE(histogram.state().buckets.empty());
  histogram.record(values.back());
  EXPECT_FALSE(histogram.exact());
  EXPECT_TRUE(histogram.state().values.empty());  // memory stays bounded

  int64_t sum = 0;
  for (const int64_t value : values) sum += value;
  std::sort(values.begin(), values.end());
  EXPECT_EQ(histogram.count(), kMost + 1);
  EXPECT_EQ(histogram.min(), values.front());
  EXPECT_EQ(histogram.max(), values.back());
  EXPECT_EQ(histogram.mean(), static_cast<double>(sum) / static_cast<double>(values.size()));
  size_t rounded = 0;
  for (size_t rank = 1; rank <= values.size(); ++rank) {
    const int64_t exact = values[rank - 1];
    const int64_t told =
        histogram.quantile((static_cast<double>(rank) - 0.5) / static_cast<double>(values.size()));
    ASSERT_GE(told, exact);
    ASSERT_LE(static_cast<double>(told - exact),
              Histogram::kRelativeError * static_cast<double>(exact));
    rounded += told != exact;
  }
  EXPECT_GT(rounded, values.size() / 2);  // else these were no buckets
}

TEST(Histogram, OrderDoesNotMatter) {
  for (const size_t count : {kMost / 2, 2 * kMost}) {
    std::vector<int64_t> values = values_with_exact_sums(count, 10);
    const Histogram as_they_came = histogram_of(values);
    std::sort(values.begin(), values.end(), std::greater<>());
    expect_same(histogram_of(values), as_they_came);
    EXPECT_EQ(histogram_of(values), as_they_came);
  }
}

TEST(Histogram, QuantilesOverstateByAtMostTheRelativeError) {
  // 4,999 is prime: no quantile below falls between two ranks, where rounding would decide.
  for (const uint64_t seed : {1, 2, 3}) {
    std::vector<int64_t> values = values_of_all_magnitudes(4999, seed);
    const Histogram histogram = histogram_of(values);
    std::sort(values.begin(), values.end());
    for (const double share : {0.0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0}) {
      const int64_t exact = exact_quantile(values, share);
      const int64_t told = histogram.quantile(share);
      EXPECT_GE(told, exact) << "quantile " << share << ", seed " << seed;
      EXPECT_LE(static_cast<double>(told - exact),
                Histogram::kRelativeError * static_cast<double>(exact))
          << "quantile " << share << ", seed " << seed;
    }
  }
}

TEST(Histogram, EverySingleBucketKeepsTheRelativeError) {
  // Values on both sides keep min() and max() from hiding the bucket's own bound.
  for (const int64_t value : values_of_all_magnitudes(5000, 7)) {
    Histogram histogram = histogram_of({value});
    histogram.record(0, kMost);
    histogram.record(std::numeric_limits<int64_t>::max(), kMost);
    const int64_t told = histogram.quantile(0.5);
    ASSERT_GE(told, value);
    ASSERT_LE(static_cast<double>(told - value),
              Histogram::kRelativeError * static_cast<double>(value))
        << "of " << value;
  }
}

TEST(Histogram, ValuesBelow128AreExact) {
  Histogram histogram;
  for (int64_t value = 0; value < 128; ++value) histogram.record(value, 10);
  EXPECT_FALSE(histogram.exact());
  // 128 values: the shares are exact in binary, so rank and value correspond one to one.
  for (int64_t value = 0; value < 128; ++value) {
    EXPECT_EQ(histogram.quantile(static_cast<double>(value + 1) / 128), value);
    EXPECT_EQ(histogram.count_up_to(value), static_cast<uint64_t>(value + 1) * 10);
  }
}

TEST(Histogram, BucketsMeetWithoutGapOrOverlapAtPowersOfTwo) {
  for (int bits = 7; bits < 63; ++bits) {
    const int64_t edge = int64_t{1} << bits;
    Histogram histogram;
    histogram.record(edge - 1, kMost);
    histogram.record(edge, kMost);
    EXPECT_EQ(histogram.quantile(0.5), edge - 1) << "2^" << bits;
    EXPECT_EQ(histogram.count_up_to(edge - 1), kMost) << "2^" << bits;
    EXPECT_EQ(histogram.count_up_to(edge), 2 * kMost) << "2^" << bits;
  }
}

TEST(Histogram, TakesTheWholeRange) {
  Histogram histogram;
  for (const int64_t value : {int64_t{0}, kLargest, std::numeric_limits<int64_t>::max()})
    histogram.record(value, kMost);
  EXPECT_EQ(histogram.count(), 3 * kMost);
  EXPECT_EQ(histogram.quantile(0), 0);
  EXPECT_GE(histogram.quantile(0.5), kLargest);
  EXPECT_LE(histogram.quantile(0.5), kLargest + kLargest / 64);
  EXPECT_EQ(histogram.quantile(1), std::numeric_limits<int64_t>::max());
}

TEST(Histogram, MinMaxMeanAndCountAreExact) {
  const std::vector<int64_t> values = values_with_exact_sums(10'000, 4);
  int64_t sum = 0;
  for (const int64_t value : values) sum += value;
  const Histogram histogram = histogram_of(values);
  EXPECT_EQ(histogram.count(), values.size());
  EXPECT_EQ(histogram.min(), *std::min_element(values.begin(), values.end()));
  EXPECT_EQ(histogram.max(), *std::max_element(values.begin(), values.end()));
  EXPECT_EQ(histogram.mean(), static_cast<double>(sum) / static_cast<double>(values.size()));
}

TEST(Histogram, QuantilesZeroAndOneAreTheSmallestBucketAndTheMaximum) {
  Histogram histogram;
  for (const int64_t value : {1'000'003, 77, 5'000'001}) histogram.record(value);
  EXPECT_EQ(histogram.quantile(0), 77);
  EXPECT_EQ(histogram.quantile(1), 5'000'001);
  EXPECT_EQ(histogram.quantile(-1), 77);
  EXPECT_EQ(histogram.quantile(2), 5'000'001);
}

TEST(Histogram, QuantilesOfOneValueAreThatValue) {
  Histogram histogram;
  histogram.record(1'234'567);
  for (const double share : {0.0, 0.5, 1.0}) EXPECT_EQ(histogram.quantile(share), 1'234'567);
}

TEST(Histogram, NegativeValuesCountAsZero) {
  Histogram histogram;
  histogram.record(-5);
  EXPECT_EQ(histogram.count(), 1u);
  EXPECT_EQ(histogram.min(), 0);
  EXPECT_EQ(histogram.max(), 0);
  EXPECT_EQ(histogram.count_up_to(-1), 0u);
  EXPECT_EQ(histogram.count_up_to(0), 1u);
}

TEST(Histogram, RecordingManyTimesEqualsRecordingOneByOne) {
  for (const size_t times : {kMost, kMost + 1}) {
    Histogram at_once, one_by_one;
    at_once.record(30'000, times);
    for (size_t i = 0; i < times; ++i) one_by_one.record(30'000);
    expect_same(at_once, one_by_one);
    at_once.record(1, 0);  // must not become the minimum
    expect_same(at_once, one_by_one);
  }
}

TEST(Histogram, MergeEqualsTheUnion) {
  // Exact and exact, within the bound, at it and beyond; one of either; buckets and buckets. The
  // order of merging decides which histogram has to grow.
  const std::pair<size_t, size_t> kCounts[] = {{3, 400},       {24, kMost - 24}, {24, kMost - 23},
                                               {kMost, kMost}, {3, 3000},        {2000, 3000}};
  for (const auto& [small_count, large_count] : kCounts) {
    const std::vector<int64_t> small = values_with_exact_sums(small_count, 5);
    const std::vector<int64_t> large = values_with_exact_sums(large_count, 6);
    std::vector<int64_t> both = small;
    both.insert(both.end(), large.begin(), large.end());

    Histogram small_first = histogram_of(small), large_first = histogram_of(large);
    small_first.merge(histogram_of(large));
    large_first.merge(histogram_of(small));
    EXPECT_EQ(small_first.exact(), small_count + large_count <= kMost);
    expect_same(small_first, histogram_of(both));
    expect_same(large_first, histogram_of(both));
  }
}

TEST(Histogram, MergingAnEmptyOneChangesNothing) {
  const Histogram values = histogram_of({50, 60'000});
  Histogram merged = values;
  merged.merge(Histogram());
  expect_same(merged, values);
  Histogram grown;
  grown.merge(values);
  expect_same(grown, values);
}

TEST(Histogram, CountUpToIncludesTheBucketOfTheValue) {
  Histogram histogram;
  for (const int64_t value : {10, 20, 1000, 1'000'000}) histogram.record(value, kMost);
  EXPECT_EQ(histogram.count_up_to(9), 0u);
  EXPECT_EQ(histogram.count_up_to(10), kMost);
  EXPECT_EQ(histogram.count_up_to(999),
            2 * kMost);  // 1000 starts a bucket of its own: 8 divides it
  EXPECT_EQ(histogram.count_up_to(1000), 3 * kMost);
  EXPECT_EQ(histogram.count_up_to(kLargest), 4 * kMost);
}

TEST(Histogram, StepsHoldEveryValueOnce) {
  for (const size_t count : {kMost, 3 * kMost}) {
    std::vector<int64_t> values = values_of_all_magnitudes(count / 2, 11);
    const std::vector<int64_t> again = values;
    values.insert(values.end(), again.begin(), again.end());
    const Histogram histogram = histogram_of(values);
    const std::vector<Histogram::Step> steps = histogram.steps();
    std::sort(values.begin(), values.end());
    size_t next = 0;
    int64_t above = -1;
    for (const Histogram::Step& step : steps) {
      ASSERT_GT(step.lowest, above);
      ASSERT_GT(step.count, 0u);
      EXPECT_TRUE(!histogram.exact() || step.lowest == step.highest);
      for (uint64_t i = 0; i < step.count; ++i, ++next) {
        ASSERT_GE(values.at(next), step.lowest);
        ASSERT_LE(values.at(next), step.highest);
      }
      above = step.highest;
    }
    EXPECT_EQ(next, values.size());
    EXPECT_EQ(steps.front().lowest, values.front());
    EXPECT_EQ(steps.back().highest, values.back());
  }
}

TEST(Histogram, StateMakesTheSameHistogramAgain) {
  for (const size_t count : {size_t{1000}, kMost, kMost + 1}) {
    Histogram original = histogram_of(values_of_all_magnitudes(count, 8));
    // As it goes from the launcher to the user's process, and into the record of a suite.
    Histogram copy = nlohmann::json::parse(nlohmann::json(original).dump()).get<Histogram>();
    EXPECT_EQ(copy, original);
    EXPECT_EQ(copy.quantile(0.5), original.quantile(0.5));
    copy.record(42);
    original.record(42);
    EXPECT_EQ(copy, original);
  }
}

TEST(Histogram, StateOfAnEmptyOneMakesAnEmptyOne) {
  Histogram copy = Histogram::from_state(Histogram().state());
  EXPECT_EQ(copy.count(), 0u);
  copy.record(9);
  EXPECT_EQ(copy.min(), 9);
}

}  // namespace
}  // namespace lastack
