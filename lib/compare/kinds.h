// Changes in kind: what a row did on one side and never on the other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "compare/align.h"
#include "compare/compare.h"

namespace lastack::compare {

// How often something occurs on one side.
struct Occurrence {
  std::vector<double> shares;  // one per repetition, of those who told anything
  int64_t count = 0, of = 0;
  size_t repetitions = 0;  // in which it occurs
  bool mostly = true;      // more than half of every repetition

  // `told`: those of all who could tell it from another of its sort.
  void add(int64_t occurrences, int64_t all, int64_t told);
};

struct Kind {
  std::string name;  // "finding eof"
  bool good, bad;    // whether it is for the worse that it goes, or that it comes
  bool of_alive;     // whether live peers are taken for dead: the host's load decides, no rule
  std::vector<Occurrence> sides;
};

// Whether a row's peers live: who finds something there is wrong.
bool is_alive(const LinesOfKey& lines);
std::vector<Kind> kinds_of(const RecordedKey& key, const LinesOfKey& lines);

// A change in kind while the other tests of the family are not known yet.
struct KindTest {
  KindChange change;
  bool one_sided;           // occurs on one of the sides only
  bool neutral;             // found_share does not tell it: neither to find nor to miss something
  bool mostly;              // see comparison_of()
  std::optional<double> p;  // nullopt: not in the family
  std::string where;        // "seen in 1 of 10 repetitions"
};

// Nullopt where one of the sides has nobody that could have shown it.
std::optional<KindTest> kind_test(const Kind& kind, size_t side,
                                  const std::vector<ComparedSide>& sides, size_t& possible);

}  // namespace lastack::compare
