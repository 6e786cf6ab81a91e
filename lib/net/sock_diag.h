// SOCK_DESTROY: ends a connection from outside, as `ss -K` does (sock_diag(7)).
#pragma once

#include <memory>

#include "base/error.h"
#include "net/socket.h"

struct nl_sock;

namespace lastack {

// A netlink socket of the namespace it was opened in.
class SockDiag {
 public:
  static Result<SockDiag> open();
  // Destroys the TCP socket with this 4-tuple (its local end is the destroyed one). Returns 0 or
  // an errno; ENOENT when there is no such socket. Needs CAP_NET_ADMIN and
  // CONFIG_INET_DIAG_DESTROY.
  int destroy(Family family, const FourTuple& tuple);

 private:
  struct Close {
    void operator()(nl_sock* socket) const;
  };
  std::unique_ptr<nl_sock, Close> socket_;
};

// Tried on a listener of its own. A kernel without CONFIG_INET_DIAG_DESTROY says EOPNOTSUPP, one
// without the module tcp_diag ENOENT (inet_diag_cmd_exact()). EPERM is about who asks: it has it.
bool kernel_has_socket_destroy();

}  // namespace lastack
