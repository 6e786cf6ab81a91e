// A path between two namespaces that can be cut and mended, and one that answers "unreachable".
#include "net/veth.h"

#include <gtest/gtest.h>
#include <linux/errqueue.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/clock.h"
#include "net/namespaces.h"
#include "net/socket.h"
#include "program.h"

namespace lastack::live {
namespace {

constexpr uint32_t kSurvivorHost = 0xC6120101;     // 198.18.1.1, of RFC 2544
constexpr uint32_t kVictimHost = 0xC6120102;       // comes and goes
constexpr uint32_t kVictimStaysHost = 0xC6120103;  // the route back, and the source of ICMP

// What goes wrong in the child has no other way out.
#define NEED(condition)                                                    \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "veth_test.cc:%d: %s\n", __LINE__, #condition); \
      return false;                                                        \
    }                                                                      \
  } while (false)
#define WORKS(call)                                                                       \
  do {                                                                                    \
    if (const Status failed = (call)) {                                                   \
      std::fprintf(stderr, "veth_test.cc:%d: %s\n", __LINE__, failed->message().c_str()); \
      return false;                                                                       \
    }                                                                                     \
  } while (false)

struct Path {
  Fd survivor_side, victim_side;
  Fd survivor, victim;  // the two ends of a connection
};

bool build(Path& path) {
  WORKS(enter_private_namespaces());
  auto own = open_own_network_namespace();
  auto other = create_network_namespace();
  NEED(own && other);
  path.survivor_side = std::move(*own);
  path.victim_side = std::move(*other);
  WORKS(create_veth("near", "far", path.victim_side.get()));
  WORKS(add_address("near", kSurvivorHost, 24));
  WORKS(bring_up("near"));
  const auto near = read_hardware_address("near");
  NEED(near);
  WORKS(enter_network_namespace(path.victim_side.get()));
  WORKS(write_sysctls({{"net/ipv4/conf/all/forwarding", "0"}}));  // the host may have it on
  WORKS(add_address("far", kVictimStaysHost, 24));
  WORKS(add_address("far", kVictimHost, 32));
  WORKS(bring_up("far"));
  WORKS(add_permanent_neighbour("far", kSurvivorHost, *near));
  const auto far = read_hardware_address("far");
  NEED(far);
  auto listener = open_socket(Family::inet);
  const SocketAddress any = to_socket_address(Family::inet, {kVictimHost, 0});
  NEED(bind(listener->get(), any.get(), any.length) == 0 && listen(listener->get(), 1) == 0);
  const auto address = read_local_address(listener->get());
  WORKS(enter_network_namespace(path.survivor_side.get()));
  WORKS(add_permanent_neighbour("near", kVictimHost, *far));
  path.survivor = std::move(*open_socket(Family::inet));
  const SocketAddress target = to_socket_address(Family::inet, *address);
  NEED(connect(path.survivor.get(), target.get(), target.length) == 0);
  path.victim = Fd(accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
  NEED(path.victim.valid());
  return true;
}

bool arrives(const Fd& from, const Fd& to, int timeout_ms) {
  if (send(from.get(), "x", 1, MSG_NOSIGNAL) != 1) return false;
  pollfd waited{to.get(), POLLIN, 0};
  char byte;
  return poll(&waited, 1, timeout_ms) == 1 && recv(to.get(), &byte, 1, 0) == 1;
}

int unacknowledged(const Fd& socket) {
  tcp_info info{};
  socklen_t length = sizeof(info);
  getsockopt(socket.get(), IPPROTO_TCP, TCP_INFO, &info, &length);
  return static_cast<int>(info.tcpi_unacked);
}

bool carries_data_until_cut() {
  Path path;
  if (!build(path)) return false;
  NEED(arrives(path.survivor, path.victim, 5000) && arrives(path.victim, path.survivor, 5000));
  WORKS(enter_network_namespace(path.victim_side.get()));
  WORKS(delete_address("far", kVictimHost, 32));
  NEED(!arrives(path.survivor, path.victim, 300));
  NEED(unacknowledged(path.survivor) == 1);
  pollfd waited{path.survivor.get(), POLLIN | POLLRDHUP, 0};
  NEED(poll(&waited, 1, 100) == 0 && *take_socket_error(path.survivor.get()) == 0);
  WORKS(add_address("far", kVictimHost, 32));
  waited = {path.victim.get(), POLLIN, 0};
  NEED(poll(&waited, 1, 20'000) == 1);  // the retransmission
  char byte;
  NEED(recv(path.victim.get(), &byte, 1, 0) == 1);
  NEED(arrives(path.victim, path.survivor, 20'000));
  return true;
}

bool answers_unreachable() {
  Path path;
  if (!build(path)) return false;
  // Without IP_RECVERR an ICMP error on an established connection is a soft one: kept for later.
  const int on = 1;
  NEED(setsockopt(path.survivor.get(), IPPROTO_IP, IP_RECVERR, &on, sizeof(on)) == 0);
  WORKS(enter_network_namespace(path.victim_side.get()));
  WORKS(write_sysctls({{"net/ipv4/conf/all/forwarding", "1"},
                       {"net/ipv4/icmp_ratelimit", "0"},
                       {"net/ipv4/icmp_ratemask", "0"}}));
  WORKS(delete_address("far", kVictimHost, 32));
  WORKS(add_unreachable_route(kVictimHost));
  NEED(add_unreachable_route(kVictimHost)->error_number == EEXIST);
  NEED(send(path.survivor.get(), "x", 1, MSG_NOSIGNAL) == 1);
  pollfd waited{path.survivor.get(), POLLIN, 0};
  NEED(poll(&waited, 1, 5000) == 1 && (waited.revents & POLLERR));
  NEED(*take_socket_error(path.survivor.get()) == EHOSTUNREACH);
  return true;
}

bool names_what_failed() {
  WORKS(enter_private_namespaces());
  NEED(bring_up("absent")->where == "absent");
  NEED(delete_address("lo", kVictimHost, 32)->error_number == EADDRNOTAVAIL);
  NEED(enter_network_namespace(0)->error_number == EINVAL);
  auto other = create_network_namespace();
  NEED(other);
  WORKS(create_veth("near", "far", other->get()));
  NEED(create_veth("near", "far2", other->get())->error_number == EEXIST);
  WORKS(move_interface("near", other->get()));
  NEED(bring_up("near").has_value());  // gone
  WORKS(enter_network_namespace(other->get()));
  WORKS(bring_up("near"));
  return true;
}

// In a process of its own: entering namespaces is for good.
void expect_in_child(bool (*body)()) {
  if (!kForkedChildMayEnterNamespaces) GTEST_SKIP() << "ThreadSanitizer";
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    _exit(body() ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(Veth, CarriesDataUntilTheVictimsAddressGoes) { expect_in_child(carries_data_until_cut); }
TEST(Veth, UnreachableRouteAnswersWithIcmp) { expect_in_child(answers_unreachable); }
TEST(Veth, ErrorsNameTheirPlace) { expect_in_child(names_what_failed); }

}  // namespace
}  // namespace lastack::live
