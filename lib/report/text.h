// What people read: the table of a run, the lists, the plan and the doctor's findings.
#pragma once

#include <string>
#include <vector>

#include "doctor/doctor.h"
#include "ledger/result.h"
#include "plan/plan.h"

namespace lastack {

std::string run_table(const RunResult& result);
std::string plan_text(const RunSpec& spec, const Plan& plan);
std::string doctor_text(const std::vector<doctor::Examination>& examinations);

// Every table of the model: strategies, watches, probes, loads, findings, ring modes, columns.
std::string list_text();
std::string list_markdown();
std::string list_json();

}  // namespace lastack
