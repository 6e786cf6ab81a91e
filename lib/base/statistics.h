// What few repetitions of a measurement say: about its mean, about its median, and about the
// difference of two sets of them.
//
// One repetition is one observation, however many connections it holds. The connections of a run
// share its host's state of that moment (frequency, what else the CPUs do, where memory lies), so
// that a test over ten thousand connections would find a difference between any two runs of the
// same program: it would cry wolf. The repetitions are what varies by itself, and their number is
// the number of observations. Each of them contributes its median, its 99th percentile and so on.
//
// Nothing below but mean_interval() supposes a distribution. A rank test over repetitions is valid
// for few of them whatever a latency's tail looks like, because it counts arrangements: if both
// sides were the same, every assignment of the observed values to the sides would be equally
// likely. What few repetitions cost is not validity but power, see fewest_repetitions().
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

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

struct Range {
  double low, high;
};

// Of at least one value; of an even number: the middle between the two in the middle.
double median(std::span<const double> values);

// Whether all values of both are the same one; `a` has one at least.
bool all_equal(std::span<const double> a, std::span<const double> b);

// The narrowest pair of order statistics, as far from one end as from the other, that holds the
// true median with a probability of at least 95 %: how many values lie below it is binomial.
// Nullopt for fewer than six values, of which not even the least and the greatest do.
std::optional<Range> median_interval(std::span<const double> values);

// The 95 % percentile interval of a bootstrap (2,000 resamples, the same ones for the same seed) of
// by how much the median of `after` differs from that of `before`: as a ratio or as a difference.
// Each side is resampled on its own. Nullopt for fewer than six values on a side: resamples of so
// few look more alike than new measurements would; and where a ratio would divide by zero.
enum class Change { ratio, difference };
std::optional<Range> change_interval(Change change, std::span<const double> before,
                                     std::span<const double> after, uint64_t seed);

// The two-sided test of Mann and Whitney (Wilcoxon's rank sum) with midranks for ties.
struct RankTest {
  double p;          // how often chance alone separates the sides as far as this, or farther
  double least_p;    // of the most extreme assignment of these very values to the sides
  bool b_is_higher;  // by the ranks, on average
};
// Both sides with at least one value. The distribution of the rank sum over all assignments is
// counted out, ties and all, up to kMostExact values a side; beyond, it is taken to be normal, with
// the variance corrected for ties and a continuity correction.
constexpr size_t kMostExact = 30;
RankTest rank_test(std::span<const double> a, std::span<const double> b);

// The least p that so many values a side can reach, without ties: 2 / binomial(a + b, a).
double least_rank_test_p(size_t a, size_t b);
// The least number of repetitions a side that can reach p <= level at all.
size_t fewest_repetitions(double level);

// What one row's repetitions say before and after.
struct BeforeAfter {
  std::span<const double> before, after;
};
// The same interval for the geometric mean of several rows' ratios of medians. Each resample draws
// the same repetitions of a side for all rows: the rows of one repetition share the host's state
// of that moment, and do not err independently. Nullopt as above, and without rows.
std::optional<Range> mean_ratio_interval(std::span<const BeforeAfter> rows, uint64_t seed);

// Benjamini and Hochberg (1995): claiming whatever is at most 0.05 here is right in 95 of 100
// claims on average, however many tests there were. In the order given.
std::vector<double> adjusted_p(std::span<const double> p);

// Of values above 0, at least one.
double geometric_mean(std::span<const double> values);

// The standard deviation of the logarithms of values above 0 within the sides, pooled over those
// with at least two values. Nullopt without such a side, or with a value that has no logarithm.
std::optional<double> log_spread(std::span<const std::vector<double>> sides);

// How many repetitions a side would show, in about four of five such experiments, that one side's
// values are `ratio` times the other's, when p has to be at most `level`:
//   2 (z + z(0.8))^2 spread^2 / log(ratio)^2 / (3 / pi) + z^2 / 4, where z = z(1 - level / 2)
// the textbook size of a t-test on logarithms, divided by the asymptotic relative efficiency of the
// rank test at the normal distribution (for heavier tails it does better), and what few repetitions
// take more at a strict level (Guenther 1981; by simulation, 79 to 82 % then show it). Never below
// fewest_repetitions(level), where the sides must not overlap at all and two of three show it.
// Nullopt above a million.
std::optional<size_t> repetitions_to_show(double ratio, double spread, double level);

}  // namespace lastack
