// Who is whose peer, and when and how each pair ends: pure functions of the plan and of what the
// ends of a shard recorded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "plan/plan.h"
#include "plan/spec.h"
#include "shard/ends.h"

namespace lastack {

// What the seed decides: the row and the instant of every pair of the run, neighbours included.
struct Assignment {
  std::vector<uint16_t> row_of;
  std::vector<int64_t> instants;                // relative to the start of the schedule
  std::vector<std::vector<uint32_t>> pairs_of;  // by group of the plan, ascending
};
Assignment assign_pairs(const RunSpec& spec, const Plan& plan);
// The pairs of a shard, by slot of its connecting ends: of n shards of a group, shard i has the
// group's numbers i, i + n, ... so that the assignment does not depend on who connected first.
std::vector<uint32_t> pairs_of_shard(const Plan& plan, const Assignment& assignment, size_t shard);

// By slot of the connecting end, the slot of the accepted end with the reversed 4-tuple; kNoPair
// where none was accepted.
std::vector<uint32_t> match_ends(const ShardView& view, Side survivor);
// The same pairs by slot of the victims' ends, of which there are so many: the survivor's slot.
std::vector<uint32_t> survivors_by_victim(const std::vector<uint32_t>& acceptor_of, size_t victims,
                                          Side survivor);
// Nobody accepts: the listener's kernel knows the victims' ends, and only their number was counted.
// What the survivors see must do.
void accept_by_backlog(const ShardView& view);
// Gives both ends of each pair their number, row and instant. An end without its peer takes no part
// in the run; where it stood at the connecting side, `accept_error` says why: 0: not known.
void hand_out(const ShardView& view, const std::vector<uint32_t>& pairs,
              const std::vector<uint32_t>& acceptor_of, const Assignment& assignment, Side survivor,
              int accept_error);
// Puts the victims that die together into groups, in the order of their instants; a group dies at
// the instant of its first one. A process holds so many of a strategy, a listener those that came
// to its port, and a path all of its shard.
void form_groups(const ShardView& view, int64_t per_process);

}  // namespace lastack
