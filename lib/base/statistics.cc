#include "base/statistics.h"

#include <cmath>
#include <iterator>

namespace lastack {

double student_t(size_t degrees_of_freedom) {
  constexpr double kTable[] = {12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060,
                               2.2622,  2.2281, 2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199,
                               2.1098,  2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639,
                               2.0595,  2.0555, 2.0518, 2.0484, 2.0452, 2.0423};
  if (degrees_of_freedom <= std::size(kTable)) return kTable[degrees_of_freedom - 1];
  // The expansion about the normal distribution (Abramowitz and Stegun 26.7.5), whose third term
  // is below the table's last digit here.
  constexpr double kNormal = 1.959964;
  const auto n = static_cast<double>(degrees_of_freedom);
  const double first = (std::pow(kNormal, 3) + kNormal) / 4;
  const double second = (5 * std::pow(kNormal, 5) + 16 * std::pow(kNormal, 3) + 3 * kNormal) / 96;
  return kNormal + first / n + second / (n * n);
}

Interval mean_interval(std::span<const double> values) {
  const auto count = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (const double value : values) sum += value;
  const double mean = sum / count;
  for (const double value : values) squares += (value - mean) * (value - mean);
  const double error = std::sqrt(squares / (count - 1) / count);
  const double half = student_t(values.size() - 1) * error;
  return {mean, mean - half, mean + half};
}

}  // namespace lastack
