#include "base/statistics.h"

#include <gtest/gtest.h>

#include <vector>

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

}  // namespace
}  // namespace lastack
