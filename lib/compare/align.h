// The lines of recordings side by side, by what is compared.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "compare/recorded.h"

namespace lastack::compare {

constexpr std::string_view kWholeRun = "-";  // the strategy of what belongs to a whole run
constexpr std::string_view kOk = "ok";       // the status of a run that ended well

using Lines = std::vector<const RecordedLine*>;  // of one side, by repetition

struct LinesOfKey {
  std::vector<Lines> sides;
  std::vector<std::vector<const RecordedRun*>> runs;  // of whole runs
};

struct Aligned {
  std::vector<RecordedKey> order;  // as the rows appear
  std::map<RecordedKey, LinesOfKey> keys;

  LinesOfKey& at(const RecordedKey& key, size_t sides) {
    const auto [entry, is_new] = keys.try_emplace(key);
    if (is_new) {
      order.push_back(key);
      entry->second.sides.resize(sides);
      entry->second.runs.resize(sides);
    }
    return entry->second;
  }
};

Aligned align(const std::vector<Recording>& recordings);
std::string row_text(const RecordedKey& key);
// Why nothing of the two could be compared; empty where something can.
std::string nothing_in_common(const Aligned& aligned, size_t side);

}  // namespace lastack::compare
