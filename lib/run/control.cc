#include "run/control.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/clock.h"

namespace lastack {

Result<std::pair<Channel, Channel>> Channel::open_pair() {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0)
    return errno_error("socketpair");
  return std::pair{Channel(sockets[0]), Channel(sockets[1])};
}

Status Channel::send(const Message& message) {
  while (::send(socket_.get(), &message, sizeof(message), MSG_NOSIGNAL) < 0)
    if (errno != EINTR) return errno_error("send", "control message");
  return std::nullopt;
}

Result<std::optional<Message>> Channel::receive(int64_t until_ns) {
  while (true) {
    Message message;
    const ssize_t got = recv(socket_.get(), &message, sizeof(message), MSG_DONTWAIT);
    if (got == static_cast<ssize_t>(sizeof(message))) return std::optional(message);
    if (got == 0) return make_error("receive", EPIPE, "control message");
    if (got > 0) return make_error("receive", EMSGSIZE, "control message");
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return errno_error("receive", "control message");
    const int64_t left_ns = until_ns - now_ns();
    if (until_ns == 0 || left_ns <= 0) return std::optional<Message>();
    pollfd waited{socket_.get(), POLLIN, 0};
    const timespec timeout = to_timespec(left_ns);
    ppoll(&waited, 1, &timeout, nullptr);
  }
}

}  // namespace lastack
