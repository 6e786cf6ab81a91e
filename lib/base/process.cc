#include "base/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/affinity.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"

extern char** environ;

namespace lastack {
namespace {

constexpr int kMute = 64;  // added to the errno of a message that could not be sent: an exit code
constexpr std::string_view kProcessFlag = "--lastack-process=";

// The kernel's own default (init_task); poll(2) and its relatives may wake so much later.
constexpr unsigned long kTimerSlack_ns = 50'000;
// How long a process may take to go that has been killed: the kernel closes its sockets one by one,
// 14 to 60 us each, and up to a million of them.
constexpr int64_t kDeathPatience_ns = 60 * kSecond_ns;

// Exec sets handlers back to the default, but leaves ignored signals ignored, and blocked ones
// blocked (signal(7)). With SIGCHLD ignored, children vanish and waitpid(2) says ECHILD.
void reset_signals() {
  constexpr int kKept[] = {SIGHUP, SIGTSTP, SIGTTIN, SIGTTOU};
  for (int number = 1; number <= SIGRTMAX; ++number) {
    if (std::find(std::begin(kKept), std::end(kKept), number) != std::end(kKept)) continue;
    struct sigaction action {};
    // Fails for the two that glibc keeps for itself.
    if (sigaction(number, nullptr, &action) != 0 || action.sa_handler != SIG_IGN) continue;
    signal(number, SIG_DFL);
  }
  // A write that finds nobody, or no room, is to be an errno that somebody can report.
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

struct Cause {
  int signal;
  std::string_view text;
};
constexpr Cause kCauses[] = {
    {SIGKILL, "out of memory, which dmesg(1) tells, or killed from outside"},
    {SIGSYS, "a seccomp filter, as containers have one, kills for a system call"},
    {SIGXFSZ, "the limit of file sizes, ulimit -f"},
    {SIGXCPU, "the limit of CPU time, ulimit -t"},
    {SIGBUS, "no memory left for what processes share, or a fault of lastack's: please report it"},
    {SIGSEGV, "a fault of lastack's: please report it"},
    {SIGABRT, "a fault of lastack's: please report it"},
    {SIGILL, "a fault of lastack's: please report it"},
    {SIGFPE, "a fault of lastack's: please report it"},
};

}  // namespace

void enter_known_state() {
  reset_signals();
  // One that stays as it was and is too low makes something fail, which then says so.
  (void)raise_limits();
  // What a shell or a service left open would count against limits and live on in every process.
  close_descriptors(Close::at_exec);
  prctl(PR_SET_TIMERSLACK, kTimerSlack_ns);
  prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
  prctl(PR_SET_CHILD_SUBREAPER, 0);
  // `setarch --uname-2.6` hides the kernel's release, which is a part of every result. The rest of
  // the personality stays: ThreadSanitizer sets ADDR_NO_RANDOMIZE.
  const int persona = personality(0xffffffff);
  constexpr int kForeign = UNAME26 | STICKY_TIMEOUTS | WHOLE_SECONDS;
  if (persona != -1 && (persona & kForeign))
    personality(static_cast<unsigned>(persona & ~kForeign));
}

void close_descriptors(Close when) {
  const unsigned flags = when == Close::at_exec ? CLOSE_RANGE_CLOEXEC : 0;
  if (close_range(kFirstInherited, ~0u, flags) == 0) return;
  // Seccomp filters that are older than the call (Linux 5.9) refuse it.
  std::vector<int> open;
  std::error_code failed;
  std::filesystem::directory_iterator entry("/proc/self/fd", failed);
  for (; !failed && entry != std::filesystem::directory_iterator(); entry.increment(failed))
    open.push_back(std::atoi(entry->path().filename().c_str()));
  for (const int descriptor : open) {
    if (descriptor < kFirstInherited) continue;
    if (when == Close::at_exec)
      fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    else
      close(descriptor);
  }
}

std::vector<std::string> kept_state() {
  std::vector<std::string> notes;
  const auto scheduling = read_scheduling(0);
  if (!scheduling)
    return {"how this process is scheduled is not known: " + scheduling.error().message()};
  if (scheduling->policy != "other")
    notes.push_back(fmt::format(
        "the scheduling policy is {}, as whoever started lastack has set it (chrt(1)): latencies "
        "belong to it",
        scheduling->policy));
  if (scheduling->nice != 0)
    notes.push_back(
        fmt::format("the nice value is {}, as whoever started lastack has set it (nice(1)): "
                    "latencies belong to it",
                    scheduling->nice));
  return notes;
}

sigset_t only_signal(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  return set;
}

void name_process(std::string_view role, int64_t number) {
  prctl(PR_SET_NAME, fmt::format("lastack:{} {}", role.substr(0, 4), number).c_str());
}

std::string death_text(int wait_status) {
  if (WIFEXITED(wait_status))
    return fmt::format("ended with exit code {}", WEXITSTATUS(wait_status));
  if (!WIFSIGNALED(wait_status)) return fmt::format("has wait status {:#x}", wait_status);
  const int number = WTERMSIG(wait_status);
  const char* name = sigabbrev_np(number);
  const auto cause = std::find_if(std::begin(kCauses), std::end(kCauses),
                                  [number](const Cause& row) { return row.signal == number; });
  return fmt::format("was killed by {} ({})",
                     name ? fmt::format("SIG{}", name) : fmt::format("signal {}", number),
                     cause == std::end(kCauses) ? "sent from outside" : cause->text);
}

namespace {

// Of the host, and of all control groups, since it booted (mm/oom_kill.c); 0 when nothing tells.
int64_t count_oom_kills() {
  const auto text = read_file("/proc/vmstat");
  constexpr std::string_view kName = "\noom_kill ";
  const size_t at = text ? text->find(kName) : std::string::npos;
  return at == std::string::npos ? 0 : std::atoll(text->c_str() + at + kName.size());
}

// At the first call of watch_for_oom_kills().
int64_t oom_kills_before() {
  static const int64_t before = count_oom_kills();
  return before;
}

}  // namespace

void die_before_parent_of_oom() {
  constexpr const char* kFile = "/proc/self/oom_score_adj";
  constexpr int kStep = 100, kMost = 1000;
  const auto text = read_file(kFile);
  if (!text) return;
  const std::string more = fmt::format("{}", std::min(std::atoi(text->c_str()) + kStep, kMost));
  const Fd file(open(kFile, O_WRONLY | O_CLOEXEC));
  if (file.valid()) (void)write_all(file.get(), more, kFile);  // then anyone may be the first
}

int mute_exit(const Status& unsaid) { return unsaid ? kMute + unsaid->error_number : 1; }

void watch_for_oom_kills() { oom_kills_before(); }

Error death_error(const std::string& who, int wait_status) {
  Error error = plain_error(fmt::format("{} {}", who, death_text(wait_status)));
  const int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 0;
  if (code == kLackOfMemory) error.error_number = ENOMEM;
  if (code > kMute && strerrorname_np(code - kMute))
    return make_error(who + " could not send a message", code - kMute, "");
  if (!WIFSIGNALED(wait_status)) return error;
  const int number = WTERMSIG(wait_status);
  if (number == SIGKILL && count_oom_kills() > oom_kills_before()) error.error_number = ENOMEM;
  if (number == SIGSYS) error.error_number = ENOSYS;
  rlimit cpu{};
  // Of a single second there is none left for the warning (enter_known_state()).
  const bool out_of_time = number == SIGKILL && error.error_number == 0 &&
                           getrlimit(RLIMIT_CPU, &cpu) == 0 && cpu.rlim_max <= 1;
  if (number == SIGXCPU || out_of_time)
    error.cure = "more CPU time (ulimit -t), or fewer --connections";
  return error;
}

Result<pid_t> spawn_self(const Role& role, std::span<const int> inherited) {
  watch_for_oom_kills();
  std::vector<std::string> words = {fmt::format("lastack: {} {}", role.name, role.number),
                                    fmt::format("{}{}:{}", kProcessFlag, role.name, role.number),
                                    fmt::format("{}", getpid())};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  // Copies above the target numbers first: a dup2 must not overwrite what is still to be copied.
  std::vector<Fd> copies;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const int beyond = kFirstInherited + static_cast<int>(inherited.size());
  int failed = 0;
  for (size_t i = 0; i < inherited.size() && !failed; ++i) {
    copies.emplace_back(fcntl(inherited[i], F_DUPFD_CLOEXEC, beyond));
    failed = copies.back().valid()
                 ? posix_spawn_file_actions_adddup2(&actions, copies.back().get(),
                                                    kFirstInherited + static_cast<int>(i))
                 : errno;
  }
  pid_t child = -1;
  if (!failed)
    failed = posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (!failed) return child;
  Error error = make_error("posix_spawn /proc/self/exe as", failed, role.name);
  if (failed == ENOENT) error.cure = "a /proc (mount -t proc proc /proc)";
  return error;
}

std::optional<Role> own_role(int argc, char** argv) {
  if (argc != 3 || !std::string_view(argv[1]).starts_with(kProcessFlag)) return std::nullopt;
  const std::string_view text = std::string_view(argv[1]).substr(kProcessFlag.size());
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return Role{std::string(text), 0};
  return Role{std::string(text.substr(0, colon)),
              std::strtoll(text.data() + colon + 1, nullptr, 10)};
}

void become(const Role& role, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);  // it died before the line above
  name_process(role.name, role.number);
  die_before_parent_of_oom();
  // The terminal's signals go to the whole process group; only the user's process answers them.
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) signal(number, SIG_IGN);
}

Result<std::optional<int>> look_for_end(pid_t child) {
  int status = 0;
  while (true) {
    const pid_t ended = waitpid(child, &status, WNOHANG);
    if (ended == child) return std::optional(status);
    if (ended == 0) return std::optional<int>();
    if (errno != EINTR) return errno_error("waitpid", fmt::format("process {}", child));
  }
}

Result<int> await_end(pid_t child, int64_t until_ns) {
  const int64_t start_ns = now_ns();
  while (true) {
    const auto ended = look_for_end(child);
    if (!ended) return ended.error();
    if (*ended) return **ended;
    const int64_t now = now_ns();
    if (now > until_ns) return make_error("waitpid", ETIME, fmt::format("process {}", child));
    // Most go at once, and somebody may wait for that.
    const bool soon = now - start_ns < 20 * kMillisecond_ns;
    sleep_for(soon ? kMillisecond_ns / 10 : kMillisecond_ns);
  }
}

Result<int> end_child(pid_t child) {
  // A child that has not been reaped still has its number, dead or alive.
  if (kill(child, SIGKILL) != 0) return errno_error("kill", fmt::format("process {}", child));
  return await_end(child, now_ns() + kDeathPatience_ns);
}

}  // namespace lastack
