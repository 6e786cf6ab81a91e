#include "net/veth.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/link/veth.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/route.h>
#include <sched.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "net/netlink_error.h"

namespace lastack {
namespace {

struct Release {
  void operator()(nl_sock* socket) const { nl_socket_free(socket); }
  void operator()(nl_addr* address) const { nl_addr_put(address); }
  void operator()(rtnl_link* link) const { rtnl_link_put(link); }
  void operator()(rtnl_addr* address) const { rtnl_addr_put(address); }
  void operator()(rtnl_neigh* neighbour) const { rtnl_neigh_put(neighbour); }
  void operator()(rtnl_route* route) const { rtnl_route_put(route); }
};
template <class T>
using Owned = std::unique_ptr<T, Release>;

Status status_of(int failed, const char* operation, const std::string& where) {
  if (failed >= 0) return std::nullopt;
  return netlink_error(operation, failed, where);
}

Result<Owned<nl_sock>> open_route_socket() {
  Owned<nl_sock> socket(nl_socket_alloc());
  if (!socket) return make_error("nl_socket_alloc", ENOMEM, "");
  if (const Status failed =
          status_of(nl_connect(socket.get(), NETLINK_ROUTE), "open netlink socket", "route"))
    return *failed;
  return socket;
}

Result<Owned<rtnl_link>> find_link(nl_sock* socket, const std::string& interface) {
  rtnl_link* found = nullptr;
  if (const Status failed = status_of(rtnl_link_get_kernel(socket, 0, interface.c_str(), &found),
                                      "find interface", interface))
    return *failed;
  return Owned<rtnl_link>(found);
}

Owned<nl_addr> to_netlink_address(uint32_t host, int prefix_length) {
  const in_addr network{htonl(host)};
  Owned<nl_addr> address(nl_addr_build(AF_INET, &network, sizeof(network)));
  if (address) nl_addr_set_prefixlen(address.get(), prefix_length);
  return address;
}

std::string host_text(uint32_t host, int prefix_length) {
  char text[INET_ADDRSTRLEN] = "?";
  const in_addr network{htonl(host)};
  inet_ntop(AF_INET, &network, text, sizeof(text));
  return fmt::format("{}/{}", text, prefix_length);
}

// `fill` says what becomes of the interface.
template <class Fill>
Status change_link(const std::string& interface, const char* operation, Fill fill) {
  const auto socket = open_route_socket();
  if (!socket) return socket.error();
  const auto link = find_link(socket->get(), interface);
  if (!link) return link.error();
  const Owned<rtnl_link> wanted(rtnl_link_alloc());
  if (!wanted) return make_error(operation, ENOMEM, interface);
  fill(wanted.get());
  return status_of(rtnl_link_change(socket->get(), link->get(), wanted.get(), 0), operation,
                   interface);
}

using AddressCall = int (*)(nl_sock*, rtnl_addr*, int);

Status change_address(const std::string& interface, uint32_t host, int prefix_length,
                      const char* operation, AddressCall call) {
  const std::string where = fmt::format("{} {}", interface, host_text(host, prefix_length));
  const auto socket = open_route_socket();
  if (!socket) return socket.error();
  const auto link = find_link(socket->get(), interface);
  if (!link) return link.error();
  const Owned<rtnl_addr> address(rtnl_addr_alloc());
  const Owned<nl_addr> local = to_netlink_address(host, prefix_length);
  if (!address || !local) return make_error(operation, ENOMEM, where);
  rtnl_addr_set_ifindex(address.get(), rtnl_link_get_ifindex(link->get()));
  if (const Status failed =
          status_of(rtnl_addr_set_local(address.get(), local.get()), operation, where))
    return failed;
  return status_of(call(socket->get(), address.get(), 0), operation, where);
}

using RouteCall = int (*)(nl_sock*, rtnl_route*, int);

Status change_unreachable_route(uint32_t host, const char* operation, RouteCall call, int flags) {
  const std::string where = host_text(host, 32);
  const auto socket = open_route_socket();
  if (!socket) return socket.error();
  const Owned<rtnl_route> route(rtnl_route_alloc());
  const Owned<nl_addr> destination = to_netlink_address(host, 32);
  if (!route || !destination) return make_error(operation, ENOMEM, where);
  int failed = rtnl_route_set_dst(route.get(), destination.get());
  if (failed >= 0) failed = rtnl_route_set_type(route.get(), RTN_UNREACHABLE);
  rtnl_route_set_table(route.get(), RT_TABLE_MAIN);
  rtnl_route_set_scope(route.get(), RT_SCOPE_UNIVERSE);
  if (failed >= 0) failed = call(socket->get(), route.get(), flags);
  return status_of(failed, operation, where);
}

}  // namespace

Result<Fd> open_own_network_namespace() {
  Fd own(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!own.valid()) return errno_error("open", "/proc/thread-self/ns/net");
  return own;
}

Status enter_network_namespace(int descriptor) {
  if (setns(descriptor, CLONE_NEWNET) != 0) return errno_error("setns", "network namespace");
  return std::nullopt;
}

Status inside(const Fd& network_namespace, const std::function<Status()>& work) {
  const auto home = open_own_network_namespace();
  if (!home) return home.error();
  if (Status failed = enter_network_namespace(network_namespace.get())) return failed;
  Status failed = work();
  if (Status stranded = enter_network_namespace(home->get())) return stranded;
  return failed;
}

Result<Fd> create_network_namespace() {
  const auto before = open_own_network_namespace();
  if (!before) return before.error();
  if (unshare(CLONE_NEWNET) != 0) return errno_error("unshare", "network namespace");
  const Status not_up = bring_up("lo");
  auto made = open_own_network_namespace();
  if (const Status lost = enter_network_namespace(before->get())) return *lost;
  if (not_up) return *not_up;
  return made;
}

Status create_veth(const std::string& near, const std::string& far, int far_namespace) {
  const auto socket = open_route_socket();
  if (!socket) return socket.error();
  const Owned<rtnl_link> link(rtnl_link_veth_alloc());
  if (!link) return make_error("create veth", ENOMEM, near);
  const Owned<rtnl_link> peer(rtnl_link_veth_get_peer(link.get()));
  rtnl_link_set_name(link.get(), near.c_str());
  rtnl_link_set_name(peer.get(), far.c_str());
  rtnl_link_set_ns_fd(peer.get(), far_namespace);
  return status_of(rtnl_link_add(socket->get(), link.get(), NLM_F_CREATE | NLM_F_EXCL),
                   "create veth", fmt::format("{} {}", near, far));
}

Status bring_up(const std::string& interface) {
  return change_link(interface, "bring up",
                     [](rtnl_link* wanted) { rtnl_link_set_flags(wanted, IFF_UP); });
}

Status move_interface(const std::string& interface, int namespace_descriptor) {
  return change_link(interface, "move interface", [namespace_descriptor](rtnl_link* wanted) {
    rtnl_link_set_ns_fd(wanted, namespace_descriptor);
  });
}

Status add_address(const std::string& interface, uint32_t host, int prefix_length) {
  return change_address(interface, host, prefix_length, "add address", rtnl_addr_add);
}

Status delete_address(const std::string& interface, uint32_t host, int prefix_length) {
  return change_address(interface, host, prefix_length, "delete address", rtnl_addr_delete);
}

Result<std::array<uint8_t, 6>> read_hardware_address(const std::string& interface) {
  const auto socket = open_route_socket();
  if (!socket) return socket.error();
  const auto link = find_link(socket->get(), interface);
  if (!link) return link.error();
  nl_addr* address = rtnl_link_get_addr(link->get());  // stays the link's
  std::array<uint8_t, 6> bytes;
  if (!address || nl_addr_get_len(address) != bytes.size())
    return make_error("read hardware address", ENODATA, interface);
  std::memcpy(bytes.data(), nl_addr_get_binary_addr(address), bytes.size());
  return bytes;
}

Status add_permanent_neighbour(const std::string& interface, uint32_t host,
                               const std::array<uint8_t, 6>& hardware_address) {
  const std::string where = fmt::format("{} {}", interface, host_text(host, 32));
  const auto socket = open_route_socket();
  if (!socket) return socket.error();
  const auto link = find_link(socket->get(), interface);
  if (!link) return link.error();
  const Owned<rtnl_neigh> neighbour(rtnl_neigh_alloc());
  const Owned<nl_addr> destination = to_netlink_address(host, 32);
  const Owned<nl_addr> hardware(
      nl_addr_build(AF_LLC, hardware_address.data(), hardware_address.size()));
  if (!neighbour || !destination || !hardware) return make_error("add neighbour", ENOMEM, where);
  rtnl_neigh_set_ifindex(neighbour.get(), rtnl_link_get_ifindex(link->get()));
  rtnl_neigh_set_state(neighbour.get(), NUD_PERMANENT);
  rtnl_neigh_set_lladdr(neighbour.get(), hardware.get());
  int failed = rtnl_neigh_set_dst(neighbour.get(), destination.get());
  if (failed >= 0)
    failed = rtnl_neigh_add(socket->get(), neighbour.get(), NLM_F_CREATE | NLM_F_REPLACE);
  return status_of(failed, "add neighbour", where);
}

Status add_unreachable_route(uint32_t host) {
  return change_unreachable_route(host, "add unreachable route", rtnl_route_add,
                                  NLM_F_CREATE | NLM_F_EXCL);
}

}  // namespace lastack
