#include "suite/frontier.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/parse.h"
#include "base/rows.h"

namespace lastack::suite {
namespace {

constexpr std::string_view kSilent = "silent", kAlive = "alive";

std::string option_of(const RunSpec& spec, std::string_view name) {
  for (const auto& [option, value] : print_spec(spec))
    if (option == name) return value;
  return "";
}

// After how long a probe sends its next packet on an idle connection whose peer lives: its price
// depends on that, and on no other setting. 0: it sends none.
int64_t period_ns(Probe probe, const ProbeSettings& settings) {
  const ProbeRow& row = probe_row(probe);
  if (row.heartbeat != Heartbeat::none) return settings.heartbeat_interval_ns;
  // The timer behind an answered keepalive probe is set to the interval.
  if (row.keepalive) return std::max(settings.keepalive_idle_ns, settings.keepalive_interval_ns);
  return 0;
}

Probe probe_named(std::string_view name) {
  for (const ProbeRow& row : probes())
    if (row.name == name) return row.id;
  return Probe::none;
}

struct MeasuredCost {
  std::string_view watch, probe;
  int64_t period_ns;
  FrontierCost cost;
};

std::vector<MeasuredCost> measured_costs(const SuiteResult& result) {
  std::vector<MeasuredCost> costs;
  for (const Run& run : result.runs) {
    for (const PricedWatch& watch : run.cost.watches) {
      const auto& control = watch.probes.front();
      for (const PricedProbe& priced : watch.probes) {
        if (&priced == &control) continue;
        const auto more = [&](std::string_view name) -> std::optional<Interval> {
          for (const QuantityRow& quantity : quantities())
            if (quantity.name == name)
              if (const auto found = price(quantity, control.samples, priced.samples))
                return found->more;
          return std::nullopt;
        };
        const auto cpu = more("survivor-cpu"), victim_cpu = more("victim-cpu"),
                   segments = more("segments-out");
        if (!cpu || !victim_cpu || !segments) continue;
        costs.push_back({watch_row(watch.watch).name,
                         probe_row(priced.probe).name,
                         period_ns(priced.probe, run.spec.probe_settings),
                         {true, cpu->mean, cpu->low, cpu->high, victim_cpu->mean, segments->mean}});
      }
    }
  }
  return costs;
}

// Work per period: between two measured frequencies the price is linear.
FrontierCost between(const MeasuredCost& rarer, const MeasuredCost& more_often, int64_t period_ns) {
  const auto frequency = [](int64_t period) { return 1e9 / static_cast<double>(period); };
  const double least = frequency(rarer.period_ns), most = frequency(more_often.period_ns);
  const double share = (frequency(period_ns) - least) / (most - least);
  const auto at = [&](double FrontierCost::*figure) {
    return rarer.cost.*figure + share * (more_often.cost.*figure - rarer.cost.*figure);
  };
  return {false,
          at(&FrontierCost::survivor_cpu_ns),
          at(&FrontierCost::survivor_cpu_low_ns),
          at(&FrontierCost::survivor_cpu_high_ns),
          at(&FrontierCost::victim_cpu_ns),
          at(&FrontierCost::segments)};
}

std::optional<FrontierCost> cost_for(const std::vector<MeasuredCost>& costs, std::string_view watch,
                                     std::string_view probe, int64_t period_ns) {
  // A kernel timer that never fires costs nothing. Of heartbeats that cannot be said: an engine
  // turns its wheel, too.
  const bool kernel = probe_row(probe_named(probe)).heartbeat == Heartbeat::none;
  const MeasuredCost never{watch, probe, std::numeric_limits<int64_t>::max(), {}};
  const MeasuredCost *more_often = nullptr, *rarer = kernel ? &never : nullptr;
  for (const MeasuredCost& one : costs) {
    if (one.watch != watch || one.probe != probe) continue;
    if (one.period_ns == period_ns) return one.cost;
    if (one.period_ns < period_ns && (!more_often || one.period_ns > more_often->period_ns))
      more_often = &one;
    if (one.period_ns > period_ns && (!rarer || one.period_ns < rarer->period_ns)) rarer = &one;
  }
  if (!more_often || !rarer) return std::nullopt;
  return between(*rarer, *more_often, period_ns);
}

std::string number(double value) { return fmt::format("{:.9g}", value); }
std::string share(int64_t part, int64_t whole) {
  return whole == 0 ? "" : number(static_cast<double>(part) / static_cast<double>(whole));
}
std::string priced(const FrontierLine& line, double FrontierCost::*figure) {
  return line.cost ? number((*line.cost).*figure) : "";
}
std::string instant(int64_t value) { return value < 0 ? "" : fmt::format("{}", value); }

constexpr Column<FrontierLine> kColumns[] = {
    {"run", "name of the suite's row; its measured repetitions together",
     [](const FrontierLine& l) { return l.run; }},
    {"watch", "how the survivors waited", [](const FrontierLine& l) { return l.watch; }},
    {"probe", "what made silent peers noticeable", [](const FrontierLine& l) { return l.probe; }},
    {"settings", "OPTION=VALUE of the probe, separated by ;",
     [](const FrontierLine& l) { return l.settings; }},
    {"load", "traffic while the survivors wait", [](const FrontierLine& l) { return l.load; }},
    {"reader", "whether victims read: running, or stopped",
     [](const FrontierLine& l) { return l.reader; }},
    {"neighbours", "live connections with traffic of their own beside the silent ones",
     [](const FrontierLine& l) { return fmt::format("{}", l.neighbours); }},
    {"load_state", "of the CPUs: quiet, or cpu-hog",
     [](const FrontierLine& l) { return std::string(l.load_state()); }},
    {"silent", "peers that fell silent, without early_alarms",
     [](const FrontierLine& l) { return fmt::format("{}", l.silent); }},
    {"found", "of them: before the deadline of the run",
     [](const FrontierLine& l) { return fmt::format("{}", l.found); }},
    {"found_share", "found / silent",
     [](const FrontierLine& l) { return share(l.found, l.silent); }},
    {"latency_p50_ns", "median from the death of the peer to the finding; empty without one",
     [](const FrontierLine& l) { return instant(l.latency_p50_ns); }},
    {"latency_p99_ns", "99th percentile of it",
     [](const FrontierLine& l) { return instant(l.latency_p99_ns); }},
    {"alive", "peers that lived all the time",
     [](const FrontierLine& l) { return fmt::format("{}", l.alive); }},
    {"false_alarms", "of them: taken for dead",
     [](const FrontierLine& l) { return fmt::format("{}", l.false_alarms); }},
    {"false_alarm_share", "false_alarms / alive",
     [](const FrontierLine& l) { return share(l.false_alarms, l.alive); }},
    {"early_alarms", "silent peers that were taken for dead while they lived",
     [](const FrontierLine& l) { return fmt::format("{}", l.early_alarms); }},
    {"cost_basis",
     "measured: with so frequent probes; interpolated: linear in their frequency, between two "
     "measured ones, of kernel timers also between one and none; empty: not measured. Costs are "
     "per connection and second, of a quiet host and "
     "connections that carry nothing else",
     [](const FrontierLine& l) {
       return std::string(!l.cost ? "" : l.cost->measured ? "measured" : "interpolated");
     }},
    {"survivor_cpu_ns", "CPU of the survivors, more than without a probe",
     [](const FrontierLine& l) { return priced(l, &FrontierCost::survivor_cpu_ns); }},
    {"survivor_cpu_low_ns", "lower end of its 95 % confidence interval",
     [](const FrontierLine& l) { return priced(l, &FrontierCost::survivor_cpu_low_ns); }},
    {"survivor_cpu_high_ns", "upper end of it",
     [](const FrontierLine& l) { return priced(l, &FrontierCost::survivor_cpu_high_ns); }},
    {"victim_cpu_ns", "CPU of the victims",
     [](const FrontierLine& l) { return priced(l, &FrontierCost::victim_cpu_ns); }},
    {"segments", "TCP segments that both ends sent",
     [](const FrontierLine& l) { return priced(l, &FrontierCost::segments); }},
};
static_assert(named(kColumns, &Column<FrontierLine>::name));

}  // namespace

std::vector<FrontierLine> frontier_of(const SuiteResult& result) {
  const std::vector<MeasuredCost> costs = measured_costs(result);
  std::vector<FrontierLine> lines;
  for (size_t i = 0; i < result.rows.size(); ++i) {
    const auto played = std::ranges::find_if(
        result.runs, [&](const Run& run) { return run.turn.row == i && !run.turn.warm_up(); });
    if (played == result.runs.end()) continue;
    const RunSpec& spec = played->spec;
    const std::vector<LedgerRow> ledger = merged_ledger(result, i);
    for (const LedgerRow& row : ledger) {
      if (row.strategy != kSilent || row.requested == 0) continue;
      const Probe probe = probe_named(row.probe);
      if (probe == Probe::none) continue;  // nobody looks for the dead
      FrontierLine line;
      line.run = result.rows[i].name;
      line.watch = watch_text(row);
      line.probe = row.probe;
      line.settings = probe_settings_text(spec, probe);
      line.load = option_of(spec, "load");
      line.reader = option_of(spec, "reader");
      line.neighbours = spec.neighbours;
      line.cpu_hogs = spec.cpu_hogs;
      if (probe_row(probe).heartbeat_decides)
        line.heartbeat_deadline_ns = spec.probe_settings.heartbeat_deadline_ns;
      line.early_alarms = row.probing.false_alarms;
      line.silent = row.requested - line.early_alarms;
      line.found = row.found - line.early_alarms;
      if (row.issued.count() > 0) {
        line.latency_p50_ns = row.issued.quantile(0.5);
        line.latency_p99_ns = row.issued.quantile(0.99);
      }
      for (const LedgerRow& other : ledger) {
        const bool partner = other.strategy == kAlive && other.watch == row.watch &&
                             other.probe == row.probe && other.write_path == row.write_path;
        if (!partner) continue;
        line.alive += other.requested;
        line.false_alarms += other.probing.false_alarms;
      }
      line.cost = cost_for(costs, row.watch, row.probe, period_ns(probe, spec.probe_settings));
      lines.push_back(std::move(line));
    }
  }
  return lines;
}

std::string frontier_csv(const std::vector<FrontierLine>& lines) {
  Csv<FrontierLine> csv(kColumns);
  for (const FrontierLine& line : lines) csv.add(line);
  return csv.take();
}

CsvSchema frontier_csv_schema() {
  return {"frontier.csv",
          "of `lastack suite`: one row per run x watch x probe whose peers fall silent",
          names_and_help(std::span<const Column<FrontierLine>>(kColumns))};
}

std::vector<SafeDeadline> safe_deadlines(const std::vector<FrontierLine>& lines) {
  std::vector<FrontierLine> longest_first;
  for (const FrontierLine& line : lines)
    if (line.heartbeat_deadline_ns > 0 && line.neighbours == 0 && line.alive > 0)
      longest_first.push_back(line);
  std::ranges::stable_sort(longest_first, std::ranges::greater{},
                           &FrontierLine::heartbeat_deadline_ns);
  std::vector<SafeDeadline> safe;
  std::vector<bool> ended;  // a shorter deadline raised an alarm
  for (const FrontierLine& line : longest_first) {
    auto known = std::ranges::find_if(safe, [&](const SafeDeadline& one) {
      return one.watch == line.watch && one.probe == line.probe &&
             one.load_state == line.load_state();
    });
    if (known == safe.end()) {
      known = safe.insert(known, {line.watch, line.probe, line.load_state(), 0});
      ended.push_back(false);
    }
    const auto index = static_cast<size_t>(known - safe.begin());
    if (!line.no_false_alarm()) ended[index] = true;
    if (!ended[index]) known->deadline_ns = line.heartbeat_deadline_ns;
  }
  return safe;
}

}  // namespace lastack::suite
