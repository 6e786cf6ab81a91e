// RunResult and all that it holds as JSON, between processes of one build: what users read is
// written by report/.
#pragma once

#include <nlohmann/json.hpp>

#include "ledger/quantities.h"
#include "ledger/result.h"

namespace lastack {

// nlohmann's macros find these by argument-dependent look-up.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Histogram::State, values, buckets, count, min, max, sum)

inline void to_json(nlohmann::json& json, const Histogram& histogram) { json = histogram.state(); }
inline void from_json(const nlohmann::json& json, Histogram& histogram) {
  histogram = Histogram::from_state(json.get<Histogram::State>());
}

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(WriterThread, shard, process, sigpipes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Spread, count, min_ns, p50_ns, p90_ns, p99_ns, max_ns)

inline void to_json(nlohmann::json& json, const LedgerRow& row) {
  for (const LedgerQuantity& quantity : ledger_quantities())
    if (!quantity.place.empty())
      read_field(quantity, row,
                 [&](const auto& value) { json[std::string(quantity.place)] = value; });
}
inline void from_json(const nlohmann::json& json, LedgerRow& row) {
  for (const LedgerQuantity& quantity : ledger_quantities())
    if (!quantity.place.empty())
      std::visit([&](auto* value) { json.at(std::string(quantity.place)).get_to(*value); },
                 quantity.field(row));
}

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Surprise, pair, strategy, watch, probe, survivor_address,
                                   expected, seen, error, before_act)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Event, pair, row, victim_address, survivor_address, scheduled_ns,
                                   issued_ns, found_ns, written_ns, finding, error, bytes_received,
                                   writes_accepted_after_act, writes_accepted_after_fin, sigpipes,
                                   first_error, second_error)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TimelineBin, start_ns, width_ns, injected, found, in_flight)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Check, counter, phase, least, most, observed, ok)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Phase, name, start_ns, duration_ns)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TrafficCounters, in_segments, out_segments, in_bytes, out_bytes,
                                   interface_packets, interface_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RoleCost, user_ns, system_ns, context_switches, ring_enters,
                                   spins)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Cost, victims, survivors, wall_ns, traffic, softirq_ns,
                                   host_busy_ns, memory_armed_bytes, memory_peak_bytes, slab_bytes,
                                   tcp_memory_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Stall, process, shard, cause, start_ns, duration_ns)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(HostLoad, load_average, others, cpus)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Frequencies, least_khz, most_khz)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(HostService, load, quota_cpus, quota_file, throttled_ns,
                                   steal_ns, victims_waited_ns, survivors_waited_ns,
                                   frequencies_before, frequencies_after)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(WorkerPlace, role, shard, process, cpu, spins, cpus, policy,
                                   nice)
inline void to_json(nlohmann::json& json, const SocketFacts& facts) {
  json = {std::string(facts.congestion_control),
          facts.send_buffer_bytes,
          facts.receive_buffer_bytes,
          facts.keepalive,
          facts.keepalive_idle_s,
          facts.keepalive_interval_s,
          facts.keepalive_count,
          facts.user_timeout_ms};
}
inline void from_json(const nlohmann::json& json, SocketFacts& facts) {
  facts.known = true;
  json.at(0).get<std::string>().copy(facts.congestion_control,
                                     sizeof(facts.congestion_control) - 1);
  int32_t* const figures[] = {
      &facts.send_buffer_bytes, &facts.receive_buffer_bytes, &facts.keepalive,
      &facts.keepalive_idle_s,  &facts.keepalive_interval_s, &facts.keepalive_count,
      &facts.user_timeout_ms};
  for (size_t i = 0; i < std::size(figures); ++i) json.at(i + 1).get_to(*figures[i]);
}
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(SocketReport, role, probe, facts)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RingReport, role, flags, completion_entries)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Limit, name, soft, hard)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RunResult, status, error, spec, notes, ledger, surprises, events,
                                   timeline, checks, backlog_drops, least_stall_ns, stalls, host,
                                   time_unit, exclusive, balanced, counters, phases, cost, workers,
                                   sysctls, congestion_control, sockets, rings, limits,
                                   requested_rate, achieved_rate, requested_round_trips,
                                   achieved_round_trips, span_ns, completion_overflows,
                                   writer_threads, sigpipes_unblamed, write_lag_ns)

}  // namespace lastack
