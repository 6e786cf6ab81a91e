// What a connection is expected to move of the kernel's counters.
#pragma once

#include <utility>

#include "model/expectation.h"
#include "net/counters.h"

namespace lastack {

// The counters that one connection with this finding must have moved between the armed watch
// and the closed ledger; at least .first and at most .second.
std::pair<CounterValues, CounterValues> expected_changes(const Strategy& strategy,
                                                         const Circumstances& when,
                                                         Finding finding);

}  // namespace lastack
