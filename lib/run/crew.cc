#include "run/crew.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/clock.h"
#include "base/parse.h"
#include "net/veth.h"
#include "plan/patience.h"

namespace lastack {
namespace {

// The worker gives up first, and says what it was waiting for.
constexpr int64_t kAnswerMargin_ns = 2 * kSecond_ns;

std::string name_of(const Worker& worker) {
  const std::string cpu = worker.cpu < 0 ? "any CPU" : fmt::format("CPU {}", worker.cpu);
  return fmt::format("{} {} (process {}, {})", worker.role.name, worker.role.number, worker.pid,
                     cpu);
}

Error failure_of(const Worker& worker, const Message& message) {
  Error failed = error_of(message);
  failed.operation = fmt::format("{}: {}", name_of(worker), failed.operation);
  return failed;
}

// Of a worker that closed its channel: what it said last, or what became of it. The channel closes
// before the process has ended: a moment's patience.
Error death_of(const Crew& crew, Worker& worker) {
  while (true) {
    const auto received = worker.channel.receive(0);
    if (!received && received.error().error_number != EPIPE) return received.error();
    if (!received || !*received) break;
    if ((*received)->verb == Verb::failed) return failure_of(worker, **received);
  }
  const std::string phase = fmt::format("in phase '{}'", crew.phase);
  const auto ended = await_end(worker.pid, now_ns() + kSecond_ns);
  if (!ended && ended.error().error_number == ETIME)
    return plain_error(fmt::format("{} closed its channel {}", name_of(worker), phase));
  worker.gone = true;
  if (!ended) return ended.error();
  return death_error(fmt::format("{}, {},", name_of(worker), phase), *ended);
}

// The victims named in the message have gone: their survivors may write.
Status relay_stamps(Crew& crew, Shard& shard, const Message& message) {
  Message relayed;
  relayed.verb = Verb::told;
  for (uint32_t i = 0; i < message.count; ++i) {
    const uint32_t slot = shard.survivor_of[message.items[i]];
    if (slot != kNoPair) relayed.items[relayed.count++] = slot;
  }
  return send(crew, shard.survivor(), relayed);
}

Status hear(Crew& crew, Shard& shard, Worker& worker) {
  while (true) {
    auto received = worker.channel.receive(0);
    if (!received && received.error().error_number == EPIPE) return death_of(crew, worker);
    if (!received) return received.error();
    if (!*received) return std::nullopt;
    const Message& message = **received;
    if (message.verb == Verb::failed) return failure_of(worker, message);
    if (message.verb != Verb::stamp)
      worker.answer = message;
    else if (Status failed = relay_stamps(crew, shard, message))
      return failed;
  }
}

// What the workers of shard `index` have to know of the run.
void fill_settings(ShardSettings& settings, const RunSpec& spec, const Plan& plan, size_t index,
                   const Network& network) {
  const PlannedGroup& group = plan.groups[plan.shard_groups[index]];
  const Placement& victim = plan.placements[2 * index];
  const Placement& survivor = plan.placements[2 * index + 1];
  settings.row_count = static_cast<uint32_t>(plan.rows.size());
  settings.engine = group.engine;
  settings.survivors_connect = spec.survivor == Side::client;
  settings.writing = spec.writing;
  settings.write_seed = static_cast<uint64_t>(spec.seed) + (index << 32);
  settings.family = spec.family;
  settings.traffic = traffic_of_shard(spec, plan, index, spec.traffic, false);
  settings.neighbour_traffic = traffic_of_shard(spec, plan, index, spec.neighbour_traffic, true);
  settings.has_neighbours = spec.neighbours > 0;
  settings.victims = spec.victims;
  settings.in_backlog = group.in_backlog;
  settings.victims_send = group.victims_send;
  settings.network = network.number;
  if (network.veth) {
    const bool victims_listen = spec.survivor == Side::client;
    settings.listen_host =
        victims_listen ? victim_host(network.number) : survivor_host(network.number);
    settings.connect_from = victims_listen ? 0 : victim_host(network.number);
  }
  settings.spin = plan.wait == Wait::spin;
  settings.victim_spins = victim.spins;
  settings.reap_delay_ns = spec.reap_delay_ns;
  settings.reap_instructions = spec.reap_instructions;
  settings.patience_ns = step_patience_ns(spec);
  settings.ring = plan.ring;
  settings.most_completions = static_cast<uint32_t>(plan.most_completions);
  settings.victim_cpu = victim.cpu;
  settings.survivor_cpu = survivor.cpu;
  settings.stamps_per_message =
      spec.arrival == Arrival::storm ? static_cast<uint32_t>(Message::kMostItems) : 1;
  settings.payload_bytes = spec.payload_bytes;
  settings.probe_settings = spec.probe_settings;
}

// `side`: its network namespace; not valid: the caller's.
Result<Worker> start_worker(const Role& role, int cpu, const ShardTable& table, const Fd& side) {
  auto channels = Channel::open_pair();
  if (!channels) return channels.error();
  const int inherited[] = {table.descriptor(), channels->second.descriptor()};
  pid_t pid = -1;
  const auto spawn = [&]() -> Status {
    const auto spawned = spawn_self(role, inherited);
    if (!spawned) return spawned.error();
    pid = *spawned;
    return std::nullopt;
  };
  // A child inherits the namespace that its parent is in.
  if (const Status failed = side.valid() ? inside(side, spawn) : spawn()) return *failed;
  return Worker{role, cpu, pid, std::move(channels->first)};
}

}  // namespace

Status start_shard(Crew& crew, const RunSpec& spec, const Plan& plan, size_t index, size_t number,
                   const Network& network) {
  give_sign_of_life(crew);
  const size_t group = plan.shard_groups[index];
  const bool writes = plan.groups[group].engine == Engine::writer;
  auto table = ShardTable::create(plan.shard_connections[index], writes);
  if (!table) return table.error();
  ShardHeader& header = *table->view().header;
  fill_settings(header.settings, spec, plan, index, network);
  for (size_t row = 0; row < plan.rows.size(); ++row) header.rows[row] = plan.rows[row].row;

  crew.shards.push_back({std::move(*table), group, number, {}, {}, {}});
  Shard& shard = crew.shards.back();
  for (const Part part : {Part::victim, Part::survivor}) {
    const Placement& place = plan.placements[2 * index + static_cast<size_t>(part)];
    auto worker = start_worker({place.role, static_cast<int64_t>(index)}, place.cpu, shard.table,
                               part == Part::victim ? network.victims : network.survivors);
    if (!worker) return worker.error();
    crew.stalls.add(place.role, index, worker->pid);
    shard.workers.push_back(std::move(*worker));
  }
  return std::nullopt;
}

Status start_hogs(Crew& crew, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const auto pid = spawn_self({"hog", i}, {});
    if (!pid) return pid.error();
    crew.hogs.push_back(*pid);
  }
  return std::nullopt;
}

Status end_hogs(Crew& crew) {
  Status first;
  for (size_t i = 0; i < crew.hogs.size(); ++i) {
    const pid_t hog = crew.hogs[i];
    const auto ended = look_for_end(hog);
    const auto killed = ended && !*ended ? end_child(hog) : Result<int>(0);
    Status failed;
    if (!ended) failed = ended.error();
    if (!killed) failed = killed.error();
    if (ended && *ended)
      failed = death_error(fmt::format("CPU hog {} (process {})", i, hog), **ended);
    if (failed && !first) first = std::move(failed);
  }
  crew.hogs.clear();
  return first;
}

Status kill_worker(Crew& crew, Worker& worker) {
  crew.stalls.forget(worker.pid);
  worker.gone = true;
  if (const auto ended = end_child(worker.pid); !ended) return ended.error();
  return std::nullopt;
}

Status end_workers(Crew& crew) {
  Status first;
  Message quit;
  quit.verb = Verb::quit;
  for (Shard& shard : crew.shards)
    for (Worker& worker : shard.workers)
      if (!worker.gone && worker.channel.has_room()) (void)worker.channel.send(quit);
  const int64_t until_ns = now_ns() + kSecond_ns;
  for (Shard& shard : crew.shards) {
    for (Worker& worker : shard.workers) {
      if (worker.gone) continue;
      auto ended = await_end(worker.pid, until_ns);
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

Status send(Crew& crew, Worker& worker, const Message& message) {
  const Status failed = worker.channel.send(message);
  if (!failed) return std::nullopt;
  if (failed->error_number == EPIPE) return death_of(crew, worker);
  return make_error("send a control message to", failed->error_number, name_of(worker));
}

Status send(Crew& crew, Worker& worker, Verb verb, int64_t value) {
  Message message;
  message.verb = verb;
  message.value = value;
  worker.answer.reset();
  return send(crew, worker, message);
}

Status pump(Crew& crew, int64_t until_ns) {
  give_sign_of_life(crew);
  std::vector<pollfd> waited;
  for (const Shard& shard : crew.shards)
    for (const Worker& worker : shard.workers)
      waited.push_back({worker.gone ? -1 : worker.channel.descriptor(), POLLIN, 0});
  waited.push_back({crew.program.descriptor(), POLLIN, 0});
  const int64_t now = now_ns();
  const timespec timeout = to_timespec(std::max<int64_t>(0, until_ns - now));
  const int ready = ppoll(waited.data(), waited.size(), &timeout, nullptr);
  if (ready < 0 && errno != EINTR) return errno_error("ppoll", "channels");
  crew.stalls.woke(std::max(until_ns, now));
  if (ready <= 0) return std::nullopt;
  size_t index = 0;
  for (Shard& shard : crew.shards)
    for (Worker& worker : shard.workers)
      if (waited[index++].revents)
        if (Status failed = hear(crew, shard, worker)) return failed;
  if (!waited[index].revents) return std::nullopt;
  const auto received = crew.program.receive(0);
  if (!received) return plain_error("the program that asked for this run is gone");
  if (*received && (*received)->verb == Verb::halt && !std::exchange(crew.halted, true))
    crew.since_halt = {};
  return std::nullopt;
}

Status await(Crew& crew, const std::vector<Worker*>& workers, Verb answer,
             const std::function<void()>& meanwhile) {
  Waited step;
  while (true) {
    if (std::ranges::all_of(workers, [&](const Worker* one) { return one->has_said(answer); }))
      return std::nullopt;
    if (crew.halted && !crew.acting) return plain_error("interrupted before the first death");
    if (is_over(crew, step)) return no_answer_of(crew, workers, answer);
    if (Status failed = pump(crew, now_ns() + kLauncherTick_ns)) return failed;
    if (meanwhile) meanwhile();
  }
}

Status ask_all(Crew& crew, Part part, Verb question, Verb answer,
               const std::function<void()>& meanwhile) {
  std::vector<Worker*> asked;
  for (Shard& shard : crew.shards) {
    Worker& worker = shard.worker(part);
    if (worker.gone) continue;
    if (Status failed = send(crew, worker, question)) return failed;
    asked.push_back(&worker);
  }
  return await(crew, asked, answer, meanwhile);
}

bool is_over(Crew& crew, Waited& step) {
  return step.longer_than(crew.step_patience_ns + kAnswerMargin_ns) ||
         (crew.halted && crew.since_halt.longer_than(crew.halt_patience_ns));
}

Error no_answer_of(const Crew& crew, const std::vector<Worker*>& workers, Verb answer) {
  std::vector<std::string> silent;
  for (const Worker* worker : workers)
    if (!worker->has_said(answer)) silent.push_back(name_of(*worker));
  return plain_error(
      fmt::format("no answer within {} in phase '{}' from {}",
                  format_duration(crew.halted ? crew.halt_patience_ns : crew.step_patience_ns),
                  crew.phase, fmt::join(silent, ", ")));
}

void report(Crew& crew, std::string_view phase, int64_t done, int64_t total) {
  const int64_t now = now_ns();
  if (now - crew.last_report_ns < 100 * kMillisecond_ns && done < total) return;
  crew.last_report_ns = now;
  send_progress(crew.program, phase, done, total);  // a program that is gone is noticed by pump()
}

void give_sign_of_life(Crew& crew) {
  if (now_ns() - crew.last_report_ns > kSecond_ns) report(crew, "", 0, 0);
}

}  // namespace lastack
