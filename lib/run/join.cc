#include "run/join.h"

#include <algorithm>
#include <functional>
#include <map>
#include <tuple>
#include <utility>

#include "base/assert.h"
#include "plan/schedule.h"

namespace lastack {
namespace {

// One key that sorts both sides alike; ports alone nearly always decide.
auto key_of(const FourTuple& tuple) {
  return std::tuple(tuple.local.port, tuple.remote.port, tuple.local.host, tuple.remote.host);
}

// The end takes no part. Where it stood at the connecting side, its other end was not accepted.
template <class End>
void lose(End& end, int accept_error) {
  if (end.flags & kEstablished) end.open_error = static_cast<uint8_t>(accept_error);
  end.flags &= ~kEstablished;
}

// What both ends of a pair get; true where the end is one at all.
template <class End>
void assign(End& end, uint32_t pair, uint16_t row, bool joined, int accept_error) {
  end.pair = pair;
  end.row = row;
  if (!joined) lose(end, accept_error);
}

}  // namespace

Assignment assign_pairs(const RunSpec& spec, const Plan& plan) {
  std::vector<int64_t> counts;
  for (const PlannedRow& row : plan.rows) counts.push_back(row.requested);
  Assignment assignment;
  assignment.row_of = assign_rows(counts, static_cast<uint64_t>(spec.seed));
  // Who stays alive has no part in the schedule: its instant is the start.
  const auto stays = [&](uint16_t row) { return stays_alive(strategy_of(plan.rows[row].row)); };
  const auto dying = std::ranges::count_if(assignment.row_of, std::not_fn(stays));
  const std::vector<int64_t> scheduled = schedule_instants(spec, dying);
  size_t next = 0;
  for (const uint16_t row : assignment.row_of)
    assignment.instants.push_back(stays(row) ? 0 : scheduled[next++]);
  std::vector<size_t> group_of_row(plan.rows.size());
  for (size_t group = 0; group < plan.groups.size(); ++group)
    for (const size_t row : plan.groups[group].rows) group_of_row[row] = group;
  assignment.pairs_of.resize(plan.groups.size());
  for (uint32_t pair = 0; pair < assignment.row_of.size(); ++pair)
    assignment.pairs_of[group_of_row[assignment.row_of[pair]]].push_back(pair);
  return assignment;
}

std::vector<uint32_t> pairs_of_shard(const Plan& plan, const Assignment& assignment, size_t shard) {
  const size_t group = plan.shard_groups[shard];
  const auto first = std::ranges::find(plan.shard_groups, group) - plan.shard_groups.begin();
  const auto step = static_cast<size_t>(std::ranges::count(plan.shard_groups, group));
  std::vector<uint32_t> pairs;
  for (size_t i = shard - static_cast<size_t>(first); i < assignment.pairs_of[group].size();
       i += step)
    pairs.push_back(assignment.pairs_of[group][i]);
  return pairs;
}

std::vector<uint32_t> match_ends(const ShardView& view, Side survivor) {
  const bool survivor_listens = survivor == Side::server;
  const size_t slots = view.victims.size();
  const auto accepted_tuple = [&](uint32_t slot) {
    return (survivor_listens ? view.survivors[slot].tuple : view.victims[slot].tuple).reversed();
  };
  std::vector<uint32_t> accepted;
  for (uint32_t slot = 0; slot < slots; ++slot) {
    const uint8_t flags = survivor_listens ? view.survivors[slot].flags : view.victims[slot].flags;
    if (flags & kEstablished) accepted.push_back(slot);
  }
  const auto key_of_slot = [&](uint32_t slot) { return key_of(accepted_tuple(slot)); };
  std::ranges::sort(accepted, {}, key_of_slot);
  std::vector<uint32_t> acceptor_of(slots, kNoPair);
  for (uint32_t slot = 0; slot < slots; ++slot) {
    const FourTuple& tuple =
        survivor_listens ? view.victims[slot].tuple : view.survivors[slot].tuple;
    const auto match = std::ranges::lower_bound(accepted, key_of(tuple), {}, key_of_slot);
    if (match != accepted.end() && accepted_tuple(*match) == tuple) acceptor_of[slot] = *match;
  }
  return acceptor_of;
}

std::vector<uint32_t> survivors_by_victim(const std::vector<uint32_t>& acceptor_of, size_t victims,
                                          Side survivor) {
  std::vector<uint32_t> survivor_of(victims, kNoPair);
  for (uint32_t slot = 0; slot < acceptor_of.size(); ++slot) {
    const uint32_t acceptor = acceptor_of[slot];
    if (acceptor == kNoPair) continue;
    const bool survivor_accepts = survivor == Side::server;
    survivor_of[survivor_accepts ? slot : acceptor] = survivor_accepts ? acceptor : slot;
  }
  return survivor_of;
}

void accept_by_backlog(const ShardView& view) {
  for (size_t slot = 0; slot < view.survivors.size(); ++slot) {
    if (!(view.survivors[slot].flags & kEstablished)) continue;
    view.victims[slot].tuple = view.survivors[slot].tuple.reversed();
    view.victims[slot].flags |= kEstablished;
  }
}

void hand_out(const ShardView& view, const std::vector<uint32_t>& pairs,
              const std::vector<uint32_t>& acceptor_of, const Assignment& assignment, Side survivor,
              int accept_error) {
  LASTACK_ASSERT(pairs.size() == acceptor_of.size(), pairs.size(), acceptor_of.size());
  for (uint32_t slot = 0; slot < acceptor_of.size(); ++slot) {
    const uint32_t pair = pairs[slot];
    LASTACK_ASSERT(pair < assignment.row_of.size(), pair, assignment.row_of.size());
    const uint16_t row = assignment.row_of[pair];
    const bool joined = acceptor_of[slot] != kNoPair;
    const uint32_t victim = survivor == Side::server ? slot : acceptor_of[slot];
    const uint32_t survivor_slot = survivor == Side::server ? acceptor_of[slot] : slot;
    if (victim != kNoPair) {
      assign(view.victims[victim], pair, row, joined, accept_error);
      view.victims[victim].scheduled_ns = assignment.instants[pair];
    }
    if (survivor_slot != kNoPair)
      assign(view.survivors[survivor_slot], pair, row, joined, accept_error);
    if (joined && !view.writes.empty()) view.writes[survivor_slot].victim = victim;
  }
  // An accepted end that nobody here opened takes no part.
  for (SurvivorEnd& end : view.survivors)
    if (end.pair == kNoPair) end.flags &= ~kEstablished;
  for (VictimEnd& end : view.victims)
    if (end.pair == kNoPair) end.flags &= ~kEstablished;
}

void form_groups(const ShardView& shard, int64_t per_process) {
  std::map<std::pair<uint16_t, uint16_t>, std::vector<uint32_t>> together;
  for (uint32_t slot = 0; slot < shard.victims.size(); ++slot) {
    const VictimEnd& end = shard.victims[slot];
    const Scope scope = strategy_of(shard, end).scope;
    if (!(end.flags & kEstablished) || scope == Scope::connection) continue;
    const bool by_listener = scope == Scope::listener;
    const uint16_t port = by_listener ? end.tuple.local.port : 0;
    together[{shard.row_of(end).strategy, port}].push_back(slot);
  }
  uint32_t group = 0;
  for (auto& [key, slots] : together) {
    std::stable_sort(slots.begin(), slots.end(), [&](uint32_t a, uint32_t b) {
      return shard.victims[a].scheduled_ns < shard.victims[b].scheduled_ns;
    });
    const Scope scope = strategy_of(shard, shard.victims[slots.front()]).scope;
    const size_t most = scope == Scope::process ? static_cast<size_t>(per_process) : slots.size();
    for (size_t first = 0; first < slots.size(); first += most) {
      const size_t last = std::min(first + most, slots.size());
      for (size_t i = first; i < last; ++i) {
        shard.victims[slots[i]].group = group;
        shard.victims[slots[i]].scheduled_ns = shard.victims[slots[first]].scheduled_ns;
      }
      ++group;
    }
  }
}

}  // namespace lastack
