// Victims of one shard that go away together: with their process, their listener or their path.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/error.h"
#include "shard/control.h"
#include "shard/ends.h"
#include "shard/establish.h"
#include "victim/process_hosts.h"

namespace lastack {

class GroupVictims {
 public:
  // `table`: the descriptor of the shard's table. `listeners` and `channel` are the worker's.
  GroupVictims(const ShardView& shard, int table, Listeners& listeners, Channel& channel);

  Status prepare();
  Status arm() { return hosts_.arm(); }
  // Makes one group go away and stamps all its ends with one t0.
  void act(uint32_t group);
  // After the last act. The Error, here and below, is the first one of a group.
  Status collect();
  Status check() { return hosts_.check(); }
  Status clean_up() { return hosts_.clean_up(); }
  std::span<const uint32_t> slots_of(uint32_t group) const { return groups_.at(group); }

 private:
  uint32_t network() const { return shard_.header->settings.network; }
  Status close_listener_of(uint32_t slot);
  void sleep_unless_halted(int64_t until_ns);

  ShardView shard_;
  Listeners& listeners_;
  Channel& channel_;
  ProcessHosts hosts_;
  std::map<uint32_t, std::vector<uint32_t>> groups_;
  Status failed_;  // of a path that did not come back
};

}  // namespace lastack
