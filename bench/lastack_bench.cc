// The lastack-bench program: the rows of the suites as Google Benchmark rows, beside lastack
// without sockets and the floor, the smallest C program that does the same; and the comparison with
// the floor. All work is in lib/.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "base/kernel_config.h"
#include "base/parse.h"
#include "base/printable.h"
#include "base/rows.h"
#include "base/table.h"
#include "base/time_unit.h"
#include "bench_context.h"
#include "null_rows.h"
#include "output.h"
#include "plan/plan.h"
#include "plan/values.h"
#include "report/environment.h"
#include "reporters.h"
#include "run/runner.h"
#include "sigpipe_cost.h"
#include "suite/suite.h"

extern char** environ;

namespace lastack {
namespace {

constexpr std::string_view kProgram = "lastack-bench";
constexpr int kOutsideRatio = 1, kBadUsage = 2;  // exit codes of the comparison
constexpr int64_t kRuns = 10, kMostRuns = 1000;

enum class Figure : uint8_t { p50, span };  // which of a run's figures is the row's time

// What lastack and the floor both measure: connections that end in an RST.
struct Scenario {
  std::string_view name;
  int64_t connections;
  int64_t rate;  // per second; 0: a storm
  Wait wait;
  Figure figure;
  double allowed;  // most that lastack may take of the floor's time; 0: shown, not judged
};

constexpr Scenario kScenarios[] = {
    {"rst_latency_spin", 2'000, 2'000, Wait::spin, Figure::p50, 1.3},
    // A sleeper's latency is mostly that of being woken, which no program here can change.
    {"rst_latency_block", 2'000, 2'000, Wait::block, Figure::p50, 0},
    {"rst_storm_spin", 10'000, 0, Wait::spin, Figure::span, 1.25},
    {"rst_storm_block", 10'000, 0, Wait::block, Figure::span, 0},
};
static_assert(named(kScenarios, &Scenario::name));

// What is kept of a run, whoever ran it. What a row does not have is not shown.
struct Figures {
  int64_t p50_ns = 0, p99_ns = 0, p999_ns = 0;
  std::optional<int64_t> span_ns;  // from the first t0 to the last finding
  std::optional<int64_t> found, nothing;
  std::optional<double> cpu_ns_per_connection;
  std::string too_slow;  // by how much the acts fell behind; empty: they did not
};

int64_t time_ns(const Figures& figures, Figure figure) {
  return figure == Figure::span ? figures.span_ns.value_or(0) : figures.p50_ns;
}

// --- lastack's side

RunSpec spec_of(const Scenario& scenario) {
  RunSpec spec;
  spec.connections = scenario.connections;
  spec.mix = *parse_mix("rst-linger");
  spec.watches = {Watch::recv};
  spec.survivor = Side::server;
  spec.wait = scenario.wait;
  spec.ring = RingMode::defer;
  spec.arrival = scenario.rate ? Arrival::constant : Arrival::storm;
  spec.arrivals_per_second = static_cast<double>(scenario.rate);
  return spec;
}

std::string reason_of(const RunResult& result) {
  if (!result.error.empty()) return result.error;
  for (const Check& check : result.checks)
    if (result.status == RunStatus::unbalanced && !check.ok)
      return fmt::format("{} at '{}' is {}, expected {} to {}", check.counter, check.phase,
                         check.observed, check.least, check.most);
  if (result.status == RunStatus::unmet_expectation && !result.surprises.empty())
    return fmt::format("pair {} saw {} ({}), expected {}", result.surprises[0].pair,
                       result.surprises[0].seen, result.surprises[0].error,
                       result.surprises[0].expected);
  if (result.status == RunStatus::too_slow)
    return fmt::format("{} of {} acts a second", format_rate(std::round(result.achieved_rate)),
                       format_rate(result.requested_rate));
  return std::string(status_row(result.status).help);
}

// With too few CPUs a run falls back to sleeping, and its figures would belong to another row.
Result<Plan> plan_as_asked(const RunSpec& spec) {
  auto plan = make_plan(spec, this_host(spec));
  if (plan && plan->wait != spec.wait) return plain_error(plan->notes.back());
  return plan;
}

// Of the survivors, from the armed watch to the closed ledger; victims spin to be on time. Who
// spins uses all of a CPU, whatever it is good for.
std::optional<double> cpu_ns_per_connection(const RunResult& result) {
  int64_t established = 0;
  for (const LedgerRow& row : result.ledger) established += row.established;
  const RoleCost& survivors = result.cost.survivors;
  if (established == 0 || survivors.spins) return std::nullopt;
  return static_cast<double>(survivors.user_ns + survivors.system_ns) /
         static_cast<double>(established);
}

int cpu_of(const Plan& plan, std::string_view role) {
  return std::ranges::find(plan.placements, role, &Placement::role)->cpu;
}

Result<Figures> measure_lastack(const RunSpec& spec) {
  if (const auto plan = plan_as_asked(spec); !plan) return plan.error();
  const RunResult result = run(spec, {});
  const std::string reason =
      fmt::format("{}: {}", status_row(result.status).name, reason_of(result));
  // A host that cannot keep the pace measured other conditions than asked for, but it did measure
  // them: latency counts from when the act was made, not from when it was due. So the figures stay,
  // and say so.
  const bool too_slow = result.status == RunStatus::too_slow;
  if (result.status != RunStatus::ok && !too_slow) return plain_error(reason);
  Figures figures;
  figures.found = figures.nothing = 0;
  Histogram latencies;
  for (const LedgerRow& row : result.ledger) {
    latencies.merge(row.issued);
    *figures.found += row.found;
    *figures.nothing += row.nothing;
  }
  // Who never found out took at least the deadline.
  const auto quantile = [&](double share) {
    return latencies.count() > 0 ? latencies.quantile(share) : spec.deadline_ns;
  };
  figures.p50_ns = quantile(0.5);
  figures.p99_ns = quantile(0.99);
  figures.p999_ns = quantile(0.999);
  figures.span_ns = result.span_ns;
  figures.cpu_ns_per_connection = cpu_ns_per_connection(result);
  if (too_slow) figures.too_slow = reason;
  return figures;
}

// --- Without sockets

Result<Figures> measure_null(const NullRow& row) {
  // The same CPUs as a run.
  RunSpec spec;
  spec.connections = 1;
  const auto plan = make_plan(spec, this_host(spec));
  if (!plan) return plan.error();
  const auto latencies =
      measure_null_row(row, {cpu_of(*plan, "victim"), cpu_of(*plan, "survivor")});
  if (!latencies) return latencies.error();
  Figures figures;
  figures.p50_ns = latencies->quantile(0.5);
  figures.p99_ns = latencies->quantile(0.99);
  figures.p999_ns = latencies->quantile(0.999);
  return figures;
}

// --- The floor's side

// Beside this program, in the build folder as after an installation.
std::string floor_path() {
  std::error_code failed;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
  return (self.parent_path() / "lastack-floor").string();
}

Result<std::vector<std::string>> floor_words(const Scenario& scenario) {
  const RunSpec spec = spec_of(scenario);
  const auto plan = plan_as_asked(spec);
  if (!plan) return plan.error();
  const std::string schedule =
      scenario.rate ? fmt::format("rate={}", scenario.rate) : std::string("storm");
  // The same CPUs on both sides: how far two CPUs are apart would show in the latency.
  return std::vector<std::string>{floor_path(),
                                  "--connections",
                                  fmt::format("{}", scenario.connections),
                                  "--schedule",
                                  schedule,
                                  "--wait",
                                  std::string(wait_name(scenario.wait)),
                                  "--victim-cpu",
                                  fmt::format("{}", cpu_of(*plan, "victim")),
                                  "--survivor-cpu",
                                  fmt::format("{}", cpu_of(*plan, "survivor")),
                                  "--deadline-ms",
                                  fmt::format("{}", spec.deadline_ns / kMillisecond_ns)};
}

// Starts the program and waits for its end; what it prints goes to the two descriptors.
Result<int> run_program(std::vector<std::string> words, int output, int errors) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
  pid_t child = -1;
  const int failed = posix_spawn(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed) return make_error("posix_spawn", failed, words[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return errno_error("waitpid", words[0]);
  return status;
}

Result<Figures> read_floor_output(const std::string& text) {
  try {
    const auto json = nlohmann::json::parse(text);
    const auto& latency = json.at("latency_ns");
    Figures figures;
    figures.p50_ns = latency.at("p50");
    figures.p99_ns = latency.at("p99");
    figures.p999_ns = latency.at("p999");
    figures.span_ns = json.at("span_ns").get<int64_t>();
    figures.found = json.at("found").get<int64_t>();
    figures.nothing = json.at("connections").get<int64_t>() - *figures.found;
    return figures;
  } catch (const nlohmann::json::exception& error) {
    return plain_error(fmt::format("lastack-floor printed something else: {}", error.what()));
  }
}

std::string last_line(std::string text) {
  text.erase(text.find_last_not_of('\n') + 1);
  return text.substr(text.rfind('\n') + 1);  // npos + 1 is 0
}

Result<Figures> measure_floor(const Scenario& scenario) {
  auto words = floor_words(scenario);
  if (!words) return words.error();
  // Files instead of pipes: neither can fill up while the other is read.
  const auto output = memory_file("floor-output", ""), errors = memory_file("floor-errors", "");
  if (!output) return output.error();
  if (!errors) return errors.error();
  const auto status = run_program(std::move(*words), output->get(), errors->get());
  if (!status) return status.error();
  const auto text = read_descriptor(output->get()), complaint = read_descriptor(errors->get());
  if (!text) return text.error();
  if (*status != 0)
    return plain_error(fmt::format("lastack-floor {} {}: {}",
                                   WIFEXITED(*status) ? "exited with" : "was killed by signal",
                                   WIFEXITED(*status) ? WEXITSTATUS(*status) : WTERMSIG(*status),
                                   complaint ? last_line(*complaint) : ""));
  return read_floor_output(*text);
}

// --- As Google Benchmark rows

using Measure = std::function<Result<Figures>()>;

int g_failed_rows = 0;

void report_figures(benchmark::State& state, const Figures& figures) {
  const auto real = [](const std::optional<int64_t>& whole) {
    return whole ? std::optional(static_cast<double>(*whole)) : std::nullopt;
  };
  const std::optional<double> values[] = {real(figures.p50_ns),         real(figures.p99_ns),
                                          real(figures.p999_ns),        real(figures.span_ns),
                                          real(figures.found),          real(figures.nothing),
                                          figures.cpu_ns_per_connection};
  static_assert(std::size(values) == std::size(kCounterNames));
  for (size_t i = 0; i < std::size(kCounterNames); ++i)
    if (values[i]) state.counters[std::string(kCounterNames[i])] = *values[i];
  std::string label = figures.too_slow;
  if (figures.found == 0) {
    if (!label.empty()) label += "; ";
    label += "nobody found out: the time is the deadline";
  }
  state.SetLabel(label);
}

void run_row(benchmark::State& state, const Measure& measure, Figure figure) {
  for (auto _ : state) {
    const auto figures = measure();
    if (!figures) {
      ++g_failed_rows;
      state.SkipWithError(printable(figures.error().message()).c_str());
      break;
    }
    state.SetIterationTime(static_cast<double>(time_ns(*figures, figure)) / 1e9);
    report_figures(state, *figures);
  }
}

struct BenchRow {
  std::string name;
  Measure measure;
  benchmark::TimeUnit unit = benchmark::kMicrosecond;
  Figure figure = Figure::p50;
};

void register_row(const BenchRow& row) {
  benchmark::RegisterBenchmark(
      row.name.c_str(), [row](benchmark::State& state) { run_row(state, row.measure, row.figure); })
      ->UseManualTime()
      ->Iterations(1)  // one iteration is one run of thousands of connections
      ->Unit(row.unit);
}

BenchRow bench_row(const suite::Suite& suite, const suite::Row& row) {
  const auto spec = suite::run_of(row);
  BenchRow bench;
  bench.name = fmt::format("{}/{}", suite.name, row.name);
  bench.measure = [spec] { return spec ? measure_lastack(*spec) : spec.error(); };
  // A probe takes seconds.
  if (spec && spec->probes != std::vector{Probe::none}) bench.unit = benchmark::kMillisecond;
  return bench;
}

std::vector<BenchRow> bench_rows() {
  std::vector<BenchRow> rows;
  for (const NullRow& row : null_rows())
    rows.push_back({fmt::format("null/{}", row.name), [&row] { return measure_null(row); },
                    benchmark::kNanosecond});
  for (const Scenario& scenario : kScenarios) {
    const auto unit =
        scenario.figure == Figure::span ? benchmark::kMillisecond : benchmark::kMicrosecond;
    rows.push_back({fmt::format("{}/lastack", scenario.name),
                    [&scenario] { return measure_lastack(spec_of(scenario)); }, unit,
                    scenario.figure});
    rows.push_back({fmt::format("{}/floor", scenario.name),
                    [&scenario] { return measure_floor(scenario); }, unit, scenario.figure});
  }
  // A collection would play rows twice. A price is no time of one run, but a difference between
  // runs.
  for (const suite::Suite& suite : suite::suites())
    if (!suite.collects)
      for (const suite::Row& row : suite.rows(false))
        if (!row.prices()) rows.push_back(bench_row(suite, row));
  return rows;
}

int complain(const std::string& message) {
  print_message(kProgram, message);
  return kBadUsage;
}

// --- The comparison

struct Comparison {
  const Scenario* scenario;
  std::vector<int64_t> floor_ns, lastack_ns;  // ascending
};

double median(const std::vector<int64_t>& sorted) {
  const size_t upper = sorted.size() / 2;
  const size_t lower = (sorted.size() - 1) / 2;
  return static_cast<double>(sorted[lower] + sorted[upper]) / 2;
}

double ratio(const Comparison& comparison) {
  return median(comparison.lastack_ns) / median(comparison.floor_ns);
}

bool allowed(const Comparison& comparison) {
  const double most = comparison.scenario->allowed;
  return most == 0 || ratio(comparison) <= most;
}

// One line that is written over and over, for people only.
void show_progress(std::string_view row, int64_t done, int64_t runs) {
  if (isatty(STDERR_FILENO))
    print_remark(fmt::format("\r\033[K{}: {} of {} runs", row, done, runs));
}

void clear_progress() {
  if (isatty(STDERR_FILENO)) print_remark("\r\033[K");
}

// Alternating, so that what else the host does burdens both sides alike.
Result<Comparison> compare_with_floor(const Scenario& scenario, int64_t runs) {
  Comparison comparison{&scenario, {}, {}};
  for (int64_t i = 0; i < runs; ++i) {
    show_progress(scenario.name, i, runs);
    const auto floor = measure_floor(scenario);
    if (!floor) return floor.error();
    comparison.floor_ns.push_back(time_ns(*floor, scenario.figure));
    const auto lastack = measure_lastack(spec_of(scenario));
    if (!lastack) return lastack.error();
    // A verdict, unlike a row, has no room for a remark.
    if (!lastack->too_slow.empty()) return plain_error(lastack->too_slow);
    comparison.lastack_ns.push_back(time_ns(*lastack, scenario.figure));
  }
  std::sort(comparison.floor_ns.begin(), comparison.floor_ns.end());
  std::sort(comparison.lastack_ns.begin(), comparison.lastack_ns.end());
  return comparison;
}

std::string range(const std::vector<int64_t>& sorted) {
  return fmt::format("{}..{}",
                     format_rounded_duration(static_cast<double>(sorted.front()), TimeUnit::ns),
                     format_rounded_duration(static_cast<double>(sorted.back()), TimeUnit::ns));
}

Cells cells_of(const Comparison& comparison) {
  const double most = comparison.scenario->allowed;
  return {std::string(comparison.scenario->name),
          format_rounded_duration(median(comparison.floor_ns), TimeUnit::ns),
          format_rounded_duration(median(comparison.lastack_ns), TimeUnit::ns),
          fmt::format("{:.3f}", ratio(comparison)),
          most ? fmt::format("{}", most) : "-",
          range(comparison.floor_ns),
          range(comparison.lastack_ns)};
}

int compare_all(int64_t runs) {
  Table table({"row", "floor median", "lastack median", "ratio", "allowed", "floor min..max",
               "lastack min..max"},
              1, Align::right);
  std::vector<std::string> failures;
  double load = 0;  // of others: before the first run
  getloadavg(&load, 1);
  for (const Scenario& scenario : kScenarios) {
    const auto comparison = compare_with_floor(scenario, runs);
    clear_progress();
    if (!comparison) {
      table.add({std::string(scenario.name), "-", "-", "failed", "-", "-", "-"});
      failures.push_back(fmt::format("{}: {}", scenario.name, comparison.error().message()));
      continue;
    }
    table.add(cells_of(*comparison));
    if (!allowed(*comparison))
      failures.push_back(fmt::format("{}: above the allowed ratio", scenario.name));
  }
  print(fmt::format(
      "lastack {}, Linux {}, load average {:.2f}, alternating runs: {} a side\n"
      "times: p50 from t0 to the finding (latency), first t0 to last finding (storm)\n{}",
      build_version(), kernel_release(), load, runs, table.text()));
  for (const std::string& failure : failures) complain(failure);
  return failures.empty() ? 0 : kOutsideRatio;
}

// --- What each way to avoid SIGPIPE costs

constexpr int64_t kRounds = 100;

std::string microseconds(double duration_ns) { return fmt::format("{:.0f}", duration_ns / 1e3); }

Cells cells_of(const SigpipeCost& cost, const SigpipeCost& reference, int64_t rounds) {
  const auto sorted = [](std::vector<int64_t> values) {
    std::sort(values.begin(), values.end());
    return values;
  };
  // Round by round: what burdens the host burdens both.
  std::vector<int64_t> more;
  for (size_t i = 0; i < cost.live_ns.size(); ++i)
    more.push_back(cost.live_ns[i] - reference.live_ns[i]);
  more = sorted(std::move(more));
  const auto live = sorted(cost.live_ns), dead = sorted(cost.dead_ns);
  const size_t low = live.size() / 20, high = live.size() - 1 - low;
  const auto spread = [&](const std::vector<int64_t>& values) {
    return fmt::format("{}..{}", microseconds(static_cast<double>(values[low])),
                       microseconds(static_cast<double>(values[high])));
  };
  const auto each = [&](uint64_t count) {
    return fmt::format("{:.0f}", static_cast<double>(count) / static_cast<double>(rounds));
  };
  return {std::string(cost.way),
          microseconds(median(live)),
          spread(live),
          &cost == &reference ? "-" : fmt::format("{:+.0f}", median(more) / 1e3),
          &cost == &reference ? "-" : spread(more),
          microseconds(median(dead)),
          spread(dead),
          each(cost.signals),
          each(cost.collected)};
}

int compare_sigpipe(int64_t rounds) {
  const auto costs = measure_sigpipe_costs(rounds);
  if (!costs) {
    complain(costs.error().message());
    return 1;
  }
  constexpr size_t kReference = 1;  // MSG_NOSIGNAL
  Table table(
      {"way", "live", "5..95 %", "more", "5..95 %", "dead", "5..95 %", "signals", "collected"}, 1,
      Align::right);
  for (const SigpipeCost& cost : *costs) table.add(cells_of(cost, (*costs)[kReference], rounds));
  print(fmt::format(
      "lastack {}, Linux {}, {} rounds in turn\n"
      "CPU in us of 1,000 writes of 64 bytes on loopback, medians: live peer; more than send(2) "
      "with\n"
      "MSG_NOSIGNAL in the same round; dead peer (each write fails with EPIPE, or is not made);\n"
      "SIGPIPEs that the process got, or took from the pending ones, for 1,000 dead writes\n{}",
      build_version(), kernel_release(), rounds, table.text()));
  return 0;
}

// --- Command line

constexpr std::string_view kHelp = R"(usage: lastack-bench [--benchmark_...]
       lastack-bench --compare-floor [--runs=N]
       lastack-bench --compare-sigpipe [--runs=N]

Without --compare-...: Google Benchmark rows, one iteration of each being one run.
  SUITE/ROW           a row of `lastack suite list`, but for prices and the suite that collects
                      others
  rst_.../lastack     resets one at a time (latency) or all at once (storm), and the same by
  rst_.../floor       lastack-floor, the smallest C program that resets connections and sees it
  null/clock          lastack without sockets: the clock read twice,
  null/ring-spin      a request that does nothing, by who spins on its ring,
  null/wake           and the waking of who sleeps on it, from another CPU
A row's time is the median latency of all that found out, from t0, the instant before the victim's
act, to the survivor's finding; of rst_storm_... the span from the first t0 to the last finding.
Where nobody found out, it is the deadline, and the label says so. The CPU column is that of this
program, which waits; cpu_ns_per_connection is that of the survivors, and missing where they spin. mean
and median of repetitions are of their figures, not of all their connections together.
A run that fails, whose ledger or counters do not balance, or with a finding that was not expected
is a row with an error. One whose acts could not keep the pace has a label that starts with
too-slow: its latencies count from when an act was made, and stand. Exit code: 0, or 1 when a row
has an error or what was to be printed or written could not be. All rows take several minutes. The context names kernel, CPU, mitigations, build and
what else matters; in JSON `environment` is the whole manifest of `lastack run`, in a string.
  --benchmark_list_tests            print the rows' names and run nothing
  --benchmark_filter=REGEX          run the rows whose name matches
  --benchmark_repetitions=N         run every row so often; adds mean, median and deviation
  --benchmark_report_aggregates_only
  --benchmark_format=console|json|csv
  --benchmark_out=FILE              also write the rows to a file,
  --benchmark_out_format=json|console|csv
  --benchmark_color=auto|true|false
  --benchmark_counters_tabular      the figures in columns
  --benchmark_context=KEY=VALUE     add to what is said about the host

With --compare-floor: alternating runs of the floor and of lastack, their medians and the ratio.
Exit code: 0 when all ratios are as allowed, 1 when one is not or a run failed, 2 for bad usage.
  --runs=N                          runs a side (default 10)

With --compare-sigpipe: the CPU that each way to avoid SIGPIPE takes, to a live and to a dead peer,
in turn. Exit code: 0, 1 when a call failed, 2 for bad usage.
  --runs=N                          rounds (default 100)

  --help                            print this
)";

int unknown_flag(std::string_view flag) {
  return complain(fmt::format("unknown flag '{}'; allowed: see lastack-bench --help", flag));
}

int compare_command(const std::vector<std::string_view>& flags, std::string_view command,
                    int64_t default_runs, int (*measure)(int64_t runs)) {
  constexpr std::string_view kRunsFlag = "--runs=";
  int64_t runs = default_runs;
  for (const std::string_view flag : flags) {
    if (flag == command) continue;
    if (!flag.starts_with(kRunsFlag)) return unknown_flag(flag);
    const auto count = parse_count(flag.substr(kRunsFlag.size()));
    if (!count || *count < 1 || *count > kMostRuns)
      return complain(fmt::format("'{}' is not a number of runs; allowed: 1 to {}",
                                  flag.substr(kRunsFlag.size()), kMostRuns));
    runs = *count;
  }
  return measure(runs);
}

// --help is answered before: Google Benchmark calls this for what it cannot parse, and would exit
// with 0.
void refuse_value() {
  complain("a --benchmark_ flag has a value it cannot have; allowed: see lastack-bench --help");
  std::exit(kBadUsage);
}

// What Google Benchmark will take a flag for: the last one given, or else the environment's; it
// keeps that to itself. "true" for a flag without a value, "" for none.
std::string benchmark_flag(int argc, char** argv, const std::string& name) {
  std::string variable = name;
  for (char& c : variable) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  const char* inherited = std::getenv(variable.c_str());
  std::string value = inherited ? inherited : "";
  const std::string bare = "--" + name, front = bare + "=";
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == bare) value = "true";
    if (word.starts_with(front)) value = word.substr(front.size());
  }
  return value;
}

// What of the flags decides which reporters there are.
struct Output {
  bool lists_only = false, tabular = false;
  std::string format, file, file_format;
};

Output output_of(int argc, char** argv) {
  const auto value = [&](const char* name) { return benchmark_flag(argc, argv, name); };
  const auto is_set = [&](const char* name) { return value(name) == "true" || value(name) == "1"; };
  return {is_set("benchmark_list_tests"), is_set("benchmark_counters_tabular"),
          value("benchmark_format"), value("benchmark_out"), value("benchmark_out_format")};
}

// Null: one of Google Benchmark's own.
std::unique_ptr<benchmark::BenchmarkReporter> reporter_of(const std::string& format,
                                                          const std::string& environment) {
  if (format == "json") return std::make_unique<JsonReporter>(environment);
  if (format == "csv") return std::make_unique<CsvReporter>();
  return nullptr;
}

// For --benchmark_out; without it, none is allowed.
std::unique_ptr<FileReporter> file_reporter_of(const Output& output,
                                               const std::string& environment) {
  if (output.file.empty()) return nullptr;
  const std::string format = output.file_format.empty() ? "json" : output.file_format;
  auto reporter = reporter_of(format, environment);
  if (!reporter)
    reporter = std::make_unique<benchmark::ConsoleReporter>(
        output.tabular ? benchmark::ConsoleReporter::OO_Tabular
                       : benchmark::ConsoleReporter::OO_None);
  return std::make_unique<FileReporter>(std::move(reporter), output.file);
}

int benchmark_command(int argc, char** argv) {
  const Output output = output_of(argc, argv);
  send_cout_through_the_door();
  benchmark::Initialize(&argc, argv, refuse_value);
  if (argc > 1) return unknown_flag(argv[1]);  // Initialize() took out those that it knows
  const BenchContext context = output.lists_only ? BenchContext() : describe_bench_context();
  for (const auto& [key, text] : context.facts) benchmark::AddCustomContext(key, text);
  const auto display = reporter_of(output.format, context.environment);
  // There is one context for both, and the display is asked first.
  const bool told = output.format == "json";
  const auto file = file_reporter_of(output, told ? "" : context.environment);
  for (const BenchRow& row : bench_rows()) register_row(row);
  const size_t matching = benchmark::RunSpecifiedBenchmarks(display.get(), file.get());
  benchmark::Shutdown();
  std::cout.flush();
  if (matching == 0) return kBadUsage;  // it has said so
  if (file && file->failed()) complain(file->failed()->message());
  return g_failed_rows || (file && file->failed()) ? 1 : 0;
}

int main_with_arguments(int argc, char** argv) {
  const std::vector<std::string_view> flags(argv + 1, argv + argc);
  for (const std::string_view flag : flags)  // Google Benchmark would print them as they are
    if (printable(flag) != flag)
      return complain(fmt::format("'{}' holds a control character", flag));
  const auto given = [&](std::string_view flag) {
    return std::find(flags.begin(), flags.end(), flag) != flags.end();
  };
  if (given("--help") || given("-h")) return print(kHelp), 0;
  if (given("--compare-floor"))
    return compare_command(flags, "--compare-floor", kRuns, compare_all);
  if (given("--compare-sigpipe"))
    return compare_command(flags, "--compare-sigpipe", kRounds, compare_sigpipe);
  return benchmark_command(argc, argv);
}

}  // namespace
}  // namespace lastack

int main(int argc, char** argv) {
  return lastack::main_of(lastack::kProgram, lastack::main_with_arguments, argc, argv);
}
