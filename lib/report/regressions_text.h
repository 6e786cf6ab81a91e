// The result of `lastack suite regressions` for people, for documents and for programs.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "verify/regression_suite.h"

namespace lastack {

std::string regressions_text(const verify::RegressionResult& result);
std::string regressions_markdown(const verify::RegressionResult& result);
// regressions.json; see results/README.md for its keys.
nlohmann::ordered_json regressions_document(const verify::RegressionResult& result,
                                            const nlohmann::ordered_json& environment);

// For `lastack suite list`.
std::string regressions_list_text();
nlohmann::ordered_json regressions_list_json();

}  // namespace lastack
