#include "sigpipe_cost.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "net/socket.h"

namespace lastack {
namespace {

constexpr int kWrites = 1'000;
constexpr int kBatch = 50;  // writes between two readings of the peer: they fit into its queue
constexpr size_t kMessage = 64;

volatile sig_atomic_t g_signals = 0;
void on_sigpipe(int) { g_signals = g_signals + 1; }

struct Sockets {
  Fd writer, peer;
};

Result<Sockets> connect_sockets() {
  const auto listener = open_listener(Family::inet, loopback_address(Family::inet, 0), 1);
  if (!listener) return listener.error();
  const auto address = read_local_address(listener->get());
  if (!address) return address.error();
  auto writer = open_socket(Family::inet);
  if (!writer) return writer.error();
  const SocketAddress to = to_socket_address(Family::inet, *address);
  if (connect(writer->get(), to.get(), to.length) != 0 && errno != EINPROGRESS)
    return errno_error("connect", "the pair of the benchmark");
  pollfd waited{listener->get(), POLLIN, 0};
  poll(&waited, 1, 1'000);
  Fd peer(accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!peer.valid()) return errno_error("accept", "the pair of the benchmark");
  waited = {writer->get(), POLLOUT, 0};
  poll(&waited, 1, 1'000);
  return Sockets{std::move(*writer), std::move(peer)};
}

uint64_t collect_pending() {
  const sigset_t set = only_signal(SIGPIPE);
  const timespec now{};
  uint64_t taken = 0;
  while (sigtimedwait(&set, nullptr, &now) == SIGPIPE) ++taken;
  return taken;
}

const std::array<char, kMessage> kBytes{};

bool plain_write(int socket) { return write(socket, kBytes.data(), kBytes.size()) > 0; }

// How a program may write without dying. `write_once` returns whether the kernel took the message.
struct Way {
  std::string_view name;
  void (*handler)(int);  // SIGPIPE's disposition
  bool blocked;          // SIGPIPE, all the time
  bool (*write_once)(int socket, uint64_t& collected);
};

const Way kWays[] = {
    {"write(2), handler", on_sigpipe, false, [](int s, uint64_t&) { return plain_write(s); }},
    {"send(2), MSG_NOSIGNAL", SIG_DFL, false,
     [](int s, uint64_t&) { return send(s, kBytes.data(), kBytes.size(), MSG_NOSIGNAL) > 0; }},
    {"write(2), SIG_IGN", SIG_IGN, false, [](int s, uint64_t&) { return plain_write(s); }},
    {"write(2), blocked, collected on EPIPE", SIG_DFL, true,
     [](int s, uint64_t& collected) {
       if (plain_write(s)) return true;
       if (errno == EPIPE) collected += collect_pending();
       return false;
     }},
    // What a library does that must not change its program's signals.
    {"write(2), blocked around each write", SIG_DFL, false,
     [](int s, uint64_t& collected) {
       const sigset_t set = only_signal(SIGPIPE);
       sigset_t before;
       pthread_sigmask(SIG_BLOCK, &set, &before);
       const bool taken = plain_write(s);
       if (!taken && errno == EPIPE) collected += collect_pending();
       pthread_sigmask(SIG_SETMASK, &before, nullptr);
       return taken;
     }},
    {"poll(2), then send(2), MSG_NOSIGNAL", SIG_DFL, false,
     [](int s, uint64_t&) {
       pollfd asked{s, POLLRDHUP, 0};
       poll(&asked, 1, 0);
       if (asked.revents & (POLLRDHUP | POLLHUP | POLLERR)) return false;
       return send(s, kBytes.data(), kBytes.size(), MSG_NOSIGNAL) > 0;
     }},
};
constexpr size_t kWayCount = std::size(kWays);

int64_t thread_cpu_ns() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * kSecond_ns + time.tv_nsec;
}

void apply(const Way& way) {
  struct sigaction action {};
  action.sa_handler = way.handler;
  sigaction(SIGPIPE, &action, nullptr);
  const sigset_t set = only_signal(SIGPIPE);
  pthread_sigmask(way.blocked ? SIG_BLOCK : SIG_UNBLOCK, &set, nullptr);
}

void drain(int socket) {
  std::array<char, kMessage * kBatch> buffer;
  size_t left = kMessage * kBatch;
  while (left > 0) {
    const ssize_t got = recv(socket, buffer.data(), buffer.size(), 0);
    if (got <= 0) return;
    left -= static_cast<size_t>(got);
  }
}

Result<int64_t> measure_live(const Way& way, const Sockets& sockets, uint64_t& collected) {
  int64_t sum_ns = 0;
  for (int i = 0; i < kWrites; i += kBatch) {
    const int64_t before_ns = thread_cpu_ns();
    for (int j = 0; j < kBatch; ++j)
      if (!way.write_once(sockets.writer.get(), collected))
        return errno_error("write", "to a live peer");
    sum_ns += thread_cpu_ns() - before_ns;
    drain(sockets.peer.get());
  }
  return sum_ns;
}

Result<int64_t> measure_dead(const Way& way, const Sockets& sockets, uint64_t& collected) {
  const int64_t before_ns = thread_cpu_ns();
  for (int i = 0; i < kWrites; ++i)
    if (way.write_once(sockets.writer.get(), collected))
      return plain_error("a write to a dead peer was accepted");
  return thread_cpu_ns() - before_ns;
}

// A connection whose writes fail with EPIPE from now on: the errno of the reset is taken.
Result<Sockets> connect_to_the_dead() {
  auto sockets = connect_sockets();
  if (!sockets) return sockets;
  if (const Status failed = set_option(sockets->peer.get(), Option::linger, 0)) return *failed;
  sockets->peer.reset();
  pollfd waited{sockets->writer.get(), POLLRDHUP, 0};
  poll(&waited, 1, 1'000);
  if (const auto taken = take_socket_error(sockets->writer.get()); !taken) return taken.error();
  return sockets;
}

Status measure_rounds(int64_t rounds, std::vector<SigpipeCost>& costs) {
  const auto live = connect_sockets();
  if (!live) return live.error();
  const auto dead = connect_to_the_dead();
  if (!dead) return dead.error();
  for (int64_t round = 0; round < rounds; ++round) {
    for (size_t turn = 0; turn < kWayCount; ++turn) {
      const size_t index = (turn + static_cast<size_t>(round)) % kWayCount;
      const Way& way = kWays[index];
      SigpipeCost& cost = costs[index];
      apply(way);
      g_signals = 0;
      const auto live_ns = measure_live(way, *live, cost.collected);
      if (!live_ns) return live_ns.error();
      const auto dead_ns = measure_dead(way, *dead, cost.collected);
      if (!dead_ns) return dead_ns.error();
      cost.live_ns.push_back(*live_ns);
      cost.dead_ns.push_back(*dead_ns);
      cost.signals += static_cast<uint64_t>(g_signals);
    }
  }
  return std::nullopt;
}

}  // namespace

Result<std::vector<SigpipeCost>> measure_sigpipe_costs(int64_t rounds) {
  std::vector<SigpipeCost> costs;
  for (const Way& way : kWays) costs.push_back({way.name, {}, {}});
  struct sigaction action_before {};
  sigset_t mask_before;
  sigaction(SIGPIPE, nullptr, &action_before);
  pthread_sigmask(SIG_SETMASK, nullptr, &mask_before);
  const Status failed = measure_rounds(rounds, costs);
  sigaction(SIGPIPE, &action_before, nullptr);
  pthread_sigmask(SIG_SETMASK, &mask_before, nullptr);
  if (failed) return *failed;
  return costs;
}

}  // namespace lastack
