#include "shard/establish.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "base/clock.h"
#include "base/parse.h"
#include "net/namespaces.h"
#include "ring/ring.h"

namespace lastack {
namespace {

constexpr int kBacklog = 4096;           // somaxconn's default caps it anyway
constexpr uint32_t kConnectWindow = 64;  // connects in flight: far below most backlogs
constexpr size_t kBatch = 64;

// Establishing has a ring of its own: it needs a small one, and none of the survivors' flags.
Result<Ring> open_establish_ring() {
  RingSetup setup;
  setup.submission_entries = kEstablishSubmissions;
  setup.completion_entries = kEstablishCompletions;
  return Ring::open(setup);
}

// Handles completions until `finished` or the instant.
Status pump(Ring& ring, int64_t until_ns, const std::function<bool()>& finished,
            const std::function<Status(const io_uring_cqe&)>& handle) {
  std::array<io_uring_cqe*, kBatch> batch;
  while (!finished() && now_ns() < until_ns) {
    // Short sleeps: `finished` may change its mind without a completion.
    ring.wait_until(std::min(until_ns, now_ns() + 50 * kMillisecond_ns));
    if (ring.failed()) return ring.status("establish");
    const auto completions = ring.completions(batch);
    Status failed;
    for (const io_uring_cqe* completion : completions)
      if (!failed) failed = handle(*completion);
    ring.seen(static_cast<unsigned>(completions.size()));
    if (failed) return failed;
  }
  return std::nullopt;
}

}  // namespace

namespace {

Address address_of(Family family, uint32_t host, uint16_t port) {
  return host == 0 ? loopback_address(family, port) : Address{host, port};
}

// Before the handshake, which offers the first window.
Status set_receive_buffer(int socket, int bytes) {
  return bytes > 0 ? set_option(socket, Option::receive_buffer_bytes, bytes) : std::nullopt;
}

Result<Listeners> open_some_listeners(Family family, uint32_t host, uint32_t wanted,
                                      int receive_buffer) {
  Listeners listeners;
  for (uint32_t i = 0; i < std::max(wanted, 1u); ++i) {
    auto socket = open_listener(family, address_of(family, host, 0), kBacklog);
    if (!socket) return socket.error();
    // Inherited by what it accepts. Where it is refused the host's default stays, and the
    // manifest says which.
    (void)set_congestion_control(socket->get());
    if (Status failed = set_receive_buffer(socket->get(), receive_buffer)) return *failed;
    const auto address = read_local_address(socket->get());
    if (!address) return address.error();
    listeners.ports.push_back(address->port);
    listeners.sockets.push_back(std::move(*socket));
  }
  return listeners;
}

}  // namespace

Result<Listeners> open_listeners(Family family, uint32_t host, uint32_t connections,
                                 int receive_buffer) {
  const auto [first, last] = read_port_range();
  const auto per_port = static_cast<uint32_t>(std::max(1, (last - first + 1) * 2 / 5));
  return open_some_listeners(
      family, host, std::min<uint32_t>((connections + per_port - 1) / per_port, kMostListeners),
      receive_buffer);
}

Result<Listeners> open_backlogs(Family family, uint32_t host, uint32_t connections,
                                int receive_buffer) {
  uint32_t room = kBacklog;
  const auto limit = parse_count(read_first_line("/proc/sys/net/core/somaxconn"));
  if (limit && *limit > 0) room = std::min(room, static_cast<uint32_t>(*limit));
  const uint32_t wanted = (connections + room - 1) / room;
  if (wanted > kMostListeners)
    return plain_error(
        fmt::format("{} connections of a shard do not fit into {} backlogs of {}; "
                    "allowed: more shards, or a larger net.core.somaxconn",
                    connections, kMostListeners, room));
  return open_some_listeners(family, host, wanted, receive_buffer);
}

Result<uint32_t> wait_for_backlogs(const Listeners& listeners,
                                   const std::function<uint32_t()>& expected, int64_t until_ns) {
  while (true) {
    uint32_t waiting = 0;
    for (const Fd& socket : listeners.sockets) {
      const auto in_backlog = connections_in_backlog(socket.get());
      if (!in_backlog) return in_backlog.error();
      waiting += static_cast<uint32_t>(*in_backlog);
    }
    const uint32_t wanted = expected();
    if (waiting >= wanted) return waiting;
    if (now_ns() <= until_ns) {
      sleep_for(kMillisecond_ns);
      continue;
    }
    // Where the other side has not said how many there are, it is the one that is late.
    if (wanted == kNotSaid) return waiting;
    return make_error("wait for connections in backlogs", ETIME,
                      fmt::format("{} of {}", waiting, wanted));
  }
}

Status accept_connections(const Listeners& listeners, const AcceptUntil& until,
                          std::vector<Accepted>& accepted) {
  auto ring = open_establish_ring();
  if (!ring) return ring.error();
  const uint64_t kControl = listeners.sockets.size();
  const auto arm = [&](uint64_t index) -> Status {
    io_uring_sqe* sqe = ring->entry();
    if (!sqe) return ring->status("accept");
    if (index == kControl)
      io_uring_prep_poll_multishot(sqe, until.control, POLLIN);
    else
      io_uring_prep_multishot_accept(sqe, listeners.sockets[index].get(), nullptr, nullptr,
                                     SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, index);
    return std::nullopt;
  };
  for (uint64_t i = 0; i <= kControl; ++i)
    if (Status failed = arm(i)) return failed;
  std::optional<int64_t> stalls_at_ns;
  const auto finished = [&] {
    if (until.enough()) return true;
    if (!stalls_at_ns && until.all_connected()) stalls_at_ns = now_ns() + kStall_ns;
    return stalls_at_ns && now_ns() > *stalls_at_ns;
  };
  Status failed = pump(*ring, until.until_ns, finished, [&](const io_uring_cqe& completion) {
    if (completion.user_data == kControl) {
      const bool over = completion.res < 0 || completion.flags & IORING_CQE_F_MORE;
      return over ? Status() : arm(kControl);
    }
    stalls_at_ns.reset();
    if (completion.res >= 0) {
      Fd socket(completion.res);
      const auto tuple = read_four_tuple(socket.get());
      // A stranger may be gone again.
      if (!tuple && tuple.error().error_number != ENOTCONN) return Status(tuple.error());
      if (tuple) accepted.push_back({std::move(socket), *tuple});
      until.counter.fetch_add(1, std::memory_order_relaxed);
    } else if (completion.res != -ECONNABORTED && completion.res != -EAGAIN) {
      return Status(make_error("accept", -completion.res,
                               fmt::format("port {}", listeners.ports[completion.user_data])));
    }
    if (!(completion.flags & IORING_CQE_F_MORE)) return arm(completion.user_data);
    return Status();
  });
  const Status held = ring->cancel_all();
  return failed ? failed : held;
}

namespace {

// The connects of one shard: a window of them is in flight.
class Connector {
 public:
  Connector(const Destination& to, Ring& ring, uint32_t wanted, const ConnectHooks& hooks)
      : to_(to), ring_(ring), wanted_(wanted), hooks_(hooks) {
    for (const uint16_t port : to.ports)
      addresses_.push_back(to_socket_address(to.family, address_of(to.family, to.host, port)));
    // More than fit into the backlog would be dropped, and sent again after a second.
    if (to.progress) room_ = read_backlog_limit();
    for (uint32_t place = 0; place < kConnectWindow; ++place) free_.push_back(place);
  }

  // Fills the window, as far as there is room for connections that wait to be accepted.
  Status fill() {
    while (!free_.empty() && started_ < wanted_ && has_room()) {
      const uint32_t slot = started_++;
      auto socket = open_one();
      if (!socket) {
        fail(slot, socket.error().error_number);
        continue;
      }
      io_uring_sqe* sqe = ring_.entry();
      if (!sqe) return ring_.status("connect");
      const uint32_t place = free_.back();
      free_.pop_back();
      const SocketAddress& address = addresses_[slot % addresses_.size()];
      io_uring_prep_connect(sqe, socket->get(), address.get(), address.length);
      io_uring_sqe_set_data64(sqe, place);
      in_flight_[place] = {std::move(*socket), slot};
    }
    return std::nullopt;
  }

  Status finish(const io_uring_cqe& completion) {
    const auto place = static_cast<uint32_t>(completion.user_data);
    Fd socket = std::move(in_flight_[place].socket);
    free_.push_back(place);
    const uint32_t slot = in_flight_[place].slot;
    if (completion.res < 0) {
      fail(slot, -completion.res);
    } else if (const auto tuple = read_four_tuple(socket.get())) {
      progressed();
      ++established_;
      hooks_.on_established(slot, socket.release(), *tuple);
    } else {
      fail(slot, tuple.error().error_number);
    }
    return fill();
  }

  bool finished() {
    if (established_ + failed_ >= wanted_ || accept_error() != 0) return true;
    stopped_ = stopped_ || hooks_.stopped();
    if (stopped_) return true;
    if (const uint64_t now = accepted(); now != accepted_) {
      accepted_ = now;
      progressed();
    }
    return now_ns() > stalls_at_ns_;
  }

  // Who is in flight is given up.
  void give_up() {
    const int error_number = accept_error() ? accept_error() : ETIMEDOUT;
    for (const InFlight& one : in_flight_)
      if (one.socket.valid() && !stopped_) hooks_.on_failed(one.slot, error_number);
  }
  uint32_t established() const { return established_; }
  // Nothing completes while nobody may start: what is accepted must be looked at.
  bool waits_for_room() const { return free_.size() == kConnectWindow; }

 private:
  struct InFlight {
    Fd socket;
    uint32_t slot = 0;
  };

  static uint32_t read_backlog_limit() {
    const auto limit = parse_count(read_first_line("/proc/sys/net/core/somaxconn"));
    return limit && *limit > 0 ? static_cast<uint32_t>(std::min<int64_t>(*limit, kBacklog)) : 1;
  }
  int accept_error() const { return to_.progress ? to_.progress->accept_error.load() : 0; }
  uint64_t accepted() const { return to_.progress ? to_.progress->accepted.load() : 0; }
  bool has_room() const {
    return !to_.progress || started_ < accepted() + failed_ + std::max(room_, 1u);
  }

  Result<Fd> open_one() {
    auto socket = open_socket(to_.family);
    if (!socket) return socket;
    (void)set_congestion_control(socket->get());  // as for listeners
    if (Status failed = set_receive_buffer(socket->get(), to_.receive_buffer)) return *failed;
    if (to_.source == 0) return socket;
    if (Status failed = set_option(socket->get(), Option::bind_address_no_port, 1)) return *failed;
    if (Status failed = bind_socket(socket->get(), to_.family, {to_.source, 0})) return *failed;
    return socket;
  }
  void fail(uint32_t slot, int error_number) {
    progressed();
    ++failed_;
    hooks_.on_failed(slot, error_number);
  }
  void progressed() { stalls_at_ns_ = now_ns() + kStall_ns; }

  const Destination& to_;
  Ring& ring_;
  const uint32_t wanted_;
  const ConnectHooks& hooks_;
  std::vector<SocketAddress> addresses_;
  std::array<InFlight, kConnectWindow> in_flight_;
  std::vector<uint32_t> free_;  // places in the window
  uint32_t room_ = kBacklog, started_ = 0, established_ = 0, failed_ = 0;
  uint64_t accepted_ = 0;
  bool stopped_ = false;
  int64_t stalls_at_ns_ = now_ns() + kStall_ns;
};

}  // namespace

Result<uint32_t> open_connections(const Destination& to, uint32_t wanted, int64_t until_ns,
                                  const ConnectHooks& hooks) {
  auto ring = open_establish_ring();
  if (!ring) return ring.error();
  if (to.ports.empty()) return plain_error("connect: no port to connect to");
  Connector connector(to, *ring, wanted, hooks);
  Status failed = connector.fill();
  while (!failed && !connector.finished() && now_ns() < until_ns) {
    const bool blocked = connector.waits_for_room();
    const int64_t slice_ns = now_ns() + kMillisecond_ns;
    failed = pump(
        *ring, blocked ? std::min(until_ns, slice_ns) : until_ns,
        [&] { return connector.finished() || connector.waits_for_room() != blocked; },
        [&](const io_uring_cqe& completion) { return connector.finish(completion); });
    if (!failed) failed = connector.fill();
  }
  connector.give_up();
  if (failed) return *failed;
  return connector.established();
}

}  // namespace lastack
