#include "doctor/demand.h"

#include <algorithm>

#include "plan/rings.h"
#include "plan/rules.h"
#include "ring/ring.h"
#include "shard/ends.h"
#include "shard/establish.h"
#include "shard/limits.h"
#include "shard/table.h"

namespace lastack::doctor {
namespace {

// --watch blocking: a thread per connection.
bool has_threads(const RunSpec& spec) {
  return std::any_of(spec.watches.begin(), spec.watches.end(),
                     [](Watch watch) { return watch_row(watch).engine == Engine::blocking; });
}

bool cuts_paths(const RunSpec& spec) {
  const std::vector<Weight> mix = effective_mix(spec);
  return std::any_of(mix.begin(), mix.end(), [](const Weight& weight) {
    return strategies()[weight.strategy].scope == Scope::path;
  });
}

}  // namespace

Demand demand_of(const RunSpec& spec, const Host& host) {
  Result<Plan> plan = make_plan(spec, host);
  Status refused = check_spec(spec);
  if (!refused && !plan) refused = plan.error();
  const int64_t connections = all_connections(spec);
  const int64_t shards = plan ? static_cast<int64_t>(plan->shard_connections.size())
                              : std::max<int64_t>(1, spec.shards);
  const int64_t networks = plan ? own_networks(*plan) : cuts_paths(spec) ? shards : 0;
  return {.spec = spec,
          .plan = std::move(plan),
          .refused = std::move(refused),
          .connections = connections,
          .shards = shards,
          .networks = networks,
          .largest_shard = divide_up(connections, shards),
          .descriptors_per_connection = descriptors_per_connection(spec, host),
          .filled = filled_connections(spec, host)};
}

Demand demand_of(const RunSpec& spec, const Plan& plan) {
  const int64_t connections = all_connections(spec);
  const auto shards = static_cast<int64_t>(plan.shard_connections.size());
  return {.spec = spec,
          .plan = plan,
          .refused = {},
          .connections = connections,
          .shards = shards,
          .networks = own_networks(plan),
          .largest_shard = divide_up(connections, shards),
          .descriptors_per_connection = 1,
          .filled = plan.filled_connections};
}

int64_t divide_up(int64_t amount, int64_t part) { return (amount + part - 1) / part; }

int64_t descriptors_of(const Demand& demand, int64_t shards) {
  return divide_up(demand.connections, shards) * demand.descriptors_per_connection +
         kReservedDescriptors;
}

int64_t worker_descriptors(const Demand& demand) {
  return demand.plan ? demand.plan->descriptors_needed : descriptors_of(demand, demand.shards);
}

// A victim's end is one descriptor, a survivor's has those of its probe.
int64_t files_of(const Demand& demand) {
  return demand.connections * (1 + demand.descriptors_per_connection) +
         2 * kReservedDescriptors * demand.shards;
}

// Processes and, with SQPOLL, the survivors' kernel threads, which count like the user's own
// (create_io_thread() in kernel/fork.c).
int64_t processes_of(const Demand& demand) {
  const bool threads = demand.plan && demand.plan->ring == RingMode::sqpoll;
  return demand.shards * (threads ? 3 : 2) + 2 +
         (has_threads(demand.spec) ? demand.connections : 0);
}

int64_t memory_of(const Demand& demand) {
  return demand.connections * (kKernelBytes + kOwnBytes) + demand.filled * kFilledConnectionBytes;
}

int64_t affordable_connections(const Demand& demand, int64_t bytes) {
  // Of fewer connections each row may round up to one more whose window is filled.
  const auto rows = static_cast<int64_t>(demand.plan ? demand.plan->rows.size() : 1);
  const int64_t spare = demand.filled > 0 ? rows * kFilledConnectionBytes : 0;
  return std::max<int64_t>(0, bytes - spare) / divide_up(memory_of(demand), demand.connections) -
         demand.spec.neighbours;
}

int64_t table_bytes_of(const Demand& demand) {
  return static_cast<int64_t>(
      table_bytes(static_cast<size_t>(demand.largest_shard), has_writers(demand.spec)));
}

int64_t thread_bytes_of(const Demand& demand) {
  return has_threads(demand.spec) ? demand.largest_shard * kThreadStackBytes : 0;
}

int64_t locked_bytes_of(const Demand& demand, int64_t page_bytes) {
  return locked_bytes(demand.spec, demand.shards, demand.largest_shard,
                      demand.plan ? demand.plan->most_completions : kFewestCompletions, page_bytes);
}

int64_t least_locked_bytes(const RunSpec& spec, const Plan& plan, int64_t page_bytes) {
  const bool traffic = spec.traffic.load != Load::idle;
  const auto bytes = [&](size_t connections, unsigned requests) {
    return ring_bytes(
        RingSetup().submission_entries,
        ring_completions(connections, requests, static_cast<unsigned>(plan.most_completions)),
        page_bytes);
  };
  int64_t sum = 0;
  for (size_t shard = 0; shard < plan.shard_connections.size(); ++shard) {
    if (plan.groups[plan.shard_groups[shard]].engine == Engine::io_uring)
      sum += bytes(plan.shard_connections[shard], traffic ? 2 : 1);
    sum += bytes(0, 0);     // the victims'
    sum -= 2 * page_bytes;  // what may have been rounded up
  }
  return sum;
}

}  // namespace lastack::doctor
