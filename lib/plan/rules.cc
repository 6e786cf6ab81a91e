#include "plan/rules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/parse.h"
#include "base/rows.h"

namespace lastack {
namespace {

constexpr int64_t kMostSpliced = 512 << 10;  // half of fs.pipe-max-size, as Linux sets it
constexpr int64_t kMostKilled = 2'000;       // a fork copies the table of as many descriptors
constexpr double kLongestSchedule_s = 24 * 3600;

// What a parameter is set to, as on the command line: "--ring sqpoll".
std::string given(const RunSpec& spec, std::string_view flag) {
  const auto parameter = std::ranges::find(parameters(), flag, &Parameter::flag);
  return fmt::format("{} {}", flag, parameter->access.print(spec));
}

bool writes_by(const RunSpec& spec, WritePath path) {
  return has_writers(spec) && std::ranges::count(spec.write_paths, path) > 0;
}

bool has_heartbeats(const RunSpec& spec) {
  return std::ranges::any_of(
      spec.probes, [](Probe probe) { return probe_row(probe).heartbeat != Heartbeat::none; });
}

// The first of the watches that `is` says yes to.
template <class Is>
const WatchRow* first_watch(const RunSpec& spec, Is is) {
  for (const Watch watch : spec.watches)
    if (is(engine_row(watch_row(watch).engine))) return &watch_row(watch);
  return nullptr;
}

bool runs_without_load(const EngineRow& engine) { return !engine.carries_load; }

// ---- Connections and rows

Status fewer_connections_than_rows(const RunSpec& spec) {
  const size_t rows = effective_mix(spec).size() * rows_per_strategy(spec);
  if (static_cast<size_t>(spec.connections) >= rows) return std::nullopt;
  return plain_error(fmt::format(
      "--connections {} is fewer than the {} rows of --mix x --watch x --probe x --write-path; "
      "allowed: at least {}",
      spec.connections, rows, rows));
}

Status neighbours_beside_alive(const RunSpec& spec) {
  const bool alive = std::ranges::any_of(effective_mix(spec), [](const Weight& weight) {
    return stays_alive(strategies()[weight.strategy]);
  });
  if (spec.neighbours == 0 || !alive) return std::nullopt;
  return plain_error(
      "--neighbours and 'alive' in --mix are the same row of the ledger; allowed: one of them");
}

Status neighbours_without_load(const RunSpec& spec) {
  const WatchRow* watch = first_watch(spec, runs_without_load);
  if (spec.neighbours == 0 || spec.neighbour_traffic.load == Load::idle || !watch)
    return std::nullopt;
  return plain_error(fmt::format("{} cannot run over --watch {}; allowed: idle",
                                 given(spec, "--neighbour-load"), watch->name));
}

Status fewer_neighbours_than_rows(const RunSpec& spec) {
  const size_t rows = rows_per_strategy(spec);
  if (spec.neighbours == 0 || static_cast<size_t>(spec.neighbours) >= rows) return std::nullopt;
  return plain_error(
      fmt::format("--neighbours {} is fewer than the {} rows of --watch x --probe; allowed: 0, "
                  "or at least {}",
                  spec.neighbours, rows, rows));
}

Status more_shards_than_connections(const RunSpec& spec) {
  if (spec.shards <= spec.connections) return std::nullopt;
  return plain_error(
      fmt::format("--shards {} is more than --connections {}", spec.shards, spec.connections));
}

// ---- Writers

Status writers_options_without_a_writer(const RunSpec& spec) {
  const RunSpec none;
  const bool given = spec.write_paths != none.write_paths || spec.writing != none.writing ||
                     !spec.expect_sigpipe.empty();
  if (has_writers(spec) || !given) return std::nullopt;
  return plain_error(
      "--write-path, --write-rate, --before-write, --sigpipe and signals in --expect are for "
      "--watch writer, which is not given");
}

Status writers_on_sqpoll(const RunSpec& spec) {
  if (!has_writers(spec) || spec.ring != RingMode::sqpoll) return std::nullopt;
  return plain_error(
      "--ring sqpoll changes which thread the writers' SIGPIPE goes to; allowed: --write-path "
      "write-sqpoll");
}

Status writers_to_direct_descriptors(const RunSpec& spec) {
  if (!has_writers(spec) || !spec.victims.direct_descriptors) return std::nullopt;
  return plain_error(
      "--descriptors direct hides from the victims of --watch writer what their kernel received; "
      "allowed: plain");
}

Status many_killed_writers(const RunSpec& spec) {
  if (!has_writers(spec) || spec.writing.sigpipe != SigpipeMode::kill ||
      spec.connections <= kMostKilled)
    return std::nullopt;
  return plain_error(fmt::format(
      "--sigpipe default makes a process for each of up to {} signals, about a millisecond each; "
      "allowed: at most {} connections",
      format_count(spec.connections), format_count(kMostKilled)));
}

Status killed_writers_that_cannot_tell(const RunSpec& spec) {
  for (const WritePath path : {WritePath::write_linked, WritePath::sendfile})
    if (spec.writing.sigpipe == SigpipeMode::kill && writes_by(spec, path))
      return plain_error(
          fmt::format("--sigpipe default cannot tell what --write-path {} had accepted when it "
                      "killed the process; allowed: handler, signalfd or ignore",
                      write_path_row(path).name));
  return std::nullopt;
}

Status large_splices(const RunSpec& spec) {
  if (!writes_by(spec, WritePath::splice) || spec.payload_bytes <= kMostSpliced)
    return std::nullopt;
  return plain_error(
      fmt::format("{} does not fit into the pipe of --write-path splice; allowed: at most {}",
                  given(spec, "--payload"), format_size(kMostSpliced)));
}

Status signals_expected_of_others(const RunSpec& spec) {
  for (const SigpipeOverride& entry : spec.expect_sigpipe)
    if (has_writers(spec) && !writes_by(spec, entry.path))
      return plain_error(fmt::format("--expect names write path '{}', which --write-path does not",
                                     write_path_row(entry.path).name));
  return std::nullopt;
}

// ---- Watches and their engines

Status load_before_the_death_is_watched(const RunSpec& spec) {
  const WatchRow* watch = first_watch(spec, runs_without_load);
  if (spec.traffic.load == Load::idle || !watch) return std::nullopt;
  return plain_error(
      fmt::format("{} cannot run over --watch {}, whose survivors make no call before their victim "
                  "has gone; allowed: idle",
                  given(spec, "--load"), watch->name));
}

Status spinning_sleepers(const RunSpec& spec) {
  const WatchRow* watch =
      first_watch(spec, [](const EngineRow& engine) { return !engine.may_spin; });
  if (spec.wait != Wait::spin || !watch) return std::nullopt;
  return plain_error(fmt::format(
      "--wait spin has no meaning for --watch {}, whose threads sleep in their calls; allowed: "
      "block",
      watch->name));
}

Status late_writes_after_the_deadline(const RunSpec& spec) {
  const WatchRow* watch =
      first_watch(spec, [](const EngineRow& engine) { return engine.id == Engine::late; });
  if (!watch || spec.deadline_ns >= kLateLeastDeadline_ns) return std::nullopt;
  return plain_error(
      fmt::format("{} is too short for --watch {}, which writes every {}; allowed: at least {}",
                  given(spec, "--deadline"), watch->name, format_duration(kLateWrite_ns),
                  format_duration(kLateLeastDeadline_ns)));
}

Status a_ring_for_nobody(const RunSpec& spec) {
  const bool writes = has_writers(spec) &&
                      std::ranges::any_of(spec.write_paths,
                                          [](WritePath path) { return write_path_row(path).ring; });
  const bool watches =
      first_watch(spec, [](const EngineRow& engine) { return engine.id == Engine::io_uring; });
  if (writes || watches || spec.ring == RunSpec().ring) return std::nullopt;
  return plain_error(
      fmt::format("{} sets up the survivors' io_uring, and no --watch uses one; allowed: no --ring",
                  given(spec, "--ring")));
}

// ---- Probes

Status deadline_before_the_probe(const RunSpec& spec) {
  // Of those who stay there is nothing to find.
  const bool anybody_goes = std::ranges::any_of(effective_mix(spec), [](const Weight& weight) {
    return !stays_alive(strategies()[weight.strategy]);
  });
  for (const Probe probe : spec.probes) {
    const int64_t nominal = anybody_goes ? nominal_ns(probe, spec.probe_settings) : 0;
    if (spec.deadline_ns < nominal)
      return plain_error(
          fmt::format("{} is below the {} that probe '{}' needs; allowed: at least "
                      "that",
                      given(spec, "--deadline"), format_duration(nominal), probe_row(probe).name));
  }
  return std::nullopt;
}

Status heartbeats_to_direct_descriptors(const RunSpec& spec) {
  const bool bulk = spec.traffic.load == Load::bulk ||
                    (spec.neighbours > 0 && spec.neighbour_traffic.load == Load::bulk);
  if (!has_heartbeats(spec) || !bulk || !spec.victims.direct_descriptors) return std::nullopt;
  return plain_error(
      "victims with --descriptors direct answer no heartbeat under bulk load; allowed: plain");
}

Status linked_timeouts_on_sqpoll(const RunSpec& spec) {
  for (const Probe probe : spec.probes)
    if (probe_row(probe).heartbeat == Heartbeat::link && spec.ring == RingMode::sqpoll)
      return plain_error(fmt::format(
          "--ring sqpoll may take a receive without its timeout, which probe '{}' links to it; "
          "allowed: default, coop or defer",
          probe_row(probe).name));
  return std::nullopt;
}

Status no_time_to_answer(const RunSpec& spec) {
  const ProbeSettings& settings = spec.probe_settings;
  if (!has_heartbeats(spec) || settings.heartbeat_deadline_ns > settings.heartbeat_interval_ns)
    return std::nullopt;
  return plain_error(fmt::format(
      "--heartbeat-deadline {} leaves no time for an answer to a heartbeat every {}; allowed: "
      "more than --heartbeat-interval",
      format_duration(settings.heartbeat_deadline_ns),
      format_duration(settings.heartbeat_interval_ns)));
}

Status sysctls_of_the_host(const RunSpec& spec) {
  if (!spec.host_network || timer_sysctls(spec).empty()) return std::nullopt;
  std::vector<std::string_view> flags;
  for (const Parameter& parameter : parameters())
    if (!parameter.sysctl.name.empty()) flags.push_back(parameter.flag);
  const std::string_view last = flags.back();
  flags.pop_back();
  return plain_error(
      fmt::format("{} and {} are sysctls of a private namespace; allowed: without --host-network",
                  fmt::join(flags, ", "), last));
}

Status least_rto_above_the_most(const RunSpec& spec) {
  const ProbeSettings& settings = spec.probe_settings;
  if (settings.rto_min_ns <= settings.rto_max_ns) return std::nullopt;
  return plain_error(
      fmt::format("{} is more than {}", given(spec, "--rto-min"), given(spec, "--rto-max")));
}

// ---- A stopped reader

Status traffic_to_a_stopped_reader(const RunSpec& spec) {
  const bool quiet =
      spec.traffic.load == Load::idle && spec.victims.victim_requests == VictimRequests::none;
  if (!spec.victims.reader_stopped || quiet) return std::nullopt;
  return plain_error(
      "--reader stopped is for survivors that filled a window and wait; allowed: --load idle and "
      "--victim-requests none");
}

Status writers_to_a_stopped_reader(const RunSpec& spec) {
  const WatchRow* watch =
      first_watch(spec, [](const EngineRow& engine) { return engine.only_writes; });
  if (!spec.victims.reader_stopped || !watch) return std::nullopt;
  return plain_error(
      fmt::format("--reader stopped fills the windows before --watch {} writes; "
                  "allowed: watches that read",
                  watch->name));
}

Status a_stopped_reader_that_speaks(const RunSpec& spec) {
  if (!spec.victims.reader_stopped) return std::nullopt;
  for (const Weight& weight : effective_mix(spec))
    if (strategies()[weight.strategy].finding != Finding::nothing)
      return plain_error(fmt::format(
          "--reader stopped leaves data unread, which turns '{}' into an RST; allowed: strategies "
          "that say nothing (silent, vanish, freeze, cable ...) and alive",
          strategies()[weight.strategy].name));
  return std::nullopt;
}

// ---- Path and schedule

Status veth_without_namespaces(const RunSpec& spec) {
  if (!spec.veth || (!spec.host_network && spec.family == Family::inet)) return std::nullopt;
  return plain_error(
      fmt::format("--path veth needs namespaces of its own and IPv4, and {} is given",
                  spec.host_network ? "--host-network" : "--family inet6"));
}

Status schedule_of_days(const RunSpec& spec) {
  if (spec.arrival == Arrival::storm) return std::nullopt;
  const double seconds = static_cast<double>(spec.connections) / spec.arrivals_per_second;
  if (seconds <= kLongestSchedule_s) return std::nullopt;
  return plain_error(fmt::format("{} takes {:.0f} s for {} connections; allowed: at most a day",
                                 given(spec, "--schedule"), seconds, spec.connections));
}

// One row is one rule, in the order in which they are told: an error, or nothing.
constexpr Status (*kRules[])(const RunSpec&) = {
    fewer_connections_than_rows,
    neighbours_beside_alive,
    neighbours_without_load,
    fewer_neighbours_than_rows,
    more_shards_than_connections,
    writers_options_without_a_writer,
    writers_on_sqpoll,
    writers_to_direct_descriptors,
    many_killed_writers,
    killed_writers_that_cannot_tell,
    large_splices,
    signals_expected_of_others,
    load_before_the_death_is_watched,
    spinning_sleepers,
    late_writes_after_the_deadline,
    a_ring_for_nobody,
    deadline_before_the_probe,
    heartbeats_to_direct_descriptors,
    linked_timeouts_on_sqpoll,
    no_time_to_answer,
    sysctls_of_the_host,
    least_rto_above_the_most,
    traffic_to_a_stopped_reader,
    writers_to_a_stopped_reader,
    a_stopped_reader_that_speaks,
    veth_without_namespaces,
    schedule_of_days,
};
static_assert(unique(kRules));

}  // namespace

Status check_spec(const RunSpec& spec) {
  for (const auto rule : kRules)
    if (Status broken = rule(spec)) return broken;
  return std::nullopt;
}

}  // namespace lastack
