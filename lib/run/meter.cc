#include "run/meter.h"

#include <unistd.h>

#include "base/cgroup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/kernel_config.h"
#include "base/memory.h"
#include "base/proc.h"

namespace lastack {
namespace {

void add_used(const Message& answer, RoleCost& cost) {
  cost.user_ns += answer.user_ns;
  cost.system_ns += answer.system_ns;
  cost.context_switches += answer.context_switches;
}

void charge_role(const RoleCost& before, const RoleCost& after, RoleCost& cost) {
  cost.user_ns = after.user_ns - before.user_ns;
  cost.system_ns = after.system_ns - before.system_ns;
  cost.context_switches = after.context_switches - before.context_switches;
  cost.ring_enters = after.ring_enters - before.ring_enters;
}

}  // namespace

std::optional<int64_t> slab_bytes() { return bytes_of(read_text("/proc/meminfo"), "Slab"); }

int64_t growth(std::optional<int64_t> before, std::optional<int64_t> now) {
  return before && now ? *now - *before : kNotKnown;
}

Result<MeterReading> read_meter(Crew& crew, const std::vector<Network>& networks, TimeUnit unit) {
  MeterReading reading;
  reading.at_ns = now_ns();
  for (Shard& shard : crew.shards) {
    add_used(*shard.victim().answer, reading.victims);
    add_used(*shard.survivor().answer, reading.survivors);
  }
  reading.victims.ring_enters = sum_of(crew, &ShardProgress::victim_ring_enters);
  reading.survivors.ring_enters = sum_of(crew, &ShardProgress::survivor_ring_enters);
  reading.throttled_ns = read_throttled_ns();
  reading.host = read_host_times(unit);
  reading.host_cpu_ns = sysconf(_SC_NPROCESSORS_ONLN) * now_ns();
  reading.backlog_drops = read_backlog_drops();
  const auto traffic = sum_over<TrafficCounters>(networks, read_traffic, read_network_traffic);
  if (!traffic) return traffic.error();
  reading.traffic = *traffic;
  return reading;
}

void charge(const MeterReading& before, const MeterReading& after, bool softirqs_apart, Cost& cost,
            HostService& host, int64_t& backlog_drops) {
  cost.wall_ns = after.at_ns - before.at_ns;
  charge_role(before.victims, after.victims, cost.victims);
  charge_role(before.survivors, after.survivors, cost.survivors);
  cost.traffic = after.traffic - before.traffic;
  host.throttled_ns = after.throttled_ns - before.throttled_ns;
  backlog_drops = growth(before.backlog_drops, after.backlog_drops);
  host.steal_ns = cost.softirq_ns = cost.host_busy_ns = kNotKnown;
  if (!before.host || !after.host) return;
  const int64_t idle_ns = after.host->idle_ns - before.host->idle_ns;
  host.steal_ns = after.host->steal_ns - before.host->steal_ns;
  cost.host_busy_ns = after.host_cpu_ns - before.host_cpu_ns - idle_ns;
  if (softirqs_apart) cost.softirq_ns = after.host->softirq_ns - before.host->softirq_ns;
}

bool softirqs_are_told_apart() {
  return is_set(read_kernel_config(), "CONFIG_IRQ_TIME_ACCOUNTING");
}

int64_t memory_bytes(Crew& crew, std::vector<std::string>& notes) {
  int64_t sum = sum_of(crew, &ShardProgress::victim_ring_bytes) +
                sum_of(crew, &ShardProgress::survivor_ring_bytes);
  const auto add = [&](pid_t process) {
    const auto bytes = read_process_memory(process);
    if (bytes)
      sum += *bytes;
    else
      notes.push_back("the memory figure lacks a process: " + bytes.error().message());
  };
  add(getpid());
  for (Shard& shard : crew.shards) {
    for (const Worker& worker : shard.workers) {
      if (worker.gone) continue;
      add(worker.pid);
      // Victim processes; one that is dying just now has no memory any more.
      for (const pid_t child : children_of(worker.pid))
        if (const auto bytes = read_process_memory(child)) sum += *bytes;
    }
  }
  return sum;
}

Result<CounterValues> read_all_counters(const std::vector<Network>& networks) {
  return sum_over<CounterValues>(networks, read_counters, read_network_counters);
}

}  // namespace lastack
