// Paths between network namespaces: veth pairs, addresses, neighbours and routes (rtnetlink(7)).
// IPv4 only. Everything needs CAP_NET_ADMIN over the namespaces in question, as
// enter_private_namespaces() gives it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>

#include "base/error.h"
#include "base/file.h"

namespace lastack {

// A network namespace held open by a descriptor: the one of the calling thread, or a new one with
// loopback up, made inside the caller's user namespace. It ends with its last process,
// descriptor and connection. A new one takes over the host's net.ipv4.conf.all.forwarding.
Result<Fd> open_own_network_namespace();
Result<Fd> create_network_namespace();
// Moves the calling thread.
Status enter_network_namespace(int descriptor);
// Does `work` in that namespace; the calling thread comes back.
Status inside(const Fd& network_namespace, const std::function<Status()>& work);

// Makes a veth pair: `near` stays in the calling thread's namespace, `far` goes into the other
// one. Both stay down.
Status create_veth(const std::string& near, const std::string& far, int far_namespace);

// All below act in the calling thread's namespace. A host is an address in host byte order.
Status bring_up(const std::string& interface);
Status move_interface(const std::string& interface, int namespace_descriptor);
Status add_address(const std::string& interface, uint32_t host, int prefix_length);
Status delete_address(const std::string& interface, uint32_t host, int prefix_length);
Result<std::array<uint8_t, 6>> read_hardware_address(const std::string& interface);
// Makes ARP superfluous: a path that is cut must not look like an ARP failure, which the sender
// would learn of (EHOSTUNREACH).
Status add_permanent_neighbour(const std::string& interface, uint32_t host,
                               const std::array<uint8_t, 6>& hardware_address);
// Packets for this host are answered with ICMP host unreachable, where forwarding is on: to one
// source five times, then once a second (ip_error in net/ipv4/route.c).
Status add_unreachable_route(uint32_t host);

}  // namespace lastack
