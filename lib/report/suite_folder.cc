#include "report/suite_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "base/kernel_config.h"
#include "base/parse.h"
#include "report/cost_text.h"
#include "report/document.h"
#include "report/environment.h"
#include "report/suite_text.h"

namespace lastack {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

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

// --- The columns in front of those of a run

struct SuiteLine {
  const SuiteResult* suite;
  const SuiteRun* run;
  const SuiteRow& row() const { return suite->rows[run->turn.row]; }
};

// Shared by all connections of the run; empty where it tells nothing.
std::string per_connection(const SuiteRun& run, std::optional<int64_t> value) {
  int64_t established = 0;
  for (const LedgerRow& row : run.result.ledger) established += row.established;
  if (!value || established == 0) return "";
  return fmt::format("{:.1f}", static_cast<double>(*value) / static_cast<double>(established));
}

constexpr Column<SuiteLine> kFront[] = {
    {"row", "name of the suite's row", [](const SuiteLine& l) { return l.row().name; }},
    {"run", "folder of the run",
     [](const SuiteLine& l) { return run_folder(l.run->turn, l.row()); }},
    {"repetition", "1 and up; 0: the warm-up",
     [](const SuiteLine& l) { return fmt::format("{}", l.run->turn.repetition); }},
    {"warm_up", "1: a run that no comparison counts, else 0",
     [](const SuiteLine& l) { return std::string(l.run->turn.warm_up() ? "1" : "0"); }},
    {"run_status", "how the run ended",
     [](const SuiteLine& l) { return std::string(status_row(l.run->status).name); }},
    {"cpu_ns_per_connection",
     "user and system CPU of the survivors from the armed watch to the closed ledger, of the whole "
     "run: its rows share it; empty where they spin",
     [](const SuiteLine& l) {
       const RoleCost& survivors = l.run->result.cost.survivors;
       const int64_t cpu_ns = survivors.user_ns + survivors.system_ns;
       return per_connection(*l.run, survivors.spins ? std::nullopt : std::optional(cpu_ns));
     }},
    {"segments_per_connection", "TCP segments that the run's namespaces sent meanwhile",
     [](const SuiteLine& l) {
       return per_connection(*l.run, l.run->result.cost.traffic.out_segments);
     }},
};

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

const RunResult* described(const SuiteRun& run) {
  if (!run.result.ledger.empty()) return &run.result;
  return run.cost.rounds > 0 ? &run.cost.host : nullptr;
}

// --- A suite that goes on

std::string unfinished_folder(const std::string& folder) { return folder + "/unfinished"; }

std::string record_path(const std::string& folder, const SuiteTurn& turn) {
  return fmt::format("{}/row-{}-rep-{}", unfinished_folder(folder), turn.row, turn.repetition);
}

// Two suites with the same plan may share a folder.
Json plan_of(const SuiteSpec& spec) {
  Json commands = Json::array();
  for (const SuiteRow& row : rows_of(spec)) commands.push_back(command_of(row));
  return {{"lastack", build_version()},      {"kernel", kernel_release()},
          {"suite", spec.suite->name},       {"quick", spec.quick},
          {"repetitions", spec.repetitions}, {"seed", spec.seed},
          {"commands", std::move(commands)}};
}

Json parsed(const std::string& text) { return Json::parse(text, nullptr, false); }

std::string shown(const Json& plan, const std::string& key) {
  return plan.contains(key) ? plan[key].dump() : "nothing";
}

}  // namespace

std::string suite_summary_csv(const SuiteResult& result) {
  std::string text = "schema_version";
  append_names(text, std::span<const Column<SuiteLine>>(kFront));
  for (const std::string_view setting : kSettings) text.append(",").append(setting);
  append_names(text, summary_columns());
  text += "\n";
  for (const SuiteRun& run : result.runs) {
    std::string front = fmt::format("{}", kSchemaVersion);
    append_values(front, std::span<const Column<SuiteLine>>(kFront), {&result, &run});
    const auto values = print_spec(run.spec);
    for (const std::string_view setting : kSettings)
      for (const auto& [name, value] : values)
        if (name == setting) front.append(",").append(quoted(value));
    for (const LedgerRow& row : run.result.ledger) {
      text += front;
      append_values(text, summary_columns(), row);
      text += "\n";
    }
  }
  return text;
}

CsvSchema suite_summary_csv_schema() {
  ColumnNames columns = names_and_help(std::span<const Column<SuiteLine>>(kFront));
  for (const std::string_view setting : kSettings)
    columns.emplace_back(setting, "the run's option of this name");
  columns.emplace_back("strategy ...", "the columns of a run's summary.csv");
  return {"summary.csv of a suite", "of `lastack suite`: the rows of all its runs' summary.csv",
          std::move(columns)};
}

std::string suite_latency_csv(const SuiteResult& result) {
  std::string text = "schema_version,row";
  append_names(text, latency_columns());
  text += "\n";
  for (size_t i = 0; i < result.rows.size(); ++i)
    for (const LedgerRow& row : merged_ledger(result, i))
      for (const auto& [since, histogram] :
           {std::pair{"issued", &row.issued}, {"scheduled", &row.scheduled}})
        for (const CurvePoint& point : percentile_curve(row, since, *histogram)) {
          text += fmt::format("{},{}", kSchemaVersion, quoted(result.rows[i].name));
          append_values(text, latency_columns(), point);
          text += "\n";
        }
  return text;
}

CsvSchema suite_latency_csv_schema() {
  return {"latency.csv of a suite",
          "of `lastack suite`: the percentile curve of each row, of the histograms of its "
          "repetitions merged, without the warm-up",
          {{"schema_version", "version of this file's columns"},
           {"row", "name of the suite's row"},
           {"strategy ...", "the columns of a run's latency.csv"}}};
}

std::string suite_timeline_csv(const SuiteResult& result) {
  std::string text = "schema_version,row";
  append_names(text, timeline_columns());
  text += "\n";
  for (size_t i = 0; i < result.rows.size(); ++i) {
    const auto first = std::ranges::find(result.runs, SuiteTurn{i, 1}, &SuiteRun::turn);
    if (first == result.runs.end()) continue;
    for (const TimelineBin& bin : first->result.timeline) {
      text += fmt::format("{},{}", kSchemaVersion, quoted(result.rows[i].name));
      append_values(text, timeline_columns(), bin);
      text += "\n";
    }
  }
  return text;
}

CsvSchema suite_timeline_csv_schema() {
  return {"timeline.csv of a suite",
          "of `lastack suite`: the timeline of the first repetition of each row",
          {{"schema_version", "version of this file's columns"},
           {"row", "name of the suite's row"},
           {"start_ns ...", "the columns of a run's timeline.csv"}}};
}

Json suite_document(const SuiteResult& result, const Json& environment,
                    const std::vector<FrontierLine>& frontier) {
  Json rows = Json::array();
  for (const SuiteRow& row : result.rows)
    rows.push_back({{"name", row.name},
                    {"command", command_of(row)},
                    {"repetitions", row.repetitions},
                    {"warm_up", row.repetitions > 1}});
  Json runs = Json::array();
  for (size_t i = 0; i < result.turns.size(); ++i) {
    const SuiteTurn& turn = result.turns[i];
    const SuiteRow& row = result.rows[turn.row];
    const auto played = std::ranges::find(result.runs, turn, &SuiteRun::turn);
    const bool ended = played != result.runs.end();
    const RunResult* host = ended ? described(*played) : nullptr;
    Json sysctls = nullptr;
    if (host) {
      sysctls = Json::object();
      for (const auto& [name, value] : host->sysctls) sysctls[name] = value;
    }
    runs.push_back(
        {{"name", row.name},
         {"folder", run_folder(turn, row)},
         {"repetition", turn.repetition},
         {"warm_up", turn.warm_up()},
         {"order", i + 1},
         {"command", command_of(row)},
         {"status", ended ? Json(status_row(played->status).name) : Json(nullptr)},
         {"exit_code", ended ? Json(status_row(played->status).exit_code) : Json(nullptr)},
         {"error", ended && !played->error.empty() ? Json(played->error) : Json(nullptr)},
         {"estimated_ns", ended ? played->estimated_ns : estimated_ns(row)},
         {"wall_ns", ended ? Json(played->wall_ns) : Json(nullptr)},
         {"sysctls", std::move(sysctls)},
         {"stalled_ns", ended ? Json(sum_ns(played->result.stalls)) : Json(nullptr)},
         {"throttled_ns", ended ? Json(played->result.host.throttled_ns) : Json(nullptr)}});
  }
  Json safe = Json::array();
  for (const SafeDeadline& one : safe_deadlines(frontier))
    safe.push_back({{"watch", one.watch},
                    {"probe", one.probe},
                    {"load_state", one.load_state},
                    {"deadline_ns", one.deadline_ns == 0 ? Json(nullptr) : Json(one.deadline_ns)}});
  Json notes = Json::array();
  if (scales_timers(result)) notes.push_back(kTimersNote);
  if (const std::string note = host_note(result); !note.empty()) notes.push_back(note);
  return {{"schema_version", kSchemaVersion},
          {"suite", result.spec.suite->name},
          {"quick", result.spec.quick},
          {"repetitions", result.spec.repetitions},
          {"seed", result.spec.seed},
          {"status", status_row(result.status).name},
          {"exit_code", status_row(result.status).exit_code},
          {"estimated_ns", result.estimated_ns},
          {"wall_ns", result.wall_ns},
          {"notes", std::move(notes)},
          {"environment", environment},
          {"rows", std::move(rows)},
          {"runs", std::move(runs)},
          {"frontier", frontier_json(frontier)},
          {"safe_heartbeat_deadlines", std::move(safe)}};
}

Status begin_suite(const std::string& folder, const SuiteSpec& spec) {
  if (Status failed = prepare_output_folder(folder)) return failed;
  std::error_code failed;
  fs::create_directory(unfinished_folder(folder), failed);
  if (failed) return make_error("--out: create folder", failed.value(), unfinished_folder(folder));
  return write_file_atomically(unfinished_folder(folder) + "/plan.json",
                               plan_of(spec).dump(2) + "\n");
}

Result<std::vector<SuiteRun>> resume_suite(const std::string& folder, const SuiteSpec& spec) {
  const auto text = read_file(unfinished_folder(folder) + "/plan.json");
  if (!text)
    return plain_error(
        fmt::format("--resume: folder '{}' holds no unfinished suite; allowed: the folder of an "
                    "interrupted one",
                    folder));
  const Json found = parsed(*text), wanted = plan_of(spec);
  for (const auto& [key, value] : wanted.items())
    if (!found.is_object() || !found.contains(key) || found[key] != value)
      return plain_error(
          key == "commands"
              ? fmt::format("--resume: the suite in '{}' has other rows", folder)
              : fmt::format("--resume: the suite in '{}' was begun with {} {}; now it is {}",
                            folder, key, found.is_object() ? shown(found, key) : "nothing",
                            value.dump()));
  const std::vector<SuiteRow> rows = rows_of(spec);
  std::vector<SuiteRun> done;
  for (const SuiteTurn& turn : turns_of(rows, spec.seed)) {
    const auto record = read_file(record_path(folder, turn));
    if (!record) {
      std::error_code failed;
      const std::string half_written = folder + "/" + run_folder(turn, rows[turn.row]);
      fs::remove_all(half_written, failed);
      if (failed) return make_error("--resume: remove", failed.value(), half_written);
      continue;
    }
    auto run = deserialize_suite_run(*record, rows);
    if (!run)
      return plain_error(
          fmt::format("--resume: {}: {}", record_path(folder, turn), run.error().message()));
    done.push_back(std::move(*run));
  }
  return done;
}

Status write_suite_run(const std::string& folder, const SuiteRow& row, const SuiteRun& run,
                       const Json& environment) {
  const std::string in = folder + "/" + run_folder(run.turn, row);
  const bool results = row.prices() ? run.cost.rounds >= kFewestRounds : !run.result.ledger.empty();
  if (results) {
    if (Status failed = prepare_output_folder(in)) return failed;
    Status failed = row.prices()
                        ? write_cost(in, run.cost, cost_document(run.cost, environment))
                        : write_results(in, run.result, run_document(run.result, environment));
    if (failed) return failed;
  }
  // Last: what has a record is not played again.
  return write_file_atomically(record_path(folder, run.turn), serialize(run));
}

Status write_suite(const std::string& folder, const SuiteResult& result, const Json& document,
                   const std::vector<FrontierLine>& frontier) {
  const std::pair<const char*, std::string> files[] = {
      {"summary.csv", suite_summary_csv(result)},
      {"latency.csv", suite_latency_csv(result)},
      {"timeline.csv", suite_timeline_csv(result)},
      {"frontier.csv", frontier_csv(frontier)},
      // Last: a folder with a manifest.json is complete.
      {"manifest.json", document.dump(2) + "\n"},
  };
  for (const auto& [name, content] : files)
    if (Status failed = write_file_atomically(fmt::format("{}/{}", folder, name), content))
      return failed;
  if (result.runs.size() < result.turns.size()) return std::nullopt;
  std::error_code failed;
  fs::remove_all(unfinished_folder(folder), failed);
  if (failed) return make_error("remove", failed.value(), unfinished_folder(folder));
  return std::nullopt;
}

const RunResult* described_run(const SuiteResult& result) {
  for (const SuiteRun& run : result.runs)
    if (const RunResult* host = described(run)) return host;
  return nullptr;
}

}  // namespace lastack
