// Which version a kernel is, whatever its release says, and which changes that version has.
#include "base/kernel_version.h"

#include <gtest/gtest.h>

namespace lastack {
namespace {

TEST(KernelVersion, IsReadFromTheBeginningOfAText) {
  EXPECT_EQ(leading_kernel_version("6.1.174-1"), (KernelVersion{6, 1, 174}));
  EXPECT_EQ(leading_kernel_version("6.12.111+deb12-cloud-amd64"), (KernelVersion{6, 12, 111}));
  EXPECT_EQ(leading_kernel_version("6.18-rc3"), (KernelVersion{6, 18, 0}));
  EXPECT_EQ(leading_kernel_version("7.0"), (KernelVersion{7, 0, 0}));
  for (const char* text :
       {"", "6", "6.", ".1", "6.x", "-6.1", "6.-1", "6.1.", "6.1.x", "Linux", "99999999999.1"})
    EXPECT_EQ(leading_kernel_version(text), std::nullopt) << text;
}

TEST(KernelVersion, IsOrderedByNumbers) {
  EXPECT_LT((KernelVersion{6, 1, 99}), (KernelVersion{6, 1, 174}));
  EXPECT_LT((KernelVersion{6, 1, 174}), (KernelVersion{6, 12, 1}));
  EXPECT_LT((KernelVersion{6, 99, 0}), (KernelVersion{7, 0, 0}));
  EXPECT_EQ(to_text(KernelVersion{6, 12, 0}), "6.12");
}

TEST(KernelIdentity, DebianSaysItBehindItsName) {
  const auto one = identify(
      {"6.1.0-49-cloud-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.174-1 (2026-05-26)", ""});
  EXPECT_EQ(one.version, (KernelVersion{6, 1, 174}));
  EXPECT_FALSE(one.may_differ);
  EXPECT_EQ(one.source, "uname -v");
}

TEST(KernelIdentity, UbuntuSaysItInItsSignature) {
  const auto one = identify({"6.8.0-45-generic", "#45-Ubuntu SMP PREEMPT_DYNAMIC Fri Aug 30",
                             "Ubuntu 6.8.0-45.45-generic 6.8.12"});
  EXPECT_EQ(one.version, (KernelVersion{6, 8, 12}));
  EXPECT_TRUE(one.may_differ);
}

TEST(KernelIdentity, OthersAreTakenByTheirRelease) {
  const auto plain = identify({"6.12.91", "#1 SMP", ""});
  EXPECT_EQ(plain.version, (KernelVersion{6, 12, 91}));
  EXPECT_FALSE(plain.may_differ);
  EXPECT_FALSE(identify({"7.1.0", "#1 SMP", ""}).may_differ);
  const auto vendor = identify({"5.14.0-503.el9.x86_64", "#1 SMP PREEMPT_DYNAMIC", ""});
  EXPECT_EQ(vendor.version, (KernelVersion{5, 14, 0}));
  EXPECT_TRUE(vendor.may_differ);
  EXPECT_EQ(vendor.source, "uname -r");
  // The compiler's version is none of the kernel's.
  EXPECT_EQ(identify({"6.6.4-x", "#1 SMP (Debian 12.2.0-14)", ""}).version,
            (KernelVersion{6, 6, 4}));
}

TEST(KernelIdentity, OfTheRunningKernelIsKnown) {
  const auto one = identify(read_kernel_names());
  EXPECT_GE(one.version, (KernelVersion{6, 0, 0}));
}

TEST(Arrivals, AreOfTheirSeriesAndTheLastOfAllLaterOnes) {
  constexpr KernelVersion kFixed[] = {{6, 1, 175}, {6, 12, 86}, {7, 0, 0}};
  EXPECT_FALSE(has_arrived(kFixed, {6, 1, 174}));
  EXPECT_TRUE(has_arrived(kFixed, {6, 1, 175}));
  EXPECT_TRUE(has_arrived(kFixed, {6, 1, 192}));
  EXPECT_FALSE(has_arrived(kFixed, {6, 0, 19}));
  EXPECT_FALSE(has_arrived(kFixed, {6, 6, 200}));  // a series that never got it
  EXPECT_FALSE(has_arrived(kFixed, {6, 12, 85}));
  EXPECT_TRUE(has_arrived(kFixed, {6, 12, 86}));
  EXPECT_FALSE(has_arrived(kFixed, {6, 18, 0}));
  EXPECT_TRUE(has_arrived(kFixed, {7, 0, 0}));
  EXPECT_TRUE(has_arrived(kFixed, {7, 3, 1}));
  EXPECT_FALSE(has_arrived({}, {7, 0, 0}));
  EXPECT_EQ(to_text(kFixed), "6.1.175, 6.12.86, 7.0 and later");
}

}  // namespace
}  // namespace lastack
