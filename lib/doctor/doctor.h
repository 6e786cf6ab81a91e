// The doctor: every limit of the host that matters for a planned run, what it must be, and the
// command that mends it. One table row is one examination.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "doctor/demand.h"
#include "doctor/facts.h"
#include "plan/plan.h"
#include "plan/spec.h"

namespace lastack::doctor {

enum class Health : uint8_t {
  ok,
  warning,  // the run works, a figure may suffer
  bad,      // the run fails, or not with all of its connections
};

struct Examination {
  std::string name;
  Health health;
  std::string observed;
  std::string needed;
  std::string mend;  // the exact command, or the flag to change; empty when ok
};

struct ExaminationRow {
  std::string_view name;
  std::string_view help;
  // Which runs it concerns: those in a private namespace, with --host-network, or both.
  bool in_private;
  bool in_host_network;
  Examination (*examine)(const HostFacts& facts, const Demand& demand);
};
std::span<const ExaminationRow> examination_rows();

// Every examination that concerns this demand, in the order of the table. Asks nobody: what it says
// follows from its arguments alone.
std::vector<Examination> examine(const HostFacts& facts, const Demand& demand);
// The same of this host (read_host_facts).
std::vector<Examination> examine_host(const RunSpec& spec);

// What `examine` calls bad and can be told within milliseconds, for a run that is about to start
// where this process is: locked memory and memory. Refuses only what cannot work: its bounds are
// lower than what the doctor recommends.
Status lacks_memory(const HostFacts& facts, const Demand& demand);
Status lacks_memory(const RunSpec& spec, const Plan& plan);

// Whether no examination is `bad`.
bool healthy(const std::vector<Examination>& examinations);

}  // namespace lastack::doctor
