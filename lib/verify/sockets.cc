#include "verify/sockets.h"

#include <fmt/format.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace lastack::verify {
namespace {

int64_t g_patience_ns = 20 * kSecond_ns;

Ring& ring_of(Stage& stage) {
  if (!stage.ring)
    stage.ring.emplace(require(
        Ring::open({.mode = RingMode::defer, .submission_entries = 8, .completion_entries = 32})));
  return *stage.ring;
}

// One request, start to completion.
template <class Prepare>
std::optional<int> run_request(Stage& stage, Prepare prepare) {
  Ring& ring = ring_of(stage);
  io_uring_sqe* sqe = ring.entry();
  if (!sqe) fail_stage(plain_error("io_uring gives no submission entry"));
  prepare(sqe);
  const int64_t until_ns = now_ns() + patience_ns();
  std::array<io_uring_cqe*, 1> batch;
  while (now_ns() < until_ns) {
    ring.wait_until(until_ns);
    require(ring.status("verify"));
    const auto ready = ring.completions(batch);
    if (ready.empty()) continue;
    const int result = ready[0]->res;
    ring.seen(1);
    return result;
  }
  require(ring.cancel_all());
  return std::nullopt;
}

// Waits for one event; false when none comes.
bool await_epoll(int instance, epoll_event& event) {
  while (true) {
    const int ready = epoll_wait(instance, &event, 1, patience_ms());
    if (ready >= 0) return ready == 1;
    if (errno != EINTR) fail_stage(errno_error("epoll_wait"));
  }
}

std::string outcome_text(int64_t result) {
  return result >= 0 ? "ok" : errno_name(static_cast<int>(-result));
}

}  // namespace

void stretch_patience(double slowness) {
  g_patience_ns = static_cast<int64_t>(static_cast<double>(20 * kSecond_ns) * slowness);
}
int64_t patience_ns() { return g_patience_ns; }

bool await_poll(int socket, short events, short& revents) {
  const int64_t until_ns = now_ns() + patience_ns();
  while (true) {
    pollfd waited{socket, events, 0};
    const int left_ms = static_cast<int>((until_ns - now_ns()) / kMillisecond_ns);
    const int ready = poll(&waited, 1, std::max(left_ms, 0));
    revents = waited.revents;
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) fail_stage(errno_error("poll"));
  }
}

void await_parent(int socket) {
  pollfd waited{socket, POLLIN, 0};
  while (poll(&waited, 1, -1) < 0)
    if (errno != EINTR) fail_stage(errno_error("poll", "a byte of the parent's"));
}

bool is_hung_up(int socket) {
  pollfd waited{socket, 0, 0};
  if (poll(&waited, 1, 0) < 0 && errno != EINTR) fail_stage(errno_error("poll"));
  return waited.revents & (POLLHUP | POLLERR);
}

Observation observe(Stage& stage, Observer observer, int socket) {
  constexpr short kWanted = POLLIN | POLLOUT | POLLRDHUP;
  char buffer[65536];
  short events = 0;
  const auto read_result = [](ssize_t got) {
    return Observation{"", got >= 0 ? static_cast<int64_t>(got) : -errno};
  };
  switch (observer) {
    case Observer::recv:
      // A program of this kind tries again later; poll() spares the waiting here.
      if (!await_poll(socket, POLLIN, events)) return {};
      return read_result(recv(socket, buffer, sizeof(buffer), MSG_DONTWAIT));
    case Observer::blocking: {
      const timeval patience{patience_ms() / 1000, 0};
      if (setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0)
        fail_stage(errno_error("setsockopt", "SO_RCVTIMEO"));
      const Observation seen = read_result(recv(socket, buffer, sizeof(buffer), 0));
      return seen.read == -EAGAIN ? Observation{} : seen;
    }
    case Observer::poll:
      // First until it is readable, then everything that it says.
      if (!await_poll(socket, POLLIN, events)) return {};
      await_poll(socket, kWanted, events);
      return {poll_text(events), std::nullopt};
    case Observer::epoll: {
      const Fd instance(epoll_create1(EPOLL_CLOEXEC));
      epoll_event event{};
      event.events = EPOLLIN | EPOLLRDHUP;
      if (!instance.valid() || epoll_ctl(instance.get(), EPOLL_CTL_ADD, socket, &event) != 0)
        fail_stage(errno_error("epoll"));
      if (!await_epoll(instance.get(), event)) return {};
      event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP;
      if (epoll_ctl(instance.get(), EPOLL_CTL_MOD, socket, &event) != 0)
        fail_stage(errno_error("epoll_ctl"));
      if (!await_epoll(instance.get(), event)) return {};
      return {poll_text(static_cast<int>(event.events)), std::nullopt};
    }
    case Observer::select: {
      if (socket >= FD_SETSIZE) fail_stage(make_error("select", EINVAL, "descriptor too large"));
      fd_set reads, writes, exceptions;
      std::string text;
      for (const bool all : {false, true}) {
        FD_ZERO(&reads);
        FD_ZERO(&writes);
        FD_ZERO(&exceptions);
        FD_SET(socket, &reads);
        FD_SET(socket, &exceptions);
        if (all) FD_SET(socket, &writes);
        timeval patience{patience_ms() / 1000, 0};
        const int ready = select(socket + 1, &reads, &writes, &exceptions, &patience);
        if (ready < 0) fail_stage(errno_error("select"));
        if (ready == 0) return {};
      }
      if (FD_ISSET(socket, &reads)) text += " readable";
      if (FD_ISSET(socket, &writes)) text += " writable";
      if (FD_ISSET(socket, &exceptions)) text += " exceptional";
      return {text.substr(1), std::nullopt};
    }
    case Observer::uring_recv: {
      const auto result = run_request(stage, [&](io_uring_sqe* sqe) {
        io_uring_prep_recv(sqe, socket, buffer, sizeof(buffer), 0);
      });
      return {"", result ? std::optional<int64_t>(*result) : std::nullopt};
    }
    case Observer::uring_poll: {
      for (const unsigned wanted : {POLLIN | POLLRDHUP, POLLIN | POLLOUT | POLLRDHUP}) {
        const auto result = run_request(
            stage, [&](io_uring_sqe* sqe) { io_uring_prep_poll_add(sqe, socket, wanted); });
        if (!result) return {};
        if (*result < 0) fail_stage(make_error("IORING_OP_POLL_ADD", -*result, ""));
        if (wanted & POLLOUT) return {poll_text(*result), std::nullopt};
      }
      return {};
    }
  }
  return {};
}

Reading read_all(Stage& stage, Observer observer, int socket) {
  Reading reading;
  bool first = true;
  char buffer[65536];
  while (true) {
    Observation seen = observe(stage, observer, socket);
    if (!seen.read && seen.events.empty()) {
      reading.last = "nothing";
      return reading;
    }
    if (first) reading.first_events = seen.events;
    first = false;
    if (!seen.read) {
      const ssize_t got = recv(socket, buffer, sizeof(buffer), MSG_DONTWAIT);
      seen.read = got >= 0 ? got : -errno;
    }
    if (*seen.read == -EAGAIN || *seen.read == -EINTR) continue;
    if (*seen.read > 0) {
      reading.bytes += *seen.read;
      continue;
    }
    reading.last = *seen.read == 0 ? "0" : errno_name(static_cast<int>(-*seen.read));
    return reading;
  }
}

std::string send_byte(Stage& stage, Sender sender, int socket) {
  const char byte = 'x';
  const auto text = [](ssize_t result) { return outcome_text(result < 0 ? -errno : result); };
  switch (sender) {
    case Sender::send:
      return text(send(socket, &byte, 1, 0));
    case Sender::send_nosignal:
      return text(send(socket, &byte, 1, MSG_NOSIGNAL));
    case Sender::write:
      return text(write(socket, &byte, 1));
    case Sender::uring_send: {
      const auto result = run_request(
          stage, [&](io_uring_sqe* sqe) { io_uring_prep_send(sqe, socket, &byte, 1, 0); });
      return result ? outcome_text(*result) : "nothing";
    }
  }
  return "";
}

std::string share_text(int64_t received, int64_t sent) {
  if (received == sent) return "all";
  if (received > sent) return "more than was accepted";
  return received == 0 ? "none" : "part";
}

std::string poll_text(int events) {
  constexpr std::pair<int, const char*> kBits[] = {
      {POLLIN, "IN"},       {POLLPRI, "PRI"}, {POLLOUT, "OUT"},
      {POLLRDHUP, "RDHUP"}, {POLLERR, "ERR"}, {POLLHUP, "HUP"},
  };
  std::string text;
  for (const auto& [bit, name] : kBits)
    if (events & bit) text += fmt::format("{}{}", text.empty() ? "" : " ", name);
  return text.empty() ? "none" : text;
}

std::string tcp_state_text(int socket) {
  constexpr const char* kStates[] = {"?",          "ESTABLISHED", "SYN_SENT",  "SYN_RECV",
                                     "FIN_WAIT1",  "FIN_WAIT2",   "TIME_WAIT", "CLOSE",
                                     "CLOSE_WAIT", "LAST_ACK",    "LISTEN",    "CLOSING"};
  const uint8_t state = require(read_tcp_state(socket));
  return state < std::size(kStates) ? kStates[state] : "?";
}

void await_events(int socket, short events) {
  short seen = 0;
  while (await_poll(socket, static_cast<short>(events & ~(POLLERR | POLLHUP)), seen))
    if (seen & events) return;
  fail_stage(make_error("wait for poll events", ETIME, poll_text(events)));
}

void await_unread(int socket, int bytes) {
  // Hundreds of processes may wait here: poll() sleeps, and the first byte mostly is the last.
  await_events(socket, POLLIN);
  const int64_t until_ns = now_ns() + patience_ns();
  while (require(unread_bytes(socket)) < bytes) {
    if (now_ns() > until_ns)
      fail_stage(make_error("wait for data", ETIME,
                            fmt::format("{} of {} bytes", require(unread_bytes(socket)), bytes)));
    sleep_for(kMillisecond_ns);
  }
}

int64_t fill_queue(int socket) {
  char data[4096] = {};
  int64_t sent = 0;
  const int64_t until_ns = now_ns() + patience_ns();
  // Full, but what fills it may still be leaving: it has to stay full for a while.
  for (int full = 0; full < 3;) {
    if (now_ns() > until_ns) fail_stage(make_error("fill the send queue", ETIME, ""));
    const ssize_t got = send(socket, data, sizeof(data), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (got > 0) {
      sent += got;
      full = 0;
      continue;
    }
    if (errno != EAGAIN) fail_stage(errno_error("send", "while the queue is filled"));
    ++full;
    sleep_for(kMillisecond_ns);
  }
  return sent;
}

int64_t shut_window(int socket) {
  // Who does not read acknowledges by its delayed ACK timer (__tcp_ack_snd_check), and until then a
  // congestion window of 10 segments fills the queue, too. Twice, because with nothing in flight
  // data may also wait for a busy host's softirq (tcp_tasklet_func).
  constexpr int kLooks = 2;
  int64_t sent = 0;
  const int64_t until_ns = now_ns() + patience_ns();
  for (int shut = 0; shut < kLooks;) {
    if (now_ns() > until_ns) fail_stage(make_error("shut the peer's window", ETIME, ""));
    const int64_t got = fill_queue(socket);
    sent += got;
    shut = got == 0 && require(waits_for_window(socket)) ? shut + 1 : 0;
    sleep_for((shut > 0 ? 50 : 5) * kMillisecond_ns);
  }
  return sent;
}

int64_t send_bytes(int socket, int64_t bytes) {
  char data[4096] = {};
  int64_t sent = 0;
  while (sent < bytes) {
    const auto wanted = static_cast<size_t>(std::min<int64_t>(sizeof(data), bytes - sent));
    const ssize_t got = send(socket, data, wanted, MSG_NOSIGNAL);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_stage(errno_error("send"));
    sent += got;
  }
  return sent;
}

int unacknowledged_bytes(int socket) {
  int bytes = 0;
  if (ioctl(socket, SIOCOUTQ, &bytes) != 0) fail_stage(errno_error("ioctl", "SIOCOUTQ"));
  return bytes;
}

void await_delivered(int socket) {
  const int64_t until_ns = now_ns() + patience_ns();
  while (unacknowledged_bytes(socket) > 0) {
    if (now_ns() > until_ns)
      fail_stage(make_error("wait for acknowledgements", ETIME,
                            fmt::format("{} bytes", unacknowledged_bytes(socket))));
    sleep_for(5 * kMillisecond_ns);
  }
}

void let_in(int socket) {
  const int ignored = 0;
  if (setsockopt(socket, SOL_SOCKET, SO_DETACH_FILTER, &ignored, sizeof(ignored)) != 0)
    fail_stage(errno_error("setsockopt", "SO_DETACH_FILTER"));
}

}  // namespace lastack::verify
