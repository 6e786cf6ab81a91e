// What a run costs its host: memory, CPU time and traffic, and the counters of its namespaces.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/host_load.h"
#include "ledger/result.h"
#include "net/counters.h"
#include "net/network.h"
#include "net/traffic.h"
#include "run/crew.h"

namespace lastack {

// ---- What grows while connections are established, of the whole host ---------------------------

// The kernel's slab; nullopt: /proc/meminfo does not tell.
std::optional<int64_t> slab_bytes();
// kNotKnown where one of them is not.
int64_t growth(std::optional<int64_t> before, std::optional<int64_t> now);

// ---- What is used between two instants ----------------------------------------------------------

// Sums since each of them was started, or the host.
struct MeterReading {
  int64_t at_ns = 0;
  RoleCost victims, survivors;
  int64_t throttled_ns = 0;
  std::optional<HostTimes> host;
  int64_t host_cpu_ns = 0;  // that all CPUs had when `host` was read
  std::optional<int64_t> backlog_drops;
  TrafficCounters traffic;
};
// The workers' part is in their last answers.
Result<MeterReading> read_meter(Crew& crew, const std::vector<Network>& networks, TimeUnit unit);
// Fills the figures of `cost`, `host` and `backlog_drops` that are a difference. Time in softirqs
// is one only where the kernel tells it apart.
void charge(const MeterReading& before, const MeterReading& after, bool softirqs_apart, Cost& cost,
            HostService& host, int64_t& backlog_drops);
bool softirqs_are_told_apart();

// ---- As it is now -------------------------------------------------------------------------------

// Of all processes of the run and the rings of its workers; `notes` say what is missing.
int64_t memory_bytes(Crew& crew, std::vector<std::string>& notes);

// What the calling process's namespace says, and each network those that are only its own.
template <class Values>
Result<Values> sum_over(std::span<const Network> networks, Result<Values> (*read_own)(),
                        Result<Values> (*read_network)(const Network&)) {
  auto sum = read_own();
  for (const Network& network : networks) {
    if (!sum) return sum;
    const auto there = read_network(network);
    if (!there) return there;
    *sum += *there;
  }
  return sum;
}
// Of all namespaces of the run, those that are gone included.
Result<CounterValues> read_all_counters(const std::vector<Network>& networks);

}  // namespace lastack
