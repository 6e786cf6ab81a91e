#include "net/network.h"

#include <utility>

#include "net/namespaces.h"
#include "net/veth.h"

namespace lastack {
namespace {

constexpr int kPrefixLength = 24, kHostPrefixLength = 32;

Result<std::array<uint8_t, 6>> hardware_address_in(const Fd& network_namespace,
                                                   const char* interface) {
  std::array<uint8_t, 6> address{};
  const Status failed = inside(network_namespace, [&]() -> Status {
    const auto read = read_hardware_address(interface);
    if (!read) return read.error();
    address = *read;
    return std::nullopt;
  });
  if (failed) return *failed;
  return address;
}

// The victims' end of the pair is in its namespace: gives it its addresses.
Status configure_victims(const Network& network) {
  const auto survivor_address = hardware_address_in(network.survivors, kSurvivorInterface);
  if (!survivor_address) return survivor_address.error();
  return inside(network.victims, [&]() -> Status {
    // A host that forwards hands this on to new namespaces, and would answer for a cut path.
    Status failed = write_sysctls({{"net/ipv4/conf/all/forwarding", "0"}});
    if (!failed)
      failed = add_address(kVictimInterface, second_victim_host(network.number), kPrefixLength);
    if (!failed)
      failed = add_address(kVictimInterface, victim_host(network.number), kHostPrefixLength);
    if (!failed) failed = bring_up(kVictimInterface);
    if (!failed)
      failed = add_permanent_neighbour(kVictimInterface, survivor_host(network.number),
                                       *survivor_address);
    return failed;
  });
}

Status configure_survivors(const Network& network) {
  const auto victim_address = hardware_address_in(network.victims, kVictimInterface);
  if (!victim_address) return victim_address.error();
  return inside(network.survivors, [&]() -> Status {
    Status failed = add_address(kSurvivorInterface, survivor_host(network.number), kPrefixLength);
    if (!failed) failed = bring_up(kSurvivorInterface);
    for (const uint32_t host : {victim_host(network.number), second_victim_host(network.number)})
      if (!failed) failed = add_permanent_neighbour(kSurvivorInterface, host, *victim_address);
    return failed;
  });
}

// Adds what `read` says in each of the namespaces that are only this network's.
template <class Values>
Result<Values> sum_over_own(const Network& network, Values sum, Result<Values> (*read)()) {
  if (!network.veth) return sum;
  const auto add = [&]() -> Status {
    const auto values = read();
    if (!values) return values.error();
    sum += *values;
    return std::nullopt;
  };
  if (Status failed = inside(network.victims, add)) return *failed;
  if (!network.survivors_at_home)
    if (Status failed = inside(network.survivors, add)) return *failed;
  return sum;
}

// `refused`: why it lacks some of private_sysctls(), where it does.
Result<Fd> new_side(const std::vector<Sysctl>& sysctls, std::string& refused) {
  auto side = create_network_namespace();
  if (!side) return side;
  if (const Status failed = inside(*side, [] { return write_sysctls(private_sysctls()); }))
    refused = failed->message();
  if (Status failed = inside(*side, [&] { return write_sysctls(sysctls); })) return *failed;
  return side;
}

}  // namespace

Result<Network> open_veth_network(uint32_t number, bool survivors_too,
                                  const std::vector<Sysctl>& sysctls) {
  if (number >= kMostNetworks) return plain_error("a run may have at most 256 veth networks");
  Network network;
  network.number = number;
  network.veth = true;
  network.survivors_at_home = !survivors_too;
  auto survivors =
      survivors_too ? new_side(sysctls, network.refused) : open_own_network_namespace();
  if (!survivors) return survivors.error();
  auto victims = new_side(sysctls, network.refused);
  if (!victims) return victims.error();
  network.survivors = std::move(*survivors);
  network.victims = std::move(*victims);
  Status failed = inside(network.survivors, [&] {
    return create_veth(kSurvivorInterface, kVictimInterface, network.victims.get());
  });
  if (!failed) failed = configure_survivors(network);
  if (!failed) failed = configure_victims(network);
  if (failed) return *failed;
  return network;
}

Status prepare_unreachable(uint32_t network) {
  // Unlimited: with the default of one a second per host, most survivors would hear nothing.
  const std::vector<Sysctl> router = {{"net/ipv4/conf/all/forwarding", "1"},
                                      {"net/ipv4/conf/all/send_redirects", "0"},
                                      {"net/ipv4/icmp_ratelimit", "0"},
                                      {"net/ipv4/icmp_ratemask", "0"}};
  if (Status failed = write_sysctls(router)) return failed;
  // As long as the address is local, the route is not looked at.
  return add_unreachable_route(victim_host(network));
}

Status cut_path(uint32_t network) {
  return delete_address(kVictimInterface, victim_host(network), kHostPrefixLength);
}

Status restore_path(uint32_t network) {
  return add_address(kVictimInterface, victim_host(network), kHostPrefixLength);
}

Result<CounterValues> read_network_counters(const Network& network) {
  return sum_over_own(network, network.ended, read_counters);
}

Result<TrafficCounters> read_network_traffic(const Network& network) {
  return sum_over_own(network, network.ended_traffic, read_traffic);
}

Status reboot_victims(Network& network) {
  auto fresh = new_side({}, network.refused);
  if (!fresh) return fresh.error();
  Status failed = inside(network.victims, [&]() -> Status {
    const auto counters = read_counters();
    if (!counters) return counters.error();
    network.ended += *counters;
    auto traffic = read_traffic();
    if (!traffic) return traffic.error();
    // The interface keeps its own figures.
    traffic->interface_packets = traffic->interface_bytes = 0;
    network.ended_traffic += *traffic;
    // The cable is plugged into the new host: destroying the old one would destroy it, too.
    return move_interface(kVictimInterface, fresh->get());
  });
  if (failed) return failed;
  network.victims = std::move(*fresh);
  return configure_victims(network);
}

}  // namespace lastack
