// Processes: what they inherit, which calls they are refused, who dies or stops, and who is told.
#include "base/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "../named_case.h"
#include "base/clock.h"
#include "base/file.h"
#include "program.h"

namespace lastack::live {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::vector<std::string> kSmall = {"run", "--mix",      "rst-linger", "--connections",
                                         "40",  "--deadline", "500ms"};

// ---- What a process inherits

struct State {
  const char* name;
  std::function<void()> make;  // between fork and exec
  const char* note = "";       // what the run says of it
};

void set_soft_limit(__rlimit_resource_t resource, rlim_t value) {
  rlimit limit{};
  getrlimit(resource, &limit);
  limit.rlim_cur = std::min(value, limit.rlim_max);
  setrlimit(resource, &limit);
}

void ignore_and_block_everything() {
  sigset_t all;
  sigfillset(&all);
  for (int number = 1; number <= SIGRTMAX; ++number) signal(number, SIG_IGN);
  sigprocmask(SIG_SETMASK, &all, nullptr);
}

const State kStates[] = {
    {"signals ignored and blocked", ignore_and_block_everything},
    {"soft limits",
     [] {
       set_soft_limit(RLIMIT_FSIZE, 0);
       set_soft_limit(RLIMIT_NOFILE, 16);
       set_soft_limit(RLIMIT_CPU, 1);
       set_soft_limit(RLIMIT_STACK, 1 << 20);
     }},
    {"slow timers and a disguised kernel",
     [] {
       prctl(PR_SET_TIMERSLACK, 500'000'000ul);
       prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
       personality(UNAME26 | STICKY_TIMEOUTS);
     }},
    {"many descriptors",
     [] {
       for (int i = 0; i < 900; ++i) (void)!open("/dev/null", O_RDONLY);
     }},
    {"nice", [] { (void)!nice(5); }, "the nice value is 5"},
    {"batch",
     [] {
       const sched_param none{};
       sched_setscheduler(0, SCHED_BATCH, &none);
     },
     "the scheduling policy is batch"},
    {"a folder that is gone, and an odd environment",
     [] {
       char folder[] = "/tmp/lastack-gone-XXXXXX";
       if (!mkdtemp(folder) || chdir(folder) != 0) _exit(120);
       rmdir(folder);
       umask(0777);
       setenv("LC_ALL", "tr_TR.UTF-8", 1);
       setenv("MALLOC_PERTURB_", "165", 1);
     }},
};

TEST(Inherits, EveryStrangeStateEndsInTheSameRun) {
  for (const State& state : kStates) {
    SCOPED_TRACE(state.name);
    Program::Options options;
    options.prepare = state.make;
    const Outcome outcome =
        run_program(with(kSmall, {"--watch", "epoll,select", "--format", "json"}), options);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err << outcome.out.substr(0, 2000);
    const nlohmann::json run = outcome.json();
    EXPECT_EQ(run["status"], "ok");
    int64_t found = 0;
    for (const auto& row : run["ledger"]) found += row["found"].get<int64_t>();
    EXPECT_EQ(found, 40);
    EXPECT_THAT(run["notes"].dump(), HasSubstr(state.note));
    EXPECT_THAT(run["environment"].dump(), Not(HasSubstr("\"2.6."))) << "a disguised release";
  }
}

// With SIGCHLD ignored, waitpid(2) says ECHILD, and no write's process is seen to die.
TEST(Inherits, WritersDieOfTheirSigpipeUnderAnIgnoredSigchld) {
  Program::Options options;
  options.prepare = ignore_and_block_everything;
  const Outcome outcome = run_program(
      {"run", "--mix", "fin", "--connections", "20", "--watch", "writer", "--write-path", "write",
       "--sigpipe", "default", "--deadline", "20s", "--format", "json"},
      options);
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.json()["ledger"][0]["writes"]["sigpipes"], 20);
}

// ---- Calls that are refused

// What a container's seccomp profile does: this call fails with EPERM in the process and all that
// it starts.
void refuse(unsigned number) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(filter), filter};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) _exit(121);
}

struct Refusal {
  unsigned call;
  std::vector<std::string> more;
  int exit_code;
  const char* said;
  const char* doctor;
  int doctor_code;
};

void PrintTo(const Refusal& one, std::ostream* out) { *out << "system call " << one.call; }

class RefusedCall : public testing::TestWithParam<Refusal> {};

TEST_P(RefusedCall, EndsTheRunWithTheCallAndTheDoctorKnows) {
  const Refusal& refusal = GetParam();
  Program::Options options;
  options.prepare = [&] { refuse(refusal.call); };
  const Outcome run = run_program(with(kSmall, refusal.more), options);
  EXPECT_EQ(run.exit_code, refusal.exit_code) << run.err << run.out;
  EXPECT_THAT(run.out + run.err, HasSubstr(refusal.said));
  std::vector<std::string> asked = {"doctor", "--connections", "40"};
  const Outcome doctor = run_program(with(asked, refusal.more), options);
  EXPECT_EQ(doctor.exit_code, refusal.doctor_code) << doctor.out;
  EXPECT_THAT(doctor.out, HasSubstr(refusal.doctor));
}

const Refusal kRefusals[] = {
    {SYS_epoll_pwait2,
     {"--watch", "epoll", "--load", "echo=1k/s"},
     0,
     "epoll_pwait2 is refused (EPERM): epoll_wait and a timerfd stand in for it",
     "epoll_wait and a timerfd will stand in for it",
     0},
    {SYS_epoll_pwait2,
     {"--watch", "epoll", "--wait", "spin"},
     0,
     "epoll_pwait2 is refused",
     "epoll_pwait2",
     0},
    {SYS_io_uring_enter,
     {},
     3,
     "io_uring_enter establish: Operation not permitted (EPERM 1)",
     "io_uring_enter: EPERM",
     3},
    {SYS_ppoll,
     {"--watch", "ppoll"},
     3,
     "ppoll control message: Operation not permitted",
     "ppoll (every process): EPERM",
     3},
    {SYS_pselect6,
     {"--watch", "select"},
     3,
     "pselect: Operation not permitted",
     "pselect6 (--watch select): EPERM",
     3},
};
INSTANTIATE_TEST_SUITE_P(Calls, RefusedCall, testing::ValuesIn(kRefusals), [](const auto& row) {
  return fmt::format("call_{}_{}", row.param.call, row.index);
});

TEST(RefusedKill, IsAnErrorAndNotAnEndlessWait) {
  Program::Options options;
  options.prepare = [] { refuse(SYS_kill); };
  const Outcome run = run_program({"run", "--mix", "sigkill", "--connections", "8", "--per-process",
                                   "4", "--deadline", "300ms"},
                                  options);
  EXPECT_EQ(run.exit_code, 3) << run.err << run.out;
  EXPECT_THAT(run.err, HasSubstr("kill process"));
}

TEST(RefusedCloseRange, DescriptorsAreClosedOneByOne) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    constexpr int kFar = 700;
    refuse(SYS_close_range);
    if (dup2(STDERR_FILENO, kFar) != kFar) _exit(1);
    close_descriptors(Close::at_exec);
    if ((fcntl(kFar, F_GETFD) & FD_CLOEXEC) == 0) _exit(2);
    close_descriptors(Close::now);
    _exit(fcntl(kFar, F_GETFD) == -1 && fcntl(STDERR_FILENO, F_GETFD) != -1 ? 0 : 3);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

// ---- Who is killed, who stands still

// The process with this in its command line, "lastack: survivor 0", among the program's own.
pid_t find_process(const Program& program, const std::string& name) {
  for (const pid_t process : descendants_of(program.pid())) {
    const auto text = read_file(fmt::format("/proc/{}/cmdline", process));
    if (text && text->starts_with(name)) return process;
  }
  return 0;
}

void signal_process(const Program& program, const std::string& name, int number) {
  const pid_t process = find_process(program, name);
  ASSERT_GT(process, 0) << name;
  ASSERT_EQ(kill(process, number), 0) << name;
}

std::vector<pid_t> family_of(const Program& program) {
  std::vector<pid_t> family = descendants_of(program.pid());
  family.push_back(program.pid());
  return family;
}

void expect_gone(const std::vector<pid_t>& family) {
  EXPECT_TRUE(eventually(5 * kSecond_ns,
                         [&] { return std::none_of(family.begin(), family.end(), is_alive); }));
}

// A run that waits for its findings for a minute.
const std::vector<std::string> kLong = {
    "run", "--mix", "silent=30,alive=10", "--connections", "40", "--deadline", "60s"};

// Until all its connections have been opened.
bool is_established(const Program& program, int64_t connections) {
  return eventually(30 * kSecond_ns, [&] {
    // The launcher is in the host's namespace at first.
    const pid_t survivor = find_process(program, "lastack: survivor 0");
    return survivor && snmp(std::to_string(survivor), "ActiveOpens") >= connections;
  });
}

struct Killed {
  const char* process;
  std::vector<std::string> run;
  const char* said;
};

void PrintTo(const Killed& one, std::ostream* out) { *out << one.process; }

class KilledFromOutside : public testing::TestWithParam<Killed> {};

TEST_P(KilledFromOutside, IsAFailedRunThatSaysWhoAndHow) {
  const Killed& killed = GetParam();
  Program program(killed.run);
  ASSERT_TRUE(is_established(program, 16));
  ASSERT_TRUE(
      eventually(20 * kSecond_ns, [&] { return find_process(program, killed.process) != 0; }));
  const auto family = family_of(program);
  signal_process(program, killed.process, SIGKILL);
  const Outcome outcome = program.wait();
  EXPECT_EQ(outcome.exit_code, 1) << outcome.err << outcome.out;
  EXPECT_THAT(outcome.err, HasSubstr(killed.said));
  EXPECT_THAT(outcome.err, HasSubstr("was killed by SIGKILL (out of memory"));
  expect_gone(family);
}

std::vector<std::string> short_run(const std::vector<std::string>& more) {
  return with({"run", "--connections", "16", "--deadline", "2s"}, more);
}

const Killed kKilled[] = {
    {"lastack: launcher 0", kLong, "the launcher, process "},
    {"lastack: victim 0", kLong, "victim 0 (process "},
    {"lastack: survivor 0", kLong, "survivor 0 (process "},
    // Noticed at its act, or when the ledger is closed.
    {"lastack: host 1",
     short_run({"--mix", "sigkill", "--per-process", "8", "--schedule", "rate=4/s"}),
     "victim process "},
    {"lastack: host 0", short_run({"--mix", "freeze", "--per-process", "8"}), "victim process "},
    {"lastack: hog 0", short_run({"--mix", "silent", "--cpu-hog", "1"}), "CPU hog 0 (process "},
};
INSTANTIATE_TEST_SUITE_P(Everybody, KilledFromOutside, testing::ValuesIn(kKilled),
                         [](const auto& row) {
                           std::string name = row.param.process + 9;
                           std::replace(name.begin(), name.end(), ' ', '_');
                           return name;
                         });

TEST(KilledWriter, IsMissedByItsSurvivor) {
  Program program({"run", "--mix", "silent", "--connections", "8", "--watch", "writer",
                   "--write-path", "write", "--write-rate", "rate=10/s", "--sigpipe", "default",
                   "--deadline", "60s"});
  pid_t writer = 0;
  ASSERT_TRUE(eventually(30 * kSecond_ns, [&] {
    const auto children = children_of(find_process(program, "lastack: survivor 0"));
    writer = children.empty() ? 0 : children.front();
    return writer != 0;
  }));
  ASSERT_EQ(kill(writer, SIGKILL), 0);
  const Outcome outcome = program.wait();
  EXPECT_EQ(outcome.exit_code, 1) << outcome.out;
  EXPECT_THAT(outcome.err, HasSubstr("that writes for it was killed by SIGKILL"));
}

TEST(KilledRow, OfVerifyIsAFailure) {
  Program program({"verify", "--case", "S1", "--path", "loopback"});
  pid_t row = 0;
  ASSERT_TRUE(eventually(30 * kSecond_ns, [&] {
    const auto children = children_of(find_process(program, "lastack: verify"));
    row = children.empty() ? 0 : children.front();
    return row != 0;
  }));
  ASSERT_EQ(kill(row, SIGKILL), 0);
  const Outcome outcome = program.wait();
  EXPECT_EQ(outcome.exit_code, 1) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("was killed by SIGKILL"));
}

TEST(Processes, HaveNames) {
  Program program(kLong);
  ASSERT_TRUE(is_established(program, 40));
  const pid_t survivor = find_process(program, "lastack: survivor 0");
  EXPECT_EQ(read_first_line(fmt::format("/proc/{}/comm", survivor)), "lastack:surv 0");
}

// Who is stopped, and when, does not keep the program from ending.
struct Stop {
  const char* process;
  const char* name;
  int signals;
};

using cases::PrintTo;
class StoppedProcess : public testing::TestWithParam<Stop> {};

TEST_P(StoppedProcess, DoesNotKeepTheProgramFromBeingInterrupted) {
  Program program(kLong);
  ASSERT_TRUE(is_established(program, 40));
  const auto family = family_of(program);
  signal_process(program, GetParam().process, SIGSTOP);
  const int64_t asked_ns = now_ns();
  for (int i = 0; i < GetParam().signals; ++i) {
    if (i > 0) sleep_for(300 * kMillisecond_ns);
    ASSERT_EQ(kill(program.pid(), i % 2 ? SIGINT : SIGTERM), 0);
  }
  const Outcome outcome = program.wait();
  EXPECT_EQ(outcome.exit_code, 7) << outcome.err << outcome.out;
  // 11 s are configured; a minute is what the run would have taken.
  EXPECT_LT(now_ns() - asked_ns, 45 * kSecond_ns);
  if (GetParam().signals == 1) {
    EXPECT_THAT(outcome.err + outcome.out, HasSubstr("interrupted"));
  }
  expect_gone(family);
}

const Stop kStops[] = {{"lastack: launcher", "launcher", 1},
                       {"lastack: survivor 0", "survivor", 1},
                       {"lastack: victim 0", "victim", 1},
                       {"lastack: launcher", "launcher_twice", 2}};
INSTANTIATE_TEST_SUITE_P(Everybody, StoppedProcess, testing::ValuesIn(kStops), cases::by_name);

// Nobody interrupts: the step ends by its own bound, and the message says who did not answer.
TEST(StoppedWorker, EndsTheRunByTheBoundOfItsStep) {
  Program program({"run", "--mix", "fin", "--connections", "20"});
  pid_t victim = 0;
  ASSERT_TRUE(eventually(30 * kSecond_ns, [&] {
    victim = find_process(program, "lastack: victim 0");
    return victim != 0;
  }));
  ASSERT_EQ(kill(victim, SIGSTOP), 0);
  const Outcome outcome = program.wait();
  EXPECT_EQ(outcome.exit_code, 1) << outcome.out;
  EXPECT_THAT(outcome.err, HasSubstr("no answer within 30"));
  EXPECT_THAT(outcome.err, HasSubstr(fmt::format("from victim 0 (process {}", victim)));
}

}  // namespace
}  // namespace lastack::live
