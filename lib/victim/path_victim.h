// Victims whose path goes away: what happens to their namespace, all connections at once.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "model/strategy.h"

namespace lastack {

// The victims' interface, in the calling process's namespace, and the address that comes and goes.
struct PathEnd {
  const char* interface;
  uint32_t host;
};

// What Step::answer_unreachable needs before the path is cut: this namespace then acts as the
// router in front of the victims and answers with ICMP host unreachable.
Status prepare_unreachable(const PathEnd& path);
// Takes the address away: what comes for it is not for this host and is dropped without an answer
// (ip_error() without forwarding), and what the victims send has no valid source
// (ip_route_output_key_hash_rcu). Neither end is told.
Status cut_path(const PathEnd& path);
Status restore_path(const PathEnd& path);

}  // namespace lastack
