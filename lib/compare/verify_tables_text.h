// A comparison of tables for people, for pages and for programs.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "compare/verify_tables.h"

namespace lastack::compare {

// Only what differs, what weighs most first; and what could not be compared.
std::string tables_text(const TableComparison& comparison);
std::string tables_markdown(const TableComparison& comparison);
// `command`: how to make this comparison again.
nlohmann::ordered_json tables_document(const TableComparison& comparison,
                                       const std::string& command);

}  // namespace lastack::compare
