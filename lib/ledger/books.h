// Closing the books of a run that has ended: from what its workers left in shared memory, and from
// the kernel's counters, to the ledger and its checks. Nothing here asks the host.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/ledger.h"
#include "ledger/reconcile.h"
#include "ledger/result.h"
#include "plan/plan.h"
#include "shard/ends.h"

namespace lastack {

struct Books {
  std::vector<LedgerShard> shards;
  // CLOCK_MONOTONIC.
  int64_t start_ns = 0;  // of the schedule
  int64_t armed_ns = 0, closed_ns = 0;
  Snapshots snapshots{};
  CounterValues cleaned{};
  bool asked_alive = false;
  std::vector<SilentPair> silent_pairs;
};

// Fills what the ledger, its checks and the counters are in `result`, whose stalls and backlog
// drops are known and whose stalls become relative to the start of the schedule.
void close_books(const RunSpec& spec, const Plan& plan, const Books& books, RunResult& result);

// The same on file (CBOR), for tests that replay a run: they make the same bytes of it. Ends and
// records are as they lie in memory: they are read by a program whose records have the same sizes.
std::string pack_books(const Books& books, const RunResult& result);

// Books that are on file, with the memory that their views look into.
struct PackedBooks {
  struct Shard {
    std::vector<VictimEnd> victims;
    std::vector<SurvivorEnd> survivors;
    std::vector<WriteRecord> writes;
    std::vector<ReadRecord> reads;
    std::vector<uint32_t> acceptor_of;
    ShardView view{};
  };
  std::vector<Shard> shards;
  std::vector<Stall> stalls;
  int64_t backlog_drops = 0;
  Books books;  // looks into `shards`
};
// The Error says that the file is none, or of other records.
Status unpack_books(std::string_view packed, PackedBooks& into);

}  // namespace lastack
