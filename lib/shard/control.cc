#include "shard/control.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/clock.h"
#include "base/waited.h"

namespace lastack {

Result<std::pair<Channel, Channel>> Channel::open_pair() {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0)
    return errno_error("socketpair");
  return std::pair{Channel(sockets[0]), Channel(sockets[1])};
}

namespace {

// Room for the descriptors of one message (cmsg(3), SCM_RIGHTS).
using DescriptorBuffer = std::array<char, CMSG_SPACE(Message::kMostItems * sizeof(int))>;

void take_descriptors(msghdr& header, std::vector<Fd>* descriptors) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int descriptor;
      std::memcpy(&descriptor, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      Fd received(descriptor);
      if (descriptors) descriptors->push_back(std::move(received));
    }
  }
}

// ECONNRESET is the same with messages that the other side had not read (unix_release_sock).
Error gone(std::string operation) {
  return make_error(std::move(operation), EPIPE, "control message");
}

}  // namespace

Status Channel::send(const Message& message, std::span<const int> descriptors) {
  iovec data{const_cast<Message*>(&message), sizeof(message)};
  alignas(cmsghdr) DescriptorBuffer buffer{};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  if (!descriptors.empty()) {
    header.msg_control = buffer.data();
    header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(part), descriptors.data(), descriptors.size_bytes());
  }
  Waited waited;
  while (sendmsg(socket_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    if (errno == EINTR) continue;
    if (errno == ECONNRESET) return gone("send");
    if (errno != EAGAIN) return errno_error("send", "control message");
    if (waited.longer_than(kSendPatience_ns)) return make_error("send", ETIME, "control message");
    if (const int failed = wait_for(POLLOUT, now_ns() + kSecond_ns / 2))
      return make_error("ppoll", failed, "control message");
  }
  return std::nullopt;
}

int Channel::wait_for(short events, int64_t until_ns) {
  pollfd waited{socket_.get(), events, 0};
  const timespec timeout = to_timespec(std::max<int64_t>(0, until_ns - now_ns()));
  const bool failed = ppoll(&waited, 1, &timeout, nullptr) < 0;
  return failed && errno != EINTR ? errno : 0;
}

bool Channel::has_room() {
  pollfd waited{socket_.get(), POLLOUT, 0};
  return poll(&waited, 1, 0) == 1;
}

void send_progress(Channel& channel, std::string_view phase, int64_t done, int64_t total) {
  Message message;
  message.verb = Verb::progress;
  message.value = done;
  message.total = total;
  phase.copy(message.text, sizeof(message.text) - 1);
  if (channel.has_room()) (void)channel.send(message);
}

Message failure_message(const Error& error) {
  Message message;
  message.verb = Verb::failed;
  message.value = error.error_number;
  const std::string words = make_error(error.operation, 0, error.where).message();
  words.copy(message.text, sizeof(message.text) - 1);
  return message;
}

Error error_of(const Message& failure) {
  return make_error(failure.text, static_cast<int>(failure.value), "");
}

int say_shortage(Channel& leader, const char* operation, int error_number) {
  Message message;
  message.verb = Verb::failed;
  message.value = error_number;
  std::snprintf(message.text, sizeof(message.text), "%s", operation);
  (void)leader.send(message);  // a leader that is gone needs no answer
  return 1;
}

Result<std::optional<Message>> Channel::receive(int64_t until_ns, std::vector<Fd>* descriptors) {
  while (true) {
    Message message;
    iovec data{&message, sizeof(message)};
    alignas(cmsghdr) DescriptorBuffer buffer;
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = buffer.data();
    header.msg_controllen = buffer.size();
    const ssize_t got = recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got > 0) take_descriptors(header, descriptors);
    if (got == static_cast<ssize_t>(sizeof(message))) return std::optional(message);
    if (got == 0) return gone("receive");
    if (got > 0) return make_error("receive", EMSGSIZE, "control message");
    if (errno == EINTR) continue;
    if (errno == ECONNRESET) return gone("receive");
    if (errno != EAGAIN) return errno_error("receive", "control message");
    if (until_ns == 0 || until_ns <= now_ns()) return std::optional<Message>();
    if (const int failed = wait_for(POLLIN, until_ns))
      return make_error("ppoll", failed, "control message");
  }
}

}  // namespace lastack
