#include "suite/suite.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "commands/command.h"
#include "report/environment.h"
#include "report/json_text.h"
#include "report/regressions_text.h"
#include "report/suite_folder.h"
#include "report/suite_text.h"
#include "suite/frontier.h"
#include "verify/regression_suite.h"

namespace lastack {
namespace {

struct SuiteOptions {
  std::string name;
  suite::Spec spec;
  std::string out;
  std::string format = "text";
  bool resume = false;
  // Of the suite of regressions, which is no table of runs.
  std::vector<std::string> rows;
  std::string version;
};
constexpr std::string_view kRegressions = "regressions";

// Each option that one kind of suite has and the other has not.
Status check_options(const SuiteOptions& options) {
  const suite::Spec none;
  const std::pair<std::string_view, bool> of_runs[] = {
      {"--quick", options.spec.quick},
      {"--repetitions", options.spec.repetitions != none.repetitions},
      {"--seed", options.spec.seed != none.seed},
      {"--resume", options.resume}};
  const std::pair<std::string_view, bool> of_regressions[] = {
      {"--row", !options.rows.empty()},
      {"--expect-version", !options.version.empty()},
      {"--format markdown", options.format == "markdown"}};
  if (options.name == kRegressions)
    for (const auto& [flag, given] : of_runs)
      if (given)
        return plain_error(
            fmt::format("{} is for suites of runs, and not for {}", flag, kRegressions));
  if (options.name != kRegressions)
    for (const auto& [flag, given] : of_regressions)
      if (given) return plain_error(fmt::format("{} is for suite {} only", flag, kRegressions));
  return std::nullopt;
}

int regressions_command(const SuiteOptions& options) {
  verify::RegressionSpec spec;
  for (const std::string& name : options.rows) {
    const auto row = verify::find_regression(name);
    if (!row) return complain(RunStatus::bad_usage, row.error().message());
    if (std::ranges::find(spec.rows, *row) == spec.rows.end()) spec.rows.push_back(*row);
  }
  if (!options.version.empty()) {
    spec.version = leading_kernel_version(options.version);
    if (!spec.version)
      return complain(
          RunStatus::bad_usage,
          fmt::format("--expect-version {}: expected a version such as 6.1.174", options.version));
  }
  OutputFolder folder;
  if (const Status bad = folder.reserve(options.out))
    return complain(RunStatus::bad_usage, bad->message());
  ProgressLine line;
  const RunHooks hooks = attended(line);
  const verify::RegressionResult result = verify::play(spec, hooks);
  line.clear();
  if (result.rows.empty()) {
    folder.undo();
    return complain(result.status, result.error);
  }
  const auto document = regressions_document(result, describe_environment(RunResult()));
  folder.write([&](Folder& to) { return to.write("regressions.json", json_text(document)); });
  print(options.format == "json"       ? json_text(document)
        : options.format == "markdown" ? regressions_markdown(result)
                                       : regressions_text(result));
  return folder.exit_code_with(result.status);
}

int suite_command(SuiteOptions options) {
  if (const Status bad = check_options(options))
    return complain(RunStatus::bad_usage, bad->message());
  if (options.name == "list") {
    print(options.format == "json" ? suite_list_json() : suite_list_text());
    return 0;
  }
  if (options.name == kRegressions) return regressions_command(options);
  const auto suite = suite::find_suite(options.name);
  if (!suite) return complain(RunStatus::bad_usage, suite.error().message());
  if (options.out.empty())
    return complain(RunStatus::bad_usage, "--out is missing: a new or empty folder for the suite");
  suite::Spec& spec = options.spec;
  spec.suite = *suite;
  auto folder = options.resume ? open_suite(options.out) : begin_suite(options.out, spec);
  if (!folder) return complain(RunStatus::bad_usage, folder.error().message());
  std::vector<suite::Run> done;
  if (options.resume) {
    auto found = resume_suite(*folder, spec);
    if (!found) return complain(RunStatus::bad_usage, found.error().message());
    done = std::move(*found);
    print_remark(fmt::format("{} runs are there already\n", done.size()));
  }
  print_remark(suite_estimate(spec));

  ProgressLine line;
  Status unwritten;
  suite::Hooks hooks;
  hooks.run = attended(line);
  // A log shows which run is played, and which one was when there is nothing more.
  if (!line.shown()) hooks.begins = [](const std::string& what) { print_remark(what + "\n"); };
  hooks.finished = [&](const suite::Row& row, const suite::Run& run) {
    const RunResult& host = row.prices() ? run.cost.host : run.result;
    return unwritten = write_suite_run(*folder, row, run, describe_environment(host));
  };
  const suite::SuiteResult result = suite::play(spec, std::move(done), hooks);
  line.clear();

  const RunResult* host = described_run(result);
  const auto frontier = suite::frontier_of(result);
  const auto document =
      suite_document(result, describe_environment(host ? *host : RunResult()), frontier);
  const Status unmerged = write_suite(*folder, result, document, frontier);
  print(options.format == "json" ? json_text(document) : suite_text(result, frontier));
  RunStatus status = result.status;
  for (const Status& failed : {unwritten, unmerged}) {
    if (!failed) continue;
    status = std::min(status, RunStatus::no_resources);
    complain(status, failed->message());
  }
  if (result.runs.size() < result.turns.size() || unmerged)
    print_message(kProgram, "not all is written; the same command with --resume goes on");
  return exit_code(status);
}

}  // namespace

Action add_suite(CLI::App& command) {
  const auto options = std::make_shared<SuiteOptions>();
  command
      .add_option("NAME", options->name,
                  "list: what there is, with every run; or the name of a suite")
      ->type_name("")
      ->required();
  add_out(command, options->out, "a new or empty folder for the files of all runs");
  command.add_flag("--quick", options->spec.quick,
                   "the same kinds of runs with small numbers, to see that everything works");
  add_parsed(command, "--repetitions", "N",
             "how often every row is played, beside a warm-up that nobody counts; 0: as its row "
             "says, 1: once and no warm-up",
             parse_count, 0, suite::kMostRepetitions, options->spec.repetitions, format_count);
  add_parsed(command, "--seed", "N", "of the order in which the runs are played", parse_count, 0,
             std::numeric_limits<int64_t>::max(), options->spec.seed, format_count);
  command.add_flag("--resume", options->resume, "goes on where the same command was interrupted");
  command
      .add_option("--row", options->rows,
                  "of suite regressions: only these rows; several with commas")
      ->delimiter(',')
      ->type_name("NAME");
  command
      .add_option("--expect-version", options->version,
                  "of suite regressions: what Linux of this version does is expected, whichever "
                  "one runs")
      ->type_name("VERSION");
  add_format(command, options->format, {"text", "markdown", "json"});
  command.footer(
      "regressions: a row for each fault of past kernels; whether this one has it, and whether it\n"
      "should have it by its version. A kernel that fails where it should is as expected (0); 4: "
      "it\ndiffers, 3: a row could not be played.\n\n" +
      exit_code_help());
  return [options] { return suite_command(*options); };
}

}  // namespace lastack
