// run.json, and the result folder.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "run/result.h"

namespace lastack {

// The run.json document; see results/README.md for its keys.
nlohmann::ordered_json run_document(const RunResult& result,
                                    const nlohmann::ordered_json& environment);

// Every option by its flag's name: counts as numbers, flags as booleans.
nlohmann::ordered_json spec_json(const std::vector<std::pair<std::string, std::string>>& values);

// Makes sure that `folder` is an empty, writable folder, creating it if it is not there.
Status prepare_output_folder(const std::string& folder);

// Writes run.json and the CSV files, each whole or not at all.
Status write_results(const std::string& folder, const RunResult& result,
                     const nlohmann::ordered_json& document);

// results/README.md: what the files hold, from the tables.
std::string schema_markdown();

}  // namespace lastack
