// Groups of values whose figures can be told by hand.
#include "base/modes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"

namespace lastack {
namespace {

struct Group {
  uint64_t count;
  int64_t value_ns;
  int64_t step_ns = 0;  // from each value to the next
};

Histogram histogram_of(const std::vector<Group>& groups) {
  Histogram histogram;
  for (const Group& group : groups)
    for (uint64_t i = 0; i < group.count; ++i)
      histogram.record(group.value_ns + static_cast<int64_t>(i) * group.step_ns);
  return histogram;
}

std::optional<Modes> modes_of(const std::vector<Group>& groups) {
  return modes(histogram_of(groups));
}

TEST(Modes, OfOneGroupThereAreNone) {
  EXPECT_FALSE(modes_of({}));
  EXPECT_FALSE(modes_of({{200, 14'079}}));
  EXPECT_FALSE(modes_of({{200, 14'000, 7}}));
  EXPECT_FALSE(modes_of({{3000, 14'000, 7}}));
  Histogram chance;
  Random random{1};
  for (int i = 0; i < 1000; ++i)
    chance.record(10'000 + static_cast<int64_t>(10'000 * random.exponential()));
  EXPECT_FALSE(modes(chance));
}

TEST(Modes, TwoAreToldByTheirMediansAndShares) {
  const auto two = modes_of({{124, 14'079}, {76, 18'612, 2}});
  ASSERT_TRUE(two);
  EXPECT_EQ((*two)[0].p50_ns, 14'079);
  EXPECT_EQ((*two)[0].share, 0.62);
  EXPECT_EQ((*two)[1].p50_ns, 18'612 + 2 * 37);
  EXPECT_EQ((*two)[1].share, 0.38);
}

TEST(Modes, OutliersAreNoneAndHideNone) {
  EXPECT_FALSE(modes_of({{199, 14'000}, {1, 900'000}}));
  const auto two = modes_of({{100, 14'000}, {97, 18'000}, {3, 900'000'000}});
  ASSERT_TRUE(two);
  EXPECT_EQ((*two)[1].p50_ns, 18'000);
  EXPECT_EQ((*two)[1].share, 0.5);
}

TEST(Modes, ThreeAreTheTwoSidesOfTheWidestGap) {
  const auto two = modes_of({{50, 10'000}, {40, 11'000}, {60, 40'000}});
  ASSERT_TRUE(two);
  EXPECT_EQ((*two)[0].p50_ns, 10'000);
  EXPECT_EQ((*two)[0].share, 0.6);
  EXPECT_EQ((*two)[1].p50_ns, 40'000);
  // That side is as wide as its own gap.
  EXPECT_FALSE(modes_of({{50, 10'000}, {50, 20'000}, {50, 40'000}}));
}

TEST(Modes, TheGapIsOnePercentOfTheLowerMedianAtLeast) {
  EXPECT_TRUE(modes_of({{100, 10'000}, {100, 10'100}}));
  EXPECT_FALSE(modes_of({{100, 10'000}, {100, 10'099}}));
}

TEST(Modes, TheGapIsFourTimesTheWiderGroupAtLeast) {
  // Of 101 values one apart, those of ranks 11 and 91 are 80 apart.
  EXPECT_TRUE(modes_of({{101, 10'000, 1}, {100, 10'420}}));
  EXPECT_FALSE(modes_of({{101, 10'000, 1}, {100, 10'419}}));
  EXPECT_TRUE(modes_of({{100, 10'000}, {101, 10'320, 1}}));
  EXPECT_FALSE(modes_of({{100, 10'000}, {101, 10'319, 1}}));
}

TEST(Modes, EachHasFivePercentOfTheValuesAtLeast) {
  EXPECT_TRUE(modes_of({{95, 10'000}, {5, 20'000}}));
  EXPECT_FALSE(modes_of({{96, 10'000}, {4, 20'000}}));
  EXPECT_TRUE(modes_of({{5, 10'000}, {95, 20'000}}));
  EXPECT_FALSE(modes_of({{4, 10'000}, {96, 20'000}}));
}

TEST(Modes, LessThanFiftyValuesHaveNone) {
  EXPECT_TRUE(modes_of({{25, 10'000}, {25, 20'000}}));
  EXPECT_FALSE(modes_of({{25, 10'000}, {24, 20'000}}));
}

// 128 values share a bucket from 8,192 to 16,383; what lies in it is not known.
TEST(Modes, OfBucketsNoGapIsTakenForWiderThanItIs) {
  const auto two = modes_of({{2000, 14'079}, {1000, 18'687}});
  ASSERT_TRUE(two);
  EXPECT_NEAR(static_cast<double>((*two)[0].p50_ns), 14'079, 14'079 * Histogram::kRelativeError);
  EXPECT_NEAR((*two)[0].share, 0.667, 0.001);
  EXPECT_FALSE(modes_of({{2000, 8192 + 127}, {2000, 8192 + 128}}));  // neighbours in two buckets
  // The bucket between is empty: a gap as wide as each group may be.
  EXPECT_FALSE(modes_of({{2000, 8192}, {2000, 8192 + 256}}));
}

TEST(Modes, AreToldInTheUnitOfTheRun) {
  const Modes two = {{{14'079, 0.62}, {18'687, 0.38}}};
  EXPECT_EQ(modes_text(two, TimeUnit::virtual_ns),
            "two modes: 14,079vns (62 %) and 18,687vns (38 %)");
  EXPECT_EQ(modes_text(two, TimeUnit::ns), "two modes: 14.1us (62 %) and 18.7us (38 %)");
}

}  // namespace
}  // namespace lastack
