// What a probe costs, for people and for programs.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/folder.h"
#include "report/csv.h"
#include "suite/cost.h"

namespace lastack {

// What will be run, and for how long.
std::string cost_estimate(const suite::CostSpec& spec, const suite::CostPlan& plan);

// A table per watch: a quantity a line, a probe a column.
std::string cost_text(const suite::CostResult& result);

// cost.csv; a probe that was skipped has one line, without a quantity.
std::string cost_csv(const suite::CostResult& result);
CsvSchema cost_csv_schema();

// cost.json; see results/README.md for its keys.
nlohmann::ordered_json cost_document(const suite::CostResult& result,
                                     const nlohmann::ordered_json& environment);

// Writes cost.csv and cost.json, each whole or not at all.
Status write_cost(Folder& folder, const suite::CostResult& result,
                  const nlohmann::ordered_json& document);

}  // namespace lastack
