// Runs the lastack program as a user would, and looks at what it leaves.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/memory.h"
#include "base/sanitizers.h"

namespace lastack::live {

using Words = std::vector<std::string>;

const std::string kData = std::string(LASTACK_SOURCE_DIR) + "/tests/unit/data/";

// The words of one and then of the other.
Words with(Words words, const Words& more);

struct Outcome {
  int exit_code = -1;  // 128 + signal when it was killed
  std::string out, err;
  nlohmann::json json() const { return nlohmann::json::parse(out); }
};

// A started program; wait() collects it. Its output goes to unnamed files, so that it never blocks.
class Program {
 public:
  struct Options {
    bool as_nobody = false;  // as an ordinary user, from a copy that the user may read
    // What the program finds around itself: done in its process, which ends with 125 at false.
    std::function<bool()> before_exec = nullptr;
    std::function<void()> prepare = {};  // the same, for what cannot fail
  };
  Program(const std::vector<std::string>& arguments, Options options);
  explicit Program(const std::vector<std::string>& arguments);
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program();
  pid_t pid() const { return pid_; }
  Outcome wait();

 private:
  pid_t pid_ = -1;
  int out_ = -1, err_ = -1;
};

// Under ThreadSanitizer a forked child has the sanitizer's own thread, so that it cannot enter a
// user namespace (unshare(2), setns(2): EINVAL). The programs that are exec'ed can.
constexpr bool kForkedChildMayEnterNamespaces = !kThreadSanitizer;

Outcome run_program(const std::vector<std::string>& arguments, Program::Options options = {});
// The run.json of `lastack run` with these arguments, which must end with this code; else what was
// unexpected and which counters disagree is a part of the failure.
nlohmann::json run_json(std::vector<std::string> more, int wanted_exit_code = 0);

// A new empty folder below the system's temporary one; gone, with its content, at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Waits until `condition` holds, at most so long; returns whether it did.
bool eventually(int64_t timeout_ns, const std::function<bool()>& condition);

// All descendants of `ancestor`.
std::vector<pid_t> descendants_of(pid_t ancestor);
// The launcher, once its workers exist, for sockstat() and snmp(): it is in the run's own
// namespace.
std::string launcher_of(const Program& program);
bool is_alive(pid_t process);
// The figure behind `name` in the "TCP:" line of a process's sockstat; -1 when it cannot be read.
int64_t sockstat(const std::string& process, const std::string& name);
// A counter of a process's network namespace, from its snmp file; -1 when it cannot be read.
int64_t snmp(const std::string& process, const std::string& name);

// What a run.json says: a figure over all rows of the ledger, and the notes, a line each.
int64_t sum_over_rows(const nlohmann::json& run, const std::string& key);
std::string notes_of(const nlohmann::json& run);

std::vector<std::vector<std::string>> read_csv(const std::string& path);

}  // namespace lastack::live
