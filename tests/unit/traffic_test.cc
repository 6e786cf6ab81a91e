#include "net/traffic.h"

#include <gtest/gtest.h>

namespace lastack {
namespace {

constexpr std::string_view kSnmp =
    "Ip: Forwarding DefaultTTL InReceives\nIp: 1 64 9\n"
    "Tcp: RtoAlgorithm InSegs OutSegs RetransSegs\nTcp: 1 12 13 14\n"
    "Udp: InDatagrams\nUdp: 5\n";
constexpr std::string_view kNetstat =
    "TcpExt: SyncookiesSent InOctets\nTcpExt: 1 99\n"
    "IpExt: InNoRoutes InOctets OutOctets\nIpExt: 0 600 700\n";
constexpr std::string_view kSnmp6 = "Ip6InReceives\t3\nIp6InOctets\t60\nIp6OutOctets\t70\n";
constexpr std::string_view kDev =
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs\n"
    "    lo:     100       1    0    0    0     0          0         0      200       2    0 0 0\n"
    "  eth0:1000000000 10 0 0 0 0 0 0 2000 20 0 0 0 0 0 0\n";

TEST(Traffic, IsReadFromTheKernelsFourFiles) {
  const TrafficCounters traffic = parse_traffic(kSnmp, kNetstat, kSnmp6, kDev);
  EXPECT_EQ(traffic.in_segments, 12);
  EXPECT_EQ(traffic.out_segments, 13);
  EXPECT_EQ(traffic.in_bytes, 660);
  EXPECT_EQ(traffic.out_bytes, 770);
  EXPECT_EQ(traffic.interface_packets, 22);
  EXPECT_EQ(traffic.interface_bytes, 2200);
}

TEST(Traffic, WhatAKernelDoesNotSayCountsNothing) {
  const TrafficCounters traffic = parse_traffic("Tcp: InSegs\n", "", "", "lo: 1 2");
  EXPECT_EQ(traffic.in_segments, 0);
  EXPECT_EQ(traffic.in_bytes, 0);
  EXPECT_EQ(traffic.interface_packets, 0);
}

TEST(Traffic, OfThisNamespaceCanBeReadAndSubtracted) {
  const auto earlier = read_traffic();
  ASSERT_TRUE(earlier);
  const auto later = read_traffic();
  ASSERT_TRUE(later);
  const TrafficCounters between = *later - *earlier;
  EXPECT_GE(between.in_segments, 0);
  TrafficCounters sum = *earlier;
  sum += between;
  EXPECT_EQ(sum.out_bytes, later->out_bytes);
  EXPECT_EQ(sum.interface_bytes, later->interface_bytes);
}

}  // namespace
}  // namespace lastack
