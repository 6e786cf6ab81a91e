// The launcher of `lastack verify`: plays scenes, each in a process of its own, and collects what
// their processes hand back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/run_status.h"
#include "shard/launcher.h"
#include "verify/stage.h"

namespace lastack::verify {

// One row on one path: what is asked for, and what came of it.
struct Performance {
  std::string case_id, variant;  // of its scene
  bool veth = false;
  std::string record;  // as the row's process wrote it; it need not be whole
  std::string error;   // of the launcher's own
  bool died = false;   // by whatever does not come of a shortage
  int64_t duration_ns = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Performance, case_id, variant, veth, record, error, died,
                                   duration_ns)

// Has these rows played by a launcher, which nothing outlives.
struct Performed {
  RunStatus status = RunStatus::ok;
  std::string error;  // why there are no rows
  std::vector<Performance> rows;
};
Performed perform(const std::vector<Performance>& rows, int64_t connections, const RunHooks& hooks);

// What the row's process said, and what the launcher has to add to it.
Record record_of(const Performance& performance);

// The launcher's whole life. Request: {"connections": N, "rows": [Performance]}; result: the rows,
// or {"error": why there are none}.
int launcher_main();

}  // namespace lastack::verify
