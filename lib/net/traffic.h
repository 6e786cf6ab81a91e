// How much a network namespace sent and received. No prediction is checked against these figures
// (net/counters.h has those): they are what something costs.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/error.h"

namespace lastack {

struct TrafficCounters {
  int64_t in_segments = 0, out_segments = 0;  // TCP's InSegs and OutSegs (RFC 4022)
  int64_t in_bytes = 0, out_bytes = 0;  // InOctets and OutOctets of IPv4 and IPv6, headers too
  // Sent by any interface: what stays in the namespace is counted once. A packet that the interface
  // takes in one piece (TSO) is one, however many segments it is on a wire.
  int64_t interface_packets = 0, interface_bytes = 0;
  bool operator==(const TrafficCounters&) const = default;
};

// From the content of /proc/net/{snmp,netstat,snmp6,dev}; without IPv6, `snmp6` is empty. The Error
// names what they do not tell.
Result<TrafficCounters> parse_traffic(std::string_view snmp, std::string_view netstat,
                                      std::string_view snmp6, std::string_view dev);
// Of the calling thread's network namespace.
Result<TrafficCounters> read_traffic();

// Packets that found a CPU's backlog full (net.core.netdev_max_backlog), which loopback and veth go
// through: of the whole host, from /proc/net/softnet_stat (softnet_seq_show: the second column).
// nullopt: nothing tells.
std::optional<int64_t> parse_backlog_drops(std::string_view softnet_stat);
std::optional<int64_t> read_backlog_drops();

TrafficCounters& operator+=(TrafficCounters& sum, const TrafficCounters& more);
TrafficCounters operator-(const TrafficCounters& later, const TrafficCounters& earlier);

}  // namespace lastack
