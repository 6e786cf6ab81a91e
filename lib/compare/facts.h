// Facts of the hosts that recordings come from: which are compared, and in which they differ.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "compare/recorded.h"

namespace lastack::compare {

// Adds what is compared of `value`, whose members are called "key.member".
void flatten(const nlohmann::json& value, const std::string& key,
             std::map<std::string, std::string>& facts);

// A fact in which hosts differ, as the comparison shows it.
struct FactDifference {
  std::string key;
  std::vector<std::optional<std::string>> values;  // one per recording; nullopt: not known
  bool blocking = false;
  bool separating = false;  // blocking, and nobody can force it
};
std::vector<FactDifference> fact_differences(const std::vector<const Recording*>& recordings);

}  // namespace lastack::compare
