#include "report/suite_folder.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>

#include "base/kernel_config.h"
#include "base/parse.h"
#include "base/printable.h"
#include "base/rows.h"
#include "base/time_unit.h"
#include "report/cost_text.h"
#include "report/document.h"
#include "report/environment.h"
#include "report/json_text.h"
#include "report/suite_text.h"

namespace lastack {
namespace {

using Json = nlohmann::ordered_json;

// --- The columns in front of those of a run

struct SuiteLine {
  const suite::SuiteResult* suite;
  const suite::Run* run;
  const suite::Row& row() const { return suite->rows[run->turn.row]; }
};

std::optional<int64_t> duration_of(const RunResult& result, std::string_view phase) {
  for (const Phase& each : result.phases)
    if (each.name == phase) return each.duration_ns;
  return std::nullopt;
}

// Shared by all connections of the run; empty where it tells nothing.
std::string per_connection(const suite::Run& run, std::optional<int64_t> value) {
  int64_t established = 0;
  for (const LedgerRow& row : run.result.ledger) established += row.established;
  if (!value || established == 0) return "";
  return fmt::format("{:.1f}", static_cast<double>(*value) / static_cast<double>(established));
}

constexpr Column<SuiteLine> kFront[] = {
    {"row", "name of the suite's row", [](const SuiteLine& l) { return l.row().name; }},
    {"run", "folder of the run",
     [](const SuiteLine& l) { return suite::run_folder(l.run->turn, l.row()); }},
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
    {"busy_ns_per_connection",
     "all that the host's CPUs did meanwhile, whoever they did it for; in steps of 10 ms, but in "
     "virtual time",
     [](const SuiteLine& l) {
       const int64_t busy_ns = l.run->result.cost.host_busy_ns;
       return per_connection(*l.run, busy_ns == kNotKnown ? std::nullopt : std::optional(busy_ns));
     }},
    {"establish_ns_per_connection", "how long opening them took",
     [](const SuiteLine& l) {
       return per_connection(*l.run, duration_of(l.run->result, "establish"));
     }},
    {"arm_ns_per_connection", "how long arming their watches took",
     [](const SuiteLine& l) { return per_connection(*l.run, duration_of(l.run->result, "arm")); }},
};
static_assert(named(kFront, &Column<SuiteLine>::name));

Json optional_ns(int64_t value) { return value < 0 ? Json(nullptr) : Json(value); }

Json frontier_json(const std::vector<suite::FrontierLine>& frontier) {
  Json lines = Json::array();
  for (const suite::FrontierLine& line : frontier) {
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

const RunResult* described(const suite::Run& run) {
  if (!run.result.ledger.empty()) return &run.result;
  return run.cost.rounds > 0 ? &run.cost.host : nullptr;
}

// --- A suite that goes on

constexpr const char kUnfinished[] = "unfinished", kPlan[] = "plan.json";
constexpr std::string_view kRecordStart = "row-";

std::string record_name(const suite::SuiteTurn& turn) {
  return fmt::format("{}{}-rep-{}", kRecordStart, turn.row, turn.repetition);
}

// A record is its checksum in a line and what serialize() makes of the run.
std::string checksum_line(std::string_view text) {
  const auto* bytes = reinterpret_cast<const Bytef*>(text.data());
  return fmt::format("{:08x}\n", crc32_z(0, bytes, text.size()));
}

Result<suite::Run> read_record(const std::string& text, const suite::SuiteTurn& turn,
                               std::span<const suite::Row> rows) {
  const size_t start = text.find('\n') + 1;
  const std::string content = text.substr(start);
  if (start == 0 || text.substr(0, start) != checksum_line(content))
    return plain_error("damaged (its checksum is not that of its content)");
  auto run = suite::deserialize_suite_run(content, rows);
  if (run && run->turn != turn) return plain_error("this is the record of another run");
  return run;
}

// Removes the files of an unfinished folder, and nothing that somebody else has put there.
Status clear(const Folder& folder, bool (*is_ours)(std::string_view name)) {
  const auto names = folder.names();
  if (!names) return names.error();
  for (const std::string& name : *names)
    if (!is_ours(name) && !Folder::is_temporary(name))
      return plain_error(fmt::format("{} was not written by lastack; move it away",
                                     folder.path_of(printable(name))));
  for (const std::string& name : *names)
    if (Status failed = folder.remove_file(name)) return failed;
  return std::nullopt;
}

bool is_of_run(std::string_view name) {
  return name == "run.json" || name == "cost.json" || name == "cost.csv" ||
         std::ranges::find(csv_files(), name, &CsvFile::name) != csv_files().end();
}

bool is_of_plan(std::string_view name) { return name == kPlan || name.starts_with(kRecordStart); }

bool is_missing(const Error& error) { return error.error_number == ENOENT; }

// "03-recv/rep-1" is a folder in a folder.
struct RunPath {
  std::string row, run;
};

RunPath run_path(const suite::SuiteTurn& turn, const suite::Row& row) {
  const std::string path = suite::run_folder(turn, row);
  const size_t slash = path.find('/');
  return {path.substr(0, slash), path.substr(slash + 1)};
}

// Removes what a suite that was killed has left of a run without a record.
Status remove_half_written(const Folder& folder, const RunPath& path) {
  const auto row = folder.open_inside(path.row);
  if (!row) return is_missing(row.error()) ? Status() : row.error();
  {
    const auto run = row->open_inside(path.run);
    if (!run) return is_missing(run.error()) ? Status() : run.error();
    if (Status failed = clear(*run, is_of_run)) return failed;
  }
  return row->remove_folder(path.run);
}

// Two suites with the same plan may share a folder.
Json plan_of(const suite::Spec& spec) {
  Json commands = Json::array();
  for (const suite::Row& row : suite::rows_of(spec)) commands.push_back(command_of(row));
  return {{"lastack", build_version()},      {"kernel", kernel_release()},
          {"suite", spec.suite->name},       {"quick", spec.quick},
          {"repetitions", spec.repetitions}, {"seed", spec.seed},
          {"commands", std::move(commands)}};
}

Json parsed(const std::string& text) { return Json::parse(text, nullptr, false); }

std::string shown(const Json& plan, const std::string& key) {
  return plan.contains(key) ? plan[key].dump() : "nothing";
}

// What keeps a suite with this plan from going on with one of that plan.
Status other_plan(const std::string& path, const Json& found, const Json& wanted) {
  if (!found.is_object()) return plain_error(fmt::format("the plan in '{}' is damaged", path));
  for (const auto& [key, value] : wanted.items()) {
    if (found.contains(key) && found[key] == value) continue;
    return plain_error(key == "commands"
                           ? fmt::format("the suite in '{}' has other rows", path)
                           : fmt::format("the suite in '{}' was begun with {} {}; now it is {}",
                                         path, key, shown(found, key), value.dump()));
  }
  return std::nullopt;
}

}  // namespace

std::string suite_summary_csv(const suite::SuiteResult& result) {
  std::string text = "schema_version";
  append_names(text, std::span<const Column<SuiteLine>>(kFront));
  for (const std::string_view setting : suite::varied_parameters())
    text.append(",").append(setting);
  append_summary_names(text);
  text += "\n";
  for (const suite::Run& run : result.runs) {
    std::string front = fmt::format("{}", kSchemaVersion);
    append_values(front, std::span<const Column<SuiteLine>>(kFront), {&result, &run});
    const auto values = print_spec(run.spec);
    for (const std::string_view setting : suite::varied_parameters())
      for (const auto& [name, value] : values)
        if (name == setting) front.append(",").append(quoted(value));
    for (const LedgerRow& row : run.result.ledger) {
      text += front;
      append_summary_values(text, row);
      text += "\n";
    }
  }
  return text;
}

CsvSchema suite_summary_csv_schema() {
  ColumnNames columns = names_and_help(std::span<const Column<SuiteLine>>(kFront));
  for (const std::string_view setting : suite::varied_parameters())
    columns.emplace_back(setting, "the run's option of this name");
  columns.emplace_back("strategy ...", "the columns of a run's summary.csv");
  return {"summary.csv of a suite", "of `lastack suite`: the rows of all its runs' summary.csv",
          std::move(columns)};
}

std::string suite_latency_csv(const suite::SuiteResult& result) {
  std::string text = "schema_version,row";
  append_names(text, latency_columns());
  text += "\n";
  for (size_t i = 0; i < result.rows.size(); ++i)
    for (const LedgerRow& row : suite::merged_ledger(result, i))
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

std::string suite_timeline_csv(const suite::SuiteResult& result) {
  std::string text = "schema_version,row";
  append_names(text, timeline_columns());
  text += "\n";
  for (size_t i = 0; i < result.rows.size(); ++i) {
    const auto first = std::ranges::find(result.runs, suite::SuiteTurn{i, 1}, &suite::Run::turn);
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

Json suite_document(const suite::SuiteResult& result, const Json& environment,
                    const std::vector<suite::FrontierLine>& frontier) {
  Json rows = Json::array();
  for (const suite::Row& row : result.rows)
    rows.push_back({{"name", row.name},
                    {"command", command_of(row)},
                    {"repetitions", row.repetitions},
                    {"warm_up", row.repetitions > 1}});
  Json runs = Json::array();
  for (size_t i = 0; i < result.turns.size(); ++i) {
    const suite::SuiteTurn& turn = result.turns[i];
    const suite::Row& row = result.rows[turn.row];
    const auto played = std::ranges::find(result.runs, turn, &suite::Run::turn);
    const bool ended = played != result.runs.end();
    const RunResult* host = ended ? described(*played) : nullptr;
    Json sysctls = nullptr;
    if (host) {
      sysctls = Json::object();
      for (const auto& [name, value] : host->sysctls) sysctls[name] = value;
    }
    runs.push_back(
        {{"name", row.name},
         {"folder", suite::run_folder(turn, row)},
         {"repetition", turn.repetition},
         {"warm_up", turn.warm_up()},
         {"order", i + 1},
         {"command", command_of(row)},
         {"status", ended ? Json(status_row(played->status).name) : Json(nullptr)},
         {"exit_code", ended ? Json(status_row(played->status).exit_code) : Json(nullptr)},
         {"error", ended && !played->error.empty() ? Json(played->error) : Json(nullptr)},
         {"estimated_ns", ended ? played->estimated_ns : suite::estimated_ns(row)},
         {"wall_ns", ended ? Json(played->wall_ns) : Json(nullptr)},
         {"sysctls", std::move(sysctls)},
         {"stalled_ns", ended ? Json(sum_ns(played->result.stalls)) : Json(nullptr)},
         {"throttled_ns", ended ? Json(played->result.host.throttled_ns) : Json(nullptr)}});
  }
  Json safe = Json::array();
  for (const suite::SafeDeadline& one : suite::safe_deadlines(frontier))
    safe.push_back({{"watch", one.watch},
                    {"probe", one.probe},
                    {"load_state", one.load_state},
                    {"deadline_ns", one.deadline_ns == 0 ? Json(nullptr) : Json(one.deadline_ns)}});
  Json notes = Json::array();
  if (std::string note = time_unit_note(time_unit_of(result)); !note.empty())
    notes.push_back(std::move(note));
  if (suite::scales_timers(result)) notes.push_back(kTimersNote);
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

Result<Folder> begin_suite(const std::string& path, const suite::Spec& spec) {
  auto folder = prepare_output_folder(path);
  if (!folder) return folder;
  auto unfinished = folder->make_inside(kUnfinished);
  Status failed;
  if (!unfinished)
    failed = unfinished.error();
  else
    failed = unfinished->write(kPlan, json_text(plan_of(spec)));
  if (!failed) return folder;
  if (unfinished) unfinished->undo();
  folder->undo();
  return plain_error("--out: " + failed->message());
}

Result<Folder> open_suite(const std::string& path) {
  auto folder = Folder::open(path);
  const Status failed = folder ? folder->reserve() : Status(folder.error());
  if (failed) return plain_error("--resume: " + failed->message());
  return folder;
}

Result<std::vector<suite::Run>> resume_suite(const Folder& folder, const suite::Spec& spec) {
  const auto refused = [](const Error& error) {
    return plain_error("--resume: " + error.message());
  };
  const auto unfinished = folder.open_inside(kUnfinished);
  if (!unfinished && !is_missing(unfinished.error())) return refused(unfinished.error());
  if (!unfinished)
    return plain_error(
        fmt::format("--resume: folder '{}' holds no unfinished suite; allowed: the folder of an "
                    "interrupted one",
                    folder.path()));
  const auto plan = unfinished->read(kPlan);
  if (!plan) return refused(plan.error());
  if (const Status other = other_plan(folder.path(), parsed(*plan), plan_of(spec)))
    return refused(*other);

  const std::vector<suite::Row> rows = suite::rows_of(spec);
  std::vector<suite::Run> done;
  std::vector<suite::SuiteTurn> missing;
  for (const suite::SuiteTurn& turn : suite::turns_of(rows, spec.seed)) {
    const auto record = unfinished->read(record_name(turn));
    if (!record && !is_missing(record.error())) return refused(record.error());
    if (!record) {
      missing.push_back(turn);
      continue;
    }
    auto run = read_record(*record, turn, rows);
    if (!run)
      return plain_error(fmt::format("--resume: {}: {}; without this file the run is played again",
                                     unfinished->path_of(record_name(turn)),
                                     run.error().message()));
    done.push_back(std::move(*run));
  }
  // Only now, when all that is there could be read.
  for (const suite::SuiteTurn& turn : missing)
    if (const Status failed = remove_half_written(folder, run_path(turn, rows[turn.row])))
      return refused(*failed);
  return done;
}

Status write_suite_run(const Folder& folder, const suite::Row& row, const suite::Run& run,
                       const Json& environment) {
  const bool results =
      row.prices() ? run.cost.rounds >= suite::kFewestRounds : !run.result.ledger.empty();
  if (results) {
    const RunPath path = run_path(run.turn, row);
    const auto row_folder = folder.make_inside(path.row);
    if (!row_folder) return row_folder.error();
    auto in = row_folder->make_inside(path.run);
    if (!in) return in.error();
    Status failed = row.prices()
                        ? write_cost(*in, run.cost, cost_document(run.cost, environment))
                        : write_results(*in, run.result, run_document(run.result, environment));
    if (failed) return failed;
  }
  auto unfinished = folder.open_inside(kUnfinished);
  if (!unfinished) return unfinished.error();
  // Last: what has a record is not played again.
  const std::string content = suite::serialize(run);
  return unfinished->write(record_name(run.turn), checksum_line(content) + content);
}

Status write_suite(Folder& folder, const suite::SuiteResult& result, const Json& document,
                   const std::vector<suite::FrontierLine>& frontier) {
  const std::pair<const char*, std::string> files[] = {
      {"summary.csv", suite_summary_csv(result)},
      {"latency.csv", suite_latency_csv(result)},
      {"timeline.csv", suite_timeline_csv(result)},
      {"frontier.csv", suite::frontier_csv(frontier)},
      // Last: a folder with a manifest.json is complete.
      {"manifest.json", json_text(document)},
  };
  for (const auto& [name, content] : files)
    if (Status failed = folder.write(name, content)) return failed;
  if (result.runs.size() < result.turns.size()) return std::nullopt;
  {
    const auto unfinished = folder.open_inside(kUnfinished);
    if (!unfinished) return unfinished.error();
    if (Status failed = clear(*unfinished, is_of_plan)) return failed;
  }
  return folder.remove_folder(kUnfinished);
}

const RunResult* described_run(const suite::SuiteResult& result) {
  for (const suite::Run& run : result.runs)
    if (const RunResult* host = described(run)) return host;
  return nullptr;
}

TimeUnit time_unit_of(const suite::SuiteResult& result) {
  const RunResult* run = described_run(result);
  return run ? run->time_unit : TimeUnit::ns;
}

}  // namespace lastack
