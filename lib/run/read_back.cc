#include "run/read_back.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/affinity.h"

namespace lastack {
namespace {

void read_back_places(Crew& crew, const Plan& plan, RunResult& result,
                      std::vector<std::string>& notes) {
  std::vector<std::string> unpinned, unusual;
  for (size_t i = 0; i < plan.placements.size(); ++i) {
    const Placement& place = plan.placements[i];
    const Part part = part_of(i);
    Shard& shard = crew.shards[place.shard];
    const Worker& worker = shard.worker(part);
    WorkerPlace seen{place.role, place.shard, worker.pid, -1, place.spins, "", "", 0};
    const auto cpus = usable_cpus(worker.pid);
    if (cpus) seen.cpus = cpu_list(*cpus);
    if (cpus && cpus->size() == 1) seen.cpu = cpus->front();
    if (place.cpu >= 0 && seen.cpu != place.cpu) {
      const ShardProgress& progress = shard.progress();
      const int refused =
          part == Part::victim ? progress.victim_pin_error : progress.survivor_pin_error;
      unpinned.push_back(fmt::format(
          "the {} of shard {} to CPU {} ({}), which may use {}", place.role, place.shard, place.cpu,
          refused ? "sched_setaffinity: " + errno_name(refused) : "it was moved since",
          cpus ? seen.cpus : cpus.error().message()));
    }
    if (const auto scheduling = read_scheduling(worker.pid)) {
      seen.policy = scheduling->policy;
      seen.nice = scheduling->nice;
      const bool asked_for =
          part == Part::victim && shard.table.view().header->settings.victims.idle_policy;
      if (!scheduling->usual() && !(asked_for && scheduling->policy == "idle"))
        unusual.push_back(fmt::format("the {} of shard {}: {}, nice {}", place.role, place.shard,
                                      seen.policy, seen.nice));
    }
    result.workers.push_back(std::move(seen));
  }
  if (!unpinned.empty())
    notes.push_back(fmt::format("{} of {} workers are not pinned as planned, such as {}",
                                unpinned.size(), plan.placements.size(), unpinned.front()));
  if (!unusual.empty())
    notes.push_back(
        fmt::format("{} of {} workers are scheduled otherwise than usual (sched(7)), such as {}",
                    unusual.size(), plan.placements.size(), unusual.front()));
}

void read_back_sockets(const Crew& crew, RunResult& result, std::vector<std::string>& notes) {
  const auto add = [&](const char* role, std::string_view probe, const SocketFacts& facts) {
    if (!facts.known) return;
    const bool there =
        std::any_of(result.sockets.begin(), result.sockets.end(), [&](const SocketReport& report) {
          return report.role == role && report.probe == probe && report.facts == facts;
        });
    if (!there) result.sockets.push_back({role, std::string(probe), facts});
  };
  for (const Shard& shard : crew.shards) {
    const ShardHeader& header = *shard.table.view().header;
    add("victim", "", header.victim_socket);
    for (uint32_t row = 0; row < header.settings.row_count; ++row)
      add("survivor", probe_row(header.rows[row].probe).name, header.survivor_sockets[row]);
  }
  std::set<std::string> names;
  for (const SocketReport& report : result.sockets) names.insert(report.facts.congestion_control);
  result.congestion_control = fmt::format("{}", fmt::join(names, ","));
  if (!names.empty() && result.congestion_control != kCongestionControl)
    notes.push_back(fmt::format("sockets of the run have congestion control {} and not {}",
                                result.congestion_control, kCongestionControl));
}

}  // namespace

Status check_timer_sysctls(const RunSpec& spec,
                           std::span<const std::pair<std::string, std::string>> sysctls,
                           std::vector<std::string>& notes) {
  const bool decide = std::any_of(spec.probes.begin(), spec.probes.end(), [](Probe probe) {
    return probe_row(probe).user_timeout || probe == Probe::retransmit;
  });
  for (const Parameter& parameter : parameters())
    for (const auto& [name, had] : sysctls) {
      if (name != parameter.sysctl.name || had == parameter.sysctl.value(spec)) continue;
      const std::string text = fmt::format("{} is {} where the run is, and {} counts with {}", name,
                                           had, parameter.flag, parameter.sysctl.value(spec));
      if (decide) return plain_error(text);
      notes.push_back(text);
    }
  return std::nullopt;
}

void read_back(Crew& crew, const Plan& plan, std::span<const Network> networks, RunResult& result,
               std::vector<std::string>& notes) {
  read_back_places(crew, plan, result, notes);
  read_back_sockets(crew, result, notes);
  for (const Network& network : networks)
    if (!network.refused.empty())
      notes.push_back(fmt::format("network {}: sysctls stay at the kernel's defaults: {}",
                                  network.number, network.refused));
  if (crew.shards.empty()) return;
  const ShardProgress& progress = crew.shards.front().progress();
  if (progress.victim_ring_flags != 0)
    result.rings.push_back(
        {"victim", progress.victim_ring_flags, progress.victim_ring_completions});
  if (progress.survivor_ring_flags != 0)
    result.rings.push_back(
        {"survivor", progress.survivor_ring_flags, progress.survivor_ring_completions});
}

}  // namespace lastack
