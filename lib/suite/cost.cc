#include "suite/cost.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/rows.h"
#include "ledger/stalls.h"
#include "model/strategy.h"
#include "plan/plan.h"
#include "plan/rules.h"

namespace lastack::suite {
namespace {

constexpr FixedParameter kFixed[] = {
    {"--mix", "nobody dies while a probe's price is measured"},
    {"--deadline", "every run lasts as long as --window says"},
    {"--schedule", "nobody dies while a probe's price is measured"},
    {"--neighbours", "every connection stays alive; allowed: --connections N"},
    {"--neighbour-load", "every connection stays alive; allowed: --load LOAD"},
    {"--expect", "nobody dies while a probe's price is measured"},
    {"--events", "nobody dies while a probe's price is measured"},
};
static_assert(named(kFixed, &FixedParameter::flag));

using Value = std::optional<double>;

Value number(int64_t value) {
  if (value == kNotKnown) return std::nullopt;
  return static_cast<double>(value);
}

constexpr QuantityRow kQuantities[] = {
    {"survivor-cpu", "ns/s", true,
     [](const Cost& c) -> Value { return number(c.survivors.user_ns + c.survivors.system_ns); },
     "CPU of the survivors' processes with the threads of their io_uring, user and system"},
    {"survivor-user", "ns/s", true,
     [](const Cost& c) -> Value { return number(c.survivors.user_ns); },
     "of it: user; without CONFIG_VIRT_CPU_ACCOUNTING_GEN the kernel divides the sum by ticks"},
    {"survivor-system", "ns/s", true,
     [](const Cost& c) -> Value { return number(c.survivors.system_ns); }, "of it: system"},
    {"survivor-switches", "1/s", true,
     [](const Cost& c) -> Value {
       if (c.survivors.spins) return std::nullopt;
       return number(c.survivors.context_switches);
     },
     "their voluntary context switches; not to be had of survivors that spin"},
    {"survivor-enters", "1/s", true,
     [](const Cost& c) -> Value { return number(c.survivors.ring_enters); },
     "their calls of io_uring_enter(2)"},
    {"victim-cpu", "ns/s", true,
     [](const Cost& c) -> Value { return number(c.victims.user_ns + c.victims.system_ns); },
     "the same of the victims' processes"},
    {"victim-user", "ns/s", true, [](const Cost& c) -> Value { return number(c.victims.user_ns); },
     "the same of the victims' processes"},
    {"victim-system", "ns/s", true,
     [](const Cost& c) -> Value { return number(c.victims.system_ns); },
     "the same of the victims' processes"},
    {"victim-switches", "1/s", true,
     [](const Cost& c) -> Value { return number(c.victims.context_switches); },
     "the same of the victims' processes"},
    {"victim-enters", "1/s", true,
     [](const Cost& c) -> Value { return number(c.victims.ring_enters); },
     "the same of the victims' processes"},
    {"segments-in", "1/s", true,
     [](const Cost& c) -> Value { return number(c.traffic.in_segments); },
     "InSegs of the run's namespaces, so of both ends"},
    {"segments-out", "1/s", true,
     [](const Cost& c) -> Value { return number(c.traffic.out_segments); },
     "OutSegs of the run's namespaces, so of both ends"},
    {"bytes-in", "bytes/s", true, [](const Cost& c) -> Value { return number(c.traffic.in_bytes); },
     "InOctets of both ends: payload and headers of TCP and IP"},
    {"bytes-out", "bytes/s", true,
     [](const Cost& c) -> Value { return number(c.traffic.out_bytes); }, "OutOctets of both ends"},
    {"interface-packets", "1/s", true,
     [](const Cost& c) -> Value { return number(c.traffic.interface_packets); },
     "sent by the run's interfaces"},
    {"interface-bytes", "bytes/s", true,
     [](const Cost& c) -> Value { return number(c.traffic.interface_bytes); },
     "sent by the run's interfaces, with link headers"},
    {"softirq-cpu", "ns/s", true, [](const Cost& c) -> Value { return number(c.softirq_ns); },
     "CPU of all softirqs of the host; not to be had without CONFIG_IRQ_TIME_ACCOUNTING"},
    {"host-cpu", "ns/s", true, [](const Cost& c) -> Value { return number(c.host_busy_ns); },
     "all that the host's CPUs did, in steps of 10 ms: with timers and packets that met an idle "
     "CPU"},
    {"memory", "bytes", false, [](const Cost& c) -> Value { return number(c.memory_armed_bytes); },
     "lastack's own, of all its processes, with armed watches"},
    {"kernel-slab", "bytes", false, [](const Cost& c) -> Value { return number(c.slab_bytes); },
     "growth of the host's slab while establishing"},
    {"kernel-tcp", "bytes", false,
     [](const Cost& c) -> Value { return number(c.tcp_memory_bytes); },
     "growth of the host's TCP queues, in pages, up to the end of the window"},
};
static_assert(named(kQuantities, &QuantityRow::name));

size_t alive_strategy() {
  const auto rows = strategies();
  const auto row = std::find_if(rows.begin(), rows.end(), stays_alive);
  return static_cast<size_t>(row - rows.begin());
}

// The run's own messages speak of its deadline.
std::string in_terms_of_window(std::string message) {
  constexpr std::string_view kDeadline = "--deadline";
  for (size_t at = 0; (at = message.find(kDeadline, at)) != std::string::npos;)
    message.replace(at, kDeadline.size(), "--window");
  return message;
}

// Why this probe does not run on this host; empty when it does. Beside the control, which can: a
// plan without any row is an error.
std::string why_skipped(const CostSpec& spec, Watch watch, Probe probe, const Host& host) {
  RunSpec both = cost_run(spec, watch, Probe::none);
  both.probes.push_back(probe);
  const auto plan = make_plan(both, host);
  if (!plan) return plan.error().message();
  std::string skipped;
  for (const PlannedRow& row : plan->rows) {
    if (row.row.probe != probe) continue;
    if (row.skipped.empty()) return "";
    skipped = row.skipped;
  }
  return skipped;
}

}  // namespace

std::span<const FixedParameter> fixed_parameters() { return kFixed; }
std::span<const QuantityRow> quantities() { return kQuantities; }

RunSpec cost_run(const CostSpec& spec, Watch watch, Probe probe) {
  RunSpec run = spec.run;
  run.mix = {{alive_strategy(), 1}};
  run.watches = {watch};
  run.probes = {probe};
  run.deadline_ns = spec.window_ns;
  return run;
}

std::optional<double> share(const QuantityRow& quantity, const CostSample& sample) {
  const auto value = quantity.value(sample.cost);
  if (!value || sample.connections == 0) return std::nullopt;
  const double each = *value / static_cast<double>(sample.connections);
  if (!quantity.per_second) return each;
  if (sample.cost.wall_ns <= 0) return std::nullopt;
  return each / (static_cast<double>(sample.cost.wall_ns) / 1e9);
}

std::optional<Price> price(const QuantityRow& quantity, std::span<const CostSample> control,
                           std::span<const CostSample> probe) {
  const size_t rounds = std::min(control.size(), probe.size());
  if (rounds < 2) return std::nullopt;
  std::vector<double> more;
  double control_sum = 0;
  for (size_t round = 0; round < rounds; ++round) {
    const auto without = share(quantity, control[round]), with = share(quantity, probe[round]);
    if (!without || !with) return std::nullopt;
    more.push_back(*with - *without);
    control_sum += *without;
  }
  return Price{control_sum / static_cast<double>(rounds), mean_interval(more)};
}

std::vector<CostTurn> turns_of_round(std::span<const PricedWatch> watches, Random& random) {
  std::vector<size_t> order;
  for (size_t watch = 0; watch < watches.size(); ++watch) order.push_back(watch);
  shuffle(order, random);
  std::vector<CostTurn> turns;
  for (const size_t watch : order) {
    std::vector<CostTurn> of_watch;
    for (size_t probe = 0; probe < watches[watch].probes.size(); ++probe)
      if (watches[watch].probes[probe].skipped.empty()) of_watch.push_back({watch, probe});
    shuffle(of_watch, random);
    turns.insert(turns.end(), of_watch.begin(), of_watch.end());
  }
  return turns;
}

CostPlan plan_cost(const CostSpec& spec) {
  CostPlan plan;
  const auto refuse = [&](RunStatus status, std::string error) {
    plan.status = status;
    plan.error = std::move(error);
    return plan;
  };
  std::vector<Probe> asked;
  for (const Probe probe : spec.run.probes)
    if (probe != Probe::none) asked.push_back(probe);
  if (asked.empty())
    return refuse(RunStatus::bad_usage,
                  "--probe names no probe to compare with 'none'; see `lastack list`");
  const Host host = this_host(spec.run);
  bool anything = false, refused = false;
  std::string first_reason;
  for (const Watch watch : spec.run.watches) {
    std::vector<PricedProbe> probes = {{Probe::none, "", {}}};
    for (const Probe probe : asked) probes.push_back({probe, "", {}});
    for (const PricedProbe& priced : probes)
      if (const Status bad = check_spec(cost_run(spec, watch, priced.probe)))
        return refuse(RunStatus::bad_usage, in_terms_of_window(bad->message()));
    const auto control = make_plan(cost_run(spec, watch, Probe::none), host);
    refused = refused || !control;
    for (PricedProbe& priced : probes) {
      priced.skipped =
          control ? why_skipped(spec, watch, priced.probe, host) : control.error().message();
      if (first_reason.empty()) first_reason = priced.skipped;
      if (!priced.skipped.empty()) continue;
      anything = anything || priced.probe != Probe::none;
      plan.estimated_ns += control->estimated_ns * spec.rounds;
    }
    plan.watches.push_back({watch, std::move(probes)});
  }
  if (!anything)
    return refuse(refused ? RunStatus::no_resources : RunStatus::skipped, first_reason);
  return plan;
}

CostResult measure_cost(const CostSpec& spec, const CostPlan& plan, const RunHooks& hooks) {
  CostResult result;
  result.spec = spec;
  result.watches = plan.watches;
  result.host.spec = print_spec(cost_run(spec, spec.run.watches.front(), Probe::none));
  Random random{static_cast<uint64_t>(spec.run.seed)};
  bool first = true;
  for (int64_t round = 0; round < spec.rounds; ++round) {
    for (const CostTurn& turn : turns_of_round(result.watches, random)) {
      const Watch watch = result.watches[turn.watch].watch;
      PricedProbe& priced = result.watches[turn.watch].probes[turn.probe];
      const std::string name = fmt::format("round {} of {}, {} x {}", round + 1, spec.rounds,
                                           watch_row(watch).name, probe_row(priced.probe).name);
      RunHooks run_hooks = hooks;
      run_hooks.progress = [&](const Progress& progress) {
        if (!hooks.progress) return;
        hooks.progress(
            {fmt::format("{}: {}", name, progress.phase), progress.done, progress.total});
      };
      RunResult run_result = run(cost_run(spec, watch, priced.probe), run_hooks);
      result.status = std::min(result.status, run_result.status);
      const bool failed = run_result.status <= RunStatus::failed;
      if (failed || run_result.status == RunStatus::interrupted) {
        result.error = failed ? fmt::format("{}: {}", name, run_result.error)
                              : fmt::format("interrupted in round {}", round + 1);
        break;
      }
      if (run_result.status != RunStatus::ok)
        result.notes.push_back(fmt::format("{}: {}", name, status_row(run_result.status).name));
      int64_t established = 0, false_alarms = 0;
      for (const LedgerRow& row : run_result.ledger) {
        established += row.established;
        false_alarms += row.probing.false_alarms;
      }
      if (false_alarms > 0)
        result.notes.push_back(
            fmt::format("{}: {} live peers were declared dead and cost nothing from then on", name,
                        false_alarms));
      if (const std::string want = want_of_host(run_result); !want.empty())
        result.notes.push_back(fmt::format("{}: the run {} in round {}", name, want, round + 1));
      priced.samples.push_back({established, run_result.cost});
      if (!first) continue;
      first = false;
      result.notes.insert(result.notes.end(), run_result.notes.begin(), run_result.notes.end());
      run_result.ledger.clear();
      run_result.events.clear();
      result.host = std::move(run_result);
    }
    if (!result.error.empty()) break;
    result.rounds = round + 1;
  }
  // A probe that had its turn in a round that was not finished has nothing to be compared with.
  for (PricedWatch& watch : result.watches)
    for (PricedProbe& priced : watch.probes)
      priced.samples.resize(std::min(priced.samples.size(), static_cast<size_t>(result.rounds)));
  return result;
}

}  // namespace lastack::suite
