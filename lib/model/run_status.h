// How a run ends, and the exit code of the program.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace lastack {

// How a run ended; run.json's `status` and the program's exit code. When several apply, the one
// that stands first in this list wins.
enum class RunStatus : uint8_t {
  bad_usage,
  no_resources,
  failed,
  interrupted,
  unbalanced,
  unmet_expectation,
  too_slow,
  skipped,
  ok,
};
struct RunStatusRow {
  RunStatus id;
  std::string_view name;
  int exit_code;
  std::string_view help;
};
std::span<const RunStatusRow> run_statuses();
const RunStatusRow& status_row(RunStatus status);

}  // namespace lastack
