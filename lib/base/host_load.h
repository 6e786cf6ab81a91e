// How busy the host's CPUs are, and whether a process gets its turn on them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/time_unit.h"

namespace lastack {

// CPU time of the whole host since it was started, from /proc/stat (proc_stat(5)).
struct HostTimes {
  int64_t softirq_ns = 0;  // without CONFIG_IRQ_TIME_ACCOUNTING only sampled, at ticks
  // Of all CPUs: idle, waiting for disks, or taken by the hypervisor. With CONFIG_NO_HZ_COMMON it
  // is measured (get_cpu_idle_time_us), while what CPUs do is sampled.
  int64_t idle_ns = 0;
  int64_t steal_ns = 0;  // of that: the hypervisor gave the CPU to somebody else
};
// Of the text of that file; nullopt: it does not tell.
std::optional<HostTimes> parse_host_times(std::string_view stat);
// To the nanosecond in virtual time, where a machine has nothing else to do.
std::optional<HostTimes> read_host_times(TimeUnit unit);
// How long CPUs slept, summed over them, of /proc/timer_list: print_cpu() in
// kernel/time/timer_list.c. For root only, and slow on a host with many timers, which it lists.
std::optional<int64_t> parse_idle_sleep_ns(std::string_view timer_list);

// Who wants the CPUs before a run begins.
struct HostLoad {
  double load_average = -1;  // over a minute; below 0: cannot be read
  double others = 0;         // other tasks that run or wait for a CPU, on average of some looks
  int64_t cpus = 0;          // online
  // More than one CPU of two is taken: what is measured waits for others.
  bool busy() const { return others >= 0.5 * static_cast<double>(cpus); }
  bool operator==(const HostLoad&) const = default;
};
// Looks ten times within 10 ms; the caller must be the only one of its own that runs.
HostLoad measure_host_load();
// The load average of a minute and the number of tasks that run or wait for a CPU, which counts
// the reader, of "0.20 0.18 0.12 1/80 11206" (proc_loadavg(5)).
struct LoadLine {
  double average = -1;
  int64_t runnable = 0;
};
std::optional<LoadLine> parse_load_line(std::string_view line);

// What the scheduler says of a process's first thread.
struct Turn {
  char state = '?';  // proc_pid_stat(5): 'T' stopped by a signal, 't' by a tracer
  // It was runnable and waited for a CPU, since it was started: also while the quota of its cgroup
  // was used up. proc_pid_schedstat(5); 0 without CONFIG_SCHED_INFO.
  int64_t waited_ns = 0;
  bool stopped() const { return state == 'T' || state == 't'; }
};
std::optional<Turn> read_turn(pid_t process);  // nullopt: it is gone

// The lowest and the highest frequency that CPUs have just now, in kHz; nullopt where no cpufreq
// driver tells (virtual machines). Documentation/admin-guide/pm/cpufreq.rst, scaling_cur_freq.
struct Frequencies {
  int64_t least_khz = 0, most_khz = 0;
  bool operator==(const Frequencies&) const = default;
};
std::optional<Frequencies> read_frequencies();

}  // namespace lastack
