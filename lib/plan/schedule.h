// Who dies how, and when: the mix divided over connections, and the instants of the injections.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "plan/spec.h"

namespace lastack {

// Divides `total` by weight, whole numbers, by the largest remainder; ties go to the first.
std::vector<int64_t> divide(int64_t total, std::span<const double> weights);

// Instants of `count` injections, relative to the first possible one, ascending. A Poisson
// process has exponential gaps, a constant one equal gaps, a storm none.
std::vector<int64_t> schedule_instants(const RunSpec& spec, int64_t count);

// For connection i the row it belongs to: counts[r] connections of row r, in seeded random order.
std::vector<uint16_t> assign_rows(std::span<const int64_t> counts, uint64_t seed);

}  // namespace lastack
