#include "doctor/trial.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/process.h"
#include "net/namespaces.h"
#include "ring/ring.h"

namespace lastack::doctor {
namespace {

template <Engine engine>
bool any_watch_of(const RunSpec& spec) {
  return std::any_of(spec.watches.begin(), spec.watches.end(),
                     [](Watch watch) { return watch_row(watch).engine == engine; });
}
bool always(const RunSpec&) { return true; }
constexpr timespec kAtOnce{};

constexpr WaitRow kWaits[kWaitRows] = {
    {"poll", "every process", always, "", [] { return poll(nullptr, 0, 0) >= 0; }},
    {"ppoll", "every process", always, "",
     [] { return ppoll(nullptr, 0, &kAtOnce, nullptr) >= 0; }},
    {"clock_nanosleep", "every process", always, "",
     [] { return (errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &kAtOnce, nullptr)) == 0; }},
    {"waitpid", "every process that has started others", always, "",
     [] { return waitpid(-1, nullptr, WNOHANG) >= 0 || errno == ECHILD; }},
    {"kill", "every process that has started others", always, "",
     [] { return kill(getpid(), 0) == 0; }},
    {"epoll_wait", "--watch epoll", any_watch_of<Engine::epoll>, "",
     [] {
       const Fd set(epoll_create1(EPOLL_CLOEXEC));
       epoll_event event{};
       return set.valid() && epoll_wait(set.get(), &event, 1, 0) >= 0;
     }},
    {"epoll_pwait2", "--watch epoll", any_watch_of<Engine::epoll>, "epoll_wait and a timerfd",
     [] {
       const Fd set(epoll_create1(EPOLL_CLOEXEC));
       epoll_event event{};
       return set.valid() && epoll_pwait2(set.get(), &event, 1, &kAtOnce, nullptr) >= 0;
     }},
    {"timerfd_create", "--watch epoll", any_watch_of<Engine::epoll>, "",
     [] { return Fd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)).valid(); }},
    {"pselect6", "--watch select", any_watch_of<Engine::select>, "",
     [] { return pselect(0, nullptr, nullptr, nullptr, &kAtOnce, nullptr) >= 0; }},
    {"signalfd4", "--sigpipe signalfd",
     [](const RunSpec& spec) { return spec.writing.sigpipe == SigpipeMode::signalfd; }, "",
     [] {
       sigset_t none;
       sigemptyset(&none);
       return Fd(signalfd(-1, &none, SFD_CLOEXEC)).valid();
     }},
};

static_assert(!kWaits[kWaitRows - 1].name.empty());

// What the run will see of its network namespace.
void read_network(Trial& trial) {
  const auto [first, last] = read_port_range();
  trial.first_port = first;
  trial.last_port = last;
  trial.listen_backlog = limit_of(read_first_line("/proc/sys/net/core/somaxconn"));
}

// One request from its submission to its completion, and one wait that ends by its time-out.
int try_requests(Ring& ring) {
  io_uring_sqe* sqe = ring.entry();
  if (!sqe) return ring.failed();
  io_uring_prep_nop(sqe);
  ring.wait_until(now_ns() + kSecond_ns);
  io_uring_cqe* completion = nullptr;
  const size_t completed = ring.completions(std::span(&completion, 1)).size();
  ring.seen(static_cast<unsigned>(completed));
  ring.wait_until(now_ns() + kMillisecond_ns);
  if (ring.failed()) return ring.failed();
  return completed == 1 ? 0 : ETIME;
}

// Runs in the child, which ends with it.
Trial try_everything(bool host_network) {
  Trial trial;
  const auto copy = [](const Status& failed, auto& text) {
    if (failed) text[failed->message().copy(text, sizeof(text) - 1)] = '\0';
  };
  Status failed;
  // The whole entry and not only unshare(2): where AppArmor restricts user namespaces, unshare
  // succeeds and what follows is refused.
  if (!host_network) failed = enter_private_namespaces();
  trial.entered = !failed;
  trial.namespace_error = failed ? failed->error_number : 0;
  copy(failed, trial.namespace_text);
  if (!host_network && !failed) copy(write_sysctls(private_sysctls()), trial.sysctl_text);
  read_network(trial);

  const RingSetup small = {
      .mode = RingMode::plain, .submission_entries = 8, .completion_entries = 16};
  {
    auto ring = Ring::open(small);
    trial.ring_error = ring ? 0 : ring.error().error_number;
    if (ring) trial.enter_error = try_requests(*ring);
  }
  for (size_t i = 0; i < kWaitRows; ++i) trial.wait_errors[i] = kWaits[i].attempt() ? 0 : errno;
  trial.rings_are_locked = rings_are_locked();
  return trial;
}

}  // namespace

std::span<const WaitRow, kWaitRows> wait_rows() { return kWaits; }

Trial trial_from_here() {
  Trial trial;
  read_network(trial);
  return trial;
}

// Namespaces cannot be left again, so they are tried in a child. fork(2) copies one thread only:
// the caller must have no other, or the child could wait for ever for a lock of malloc.
Result<Trial> try_in_child(bool host_network) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return errno_error("pipe2", "trial");
  const Fd reader(ends[0]);
  Fd writer(ends[1]);
  const pid_t child = fork();
  if (child < 0) return errno_error("fork", "trial");
  if (child == 0) {
    const Trial trial = try_everything(host_network);
    const bool written = write(writer.get(), &trial, sizeof(trial)) == sizeof(trial);
    _exit(written ? 0 : 1);  // not exit(): buffered output and atexit() belong to the parent
  }
  writer.reset();
  Trial trial;
  ssize_t got = 0;
  // What it writes is smaller than PIPE_BUF: there is room for it, and it is whole or not there.
  auto ended = await_end(child, now_ns() + 10 * kSecond_ns);
  if (ended) {
    do {
      got = read(reader.get(), &trial, sizeof(trial));
    } while (got < 0 && errno == EINTR);
  }
  if (got == sizeof(trial)) return trial;
  if (!ended && ended.error().error_number == ETIME)
    (void)end_child(child);  // what is told is that it did not end
  if (!ended) return ended.error();
  return death_error("the trial process", *ended);
}

}  // namespace lastack::doctor
