#include "plan/patience.h"

#include <algorithm>

#include "model/strategy.h"

namespace lastack {
namespace {

int64_t count_in_mix(const RunSpec& spec, bool (*has)(const Strategy&)) {
  const auto mix = effective_mix(spec);
  return std::count_if(mix.begin(), mix.end(),
                       [has](const Weight& weight) { return has(strategies()[weight.strategy]); });
}

// At most: as if all connections were of processes, and each row's last process not full.
int64_t victim_processes(const RunSpec& spec) {
  const int64_t strategies_of_processes =
      count_in_mix(spec, [](const Strategy& one) { return one.scope == Scope::process; });
  if (strategies_of_processes == 0) return 0;
  const auto columns = static_cast<int64_t>(spec.watches.size() * spec.probes.size() *
                                            std::max<size_t>(1, spec.write_paths.size()));
  const int64_t connections = all_connections(spec);
  return std::min(connections, connections / std::max<int64_t>(1, spec.per_process) +
                                   strategies_of_processes * columns);
}

}  // namespace

int64_t step_patience_ns(const RunSpec& spec) {
  const bool fills = spec.victims.reader_stopped ||
                     count_in_mix(spec, [](const Strategy& one) { return one.victim_sends; }) > 0;
  return 30 * kSecond_ns + all_connections(spec) * 250 * kMicrosecond_ns +
         victim_processes(spec) * 50 * kMillisecond_ns +
         (fills ? all_connections(spec) * 2 * kMillisecond_ns : 0);
}

int64_t halt_patience_ns(const RunSpec& spec) {
  return 4 * kSecond_ns + all_connections(spec) * 50 * kMicrosecond_ns +
         victim_processes(spec) * 10 * kMillisecond_ns;
}

int64_t interrupted_run_patience_ns(const RunSpec& spec) {
  return 3 * kSecond_ns + 2 * halt_patience_ns(spec);
}

}  // namespace lastack
