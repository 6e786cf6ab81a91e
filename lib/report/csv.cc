#include "report/csv.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace lastack {
namespace {

// A latency figure of a row, empty where there is no finding: no percentile of nothing.
std::string figure(const Histogram& histogram, int64_t value) {
  return histogram.count() ? fmt::format("{}", value) : "";
}

// An instant or a count; below 0 there is none.
std::string instant(int64_t value) { return value < 0 ? "" : fmt::format("{}", value); }

// A figure of the writes, empty for a row without.
std::string written(const LedgerRow& row, int64_t value) {
  return row.write_path.empty() ? "" : fmt::format("{}", value);
}

// A figure of a probe's lateness, empty where the row's probe promised nothing or found nobody.
std::string promised(const LedgerRow& row, int64_t value) {
  return row.probing.promised ? fmt::format("{}", value) : "";
}
std::string lateness(const Spread& spread, int64_t value) {
  return spread.count ? fmt::format("{}", value) : "";
}

std::string predicted_text(const LedgerRow& row) {
  std::vector<std::string> parts;
  for (const auto& [least, most] : row.probing.spans)
    parts.push_back(fmt::format("{}..{}", least, most));
  return fmt::format("{}", fmt::join(parts, ";"));
}

using Rows = Column<LedgerRow>;
constexpr Rows kSummary[] = {
    {"strategy", "close strategy: how the victim went away",
     [](const LedgerRow& r) { return r.strategy; }},
    {"watch", "how the survivor waited", [](const LedgerRow& r) { return r.watch; }},
    {"probe", "what made a silent peer noticeable", [](const LedgerRow& r) { return r.probe; }},
    {"family", "what the strategy puts on the wire first: fin, rst, fin-rst or silent",
     [](const LedgerRow& r) { return r.family; }},
    {"expected", "findings that the model allows, separated by |",
     [](const LedgerRow& r) { return fmt::format("{}", fmt::join(r.expected, "|")); }},
    {"requested", "connections of this row",
     [](const LedgerRow& r) { return fmt::format("{}", r.requested); }},
    {"established", "connections that stood and whose two ends were joined",
     [](const LedgerRow& r) { return fmt::format("{}", r.established); }},
    {"torn_down", "successful acts",
     [](const LedgerRow& r) { return fmt::format("{}", r.torn_down); }},
    {"found", "survivors that found out before the deadline",
     [](const LedgerRow& r) { return fmt::format("{}", r.found); }},
    {"nothing", "survivors that did not: right-censored at the deadline",
     [](const LedgerRow& r) { return fmt::format("{}", r.nothing); }},
    {"late", "those of `nothing` that found out after their deadline",
     [](const LedgerRow& r) { return fmt::format("{}", r.late); }},
    {"undecided", "interrupted before the deadline",
     [](const LedgerRow& r) { return fmt::format("{}", r.undecided); }},
    {"unexpected", "ended otherwise than `expected`, or before the act",
     [](const LedgerRow& r) { return fmt::format("{}", r.unexpected); }},
    {"findings", "FINDING=COUNT separated by ;, without `nothing`", findings_text},
    {"skipped", "why the row did not run; empty when it ran",
     [](const LedgerRow& r) { return r.skipped; }},
    {"bytes_received", "by the row's survivors, all in all",
     [](const LedgerRow& r) { return fmt::format("{}", r.bytes_received); }},
    {"bytes_sent", "accepted from the row's victims by their kernel; delivered or not",
     [](const LedgerRow& r) { return fmt::format("{}", r.bytes_sent); }},
    {"alive", "answered an echo after their path had come back; empty where nobody was asked",
     [](const LedgerRow& r) { return r.alive < 0 ? "" : fmt::format("{}", r.alive); }},
    {"latency_count", "findings with a latency since the act (t0)",
     [](const LedgerRow& r) { return fmt::format("{}", r.issued.count()); }},
    {"latency_min_ns", "smallest latency since t0; empty without a finding, as the next ones",
     [](const LedgerRow& r) { return figure(r.issued, r.issued.min()); }},
    {"latency_p50_ns", "median",
     [](const LedgerRow& r) { return figure(r.issued, r.issued.quantile(0.5)); }},
    {"latency_p90_ns", "90th percentile",
     [](const LedgerRow& r) { return figure(r.issued, r.issued.quantile(0.9)); }},
    {"latency_p99_ns", "99th percentile",
     [](const LedgerRow& r) { return figure(r.issued, r.issued.quantile(0.99)); }},
    {"latency_p999_ns", "99.9th percentile",
     [](const LedgerRow& r) { return figure(r.issued, r.issued.quantile(0.999)); }},
    {"latency_max_ns", "largest latency",
     [](const LedgerRow& r) { return figure(r.issued, r.issued.max()); }},
    {"latency_mean_ns", "mean",
     [](const LedgerRow& r) {
       return figure(r.issued, static_cast<int64_t>(std::llround(r.issued.mean())));
     }},
    {"scheduled_p50_ns", "median latency since the scheduled instant (open loop)",
     [](const LedgerRow& r) { return figure(r.scheduled, r.scheduled.quantile(0.5)); }},
    {"scheduled_p99_ns", "99th percentile since the scheduled instant",
     [](const LedgerRow& r) { return figure(r.scheduled, r.scheduled.quantile(0.99)); }},
    {"scheduled_max_ns", "largest latency since the scheduled instant",
     [](const LedgerRow& r) { return figure(r.scheduled, r.scheduled.max()); }},
    {"written_p50_ns", "median since the survivor's own write, where the strategy has one",
     [](const LedgerRow& r) { return figure(r.written, r.written.quantile(0.5)); }},
    {"write_path", "how the survivor wrote; empty but for --watch writer",
     [](const LedgerRow& r) { return r.write_path; }},
    {"writes_attempted", "by --watch writer; empty for other watches, as the next ones",
     [](const LedgerRow& r) { return written(r, r.writes.attempted); }},
    {"writes_accepted", "of them: accepted by the kernel, whole or in part",
     [](const LedgerRow& r) { return written(r, r.writes.accepted); }},
    {"writes_short", "of the accepted: in part",
     [](const LedgerRow& r) { return written(r, r.writes.short_writes); }},
    {"writes_failed", "of the attempted: with an error",
     [](const LedgerRow& r) { return written(r, r.writes.errors); }},
    {"writes_would_block",
     "of the attempted: no room in the send queue (EAGAIN), or for send-zc within RLIMIT_MEMLOCK",
     [](const LedgerRow& r) { return written(r, r.writes.would_block); }},
    {"writes_cancelled",
     "of the attempted: linked to one that was not accepted whole, or in flight at the end",
     [](const LedgerRow& r) { return written(r, r.writes.cancelled); }},
    {"writes_accepted_after_act", "accepted, and begun at t0 or later",
     [](const LedgerRow& r) { return written(r, r.writes.accepted_after_act); }},
    {"writes_accepted_after_fin",
     "accepted, and begun when the FIN or RST had arrived at the survivor",
     [](const LedgerRow& r) { return written(r, r.writes.accepted_after_fin); }},
    {"bytes_accepted", "by the survivors' kernel; = delivered + lost + queued + untold",
     [](const LedgerRow& r) { return written(r, r.writes.accepted_bytes); }},
    {"bytes_delivered", "that the victims' reads returned",
     [](const LedgerRow& r) { return written(r, r.writes.delivered_bytes); }},
    {"bytes_lost", "of connections that ended: nobody will read them",
     [](const LedgerRow& r) { return written(r, r.writes.lost_bytes); }},
    {"bytes_lost_after_act", "of the lost: accepted at t0 or later",
     [](const LedgerRow& r) { return written(r, r.writes.lost_after_act_bytes); }},
    {"bytes_queued", "of connections that stand at the end: in the queues of either side",
     [](const LedgerRow& r) { return written(r, r.writes.queued_bytes); }},
    {"bytes_untold",
     "acknowledged by the kernel of a victim that cannot say whether it read them: a process that "
     "was killed or frozen, a host that rebooted",
     [](const LedgerRow& r) { return written(r, r.writes.untold_bytes); }},
    {"bytes_unexplained", "by which the sums do not add up",
     [](const LedgerRow& r) { return written(r, r.writes.unexplained_bytes); }},
    {"sigpipes", "SIGPIPEs that the writing threads got; none with --sigpipe ignore",
     [](const LedgerRow& r) { return written(r, r.writes.sigpipes); }},
    {"sigpipes_predicted",
     "one for each EPIPE of a write path that raises it, and sigpipes_of_short",
     [](const LedgerRow& r) { return written(r, r.writes.sigpipes_predicted); }},
    {"sigpipes_of_short", "of them: by sendfile(2) calls that returned a short count and no errno",
     [](const LedgerRow& r) { return written(r, r.writes.sigpipes_of_short); }},
    {"sigpipe_connections", "connections with at least one",
     [](const LedgerRow& r) { return written(r, r.writes.sigpipe_connections); }},
    {"killed",
     "writes that killed their process (--sigpipe default); each counts as a failed one with EPIPE",
     [](const LedgerRow& r) { return written(r, r.writes.killed); }},
    {"first_errors", "ERRNO=CONNECTIONS separated by ;: what the first failed write said",
     [](const LedgerRow& r) { return errors_text(r.writes.first_errors); }},
    {"second_errors", "the same of the write that failed next",
     [](const LedgerRow& r) { return errors_text(r.writes.second_errors); }},
    {"first_error_p50_ns", "median from t0 to the first failed write",
     [](const LedgerRow& r) {
       return figure(r.writes.first_error, r.writes.first_error.quantile(0.5));
     }},
    {"first_error_p99_ns", "99th percentile of it",
     [](const LedgerRow& r) {
       return figure(r.writes.first_error, r.writes.first_error.quantile(0.99));
     }},
    {"nominal_ns",
     "the probe's time as configured; empty where it promises nothing, as the next ones",
     [](const LedgerRow& r) { return promised(r, r.probing.nominal_ns); }},
    {"predicted_since",
     "from when the prediction counts: heard (the last packet or byte that came), written (the "
     "first message that nobody answered) or shut (the window)",
     [](const LedgerRow& r) { return r.probing.since; }},
    {"predicted_ns",
     "computed before the run, LEAST..MOST after that: what kernel timers round and the mechanism "
     "leaves open; several separated by ; where an RTO a little longer ends it a whole RTO earlier",
     predicted_text},
    {"predicted_early", "deaths that the probe found earlier than that",
     [](const LedgerRow& r) { return promised(r, r.probing.early); }},
    {"predicted_within", "deaths within the two",
     [](const LedgerRow& r) { return promised(r, r.probing.within); }},
    {"predicted_later", "deaths later than that",
     [](const LedgerRow& r) { return promised(r, r.probing.later); }},
    {"after_predicted_min_ns",
     "smallest time from `predicted_since` to the finding, less LEAST; below 0: early",
     [](const LedgerRow& r) {
       return lateness(r.probing.after_predicted, r.probing.after_predicted.min_ns);
     }},
    {"after_predicted_p50_ns", "median of it",
     [](const LedgerRow& r) {
       return lateness(r.probing.after_predicted, r.probing.after_predicted.p50_ns);
     }},
    {"after_predicted_p99_ns", "99th percentile",
     [](const LedgerRow& r) {
       return lateness(r.probing.after_predicted, r.probing.after_predicted.p99_ns);
     }},
    {"after_predicted_max_ns", "largest",
     [](const LedgerRow& r) {
       return lateness(r.probing.after_predicted, r.probing.after_predicted.max_ns);
     }},
    {"after_nominal_min_ns",
     "smallest latency since t0, less nominal_ns; below 0: the timer was running when the peer "
     "died",
     [](const LedgerRow& r) {
       return lateness(r.probing.after_nominal, r.probing.after_nominal.min_ns);
     }},
    {"after_nominal_p50_ns", "median of it",
     [](const LedgerRow& r) {
       return lateness(r.probing.after_nominal, r.probing.after_nominal.p50_ns);
     }},
    {"after_nominal_p99_ns", "99th percentile",
     [](const LedgerRow& r) {
       return lateness(r.probing.after_nominal, r.probing.after_nominal.p99_ns);
     }},
    {"after_nominal_max_ns", "largest",
     [](const LedgerRow& r) {
       return lateness(r.probing.after_nominal, r.probing.after_nominal.max_ns);
     }},
    {"false_alarms", "peers that the probe declared dead while they lived",
     [](const LedgerRow& r) { return fmt::format("{}", r.probing.false_alarms); }},
    {"longest_silence_ns",
     "longest time between two bytes of a live peer that heartbeats watched: a shorter deadline "
     "would have been a false alarm",
     [](const LedgerRow& r) {
       return r.probing.longest_silence_ns ? fmt::format("{}", r.probing.longest_silence_ns) : "";
     }},
    {"stalled",
     "connections that were waiting for their finding while the run stood still: `host` of "
     "run.json",
     [](const LedgerRow& r) { return fmt::format("{}", r.stalled); }},
    {"false_alarms_in_stalls",
     "of false_alarms: the run stood still between the last byte and them",
     [](const LedgerRow& r) { return fmt::format("{}", r.probing.false_alarms_in_stalls); }},
    {"not_established", "connections that do not stand; requested = established + these",
     [](const LedgerRow& r) { return fmt::format("{}", r.not_established); }},
    {"not_established_errors",
     "ERRNO=CONNECTIONS separated by ;: what connecting or accepting them said; `pending`: not "
     "tried, or without an answer, when the run ended",
     not_established_text},
    {"not_torn_down",
     "established, and their act failed or was not tried when the run ended; established = "
     "torn_down + these",
     [](const LedgerRow& r) { return fmt::format("{}", r.not_torn_down); }},
};

constexpr Column<CurvePoint> kLatency[] = {
    {"strategy", "close strategy", [](const CurvePoint& p) { return p.row->strategy; }},
    {"watch", "watch", [](const CurvePoint& p) { return p.row->watch; }},
    {"probe", "probe", [](const CurvePoint& p) { return p.row->probe; }},
    {"since", "issued: from t0, just before the act; scheduled: from the instant asked for",
     [](const CurvePoint& p) { return std::string(p.since); }},
    {"percentile", "0 to 100, of the connections that found out",
     [](const CurvePoint& p) { return fmt::format("{:.6g}", p.percentile); }},
    {"latency_ns",
     "upper bound of the histogram bucket (at most 1.6 % above the true value; min and max exact)",
     [](const CurvePoint& p) { return fmt::format("{}", p.latency_ns); }},
    {"count", "findings within this latency",
     [](const CurvePoint& p) { return fmt::format("{}", p.count); }},
    {"write_path", "how the survivor wrote; empty but for --watch writer",
     [](const CurvePoint& p) { return p.row->write_path; }},
};

constexpr Column<TimelineBin> kTimeline[] = {
    {"start_ns", "start of this bin, since the start of the schedule",
     [](const TimelineBin& b) { return fmt::format("{}", b.start_ns); }},
    {"injected", "acts in this bin",
     [](const TimelineBin& b) { return fmt::format("{}", b.injected); }},
    {"found", "findings in this bin",
     [](const TimelineBin& b) { return fmt::format("{}", b.found); }},
    {"in_flight", "at the bin's end: acted, neither found nor past the deadline",
     [](const TimelineBin& b) { return fmt::format("{}", b.in_flight); }},
    {"width_ns", "of the bin; the same in all of a run",
     [](const TimelineBin& b) { return fmt::format("{}", b.width_ns); }},
};

constexpr Column<EventRow> kEvents[] = {
    {"pair", "number of the connection",
     [](const EventRow& e) { return fmt::format("{}", e.event->pair); }},
    {"strategy", "close strategy", [](const EventRow& e) { return e.row->strategy; }},
    {"watch", "watch", [](const EventRow& e) { return e.row->watch; }},
    {"probe", "probe", [](const EventRow& e) { return e.row->probe; }},
    {"victim", "the victim's address", [](const EventRow& e) { return e.event->victim_address; }},
    {"survivor", "the survivor's address",
     [](const EventRow& e) { return e.event->survivor_address; }},
    {"scheduled_ns", "instant asked for, since the start of the schedule, as the next ones",
     [](const EventRow& e) { return instant(e.event->scheduled_ns); }},
    {"issued_ns", "t0", [](const EventRow& e) { return instant(e.event->issued_ns); }},
    {"written_ns", "the survivor's own write; empty without one",
     [](const EventRow& e) { return instant(e.event->written_ns); }},
    {"found_ns", "instant of the finding; empty without one",
     [](const EventRow& e) { return instant(e.event->found_ns); }},
    {"finding", "what was found, `nothing` or `undecided`",
     [](const EventRow& e) { return e.event->finding; }},
    {"errno", "name of the errno that told it, or 0",
     [](const EventRow& e) { return e.event->error; }},
    {"bytes_received", "by the survivor",
     [](const EventRow& e) { return fmt::format("{}", e.event->bytes_received); }},
    {"write_path", "how the survivor wrote; empty but for --watch writer",
     [](const EventRow& e) { return e.row->write_path; }},
    {"writes_accepted_after_act", "writes accepted, and begun at t0 or later; empty as above",
     [](const EventRow& e) { return instant(e.event->writes_accepted_after_act); }},
    {"writes_accepted_after_fin", "writes accepted, and begun when the FIN or RST had arrived",
     [](const EventRow& e) { return instant(e.event->writes_accepted_after_fin); }},
    {"first_error", "name of the errno of the first failed write, or 0",
     [](const EventRow& e) { return e.event->first_error; }},
    {"second_error", "name of the errno of the write that failed next, or 0",
     [](const EventRow& e) { return e.event->second_error; }},
    {"sigpipes", "SIGPIPEs that its writes raised",
     [](const EventRow& e) { return instant(e.event->sigpipes); }},
};

constexpr Column<WriteCount> kWrites[] = {
    {"strategy", "close strategy", [](const WriteCount& w) { return w.row->strategy; }},
    {"watch", "watch", [](const WriteCount& w) { return w.row->watch; }},
    {"probe", "probe", [](const WriteCount& w) { return w.row->probe; }},
    {"write_path", "how the survivor wrote", [](const WriteCount& w) { return w.row->write_path; }},
    {"since",
     "act: writes begun at t0 or later; fin: begun when the FIN or RST had arrived at the survivor",
     [](const WriteCount& w) { return std::string(w.since); }},
    {"writes", "so many of them were accepted, and none after the first error",
     [](const WriteCount& w) { return fmt::format("{}", w.writes); }},
    {"connections", "on so many connections",
     [](const WriteCount& w) { return fmt::format("{}", w.connections); }},
};

std::string summary_csv(const RunResult& result) {
  Csv<LedgerRow> csv(kSummary);
  for (const LedgerRow& row : result.ledger) csv.add(row);
  return csv.take();
}

std::string latency_csv(const RunResult& result) {
  Csv<CurvePoint> csv(kLatency);
  for (const LedgerRow& row : result.ledger) {
    for (const CurvePoint& point : percentile_curve(row, "issued", row.issued)) csv.add(point);
    for (const CurvePoint& point : percentile_curve(row, "scheduled", row.scheduled))
      csv.add(point);
  }
  return csv.take();
}

std::string timeline_csv(const RunResult& result) {
  Csv<TimelineBin> csv(kTimeline);
  for (const TimelineBin& bin : result.timeline) csv.add(bin);
  return csv.take();
}

std::string writes_csv(const RunResult& result) {
  Csv<WriteCount> csv(kWrites);
  for (const LedgerRow& row : result.ledger) {
    for (const auto& [writes, connections] : row.writes.by_accepted_after_act)
      csv.add({&row, "act", writes, connections});
    for (const auto& [writes, connections] : row.writes.by_accepted_after_fin)
      csv.add({&row, "fin", writes, connections});
  }
  return csv.take();
}

std::string events_csv(const RunResult& result) {
  Csv<EventRow> csv(kEvents);
  for (const Event& event : result.events) csv.add({&event, &result.ledger[event.row]});
  return csv.take();
}

bool always(const RunResult&) { return true; }
bool has_events(const RunResult& result) { return !result.events.empty(); }
bool has_writers(const RunResult& result) {
  return std::any_of(result.ledger.begin(), result.ledger.end(),
                     [](const LedgerRow& row) { return !row.write_path.empty(); });
}

}  // namespace

std::span<const Column<LedgerRow>> summary_columns() { return kSummary; }
std::span<const Column<CurvePoint>> latency_columns() { return kLatency; }
std::span<const Column<TimelineBin>> timeline_columns() { return kTimeline; }
std::span<const Column<EventRow>> event_columns() { return kEvents; }
std::span<const Column<WriteCount>> write_columns() { return kWrites; }

std::map<std::string, int64_t> not_established_by_name(const LedgerRow& row) {
  std::map<std::string, int64_t> names;
  for (const auto& [error, connections] : row.not_established_by)
    names[error == 0 ? "pending" : errno_name(error)] += connections;
  return names;
}

std::string not_established_text(const LedgerRow& row) {
  return errors_text(not_established_by_name(row));
}

std::string errors_text(const std::map<std::string, int64_t>& errors) {
  std::vector<std::string> parts;
  for (const auto& [name, connections] : errors)
    parts.push_back(fmt::format("{}={}", name, connections));
  return fmt::format("{}", fmt::join(parts, ";"));
}

std::string findings_text(const LedgerRow& row) {
  std::vector<std::string> parts;
  for (const FindingRow& finding : kFindings) {
    const int64_t count = row.findings[static_cast<size_t>(finding.id)];
    if (finding.id != Finding::nothing && count > 0)
      parts.push_back(fmt::format("{}={}", finding.name, count));
  }
  return fmt::format("{}", fmt::join(parts, ";"));
}

std::vector<CurvePoint> percentile_curve(const LedgerRow& row, std::string_view since,
                                         const Histogram& histogram) {
  std::vector<CurvePoint> curve;
  if (histogram.count() == 0) return curve;
  const auto add = [&](double percentile, int64_t latency_ns) {
    curve.push_back({&row, since, percentile, latency_ns, histogram.count_up_to(latency_ns)});
  };
  add(0, histogram.min());
  // Ten steps per factor of ten of the remaining share: 10..90, 91..99, 99.1..99.9, ...
  for (double share = 1.0; share * static_cast<double>(histogram.count()) >= 1; share /= 10) {
    for (int step = 1; step <= 9; ++step) {
      const double quantile = 1 - share + share * step / 10;
      if (quantile < 1) add(quantile * 100, histogram.quantile(quantile));
    }
  }
  add(100, histogram.max());
  return curve;
}

const std::vector<CsvFile>& csv_files() {
  static const std::vector<CsvFile> kFiles = {
      {"summary.csv", "one row per strategy x watch x probe x write path", summary_csv,
       names_and_help(summary_columns()), always},
      {"latency.csv", "the percentile curve of each row of summary.csv", latency_csv,
       names_and_help(latency_columns()), always},
      {"timeline.csv", "what happened when, in at most 400 bins of 1, 10, 100 ms ... each",
       timeline_csv, names_and_help(timeline_columns()), always},
      {"writes.csv", "how many writes were accepted before the first error, of --watch writer",
       writes_csv, names_and_help(write_columns()), has_writers},
      {"events.csv", "one row per connection; with --events", events_csv,
       names_and_help(event_columns()), has_events},
  };
  return kFiles;
}

}  // namespace lastack
