#include "compare/align.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace lastack::compare {
namespace {

RecordedKey whole_run(const std::string& row) {
  const std::string none(kWholeRun);
  return {row, none, none, none, ""};
}

}  // namespace

Aligned align(const std::vector<Recording>& recordings) {
  Aligned aligned;
  const size_t count = recordings.size();
  for (size_t side = 0; side < count; ++side) {
    std::set<std::pair<std::string, std::string>> runs_seen;
    for (const RecordedLine& line : recordings[side].lines) {
      const RecordedKey run = whole_run(line.key.row);
      // Every line of a run repeats what belongs to the run.
      LinesOfKey& whole = aligned.at(run, count);
      if (runs_seen.insert({line.key.row, line.run + "@" + std::to_string(line.repetition)}).second)
        whole.sides[side].push_back(&line);
      aligned.at(line.key, count).sides[side].push_back(&line);
    }
    for (const RecordedRun& run : recordings[side].runs)
      if (!run.warm_up) aligned.at(whole_run(run.row), count).runs[side].push_back(&run);
  }
  for (auto& [key, lines] : aligned.keys)
    for (Lines& side : lines.sides)
      std::stable_sort(side.begin(), side.end(), [](const RecordedLine* a, const RecordedLine* b) {
        return a->repetition < b->repetition;
      });
  return aligned;
}

std::string row_text(const RecordedKey& key) {
  std::string text = key.row;
  for (const std::string& part : {key.strategy, key.watch, key.probe, key.write_path})
    if (!part.empty()) text += (text.empty() ? "" : " ") + part;
  return text;
}

std::string nothing_in_common(const Aligned& aligned, size_t side) {
  std::string first, other;
  for (const RecordedKey& key : aligned.order) {
    if (key.strategy == kWholeRun) continue;
    const LinesOfKey& lines = aligned.keys.at(key);
    if (!lines.sides[0].empty() && !lines.sides[side].empty()) return "";
    if (first.empty() && !lines.sides[0].empty()) first = row_text(key);
    if (other.empty() && !lines.sides[side].empty()) other = row_text(key);
  }
  return fmt::format("no row in common; the first ones are '{}' and '{}'", first, other);
}

}  // namespace lastack::compare
