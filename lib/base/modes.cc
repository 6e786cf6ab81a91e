#include "base/modes.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <vector>

namespace lastack {
namespace {

constexpr uint64_t kFewestValues = 50;
constexpr uint64_t kLeastPart = 20;       // one of so many values on either side
constexpr double kLeastOfMedian = 0.01;   // of the lower one: the gap
constexpr int64_t kWidthsOfTheWider = 4;  // the gap

struct Side {
  std::span<const Histogram::Step> steps;
  uint64_t count = 0;
};

struct Cut {
  Side lower, upper;
  int64_t gap = 0;
};

// A gap of 0 where there is none.
Cut widest_gap(std::span<const Histogram::Step> steps, uint64_t count) {
  Cut cut;
  uint64_t below = 0;
  for (size_t i = 1; i < steps.size(); ++i) {
    below += steps[i - 1].count;
    const uint64_t above = count - below;
    const int64_t gap = steps[i].lowest - steps[i - 1].highest;
    if (std::min(below, above) * kLeastPart < count || gap <= cut.gap) continue;
    cut = {{steps.first(i), below}, {steps.subspan(i), above}, gap};
  }
  return cut;
}

const Histogram::Step& step_at(const Side& side, double quantile) {
  const uint64_t rank = Histogram::rank_of(quantile, side.count);
  uint64_t seen = 0;
  return *std::ranges::find_if(side.steps, [&](const Histogram::Step& step) {
    seen += step.count;
    return seen >= rank;
  });
}

// As wide as it may be: of buckets only the bounds are known.
int64_t width_of(const Side& side) {
  return step_at(side, 0.9).highest - step_at(side, 0.1).lowest;
}

}  // namespace

std::optional<Modes> modes(const Histogram& histogram) {
  const uint64_t count = histogram.count();
  if (count < kFewestValues) return std::nullopt;
  const std::vector<Histogram::Step> steps = histogram.steps();
  const Cut cut = widest_gap(steps, count);
  if (cut.gap == 0) return std::nullopt;
  const auto mode = [&](const Side& side) {
    return Mode{step_at(side, 0.5).highest,
                static_cast<double>(side.count) / static_cast<double>(count)};
  };
  const Modes found = {mode(cut.lower), mode(cut.upper)};
  const bool wide =
      cut.gap / kWidthsOfTheWider >= std::max(width_of(cut.lower), width_of(cut.upper));
  const bool matters =
      static_cast<double>(cut.gap) >= kLeastOfMedian * static_cast<double>(found[0].p50_ns);
  return wide && matters ? std::optional(found) : std::nullopt;
}

std::string modes_text(const Modes& two, TimeUnit unit) {
  const auto text = [&](const Mode& mode) {
    return fmt::format("{} ({:.0f} %)",
                       format_rounded_duration(static_cast<double>(mode.p50_ns), unit),
                       mode.share * 100);
  };
  return fmt::format("two modes: {} and {}", text(two[0]), text(two[1]));
}

}  // namespace lastack
