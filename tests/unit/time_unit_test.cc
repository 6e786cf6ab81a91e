#include "base/time_unit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lastack {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string time_text(double duration_ns) {
  return format_rounded_duration(duration_ns, TimeUnit::ns);
}
std::string virtual_text(double duration_ns) {
  return format_rounded_duration(duration_ns, TimeUnit::virtual_ns);
}

TEST(Format, RoundedDurationsHaveThreeDigitsAndAUnit) {
  EXPECT_EQ(time_text(0), "0ns");
  EXPECT_EQ(time_text(7), "7ns");
  EXPECT_EQ(time_text(999), "999ns");
  EXPECT_EQ(time_text(7813), "7.81us");
  EXPECT_EQ(time_text(78'130), "78.1us");
  EXPECT_EQ(time_text(781'300), "781us");
  EXPECT_EQ(time_text(2.5e6), "2.50ms");
  EXPECT_EQ(time_text(3e9), "3.00s");
}

TEST(Format, RoundedDurationsCarryIntoTheNextDigitAndUnit) {
  EXPECT_EQ(time_text(9996), "10.0us");
  EXPECT_EQ(time_text(99'960), "100us");
  EXPECT_EQ(time_text(999'600), "1.00ms");
  EXPECT_EQ(time_text(999'600'000), "1.00s");
}

TEST(Format, VirtualTimeKeepsEveryDigitAndNamesItsUnit) {
  EXPECT_EQ(virtual_text(0), "0vns");
  EXPECT_EQ(virtual_text(999), "999vns");
  EXPECT_EQ(virtual_text(16'057), "16,057vns");
  EXPECT_EQ(virtual_text(16'056.5), "16,057vns");
  EXPECT_EQ(virtual_text(2e9), "2,000,000,000vns");
}

TEST(Format, SecondsAreOfTheirClock) {
  EXPECT_EQ(format_seconds(12'340'000'000, TimeUnit::ns), "12.3 s");
  EXPECT_EQ(format_seconds(12'340'000'000, TimeUnit::virtual_ns), "12.3 virtual s");
}

TEST(Format, UnitsThatHoldNoTimeStayAsTheyAre) {
  for (const char* unit : {"ns", "ns/s", "1/s", "s", "bytes"})
    EXPECT_EQ(unit_text(unit, TimeUnit::ns), unit);
  EXPECT_EQ(unit_text("ns", TimeUnit::virtual_ns), "virtual_ns");
  EXPECT_EQ(unit_text("ns/s", TimeUnit::virtual_ns), "virtual_ns/virtual s");
  EXPECT_EQ(unit_text("1/s", TimeUnit::virtual_ns), "1/virtual s");
  EXPECT_EQ(unit_text("second", TimeUnit::virtual_ns), "virtual second");
  for (const char* unit : {"bytes", "segments", "share", ""})
    EXPECT_EQ(unit_text(unit, TimeUnit::virtual_ns), unit);
}

TEST(TimeUnit, IsWhatTheKernelsParametersSay) {
  EXPECT_EQ(time_unit_in(""), TimeUnit::ns);
  EXPECT_EQ(time_unit_in("quiet lastack.accelerator=tcg"), TimeUnit::ns);
  EXPECT_EQ(time_unit_in("lastack.clock=virtual_ns quiet\n"), TimeUnit::virtual_ns);
  EXPECT_EQ(time_unit_in("lastack.clock=virtual_ns lastack.clock=ns"), TimeUnit::ns);
  for (const TimeUnit unit : {TimeUnit::ns, TimeUnit::virtual_ns})
    EXPECT_EQ(time_unit_named(time_unit_name(unit)), unit);
}

TEST(TimeUnit, SaysWhatVirtualTimeDoesNotShow) {
  EXPECT_THAT(hidden_in(TimeUnit::ns), IsEmpty());
  EXPECT_THAT(hidden_in(TimeUnit::virtual_ns),
              ElementsAre("caches", "real interrupts", "parallelism"));
  EXPECT_EQ(time_unit_note(TimeUnit::ns), "");
  EXPECT_THAT(time_unit_note(TimeUnit::virtual_ns),
              HasSubstr("they do not show caches, real interrupts, parallelism"));
}

}  // namespace
}  // namespace lastack
