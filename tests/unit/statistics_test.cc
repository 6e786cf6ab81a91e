#include "base/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"

namespace lastack {
namespace {

// Percentiles of Student's t as any statistics book prints them.
TEST(StudentT, IsThePublishedTable) {
  EXPECT_NEAR(student_t(1), 12.706, 0.001);
  EXPECT_NEAR(student_t(2), 4.303, 0.001);
  EXPECT_NEAR(student_t(5), 2.571, 0.001);
  EXPECT_NEAR(student_t(30), 2.042, 0.001);
  EXPECT_NEAR(student_t(40), 2.021, 0.001);
  EXPECT_NEAR(student_t(60), 2.000, 0.001);
  EXPECT_NEAR(student_t(99), 1.984, 0.001);
}

TEST(StudentT, FallsWithoutAJumpWhereTheTableEnds) {
  for (size_t degrees = 2; degrees < 100; ++degrees)
    EXPECT_LT(student_t(degrees), student_t(degrees - 1)) << degrees;
  EXPECT_NEAR(student_t(31), 2.0395, 0.0001);
}

// Mean 5, sample deviation 2.1381 (32 / 7), standard error 0.7559, t(7) = 2.3646.
TEST(MeanInterval, OfTheTextbookSample) {
  const std::vector<double> values = {2, 4, 4, 4, 5, 5, 7, 9};
  const Interval interval = mean_interval(values);
  EXPECT_DOUBLE_EQ(interval.mean, 5);
  EXPECT_NEAR(interval.low, 3.2125, 0.001);
  EXPECT_NEAR(interval.high, 6.7875, 0.001);
  EXPECT_TRUE(interval.distinguishable());
}

TEST(MeanInterval, OfTwoValuesIsWide) {
  const Interval interval = mean_interval(std::vector<double>{1, 3});
  EXPECT_DOUBLE_EQ(interval.mean, 2);
  EXPECT_NEAR(interval.high, 2 + 12.7062, 0.001);
  EXPECT_FALSE(interval.distinguishable());
}

TEST(MeanInterval, ThatTouchesZeroIsNotDistinguishable) {
  EXPECT_FALSE((Interval{1, 0, 2}).distinguishable());
  EXPECT_FALSE((Interval{-1, -2, 0}).distinguishable());
  EXPECT_TRUE((Interval{1, 0.5, 1.5}).distinguishable());
  EXPECT_TRUE((Interval{-1, -1.5, -0.5}).distinguishable());
}

TEST(MeanInterval, OfEqualValuesIsThatValue) {
  const Interval nothing = mean_interval(std::vector<double>{0, 0, 0});
  EXPECT_FALSE(nothing.distinguishable());
  const Interval exact = mean_interval(std::vector<double>{4, 4, 4});
  EXPECT_DOUBLE_EQ(exact.low, 4);
  EXPECT_DOUBLE_EQ(exact.high, 4);
  EXPECT_TRUE(exact.distinguishable());
}

// Where a comment says scipy: scipy 1.10, in the call that is named; where it says enumerated: all
// assignments of the values to the sides were listed with itertools.combinations of Python.
using Values = std::vector<double>;

TEST(Median, IsTheMiddleOrBetweenTheTwoInTheMiddle) {
  EXPECT_DOUBLE_EQ(median(Values{3}), 3);
  EXPECT_DOUBLE_EQ(median(Values{9, 1, 5}), 5);
  EXPECT_DOUBLE_EQ(median(Values{9, 1, 5, 2}), 3.5);
  EXPECT_DOUBLE_EQ(median(Values{4, 4, 4, 1}), 4);
}

// The ranks that books print for the sign test's interval of the median (95 %); the same by
// scipy.stats.binom.cdf.
TEST(MedianInterval, IsThePublishedPairOfOrderStatistics) {
  struct Row {
    size_t count, low, high;
  };
  for (const Row& row : {Row{6, 1, 6},
                         {8, 1, 8},
                         {9, 2, 8},
                         {10, 2, 9},
                         {15, 4, 12},
                         {20, 6, 15},
                         {25, 8, 18},
                         {100, 40, 61},
                         {1000, 469, 532}}) {
    Values values;
    for (size_t i = row.count; i > 0; --i) values.push_back(static_cast<double>(i));
    const auto interval = median_interval(values);
    ASSERT_TRUE(interval) << row.count;
    EXPECT_EQ(interval->low, static_cast<double>(row.low)) << row.count;
    EXPECT_EQ(interval->high, static_cast<double>(row.high)) << row.count;
  }
}

TEST(MedianInterval, OfFiveValuesHasNoSuchConfidence) {
  EXPECT_FALSE(median_interval(Values{1, 2, 3, 4, 5}));
  EXPECT_FALSE(median_interval(Values{}));
}

// The permeability data of Hollander and Wolfe (1973), 69f., as in the examples of R's
// wilcox.test(): p = 0.1272 one-sided; 0.2544122544 two-sided by scipy.stats.mannwhitneyu(exact).
TEST(RankTest, OfThePublishedExample) {
  const Values at_term = {0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46};
  const Values early = {1.15, 0.88, 0.90, 0.74, 1.21};
  const RankTest test = rank_test(at_term, early);
  EXPECT_NEAR(test.p, 0.2544122544122544, 1e-12);
  EXPECT_NEAR(test.least_p, 0.000666000666, 1e-12);
  EXPECT_FALSE(test.b_is_higher);
  EXPECT_NEAR(rank_test(early, at_term).p, test.p, 1e-12);
  EXPECT_TRUE(rank_test(early, at_term).b_is_higher);
}

// Enumerated.
TEST(RankTest, IsExactWithTies) {
  const RankTest apart = rank_test(Values{1, 2, 3, 4}, Values{5, 6, 7, 8});
  EXPECT_NEAR(apart.p, 0.02857142857142857, 1e-12);
  EXPECT_NEAR(apart.least_p, apart.p, 1e-15);
  const RankTest tied = rank_test(Values{1, 1, 2, 2, 3}, Values{2, 3, 3, 4, 4, 5});
  EXPECT_NEAR(tied.p, 0.02813852813852814, 1e-12);
  EXPECT_NEAR(tied.least_p, 0.0021645021645021645, 1e-12);
  const RankTest steps =
      rank_test(Values{61, 61, 62, 62, 62, 63}, Values{62, 63, 63, 64, 64, 64, 65});
  EXPECT_NEAR(steps.p, 0.009324009324009324, 1e-12);
  EXPECT_NEAR(steps.least_p, 0.0005827505827505828, 1e-12);
  const RankTest once = rank_test(Values{0, 0, 0, 0, 0}, Values{0, 0, 0, 0, 1});
  EXPECT_NEAR(once.p, 1, 1e-12) << "one of ten is on one side or on the other";
  EXPECT_NEAR(once.least_p, 1, 1e-12);
}

TEST(RankTest, OfEqualValuesShowsNothing) {
  const RankTest test = rank_test(Values{7, 7, 7, 7}, Values{7, 7, 7, 7, 7});
  EXPECT_EQ(test.p, 1);
  EXPECT_EQ(test.least_p, 1);
}

// scipy.stats.mannwhitneyu: exact with 30 a side, asymptotic (with continuity correction) beyond.
TEST(RankTest, IsExactUpToThirtyASideAndNormalBeyond) {
  Values a, b;
  for (int i = 1; i <= 30; ++i) {
    a.push_back(i);
    b.push_back(i + 5.5);
  }
  EXPECT_NEAR(rank_test(a, b).p, 0.02633196030257938, 1e-12);
  a.clear(), b.clear();
  for (int i = 0; i < 40; ++i) a.push_back(i * 37 % 101);
  for (int i = 0; i < 35; ++i) b.push_back(i * 53 % 97 + 9);
  EXPECT_NEAR(rank_test(a, b).p, 0.6027639855120512, 1e-12);
  a.clear(), b.clear();
  for (int i = 0; i < 40; ++i) a.push_back(i * 7 % 10);
  for (int i = 0; i < 50; ++i) b.push_back(i * 3 % 8 + 2);
  EXPECT_NEAR(rank_test(a, b).p, 0.13387654632775445, 1e-12) << "with many ties";
}

// Under the null the exact p is at most 0.05 in no more than one of twenty experiments, whatever
// the tail: here values with an infinite variance.
TEST(RankTest, DoesNotCryWolfOverHeavyTails) {
  Random random{7};
  int alarms = 0;
  constexpr int kExperiments = 2'000;
  for (int i = 0; i < kExperiments; ++i) {
    Values a, b;
    for (int k = 0; k < 6; ++k) a.push_back(1 / (random.uniform() + 1e-9));
    for (int k = 0; k < 6; ++k) b.push_back(1 / (random.uniform() + 1e-9));
    alarms += rank_test(a, b).p <= 0.05;
  }
  EXPECT_LT(alarms, 0.05 * kExperiments + 3 * std::sqrt(0.05 * 0.95 * kExperiments));
  EXPECT_GT(alarms, 0.02 * kExperiments);
}

// 2 / binomial(2n, n).
TEST(FewestRepetitions, AreThoseThatCanReachTheLevel) {
  EXPECT_NEAR(least_rank_test_p(3, 3), 0.1, 1e-12);
  EXPECT_NEAR(least_rank_test_p(4, 4), 0.02857142857142857, 1e-12);
  EXPECT_NEAR(least_rank_test_p(10, 10), 1.082508822446903e-05, 1e-15);
  EXPECT_EQ(least_rank_test_p(1, 1), 1);
  EXPECT_EQ(fewest_repetitions(0.05), 4u);
  EXPECT_EQ(fewest_repetitions(0.1), 3u) << "which 3 a side meet exactly";
  EXPECT_EQ(fewest_repetitions(0.05 / 100), 8u);
  EXPECT_EQ(fewest_repetitions(1), 1u);
}

// The example of Benjamini and Hochberg (1995), section 3.1: 15 hypotheses, of which their
// procedure rejects the first four at 0.05, and Bonferroni's the first three.
TEST(AdjustedP, OfThePublishedExample) {
  const Values p = {0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
                    0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000};
  const auto adjusted = adjusted_p(p);
  for (size_t i = 0; i < p.size(); ++i) EXPECT_EQ(adjusted[i] <= 0.05, i < 4) << i;
  EXPECT_NEAR(adjusted[0], 0.0015, 1e-12);
  EXPECT_NEAR(adjusted[3], 0.035625, 1e-12);
  EXPECT_NEAR(adjusted[4], 0.0603, 1e-12);
  EXPECT_NEAR(adjusted[5], 0.06385714285714286, 1e-12) << "the next one's is less than its own";
  EXPECT_NEAR(adjusted[14], 1, 1e-12);
}

TEST(AdjustedP, KeepsTheOrderGiven) {
  const auto adjusted = adjusted_p(Values{0.9, 0.01, 0.04});
  EXPECT_NEAR(adjusted[0], 0.9, 1e-12);
  EXPECT_NEAR(adjusted[1], 0.03, 1e-12);
  EXPECT_NEAR(adjusted[2], 0.06, 1e-12);
  EXPECT_TRUE(adjusted_p(Values{}).empty());
}

// scipy.stats.gmean([1.1, 1.2, 0.9, 1.0]).
TEST(GeometricMean, IsThePublishedOne) {
  EXPECT_NEAR(geometric_mean(Values{1.1, 1.2, 0.9, 1.0}), 1.044008681704849, 1e-12);
}

TEST(ChangeInterval, HoldsTheChangeAndRepeatsForASeed) {
  Random random{3};
  int held = 0;
  constexpr int kExperiments = 100;
  for (int i = 0; i < kExperiments; ++i) {
    Values before, after;
    for (int k = 0; k < 12; ++k) before.push_back(100 + 10 * random.uniform());
    for (int k = 0; k < 12; ++k) after.push_back(1.2 * (100 + 10 * random.uniform()));
    const auto interval = change_interval(Change::ratio, before, after, 1);
    ASSERT_TRUE(interval);
    EXPECT_LT(interval->low, interval->high);
    held += interval->low <= 1.2 && 1.2 <= interval->high;
    const auto again = change_interval(Change::ratio, before, after, 1);
    EXPECT_EQ(interval->low, again->low);
    EXPECT_EQ(interval->high, again->high);
  }
  EXPECT_GE(held, 88) << "of 100, where 95 are meant";
  EXPECT_LE(held, 100);
}

TEST(ChangeInterval, OfConstantsIsAPoint) {
  const Values ten(6, 10), twelve(6, 12);
  const auto ratio = change_interval(Change::ratio, ten, twelve, 1);
  EXPECT_DOUBLE_EQ(ratio->low, 1.2);
  EXPECT_DOUBLE_EQ(ratio->high, 1.2);
  const auto difference = change_interval(Change::difference, twelve, ten, 1);
  EXPECT_DOUBLE_EQ(difference->low, -2);
  EXPECT_DOUBLE_EQ(difference->high, -2);
}

TEST(ChangeInterval, IsAbsentOfFewValuesAndOfRatiosToZero) {
  EXPECT_FALSE(change_interval(Change::ratio, Values(5, 1), Values(9, 1), 1));
  EXPECT_FALSE(change_interval(Change::ratio, Values(9, 1), Values(5, 1), 1));
  EXPECT_FALSE(change_interval(Change::ratio, Values(6, 0), Values(6, 1), 1));
  EXPECT_TRUE(change_interval(Change::difference, Values(6, 0), Values(6, 1), 1));
}

TEST(LogSpread, IsPooledWithinTheSides) {
  const double e = std::exp(1.0);
  // Deviations of the logarithms: -1, 0, 1 and -1, 1; 4 / (2 + 1) in squares.
  const std::vector<Values> sides = {{1 / e, 1, e}, {100 / e, 100 * e}, {5}};
  EXPECT_NEAR(*log_spread(sides), std::sqrt(4.0 / 3), 1e-12);
  EXPECT_FALSE(log_spread(std::vector<Values>{{1}, {2}})) << "nothing to spread";
  EXPECT_FALSE(log_spread(std::vector<Values>{{1, 2}, {0}})) << "no logarithm";
}

// The formula of the header by scipy.stats.norm.isf.
TEST(RepetitionsToShow, FollowTheFormula) {
  EXPECT_EQ(repetitions_to_show(1.05, 0.03, 0.05), 8u);     // 6.215 + 0.960
  EXPECT_EQ(repetitions_to_show(1.05, 0.05, 0.0005), 45u);  // 41.094 + 3.029
  EXPECT_EQ(repetitions_to_show(1.01, 0.02, 0.05), 68u);    // 66.413 + 0.960
}

TEST(RepetitionsToShow, AreNeverTooFewForTheTestItself) {
  EXPECT_EQ(repetitions_to_show(1.10, 0.001, 0.05), 4u);
  EXPECT_EQ(repetitions_to_show(1.10, 0, 0.0005), 8u);
  EXPECT_FALSE(repetitions_to_show(1.0000001, 5, 0.05)) << "more than a million";
  EXPECT_FALSE(repetitions_to_show(1, 0.1, 0.05)) << "no change at all";
}

TEST(RepetitionsToShow, ShowItInFourOfFiveExperiments) {
  Random random{11};
  const double spread = 0.03;
  const size_t repetitions = *repetitions_to_show(1.05, spread, 0.01);
  const auto noise = [&] {
    // Box and Muller.
    const double radius = std::sqrt(2 * random.exponential());
    return std::exp(spread * radius * std::cos(2 * M_PI * random.uniform()));
  };
  int shown = 0;
  constexpr int kExperiments = 400;
  for (int i = 0; i < kExperiments; ++i) {
    Values a, b;
    for (size_t k = 0; k < repetitions; ++k) {
      a.push_back(noise());
      b.push_back(1.05 * noise());
    }
    shown += rank_test(a, b).p <= 0.01;
  }
  EXPECT_GT(shown, 0.72 * kExperiments);
  EXPECT_LT(shown, 0.95 * kExperiments);
}

TEST(MeanRatioInterval, ResamplesTheSameRepetitionsForAllRows) {
  // Ten rows that move together: their mean is no surer than one of them.
  const std::vector<double> before = {10, 11, 12, 13, 14, 15, 16},
                            after = {12, 13, 14, 15, 16, 17, 18};
  const std::vector<BeforeAfter> one(1, {before, after}), ten(10, {before, after});
  const auto alone = mean_ratio_interval(one, 1), together = mean_ratio_interval(ten, 1);
  ASSERT_TRUE(alone && together);
  EXPECT_NEAR(alone->low, together->low, 1e-9);
  EXPECT_NEAR(alone->high, together->high, 1e-9);
  EXPECT_LT(alone->low, 15.0 / 13);
  EXPECT_GT(alone->high, 15.0 / 13);
  // Sides without any spread leave nothing open.
  const std::vector<double> flat(7, 10.0), double_flat(7, 20.0);
  const std::vector<BeforeAfter> sure(3, {flat, double_flat});
  EXPECT_NEAR(mean_ratio_interval(sure, 1)->low, 2, 1e-9);
  EXPECT_NEAR(mean_ratio_interval(sure, 1)->high, 2, 1e-9);
}

TEST(MeanRatioInterval, NeedsSixRepetitionsAndValuesAboveZero) {
  const std::vector<double> five(5, 1.0), six(6, 1.0), zeros(6, 0.0);
  EXPECT_FALSE(mean_ratio_interval(std::vector<BeforeAfter>{{six, six}, {five, six}}, 1));
  EXPECT_FALSE(mean_ratio_interval(std::vector<BeforeAfter>{{zeros, six}}, 1));
  EXPECT_FALSE(mean_ratio_interval({}, 1));
  EXPECT_TRUE(mean_ratio_interval(std::vector<BeforeAfter>{{six, six}}, 1));
}

}  // namespace
}  // namespace lastack
