#include "ledger/probe_ledger.h"

#include <algorithm>
#include <cmath>

namespace lastack {

Spread spread_of(std::vector<int64_t> values_ns) {
  if (values_ns.empty()) return {};
  std::sort(values_ns.begin(), values_ns.end());
  const auto count = static_cast<int64_t>(values_ns.size());
  // The smallest value that at least this share does not exceed.
  const auto quantile = [&](double share) {
    const auto rank = static_cast<int64_t>(std::ceil(share * static_cast<double>(count)));
    return values_ns[static_cast<size_t>(std::clamp<int64_t>(rank - 1, 0, count - 1))];
  };
  return {count, values_ns.front(), quantile(0.5), quantile(0.9), quantile(0.99), values_ns.back()};
}

void ProbeLedger::add_death(const VictimEnd& victim, const SurvivorEnd& survivor) {
  if (!sums_.promised) return;
  after_nominal_ns_.push_back(survivor.found_ns - victim.issued_ns - sums_.nominal_ns);
  if (survivor.silent_since_ns == 0) return;
  const int64_t silent_ns = survivor.found_ns - survivor.silent_since_ns;
  auto span = sums_.spans.front();
  for (const auto& later : sums_.spans)
    if (later.first <= silent_ns) span = later;
  after_predicted_ns_.push_back(silent_ns - span.first);
  if (silent_ns < span.first)
    ++sums_.early;
  else if (silent_ns > span.second)
    ++sums_.later;
  else
    ++sums_.within;
}

void ProbeLedger::add_silence(int64_t longest_ns) {
  sums_.longest_silence_ns = std::max(sums_.longest_silence_ns, longest_ns);
}

ProbeSums ProbeLedger::take() {
  sums_.after_nominal = spread_of(std::move(after_nominal_ns_));
  sums_.after_predicted = spread_of(std::move(after_predicted_ns_));
  return std::move(sums_);
}

bool found_by_probe(const PlanRow& row, Finding finding) {
  if (probe_row(row.probe).heartbeat_decides) return finding == Finding::heartbeat_missed;
  return finding == Finding::etimedout || finding == Finding::ehostunreach;
}

}  // namespace lastack
