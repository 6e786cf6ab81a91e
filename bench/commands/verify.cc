#include "verify/verify.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "commands/command.h"
#include "report/matrix_text.h"
#include "report/verify_tap.h"
#include "report/verify_text.h"
#include "run/runner.h"

namespace lastack {
namespace {

struct VerifyOptions {
  verify::Spec spec;
  std::string path = "both";
  std::string format = "text";
  std::vector<std::string> expected;
  bool matrix = false;
};

// The grid instead of the claims.
int matrix_command(const VerifyOptions& options) {
  constexpr int64_t kConnectionsEach = 20;
  ProgressLine line;
  const RunHooks hooks = attended(line);
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
  const bool tap = options.format == "tap";
  if (options.matrix && tap)
    return complain(RunStatus::bad_usage,
                    "--format tap: the matrix claims nothing that could be ok or not; allowed: "
                    "text, markdown, json");
  if (options.matrix) return matrix_command(options);
  verify::Spec& spec = options.spec;
  spec.loopback = options.path != "veth";
  spec.veth = options.path != "loopback";
  for (const std::string& row : spec.rows)
    if (const Status bad = verify::check_row_name(row))
      return complain(RunStatus::bad_usage, bad->message());
  for (const std::string& text : options.expected) {
    const auto one = verify::parse_expected_verdict(text);
    if (!one) return complain(RunStatus::bad_usage, one.error().message());
    spec.expected.push_back(*one);
  }
  ProgressLine line;
  const RunHooks hooks = attended(line);
  const verify::VerifyResult result = verify::play(spec, hooks);
  line.clear();
  if (result.rows.empty()) {
    if (tap && result.status != RunStatus::bad_usage) print(verify_tap(result));
    return complain(result.status, result.error);
  }
  print(options.format == "json"       ? verify_json(result)
        : options.format == "markdown" ? verify_markdown(result)
        : tap                          ? verify_tap(result)
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
                  fmt::format("of every way of every row; {} to {}", verify::kFewestConnections,
                              verify::kMostConnections))
      ->type_name("N")
      ->check(CLI::Range(verify::kFewestConnections, verify::kMostConnections).description(""))
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

}  // namespace

Action add_verify(CLI::App& command) {
  const auto options = std::make_shared<VerifyOptions>();
  add_verify_options(command, *options);
  add_format(command, options->format, {"text", "markdown", "json", "tap"});
  command.footer(
      "Plays every claim over real connections in private network namespaces, and says whether it\n"
      "holds, does not, or under which condition it does.\n"
      "--format tap: TAP version 13 as kselftest writes it, a test per row and path; a row that "
      "could\n"
      "not be played for want of something is skipped (ok ... # SKIP), one that differs is not "
      "ok.\n"
      "Exit codes:\n"
      "  0  this kernel does what the built-in table (or --expect) says\n"
      "  3  namespaces, rights or memory are missing: a row could not be played, which says "
      "nothing\n"
      "     about the kernel; wins over 4\n"
      "  4  it does not; the differing rows come first\n"
      "  2  the command line asks for something impossible\n"
      "  7  SIGINT, SIGTERM or SIGHUP ended it early\n"
      "  1  lastack itself failed, or what it had to print could not be delivered\n");
  return [options] { return verify_command(*options); };
}

}  // namespace lastack
