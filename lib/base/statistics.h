// What few repetitions of a measurement say about its mean.
#pragma once

#include <cstddef>
#include <span>

namespace lastack {

// A mean and the interval that holds the true one in 95 of 100 such experiments.
struct Interval {
  double mean, low, high;
  // Whether the interval leaves 0 out.
  bool distinguishable() const { return low > 0 || high < 0; }
};

// The 97.5th percentile of Student's t with so many degrees of freedom, at least 1.
double student_t(size_t degrees_of_freedom);

// Of at least two values, drawn from something near a normal distribution.
Interval mean_interval(std::span<const double> values);

}  // namespace lastack
