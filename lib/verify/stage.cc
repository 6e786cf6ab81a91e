#include "verify/stage.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/process.h"
#include "net/counters.h"
#include "net/namespaces.h"
#include "net/veth.h"
#include "shard/shortage.h"
#include "verify/sockets.h"

namespace lastack::verify {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Sight, what, values)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Outcomes, met_with, met_without, unmet_with, unmet_without)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Way, name, forced, connections, outcomes, bytes_sent,
                                   bytes_received, sights)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Record, ways, notes, error, died)

namespace {

constexpr uint32_t kNetwork = 1;  // a stage has one at most

// Where an error goes: the row's process has a descriptor for its record, a child its child_record.
int g_report = -1;
ChildRecord* g_child_record = nullptr;

volatile sig_atomic_t g_sigpipes = 0;
void on_sigpipe(int) { g_sigpipes = g_sigpipes + 1; }

// Small buffers, so that a queue is filled quickly, and ports enough for every way of a row.
std::vector<Sysctl> stage_sysctls(const Retries& retries) {
  return {{"net/ipv4/tcp_rmem", "4096 65536 65536"},
          {"net/ipv4/tcp_wmem", "4096 65536 131072"},
          {"net/ipv4/tcp_retries2", fmt::format("{}", retries.established)},
          {"net/ipv4/tcp_orphan_retries", fmt::format("{}", retries.orphans)},
          {"net/ipv4/ip_local_port_range", "1024 65535"}};
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

int hand_back(int descriptor, const Record& record) {
  const Status unsaid = write_all(descriptor, nlohmann::json(record).dump(), "the row's record");
  return unsaid || !record.error.empty() ? mute_exit(unsaid) : 0;
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

namespace {

[[noreturn]] void end_stage(const Error& error, bool died) {
  if (g_child_record) {
    const auto said = error.message();
    said.copy(g_child_record->failed, sizeof(g_child_record->failed) - 1);
    std::atomic_ref(g_child_record->error)
        .store(error.error_number ? error.error_number : EIO, std::memory_order_release);
    _exit(1);
  }
  Record record;
  record.error = with_cure(error);
  record.died = died;
  _exit(hand_back(g_report, record));  // the children go with it
}

}  // namespace

void fail_stage(const Error& error) { end_stage(error, false); }

void require(Status status) {
  if (status) fail_stage(*status);
}

Status set_stage(Stage& stage, const Retries& retries, int report) {
  g_report = report;
  struct sigaction action {};
  action.sa_handler = on_sigpipe;
  sigaction(SIGPIPE, &action, nullptr);
  const auto own = create_network_namespace();
  if (!own) return own.error();
  if (Status failed = enter_network_namespace(own->get())) return failed;
  const auto sysctls = stage_sysctls(retries);
  if (Status failed = write_sysctls(sysctls)) return failed;
  if (!stage.veth) return std::nullopt;
  auto network = open_veth_network(kNetwork, false, sysctls);
  if (!network) return network.error();
  stage.network = std::move(*network);
  stage.survivor_host = survivor_host(kNetwork);
  stage.victim_host = victim_host(kNetwork);
  return std::nullopt;
}

Status cut_cable(Stage& stage, bool answer_unreachable) {
  return inside(stage.network.victims, [&] {
    Status failed;
    if (answer_unreachable) failed = prepare_unreachable(kNetwork);
    return failed ? failed : cut_path(kNetwork);
  });
}

namespace {

uint32_t host_of(const Stage& stage, End side) {
  return side == End::victim ? stage.victim_host : stage.survivor_host;
}

// Runs `body` in the namespace of that side.
void on_side(Stage& stage, End side, const std::function<void()>& body) {
  if (side == End::survivor || !stage.veth) return body();
  require(inside(stage.network.victims, [&] { return body(), Status(); }));
}

Fd accept_one(const Fd& listener) {
  Fd accepted(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!accepted.valid()) fail_stage(errno_error("accept"));
  require(set_option(accepted.get(), Option::no_delay, 1));
  return accepted;
}

Fd connect_to(uint32_t source, const Address& address) {
  Fd socket = require(open_socket(Family::inet));
  // Otherwise the victim's kernel might take the address that survives the cut.
  require(bind_socket(socket.get(), Family::inet, {source, 0}));
  require(set_option(socket.get(), Option::no_delay, 1));
  const SocketAddress target = to_socket_address(Family::inet, address);
  if (connect(socket.get(), target.get(), target.length) != 0)
    fail_stage(errno_error("connect", format_address(Family::inet, address)));
  return socket;
}

// A connect() that has succeeded may still be lost. Seen on one busy emulated CPU whose backlog
// dropped packets: ActiveOpens 42, PassiveOpens 41, OutRsts 1. By its code a listener forgets a
// request whose answers were lost (reqsk_timer_handler, net/ipv4/inet_connection_sock.c), and
// resets who believes in it. That is no matter of the claims, so one connects again.
Pair connect_pair(const Fd& listener, uint32_t source, const Address& address) {
  const int64_t until_ns = now_ns() + patience_ns();
  while (now_ns() < until_ns) {
    Fd connected = connect_to(source, address);
    pollfd waited[] = {{listener.get(), POLLIN, 0}, {connected.get(), 0, 0}};
    while (now_ns() < until_ns && !waited[0].revents && !waited[1].revents)
      if (poll(waited, 2, 100) < 0 && errno != EINTR) fail_stage(errno_error("poll", "a listener"));
    if (waited[0].revents) return {std::move(connected), accept_one(listener)};
  }
  fail_stage(make_error("accept", ETIME, "no connection came"));
}

// In a child, until its parent says that it has the other end.
Fd connect_to_parent(uint32_t source, const Address& address, ChildRecord& child_record) {
  while (true) {
    Fd connected = connect_to(source, address);
    while (!is_hung_up(connected.get())) {
      if (std::atomic_ref(child_record.accepted).load(std::memory_order_acquire) != 0)
        return connected;
      sleep_for(200 * kMicrosecond_ns);
    }
  }
}

}  // namespace

Fd listen_at(Stage& stage, End side) {
  Fd listener;
  on_side(stage, side, [&] {
    listener = require(open_listener(Family::inet, {host_of(stage, side), 0}, 1024));
  });
  return listener;
}

std::vector<Pair> connect_pairs(Stage& stage, End connecting,
                                const std::vector<uint32_t>& sources) {
  const bool victim_connects = connecting == End::victim;
  const Fd listener = listen_at(stage, victim_connects ? End::survivor : End::victim);
  const Address address = require(read_local_address(listener.get()));
  const uint32_t source = host_of(stage, connecting);
  std::vector<Pair> pairs(stage.connections);
  on_side(stage, connecting, [&] {
    for (size_t i = 0; i < pairs.size(); ++i) {
      Pair pair =
          connect_pair(listener, sources.empty() ? source : sources[i % sources.size()], address);
      // Now its `victim` is the end that connected.
      if (!victim_connects) std::swap(pair.victim, pair.survivor);
      pairs[i] = std::move(pair);
    }
  });
  return pairs;
}

std::vector<uint32_t> add_survivor_hosts(size_t count) {
  std::vector<uint32_t> hosts;
  for (uint32_t i = 0; i < count; ++i) {
    hosts.push_back(first_free_host(kNetwork) + i);
    require(add_address(kSurvivorInterface, hosts.back(), 32));
  }
  return hosts;
}

namespace {

[[noreturn]] void fail_of_death(const Process& process) {
  const Error death =
      death_error(fmt::format("its child, process {},", process.pid), *process.ended);
  end_stage(death, !is_shortage(death));
}

bool has_failed(Process& process) {
  return std::atomic_ref(process.child_record->error).load(std::memory_order_acquire) != 0;
}
[[noreturn]] void fail_of_child_record(const Process& process) {
  Error error = plain_error(fmt::format("child process: {}", process.child_record->failed));
  error.cure = cure_of(std::atomic_ref(process.child_record->error).load());
  fail_stage(error);
}

// Whether it has ended, by itself or from outside.
bool has_ended(Process& process) {
  if (!process.ended) process.ended = require(look_for_end(process.pid));
  return process.ended.has_value();
}

// The connection of a child that may end before it makes one.
Fd accept_from(Process& process, const Fd& listener) {
  const int64_t until_ns = now_ns() + patience_ns();
  while (now_ns() < until_ns) {
    pollfd waited{listener.get(), POLLIN, 0};
    if (poll(&waited, 1, 100) < 0 && errno != EINTR) fail_stage(errno_error("poll", "a listener"));
    if (waited.revents) {  // what it has connected it did before it ended
      Fd accepted = accept_one(listener);
      std::atomic_ref(process.child_record->accepted).store(1, std::memory_order_release);
      return accepted;
    }
    if (has_failed(process)) fail_of_child_record(process);
    if (has_ended(process)) fail_of_death(process);
  }
  fail_stage(make_error("accept", ETIME, "no connection of a child process came"));
}

}  // namespace

std::vector<Process> start_processes(Stage& stage, End side, const Life& life) {
  const Fd listener = listen_at(stage, side == End::victim ? End::survivor : End::victim);
  const Address address = require(read_local_address(listener.get()));
  // Outlives every child; the stage's own process ends soon after, so nothing is unmapped.
  void* memory = mmap(nullptr, stage.connections * sizeof(ChildRecord), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail_stage(errno_error("mmap"));
  auto* child_records = static_cast<ChildRecord*>(memory);
  std::vector<Process> processes(stage.connections);
  const pid_t parent = getpid();
  for (size_t i = 0; i < processes.size(); ++i) {
    Process& process = processes[i];
    process.child_record = new (&child_records[i]) ChildRecord;
    process.pid = fork();
    if (process.pid < 0) fail_stage(errno_error("fork"));
    if (process.pid == 0) {
      become({"end", static_cast<int64_t>(i)}, parent);
      signal(SIGPIPE, SIG_DFL);
      g_child_record = process.child_record;
      if (side == End::victim && stage.veth)
        require(enter_network_namespace(stage.network.victims.get()));
      // What it inherits of the other connections would keep them open.
      close_descriptors(Close::now);
      const Fd socket = connect_to_parent(host_of(stage, side), address, *process.child_record);
      life(socket.get(), *process.child_record);
      _exit(0);  // without close(): that is left to the kernel
    }
    process.peer = accept_from(process, listener);
  }
  return processes;
}

void reach(ChildRecord& child_record, int stage) {
  std::atomic_ref(child_record.stage).store(stage, std::memory_order_release);
}

void await_stage(Process& process, int stage) {
  const int64_t until_ns = now_ns() + patience_ns();
  const auto reached = [&] {
    return std::atomic_ref(process.child_record->stage).load(std::memory_order_acquire) >= stage;
  };
  while (!reached()) {
    if (has_failed(process)) fail_of_child_record(process);
    // What it has reached it said before it ended.
    if (has_ended(process) && !reached() && !has_failed(process)) fail_of_death(process);
    if (now_ns() > until_ns)
      fail_stage(make_error("child process", ETIME, fmt::format("stage {}", stage)));
    sleep_for(200 * kMicrosecond_ns);
  }
}

void kill_process(Process& process) {
  if (has_ended(process)) fail_of_death(process);
  process.ended = require(end_child(process.pid));
  process.pid = -1;
}

void await_exit(Process& process) {
  if (!process.ended) process.ended = require(await_end(process.pid, now_ns() + patience_ns()));
  if (*process.ended != 0) fail_of_death(process);
  process.pid = -1;
}

std::map<std::string, int64_t> count_packets_of(Stage& stage, End side) {
  std::map<std::string, int64_t> counters;
  on_side(stage, side, [&] { counters = require(read_named_tcp_counters()); });
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

int sigpipes() { return g_sigpipes; }

}  // namespace lastack::verify
