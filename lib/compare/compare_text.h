// A comparison for people, for pages and for programs.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/csv.h"
#include "compare/compare.h"

namespace lastack::compare {

// What differs in the environment, what changed in kind, then a table per quantity.
std::string compare_text(const Comparison& comparison);
std::string compare_markdown(const Comparison& comparison);
// A line per row, quantity and later side, and one per change in kind.
std::string compare_csv(const Comparison& comparison);
CsvSchema compare_csv_schema();
// `command`: how to make this comparison again.
nlohmann::ordered_json compare_document(const Comparison& comparison, const std::string& command);

}  // namespace lastack::compare
