#include "commands/command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "base/clock.h"

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

}  // namespace

int exit_code(RunStatus status) { return status_row(status).exit_code; }

int complain(RunStatus status, const std::string& message) {
  print_message(kProgram, message);
  return exit_code(status);
}

ProgressLine::ProgressLine() : shown_(isatty(STDERR_FILENO)) {}

void ProgressLine::show(const Progress& progress) {
  if (!shown_) return;
  const int64_t now = now_ns();
  if (progress.phase != phase_) {
    phase_ = progress.phase;
    first_ns_ = now;
    first_done_ = progress.done;
  }
  const double seconds = static_cast<double>(now - first_ns_) / 1e9;
  const double rate = seconds > 0 ? static_cast<double>(progress.done - first_done_) / seconds : 0;
  std::string left = "";
  if (rate > 0)
    left = fmt::format(", {:.0f}/s, {:.0f} s left", rate,
                       static_cast<double>(progress.total - progress.done) / rate);
  print_remark(
      fmt::format("\r\033[K{}: {} of {}{}", progress.phase, progress.done, progress.total, left));
  dirty_ = true;
}

void ProgressLine::clear() {
  if (dirty_) print_remark("\r\033[K");
  dirty_ = false;
}

RunHooks attended(ProgressLine& line) {
  catch_signals();
  return {[&line](const Progress& progress) { line.show(progress); },
          [] { return g_interrupted != 0; }};
}

void add_format(CLI::App& command, std::string& format, std::vector<std::string> allowed) {
  command.add_option("--format", format, "how to print")
      ->type_name(fmt::format("{}", fmt::join(allowed, "|")))
      ->check(CLI::IsMember(allowed).description(""))  // the type's name lists them already
      ->capture_default_str()
      ->group(std::string(group_title(Group::output)));
}

void add_out(CLI::App& command, std::string& out, const std::string& help) {
  command.add_option("--out", out, help)
      ->type_name("DIR")
      ->check([](const std::string& path) {
        return path.empty() ? "the name of the folder is empty" : "";
      })
      ->group(std::string(group_title(Group::output)));
}

// Adds one flag per row of the parameter table, but for those in `fixed`, which are refused.
void add_parameters(CLI::App& command, RunSpec& spec,
                    std::span<const suite::FixedParameter> fixed) {
  const RunSpec defaults;
  for (const Parameter& parameter : parameters()) {
    const auto refused =
        std::find_if(fixed.begin(), fixed.end(),
                     [&](const suite::FixedParameter& row) { return row.flag == parameter.flag; });
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
        ->default_str(shown)
        ->group(std::string(group_title(parameter.group)));
  }
}

std::string exit_code_help() {
  std::string text = "Exit codes (when several apply, the first one listed wins):\n";
  for (const RunStatusRow& row : run_statuses())
    text += fmt::format("  {}  {}: {}\n", row.exit_code, row.name, row.help);
  return text;
}

}  // namespace lastack
