// Opens the connections of one shard: one worker listens and accepts, the other one connects.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "net/socket.h"
#include "shard/ends.h"
#include "shard/limits.h"

namespace lastack {

// Called for each connection that stands: slot, its descriptor (now the callee's), its addresses.
using OnEstablished = std::function<void(uint32_t slot, int descriptor, const FourTuple& tuple)>;

struct Listeners {
  std::vector<Fd> sockets;
  std::vector<uint16_t> ports;
};

// The ring that connects or accepts: each worker has one for a while, beside the one it will have,
// and both are locked memory. More than the window's requests are not in flight.
constexpr unsigned kEstablishSubmissions = 64, kEstablishCompletions = 512;

// Enough listening sockets on a host (0: loopback) that no (source, destination, port) runs into
// the kernel's slow search for a free port, which starts at half of the port range
// (__inet_hash_connect).
// `receive_buffer`: of what they accept, in bytes; 0: the kernel's own.
Result<Listeners> open_listeners(Family family, uint32_t host, uint32_t connections,
                                 int receive_buffer);
// Enough of them that all connections fit into their backlogs.
Result<Listeners> open_backlogs(Family family, uint32_t host, uint32_t connections,
                                int receive_buffer);
constexpr uint32_t kNotSaid = UINT32_MAX;  // what `expected` is until the other side has said it
// Waits until the backlogs hold as many connections as `expected()` says; returns how many. At the
// instant it returns what there is, or the Error ETIME where the number has been said.
Result<uint32_t> wait_for_backlogs(const Listeners& listeners,
                                   const std::function<uint32_t()>& expected, int64_t until_ns);

// A connection that was accepted.
struct Accepted {
  Fd socket;
  FourTuple tuple;
};
// Accepts connections until `enough()`, or until the instant, or until none came for a while
// (kStall_ns) once `all_connected()`; appends them to `accepted`. The Error is the accept's.
struct AcceptUntil {
  std::function<bool()> enough, all_connected;
  int64_t until_ns;
  int control;                     // when it is readable, the two are asked again
  std::atomic<uint64_t>& counter;  // of those that were accepted
};
Status accept_connections(const Listeners& listeners, const AcceptUntil& until,
                          std::vector<Accepted>& accepted);

// Connects `wanted` times, to a host's ports in turn, from the source address (0: any); returns how
// many stand. A connect that fails leaves its slot out and does not end the run.
struct Destination {
  Family family;
  uint32_t host, source;
  std::span<const uint16_t> ports;
  // Counts what was accepted there; null: nobody accepts.
  const ShardProgress* progress;
  int receive_buffer = 0;  // in bytes; 0: the kernel's own
};
struct ConnectHooks {
  OnEstablished on_established;
  // Also for those in flight when it was given up: ETIMEDOUT, or what accepting them said. A slot
  // that is in none of the two was not tried, or had no answer when it was stopped.
  std::function<void(uint32_t slot, int error_number)> on_failed;
  std::function<bool()> stopped;  // asked many times a second
};
Result<uint32_t> open_connections(const Destination& to, uint32_t wanted, int64_t until_ns,
                                  const ConnectHooks& hooks);

// After so long without any progress, establishing is given up: the kernel sends a SYN again after
// 1, 2, 4 and 8 s (tcp_syn_retries), and a healthy host loses none.
constexpr int64_t kStall_ns = 15 * kSecond_ns;

}  // namespace lastack
