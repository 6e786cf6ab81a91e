// One row of a table of scenes: the experiment behind a row of verify/claims.h or
// verify/regressions.h.
#pragma once

#include <cstdint>
#include <string_view>

#include "verify/sockets.h"
#include "verify/stage.h"

namespace lastack::verify {

constexpr int64_t kEarlierBytes = 1000;  // what a victim sends before its end, where it sends

struct Scene {
  std::string_view case_id, variant;
  void (*play)(Stage& stage, const Scene& scene);
  Observer observer = Observer::poll;
  Sender sender = Sender::send;
  int detail = 0;  // what else tells the variants of one function apart
  // A timer decides how long it takes: it starts first and hardly costs CPU.
  bool waits = false;
  // Whether connections of dead processes must go on trying while nobody reads.
  bool patient_orphans = false;
};

}  // namespace lastack::verify
