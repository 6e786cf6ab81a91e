// Processes: the state that one starts in, its name, its children's ends.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace lastack {

// What a process takes over from whoever started it (execve(2), prctl(2), getrlimit(2)) and what
// would change the run: ignored and blocked signals, soft limits, open descriptors, timer slack, a
// disguised kernel release. Every process of lastack calls it first.
// Kept, because somebody chose it on purpose: hard limits, affinity (taskset(1)), scheduling policy
// and nice value, umask, working directory, an ignored SIGHUP (nohup(1)) or job control.
void enter_known_state();
enum class Close { now, at_exec };
// All descriptors behind the standard streams.
void close_descriptors(Close when);
// Of what is kept, that which a latency depends on: a sentence each, for a run's notes.
std::vector<std::string> kept_state();

// The name in ps(1), top(1) and the kernel's own messages, where `role` and `number` are cut to
// 15 characters in all (PR_SET_NAME).
void name_process(std::string_view role, int64_t number);

sigset_t only_signal(int number);

// What a process of a run is: its part, and which of several. ps(1) shows it as
// "lastack: survivor 3".
struct Role {
  std::string name;
  int64_t number = 0;
};

constexpr int kFirstInherited = 3;  // behind the standard streams
// Starts this program again as `role`; `inherited` become its descriptors 3, 4, ... Exec, never a
// bare fork: the caller may have threads.
Result<pid_t> spawn_self(const Role& role, std::span<const int> inherited);

// In a process that was started so: its role, taken from its arguments; nullopt in any other.
std::optional<Role> own_role(int argc, char** argv);
// In the child, first thing: dies when its parent dies, and takes its name.
void become(const Role& role, pid_t parent);

// Of a child that has ended: "was killed by SIGKILL (out of memory ...)", "ended with exit code 1".
std::string death_text(int wait_status);

constexpr int kLackOfMemory = 3;  // exit code of who said so itself; no_resources of the program
// Of a child that was not to end: `who`, its death_text(), and where that is known what it lacked:
// memory (ENOMEM: it said so itself, or the kernel killed since watch_for_oom_kills()), CPU time
// (RLIMIT_CPU; a cure), a system call (ENOSYS).
Error death_error(const std::string& who, int wait_status);
// The exit code of who has said why it ends, or could not even say that: death_error() reads it.
int mute_exit(const Status& unsaid);
// Before the first child is started; calls after the first change nothing.
void watch_for_oom_kills();

// When memory runs out, the kernel kills this process rather than its parent, which can tell the
// tale (oom_score_adj, proc_pid_oom_score_adj(5)).
void die_before_parent_of_oom();

// The wait status of a child that has ended; nullopt while it lives (a stopped one does).
Result<std::optional<int>> look_for_end(pid_t child);
// Waits for its end until the instant; the Error ETIME says that it lives still.
Result<int> await_end(pid_t child, int64_t until_ns);
// Ends it by SIGKILL, also when it is stopped, and reaps it; returns the wait status.
Result<int> end_child(pid_t child);

}  // namespace lastack
