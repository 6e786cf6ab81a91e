#include "doctor/doctor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/capability.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "base/file.h"
#include "base/proc.h"
#include "doctor/cgroup.h"
#include "doctor/rights.h"
#include "doctor/trial.h"
#include "ring/ring.h"
#include "shard/establish.h"
#include "shard/limits.h"

namespace lastack::doctor {
namespace {

constexpr int64_t kLeastBacklog = 1024;  // connects come 64 at a time, per shard

// Bytes that are needed are rounded up, bytes that are there are rounded down.
std::string mib(int64_t bytes) { return fmt::format("{} MiB", bytes / (1 << 20)); }
std::string mib_up(int64_t bytes) { return mib(bytes + (1 << 20) - 1); }

std::string limit_text(int64_t limit) {
  return limit == kUnlimited ? "no limit" : fmt::format("{}", limit);
}

std::string number_text(std::optional<int64_t> number) {
  return number ? fmt::format("{}", *number) : "an unknown number";
}

// Getting on with a limit that cannot be raised.
std::string lower_connections(int64_t most) {
  return most < 1 ? "add memory" : fmt::format("--connections {}", most);
}

std::string set_sysctl(std::string_view name, int64_t value) {
  return fmt::format("sysctl -w {}={}", name, value);
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

// Raises the hard limit so far that `shards` are enough. setrlimit(2) refuses more than nr_open.
std::string raise_descriptors(const HostFacts& facts, const Demand& demand, int64_t shards) {
  const int64_t wanted =
      std::max(descriptors_of(demand, shards), launcher_descriptors(shards, demand.networks));
  const int64_t most = facts.sysctls.nr_open.value_or(kUnlimited);
  if (wanted <= most) return fmt::format("ulimit -Hn {}", wanted);
  return fmt::format("{} && ulimit -Hn {}", set_sysctl("fs.nr_open", wanted), wanted);
}

Examination examine_plan(const HostFacts& facts, const Demand& demand) {
  const std::string needed = "a plan for these flags on this host";
  if (!demand.refused) {
    return fine(fmt::format("{} connections in {} shard{}, about {:.0f} s", demand.connections,
                            demand.shards, demand.shards == 1 ? "" : "s",
                            static_cast<double>(demand.plan->estimated_ns) / 1e9),
                needed);
  }
  const int64_t least = demand.spec.shards > 0
                            ? descriptors_of(demand, demand.spec.shards)
                            : kReservedDescriptors + demand.descriptors_per_connection;
  std::string mend = "change the flag that the message names";
  if (facts.host.descriptor_limit < least)
    mend = raise_descriptors(facts, demand, std::max<int64_t>(1, demand.spec.shards));
  else if (!facts.host.net_admin && !demand.plan)
    mend = "run as root, or without --host-network";
  return judge(false, Health::bad, demand.refused->message(), needed, mend);
}

// Rows of the plan that this kernel or its settings deny, and what is done otherwise here.
Examination examine_rows(const HostFacts&, const Demand& demand) {
  const std::string needed = "what every row of mix x watch x probe x write path needs";
  if (!demand.plan) return fine("no plan, no rows", needed);
  std::map<std::string, int64_t> reasons;
  int64_t skipped = 0;
  for (const PlannedRow& row : demand.plan->rows) {
    if (!row.skipped.starts_with("needs ")) continue;  // who cannot survive is no lack of the host
    ++reasons[row.skipped];
    ++skipped;
  }
  if (skipped == 0)
    return fine(demand.plan->otherwise.empty()
                    ? "all there"
                    : fmt::format("{}", fmt::join(demand.plan->otherwise, "; ")),
                needed);
  std::vector<std::string> parts;
  for (const auto& [reason, rows] : reasons) parts.push_back(fmt::format("{} {}", rows, reason));
  parts.insert(parts.end(), demand.plan->otherwise.begin(), demand.plan->otherwise.end());
  return judge(false, Health::warning,
               fmt::format("{} of {} rows are skipped: {}", skipped, demand.plan->rows.size(),
                           fmt::join(parts, "; ")),
               needed, "name others, or boot a kernel that has it");
}

Examination examine_open_files(const HostFacts& facts, const Demand& demand) {
  const int64_t launcher = launcher_descriptors(demand.shards, demand.networks);
  const int64_t worker = worker_descriptors(demand);
  return judge(facts.host.descriptor_limit >= std::max(worker, launcher), Health::bad,
               fmt::format("{}", facts.host.descriptor_limit),
               fmt::format("{} in each of {} worker processes, {} in the launcher", worker,
                           2 * demand.shards, launcher),
               raise_descriptors(facts, demand, std::max<int64_t>(1, demand.spec.shards)));
}

// dup(2) and open(2) fail with EMFILE at nr_open, whatever the limit says (expand_files() in
// fs/file.c), and setrlimit(2) with EPERM while the hard limit is above it: then the launcher
// cannot raise the soft one.
Examination examine_nr_open(const HostFacts& facts, const Demand& demand) {
  const int64_t worker = worker_descriptors(demand);
  const int64_t needed = std::max(worker, facts.limits.open_files_hard);
  const auto most = facts.sysctls.nr_open;
  if (!most) return fine("cannot be read", fmt::format("{}", needed));
  return judge(*most >= needed, Health::bad, fmt::format("{}", *most),
               fmt::format("{}: {} by a worker, {} the hard limit of open files", needed, worker,
                           facts.limits.open_files_hard),
               set_sysctl("fs.nr_open", needed));
}

Examination examine_file_max(const HostFacts& facts, const Demand& demand) {
  const auto most = facts.sysctls.file_max;
  const int64_t used = facts.sysctls.files_in_use.value_or(0);
  const int64_t own = files_of(demand);
  const std::string needed = fmt::format("{}: {} in use and {} for this run", used + own,
                                         number_text(facts.sysctls.files_in_use), own);
  if (!most) return fine("cannot be read", needed);
  // alloc_empty_file() in fs/file_table.c asks for CAP_SYS_ADMIN in the first user namespace.
  const bool exempt = demand.spec.host_network && has_capability(facts.rights, CAP_SYS_ADMIN);
  return judge(exempt || *most >= used + own, Health::bad,
               fmt::format("{}{}", *most, exempt ? ", which CAP_SYS_ADMIN may exceed" : ""), needed,
               set_sysctl("fs.file-max", used + own + own / 10));
}

Examination examine_processes(const HostFacts& facts, const Demand& demand) {
  const int64_t limit = facts.limits.processes;
  const int64_t own = processes_of(demand), used = facts.tasks_of_user.value_or(0);
  // copy_process() in kernel/fork.c: the host's root is never refused; other holders of these
  // capabilities lose them in a private namespace.
  const bool exempt = facts.rights.is_root() || (demand.spec.host_network &&
                                                 (has_capability(facts.rights, CAP_SYS_RESOURCE) ||
                                                  has_capability(facts.rights, CAP_SYS_ADMIN)));
  const bool forked = !facts.untried || facts.untried->error_number != EAGAIN;
  return judge(
      forked && (exempt || limit >= used + own), Health::bad,
      fmt::format("{}{}{}", limit_text(limit), exempt ? ", which this user may exceed" : "",
                  forked ? "" : "; fork: EAGAIN"),
      fmt::format("{}: {} in use by this user and {} for this run", used + own,
                  number_text(facts.tasks_of_user), own),
      fmt::format("ulimit -u {}", used + own + 64));
}

int64_t free_of(const CgroupLimit& limit) {
  return limit.limit == kUnlimited ? kUnlimited : limit.limit - limit.used.value_or(0);
}

// What control groups leave. Each limit that is short is to be raised, so that `needed` and `spare`
// fit.
Examination examine_limits(std::span<const CgroupLimit> limits, int64_t needed, int64_t spare,
                           std::string_view what, const std::string& needed_text,
                           std::string (*text)(int64_t amount)) {
  if (limits.empty()) return fine(fmt::format("no {} limit to be read", what), needed_text);
  const auto tightest = std::min_element(
      limits.begin(), limits.end(),
      [](const CgroupLimit& a, const CgroupLimit& b) { return free_of(a) < free_of(b); });
  if (tightest->limit == kUnlimited) return fine("no limit", needed_text);
  std::vector<std::string> mends;
  for (const CgroupLimit& limit : limits)
    if (free_of(limit) < needed)
      mends.push_back(
          fmt::format("echo {} > {}", limit.used.value_or(0) + needed + spare, limit.file));
  const std::string observed =
      tightest->used
          ? fmt::format("{} of {} free ({})", text(std::max<int64_t>(0, free_of(*tightest))),
                        text(tightest->limit), tightest->file)
          : fmt::format("{}, and what is in use cannot be read ({})", text(tightest->limit),
                        tightest->file);
  return judge(mends.empty(), Health::bad, observed, needed_text,
               fmt::format("{}", fmt::join(mends, " && ")));
}

Examination examine_cgroup_processes(const HostFacts& facts, const Demand& demand) {
  const int64_t own = processes_of(demand);
  return examine_limits(facts.process_limits, own, 64, "pids", fmt::format("{} more", own),
                        [](int64_t count) { return fmt::format("{}", count); });
}

std::string memory_needed(const Demand& demand) {
  const std::string filled = fmt::format(", and {} for each of {} windows that are filled",
                                         kFilledConnectionBytes, demand.filled);
  return fmt::format("{} for {} connections: {} bytes in the kernel and {} of lastack's own each{}",
                     mib_up(memory_of(demand)), demand.connections, kKernelBytes, kOwnBytes,
                     demand.filled > 0 ? filled : "");
}

Examination examine_memory(const HostFacts& facts, const Demand& demand) {
  const auto known = facts.memory.available_bytes;
  if (!known) return fine("cannot be read", memory_needed(demand));
  const int64_t available = *known;
  return judge(available >= memory_of(demand), Health::bad, mib(available) + " available",
               memory_needed(demand), lower_connections(affordable_connections(demand, available)));
}

// While its quota is used up, a cgroup does not run at all: up to a period (100 ms by default).
Examination examine_cpu_quota(const HostFacts& facts, const Demand&) {
  const std::string needed = "no quota: it stops the run, and that becomes latency";
  const CpuQuotas& quotas = facts.quotas;
  if (!quotas.tightest) return fine(quotas.known ? "no quota" : "no quota to be read", needed);
  const bool second = quotas.tightest->file.ends_with("cpu.max");
  return judge(false, Health::warning,
               fmt::format("{:.3g} CPUs ({})", quotas.tightest->cpus, quotas.tightest->file),
               needed, fmt::format("echo {} > {}", second ? "max" : "-1", quotas.tightest->file));
}

Examination examine_host_load(const HostFacts& facts, const Demand&) {
  const HostLoad& load = facts.load;
  const std::string needed =
      fmt::format("fewer than {:.1f}: half of the CPUs", 0.5 * static_cast<double>(load.cpus));
  if (load.load_average < 0) return fine("cannot be read", needed);
  return judge(!load.busy(), Health::warning,
               fmt::format("{:.1f} other tasks run or wait, load average {:.2f}", load.others,
                           load.load_average),
               needed, "wait until the host is quiet (top), or their work becomes latency");
}

Examination examine_cgroup_memory(const HostFacts& facts, const Demand& demand) {
  return examine_limits(facts.memory_limits, memory_of(demand), 0, "memory", memory_needed(demand),
                        mib);
}

// The tables and the result lie in files of memory, which are files to RLIMIT_FSIZE
// (shmem_file_write_iter(), inode_newsize_ok()).
Examination examine_file_size(const HostFacts& facts, const Demand& demand) {
  constexpr int64_t kResultBytes = 1 << 20, kEventBytes = 512;
  const int64_t table = table_bytes_of(demand);
  const int64_t needed = std::max(
      table, kResultBytes + (demand.spec.keep_events ? demand.connections : 0) * kEventBytes);
  const int64_t limit = facts.limits.file_bytes;
  return judge(limit >= needed, limit < table ? Health::bad : Health::warning,
               limit == kUnlimited ? "no limit" : fmt::format("{} KiB", limit / 1024),
               fmt::format("{} KiB for the largest shard's table and the result", needed / 1024),
               "ulimit -f unlimited");
}

// What this process has now, a worker has, too.
Examination examine_mappings(int64_t limit, std::optional<int64_t> now, int64_t more,
                             std::string_view flag) {
  constexpr int64_t kSpare = 64 << 20;
  const int64_t needed = now.value_or(0) + more;
  return judge(limit >= needed + kSpare, limit < needed ? Health::bad : Health::warning,
               limit == kUnlimited ? "no limit" : mib(limit),
               fmt::format("{}{} in a worker process, and better {} more", mib_up(needed),
                           now ? "" : " beside an unknown number", mib(kSpare)),
               fmt::format("ulimit {} {}", flag, divide_up(needed + kSpare, 1024)));
}

Examination examine_address_space(const HostFacts& facts, const Demand& demand) {
  return examine_mappings(facts.limits.address_space_bytes, facts.mapped_bytes,
                          thread_bytes_of(demand) + table_bytes_of(demand), "-v");
}

Examination examine_data(const HostFacts& facts, const Demand& demand) {
  return examine_mappings(facts.limits.data_bytes, facts.data_bytes, thread_bytes_of(demand), "-d");
}

// setrlimit(2), RLIMIT_CPU: SIGXCPU at the soft limit, SIGKILL at the hard one. Whoever spins uses
// a CPU from the beginning to the end.
Examination examine_cpu_time(const HostFacts& facts, const Demand& demand) {
  const int64_t limit_s = facts.limits.cpu_s;
  const int64_t needed_s = demand.plan ? demand.plan->longest_ns / 1'000'000'000 + 1 : 1;
  const bool spins = demand.plan && demand.plan->wait == Wait::spin;
  return judge(limit_s >= needed_s, spins ? Health::bad : Health::warning,
               limit_s == kUnlimited ? "no limit" : fmt::format("{} s", limit_s),
               fmt::format("{} s in each process, should it never wait", needed_s),
               fmt::format("ulimit -t {}", needed_s * 2));
}

std::string raise_locked_memory(const HostFacts& facts, const Demand& demand) {
  constexpr int64_t kSpare = 8 << 20;  // what counts is the sum over all processes of the user
  return fmt::format("ulimit -l {}", (locked_bytes_of(demand, facts.page_bytes) + kSpare) / 1024);
}

Examination examine_locked_memory(const HostFacts& facts, const Demand& demand) {
  const auto locked = facts.trial.rings_are_locked;
  if (locked == false)
    return fine("not limited: rings do not count as locked memory here", "nothing");
  const int64_t needed = locked_bytes_of(demand, facts.page_bytes);
  const int64_t limit = facts.limits.locked_bytes;
  const std::string needed_text =
      fmt::format("{} KiB for the rings of {} worker processes", needed / 1024, 2 * demand.shards);
  const std::string observed =
      limit == kUnlimited ? "no limit" : fmt::format("{} KiB", limit / 1024);
  if (!locked && limit < needed)
    return fine(observed + "; unknown whether rings count, as none can be set up", needed_text);
  return judge(limit >= needed, Health::bad, observed, needed_text,
               raise_locked_memory(facts, demand));
}

// Idle connections hold next to no pages; data in flight does, and windows that are filled.
Examination examine_tcp_memory(const HostFacts& facts, const Demand& demand) {
  const int64_t page = facts.page_bytes;
  const int64_t filled = divide_up(demand.filled * kFilledConnectionBytes, page);
  const int64_t needed = divide_up(demand.connections, 8) + filled;
  std::string needed_text = fmt::format("{} pages below the pressure mark", needed);
  if (filled > 0)
    needed_text += fmt::format(
        ", of which {} are for {} windows that are filled; with fewer those rows are skipped",
        filled, demand.filled);
  const int64_t used = divide_up(facts.tcp_memory_bytes.value_or(0), page);
  const int64_t mark = facts.tcp_pressure_bytes / page;
  return judge(mark - used >= needed, Health::warning,
               fmt::format("{} pages, {} of them in use", mark,
                           facts.tcp_memory_bytes ? number_text(used) : number_text({})),
               needed_text,
               fmt::format("sysctl -w net.ipv4.tcp_mem=\"{} {} {}\"", (used + needed) / 2,
                           used + needed, (used + needed) * 2));
}

// Where the ports and the backlog were read, for an observed value.
std::string_view seen_where(const HostFacts& facts, const Demand& demand) {
  if (demand.spec.host_network) return "";
  return facts.trial.entered ? " in the private namespace"
                             : " here; the private namespace could not be tried";
}

// The connecting end binds no address, so its ports are counted per listening port; from half of
// the range on, __inet_hash_connect() searches long for a free one.
Examination examine_ports(const HostFacts& facts, const Demand& demand) {
  const Trial& trial = facts.trial;
  const int64_t ports = std::max<int64_t>(1, trial.last_port - trial.first_port + 1);
  const int64_t most = ports * kMostListeners;
  const int64_t listeners = std::clamp<int64_t>(
      divide_up(demand.largest_shard, std::max<int64_t>(1, ports * 2 / 5)), 1, kMostListeners);
  const bool listeners_fit = demand.shards * listeners <= ports / 2;
  const bool fits = demand.largest_shard <= most && listeners_fit;
  const bool quick = demand.largest_shard <= most / 2;
  const std::string observed = fmt::format("{}-{}{}: {} connections per shard", trial.first_port,
                                           trial.last_port, seen_where(facts, demand), most);
  const std::string needed = fmt::format(
      "{} connections in the largest shard and better twice as many, {} listening ports",
      demand.largest_shard, demand.shards * listeners);
  constexpr int64_t kWidest = 65535 - 1024 + 1;
  const bool wider_helps = demand.spec.host_network && ports < kWidest &&
                           demand.largest_shard <= kWidest * kMostListeners / 2;
  const int64_t enough_shards = divide_up(demand.connections, most / 2);
  std::string mend = fmt::format("--shards {}", enough_shards);
  if (!listeners_fit) mend = raise_descriptors(facts, demand, 1);
  if (wider_helps) mend = "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"";
  return judge(fits && quick, fits ? Health::warning : Health::bad, observed, needed, mend);
}

Examination examine_backlog(const HostFacts& facts, const Demand& demand) {
  const auto most = facts.trial.listen_backlog;
  const std::string needed = fmt::format("{}", kLeastBacklog);
  if (!most) return fine("cannot be read", needed);
  return judge(*most >= kLeastBacklog, Health::warning,
               fmt::format("{}{}", *most, seen_where(facts, demand)), needed,
               set_sysctl("net.core.somaxconn", 4096));
}

// io_uring_allowed() in io_uring/io_uring.c; Documentation/admin-guide/sysctl/kernel.rst.
Examination examine_ring_sysctl(const HostFacts& facts, const Demand& demand) {
  const int64_t disabled = facts.sysctls.io_uring_disabled.value_or(-1);
  const int64_t group = facts.sysctls.io_uring_group.value_or(-1);
  const std::vector<int64_t>& groups = facts.rights.groups;
  const bool is_member = std::find(groups.begin(), groups.end(), group) != groups.end();
  std::string needed = "0, or 1 for members of kernel.io_uring_group";
  if (demand.spec.host_network) needed += " and CAP_SYS_ADMIN";
  if (disabled < 0) return fine("absent: this kernel has no such switch", needed);
  const bool allowed =
      disabled == 0 ||
      (disabled == 1 &&
       (is_member || (demand.spec.host_network && has_capability(facts.rights, CAP_SYS_ADMIN))));
  const std::string observed = disabled == 1 ? fmt::format("1, kernel.io_uring_group is {}", group)
                                             : fmt::format("{}", disabled);
  return judge(allowed, Health::bad, observed, needed, set_sysctl("kernel.io_uring_disabled", 0));
}

std::string loosen_seccomp(std::string_view calls) {
  return fmt::format(
      "run the container with --security-opt seccomp=unconfined or a profile that allows {}",
      calls);
}

// When there was no child to try with.
std::string mend_trial(const HostFacts& facts, const Demand& demand) {
  switch (facts.untried->error_number) {
    case EAGAIN:
      return "mend what `processes` and `cgroup-pids` say, then ask again";
    case EMFILE:
    case ENFILE:
      return raise_descriptors(facts, demand, 1);
    default:
      return loosen_seccomp("fork, unshare, io_uring_setup");
  }
}

Examination examine_ring(const HostFacts& facts, const Demand& demand) {
  const std::string needed = "io_uring_setup succeeds, and io_uring_enter completes a request";
  if (facts.untried)
    return judge(false, Health::bad, facts.untried->message(), needed, mend_trial(facts, demand));
  const bool set_up = facts.trial.ring_error == 0;
  const int failed = set_up ? facts.trial.enter_error : facts.trial.ring_error;
  const bool filtered = facts.rights.is_filtered();
  const auto disabled = facts.sysctls.io_uring_disabled;
  std::string mend = loosen_seccomp("io_uring_setup, io_uring_enter, io_uring_register");
  if (failed == EPERM && disabled.value_or(0) != 0)
    mend = set_sysctl("kernel.io_uring_disabled", 0);
  // Where the sysctl is, io_uring is built in, and only a filter can deny it.
  if (failed == ENOSYS && !disabled && !filtered) mend = "boot a kernel with CONFIG_IO_URING=y";
  if (failed == ENOMEM) mend = raise_locked_memory(facts, demand);
  return judge(failed == 0, Health::bad,
               failed == 0
                   ? "a ring was set up, and completed a request"
                   : fmt::format("{}: {}{}", set_up ? "io_uring_enter" : "io_uring_setup",
                                 errno_name(failed), filtered ? ", under a seccomp filter" : ""),
               needed, mend);
}

// The calls that wait, but for those of io_uring.
Examination examine_waits(const HostFacts& facts, const Demand& demand) {
  const std::string needed = "the calls by which processes and watches of this run wait succeed";
  if (facts.untried)
    return judge(false, Health::bad, facts.untried->message(), needed, mend_trial(facts, demand));
  std::vector<std::string> observed, refused;
  Health health = Health::ok;
  for (size_t i = 0; i < kWaitRows; ++i) {
    const int failed = facts.trial.wait_errors[i];
    const WaitRow& row = wait_rows()[i];
    if (failed == 0 || !row.used(demand.spec)) continue;
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
Examination examine_kernel(const HostFacts& facts, const Demand& demand) {
  constexpr int kMajor = 6, kMinor = 1;  // IORING_SETUP_DEFER_TASKRUN
  const std::string& release = facts.kernel_release;
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
    const bool wanted = row.id == RingMode::defer || row.id == demand.spec.ring;
    if (wanted && !feature(fmt::format("mode-{}", row.name)))
      missing.push_back(fmt::format("--ring {}", row.name));
  }
  // Nothing probes the requests of a watch; multishot receives are the youngest of them.
  for (const Watch watch : demand.spec.watches)
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
Examination examine_namespace_limits(const HostFacts& facts, const Demand&) {
  const std::pair<std::string_view, std::optional<int64_t>> limits[] = {
      {"user.max_user_namespaces", facts.sysctls.max_user_namespaces},
      {"user.max_net_namespaces", facts.sysctls.max_net_namespaces}};
  std::vector<std::string> observed, mends;
  for (const auto& [name, most] : limits) {
    observed.push_back(fmt::format("{} {}", name, most ? limit_text(*most) : "absent"));
    if (most && *most < 1) mends.push_back(set_sysctl(name, 15000));
  }
  return judge(mends.empty(), Health::bad, fmt::format("{}", fmt::join(observed, ", ")),
               "at least 1 of each", fmt::format("{}", fmt::join(mends, " && ")));
}

// A switch that keeps ordinary users from making user namespaces. CAP_SYS_ADMIN is exempt, and
// so is a program that a security profile allows it: the trial knows.
Examination examine_namespace_switch(const HostFacts& facts, std::string_view name,
                                     std::optional<int64_t> value, int64_t allows) {
  const std::string needed = fmt::format("{}, or CAP_SYS_ADMIN", allows);
  if (!value) return fine("absent: this kernel has no such switch", needed);
  const bool exempt =
      *value != allows && (has_capability(facts.rights, CAP_SYS_ADMIN) || facts.trial.entered);
  return judge(*value == allows || exempt, Health::bad,
               fmt::format("{}{}", *value, exempt ? ", which this program may pass" : ""), needed,
               set_sysctl(name, allows));
}

constexpr char kDebianSwitch[] = "kernel.unprivileged_userns_clone";
constexpr char kUbuntuSwitch[] = "kernel.apparmor_restrict_unprivileged_userns";

Examination examine_debian_switch(const HostFacts& facts, const Demand&) {
  return examine_namespace_switch(facts, kDebianSwitch, facts.sysctls.unprivileged_userns_clone, 1);
}
Examination examine_ubuntu_switch(const HostFacts& facts, const Demand&) {
  return examine_namespace_switch(facts, kUbuntuSwitch, facts.sysctls.apparmor_restrict_userns, 0);
}

Examination examine_private_namespace(const HostFacts& facts, const Demand& demand) {
  const std::string needed = "unshare of a user and a network namespace succeeds";
  if (facts.untried)
    return judge(false, Health::bad, facts.untried->message(), needed, mend_trial(facts, demand));
  const Trial& trial = facts.trial;
  // Without a filter what is left is a chroot, a user who is not mapped, or a security module.
  std::string mend = facts.rights.is_filtered() ? loosen_seccomp("unshare") : "--host-network";
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
      if (facts.sysctls.unprivileged_userns_clone == 0) mend = set_sysctl(kDebianSwitch, 1);
      if (facts.sysctls.apparmor_restrict_userns.value_or(0) > 0)
        mend = set_sysctl(kUbuntuSwitch, 0);
      break;
  }
  return judge(trial.entered, Health::bad,
               trial.entered ? "a private namespace was entered" : trial.namespace_text, needed,
               mend);
}

Examination examine_private_sysctls(const HostFacts& facts, const Demand&) {
  const std::string needed = "may be written in the private namespace";
  if (!facts.trial.entered) return fine("not tried: there is no private namespace", needed);
  const std::string failed = facts.trial.sysctl_text;
  return judge(failed.empty(), Health::warning, failed.empty() ? "written" : failed, needed,
               "run the container with --security-opt systempaths=unconfined");
}

Examination examine_net_admin(const HostFacts& facts, const Demand& demand) {
  std::vector<std::string_view> skipped;
  for (const Weight& weight : effective_mix(demand.spec))
    if (const Need need = strategies()[weight.strategy].need;
        need == Need::net_admin || need == Need::socket_destroy)
      skipped.push_back(strategies()[weight.strategy].name);
  if (skipped.empty()) return fine("not needed", "nothing: no strategy of the mix asks for it");
  const bool admin = facts.host.net_admin;
  return judge(admin, Health::warning,
               admin ? "yes" : fmt::format("no: {} will be skipped", fmt::join(skipped, ", ")),
               fmt::format("for {}", fmt::join(skipped, ", ")),
               "run as root, or without --host-network");
}

// tcp_too_many_orphans(): above it, tcp_close() sends an RST where a FIN was due (tcp(7)).
Examination examine_orphans(const HostFacts& facts, const Demand& demand) {
  const auto most = facts.sysctls.max_orphans;
  const std::string needed = fmt::format("{}", demand.connections);
  // Only the host's own network namespace shows it, yet it holds for all.
  if (!most) return fine("not visible in this network namespace", needed);
  return judge(*most >= demand.connections, Health::warning,
               fmt::format("{}, host-wide: from there on a FIN may turn into an RST", *most),
               needed, set_sysctl("net.ipv4.tcp_max_orphans", demand.connections));
}

// Rows that can share no processes have a pair each, and some engines hold few connections,
// whatever the limits are.
int64_t least_shards(const Demand& demand) {
  if (!demand.plan) return 1;
  int64_t shards = 0;
  for (const PlannedGroup& group : demand.plan->groups) {
    const int64_t most = engine_row(group.engine).most_connections;
    shards += most > 0 ? divide_up(group.connections, most) : 1;
  }
  return shards;
}

Examination examine_processors(const HostFacts& facts, const Demand& demand) {
  const auto usable = static_cast<int64_t>(facts.host.cpus.size());
  const int64_t for_survivors = std::max<int64_t>(1, usable - std::max<int64_t>(1, usable / 2));
  const int64_t online = facts.online_cpus;
  const bool fell_back = demand.plan && (demand.plan->wait != demand.spec.wait ||
                                         demand.plan->ring != demand.spec.ring);
  const bool alone = usable < 2;                       // victim and survivor share it
  const bool crowded = demand.shards > for_survivors;  // survivors wait for one another
  const std::string observed =
      fmt::format("{} usable, {} of them for {} survivors' processes{}", usable, for_survivors,
                  demand.shards, fell_back ? ": what should spin will block" : "");
  const auto groups = static_cast<int64_t>(demand.plan ? demand.plan->groups.size() : 1);
  const int64_t least = least_shards(demand);
  // Each group's last shard may be no full one.
  std::string mend =
      raise_descriptors(facts, demand, std::max<int64_t>(1, for_survivors - groups + 1));
  if (least > for_survivors)  // half of the CPUs are the victims'
    mend = fmt::format("{} more CPUs, or fewer {} in one run", 2 * least - 1 - usable,
                       least > groups ? "connections" : "engines and kinds of paths");
  else if (demand.spec.shards > 1)
    mend = fmt::format("--shards {}", std::max<int64_t>(1, for_survivors / groups));
  if (fell_back && !crowded) mend = "--wait block --ring defer";
  if (alone && online >= 2) mend = fmt::format("taskset -cp 0-{} $$", online - 1);
  if (alone && online < 2) mend = "add a CPU";
  return judge(!alone && !crowded && !fell_back, Health::warning, observed,
               fmt::format("2, and {} for survivors", demand.shards), mend);
}

// A connection on loopback is one entry of the table (nf_conntrack-sysctl.rst); when it is full
// packets are dropped. A private namespace has no rules, so nothing is tracked there.
Examination examine_conntrack(const HostFacts& facts, const Demand& demand) {
  const auto most = facts.sysctls.conntrack_max;
  const int64_t used = facts.sysctls.conntrack_count.value_or(0);
  const int64_t needed = used + demand.connections;
  const std::string needed_text =
      fmt::format("{}: {} in use and {} for this run", needed,
                  number_text(facts.sysctls.conntrack_count), demand.connections);
  if (!most) return fine("no connection tracking", needed_text);
  return judge(*most >= needed, Health::warning, fmt::format("{}", *most), needed_text,
               set_sysctl("net.netfilter.nf_conntrack_max", needed));
}

// Above it a connection leaves no TIME_WAIT behind (ip-sysctl.rst, tcp_time_wait()).
Examination examine_time_wait(const HostFacts& facts, const Demand& demand) {
  const auto most = facts.sysctls.max_tw_buckets;
  const std::string needed = fmt::format("{}", demand.connections);
  if (!most) return fine("cannot be read", needed);
  return judge(*most >= demand.connections, Health::warning, fmt::format("{}", *most), needed,
               set_sysctl("net.ipv4.tcp_max_tw_buckets", demand.connections));
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

}  // namespace

Status lacks_memory(const HostFacts& facts, const Demand& demand) {
  const auto refuse = [](std::string_view name, const Examination& bad) -> Status {
    if (bad.health != Health::bad) return std::nullopt;
    return plain_error(
        fmt::format("{} is {}, must be {}; mend: {}", name, bad.observed, bad.needed, bad.mend));
  };
  if (facts.limits.locked_bytes < least_locked_bytes(demand.spec, *demand.plan, facts.page_bytes) &&
      facts.trial.rings_are_locked.value_or(false))
    return refuse("locked-memory", examine_locked_memory(facts, demand));
  // Not all of a connection's kernel memory is there before its first byte, and what others hold
  // may go to the swap.
  const auto available = facts.memory.available_bytes;
  const int64_t swap = facts.memory.swap_free_bytes.value_or(0);
  if (available && *available + swap < memory_of(demand) / 4 * 3)
    return refuse("memory", examine_memory(facts, demand));
  return std::nullopt;
}

Status lacks_memory(const RunSpec& spec, const Plan& plan) {
  HostFacts facts;
  facts.page_bytes = sysconf(_SC_PAGESIZE);
  facts.limits = read_process_limits();
  facts.memory = host_memory_of(read_text("/proc/meminfo"));
  // A ring takes its time: only where it matters.
  if (facts.limits.locked_bytes < least_locked_bytes(spec, plan, facts.page_bytes))
    facts.trial.rings_are_locked = rings_are_locked();
  return lacks_memory(facts, demand_of(spec, plan));
}

std::span<const ExaminationRow> examination_rows() { return kRows; }

std::vector<Examination> examine(const HostFacts& facts, const Demand& demand) {
  std::vector<Examination> examinations;
  for (const ExaminationRow& row : examination_rows()) {
    if (demand.spec.host_network ? !row.in_host_network : !row.in_private) continue;
    examinations.push_back(row.examine(facts, demand));
    examinations.back().name = row.name;
  }
  return examinations;
}

std::vector<Examination> examine_host(const RunSpec& spec) {
  const HostFacts facts = read_host_facts(spec);
  return examine(facts, demand_of(spec, facts.host));
}

bool healthy(const std::vector<Examination>& examinations) {
  return std::none_of(examinations.begin(), examinations.end(), [](const Examination& examination) {
    return examination.health == Health::bad;
  });
}

}  // namespace lastack::doctor
