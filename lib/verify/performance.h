// The launcher of `lastack verify`: plays rows of the table of claims, each in a process of its
// own, and collects what their processes hand back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace lastack::verify {

// One row on one path: what is asked for, and what came of it.
struct Performance {
  size_t claim = 0;  // in claims()
  bool veth = false;
  std::string record;  // as the row's process wrote it; it need not be whole
  std::string error;   // of the launcher's own
  bool died = false;   // by whatever does not come of a shortage
  int64_t duration_ns = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Performance, claim, veth, record, error, died, duration_ns)

// The launcher's whole life. Request: {"connections": N, "rows": [Performance]}; result: the rows,
// or {"error": why there are none}.
int launcher_main();

}  // namespace lastack::verify
