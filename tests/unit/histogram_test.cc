// The histogram against sorted values: what is promised to be exact is, the rest stays in bounds.
#include "base/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/random.h"

namespace lastack {
namespace {

constexpr int64_t kLargest = int64_t{1} << 62;

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
    const Histogram histogram = histogram_of({0, value, std::numeric_limits<int64_t>::max()});
    const int64_t told = histogram.quantile(0.5);
    ASSERT_GE(told, value);
    ASSERT_LE(static_cast<double>(told - value),
              Histogram::kRelativeError * static_cast<double>(value))
        << "of " << value;
  }
}

TEST(Histogram, ValuesBelow128AreExact) {
  Histogram histogram;
  for (int64_t value = 0; value < 128; ++value) histogram.record(value);
  // 128 values: the shares are exact in binary, so rank and value correspond one to one.
  for (int64_t value = 0; value < 128; ++value) {
    EXPECT_EQ(histogram.quantile(static_cast<double>(value + 1) / 128), value);
    EXPECT_EQ(histogram.count_up_to(value), static_cast<uint64_t>(value + 1));
  }
}

TEST(Histogram, BucketsMeetWithoutGapOrOverlapAtPowersOfTwo) {
  for (int bits = 7; bits < 63; ++bits) {
    const int64_t edge = int64_t{1} << bits;
    Histogram histogram;
    histogram.record(edge - 1);
    histogram.record(edge);
    EXPECT_EQ(histogram.quantile(0.5), edge - 1) << "2^" << bits;
    EXPECT_EQ(histogram.count_up_to(edge - 1), 1u) << "2^" << bits;
    EXPECT_EQ(histogram.count_up_to(edge), 2u) << "2^" << bits;
  }
}

TEST(Histogram, TakesTheWholeRange) {
  Histogram histogram;
  for (const int64_t value : {int64_t{0}, kLargest, std::numeric_limits<int64_t>::max()})
    histogram.record(value);
  EXPECT_EQ(histogram.count(), 3u);
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
  Histogram at_once, one_by_one;
  at_once.record(30'000, 1000);
  for (int i = 0; i < 1000; ++i) one_by_one.record(30'000);
  expect_same(at_once, one_by_one);
  at_once.record(1, 0);  // must not become the minimum
  expect_same(at_once, one_by_one);
}

TEST(Histogram, MergeEqualsTheUnion) {
  // The order of merging decides which histogram has to grow.
  const std::vector<int64_t> small = {3, 900, 100'000};
  const std::vector<int64_t> large = values_with_exact_sums(3000, 6);
  std::vector<int64_t> both = small;
  both.insert(both.end(), large.begin(), large.end());

  Histogram small_first = histogram_of(small), large_first = histogram_of(large);
  small_first.merge(histogram_of(large));
  large_first.merge(histogram_of(small));
  expect_same(small_first, histogram_of(both));
  expect_same(large_first, histogram_of(both));
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
  const Histogram histogram = histogram_of({10, 20, 1000, 1'000'000});
  EXPECT_EQ(histogram.count_up_to(9), 0u);
  EXPECT_EQ(histogram.count_up_to(10), 1u);
  EXPECT_EQ(histogram.count_up_to(999), 2u);  // 1000 starts a bucket of its own: 8 divides it
  EXPECT_EQ(histogram.count_up_to(1000), 3u);
  EXPECT_EQ(histogram.count_up_to(kLargest), 4u);
}

TEST(Histogram, StateMakesTheSameHistogramAgain) {
  const Histogram original = histogram_of(values_of_all_magnitudes(1000, 8));
  Histogram copy = Histogram::from_state(original.state());
  expect_same(copy, original);
  EXPECT_EQ(copy.quantile(0.5), original.quantile(0.5));
  copy.record(42);
  EXPECT_EQ(copy.count(), original.count() + 1);
}

TEST(Histogram, StateOfAnEmptyOneMakesAnEmptyOne) {
  Histogram copy = Histogram::from_state(Histogram().state());
  EXPECT_EQ(copy.count(), 0u);
  copy.record(9);
  EXPECT_EQ(copy.min(), 9);
}

}  // namespace
}  // namespace lastack
