#include "base/statistics.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numbers>
#include <numeric>

#include "base/random.h"

namespace lastack {
namespace {

// Of a bootstrap, and how many of them lie beyond either end of a 95 % interval.
constexpr size_t kResamples = 2'000, kEachSide = kResamples / 40;

constexpr size_t kFewestForInterval = 6;

double normal_above(double z) { return std::erfc(z / std::numbers::sqrt2) / 2; }

// The z that a normal variable exceeds with this probability, by bisection.
double normal_quantile_above(double probability) {
  double low = -40, high = 40;
  for (int step = 0; step < 200; ++step) {
    const double middle = (low + high) / 2;
    (normal_above(middle) > probability ? low : high) = middle;
  }
  return (low + high) / 2;
}

// Rearranges `values`.
double median_of(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2) return *middle;
  return std::midpoint(*std::max_element(values.begin(), middle), *middle);
}

// The median of as many draws with replacement from sorted values. `drawn` is room to work in.
double resampled_median(const std::vector<double>& sorted, Random& random,
                        std::vector<uint32_t>& drawn) {
  const size_t count = sorted.size();
  drawn.assign(count, 0);
  for (size_t i = 0; i < count; ++i) ++drawn[random.below(count)];
  // The two in the middle; of an odd number they are one and the same.
  size_t value = 0, seen = drawn[0];
  while (seen < (count + 1) / 2) seen += drawn[++value];
  const double lower = sorted[value];
  while (seen < count / 2 + 1) seen += drawn[++value];
  return std::midpoint(lower, sorted[value]);
}

// Twice the midrank of each value, so that they are whole numbers: those of `a`, then those of `b`.
std::vector<size_t> doubled_midranks(std::span<const double> a, std::span<const double> b) {
  std::vector<double> values(a.begin(), a.end());
  values.insert(values.end(), b.begin(), b.end());
  std::vector<size_t> order(values.size()), ranks(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t x, size_t y) { return values[x] < values[y]; });
  for (size_t first = 0, last = 0; first < order.size(); first = last) {
    while (last < order.size() && values[order[last]] == values[order[first]]) ++last;
    for (size_t i = first; i < last; ++i) ranks[order[i]] = first + last + 1;
  }
  return ranks;
}

// In how many ways `chosen` of the ranks have each sum; the index is the sum.
std::vector<double> ways_by_sum(const std::vector<size_t>& ranks, size_t chosen) {
  const size_t most = std::accumulate(ranks.begin(), ranks.end(), size_t{0});
  std::vector<std::vector<double>> ways(chosen + 1, std::vector<double>(most + 1, 0));
  ways[0][0] = 1;
  size_t items = 0, seen = 0;
  for (const size_t rank : ranks) {
    seen += rank;
    for (size_t count = std::min(++items, chosen); count > 0; --count)
      for (size_t sum = rank; sum <= seen; ++sum) ways[count][sum] += ways[count - 1][sum - rank];
  }
  return ways[chosen];
}

}  // namespace

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

double median(std::span<const double> values) {
  std::vector<double> copy(values.begin(), values.end());
  return median_of(copy);
}

bool all_equal(std::span<const double> a, std::span<const double> b) {
  const auto equal = [&](double value) { return value == a.front(); };
  return std::all_of(a.begin(), a.end(), equal) && std::all_of(b.begin(), b.end(), equal);
}

std::optional<Range> median_interval(std::span<const double> values) {
  if (values.size() < kFewestForInterval) return std::nullopt;
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  // How probable it is that at most `left_out` values lie below the median; by logarithms, since
  // 0.5^n is no number for large n.
  const auto count = static_cast<double>(sorted.size());
  const auto probability = [&](size_t below) {
    const auto k = static_cast<double>(below);
    return std::exp(std::lgamma(count + 1) - std::lgamma(k + 1) - std::lgamma(count - k + 1) -
                    count * std::numbers::ln2);
  };
  size_t left_out = 0;
  double outside = probability(0);
  while (outside + probability(left_out + 1) <= 0.025) outside += probability(++left_out);
  return Range{sorted[left_out], sorted[sorted.size() - 1 - left_out]};
}

std::optional<Range> change_interval(Change change, std::span<const double> before,
                                     std::span<const double> after, uint64_t seed) {
  if (std::min(before.size(), after.size()) < kFewestForInterval) return std::nullopt;
  Random random{seed};
  std::vector<double> from_values(before.begin(), before.end());
  std::vector<double> to_values(after.begin(), after.end()), changes;
  std::sort(from_values.begin(), from_values.end());
  std::sort(to_values.begin(), to_values.end());
  std::vector<uint32_t> drawn;
  for (size_t i = 0; i < kResamples; ++i) {
    const double from = resampled_median(from_values, random, drawn);
    const double to = resampled_median(to_values, random, drawn);
    if (change == Change::ratio && from == 0) return std::nullopt;
    changes.push_back(change == Change::ratio ? to / from : to - from);
  }
  std::sort(changes.begin(), changes.end());
  return Range{changes[kEachSide], changes[kResamples - 1 - kEachSide]};
}

std::optional<Range> mean_ratio_interval(std::span<const BeforeAfter> rows, uint64_t seed) {
  size_t most = 0;
  for (const BeforeAfter& row : rows) {
    if (std::min(row.before.size(), row.after.size()) < kFewestForInterval) return std::nullopt;
    most = std::max({most, row.before.size(), row.after.size()});
  }
  if (rows.empty()) return std::nullopt;
  Random random{seed};
  std::vector<double> before_draws(most), after_draws(most), ratios(rows.size()), values, means;
  const auto drawn_median = [&](std::span<const double> of, const std::vector<double>& draws) {
    values.clear();
    for (size_t i = 0; i < of.size(); ++i)
      values.push_back(of[static_cast<size_t>(draws[i] * static_cast<double>(of.size()))]);
    return median(values);
  };
  for (size_t resample = 0; resample < kResamples; ++resample) {
    for (double& draw : before_draws) draw = random.uniform();
    for (double& draw : after_draws) draw = random.uniform();
    for (size_t i = 0; i < rows.size(); ++i) {
      const double from = drawn_median(rows[i].before, before_draws);
      const double to = drawn_median(rows[i].after, after_draws);
      if (from <= 0 || to <= 0) return std::nullopt;
      ratios[i] = to / from;
    }
    means.push_back(geometric_mean(ratios));
  }
  std::sort(means.begin(), means.end());
  return Range{means[kEachSide], means[kResamples - 1 - kEachSide]};
}

RankTest rank_test(std::span<const double> a, std::span<const double> b) {
  const auto ranks = doubled_midranks(a, b);
  const size_t all = ranks.size();
  const double observed = static_cast<double>(std::accumulate(
      ranks.begin(), ranks.begin() + static_cast<std::ptrdiff_t>(a.size()), size_t{0}));
  // Ranks are doubled, so a rank's mean is all + 1.
  const double mean = static_cast<double>(a.size() * (all + 1));
  const double distance = std::abs(observed - mean);
  auto sorted = ranks;
  std::sort(sorted.begin(), sorted.end());
  if (sorted.front() == sorted.back()) return {1, 1, false};
  const auto lowest_sum = [&](auto first) {
    return static_cast<double>(
        std::accumulate(first, first + static_cast<std::ptrdiff_t>(a.size()), size_t{0}));
  };
  const double farthest =
      std::max(mean - lowest_sum(sorted.begin()), lowest_sum(sorted.rbegin()) - mean);

  if (std::max(a.size(), b.size()) <= kMostExact) {
    const auto ways = ways_by_sum(ranks, a.size());
    double every = 0, as_far = 0, at_the_end = 0;
    for (size_t sum = 0; sum < ways.size(); ++sum) {
      const double away = std::abs(static_cast<double>(sum) - mean);
      every += ways[sum];
      if (away >= distance) as_far += ways[sum];
      if (away >= farthest) at_the_end += ways[sum];
    }
    return {as_far / every, at_the_end / every, observed < mean};
  }
  double ties = 0;  // the sum of t^3 - t over groups of t equal values
  for (size_t first = 0, last = 0; first < all; first = last) {
    while (last < all && sorted[last] == sorted[first]) ++last;
    const auto size = static_cast<double>(last - first);
    ties += size * size * size - size;
  }
  const auto n = static_cast<double>(all), both = static_cast<double>(a.size() * b.size());
  const double deviation = std::sqrt(both / 12 * (n + 1 - ties / (n * (n - 1))));
  const auto p_of = [&](double doubled_distance) {
    return std::min(1.0, 2 * normal_above(std::max(0.0, doubled_distance / 2 - 0.5) / deviation));
  };
  return {p_of(distance), p_of(farthest), observed < mean};
}

double least_rank_test_p(size_t a, size_t b) {
  const auto x = static_cast<double>(a), y = static_cast<double>(b);
  return std::min(1.0,
                  2 * std::exp(std::lgamma(x + 1) + std::lgamma(y + 1) - std::lgamma(x + y + 1)));
}

size_t fewest_repetitions(double level) {
  size_t repetitions = 1;
  // Rounding of lgamma() must not make the least p miss a level that it meets exactly.
  while (least_rank_test_p(repetitions, repetitions) > level * (1 + 1e-9)) ++repetitions;
  return repetitions;
}

std::vector<double> adjusted_p(std::span<const double> p) {
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t x, size_t y) { return p[x] > p[y]; });
  std::vector<double> adjusted(p.size());
  double least = 1;
  for (size_t i = 0; i < order.size(); ++i) {
    const auto rank = static_cast<double>(p.size() - i);
    least = std::min(least, p[order[i]] * static_cast<double>(p.size()) / rank);
    adjusted[order[i]] = least;
  }
  return adjusted;
}

double geometric_mean(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += std::log(value);
  return std::exp(sum / static_cast<double>(values.size()));
}

std::optional<double> log_spread(std::span<const std::vector<double>> sides) {
  double squares = 0, degrees = 0;
  for (const std::vector<double>& side : sides) {
    double sum = 0;
    for (const double value : side) {
      if (value <= 0) return std::nullopt;
      sum += std::log(value);
    }
    if (side.size() < 2) continue;
    const double mean = sum / static_cast<double>(side.size());
    for (const double value : side) squares += std::pow(std::log(value) - mean, 2);
    degrees += static_cast<double>(side.size() - 1);
  }
  if (degrees == 0) return std::nullopt;
  return std::sqrt(squares / degrees);
}

std::optional<size_t> repetitions_to_show(double ratio, double spread, double level) {
  constexpr double kEfficiency = 3 / std::numbers::pi, kMissed = 0.2, kMost = 1e6;
  const double z = normal_quantile_above(level / 2), sum = z + normal_quantile_above(kMissed);
  const double shift = std::log(ratio);
  const double repetitions =
      std::ceil(2 * sum * sum * spread * spread / (shift * shift) / kEfficiency + z * z / 4);
  if (!(repetitions <= kMost)) return std::nullopt;
  return std::max(static_cast<size_t>(repetitions), fewest_repetitions(level));
}

}  // namespace lastack
