#include <unistd.h>

#include <memory>

#include "commands/command.h"
#include "plan/rules.h"
#include "report/document.h"
#include "report/environment.h"
#include "report/json_text.h"
#include "report/text.h"
#include "run/runner.h"

namespace lastack {
namespace {

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

  ProgressLine line;
  const RunHooks hooks = attended(line);
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

}  // namespace

Action add_run(CLI::App& command) {
  const auto options = std::make_shared<Options>();
  add_parameters(command, options->spec);
  add_out(command, options->out, "a new or empty folder for run.json and the CSV files");
  add_format(command, options->format, {"text", "json"});
  command.add_flag("--dry-run", options->dry_run, "print the plan and open no socket")
      ->group(std::string(group_title(Group::output)));
  command.footer(exit_code_help());
  return [options] { return run_command(*options); };
}

}  // namespace lastack
