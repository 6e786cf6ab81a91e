// A launcher, from both sides: the process that enters namespaces, leads others and hands back one
// text. Its descriptors: 3 the request, 4 the result, 5 the channel.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/error.h"
#include "base/process.h"
#include "model/run_status.h"
#include "shard/control.h"

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

// ---- The caller's side ------------------------------------------------------------------------

struct LaunchPatience {
  int64_t silence_ns;    // from one word of the launcher to the next
  int64_t interrupt_ns;  // from the interruption to its end; 0: it is killed at once
};

struct Launched {
  RunStatus status = RunStatus::ok;  // of the launching; `text` stands for itself only when ok
  std::string error;
  std::string text;
};

// Starts a launcher, follows it to its end, and takes what it hands back. Nothing of it survives
// the caller, nor this call.
Launched launch(const Role& role, const std::string& request, const RunHooks& hooks,
                const LaunchPatience& patience);

// ---- The launcher's side ----------------------------------------------------------------------

constexpr int kRequestDescriptor = 3, kResultDescriptor = 4, kLauncherChannel = 5;

// Its whole life: hands back what `lead` makes of the request. Returns what its main() returns.
int serve(std::string (*lead)(const std::string& request, Channel& channel));

}  // namespace lastack
