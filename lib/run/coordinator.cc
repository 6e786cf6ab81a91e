#include "run/coordinator.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <optional>
#include <utility>

#include "base/cgroup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/host_load.h"
#include "base/limits.h"
#include "base/time_unit.h"
#include "base/waited.h"
#include "doctor/doctor.h"
#include "ledger/books.h"
#include "ledger/ledger.h"
#include "ledger/stalls.h"
#include "net/network.h"
#include "net/tcp_memory.h"
#include "plan/patience.h"
#include "run/crew.h"
#include "run/join.h"
#include "run/meter.h"
#include "run/read_back.h"
#include "shard/shortage.h"

namespace lastack {
namespace {

constexpr int64_t kAliveTimeout_ns = 5 * kSecond_ns;
constexpr int64_t kStartDelay_ns = 10 * kMillisecond_ns;  // workers hear of the start before it

class Coordinator {
 public:
  Coordinator(const RunSpec& spec, Plan plan, Channel& channel)
      : spec_(spec),
        plan_(std::move(plan)),
        crew_{channel, step_patience_ns(spec), halt_patience_ns(spec),
              StallWatch(least_stall_ns(spec))} {}
  ~Coordinator() {
    // Whatever is left dies with this process; lead() has looked at it where it matters.
    (void)end_hogs(crew_);
    (void)end_workers(crew_);
  }

  RunResult lead(std::vector<std::string> notes);

 private:
  // The phases, in order. The Error is of a step that could not be done.
  Status open_networks();
  Status start_workers();
  Status establish();
  Status join();
  Status check_established();
  Status arm();
  Status warm_up();
  Status inject();
  Status wait_for_findings();
  Status close_ledger();
  Status ask_alive();
  Status clean_up();

  void begin_phase(std::string name);
  Status snapshot(CounterValues& into);
  // Asks all workers of one part to arm themselves; what they have to say of it is a note.
  Status arm_all(Part part);
  Status reboot(Shard& shard);
  std::vector<LedgerShard> ledger_shards();
  void report_host(RunResult& result);
  void report_workers(RunResult& result);
  void finish(RunResult& result);
  // What stands in the ledger of a run that ends before its first death.
  void close_early(const Error& failed, RunResult& result);

  const RunSpec& spec_;
  Plan plan_;
  Crew crew_;
  std::vector<Network> networks_;
  std::vector<size_t> network_of_;  // by shard, index into networks_
  bool establishing_ = false;       // connections that do not stand are the ledger's business
  bool joined_ = false;
  int64_t opened_ns_ = 0;
  Books books_;
  std::optional<int64_t> slab_before_, tcp_memory_before_;
  bool softirqs_apart_ = false;
  MeterReading armed_;  // of the meter
  int64_t backlog_drops_ = 0;
  HostService host_;
  Cost cost_;
  std::vector<Phase> phases_;
  int64_t phases_since_ns_ = 0;  // the start of the first
};

void Coordinator::begin_phase(std::string name) {
  const int64_t now = now_ns();
  if (phases_.empty()) phases_since_ns_ = now;
  const int64_t start_ns = now - phases_since_ns_;
  if (!phases_.empty()) phases_.back().duration_ns = start_ns - phases_.back().start_ns;
  crew_.phase = name;
  phases_.push_back({std::move(name), start_ns, 0});
}

Status Coordinator::snapshot(CounterValues& into) {
  const auto counters = read_all_counters(networks_);
  if (!counters) return counters.error();
  into = *counters;
  return std::nullopt;
}

Status Coordinator::open_networks() {
  std::optional<size_t> shared;
  for (const size_t group_index : plan_.shard_groups) {
    give_sign_of_life(crew_);
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

Status Coordinator::start_workers() {
  for (size_t i = 0; i < plan_.shard_groups.size(); ++i) {
    const size_t number = network_of_[i];
    if (Status failed = start_shard(crew_, spec_, plan_, i, number, networks_[number]))
      return failed;
  }
  return std::nullopt;
}

Status Coordinator::establish() {
  begin_phase("establish");
  establishing_ = true;
  slab_before_ = slab_bytes();
  tcp_memory_before_ = tcp_memory_bytes();
  softirqs_apart_ = softirqs_are_told_apart();
  const bool survivor_listens = spec_.survivor == Side::server;
  const Part acceptor = survivor_listens ? Part::survivor : Part::victim;
  const Part connector = survivor_listens ? Part::victim : Part::survivor;
  const auto tell = [&] {
    report(crew_, "establish", sum_of(crew_, &ShardProgress::connected), all_connections(spec_));
  };
  if (Status failed = ask_all(crew_, acceptor, Verb::listen, Verb::listening, tell)) return failed;
  std::vector<Worker*> acceptors, connectors;
  for (Shard& shard : crew_.shards) {
    Worker &accepts = shard.worker(acceptor), &connects = shard.worker(connector);
    Message connect = *accepts.answer;
    connect.verb = Verb::connect;
    const uint32_t expected = shard.table.view().header->settings.connections;
    if (Status failed = send(crew_, accepts, Verb::accept, expected)) return failed;
    connects.answer.reset();
    if (Status failed = send(crew_, connects, connect)) return failed;
    acceptors.push_back(&accepts);
    connectors.push_back(&connects);
  }
  if (Status failed = await(crew_, connectors, Verb::established, tell)) return failed;
  for (Shard& shard : crew_.shards) {
    Message all_connected;
    all_connected.verb = Verb::accept;
    all_connected.value = shard.worker(connector).answer->value;
    if (Status failed = send(crew_, shard.worker(acceptor), all_connected)) return failed;
  }
  return await(crew_, acceptors, Verb::established, tell);
}

// Finds for every connecting end the accepting end with the reversed 4-tuple, and gives both their
// pair, their row and their instant.
Status Coordinator::join() {
  joined_ = true;
  const bool relays = std::ranges::any_of(
      plan_.rows, [](const PlannedRow& row) { return survivor_is_told(row.row); });
  const Assignment assignment = assign_pairs(spec_, plan_);
  for (size_t i = 0; i < crew_.shards.size(); ++i) {
    Shard& shard = crew_.shards[i];
    const ShardView& view = shard.table.view();
    if (plan_.groups[shard.group].in_backlog) accept_by_backlog(view);
    // In time, unless the run is interrupted: then nothing is known of them.
    const int refused = view.header->progress.accept_error.load();
    const int accept_error = refused ? refused : crew_.halted ? 0 : ETIMEDOUT;
    shard.acceptor_of = match_ends(view, spec_.survivor);
    hand_out(view, pairs_of_shard(plan_, assignment, i), shard.acceptor_of, assignment,
             spec_.survivor, accept_error);
    form_groups(view, spec_.per_process);
    if (relays)
      shard.survivor_of =
          survivors_by_victim(shard.acceptor_of, view.victims.size(), spec_.survivor);
  }
  return std::nullopt;
}

// At least one pair stands; else what kept them from it.
Status Coordinator::check_established() {
  const bool any = std::any_of(crew_.shards.begin(), crew_.shards.end(), [](const Shard& shard) {
    return std::any_of(shard.acceptor_of.begin(), shard.acceptor_of.end(),
                       [](uint32_t acceptor) { return acceptor != kNoPair; });
  });
  if (any) return establishing_ = false, std::nullopt;
  RunResult so_far;
  fill_ledger(spec_, plan_, ledger_shards(), now_ns(), now_ns(), so_far);
  return not_established(so_far);
}

Status Coordinator::arm_all(Part part) {
  Status failed = ask_all(crew_, part, Verb::arm, Verb::armed);
  for (Shard& shard : crew_.shards) {
    const Worker& worker = shard.worker(part);
    if (worker.has_said(Verb::armed) && worker.answer->text[0])
      plan_.notes.push_back(
          fmt::format("{} {}: {}", worker.role.name, worker.role.number, worker.answer->text));
  }
  return failed;
}

Status Coordinator::arm() {
  begin_phase("prepare");
  // Survivors first: the byte that must stay unread has to be on its way when victims look.
  for (const Part part : {Part::survivor, Part::victim})
    if (Status failed = ask_all(crew_, part, Verb::prepare, Verb::prepared)) return failed;
  begin_phase("arm");
  crew_.stalls.start();
  for (const Part part : {Part::victim, Part::survivor})
    if (Status failed = arm_all(part)) return failed;
  const auto reading = read_meter(crew_, networks_, read_time_unit());
  if (!reading) return reading.error();
  armed_ = *reading;
  cost_.slab_bytes = growth(slab_before_, slab_bytes());
  cost_.memory_armed_bytes = memory_bytes(crew_, plan_.notes);
  return std::nullopt;
}

Status Coordinator::warm_up() {
  const int64_t until_ns = now_ns() + spec_.warm_up_ns;
  if (spec_.warm_up_ns > 0) begin_phase("warm-up");
  while (!crew_.halted && now_ns() < until_ns)
    if (Status failed = pump(crew_, std::min(until_ns, now_ns() + kLauncherTick_ns))) return failed;
  if (crew_.halted) return plain_error("interrupted before the first death");
  return std::nullopt;
}

// The act has cut the path: now the victims' process and namespace go, and the host comes back
// with the same addresses.
Status Coordinator::reboot(Shard& shard) {
  if (Status failed = kill_worker(crew_, shard.victim())) return failed;
  return reboot_victims(networks_[shard.network]);
}

Status Coordinator::inject() {
  begin_phase("inject");
  crew_.acting = true;
  books_.start_ns = now_ns() + kStartDelay_ns;
  std::vector<Worker*> victims;
  for (Shard& shard : crew_.shards) {
    if (Status failed = send(crew_, shard.victim(), Verb::act, books_.start_ns)) return failed;
    victims.push_back(&shard.victim());
  }
  // The last instant, a path that is cut then and comes back, and a step for the acts themselves.
  int64_t last_ns = books_.start_ns;
  for (Shard& shard : crew_.shards)
    for (const VictimEnd& end : shard.table.view().victims)
      last_ns = std::max(last_ns, books_.start_ns + end.scheduled_ns);
  last_ns += spec_.victims.cut_for_ns;
  Waited late;
  bool told = false;
  while (true) {
    for (Shard& shard : crew_.shards) {
      const PlannedRow& row = plan_.rows[plan_.groups[shard.group].rows.front()];
      const Worker& victim = shard.victim();
      if (strategy_of(row.row).victim_reboots && victim.has_said(Verb::done) && !victim.gone)
        if (Status failed = reboot(shard)) return failed;
    }
    if (std::ranges::all_of(victims, [](const Worker* one) { return one->has_said(Verb::done); }))
      return std::nullopt;
    if (!crew_.halted && now_ns() <= last_ns) late = {};
    if (is_over(crew_, late)) return no_answer_of(crew_, victims, Verb::done);
    if (crew_.halted && !told) {
      for (Worker* victim : victims)
        if (!victim->answer)
          if (Status failed = send(crew_, *victim, Verb::halt)) return failed;
      told = true;
    }
    if (Status failed = pump(crew_, now_ns() + kLauncherTick_ns)) return failed;
    report(crew_, "inject", sum_of(crew_, &ShardProgress::injected), all_connections(spec_));
  }
}

Status Coordinator::wait_for_findings() {
  begin_phase("wait");
  int64_t last_issued_ns = 0, acts = 0;
  for (Shard& shard : crew_.shards) {
    for (const VictimEnd& end : shard.table.view().victims) {
      last_issued_ns = std::max(last_issued_ns, end.issued_ns);
      acts += end.issued_ns != 0 && end.act_error == 0;
    }
  }
  // A little longer than the deadline: who finds out in its last moment is still counted in time.
  const int64_t until_ns = last_issued_ns + spec_.deadline_ns + kLauncherTick_ns;
  // A writer has learned all after its second error, which may come after the finding.
  const auto writers_go_on = [&] { return sum_of(crew_, &ShardProgress::unfinished) > 0; };
  while (!crew_.halted && now_ns() < until_ns &&
         (sum_of(crew_, &ShardProgress::found) < acts || writers_go_on())) {
    if (Status failed = pump(crew_, std::min(until_ns, now_ns() + kLauncherTick_ns))) return failed;
    report(crew_, "wait for findings", sum_of(crew_, &ShardProgress::found), acts);
  }
  return std::nullopt;
}

Status Coordinator::close_ledger() {
  cost_.tcp_memory_bytes = growth(tcp_memory_before_, tcp_memory_bytes());
  for (const Part part : {Part::survivor, Part::victim})
    if (Status failed = ask_all(crew_, part, Verb::close_ledger, Verb::ledger_closed))
      return failed;
  const auto closed = read_meter(crew_, networks_, read_time_unit());
  if (!closed) return closed.error();
  charge(armed_, *closed, softirqs_apart_, cost_, host_, backlog_drops_);
  for (size_t i = 0; i < plan_.placements.size(); ++i)
    cost_.survivors.spins |= part_of(i) == Part::survivor && plan_.placements[i].spins;
  crew_.stalls.stop();
  if (Status failed = end_hogs(crew_)) return failed;
  if (Status failed = snapshot(books_.snapshots.closed)) return failed;
  books_.closed_ns = now_ns();
  cost_.memory_peak_bytes = std::max(memory_bytes(crew_, plan_.notes), cost_.memory_armed_bytes);
  return std::nullopt;
}

// The connections whose path has come back must still carry an echo.
Status Coordinator::ask_alive() {
  struct Asked {
    SurvivorEnd* end;
    uint32_t bytes_before;
  };
  std::vector<Asked> waiting;
  for (Shard& shard : crew_.shards) {
    const ShardView& view = shard.table.view();
    if (engine_row(view.header->settings.engine).only_writes) continue;
    for (SurvivorEnd& end : view.survivors) {
      const bool comes_back = strategy_of(view, end).silence == Silence::returns;
      if (comes_back && (end.flags & kEstablished) && !(end.flags & kConcluded))
        waiting.push_back({&end, end.bytes_received});
    }
  }
  if (waiting.empty() || crew_.halted || spec_.victims.reader_stopped) return std::nullopt;
  begin_phase("alive");
  books_.asked_alive = true;
  if (Status failed = ask_all(crew_, Part::survivor, Verb::ask_alive, Verb::asked)) return failed;
  // A request that was lost in the cut is sent again after an RTO, which may have doubled.
  const int64_t until_ns = now_ns() + kAliveTimeout_ns + 2 * spec_.victims.cut_for_ns;
  while (!waiting.empty() && now_ns() < until_ns) {
    if (Status failed = pump(crew_, now_ns() + kMillisecond_ns)) return failed;
    if (crew_.halted) return books_.asked_alive = false, std::nullopt;
    std::erase_if(waiting, [](const Asked& asked) {
      return std::atomic_ref(asked.end->bytes_received).load() > asked.bytes_before;
    });
  }
  for (const Asked& asked : waiting)
    books_.silent_pairs.push_back({asked.end->row, asked.end->pair});
  return std::nullopt;
}

Status Coordinator::clean_up() {
  begin_phase("clean-up");
  // Survivors first: a silenced victim that closed earlier would send its FIN.
  for (const Part part : {Part::survivor, Part::victim})
    if (Status failed = ask_all(crew_, part, Verb::clean_up, Verb::clean)) return failed;
  return snapshot(books_.cleaned);
}

std::vector<LedgerShard> Coordinator::ledger_shards() {
  std::vector<LedgerShard> views;
  for (Shard& shard : crew_.shards) views.push_back({&shard.table.view(), &shard.acceptor_of});
  return views;
}

// How the host served the run.
void Coordinator::report_host(RunResult& result) {
  if (const CpuQuotas quotas = read_cpu_quotas(); quotas.tightest) {
    host_.quota_cpus = quotas.tightest->cpus;
    host_.quota_file = quotas.tightest->file;
  }
  host_.victims_waited_ns = crew_.stalls.waited_ns("victim");
  host_.survivors_waited_ns = crew_.stalls.waited_ns("survivor");
  host_.frequencies_after = read_frequencies().value_or(Frequencies{});
  result.host = host_;
  result.time_unit = read_time_unit();
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

void Coordinator::report_workers(RunResult& result) {
  const bool echoes = spec_.traffic.load == Load::echo;
  const bool neighbours_echo = spec_.neighbours > 0 && spec_.neighbour_traffic.load == Load::echo;
  result.requested_round_trips =
      (echoes ? spec_.traffic.round_trips_per_second : 0) +
      (neighbours_echo ? spec_.neighbour_traffic.round_trips_per_second : 0);
  const int64_t round_trips = sum_of(crew_, &ShardProgress::round_trips);
  if (result.requested_round_trips > 0 && cost_.wall_ns > 0)
    result.achieved_round_trips =
        static_cast<double>(round_trips) / static_cast<double>(cost_.wall_ns) * 1e9;
  for (size_t i = 0; i < crew_.shards.size(); ++i) {
    Shard& shard = crew_.shards[i];
    result.write_lag_ns = std::max(result.write_lag_ns, shard.progress().write_lag_ns.load());
    if (shard.table.view().writes.empty()) continue;
    result.writer_threads.push_back({static_cast<int64_t>(i), shard.survivor().pid,
                                     static_cast<int64_t>(shard.progress().sigpipes)});
  }
  result.sigpipes_unblamed = sum_of(crew_, &ShardProgress::sigpipes_unblamed);
  result.completion_overflows = sum_of(crew_, &ShardProgress::completion_overflows);
}

void Coordinator::finish(RunResult& result) {
  result.backlog_drops = backlog_drops_;
  result.cost = cost_;
  report_host(result);
  result.stalls = crew_.stalls.stalls();  // their instants are made relative below
  books_.shards = ledger_shards();
  keep_books(books_, result);
  close_books(spec_, plan_, books_, result);
  for (std::string& note : host_notes(spec_, result)) result.notes.push_back(std::move(note));
  report_workers(result);
}

void Coordinator::close_early(const Error& failed, RunResult& result) {
  const int64_t started_ns = books_.start_ns ? books_.start_ns : now_ns();
  // Their records outlive them, and nobody writes those any more; the run has failed already.
  (void)end_workers(crew_);
  if (!joined_)
    if (const Status unjoined = join()) return;  // no row has connections then: `failed` says why
  fill_ledger(spec_, plan_, ledger_shards(), started_ns, now_ns(), result);
  if (crew_.halted) return;
  // What kept a whole shard from connecting is the errno of those that were not tried.
  for (LedgerRow& row : result.ledger) {
    auto untried = row.not_established_by.extract(0);
    if (!untried.empty()) row.not_established_by[failed.error_number] += untried.mapped();
  }
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
  const std::function<Status()> steps[] = {
      [&] { return check_timer_sysctls(spec_, result.sysctls, plan_.notes); },
      [&] { return begin_phase("start"), open_networks(); },
      [&] { return start_workers(); },
      [&] { return opened_ns_ = now_ns(), snapshot(books_.snapshots.before); },
      [&] { return establish(); },
      [&] { return join(); },
      [&] { return check_established(); },
      [&] { return arm(); },
      [&] { return read_back(crew_, plan_, networks_, result, plan_.notes), Status(); },
      [&] {
        books_.armed_ns = now_ns();
        books_.snapshots.opening_ns = books_.armed_ns - opened_ns_;
        return snapshot(books_.snapshots.armed);
      },
      [&] { return start_hogs(crew_, spec_.cpu_hogs); },
      [&] { return warm_up(); },
      [&] { return inject(); },
      [&] { return wait_for_findings(); },
      [&] { return close_ledger(); },
      [&] { return ask_alive(); },
      [&] { return clean_up(); },
      [&] { return end_workers(crew_); },
  };
  for (const auto& step : steps) {
    if (const Status failed = step()) {
      const bool shortage = is_shortage(*failed) || (establishing_ && failed->error_number != 0);
      result.status = crew_.halted ? RunStatus::interrupted
                      : shortage   ? RunStatus::no_resources
                                   : RunStatus::failed;
      result.error = with_cure(*failed);
      collect_notes();
      if (crew_.halted || (establishing_ && shortage)) close_early(*failed, result);
      return result;
    }
  }
  collect_notes();
  finish(result);
  begin_phase("end");
  phases_.pop_back();
  result.phases = phases_;
  result.status = judge(spec_, result, crew_.halted);
  if (const Status missing = not_established(result)) result.error = with_cure(*missing);
  return result;
}

}  // namespace

RunResult coordinate(const RunSpec& spec, const Host& host, std::vector<std::string> notes,
                     Channel& channel) {
  if (const auto rows = skipped_rows(spec, host); !rows.empty()) {
    RunResult result;
    result.status = RunStatus::skipped;
    result.error = every_row_skipped(rows);
    result.ledger = ledger_rows(rows);
    return result;
  }
  auto plan = make_plan(spec, host);
  if (!plan) {
    RunResult result;
    result.status = RunStatus::no_resources;
    result.error = plan.error().message();
    return result;
  }
  if (const Status refused = doctor::lacks_memory(spec, *plan)) {
    RunResult result;
    result.status = RunStatus::no_resources;
    result.error = refused->message();
    return result;
  }
  Coordinator coordinator(spec, std::move(*plan), channel);
  return coordinator.lead(std::move(notes));
}

}  // namespace lastack
