#include "base/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

namespace lastack {
namespace {

constexpr uint64_t kExactLimit = 1u << Histogram::kSubBucketBits;
constexpr uint64_t kHalf = kExactLimit / 2;

// Buckets 0..127 hold one value each; every further power of two is cut into 64.
size_t bucket_of(uint64_t value) {
  if (value < kExactLimit) return value;
  const int shift = std::bit_width(value) - Histogram::kSubBucketBits;
  return static_cast<size_t>(shift) * kHalf + (value >> shift);
}

int64_t upper_bound_of(size_t bucket) {
  if (bucket < kExactLimit) return static_cast<int64_t>(bucket);
  const size_t shift = bucket / kHalf - 1;
  const uint64_t sub_bucket = bucket - shift * kHalf;
  return static_cast<int64_t>(((sub_bucket + 1) << shift) - 1);
}

}  // namespace

void Histogram::record(int64_t value, uint64_t times) {
  if (times == 0) return;
  value = std::max<int64_t>(value, 0);
  if (exact() && times <= kMostExact - count_) {
    values_.insert(std::ranges::upper_bound(values_, value), times, value);
  } else {
    fall_to_buckets();
    record_in_bucket(value, times);
  }
  min_ = count_ ? std::min(min_, value) : value;
  max_ = std::max(max_, value);
  sum_ += static_cast<double>(value) * static_cast<double>(times);
  count_ += times;
}

void Histogram::record_in_bucket(int64_t value, uint64_t times) {
  const size_t bucket = bucket_of(static_cast<uint64_t>(value));
  if (bucket >= buckets_.size()) buckets_.resize(bucket + 1);
  buckets_[bucket] += times;
}

void Histogram::fall_to_buckets() {
  for (const int64_t value : std::exchange(values_, {})) record_in_bucket(value, 1);
}

Histogram Histogram::from_state(State state) {
  Histogram histogram;
  histogram.values_ = std::move(state.values);
  histogram.buckets_ = std::move(state.buckets);
  histogram.count_ = state.count;
  histogram.min_ = state.min;
  histogram.max_ = state.max;
  histogram.sum_ = state.sum;
  return histogram;
}

void Histogram::merge(const Histogram& other) {
  if (other.count_ == 0) return;
  if (count_ + other.count_ <= kMostExact) {
    const auto own = static_cast<std::ptrdiff_t>(values_.size());
    values_.insert(values_.end(), other.values_.begin(), other.values_.end());
    std::inplace_merge(values_.begin(), values_.begin() + own, values_.end());
  } else {
    fall_to_buckets();
    for (const int64_t value : other.values_) record_in_bucket(value, 1);
    if (other.buckets_.size() > buckets_.size()) buckets_.resize(other.buckets_.size());
    for (size_t i = 0; i < other.buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  }
  min_ = count_ ? std::min(min_, other.min_) : other.min_;
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
  count_ += other.count_;
}

uint64_t Histogram::rank_of(double quantile, uint64_t count) {
  // 0.07 * 100 is a little more than 7 in binary; the rank must not be one too high for that.
  const double share = std::clamp(quantile, 0.0, 1.0) * static_cast<double>(count) * (1 - 1e-15);
  return std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(share)));
}

int64_t Histogram::quantile(double quantile) const {
  if (count_ == 0) return 0;
  const uint64_t rank = rank_of(quantile, count_);
  if (exact()) return values_[rank - 1];
  uint64_t seen = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= rank) return std::clamp(upper_bound_of(i), min_, max_);
  }
  return max_;
}

uint64_t Histogram::count_up_to(int64_t value) const {
  if (value < 0) return 0;
  if (exact())
    return static_cast<uint64_t>(std::ranges::upper_bound(values_, value) - values_.begin());
  const size_t last = std::min(bucket_of(static_cast<uint64_t>(value)) + 1, buckets_.size());
  uint64_t seen = 0;
  for (size_t i = 0; i < last; ++i) seen += buckets_[i];
  return seen;
}

std::vector<Histogram::Step> Histogram::steps() const {
  std::vector<Step> steps;
  for (const int64_t value : values_) {
    if (steps.empty() || steps.back().highest != value) steps.push_back({value, value, 0});
    ++steps.back().count;
  }
  for (size_t i = 0; i < buckets_.size(); ++i) {
    if (buckets_[i] == 0) continue;
    const int64_t lowest = i == 0 ? 0 : upper_bound_of(i - 1) + 1;
    steps.push_back({std::max(lowest, min_), std::min(upper_bound_of(i), max_), buckets_[i]});
  }
  return steps;
}

}  // namespace lastack
