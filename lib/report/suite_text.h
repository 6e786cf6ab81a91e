// A suite, for people, and the list of suites.
#pragma once

#include <string>
#include <vector>

#include "suite/frontier.h"
#include "suite/suite.h"

namespace lastack {

// "lastack run --mix fin ...": what repeats a run of this row.
std::string command_of(const suite::Row& row);

// What will be run, and how long it takes at most.
std::string suite_estimate(const suite::Spec& spec);
std::string suite_list_text();
std::string suite_list_json();

// The rows, the frontier, and the smallest safe heartbeat deadlines.
std::string suite_text(const suite::SuiteResult& result,
                       const std::vector<suite::FrontierLine>& frontier);

// What a reader must bear in mind who compares with runs outside of a suite.
extern const std::string_view kTimersNote;
// Which runs stood still or were throttled; "" when none did.
std::string host_note(const suite::SuiteResult& result);

}  // namespace lastack
