#include "report/suite_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/parse.h"
#include "base/table.h"
#include "base/time_unit.h"
#include "ledger/stalls.h"
#include "report/json_text.h"
#include "report/regressions_text.h"
#include "report/suite_folder.h"

namespace lastack {
namespace {

using Json = nlohmann::ordered_json;

std::string latency(int64_t value_ns, TimeUnit unit) {
  return value_ns < 0 ? "-" : format_rounded_duration(static_cast<double>(value_ns), unit);
}

std::string cost_cell(const suite::FrontierLine& line, TimeUnit unit) {
  if (!line.cost) return "-";
  const bool distinguishable =
      line.cost->survivor_cpu_low_ns > 0 || line.cost->survivor_cpu_high_ns < 0;
  if (!distinguishable) return "~";
  const double cpu_ns = line.cost->survivor_cpu_ns;
  return (line.cost->measured ? "" : "about ") + (unit == TimeUnit::ns
                                                      ? fmt::format("{:.3g}", cpu_ns / 1e3)
                                                      : format_rounded_duration(cpu_ns, unit));
}

std::string rows_table(const suite::SuiteResult& result, TimeUnit unit) {
  Table table({"row", "runs", "found", "nothing", "false alarms", "p50", "p99", "took", "status"},
              1);
  for (size_t i = 0; i < result.rows.size(); ++i) {
    int64_t runs = 0, wall_ns = 0;
    RunStatus status = RunStatus::ok;  // the worst one
    std::string error;
    for (const suite::Run& run : result.runs) {
      if (run.turn.row != i) continue;
      runs += !run.turn.warm_up();
      wall_ns += run.wall_ns;
      status = std::min(status, run.status);
      if (error.empty()) error = run.error;
    }
    if (runs == 0 && wall_ns == 0) continue;
    int64_t found = 0, nothing = 0, false_alarms = 0;
    const auto ledger = suite::merged_ledger(result, i);
    for (const LedgerRow& row : ledger) {
      found += row.found;
      nothing += row.nothing;
      false_alarms += row.probing.false_alarms;
    }
    const auto figure = [&](int64_t value) { return ledger.empty() ? "-" : grouped(value); };
    // Latencies of different strategies are no distribution.
    const auto quantile = [&](double share) {
      return ledger.size() == 1 && ledger[0].issued.count() > 0
                 ? latency(ledger[0].issued.quantile(share), unit)
                 : "-";
    };
    std::string said(status_row(status).name);
    if (!error.empty()) said += ": " + error;
    table.add({suite::row_folder(i, result.rows[i]), fmt::format("{}", runs), figure(found),
               figure(nothing), figure(false_alarms), quantile(0.5), quantile(0.99),
               format_seconds(wall_ns, unit), said});
  }
  return table.text();
}

std::string frontier_table(const std::vector<suite::FrontierLine>& frontier, TimeUnit unit) {
  Table table(
      {"run", "watch", "probe", "host", "found", "p50", "p99", "false alarms", "cost", "settings"},
      4);
  for (const suite::FrontierLine& line : frontier)
    table.add({line.run, line.watch, line.probe, std::string(line.load_state()),
               fmt::format("{} of {}", line.found, line.silent), latency(line.latency_p50_ns, unit),
               latency(line.latency_p99_ns, unit),
               fmt::format("{} of {}", line.false_alarms + line.early_alarms,
                           line.alive + line.silent + line.early_alarms),
               cost_cell(line, unit), line.settings});
  return table.text();
}

std::string safe_table(const std::vector<suite::SafeDeadline>& safe) {
  Table table({"watch", "probe", "host", "smallest safe deadline"}, 3, Align::right);
  for (const suite::SafeDeadline& one : safe)
    table.add({one.watch, one.probe, std::string(one.load_state),
               one.deadline_ns == 0 ? "none" : format_duration(one.deadline_ns)});
  return table.text();
}

}  // namespace

const std::string_view kTimersNote =
    "kernel timers that take minutes by default are scaled down by sysctls (tcp_retries2, "
    "tcp_rto_max_ms) that are written inside the private network namespace of a run only: the "
    "times of such runs are those of their settings, not of a host with the defaults";

std::string command_of(const suite::Row& row) {
  std::string command = row.prices() ? fmt::format("lastack cost --rounds {} --window {}",
                                                   row.rounds, format_duration(row.window_ns))
                                     : "lastack run";
  for (const auto& [name, value] : row.parameters) command += fmt::format(" --{} {}", name, value);
  return command;
}

std::string suite_estimate(const suite::Spec& spec) {
  const auto rows = suite::rows_of(spec);
  return fmt::format("suite {}: {} rows, {} runs, at most about {}\n", spec.suite->name,
                     rows.size(), suite::turns_of(rows, spec.seed).size(),
                     format_seconds(suite::estimated_ns(rows), TimeUnit::ns));
}

std::string suite_list_text() {
  std::string text;
  for (const suite::Suite& suite : suite::suites()) {
    text += fmt::format("{}: {}\n", suite.name, suite.help);
    for (const bool quick : {false, true}) {
      const auto rows = suite.rows(quick);
      text += fmt::format("  {}: {} runs of {} rows, at most about {}\n",
                          quick ? "with --quick" : "in full", suite::turns_of(rows, 1).size(),
                          rows.size(), format_seconds(suite::estimated_ns(rows), TimeUnit::ns));
      if (suite.collects) continue;
      for (size_t i = 0; i < rows.size(); ++i)
        text += fmt::format("    {}: {} x {}\n", suite::row_folder(i, rows[i]), rows[i].repetitions,
                            command_of(rows[i]));
    }
  }
  return text + regressions_list_text();
}

std::string suite_list_json() {
  Json list = Json::array();
  for (const suite::Suite& suite : suite::suites()) {
    Json one = {{"name", suite.name}, {"help", suite.help}};
    for (const bool quick : {false, true}) {
      const auto rows = suite.rows(quick);
      Json described = Json::array();
      for (size_t i = 0; i < rows.size(); ++i)
        described.push_back({{"name", rows[i].name},
                             {"folder", suite::row_folder(i, rows[i])},
                             {"repetitions", rows[i].repetitions},
                             {"command", command_of(rows[i])},
                             {"estimated_ns", suite::estimated_ns(rows[i])}});
      one[quick ? "quick" : "full"] = {{"estimated_ns", suite::estimated_ns(rows)},
                                       {"runs", suite::turns_of(rows, 1).size()},
                                       {"rows", std::move(described)}};
    }
    list.push_back(std::move(one));
  }
  list.push_back(regressions_list_json());
  return json_text(list);
}

std::string host_note(const suite::SuiteResult& result) {
  size_t runs = 0;
  std::string first;
  for (const suite::Run& run : result.runs) {
    const std::string want = want_of_host(run.result);
    if (want.empty() || ++runs > 1) continue;
    first = fmt::format("{} {}", suite::run_folder(run.turn, result.rows[run.turn.row]), want);
  }
  if (runs == 0) return "";
  return fmt::format(
      "the host did not serve {} of {} runs, such as: {}; their latencies and false alarms tell of "
      "the host, too",
      runs, result.runs.size(), first);
}

std::string suite_text(const suite::SuiteResult& result,
                       const std::vector<suite::FrontierLine>& frontier) {
  const TimeUnit unit = time_unit_of(result);
  const auto seconds = [&](int64_t duration_ns) { return format_seconds(duration_ns, unit); };
  std::string text = rows_table(result, unit);
  if (!frontier.empty())
    text += "\n" + frontier_table(frontier, unit) +
            fmt::format(
                "latencies: since the peer's death; cost: CPU of the survivors in {} per "
                "connection and {},\n",
                unit == TimeUnit::ns ? "us" : time_unit_name(unit),
                unit == TimeUnit::ns ? "second" : unit_text("second", unit)) +
            "more than without a probe, on a quiet host (~ not distinguishable from "
            "zero, - not measured,\nabout: between two measured intervals)\n";
  if (const auto safe = suite::safe_deadlines(frontier); !safe.empty())
    text += "\n" + safe_table(safe) +
            "the smallest heartbeat deadline of the suite that raised no false alarm, and no "
            "longer one did\n";
  text +=
      fmt::format("\nruns      {} of {}\ntime      {}, estimated at most {}\n", result.runs.size(),
                  result.turns.size(), seconds(result.wall_ns), seconds(result.estimated_ns));
  if (const std::string note = time_unit_note(unit); !note.empty())
    text += fmt::format("note      {}\n", note);
  if (suite::scales_timers(result)) text += fmt::format("note      {}\n", kTimersNote);
  if (const std::string note = host_note(result); !note.empty())
    text += fmt::format("note      {}\n", note);

  for (const suite::Run& run : result.runs)
    if (run.wall_ns > run.estimated_ns)
      text += fmt::format(
          "note      {} took {}, longer than the {} that its deadlines allow: the host may have "
          "raised false alarms\n",
          suite::run_folder(run.turn, result.rows[run.turn.row]), seconds(run.wall_ns),
          seconds(run.estimated_ns));
  return text + fmt::format("status    {}\n", status_row(result.status).name);
}

}  // namespace lastack
