// Survivors that never wait for their peer: they write messages all the time, by one of the write
// paths, and learn of its end by the errors of their writes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <queue>
#include <span>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "plan/host.h"
#include "ring/ring.h"
#include "survivor/common.h"
#include "survivor/survivor.h"

namespace lastack {

class WriterSurvivor final : public Survivor {
 public:
  static Result<WriterSurvivor> open(const ShardView& shard, int control);

  Status arm() override;
  void hear_of_acts(std::span<const uint32_t>) override {}  // it writes anyway
  Status run_until_control() override;
  void stop_load() override;
  Status clean_up() override;

 private:
  struct Due {
    int64_t at_ns;
    uint32_t slot;
    bool operator>(const Due& other) const { return at_ns > other.at_ns; }
  };

  WriterSurvivor(const ShardView& shard, int control)
      : shard_(shard), control_(control), random_{shard.header->settings.write_seed} {}
  Status open_paths();
  // What write_until_control() does in a process that dies of the first SIGPIPE, and is made again.
  Status write_in_children();
  [[noreturn]] void write_as_child(pid_t parent, uint64_t deaths);
  Status write_until_control();
  // Of the rings, or nothing.
  Status ring_status() const;
  // The end of the child that made the write of `slot`.
  void settle_kill(uint32_t slot);

  int64_t gap_ns();
  void queue_writes();
  void write_due();
  void write_one(uint32_t slot);
  // Whether the connection may be written to.
  bool look_before(uint32_t slot);
  bool has_room(uint32_t slot) const;
  ssize_t call(WritePath path, int descriptor);
  bool prepare_entries(WritePath path, uint32_t slot, Ring& ring);
  void reap(Ring& ring);
  // Until the requests of `slot` are done, or it is time to give up.
  void await_requests(uint32_t slot, Ring& ring, bool may_wait);
  void settle(uint32_t slot, int result);
  void note_error(uint32_t slot, int error, int64_t stamp_ns);
  void finish(uint32_t slot);
  uint64_t take_sigpipes();
  uint32_t blame_sigpipes(uint32_t slot);  // returns how many
  Ring* ring_of(WritePath path);

  ShardView shard_;
  int control_;
  Random random_;
  bool stopped_ = false;
  const bool takes_nowait_ = sockets_take_nowait();
  std::vector<char> message_, scratch_;
  iovec message_vector_{};
  msghdr message_header_{};
  std::optional<Ring> ring_, polled_ring_;  // the second one: with a submission thread
  Fd file_, pipe_out_, pipe_in_, signals_;
  std::priority_queue<Due, std::vector<Due>, std::greater<Due>> due_;
};

}  // namespace lastack
