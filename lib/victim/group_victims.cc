#include "victim/group_victims.h"

#include <algorithm>
#include <cerrno>

#include "base/assert.h"
#include "base/clock.h"
#include "model/strategy.h"
#include "net/network.h"
#include "victim/ring_victim.h"

namespace lastack {

GroupVictims::GroupVictims(const ShardView& shard, int table, Listeners& listeners,
                           Channel& channel)
    : shard_(shard), listeners_(listeners), channel_(channel), hosts_(shard, table) {}

Status GroupVictims::prepare() {
  for (uint32_t slot = 0; slot < shard_.victims.size(); ++slot) {
    const VictimEnd& end = shard_.victims[slot];
    if ((end.flags & kEstablished) && end.group != kNoGroup) groups_[end.group].push_back(slot);
  }
  for (const auto& [group, slots] : groups_) {
    const Strategy& strategy = strategy_of(shard_, shard_.victims[slots.front()]);
    if (strategy.prepare != Step::answer_unreachable) continue;
    if (Status failed = prepare_unreachable(network())) return failed;
  }
  return hosts_.start();
}

void GroupVictims::act(uint32_t group) {
  LASTACK_ASSERT(groups_.contains(group), group, groups_.size());
  const std::vector<uint32_t>& slots = groups_.at(group);
  LASTACK_ASSERT(!slots.empty(), group);
  const Strategy& strategy = strategy_of(shard_, shard_.victims[slots.front()]);
  if (strategy.scope == Scope::process) return hosts_.act(group);

  stamp_acts(shard_, slots);  // one for the whole group
  const Status failed =
      strategy.act == Step::close_listener ? close_listener_of(slots.front()) : cut_path(network());
  for (const uint32_t slot : slots) {
    VictimEnd& end = shard_.victims[slot];
    if (failed) end.act_error = failed->error_number;
  }
  ShardProgress& progress = shard_.header->progress;
  if (failed) progress.failed_acts += slots.size();
  progress.injected += slots.size();
  if (failed || strategy.silence != Silence::returns) return;
  sleep_unless_halted(shard_.victims[slots.front()].issued_ns +
                      shard_.header->settings.victims.cut_for_ns);
  if (Status lost = restore_path(network())) failed_ = std::move(lost);
}

Status GroupVictims::collect() {
  Status failed = hosts_.collect();
  return failed ? failed : failed_;
}

Status GroupVictims::close_listener_of(uint32_t slot) {
  const uint16_t port = shard_.victims[slot].tuple.local.port;
  const auto at = std::find(listeners_.ports.begin(), listeners_.ports.end(), port);
  if (at == listeners_.ports.end()) return make_error("close", ENOENT, "listener");
  listeners_.sockets[static_cast<size_t>(at - listeners_.ports.begin())].reset();
  return std::nullopt;
}

void GroupVictims::sleep_unless_halted(int64_t until_ns) {
  while (now_ns() < until_ns) {
    const auto received = channel_.receive(until_ns);
    if (!received || (*received && (*received)->verb == Verb::halt)) return;
  }
}

}  // namespace lastack
