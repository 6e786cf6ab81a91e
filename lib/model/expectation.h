// What a connection is expected to find, by its strategy and its circumstances.
#pragma once

#include <cstdint>
#include <vector>

#include "model/finding.h"
#include "model/load.h"
#include "model/probe.h"
#include "model/strategy.h"
#include "model/watch.h"
#include "model/write_path.h"

namespace lastack {

// What one connection is expected to find, as a set: several when the kernel's timing decides.
struct Expected {
  Finding finding;
  int error_number;
};
struct Circumstances {
  Watch watch;
  Probe probe;
  ProbeSettings settings;
  Load load;
  int64_t deadline_ns;
  VictimSettings victims = {};
  WriteSettings writing = {};  // Watch::writer
  WritePath write_path = WritePath::none;
  bool veth = false;
  int64_t warm_up_ns = 0;        // with reader_stopped windows are shut for so long, at least
  int64_t tick_ns = 10'000'000;  // of the kernel's timers
};
bool is_late(const Circumstances& when);
bool is_writer(const Circumstances& when);
// Whether the survivor sends before and after the act, without having been told of it.
bool sends_by_itself(const Circumstances& when);

// Whether data that arrives after the act draws an RST out of a connection that sent a FIN.
bool fin_answers_data_by_rst(const Strategy& strategy);
// Whether the act is a close() that sends nothing as long as a receive of the victim is in flight:
// a request holds the file (io_assign_file), and the socket goes with the last reference (fput).
bool close_waits(const Strategy& strategy, const Circumstances& when);
// What is on its way when the peer dies, and what the row's probe promises then.
Pending pending_of(const Circumstances& when);
Prediction prediction_of(const Circumstances& when);
// Of a peer that comes back (shortest_deadly_absence_ns).
int64_t deadly_absence_ns(const Circumstances& when);
std::vector<Expected> expected_findings(const Strategy& strategy, const Circumstances& when);

}  // namespace lastack
