// The ledger against the kernel's own counters.
#pragma once

#include <vector>

#include "ledger/result.h"
#include "net/counters.h"
#include "plan/plan.h"

namespace lastack {

// How many connections of one row ended with one finding; `late` ones moved the counters although
// the ledger says `nothing`.
struct Outcome {
  size_t row;  // index into Plan::rows
  Finding finding;
  bool late;
  int64_t connections;
};

struct Snapshots {
  CounterValues before;  // establishing
  CounterValues armed;
  CounterValues closed;    // the ledger
  int64_t opening_ns = 0;  // from `before` to `armed`
};

// Expected values come from rows and ledger alone, never from an observed counter. `armed_ns` is
// the time between the last two snapshots: keepalive probes are sent by the clock.
std::vector<Check> reconcile(const Plan& plan, const std::vector<Outcome>& outcomes,
                             int64_t established, int64_t armed_ns, const Snapshots& snapshots);

}  // namespace lastack
