#include "net/traffic.h"

#include <gtest/gtest.h>

#include "net/tcp_memory.h"

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
  const auto read = parse_traffic(kSnmp, kNetstat, kSnmp6, kDev);
  ASSERT_TRUE(read);
  const TrafficCounters& traffic = *read;
  EXPECT_EQ(traffic.in_segments, 12);
  EXPECT_EQ(traffic.out_segments, 13);
  EXPECT_EQ(traffic.in_bytes, 660);
  EXPECT_EQ(traffic.out_bytes, 770);
  EXPECT_EQ(traffic.interface_packets, 22);
  EXPECT_EQ(traffic.interface_bytes, 2200);
}

TEST(Traffic, WithoutIPv6ItIsThatOfIPv4) {
  const auto traffic = parse_traffic(kSnmp, kNetstat, "", kDev);
  ASSERT_TRUE(traffic);
  EXPECT_EQ(traffic->in_bytes, 600);
  EXPECT_EQ(traffic->out_bytes, 700);
}

TEST(Traffic, WhatAKernelDoesNotSayIsAnErrorAndNotZero) {
  EXPECT_FALSE(parse_traffic("", kNetstat, kSnmp6, kDev));
  EXPECT_FALSE(parse_traffic("Tcp: InSegs OutSegs\n", kNetstat, kSnmp6, kDev));
  EXPECT_FALSE(parse_traffic("Tcp: InSegs OutSegs\nTcp: 12\n", kNetstat, kSnmp6, kDev));
  EXPECT_FALSE(parse_traffic("Tcp: InSegs OutSegs\nTcp: many 13\n", kNetstat, kSnmp6, kDev));
  EXPECT_FALSE(parse_traffic(kSnmp, "", kSnmp6, kDev));
  EXPECT_FALSE(parse_traffic(kSnmp, "IpExt: InOctets\nIpExt: 600\n", kSnmp6, kDev));
  EXPECT_FALSE(parse_traffic(kSnmp, kNetstat, "Ip6InOctets\t60\n", kDev));
  EXPECT_FALSE(parse_traffic(kSnmp, kNetstat, "Ip6InOctets\t-\nIp6OutOctets\t70\n", kDev));
  EXPECT_FALSE(parse_traffic(kSnmp, kNetstat, kSnmp6, ""));
  EXPECT_FALSE(parse_traffic(kSnmp, kNetstat, kSnmp6, "lo: 1 2"));
  EXPECT_FALSE(parse_traffic(kSnmp, kNetstat, kSnmp6, "lo: 1 2 3 4 5 6 7 8 x 10"));
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

TEST(BacklogDrops, AreTheSecondColumnOfEveryCpu) {
  EXPECT_EQ(parse_backlog_drops("0001a2b3 0000000a 00000000\n0000ffff 00000010 00000001\n"), 26);
  EXPECT_EQ(parse_backlog_drops("0001a2b3 00000000 00000000\n"), 0);
}

TEST(BacklogDrops, AreNotKnownWhereNothingTells) {
  for (const char* text :
       {"", "\n", "0001a2b3\n", "0001a2b3 none\n", "0001a2b3 0000000a\n0000ffff"})
    EXPECT_EQ(parse_backlog_drops(text), std::nullopt) << text;
  EXPECT_TRUE(read_backlog_drops());
}

TEST(TcpMemory, IsTheMemOfTheTcpLine) {
  EXPECT_EQ(parse_tcp_memory_pages("sockets: used 9\nTCP: inuse 5 orphan 0 tw 0 alloc 6 mem 17\n"
                                   "UDP: inuse 0 mem 3\n"),
            17);
  for (const char* text : {"", "UDP: inuse 0 mem 3\n", "TCP: inuse 5\nUDP: inuse 0 mem 3\n",
                           "TCP: inuse 5 mem \n", "TCP: inuse 5 mem few\n"})
    EXPECT_EQ(parse_tcp_memory_pages(text), std::nullopt) << text;
  EXPECT_TRUE(tcp_memory_bytes());
}

}  // namespace
}  // namespace lastack
