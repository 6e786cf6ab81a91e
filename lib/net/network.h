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

struct Network {
  uint32_t number = 0;
  bool veth = false;
  bool survivors_at_home = true;  // in the caller's namespace
  Fd survivors, victims;          // namespaces; without veth none, both sides are the caller's
  CounterValues ended;            // last values of namespaces that are gone
  TrafficCounters ended_traffic;  // the same
  std::string refused;            // why its namespaces lack some of private_sysctls(); empty
};

// Two sides; with `survivors_too` also the survivors' namespace is a new one. `timers` are sysctls
// that new namespaces must have.
Result<Network> open_veth_network(uint32_t number, bool survivors_too,
                                  const std::vector<Sysctl>& timers);
// The sum over the namespaces that are only this network's, those that are gone included.
Result<CounterValues> read_network_counters(const Network& network);
Result<TrafficCounters> read_network_traffic(const Network& network);
// Destroys the victims' namespace, whose processes must have ended, and makes one with the same
// addresses that knows of no connection: a host that has rebooted.
Status reboot_victims(Network& network);

}  // namespace lastack
