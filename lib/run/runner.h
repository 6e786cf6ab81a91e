// One run, from the caller's side: a RunSpec goes in, a RunResult comes out.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "run/result.h"
#include "run/spec.h"

namespace lastack {

struct Progress {
  std::string phase;
  int64_t done = 0;
  int64_t total = 0;
};

struct RunHooks {
  std::function<void(const Progress&)> progress;  // may be empty
  std::function<bool()> interrupted;              // true: end early, with what there is
};

// Runs the spec in processes of its own: the caller's namespaces, limits and threads stay as they
// are, and nothing survives the caller's death.
RunResult run(const RunSpec& spec, const RunHooks& hooks);

// Every program that calls run() starts its main() with this: in a process that run() started it
// does that process's work and returns its exit code; nullopt in the user's own process.
std::optional<int> process_entry(int argc, char** argv);

}  // namespace lastack
