// The lastack program: command line in, tables and files out. All work is in lib/.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <functional>
#include <limits>
#include <new>
#include <sstream>

#include "base/clock.h"
#include "base/folder.h"
#include "base/parse.h"
#include "base/printable.h"
#include "compare/compare.h"
#include "compare/compare_text.h"
#include "compare/recorded.h"
#include "doctor/doctor.h"
#include "output.h"
#include "plan/rules.h"
#include "report/cost_text.h"
#include "report/csv.h"
#include "report/document.h"
#include "report/environment.h"
#include "report/json_text.h"
#include "report/matrix_text.h"
#include "report/schema.h"
#include "report/suite_folder.h"
#include "report/suite_text.h"
#include "report/text.h"
#include "report/verify_text.h"
#include "run/runner.h"
#include "shard/shortage.h"
#include "suite/cost.h"
#include "suite/frontier.h"
#include "suite/suite.h"
#include "verify/verify.h"

namespace lastack {
namespace {

volatile sig_atomic_t g_interrupted = 0;

// The first signal ends what is going on in good order. A second one ends everything: the processes
// of a run die with this one. timeout(1) signals its child and then the child's group, which is one
// wish, not two.
constexpr int64_t kOneWish_ns = 200 * kMillisecond_ns;
std::atomic<int64_t> g_interrupted_ns{0};  // the first one came

void on_signal(int) {
  const int64_t now = now_ns();
  int64_t first_ns = 0;
  g_interrupted = 1;
  if (g_interrupted_ns.compare_exchange_strong(first_ns, now)) return;
  if (now - first_ns > kOneWish_ns) _exit(status_row(RunStatus::interrupted).exit_code);
}

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  // The terminal is gone: as SIGTERM, but under nohup(1), which ignores it.
  struct sigaction hangup {};
  sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);
}

constexpr std::string_view kProgram = "lastack";

int exit_code(RunStatus status) { return status_row(status).exit_code; }

int complain(RunStatus status, const std::string& message) {
  print_message(kProgram, message);
  return exit_code(status);
}

// One line that is written over and over: phase, count, rate, time left.
class ProgressLine {
 public:
  explicit ProgressLine(bool shown) : shown_(shown) {}
  ~ProgressLine() { clear(); }
  void show(const Progress& progress) {
    if (!shown_) return;
    const int64_t now = now_ns();
    if (progress.phase != phase_) {
      phase_ = progress.phase;
      first_ns_ = now;
      first_done_ = progress.done;
    }
    const double seconds = static_cast<double>(now - first_ns_) / 1e9;
    const double rate =
        seconds > 0 ? static_cast<double>(progress.done - first_done_) / seconds : 0;
    std::string left = "";
    if (rate > 0)
      left = fmt::format(", {:.0f}/s, {:.0f} s left", rate,
                         static_cast<double>(progress.total - progress.done) / rate);
    print_remark(
        fmt::format("\r\033[K{}: {} of {}{}", progress.phase, progress.done, progress.total, left));
    dirty_ = true;
  }
  void clear() {
    if (dirty_) print_remark("\r\033[K");
    dirty_ = false;
  }

 private:
  bool shown_;
  bool dirty_ = false;
  std::string phase_;
  int64_t first_ns_ = 0, first_done_ = 0;
};

// Where a command leaves its files, if its user wants any. What cannot be written is printed all
// the same, and what was written does not stand in the way of a second try.
class OutputFolder {
 public:
  // "": no files.
  Status reserve(const std::string& path) {
    if (path.empty()) return std::nullopt;
    auto folder = prepare_output_folder(path);
    if (!folder) return folder.error();
    folder_ = std::move(*folder);
    return std::nullopt;
  }
  void write(const std::function<Status(Folder&)>& write_files) {
    if (folder_) failed_ = write_files(*folder_);
    if (failed_) undo();
  }
  void undo() {
    if (folder_) folder_->undo();
  }
  // Says what could not be written, behind the results.
  int exit_code_with(RunStatus status) const {
    if (!failed_) return exit_code(status);
    return complain(std::min(status, RunStatus::no_resources), failed_->message());
  }

 private:
  std::optional<Folder> folder_;
  Status failed_;
};

struct Options {
  RunSpec spec;
  std::string out;
  std::string format = "text";
  bool dry_run = false;
};

int run_command(const Options& options) {
  const RunSpec& spec = options.spec;
  if (const Status bad = check_spec(spec)) return complain(RunStatus::bad_usage, bad->message());
  const auto plan = make_plan(spec, this_host(spec));
  if (!plan) return complain(RunStatus::no_resources, plan.error().message());
  if (options.dry_run) {
    print(plan_text(spec, *plan));
    return 0;
  }
  OutputFolder out;
  if (const Status bad = out.reserve(options.out))
    return complain(RunStatus::bad_usage, bad->message());

  catch_signals();
  ProgressLine line(isatty(STDERR_FILENO));
  RunHooks hooks;
  hooks.progress = [&](const Progress& progress) { line.show(progress); };
  hooks.interrupted = [] { return g_interrupted != 0; };
  const RunResult result = run(spec, hooks);
  line.clear();

  const bool no_ledger = result.ledger.empty();
  const auto document = run_document(result, describe_environment(result));
  if (no_ledger)
    out.undo();
  else
    out.write([&](Folder& folder) { return write_results(folder, result, document); });
  if (options.format == "json")
    print(json_text(document));
  else if (!no_ledger)
    print(run_table(result));
  const int code = no_ledger ? exit_code(result.status) : out.exit_code_with(result.status);
  if (!result.error.empty()) complain(result.status, result.error);
  return code;
}

int doctor_command(const Options& options) {
  if (const Status bad = check_spec(options.spec))
    return complain(RunStatus::bad_usage, bad->message());
  const auto examinations = examine_host(options.spec);
  print(doctor_text(examinations));
  return healthy(examinations) ? 0 : exit_code(RunStatus::no_resources);
}

struct CostOptions {
  CostSpec spec;
  std::string out;
  std::string format = "text";
};

int cost_command(const CostOptions& options) {
  const CostPlan plan = plan_cost(options.spec);
  if (!plan.error.empty()) return complain(plan.status, plan.error);
  OutputFolder out;
  if (const Status bad = out.reserve(options.out))
    return complain(RunStatus::bad_usage, bad->message());
  print_remark(cost_estimate(options.spec, plan));

  catch_signals();
  ProgressLine line(isatty(STDERR_FILENO));
  RunHooks hooks;
  hooks.progress = [&](const Progress& progress) { line.show(progress); };
  hooks.interrupted = [] { return g_interrupted != 0; };
  const CostResult result = measure_cost(options.spec, plan, hooks);
  line.clear();

  if (result.rounds < kFewestRounds) {
    out.undo();
    return complain(result.status, result.error);
  }
  const auto document = cost_document(result, describe_environment(result.host));
  out.write([&](Folder& folder) { return write_cost(folder, result, document); });
  print(options.format == "json" ? json_text(document) : cost_text(result));
  return out.exit_code_with(result.status);
}

struct SuiteOptions {
  std::string name;
  SuiteSpec spec;
  std::string out;
  std::string format = "text";
  bool resume = false;
};

int suite_command(SuiteOptions options) {
  if (options.name == "list") {
    print(options.format == "json" ? suite_list_json() : suite_list_text());
    return 0;
  }
  const auto suite = find_suite(options.name);
  if (!suite) return complain(RunStatus::bad_usage, suite.error().message());
  if (options.out.empty())
    return complain(RunStatus::bad_usage, "--out is missing: a new or empty folder for the suite");
  SuiteSpec& spec = options.spec;
  spec.suite = *suite;
  auto folder = options.resume ? open_suite(options.out) : begin_suite(options.out, spec);
  if (!folder) return complain(RunStatus::bad_usage, folder.error().message());
  std::vector<SuiteRun> done;
  if (options.resume) {
    auto found = resume_suite(*folder, spec);
    if (!found) return complain(RunStatus::bad_usage, found.error().message());
    done = std::move(*found);
    print_remark(fmt::format("{} runs are there already\n", done.size()));
  }
  print_remark(suite_estimate(spec));

  catch_signals();
  ProgressLine line(isatty(STDERR_FILENO));
  Status unwritten;
  SuiteHooks hooks;
  hooks.run.progress = [&](const Progress& progress) { line.show(progress); };
  hooks.run.interrupted = [] { return g_interrupted != 0; };
  hooks.finished = [&](const SuiteRow& row, const SuiteRun& run) {
    const RunResult& host = row.prices() ? run.cost.host : run.result;
    return unwritten = write_suite_run(*folder, row, run, describe_environment(host));
  };
  const SuiteResult result = run_suite(spec, std::move(done), hooks);
  line.clear();

  const RunResult* host = described_run(result);
  const auto frontier = frontier_of(result);
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

void add_format(CLI::App& command, std::string& format, std::vector<std::string> allowed) {
  command.add_option("--format", format, "how to print")
      ->type_name(fmt::format("{}", fmt::join(allowed, "|")))
      ->check(CLI::IsMember(allowed).description(""))  // the type's name lists them already
      ->capture_default_str();
}

void add_out(CLI::App& command, std::string& out, const std::string& help) {
  command.add_option("--out", out, help)->type_name("DIR")->check([](const std::string& path) {
    return path.empty() ? "the name of the folder is empty" : "";
  });
}

struct CompareCommand {
  std::vector<std::string> paths;
  std::string format = "text";
  std::string show = "5%";
  std::optional<std::string> fail_on;
  CompareOptions options;
};

constexpr int kRegressionExit = 8;

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

int compare_command(CompareCommand command) {
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
  std::vector<Recording> recordings;
  std::string again = "lastack compare";
  for (const std::string& path : command.paths) {
    auto recording = read_recording(path);
    if (!recording) return complain(RunStatus::bad_usage, recording.error().message());
    recordings.push_back(std::move(*recording));
    again += " " + shell_word(printable(path));
  }
  const auto comparison = compare(std::move(recordings), command.options);
  if (!comparison) return complain(RunStatus::bad_usage, comparison.error().message());
  if (command.show != CompareCommand().show) again += " --show " + command.show;
  if (command.options.force) again += " --force";
  print(command.format == "json"       ? json_text(compare_document(*comparison, again))
        : command.format == "csv"      ? compare_csv(*comparison)
        : command.format == "markdown" ? compare_markdown(*comparison)
                                       : compare_text(*comparison));
  if (!tolerated) return 0;
  if (regressed(*comparison, *tolerated)) return kRegressionExit;
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
                  "exit with 8 when a later side is worse by so much, or in kind")
      ->type_name("regression=PERCENT");
  command.add_option("--show", options.show, "say how many repetitions would show such a change")
      ->type_name("PERCENT")
      ->capture_default_str();
  command.add_flag("--force", options.options.force,
                   "compare although CPU, build, suite or commands differ");
  command.footer(fmt::format(
      "Compares the first PATH with each of the others, row by row: one repetition is one\n"
      "observation, and what is not shown to differ is ~.\n"
      "Exit codes:\n"
      "  0  compared\n"
      "  {}  --fail-on: a later side is worse\n"
      "  2  the paths cannot be read or had better not be compared, or --fail-on cannot be told\n"
      "  1  what it had to print could not be delivered\n",
      kRegressionExit));
}

struct VerifyOptions {
  VerifySpec spec;
  std::string path = "both";
  std::string format = "text";
  std::vector<std::string> expected;
  bool matrix = false;
};

// The grid instead of the claims.
int matrix_command(const VerifyOptions& options) {
  constexpr int64_t kConnectionsEach = 20;
  catch_signals();
  ProgressLine line(isatty(STDERR_FILENO));
  RunHooks hooks;
  hooks.progress = [&](const Progress& progress) { line.show(progress); };
  hooks.interrupted = [] { return g_interrupted != 0; };
  std::vector<MatrixRun> runs;
  RunStatus status = RunStatus::ok;
  for (const bool veth : {false, true}) {
    if (options.path != "both" && (options.path == "veth") != veth) continue;
    for (const Side survivor : {Side::server, Side::client}) {
      const RunSpec spec = matrix_spec(survivor, veth, kConnectionsEach);
      runs.push_back({spec, run(spec, hooks)});
      const RunResult& result = runs.back().result;
      const bool interrupted = result.status == RunStatus::interrupted;
      if (!result.error.empty() || interrupted) {
        line.clear();
        return complain(result.status, interrupted ? "interrupted" : result.error);
      }
      status = std::min(status, result.status);  // the worse one stands first in its table
    }
  }
  line.clear();
  print(options.format == "json"       ? matrix_json(runs)
        : options.format == "markdown" ? matrix_markdown(runs)
                                       : matrix_text(runs));
  return exit_code(status);
}

int verify_command(VerifyOptions options) {
  if (options.matrix) return matrix_command(options);
  VerifySpec& spec = options.spec;
  spec.loopback = options.path != "veth";
  spec.veth = options.path != "loopback";
  for (const std::string& row : spec.rows)
    if (const Status bad = check_row_name(row))
      return complain(RunStatus::bad_usage, bad->message());
  for (const std::string& text : options.expected) {
    const auto one = parse_expected_verdict(text);
    if (!one) return complain(RunStatus::bad_usage, one.error().message());
    spec.expected.push_back(*one);
  }
  catch_signals();
  ProgressLine line(isatty(STDERR_FILENO));
  RunHooks hooks;
  hooks.progress = [&](const Progress& progress) { line.show(progress); };
  hooks.interrupted = [] { return g_interrupted != 0; };
  const VerifyResult result = verify(spec, hooks);
  line.clear();
  if (result.rows.empty()) return complain(result.status, result.error);
  print(options.format == "json"       ? verify_json(result)
        : options.format == "markdown" ? verify_markdown(result)
                                       : verify_text(result));
  return exit_code(result.status);
}

void add_verify_options(CLI::App& command, VerifyOptions& options) {
  command
      .add_option("--path", options.path,
                  "loopback, or veth: two network namespaces joined by a cable that can be cut")
      ->type_name("loopback|veth|both")
      ->check(CLI::IsMember({"loopback", "veth", "both"}).description(""))
      ->capture_default_str();
  command
      .add_option("--case", options.spec.rows,
                  "only these cases or rows: A3, or A3/first-read; several with commas")
      ->delimiter(',')
      ->type_name("CASE[/VARIANT]");
  command
      .add_option("--connections", options.spec.connections,
                  fmt::format("of every way of every row; {} to {}", kFewestVerifyConnections,
                              kMostVerifyConnections))
      ->type_name("N")
      ->check(CLI::Range(kFewestVerifyConnections, kMostVerifyConnections).description(""))
      ->capture_default_str();
  command
      .add_option("--expect", options.expected,
                  "what to expect of a row instead of the built-in table; the verdict is holds, "
                  "holds-if or does-not-hold")
      ->type_name("CASE/VARIANT=VERDICT");
  command.add_flag("--matrix", options.matrix,
                   "instead of the claims: what every watch finds of every close strategy, from "
                   "either side, 20 connections each");
}

int list_command(const std::string& format) {
  if (format == "json")
    print(list_json());
  else if (format == "markdown")
    print(list_markdown());
  else if (format == "schema")
    print(schema_markdown());
  else
    print(list_text());
  return 0;
}

// Adds one flag per row of the parameter table, but for those in `fixed`, which are refused.
void add_parameters(CLI::App& command, RunSpec& spec, std::span<const FixedParameter> fixed = {}) {
  const RunSpec defaults;
  for (const Parameter& parameter : parameters()) {
    const auto refused = std::find_if(fixed.begin(), fixed.end(), [&](const FixedParameter& row) {
      return row.flag == parameter.flag;
    });
    if (refused != fixed.end()) {
      command
          .add_option_function<std::vector<std::string>>(
              std::string(parameter.flag),
              [refused](const std::vector<std::string>&) {
                throw CLI::ValidationError(std::string(refused->flag),
                                           "not with `lastack cost`: " + std::string(refused->why));
              })
          ->expected(0, 1)
          ->group("");  // not in the help
      continue;
    }
    const auto read = [&parameter, &spec](const std::string& text) {
      if (const Status bad = parameter.access.read(spec, text))
        throw CLI::ValidationError(std::string(parameter.flag), bad->message());
    };
    if (parameter.access.kind == ParameterKind::flag) {
      command
          .add_flag_callback(
              std::string(parameter.flag), [read] { read("true"); }, std::string(parameter.help))
          ->group(std::string(group_title(parameter.group)));
      continue;
    }
    const std::string shown = parameter.flag == "--mix" ? "all" : parameter.access.print(defaults);
    command
        .add_option_function<std::string>(std::string(parameter.flag), read,
                                          std::string(parameter.help))
        ->type_name(std::string(parameter.placeholder))
        ->default_str(shown);
  }
}

// Text options of a command that are read by a parser of base/parse.h.
template <class Parse>
void add_parsed(CLI::App& command, const std::string& flag, const std::string& type,
                const std::string& help, Parse parse, int64_t least, int64_t most, int64_t& into,
                std::string (*print)(int64_t)) {
  command
      .add_option_function<std::string>(
          flag,
          [=, &into](const std::string& text) {
            const Result<int64_t> value = parse(text);
            if (!value) throw CLI::ValidationError(flag, value.error().message());
            if (*value < least || *value > most)
              throw CLI::ValidationError(flag, fmt::format("{} is out of range; allowed: {} to {}",
                                                           text, print(least), print(most)));
            into = *value;
          },
          help)
      ->type_name(type)
      ->default_str(print(into));
}

void add_cost_options(CLI::App& command, CostOptions& options) {
  add_parameters(command, options.spec.run, fixed_parameters());
  add_parsed(command, "--rounds", "N", "how often every probe is compared with none", parse_count,
             kFewestRounds, kMostRounds, options.spec.rounds, format_count);
  add_parsed(command, "--window", "TIME", "how long each run is watched", parse_duration,
             kShortestWindow_ns, kLongestWindow_ns, options.spec.window_ns, format_duration);
  add_out(command, options.out, "a new or empty folder for cost.csv and cost.json");
}

std::string exit_code_help() {
  std::string text = "Exit codes (when several apply, the first one listed wins):\n";
  for (const RunStatusRow& row : run_statuses())
    text += fmt::format("  {}  {}: {}\n", row.exit_code, row.name, row.help);
  return text;
}

// The commands by name, for a message about a missing or a mistyped one.
Error wrong_command(const CLI::App& app, std::string_view given) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  const std::vector<std::string_view> views(names.begin(), names.end());
  if (given.empty())
    return plain_error(fmt::format("a command is missing; allowed: {}", fmt::join(names, ", ")));
  return unknown_name("command", given, views);
}

// CLI11's message in one line, with the nearest flag where one was mistyped.
std::string parse_error_text(const CLI::App& app, const CLI::ParseError& error) {
  std::string text = error.what();
  std::replace(text.begin(), text.end(), '\n', ' ');
  const CLI::App* command = &app;
  for (const CLI::App* used : app.get_subcommands()) command = used;
  const auto extras = command->remaining(true);
  const bool unknown_flag = !extras.empty() && extras.front().starts_with("--");
  if (!unknown_flag) return text;
  std::vector<std::string> names;
  for (const CLI::Option* option : command->get_options()) names.push_back(option->get_name());
  const std::string given = extras.front().substr(0, extras.front().find('='));
  std::vector<std::string_view> views(names.begin(), names.end());
  return unknown_name("option", given, views).message();
}

int main_with_arguments(int argc, char** argv) {
  CLI::App app(
      "lastack measures how TCP connections end: it opens connections, makes one end of each go\n"
      "away, and measures when and how the other end finds out.");
  app.set_version_flag("--version", "lastack " + build_version());
  app.require_subcommand(1);
  app.footer(
      "What cannot be printed, to a full disk, a closed descriptor or a reader that is gone, is an "
      "error:\nexit code 1, whatever the command.");
  Options options;
  CLI::App* run = app.add_subcommand("run", "open connections, let them die, measure");
  add_parameters(*run, options.spec);
  add_out(*run, options.out, "a new or empty folder for run.json and the CSV files");
  add_format(*run, options.format, {"text", "json"});
  run->add_flag("--dry-run", options.dry_run, "print the plan and open no socket");
  run->footer(exit_code_help());
  CLI::App* doctor =
      app.add_subcommand("doctor", "say what this host lacks for a run, and how to mend it");
  add_parameters(*doctor, options.spec);
  VerifyOptions verify_options;
  CLI::App* verify_app = app.add_subcommand(
      "verify", "put what is claimed about abnormal closes to this kernel, claim by claim");
  add_verify_options(*verify_app, verify_options);
  add_format(*verify_app, verify_options.format, {"text", "markdown", "json"});
  verify_app->footer(
      "Plays every claim over real connections in private network namespaces, and says whether it\n"
      "holds, does not, or under which condition it does.\n"
      "Exit codes:\n"
      "  0  this kernel does what the built-in table (or --expect) says\n"
      "  3  namespaces, rights or memory are missing: a row could not be played, which says "
      "nothing\n"
      "     about the kernel; wins over 4\n"
      "  4  it does not; the differing rows come first\n"
      "  2  the command line asks for something impossible\n"
      "  7  SIGINT, SIGTERM or SIGHUP ended it early\n"
      "  1  lastack itself failed, or what it had to print could not be delivered\n");
  CostOptions cost_options;
  CLI::App* cost = app.add_subcommand(
      "cost", "measure what each probe costs per connection and second while nobody dies");
  add_cost_options(*cost, cost_options);
  add_format(*cost, cost_options.format, {"text", "json"});
  cost->footer(
      "Every round runs each --watch without a probe and with each --probe, in an order by "
      "chance,\n"
      "and the differences count. A measurement needs the host for itself.\n" +
      exit_code_help());
  SuiteOptions suite_options;
  CLI::App* suite =
      app.add_subcommand("suite", "play a table of runs that answer one question together");
  suite
      ->add_option("NAME", suite_options.name,
                   "list: what there is, with every run; or the name of a suite")
      ->type_name("")
      ->required();
  add_out(*suite, suite_options.out, "a new or empty folder for the files of all runs");
  suite->add_flag("--quick", suite_options.spec.quick,
                  "the same kinds of runs with small numbers, to see that everything works");
  add_parsed(*suite, "--repetitions", "N",
             "how often every row is played, beside a warm-up that nobody counts; 0: as its row "
             "says, 1: once and no warm-up",
             parse_count, 0, kMostRepetitions, suite_options.spec.repetitions, format_count);
  add_parsed(*suite, "--seed", "N", "of the order in which the runs are played", parse_count, 0,
             std::numeric_limits<int64_t>::max(), suite_options.spec.seed, format_count);
  suite->add_flag("--resume", suite_options.resume,
                  "goes on where the same command was interrupted");
  add_format(*suite, suite_options.format, {"text", "json"});
  suite->footer(exit_code_help());
  CompareCommand compare_options;
  CLI::App* compare_app =
      app.add_subcommand("compare", "say what differs between recorded suites or runs");
  add_compare_options(*compare_app, compare_options);
  std::string list_format = "text";
  CLI::App* list = app.add_subcommand("list", "strategies, watches, probes and columns");
  add_format(*list, list_format, {"text", "json", "markdown", "schema"});

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    std::ostringstream text;
    const int code = app.exit(success, text);
    print(text.str());
    return code;
  } catch (const CLI::ParseError& error) {
    const std::string_view first = argc > 1 ? argv[1] : "";
    if (app.get_subcommands().empty() && !first.starts_with("-"))
      return complain(RunStatus::bad_usage, wrong_command(app, first).message());
    return complain(RunStatus::bad_usage, parse_error_text(app, error));
  }
  if (run->parsed()) return run_command(options);
  if (doctor->parsed()) return doctor_command(options);
  if (cost->parsed()) return cost_command(cost_options);
  if (suite->parsed()) return suite_command(std::move(suite_options));
  if (compare_app->parsed()) return compare_command(std::move(compare_options));
  if (verify_app->parsed()) return verify_command(std::move(verify_options));
  return list_command(list_format);
}

}  // namespace
}  // namespace lastack

int main(int argc, char** argv) {
  return lastack::main_of(lastack::kProgram, lastack::main_with_arguments, argc, argv);
}
