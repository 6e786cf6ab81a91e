#include "run/result.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace lastack {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Histogram::State, buckets, count, min, max, sum)

// nlohmann's macros find these by argument-dependent look-up. Serialisation is between two
// processes of one build: what users read is written by report/.
static void to_json(nlohmann::json& json, const Histogram& histogram) { json = histogram.state(); }
static void from_json(const nlohmann::json& json, Histogram& histogram) {
  histogram = Histogram::from_state(json.get<Histogram::State>());
}

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(WriterThread, shard, process, sigpipes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(WriteSums, attempted, accepted, short_writes, errors,
                                   would_block, cancelled, accepted_after_act, accepted_after_fin,
                                   accepted_bytes, delivered_bytes, lost_bytes,
                                   lost_after_act_bytes, queued_bytes, untold_bytes,
                                   unexplained_bytes, unexplained, sigpipes, sigpipes_predicted,
                                   sigpipes_of_short, sigpipe_connections, killed, first_errors,
                                   second_errors, by_accepted_after_act, by_accepted_after_fin,
                                   first_error, second_error)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Spread, count, min_ns, p50_ns, p90_ns, p99_ns, max_ns)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ProbeSums, promised, nominal_ns, since, least_ns, most_ns,
                                   after_nominal, after_predicted, early, within, later,
                                   false_alarms, longest_silence_ns)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LedgerRow, strategy, watch, probe, family, skipped, expected,
                                   requested, established, torn_down, found, nothing, undecided,
                                   unexpected, late, findings, bytes_received, bytes_sent, alive,
                                   issued, scheduled, written, write_path, writes, probing)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Surprise, pair, strategy, watch, probe, survivor_address,
                                   expected, seen, error, before_act)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Event, pair, row, victim_address, survivor_address, scheduled_ns,
                                   issued_ns, found_ns, written_ns, finding, error, bytes_received,
                                   writes_accepted_after_act, writes_accepted_after_fin, sigpipes,
                                   first_error, second_error)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TimelineBin, start_ns, injected, found, in_flight)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Check, counter, phase, least, most, observed, ok)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Phase, name, start_ns, duration_ns)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TrafficCounters, in_segments, out_segments, in_bytes, out_bytes,
                                   interface_packets, interface_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RoleCost, user_ns, system_ns, context_switches, ring_enters,
                                   spins)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Cost, victims, survivors, wall_ns, traffic, softirq_ns,
                                   memory_armed_bytes, memory_peak_bytes, slab_bytes,
                                   tcp_memory_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(WorkerPlace, role, shard, process, cpu, spins)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RunResult, status, error, spec, notes, ledger, surprises, events,
                                   timeline, checks, exclusive, balanced, counters, phases, cost,
                                   workers, sysctls, congestion_control, requested_rate,
                                   achieved_rate, requested_round_trips, achieved_round_trips,
                                   span_ns, completion_overflows, writer_threads, sigpipes_unblamed,
                                   write_lag_ns)

namespace {

constexpr RunStatusRow kStatuses[] = {
    {RunStatus::bad_usage, "bad-usage", 2, "the command line asks for something impossible"},
    {RunStatus::no_resources, "not-enough-resources", 3,
     "descriptors, ports, memory, namespaces or rights are missing (see `lastack doctor`)"},
    {RunStatus::failed, "failed", 1,
     "lastack itself failed: a worker died or a call that must not"},
    {RunStatus::interrupted, "interrupted", 7, "SIGINT or SIGTERM ended the run early"},
    {RunStatus::unbalanced, "unbalanced", 5,
     "the ledger is incomplete, the kernel's counters do not agree with it, or a writer's bytes or "
     "signals do not add up"},
    {RunStatus::unmet_expectation, "unmet-expectation", 4,
     "a connection ended otherwise than its strategy's row says"},
    {RunStatus::too_slow, "too-slow", 6,
     "the achieved rate is more than 5% below the requested one"},
    {RunStatus::ok, "ok", 0, "every connection ended as expected, and everything adds up"},
};

}  // namespace

std::span<const RunStatusRow> run_statuses() { return kStatuses; }
const RunStatusRow& status_row(RunStatus status) { return kStatuses[static_cast<size_t>(status)]; }

std::string watch_text(const LedgerRow& row) {
  return row.write_path.empty() ? row.watch : fmt::format("{}:{}", row.watch, row.write_path);
}

std::string watch_text(const PlanRow& row) {
  const std::string watch(watch_row(row.watch).name);
  if (row.write_path == WritePath::none) return watch;
  return fmt::format("{}:{}", watch, write_path_row(row.write_path).name);
}

bool LedgerRow::whole(bool interrupted) const {
  if (torn_down != found + nothing + undecided) return false;
  if (interrupted) return requested >= established && established >= torn_down;
  return requested == established && established == torn_down && undecided == 0;
}

std::string serialize(const RunResult& result) {
  const auto bytes = nlohmann::json::to_msgpack(nlohmann::json(result));
  return std::string(bytes.begin(), bytes.end());
}

Result<RunResult> deserialize(const std::string& text) {
  // The library reports a wrong shape by an exception; it stops here.
  try {
    return nlohmann::json::from_msgpack(text).get<RunResult>();
  } catch (const nlohmann::json::exception&) {
    return plain_error("the launcher ended without a whole result");
  }
}

}  // namespace lastack
