// The launcher's part of a run: starts the workers, leads them through the phases by messages,
// and closes the books.
#pragma once

#include <string>
#include <vector>

#include "ledger/result.h"
#include "plan/spec.h"
#include "shard/control.h"

namespace lastack {

// Runs in the namespace that the workers inherit. `channel` takes progress and brings a halt.
RunResult coordinate(const RunSpec& spec, const Host& host, std::vector<std::string> notes,
                     Channel& channel);

}  // namespace lastack
