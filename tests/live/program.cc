#include "program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/clock.h"
#include "base/file.h"

extern char** environ;

namespace lastack::live {
namespace {

constexpr uid_t kNobody = 65534;

// The build tree may lie where others cannot look: the copy is for them.
const std::string& readable_copy() {
  static const TemporaryFolder folder;
  static const std::string path = [] {
    namespace fs = std::filesystem;
    fs::permissions(folder.path(), fs::perms::others_read | fs::perms::others_exec,
                    fs::perm_options::add);
    const std::string copy = folder.path() + "/lastack";
    fs::copy_file(LASTACK_PROGRAM, copy);
    fs::permissions(copy, fs::perms::others_read | fs::perms::others_exec, fs::perm_options::add);
    return copy;
  }();
  return path;
}

std::string take(int& descriptor) {
  const auto text = read_descriptor(descriptor);
  close(descriptor);
  descriptor = -1;
  return text ? *text : "";
}

int64_t figure(const std::string& path, const std::string& line_start, const std::string& name) {
  const auto text = read_file(path);
  if (!text) return -1;
  std::istringstream lines(*text);
  std::string line;
  while (std::getline(lines, line)) {
    if (!line.starts_with(line_start)) continue;
    std::istringstream words(line);
    std::string word;
    while (words >> word)
      if (word == name && words >> word) return std::atoll(word.c_str());
  }
  return -1;
}

}  // namespace

Words with(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

Program::Program(const std::vector<std::string>& arguments) : Program(arguments, Options{}) {}

Program::Program(const std::vector<std::string>& arguments, Options options) {
  out_ = memfd_create("stdout", MFD_CLOEXEC);
  err_ = memfd_create("stderr", MFD_CLOEXEC);
  const std::string path = options.as_nobody ? readable_copy() : LASTACK_PROGRAM;
  std::vector<std::string> words = {path};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_ = fork();  // this test process has one thread
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(out_, STDOUT_FILENO);
    dup2(err_, STDERR_FILENO);
    if (options.before_exec && !options.before_exec()) _exit(125);
    if (options.as_nobody && (setgid(kNobody) != 0 || setuid(kNobody) != 0)) _exit(126);
    if (options.prepare) options.prepare();
    execv(path.c_str(), argv.data());
    _exit(127);
  }
}

Program::~Program() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (out_ >= 0) close(out_);
  if (err_ >= 0) close(err_);
}

Outcome Program::wait() {
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  Outcome outcome;
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.out = take(out_);
  outcome.err = take(err_);
  return outcome;
}

Outcome run_program(const std::vector<std::string>& arguments, Program::Options options) {
  return Program(arguments, options).wait();
}

nlohmann::json run_json(std::vector<std::string> more, int wanted_exit_code) {
  std::vector<std::string> arguments = {"run", "--format", "json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const Outcome outcome = run_program(arguments);
  if (outcome.exit_code == 2 || outcome.out.empty()) {
    ADD_FAILURE() << outcome.err;
    return {};
  }
  nlohmann::json run = outcome.json();
  EXPECT_EQ(outcome.exit_code, wanted_exit_code)
      << run["unexpected"].dump(1).substr(0, 3000) << run["error"]
      << run["reconciliation"]["checks"].dump(1).substr(0, 4000) << outcome.err;
  return run;
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = std::filesystem::temp_directory_path() / "lastack-test-XXXXXX";
  path_ = mkdtemp(pattern.data());
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

bool eventually(int64_t timeout_ns, const std::function<bool()>& condition) {
  const int64_t until_ns = now_ns() + timeout_ns;
  while (!condition()) {
    if (now_ns() > until_ns) return false;
    sleep_for(500 * kMicrosecond_ns);
  }
  return true;
}

std::vector<pid_t> descendants_of(pid_t ancestor) {
  std::vector<pid_t> found = children_of(ancestor);
  for (size_t i = 0; i < found.size(); ++i)
    for (const pid_t child : children_of(found[i])) found.push_back(child);
  return found;
}

std::string launcher_of(const Program& program) {
  const auto family = descendants_of(program.pid());
  return family.size() >= 3 ? std::to_string(family.front()) : "none";
}

bool is_alive(pid_t process) {
  const auto text = read_file(fmt::format("/proc/{}/stat", process));
  // A zombie whose parent has not looked yet is dead.
  return text && text->find(") Z") == std::string::npos;
}

int64_t sockstat(const std::string& process, const std::string& name) {
  return figure(fmt::format("/proc/{}/net/sockstat", process), "TCP:", name);
}

int64_t snmp(const std::string& process, const std::string& name) {
  const auto text = read_file(fmt::format("/proc/{}/net/snmp", process));
  if (!text) return -1;
  std::istringstream lines(*text);
  std::string names_line, values_line;
  while (std::getline(lines, names_line) && std::getline(lines, values_line)) {
    if (!names_line.starts_with("Tcp:")) continue;
    std::istringstream names(names_line), values(values_line);
    std::string one, value;
    while (names >> one && values >> value)
      if (one == name) return std::atoll(value.c_str());
  }
  return -1;
}

int64_t sum_over_rows(const nlohmann::json& run, const std::string& key) {
  int64_t total = 0;
  for (const auto& row : run["ledger"]) total += row[key].get<int64_t>();
  return total;
}

std::string notes_of(const nlohmann::json& run) {
  std::string all;
  for (const auto& note : run["notes"]) all += note.get<std::string>() + "\n";
  return all;
}

std::vector<std::vector<std::string>> read_csv(const std::string& path) {
  std::vector<std::vector<std::string>> rows;
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::vector<std::string> cells;
    std::istringstream parts(line);
    std::string cell;
    while (std::getline(parts, cell, ',')) cells.push_back(cell);
    rows.push_back(std::move(cells));
  }
  return rows;
}

}  // namespace lastack::live
