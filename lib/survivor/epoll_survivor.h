// The survivors of one shard, watched through epoll(7), level- or edge-triggered by row.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/file.h"
#include "survivor/common.h"
#include "survivor/heartbeats.h"
#include "survivor/survivor.h"

struct epoll_event;

namespace lastack {

class EpollSurvivor final : public Survivor {
 public:
  static Result<EpollSurvivor> open(const ShardView& shard, int control);

  Status arm() override;
  void hear_of_acts(std::span<const uint32_t> slots) override;
  Status run_until_control() override;
  void stop_load() override {
    requests_.stop();
    heartbeats_.stop();
  }
  Status clean_up() override;

 private:
  explicit EpollSurvivor(const ShardView& shard)
      : shard_(shard), requests_(shard), heartbeats_(shard) {}
  enum class Kind : uint32_t { watch, fin_arrived, heartbeat_timer, control, instant };
  // epoll_ctl(2) `operation` for this connection; returns an errno.
  int set_interest(int operation, uint32_t slot, uint32_t events, Kind kind);
  // The same where nobody can be told at once: run_until_control() returns the first refusal.
  void change_interest(int operation, uint32_t slot, uint32_t events, Kind kind);
  uint32_t watch_events(uint32_t slot) const;
  Status arm_heartbeats();
  bool serve_heartbeat(uint32_t slot, int64_t now);
  void handle_timer(uint32_t slot, int64_t now);
  uint32_t scan_parts() const;
  void scan(int64_t now);
  void handle(const epoll_event& event, int64_t stamp_ns);
  // epoll_pwait2(2), or what stands in for it; the number of events, or -1 and errno.
  Status try_wait();
  int wait_once(std::span<epoll_event> batch, int64_t until_ns);

  ShardView shard_;
  Requests requests_;
  Heartbeats heartbeats_;
  std::vector<Fd> timers_;            // by slot: timerfds
  int64_t next_scan_ns_ = kNever_ns;  // of the connections' next part
  uint32_t scanned_parts_ = 0;        // in this round
  Fd epoll_;
  // Where epoll_pwait2 is refused: a timer in the set, for the instant at which a wait is to end.
  Fd instant_;
  int64_t instant_ns_ = 0;  // that it is set to
  std::vector<char> scratch_;
  Status refused_;
};

}  // namespace lastack
