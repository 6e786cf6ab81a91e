#include "run/coordinator.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/affinity.h"
#include "base/cgroup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/host_load.h"
#include "base/kernel_config.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/parse.h"
#include "base/process.h"
#include "base/waited.h"
#include "doctor/doctor.h"
#include "ledger/books.h"
#include "ledger/ledger.h"
#include "ledger/reconcile.h"
#include "ledger/stalls.h"
#include "net/network.h"
#include "net/tcp_memory.h"
#include "net/veth.h"
#include "plan/patience.h"
#include "plan/plan.h"
#include "run/join.h"
#include "run/worker.h"
#include "shard/shortage.h"
#include "shard/table.h"

namespace lastack {
namespace {

// The worker gives up first, and says what it was waiting for.
constexpr int64_t kAnswerMargin_ns = 2 * kSecond_ns;
constexpr int64_t kAliveTimeout_ns = 5 * kSecond_ns;
constexpr int64_t kStartDelay_ns = 10 * kMillisecond_ns;  // workers hear of the start before it

struct Worker {
  Role role;  // with the number of its shard
  int cpu;    // -1: not pinned
  pid_t pid;
  Channel channel;
  std::optional<Message> answer = {};  // the last one that was not a stamp
  bool gone = false;                   // it has ended and was reaped
};

struct Shard {
  ShardTable table;
  size_t group;                       // index into the plan's
  size_t network;                     // index into Coordinator::networks_
  std::vector<Worker> workers;        // victim, survivor
  std::vector<uint32_t> acceptor_of;  // acceptor's slot by connector's slot; kNoPair if none
  std::vector<uint32_t> survivor_of;  // survivor's slot by victim's slot, where stamps need it
  Worker& victim() { return workers[0]; }
  Worker& survivor() { return workers[1]; }
};

std::string name_of(const Worker& worker) {
  const std::string cpu = worker.cpu < 0 ? "any CPU" : fmt::format("CPU {}", worker.cpu);
  return fmt::format("{} {} (process {}, {})", worker.role.name, worker.role.number, worker.pid,
                     cpu);
}

// A step that could not be done; carried up to coordinate().
using Done = Status;

std::optional<int64_t> slab_bytes() {
  const auto text = read_file("/proc/meminfo");
  const size_t at = text ? text->find("\nSlab:") : std::string::npos;
  if (at == std::string::npos) return std::nullopt;
  return std::atoll(text->c_str() + at + 6) * 1024;
}

int64_t growth(std::optional<int64_t> before, std::optional<int64_t> now) {
  return before && now ? *now - *before : kNotKnown;
}

bool softirqs_are_told_apart() {
  return is_set(read_kernel_config(), "CONFIG_IRQ_TIME_ACCOUNTING");
}

// What the launcher's own namespace says, and those of each network.
template <class Values>
Result<Values> sum_over(const std::vector<Network>& networks, Result<Values> (*read_own)(),
                        Result<Values> (*read_network)(const Network&)) {
  auto sum = read_own();
  for (const Network& network : networks) {
    if (!sum) return sum;
    const auto there = read_network(network);
    if (!there) return there;
    *sum += *there;
  }
  return sum;
}

class Coordinator {
 public:
  Coordinator(const RunSpec& spec, Plan plan, Channel& channel)
      : spec_(spec), plan_(std::move(plan)), channel_(channel), stalls_(least_stall_ns(spec)) {}
  ~Coordinator() {
    // Whatever is left dies with this process; lead() has looked at it where it matters.
    (void)end_hogs();
    (void)end_workers();
  }

  RunResult lead(std::vector<std::string> notes);

 private:
  Done open_networks();
  Done start_workers();
  Done start_hogs();
  Done end_hogs();
  Result<Worker> start_worker(const Role& role, int cpu, const ShardTable& table, const Fd& side);
  // The counters of all namespaces of the run, those that are gone included.
  Result<CounterValues> read_all_counters();
  Result<TrafficCounters> read_all_traffic();
  // Adds to `cost_` what its figures say now, or takes it away: before and after what is measured.
  Done meter(int64_t sign);
  Done reboot(Shard& shard);
  Done establish();
  Done join();
  Done check_established();
  Done warm_up();
  Done arm();
  Done inject();
  Done wait_for_findings();
  Done close_ledger();
  Done ask_alive();
  Done clean_up();
  Done end_workers();
  std::vector<LedgerShard> ledger_shards();
  Done check_timer_sysctls(const std::vector<std::pair<std::string, std::string>>& sysctls);
  // What the run has of what it asked for, while its processes live; a mismatch is a note.
  void read_back(RunResult& result);
  void read_back_places(RunResult& result);
  void read_back_sockets(RunResult& result);
  void report_host(RunResult& result);
  void finish(RunResult& result);
  // What stands in the ledger of a run that ends before its first death.
  void close_early(const Error& failed, RunResult& result);

  Done send(Worker& worker, Verb verb, int64_t value = 0);
  Done send(Worker& worker, const Message& message);
  // Of a worker that closed its channel: what it said last, or what became of it.
  Error death_of(Worker& worker);
  Error failure_of(Worker& worker, const Message& message);
  // Whether a step has taken too long, be it that everybody waits for the end of the run.
  bool is_over(Waited& step);
  // Sends to every worker of one role, then waits for all answers.
  Done ask_all(size_t role, Verb question, Verb answer, int64_t value = 0);
  Done await(const std::vector<Worker*>& workers, Verb answer);
  Error no_answer_of(const std::vector<Worker*>& workers, Verb answer) const;
  // Handles what the workers say for at most so long; notices dead workers and a halt.
  Done pump(int64_t until_ns);
  Done hear(Shard& shard, Worker& worker);
  Done relay_stamps(Shard& shard, const Message& message);
  void report(std::string_view phase, int64_t done, int64_t total);
  // For whoever waits for a word of the launcher, in what may take longer than a second.
  void give_sign_of_life();
  void begin_phase(std::string name);
  int64_t memory_bytes();
  template <class Count>
  int64_t sum(Count count) {
    int64_t total = 0;
    for (Shard& shard : shards_)
      total += static_cast<int64_t>(count(shard.table.view().header->progress).load());
    return total;
  }
  int64_t injected() {
    return sum([](ShardProgress & p) -> auto& { return p.injected; });
  }
  int64_t found() {
    return sum([](ShardProgress & p) -> auto& { return p.found; });
  }

  const RunSpec& spec_;
  Plan plan_;
  Channel& channel_;
  std::vector<Network> networks_;
  std::vector<size_t> network_of_;  // by shard, index into networks_
  std::vector<Shard> shards_;
  std::vector<pid_t> hogs_;
  bool halted_ = false;
  Waited since_halt_;
  bool establishing_ = false;  // connections that do not stand are the ledger's business
  bool joined_ = false;
  int64_t last_report_ns_ = 0;
  int64_t start_ns_ = 0;  // of the schedule
  int64_t opened_at_ns_ = 0, armed_at_ns_ = 0, closed_at_ns_ = 0;
  std::optional<int64_t> slab_before_, tcp_memory_before_;
  bool softirqs_apart_ = false;
  Snapshots snapshots_{};
  CounterValues cleaned_{};
  std::vector<SilentPair> silent_pairs_;  // did not prove that they are alive
  int64_t backlog_drops_ = 0;
  bool asked_alive_ = false;
  StallWatch stalls_;
  HostService host_;
  Cost cost_;
  std::vector<Phase> phases_;
  int64_t phases_since_ns_ = 0;  // the start of the first
};

void Coordinator::give_sign_of_life() {
  if (now_ns() - last_report_ns_ > kSecond_ns) report("", 0, 0);
}

void Coordinator::begin_phase(std::string name) {
  const int64_t now = now_ns();
  if (phases_.empty()) phases_since_ns_ = now;
  const int64_t start_ns = now - phases_since_ns_;
  if (!phases_.empty()) phases_.back().duration_ns = start_ns - phases_.back().start_ns;
  phases_.push_back({std::move(name), start_ns, 0});
}

void Coordinator::report(std::string_view phase, int64_t done, int64_t total) {
  const int64_t now = now_ns();
  if (now - last_report_ns_ < 100 * kMillisecond_ns && done < total) return;
  last_report_ns_ = now;
  Message message;
  message.verb = Verb::progress;
  message.value = done;
  message.total = total;
  phase.copy(message.text, sizeof(message.text) - 1);
  // Who does not read it will not miss it; a program that is gone is noticed by pump().
  if (channel_.has_room()) (void)channel_.send(message);
}

Done Coordinator::send(Worker& worker, Verb verb, int64_t value) {
  Message message;
  message.verb = verb;
  message.value = value;
  worker.answer.reset();
  return send(worker, message);
}

Done Coordinator::send(Worker& worker, const Message& message) {
  const Status failed = worker.channel.send(message);
  if (!failed) return std::nullopt;
  if (failed->error_number == EPIPE) return death_of(worker);
  return make_error("send a control message to", failed->error_number, name_of(worker));
}

Error Coordinator::failure_of(Worker& worker, const Message& message) {
  Error failed = error_of(message);
  failed.operation = fmt::format("{}: {}", name_of(worker), failed.operation);
  return failed;
}

// The channel closes before the process has ended: a moment's patience.
Error Coordinator::death_of(Worker& worker) {
  while (true) {
    const auto received = worker.channel.receive(0);
    if (!received && received.error().error_number != EPIPE) return received.error();
    if (!received || !*received) break;
    if ((*received)->verb == Verb::failed) return failure_of(worker, **received);
  }
  const std::string phase = fmt::format("in phase '{}'", phases_.back().name);
  const auto ended = await_end(worker.pid, now_ns() + kSecond_ns);
  if (!ended && ended.error().error_number == ETIME)
    return plain_error(fmt::format("{} closed its channel {}", name_of(worker), phase));
  worker.gone = true;
  if (!ended) return ended.error();
  return death_error(fmt::format("{}, {},", name_of(worker), phase), *ended);
}

bool Coordinator::is_over(Waited& step) {
  return step.longer_than(step_patience_ns(spec_) + kAnswerMargin_ns) ||
         (halted_ && since_halt_.longer_than(halt_patience_ns(spec_)));
}

Done Coordinator::hear(Shard& shard, Worker& worker) {
  while (true) {
    auto received = worker.channel.receive(0);
    if (!received && received.error().error_number == EPIPE) return death_of(worker);
    if (!received) return received.error();
    if (!*received) return std::nullopt;
    const Message& message = **received;
    if (message.verb == Verb::stamp) {
      if (Done failed = relay_stamps(shard, message)) return failed;
      continue;
    }
    if (message.verb == Verb::failed) return failure_of(worker, message);
    if (message.verb == Verb::armed && message.text[0])
      plan_.notes.push_back(
          fmt::format("{} {}: {}", worker.role.name, worker.role.number, message.text));
    worker.answer = message;
  }
}

// The victims named in the message have gone: their survivors may write.
Done Coordinator::relay_stamps(Shard& shard, const Message& message) {
  Message relayed;
  relayed.verb = Verb::told;
  for (uint32_t i = 0; i < message.count; ++i) {
    const uint32_t slot = shard.survivor_of[message.items[i]];
    if (slot != kNoPair) relayed.items[relayed.count++] = slot;
  }
  return send(shard.survivor(), relayed);
}

Done Coordinator::pump(int64_t until_ns) {
  give_sign_of_life();
  std::vector<pollfd> waited;
  for (Shard& shard : shards_)
    for (Worker& worker : shard.workers)
      waited.push_back({worker.gone ? -1 : worker.channel.descriptor(), POLLIN, 0});
  waited.push_back({channel_.descriptor(), POLLIN, 0});
  const int64_t now = now_ns();
  const timespec timeout = to_timespec(std::max<int64_t>(0, until_ns - now));
  const int ready = ppoll(waited.data(), waited.size(), &timeout, nullptr);
  if (ready < 0 && errno != EINTR) return errno_error("ppoll", "channels");
  stalls_.woke(std::max(until_ns, now));
  if (ready <= 0) return std::nullopt;
  size_t index = 0;
  for (Shard& shard : shards_)
    for (Worker& worker : shard.workers)
      if (waited[index++].revents)
        if (Done failed = hear(shard, worker)) return failed;
  if (waited[index].revents) {
    const auto received = channel_.receive(0);
    if (!received) return plain_error("the program that asked for this run is gone");
    if (*received && (*received)->verb == Verb::halt && !std::exchange(halted_, true))
      since_halt_ = {};
  }
  return std::nullopt;
}

Done Coordinator::await(const std::vector<Worker*>& workers, Verb answer) {
  Waited step;
  while (true) {
    const bool all = std::all_of(workers.begin(), workers.end(), [&](const Worker* worker) {
      return worker->answer && worker->answer->verb == answer;
    });
    if (all) return std::nullopt;
    // Before the first death there is nothing to keep: a halt ends the run at once.
    if (halted_ && start_ns_ == 0) return plain_error("interrupted before the first death");
    if (is_over(step)) return no_answer_of(workers, answer);
    if (Done failed = pump(now_ns() + kLauncherTick_ns)) return failed;
    if (establishing_)
      report("establish", sum([](ShardProgress & p) -> auto& { return p.connected; }),
             all_connections(spec_));
  }
}

Error Coordinator::no_answer_of(const std::vector<Worker*>& workers, Verb answer) const {
  std::vector<std::string> silent;
  for (const Worker* worker : workers)
    if (!worker->answer || worker->answer->verb != answer) silent.push_back(name_of(*worker));
  return plain_error(
      fmt::format("no answer within {} in phase '{}' from {}",
                  format_duration(halted_ ? halt_patience_ns(spec_) : step_patience_ns(spec_)),
                  phases_.back().name, fmt::join(silent, ", ")));
}

Done Coordinator::ask_all(size_t role, Verb question, Verb answer, int64_t value) {
  std::vector<Worker*> asked;
  for (Shard& shard : shards_) {
    if (shard.workers[role].gone) continue;
    if (Done failed = send(shard.workers[role], question, value)) return failed;
    asked.push_back(&shard.workers[role]);
  }
  return await(asked, answer);
}

Done Coordinator::open_networks() {
  std::optional<size_t> shared;
  for (const size_t group_index : plan_.shard_groups) {
    give_sign_of_life();
    const PlannedGroup& group = plan_.groups[group_index];
    if (!group.own_network && shared) {
      network_of_.push_back(*shared);
      continue;
    }
    Network network;
    if (group.veth) {
      const auto number = static_cast<uint32_t>(networks_.size());
      auto opened = open_veth_network(number, group.own_network, timer_sysctls(spec_));
      if (!opened) return opened.error();
      network = std::move(*opened);
    }
    networks_.push_back(std::move(network));
    network_of_.push_back(networks_.size() - 1);
    if (!group.own_network) shared = networks_.size() - 1;
  }
  return std::nullopt;
}

Result<CounterValues> Coordinator::read_all_counters() {
  return sum_over(networks_, read_counters, read_network_counters);
}

Result<TrafficCounters> Coordinator::read_all_traffic() {
  return sum_over(networks_, read_traffic, read_network_traffic);
}

Done Coordinator::meter(int64_t sign) {
  const auto add = [sign](int64_t& figure, int64_t now) { figure += sign * now; };
  add(cost_.wall_ns, now_ns());
  for (Shard& shard : shards_) {
    ShardProgress& progress = shard.table.view().header->progress;
    add(cost_.victims.ring_enters, static_cast<int64_t>(progress.victim_ring_enters.load()));
    add(cost_.survivors.ring_enters, static_cast<int64_t>(progress.survivor_ring_enters.load()));
    for (Worker& worker : shard.workers) {
      RoleCost& cost = &worker == &shard.victim() ? cost_.victims : cost_.survivors;
      add(cost.user_ns, worker.answer->user_ns);
      add(cost.system_ns, worker.answer->system_ns);
      add(cost.context_switches, worker.answer->context_switches);
    }
  }
  add(host_.throttled_ns, read_throttled_ns());
  if (const auto host = read_host_times(); host && host_.steal_ns != kNotKnown) {
    add(host_.steal_ns, host->steal_ns);
    if (softirqs_apart_) add(cost_.softirq_ns, host->softirq_ns);
    add(cost_.host_busy_ns, sysconf(_SC_NPROCESSORS_ONLN) * now_ns() - host->idle_ns);
  } else {
    host_.steal_ns = cost_.softirq_ns = cost_.host_busy_ns = kNotKnown;
  }
  for (const Placement& place : plan_.placements)
    cost_.survivors.spins = cost_.survivors.spins || (place.role == "survivor" && place.spins);
  add(backlog_drops_, read_backlog_drops());
  const auto traffic = read_all_traffic();
  if (!traffic) return traffic.error();
  cost_.traffic = sign > 0 ? *traffic - cost_.traffic : *traffic;
  return std::nullopt;
}

// The act has cut the path: now the victims' process and namespace go, and the host comes back
// with the same addresses.
Done Coordinator::reboot(Shard& shard) {
  Worker& victim = shard.victim();
  stalls_.forget(victim.pid);
  victim.gone = true;
  if (const auto ended = end_child(victim.pid); !ended) return ended.error();
  return reboot_victims(networks_[shard.network]);
}

Done Coordinator::start_workers() {
  for (size_t i = 0; i < plan_.shard_connections.size(); ++i) {
    give_sign_of_life();
    const Engine engine = plan_.groups[plan_.shard_groups[i]].engine;
    auto table = ShardTable::create(plan_.shard_connections[i], engine == Engine::writer);
    if (!table) return table.error();
    ShardSettings& settings = table->view().header->settings;
    const Placement& victim = plan_.placements[2 * i];
    const Placement& survivor = plan_.placements[2 * i + 1];
    settings.row_count = static_cast<uint32_t>(plan_.rows.size());
    settings.engine = engine;
    settings.survivors_connect = spec_.survivor == Side::client;
    settings.writing = spec_.writing;
    settings.write_seed = static_cast<uint64_t>(spec_.seed) + (i << 32);
    settings.family = spec_.family;
    settings.traffic = traffic_of_shard(spec_, plan_, i, spec_.traffic, false);
    settings.neighbour_traffic = traffic_of_shard(spec_, plan_, i, spec_.neighbour_traffic, true);
    settings.has_neighbours = spec_.neighbours > 0;
    settings.victims = spec_.victims;
    const PlannedGroup& group = plan_.groups[plan_.shard_groups[i]];
    const Network& network = networks_[network_of_[i]];
    settings.in_backlog = group.in_backlog;
    settings.victims_send = group.victims_send;
    settings.network = network.number;
    if (network.veth) {
      const bool victims_listen = spec_.survivor == Side::client;
      settings.listen_host =
          victims_listen ? victim_host(network.number) : survivor_host(network.number);
      settings.connect_from = victims_listen ? 0 : victim_host(network.number);
    }
    settings.spin = plan_.wait == Wait::spin;
    settings.victim_spins = victim.spins;
    settings.reap_delay_ns = spec_.reap_delay_ns;
    settings.patience_ns = step_patience_ns(spec_);
    settings.ring = plan_.ring;
    settings.victim_cpu = victim.cpu;
    settings.survivor_cpu = survivor.cpu;
    settings.stamps_per_message =
        spec_.arrival == Arrival::storm ? static_cast<uint32_t>(Message::kMostItems) : 1;
    settings.payload_bytes = spec_.payload_bytes;

    settings.probe_settings = spec_.probe_settings;
    for (size_t row = 0; row < plan_.rows.size(); ++row)
      table->view().header->rows[row] = plan_.rows[row].row;

    shards_.push_back({std::move(*table), plan_.shard_groups[i], network_of_[i], {}, {}, {}});
    Shard& shard = shards_.back();
    for (const Placement* place : {&victim, &survivor}) {
      auto worker = start_worker({place->role, static_cast<int64_t>(i)}, place->cpu, shard.table,
                                 shard.workers.empty() ? network.victims : network.survivors);
      if (!worker) return worker.error();
      stalls_.add(place->role, i, worker->pid);
      shard.workers.push_back(std::move(*worker));
    }
  }
  return std::nullopt;
}

Done Coordinator::start_hogs() {
  for (int64_t i = 0; i < spec_.cpu_hogs; ++i) {
    const auto pid = spawn_self({"hog", i}, {});
    if (!pid) return pid.error();
    hogs_.push_back(*pid);
  }
  return std::nullopt;
}

// A hog that has ended before did not do what the run says of it.
Done Coordinator::end_hogs() {
  Done first;
  for (size_t i = 0; i < hogs_.size(); ++i) {
    const auto ended = look_for_end(hogs_[i]);
    const auto killed = ended && !*ended ? end_child(hogs_[i]) : Result<int>(0);
    Done failed;
    if (!ended) failed = ended.error();
    if (!killed) failed = killed.error();
    if (ended && *ended)
      failed = death_error(fmt::format("CPU hog {} (process {})", i, hogs_[i]), **ended);
    if (failed && !first) first = std::move(failed);
  }
  hogs_.clear();
  return first;
}

Result<Worker> Coordinator::start_worker(const Role& role, int cpu, const ShardTable& table,
                                         const Fd& side) {
  auto channels = Channel::open_pair();
  if (!channels) return channels.error();
  const int inherited[] = {table.descriptor(), channels->second.descriptor()};
  if (!side.valid()) {
    const auto pid = spawn_self(role, inherited);
    if (!pid) return pid.error();
    return Worker{role, cpu, *pid, std::move(channels->first)};
  }
  // A child inherits the namespace that its parent is in.
  const auto home = open_own_network_namespace();
  if (!home) return home.error();
  if (Status failed = enter_network_namespace(side.get())) return *failed;
  const auto pid = spawn_self(role, inherited);
  if (Status stranded = enter_network_namespace(home->get())) return *stranded;
  if (!pid) return pid.error();
  return Worker{role, cpu, *pid, std::move(channels->first)};
}

Done Coordinator::establish() {
  begin_phase("establish");
  establishing_ = true;
  slab_before_ = slab_bytes();
  tcp_memory_before_ = tcp_memory_bytes();
  softirqs_apart_ = softirqs_are_told_apart();
  if (softirqs_apart_) cost_.softirq_ns = 0;
  const bool survivor_listens = spec_.survivor == Side::server;
  const size_t acceptor = survivor_listens ? 1 : 0, connector = 1 - acceptor;
  if (Done failed = ask_all(acceptor, Verb::listen, Verb::listening)) return failed;
  std::vector<Worker*> acceptors, connectors;
  for (Shard& shard : shards_) {
    Message connect = *shard.workers[acceptor].answer;
    connect.verb = Verb::connect;
    const uint32_t expected = shard.table.view().header->settings.connections;
    if (Done failed = send(shard.workers[acceptor], Verb::accept, expected)) return failed;
    shard.workers[connector].answer.reset();
    if (Done failed = send(shard.workers[connector], connect)) return failed;
    acceptors.push_back(&shard.workers[acceptor]);
    connectors.push_back(&shard.workers[connector]);
  }
  if (Done failed = await(connectors, Verb::established)) return failed;
  for (Shard& shard : shards_) {
    Message all_connected;
    all_connected.verb = Verb::accept;
    all_connected.value = shard.workers[connector].answer->value;
    if (Done failed = send(shard.workers[acceptor], all_connected)) return failed;
  }
  return await(acceptors, Verb::established);
}

// Finds for every connecting end the accepting end with the reversed 4-tuple, and gives both their
// pair, their row and their instant.
Done Coordinator::join() {
  joined_ = true;
  const bool survivor_listens = spec_.survivor == Side::server;
  const bool relays = std::ranges::any_of(
      plan_.rows, [](const PlannedRow& row) { return survivor_is_told(row.row); });
  const Assignment assignment = assign_pairs(spec_, plan_);
  for (size_t i = 0; i < shards_.size(); ++i) {
    Shard& shard = shards_[i];
    const ShardView& view = shard.table.view();
    if (plan_.groups[shard.group].in_backlog) accept_by_backlog(view);
    // In time, unless the run is interrupted: then nothing is known of them.
    const int refused = view.header->progress.accept_error.load();
    const int accept_error = refused ? refused : halted_ ? 0 : ETIMEDOUT;
    shard.acceptor_of = match_ends(view, spec_.survivor);
    hand_out(view, pairs_of_shard(plan_, assignment, i), shard.acceptor_of, assignment,
             spec_.survivor, accept_error);
    form_groups(view, spec_.per_process);
    if (!relays) continue;
    shard.survivor_of.assign(view.victims.size(), kNoPair);
    for (uint32_t slot = 0; slot < shard.acceptor_of.size(); ++slot)
      if (const uint32_t acceptor = shard.acceptor_of[slot]; acceptor != kNoPair)
        shard.survivor_of[survivor_listens ? slot : acceptor] = survivor_listens ? acceptor : slot;
  }
  return std::nullopt;
}

Done Coordinator::arm() {
  begin_phase("prepare");
  // Survivors first: the byte that must stay unread has to be on its way when victims look.
  if (Done failed = ask_all(1, Verb::prepare, Verb::prepared)) return failed;
  if (Done failed = ask_all(0, Verb::prepare, Verb::prepared)) return failed;
  begin_phase("arm");
  stalls_.start();
  if (Done failed = ask_all(0, Verb::arm, Verb::armed)) return failed;
  if (Done failed = ask_all(1, Verb::arm, Verb::armed)) return failed;
  if (Done failed = meter(-1)) return failed;
  cost_.slab_bytes = growth(slab_before_, slab_bytes());
  cost_.memory_armed_bytes = memory_bytes();
  return std::nullopt;
}

Done Coordinator::inject() {
  begin_phase("inject");
  start_ns_ = now_ns() + kStartDelay_ns;
  std::vector<Worker*> victims;
  for (Shard& shard : shards_) {
    if (Done failed = send(shard.victim(), Verb::act, start_ns_)) return failed;
    victims.push_back(&shard.victim());
  }
  // The last instant, a path that is cut then and comes back, and a step for the acts themselves.
  int64_t last_ns = start_ns_;
  for (Shard& shard : shards_)
    for (const VictimEnd& end : shard.table.view().victims)
      last_ns = std::max(last_ns, start_ns_ + end.scheduled_ns);
  last_ns += spec_.victims.cut_for_ns;
  Waited late;
  bool told = false;
  while (true) {
    for (Shard& shard : shards_) {
      const PlannedRow& row = plan_.rows[plan_.groups[shard.group].rows.front()];
      const Worker& victim = shard.victim();
      const bool acted = victim.answer && victim.answer->verb == Verb::done;
      if (strategy_of(row.row).victim_reboots && acted && !victim.gone)
        if (Done failed = reboot(shard)) return failed;
    }
    const bool all_done = std::all_of(victims.begin(), victims.end(), [](const Worker* victim) {
      return victim->answer && victim->answer->verb == Verb::done;
    });
    if (all_done) return std::nullopt;
    if (!halted_ && now_ns() <= last_ns) late = {};
    if (is_over(late)) return no_answer_of(victims, Verb::done);
    if (halted_ && !told) {
      for (Worker* victim : victims)
        if (!victim->answer)
          if (Done failed = send(*victim, Verb::halt)) return failed;
      told = true;
    }
    if (Done failed = pump(now_ns() + kLauncherTick_ns)) return failed;
    report("inject", injected(), all_connections(spec_));
  }
}

Done Coordinator::wait_for_findings() {
  begin_phase("wait");
  int64_t last_issued_ns = 0, acts = 0;
  for (Shard& shard : shards_) {
    for (const VictimEnd& end : shard.table.view().victims) {
      last_issued_ns = std::max(last_issued_ns, end.issued_ns);
      acts += end.issued_ns != 0 && end.act_error == 0;
    }
  }
  // A little longer than the deadline: who finds out in its last moment is still counted in time.
  const int64_t until_ns = last_issued_ns + spec_.deadline_ns + kLauncherTick_ns;
  // A writer has learned all after its second error, which may come after the finding.
  const auto writers_go_on = [&] {
    return sum([](ShardProgress & p) -> auto& { return p.unfinished; }) > 0;
  };
  while (!halted_ && now_ns() < until_ns && (found() < acts || writers_go_on())) {
    if (Done failed = pump(std::min(until_ns, now_ns() + kLauncherTick_ns))) return failed;
    report("wait for findings", found(), acts);
  }
  return std::nullopt;
}

Done Coordinator::close_ledger() {
  cost_.tcp_memory_bytes = growth(tcp_memory_before_, tcp_memory_bytes());
  if (Done failed = ask_all(1, Verb::close_ledger, Verb::ledger_closed)) return failed;
  if (Done failed = ask_all(0, Verb::close_ledger, Verb::ledger_closed)) return failed;
  if (Done failed = meter(+1)) return failed;
  stalls_.stop();
  if (Done failed = end_hogs()) return failed;
  const auto counters = read_all_counters();
  if (!counters) return counters.error();
  snapshots_.closed = *counters;
  closed_at_ns_ = now_ns();
  cost_.memory_peak_bytes = std::max(memory_bytes(), cost_.memory_armed_bytes);
  return std::nullopt;
}

// The connections whose path has come back must still carry an echo.
Done Coordinator::ask_alive() {
  struct Asked {
    SurvivorEnd* end;
    uint32_t bytes_before;
  };
  std::vector<Asked> waiting;
  for (Shard& shard : shards_) {
    const ShardView& view = shard.table.view();
    if (engine_row(view.header->settings.engine).only_writes) continue;
    for (SurvivorEnd& end : view.survivors) {
      const bool comes_back = strategy_of(view, end).silence == Silence::returns;
      if (comes_back && (end.flags & kEstablished) && !(end.flags & kConcluded))
        waiting.push_back({&end, end.bytes_received});
    }
  }
  if (waiting.empty() || halted_ || spec_.victims.reader_stopped) return std::nullopt;
  begin_phase("alive");
  asked_alive_ = true;
  if (Done failed = ask_all(1, Verb::ask_alive, Verb::asked)) return failed;
  // A request that was lost in the cut is sent again after an RTO, which may have doubled.
  const int64_t until_ns = now_ns() + kAliveTimeout_ns + 2 * spec_.victims.cut_for_ns;
  while (!waiting.empty() && now_ns() < until_ns) {
    if (Done failed = pump(now_ns() + kMillisecond_ns)) return failed;
    if (halted_) return asked_alive_ = false, std::nullopt;
    std::erase_if(waiting, [](const Asked& asked) {
      return std::atomic_ref(asked.end->bytes_received).load() > asked.bytes_before;
    });
  }
  for (const Asked& asked : waiting) silent_pairs_.push_back({asked.end->row, asked.end->pair});
  return std::nullopt;
}

Done Coordinator::clean_up() {
  begin_phase("clean-up");
  // Survivors first: a silenced victim that closed earlier would send its FIN.
  if (Done failed = ask_all(1, Verb::clean_up, Verb::clean)) return failed;
  if (Done failed = ask_all(0, Verb::clean_up, Verb::clean)) return failed;
  const auto counters = read_all_counters();
  if (!counters) return counters.error();
  cleaned_ = *counters;
  return std::nullopt;
}

// A worker that does not listen any more, or not soon enough, is killed by its pid.
Done Coordinator::end_workers() {
  Done first;
  Message quit;
  quit.verb = Verb::quit;
  for (Shard& shard : shards_)
    for (Worker& worker : shard.workers)
      if (!worker.gone && worker.channel.has_room()) (void)worker.channel.send(quit);
  const int64_t patience_ns = now_ns() + kSecond_ns;
  for (Shard& shard : shards_) {
    for (Worker& worker : shard.workers) {
      if (worker.gone) continue;
      auto ended = await_end(worker.pid, patience_ns);
      const bool by_itself = static_cast<bool>(ended);
      if (!ended && ended.error().error_number == ETIME) ended = end_child(worker.pid);
      if (!ended && !first) first = ended.error();
      if (by_itself && *ended != 0 && !first)
        first = death_error(fmt::format("{}, told to quit,", name_of(worker)), *ended);
      worker.gone = true;
    }
  }
  return first;
}

int64_t Coordinator::memory_bytes() {
  int64_t sum = 0;
  const auto add = [&](pid_t process) {
    const auto bytes = read_process_memory(process);
    if (bytes)
      sum += *bytes;
    else
      plan_.notes.push_back("the memory figure lacks a process: " + bytes.error().message());
  };
  add(getpid());
  for (Shard& shard : shards_) {
    const ShardProgress& progress = shard.table.view().header->progress;
    sum += static_cast<int64_t>(progress.victim_ring_bytes + progress.survivor_ring_bytes);
    for (Worker& worker : shard.workers) {
      if (worker.gone) continue;
      add(worker.pid);
      // Victim processes; one that is dying just now has no memory any more.
      for (const pid_t child : children_of(worker.pid))
        if (const auto bytes = read_process_memory(child)) sum += *bytes;
    }
  }
  return sum;
}

std::vector<LedgerShard> Coordinator::ledger_shards() {
  std::vector<LedgerShard> views;
  for (Shard& shard : shards_) views.push_back({&shard.table.view(), &shard.acceptor_of});
  return views;
}

// The predictions count with these, whether lastack wrote them or the namespace has them anyway.
Done Coordinator::check_timer_sysctls(
    const std::vector<std::pair<std::string, std::string>>& sysctls) {
  const ProbeSettings& asked = spec_.probe_settings;
  struct Timer {
    std::string_view sysctl, flag;
    int64_t value;
  };
  const Timer timers[] = {
      {"net/ipv4/tcp_retries2", "--retries2", asked.retries2},
      {"net/ipv4/tcp_rto_min_us", "--rto-min", asked.rto_min_ns / kMicrosecond_ns},
      {"net/ipv4/tcp_rto_max_ms", "--rto-max", asked.rto_max_ns / kMillisecond_ns}};
  const bool decide = std::any_of(spec_.probes.begin(), spec_.probes.end(), [](Probe probe) {
    return probe_row(probe).user_timeout || probe == Probe::retransmit;
  });
  for (const Timer& timer : timers)
    for (const auto& [name, had] : sysctls) {
      if (name != timer.sysctl || had == fmt::format("{}", timer.value)) continue;
      const std::string text = fmt::format("{} is {} where the run is, and {} counts with {}", name,
                                           had, timer.flag, timer.value);
      if (decide) return plain_error(text);
      plan_.notes.push_back(text);
    }
  return std::nullopt;
}

void Coordinator::read_back_places(RunResult& result) {
  std::vector<std::string> unpinned, unusual;
  for (const Placement& place : plan_.placements) {
    Shard& shard = shards_[place.shard];
    const Worker& worker = place.role == "victim" ? shard.victim() : shard.survivor();
    WorkerPlace seen{place.role, place.shard, worker.pid, -1, place.spins, "", "", 0};
    const auto cpus = usable_cpus(worker.pid);
    if (cpus) seen.cpus = cpu_list(*cpus);
    if (cpus && cpus->size() == 1) seen.cpu = cpus->front();
    if (place.cpu >= 0 && seen.cpu != place.cpu) {
      const ShardProgress& progress = shard.table.view().header->progress;
      const int refused =
          place.role == "victim" ? progress.victim_pin_error : progress.survivor_pin_error;
      unpinned.push_back(fmt::format(
          "the {} of shard {} to CPU {} ({}), which may use {}", place.role, place.shard, place.cpu,
          refused ? "sched_setaffinity: " + errno_name(refused) : "it was moved since",
          cpus ? seen.cpus : cpus.error().message()));
    }
    if (const auto scheduling = read_scheduling(worker.pid)) {
      seen.policy = scheduling->policy;
      seen.nice = scheduling->nice;
      if (!scheduling->usual())
        unusual.push_back(fmt::format("the {} of shard {}: {}, nice {}", place.role, place.shard,
                                      seen.policy, seen.nice));
    }
    result.workers.push_back(std::move(seen));
  }
  if (!unpinned.empty())
    plan_.notes.push_back(fmt::format("{} of {} workers are not pinned as planned, such as {}",
                                      unpinned.size(), plan_.placements.size(), unpinned.front()));
  if (!unusual.empty())
    plan_.notes.push_back(
        fmt::format("{} of {} workers are scheduled otherwise than usual (sched(7)), such as {}",
                    unusual.size(), plan_.placements.size(), unusual.front()));
}

void Coordinator::read_back_sockets(RunResult& result) {
  const auto add = [&](const char* role, std::string_view probe, const SocketFacts& facts) {
    if (!facts.known) return;
    const bool there =
        std::any_of(result.sockets.begin(), result.sockets.end(), [&](const SocketReport& report) {
          return report.role == role && report.probe == probe && report.facts == facts;
        });
    if (!there) result.sockets.push_back({role, std::string(probe), facts});
  };
  for (Shard& shard : shards_) {
    const ShardHeader& header = *shard.table.view().header;
    add("victim", "", header.victim_socket);
    for (uint32_t row = 0; row < header.settings.row_count; ++row)
      add("survivor", probe_row(header.rows[row].probe).name, header.survivor_sockets[row]);
  }
  std::set<std::string> names;
  for (const SocketReport& report : result.sockets) names.insert(report.facts.congestion_control);
  result.congestion_control = fmt::format("{}", fmt::join(names, ","));
  if (!names.empty() && result.congestion_control != kCongestionControl)
    plan_.notes.push_back(fmt::format("sockets of the run have congestion control {} and not {}",
                                      result.congestion_control, kCongestionControl));
}

void Coordinator::read_back(RunResult& result) {
  read_back_places(result);
  read_back_sockets(result);
  for (const Network& network : networks_)
    if (!network.refused.empty())
      plan_.notes.push_back(fmt::format("network {}: sysctls stay at the kernel's defaults: {}",
                                        network.number, network.refused));
  if (shards_.empty()) return;
  const ShardProgress& progress = shards_.front().table.view().header->progress;
  if (progress.victim_ring_flags != 0)
    result.rings.push_back(
        {"victim", progress.victim_ring_flags, progress.victim_ring_completions});
  if (progress.survivor_ring_flags != 0)
    result.rings.push_back(
        {"survivor", progress.survivor_ring_flags, progress.survivor_ring_completions});
}

// How the host served the run.
void Coordinator::report_host(RunResult& result) {
  if (const CpuQuotas quotas = read_cpu_quotas(); quotas.tightest) {
    host_.quota_cpus = quotas.tightest->cpus;
    host_.quota_file = quotas.tightest->file;
  }
  host_.victims_waited_ns = stalls_.waited_ns("victim");
  host_.survivors_waited_ns = stalls_.waited_ns("survivor");
  host_.frequencies_after = read_frequencies().value_or(Frequencies{});
  result.host = host_;
  result.least_stall_ns = least_stall_ns(spec_);
}

// For tests that replay it.
void keep_books(const Books& books, RunResult& result) {
  const char* path = std::getenv("LASTACK_KEEP_BOOKS");
  if (!path) return;
  const Fd file(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  const Status failed = file.valid() ? write_all(file.get(), pack_books(books, result), path)
                                     : errno_error("open", path);
  if (failed) result.notes.push_back("the books are not kept: " + failed->message());
}

void Coordinator::finish(RunResult& result) {
  result.backlog_drops = backlog_drops_;
  result.cost = cost_;
  report_host(result);
  result.stalls = stalls_.stalls();  // their instants are made relative below
  const Books books = {ledger_shards(), start_ns_, armed_at_ns_, closed_at_ns_,
                       snapshots_,      cleaned_,  asked_alive_, silent_pairs_};
  keep_books(books, result);
  close_books(spec_, plan_, books, result);
  for (std::string& note : host_notes(spec_, result)) result.notes.push_back(std::move(note));

  const bool echoes = spec_.traffic.load == Load::echo;
  const bool neighbours_echo = spec_.neighbours > 0 && spec_.neighbour_traffic.load == Load::echo;
  result.requested_round_trips =
      (echoes ? spec_.traffic.round_trips_per_second : 0) +
      (neighbours_echo ? spec_.neighbour_traffic.round_trips_per_second : 0);
  const int64_t round_trips = sum([](ShardProgress & p) -> auto& { return p.round_trips; });
  if (result.requested_round_trips > 0 && cost_.wall_ns > 0)
    result.achieved_round_trips =
        static_cast<double>(round_trips) / static_cast<double>(cost_.wall_ns) * 1e9;
  for (size_t i = 0; i < shards_.size(); ++i) {
    const ShardView& view = shards_[i].table.view();
    if (view.writes.empty()) continue;
    result.writer_threads.push_back({static_cast<int64_t>(i), shards_[i].survivor().pid,
                                     static_cast<int64_t>(view.header->progress.sigpipes)});
  }
  result.sigpipes_unblamed = sum([](ShardProgress & p) -> auto& { return p.sigpipes_unblamed; });
  for (Shard& shard : shards_)
    result.write_lag_ns =
        std::max(result.write_lag_ns, shard.table.view().header->progress.write_lag_ns.load());
  result.completion_overflows =
      sum([](ShardProgress & p) -> auto& { return p.completion_overflows; });
}

void Coordinator::close_early(const Error& failed, RunResult& result) {
  const int64_t started_ns = start_ns_ ? start_ns_ : now_ns();
  // Their records outlive them, and nobody writes those any more; the run has failed already.
  (void)end_workers();
  if (!joined_)
    if (const Done unjoined = join()) return;  // no row has connections then: `failed` says why
  fill_ledger(spec_, plan_, ledger_shards(), started_ns, now_ns(), result);
  if (halted_) return;
  // What kept a whole shard from connecting is the errno of those that were not tried.
  for (LedgerRow& row : result.ledger) {
    auto untried = row.not_established_by.extract(0);
    if (!untried.empty()) row.not_established_by[failed.error_number] += untried.mapped();
  }
}

// At least one pair stands; else what kept them from it.
Done Coordinator::check_established() {
  const bool any = std::any_of(shards_.begin(), shards_.end(), [](const Shard& shard) {
    return std::any_of(shard.acceptor_of.begin(), shard.acceptor_of.end(),
                       [](uint32_t acceptor) { return acceptor != kNoPair; });
  });
  if (any) return establishing_ = false, std::nullopt;
  RunResult so_far;
  fill_ledger(spec_, plan_, ledger_shards(), now_ns(), now_ns(), so_far);
  return not_established(so_far);
}

Done Coordinator::warm_up() {
  const int64_t until_ns = now_ns() + spec_.warm_up_ns;
  if (spec_.warm_up_ns > 0) begin_phase("warm-up");
  while (!halted_ && now_ns() < until_ns)
    if (Done failed = pump(std::min(until_ns, now_ns() + kLauncherTick_ns))) return failed;
  if (halted_) return plain_error("interrupted before the first death");
  return std::nullopt;
}

RunResult Coordinator::lead(std::vector<std::string> notes) {
  RunResult result;
  result.exclusive = !spec_.host_network;
  host_.load = measure_host_load();  // while nothing of the run works yet
  host_.frequencies_before = read_frequencies().value_or(Frequencies{});
  for (const Sysctl& sysctl : read_tcp_sysctls())
    result.sysctls.emplace_back(sysctl.name, sysctl.value);
  result.limits = read_limits();

  const auto collect_notes = [&] {
    result.notes = std::move(notes);
    result.notes.insert(result.notes.end(), plan_.notes.begin(), plan_.notes.end());
  };
  const auto snapshot = [&](CounterValues& into) -> Done {
    const auto counters = read_all_counters();
    if (!counters) return counters.error();
    into = *counters;
    return std::nullopt;
  };
  const std::function<Done()> steps[] = {
      [&] { return check_timer_sysctls(result.sysctls); },
      [&] { return begin_phase("start"), open_networks(); },
      [&] { return start_workers(); },
      [&] { return opened_at_ns_ = now_ns(), snapshot(snapshots_.before); },
      [&] { return establish(); },
      [&] { return join(); },
      [&] { return check_established(); },
      [&] { return arm(); },
      [&] { return read_back(result), Done(); },
      [&]() -> Done {
        armed_at_ns_ = now_ns();
        snapshots_.opening_ns = armed_at_ns_ - opened_at_ns_;
        return snapshot(snapshots_.armed);
      },
      [&] { return start_hogs(); },
      [&] { return warm_up(); },
      [&] { return inject(); },
      [&] { return wait_for_findings(); },
      [&] { return close_ledger(); },
      [&] { return ask_alive(); },
      [&] { return clean_up(); },
      [&] { return end_workers(); },
  };
  for (const auto& step : steps) {
    if (const Done failed = step()) {
      const bool shortage = is_shortage(*failed) || (establishing_ && failed->error_number != 0);
      result.status = halted_    ? RunStatus::interrupted
                      : shortage ? RunStatus::no_resources
                                 : RunStatus::failed;
      result.error = with_cure(*failed);
      collect_notes();
      if (halted_ || (establishing_ && shortage)) close_early(*failed, result);
      return result;
    }
  }
  collect_notes();
  finish(result);
  begin_phase("end");
  phases_.pop_back();
  result.phases = phases_;
  result.status = judge(spec_, result, halted_);
  if (const Status missing = not_established(result)) result.error = with_cure(*missing);
  return result;
}

}  // namespace

RunResult coordinate(const RunSpec& spec, const Host& host, std::vector<std::string> notes,
                     Channel& channel) {
  auto plan = make_plan(spec, host);
  if (!plan) {
    RunResult result;
    result.status = RunStatus::no_resources;
    result.error = plan.error().message();
    return result;
  }
  if (const Status refused = lacks_memory(spec, *plan)) {
    RunResult result;
    result.status = RunStatus::no_resources;
    result.error = refused->message();
    return result;
  }
  Coordinator coordinator(spec, std::move(*plan), channel);
  return coordinator.lead(std::move(notes));
}

}  // namespace lastack
