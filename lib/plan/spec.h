// The parameters of one run. One table row is one parameter: its flag, its help, how it is read
// and how it is printed; the command line, run.json and the documentation come from the rows.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/load.h"
#include "model/probe.h"
#include "model/strategy.h"
#include "model/watch.h"
#include "model/write_path.h"
#include "net/namespaces.h"
#include "net/socket.h"
#include "ring/ring.h"

namespace lastack {

constexpr int64_t kMostShards = 512;

enum class Wait : uint8_t { block, spin };
enum class Arrival : uint8_t { storm, constant, poisson };

struct Weight {
  size_t strategy;  // index into strategies()
  double weight;
  bool operator==(const Weight&) const = default;
};

// A test's wrong expectation, or a user's own: `strategy` is to end in `finding`.
struct ExpectationOverride {
  size_t strategy;
  Finding finding;
  bool operator==(const ExpectationOverride&) const = default;
};

// The same for SIGPIPE: whether writes by `path` raise it.
struct SigpipeOverride {
  WritePath path;
  bool raises;
  bool operator==(const SigpipeOverride&) const = default;
};

struct RunSpec {
  int64_t connections = 10'000;
  std::vector<Weight> mix;  // empty: every strategy with weight 1
  std::vector<Watch> watches = {Watch::recv};
  std::vector<Probe> probes = {Probe::none};
  ProbeSettings probe_settings;
  Side survivor = Side::server;
  Wait wait = Wait::block;
  RingMode ring = RingMode::defer;
  VictimSettings victims;
  int64_t per_process = 100;  // connections of one victim process
  Family family = Family::inet;
  bool veth = false;  // --path
  Arrival arrival = Arrival::storm;
  double arrivals_per_second = 0;  // constant and poisson
  int64_t deadline_ns = 5'000'000'000;
  int64_t warm_up_ns = 0;
  int64_t reap_delay_ns = 0;      // a known slowdown, to test comparisons with
  int64_t reap_instructions = 0;  // the same where time is instructions
  Traffic traffic;                // of all connections of the mix together
  int64_t neighbours = 0;         // live connections beside `connections`
  Traffic neighbour_traffic = {.load = Load::echo, .round_trips_per_second = 1000};
  int64_t cpu_hogs = 0;  // processes that compete for the CPU

  int64_t payload_bytes = 512;
  // Watch::writer
  std::vector<WritePath> write_paths = {WritePath::send};
  WriteSettings writing;
  int64_t shards = 0;  // 0: as many as descriptors demand
  int64_t seed = 1;
  bool host_network = false;
  bool keep_events = false;
  std::vector<ExpectationOverride> expect;
  std::vector<SigpipeOverride> expect_sigpipe;
  bool operator==(const RunSpec&) const = default;
};

enum class ParameterKind : uint8_t { text, count, flag };
// What a parameter belongs to, for help and manual.
enum class Group : uint8_t {
  connections,
  dying,
  watching,
  probes,
  writers,
  load,
  path,
  output,
  tests,
};
std::string_view group_title(Group group);

struct Access {
  ParameterKind kind;  // how run.json shows it
  Status (*read)(RunSpec& spec, std::string_view text);
  std::string (*print)(const RunSpec& spec);  // read(print()) changes nothing
};

// The sysctl of the run's namespace that a parameter stands for, and what it is then.
struct ParameterSysctl {
  std::string_view name;  // "net/ipv4/tcp_retries2"; empty: none
  std::string (*value)(const RunSpec& spec) = nullptr;
  std::string_view since = "";  // the Linux that brought it; empty: all that lastack runs on
};

struct Parameter {
  std::string_view flag;         // "--connections"
  std::string_view placeholder;  // "N"; empty for a flag without a value
  Group group;
  std::string_view help;
  Access access;
  // Of a probe's parameter: whether this probe has it.
  bool (*sets)(const ProbeRow& probe) = nullptr;
  ParameterSysctl sysctl = {};
};

std::span<const Parameter> parameters();

// The strategies of the mix with their weights, the default spelled out.
std::vector<Weight> effective_mix(const RunSpec& spec);

// Every parameter as (flag without dashes, printed value); and back.
std::vector<std::pair<std::string, std::string>> print_spec(const RunSpec& spec);
Result<RunSpec> read_spec(const std::vector<std::pair<std::string, std::string>>& values);

// The options that set this probe, "keepalive-idle=1s;keepalive-interval=1s;keepalive-count=2".
std::string probe_settings_text(const RunSpec& spec, Probe probe);

std::string_view wait_name(Wait wait);

// Those of the mix and the neighbours.
int64_t all_connections(const RunSpec& spec);
// The sysctls of the run's namespace that are to be other than the kernel has them.
std::vector<Sysctl> timer_sysctls(const RunSpec& spec);
// The traffic of this row's connections.
const Traffic& traffic_of(const RunSpec& spec, const Strategy& strategy);

bool has_writers(const RunSpec& spec);
// Rows of watch x write path x probe, of each strategy.
size_t rows_per_strategy(const RunSpec& spec);

}  // namespace lastack
