#include "report/cost_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/parse.h"
#include "base/rows.h"
#include "base/table.h"
#include "base/time_unit.h"
#include "report/document.h"
#include "report/json_text.h"

namespace lastack {
namespace {

using Json = nlohmann::ordered_json;
using suite::CostResult;
using suite::PricedProbe;
using suite::PricedWatch;
using suite::QuantityRow;

int64_t connections_of(const PricedProbe& probe) {
  return probe.samples.empty() ? 0 : probe.samples.front().connections;
}

// One line of cost.csv.
struct CostRow {
  const CostResult* result;
  const PricedWatch* watch;
  const PricedProbe* probe;
  const QuantityRow* quantity;        // null: the probe was skipped
  std::optional<suite::Price> price;  // nullopt: not to be had
};

std::string unit_of(const CostResult& result, const QuantityRow& quantity) {
  return unit_text(quantity.unit, result.host.time_unit);
}

std::string exact(double value) { return fmt::format("{:.9g}", value); }

constexpr Column<CostRow> kColumns[] = {
    {"watch", "how the survivors waited",
     [](const CostRow& r) { return std::string(watch_row(r.watch->watch).name); }},
    {"probe", "what was compared with `none`",
     [](const CostRow& r) { return std::string(probe_row(r.probe->probe).name); }},
    {"settings", "OPTION=VALUE of the probe, separated by ;",
     [](const CostRow& r) { return probe_settings_text(r.result->spec.run, r.probe->probe); }},
    {"connections", "that stood in each run; nobody died",
     [](const CostRow& r) { return fmt::format("{}", connections_of(*r.probe)); }},
    {"rounds", "in each of them one run with the probe and one with `none`",
     [](const CostRow& r) { return fmt::format("{}", r.result->rounds); }},
    {"window_ns", "how long each run was watched",
     [](const CostRow& r) { return fmt::format("{}", r.result->spec.window_ns); }},
    {"quantity", "what was measured (see `lastack list`); empty where the probe was skipped",
     [](const CostRow& r) { return std::string(r.quantity ? r.quantity->name : ""); }},
    {"unit", "of one connection; memory is not per second",
     [](const CostRow& r) { return r.quantity ? unit_of(*r.result, *r.quantity) : ""; }},
    {"control_mean", "mean over the runs with `none`; empty where it is not to be had, as the next",
     [](const CostRow& r) { return r.price ? exact(r.price->control_mean) : ""; }},
    {"mean", "mean of the rounds' differences, with the probe less with `none`",
     [](const CostRow& r) { return r.price ? exact(r.price->more.mean) : ""; }},
    {"low", "lower end of its 95 % confidence interval (Student's t)",
     [](const CostRow& r) { return r.price ? exact(r.price->more.low) : ""; }},
    {"high", "upper end of it",
     [](const CostRow& r) { return r.price ? exact(r.price->more.high) : ""; }},
    {"distinguishable", "true where the interval leaves 0 out, else false",
     [](const CostRow& r) {
       return std::string(!r.price ? "" : r.price->more.distinguishable() ? "true" : "false");
     }},
    {"skipped", "why the probe did not run; empty when it ran",
     [](const CostRow& r) { return r.probe->skipped; }},
};
static_assert(named(kColumns, &Column<CostRow>::name));

std::vector<CostRow> rows_of(const CostResult& result, const PricedWatch& watch,
                             const PricedProbe& probe) {
  if (!probe.skipped.empty()) return {{&result, &watch, &probe, nullptr, std::nullopt}};
  std::vector<CostRow> rows;
  for (const QuantityRow& quantity : suite::quantities())
    rows.push_back({&result, &watch, &probe, &quantity,
                    suite::price(quantity, watch.probes.front().samples, probe.samples)});
  return rows;
}

// Three digits; what is large is whole.
std::string rounded(double value) {
  if (std::abs(value) >= 1000) return grouped(std::llround(value));
  return fmt::format("{:.3g}", value);
}

std::string cell(const std::optional<suite::Price>& price) {
  if (!price) return "n/a";
  if (!price->more.distinguishable()) return "~";
  return fmt::format("{} +-{}", rounded(price->more.mean),
                     rounded(price->more.high - price->more.mean));
}

}  // namespace

std::string cost_estimate(const suite::CostSpec& spec, const suite::CostPlan& plan) {
  size_t runs = 0;
  for (const PricedWatch& watch : plan.watches)
    for (const PricedProbe& probe : watch.probes) runs += probe.skipped.empty();
  return fmt::format("{} rounds x {} runs x ({} + establishing): about {}\n", spec.rounds, runs,
                     format_duration(spec.window_ns),
                     format_rounded_duration(static_cast<double>(plan.estimated_ns), TimeUnit::ns));
}

std::string cost_text(const CostResult& result) {
  std::string text;
  for (const PricedWatch& watch : result.watches) {
    const PricedProbe& control = watch.probes.front();
    std::vector<const PricedProbe*> priced;
    Cells header = {"quantity", "unit", "none"};
    for (const PricedProbe& probe : watch.probes) {
      if (&probe == &control || !probe.skipped.empty()) continue;
      priced.push_back(&probe);
      header.emplace_back(probe_row(probe.probe).name);
    }
    text += fmt::format("{}watch {}: {} connections, {} rounds of {}\n", text.empty() ? "" : "\n",
                        watch_row(watch.watch).name, grouped(connections_of(control)),
                        result.rounds, format_duration(result.spec.window_ns));
    if (control.skipped.empty() && !priced.empty()) {
      Table table(std::move(header), 2, Align::right);
      for (const QuantityRow& quantity : suite::quantities()) {
        const auto base = suite::price(quantity, control.samples, control.samples);
        Cells cells = {std::string(quantity.name), unit_of(result, quantity),
                       base ? rounded(base->control_mean) : "n/a"};
        for (const PricedProbe* probe : priced)
          cells.push_back(cell(suite::price(quantity, control.samples, probe->samples)));
        table.add(std::move(cells));
      }
      text += table.text();
    }
    for (const PricedProbe& probe : watch.probes) {
      const std::string settings = probe_settings_text(result.spec.run, probe.probe);
      if (!probe.skipped.empty())
        text += fmt::format("{} skipped: {}\n", probe_row(probe.probe).name, probe.skipped);
      else if (!settings.empty())
        text += fmt::format("{}: {}\n", probe_row(probe.probe).name, settings);
    }
  }
  text +=
      "\nper connection; `none` is the mean without a probe, a probe's column how much more it "
      "is:\n"
      "mean of the rounds' differences +- half of its 95 % confidence interval (Student's t)\n"
      "~ not distinguishable from zero; n/a not to be had here\n"
      "by chance one of twenty figures that are zero is shown all the same\n";
  const bool softirqs_contained = result.host.cost.softirq_ns < 0;
  if (softirqs_contained)
    text +=
        "softirq-cpu is contained in the system time of whom it interrupts, and only in host-cpu\n"
        "where that is an idle CPU: this kernel does not account it apart\n"
        "(CONFIG_IRQ_TIME_ACCOUNTING)\n";
  if (result.host.cost.survivors.spins) text += "switches: survivors that spin do not sleep\n";
  for (const std::string& note : result.notes) text += fmt::format("note    {}\n", note);
  if (!result.error.empty()) text += fmt::format("error   {}\n", result.error);
  return text + fmt::format("status  {}\n", status_row(result.status).name);
}

std::string cost_csv(const CostResult& result) {
  Csv<CostRow> csv(kColumns);
  for (const PricedWatch& watch : result.watches)
    for (const PricedProbe& probe : watch.probes) {
      if (probe.probe == Probe::none && probe.skipped.empty()) continue;
      for (const CostRow& row : rows_of(result, watch, probe)) csv.add(row);
    }
  return csv.take();
}

CsvSchema cost_csv_schema() {
  return {"cost.csv", "of `lastack cost`: one row per watch x probe x quantity",
          names_and_help(std::span<const Column<CostRow>>(kColumns))};
}

Json cost_document(const CostResult& result, const Json& environment) {
  const auto optional = [](const std::optional<double>& value) {
    return value ? Json(*value) : Json(nullptr);
  };
  Json watches = Json::array();
  for (const PricedWatch& watch : result.watches) {
    Json probes = Json::array();
    for (const PricedProbe& probe : watch.probes) {
      Json prices = Json::array(), samples = Json::array();
      if (probe.probe != Probe::none)
        for (const CostRow& row : rows_of(result, watch, probe))
          if (row.price)
            prices.push_back({{"quantity", row.quantity->name},
                              {"unit", unit_of(result, *row.quantity)},
                              {"control_mean", row.price->control_mean},
                              {"mean", row.price->more.mean},
                              {"low", row.price->more.low},
                              {"high", row.price->more.high},
                              {"distinguishable", row.price->more.distinguishable()}});
      for (const suite::CostSample& sample : probe.samples) {
        Json values = {{"connections", sample.connections}, {"wall_ns", sample.cost.wall_ns}};
        for (const QuantityRow& quantity : suite::quantities())
          values[std::string(quantity.name)] = optional(suite::share(quantity, sample));
        samples.push_back(std::move(values));
      }
      probes.push_back({{"probe", probe_row(probe.probe).name},
                        {"settings", probe_settings_text(result.spec.run, probe.probe)},
                        {"skipped", probe.skipped.empty() ? Json(nullptr) : Json(probe.skipped)},
                        {"prices", std::move(prices)},
                        {"samples", std::move(samples)}});
    }
    watches.push_back({{"watch", watch_row(watch.watch).name}, {"probes", std::move(probes)}});
  }
  RunSpec spec = suite::cost_run(result.spec, Watch::recv, Probe::none);
  spec.watches = result.spec.run.watches;
  spec.probes = result.spec.run.probes;
  return {{"schema_version", kSchemaVersion},
          {"status", status_row(result.status).name},
          {"exit_code", status_row(result.status).exit_code},
          {"error", result.error.empty() ? Json(nullptr) : Json(result.error)},
          {"spec", spec_json(print_spec(spec))},
          {"rounds", result.rounds},
          {"window_ns", result.spec.window_ns},
          {"notes", result.notes},
          {"environment", environment},
          {"watches", std::move(watches)}};
}

Status write_cost(Folder& folder, const CostResult& result, const Json& document) {
  if (Status failed = folder.write("cost.csv", cost_csv(result))) return failed;
  // Last: a folder with a cost.json is complete.
  return folder.write("cost.json", json_text(document));
}

}  // namespace lastack
