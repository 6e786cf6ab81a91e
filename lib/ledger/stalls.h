// When the run itself did not get to run: stopped, frozen, out of its CPU quota, or kept waiting by
// others. What it measures then is the host, not the peers.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ledger/result.h"
#include "plan/spec.h"

namespace lastack {

// How long the launcher sleeps at a time between two looks at counters, signals and its workers.
constexpr int64_t kLauncherTick_ns = 20'000'000;

// Shorter ones are left to the latencies: 100 ms, or half a heartbeat's deadline where that is
// less, for such a stall may be a false alarm.
int64_t least_stall_ns(const RunSpec& spec);

// Looks at the workers from outside, so that nothing is added to the threads that measure: whether
// they are stopped, and how long they waited for a CPU (base/host_load.h). The launcher, which
// sleeps for 20 ms at a time, is the clock: whatever stops all of the run, or the whole host, it
// oversleeps.
class StallWatch {
 public:
  explicit StallWatch(int64_t least_ns) : least_ns_(least_ns) {}
  void add(std::string_view role, size_t shard, pid_t process);
  void forget(pid_t process);  // before it ends on purpose
  // From here on; what happened before does not count.
  void start();
  // The launcher has just woken; it wanted to do so at this instant at the latest.
  void woke(int64_t asked_ns);
  void stop();
  // In their order; instants are CLOCK_MONOTONIC.
  const std::vector<Stall>& stalls() const { return stalls_; }
  // For how long the workers of a role were runnable and had no CPU, all of them together.
  int64_t waited_ns(std::string_view role) const;

 private:
  struct Watched {
    std::string role;
    int64_t shard;
    pid_t process;
    int64_t looked_ns = 0;
    int64_t stopped_ns = 0;  // since when; 0: it is not
    int64_t first_waited_ns = 0, waited_ns = 0;
  };
  static constexpr size_t kLooks = 4;  // at a time: each costs some 20 us
  void look(Watched& one);
  int64_t look_at_launcher();  // for how long it has waited for a CPU since the last look
  void note(const Watched& one, std::string_view cause, int64_t start_ns, int64_t duration_ns);

  int64_t least_ns_;
  bool started_ = false;
  Watched launcher_{"launcher", -1, 0};
  std::vector<Watched> workers_;
  size_t next_ = 0;
  std::vector<Stall> stalls_;
};

// Whether a stall of the launcher or of one of this shard's workers overlaps the time.
bool overlaps(std::span<const Stall> stalls, int64_t shard, int64_t from_ns, int64_t until_ns);

// "stood still for 4.50s", "was throttled for 800ms": what no figure of the run is free of; ""
// where the host served it well enough.
std::string want_of_host(const RunResult& result);
// What a reader has to know of the host before believing a figure; in sentences.
std::vector<std::string> host_notes(const RunSpec& spec, const RunResult& result);

}  // namespace lastack
