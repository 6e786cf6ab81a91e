// What a run has of what it asked for, read from the kernel while its processes live.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ledger/result.h"
#include "net/network.h"
#include "plan/plan.h"
#include "plan/spec.h"
#include "run/crew.h"

namespace lastack {

// The predictions count with some sysctls, whether lastack wrote them or the namespace has them
// anyway. The Error is of one that a probe of the run depends on; of others it is a note.
Status check_timer_sysctls(const RunSpec& spec,
                           std::span<const std::pair<std::string, std::string>> sysctls,
                           std::vector<std::string>& notes);

// Where workers run, what their sockets and rings have, and which sysctls were refused; a mismatch
// is a note.
void read_back(Crew& crew, const Plan& plan, std::span<const Network> networks, RunResult& result,
               std::vector<std::string>& notes);

}  // namespace lastack
