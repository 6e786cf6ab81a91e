// JSON as the programs print and write it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace lastack {

// In ASCII, whatever bytes the texts in it hold: neither a terminal nor a strict reader minds them.
inline std::string json_text(const nlohmann::ordered_json& document) {
  return document.dump(2, ' ', true, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace lastack
