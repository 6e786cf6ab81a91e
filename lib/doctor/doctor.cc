#include "doctor/doctor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/capability.h>
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
#include <bit>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "base/cgroup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/host_load.h"
#include "base/kernel_config.h"
#include "base/parse.h"
#include "base/process.h"
#include "net/namespaces.h"
#include "net/socket.h"
#include "net/tcp_memory.h"
#include "plan/plan.h"
#include "plan/rules.h"
#include "ring/ring.h"
#include "shard/establish.h"
#include "shard/table.h"

namespace lastack {

namespace {

// A call by which the processes of a run wait: a filter may deny each of them.
struct WaitRow {
  std::string_view name;
  std::string_view user;  // who needs it
  bool (*used)(const RunSpec& spec);
  std::string_view stand_in;  // what is used in its place; empty: nothing can be
  bool (*attempt)();          // false: errno says why
};

template <Engine engine>
bool any_watch_of(const RunSpec& spec) {
  return std::any_of(spec.watches.begin(), spec.watches.end(),
                     [](Watch watch) { return watch_row(watch).engine == engine; });
}
bool always(const RunSpec&) { return true; }
constexpr timespec kAtOnce{};

constexpr WaitRow kWaits[] = {
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

}  // namespace

// What a child process found where the run would be. It comes through a pipe: plain data only.
struct Trial {
  int64_t first_port = 0, last_port = 0;
  int64_t listen_backlog = 0;  // net.core.somaxconn, which is per namespace
  int namespace_error = 0;     // errno of entering the private namespaces
  int ring_error = 0;          // errno of io_uring_setup
  int enter_error = 0;         // errno of io_uring_enter, with a request and with a time-out
  int wait_errors[std::size(kWaits)] = {};  // by row
  bool entered = false;                     // or had not to, with --host-network
  bool rings_are_locked = false;
  char namespace_text[256] = {};
  char sysctl_text[256] = {};
};

struct HostFacts {
  const RunSpec& spec;
  Host host;
  Result<Plan> plan;
  Status refused;       // by check_spec() or make_plan()
  int64_t connections;  // of the mix, and the neighbours
  int64_t shards;       // of the plan; when there is none, as many as asked for
  int64_t largest_shard;
  int64_t descriptors_per_connection;  // in one worker
  int64_t filled;                      // connections whose windows are filled
  Result<Trial> tried;                 // the Error: no child process could be had
  Trial trial;                         // its value; without one, what can be seen from here
  std::map<std::string, bool> ring_features;
};

namespace {

// Both ends of an idle connection with its receive armed: measured as growth of Slab in
// /proc/meminfo under Linux 6.18, 8.7 KiB.
constexpr int64_t kKernelBytes = 8909;
constexpr int64_t kOwnBytes = 256;  // the records of both ends, with rings and processes
constexpr int64_t kLauncherReserved = 32;
constexpr int64_t kLeastBacklog = 1024;  // connects come 64 at a time, per shard
constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

// ---- Reading --------------------------------------------------------------------------------

// A number as the kernel writes it; "max" is no limit (cgroup v2).
std::optional<int64_t> to_number(std::string_view text) {
  return text.starts_with("max") ? kUnlimited : leading_count(text);
}

// nullopt when the file is not there, as with a sysctl that this kernel lacks.
std::optional<int64_t> read_number(const std::string& path) {
  return to_number(read_first_line(path));
}

// A sysctl by its dotted name.
std::optional<int64_t> read_sysctl(std::string name) {
  std::replace(name.begin(), name.end(), '.', '/');
  return read_number("/proc/sys/" + name);
}

// The number behind `key` at the start of a line: "MemAvailable:", "inactive_file".
std::optional<int64_t> field(std::string_view text, std::string_view key) {
  for (const std::string_view line : split(text, '\n')) {
    if (!line.starts_with(key)) continue;
    const std::string_view rest = line.substr(key.size());
    const size_t digits = rest.find_first_not_of(": \t");
    if (digits > 0 && digits != std::string_view::npos) return to_number(rest.substr(digits));
  }
  return std::nullopt;
}

int64_t divide_up(int64_t amount, int64_t part) { return (amount + part - 1) / part; }

// Bytes that are needed are rounded up, bytes that are there are rounded down.
std::string mib(int64_t bytes) { return fmt::format("{} MiB", bytes / (1 << 20)); }
std::string mib_up(int64_t bytes) { return mib(bytes + (1 << 20) - 1); }

std::string limit_text(int64_t limit) {
  return limit == kUnlimited ? "no limit" : fmt::format("{}", limit);
}

// Getting on with a limit that cannot be raised.
std::string lower_connections(int64_t most) {
  return most < 1 ? "add memory" : fmt::format("--connections {}", most);
}

std::string set_sysctl(std::string_view name, int64_t value) {
  return fmt::format("sysctl -w {}={}", name, value);
}

// ---- Rights ---------------------------------------------------------------------------------

// Whether the process is in the host's first user namespace (user_namespaces(7), uid_map).
bool in_first_user_namespace() {
  unsigned inside = 1, outside = 1, count = 0;
  const std::string map = read_first_line("/proc/self/uid_map");
  std::sscanf(map.c_str(), "%u %u %u", &inside, &outside, &count);
  return inside == 0 && outside == 0 && count == std::numeric_limits<unsigned>::max();
}

// What the kernel's capable() asks for: the capability in the first user namespace. A process
// loses it when it enters a user namespace of its own, also root's.
bool has_capability(int capability) {
  unsigned long long effective = 0;
  const std::string status = read_text("/proc/self/status");
  const size_t at = status.find("\nCapEff:");
  if (at != std::string::npos) std::sscanf(status.c_str() + at, "\nCapEff: %llx", &effective);
  return (effective >> capability & 1) != 0 && in_first_user_namespace();
}

bool in_group(int64_t group) {
  if (group < 0) return false;
  std::vector<gid_t> groups(static_cast<size_t>(std::max(getgroups(0, nullptr), 0)));
  if (!groups.empty())
    groups.resize(static_cast<size_t>(getgroups(static_cast<int>(groups.size()), groups.data())));
  groups.push_back(getegid());
  return std::find(groups.begin(), groups.end(), static_cast<gid_t>(group)) != groups.end();
}

int64_t soft_limit(int resource) {
  rlimit limit{};
  getrlimit(static_cast<__rlimit_resource_t>(resource), &limit);
  // RLIM_INFINITY is the largest unsigned number.
  return limit.rlim_cur > static_cast<rlim_t>(kUnlimited) ? kUnlimited
                                                          : static_cast<int64_t>(limit.rlim_cur);
}

// ---- Control groups -------------------------------------------------------------------------

// A limit that a cgroup or one of its ancestors sets, and what is in use of it.
struct CgroupLimit {
  std::string file;
  int64_t limit;
  int64_t free;
};

// The files of one controller: cgroup v1 (cgroup-v1/*.rst), cgroup v2 (cgroup-v2.rst).
struct CgroupFiles {
  std::string_view controller;
  std::string_view limit;
  std::string_view usage;
  std::string_view cache;  // keys of memory.stat for pages that the kernel takes back on demand
};
constexpr CgroupFiles kPidsV1 = {"pids", "pids.max", "pids.current", ""};
constexpr CgroupFiles kPidsV2 = {"", "pids.max", "pids.current", ""};
constexpr CgroupFiles kMemoryV1 = {"memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                   "total_"};
constexpr CgroupFiles kMemoryV2 = {"", "memory.max", "memory.current", ""};

// The tightest of the limits of this cgroup and its ancestors; nullopt when none can be read.
std::optional<CgroupLimit> tightest_limit(std::span<const CgroupFiles> versions) {
  std::optional<CgroupLimit> tightest;
  for (const CgroupFiles& files : versions) {
    for (const std::string& directory : cgroup_directories(files.controller)) {
      const std::string file = fmt::format("{}/{}", directory, files.limit);
      const auto limit = read_number(file);
      const auto usage = read_number(fmt::format("{}/{}", directory, files.usage));
      if (limit && usage) {
        const std::string stat = read_text(directory + "/memory.stat");
        const int64_t cache = field(stat, fmt::format("{}inactive_file", files.cache)).value_or(0) +
                              field(stat, fmt::format("{}active_file", files.cache)).value_or(0);
        // v1 writes "no limit" as the largest number of whole pages.
        const bool unlimited = *limit > kUnlimited / 2;
        const int64_t free = unlimited ? kUnlimited : *limit - *usage + std::min(cache, *usage);
        if (!tightest || free < tightest->free)
          tightest = {file, unlimited ? kUnlimited : *limit, free};
      }
    }
  }
  return tightest;
}

// ---- The trial ------------------------------------------------------------------------------

// What the run will see of its network namespace.
void read_network(Trial& trial) {
  const auto [first, last] = read_port_range();
  trial.first_port = first;
  trial.last_port = last;
  trial.listen_backlog = read_sysctl("net.core.somaxconn").value_or(0);
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

// Whether rings count as locked memory depends on the kernel (those from 5.12 to 6.13 do not
// count them, later ones do: io_create_region() in io_uring/memmap.c) and on CAP_IPC_LOCK in
// the first user namespace. With no locked memory allowed, a ring tells.
bool rings_are_locked() {
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  const rlimit none{0, limit.rlim_max};
  setrlimit(RLIMIT_MEMLOCK, &none);
  io_uring_params parameters{};
  const Fd ring(static_cast<int>(syscall(SYS_io_uring_setup, 8, &parameters)));
  const bool locked = !ring.valid() && errno == ENOMEM;
  setrlimit(RLIMIT_MEMLOCK, &limit);
  return locked;
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
  for (size_t i = 0; i < std::size(kWaits); ++i)
    trial.wait_errors[i] = kWaits[i].attempt() ? 0 : errno;
  trial.rings_are_locked = rings_are_locked();
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

// ---- The examinations -----------------------------------------------------------------------

Examination judge(bool good, Health otherwise, std::string observed, std::string needed,
                  std::string mend) {
  return {"", good ? Health::ok : otherwise, std::move(observed), std::move(needed),
          good ? "" : std::move(mend)};
}

Examination fine(std::string observed, std::string needed) {
  return judge(true, Health::ok, std::move(observed), std::move(needed), "");
}

int64_t descriptors_of(const HostFacts& facts, int64_t shards) {
  return divide_up(facts.connections, shards) * facts.descriptors_per_connection +
         kReservedDescriptors;
}

// The launcher holds the tables and channels of all shards: the more shards, the more of them.
int64_t launcher_descriptors(int64_t shards) {
  return shards * kLauncherDescriptors + kLauncherReserved;
}

// Raises the hard limit so far that `shards` are enough. setrlimit(2) refuses more than nr_open.
std::string raise_descriptors(const HostFacts& facts, int64_t shards) {
  const int64_t wanted = std::max(descriptors_of(facts, shards), launcher_descriptors(shards));
  const int64_t most = read_sysctl("fs.nr_open").value_or(kUnlimited);
  if (wanted <= most) return fmt::format("ulimit -Hn {}", wanted);
  return fmt::format("{} && ulimit -Hn {}", set_sysctl("fs.nr_open", wanted), wanted);
}

// Processes and, with SQPOLL, the survivors' kernel threads, which count like the user's own
// (create_io_thread() in kernel/fork.c).
int64_t processes_of(const HostFacts& facts) {
  const bool threads = facts.plan && facts.plan->ring == RingMode::sqpoll;
  // --watch blocking: a thread per connection.
  const bool blocking =
      std::any_of(facts.spec.watches.begin(), facts.spec.watches.end(),
                  [](Watch watch) { return watch_row(watch).engine == Engine::blocking; });
  return facts.shards * (threads ? 3 : 2) + 2 + (blocking ? facts.connections : 0);
}

Examination examine_plan(const HostFacts& facts) {
  const std::string needed = "a plan for these flags on this host";
  if (!facts.refused) {
    return fine(fmt::format("{} connections in {} shard{}, about {:.0f} s", facts.connections,
                            facts.shards, facts.shards == 1 ? "" : "s",
                            static_cast<double>(facts.plan->estimated_ns) / 1e9),
                needed);
  }
  const int64_t least = facts.spec.shards > 0
                            ? descriptors_of(facts, facts.spec.shards)
                            : kReservedDescriptors + facts.descriptors_per_connection;
  std::string mend = "change the flag that the message names";
  if (facts.host.descriptor_limit < least)
    mend = raise_descriptors(facts, std::max<int64_t>(1, facts.spec.shards));
  else if (!facts.host.net_admin && !facts.plan)
    mend = "run as root, or without --host-network";
  return judge(false, Health::bad, facts.refused->message(), needed, mend);
}

// Rows of the plan that this kernel or its settings deny, and what is done otherwise here.
Examination examine_rows(const HostFacts& facts) {
  const std::string needed = "what every row of mix x watch x probe x write path needs";
  if (!facts.plan) return fine("no plan, no rows", needed);
  std::map<std::string, int64_t> reasons;
  int64_t skipped = 0;
  for (const PlannedRow& row : facts.plan->rows) {
    if (!row.skipped.starts_with("needs ")) continue;  // who cannot survive is no lack of the host
    ++reasons[row.skipped];
    ++skipped;
  }
  if (skipped == 0)
    return fine(facts.plan->otherwise.empty()
                    ? "all there"
                    : fmt::format("{}", fmt::join(facts.plan->otherwise, "; ")),
                needed);
  std::vector<std::string> parts;
  for (const auto& [reason, rows] : reasons) parts.push_back(fmt::format("{} {}", rows, reason));
  parts.insert(parts.end(), facts.plan->otherwise.begin(), facts.plan->otherwise.end());
  return judge(false, Health::warning,
               fmt::format("{} of {} rows are skipped: {}", skipped, facts.plan->rows.size(),
                           fmt::join(parts, "; ")),
               needed, "name others, or boot a kernel that has it");
}

Examination examine_open_files(const HostFacts& facts) {
  const int64_t launcher = launcher_descriptors(facts.shards);
  const int64_t worker =
      facts.plan ? facts.plan->descriptors_needed : descriptors_of(facts, facts.shards);
  return judge(facts.host.descriptor_limit >= std::max(worker, launcher), Health::bad,
               fmt::format("{}", facts.host.descriptor_limit),
               fmt::format("{} in each of {} worker processes, {} in the launcher", worker,
                           2 * facts.shards, launcher),
               raise_descriptors(facts, std::max<int64_t>(1, facts.spec.shards)));
}

// dup(2) and open(2) fail with EMFILE at nr_open, whatever the limit says (expand_files() in
// fs/file.c), and setrlimit(2) with EPERM while the hard limit is above it: then the launcher
// cannot raise the soft one.
Examination examine_nr_open(const HostFacts& facts) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const int64_t worker =
      facts.plan ? facts.plan->descriptors_needed : descriptors_of(facts, facts.shards);
  const int64_t needed = std::max(worker, static_cast<int64_t>(limit.rlim_max));
  const auto most = read_sysctl("fs.nr_open");
  if (!most) return fine("cannot be read", fmt::format("{}", needed));
  return judge(*most >= needed, Health::bad, fmt::format("{}", *most),
               fmt::format("{}: {} by a worker, {} the hard limit of open files", needed, worker,
                           limit.rlim_max),
               set_sysctl("fs.nr_open", needed));
}

Examination examine_file_max(const HostFacts& facts) {
  const std::string in_use = read_first_line("/proc/sys/fs/file-nr");
  const auto most = read_sysctl("fs.file-max");
  const int64_t used = to_number(in_use).value_or(0);
  const int64_t own = 2 * facts.connections + 2 * kReservedDescriptors * facts.shards;
  const std::string needed =
      fmt::format("{}: {} in use and {} for this run", used + own, used, own);
  if (!most) return fine("cannot be read", needed);
  // alloc_empty_file() in fs/file_table.c asks for CAP_SYS_ADMIN in the first user namespace.
  const bool exempt = facts.spec.host_network && has_capability(CAP_SYS_ADMIN);
  return judge(exempt || *most >= used + own, Health::bad,
               fmt::format("{}{}", *most, exempt ? ", which CAP_SYS_ADMIN may exceed" : ""), needed,
               set_sysctl("fs.file-max", used + own + own / 10));
}

// The processes and threads that the kernel counts for this user (getrlimit(2), RLIMIT_NPROC).
int64_t tasks_of_user() {
  int64_t count = 0;
  std::error_code ignored;  // a process may end while the directory is read
  for (auto entry = std::filesystem::directory_iterator("/proc", ignored);
       !ignored && entry != std::filesystem::directory_iterator(); entry.increment(ignored)) {
    const std::string name = entry->path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string status = read_text(fmt::format("/proc/{}/status", name));
    if (field(status, "Uid") == static_cast<int64_t>(getuid()))
      count += field(status, "Threads").value_or(1);
  }
  return count;
}

Examination examine_processes(const HostFacts& facts) {
  const int64_t limit = soft_limit(RLIMIT_NPROC);
  const int64_t own = processes_of(facts), used = tasks_of_user();
  // copy_process() in kernel/fork.c: the host's root is never refused; other holders of these
  // capabilities lose them in a private namespace.
  const bool root = getuid() == 0 && in_first_user_namespace();
  const bool exempt = root || (facts.spec.host_network &&
                               (has_capability(CAP_SYS_RESOURCE) || has_capability(CAP_SYS_ADMIN)));
  const bool forked = facts.tried || facts.tried.error().error_number != EAGAIN;
  return judge(
      forked && (exempt || limit >= used + own), Health::bad,
      fmt::format("{}{}{}", limit_text(limit), exempt ? ", which this user may exceed" : "",
                  forked ? "" : "; fork: EAGAIN"),
      fmt::format("{}: {} in use by this user and {} for this run", used + own, used, own),
      fmt::format("ulimit -u {}", used + own + 64));
}

Examination examine_cgroup_processes(const HostFacts& facts) {
  constexpr CgroupFiles kVersions[] = {kPidsV1, kPidsV2};
  const int64_t own = processes_of(facts);
  const auto tightest = tightest_limit(kVersions);
  if (!tightest) return fine("no pids limit to be read", fmt::format("{} more", own));
  if (tightest->limit == kUnlimited) return fine("no limit", fmt::format("{} more", own));
  return judge(
      tightest->free >= own, Health::bad,
      fmt::format("{} of {} free ({})", std::max<int64_t>(0, tightest->free), tightest->limit,
                  tightest->file),
      fmt::format("{} more", own),
      fmt::format("echo {} > {}", tightest->limit - tightest->free + own + 64, tightest->file));
}

int64_t memory_of(const HostFacts& facts) {
  return facts.connections * (kKernelBytes + kOwnBytes) + facts.filled * kFilledConnectionBytes;
}
std::string memory_needed(const HostFacts& facts) {
  const std::string filled = fmt::format(", and {} for each of {} windows that are filled",
                                         kFilledConnectionBytes, facts.filled);
  return fmt::format("{} for {} connections: {} bytes in the kernel and {} of lastack's own each{}",
                     mib_up(memory_of(facts)), facts.connections, kKernelBytes, kOwnBytes,
                     facts.filled > 0 ? filled : "");
}

Examination examine_memory(const HostFacts& facts) {
  const auto available_kib = field(read_text("/proc/meminfo"), "MemAvailable");
  if (!available_kib) return fine("cannot be read", memory_needed(facts));
  const int64_t available = *available_kib * 1024;
  return judge(available >= memory_of(facts), Health::bad, mib(available) + " available",
               memory_needed(facts),
               lower_connections(available / (memory_of(facts) / facts.connections)));
}

// While its quota is used up, a cgroup does not run at all: up to a period (100 ms by default).
Examination examine_cpu_quota(const HostFacts&) {
  const std::string needed = "no quota: it stops the run, and that becomes latency";
  const CpuQuotas quotas = read_cpu_quotas();
  if (!quotas.tightest) return fine(quotas.known ? "no quota" : "no quota to be read", needed);
  const bool second = quotas.tightest->file.ends_with("cpu.max");
  return judge(false, Health::warning,
               fmt::format("{:.3g} CPUs ({})", quotas.tightest->cpus, quotas.tightest->file),
               needed, fmt::format("echo {} > {}", second ? "max" : "-1", quotas.tightest->file));
}

Examination examine_host_load(const HostFacts&) {
  const HostLoad load = measure_host_load();
  return judge(
      !load.busy(), Health::warning,
      fmt::format("{:.1f} other tasks run or wait, load average {:.2f}", load.others,
                  load.load_average),
      fmt::format("fewer than {:.1f}: half of the CPUs", 0.5 * static_cast<double>(load.cpus)),
      "wait until the host is quiet (top), or their work becomes latency");
}

Examination examine_cgroup_memory(const HostFacts& facts) {
  constexpr CgroupFiles kVersions[] = {kMemoryV1, kMemoryV2};
  const auto tightest = tightest_limit(kVersions);
  if (!tightest) return fine("no memory limit to be read", memory_needed(facts));
  if (tightest->limit == kUnlimited) return fine("no limit", memory_needed(facts));
  return judge(tightest->free >= memory_of(facts), Health::bad,
               fmt::format("{} of {} free ({})", mib(std::max<int64_t>(0, tightest->free)),
                           mib(tightest->limit), tightest->file),
               memory_needed(facts),
               fmt::format("echo {} > {}", tightest->limit - tightest->free + memory_of(facts),
                           tightest->file));
}

int64_t table_bytes_of(const HostFacts& facts) {
  return static_cast<int64_t>(
      table_bytes(static_cast<size_t>(facts.largest_shard), has_writers(facts.spec)));
}

// The tables and the result lie in files of memory, which are files to RLIMIT_FSIZE
// (shmem_file_write_iter(), inode_newsize_ok()).
Examination examine_file_size(const HostFacts& facts) {
  constexpr int64_t kResultBytes = 1 << 20, kEventBytes = 512;
  const int64_t table = table_bytes_of(facts);
  const int64_t needed = std::max(
      table, kResultBytes + (facts.spec.keep_events ? facts.connections : 0) * kEventBytes);
  const int64_t limit = soft_limit(RLIMIT_FSIZE);
  return judge(limit >= needed, limit < table ? Health::bad : Health::warning,
               limit == kUnlimited ? "no limit" : fmt::format("{} KiB", limit / 1024),
               fmt::format("{} KiB for the largest shard's table and the result", needed / 1024),
               "ulimit -f unlimited");
}

// What this process has now, a worker has, too; and its table, and threads with their stacks.
int64_t mapped_bytes(const HostFacts& facts, std::string_view of_this_process) {
  constexpr int64_t kThreadBytes = 64 * 1024;  // --watch blocking
  const bool blocking =
      std::any_of(facts.spec.watches.begin(), facts.spec.watches.end(),
                  [](Watch watch) { return watch_row(watch).engine == Engine::blocking; });
  return field(read_text("/proc/self/status"), of_this_process).value_or(0) * 1024 +
         (blocking ? facts.largest_shard * kThreadBytes : 0);
}

Examination examine_mappings(int resource, int64_t needed, std::string_view flag) {
  constexpr int64_t kSpare = 64 << 20;
  const int64_t limit = soft_limit(resource);
  return judge(
      limit >= needed + kSpare, limit < needed ? Health::bad : Health::warning,
      limit == kUnlimited ? "no limit" : mib(limit),
      fmt::format("{} in a worker process, and better {} more", mib_up(needed), mib(kSpare)),
      fmt::format("ulimit {} {}", flag, (needed + kSpare) / 1024));
}

Examination examine_address_space(const HostFacts& facts) {
  return examine_mappings(RLIMIT_AS, mapped_bytes(facts, "VmSize") + table_bytes_of(facts), "-v");
}

Examination examine_data(const HostFacts& facts) {
  return examine_mappings(RLIMIT_DATA, mapped_bytes(facts, "VmData"), "-d");
}

// setrlimit(2), RLIMIT_CPU: SIGXCPU at the soft limit, SIGKILL at the hard one. Whoever spins uses
// a CPU from the beginning to the end.
Examination examine_cpu_time(const HostFacts& facts) {
  const int64_t limit_s = soft_limit(RLIMIT_CPU);
  const int64_t needed_s = facts.plan ? facts.plan->longest_ns / 1'000'000'000 + 1 : 1;
  const bool spins = facts.plan && facts.plan->wait == Wait::spin;
  return judge(limit_s >= needed_s, spins ? Health::bad : Health::warning,
               limit_s == kUnlimited ? "no limit" : fmt::format("{} s", limit_s),
               fmt::format("{} s in each process, should it never wait", needed_s),
               fmt::format("ulimit -t {}", needed_s * 2));
}

// A ring as io_allocate_scq_urings() sizes it: whole pages of the queues and of the entries.
int64_t ring_bytes(int64_t completions) {
  constexpr int64_t kMostCompletions = 65536;  // IORING_MAX_CQ_ENTRIES
  constexpr int64_t kHeaderBytes = 512;        // struct io_rings, rounded up
  const auto entries = static_cast<int64_t>(
      std::bit_ceil(static_cast<uint64_t>(std::min(completions, kMostCompletions))));
  const int64_t submissions = RingSetup().submission_entries;
  const auto page = static_cast<int64_t>(sysconf(_SC_PAGESIZE));
  const int64_t queues = kHeaderBytes + entries * static_cast<int64_t>(sizeof(io_uring_cqe)) +
                         submissions * static_cast<int64_t>(sizeof(uint32_t));
  const int64_t requests = submissions * static_cast<int64_t>(sizeof(io_uring_sqe));
  return (divide_up(queues, page) + divide_up(requests, page)) * page;
}

// Each worker's ring holds a completion of every request at once, and its smaller ring for
// establishing is given back in the kernel's own time, so both count.
int64_t locked_bytes(const HostFacts& facts) {
  constexpr int64_t kBufferRingBytes = 64 * 1024;
  const unsigned requests = facts.spec.traffic.load == Load::idle ? 1 : 2;
  int64_t worker =
      ring_bytes(ring_completions(static_cast<size_t>(facts.largest_shard), requests)) +
      ring_bytes(kEstablishCompletions);
  for (const Watch watch : facts.spec.watches)
    if (watch == Watch::recv_multishot) worker += kBufferRingBytes;
  return 2 * facts.shards * worker;
}
std::string raise_locked_memory(const HostFacts& facts) {
  constexpr int64_t kSpare = 8 << 20;  // what counts is the sum over all processes of the user
  return fmt::format("ulimit -l {}", (locked_bytes(facts) + kSpare) / 1024);
}

Examination examine_locked_memory(const HostFacts& facts) {
  if (!facts.trial.rings_are_locked)
    return fine("not limited: rings do not count as locked memory here", "nothing");
  const int64_t needed = locked_bytes(facts), limit = soft_limit(RLIMIT_MEMLOCK);
  return judge(
      limit >= needed, Health::bad,
      limit == kUnlimited ? "no limit" : fmt::format("{} KiB", limit / 1024),
      fmt::format("{} KiB for the rings of {} worker processes", needed / 1024, 2 * facts.shards),
      raise_locked_memory(facts));
}

// What the rings lock at least, all of them at once: those that wait for the acts and findings.
int64_t least_locked_bytes(const RunSpec& spec, const Plan& plan) {
  const bool traffic = spec.traffic.load != Load::idle;
  int64_t sum = 0;
  for (size_t shard = 0; shard < plan.shard_connections.size(); ++shard) {
    const bool uring = plan.groups[plan.shard_groups[shard]].engine == Engine::io_uring;
    if (uring) sum += ring_bytes(ring_completions(plan.shard_connections[shard], traffic ? 2 : 1));
    sum += ring_bytes(ring_completions(0, 0));  // the victims'
    sum -= 2 * sysconf(_SC_PAGESIZE);           // what may have been rounded up
  }
  return sum;
}

// Idle connections hold next to no pages; data in flight does, and windows that are filled.
Examination examine_tcp_memory(const HostFacts& facts) {
  const int64_t page = sysconf(_SC_PAGESIZE);
  const int64_t filled = divide_up(facts.filled * kFilledConnectionBytes, page);
  const int64_t needed = divide_up(facts.connections, 8) + filled;
  std::string needed_text = fmt::format("{} pages below the pressure mark", needed);
  if (filled > 0)
    needed_text += fmt::format(
        ", of which {} are for {} windows that are filled; with fewer those rows are skipped",
        filled, facts.filled);
  const int64_t used = divide_up(tcp_memory_bytes().value_or(0), page);
  const int64_t mark = tcp_memory_pressure_bytes() / page;
  return judge(mark - used >= needed, Health::warning,
               fmt::format("{} pages, {} of them in use", mark, used), needed_text,
               fmt::format("sysctl -w net.ipv4.tcp_mem=\"{} {} {}\"", (used + needed) / 2,
                           used + needed, (used + needed) * 2));
}

// Where the ports and the backlog were read, for an observed value.
std::string_view seen_where(const HostFacts& facts) {
  if (facts.spec.host_network) return "";
  return facts.trial.entered ? " in the private namespace"
                             : " here; the private namespace could not be tried";
}

// The connecting end binds no address, so its ports are counted per listening port; from half of
// the range on, __inet_hash_connect() searches long for a free one.
Examination examine_ports(const HostFacts& facts) {
  const Trial& trial = facts.trial;
  const int64_t ports = std::max<int64_t>(1, trial.last_port - trial.first_port + 1);
  const int64_t most = ports * kMostListeners;
  const int64_t listeners = std::clamp<int64_t>(
      divide_up(facts.largest_shard, std::max<int64_t>(1, ports * 2 / 5)), 1, kMostListeners);
  const bool listeners_fit = facts.shards * listeners <= ports / 2;
  const bool fits = facts.largest_shard <= most && listeners_fit;
  const bool quick = facts.largest_shard <= most / 2;
  const std::string observed = fmt::format("{}-{}{}: {} connections per shard", trial.first_port,
                                           trial.last_port, seen_where(facts), most);
  const std::string needed = fmt::format(
      "{} connections in the largest shard and better twice as many, {} listening ports",
      facts.largest_shard, facts.shards * listeners);
  constexpr int64_t kWidest = 65535 - 1024 + 1;
  const bool wider_helps = facts.spec.host_network && ports < kWidest &&
                           facts.largest_shard <= kWidest * kMostListeners / 2;
  const int64_t enough_shards = divide_up(facts.connections, most / 2);
  std::string mend = fmt::format("--shards {}", enough_shards);
  if (!listeners_fit) mend = raise_descriptors(facts, 1);
  if (wider_helps) mend = "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"";
  return judge(fits && quick, fits ? Health::warning : Health::bad, observed, needed, mend);
}

Examination examine_backlog(const HostFacts& facts) {
  return judge(facts.trial.listen_backlog >= kLeastBacklog, Health::warning,
               fmt::format("{}{}", facts.trial.listen_backlog, seen_where(facts)),
               fmt::format("{}", kLeastBacklog), set_sysctl("net.core.somaxconn", 4096));
}

// io_uring_allowed() in io_uring/io_uring.c; Documentation/admin-guide/sysctl/kernel.rst.
Examination examine_ring_sysctl(const HostFacts& facts) {
  const int64_t disabled = read_sysctl("kernel.io_uring_disabled").value_or(-1);
  const int64_t group = read_sysctl("kernel.io_uring_group").value_or(-1);
  std::string needed = "0, or 1 for members of kernel.io_uring_group";
  if (facts.spec.host_network) needed += " and CAP_SYS_ADMIN";
  if (disabled < 0) return fine("absent: this kernel has no such switch", needed);
  const bool allowed =
      disabled == 0 ||
      (disabled == 1 &&
       (in_group(group) || (facts.spec.host_network && has_capability(CAP_SYS_ADMIN))));
  const std::string observed = disabled == 1 ? fmt::format("1, kernel.io_uring_group is {}", group)
                                             : fmt::format("{}", disabled);
  return judge(allowed, Health::bad, observed, needed, set_sysctl("kernel.io_uring_disabled", 0));
}

// proc(5): 2 is a filter, as container engines set one. They answer EPERM or ENOSYS.
bool has_seccomp_filter() { return field(read_text("/proc/self/status"), "Seccomp") == 2; }

std::string loosen_seccomp(std::string_view calls) {
  return fmt::format(
      "run the container with --security-opt seccomp=unconfined or a profile that allows {}",
      calls);
}

// When there was no child to try with.
std::string mend_trial(const HostFacts& facts) {
  switch (facts.tried.error().error_number) {
    case EAGAIN:
      return "mend what `processes` and `cgroup-pids` say, then ask again";
    case EMFILE:
    case ENFILE:
      return raise_descriptors(facts, 1);
    default:
      return loosen_seccomp("fork, unshare, io_uring_setup");
  }
}

Examination examine_ring(const HostFacts& facts) {
  const std::string needed = "io_uring_setup succeeds, and io_uring_enter completes a request";
  if (!facts.tried)
    return judge(false, Health::bad, facts.tried.error().message(), needed, mend_trial(facts));
  const bool set_up = facts.trial.ring_error == 0;
  const int failed = set_up ? facts.trial.enter_error : facts.trial.ring_error;
  const bool filtered = has_seccomp_filter();
  const auto disabled = read_sysctl("kernel.io_uring_disabled");
  std::string mend = loosen_seccomp("io_uring_setup, io_uring_enter, io_uring_register");
  if (failed == EPERM && disabled.value_or(0) != 0)
    mend = set_sysctl("kernel.io_uring_disabled", 0);
  // Where the sysctl is, io_uring is built in, and only a filter can deny it.
  if (failed == ENOSYS && !disabled && !filtered) mend = "boot a kernel with CONFIG_IO_URING=y";
  if (failed == ENOMEM) mend = raise_locked_memory(facts);
  return judge(failed == 0, Health::bad,
               failed == 0
                   ? "a ring was set up, and completed a request"
                   : fmt::format("{}: {}{}", set_up ? "io_uring_enter" : "io_uring_setup",
                                 errno_name(failed), filtered ? ", under a seccomp filter" : ""),
               needed, mend);
}

// The calls that wait, but for those of io_uring.
Examination examine_waits(const HostFacts& facts) {
  const std::string needed = "the calls by which processes and watches of this run wait succeed";
  if (!facts.tried)
    return judge(false, Health::bad, facts.tried.error().message(), needed, mend_trial(facts));
  std::vector<std::string> observed, refused;
  Health health = Health::ok;
  for (size_t i = 0; i < std::size(kWaits); ++i) {
    const int failed = facts.trial.wait_errors[i];
    const WaitRow& row = kWaits[i];
    if (failed == 0 || !row.used(facts.spec)) continue;
    refused.emplace_back(row.name);
    const std::string instead =
        row.stand_in.empty() ? "" : fmt::format(", {} will stand in for it", row.stand_in);
    observed.push_back(
        fmt::format("{} ({}): {}{}", row.name, row.user, errno_name(failed), instead));
    health = row.stand_in.empty()    ? Health::bad
             : health == Health::bad ? Health::bad
                                     : Health::warning;
  }
  if (refused.empty()) return fine("all of them do", needed);
  return judge(false, health, fmt::format("{}", fmt::join(observed, "; ")), needed,
               loosen_seccomp(fmt::format("{}", fmt::join(refused, ", "))));
}

// A release is a hint only, as distributions backport; a ring that can be set up is proof.
Examination examine_kernel(const HostFacts& facts) {
  constexpr int kMajor = 6, kMinor = 1;  // IORING_SETUP_DEFER_TASKRUN
  const std::string release = kernel_release();
  int major = 0, minor = 0;
  std::sscanf(release.c_str(), "%d.%d", &major, &minor);
  const bool recent = std::pair(major, minor) >= std::pair(kMajor, kMinor);

  const auto feature = [&](const std::string& key) {
    const auto found = facts.ring_features.find(key);
    return found != facts.ring_features.end() && found->second;
  };
  // Victims and establishing use `defer` whatever the survivors use.
  std::vector<std::string> missing;
  for (const RingModeRow& row : ring_modes()) {
    const bool wanted = row.id == RingMode::defer || row.id == facts.spec.ring;
    if (wanted && !feature(fmt::format("mode-{}", row.name)))
      missing.push_back(fmt::format("--ring {}", row.name));
  }
  // Nothing probes the requests of a watch; multishot receives are the youngest of them.
  for (const Watch watch : facts.spec.watches)
    if (watch == Watch::recv_multishot && major < 6)
      missing.push_back(fmt::format("--watch {}", watch_row(watch).name));

  const bool probed = feature("io_uring");
  std::string observed = fmt::format("Linux {}", release);
  if (!probed) observed += ", not probed as no ring can be set up";
  if (probed && !missing.empty()) observed += fmt::format(", without {}", fmt::join(missing, ", "));
  const Health health = probed ? (missing.empty() ? Health::warning : Health::bad)
                               : (recent ? Health::warning : Health::bad);
  return judge(recent && probed && missing.empty(), health, observed,
               fmt::format("Linux {}.{}, for DEFER_TASKRUN", kMajor, kMinor),
               recent && !probed ? "mend what `io-uring` or `locked-memory` says, then ask again"
               : recent          ? "--ring defer --watch recv"
                                 : fmt::format("boot Linux {}.{} or newer", kMajor, kMinor));
}

// namespaces(7): limits per user, of each kind of namespace.
Examination examine_namespace_limits(const HostFacts&) {
  constexpr std::string_view kNames[] = {"user.max_user_namespaces", "user.max_net_namespaces"};
  std::vector<std::string> observed, mends;
  for (const std::string_view name : kNames) {
    const auto most = read_sysctl(std::string(name));
    observed.push_back(fmt::format("{} {}", name, most ? limit_text(*most) : "absent"));
    if (most && *most < 1) mends.push_back(set_sysctl(name, 15000));
  }
  return judge(mends.empty(), Health::bad, fmt::format("{}", fmt::join(observed, ", ")),
               "at least 1 of each", fmt::format("{}", fmt::join(mends, " && ")));
}

// A switch that keeps ordinary users from making user namespaces. CAP_SYS_ADMIN is exempt, and
// so is a program that a security profile allows it: the trial knows.
Examination examine_namespace_switch(const HostFacts& facts, std::string_view name,
                                     int64_t allows) {
  const auto value = read_sysctl(std::string(name));
  const std::string needed = fmt::format("{}, or CAP_SYS_ADMIN", allows);
  if (!value) return fine("absent: this kernel has no such switch", needed);
  const bool exempt = *value != allows && (has_capability(CAP_SYS_ADMIN) || facts.trial.entered);
  return judge(*value == allows || exempt, Health::bad,
               fmt::format("{}{}", *value, exempt ? ", which this program may pass" : ""), needed,
               set_sysctl(name, allows));
}

constexpr char kDebianSwitch[] = "kernel.unprivileged_userns_clone";
constexpr char kUbuntuSwitch[] = "kernel.apparmor_restrict_unprivileged_userns";

Examination examine_debian_switch(const HostFacts& facts) {
  return examine_namespace_switch(facts, kDebianSwitch, 1);
}
Examination examine_ubuntu_switch(const HostFacts& facts) {
  return examine_namespace_switch(facts, kUbuntuSwitch, 0);
}

Examination examine_private_namespace(const HostFacts& facts) {
  const std::string needed = "unshare of a user and a network namespace succeeds";
  if (!facts.tried)
    return judge(false, Health::bad, facts.tried.error().message(), needed, mend_trial(facts));
  const Trial& trial = facts.trial;
  // Without a filter what is left is a chroot, a user who is not mapped, or a security module.
  std::string mend = has_seccomp_filter() ? loosen_seccomp("unshare") : "--host-network";
  switch (trial.namespace_error) {  // unshare(2), user_namespaces(7)
    case ENOSPC:
    case EUSERS:
      mend = "sysctl -w user.max_user_namespaces=15000 user.max_net_namespaces=15000";
      break;
    case EINVAL:
    case ENOSYS:
      mend = "boot a kernel with CONFIG_USER_NS=y and CONFIG_NET_NS=y, or choose --host-network";
      break;
    default:  // mostly EPERM
      if (read_sysctl(kDebianSwitch) == 0) mend = set_sysctl(kDebianSwitch, 1);
      if (read_sysctl(kUbuntuSwitch).value_or(0) > 0) mend = set_sysctl(kUbuntuSwitch, 0);
      break;
  }
  return judge(trial.entered, Health::bad,
               trial.entered ? "a private namespace was entered" : trial.namespace_text, needed,
               mend);
}

Examination examine_private_sysctls(const HostFacts& facts) {
  const std::string needed = "may be written in the private namespace";
  if (!facts.trial.entered) return fine("not tried: there is no private namespace", needed);
  const std::string failed = facts.trial.sysctl_text;
  return judge(failed.empty(), Health::warning, failed.empty() ? "written" : failed, needed,
               "run the container with --security-opt systempaths=unconfined");
}

Examination examine_net_admin(const HostFacts& facts) {
  std::vector<std::string_view> skipped;
  for (const Weight& weight : effective_mix(facts.spec))
    if (strategies()[weight.strategy].need == Need::net_admin)
      skipped.push_back(strategies()[weight.strategy].name);
  if (skipped.empty()) return fine("not needed", "nothing: no strategy of the mix asks for it");
  const bool admin = facts.host.net_admin;
  return judge(admin, Health::warning,
               admin ? "yes" : fmt::format("no: {} will be skipped", fmt::join(skipped, ", ")),
               fmt::format("for {}", fmt::join(skipped, ", ")),
               "run as root, or without --host-network");
}

// tcp_too_many_orphans(): above it, tcp_close() sends an RST where a FIN was due (tcp(7)).
Examination examine_orphans(const HostFacts& facts) {
  const auto most = read_sysctl("net.ipv4.tcp_max_orphans");
  const std::string needed = fmt::format("{}", facts.connections);
  // Only the host's own network namespace shows it, yet it holds for all.
  if (!most) return fine("not visible in this network namespace", needed);
  return judge(*most >= facts.connections, Health::warning,
               fmt::format("{}, host-wide: from there on a FIN may turn into an RST", *most),
               needed, set_sysctl("net.ipv4.tcp_max_orphans", facts.connections));
}

Examination examine_processors(const HostFacts& facts) {
  const auto usable = static_cast<int64_t>(facts.host.cpus.size());
  const int64_t for_survivors = std::max<int64_t>(1, usable - std::max<int64_t>(1, usable / 2));
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  const bool spins = facts.spec.wait == Wait::spin || facts.spec.ring == RingMode::sqpoll;
  const bool fell_back =
      facts.plan && (facts.plan->wait != facts.spec.wait || facts.plan->ring != facts.spec.ring);
  const bool alone = usable < 2;                      // victim and survivor share it
  const bool crowded = facts.shards > for_survivors;  // survivors wait for one another
  const std::string observed =
      fmt::format("{} usable, {} of them for {} survivors' processes{}", usable, for_survivors,
                  facts.shards, fell_back ? ": what should spin will block" : "");
  // Rows that can share no processes have a pair each, whatever the limits are.
  const auto groups = static_cast<int64_t>(facts.plan ? facts.plan->groups.size() : 1);
  std::string mend = raise_descriptors(facts, for_survivors);
  if (facts.spec.shards > 1)
    mend = fmt::format("--shards {}", std::max<int64_t>(1, for_survivors / groups));
  else if (groups > for_survivors)
    mend = fmt::format("{} more CPUs, or fewer engines and kinds of paths in one run",
                       groups - for_survivors);
  if (fell_back && !crowded) mend = "--wait block --ring defer";
  if (alone && online >= 2) mend = fmt::format("taskset -cp 0-{} $$", online - 1);
  if (alone && online < 2) mend = spins ? "--wait block --ring defer" : "add a CPU";
  return judge(!alone && !crowded && !fell_back, Health::warning, observed,
               fmt::format("2, and {} for survivors", facts.shards), mend);
}

// A connection on loopback is one entry of the table (nf_conntrack-sysctl.rst); when it is full
// packets are dropped. A private namespace has no rules, so nothing is tracked there.
Examination examine_conntrack(const HostFacts& facts) {
  const auto most = read_sysctl("net.netfilter.nf_conntrack_max");
  const int64_t used = read_sysctl("net.netfilter.nf_conntrack_count").value_or(0);
  const int64_t needed = used + facts.connections;
  const std::string needed_text =
      fmt::format("{}: {} in use and {} for this run", needed, used, facts.connections);
  if (!most) return fine("no connection tracking", needed_text);
  return judge(*most >= needed, Health::warning, fmt::format("{}", *most), needed_text,
               set_sysctl("net.netfilter.nf_conntrack_max", needed));
}

// Above it a connection leaves no TIME_WAIT behind (ip-sysctl.rst, tcp_time_wait()).
Examination examine_time_wait(const HostFacts& facts) {
  const auto most = read_sysctl("net.ipv4.tcp_max_tw_buckets");
  const std::string needed = fmt::format("{}", facts.connections);
  if (!most) return fine("cannot be read", needed);
  return judge(*most >= facts.connections, Health::warning, fmt::format("{}", *most), needed,
               set_sysctl("net.ipv4.tcp_max_tw_buckets", facts.connections));
}

constexpr ExaminationRow kRows[] = {
    {"plan", "whether the run can be planned on this host", true, true, examine_plan},
    {"rows", "what the kernel lacks for some of the rows", true, true, examine_rows},
    {"open-files", "hard limit of open files per process (RLIMIT_NOFILE)", true, true,
     examine_open_files},
    {"fs.nr_open", "the most that a process's limit of open files may be", true, true,
     examine_nr_open},
    {"fs.file-max", "open files of the whole host", true, true, examine_file_max},
    {"processes", "processes and threads of this user (RLIMIT_NPROC)", true, true,
     examine_processes},
    {"cgroup-pids", "processes and threads of the control group", true, true,
     examine_cgroup_processes},
    {"memory", "memory that is available (MemAvailable in /proc/meminfo)", true, true,
     examine_memory},
    {"cgroup-memory", "memory that the control group may use", true, true, examine_cgroup_memory},
    {"file-size", "the largest file, shared memory included (RLIMIT_FSIZE)", true, true,
     examine_file_size},
    {"address-space", "mappings of a process (RLIMIT_AS)", true, true, examine_address_space},
    {"data", "private memory of a process (RLIMIT_DATA)", true, true, examine_data},
    {"cpu-time", "CPU time of a process (RLIMIT_CPU)", true, true, examine_cpu_time},
    {"locked-memory", "memory of rings, of all of this user's processes (RLIMIT_MEMLOCK)", true,
     true, examine_locked_memory},
    {"net.ipv4.tcp_mem",
     "pages for the data of all TCP connections of the host, up to the pressure mark", true, true,
     examine_tcp_memory},
    {"ports", "ephemeral ports (net.ipv4.ip_local_port_range) times listening ports", true, true,
     examine_ports},
    {"net.core.somaxconn", "connections that may wait to be accepted", true, true, examine_backlog},
    {"kernel.io_uring_disabled", "who may use io_uring", true, true, examine_ring_sysctl},
    {"io-uring", "an io_uring, tried where the run will be", true, true, examine_ring},
    {"waits", "the calls that wait for sockets, timers and processes, tried", true, true,
     examine_waits},
    {"kernel", "what --ring and --watch need of the kernel's io_uring", true, true, examine_kernel},
    {"namespace-limits", "user and network namespaces per user", true, false,
     examine_namespace_limits},
    {kDebianSwitch, "whether ordinary users may make user namespaces (Debian, Ubuntu)", true, false,
     examine_debian_switch},
    {kUbuntuSwitch, "whether AppArmor takes the rights out of user namespaces (Ubuntu)", true,
     false, examine_ubuntu_switch},
    {"private-namespace", "a private user and network namespace, tried", true, false,
     examine_private_namespace},
    {"private-sysctls", "the settings that make hosts comparable, tried", true, false,
     examine_private_sysctls},
    {"net-admin", "CAP_NET_ADMIN over the host's network, tried", false, true, examine_net_admin},
    {"net.ipv4.tcp_max_orphans", "closed sockets whose FIN is not yet acknowledged", true, true,
     examine_orphans},
    {"cpus", "CPUs for victims and survivors", true, true, examine_processors},
    {"host-load", "what else the host's CPUs do just now", true, true, examine_host_load},
    {"cgroup-cpu", "the quota of CPU time that a control group may use", true, true,
     examine_cpu_quota},
    {"net.netfilter.nf_conntrack_max", "connections that netfilter tracks", false, true,
     examine_conntrack},
    {"net.ipv4.tcp_max_tw_buckets", "connections in TIME_WAIT", false, true, examine_time_wait},
};

HostFacts read_host_facts(const RunSpec& spec) {
  const Host host = this_host(spec);
  const Result<Plan> plan = make_plan(spec, host);
  Status refused = check_spec(spec);
  if (!refused && !plan) refused = plan.error();
  const int64_t shards = plan ? static_cast<int64_t>(plan->shard_connections.size())
                              : std::max<int64_t>(1, spec.shards);
  const Result<Trial> tried = try_in_child(spec.host_network);
  Trial trial;
  if (tried) trial = *tried;
  if (!tried) read_network(trial);
  // Not before it is known to be harmless: a filter may kill whoever asks for a ring.
  std::map<std::string, bool> features;
  if (tried && trial.ring_error == 0 && trial.enter_error == 0) features = probe_ring_features();
  return {spec,
          host,
          plan,
          refused,
          all_connections(spec),
          shards,
          divide_up(all_connections(spec), shards),
          descriptors_per_connection(spec, host),
          filled_connections(spec, host),
          tried,
          trial,
          features};
}

}  // namespace

Status lacks_memory(const RunSpec& spec, const Plan& plan) {
  const auto shards = static_cast<int64_t>(plan.shard_connections.size());
  const int64_t connections = all_connections(spec);
  Trial trial;
  trial.entered = trial.rings_are_locked = true;
  const HostFacts facts{.spec = spec,
                        .host = {},
                        .plan = plan,
                        .refused = {},
                        .connections = connections,
                        .shards = shards,
                        .largest_shard = divide_up(connections, shards),
                        .descriptors_per_connection = 1,
                        .filled = plan.filled_connections,
                        .tried = trial,
                        .trial = trial,
                        .ring_features = {}};
  const auto refuse = [](std::string_view name, const Examination& bad) -> Status {
    if (bad.health != Health::bad) return std::nullopt;
    return plain_error(
        fmt::format("{} is {}, must be {}; mend: {}", name, bad.observed, bad.needed, bad.mend));
  };
  if (soft_limit(RLIMIT_MEMLOCK) < least_locked_bytes(spec, plan) && rings_are_locked())
    return refuse("locked-memory", examine_locked_memory(facts));
  // Not all of a connection's kernel memory is there before its first byte, and what others hold
  // may go to the swap.
  const std::string memory = read_text("/proc/meminfo");
  const auto available_kib = field(memory, "MemAvailable");
  const int64_t swap_kib = field(memory, "SwapFree").value_or(0);
  if (available_kib && (*available_kib + swap_kib) * 1024 < memory_of(facts) / 4 * 3)
    return refuse("memory", examine_memory(facts));
  return std::nullopt;
}

std::span<const ExaminationRow> examination_rows() { return kRows; }

std::vector<Examination> examine_host(const RunSpec& spec) {
  const HostFacts facts = read_host_facts(spec);
  std::vector<Examination> examinations;
  for (const ExaminationRow& row : examination_rows()) {
    if (spec.host_network ? !row.in_host_network : !row.in_private) continue;
    examinations.push_back(row.examine(facts));
    examinations.back().name = row.name;
  }
  return examinations;
}

bool healthy(const std::vector<Examination>& examinations) {
  return std::none_of(examinations.begin(), examinations.end(), [](const Examination& examination) {
    return examination.health == Health::bad;
  });
}

}  // namespace lastack
