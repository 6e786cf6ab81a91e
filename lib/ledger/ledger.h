// Joins what the ends recorded into rows: who found what, when, and who never did.
#pragma once

#include <span>
#include <vector>

#include "ledger/reconcile.h"
#include "ledger/result.h"
#include "plan/plan.h"
#include "shard/ends.h"

namespace lastack {

// The ledger's rows before anything is counted.
std::vector<LedgerRow> ledger_rows(std::span<const PlannedRow> planned_rows);

struct LedgerShard {
  const ShardView* view;
  const std::vector<uint32_t>* acceptor_of;  // acceptor's slot by connector's slot
};

// Fills the ledger, surprises, events, timeline, rates and span of `result`. Instants of
// victims and survivors must be of one clock. `closed_ns`: when the ledger was closed; a
// connection without a finding whose deadline lay beyond it is undecided. The stalls in `result`
// must be of the same clock.
std::vector<Outcome> fill_ledger(const RunSpec& spec, const Plan& plan,
                                 std::span<const LedgerShard> shards, int64_t start_ns,
                                 int64_t closed_ns, RunResult& result);

// A connection that should have come back and did not answer.
struct SilentPair {
  uint16_t row;
  uint32_t pair;
};
// Fills LedgerRow::alive of the rows that were asked; who did not answer is unexpected.
void count_alive(const Plan& plan, const std::vector<SilentPair>& silent, RunResult& result);

// Why connections do not stand, by the errno that most of them have; nullopt when all do, or the
// others were not tried.
Status not_established(const RunResult& result);

// What the finished run amounts to.
RunStatus judge(const RunSpec& spec, const RunResult& result, bool interrupted);

}  // namespace lastack
