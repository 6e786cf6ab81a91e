// Text to numbers and back: every unit, the whole text or nothing, and exact inverses.
#include "base/parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "base/random.h"

namespace lastack {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kMostTaken = 1'000'000'000'000'000;  // what the parsers take at most

// An int64_t below `kMostTaken`, each magnitude equally often.
int64_t any_value(Random& random) {
  return static_cast<int64_t>(random.next() >> (14 + random.below(50))) % kMostTaken;
}

template <class T>
void expect_value(const Result<T>& result, T wanted, const char* text) {
  ASSERT_TRUE(result) << text << ": " << result.error().message();
  EXPECT_EQ(*result, wanted) << text;
}

template <class T>
void expect_refused(const Result<T>& result, const std::string& text) {
  ASSERT_FALSE(result) << "'" << text << "' became " << *result;
  EXPECT_THAT(result.error().message(), HasSubstr("'" + text + "'"));
}

TEST(ParseCount, TakesEveryUnit) {
  expect_value<int64_t>(parse_count("0"), 0, "0");
  expect_value<int64_t>(parse_count("500"), 500, "500");
  expect_value<int64_t>(parse_count("10k"), 10'000, "10k");
  expect_value<int64_t>(parse_count("1.5M"), 1'500'000, "1.5M");
  expect_value<int64_t>(parse_count("2G"), 2'000'000'000, "2G");
  expect_value<int64_t>(parse_count("1.1k"), 1100, "1.1k");  // 1.1 has no exact double
}

TEST(ParseSize, TakesEveryUnit) {
  expect_value<int64_t>(parse_size("512"), 512, "512");
  expect_value<int64_t>(parse_size("512B"), 512, "512B");
  expect_value<int64_t>(parse_size("4KiB"), 4096, "4KiB");
  expect_value<int64_t>(parse_size("0.5KiB"), 512, "0.5KiB");
  expect_value<int64_t>(parse_size("1MiB"), 1'048'576, "1MiB");
}

TEST(ParseDuration, TakesEveryUnit) {
  expect_value<int64_t>(parse_duration("100ns"), 100, "100ns");
  expect_value<int64_t>(parse_duration("20us"), 20'000, "20us");
  expect_value<int64_t>(parse_duration("250ms"), 250'000'000, "250ms");
  expect_value<int64_t>(parse_duration("1.5s"), 1'500'000'000, "1.5s");
  expect_value<int64_t>(parse_duration("2min"), 120'000'000'000, "2min");
}

TEST(ParseDuration, OnlyZeroNeedsNoUnit) {
  expect_value<int64_t>(parse_duration("0"), 0, "0");
  expect_value<int64_t>(parse_duration("0s"), 0, "0s");
  expect_refused(parse_duration("5"), "5");
  expect_refused(parse_duration("00"), "00");
}

TEST(ParseRate, TakesEveryUnit) {
  expect_value(parse_rate("500/s"), 500.0, "500/s");
  expect_value(parse_rate("0.5/s"), 0.5, "0.5/s");
  expect_value(parse_rate("5k/s"), 5000.0, "5k/s");
  expect_value(parse_rate("2M/s"), 2e6, "2M/s");
  expect_value(parse_rate("1G/s"), 1e9, "1G/s");
}

TEST(ParseRate, IsAboveZeroAtMostOneGigaAndPerSecond) {
  for (const char* text : {"0/s", "-5/s", "1.001G/s", "500", "5k", "/s", "5/ms", "5/s ", "5 /s"})
    expect_refused(parse_rate(text), text);
}

TEST(ParseWeight, TakesZeroAndFractions) {
  expect_value(parse_weight("0"), 0.0, "0");
  expect_value(parse_weight("0.5"), 0.5, "0.5");
  expect_value(parse_weight("1000000000"), 1e9, "1000000000");
}

TEST(ParseWeight, RefusesUnitsSignsAndTheHuge) {
  for (const char* text : {"", "-1", "+1", "1k", "nan", "inf", "1000000001", "1e3"})
    expect_refused(parse_weight(text), text);
}

TEST(Parse, TakesTheWholeTextOrNothing) {
  for (const char* text : {"",     " ",  " 5", "5 ",  "5\n",   "5kk",   "5 k", "k",   "5x", "1e3",
                           "0x10", "+5", "-5", ".5k", "1,000", "1.2.3", "nan", "inf", "5K", "5m"})
    expect_refused(parse_count(text), text);
  for (const char* text : {"", " 4KiB", "4KiB ", "4KB", "4kib", "4K", "KiB", "-4KiB", "4GiB", "4b"})
    expect_refused(parse_size(text), text);
  for (const char* text :
       {"", "5", "5 s", "5s ", " 5s", "s", "5S", "5m", "5h", "5ss", "-5s", "5s5"})
    expect_refused(parse_duration(text), text);
}

TEST(Parse, RefusesTextBehindAZeroByte) {
  EXPECT_FALSE(parse_count(std::string_view("5\0", 2)));
  EXPECT_FALSE(parse_duration(std::string_view("5s\0x", 4)));
}

TEST(Parse, RefusesFractionsOfTheSmallestUnit) {
  for (const char* text : {"1.5", "0.0001k", "1.0005k"}) expect_refused(parse_count(text), text);
  for (const char* text : {"0.5B", "0.3KiB"}) expect_refused(parse_size(text), text);
  for (const char* text : {"0.5ns", "1.0005us"}) expect_refused(parse_duration(text), text);
}

TEST(Parse, TakesTheLargestValueAndRefusesMore) {
  expect_value(parse_count("1000000G"), kMostTaken, "1000000G");
  expect_value(parse_duration("1000000s"), kMostTaken, "1000000s");
  expect_refused(parse_count("1000001G"), "1000001G");
  expect_refused(parse_duration("16667min"), "16667min");
  expect_refused(parse_size("1000000000MiB"), "1000000000MiB");
  expect_refused(parse_count(std::string(30, '9')), std::string(30, '9'));
  expect_refused(parse_count(std::string(1000, '9')), std::string(1000, '9'));  // not a double
}

TEST(Parse, ErrorsSayInOneLineWhatIsAllowed) {
  for (const std::string& message :
       {parse_count("x").error().message(), parse_size("x").error().message(),
        parse_duration("x").error().message(), parse_rate("x").error().message()}) {
    EXPECT_THAT(message, HasSubstr("such as"));
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }
  EXPECT_THAT(parse_weight("x").error().message(), HasSubstr("from 0 to 1000000000"));
  EXPECT_THAT(parse_count("2000000G").error().message(), HasSubstr("too large"));
  EXPECT_THAT(parse_count("1.5").error().message(), HasSubstr("not a whole number"));
}

TEST(Format, UsesTheLargestUnitThatStaysWhole) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(10'000), "10k");
  EXPECT_EQ(format_count(1'500'000), "1500k");
  EXPECT_EQ(format_count(2'000'000'000), "2G");
  EXPECT_EQ(format_size(512), "512");
  EXPECT_EQ(format_size(4096), "4KiB");
  EXPECT_EQ(format_size(1'048'576), "1MiB");
  EXPECT_EQ(format_duration(0), "0");
  EXPECT_EQ(format_duration(1), "1ns");
  EXPECT_EQ(format_duration(250'000'000), "250ms");
  EXPECT_EQ(format_duration(90'000'000'000), "90s");
  EXPECT_EQ(format_duration(120'000'000'000), "2min");
  EXPECT_EQ(format_rate(5000), "5k/s");
  EXPECT_EQ(format_rate(0.25), "0.25/s");
}

TEST(Format, WholeNumbersReadBackExactly) {
  Random random{21};
  for (int i = 0; i < 20'000; ++i) {
    // Half of the values get trailing zeros, or no unit but the smallest would be used.
    constexpr int64_t kFactors[] = {1, 1, 1, 1000, 1024, 1'000'000, 60'000'000'000, 1'048'576};
    const int64_t factor = kFactors[random.below(8)];
    const int64_t value = any_value(random) / factor * factor;
    expect_value(parse_count(format_count(value)), value, "count");
    expect_value(parse_size(format_size(value)), value, "size");
    expect_value(parse_duration(format_duration(value)), value, "duration");
  }
  for (const int64_t value : {int64_t{0}, kMostTaken - 1, kMostTaken}) {
    expect_value(parse_count(format_count(value)), value, "count");
    expect_value(parse_size(format_size(value)), value, "size");
    expect_value(parse_duration(format_duration(value)), value, "duration");
  }
}

TEST(Format, RatesReadBackExactly) {
  Random random{22};
  for (int i = 0; i < 20'000; ++i) {
    const double rate = std::ldexp(random.uniform() + 0.5, static_cast<int>(random.below(60)) - 31);
    expect_value(parse_rate(format_rate(rate)), rate, "random");
  }
  for (const double rate : {1e9, 1e6, 1.0, 0.1, 1.0 / 3, 1e-5, 5e-324, 123456789.125})
    expect_value(parse_rate(format_rate(rate)), rate, "chosen");
}

TEST(Split, KeepsEmptyParts) {
  EXPECT_THAT(split("", ','), IsEmpty());
  EXPECT_THAT(split("a", ','), ElementsAre("a"));
  EXPECT_THAT(split("a,b,c", ','), ElementsAre("a", "b", "c"));
  EXPECT_THAT(split(",a,,b,", ','), ElementsAre("", "a", "", "b", ""));
  EXPECT_THAT(split("a=b", ','), ElementsAre("a=b"));
}

constexpr std::string_view kNames[] = {"fin", "rst-linger", "vanish", "silent"};

TEST(NearestName, NeedsTheFewestEdits) {
  EXPECT_EQ(nearest_name("finn", kNames), "fin");
  EXPECT_EQ(nearest_name("rst_linger", kNames), "rst-linger");
  EXPECT_EQ(nearest_name("slient", kNames), "silent");
  EXPECT_EQ(nearest_name("vanished", kNames), "vanish");
  EXPECT_EQ(nearest_name("fin", kNames), "fin");
}

TEST(NearestName, CountsAMissingAndASpareLetterAsOneEdit) {
  // The first name is two substitutions away.
  constexpr std::string_view kLonger[] = {"cat", "cord"}, kShorter[] = {"bar", "ca"};
  EXPECT_EQ(nearest_name("cor", kLonger), "cord");
  EXPECT_EQ(nearest_name("cat", kShorter), "ca");
}

TEST(NearestName, IsTheFirstOfEquallyNearOnes) {
  constexpr std::string_view kTwins[] = {"bat", "cat"};
  EXPECT_EQ(nearest_name("rat", kTwins), "bat");
}

TEST(NearestName, IsNoneForLongTextAndNoNames) {
  EXPECT_EQ(nearest_name(std::string(64, 'x'), kNames), "fin");  // all are equally far
  EXPECT_EQ(nearest_name(std::string(65, 'x'), kNames), "");
  EXPECT_EQ(nearest_name("fin", {}), "");
}

TEST(UnknownName, NamesTheNearestAndWhatIsAllowed) {
  EXPECT_EQ(unknown_name("strategy", "finn", kNames).message(),
            "unknown strategy 'finn' (did you mean 'fin'?); allowed: fin, rst-linger, vanish, "
            "silent");
}

TEST(UnknownName, HasNoHintForLongText) {
  const std::string given(65, 'x');
  EXPECT_EQ(unknown_name("watch", given, kNames).message(),
            "unknown watch '" + given + "'; allowed: fin, rst-linger, vanish, silent");
}

}  // namespace
}  // namespace lastack
