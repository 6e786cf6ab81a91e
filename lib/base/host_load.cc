#include "base/host_load.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"

namespace lastack {

std::optional<HostTimes> parse_host_times(std::string_view stat) {
  const std::string line(stat.substr(0, stat.find('\n')));
  if (!line.starts_with("cpu ")) return std::nullopt;
  long long idle = 0, io_wait = 0, softirq = 0, steal = 0;
  const int read = std::sscanf(line.c_str(), "cpu %*d %*d %*d %lld %lld %*d %lld %lld", &idle,
                               &io_wait, &softirq, &steal);
  if (read != 4) return std::nullopt;
  const int64_t tick_ns = kSecond_ns / sysconf(_SC_CLK_TCK);
  return HostTimes{softirq * tick_ns, (idle + io_wait + steal) * tick_ns, steal * tick_ns};
}

std::optional<int64_t> parse_idle_sleep_ns(std::string_view timer_list) {
  int64_t sum_ns = 0;
  bool found = false;
  for (const std::string_view line : split(timer_list, '\n'))
    for (const std::string_view name : {".idle_sleeptime", ".iowait_sleeptime"}) {
      const size_t at = line.find(name);
      if (at == std::string_view::npos) continue;
      const std::string text(line.substr(at + name.size()));
      long long value_ns = 0;
      if (std::sscanf(text.c_str(), " : %lld nsecs", &value_ns) != 1) return std::nullopt;
      sum_ns += value_ns;
      found = true;
    }
  return found ? std::optional(sum_ns) : std::nullopt;
}

std::optional<HostTimes> read_host_times(TimeUnit unit) {
  auto times = parse_host_times(read_text("/proc/stat"));
  if (!times || unit == TimeUnit::ns) return times;
  if (const auto idle_ns = parse_idle_sleep_ns(read_text("/proc/timer_list")))
    times->idle_ns = *idle_ns;
  return times;
}

std::optional<LoadLine> parse_load_line(std::string_view line) {
  LoadLine load;
  long long runnable = 0;
  const std::string text(line);
  if (std::sscanf(text.c_str(), "%lf %*f %*f %lld/", &load.average, &runnable) != 2)
    return std::nullopt;
  load.runnable = runnable;
  return load;
}

HostLoad measure_host_load() {
  constexpr int kLooks = 10;
  HostLoad load;
  load.cpus = std::max(1L, sysconf(_SC_NPROCESSORS_ONLN));
  for (int look = 0; look < kLooks; ++look) {
    if (look > 0) sleep_for(kMillisecond_ns);
    const auto line = parse_load_line(read_first_line("/proc/loadavg"));
    if (!line) return load;
    load.load_average = line->average;
    load.others += static_cast<double>(std::max<int64_t>(0, line->runnable - 1)) / kLooks;
  }
  return load;
}

std::optional<Turn> read_turn(pid_t process) {
  const std::string stat = read_first_line(fmt::format("/proc/{}/stat", process));
  const size_t name_end = stat.rfind(") ");  // a name may hold anything
  if (name_end == std::string::npos || name_end + 2 >= stat.size()) return std::nullopt;
  Turn turn{stat[name_end + 2], 0};
  const std::string times = read_first_line(fmt::format("/proc/{}/schedstat", process));
  long long waited = 0;
  if (std::sscanf(times.c_str(), "%*d %lld", &waited) == 1) turn.waited_ns = waited;
  return turn;
}

std::optional<Frequencies> read_frequencies() {
  std::optional<Frequencies> all;
  const long cpus = sysconf(_SC_NPROCESSORS_CONF);
  for (long cpu = 0; cpu < cpus; ++cpu) {
    const int64_t khz = std::atoll(
        read_first_line(fmt::format("/sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq", cpu))
            .c_str());
    if (khz <= 0) continue;
    if (!all) all = Frequencies{khz, khz};
    all->least_khz = std::min(all->least_khz, khz);
    all->most_khz = std::max(all->most_khz, khz);
  }
  return all;
}

}  // namespace lastack
