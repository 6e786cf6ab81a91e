#include "net/sock_diag.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netlink/netlink.h>

#include <cstring>

#include "net/netlink_error.h"

namespace lastack {
namespace {

void copy_address(Family family, const Address& address, __be32 words[4]) {
  const SocketAddress full = to_socket_address(family, address);
  if (family == Family::inet6)
    std::memcpy(words, &full.storage.sin6_addr, 16);
  else
    words[0] = htonl(address.host);
}

}  // namespace

void SockDiag::Close::operator()(nl_sock* socket) const { nl_socket_free(socket); }

Result<SockDiag> SockDiag::open() {
  SockDiag diag;
  diag.socket_.reset(nl_socket_alloc());
  if (!diag.socket_) return make_error("nl_socket_alloc", ENOMEM, "");
  if (const int failed = nl_connect(diag.socket_.get(), NETLINK_SOCK_DIAG); failed < 0)
    return netlink_error("open sock_diag", failed);
  return diag;
}

int SockDiag::destroy(Family family, const FourTuple& tuple) {
  inet_diag_req_v2 request{};
  request.sdiag_family = family == Family::inet ? AF_INET : AF_INET6;
  request.sdiag_protocol = IPPROTO_TCP;
  request.idiag_states = ~0u;
  request.id.idiag_sport = htons(tuple.local.port);
  request.id.idiag_dport = htons(tuple.remote.port);
  copy_address(family, tuple.local, request.id.idiag_src);
  copy_address(family, tuple.remote, request.id.idiag_dst);
  request.id.idiag_cookie[0] = request.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  const int sent =
      nl_send_simple(socket_.get(), SOCK_DESTROY, NLM_F_ACK, &request, sizeof(request));
  if (sent < 0) return errno_of_netlink(sent);
  return errno_of_netlink(nl_wait_for_ack(socket_.get()));
}

bool kernel_has_socket_destroy() {
  const auto listener = open_listener(Family::inet, loopback_address(Family::inet, 0), 1);
  if (!listener) return true;  // not known
  const auto at = read_local_address(listener->get());
  auto diag = SockDiag::open();
  if (!at || !diag) return false;
  const int failed = diag->destroy(Family::inet, {*at, {}});
  return failed == 0 || failed == EPERM;
}

}  // namespace lastack
