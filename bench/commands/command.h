// What the commands of the program share: one command is a file here and a row in lastack.cc.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/folder.h"
#include "base/parse.h"
#include "model/run_status.h"
#include "output.h"
#include "plan/spec.h"
#include "report/document.h"
#include "shard/launcher.h"
#include "suite/cost.h"

namespace lastack {

constexpr std::string_view kProgram = "lastack";

// What a command does when it was given; returns its exit code.
using Action = std::function<int()>;
// Adds the options of a command, and returns what it does with them.
Action add_run(CLI::App& command);
Action add_doctor(CLI::App& command);
Action add_verify(CLI::App& command);
Action add_cost(CLI::App& command);
Action add_suite(CLI::App& command);
Action add_compare(CLI::App& command);
Action add_list(CLI::App& command);

int exit_code(RunStatus status);
// Prints a message, and returns the exit code.
int complain(RunStatus status, const std::string& message);

// One line on a terminal that is written over and over: phase, count, rate, time left.
class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine() { clear(); }
  bool shown() const { return shown_; }
  void show(const Progress& progress);
  void clear();

 private:
  bool shown_;
  bool dirty_ = false;
  std::string phase_;
  int64_t first_ns_ = 0, first_done_ = 0;
};

// The line shows how far what is going on is. From now on the first SIGINT, SIGTERM or SIGHUP ends
// it in good order, and a second one everything: the processes of a run die with this one.
RunHooks attended(ProgressLine& line);

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

void add_format(CLI::App& command, std::string& format, std::vector<std::string> allowed);
void add_out(CLI::App& command, std::string& out, const std::string& help);
// Those of `fixed` are refused, with the reason.
void add_parameters(CLI::App& command, RunSpec& spec,
                    std::span<const suite::FixedParameter> fixed = {});
std::string exit_code_help();

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

}  // namespace lastack
