// The lastack program: command line in, tables and files out. All work is in lib/.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <sstream>

#include "base/rows.h"
#include "commands/command.h"
#include "report/environment.h"
#include "run/runner.h"
#include "shard/shortage.h"

namespace lastack {
namespace {

struct Command {
  std::string_view name;
  std::string_view help;
  Action (*add)(CLI::App& command);
};

constexpr Command kCommands[] = {
    {"run", "open connections, let them die, measure", add_run},
    {"doctor", "say what this host lacks for a run, and how to mend it", add_doctor},
    {"verify", "put what is claimed about abnormal closes to this kernel, claim by claim",
     add_verify},
    {"cost", "measure what each probe costs per connection and second while nobody dies", add_cost},
    {"suite", "play a table of runs that answer one question together", add_suite},
    {"compare", "say what differs between recorded suites or runs", add_compare},
    {"list", "strategies, watches, probes and columns", add_list},
};
static_assert(named(kCommands, &Command::name));

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
  std::vector<std::pair<CLI::App*, Action>> added;
  for (const Command& row : kCommands) {
    CLI::App* command = app.add_subcommand(std::string(row.name), std::string(row.help));
    added.emplace_back(command, row.add(*command));
  }

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
  for (const auto& [command, action] : added)
    if (command->parsed()) return action();
  return exit_code(RunStatus::bad_usage);  // one is required
}

}  // namespace
}  // namespace lastack

int main(int argc, char** argv) {
  return lastack::main_of(lastack::kProgram, lastack::main_with_arguments, argc, argv);
}
