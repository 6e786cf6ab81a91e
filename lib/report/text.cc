#include "report/text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/modes.h"
#include "base/table.h"
#include "base/time_unit.h"
#include "ledger/quantities.h"
#include "report/cost_text.h"
#include "report/csv.h"
#include "report/json_text.h"
#include "report/schema.h"

namespace lastack {
namespace {

// Times of a run as its tables show them.
struct Durations {
  TimeUnit unit;
  std::string operator()(int64_t duration_ns) const {
    return format_rounded_duration(static_cast<double>(duration_ns), unit);
  }
  // Of a distribution, which may be empty.
  std::string operator()(int64_t count, int64_t duration_ns) const {
    return count > 0 ? (*this)(duration_ns) : "-";
  }
};

// One list of the model: name and the cells behind it. The three formats render the same rows.
struct Listing {
  std::string title;
  Cells header;
  std::vector<Cells> rows;

  Table table() const {
    Table table(header, header.size());
    for (const Cells& row : rows) table.add(row);
    return table;
  }
};

// "OutRsts 1..2 EstabResets 1": what one connection moves, at least and at most.
std::string counters_text(const Strategy& strategy) {
  std::vector<std::string> parts;
  for (const CounterRow& counter : kCounters) {
    const int64_t least = strategy.changes[counter.id];
    const int64_t most = least + strategy.may_add[counter.id];
    if (most == 0) continue;
    parts.push_back(least == most ? fmt::format("{} {}", counter.name, least)
                                  : fmt::format("{} {}..{}", counter.name, least, most));
  }
  return parts.empty() ? "none" : fmt::format("{}", fmt::join(parts, " "));
}

std::vector<Listing> listings() {
  std::vector<Listing> lists;
  Listing strategy_list{
      "strategies",
      {"name", "family", "scope", "on the wire", "act", "expected", "counters", "needs", "help"},
      {}};
  for (const Strategy& row : strategies())
    strategy_list.rows.push_back({std::string(row.name), std::string(row.family),
                                  std::string(scope_name(row.scope)), std::string(row.wire),
                                  std::string(step_name(row.act)),
                                  std::string(finding_row(row.finding).name), counters_text(row),
                                  std::string(need_name(row.need)), std::string(row.help)});
  lists.push_back(std::move(strategy_list));
  const auto simple = [&](std::string title, const auto& rows) {
    Listing list{std::move(title), {"name", "help"}, {}};
    for (const auto& row : rows)
      list.rows.push_back({std::string(row.name), std::string(row.help)});
    lists.push_back(std::move(list));
  };
  Listing watch_list{"watches", {"name", "engine", "help"}, {}};
  for (const WatchRow& row : watches())
    watch_list.rows.push_back(
        {std::string(row.name), std::string(engine_row(row.engine).name), std::string(row.help)});
  lists.push_back(std::move(watch_list));
  Listing engine_list{"engines", {"name", "connections a process", "help"}, {}};
  for (const EngineRow& row : engines())
    engine_list.rows.push_back({std::string(row.name),
                                row.most_connections == 0
                                    ? "as many as open files"
                                    : fmt::format("{}: {}", row.most_connections, row.limit),
                                std::string(row.help)});
  lists.push_back(std::move(engine_list));
  Listing path_list{"write paths", {"name", "by", "SIGPIPE on EPIPE", "needs", "help"}, {}};
  for (const WritePathRow& row : write_paths())
    path_list.rows.push_back({std::string(row.name), row.ring ? "io_uring" : "system call",
                              row.raises_sigpipe ? "yes" : "no",
                              std::string(write_need_name(row.need)), std::string(row.help)});
  lists.push_back(std::move(path_list));
  simple("before a write", before_writes());
  simple("ways with SIGPIPE", sigpipe_modes());
  simple("probes", probes());
  simple("loads", loads());
  simple("findings", kFindings);
  simple("ring modes", ring_modes());
  simple("counters", kCounters);
  simple("exit codes", run_statuses());
  Listing quantity_list{"quantities of a cost", {"name", "unit", "help"}, {}};
  for (const suite::QuantityRow& row : suite::quantities())
    quantity_list.rows.push_back(
        {std::string(row.name), std::string(row.unit), std::string(row.help)});
  lists.push_back(std::move(quantity_list));
  for (const CsvSchema& file : csv_schemas()) {
    Listing list{fmt::format("columns of {}", file.name), {"name", "help"}, {}};
    for (const auto& [name, help] : file.columns)
      list.rows.push_back({std::string(name), std::string(help)});
    lists.push_back(std::move(list));
  }
  return lists;
}

// What became of the writes, a line a row.
void append_writes(const RunResult& result, std::string& text) {
  Table table(
      {"strategy", "probe", "write path", "attempted", "accepted", "failed", "neither", "after t0",
       "bytes", "delivered", "lost", "queued", "untold", "SIGPIPE", "predicted", "first error"},
      3);
  for (const LedgerRow& row : result.ledger) {
    if (row.write_path.empty() || !row.skipped.empty()) continue;
    const WriteSums& sums = row.writes;
    std::string errors = errors_text(sums.first_errors);
    std::replace(errors.begin(), errors.end(), ';', ' ');
    if (sums.unexplained > 0) errors += fmt::format("  ({} UNEXPLAINED)", sums.unexplained);
    table.add({row.strategy, row.probe, row.write_path, grouped(sums.attempted),
               grouped(sums.accepted), grouped(sums.errors),
               grouped(sums.would_block + sums.cancelled), grouped(sums.accepted_after_act),
               grouped(sums.accepted_bytes), grouped(sums.delivered_bytes),
               grouped(sums.lost_bytes), grouped(sums.queued_bytes), grouped(sums.untold_bytes),
               grouped(sums.sigpipes), grouped(sums.sigpipes_predicted), errors});
  }
  if (table.rows() == 0) return;
  text += table.text();
  text +=
      "attempted = accepted + failed + neither (no room, or cancelled); after t0: of the accepted\n"
      "bytes (accepted) = delivered (read by the victims) + lost + queued + untold (of a process\n"
      "that was killed or frozen, which cannot say whether it read them)\n\n";
}

std::string spans_text(const ProbeSums& sums, Durations duration) {
  std::vector<std::string> parts;
  for (const auto& [least, most] : sums.spans)
    parts.push_back(fmt::format("{}..{}", duration(least), duration(most)));
  return fmt::format("{}", fmt::join(parts, " or "));
}

// How late the probes were, and whom they took for dead.
void append_probing(const RunResult& result, std::string& text) {
  const Durations duration{result.time_unit};
  Table table(
      {"strategy", "watch", "probe", "configured", "predicted", "since", "found late by: p50",
       "p99", "max", "early", "within", "later", "false alarms", "longest silence"},
      3);
  for (const LedgerRow& row : result.ledger) {
    const ProbeSums& sums = row.probing;
    const bool watched = sums.longest_silence_ns > 0 || sums.false_alarms > 0;
    if (!row.skipped.empty() || (!sums.promised && !watched)) continue;
    const auto late = [&](int64_t value) { return duration(sums.after_predicted.count, value); };
    const auto of_promise = [&](const std::string& shown) {
      return sums.promised ? shown : std::string("-");
    };
    table.add({row.strategy, watch_text(row), row.probe, of_promise(duration(sums.nominal_ns)),
               of_promise(spans_text(sums, duration)), of_promise(sums.since),
               late(sums.after_predicted.p50_ns), late(sums.after_predicted.p99_ns),
               late(sums.after_predicted.max_ns), of_promise(grouped(sums.early)),
               of_promise(grouped(sums.within)), of_promise(grouped(sums.later)),
               grouped(sums.false_alarms),
               duration(sums.longest_silence_ns, sums.longest_silence_ns)});
  }
  if (table.rows() == 0) return;
  text += table.text();
  text +=
      "predicted before the run, since the last packet or byte was heard, the first unanswered "
      "message\n"
      "was written, or the window was shut; late: after the earliest predicted time; longest "
      "silence:\n"
      "between two bytes of a live peer\n\n";
}

void append_checks(const RunResult& result, std::string& text) {
  int64_t wrong = 0;
  for (const Check& check : result.checks) wrong += !check.ok;
  const char* exclusive = result.exclusive ? "" : " (not exclusive: the host's counters)";
  if (wrong == 0) {
    text += fmt::format("counters  {} checks against the kernel's own counters agree{}\n",
                        result.checks.size(), exclusive);
    return;
  }
  text += fmt::format("counters  {} of {} checks DISAGREE with the kernel{}\n", wrong,
                      result.checks.size(), exclusive);
  for (const Check& check : result.checks) {
    if (check.ok) continue;
    const std::string wanted = check.least == check.most
                                   ? grouped(check.least)
                                   : fmt::format("{}..{}", check.least, check.most);
    text += fmt::format("          {} ({}): expected {}, observed {}\n", check.counter, check.phase,
                        wanted, grouped(check.observed));
  }
}

void append_surprises(const RunResult& result, std::string& text) {
  constexpr size_t kShown = 10;
  for (size_t i = 0; i < std::min(result.surprises.size(), kShown); ++i) {
    const Surprise& one = result.surprises[i];
    text += fmt::format(
        "          connection {} ({}, {}, {}, survivor {}): expected {}, saw {}{}{}\n", one.pair,
        one.strategy, one.watch, one.probe, one.survivor_address, one.expected, one.seen,
        one.error == "0" ? "" : fmt::format(" (errno {})", one.error),
        one.before_act ? " before the act" : "");
  }
  if (result.surprises.size() > kShown) text += "          ... more in run.json\n";
}

// A row's findings and what is wrong with them: "econnreset=833 nothing=2  (1 UNEXPECTED)".
std::string findings_cell(const LedgerRow& row) {
  std::string findings = findings_text(row);
  if (row.nothing > 0)
    findings += fmt::format("{}nothing={}", findings.empty() ? "" : ";", row.nothing);
  std::replace(findings.begin(), findings.end(), ';', ' ');
  if (row.unexpected > 0) findings += fmt::format("  ({} UNEXPECTED)", row.unexpected);
  if (row.not_established > 0)
    findings += fmt::format("{}not established: {}", findings.empty() ? "" : "  ",
                            not_established_text(row));
  return findings;
}

std::string ledger_table(const RunResult& result, const LedgerRow& all) {
  Table table({"strategy", "watch", "probe", "requested", "found", "nothing", "p50", "p90", "p99",
               "p99.9", "max", "findings"},
              3);
  const Durations duration{result.time_unit};
  for (const LedgerRow& row : result.ledger) {
    if (!row.skipped.empty()) {
      table.add({row.strategy, watch_text(row), row.probe, "0", "-", "-", "-", "-", "-", "-", "-",
                 "skipped: " + row.skipped});
      continue;
    }
    const Histogram& h = row.issued;
    const auto quantile = [&](double share) { return duration(h.count(), h.quantile(share)); };
    table.add({row.strategy, watch_text(row), row.probe, grouped(row.requested), grouped(row.found),
               grouped(row.nothing), quantile(0.5), quantile(0.9), quantile(0.99), quantile(0.999),
               duration(h.count(), h.max()), findings_cell(row)});
  }
  table.add({"all", "", "", grouped(all.requested), grouped(all.found), grouped(all.nothing), "",
             "", "", "", "", ""});
  return table.text();
}

// Of time a host's noise makes as many, and nobody would look.
void append_modes(const RunResult& result, std::string& text) {
  if (result.time_unit != TimeUnit::virtual_ns) return;
  for (const LedgerRow& row : result.ledger)
    if (const auto two = modes(row.issued))
      text += fmt::format("latency   {} {} {}: {}\n", row.strategy, watch_text(row), row.probe,
                          modes_text(*two, result.time_unit));
}

void append_ledger(const LedgerRow& all, std::string& text) {
  text += fmt::format("ledger    {} requested, {} found, {} nothing, {} undecided, {} unexpected\n",
                      grouped(all.requested), grouped(all.found), grouped(all.nothing),
                      grouped(all.undecided), grouped(all.unexpected));
  if (all.not_established > 0)
    text += fmt::format("          not established: {}\n", not_established_text(all));
  if (all.not_torn_down > 0)
    text += fmt::format("          {} established and not torn down\n", grouped(all.not_torn_down));
  if (all.writes.unexplained > 0)
    text += fmt::format("          {} connections whose bytes or signals do not add up\n",
                        grouped(all.writes.unexplained));
}

void append_pace(const RunResult& result, std::string& text) {
  const std::string second = unit_text("s", result.time_unit);
  if (result.backlog_drops > 0)
    text += fmt::format(
        "drops     {} packets at full backlogs of the host's CPUs (net.core.netdev_max_backlog): "
        "probes may be among them\n",
        grouped(result.backlog_drops));
  if (result.requested_rate > 0)
    text += fmt::format("rate      {:.0f} injections/{} of {:.0f} requested\n",
                        result.achieved_rate, second, result.requested_rate);
  if (result.requested_round_trips > 0)
    text += fmt::format(
        "load      {:.0f} round trips/{} while armed, {:.0f} asked for; the dead carry none\n",
        result.achieved_round_trips, second, result.requested_round_trips);
  if (!result.writer_threads.empty() && result.write_lag_ns > 0)
    text += fmt::format("writers   the most delayed write missed its instant by {}\n",
                        Durations{result.time_unit}(result.write_lag_ns));
}

}  // namespace

std::string run_table(const RunResult& result) {
  if (result.ledger.empty()) return fmt::format("{}\n", result.error);
  LedgerRow all;
  for (const LedgerRow& row : result.ledger) merge(row, all);
  const Durations duration{result.time_unit};
  std::string text = ledger_table(result, all);
  text += fmt::format(
      "latency{}: from just before the victim's act (t0) to the survivor's thread knowing\n\n",
      result.time_unit == TimeUnit::ns ? ""
                                       : fmt::format(", {}", time_unit_name(result.time_unit)));
  append_writes(result, text);
  append_probing(result, text);
  append_modes(result, text);
  append_ledger(all, text);
  append_surprises(result, text);
  append_checks(result, text);
  append_pace(result, text);
  const int64_t peak = result.cost.memory_peak_bytes;
  text += fmt::format(
      "cost      {} user + {} system CPU while armed, {:.1f} MiB in all processes, {} from first "
      "act to last finding\n",
      duration(result.cost.user_ns()), duration(result.cost.system_ns()),
      static_cast<double>(peak) / (1 << 20), duration(result.span_ns));
  std::string phases;
  for (const Phase& phase : result.phases)
    phases +=
        fmt::format("{}{} {}", phases.empty() ? "" : ", ", phase.name, duration(phase.duration_ns));
  text += fmt::format("phases    {}\n", phases);
  for (const std::string& note : result.notes) text += fmt::format("note      {}\n", note);
  text += fmt::format("status    {}\n", status_row(result.status).name);
  return text;
}

std::string plan_text(const RunSpec& spec, const Plan& plan) {
  std::string text = "options\n";
  Table options({}, 1);
  for (const auto& [name, value] : print_spec(spec)) options.add({"--" + name, value});
  text += options.text("  ");
  text += "rows\n";
  Table rows({"strategy", "watch", "probe", "connections", "expected"}, 3);
  for (const PlannedRow& planned : plan.rows) {
    const Strategy& strategy = strategy_of(planned.row);
    std::vector<std::string> expected;
    for (const Expected& one : planned.expected)
      expected.emplace_back(finding_row(one.finding).name);
    rows.add({std::string(strategy.name), watch_text(planned.row),
              std::string(probe_row(planned.row.probe).name), grouped(planned.requested),
              planned.skipped.empty() ? fmt::format("{}", fmt::join(expected, "|"))
                                      : "skipped: " + planned.skipped});
  }
  text += rows.text("  ");
  text += fmt::format("shards\n  {} pairs of worker processes, at most {} descriptors each\n",
                      plan.shard_connections.size(), plan.descriptors_needed);
  for (const Placement& place : plan.placements)
    text += fmt::format("  shard {}: {} on CPU {}{}\n", place.shard, place.role, place.cpu,
                        place.spins ? ", spinning" : "");
  for (const std::string& note : plan.notes) text += fmt::format("note: {}\n", note);
  text += fmt::format("estimate: {}\n", Durations{TimeUnit::ns}(plan.estimated_ns));
  return text;
}

std::string doctor_text(const std::vector<doctor::Examination>& examinations) {
  constexpr const char* kWords[] = {"ok", "warning", "BAD"};
  Table table({"", "what", "is", "must be"}, 3);
  for (const doctor::Examination& one : examinations)
    table.add({kWords[static_cast<size_t>(one.health)], one.name, one.observed, one.needed});
  std::string text = table.text();
  for (const doctor::Examination& one : examinations)
    if (!one.mend.empty()) text += fmt::format("mend {}: {}\n", one.name, one.mend);
  text += doctor::healthy(examinations) ? "ok: this host can do it\n" : "not ok\n";
  return text;
}

std::string list_text() {
  std::string text;
  for (const Listing& list : listings()) {
    text += fmt::format("{}{}\n", text.empty() ? "" : "\n", list.title);
    text += list.table().text("  ");
  }
  return text;
}

std::string list_markdown() {
  std::string text;
  for (const Listing& list : listings())
    text +=
        fmt::format("{}## {}\n\n{}", text.empty() ? "" : "\n", list.title, list.table().markdown());
  return text;
}

std::string list_json() {
  nlohmann::ordered_json document;
  for (const Listing& list : listings()) {
    auto& rows = document[list.title] = nlohmann::ordered_json::array();
    for (const auto& row : list.rows) {
      nlohmann::ordered_json object;
      for (size_t i = 0; i < row.size(); ++i) object[list.header[i]] = row[i];
      rows.push_back(std::move(object));
    }
  }
  return json_text(document);
}

}  // namespace lastack
