#include "run/plan.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>

#include "base/clock.h"
#include "base/parse.h"
#include "net/namespaces.h"
#include "run/establish.h"
#include "run/schedule.h"

namespace lastack {
namespace {

// A survivor's worker holds so many descriptors per connection with this watch.
constexpr int64_t kSurvivorDescriptors = 1;

std::vector<PlannedRow> plan_rows(const RunSpec& spec, const Host& host,
                                  std::vector<std::string>& notes) {
  std::vector<PlannedRow> rows;
  std::vector<double> weights;
  for (const Weight& weight : effective_mix(spec)) {
    const Strategy& strategy = strategies()[weight.strategy];
    std::string skipped;
    const bool side_allowed =
        spec.survivor == Side::server ? strategy.server_may_survive : strategy.client_may_survive;
    if (!side_allowed)
      skipped = fmt::format("the {} cannot be the survivor of '{}'", side_name(spec.survivor),
                            strategy.name);
    if (strategy.need == Need::net_admin && !host.net_admin)
      skipped = fmt::format("needs {}", need_name(strategy.need));
    if (!skipped.empty())
      notes.push_back(fmt::format("{} skipped: {}; its weight {} is spread over the other rows",
                                  strategy.name, skipped, weight.weight));
    for (const Watch watch : spec.watches) {
      for (const Probe probe : spec.probes) {
        rows.push_back({{static_cast<uint16_t>(weight.strategy), watch, probe}, 0, skipped});
        weights.push_back(skipped.empty() ? weight.weight : 0);
      }
    }
  }
  const std::vector<int64_t> counts = divide(spec.connections, weights);
  for (size_t i = 0; i < rows.size(); ++i)
    if (rows[i].skipped.empty()) rows[i].requested = counts[i];
  return rows;
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

}  // namespace

Host this_host(const RunSpec& spec) {
  Host host{};
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  host.descriptor_limit =
      limit.rlim_max > 1'000'000'000 ? 1'000'000'000 : static_cast<int64_t>(limit.rlim_max);
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof(set), &set);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) host.cpus.push_back(cpu);
  // More CPUs than the set holds: EINVAL, and an empty set (sched_setaffinity(2)).
  if (host.cpus.empty()) host.cpus.push_back(0);
  host.net_admin = !spec.host_network || has_net_admin();
  const auto [first, last] = spec.host_network ? read_port_range() : kPrivatePortRange;
  host.ports = last - first + 1;
  return host;
}

Result<Plan> make_plan(const RunSpec& spec, const Host& host) {
  Plan plan{};
  plan.rows = plan_rows(spec, host, plan.notes);
  const bool nothing_left = std::all_of(plan.rows.begin(), plan.rows.end(),
                                        [](const PlannedRow& row) { return row.requested == 0; });
  if (nothing_left)
    return plain_error("every row of the mix is skipped: " + plan.rows.front().skipped);
  if (plan.rows.size() > kMostRows)
    return plain_error(fmt::format("--mix x --watch x --probe has {} rows; allowed: at most {}",
                                   plan.rows.size(), kMostRows));

  const EngineRow& engine = engine_row(watch_row(plan.rows.front().row.watch).engine);
  for (const PlannedRow& row : plan.rows) {
    const EngineRow& other = engine_row(watch_row(row.row.watch).engine);
    if (other.id != engine.id)
      return plain_error(fmt::format(
          "--watch mixes the engines {} and {}; allowed: watches of one engine in a run",
          engine.name, other.name));
  }

  int64_t per_connection = kSurvivorDescriptors;
  for (const PlannedRow& row : plan.rows)
    per_connection =
        std::max<int64_t>(per_connection, strategies()[row.row.strategy].victim_descriptors);
  int64_t room = (host.descriptor_limit - kReservedDescriptors) / per_connection;
  if (room < 1)
    return plain_error(
        fmt::format("the limit of open files is {}; allowed: at least {} (ulimit -n)",
                    host.descriptor_limit, kReservedDescriptors + per_connection));
  if (engine.most_connections > 0 && room > engine.most_connections) {
    room = engine.most_connections;
    if (spec.shards > 0 && spec.connections > room * spec.shards)
      return plain_error(fmt::format(
          "--shards {} puts more than {} connections into a process of --watch {}: {}; allowed: at "
          "least {} shards",
          spec.shards, room, engine.name, engine.limit, (spec.connections + room - 1) / room));
  }
  const int64_t least_shards = (spec.connections + room - 1) / room;
  if (spec.shards > 0 && spec.shards < least_shards)
    return plain_error(fmt::format(
        "--shards {} needs {} open files per process and the limit is {}; allowed: at least {} "
        "shards",
        spec.shards, (spec.connections + spec.shards - 1) / spec.shards * per_connection,
        host.descriptor_limit, least_shards));
  const int64_t shards = spec.shards > 0 ? spec.shards : least_shards;
  const int64_t most_shards =
      std::min(kMostShards, (host.descriptor_limit - kReservedDescriptors) / kLauncherDescriptors);
  if (shards > most_shards)
    return plain_error(fmt::format(
        "{} connections need {} shards with a limit of {} open files; allowed: at most {} shards "
        "(raise the limit: ulimit -Hn)",
        spec.connections, shards, host.descriptor_limit, most_shards));
  const std::vector<double> equal(static_cast<size_t>(shards), 1.0);
  for (const int64_t connections : divide(spec.connections, equal))
    plan.shard_connections.push_back(static_cast<uint32_t>(connections));
  plan.descriptors_needed = plan.shard_connections.front() * per_connection + kReservedDescriptors;

  // A port serves once per listening port and shard, and every connection of a run stands at once.
  const int64_t most_per_shard = host.ports * kMostListeners;
  if (plan.shard_connections.front() > most_per_shard)
    return plain_error(fmt::format(
        "{} connections of a shard need more than the {} ephemeral ports x {} listeners; allowed: "
        "more shards, or a wider net.ipv4.ip_local_port_range",
        plan.shard_connections.front(), host.ports, kMostListeners));

  // Victims on the first half of the CPUs, survivors on the second: an RST that is delivered and
  // detected on one CPU would wait for the victim's thread to sleep.
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

  // About 60 us of one CPU to open and to end a connection, then the schedule and the silence.
  const int64_t schedule_ns = spec.arrival == Arrival::storm
                                  ? spec.connections * 20 * kMicrosecond_ns
                                  : static_cast<int64_t>(static_cast<double>(spec.connections) /
                                                         spec.arrivals_per_second * 1e9);
  const bool silence = std::any_of(plan.rows.begin(), plan.rows.end(), [&](const auto& row) {
    const auto expected =
        expected_findings(strategies()[row.row.strategy], circumstances(spec, row.row));
    return row.requested > 0 && expected.back().finding == Finding::nothing;
  });
  plan.estimated_ns = kSecond_ns / 2 + spec.connections * 60 * kMicrosecond_ns + spec.warm_up_ns +
                      schedule_ns + (silence ? spec.deadline_ns : 0);
  return plan;
}

Circumstances circumstances(const RunSpec& spec, const PlanRow& row) {
  return {row.watch, row.probe, spec.probe_settings, spec.load, spec.deadline_ns};
}

}  // namespace lastack
