#include "compare/compare.h"

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <utility>

#include "base/printable.h"
#include "commands/command.h"
#include "compare/compare_text.h"
#include "compare/recorded.h"
#include "compare/verify_tables.h"
#include "compare/verify_tables_text.h"
#include "report/json_text.h"

namespace lastack {
namespace {

struct CompareCommand {
  std::vector<std::string> paths;
  std::string format = "text";
  std::string show = "5%";
  std::optional<std::string> fail_on;
  bool verify = false;
  compare::Options options;
};

constexpr int kDifferenceExit = 8;

// As a shell takes it for this one word.
std::string shell_word(const std::string& text) {
  const bool plain = text.find_first_of(" *?[]{}'\"$&;()<>|\\`#~!") == std::string::npos;
  if (plain && !text.empty()) return text;
  std::string word = "'";
  for (const char letter : text) {
    if (letter == '\'')
      word += "'\\''";
    else
      word += letter;
  }
  return word + "'";
}

// To make this comparison again.
std::string command_again(const CompareCommand& command) {
  std::string again = command.verify ? "lastack compare --verify" : "lastack compare";
  for (const std::string& path : command.paths) again += " " + shell_word(printable(path));
  if (command.show != CompareCommand().show) again += " --show " + command.show;
  if (command.options.force) again += " --force";
  return again;
}

// What is wrong with options that were given beside --verify.
Status check_tables_command(const CompareCommand& command) {
  if (command.paths.size() < 2)
    return plain_error("compare --verify needs two files or more, such as A.json and B.json");
  if (command.fail_on && *command.fail_on != "difference")
    return plain_error(
        fmt::format("--fail-on: '{}' is not of --verify; allowed: difference", *command.fail_on));
  if (command.show != CompareCommand().show || command.options.force)
    return plain_error("--show and --force are for figures, not for --verify");
  if (command.format == "csv")
    return plain_error("--format csv: not with --verify; allowed: text, markdown, json");
  return std::nullopt;
}

// Tables of what kernels do, instead of figures.
int tables_command(const CompareCommand& command) {
  if (const Status bad = check_tables_command(command))
    return complain(RunStatus::bad_usage, bad->message());
  std::vector<compare::VerifyTable> tables;
  for (const std::string& path : command.paths) {
    auto table = compare::read_verify_table(path);
    if (!table) return complain(RunStatus::bad_usage, table.error().message());
    tables.push_back(std::move(*table));
  }
  const auto comparison = compare::compare_tables(std::move(tables));
  if (!comparison) return complain(RunStatus::bad_usage, comparison.error().message());
  print(command.format == "json" ? json_text(tables_document(*comparison, command_again(command)))
        : command.format == "markdown" ? tables_markdown(*comparison)
                                       : tables_text(*comparison));
  if (!command.fail_on) return 0;
  if (!comparison->differences.empty()) return kDifferenceExit;
  if (!comparison->unknown.empty())
    return complain(RunStatus::bad_usage,
                    "--fail-on: some rows were not played on every side, see \"not compared\"");
  return 0;
}

int compare_command(CompareCommand command) {
  if (command.verify) return tables_command(command);
  const auto shown = parse_share(command.show);
  if (!shown) return complain(RunStatus::bad_usage, "--show: " + shown.error().message());
  command.options.shown_change = *shown;
  std::optional<double> tolerated;
  if (command.fail_on) {
    constexpr std::string_view kRegression = "regression=";
    const bool known = command.fail_on->starts_with(kRegression);
    const auto share = parse_share(known ? command.fail_on->substr(kRegression.size()) : "");
    if (!share)
      return complain(
          RunStatus::bad_usage,
          fmt::format("--fail-on: '{}' is not such as regression=5%", *command.fail_on));
    tolerated = *share;
  }
  if (command.paths.size() < 2)
    return complain(RunStatus::bad_usage, "compare needs two folders or more, such as A and B");
  std::vector<compare::Recording> recordings;
  for (const std::string& path : command.paths) {
    auto recording = compare::read_recording(path);
    if (!recording) return complain(RunStatus::bad_usage, recording.error().message());
    recordings.push_back(std::move(*recording));
  }
  const auto comparison = compare::comparison_of(std::move(recordings), command.options);
  if (!comparison) return complain(RunStatus::bad_usage, comparison.error().message());
  print(command.format == "json"  ? json_text(compare_document(*comparison, command_again(command)))
        : command.format == "csv" ? compare_csv(*comparison)
        : command.format == "markdown" ? compare_markdown(*comparison)
                                       : compare_text(*comparison));
  if (!tolerated) return 0;
  if (compare::regressed(*comparison, *tolerated)) return kDifferenceExit;
  // A gate that cannot close is no gate.
  if (comparison->family == 0 && comparison->possible > 0)
    return complain(RunStatus::bad_usage,
                    "--fail-on: with so few repetitions no change can be shown; see the notes");
  return 0;
}

void add_compare_options(CLI::App& command, CompareCommand& options) {
  command
      .add_option("PATH", options.paths,
                  "two or more: a suite's folder, a run's folder, or a quoted pattern such as "
                  "'runs/a-*' whose folders are repetitions of one another")
      ->type_name("");
  add_format(command, options.format, {"text", "markdown", "csv", "json"});
  command
      .add_option("--fail-on", options.fail_on,
                  "exit with 8 when a later side is worse by so much, or in kind; with --verify: "
                  "when anything differs")
      ->type_name("regression=PERCENT|difference");
  command.add_option("--show", options.show, "say how many repetitions would show such a change")
      ->type_name("PERCENT")
      ->capture_default_str();
  command.add_flag("--force", options.options.force,
                   "compare although CPU, build, suite or commands differ");
  command.add_flag("--verify", options.verify,
                   "compare what kernels do instead of figures: each PATH is the JSON of `lastack "
                   "verify` (or of its --matrix), or a folder that holds verify.json or "
                   "regressions.json; prints only what differs");
  command.footer(fmt::format(
      "Compares the first PATH with each of the others, row by row: one repetition is one\n"
      "observation, and what is not shown to differ is ~. With --verify: the verdicts, what was\n"
      "seen against what a row asserts, and values of which two sides share none; not how often.\n"
      "Exit codes:\n"
      "  0  compared\n"
      "  {}  --fail-on: a later side is worse, or differs\n"
      "  2  the paths cannot be read or had better not be compared, or --fail-on cannot be told\n"
      "  1  what it had to print could not be delivered\n",
      kDifferenceExit));
}

}  // namespace

Action add_compare(CLI::App& command) {
  const auto options = std::make_shared<CompareCommand>();
  add_compare_options(command, *options);
  return [options] { return compare_command(*options); };
}

}  // namespace lastack
