// What a run asks of a host: how many connections, descriptors, processes and bytes.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "plan/plan.h"
#include "plan/spec.h"

namespace lastack::doctor {

struct Demand {
  RunSpec spec;
  Result<Plan> plan;
  Status refused;       // by check_spec() or make_plan()
  int64_t connections;  // of the mix, and the neighbours
  int64_t shards;       // of the plan; when there is none, as many as asked for
  int64_t networks;     // shards with a veth pair of their own; without a plan as many as may be
  int64_t largest_shard;
  int64_t descriptors_per_connection;  // in one worker
  int64_t filled;                      // connections whose windows are filled
};
// On this host; what the spec wants filled, whether or not the host has the memory.
Demand demand_of(const RunSpec& spec, const Host& host);
// Of a run that has been planned; what the plan fills.
Demand demand_of(const RunSpec& spec, const Plan& plan);

// Both ends of an idle connection with its receive armed: measured as growth of Slab in
// /proc/meminfo under Linux 6.18, 8.7 KiB.
constexpr int64_t kKernelBytes = 8909;
constexpr int64_t kOwnBytes = 256;  // the records of both ends, with rings and processes

int64_t divide_up(int64_t amount, int64_t part);

// Of the largest worker: were there so many shards, and as planned. And of all workers.
int64_t descriptors_of(const Demand& demand, int64_t shards);
int64_t worker_descriptors(const Demand& demand);
int64_t files_of(const Demand& demand);

int64_t processes_of(const Demand& demand);
int64_t memory_of(const Demand& demand);
// Connections of the mix for which so many bytes do; the neighbours stay as they are.
int64_t affordable_connections(const Demand& demand, int64_t bytes);
int64_t table_bytes_of(const Demand& demand);
// Threads with their stacks, in one worker.
int64_t thread_bytes_of(const Demand& demand);

// Of all rings, those that establish included; and what they lock at least, all of them at once:
// those that wait for the acts and findings.
int64_t locked_bytes_of(const Demand& demand, int64_t page_bytes);
int64_t least_locked_bytes(const RunSpec& spec, const Plan& plan, int64_t page_bytes);

}  // namespace lastack::doctor
