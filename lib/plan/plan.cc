#include "plan/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/affinity.h"
#include "base/clock.h"
#include "base/parse.h"
#include "net/namespaces.h"
#include "net/tcp_memory.h"
#include "plan/rings.h"
#include "plan/schedule.h"
#include "shard/limits.h"

namespace lastack {
namespace {

// Why the host cannot do this write path; empty when it can.
std::string missing_for(WritePath path, const Host& host) {
  const WriteNeed need = write_path_row(path).need;
  const auto& missing = host.missing_write_needs;
  const bool lacks = std::find(missing.begin(), missing.end(), need) != missing.end();
  return lacks ? fmt::format("needs {}", write_need_name(need)) : "";
}

// Why the windows of so many connections cannot be filled.
std::string too_much_filled(int64_t connections, const Host& host) {
  return fmt::format(
      "filling the windows of {} connections takes {} MiB of the host's TCP memory, and {} MiB are "
      "left below its pressure mark (net.ipv4.tcp_mem); allowed: at most {} such connections",
      connections, connections * kFilledConnectionBytes >> 20, host.tcp_memory_bytes >> 20,
      std::max<int64_t>(0, host.tcp_memory_bytes / kFilledConnectionBytes));
}

// Why the probe cannot be had with this watch; empty when it can.
std::string missing_for(Probe probe, Watch watch, const Host& host) {
  const Engine engine = watch_row(watch).engine;
  switch (probe_row(probe).heartbeat) {
    case Heartbeat::none:
      return "";
    case Heartbeat::link:
      return watch == Watch::recv ? "" : "needs --watch recv";
    case Heartbeat::multishot:
      if (!host.multishot_timeouts) return "needs multishot timeouts of io_uring (Linux 6.4)";
      [[fallthrough]];
    case Heartbeat::wheel:
      return engine == Engine::io_uring ? "" : "needs a watch of io_uring";
    case Heartbeat::timerfd:
    case Heartbeat::scan:
      return engine == Engine::epoll ? "" : "needs --watch epoll or epoll-et";
  }
  return "";
}

Circumstances circumstances(const RunSpec& spec, const PlanRow& row) {
  Circumstances when{row.watch, row.probe, spec.probe_settings,
                     traffic_of(spec, strategy_of(row)).load, spec.deadline_ns};
  when.victims = spec.victims;
  when.writing = spec.writing;
  when.write_path = row.write_path;
  when.veth = spec.veth || strategy_of(row).scope == Scope::path;
  when.warm_up_ns = spec.warm_up_ns;
  when.tick_ns = kernel_tick_ns();
  return when;
}

// What the host lacks of a need; none: nothing.
Need lacking(Need need, const RunSpec& spec, const Host& host) {
  switch (need) {
    case Need::none:
      break;
    case Need::net_admin:
      if (!host.net_admin) return need;
      break;
    case Need::private_network:
      if (!host.private_network || spec.family != Family::inet) return need;
      break;
    case Need::socket_destroy:
      if (!host.net_admin) return Need::net_admin;
      if (!host.socket_destroy) return need;
  }
  return Need::none;
}

// The rows of one strategy: watch x write path x probe. Appends them with their weights.
void add_rows(const RunSpec& spec, const Host& host, const Weight& weight,
              std::vector<PlannedRow>& rows, std::vector<double>& weights,
              std::vector<std::string>& notes) {
  const Strategy& strategy = strategies()[weight.strategy];
  std::string skipped;
  if (!may_survive(strategy, spec.survivor))
    skipped = fmt::format("the {} cannot be the survivor of '{}'", side_name(spec.survivor),
                          strategy.name);
  if (const Need need = lacking(strategy.need, spec, host); need != Need::none)
    skipped = fmt::format("needs {}", need_name(need));
  if (!host.missing_sysctls.empty())
    skipped = fmt::format("needs {}", fmt::join(host.missing_sysctls, ", "));
  if (!skipped.empty())
    notes.push_back(fmt::format("{} skipped: {}; its weight {} is spread over the other rows",
                                strategy.name, skipped, weight.weight));
  for (const Watch watch : spec.watches) {
    const std::vector<WritePath> none = {WritePath::none};
    for (const WritePath path : watch == Watch::writer ? spec.write_paths : none) {
      for (const Probe probe : spec.probes) {
        std::string lacking = skipped.empty() ? missing_for(path, host) : skipped;
        if (lacking.empty()) lacking = missing_for(probe, watch, host);
        weights.push_back(lacking.empty() ? weight.weight : 0);
        rows.push_back(
            planned_row(spec, {static_cast<uint16_t>(weight.strategy), watch, probe, path}));
        rows.back().skipped = std::move(lacking);
      }
    }
  }
}

void note_otherwise(const Host& host, Plan& plan) {
  if (host.sockets_take_nowait) return;
  std::set<std::string_view> paths;
  for (const PlannedRow& row : plan.rows) {
    const WritePathRow& path = write_path_row(row.row.write_path);
    if (row.skipped.empty() && path.nowait_flag) paths.insert(path.name);
  }
  if (!paths.empty())
    plan.otherwise.push_back(fmt::format(
        "this kernel's sockets refuse RWF_NOWAIT, as those of Linux 6.1: each write of {} asks "
        "poll(2) for room first",
        fmt::join(paths, ", ")));
  plan.notes.insert(plan.notes.end(), plan.otherwise.begin(), plan.otherwise.end());
}

// Divides the connections over the rows from `first` on.
void give_connections(int64_t connections, std::span<const double> weights,
                      std::span<PlannedRow> rows) {
  const std::vector<int64_t> counts = divide(connections, weights);
  for (size_t i = 0; i < rows.size(); ++i)
    if (rows[i].skipped.empty()) rows[i].requested = counts[i];
}

bool fills(const PlannedRow& row) { return row.requested > 0 && strategy_of(row.row).victim_sends; }

int64_t count_filled(const RunSpec& spec, std::span<const PlannedRow> rows) {
  if (spec.victims.reader_stopped) return all_connections(spec);
  int64_t filled = 0;
  for (const PlannedRow& row : rows) filled += fills(row) ? row.requested : 0;
  return filled;
}

// Skips the rows whose victims fill their survivors' windows where the host has not the memory for
// it. True when there were any.
bool skip_what_fills_too_much(const RunSpec& spec, const Host& host, std::span<PlannedRow> rows,
                              std::span<double> weights, std::vector<std::string>& notes) {
  const int64_t filled = count_filled(spec, rows);
  // With a stopped reader all rows do, and the plan is refused.
  if (spec.victims.reader_stopped || filled * kFilledConnectionBytes <= host.tcp_memory_bytes)
    return false;
  const std::string reason = too_much_filled(filled, host);
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!fills(rows[i])) continue;
    notes.push_back(fmt::format("{} skipped: {}; its weight is spread over the other rows",
                                strategy_of(rows[i].row).name, reason));
    rows[i].skipped = reason;
    rows[i].requested = 0;
    weights[i] = 0;
  }
  return true;
}

std::vector<PlannedRow> plan_rows(const RunSpec& spec, const Host& host,
                                  std::vector<std::string>& notes) {
  std::vector<PlannedRow> rows;
  std::vector<double> weights;
  for (const Weight& weight : effective_mix(spec))
    add_rows(spec, host, weight, rows, weights, notes);
  give_connections(spec.connections, weights, rows);
  if (skip_what_fills_too_much(spec, host, rows, weights, notes))
    give_connections(spec.connections, weights, rows);
  if (spec.neighbours == 0) return rows;
  const size_t of_mix = rows.size();
  for (size_t i = 0; i < strategies().size(); ++i)
    if (stays_alive(strategies()[i])) add_rows(spec, host, {i, 1}, rows, weights, notes);
  give_connections(spec.neighbours, std::span(weights).subspan(of_mix),
                   std::span(rows).subspan(of_mix));
  return rows;
}

bool none_left(std::span<const PlannedRow> rows) {
  return std::ranges::all_of(rows, [](const PlannedRow& row) { return row.requested == 0; });
}

int64_t descriptors_of(std::span<const PlannedRow> rows) {
  int64_t most = 1;
  for (const PlannedRow& row : rows)
    if (row.requested > 0)
      most = std::max<int64_t>(most, probe_row(row.row.probe).survivor_descriptors);
  return most;
}

std::vector<PlannedGroup> group_rows(const RunSpec& spec, const std::vector<PlannedRow>& rows) {
  std::vector<PlannedGroup> groups;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].requested == 0) continue;
    const Scope scope = strategy_of(rows[i].row).scope;
    PlannedGroup group;
    group.engine = watch_row(rows[i].row.watch).engine;
    group.own_network = scope == Scope::path;
    group.veth = spec.veth || group.own_network;
    group.in_backlog = scope == Scope::listener;
    group.victims_send = strategy_of(rows[i].row).victim_sends;
    const auto same = std::find_if(groups.begin(), groups.end(), [&](const PlannedGroup& other) {
      // What cuts its path shares it only with what is cut in the same way.
      const size_t strategy = rows[i].row.strategy;
      const bool same_path =
          group.own_network == other.own_network &&
          (!group.own_network || rows[other.rows.front()].row.strategy == strategy);
      return same_path && other.engine == group.engine && other.in_backlog == group.in_backlog &&
             other.victims_send == group.victims_send;
    });
    PlannedGroup& home = same == groups.end() ? groups.emplace_back(group) : *same;
    home.rows.push_back(i);
    home.connections += rows[i].requested;
  }
  return groups;
}

// Spinning threads never outnumber their CPUs: a spinning thread that waits for a CPU measures
// the scheduler.
void limit_spinning(const RunSpec& spec, const Host& host, int64_t shards, int64_t survivor_cpus,
                    Plan& plan) {
  plan.wait = spec.wait;
  plan.ring = spec.ring;
  const bool room = host.cpus.size() >= 2 && shards <= survivor_cpus;
  if (plan.ring == RingMode::sqpoll && !room) {
    plan.ring = RingMode::defer;
    plan.notes.push_back(
        fmt::format("--ring sqpoll would spin {} kernel threads on {} CPUs: fell back to defer",
                    shards, survivor_cpus));
  }
  const bool submission_thread = plan.ring == RingMode::sqpoll;
  if (plan.wait == Wait::spin && (!room || submission_thread)) {
    plan.wait = Wait::block;
    plan.notes.push_back(
        submission_thread
            ? std::string("--wait spin with --ring sqpoll would spin two threads on one CPU: "
                          "fell back to block")
            : fmt::format("--wait spin would spin {} survivors' threads on {} of {} CPUs: fell "
                          "back to block",
                          shards, survivor_cpus, host.cpus.size()));
  }
}

int64_t largest_shard(const Plan& plan) {
  return *std::max_element(plan.shard_connections.begin(), plan.shard_connections.end());
}

// Divides each group's connections over its shards. `room`: connections that the limit of open
// files leaves to a process.
Status divide_into_shards(const RunSpec& spec, const Host& host, int64_t per_connection,
                          int64_t room, Plan& plan) {
  for (size_t i = 0; i < plan.groups.size(); ++i) {
    const int64_t connections = plan.groups[i].connections;
    const EngineRow& engine = engine_row(plan.groups[i].engine);
    const int64_t most =
        engine.most_connections ? std::min<int64_t>(room, engine.most_connections) : room;
    const int64_t least_shards = (connections + most - 1) / most;
    if (spec.shards > 0 && spec.shards < least_shards && most < room)
      return plain_error(fmt::format(
          "--shards {} puts more than {} connections into a process of --watch {}: {}; allowed: at "
          "least {} shards",
          spec.shards, most, engine.name, engine.limit, least_shards));
    if (spec.shards > 0 && spec.shards < least_shards)
      return plain_error(fmt::format(
          "--shards {} needs {} open files per process and the limit is {}; allowed: at least {} "
          "shards",
          spec.shards, (connections + spec.shards - 1) / spec.shards * per_connection,
          host.descriptor_limit, least_shards));
    // --shards counts for each group; no shard is empty.
    const int64_t wanted = spec.shards > 0 ? std::min(spec.shards, connections) : least_shards;
    const std::vector<double> equal(static_cast<size_t>(wanted), 1.0);
    for (const int64_t share : divide(connections, equal)) {
      plan.shard_connections.push_back(static_cast<uint32_t>(share));
      plan.shard_groups.push_back(i);
    }
  }
  return std::nullopt;
}

// What the launcher and the largest shard need of the host.
Status check_shards(const RunSpec& spec, const Host& host, const Plan& plan) {
  const auto shards = static_cast<int64_t>(plan.shard_connections.size());
  const int64_t room = host.descriptor_limit - launcher_descriptors(0, own_networks(plan));
  const int64_t most_shards = std::min(kMostShards, room / kLauncherDescriptors);
  if (shards > most_shards)
    return plain_error(fmt::format(
        "{} connections need {} shards with a limit of {} open files; allowed: at most {} shards "
        "(raise the limit: ulimit -Hn)",
        all_connections(spec), shards, host.descriptor_limit, most_shards));
  // A port serves once per listening port and shard, and every connection of a run stands at once.
  const int64_t most_per_shard = host.ports * kMostListeners;
  if (largest_shard(plan) > most_per_shard)
    return plain_error(fmt::format(
        "{} connections of a shard need more than the {} ephemeral ports x {} listeners; allowed: "
        "more shards, or a wider net.ipv4.ip_local_port_range",
        largest_shard(plan), host.ports, kMostListeners));
  return std::nullopt;
}

// Victims on the first half of the CPUs, survivors on the second: an RST that is delivered and
// detected on one CPU would wait for the victim's thread to sleep.
void place_workers(const RunSpec& spec, const Host& host, Plan& plan) {
  const auto shards = static_cast<int64_t>(plan.shard_connections.size());
  const auto cpus = static_cast<int64_t>(host.cpus.size());
  const int64_t victim_cpus = std::max<int64_t>(1, cpus / 2);
  const int64_t survivor_cpus = std::max<int64_t>(1, cpus - victim_cpus);
  limit_spinning(spec, host, shards, survivor_cpus, plan);
  for (int64_t shard = 0; shard < shards; ++shard) {
    const int victim = host.cpus[static_cast<size_t>(shard % victim_cpus)];
    const int survivor =
        cpus == 1 ? victim : host.cpus[static_cast<size_t>(victim_cpus + shard % survivor_cpus)];
    const auto index = static_cast<uint32_t>(shard);
    plan.placements.push_back({index, "victim", victim, cpus >= 2 && shards <= victim_cpus});
    plan.placements.push_back({index, "survivor", survivor, plan.wait == Wait::spin});
  }
}

void size_rings(const RunSpec& spec, const Host& host, Plan& plan) {
  const auto shards = static_cast<int64_t>(plan.shard_connections.size());
  plan.most_completions =
      most_completions(spec, shards, largest_shard(plan), host.locked_bytes, sysconf(_SC_PAGESIZE));
  const auto connections = static_cast<size_t>(largest_shard(plan));
  if (ring_completions(connections, has_traffic(spec) ? 2 : 1, kMostCompletions) <=
      plan.most_completions)
    return;
  plan.notes.push_back(fmt::format(
      "completion queues have {} entries for up to {} connections, as {} KiB may be locked (ulimit "
      "-l): what overflows them is kept by the kernel, and counted",
      plan.most_completions, connections, host.locked_bytes / 1024));
}

// How long the run waits for this row after the last act: one that may find nothing until the
// deadline, one whose peer dies without a packet for its probe.
int64_t waits_for_ns(const RunSpec& spec, const PlannedRow& row) {
  const Strategy& strategy = strategy_of(row.row);
  const bool close_is_held = close_waits(strategy, row.when);
  if (row.requested == 0 || (strategy.finding != Finding::nothing && !close_is_held)) return 0;
  const bool may_find_nothing =
      close_is_held || stays_alive(strategy) ||
      expected_findings(strategy, row.when).back().finding == Finding::nothing;
  const int64_t promised_ns = row.promise.most_ns;
  return may_find_nothing || promised_ns == 0 ? spec.deadline_ns
                                              : std::min(promised_ns, spec.deadline_ns);
}

// About 60 us of one CPU to open and to end a connection, then the schedule and the silence.
void estimate(const RunSpec& spec, Plan& plan) {
  const int64_t schedule_ns = spec.arrival == Arrival::storm
                                  ? spec.connections * 20 * kMicrosecond_ns
                                  : static_cast<int64_t>(static_cast<double>(spec.connections) /
                                                         spec.arrivals_per_second * 1e9);
  int64_t wait_ns = 0;
  for (const PlannedRow& row : plan.rows) wait_ns = std::max(wait_ns, waits_for_ns(spec, row));
  const int64_t before_the_end_ns =
      kSecond_ns / 2 + all_connections(spec) * 60 * kMicrosecond_ns + spec.warm_up_ns + schedule_ns;
  plan.longest_ns = before_the_end_ns + spec.deadline_ns;
  plan.estimated_ns = before_the_end_ns + wait_ns;
}

}  // namespace

int64_t launcher_descriptors(int64_t shards, int64_t networks) {
  return shards * kLauncherDescriptors + networks * kNetworkDescriptors + kReservedDescriptors;
}

int64_t own_networks(const Plan& plan) {
  return std::count_if(plan.shard_groups.begin(), plan.shard_groups.end(),
                       [&](size_t group) { return plan.groups[group].own_network; });
}

int64_t descriptors_per_connection(const RunSpec& spec, const Host& host) {
  std::vector<std::string> notes;
  return descriptors_of(plan_rows(spec, host, notes));
}

int64_t filled_connections(const RunSpec& spec, Host host) {
  host.tcp_memory_bytes = INT64_MAX;
  std::vector<std::string> notes;
  return count_filled(spec, plan_rows(spec, host, notes));
}

PlannedRow planned_row(const RunSpec& spec, PlanRow row) {
  PlannedRow planned;
  planned.when = circumstances(spec, row);
  planned.promise = prediction_of(planned.when);
  row.since = planned.promise.since;
  planned.row = row;
  planned.expected = expected_findings(strategy_of(row), planned.when);
  for (const ExpectationOverride& replaced : spec.expect)
    if (replaced.strategy == row.strategy)
      planned.expected = {{replaced.finding, finding_row(replaced.finding).error_number}};
  return planned;
}

std::vector<PlannedRow> skipped_rows(const RunSpec& spec, const Host& host) {
  std::vector<std::string> notes;
  auto rows = plan_rows(spec, host, notes);
  return none_left(rows) ? rows : std::vector<PlannedRow>();
}

std::string every_row_skipped(std::span<const PlannedRow> rows) {
  return "every row of the mix is skipped: " + rows.front().skipped;
}

Result<Plan> make_plan(const RunSpec& spec, const Host& host) {
  Plan plan{};
  plan.rows = plan_rows(spec, host, plan.notes);
  plan.filled_connections = count_filled(spec, plan.rows);
  note_otherwise(host, plan);
  if (none_left(plan.rows)) return plain_error(every_row_skipped(plan.rows));
  if (plan.rows.size() > kMostRows)
    return plain_error(
        fmt::format("--mix x --watch x --probe x --write-path has {} rows; allowed: at most {}",
                    plan.rows.size(), kMostRows));

  const int64_t most_filled = host.tcp_memory_bytes / kFilledConnectionBytes;
  if (spec.victims.reader_stopped && all_connections(spec) > most_filled)
    return plain_error("--reader stopped: " + too_much_filled(all_connections(spec), host));

  const int64_t per_connection = descriptors_of(plan.rows);
  const int64_t room = (host.descriptor_limit - kReservedDescriptors) / per_connection;
  if (room < 1)
    return plain_error(
        fmt::format("the limit of open files is {}; allowed: at least {} (ulimit -n)",
                    host.descriptor_limit, kReservedDescriptors + per_connection));
  plan.groups = group_rows(spec, plan.rows);
  if (Status refused = divide_into_shards(spec, host, per_connection, room, plan)) return *refused;
  if (Status refused = check_shards(spec, host, plan)) return *refused;
  plan.descriptors_needed = largest_shard(plan) * per_connection + kReservedDescriptors;
  place_workers(spec, host, plan);
  size_rings(spec, host, plan);
  estimate(spec, plan);
  return plan;
}

Traffic traffic_of_shard(const RunSpec& spec, const Plan& plan, size_t shard, const Traffic& whole,
                         bool neighbours) {
  const PlannedGroup& group = plan.groups[plan.shard_groups[shard]];
  int64_t of_group = 0;
  for (const size_t row : group.rows) {
    const bool neighbour = spec.neighbours > 0 && stays_alive(strategy_of(plan.rows[row].row));
    if (neighbour == neighbours) of_group += plan.rows[row].requested;
  }
  const int64_t all = neighbours ? spec.neighbours : spec.connections;
  if (of_group == 0 || all == 0) return {};
  const double share = static_cast<double>(of_group) / static_cast<double>(all) *
                       static_cast<double>(plan.shard_connections[shard]) /
                       static_cast<double>(group.connections);
  return {whole.load, whole.round_trips_per_second * share};
}

}  // namespace lastack
