#include "compare/kinds.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace lastack::compare {
namespace {

constexpr std::string_view kNothing = "nothing", kAlive = "alive";

// Counts of a map for each repetition whose connections went away, over all names that occur.
void add_counts(std::vector<Kind>& kinds, const LinesOfKey& lines, std::string_view what,
                const std::map<std::string, int64_t> RecordedLine::*counts) {
  std::set<std::string> names;
  for (const Lines& side : lines.sides)
    for (const RecordedLine* line : side)
      for (const auto& [name, count] : line->*counts)
        if (count > 0) names.insert(name);
  const bool alive = is_alive(lines);
  for (const std::string& name : names) {
    const bool nothing = name == kNothing;
    Kind kind{fmt::format("{} {}", what, name), alive && nothing, alive != nothing, alive, {}};
    if (what != "finding") kind.good = kind.bad = false;
    for (const Lines& side : lines.sides) {
      Occurrence& occurrence = kind.sides.emplace_back();
      for (const RecordedLine* line : side) {
        if (line->torn_down == 0) continue;
        const auto count = (line->*counts).find(name);
        const int64_t occurrences = count == (line->*counts).end() ? 0 : count->second;
        const int64_t all = std::max(occurrences, line->torn_down);
        int64_t told = 0;
        for (const auto& [other, of_other] : line->*counts)
          if (other != kNothing) told += of_other;
        occurrence.add(occurrences, all, nothing ? all : told);
      }
    }
    kinds.push_back(std::move(kind));
  }
}

// Whether a text that each repetition has says this or that.
template <class Item>
void add_texts(std::vector<Kind>& kinds, const std::vector<std::vector<const Item*>>& sides,
               std::string_view what, std::string_view harmless, std::string Item::*text) {
  std::set<std::string> texts;
  for (const auto& side : sides)
    for (const Item* item : side) texts.insert(item->*text);
  for (const std::string& one : texts) {
    if (one.empty()) continue;
    const bool good = one == harmless;
    Kind kind{fmt::format("{} {}", what, one), good, !good, false, {}};
    for (const auto& side : sides) {
      Occurrence& occurrence = kind.sides.emplace_back();
      for (const Item* item : side) occurrence.add(item->*text == one, 1, 1);
    }
    kinds.push_back(std::move(kind));
  }
}

}  // namespace

void Occurrence::add(int64_t occurrences, int64_t all, int64_t told) {
  shares.push_back(told == 0 ? 0 : static_cast<double>(occurrences) / static_cast<double>(told));
  count += occurrences;
  of += all;
  repetitions += occurrences > 0;
  mostly = mostly && 2 * occurrences > all;
}

bool is_alive(const LinesOfKey& lines) {
  for (const Lines& side : lines.sides)
    for (const RecordedLine* line : side)
      if (line->family == kAlive) return true;
  return false;
}

std::vector<Kind> kinds_of(const RecordedKey& key, const LinesOfKey& lines) {
  std::vector<Kind> kinds;
  if (key.strategy == kWholeRun) {
    add_texts(kinds, lines.runs, "run", kOk, &RecordedRun::status);
    return kinds;
  }
  add_counts(kinds, lines, "finding", &RecordedLine::findings);
  add_counts(kinds, lines, "first error", &RecordedLine::first_errors);
  add_texts(kinds, lines.sides, "skipped:", "", &RecordedLine::skipped);
  return kinds;
}

std::optional<KindTest> kind_test(const Kind& kind, size_t side,
                                  const std::vector<ComparedSide>& sides, size_t& possible) {
  const Occurrence &before = kind.sides[0], &after = kind.sides[side];
  if (before.of == 0 || after.of == 0) return std::nullopt;
  if (before.count == 0 && after.count == 0) return std::nullopt;
  KindTest test;
  const bool came = before.count == 0;
  const Occurrence& seen = came ? after : before;
  test.change.side = side;
  test.change.worse = came ? kind.bad : kind.good;
  test.change.text =
      fmt::format("{}: {} of {} in {}, {} of {} in {}", kind.name, before.count, before.of,
                  sides[0].label, after.count, after.of, sides[side].label);
  test.where = fmt::format("seen in {} of {} repetition{}", seen.repetitions, seen.shares.size(),
                           seen.shares.size() == 1 ? "" : "s");
  test.one_sided = before.count == 0 || after.count == 0;
  test.neutral = !kind.good && !kind.bad;
  test.mostly = seen.mostly && (seen.shares.size() > 1 || !kind.of_alive);
  const RankTest ranks = rank_test(before.shares, after.shares);
  possible += !all_equal(before.shares, after.shares);
  if (ranks.least_p <= kLevel) test.p = ranks.p;
  return test;
}

}  // namespace lastack::compare
