// What a run will do before it does it: rows, shards, CPUs, and what the host lacks for it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/expectation.h"
#include "plan/host.h"
#include "plan/spec.h"
#include "shard/ends.h"

namespace lastack {

// A row of mix x watch x write path x probe with its share of the connections, and all that is
// known of how they will end.
struct PlannedRow {
  PlanRow row;
  int64_t requested = 0;
  std::string skipped;  // why this row cannot run; empty when it can
  Circumstances when;
  Prediction promise;              // of its probe
  std::vector<Expected> expected;  // findings, with those that --expect replaces
};
// Without connections yet.
PlannedRow planned_row(const RunSpec& spec, PlanRow row);

// Rows whose connections may share worker processes: one engine watches them, and they live in the
// same namespaces.
struct PlannedGroup {
  Engine engine;
  std::vector<size_t> rows;  // indexes into Plan::rows
  int64_t connections = 0;
  bool veth = false;          // victims have a namespace of their own
  bool own_network = false;   // nobody else has a part in it: its path may be cut
  bool in_backlog = false;    // nobody accepts
  bool victims_send = false;  // the survivors' windows are small, and filled
};

struct Placement {
  uint32_t shard;
  std::string role;  // "victim" or "survivor"
  int cpu;           // -1: not pinned
  bool spins;
};

struct Plan {
  std::vector<PlannedRow> rows;
  std::vector<PlannedGroup> groups;
  std::vector<uint32_t> shard_connections;
  std::vector<size_t> shard_groups;   // by shard, its index into groups; ascending
  std::vector<Placement> placements;  // two per shard: victim, survivor
  Wait wait;                          // after the fall-back
  RingMode ring;
  int64_t most_completions;        // of a worker's ring
  std::vector<std::string> notes;  // what was changed, and why
  // Of the notes: what the kernel lacks and is done in another way.
  std::vector<std::string> otherwise;
  int64_t filled_connections;  // whose windows are filled before they die
  int64_t descriptors_needed;  // by the largest worker
  int64_t estimated_ns;
  int64_t longest_ns;  // the same, should somebody learn nothing before the deadline
};

// Descriptors that the launcher holds: per shard the table and two channels, and the two
// namespaces of a veth pair of its own. A plan asks that they and others have room.
constexpr int64_t kLauncherDescriptors = 3, kNetworkDescriptors = 2;
int64_t launcher_descriptors(int64_t shards, int64_t networks);
// Shards with a veth pair of their own.
int64_t own_networks(const Plan& plan);

// Descriptors of one connection in a worker that holds the most of them: of the rows that such a
// run has.
int64_t descriptors_per_connection(const RunSpec& spec, const Host& host);

// Connections whose windows the spec asks to be filled, whether the host has the memory or not.
int64_t filled_connections(const RunSpec& spec, Host host);

// All rows of a run of which each is skipped; empty: some are not.
std::vector<PlannedRow> skipped_rows(const RunSpec& spec, const Host& host);
std::string every_row_skipped(std::span<const PlannedRow> rows);

Result<Plan> make_plan(const RunSpec& spec, const Host& host);

// A shard's part of the traffic `whole` of the mix, or of the neighbours: by the connections that
// carry it.
Traffic traffic_of_shard(const RunSpec& spec, const Plan& plan, size_t shard, const Traffic& whole,
                         bool neighbours);

}  // namespace lastack
