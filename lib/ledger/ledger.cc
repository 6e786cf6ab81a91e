#include "ledger/ledger.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "base/assert.h"
#include "base/clock.h"
#include "ledger/stalls.h"

namespace lastack {
namespace {

constexpr size_t kMostSurprises = 100;
constexpr double kSlowest = 0.95;  // share of the requested rate that counts as achieved

// Whether the probe's own end may come. A peer that forgets answers the first packet by an RST, and
// the kernel of a frozen one answers all but heartbeats: nothing is predicted of when a probe gives
// them up.
bool ends_by_probe(const PlannedRow& planned) {
  if (strategy_of(planned.row).silence == Silence::forgets) return false;
  const auto expected = expected_findings(strategy_of(planned.row), planned.when);
  return std::any_of(expected.begin(), expected.end(),
                     [&](const Expected& one) { return found_by_probe(planned.row, one.finding); });
}

// What is known of a row's probe before the run. A peer that answers has nothing to be late
// against.
ProbeSums promise_of(const PlannedRow& planned) {
  const Strategy& strategy = strategy_of(planned.row);
  ProbeSums sums;
  sums.nominal_ns = nominal_ns(planned.row.probe, planned.when.settings);
  sums.promised = planned.promise.promised && sums.nominal_ns > 0 &&
                  strategy.finding == Finding::nothing && !stays_alive(strategy) &&
                  ends_by_probe(planned);
  if (!sums.promised) return sums;
  sums.since = since_name(planned.promise.since);
  for (const Span& span : planned.promise.spans)
    sums.spans.emplace_back(span.least_ns, span.most_ns);
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

// Whether the run stood still while the survivor waited: from t0, or of a peer that lived from the
// last byte that came, to the finding or else to `until_ns`.
bool waited_in_stall(std::span<const Stall> stalls, int64_t shard, const VictimEnd& victim,
                     const SurvivorEnd& survivor, bool lived, int64_t until_ns) {
  const bool found = survivor.flags & kConcluded;
  if (stalls.empty() || (lived && !found) || (!lived && victim.issued_ns == 0)) return false;
  return overlaps(stalls, shard, lived ? survivor.silent_since_ns : victim.issued_ns,
                  found ? survivor.found_ns : until_ns);
}

// What the two ends of one connection left behind.
struct Ends {
  const VictimEnd& victim;
  const SurvivorEnd& survivor;
  const WriteRecord* write;  // null where survivors do not write
  const ReadRecord* read;
  int64_t shard;
};

// What became of a connection, as seen by the plan.
struct Settled {
  Fate fate;
  bool acted;     // its peer was made to go away, and could be
  bool early;     // found without that
  bool lived;     // its peer was alive when it was found, or is
  bool declared;  // dead, by its probe
  bool stalled;
  // Never had its turn, for the run was interrupted.
  bool untouched(const VictimEnd& victim) const { return !acted && !early && !victim.act_error; }
  bool found() const { return fate.finding != Finding::nothing; }
};

// One run's ledger in the making.
class Filler {
 public:
  Filler(const RunSpec& spec, const Plan& plan, int64_t start_ns, int64_t closed_ns,
         RunResult& result)
      : spec_(spec),
        plan_(plan),
        start_ns_(start_ns),
        closed_ns_(closed_ns),
        result_(result),
        lost_resets_(plan.rows.size()),
        drops_left_(result.backlog_drops) {
    result.ledger = ledger_rows(plan.rows);
    for (const PlannedRow& planned : plan.rows) {
      expected_.push_back(planned.expected);
      // The timer wheel lets the keepalives of many connections go out in one burst, and what does
      // not fit into a CPU's backlog is lost, answer or probe.
      const bool may_lose = result.backlog_drops > 0 && probe_row(planned.row.probe).keepalive;
      if (may_lose && stays_alive(strategy_of(planned.row)))
        expected_.back().push_back(
            {Finding::etimedout, finding_row(Finding::etimedout).error_number});
      probing_.emplace_back(promise_of(planned));
    }
  }

  void count_missing(const VictimEnd& victim, const SurvivorEnd& survivor);
  void count(const Ends& ends);
  // After the last connection.
  std::vector<Outcome> close(std::span<const LedgerShard> shards);

 private:
  Settled settle(const Ends& ends) const;
  void count_probing(const Ends& ends, const Settled& settled);
  void count_surprise(const Ends& ends, const Settled& settled);
  void count_finding(const Ends& ends, const Settled& settled);
  void count_writes(const Ends& ends);
  void time(const Ends& ends, const Settled& settled);
  void keep_event(const Ends& ends, const Settled& settled);
  void surprise(const Ends& ends, Surprise what);
  void count_rates(std::span<const LedgerShard> shards);

  const RunSpec& spec_;
  const Plan& plan_;
  const int64_t start_ns_, closed_ns_;
  RunResult& result_;
  std::vector<std::vector<Expected>> expected_;  // by row
  std::vector<ProbeLedger> probing_;
  std::vector<int64_t> lost_resets_;
  int64_t drops_left_;
  std::map<std::tuple<size_t, Finding, bool>, int64_t> outcomes_;
  TimelineBuilder timeline_;
  int64_t first_issued_ns_ = 0, last_issued_ns_ = 0, last_found_ns_ = 0, injected_ = 0;
};

void Filler::count_missing(const VictimEnd& victim, const SurvivorEnd& survivor) {
  const bool victim_connects = spec_.survivor == Side::server;
  LedgerRow& row = result_.ledger[victim_connects ? victim.row : survivor.row];
  ++row.not_established;
  ++row.not_established_by[victim_connects ? victim.open_error : survivor.open_error];
}

Settled Filler::settle(const Ends& ends) const {
  const auto& [victim, survivor, write, read, shard] = ends;
  const PlanRow& cell = plan_.rows[victim.row].row;
  const bool lives = stays_alive(strategy_of(cell));
  const bool concluded = survivor.flags & kConcluded;
  Settled settled{};
  settled.acted = victim.issued_ns != 0 && victim.act_error == 0;
  settled.early = concluded && !settled.acted;
  Fate& fate = settled.fate = fate_of(victim, survivor, lives, spec_.deadline_ns, closed_ns_);
  fate.before_act |= settled.early;
  settled.lived = lives || fate.before_act;
  settled.declared = concluded && !fate.late && found_by_probe(cell, survivor.finding);
  settled.stalled = waited_in_stall(result_.stalls, shard, victim, survivor, settled.lived,
                                    std::min(victim.issued_ns + spec_.deadline_ns, closed_ns_));
  // A peer that is declared dead while it lives is a false alarm, which a heartbeat may be.
  if (settled.lived && settled.declared && is_expected(expected_[victim.row], fate))
    fate.before_act = false;
  return settled;
}

void Filler::count(const Ends& ends) {
  LASTACK_ASSERT(ends.victim.row < plan_.rows.size(), ends.victim.row, ends.victim.pair);
  LASTACK_ASSERT(ends.victim.pair == ends.survivor.pair, ends.victim.pair, ends.survivor.pair);
  LedgerRow& row = result_.ledger[ends.victim.row];
  ++row.established;
  row.bytes_received += ends.survivor.bytes_received;
  row.bytes_sent += ends.victim.bytes_sent;
  const Settled settled = settle(ends);
  row.stalled += settled.stalled;
  row.not_torn_down += !settled.acted;
  count_probing(ends, settled);
  if (settled.untouched(ends.victim)) return;
  count_surprise(ends, settled);
  if (!settled.acted) return;
  ++row.torn_down;
  if (ends.write) count_writes(ends);
  count_finding(ends, settled);
  time(ends, settled);
  if (spec_.keep_events) keep_event(ends, settled);
}

void Filler::count_probing(const Ends& ends, const Settled& settled) {
  const SurvivorEnd& survivor = ends.survivor;
  const PlanRow& cell = plan_.rows[ends.victim.row].row;
  ProbeLedger& probing = probing_[ends.victim.row];
  if (settled.declared && (settled.lived || peer_lives(strategy_of(cell))))
    probing.add_false_alarm(settled.stalled);
  if (settled.declared && !settled.lived) probing.add_death(ends.victim, survivor);
  if (!stays_alive(strategy_of(cell)) || !sends_heartbeats(cell)) return;
  probing.add_silence(survivor.longest_silence_ns);
  // The silence that raised the alarm is one, too.
  if (settled.declared) probing.add_silence(survivor.found_ns - survivor.silent_since_ns);
}

void Filler::surprise(const Ends& ends, Surprise what) {
  if (result_.surprises.size() >= kMostSurprises) return;
  const LedgerRow& row = result_.ledger[ends.victim.row];
  what.pair = ends.victim.pair;
  what.strategy = row.strategy;
  what.watch = watch_text(row);
  what.probe = row.probe;
  what.survivor_address = format_address(spec_.family, ends.survivor.tuple.local);
  result_.surprises.push_back(std::move(what));
}

void Filler::count_surprise(const Ends& ends, const Settled& settled) {
  const VictimEnd& victim = ends.victim;
  const Fate& fate = settled.fate;
  const auto& expected = expected_[victim.row];
  const bool as_expected = fate.undecided || is_expected(expected, fate);
  const bool lost_reset = !as_expected && !victim.act_error && drops_left_ > 0 &&
                          fate.finding == Finding::nothing && !fate.late &&
                          told_by_a_reset(expected);
  lost_resets_[victim.row] += lost_reset;
  drops_left_ -= lost_reset;
  if (!victim.act_error && !fate.before_act && (as_expected || lost_reset)) return;
  LedgerRow& row = result_.ledger[victim.row];
  ++row.unexpected;
  Surprise what;
  what.expected = fmt::format("{}", fmt::join(row.expected, "|"));
  what.seen = victim.act_error ? "failed act" : std::string(finding_row(fate.finding).name);
  what.error = errno_name(victim.act_error ? victim.act_error : fate.error_number);
  what.before_act = fate.before_act;
  surprise(ends, std::move(what));
}

void Filler::count_writes(const Ends& ends) {
  const PlanRow& cell = plan_.rows[ends.victim.row].row;
  const std::string wrong = add_writes(
      {&cell, &ends.victim, ends.write, ends.read, raises_sigpipe(spec_, cell.write_path)},
      spec_.writing.sigpipe, result_.ledger[ends.victim.row].writes);
  if (wrong.empty()) return;
  Surprise what;
  what.expected = "sums that add up";
  what.seen = wrong;
  what.error = "0";
  surprise(ends, std::move(what));
}

void Filler::count_finding(const Ends& ends, const Settled& settled) {
  const auto& [victim, survivor, write, read, shard] = ends;
  const Fate& fate = settled.fate;
  LedgerRow& row = result_.ledger[victim.row];
  const bool found = settled.found();
  row.found += found;
  row.undecided += fate.undecided;
  row.late += fate.late;
  if (!found && !fate.undecided) ++row.nothing;
  if (!fate.undecided) ++row.findings[static_cast<size_t>(fate.finding)];
  const Finding seen = fate.late ? survivor.finding : fate.finding;
  ++outcomes_[{victim.row, seen, fate.late}];
  if (!found || fate.before_act || settled.lived) return;
  row.issued.record(survivor.found_ns - victim.issued_ns);
  row.scheduled.record(survivor.found_ns - (start_ns_ + victim.scheduled_ns));
  if (survivor.written_ns) row.written.record(survivor.found_ns - survivor.written_ns);
}

void Filler::time(const Ends& ends, const Settled& settled) {
  const int64_t issued_ns = ends.victim.issued_ns, found_ns = ends.survivor.found_ns;
  ++injected_;
  first_issued_ns_ = first_issued_ns_ ? std::min(first_issued_ns_, issued_ns) : issued_ns;
  last_issued_ns_ = std::max(last_issued_ns_, issued_ns);
  if (settled.found()) last_found_ns_ = std::max(last_found_ns_, found_ns);
  const int64_t ended_ns =
      settled.found() ? found_ns : std::min(issued_ns + spec_.deadline_ns, closed_ns_);
  timeline_.add(issued_ns - start_ns_, std::max(ended_ns, issued_ns) - start_ns_, settled.found());
}

void Filler::keep_event(const Ends& ends, const Settled& settled) {
  const auto& [victim, survivor, write, read, shard] = ends;
  const Fate& fate = settled.fate;
  Event event;
  event.pair = victim.pair;
  event.row = victim.row;
  event.victim_address = format_address(spec_.family, victim.tuple.local);
  event.survivor_address = format_address(spec_.family, survivor.tuple.local);
  event.scheduled_ns = victim.scheduled_ns;
  event.issued_ns = victim.issued_ns - start_ns_;
  if (settled.found()) event.found_ns = survivor.found_ns - start_ns_;
  if (survivor.written_ns) event.written_ns = survivor.written_ns - start_ns_;
  event.finding = fate.undecided ? "undecided" : finding_row(fate.finding).name;
  event.error = errno_name(fate.error_number);
  event.bytes_received = survivor.bytes_received;
  if (write) {
    event.writes_accepted_after_act = write->accepted_after_act;
    event.writes_accepted_after_fin = write->accepted_after_fin;
    event.sigpipes = write->sigpipes;
    event.first_error = errno_name(write->first_error);
    event.second_error = errno_name(write->second_error);
  }
  result_.events.push_back(std::move(event));
}

void Filler::count_rates(std::span<const LedgerShard> shards) {
  if (last_found_ns_ > first_issued_ns_) result_.span_ns = last_found_ns_ - first_issued_ns_;
  result_.requested_rate = spec_.arrivals_per_second;
  if (spec_.arrival == Arrival::storm || injected_ <= 1 || last_issued_ns_ <= start_ns_) return;
  // The schedule's own length is the yardstick: a Poisson process has none other.
  int64_t last_due_ns = 0;
  for (const LedgerShard& shard : shards)
    for (const VictimEnd& end : shard.view->victims)
      if (end.issued_ns && end.act_error == 0)
        last_due_ns = std::max(last_due_ns, end.scheduled_ns);
  result_.achieved_rate = spec_.arrivals_per_second * static_cast<double>(last_due_ns) /
                          static_cast<double>(last_issued_ns_ - start_ns_);
}

std::vector<Outcome> Filler::close(std::span<const LedgerShard> shards) {
  for (const LedgerRow& row : result_.ledger) {
    LASTACK_ASSERT(row.established == row.torn_down + row.not_torn_down, row.established,
                   row.torn_down, row.not_torn_down);
    LASTACK_ASSERT(row.torn_down == row.found + row.nothing + row.undecided, row.torn_down,
                   row.found, row.nothing, row.undecided);
  }
  for (size_t row = 0; row < probing_.size(); ++row)
    result_.ledger[row].probing = probing_[row].take();
  note_lost_resets(lost_resets_, result_);
  std::sort(result_.events.begin(), result_.events.end(),
            [](const Event& a, const Event& b) { return a.pair < b.pair; });
  result_.timeline = timeline_.build();
  count_rates(shards);
  std::vector<Outcome> list;
  for (const auto& [key, connections] : outcomes_)
    list.push_back({std::get<0>(key), std::get<1>(key), std::get<2>(key), connections});
  return list;
}

}  // namespace

std::vector<LedgerRow> ledger_rows(std::span<const PlannedRow> planned_rows) {
  std::vector<LedgerRow> rows;
  for (const PlannedRow& planned : planned_rows) {
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
    for (const Expected& expected : planned.expected)
      row.expected.emplace_back(finding_row(expected.finding).name);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<Outcome> fill_ledger(const RunSpec& spec, const Plan& plan,
                                 std::span<const LedgerShard> shards, int64_t start_ns,
                                 int64_t closed_ns, RunResult& result) {
  Filler filler(spec, plan, start_ns, closed_ns, result);
  const bool survivor_listens = spec.survivor == Side::server;
  for (const LedgerShard& shard : shards) {
    const ShardView& view = *shard.view;
    for (uint32_t slot = 0; slot < shard.acceptor_of->size(); ++slot) {
      const uint32_t acceptor = (*shard.acceptor_of)[slot];
      if (acceptor == kNoPair) {
        filler.count_missing(view.victims[slot], view.survivors[slot]);
        continue;
      }
      const uint32_t victim = survivor_listens ? slot : acceptor;
      const uint32_t survivor = survivor_listens ? acceptor : slot;
      const bool writes = !view.writes.empty();
      filler.count({view.victims[victim], view.survivors[survivor],
                    writes ? &view.writes[survivor] : nullptr,
                    writes ? &view.reads[victim] : nullptr, &shard - shards.data()});
    }
  }
  return filler.close(shards);
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
