#include "plan/schedule.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/clock.h"
#include "base/random.h"

namespace lastack {

std::vector<int64_t> divide(int64_t total, std::span<const double> weights) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<int64_t> counts(weights.size());
  std::vector<double> remainders(weights.size());
  int64_t given = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const double share = sum > 0 ? static_cast<double>(total) * weights[i] / sum : 0;
    counts[i] = static_cast<int64_t>(std::floor(share));
    remainders[i] = share - std::floor(share);
    given += counts[i];
  }
  std::vector<size_t> order(weights.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return remainders[a] > remainders[b]; });
  for (size_t i = 0; given < total && !order.empty(); ++i, ++given)
    ++counts[order[i % order.size()]];
  return counts;
}

std::vector<int64_t> schedule_instants(const RunSpec& spec, int64_t count) {
  std::vector<int64_t> instants(static_cast<size_t>(count), 0);
  if (spec.arrival == Arrival::storm) return instants;
  const double gap_ns = static_cast<double>(kSecond_ns) / spec.arrivals_per_second;
  Random random{static_cast<uint64_t>(spec.seed) ^ 0x5ca1ab1e};
  double at_ns = 0;
  for (size_t i = 0; i < instants.size(); ++i) {
    // Multiplying keeps a constant rate exact; adding gaps would collect rounding.
    if (spec.arrival == Arrival::constant) at_ns = static_cast<double>(i) * gap_ns;
    instants[i] = static_cast<int64_t>(at_ns);
    if (spec.arrival == Arrival::poisson) at_ns += random.exponential() * gap_ns;
  }
  return instants;
}

std::vector<uint16_t> assign_rows(std::span<const int64_t> counts, uint64_t seed) {
  std::vector<uint16_t> rows;
  for (size_t row = 0; row < counts.size(); ++row)
    rows.insert(rows.end(), static_cast<size_t>(counts[row]), static_cast<uint16_t>(row));
  Random random{seed};
  shuffle(rows, random);
  return rows;
}

}  // namespace lastack
