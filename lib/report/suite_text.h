// A suite, for people and for programs.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "report/frontier.h"
#include "run/suite.h"

namespace lastack {

// What will be run, and how long it takes at most.
std::string suite_estimate(const Suite& suite, bool quick);
std::string suite_list_text();
std::string suite_list_json();

// The runs, the frontier, and the smallest safe heartbeat deadlines.
std::string suite_text(const SuiteResult& result, const std::vector<FrontierLine>& frontier);

// summary.csv of a suite: those of its runs, with the run and its settings in front.
std::string suite_summary_csv(const SuiteResult& result);
CsvSchema suite_summary_csv_schema();

// manifest.json; see results/README.md for its keys.
nlohmann::ordered_json suite_document(const SuiteResult& result,
                                      const nlohmann::ordered_json& environment,
                                      const std::vector<FrontierLine>& frontier);

// What a row's folder holds: the files of a run, or those of prices. The folder is made.
Status write_suite_run(const std::string& folder, const SuiteRow& row, const SuiteRun& run,
                       const nlohmann::ordered_json& environment);

// Writes summary.csv, frontier.csv and manifest.json, each whole or not at all.
Status write_suite(const std::string& folder, const SuiteResult& result,
                   const nlohmann::ordered_json& document,
                   const std::vector<FrontierLine>& frontier);

// The run whose host describes the suite's; null when none came so far.
const RunResult* described_run(const SuiteResult& result);

}  // namespace lastack
