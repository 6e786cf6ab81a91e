#include "ledger/stalls.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "base/clock.h"
#include "base/host_load.h"
#include "base/time_unit.h"
#include "plan/plan.h"

namespace lastack {
namespace {

// What is less is not worth a note: part of the watched time.
constexpr double kWorthSaying = 0.01, kWaitedMuch = 0.1;

std::string duration(int64_t duration_ns, TimeUnit unit) {
  return format_rounded_duration(static_cast<double>(duration_ns), unit);
}

std::string times(int64_t count) { return count == 1 ? "once" : fmt::format("{} times", count); }

// "survivor stood still 2 times, 4.50s at the longest".
std::string who_stalled(const std::vector<Stall>& stalls, TimeUnit unit) {
  std::map<std::pair<std::string, std::string>, std::pair<int64_t, int64_t>> together;
  for (const Stall& stall : stalls) {
    auto& [count, longest_ns] = together[{stall.process, stall.cause}];
    ++count;
    longest_ns = std::max(longest_ns, stall.duration_ns);
  }
  std::vector<std::string> parts;
  for (const auto& [who, figures] : together)
    parts.push_back(fmt::format(
        "{} {} {}{}", who.first, who.second == kStopped ? "stood still" : "waited for a CPU",
        times(figures.first),
        figures.first == 1 ? ", " + duration(figures.second, unit)
                           : fmt::format(", {} at the longest", duration(figures.second, unit))));
  return fmt::format("{}", fmt::join(parts, "; "));
}

std::string stall_note(const RunResult& result) {
  int64_t connections = 0, touched = 0, alarms = 0, alarms_touched = 0;
  for (const LedgerRow& row : result.ledger) {
    connections += row.established;
    touched += row.stalled;
    alarms += row.probing.false_alarms;
    alarms_touched += row.probing.false_alarms_in_stalls;
  }
  std::string text =
      fmt::format("STALLED: {}; meanwhile {} of {} connections were waiting",
                  who_stalled(result.stalls, result.time_unit), touched, connections);
  if (alarms > 0)
    text += fmt::format(
        ", and {} of {} false alarms fall into it: they tell of the host, not of "
        "the probe",
        alarms_touched, alarms);
  return text;
}

bool was_throttled(const RunResult& result) {
  return static_cast<double>(result.host.throttled_ns) >
         kWorthSaying * static_cast<double>(result.cost.wall_ns);
}

}  // namespace

int64_t least_stall_ns(const RunSpec& spec) {
  const bool decides = std::any_of(spec.probes.begin(), spec.probes.end(),
                                   [](Probe probe) { return probe_row(probe).heartbeat_decides; });
  constexpr int64_t kUsual_ns = 100 * kMillisecond_ns;
  if (!decides) return kUsual_ns;
  return std::clamp(spec.probe_settings.heartbeat_deadline_ns / 2, kLauncherTick_ns, kUsual_ns);
}

void StallWatch::add(std::string_view role, size_t shard, pid_t process) {
  workers_.push_back({std::string(role), static_cast<int64_t>(shard), process});
}

void StallWatch::forget(pid_t process) {
  std::erase_if(workers_, [&](const Watched& one) { return one.process == process; });
}

void StallWatch::start() {
  look_at_launcher();
  for (Watched& one : workers_) {
    look(one);
    one.first_waited_ns = one.waited_ns;
  }
  stalls_.clear();
  started_ = true;
}

void StallWatch::note(const Watched& one, std::string_view cause, int64_t start_ns,
                      int64_t duration_ns) {
  if (duration_ns >= least_ns_)
    stalls_.push_back({one.role, one.shard, std::string(cause), start_ns, duration_ns});
}

void StallWatch::look(Watched& one) {
  const auto turn = read_turn(one.process);
  if (!turn) return;
  const int64_t now = now_ns();
  const int64_t before_ns = one.looked_ns ? one.looked_ns : now;
  if (turn->stopped() && one.stopped_ns == 0) one.stopped_ns = before_ns;
  if (!turn->stopped() && one.stopped_ns != 0) {
    note(one, kStopped, one.stopped_ns, now - one.stopped_ns);
    one.stopped_ns = 0;
  }
  // Many short waits between two looks that are far apart are no stall.
  const int64_t waited_ns = turn->waited_ns - one.waited_ns;
  if (waited_ns >= (now - before_ns) / 2) note(one, kWaited, now - waited_ns, waited_ns);
  one.waited_ns = turn->waited_ns;
  one.looked_ns = now;
}

int64_t StallWatch::look_at_launcher() {
  const int64_t before_ns = launcher_.waited_ns;
  if (const auto turn = read_turn(getpid())) launcher_.waited_ns = turn->waited_ns;
  launcher_.looked_ns = now_ns();
  return launcher_.waited_ns - before_ns;
}

void StallWatch::woke(int64_t asked_ns) {
  if (!started_) return;
  const int64_t now = now_ns(), overslept_ns = now - asked_ns;
  // Half of the shortest one: none is missed, and most ticks cost nothing.
  if (overslept_ns < least_ns_ && now - launcher_.looked_ns < least_ns_ / 2) return;
  // While it waited for a CPU, workers on others may have run. Else all of the run, or of the
  // host, was not allowed to.
  if (overslept_ns - look_at_launcher() >= least_ns_)
    note(launcher_, kStopped, asked_ns, overslept_ns);
  for (size_t i = 0; i < std::min(kLooks, workers_.size()); ++i)
    look(workers_[next_++ % workers_.size()]);
}

void StallWatch::stop() {
  if (!started_) return;
  started_ = false;
  for (Watched& one : workers_) {
    look(one);
    if (one.stopped_ns != 0) note(one, kStopped, one.stopped_ns, now_ns() - one.stopped_ns);
  }
  std::sort(stalls_.begin(), stalls_.end(),
            [](const Stall& a, const Stall& b) { return a.start_ns < b.start_ns; });
}

int64_t StallWatch::waited_ns(std::string_view role) const {
  int64_t sum_ns = 0;
  for (const Watched& one : workers_)
    if (one.role == role) sum_ns += one.waited_ns - one.first_waited_ns;
  return sum_ns;
}

bool overlaps(std::span<const Stall> stalls, int64_t shard, int64_t from_ns, int64_t until_ns) {
  return std::any_of(stalls.begin(), stalls.end(), [&](const Stall& stall) {
    const bool concerns = stall.shard < 0 || stall.shard == shard;
    return concerns && stall.start_ns < until_ns && from_ns < stall.start_ns + stall.duration_ns;
  });
}

std::string want_of_host(const RunResult& result) {
  std::string text;
  if (!result.stalls.empty())
    text = fmt::format("stood still for {}", duration(sum_ns(result.stalls), result.time_unit));
  if (was_throttled(result))
    text += fmt::format("{}was throttled for {}", text.empty() ? "" : " and ",
                        duration(result.host.throttled_ns, result.time_unit));
  return text;
}

std::vector<std::string> host_notes(const RunSpec& spec, const RunResult& result) {
  std::vector<std::string> notes;
  const HostService& host = result.host;
  const TimeUnit unit = result.time_unit;
  if (std::string note = time_unit_note(unit); !note.empty()) notes.push_back(std::move(note));
  const auto wall_ns = static_cast<double>(std::max<int64_t>(1, result.cost.wall_ns));
  const auto much = [](int64_t part_ns, double of_ns, double share) {
    return static_cast<double>(part_ns) >= share * of_ns;
  };
  if (host.load.busy())
    notes.push_back(
        fmt::format("the host was busy before the run began: {:.1f} other tasks ran or waited for "
                    "{} CPUs, load average {:.2f}; their work is in the latencies",
                    host.load.others, host.load.cpus, host.load.load_average));
  if (!result.stalls.empty()) notes.push_back(stall_note(result));
  if (was_throttled(result))
    notes.push_back(fmt::format(
        "THROTTLED: the quota of {:.3g} CPUs ({}) stopped the run's cgroup for {} of {}: that is "
        "in the latencies",
        host.quota_cpus, host.quota_file, duration(host.throttled_ns, unit),
        duration(result.cost.wall_ns, unit)));
  const double all_cpus_ns = wall_ns * static_cast<double>(host.load.cpus);
  if (much(host.steal_ns, all_cpus_ns, kWorthSaying))
    notes.push_back(fmt::format("the hypervisor gave {} of {} of the host's CPU time to others",
                                duration(host.steal_ns, unit),
                                format_rounded_duration(all_cpus_ns, unit)));
  // Hogs are meant to make them wait.
  const auto survivors = static_cast<double>(std::max<size_t>(1, result.workers.size() / 2));
  if (spec.cpu_hogs == 0 && much(host.survivors_waited_ns, wall_ns * survivors, kWaitedMuch))
    notes.push_back(fmt::format(
        "survivors were ready and waited for a CPU for {} of {}: that is in the latencies",
        duration(host.survivors_waited_ns, unit),
        format_rounded_duration(wall_ns * survivors, unit)));
  return notes;
}

}  // namespace lastack
