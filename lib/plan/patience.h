// How long a step may take before whoever waits for it calls it stuck. Bounds, not estimates: some
// ten times of what the steps take on a host with two busy CPUs.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"
#include "plan/spec.h"

namespace lastack {

// One step of one worker, from the question to the answer:
//   30 s                     (a host with far too much to do; SYNs sent again after 1, 3, 7, 15 s)
//   + 250 us per connection  (a connect takes 15 to 60 us, everything else less)
//   + 50 ms per victim process that the mix may ask for
//   + 2 ms per connection whose window has to be filled first
// So 30 s for 100 connections, 55 s for 100,000, 280 s for a million.
int64_t step_patience_ns(const RunSpec& spec);

// The same after an interruption, when nobody waits for a result any more, and what is left to do
// is to close: 4 s + 50 us per connection + 10 ms per victim process.
int64_t halt_patience_ns(const RunSpec& spec);

// From the interruption to the end of the run, which takes several such steps: 3 s + twice the
// above. Who waits longer than that kills the launcher, and everything with it.
int64_t interrupted_run_patience_ns(const RunSpec& spec);

// From one word of the launcher to the next, which it says every second unless it has much to
// compute: twice a step.
inline int64_t silence_patience_ns(const RunSpec& spec) { return 2 * step_patience_ns(spec); }

}  // namespace lastack
