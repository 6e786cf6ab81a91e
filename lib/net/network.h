// The namespaces that a group of connections lives in: one for both ends, or one for each side
// with a veth pair between them.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "net/counters.h"
#include "net/namespaces.h"
#include "net/traffic.h"

namespace lastack {

// Interfaces and addresses of a veth network: 198.18.N.0/24 (RFC 2544) for network N. The victims'
// namespace has a second address, so that it keeps a route, and a source for ICMP, when the
// victims' own is taken away.
constexpr const char* kSurvivorInterface = "survivor";
constexpr const char* kVictimInterface = "victim";
constexpr uint32_t kMostNetworks = 256;
constexpr uint32_t survivor_host(uint32_t network) { return 0xC6120001 + (network << 8); }
constexpr uint32_t victim_host(uint32_t network) { return 0xC6120002 + (network << 8); }
constexpr uint32_t second_victim_host(uint32_t network) { return 0xC6120003 + (network << 8); }
constexpr uint32_t first_free_host(uint32_t network) { return 0xC612000A + (network << 8); }

struct Network {
  uint32_t number = 0;
  bool veth = false;
  bool survivors_at_home = true;  // in the caller's namespace
  Fd survivors, victims;          // namespaces; without veth none, both sides are the caller's
  CounterValues ended;            // last values of namespaces that are gone
  TrafficCounters ended_traffic;  // the same
  std::string refused;            // why its namespaces lack some of private_sysctls(); empty
};

// Two sides; with `survivors_too` also the survivors' namespace is a new one. `sysctls` are those
// that new namespaces must have.
Result<Network> open_veth_network(uint32_t number, bool survivors_too,
                                  const std::vector<Sysctl>& sysctls);

// The path of all connections at once. These three act in the calling thread's namespace, which is
// the victims' of that network.
// What an answer to the survivors needs before the path is cut: this namespace then acts as the
// router in front of the victims and answers with ICMP host unreachable.
Status prepare_unreachable(uint32_t network);
// Takes the victims' address away: what comes for it is not for this host and is dropped without an
// answer (ip_error() without forwarding), and what the victims send has no valid source
// (ip_route_output_key_hash_rcu). Neither end is told.
Status cut_path(uint32_t network);
Status restore_path(uint32_t network);

// The sum over the namespaces that are only this network's, those that are gone included.
Result<CounterValues> read_network_counters(const Network& network);
Result<TrafficCounters> read_network_traffic(const Network& network);
// Destroys the victims' namespace, whose processes must have ended, and makes one with the same
// addresses that knows of no connection: a host that has rebooted.
Status reboot_victims(Network& network);

}  // namespace lastack
