// The survivors of one shard, watched through select(2) or ppoll(2): both hand the kernel the whole
// list at every call, so that the list is kept short.
#pragma once

#include <sys/select.h>

#include <cstdint>
#include <span>
#include <vector>

#include "survivor/common.h"
#include "survivor/survivor.h"

namespace lastack {

class SelectSurvivor final : public Survivor {
 public:
  static Result<SelectSurvivor> open(const ShardView& shard, int control);

  Status arm() override;
  void hear_of_acts(std::span<const uint32_t> slots) override;
  Status run_until_control() override;
  void stop_load() override { requests_.stop(); }
  Status clean_up() override;

 private:
  enum class Stage : uint8_t { watch, fin_awaited, hang_up_awaited };
  struct Waiting {
    uint32_t slot;
    Stage stage;
  };

  explicit SelectSurvivor(const ShardView& shard) : shard_(shard), requests_(shard) {}
  bool by_select() const { return shard_.header->settings.engine == Engine::select; }
  void add(uint32_t slot, Stage stage);
  void remove(size_t index);
  int wait_once(bool spin);
  // What the last wait said of this entry, as poll bits.
  unsigned events_of(size_t index) const;
  void handle(size_t index, unsigned events, int64_t stamp_ns);
  void ask_half_closed();

  ShardView shard_;
  Requests requests_;
  // The connections that still wait, without gaps; entry 0 is the control socket.
  std::vector<pollfd> polled_;
  std::vector<Waiting> waiting_;
  fd_set wanted_, readable_;  // select: the same list as a set, and the kernel's answer
  int beyond_ = 0;            // one more than the highest descriptor that was ever in it
  // select: connections whose end was read and whose reset is still to come. They stay readable for
  // ever, so that select() cannot wait for it.
  std::vector<uint32_t> half_closed_;
  std::vector<char> scratch_;
};

}  // namespace lastack
