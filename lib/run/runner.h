// One run, from the caller's side: a RunSpec goes in, a RunResult comes out.
#pragma once

#include <optional>

#include "ledger/result.h"
#include "plan/spec.h"
#include "shard/launcher.h"

namespace lastack {

// Runs the spec in processes of its own: the caller's namespaces, limits and threads stay as they
// are, and nothing survives the caller's death.
RunResult run(const RunSpec& spec, const RunHooks& hooks);

// Every program that calls run() starts its main() with this: in a process that run() started it
// does that process's work and returns its exit code; nullopt in the user's own process.
std::optional<int> process_entry(int argc, char** argv);

}  // namespace lastack
