#include "report/suite_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/file.h"
#include "base/parse.h"
#include "report/cost_text.h"
#include "report/document.h"
#include "report/text_table.h"

namespace lastack {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kTimersNote =
    "kernel timers that take minutes by default are scaled down by sysctls (tcp_retries2, "
    "tcp_rto_max_ms) that are written inside the private network namespace of a run only: the "
    "times of such runs are those of their settings, not of a host with the defaults";

// The parameters in which rows of suites differ, in front of the columns of a run.
constexpr std::string_view kSettings[] = {
    "keepalive-idle",
    "keepalive-interval",
    "keepalive-count",
    "user-timeout",
    "retries2",
    "rto-max",
    "heartbeat-interval",
    "heartbeat-deadline",
    "heartbeat-phase",
    "load",
    "reader",
    "cpu-hog",
    "neighbours",
    "cut-for",
    "warm-up",
    "deadline",
};

std::string command_of(const SuiteRow& row) {
  std::string command = row.prices() ? fmt::format("lastack cost --rounds {} --window {}",
                                                   row.rounds, format_duration(row.window_ns))
                                     : "lastack run";
  for (const auto& [name, value] : row.parameters) command += fmt::format(" --{} {}", name, value);
  return command;
}

std::string seconds(int64_t duration_ns) {
  return fmt::format("{:.1f} s", static_cast<double>(duration_ns) / 1e9);
}

int64_t estimate_of(const std::vector<SuiteRow>& rows) {
  int64_t sum_ns = 0;
  for (const SuiteRow& row : rows) sum_ns += estimated_ns(row);
  return sum_ns;
}

const RunResult* described(const SuiteRun& run) {
  if (!run.result.ledger.empty()) return &run.result;
  return run.cost.rounds > 0 ? &run.cost.host : nullptr;
}

std::string latency(int64_t value_ns) {
  return value_ns < 0 ? "-" : format_rounded_duration(static_cast<double>(value_ns));
}

std::string cost_cell(const FrontierLine& line) {
  if (!line.cost) return "-";
  const bool distinguishable =
      line.cost->survivor_cpu_low_ns > 0 || line.cost->survivor_cpu_high_ns < 0;
  if (!distinguishable) return "~";
  return fmt::format("{}{:.3g}", line.cost->measured ? "" : "about ",
                     line.cost->survivor_cpu_ns / 1e3);
}

std::string runs_table(const SuiteResult& result) {
  TextTable table({"run", "found", "nothing", "false alarms", "took", "status"}, 1);
  for (const SuiteRun& run : result.runs) {
    int64_t found = 0, nothing = 0, false_alarms = 0;
    for (const LedgerRow& row : run.result.ledger) {
      found += row.found;
      nothing += row.nothing;
      false_alarms += row.probing.false_alarms;
    }
    const bool ledger = !run.result.ledger.empty();
    const auto figure = [&](int64_t value) { return ledger ? grouped(value) : "-"; };
    std::string status(status_row(run.status).name);
    if (!run.error.empty()) status += ": " + run.error;
    table.add({row_folder(run.index, result.rows[run.index]), figure(found), figure(nothing),
               figure(false_alarms), seconds(run.wall_ns), status});
  }
  return table.render();
}

std::string frontier_table(const std::vector<FrontierLine>& frontier) {
  TextTable table(
      {"run", "watch", "probe", "host", "found", "p50", "p99", "false alarms", "cost", "settings"},
      4);
  for (const FrontierLine& line : frontier)
    table.add({line.run, line.watch, line.probe, std::string(line.load_state()),
               fmt::format("{} of {}", line.found, line.silent), latency(line.latency_p50_ns),
               latency(line.latency_p99_ns),
               fmt::format("{} of {}", line.false_alarms + line.early_alarms,
                           line.alive + line.silent + line.early_alarms),
               cost_cell(line), line.settings});
  return table.render();
}

std::string safe_table(const std::vector<SafeDeadline>& safe) {
  TextTable table({"watch", "probe", "host", "smallest safe deadline", ""}, 3);
  for (const SafeDeadline& one : safe)
    table.add({one.watch, one.probe, std::string(one.load_state),
               one.deadline_ns == 0 ? "none" : format_duration(one.deadline_ns), ""});
  return table.render();
}

Json optional_ns(int64_t value) { return value < 0 ? Json(nullptr) : Json(value); }

Json frontier_json(const std::vector<FrontierLine>& frontier) {
  Json lines = Json::array();
  for (const FrontierLine& line : frontier) {
    Json cost = nullptr;
    if (line.cost)
      cost = {{"basis", line.cost->measured ? "measured" : "interpolated"},
              {"survivor_cpu_ns", line.cost->survivor_cpu_ns},
              {"victim_cpu_ns", line.cost->victim_cpu_ns},
              {"segments", line.cost->segments}};
    lines.push_back({{"run", line.run},
                     {"watch", line.watch},
                     {"probe", line.probe},
                     {"settings", line.settings},
                     {"load_state", line.load_state()},
                     {"silent", line.silent},
                     {"found", line.found},
                     {"latency_p50_ns", optional_ns(line.latency_p50_ns)},
                     {"latency_p99_ns", optional_ns(line.latency_p99_ns)},
                     {"alive", line.alive},
                     {"false_alarms", line.false_alarms},
                     {"early_alarms", line.early_alarms},
                     {"cost", std::move(cost)}});
  }
  return lines;
}

}  // namespace

std::string suite_estimate(const Suite& suite, bool quick) {
  const auto rows = suite.rows(quick);
  return fmt::format("suite {}: {} runs, at most about {}\n", suite.name, rows.size(),
                     seconds(estimate_of(rows)));
}

std::string suite_list_text() {
  std::string text;
  for (const Suite& suite : suites()) {
    text += fmt::format("{}: {}\n", suite.name, suite.help);
    for (const bool quick : {false, true}) {
      const auto rows = suite.rows(quick);
      text += fmt::format("  {}: {} runs, at most about {}\n", quick ? "with --quick" : "in full",
                          rows.size(), seconds(estimate_of(rows)));
      for (size_t i = 0; i < rows.size(); ++i)
        text += fmt::format("    {}: {}\n", row_folder(i, rows[i]), command_of(rows[i]));
    }
  }
  return text;
}

std::string suite_list_json() {
  Json list = Json::array();
  for (const Suite& suite : suites()) {
    Json one = {{"name", suite.name}, {"help", suite.help}};
    for (const bool quick : {false, true}) {
      const auto rows = suite.rows(quick);
      Json runs = Json::array();
      for (size_t i = 0; i < rows.size(); ++i)
        runs.push_back({{"name", rows[i].name},
                        {"folder", row_folder(i, rows[i])},
                        {"command", command_of(rows[i])},
                        {"estimated_ns", estimated_ns(rows[i])}});
      one[quick ? "quick" : "full"] = {{"estimated_ns", estimate_of(rows)},
                                       {"runs", std::move(runs)}};
    }
    list.push_back(std::move(one));
  }
  return list.dump(2) + "\n";
}

std::string suite_text(const SuiteResult& result, const std::vector<FrontierLine>& frontier) {
  std::string text = runs_table(result);
  if (!frontier.empty())
    text += "\n" + frontier_table(frontier) +
            "latencies: since the peer's death; cost: CPU of the survivors in us per connection "
            "and second,\nmore than without a probe, on a quiet host (~ not distinguishable from "
            "zero, - not measured,\nabout: between two measured intervals)\n";
  if (const auto safe = safe_deadlines(frontier); !safe.empty())
    text += "\n" + safe_table(safe) +
            "the smallest heartbeat deadline of the suite that raised no false alarm, and no "
            "longer one did\n";
  text +=
      fmt::format("\nruns      {} of {}\ntime      {}, estimated at most {}\n", result.runs.size(),
                  result.rows.size(), seconds(result.wall_ns), seconds(result.estimated_ns));
  text += fmt::format("note      {}\n", kTimersNote);

  for (const SuiteRun& run : result.runs)
    if (run.wall_ns > run.estimated_ns)
      text += fmt::format(
          "note      {} took {}, longer than the {} that its deadlines allow: the host may have "
          "raised false alarms\n",
          row_folder(run.index, result.rows[run.index]), seconds(run.wall_ns),
          seconds(run.estimated_ns));
  return text + fmt::format("status    {}\n", status_row(result.status).name);
}

std::string suite_summary_csv(const SuiteResult& result) {
  std::string text = "schema_version,run";
  for (const std::string_view setting : kSettings) text.append(",").append(setting);
  for (const auto& column : summary_columns()) text.append(",").append(column.name);
  text += "\n";
  for (const SuiteRun& run : result.runs) {
    const auto values = print_spec(run.spec);
    std::string front =
        fmt::format("{},{}", kSchemaVersion, quoted(row_folder(run.index, result.rows[run.index])));
    for (const std::string_view setting : kSettings)
      for (const auto& [name, value] : values)
        if (name == setting) front.append(",").append(quoted(value));
    for (const LedgerRow& row : run.result.ledger) {
      text += front;
      for (const auto& column : summary_columns())
        text.append(",").append(quoted(column.value(row)));
      text += "\n";
    }
  }
  return text;
}

CsvSchema suite_summary_csv_schema() {
  ColumnNames columns = {{"schema_version", "version of this file's columns"},
                         {"run", "folder of the suite's run"}};
  for (const std::string_view setting : kSettings)
    columns.emplace_back(setting, "the run's option of this name");
  columns.emplace_back("strategy ...", "the columns of a run's summary.csv");
  return {"summary.csv of a suite", "of `lastack suite`: the rows of all its runs' summary.csv",
          std::move(columns)};
}

Json suite_document(const SuiteResult& result, const Json& environment,
                    const std::vector<FrontierLine>& frontier) {
  Json runs = Json::array();
  for (size_t i = 0; i < result.rows.size(); ++i) {
    const SuiteRow& row = result.rows[i];
    const auto played = std::ranges::find(result.runs, i, &SuiteRun::index);
    const bool ended = played != result.runs.end();
    const RunResult* host = ended ? described(*played) : nullptr;
    Json sysctls = nullptr;
    if (host) {
      sysctls = Json::object();
      for (const auto& [name, value] : host->sysctls) sysctls[name] = value;
    }
    runs.push_back(
        {{"name", row.name},
         {"folder", row_folder(i, row)},
         {"command", command_of(row)},
         {"status", ended ? Json(status_row(played->status).name) : Json(nullptr)},
         {"exit_code", ended ? Json(status_row(played->status).exit_code) : Json(nullptr)},
         {"error", ended && !played->error.empty() ? Json(played->error) : Json(nullptr)},
         {"estimated_ns", ended ? played->estimated_ns : estimated_ns(row)},
         {"wall_ns", ended ? Json(played->wall_ns) : Json(nullptr)},
         {"sysctls", std::move(sysctls)}});
  }
  Json safe = Json::array();
  for (const SafeDeadline& one : safe_deadlines(frontier))
    safe.push_back({{"watch", one.watch},
                    {"probe", one.probe},
                    {"load_state", one.load_state},
                    {"deadline_ns", one.deadline_ns == 0 ? Json(nullptr) : Json(one.deadline_ns)}});
  return {{"schema_version", kSchemaVersion},
          {"suite", result.name},
          {"quick", result.quick},
          {"status", status_row(result.status).name},
          {"exit_code", status_row(result.status).exit_code},
          {"estimated_ns", result.estimated_ns},
          {"wall_ns", result.wall_ns},
          {"notes", {kTimersNote}},
          {"environment", environment},
          {"runs", std::move(runs)},
          {"frontier", frontier_json(frontier)},
          {"safe_heartbeat_deadlines", std::move(safe)}};
}

Status write_suite_run(const std::string& folder, const SuiteRow& row, const SuiteRun& run,
                       const Json& environment) {
  const bool results = row.prices() ? run.cost.rounds >= kFewestRounds : !run.result.ledger.empty();
  if (!results) return std::nullopt;
  if (Status failed = prepare_output_folder(folder)) return failed;
  if (row.prices()) return write_cost(folder, run.cost, cost_document(run.cost, environment));
  return write_results(folder, run.result, run_document(run.result, environment));
}

Status write_suite(const std::string& folder, const SuiteResult& result, const Json& document,
                   const std::vector<FrontierLine>& frontier) {
  Status failed = write_file_atomically(folder + "/summary.csv", suite_summary_csv(result));
  if (!failed) failed = write_file_atomically(folder + "/frontier.csv", frontier_csv(frontier));
  if (failed) return failed;
  // Last: a folder with a manifest.json is complete.
  return write_file_atomically(folder + "/manifest.json", document.dump(2) + "\n");
}

const RunResult* described_run(const SuiteResult& result) {
  for (const SuiteRun& run : result.runs)
    if (const RunResult* host = described(run)) return host;
  return nullptr;
}

}  // namespace lastack
