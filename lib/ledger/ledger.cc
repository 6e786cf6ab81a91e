#include "ledger/ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/clock.h"
#include "ledger/stalls.h"

namespace lastack {
namespace {

constexpr size_t kMostSurprises = 100;
constexpr double kSlowest = 0.95;  // share of the requested rate that counts as achieved

std::vector<Expected> expectation(const RunSpec& spec, const PlanRow& row) {
  for (const ExpectationOverride& replaced : spec.expect)
    if (replaced.strategy == row.strategy)
      return {{replaced.finding, finding_row(replaced.finding).error_number}};
  return expected_findings(strategy_of(row), circumstances(spec, row));
}

// The ledger's rows before anything is counted.
std::vector<LedgerRow> empty_rows(const RunSpec& spec, const Plan& plan) {
  std::vector<LedgerRow> rows;
  for (const PlannedRow& planned : plan.rows) {
    const Strategy& strategy = strategy_of(planned.row);
    LedgerRow row;
    row.strategy = strategy.name;
    row.watch = watch_row(planned.row.watch).name;
    row.probe = probe_row(planned.row.probe).name;
    row.family = strategy.family;
    row.skipped = planned.skipped;
    row.requested = planned.requested;
    if (planned.row.write_path != WritePath::none)
      row.write_path = write_path_row(planned.row.write_path).name;
    for (const Expected& expected : expectation(spec, planned.row))
      row.expected.emplace_back(finding_row(expected.finding).name);
    rows.push_back(std::move(row));
  }
  return rows;
}

// Whether the probe's own end may come. A peer that forgets answers the first packet by an RST, and
// the kernel of a frozen one answers all but heartbeats: nothing is predicted of when a probe gives
// them up.
bool ends_by_probe(const RunSpec& spec, const PlanRow& row) {
  if (strategy_of(row).silence == Silence::forgets) return false;
  const auto expected = expected_findings(strategy_of(row), circumstances(spec, row));
  return std::any_of(expected.begin(), expected.end(),
                     [&](const Expected& one) { return found_by_probe(row, one.finding); });
}

// What is known of a row's probe before the run. A peer that answers has nothing to be late
// against.
ProbeSums promise_of(const RunSpec& spec, const PlanRow& row) {
  ProbeSums sums;
  sums.nominal_ns = nominal_ns(row.probe, spec.probe_settings);
  const Prediction promise = prediction_of(circumstances(spec, row));
  sums.promised = promise.promised && sums.nominal_ns > 0 &&
                  strategy_of(row).finding == Finding::nothing && !stays_alive(strategy_of(row)) &&
                  ends_by_probe(spec, row);
  if (!sums.promised) return sums;
  sums.since = since_name(promise.since);
  for (const Span& span : promise.spans) sums.spans.emplace_back(span.least_ns, span.most_ns);
  return sums;
}

bool raises_sigpipe(const RunSpec& spec, WritePath path) {
  for (const SigpipeOverride& replaced : spec.expect_sigpipe)
    if (replaced.path == path) return replaced.raises;
  return write_path_row(path).raises_sigpipe;
}

// What became of one connection, seen from outside.
struct Fate {
  Finding finding = Finding::nothing;
  int error_number = 0;
  bool undecided = false;
  bool late = false;
  bool before_act = false;
};

// `lives`: nothing begins at its t0, so that its finding is one until the ledger is closed.
Fate fate_of(const VictimEnd& victim, const SurvivorEnd& survivor, bool lives, int64_t deadline_ns,
             int64_t closed_ns) {
  Fate fate;
  const bool found = survivor.flags & kConcluded;
  const int64_t until_ns = lives ? closed_ns : victim.issued_ns + deadline_ns;
  const bool acted = victim.issued_ns != 0;
  if (found && acted && survivor.found_ns > until_ns) {
    fate.late = true;  // right-censored, as if it had never been found
  } else if (found) {
    fate.finding = survivor.finding;
    fate.error_number = survivor.error_number;
    fate.before_act = !acted || survivor.found_ns < victim.issued_ns;
  } else if (closed_ns < until_ns) {
    fate.undecided = true;
  }
  return fate;
}

bool is_expected(const std::vector<Expected>& expected, const Fate& fate) {
  return std::any_of(expected.begin(), expected.end(), [&](const Expected& one) {
    // `other` stands for every errno without a row of its own.
    return one.finding == fate.finding &&
           (one.finding == Finding::other || one.error_number == fate.error_number);
  });
}

// A reset is sent once, and loopback drops what does not fit into a CPU's backlog without a word
// (enqueue_to_backlog): whoever only listens never learns of it.
bool told_by_a_reset(const std::vector<Expected>& expected) {
  return std::any_of(expected.begin(), expected.end(),
                     [](const Expected& one) { return one.finding == Finding::econnreset; });
}

void note_lost_resets(std::span<const int64_t> lost, RunResult& result) {
  for (size_t row = 0; row < lost.size(); ++row)
    if (lost[row] > 0)
      result.notes.push_back(fmt::format(
          "{} of {} under {} saw nothing, and not counted as unexpected: their resets may be among "
          "the {} packets that full backlogs dropped (net.core.netdev_max_backlog)",
          lost[row], result.ledger[row].strategy, watch_text(result.ledger[row]),
          result.backlog_drops));
}

// Injections, findings and expiries by bin; in_flight is their running difference. Bins become ten
// times as wide whenever there are too many.
class TimelineBuilder {
 public:
  void add(int64_t issued, int64_t ended, bool was_found) {
    ++bin(issued).injected;
    Bin& last = bin(std::max(issued, ended));
    ++last.ended;
    if (was_found) ++last.found;
  }
  std::vector<TimelineBin> build() const {
    std::vector<TimelineBin> timeline;
    int64_t in_flight = 0;
    for (const Bin& bin : bins_) {
      in_flight += bin.injected - bin.ended;
      const auto start_ns = static_cast<int64_t>(timeline.size()) * width_ns_;
      timeline.push_back({start_ns, width_ns_, bin.injected, bin.found, in_flight});
    }
    return timeline;
  }

 private:
  struct Bin {
    int64_t injected = 0, found = 0, ended = 0;
  };
  static constexpr int64_t kMostBins = 400, kWider = 10;

  Bin& bin(int64_t at_ns) {
    at_ns = std::max<int64_t>(0, at_ns);  // what happened before the start is in the first bin
    while (at_ns / width_ns_ >= kMostBins) widen();
    const auto index = static_cast<size_t>(at_ns / width_ns_);
    if (index >= bins_.size()) bins_.resize(index + 1);
    return bins_[index];
  }
  void widen() {
    std::vector<Bin> wide((bins_.size() + kWider - 1) / kWider);
    for (size_t i = 0; i < bins_.size(); ++i) {
      Bin& sum = wide[i / kWider];
      sum.injected += bins_[i].injected;
      sum.found += bins_[i].found;
      sum.ended += bins_[i].ended;
    }
    bins_ = std::move(wide);
    width_ns_ *= kWider;
  }
  std::vector<Bin> bins_;
  int64_t width_ns_ = kMillisecond_ns;
};

}  // namespace

namespace {

// Whether the run stood still while the survivor waited: from t0, or of a peer that lived from the
// last byte that came, to the finding or else to `until_ns`.
bool waited_in_stall(std::span<const Stall> stalls, int64_t shard, const VictimEnd& victim,
                     const SurvivorEnd& survivor, bool lived, int64_t until_ns) {
  const bool found = survivor.flags & kConcluded;
  if (stalls.empty() || (lived && !found) || (!lived && victim.issued_ns == 0)) return false;
  return overlaps(stalls, shard, lived ? survivor.silent_since_ns : victim.issued_ns,
                  found ? survivor.found_ns : until_ns);
}

}  // namespace

std::vector<Outcome> fill_ledger(const RunSpec& spec, const Plan& plan,
                                 std::span<const LedgerShard> shards, int64_t start_ns,
                                 int64_t closed_ns, RunResult& result) {
  result.ledger = empty_rows(spec, plan);
  std::vector<std::vector<Expected>> expected;
  for (const PlannedRow& row : plan.rows) {
    expected.push_back(expectation(spec, row.row));
    // The timer wheel lets the keepalives of many connections go out in one burst, and what does
    // not fit into a CPU's backlog is lost, answer or probe.
    const bool may_lose = result.backlog_drops > 0 && probe_row(row.row.probe).keepalive;
    if (may_lose && stays_alive(strategy_of(row.row)))
      expected.back().push_back({Finding::etimedout, finding_row(Finding::etimedout).error_number});
  }
  std::vector<int64_t> lost_resets(plan.rows.size());
  int64_t drops_left = result.backlog_drops;
  std::vector<ProbeLedger> probing;
  for (const PlannedRow& row : plan.rows) probing.emplace_back(promise_of(spec, row.row));
  std::map<std::tuple<size_t, Finding, bool>, int64_t> outcomes;
  TimelineBuilder timeline;
  int64_t first_issued_ns = 0, last_issued_ns = 0, last_found_ns = 0, injected = 0;
  const bool survivor_listens = spec.survivor == Side::server;

  for (const LedgerShard& shard : shards) {
    for (uint32_t slot = 0; slot < shard.acceptor_of->size(); ++slot) {
      const uint32_t acceptor = (*shard.acceptor_of)[slot];
      if (acceptor == kNoPair) {
        const bool victim_connects = survivor_listens;
        const VictimEnd& victim = shard.view->victims[slot];
        const SurvivorEnd& survivor = shard.view->survivors[slot];
        LedgerRow& row = result.ledger[victim_connects ? victim.row : survivor.row];
        ++row.not_established;
        ++row.not_established_by[victim_connects ? victim.open_error : survivor.open_error];
        continue;
      }
      const uint32_t victim_slot = survivor_listens ? slot : acceptor;
      const uint32_t survivor_slot = survivor_listens ? acceptor : slot;
      const VictimEnd& victim = shard.view->victims[victim_slot];
      const SurvivorEnd& survivor = shard.view->survivors[survivor_slot];
      const bool writes = !shard.view->writes.empty();
      LedgerRow& row = result.ledger[victim.row];
      ++row.established;
      row.bytes_received += survivor.bytes_received;
      row.bytes_sent += victim.bytes_sent;

      const bool acted = victim.issued_ns != 0 && victim.act_error == 0;
      const bool early = (survivor.flags & kConcluded) && !acted;
      const PlanRow& cell = plan.rows[victim.row].row;
      const bool lives = stays_alive(strategy_of(cell));
      Fate fate = fate_of(victim, survivor, lives, spec.deadline_ns, closed_ns);
      fate.before_act |= early;
      // A peer that is declared dead while it lives is a false alarm, which a heartbeat may be.
      const bool lived = lives || fate.before_act;
      const bool declared =
          (survivor.flags & kConcluded) && !fate.late && found_by_probe(cell, survivor.finding);
      const bool stalled =
          waited_in_stall(result.stalls, &shard - shards.data(), victim, survivor, lived,
                          std::min(victim.issued_ns + spec.deadline_ns, closed_ns));
      row.stalled += stalled;
      if ((lived || peer_lives(strategy_of(cell))) && declared)
        probing[victim.row].add_false_alarm(stalled);
      if (lived && declared && is_expected(expected[victim.row], fate)) fate.before_act = false;
      if (declared && !lived) probing[victim.row].add_death(victim, survivor);
      if (lives && sends_heartbeats(cell)) {
        probing[victim.row].add_silence(survivor.longest_silence_ns);
        // The silence that raised the alarm is one, too.
        if (declared) probing[victim.row].add_silence(survivor.found_ns - survivor.silent_since_ns);
      }

      row.not_torn_down += !acted;
      if (!acted && !early && !victim.act_error) continue;  // interrupted before its turn
      const bool as_expected = fate.undecided || is_expected(expected[victim.row], fate);
      const bool lost_reset = !as_expected && !victim.act_error && drops_left > 0 &&
                              fate.finding == Finding::nothing && !fate.late &&
                              told_by_a_reset(expected[victim.row]);
      lost_resets[victim.row] += lost_reset;
      drops_left -= lost_reset;
      const bool surprising = victim.act_error || fate.before_act || (!as_expected && !lost_reset);
      if (surprising) {
        ++row.unexpected;
        if (result.surprises.size() < kMostSurprises) {
          std::string names = fmt::format("{}", row.expected.front());
          for (size_t i = 1; i < row.expected.size(); ++i) names += "|" + row.expected[i];
          result.surprises.push_back(
              {victim.pair, row.strategy, watch_text(row), row.probe,
               format_address(spec.family, survivor.tuple.local), names,
               victim.act_error ? "failed act" : std::string(finding_row(fate.finding).name),
               errno_name(victim.act_error ? victim.act_error : fate.error_number),
               fate.before_act});
        }
      }
      if (!acted) continue;

      ++row.torn_down;
      ++injected;
      if (writes) {
        const PlanRow& planned = plan.rows[victim.row].row;
        const std::string wrong =
            add_writes({&planned, &victim, &shard.view->writes[survivor_slot],
                        &shard.view->reads[victim_slot], raises_sigpipe(spec, planned.write_path)},
                       spec.sigpipe, row.writes);
        if (!wrong.empty() && result.surprises.size() < kMostSurprises)
          result.surprises.push_back({victim.pair, row.strategy, watch_text(row), row.probe,
                                      format_address(spec.family, survivor.tuple.local),
                                      "sums that add up", wrong, "0", false});
      }
      const bool found = fate.finding != Finding::nothing;
      row.found += found;
      row.undecided += fate.undecided;
      row.late += fate.late;
      if (!found && !fate.undecided) ++row.nothing;
      if (!fate.undecided) ++row.findings[static_cast<size_t>(fate.finding)];
      const Finding seen = fate.late ? survivor.finding : fate.finding;
      ++outcomes[{victim.row, seen, fate.late}];

      const int64_t due_ns = start_ns + victim.scheduled_ns;
      if (found && !fate.before_act && !lived) {
        row.issued.record(survivor.found_ns - victim.issued_ns);
        row.scheduled.record(survivor.found_ns - due_ns);
        if (survivor.written_ns) row.written.record(survivor.found_ns - survivor.written_ns);
      }
      first_issued_ns =
          first_issued_ns ? std::min(first_issued_ns, victim.issued_ns) : victim.issued_ns;
      last_issued_ns = std::max(last_issued_ns, victim.issued_ns);
      if (found) last_found_ns = std::max(last_found_ns, survivor.found_ns);
      const int64_t ended_ns =
          found ? survivor.found_ns : std::min(victim.issued_ns + spec.deadline_ns, closed_ns);
      timeline.add(victim.issued_ns - start_ns, std::max(ended_ns, victim.issued_ns) - start_ns,
                   found);
      if (spec.keep_events) {
        Event event;
        event.pair = victim.pair;
        event.row = victim.row;
        event.victim_address = format_address(spec.family, victim.tuple.local);
        event.survivor_address = format_address(spec.family, survivor.tuple.local);
        event.scheduled_ns = victim.scheduled_ns;
        event.issued_ns = victim.issued_ns - start_ns;
        if (found) event.found_ns = survivor.found_ns - start_ns;
        if (survivor.written_ns) event.written_ns = survivor.written_ns - start_ns;
        event.finding = fate.undecided ? "undecided" : finding_row(fate.finding).name;
        event.error = errno_name(fate.error_number);
        event.bytes_received = survivor.bytes_received;
        if (writes) {
          const WriteRecord& write = shard.view->writes[survivor_slot];
          event.writes_accepted_after_act = write.accepted_after_act;
          event.writes_accepted_after_fin = write.accepted_after_fin;
          event.sigpipes = write.sigpipes;
          event.first_error = errno_name(write.first_error);
          event.second_error = errno_name(write.second_error);
        }
        result.events.push_back(std::move(event));
      }
    }
  }
  for (size_t row = 0; row < probing.size(); ++row)
    result.ledger[row].probing = probing[row].take();
  note_lost_resets(lost_resets, result);
  std::sort(result.events.begin(), result.events.end(),
            [](const Event& a, const Event& b) { return a.pair < b.pair; });
  result.timeline = timeline.build();
  if (last_found_ns > first_issued_ns) result.span_ns = last_found_ns - first_issued_ns;
  result.requested_rate = spec.arrivals_per_second;
  if (spec.arrival != Arrival::storm && injected > 1 && last_issued_ns > start_ns) {
    // The schedule's own length is the yardstick: a Poisson process has none other.
    int64_t last_due_ns = 0;
    for (const LedgerShard& shard : shards)
      for (const VictimEnd& end : shard.view->victims)
        if (end.issued_ns && end.act_error == 0)
          last_due_ns = std::max(last_due_ns, end.scheduled_ns);
    result.achieved_rate = spec.arrivals_per_second * static_cast<double>(last_due_ns) /
                           static_cast<double>(last_issued_ns - start_ns);
  }
  std::vector<Outcome> list;
  for (const auto& [key, connections] : outcomes)
    list.push_back(
        {plan.rows[std::get<0>(key)].row, std::get<1>(key), std::get<2>(key), connections});
  return list;
}

void count_alive(const Plan& plan, const std::vector<SilentPair>& silent, RunResult& result) {
  for (size_t i = 0; i < result.ledger.size(); ++i) {
    const PlanRow& planned = plan.rows[i].row;
    const bool asked = strategy_of(planned).silence == Silence::returns &&
                       !engine_row(watch_row(planned.watch).engine).only_writes;
    if (asked) result.ledger[i].alive = result.ledger[i].nothing;
  }
  for (const SilentPair& one : silent) {
    LedgerRow& row = result.ledger[one.row];
    --row.alive;
    ++row.unexpected;
    if (result.surprises.size() < kMostSurprises)
      result.surprises.push_back({one.pair, row.strategy, row.watch, row.probe, "", "an echo",
                                  "no echo after the path came back", "0", false});
  }
}

Status not_established(const RunResult& result) {
  std::map<int, int64_t> by_error;
  int64_t requested = 0, missing = 0;
  for (const LedgerRow& row : result.ledger) {
    requested += row.requested;
    missing += row.not_established;
    for (const auto& [error, connections] : row.not_established_by)
      if (error != 0) by_error[error] += connections;
  }
  if (by_error.empty()) return std::nullopt;
  const auto most =
      std::max_element(by_error.begin(), by_error.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return make_error(
      fmt::format("{} of {} connections could not be made: connect or accept", missing, requested),
      most->first, "");
}

RunStatus judge(const RunSpec& spec, const RunResult& result, bool interrupted) {
  const auto any = [&](auto predicate) {
    return std::any_of(result.ledger.begin(), result.ledger.end(), predicate);
  };
  if (not_established(result)) return RunStatus::no_resources;
  if (interrupted) return RunStatus::interrupted;
  // On the host's network other programs move the counters, too: reported, not an error.
  if (!result.balanced && result.exclusive) return RunStatus::unbalanced;
  if (any([](const LedgerRow& row) { return !row.whole(false); })) return RunStatus::unbalanced;
  if (result.sigpipes_unblamed != 0 ||
      any([](const LedgerRow& row) { return row.writes.unexplained > 0; }))
    return RunStatus::unbalanced;
  if (any([](const LedgerRow& row) { return row.unexpected > 0; }))
    return RunStatus::unmet_expectation;
  const bool slow_deaths = spec.arrival != Arrival::storm && result.achieved_rate > 0 &&
                           result.achieved_rate < kSlowest * result.requested_rate;
  if (slow_deaths) return RunStatus::too_slow;
  return RunStatus::ok;
}

}  // namespace lastack
