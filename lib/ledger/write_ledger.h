// What became of the writes and of the bytes of writing survivors, and whether it adds up.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/histogram.h"
#include "model/strategy.h"
#include "shard/ends.h"

namespace lastack {

// The sums of one ledger row. All counts are of its torn-down connections.
struct WriteSums {
  // Writes: attempted = accepted + errors + would_block + cancelled.
  int64_t attempted = 0, accepted = 0, short_writes = 0;
  int64_t errors = 0, would_block = 0, cancelled = 0;
  int64_t accepted_after_act = 0, accepted_after_fin = 0;
  // Bytes: accepted = delivered + lost + queued + untold.
  int64_t accepted_bytes = 0;
  int64_t delivered_bytes = 0;  // that the victims' reads returned
  int64_t lost_bytes = 0;       // of ended connections: by the kernels' accounts, nobody gets them
  int64_t lost_after_act_bytes = 0;  // those of them that were accepted after t0
  int64_t queued_bytes = 0;  // of connections that stand: in the survivor's or the victim's queues
  int64_t untold_bytes = 0;  // acknowledged by the kernel of a process that cannot say what it read
  int64_t unexplained_bytes = 0;  // by which the sums do not add up, whatever the sign
  int64_t unexplained = 0;        // connections of which some sum does not add up
  int64_t sigpipes = 0, sigpipes_predicted = 0;
  int64_t sigpipes_of_short = 0;    // of them: by calls that returned a short count
  int64_t sigpipe_connections = 0;  // with at least one
  int64_t killed = 0;               // with a write that killed its process
  std::map<std::string, int64_t> first_errors, second_errors;  // connections by errno name
  // Connections by their number of writes accepted after t0, or after the FIN or RST had come,
  // before the first error.
  std::map<int64_t, int64_t> by_accepted_after_act, by_accepted_after_fin;
  Histogram first_error, second_error;  // since t0
  bool operator==(const WriteSums&) const = default;
};

// One connection: what its ends recorded.
struct WrittenPair {
  const PlanRow* row;
  const VictimEnd* victim;
  const WriteRecord* write;
  const ReadRecord* read;
  bool raises_sigpipe;  // by the model, or by --expect
};

// Adds the connection to the sums. Returns what does not add up, or nothing.
std::string add_writes(const WrittenPair& pair, SigpipeMode mode, WriteSums& sums);

}  // namespace lastack
