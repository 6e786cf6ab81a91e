#include "plan/spec.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/parse.h"

namespace lastack {
namespace {

constexpr int64_t kMostConnections = 4'000'000;
constexpr int64_t kMostHogs = 1024;
constexpr int64_t kMostPayload = 1 << 20;
constexpr double kSlowestWrites = 1.0 / 3600;
constexpr int64_t kMostSpliced = 512 << 10;  // half of fs.pipe-max-size, as Linux sets it
constexpr int64_t kMostKilled = 2'000;       // a fork copies the table of as many descriptors
constexpr int64_t kLongest_ns = 24ll * 3600 * 1'000'000'000;

// The names of a table's rows, for messages and look-ups.
template <class Row>
std::vector<std::string_view> names_of(std::span<const Row> rows) {
  std::vector<std::string_view> names;
  for (const Row& row : rows) names.push_back(row.name);
  return names;
}

template <class Row>
Result<size_t> find_row(std::string_view what, std::span<const Row> rows, std::string_view name) {
  for (size_t i = 0; i < rows.size(); ++i)
    if (rows[i].name == name) return i;
  return unknown_name(what, name, names_of(rows));
}

// Stores the id of the row that `text` names.
template <class Row, class Id>
Status read_row(std::string_view what, std::span<const Row> rows, std::string_view text, Id& id) {
  const auto index = find_row(what, rows, text);
  if (!index) return index.error();
  id = rows[*index].id;
  return std::nullopt;
}

// Stores the ids that a comma-separated list names, each once.
template <class Row, class Id>
Status read_rows(std::string_view what, std::span<const Row> rows, std::string_view text,
                 std::vector<Id>& ids) {
  std::vector<Id> read;
  for (const std::string_view name : split(text, ',')) {
    Id id{};
    if (Status bad = read_row(what, rows, name, id)) return bad;
    if (std::find(read.begin(), read.end(), id) != read.end())
      return plain_error(fmt::format("{} '{}' is named twice", what, name));
    read.push_back(id);
  }
  if (read.empty())
    return plain_error(
        fmt::format("no {} given; allowed: {}", what, fmt::join(names_of(rows), ", ")));
  ids = std::move(read);
  return std::nullopt;
}

template <class Row, class Id>
std::string print_rows(std::span<const Row> rows, const std::vector<Id>& ids) {
  std::vector<std::string_view> names;
  for (const Id id : ids) names.push_back(rows[static_cast<size_t>(id)].name);
  return fmt::format("{}", fmt::join(names, ","));
}

// Names of values that need no table of their own.
template <class Id>
struct Named {
  Id id;
  std::string_view name;
};
constexpr Named<Side> kSides[] = {{Side::server, "server"}, {Side::client, "client"}};
constexpr Named<Wait> kWaits[] = {{Wait::block, "block"}, {Wait::spin, "spin"}};
constexpr Named<Family> kFamilies[] = {{Family::inet, "inet"}, {Family::inet6, "inet6"}};
constexpr Named<bool> kDescriptors[] = {{false, "plain"}, {true, "direct"}};
constexpr Named<VictimRequests> kVictimRequests[] = {{VictimRequests::none, "none"},
                                                     {VictimRequests::recv, "recv"},
                                                     {VictimRequests::recv_cancel, "recv-cancel"}};
constexpr Named<bool> kPhases[] = {{false, "spread"}, {true, "aligned"}};
constexpr Named<bool> kReaders[] = {{false, "running"}, {true, "stopped"}};
constexpr Named<bool> kPaths[] = {{false, "loopback"}, {true, "veth"}};
constexpr Named<bool> kFlags[] = {{false, "false"}, {true, "true"}};

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

Status read_count(std::string_view text, int64_t least, int64_t most, int64_t& value) {
  return read_number(text, parse_count, format_count, least, most, value);
}

Status read_duration(std::string_view text, int64_t least_ns, int64_t& value_ns) {
  return read_number(text, parse_duration, format_duration, least_ns, kLongest_ns, value_ns);
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

std::string print_mix(const RunSpec& spec) {
  std::vector<std::string> parts;
  for (const Weight& weight : effective_mix(spec))
    parts.push_back(
        fmt::format("{}={}", strategies()[weight.strategy].name, format_weight(weight.weight)));
  return fmt::format("{}", fmt::join(parts, ","));
}

std::string print_arrival(const RunSpec& spec) {
  switch (spec.arrival) {
    case Arrival::storm:
      return "storm";
    case Arrival::constant:
      return "rate=" + format_rate(spec.arrivals_per_second);
    case Arrival::poisson:
      return "poisson=" + format_rate(spec.arrivals_per_second);
  }
  return "";
}

Status read_traffic(std::string_view text, Traffic& traffic) {
  for (const Load load : {Load::idle, Load::bulk}) {
    if (text != load_row(load).name) continue;
    traffic = {load, 0};
    return std::nullopt;
  }
  if (!text.starts_with("echo="))
    return plain_error(
        fmt::format("'{}' is not a load; allowed: idle, bulk, echo=RATE (echo=5k/s)", text));
  const auto rate = parse_rate(text.substr(5));
  if (!rate) return rate.error();
  traffic = {Load::echo, *rate};
  return std::nullopt;
}

std::string print_traffic(const Traffic& traffic) {
  if (traffic.load != Load::echo) return std::string(load_row(traffic.load).name);
  return "echo=" + format_rate(traffic.round_trips_per_second);
}

struct Pace {
  bool poisson;
  double per_second;
};

// "rate=5k/s" or "poisson=5k/s"; `refusal` says what anything else is not, and what is allowed.
Result<Pace> read_pace(std::string_view text, std::string_view refusal) {
  const bool poisson = text.starts_with("poisson=");
  if (!poisson && !text.starts_with("rate="))
    return plain_error(fmt::format("'{}' {}", text, refusal));
  const auto rate = parse_rate(text.substr(text.find('=') + 1));
  if (!rate) return rate.error();
  return Pace{poisson, *rate};
}

Status read_write_rate(RunSpec& spec, std::string_view text) {
  if (text == "max") {
    spec.poisson_writes = false;
    spec.writes_per_second = 0;
    return std::nullopt;
  }
  const auto pace =
      read_pace(text, "is not a write rate; allowed: rate=RATE, poisson=RATE (rate=10/s), max");
  if (!pace) return pace.error();
  if (pace->per_second < kSlowestWrites)
    return plain_error(fmt::format("'{}' is less than one write an hour", text));
  spec.poisson_writes = pace->poisson;
  spec.writes_per_second = pace->per_second;
  return std::nullopt;
}

std::string print_write_rate(const RunSpec& spec) {
  if (spec.writes_per_second == 0) return "max";
  return (spec.poisson_writes ? "poisson=" : "rate=") + format_rate(spec.writes_per_second);
}

Status read_write_paths(RunSpec& spec, std::string_view text) {
  if (text != "all") return read_rows("write path", write_paths(), text, spec.write_paths);
  spec.write_paths.clear();
  for (const WritePathRow& row : write_paths()) spec.write_paths.push_back(row.id);
  return std::nullopt;
}

std::string print_write_paths(const RunSpec& spec) {
  std::vector<std::string_view> names;
  for (const WritePath path : spec.write_paths) names.push_back(write_path_row(path).name);
  return fmt::format("{}", fmt::join(names, ","));
}

constexpr std::string_view kSigpipe = "sigpipe", kNoSigpipe = "no-sigpipe";

// WRITE-PATH=sigpipe or WRITE-PATH=no-sigpipe.
Status read_expect_sigpipe(std::string_view part, std::vector<SigpipeOverride>& overrides) {
  const size_t equals = part.find('=');
  SigpipeOverride entry{WritePath::none, part.substr(equals + 1) == kSigpipe};
  if (Status bad = read_row("write path", write_paths(), part.substr(0, equals), entry.path))
    return bad;
  for (const SigpipeOverride& earlier : overrides)
    if (earlier.path == entry.path)
      return plain_error(
          fmt::format("write path '{}' is named twice", write_path_row(entry.path).name));
  overrides.push_back(entry);
  return std::nullopt;
}

Status read_expect(RunSpec& spec, std::string_view text) {
  std::vector<ExpectationOverride> overrides;
  std::vector<SigpipeOverride> signals;
  for (const std::string_view part : split(text, ',')) {
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos)
      return plain_error(fmt::format(
          "'{}' is not STRATEGY=FINDING or WRITE-PATH=sigpipe|no-sigpipe, such as fin=eof", part));
    const std::string_view wanted = part.substr(equals + 1);
    if (wanted == kSigpipe || wanted == kNoSigpipe) {
      if (Status bad = read_expect_sigpipe(part, signals)) return bad;
      continue;
    }
    const auto strategy = find_row("strategy", strategies(), part.substr(0, equals));
    if (!strategy) return strategy.error();
    const auto finding = find_row("finding", std::span<const FindingRow>(kFindings), wanted);
    if (!finding) return finding.error();
    for (const ExpectationOverride& earlier : overrides)
      if (earlier.strategy == *strategy)
        return plain_error(
            fmt::format("strategy '{}' is named twice", strategies()[*strategy].name));
    overrides.push_back({*strategy, static_cast<Finding>(*finding)});
  }
  spec.expect = std::move(overrides);
  spec.expect_sigpipe = std::move(signals);
  return std::nullopt;
}

std::string print_expect(const RunSpec& spec) {
  std::vector<std::string> parts;
  for (const ExpectationOverride& entry : spec.expect)
    parts.push_back(
        fmt::format("{}={}", strategies()[entry.strategy].name, finding_row(entry.finding).name));
  for (const SigpipeOverride& entry : spec.expect_sigpipe)
    parts.push_back(fmt::format("{}={}", write_path_row(entry.path).name,
                                entry.raises ? kSigpipe : kNoSigpipe));
  return fmt::format("{}", fmt::join(parts, ","));
}

constexpr Parameter kParameters[] = {
    {"--connections", "N", ParameterKind::count, "TCP connections to open and to let die",
     [](RunSpec& s, std::string_view t) {
       return read_count(t, 1, kMostConnections, s.connections);
     },
     [](const RunSpec& s) { return format_count(s.connections); }},
    {"--mix", "NAME=WEIGHT,...", ParameterKind::text,
     "close strategies and their weights (see `lastack list`); 'all' gives each the same",
     [](RunSpec& s, std::string_view t) -> Status {
       auto mix = parse_mix(t);
       if (!mix) return mix.error();
       s.mix = std::move(*mix);
       return std::nullopt;
     },
     print_mix},
    {"--watch", "NAME,...", ParameterKind::text,
     "how survivors wait on their sockets; several are crossed with the mix",
     [](RunSpec& s, std::string_view t) { return read_rows("watch", watches(), t, s.watches); },
     [](const RunSpec& s) { return print_rows(watches(), s.watches); }},
    {"--probe", "NAME,...", ParameterKind::text,
     "what makes a silent peer noticeable; several are crossed with the mix",
     [](RunSpec& s, std::string_view t) { return read_rows("probe", probes(), t, s.probes); },
     [](const RunSpec& s) { return print_rows(probes(), s.probes); }},
    {"--survivor", "SIDE", ParameterKind::text, "which end survives: server or client",
     [](RunSpec& s, std::string_view t) {
       return read_row("survivor side", rows_of(kSides), t, s.survivor);
     },
     [](const RunSpec& s) { return std::string(side_name(s.survivor)); }},
    {"--schedule", "WHEN", ParameterKind::text,
     "when connections die: storm (all at once), rate=5k/s or poisson=5k/s", parse_arrival,
     print_arrival},
    {"--deadline", "TIME", ParameterKind::text,
     "how long after its injection a connection may still find out",
     [](RunSpec& s, std::string_view t) { return read_duration(t, 1'000'000, s.deadline_ns); },
     [](const RunSpec& s) { return format_duration(s.deadline_ns); }},
    {"--load", "LOAD", ParameterKind::text,
     "traffic while the survivors wait: idle, echo=RATE round trips a second in all, or bulk "
     "(every "
     "survivor sends all it can)",
     [](RunSpec& s, std::string_view t) { return read_traffic(t, s.traffic); },
     [](const RunSpec& s) { return print_traffic(s.traffic); }},
    {"--neighbours", "N", ParameterKind::count,
     "live connections beside the mix, with the same watches and probes, which nobody may take for "
     "dead",
     [](RunSpec& s, std::string_view t) {
       return read_count(t, 0, kMostConnections, s.neighbours);
     },
     [](const RunSpec& s) { return format_count(s.neighbours); }},
    {"--neighbour-load", "LOAD", ParameterKind::text, "the traffic of the neighbours, as --load",
     [](RunSpec& s, std::string_view t) { return read_traffic(t, s.neighbour_traffic); },
     [](const RunSpec& s) { return print_traffic(s.neighbour_traffic); }},
    {"--cpu-hog", "N", ParameterKind::count,
     "processes that do nothing but use CPU, from the armed watch until the ledger is closed",
     [](RunSpec& s, std::string_view t) { return read_count(t, 0, kMostHogs, s.cpu_hogs); },
     [](const RunSpec& s) { return format_count(s.cpu_hogs); }},
    {"--payload", "SIZE", ParameterKind::text, "bytes of a message",
     [](RunSpec& s, std::string_view t) {
       return read_number(t, parse_size, format_size, 1, kMostPayload, s.payload_bytes);
     },
     [](const RunSpec& s) { return format_size(s.payload_bytes); }},
    {"--write-path", "NAME,...", ParameterKind::text,
     "how survivors of --watch writer write (see `lastack list`); several are crossed; 'all'",
     read_write_paths, print_write_paths},
    {"--write-rate", "RATE", ParameterKind::text,
     "writes of each connection of --watch writer: rate=10/s, poisson=10/s, or max",
     read_write_rate, print_write_rate},
    {"--before-write", "WHAT", ParameterKind::text,
     "what --watch writer does before each write: none, poll (and no write to an ended one) or "
     "recv",
     [](RunSpec& s, std::string_view t) {
       return read_row("step before a write", before_writes(), t, s.before_write);
     },
     [](const RunSpec& s) {
       return std::string(before_writes()[static_cast<size_t>(s.before_write)].name);
     }},
    {"--sigpipe", "HOW", ParameterKind::text,
     "what becomes of the writers' SIGPIPE: handler or signalfd (counted), ignore, or default (a "
     "child dies of each)",
     [](RunSpec& s, std::string_view t) {
       return read_row("way with SIGPIPE", sigpipe_modes(), t, s.sigpipe);
     },
     [](const RunSpec& s) {
       return std::string(sigpipe_modes()[static_cast<size_t>(s.sigpipe)].name);
     }},
    {"--warm-up", "TIME", ParameterKind::text, "time between the armed watch and the first death",
     [](RunSpec& s, std::string_view t) { return read_duration(t, 0, s.warm_up_ns); },
     [](const RunSpec& s) { return format_duration(s.warm_up_ns); }},
    {"--reap-delay", "TIME", ParameterKind::text,
     "for tests of comparisons only: survivors' threads spin so long before every look at what "
     "their wait returned",
     [](RunSpec& s, std::string_view t) {
       return read_number(t, parse_duration, format_duration, 0, kSecond_ns, s.reap_delay_ns);
     },
     [](const RunSpec& s) { return format_duration(s.reap_delay_ns); }},
    {"--wait", "HOW", ParameterKind::text,
     "how survivors' threads wait for completions: block (sleep) or spin",
     [](RunSpec& s, std::string_view t) { return read_row("wait", rows_of(kWaits), t, s.wait); },
     [](const RunSpec& s) { return std::string(wait_name(s.wait)); }},
    {"--ring", "MODE", ParameterKind::text,
     "set-up of the survivors' io_uring: default, coop, defer or sqpoll",
     [](RunSpec& s, std::string_view t) { return read_row("ring mode", ring_modes(), t, s.ring); },
     [](const RunSpec& s) { return std::string(ring_modes()[static_cast<size_t>(s.ring)].name); }},
    {"--descriptors", "KIND", ParameterKind::text,
     "the victims' descriptors: plain, or direct (registered in the ring)",
     [](RunSpec& s, std::string_view t) {
       return read_row("descriptor kind", rows_of(kDescriptors), t, s.direct_descriptors);
     },
     [](const RunSpec& s) { return std::string(kDescriptors[s.direct_descriptors ? 1 : 0].name); }},
    {"--victim-requests", "KIND", ParameterKind::text,
     "io_uring requests that victims have in flight: none; recv, an armed receive each, which a "
     "close() leaves as it is and which holds its FIN or RST back; or recv-cancel, which is "
     "cancelled before the act. Those of --watch writer always read",
     [](RunSpec& s, std::string_view t) {
       return read_row("kind of victim request", rows_of(kVictimRequests), t, s.victim_requests);
     },
     [](const RunSpec& s) {
       return std::string(kVictimRequests[static_cast<size_t>(s.victim_requests)].name);
     }},
    {"--per-process", "N", ParameterKind::count,
     "connections of each process that dies (exit, sigkill, freeze)",
     [](RunSpec& s, std::string_view t) {
       return read_count(t, 1, kMostConnections, s.per_process);
     },
     [](const RunSpec& s) { return format_count(s.per_process); }},
    {"--path", "PATH", ParameterKind::text,
     "the way packets take: loopback, or veth between two namespaces",
     [](RunSpec& s, std::string_view t) { return read_row("path", rows_of(kPaths), t, s.veth); },
     [](const RunSpec& s) { return std::string(kPaths[s.veth ? 1 : 0].name); }},
    {"--cut-for", "TIME", ParameterKind::text, "how long cable-restore cuts the path",
     [](RunSpec& s, std::string_view t) { return read_duration(t, 1'000'000, s.cut_for_ns); },
     [](const RunSpec& s) { return format_duration(s.cut_for_ns); }},
    {"--family", "FAMILY", ParameterKind::text, "address family: inet or inet6",
     [](RunSpec& s, std::string_view t) {
       return read_row("family", rows_of(kFamilies), t, s.family);
     },
     [](const RunSpec& s) { return std::string(kFamilies[static_cast<size_t>(s.family)].name); }},
    {"--keepalive-idle", "TIME", ParameterKind::text, "TCP_KEEPIDLE, whole seconds",
     [](RunSpec& s, std::string_view t) {
       return read_multiple(t, 1'000'000'000, 32767, s.probe_settings.keepalive_idle_ns);
     },
     [](const RunSpec& s) { return format_duration(s.probe_settings.keepalive_idle_ns); }},
    {"--keepalive-interval", "TIME", ParameterKind::text, "TCP_KEEPINTVL, whole seconds",
     [](RunSpec& s, std::string_view t) {
       return read_multiple(t, 1'000'000'000, 32767, s.probe_settings.keepalive_interval_ns);
     },
     [](const RunSpec& s) { return format_duration(s.probe_settings.keepalive_interval_ns); }},
    {"--keepalive-count", "N", ParameterKind::count, "TCP_KEEPCNT",
     [](RunSpec& s, std::string_view t) {
       return read_count(t, 1, 127, s.probe_settings.keepalive_count);
     },
     [](const RunSpec& s) { return format_count(s.probe_settings.keepalive_count); }},
    {"--user-timeout", "TIME", ParameterKind::text, "TCP_USER_TIMEOUT, whole milliseconds",
     [](RunSpec& s, std::string_view t) {
       return read_multiple(t, 1'000'000, 86'400'000, s.probe_settings.user_timeout_ns);
     },
     [](const RunSpec& s) { return format_duration(s.probe_settings.user_timeout_ns); }},
    {"--retries2", "N", ParameterKind::count,
     "tcp_retries2 of the run's namespace: when unacknowledged data ends a connection",
     [](RunSpec& s, std::string_view t) {
       return read_count(t, 0, 255, s.probe_settings.retries2);
     },
     [](const RunSpec& s) { return format_count(s.probe_settings.retries2); }},
    {"--rto-min", "TIME", ParameterKind::text,
     "tcp_rto_min_us of the run's namespace, whole milliseconds",
     [](RunSpec& s, std::string_view t) {
       return read_multiple(t, 1'000'000, 10'000, s.probe_settings.rto_min_ns);
     },
     [](const RunSpec& s) { return format_duration(s.probe_settings.rto_min_ns); }},
    {"--rto-max", "TIME", ParameterKind::text,
     "tcp_rto_max_ms of the run's namespace, whole seconds",
     [](RunSpec& s, std::string_view t) {
       return read_multiple(t, 1'000'000'000, 120, s.probe_settings.rto_max_ns);
     },
     [](const RunSpec& s) { return format_duration(s.probe_settings.rto_max_ns); }},
    {"--heartbeat-interval", "TIME", ParameterKind::text,
     "a heartbeat goes out when nothing came for about so long",
     [](RunSpec& s, std::string_view t) {
       return read_duration(t, 1'000'000, s.probe_settings.heartbeat_interval_ns);
     },
     [](const RunSpec& s) { return format_duration(s.probe_settings.heartbeat_interval_ns); }},
    {"--heartbeat-deadline", "TIME", ParameterKind::text,
     "a peer is dead when nothing came for so long",
     [](RunSpec& s, std::string_view t) {
       return read_duration(t, 1'000'000, s.probe_settings.heartbeat_deadline_ns);
     },
     [](const RunSpec& s) { return format_duration(s.probe_settings.heartbeat_deadline_ns); }},
    {"--heartbeat-phase", "PHASE", ParameterKind::text,
     "when the connections' heartbeats go out: spread over the interval, or aligned",
     [](RunSpec& s, std::string_view t) {
       return read_row("heartbeat phase", rows_of(kPhases), t, s.probe_settings.heartbeats_aligned);
     },
     [](const RunSpec& s) {
       return std::string(kPhases[s.probe_settings.heartbeats_aligned ? 1 : 0].name);
     }},
    {"--reader", "STATE", ParameterKind::text,
     "whether victims read: running, or stopped, behind windows that survivors filled",
     [](RunSpec& s, std::string_view t) {
       return read_row("state of the reader", rows_of(kReaders), t, s.reader_stopped);
     },
     [](const RunSpec& s) { return std::string(kReaders[s.reader_stopped ? 1 : 0].name); }},
    {"--seed", "N", ParameterKind::count,
     "repeats the assignment of strategies and instants exactly",
     [](RunSpec& s, std::string_view t) { return read_count(t, 0, 1'000'000'000'000, s.seed); },
     [](const RunSpec& s) { return fmt::format("{}", s.seed); }},
    {"--shards", "N", ParameterKind::count,
     "pairs of worker processes for rows that can share them (one engine, one kind of path); 0 "
     "means "
     "as few as the limit of open files allows",
     [](RunSpec& s, std::string_view t) { return read_count(t, 0, kMostShards, s.shards); },
     [](const RunSpec& s) { return format_count(s.shards); }},
    {"--expect", "NAME=FINDING,...", ParameterKind::text,
     "replaces a strategy's expected finding, or with WRITE-PATH=sigpipe|no-sigpipe what a write "
     "path raises, for instance to prove that a miss is caught",
     read_expect, print_expect},
    {"--host-network", "", ParameterKind::flag,
     "runs in the caller's network namespace instead of a private one",
     [](RunSpec& s, std::string_view t) {
       return read_row("value of --host-network", rows_of(kFlags), t, s.host_network);
     },
     [](const RunSpec& s) { return std::string(s.host_network ? "true" : "false"); }},
    {"--events", "", ParameterKind::flag, "also writes events.csv, a row per connection",
     [](RunSpec& s, std::string_view t) {
       return read_row("value of --events", rows_of(kFlags), t, s.keep_events);
     },
     [](const RunSpec& s) { return std::string(s.keep_events ? "true" : "false"); }},
};

}  // namespace

std::span<const Parameter> parameters() { return kParameters; }

std::string_view wait_name(Wait wait) { return kWaits[static_cast<size_t>(wait)].name; }

Result<std::vector<Weight>> parse_mix(std::string_view text) {
  std::vector<Weight> mix;
  double sum = 0;
  for (const std::string_view part : split(text, ',')) {
    const size_t equals = part.find('=');
    const std::string_view name = part.substr(0, equals);
    double weight = 1;
    if (equals != std::string_view::npos) {
      const auto number = parse_weight(part.substr(equals + 1));
      if (!number) return number.error();
      weight = *number;
    }
    const size_t before = mix.size();
    if (name == "all") {
      for (const size_t strategy : close_strategies()) mix.push_back({strategy, weight});
    } else {
      const auto strategy = find_row("strategy", strategies(), name);
      if (!strategy) return strategy.error();
      mix.push_back({*strategy, weight});
    }
    for (size_t i = before; i < mix.size(); ++i) {
      sum += mix[i].weight;
      for (size_t j = 0; j < before; ++j)
        if (mix[j].strategy == mix[i].strategy)
          return plain_error(
              fmt::format("strategy '{}' is named twice", strategies()[mix[i].strategy].name));
    }
  }
  if (sum <= 0)
    return plain_error(fmt::format(
        "the mix '{}' sums to nothing; allowed: NAME=WEIGHT,... with a weight above 0", text));
  std::erase_if(mix, [](const Weight& weight) { return weight.weight == 0; });
  return mix;
}

Status parse_arrival(RunSpec& spec, std::string_view text) {
  if (text == "storm") {
    spec.arrival = Arrival::storm;
    spec.arrivals_per_second = 0;
    return std::nullopt;
  }
  const auto pace =
      read_pace(text, "is not a schedule; allowed: storm, rate=RATE, poisson=RATE (rate=5k/s)");
  if (!pace) return pace.error();
  spec.arrival = pace->poisson ? Arrival::poisson : Arrival::constant;
  spec.arrivals_per_second = pace->per_second;
  return std::nullopt;
}

std::vector<Weight> effective_mix(const RunSpec& spec) {
  if (!spec.mix.empty()) return spec.mix;
  return *parse_mix("all");
}

namespace {

// The writers' options without a writer, and what a writer cannot do.
Status check_writers(const RunSpec& spec) {
  if (!has_writers(spec)) {
    const RunSpec none;
    const bool given = spec.write_paths != none.write_paths ||
                       print_write_rate(spec) != print_write_rate(none) ||
                       spec.before_write != none.before_write || spec.sigpipe != none.sigpipe ||
                       !spec.expect_sigpipe.empty();
    if (given)
      return plain_error(
          "--write-path, --write-rate, --before-write, --sigpipe and signals in --expect are for "
          "--watch writer, which is not given");
    return std::nullopt;
  }
  if (spec.ring == RingMode::sqpoll)
    return plain_error(
        "--ring sqpoll changes which thread the writers' SIGPIPE goes to; allowed: --write-path "
        "write-sqpoll");
  if (spec.direct_descriptors)
    return plain_error(
        "--descriptors direct hides from the victims of --watch writer what their kernel received; "
        "allowed: plain");
  if (spec.sigpipe == SigpipeMode::kill && spec.connections > kMostKilled)
    return plain_error(fmt::format(
        "--sigpipe default makes a process for each of up to {} signals, about a millisecond each; "
        "allowed: at most {} connections",
        format_count(spec.connections), format_count(kMostKilled)));
  const auto writes_by = [&](WritePath path) {
    return std::find(spec.write_paths.begin(), spec.write_paths.end(), path) !=
           spec.write_paths.end();
  };
  for (const WritePath path : {WritePath::write_linked, WritePath::sendfile})
    if (spec.sigpipe == SigpipeMode::kill && writes_by(path))
      return plain_error(
          fmt::format("--sigpipe default cannot tell what --write-path {} had accepted when it "
                      "killed the process; allowed: handler, signalfd or ignore",
                      write_path_row(path).name));
  if (writes_by(WritePath::splice) && spec.payload_bytes > kMostSpliced)
    return plain_error(fmt::format(
        "--payload {} does not fit into the pipe of --write-path splice; allowed: at most {}",
        format_size(spec.payload_bytes), format_size(kMostSpliced)));
  for (const SigpipeOverride& entry : spec.expect_sigpipe)
    if (!writes_by(entry.path))
      return plain_error(fmt::format("--expect names write path '{}', which --write-path does not",
                                     write_path_row(entry.path).name));
  return std::nullopt;
}

// What the probes' settings and a stopped reader want of the rest.
Status check_probes(const RunSpec& spec) {
  const ProbeSettings& settings = spec.probe_settings;
  // Of those who stay there is nothing to find.
  const bool anybody_goes = std::ranges::any_of(effective_mix(spec), [](const Weight& weight) {
    return !stays_alive(strategies()[weight.strategy]);
  });
  for (const Probe probe : spec.probes) {
    const ProbeRow& row = probe_row(probe);
    const int64_t nominal = anybody_goes ? nominal_ns(probe, settings) : 0;
    if (spec.deadline_ns < nominal)
      return plain_error(
          fmt::format("--deadline {} is below the {} that probe '{}' needs; allowed: at least that",
                      format_duration(spec.deadline_ns), format_duration(nominal), row.name));
    const bool bulk = spec.traffic.load == Load::bulk ||
                      (spec.neighbours > 0 && spec.neighbour_traffic.load == Load::bulk);
    if (row.heartbeat != Heartbeat::none && bulk && spec.direct_descriptors)
      return plain_error(
          "victims with --descriptors direct answer no heartbeat under bulk load; allowed: plain");
    if (row.heartbeat == Heartbeat::link && spec.ring == RingMode::sqpoll)
      return plain_error(fmt::format(
          "--ring sqpoll may take a receive without its timeout, which probe '{}' links to it; "
          "allowed: default, coop or defer",
          row.name));
    if (row.heartbeat != Heartbeat::none &&
        settings.heartbeat_deadline_ns <= settings.heartbeat_interval_ns)
      return plain_error(fmt::format(
          "--heartbeat-deadline {} leaves no time for an answer to a heartbeat every {}; allowed: "
          "more than --heartbeat-interval",
          format_duration(settings.heartbeat_deadline_ns),
          format_duration(settings.heartbeat_interval_ns)));
  }
  if (spec.host_network && !timer_sysctls(spec).empty())
    return plain_error(
        "--retries2, --rto-min and --rto-max are sysctls of a private namespace; allowed: without "
        "--host-network");
  if (settings.rto_min_ns > settings.rto_max_ns)
    return plain_error(fmt::format("--rto-min {} is more than --rto-max {}",
                                   format_duration(settings.rto_min_ns),
                                   format_duration(settings.rto_max_ns)));
  if (!spec.reader_stopped) return std::nullopt;
  if (spec.traffic.load != Load::idle || spec.victim_requests != VictimRequests::none)
    return plain_error(
        "--reader stopped is for survivors that filled a window and wait; allowed: --load idle and "
        "--victim-requests none");
  for (const Watch watch : spec.watches)
    if (engine_row(watch_row(watch).engine).only_writes)
      return plain_error(
          fmt::format("--reader stopped fills the windows before --watch {} writes; "
                      "allowed: watches that read",
                      watch_row(watch).name));
  for (const Weight& weight : effective_mix(spec))
    if (strategies()[weight.strategy].finding != Finding::nothing)
      return plain_error(fmt::format(
          "--reader stopped leaves data unread, which turns '{}' into an RST; allowed: strategies "
          "that say nothing (silent, vanish, freeze, cable ...) and alive",
          strategies()[weight.strategy].name));
  return std::nullopt;
}

}  // namespace

bool has_writers(const RunSpec& spec) {
  return std::find(spec.watches.begin(), spec.watches.end(), Watch::writer) != spec.watches.end();
}

std::vector<Sysctl> timer_sysctls(const RunSpec& spec) {
  const ProbeSettings &wanted = spec.probe_settings, kernel;
  std::vector<Sysctl> sysctls;
  const auto set = [&](const char* name, int64_t value, int64_t default_value, int64_t unit) {
    if (value != default_value) sysctls.push_back({name, fmt::format("{}", value / unit)});
  };
  set("net/ipv4/tcp_retries2", wanted.retries2, kernel.retries2, 1);
  set("net/ipv4/tcp_rto_min_us", wanted.rto_min_ns, kernel.rto_min_ns, 1000);
  set("net/ipv4/tcp_rto_max_ms", wanted.rto_max_ns, kernel.rto_max_ns, 1'000'000);
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

Status check_spec(const RunSpec& spec) {
  const size_t rows = effective_mix(spec).size() * rows_per_strategy(spec);
  if (static_cast<size_t>(spec.connections) < rows)
    return plain_error(fmt::format(
        "--connections {} is fewer than the {} rows of --mix x --watch x --probe x --write-path; "
        "allowed: at least {}",
        spec.connections, rows, rows));
  if (spec.neighbours > 0) {
    for (const Weight& weight : effective_mix(spec))
      if (stays_alive(strategies()[weight.strategy]))
        return plain_error(
            "--neighbours and 'alive' in --mix are the same row of the ledger; allowed: one of "
            "them");
    for (const Watch watch : spec.watches)
      if (spec.neighbour_traffic.load != Load::idle &&
          !engine_row(watch_row(watch).engine).carries_load)
        return plain_error(
            fmt::format("--neighbour-load {} cannot run over --watch {}; allowed: idle",
                        print_traffic(spec.neighbour_traffic), watch_row(watch).name));
    const size_t neighbour_rows = rows_per_strategy(spec);
    if (static_cast<size_t>(spec.neighbours) < neighbour_rows)
      return plain_error(
          fmt::format("--neighbours {} is fewer than the {} rows of --watch x --probe; allowed: 0, "
                      "or at least {}",
                      spec.neighbours, neighbour_rows, neighbour_rows));
  }
  if (spec.shards > spec.connections)
    return plain_error(
        fmt::format("--shards {} is more than --connections {}", spec.shards, spec.connections));
  if (Status bad = check_writers(spec)) return bad;
  bool rings =
      has_writers(spec) && std::any_of(spec.write_paths.begin(), spec.write_paths.end(),
                                       [](WritePath path) { return write_path_row(path).ring; });
  for (const Watch watch : spec.watches) {
    const EngineRow& engine = engine_row(watch_row(watch).engine);
    rings = rings || engine.id == Engine::io_uring;
    if (spec.traffic.load != Load::idle && !engine.carries_load)
      return plain_error(
          fmt::format("--load {} cannot run over --watch {}, whose survivors make no call before "
                      "their victim has gone; allowed: idle",
                      print_traffic(spec.traffic), watch_row(watch).name));
    if (spec.wait == Wait::spin && !engine.may_spin)
      return plain_error(fmt::format(
          "--wait spin has no meaning for --watch {}, whose threads sleep in their calls; allowed: "
          "block",
          watch_row(watch).name));
    if (engine.id == Engine::late && spec.deadline_ns < kLateLeastDeadline_ns)
      return plain_error(fmt::format(
          "--deadline {} is too short for --watch {}, which writes every {}; allowed: at least {}",
          format_duration(spec.deadline_ns), watch_row(watch).name, format_duration(kLateWrite_ns),
          format_duration(kLateLeastDeadline_ns)));
  }
  if (!rings && spec.ring != RunSpec().ring)
    return plain_error(fmt::format(
        "--ring {} sets up the survivors' io_uring, and no --watch uses one; allowed: no --ring",
        ring_modes()[static_cast<size_t>(spec.ring)].name));
  if (Status bad = check_probes(spec)) return bad;
  if (spec.veth && (spec.host_network || spec.family != Family::inet))
    return plain_error(
        fmt::format("--path veth needs namespaces of its own and IPv4, and {} is given",
                    spec.host_network ? "--host-network" : "--family inet6"));
  if (spec.arrival != Arrival::storm) {
    const double seconds = static_cast<double>(spec.connections) / spec.arrivals_per_second;
    if (seconds > 24 * 3600)
      return plain_error(
          fmt::format("--schedule {} takes {:.0f} s for {} connections; allowed: "
                      "at most a day",
                      print_arrival(spec), seconds, spec.connections));
  }
  return std::nullopt;
}

std::vector<std::pair<std::string, std::string>> print_spec(const RunSpec& spec) {
  std::vector<std::pair<std::string, std::string>> values;
  for (const Parameter& parameter : parameters())
    values.emplace_back(parameter.flag.substr(2), parameter.print(spec));
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
    if (text.empty() && parameter->print(spec).empty()) continue;  // --expect without an entry
    if (const Status bad = parameter->read(spec, text))
      return plain_error(fmt::format("{}: {}", parameter->flag, bad->message()));
  }
  return spec;
}

std::string probe_settings_text(const RunSpec& spec, Probe probe) {
  // A part of a probe's name, and how the options begin that set it.
  constexpr std::pair<std::string_view, std::string_view> kParts[] = {
      {"keepalive", "keepalive"}, {"user-timeout", "user-timeout"},
      {"heartbeat", "heartbeat"}, {"retransmit", "retries2"},
      {"retransmit", "rto"},
  };
  const std::string_view name = probe_row(probe).name;
  std::vector<std::string> settings;
  for (const auto& [option, value] : print_spec(spec))
    for (const auto& [part, start] : kParts)
      if (name.find(part) != std::string_view::npos && option.starts_with(start))
        settings.push_back(fmt::format("{}={}", option, value));
  return fmt::format("{}", fmt::join(settings, ";"));
}

}  // namespace lastack
