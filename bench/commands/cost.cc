#include <unistd.h>

#include <memory>

#include "commands/command.h"
#include "report/cost_text.h"
#include "report/environment.h"
#include "report/json_text.h"
#include "run/runner.h"

namespace lastack {
namespace {

struct CostOptions {
  suite::CostSpec spec;
  std::string out;
  std::string format = "text";
};

int cost_command(const CostOptions& options) {
  const suite::CostPlan plan = suite::plan_cost(options.spec);
  if (!plan.error.empty()) return complain(plan.status, plan.error);
  OutputFolder out;
  if (const Status bad = out.reserve(options.out))
    return complain(RunStatus::bad_usage, bad->message());
  print_remark(cost_estimate(options.spec, plan));

  ProgressLine line;
  const RunHooks hooks = attended(line);
  const suite::CostResult result = suite::measure_cost(options.spec, plan, hooks);
  line.clear();

  if (result.rounds < suite::kFewestRounds) {
    out.undo();
    return complain(result.status, result.error);
  }
  const auto document = cost_document(result, describe_environment(result.host));
  out.write([&](Folder& folder) { return write_cost(folder, result, document); });
  print(options.format == "json" ? json_text(document) : cost_text(result));
  return out.exit_code_with(result.status);
}

void add_cost_options(CLI::App& command, CostOptions& options) {
  add_parameters(command, options.spec.run, suite::fixed_parameters());
  add_parsed(command, "--rounds", "N", "how often every probe is compared with none", parse_count,
             suite::kFewestRounds, suite::kMostRounds, options.spec.rounds, format_count);
  add_parsed(command, "--window", "TIME", "how long each run is watched", parse_duration,
             suite::kShortestWindow_ns, suite::kLongestWindow_ns, options.spec.window_ns,
             format_duration);
  add_out(command, options.out, "a new or empty folder for cost.csv and cost.json");
}

}  // namespace

Action add_cost(CLI::App& command) {
  const auto options = std::make_shared<CostOptions>();
  add_cost_options(command, *options);
  add_format(command, options->format, {"text", "json"});
  command.footer(
      "Every round runs each --watch without a probe and with each --probe, in an order by "
      "chance,\n"
      "and the differences count. A measurement needs the host for itself.\n" +
      exit_code_help());
  return [options] { return cost_command(*options); };
}

}  // namespace lastack
