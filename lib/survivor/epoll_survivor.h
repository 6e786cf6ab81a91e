// The survivors of one shard, watched through epoll(7), level- or edge-triggered by row.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/file.h"
#include "survivor/common.h"
#include "survivor/survivor.h"

struct epoll_event;

namespace lastack {

class EpollSurvivor final : public Survivor {
 public:
  static Result<EpollSurvivor> open(const ShardView& shard, int control);

  Status arm() override;
  void hear_of_acts(std::span<const uint32_t> slots) override;
  void run_until_control() override;
  void stop_load() override { requests_.stop(); }
  void clean_up() override;

 private:
  explicit EpollSurvivor(const ShardView& shard) : shard_(shard), requests_(shard) {}
  enum class Kind : uint32_t { watch, fin_arrived, control };
  // epoll_ctl(2) `operation` for this connection; returns an errno.
  int set_interest(int operation, uint32_t slot, uint32_t events, Kind kind);
  uint32_t watch_events(uint32_t slot) const;
  void handle(const epoll_event& event, int64_t stamp_ns);

  ShardView shard_;
  Requests requests_;
  Fd epoll_;
  std::vector<char> scratch_;
};

}  // namespace lastack
