#include "run/establish.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/clock.h"
#include "base/parse.h"
#include "net/namespaces.h"
#include "ring/ring.h"

namespace lastack {
namespace {

constexpr int kBacklog = 4096;           // somaxconn's default caps it anyway
constexpr uint32_t kConnectWindow = 64;  // connects in flight: far below the backlog
constexpr size_t kBatch = 64;

// Establishing has a ring of its own: it needs a small one, and none of the survivors' flags.
Result<Ring> open_establish_ring() {
  RingSetup setup;
  setup.completion_entries = 2048;
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
    set_congestion_control(socket->get());
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
    for (const Fd& socket : listeners.sockets)
      waiting += static_cast<uint32_t>(connections_in_backlog(socket.get()));
    if (waiting >= expected() || now_ns() > until_ns) return waiting;
    sleep_for(kMillisecond_ns);
  }
}

Result<uint32_t> accept_connections(const Listeners& listeners,
                                    const std::function<uint32_t()>& expected, int64_t until_ns,
                                    const OnEstablished& on_established) {
  auto ring = open_establish_ring();
  if (!ring) return ring.error();
  const auto arm = [&](uint64_t index) -> Status {
    io_uring_sqe* sqe = ring->entry();
    if (!sqe) return plain_error("io_uring takes no entries");
    io_uring_prep_multishot_accept(sqe, listeners.sockets[index].get(), nullptr, nullptr,
                                   SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, index);
    return std::nullopt;
  };
  for (uint64_t i = 0; i < listeners.sockets.size(); ++i)
    if (Status failed = arm(i)) return *failed;
  uint32_t accepted = 0;
  const Status failed = pump(
      *ring, until_ns, [&] { return accepted >= expected(); },
      [&](const io_uring_cqe& completion) -> Status {
        if (completion.res >= 0) {
          const auto tuple = read_four_tuple(completion.res);
          if (!tuple) return tuple.error();
          on_established(accepted++, completion.res, *tuple);
        } else if (completion.res != -ECONNABORTED && completion.res != -EAGAIN) {
          return make_error("accept", -completion.res, "");
        }
        if (!(completion.flags & IORING_CQE_F_MORE)) return arm(completion.user_data);
        return std::nullopt;
      });
  if (failed) return *failed;
  ring->cancel_all();
  return accepted;
}

Result<Opened> open_connections(const Destination& to, uint32_t wanted, int64_t until_ns,
                                const OnEstablished& on_established) {
  auto ring = open_establish_ring();
  if (!ring) return ring.error();
  std::vector<SocketAddress> addresses;
  for (const uint16_t port : to.ports)
    addresses.push_back(to_socket_address(to.family, address_of(to.family, to.host, port)));
  if (addresses.empty()) return plain_error("connect: no port to connect to");

  std::vector<int> descriptors(kConnectWindow, -1);  // by place in the window
  std::vector<uint32_t> slots(kConnectWindow);
  uint32_t started = 0, finished = 0, established = 0;
  Status first_failure;
  const auto start = [&](uint32_t place) -> Status {
    auto socket = open_socket(to.family);
    if (!socket) return socket.error();
    set_congestion_control(socket->get());
    if (Status failed = set_receive_buffer(socket->get(), to.receive_buffer)) return failed;
    if (to.source != 0) {
      if (Status failed = set_option(socket->get(), Option::bind_address_no_port, 1)) return failed;
      const SocketAddress source = to_socket_address(to.family, Address{to.source, 0});
      if (bind(socket->get(), source.get(), source.length) != 0) return errno_error("bind");
    }
    const SocketAddress& address = addresses[started % addresses.size()];
    io_uring_sqe* sqe = ring->entry();
    if (!sqe) return plain_error("io_uring takes no entries");
    io_uring_prep_connect(sqe, socket->get(), address.get(), address.length);
    io_uring_sqe_set_data64(sqe, place);
    descriptors[place] = socket->release();
    slots[place] = started++;
    return std::nullopt;
  };
  for (uint32_t place = 0; place < kConnectWindow && started < wanted; ++place)
    if (Status failed = start(place)) return *failed;
  const Status failed = pump(
      *ring, until_ns, [&] { return finished >= wanted; },
      [&](const io_uring_cqe& completion) -> Status {
        const auto place = static_cast<uint32_t>(completion.user_data);
        Fd socket(std::exchange(descriptors[place], -1));
        ++finished;
        const auto tuple = completion.res == 0 ? read_four_tuple(socket.get())
                                               : make_error("connect", -completion.res, "");
        if (!tuple && !first_failure) first_failure = tuple.error();
        if (tuple) {
          ++established;
          on_established(slots[place], socket.release(), *tuple);
        }
        return started < wanted ? start(place) : std::nullopt;
      });
  for (const int descriptor : descriptors) Fd(descriptor).reset();
  if (failed) return *failed;
  if (established == 0 && first_failure) return *first_failure;
  return Opened{established, first_failure};
}

}  // namespace lastack
