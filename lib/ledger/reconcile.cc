#include "ledger/reconcile.h"

#include <algorithm>

#include "base/assert.h"
#include "model/changes.h"

namespace lastack {
namespace {

struct Range {
  CounterValues least, most;

  void add(const CounterValues& less, const CounterValues& more, int64_t times) {
    for (size_t i = 0; i < kCounterCount; ++i) {
      least.values[i] += less.values[i] * times;
      most.values[i] += more.values[i] * times;
    }
  }
};

// Keepalive goes on for every connection that still has a socket: at most one probe per the
// shorter of its two periods; one that found its peer dead has sent all it had.
void add_keepalive_probes(const PlannedRow& planned, const Outcome& outcome, int64_t opening_ns,
                          int64_t armed_ns, Range& opening, Range& range) {
  const PlanRow& row = planned.row;
  if (!probe_row(row.probe).keepalive) return;
  const ProbeSettings& settings = planned.when.settings;
  const int64_t period_ns = std::min(settings.keepalive_idle_ns, settings.keepalive_interval_ns);
  // A slow host may still arm the last connections when the first ones have been idle for so long.
  opening.most[Counter::keepalive] += opening_ns / period_ns * outcome.connections;
  const int64_t most = armed_ns / period_ns + settings.keepalive_count + 1;
  // A user timeout replaces the count.
  const bool by_count = outcome.finding == Finding::etimedout && !probe_row(row.probe).user_timeout;
  const bool by_answer =
      outcome.finding == Finding::econnreset && strategy_of(row).finding == Finding::nothing;
  // Data in flight suspends keepalive, or draws the RST before any probe does.
  const bool may_be_silent = outcome.late || planned.when.victims.reader_stopped ||
                             sends_heartbeats(row) || planned.when.load != Load::idle ||
                             engine_row(watch_row(row.watch).engine).only_writes;
  const int64_t least = may_be_silent ? 0 : by_count ? settings.keepalive_count : by_answer ? 1 : 0;
  range.least[Counter::keepalive] += least * outcome.connections;
  range.most[Counter::keepalive] += most * outcome.connections;
}

}  // namespace

std::vector<Check> reconcile(const Plan& plan, const std::vector<Outcome>& outcomes,
                             int64_t established, int64_t armed_ns, const Snapshots& snapshots) {
  Range opening, ending;
  opening.add(counter_changes({{Counter::active_opens, 1}, {Counter::passive_opens, 1}}),
              counter_changes({{Counter::active_opens, 1}, {Counter::passive_opens, 1}}),
              established);
  for (const Outcome& outcome : outcomes) {
    LASTACK_ASSERT(outcome.row < plan.rows.size(), outcome.row, plan.rows.size());
    const PlannedRow& planned = plan.rows[outcome.row];
    const Strategy& strategy = strategy_of(planned.row);
    const Circumstances& when = planned.when;
    auto [least, most] = expected_changes(strategy, when, outcome.finding);
    if (outcome.late) {
      // It may have been found before or after the counters were read.
      const auto unfound = expected_changes(strategy, when, Finding::nothing);
      for (size_t i = 0; i < kCounterCount; ++i) {
        least.values[i] = std::min(least.values[i], unfound.first.values[i]);
        most.values[i] = std::max(most.values[i], unfound.second.values[i]);
      }
    }
    ending.add(least, most, outcome.connections);
    if (strategy.victim_sends || planned.row.watch == Watch::writer ||
        when.victims.reader_stopped || when.load == Load::bulk) {
      // Sent into a window that shuts: what no longer fits is dropped and sent again
      // (tcp_prune_queue).
      constexpr int64_t kSegments = 256, kTimeouts = 8;  // of a full send and receive buffer
      for (Range* range : {&opening, &ending}) {
        range->most[Counter::retrans_segs] += kSegments * outcome.connections;
        range->most[Counter::timeouts] += kTimeouts * outcome.connections;
      }
    }
    add_keepalive_probes(planned, outcome, snapshots.opening_ns, armed_ns, opening, ending);
  }
  // A stalled host may let a retransmission timer fire although nothing was lost.
  for (Range* range : {&opening, &ending}) {
    range->most[Counter::timeouts] += established;
    range->most[Counter::retrans_segs] += established;
  }

  std::vector<Check> checks;
  const auto check = [&](const CounterRow& row, const char* phase, const Range& range,
                         const CounterValues& observed) {
    Check result{std::string(row.name), phase, range.least[row.id], range.most[row.id],
                 observed[row.id],      false};
    result.ok = result.least <= result.observed && result.observed <= result.most;
    checks.push_back(std::move(result));
  };
  const CounterValues opened = snapshots.armed - snapshots.before;
  const CounterValues ended = snapshots.closed - snapshots.armed;
  for (const CounterRow& row : kCounters) check(row, "establish", opening, opened);
  for (const CounterRow& row : kCounters) check(row, "ledger", ending, ended);
  return checks;
}

}  // namespace lastack
