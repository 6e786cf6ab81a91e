// The folder of a suite: a folder per run, what is merged of them, and what a suite that was
// interrupted needs to go on.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/folder.h"
#include "base/time_unit.h"
#include "report/csv.h"
#include "suite/frontier.h"
#include "suite/suite.h"

namespace lastack {

// summary.csv of a suite: those of its runs, with the run and its settings in front.
std::string suite_summary_csv(const suite::SuiteResult& result);
CsvSchema suite_summary_csv_schema();

// latency.csv of a suite: the curves of each row, of its measured runs together.
std::string suite_latency_csv(const suite::SuiteResult& result);
CsvSchema suite_latency_csv_schema();

// timeline.csv of a suite: that of the first measured run of each row.
std::string suite_timeline_csv(const suite::SuiteResult& result);
CsvSchema suite_timeline_csv_schema();

// manifest.json; see results/README.md for its keys.
nlohmann::ordered_json suite_document(const suite::SuiteResult& result,
                                      const nlohmann::ordered_json& environment,
                                      const std::vector<suite::FrontierLine>& frontier);

// The run whose host describes the suite's; null when none came so far.
const RunResult* described_run(const suite::SuiteResult& result);
TimeUnit time_unit_of(const suite::SuiteResult& result);

// Makes the folder, which must be new or empty, and notes what is about to be played. It is
// reserved for this process, as that of open_suite().
Result<Folder> begin_suite(const std::string& path, const suite::Spec& spec);
Result<Folder> open_suite(const std::string& path);

// The runs that an interrupted suite of the same spec has left; an Error where this is another
// suite, another build or kernel, nothing is left to play, or a record is damaged or cannot be
// read. What a killed suite left half-written is removed, once all records are read.
Result<std::vector<suite::Run>> resume_suite(const Folder& folder, const suite::Spec& spec);

// Writes the folder of a run, the files of `lastack run` or `lastack cost`, and its record.
Status write_suite_run(const Folder& folder, const suite::Row& row, const suite::Run& run,
                       const nlohmann::ordered_json& environment);

// Writes what is merged, each file whole or not at all. A suite that was not interrupted cannot be
// resumed from then on.
Status write_suite(Folder& folder, const suite::SuiteResult& result,
                   const nlohmann::ordered_json& document,
                   const std::vector<suite::FrontierLine>& frontier);

}  // namespace lastack
