// Two groups of values with a gap between them: a median may fall into either.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "base/histogram.h"
#include "base/time_unit.h"

namespace lastack {

struct Mode {
  int64_t p50_ns = 0;
  double share = 0;  // of all values
};
using Modes = std::array<Mode, 2>;  // the lower one first

// Cut at the widest gap that leaves 5 % of the values on either side. There are two modes where it
// is at least 1 % of the lower median, and four times as wide as either side is from its 10th to
// its 90th percentile; never of less than 50 values. Three are told as the two sides of that gap.
std::optional<Modes> modes(const Histogram& histogram);

// "two modes: 14,079vns (62 %) and 18,687vns (38 %)"
std::string modes_text(const Modes& two, TimeUnit unit);

}  // namespace lastack
