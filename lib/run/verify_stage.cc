#include "run/verify_stage.h"

#include <fmt/format.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "net/counters.h"
#include "net/namespaces.h"
#include "net/veth.h"
#include "run/worker.h"

namespace lastack {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Sight, what, values)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Outcomes, met_with, met_without, unmet_with, unmet_without)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Way, name, forced, connections, outcomes, bytes_sent,
                                   bytes_received, sights)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Record, ways, notes, error)

namespace {

// How long a call may take that a working host answers at once: it decides no verdict, it only
// keeps a row from waiting for ever.
constexpr int kPatience_ms = 20'000;
constexpr int64_t kPatience_ns = kPatience_ms * kMillisecond_ns;

// 198.18.0.0/15 is set aside for such tests (RFC 2544). The victim's address is one that can go
// while its namespace keeps another: for the route back, and as the source of ICMP.
constexpr uint32_t kVethSurvivor = 0xC6120101, kVethVictim = 0xC6120102, kVethRouter = 0xC6120103;
constexpr uint32_t kVethMore = 0xC612010A;  // and those that follow
constexpr const char* kNear = "near";
constexpr const char* kFar = "far";

// Where an error goes: the row's process has a descriptor for its record, a child its testament.
int g_report = -1;
Testament* g_own_testament = nullptr;

volatile sig_atomic_t g_sigpipes = 0;
void on_sigpipe(int) { g_sigpipes = g_sigpipes + 1; }

bool await_poll(int socket, short events, short& revents) {
  const int64_t until_ns = now_ns() + kPatience_ns;
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

Status build_veth(Stage& stage) {
  auto other = create_network_namespace();
  if (!other) return other.error();
  stage.victim_side = std::move(*other);
  if (Status failed = create_veth(kNear, kFar, stage.victim_side.get())) return failed;
  if (Status failed = add_address(kNear, kVethSurvivor, 24)) return failed;
  if (Status failed = bring_up(kNear)) return failed;
  const auto near = read_hardware_address(kNear);
  if (!near) return near.error();
  if (Status failed = enter_network_namespace(stage.victim_side.get())) return failed;
  if (Status failed = add_address(kFar, kVethRouter, 24)) return failed;
  if (Status failed = add_address(kFar, kVethVictim, 32)) return failed;
  if (Status failed = bring_up(kFar)) return failed;
  if (Status failed = add_permanent_neighbour(kFar, kVethSurvivor, *near)) return failed;
  const auto far = read_hardware_address(kFar);
  if (!far) return far.error();
  if (Status failed = enter_network_namespace(stage.survivor_side.get())) return failed;
  return add_permanent_neighbour(kNear, kVethVictim, *far);
}

// Small buffers, so that a queue is filled quickly, and ports enough for every way of a row.
Status set_sysctls(int orphan_retries) {
  return write_sysctls({{"net/ipv4/tcp_rmem", "4096 65536 65536"},
                        {"net/ipv4/tcp_wmem", "4096 65536 131072"},
                        {"net/ipv4/tcp_retries2", fmt::format("{}", kScaledRetries)},
                        {"net/ipv4/tcp_orphan_retries", fmt::format("{}", orphan_retries)},
                        {"net/ipv4/ip_local_port_range", "1024 65535"},
                        // A new namespace takes this from the host; a cut path must drop, not
                        // forward and complain.
                        {"net/ipv4/conf/all/forwarding", "0"}});
}

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
  const int64_t until_ns = now_ns() + kPatience_ns;
  std::array<io_uring_cqe*, 1> batch;
  while (now_ns() < until_ns) {
    ring.wait_until(until_ns);
    const auto ready = ring.completions(batch);
    if (ready.empty()) continue;
    const int result = ready[0]->res;
    ring.seen(1);
    return result;
  }
  ring.cancel_all();
  return std::nullopt;
}

std::string outcome_text(int64_t result) {
  return result >= 0 ? "ok" : errno_name(static_cast<int>(-result));
}

}  // namespace

void Way::see(std::string_view what, const std::string& value, int64_t times) {
  for (Sight& sight : sights) {
    if (sight.what != what) continue;
    sight.values[value] += times;
    return;
  }
  sights.push_back({std::string(what), {{value, times}}});
}

void Way::conclude(bool as_claimed, std::optional<bool> condition) {
  ++connections;
  const bool with = condition.value_or(as_claimed);
  if (as_claimed)
    ++(with ? outcomes.met_with : outcomes.met_without);
  else
    ++(with ? outcomes.unmet_with : outcomes.unmet_without);
}

bool hand_back(int descriptor, const Record& record) {
  const std::string text = nlohmann::json(record).dump();
  for (size_t written = 0; written < text.size();) {
    const ssize_t got = write(descriptor, text.data() + written, text.size() - written);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    written += static_cast<size_t>(got);
  }
  return true;
}

Result<Record> deserialize_record(const std::string& text) {
  // The library reports a wrong shape by an exception; it stops here.
  try {
    return nlohmann::json::parse(text).get<Record>();
  } catch (const nlohmann::json::exception&) {
    return plain_error("the row's process ended without a whole record");
  }
}

Way& Stage::begin(std::string_view name, bool forced) {
  record.ways.push_back({});
  record.ways.back().name = name;
  record.ways.back().forced = forced;
  return record.ways.back();
}

void Stage::note(std::string_view name, std::string value) {
  record.notes.emplace_back(name, std::move(value));
}

void fail_stage(Error error) {
  if (g_own_testament) {
    g_own_testament->error = error.error_number ? error.error_number : EIO;
    _exit(1);
  }
  Record record;
  record.error = error.message();
  hand_back(g_report, record);
  _exit(1);  // the children go with it
}

void require(Status status) {
  if (status) fail_stage(*status);
}

Status set_stage(Stage& stage, int orphan_retries, int report) {
  g_report = report;
  struct sigaction action {};
  action.sa_handler = on_sigpipe;
  sigaction(SIGPIPE, &action, nullptr);
  auto own = create_network_namespace();
  if (!own) return own.error();
  stage.survivor_side = std::move(*own);
  if (Status failed = enter_network_namespace(stage.survivor_side.get())) return failed;
  if (Status failed = set_sysctls(orphan_retries)) return failed;
  stage.survivor_host = stage.victim_host = INADDR_LOOPBACK;
  if (!stage.veth) return std::nullopt;
  stage.survivor_host = kVethSurvivor;
  stage.victim_host = kVethVictim;
  if (Status failed = build_veth(stage)) return failed;
  Status failed;
  on_victim_side(stage, [&] { failed = set_sysctls(orphan_retries); });
  return failed;
}

Status cut_path(Stage& stage, bool answer_unreachable) {
  Status failed;
  on_victim_side(stage, [&] {
    if (answer_unreachable)
      failed = write_sysctls({{"net/ipv4/conf/all/forwarding", "1"},
                              {"net/ipv4/icmp_ratelimit", "0"},
                              {"net/ipv4/icmp_ratemask", "0"}});
    if (!failed) failed = delete_address(kFar, kVethVictim, 32);
    if (!failed && answer_unreachable) failed = add_unreachable_route(kVethVictim);
  });
  return failed;
}

void on_victim_side(Stage& stage, const std::function<void()>& body) {
  if (!stage.veth) return body();
  require(enter_network_namespace(stage.victim_side.get()));
  body();
  require(enter_network_namespace(stage.survivor_side.get()));
}

Fd listen_at(Stage& stage, End side) {
  Fd listener;
  const auto make = [&] {
    listener = require(open_socket(Family::inet));
    const uint32_t host = side == End::victim ? stage.victim_host : stage.survivor_host;
    const SocketAddress address = to_socket_address(Family::inet, {host, 0});
    if (bind(listener.get(), address.get(), address.length) != 0) fail_stage(errno_error("bind"));
    if (listen(listener.get(), 1024) != 0) fail_stage(errno_error("listen"));
  };
  if (side == End::victim)
    on_victim_side(stage, make);
  else
    make();
  return listener;
}

namespace {

Fd accept_one(const Fd& listener) {
  short events = 0;
  if (!await_poll(listener.get(), POLLIN, events))
    fail_stage(make_error("accept", ETIMEDOUT, "no connection came"));
  Fd accepted(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!accepted.valid()) fail_stage(errno_error("accept"));
  require(set_option(accepted.get(), Option::no_delay, 1));
  return accepted;
}

Fd connect_to(uint32_t source, const Address& address) {
  Fd socket = require(open_socket(Family::inet));
  // Otherwise the victim's kernel might take the address that survives the cut.
  const SocketAddress own = to_socket_address(Family::inet, {source, 0});
  if (bind(socket.get(), own.get(), own.length) != 0) fail_stage(errno_error("bind"));
  require(set_option(socket.get(), Option::no_delay, 1));
  const SocketAddress target = to_socket_address(Family::inet, address);
  if (connect(socket.get(), target.get(), target.length) != 0) fail_stage(errno_error("connect"));
  return socket;
}

}  // namespace

std::vector<Pair> connect_pairs(Stage& stage, End connecting,
                                const std::vector<uint32_t>& sources) {
  const bool victim_connects = connecting == End::victim;
  const Fd listener = listen_at(stage, victim_connects ? End::survivor : End::victim);
  const Address address = require(read_local_address(listener.get()));
  const uint32_t source = victim_connects ? stage.victim_host : stage.survivor_host;
  std::vector<Pair> pairs(stage.connections);
  const auto connect_all = [&] {
    for (size_t i = 0; i < pairs.size(); ++i) {
      Pair& pair = pairs[i];
      Fd connected = connect_to(sources.empty() ? source : sources[i % sources.size()], address);
      Fd accepted = accept_one(listener);
      pair.victim = std::move(victim_connects ? connected : accepted);
      pair.survivor = std::move(victim_connects ? accepted : connected);
    }
  };
  if (victim_connects)
    on_victim_side(stage, connect_all);
  else
    connect_all();
  return pairs;
}

std::vector<uint32_t> add_survivor_hosts(size_t count) {
  std::vector<uint32_t> hosts;
  for (uint32_t i = 0; i < count; ++i) {
    hosts.push_back(kVethMore + i);
    require(add_address(kNear, hosts.back(), 32));
  }
  return hosts;
}

std::vector<Process> start_processes(Stage& stage, End side, const Life& life) {
  const Fd listener = listen_at(stage, side == End::victim ? End::survivor : End::victim);
  const Address address = require(read_local_address(listener.get()));
  // Outlives every child; the stage's own process ends soon after, so nothing is unmapped.
  void* memory = mmap(nullptr, stage.connections * sizeof(Testament), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail_stage(errno_error("mmap"));
  auto* testaments = static_cast<Testament*>(memory);
  std::vector<Process> processes(stage.connections);
  const pid_t parent = getpid();
  for (size_t i = 0; i < processes.size(); ++i) {
    Process& process = processes[i];
    process.testament = new (&testaments[i]) Testament;
    process.pid = fork();
    if (process.pid < 0) fail_stage(errno_error("fork"));
    if (process.pid == 0) {
      die_with_parent(parent);
      signal(SIGPIPE, SIG_DFL);
      g_own_testament = process.testament;
      if (side == End::victim && stage.veth)
        require(enter_network_namespace(stage.victim_side.get()));
      // What it inherits of the other connections would keep them open.
      close_range(3, ~0u, 0);
      const Fd socket =
          connect_to(side == End::victim ? stage.victim_host : stage.survivor_host, address);
      life(socket.get(), *process.testament);
      _exit(0);  // without close(): that is left to the kernel
    }
    process.peer = accept_one(listener);
  }
  return processes;
}

void reach(Testament& testament, int stage) {
  std::atomic_ref(testament.stage).store(stage, std::memory_order_release);
}

void await_stage(const Process& process, int stage) {
  const int64_t until_ns = now_ns() + kPatience_ns;
  while (std::atomic_ref(process.testament->stage).load(std::memory_order_acquire) < stage) {
    if (process.testament->error != 0)
      fail_stage(make_error("child process", process.testament->error, ""));
    if (now_ns() > until_ns)
      fail_stage(make_error("child process", ETIMEDOUT, fmt::format("stage {}", stage)));
    sleep_for(200 * kMicrosecond_ns);
  }
}

void kill_process(Process& process) {
  kill(process.pid, SIGKILL);
  await_exit(process);
}

void await_exit(Process& process) {
  while (waitpid(process.pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  process.pid = -1;
}

std::map<std::string, int64_t> count_packets_of(Stage& stage, End side) {
  std::map<std::string, int64_t> counters;
  const auto read = [&] { counters = require(read_named_tcp_counters()); };
  if (side == End::victim)
    on_victim_side(stage, read);
  else
    read();
  return counters;
}

std::map<std::string, int64_t> count_packets(Stage& stage) {
  auto sum = count_packets_of(stage, End::survivor);
  if (stage.veth)
    for (const auto& [name, value] : count_packets_of(stage, End::victim)) sum[name] += value;
  return sum;
}

std::string per_connection(int64_t count, size_t connections) {
  const auto divisor = static_cast<int64_t>(connections);
  if (count % divisor == 0) return fmt::format("{}", count / divisor);
  return fmt::format("{} to {}", count / divisor, count / divisor + 1);
}

int64_t count_resets(Stage& stage) { return count_packets(stage)["OutRsts"]; }

void see_resets(Stage& stage, Way& way, int64_t before) {
  way.see("RSTs per connection",
          per_connection(count_resets(stage) - before, static_cast<size_t>(way.connections)),
          way.connections);
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
      const timeval patience{kPatience_ms / 1000, 0};
      setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
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
      if (epoll_wait(instance.get(), &event, 1, kPatience_ms) != 1) return {};
      event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP;
      epoll_ctl(instance.get(), EPOLL_CTL_MOD, socket, &event);
      if (epoll_wait(instance.get(), &event, 1, kPatience_ms) != 1) return {};
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
        timeval patience{kPatience_ms / 1000, 0};
        if (select(socket + 1, &reads, &writes, &exceptions, &patience) <= 0) return {};
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

int sigpipes() { return g_sigpipes; }

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
  const uint8_t state = read_tcp_state(socket);
  return state < std::size(kStates) ? kStates[state] : "?";
}

void await_events(int socket, short events) {
  short seen = 0;
  while (await_poll(socket, static_cast<short>(events & ~(POLLERR | POLLHUP)), seen))
    if (seen & events) return;
  fail_stage(make_error("wait for poll events", ETIMEDOUT, poll_text(events)));
}

void await_unread(int socket, int bytes) {
  // Hundreds of processes may wait here: poll() sleeps, and the first byte mostly is the last.
  await_events(socket, POLLIN);
  const int64_t until_ns = now_ns() + kPatience_ns;
  while (unread_bytes(socket) < bytes) {
    if (now_ns() > until_ns) fail_stage(make_error("wait for data", ETIMEDOUT, ""));
    sleep_for(kMillisecond_ns);
  }
}

int64_t fill_queue(int socket) {
  char data[4096] = {};
  int64_t sent = 0;
  const int64_t until_ns = now_ns() + kPatience_ns;
  // Full, but what fills it may still be leaving: it has to stay full for a while.
  for (int full = 0; full < 3;) {
    if (now_ns() > until_ns) fail_stage(make_error("fill the send queue", ETIMEDOUT, ""));
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
  ioctl(socket, SIOCOUTQ, &bytes);
  return bytes;
}

void let_in(int socket) {
  const int ignored = 0;
  setsockopt(socket, SOL_SOCKET, SO_DETACH_FILTER, &ignored, sizeof(ignored));
}

}  // namespace lastack
