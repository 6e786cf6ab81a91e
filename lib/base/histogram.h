// A mergeable histogram of non-negative durations: exact while it holds few, log-linear (HDR style)
// from then on.
#pragma once

#include <cstdint>
#include <vector>

namespace lastack {

// Up to kMostExact values are kept as they are: whatever is asked of them is exact. More fall into
// buckets: values below 128 are still exact; above, a bucket is at most 1/64 of its lower bound
// wide, so a quantile overstates by less than 1.6 %. min, max, mean and count are always exact.
// Merging two histograms gives the histogram of the union: percentiles are never averaged.
class Histogram {
 public:
  static constexpr uint64_t kMostExact = 1024;  // 8 KiB, as much as the buckets of milliseconds
  static constexpr int kSubBucketBits = 7;
  static constexpr double kRelativeError = 1.0 / (1 << (kSubBucketBits - 1));

  // Negative values do not belong here: a finding before its act is counted elsewhere.
  // They are clamped to 0 so that a mistake cannot index out of range.
  void record(int64_t value, uint64_t times = 1);
  void merge(const Histogram& other);

  uint64_t count() const { return count_; }
  bool exact() const { return count_ <= kMostExact; }
  int64_t min() const { return count_ ? min_ : 0; }
  int64_t max() const { return count_ ? max_ : 0; }
  double mean() const { return count_ ? sum_ / static_cast<double>(count_) : 0; }

  // The value of rank ceil(quantile * count), `quantile` from 0 to 1; of buckets, the upper bound
  // of the one that holds this rank, never above max() and never below min(). 0 when empty.
  int64_t quantile(double quantile) const;
  // How many values are `value` at most; of buckets, how many lie in those up to that of `value`.
  uint64_t count_up_to(int64_t value) const;
  // Which value a quantile of so many (more than 0) is: 1 for the smallest.
  static uint64_t rank_of(double quantile, uint64_t count);

  // What was recorded, rising: a step per distinct value, of buckets one per bucket in use.
  struct Step {
    int64_t lowest, highest;  // the bounds of what it may have been
    uint64_t count;
  };
  std::vector<Step> steps() const;

  // Everything there is, for sending a histogram to another process.
  struct State {
    std::vector<int64_t> values;
    std::vector<uint64_t> buckets;
    uint64_t count = 0;
    int64_t min = 0;
    int64_t max = 0;
    double sum = 0;
  };
  State state() const { return {values_, buckets_, count_, min_, max_, sum_}; }
  static Histogram from_state(State state);
  bool operator==(const Histogram&) const = default;

 private:
  void record_in_bucket(int64_t value, uint64_t times);
  void fall_to_buckets();

  std::vector<int64_t> values_;    // rising; of an exact one only
  std::vector<uint64_t> buckets_;  // grown on demand: most rows span few magnitudes
  uint64_t count_ = 0;
  int64_t min_ = 0;
  int64_t max_ = 0;
  double sum_ = 0;
};

}  // namespace lastack
