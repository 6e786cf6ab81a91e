// run.json, and the result folder.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/folder.h"
#include "ledger/result.h"

namespace lastack {

// The run.json document; see results/README.md for its keys.
nlohmann::ordered_json run_document(const RunResult& result,
                                    const nlohmann::ordered_json& environment);

// Every option by its flag's name: counts as numbers, flags as booleans.
nlohmann::ordered_json spec_json(const std::vector<std::pair<std::string, std::string>>& values);

// The folder at `path`, made if it is not there: empty, writable, and reserved for this process.
Result<Folder> prepare_output_folder(const std::string& path);

// Writes run.json and the CSV files, each whole or not at all.
Status write_results(Folder& folder, const RunResult& result,
                     const nlohmann::ordered_json& document);

}  // namespace lastack
