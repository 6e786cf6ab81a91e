// Opens the connections of one shard: one worker listens and accepts, the other one connects.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/error.h"
#include "net/socket.h"

namespace lastack {

// Called for each connection that stands: slot, its descriptor (now the callee's), its addresses.
using OnEstablished = std::function<void(uint32_t slot, int descriptor, const FourTuple& tuple)>;

struct Listeners {
  std::vector<Fd> sockets;
  std::vector<uint16_t> ports;
};

constexpr int64_t kMostListeners = 64;

// Enough listening sockets on a host (0: loopback) that no (source, destination, port) runs into
// the kernel's slow search for a free port, which starts at half of the port range
// (__inet_hash_connect).
// `receive_buffer`: of what they accept, in bytes; 0: the kernel's own.
Result<Listeners> open_listeners(Family family, uint32_t host, uint32_t connections,
                                 int receive_buffer);
// Enough of them that all connections fit into their backlogs.
Result<Listeners> open_backlogs(Family family, uint32_t host, uint32_t connections,
                                int receive_buffer);
// Waits until the backlogs hold as many connections as `expected()` says; returns how many.
Result<uint32_t> wait_for_backlogs(const Listeners& listeners,
                                   const std::function<uint32_t()>& expected, int64_t until_ns);

// Accepts connections until there are as many as `expected()` says, which may shrink when connects
// fail, or until the instant; returns how many. Slots count up from 0.
Result<uint32_t> accept_connections(const Listeners& listeners,
                                    const std::function<uint32_t()>& expected, int64_t until_ns,
                                    const OnEstablished& on_established);

// Connects `wanted` times, to a host's ports in turn, from the source address (0: any). A connect
// that fails leaves its slot out and does not end the run, unless all of them do.
struct Destination {
  Family family;
  uint32_t host, source;
  std::span<const uint16_t> ports;
  int receive_buffer = 0;  // in bytes; 0: the kernel's own
};
struct Opened {
  uint32_t established;
  Status first_failure;  // why not all do
};
Result<Opened> open_connections(const Destination& to, uint32_t wanted, int64_t until_ns,
                                const OnEstablished& on_established);

// Descriptors of a worker that are no connection: rings, control, table, listeners, standard ones.
constexpr int64_t kReservedDescriptors = 128;

}  // namespace lastack
