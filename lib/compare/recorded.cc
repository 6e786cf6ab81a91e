#include "compare/recorded.h"

#include <fmt/format.h>
#include <glob.h>
#include <string.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/file.h"
#include "base/parse.h"
#include "base/printable.h"
#include "compare/csv_table.h"
#include "compare/document.h"
#include "compare/facts.h"
#include "compare/summary.h"

namespace lastack::compare {
namespace {

constexpr std::string_view kManifest = "manifest.json", kSummary = "summary.csv",
                           kRunDocument = "run.json";

std::string inside(const std::string& folder, std::string_view name) {
  return fmt::format("{}/{}", folder, name);
}

// ---- The host

void describe_host(Document& document, Recording& recording) {
  const Json& environment = document.object(document.root(), "environment");
  const Json& build = Document::member(environment, "build");
  recording.time = document.text(environment, "time", "");
  recording.kernel = document.text(Document::member(environment, "kernel"), "release", "");
  recording.version = document.text(build, "version", "");
  if (const std::string commit = document.text(build, "commit", ""); !commit.empty())
    recording.version += (recording.version.empty() ? "" : " ") + commit;
  flatten(environment, "", recording.facts);
}

// ---- Suites and runs

// "lastack run --connections 2k --seed 7" without the seed: repetitions may have seeds of their
// own.
std::string without_seed(const std::string& command) {
  std::string kept;
  bool seed = false;
  for (const std::string_view word : split(command, ' ')) {
    if (seed || word == "--seed") {
      seed = !seed;
      continue;
    }
    kept.append(kept.empty() ? "" : " ").append(word);
  }
  return kept;
}

using CommandOptions = std::map<std::string, std::string>;  // "--wait" is "spin"; "" is the rest

CommandOptions options_of(std::string_view command) {
  CommandOptions options;
  while (!command.empty()) {
    const size_t next = command.find(" --", 1);
    std::string_view option = command.substr(0, next);
    option.remove_prefix(option.starts_with(' '));
    const size_t name = option.starts_with("--") ? option.find(' ') : 0;
    options.emplace(option.substr(0, name),
                    name == std::string_view::npos ? "" : option.substr(name));
    command = next == std::string_view::npos ? "" : command.substr(next);
  }
  return options;
}

// What options say that others do not say, or not so: "--wait spin".
std::string options_apart(const CommandOptions& options, const CommandOptions& others) {
  std::string apart;
  for (const auto& [name, value] : options) {
    const auto other = others.find(name);
    if (other == others.end() || other->second != value)
      apart += fmt::format("{}{}{}", apart.empty() ? "" : " ", name, value);
  }
  return apart.empty() ? "nothing more" : apart;
}

// A run writes down all options that it knows; another version of lastack may know more.
void keep_common(CommandOptions& a, CommandOptions& b) {
  std::erase_if(a, [&](const auto& option) { return !b.contains(option.first); });
  std::erase_if(b, [&](const auto& option) { return !a.contains(option.first); });
}

// ---- Files

// What cannot be looked at counts: opening it says why.
bool is_there(const std::string& path) {
  std::error_code failed;
  return std::filesystem::exists(path, failed) || failed;
}

// Whether a suite began to write into the folder: its run folders begin with a number.
bool holds_numbered_folders(const std::string& folder) {
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
    const std::string name = entry.path().filename();
    if (name != row_of_folder(name)) return true;
  }
  return false;
}

Result<Recording> read_folder(const std::string& folder) {
  std::error_code failed;
  if (!std::filesystem::is_directory(folder, failed))
    return failed ? make_error("open", failed.value(), folder)
                  : plain_error(fmt::format("{} is no folder", folder));
  const bool suite = is_there(inside(folder, kManifest));
  if (!suite && !is_there(inside(folder, kRunDocument))) {
    if (holds_numbered_folders(folder))
      return plain_error(
          fmt::format("{}: this suite is unfinished (no manifest.json); finish it with `lastack "
                      "suite NAME --out {} --resume`",
                      folder, folder));
    return plain_error(
        fmt::format("{}: neither a suite's folder (manifest.json) nor a run's (run.json)", folder));
  }
  const auto document = read_recorded_file(inside(folder, suite ? kManifest : kRunDocument));
  if (!document) return document.error();
  const auto summary = read_recorded_file(inside(folder, kSummary));
  if (!summary) return summary.error();
  return suite ? recorded_suite(folder, *document, *summary)
               : recorded_run(folder, *document, *summary);
}

// Of a run's phase; -1: it has none.
int64_t duration_of(Document& document, std::string_view phase) {
  for (const Json& each : document.objects(document.root(), "phases", false))
    if (document.text(each, "name", "") == phase) return document.number(each, "duration_ns", -1);
  return -1;
}

// Puts the repetitions of `more` behind those that are there.
void append(Recording& all, Recording more) {
  int64_t last = 0;
  for (const RecordedRun& run : all.runs) last = std::max(last, run.repetition);
  for (RecordedRun& run : more.runs) {
    if (!run.warm_up) run.repetition += last;
    if (!more.suite.empty()) run.folder = inside(more.path, run.folder);
    all.runs.push_back(std::move(run));
  }
  for (RecordedLine& line : more.lines) {
    line.repetition += last;
    line.run = inside(more.path, line.run);
    all.lines.push_back(std::move(line));
  }
  for (std::string& doubt : more.doubts) all.doubts.push_back(std::move(doubt));
}

}  // namespace

Result<Recording> recorded_suite(const std::string& folder, std::string_view manifest,
                                 std::string_view summary) {
  Document document(manifest, inside(folder, kManifest));
  if (document.failed()) return *document.failed();
  Recording recording;
  recording.path = printable(folder);
  recording.suite = document.text(document.root(), "suite", std::nullopt);
  recording.quick = document.flag(document.root(), "quick", false);
  if (document.text(document.root(), "status", "") == "interrupted")
    recording.doubts.push_back(
        fmt::format("{} was interrupted; finish it with `lastack suite {} --out {} --resume`",
                    folder, recording.suite, folder));
  describe_host(document, recording);
  for (const Json& row : document.objects(document.root(), "rows", false))
    recording.commands.emplace(document.text(row, "name", std::nullopt),
                               without_seed(document.text(row, "command", "")));
  for (const Json& object : document.objects(document.root(), "runs", true)) {
    RecordedRun run;
    run.row = document.text(object, "name", std::nullopt);
    run.folder = document.text(object, "folder", std::nullopt);
    run.status = document.text(object, "status", "");
    run.error = document.text(object, "error", "");
    run.repetition = document.number(object, "repetition", 1);
    run.warm_up = document.flag(object, "warm_up", false);
    run.stalled_ns = document.number(object, "stalled_ns", 0);
    run.throttled_ns = document.number(object, "throttled_ns", 0);
    if (run.repetition < 0 || run.repetition > kMostRecordedRepetitions)
      document.fail(fmt::format("'repetition' is not between 0 and {}", kMostRecordedRepetitions));
    recording.commands.emplace(run.row, without_seed(document.text(object, "command", "")));
    recording.runs.push_back(std::move(run));
  }
  if (document.failed()) return *document.failed();

  auto lines = read_summary(summary, inside(folder, kSummary), true);
  if (!lines) return lines.error();
  std::set<std::string_view> with_lines;
  for (const RecordedLine& line : *lines) with_lines.insert(line.run);
  for (const RecordedRun& run : recording.runs) {
    // Prices (`lastack cost`) have a file of their own.
    const bool has_ledger =
        run.status == "ok" && recording.commands.at(run.row).starts_with("lastack run");
    if (has_ledger && !with_lines.contains(run.folder))
      return plain_error(fmt::format("{}: no line of run {}, which ended ok: the file was cut off",
                                     inside(folder, kSummary), run.folder));
  }
  for (RecordedLine& line : *lines)
    if (!line.warm_up) recording.lines.push_back(std::move(line));
  return recording;
}

Result<Recording> recorded_run(const std::string& folder, std::string_view text,
                               std::string_view summary) {
  Document document(text, inside(folder, kRunDocument));
  if (document.failed()) return *document.failed();
  Recording recording;
  recording.path = printable(folder);
  describe_host(document, recording);
  RecordedRun run;
  run.folder = folder;
  run.status = document.text(document.root(), "status", std::nullopt);
  run.error = document.text(document.root(), "error", "");
  const Json& host = Document::member(document.root(), "host");
  run.stalled_ns = document.number(Document::member(host, "stalls"), "sum_ns", 0);
  run.throttled_ns = document.number(host, "throttled_ns", 0);
  const Json& spec = document.object(document.root(), "spec");
  std::string command = "lastack run";
  if (!document.failed())
    for (const auto& [name, value] : spec.items())
      if (name != "seed")
        command += fmt::format(" --{} {}", shown(name),
                               shown(value.is_string() ? value.get<std::string>() : value.dump()));
  recording.commands.emplace("", command);

  // The price of the whole run, which its summary.csv does not tell.
  const Json& cost = Document::member(document.root(), "cost");
  const Json& traffic = Document::member(cost, "traffic");
  // Spinning is written as no context switches.
  const Json& survivors = Document::member(cost, "survivors");
  const bool spinning = Document::member(survivors, "context_switches").is_null();
  const int64_t user_ns = document.number(survivors, "user_ns", -1);
  const int64_t system_ns = document.number(survivors, "system_ns", -1);
  const int64_t segments = document.number(traffic, "out_segments", -1);
  const int64_t busy_ns = document.number(cost, "host_busy_ns", -1);
  const int64_t establish_ns = duration_of(document, "establish");
  const int64_t arm_ns = duration_of(document, "arm");
  if (document.failed()) return *document.failed();

  auto lines = read_summary(summary, inside(folder, kSummary), false);
  if (!lines) return lines.error();
  double connections = 0;
  for (const RecordedLine& line : *lines) connections += static_cast<double>(line.requested);
  for (RecordedLine& line : *lines) {
    line.key.row.clear();
    line.repetition = 1;
    if (connections > 0 && user_ns >= 0 && system_ns >= 0 && !spinning)
      line.cpu_ns_per_connection = static_cast<double>(user_ns + system_ns) / connections;
    const auto share = [&](int64_t value) {
      return connections > 0 && value >= 0 ? std::optional(static_cast<double>(value) / connections)
                                           : std::nullopt;
    };
    line.segments_per_connection = share(segments);
    line.busy_ns_per_connection = share(busy_ns);
    line.establish_ns_per_connection = share(establish_ns);
    line.arm_ns_per_connection = share(arm_ns);
    recording.lines.push_back(std::move(line));
  }
  recording.runs.push_back(std::move(run));
  return recording;
}

Result<Recording> read_recording(const std::string& path) {
  const bool pattern = path.find_first_of("*?[") != std::string::npos && !is_there(path);
  if (!pattern) return read_folder(path);
  glob_t matches{};
  const int failed = glob(path.c_str(), 0, nullptr, &matches);
  std::vector<std::string> folders(matches.gl_pathv, matches.gl_pathv + matches.gl_pathc);
  globfree(&matches);
  if (failed != 0 || folders.empty())
    return plain_error(fmt::format("{}: no folder has such a name", path));
  // "a-2" before "a-10".
  std::sort(folders.begin(), folders.end(), [](const std::string& a, const std::string& b) {
    return strverscmp(a.c_str(), b.c_str()) < 0;
  });
  std::optional<Recording> all, first;
  for (const std::string& folder : folders) {
    auto one = read_folder(folder);
    if (!one) return one.error();
    if (!all) {
      all = Recording{};
      first = *one;
      *all = *one;
      all->path = printable(path);
      all->runs.clear();
      all->lines.clear();
      all->doubts.clear();
    } else {
      for (std::string& reason : why_not_comparable(*first, first->path, *one, one->path))
        all->doubts.push_back(std::move(reason));
    }
    append(*all, std::move(*one));
  }
  return std::move(*all);
}

std::vector<std::string> why_not_comparable(const Recording& a, const std::string& name_of_a,
                                            const Recording& b, const std::string& name_of_b) {
  std::vector<std::string> reasons;
  const auto differ = [&](std::string_view what, const std::string& of_a, const std::string& of_b) {
    reasons.push_back(
        fmt::format("{} differs: {} in {}, {} in {}", what, of_a, name_of_a, of_b, name_of_b));
  };
  const auto kind = [](const Recording& recording) {
    return recording.suite.empty()
               ? std::string("runs")
               : fmt::format("{}{}", recording.suite, recording.quick ? " --quick" : "");
  };
  if (kind(a) != kind(b)) differ("suite", kind(a), kind(b));
  for (const FactDifference& difference : fact_differences({&a, &b}))
    if (difference.blocking) differ(difference.key, *difference.values[0], *difference.values[1]);
  size_t others = 0;
  std::string example;
  for (const auto& [row, command] : a.commands) {
    const auto same_row = b.commands.find(row);
    if (same_row == b.commands.end()) continue;
    auto of_a = options_of(command), of_b = options_of(same_row->second);
    if (row.empty()) keep_common(of_a, of_b);
    if (of_a == of_b || others++ > 0) continue;
    example =
        fmt::format("{} has {} in {}, {} in {}", row.empty() ? "the run" : "'" + row + "'",
                    options_apart(of_a, of_b), name_of_a, options_apart(of_b, of_a), name_of_b);
  }
  if (others > 0)
    reasons.push_back(others == 1 ? fmt::format("other commands: {}", example)
                                  : fmt::format("other commands of {} rows: {}", others, example));
  return reasons;
}

}  // namespace lastack::compare
