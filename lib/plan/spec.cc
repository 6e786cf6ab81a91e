#include "plan/spec.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/clock.h"
#include "base/named.h"
#include "base/parse.h"
#include "base/rows.h"
#include "plan/values.h"

namespace lastack {
namespace {

constexpr int64_t kMostConnections = 4'000'000;
constexpr int64_t kMostHogs = 1024;
constexpr int64_t kMostPayload = 1 << 20;
constexpr int64_t kLongest_ns = 24ll * 3600 * 1'000'000'000;

constexpr Named<Side> kSides[] = {{Side::server, "server"}, {Side::client, "client"}};
constexpr Named<Wait> kWaits[] = {{Wait::block, "block"}, {Wait::spin, "spin"}};
constexpr Named<Family> kFamilies[] = {{Family::inet, "inet"}, {Family::inet6, "inet6"}};
constexpr Named<bool> kDescriptors[] = {{false, "plain"}, {true, "direct"}};
constexpr Named<bool> kPolicies[] = {{false, "inherit"}, {true, "idle"}};
constexpr Named<VictimRequests> kVictimRequests[] = {{VictimRequests::none, "none"},
                                                     {VictimRequests::recv, "recv"},
                                                     {VictimRequests::recv_cancel, "recv-cancel"}};
constexpr Named<bool> kPhases[] = {{false, "spread"}, {true, "aligned"}};
constexpr Named<bool> kReaders[] = {{false, "running"}, {true, "stopped"}};
constexpr Named<bool> kPaths[] = {{false, "loopback"}, {true, "veth"}};
constexpr Named<bool> kFlags[] = {{false, "false"}, {true, "true"}};

static_assert(indexed(kSides) && indexed(kWaits) && indexed(kFamilies) && indexed(kDescriptors) &&
              indexed(kVictimRequests) && indexed(kPolicies) && indexed(kPhases) &&
              indexed(kReaders) && indexed(kPaths) && indexed(kFlags));

template <class Id, size_t N>
std::span<const Named<Id>> rows_of(const Named<Id> (&rows)[N]) {
  return rows;
}

using Parser = Result<int64_t> (*)(std::string_view);
using Printer = std::string (*)(int64_t);

Status read_number(std::string_view text, Parser parse, Printer print, int64_t least, int64_t most,
                   int64_t& value) {
  const auto number = parse(text);
  if (!number) return number.error();
  if (*number < least || *number > most)
    return plain_error(
        fmt::format("'{}' is out of range; allowed: {} to {}", text, print(least), print(most)));
  value = *number;
  return std::nullopt;
}

// The kernel keeps these settings in coarser units than a nanosecond.
Status read_multiple(std::string_view text, int64_t unit_ns, int64_t most_units,
                     int64_t& value_ns) {
  int64_t read_ns = 0;
  if (Status bad = read_number(text, parse_duration, format_duration, unit_ns, unit_ns * most_units,
                               read_ns))
    return bad;
  if (read_ns % unit_ns != 0)
    return plain_error(fmt::format("'{}' is not a multiple of {}, the kernel's unit", text,
                                   format_duration(unit_ns)));
  value_ns = read_ns;
  return std::nullopt;
}

// ---- How a parameter is read and printed: by the kind of its value. The value is a member of
// RunSpec, or of a part of it.

template <auto Member>
auto& value_of(auto& spec) {
  return spec.*Member;
}
template <auto Part, auto Member>
auto& value_of(auto& spec) {
  return spec.*Part.*Member;
}

template <ParameterKind kKind, auto kParse, auto kPrint, int64_t kLeast, int64_t kMost,
          auto... kPath>
constexpr Access number() {
  return {kKind,
          [](RunSpec& spec, std::string_view text) {
            return read_number(text, kParse, kPrint, kLeast, kMost, value_of<kPath...>(spec));
          },
          [](const RunSpec& spec) { return kPrint(value_of<kPath...>(spec)); }};
}

template <int64_t kLeast, int64_t kMost, auto... kPath>
constexpr Access count() {
  return number<ParameterKind::count, parse_count, format_count, kLeast, kMost, kPath...>();
}

template <int64_t kLeast, int64_t kMost, auto... kPath>
constexpr Access size() {
  return number<ParameterKind::text, parse_size, format_size, kLeast, kMost, kPath...>();
}

template <int64_t kLeast_ns, int64_t kMost_ns, auto... kPath>
constexpr Access duration() {
  return number<ParameterKind::text, parse_duration, format_duration, kLeast_ns, kMost_ns,
                kPath...>();
}

// The kernel keeps these in coarser units than a nanosecond.
template <int64_t kUnit_ns, int64_t kMostUnits, auto... kPath>
constexpr Access multiple() {
  return {ParameterKind::text,
          [](RunSpec& spec, std::string_view text) {
            return read_multiple(text, kUnit_ns, kMostUnits, value_of<kPath...>(spec));
          },
          [](const RunSpec& spec) { return format_duration(value_of<kPath...>(spec)); }};
}

// One name of a table. `kTable` returns what a row is called and the rows; the value is the id of
// the row, and the rows are in the order of their ids.
template <auto kTable, auto... kPath>
constexpr Access one_of() {
  return {ParameterKind::text,
          [](RunSpec& spec, std::string_view text) {
            const auto [what, rows] = kTable();
            return read_row(what, rows, text, value_of<kPath...>(spec));
          },
          [](const RunSpec& spec) {
            return std::string(kTable().second[static_cast<size_t>(value_of<kPath...>(spec))].name);
          }};
}

// Several names, separated by commas, in the order given.
template <auto kTable, auto... kPath>
constexpr Access some_of() {
  return {
      ParameterKind::text,
      [](RunSpec& spec, std::string_view text) {
        const auto [what, rows] = kTable();
        return read_rows(what, rows, text, value_of<kPath...>(spec));
      },
      [](const RunSpec& spec) { return print_rows(kTable().second, value_of<kPath...>(spec)); }};
}

template <auto... kPath>
constexpr Access flag() {
  return {
      ParameterKind::flag,
      [](RunSpec& spec, std::string_view text) {
        return read_row("value of a flag", rows_of(kFlags), text, value_of<kPath...>(spec));
      },
      [](const RunSpec& spec) { return std::string(value_of<kPath...>(spec) ? "true" : "false"); }};
}

template <auto kMember>
constexpr Access traffic() {
  return {ParameterKind::text,
          [](RunSpec& spec, std::string_view text) { return read_traffic(text, spec.*kMember); },
          [](const RunSpec& spec) { return print_traffic(spec.*kMember); }};
}

// As the kernel wants it, in its own unit.
template <int64_t kUnit, auto... kPath>
constexpr ParameterSysctl sysctl(std::string_view name, std::string_view since = "") {
  return {name,
          [](const RunSpec& spec) { return std::to_string(value_of<kPath...>(spec) / kUnit); },
          since};
}

constexpr Access composite(Status (*read)(RunSpec&, std::string_view),
                           std::string (*print)(const RunSpec&)) {
  return {ParameterKind::text, read, print};
}

auto sides() { return std::pair("survivor side", rows_of(kSides)); }
auto waits() { return std::pair("wait", rows_of(kWaits)); }
auto families() { return std::pair("family", rows_of(kFamilies)); }
auto descriptor_kinds() { return std::pair("descriptor kind", rows_of(kDescriptors)); }
auto policies() { return std::pair("scheduling policy", rows_of(kPolicies)); }
auto request_kinds() { return std::pair("kind of victim request", rows_of(kVictimRequests)); }
auto phases() { return std::pair("heartbeat phase", rows_of(kPhases)); }
auto readers() { return std::pair("state of the reader", rows_of(kReaders)); }
auto paths() { return std::pair("path", rows_of(kPaths)); }
auto all_watches() { return std::pair("watch", watches()); }
auto all_probes() { return std::pair("probe", probes()); }
auto rings() { return std::pair("ring mode", ring_modes()); }
auto steps_before_writes() { return std::pair("step before a write", before_writes()); }
auto ways_with_sigpipe() { return std::pair("way with SIGPIPE", sigpipe_modes()); }

constexpr auto kProbing = &RunSpec::probe_settings;

bool is_keepalive(const ProbeRow& row) { return row.keepalive; }
bool is_user_timeout(const ProbeRow& row) { return row.user_timeout; }
bool is_retransmission(const ProbeRow& row) { return row.retransmits; }
bool is_heartbeat(const ProbeRow& row) { return row.heartbeat != Heartbeat::none; }

constexpr int64_t kMs = kMillisecond_ns, kS = kSecond_ns;

constexpr Parameter kParameters[] = {
    {"--connections", "N", Group::connections, "TCP connections to open and to let die",
     count<1, kMostConnections, &RunSpec::connections>()},
    {"--mix", "NAME=WEIGHT,...", Group::dying,
     "close strategies and their weights (see `lastack list`); 'all' gives each the same",
     composite(read_mix, print_mix)},
    {"--watch", "NAME,...", Group::watching,
     "how survivors wait on their sockets; several are crossed with the mix",
     some_of<all_watches, &RunSpec::watches>()},
    {"--probe", "NAME,...", Group::probes,
     "what makes a silent peer noticeable; several are crossed with the mix",
     some_of<all_probes, &RunSpec::probes>()},
    {"--survivor", "SIDE", Group::connections, "which end survives: server or client",
     one_of<sides, &RunSpec::survivor>()},
    {"--schedule", "WHEN", Group::dying,
     "when connections die: storm (all at once), rate=5k/s or poisson=5k/s",
     composite(parse_arrival, print_arrival)},
    {"--deadline", "TIME", Group::watching,
     "how long after its injection a connection may still find out",
     duration<kMs, kLongest_ns, &RunSpec::deadline_ns>()},
    {"--load", "LOAD", Group::load,
     "traffic while the survivors wait: idle, echo=RATE round trips a second in all, or bulk "
     "(every survivor sends all it can)",
     traffic<&RunSpec::traffic>()},
    {"--neighbours", "N", Group::load,
     "live connections beside the mix, with the same watches and probes, which nobody may take for "
     "dead",
     count<0, kMostConnections, &RunSpec::neighbours>()},
    {"--neighbour-load", "LOAD", Group::load, "the traffic of the neighbours, as --load",
     traffic<&RunSpec::neighbour_traffic>()},
    {"--cpu-hog", "N", Group::load,
     "processes that do nothing but use CPU, from the armed watch until the ledger is closed",
     count<0, kMostHogs, &RunSpec::cpu_hogs>()},
    {"--payload", "SIZE", Group::load, "bytes of a message",
     size<1, kMostPayload, &RunSpec::payload_bytes>()},
    {"--write-path", "NAME,...", Group::writers,
     "how survivors of --watch writer write (see `lastack list`); several are crossed; 'all'",
     composite(read_write_paths, print_write_paths)},
    {"--write-rate", "RATE", Group::writers,
     "writes of each connection of --watch writer: rate=10/s, poisson=10/s, or max",
     composite(read_write_rate, print_write_rate)},
    {"--before-write", "WHAT", Group::writers,
     "what --watch writer does before each write: none, poll (and no write to an ended one) or "
     "recv",
     one_of<steps_before_writes, &RunSpec::writing, &WriteSettings::before_write>()},
    {"--sigpipe", "HOW", Group::writers,
     "what becomes of the writers' SIGPIPE: handler or signalfd (counted), ignore, or default (a "
     "child dies of each)",
     one_of<ways_with_sigpipe, &RunSpec::writing, &WriteSettings::sigpipe>()},
    {"--warm-up", "TIME", Group::dying, "time between the armed watch and the first death",
     duration<0, kLongest_ns, &RunSpec::warm_up_ns>()},
    {"--reap-delay", "TIME", Group::tests,
     "for tests of comparisons only: survivors' threads spin so long before every look at what "
     "their wait returned",
     duration<0, kS, &RunSpec::reap_delay_ns>()},
    {"--reap-instructions", "N", Group::tests,
     "the same in instructions, for a machine whose time they are (kernel_lab.py --deterministic)",
     count<0, 1'000'000'000, &RunSpec::reap_instructions>()},
    {"--wait", "HOW", Group::watching,
     "how survivors' threads wait for completions: block (sleep) or spin",
     one_of<waits, &RunSpec::wait>()},
    {"--ring", "MODE", Group::watching,
     "set-up of the survivors' io_uring: default, coop, defer or sqpoll",
     one_of<rings, &RunSpec::ring>()},
    {"--descriptors", "KIND", Group::dying,
     "the victims' descriptors: plain, or direct (registered in the ring)",
     one_of<descriptor_kinds, &RunSpec::victims, &VictimSettings::direct_descriptors>()},
    {"--victim-requests", "KIND", Group::dying,
     "io_uring requests that victims have in flight: none; recv, an armed receive each, which a "
     "close() leaves as it is and which holds its FIN or RST back; or recv-cancel, which is "
     "cancelled before the act. Those of --watch writer always read",
     one_of<request_kinds, &RunSpec::victims, &VictimSettings::victim_requests>()},
    {"--victim-policy", "POLICY", Group::dying,
     "how the kernel schedules the victims' processes: inherit (as it was started), or idle "
     "(SCHED_IDLE of sched(7)): then a survivor that shares their CPU preempts them as soon as it "
     "is woken, and what they have left to do is never part of its latency",
     one_of<policies, &RunSpec::victims, &VictimSettings::idle_policy>()},
    {"--per-process", "N", Group::dying,
     "connections of each process that dies (exit, sigkill, freeze)",
     count<1, kMostConnections, &RunSpec::per_process>()},
    {"--path", "PATH", Group::path,
     "the way packets take: loopback, or veth between two namespaces",
     one_of<paths, &RunSpec::veth>()},
    {"--cut-for", "TIME", Group::path, "how long cable-restore cuts the path",
     duration<kMs, kLongest_ns, &RunSpec::victims, &VictimSettings::cut_for_ns>()},
    {"--family", "FAMILY", Group::path, "address family: inet or inet6",
     one_of<families, &RunSpec::family>()},
    {"--keepalive-idle", "TIME", Group::probes, "TCP_KEEPIDLE, whole seconds",
     multiple<kS, 32767, kProbing, &ProbeSettings::keepalive_idle_ns>(), is_keepalive},
    {"--keepalive-interval", "TIME", Group::probes, "TCP_KEEPINTVL, whole seconds",
     multiple<kS, 32767, kProbing, &ProbeSettings::keepalive_interval_ns>(), is_keepalive},
    {"--keepalive-count", "N", Group::probes, "TCP_KEEPCNT",
     count<1, 127, kProbing, &ProbeSettings::keepalive_count>(), is_keepalive},
    {"--user-timeout", "TIME", Group::probes, "TCP_USER_TIMEOUT, whole milliseconds",
     multiple<kMs, 86'400'000, kProbing, &ProbeSettings::user_timeout_ns>(), is_user_timeout},
    {"--retries2", "N", Group::probes,
     "tcp_retries2 of the run's namespace: when unacknowledged data ends a connection",
     count<0, 255, kProbing, &ProbeSettings::retries2>(), is_retransmission,
     sysctl<1, kProbing, &ProbeSettings::retries2>("net/ipv4/tcp_retries2")},
    {"--rto-min", "TIME", Group::probes,
     "tcp_rto_min_us of the run's namespace, whole milliseconds",
     multiple<kMs, 10'000, kProbing, &ProbeSettings::rto_min_ns>(), is_retransmission,
     sysctl<kMicrosecond_ns, kProbing, &ProbeSettings::rto_min_ns>("net/ipv4/tcp_rto_min_us",
                                                                   "6.11")},
    {"--rto-max", "TIME", Group::probes, "tcp_rto_max_ms of the run's namespace, whole seconds",
     multiple<kS, 120, kProbing, &ProbeSettings::rto_max_ns>(), is_retransmission,
     sysctl<kMs, kProbing, &ProbeSettings::rto_max_ns>("net/ipv4/tcp_rto_max_ms", "6.15")},
    {"--heartbeat-interval", "TIME", Group::probes,
     "a heartbeat goes out when nothing came for about so long",
     duration<kMs, kLongest_ns, kProbing, &ProbeSettings::heartbeat_interval_ns>(), is_heartbeat},
    {"--heartbeat-deadline", "TIME", Group::probes, "a peer is dead when nothing came for so long",
     duration<kMs, kLongest_ns, kProbing, &ProbeSettings::heartbeat_deadline_ns>(), is_heartbeat},
    {"--heartbeat-phase", "PHASE", Group::probes,
     "when the connections' heartbeats go out: spread over the interval, or aligned",
     one_of<phases, kProbing, &ProbeSettings::heartbeats_aligned>(), is_heartbeat},
    {"--reader", "STATE", Group::load,
     "whether victims read: running, or stopped, behind windows that survivors filled",
     one_of<readers, &RunSpec::victims, &VictimSettings::reader_stopped>()},
    {"--seed", "N", Group::tests, "repeats the assignment of strategies and instants exactly",
     count<0, 1'000'000'000'000, &RunSpec::seed>()},
    {"--shards", "N", Group::connections,
     "pairs of worker processes for rows that can share them (one engine, one kind of path); 0 "
     "means as few as the limit of open files allows",
     count<0, kMostShards, &RunSpec::shards>()},
    {"--expect", "NAME=FINDING,...", Group::tests,
     "replaces a strategy's expected finding, or with WRITE-PATH=sigpipe|no-sigpipe what a write "
     "path raises, for instance to prove that a miss is caught",
     composite(read_expect, print_expect)},
    {"--host-network", "", Group::path,
     "runs in the caller's network namespace instead of a private one",
     flag<&RunSpec::host_network>()},
    {"--events", "", Group::output, "also writes events.csv, a row per connection",
     flag<&RunSpec::keep_events>()},
};
static_assert(named(kParameters, &Parameter::flag));

}  // namespace

std::span<const Parameter> parameters() { return kParameters; }

std::string_view group_title(Group group) {
  constexpr std::string_view kTitles[] = {"Connections", "Dying", "Watching", "Probes",   "Writers",
                                          "Load",        "Path",  "Output",   "For tests"};
  return kTitles[static_cast<size_t>(group)];
}

std::string_view wait_name(Wait wait) { return kWaits[static_cast<size_t>(wait)].name; }

std::vector<Weight> effective_mix(const RunSpec& spec) {
  if (!spec.mix.empty()) return spec.mix;
  return *parse_mix("all");
}

bool has_writers(const RunSpec& spec) {
  return std::find(spec.watches.begin(), spec.watches.end(), Watch::writer) != spec.watches.end();
}

std::vector<Sysctl> timer_sysctls(const RunSpec& spec) {
  const RunSpec kernel;
  std::vector<Sysctl> sysctls;
  for (const Parameter& parameter : parameters()) {
    const auto& [name, value, since] = parameter.sysctl;
    if (!name.empty() && value(spec) != value(kernel))
      sysctls.push_back({std::string(name), value(spec)});
  }
  return sysctls;
}

int64_t all_connections(const RunSpec& spec) { return spec.connections + spec.neighbours; }

const Traffic& traffic_of(const RunSpec& spec, const Strategy& strategy) {
  const bool neighbour = spec.neighbours > 0 && stays_alive(strategy);
  return neighbour ? spec.neighbour_traffic : spec.traffic;
}

size_t rows_per_strategy(const RunSpec& spec) {
  const size_t extra = has_writers(spec) ? spec.write_paths.size() - 1 : 0;
  return (spec.watches.size() + extra) * spec.probes.size();
}

std::vector<std::pair<std::string, std::string>> print_spec(const RunSpec& spec) {
  std::vector<std::pair<std::string, std::string>> values;
  for (const Parameter& parameter : parameters())
    values.emplace_back(parameter.flag.substr(2), parameter.access.print(spec));
  return values;
}

Result<RunSpec> read_spec(const std::vector<std::pair<std::string, std::string>>& values) {
  RunSpec spec;
  for (const auto& [name, text] : values) {
    const auto parameter = std::find_if(parameters().begin(), parameters().end(),
                                        [&, wanted = std::string_view(name)](const auto& row) {
                                          return row.flag.substr(2) == wanted;
                                        });
    if (parameter == parameters().end()) return plain_error("unknown parameter " + name);
    if (text.empty() && parameter->access.print(spec).empty())
      continue;  // --expect without an entry
    if (const Status bad = parameter->access.read(spec, text))
      return plain_error(fmt::format("{}: {}", parameter->flag, bad->message()));
  }
  return spec;
}

std::string probe_settings_text(const RunSpec& spec, Probe probe) {
  std::vector<std::string> settings;
  for (const Parameter& parameter : parameters())
    if (parameter.sets && parameter.sets(probe_row(probe)))
      settings.push_back(
          fmt::format("{}={}", parameter.flag.substr(2), parameter.access.print(spec)));
  return fmt::format("{}", fmt::join(settings, ";"));
}

}  // namespace lastack
