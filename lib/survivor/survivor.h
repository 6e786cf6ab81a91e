// The survivors of one shard, whatever engine watches them.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/error.h"
#include "shard/ends.h"

namespace lastack {

class Survivor {
 public:
  Survivor() = default;
  Survivor(Survivor&&) = default;
  virtual ~Survivor() = default;

  // Sets the probes' options, and arms the watch of every connection but those whose survivor is
  // told of the act.
  virtual Status arm() = 0;
  // The victims of these have gone: does what the strategy says for that (WhenTold).
  virtual void hear_of_acts(std::span<const uint32_t> slots) = 0;
  // Watches and runs the load until the control socket is readable. The Error says that the wait
  // itself was refused: there is no use in another one.
  virtual Status run_until_control() = 0;
  // The ledger is closed: no more requests.
  virtual void stop_load() = 0;
  // Ends every connection abortively, so that neither TIME_WAIT nor orphans stay; goes on after
  // what was refused, and returns the first.
  virtual Status clean_up() = 0;

  // What the kernel refused and something else stands in for, which measures the same; or empty.
  const std::string& note() const { return note_; }

 protected:
  std::string note_;
};

// Opens the engine of this shard. `control` is watched by it, too: run_until_control() returns when
// it has something.
Result<std::unique_ptr<Survivor>> open_survivor(const ShardView& shard, int control);

}  // namespace lastack
