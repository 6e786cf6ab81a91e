#include "report/csv.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "base/modes.h"
#include "base/rows.h"
#include "ledger/quantities.h"

namespace lastack {
namespace {

// An instant or a count; below 0 there is none.
std::string instant(int64_t value) { return value < 0 ? "" : fmt::format("{}", value); }

std::string mode_text(const Histogram& histogram, Figure figure) {
  const auto two = modes(histogram);
  if (!two) return "";
  const bool lower = figure == Figure::mode_1_p50 || figure == Figure::mode_1_share;
  const Mode& mode = (*two)[lower ? 0 : 1];
  return figure == Figure::mode_1_p50 || figure == Figure::mode_2_p50
             ? fmt::format("{}", mode.p50_ns)
             : fmt::format("{:.6g}", mode.share);
}

std::string text_of(const Histogram& histogram, Figure figure) {
  if (figure >= Figure::mode_1_p50) return mode_text(histogram, figure);
  if (figure == Figure::count) return fmt::format("{}", histogram.count());
  if (histogram.count() == 0) return "";  // no percentile of nothing
  const std::map<Figure, double> kQuantiles = {
      {Figure::p50, 0.5}, {Figure::p90, 0.9}, {Figure::p99, 0.99}, {Figure::p999, 0.999}};
  const auto quantile = kQuantiles.find(figure);
  return fmt::format("{}", figure == Figure::min    ? histogram.min()
                           : figure == Figure::max  ? histogram.max()
                           : figure == Figure::mean ? std::llround(histogram.mean())
                                                    : histogram.quantile(quantile->second));
}

std::string text_of(const Spread& spread, Figure figure) {
  if (spread.count == 0) return "";
  return fmt::format("{}", figure == Figure::min   ? spread.min_ns
                           : figure == Figure::p50 ? spread.p50_ns
                           : figure == Figure::p90 ? spread.p90_ns
                           : figure == Figure::p99 ? spread.p99_ns
                           : figure == Figure::max ? spread.max_ns
                                                   : spread.count);
}

std::string text_of(const std::vector<std::pair<int64_t, int64_t>>& spans) {
  std::vector<std::string> parts;
  for (const auto& [least, most] : spans) parts.push_back(fmt::format("{}..{}", least, most));
  return fmt::format("{}", fmt::join(parts, ";"));
}

// The quantity's column in this row.
std::string text_of(const LedgerQuantity& quantity, const LedgerRow& row) {
  if (!applies_to(quantity, row)) return "";
  std::string text;
  read_field(quantity, row, [&]<class Value>(const Value& value) {
    if constexpr (std::is_same_v<Value, int64_t>)
      text = quantity.absent == value ? "" : fmt::format("{}", value);
    else if constexpr (std::is_same_v<Value, std::string>)
      text = value;
    else if constexpr (std::is_same_v<Value, std::vector<std::string>>)
      text = fmt::format("{}", fmt::join(value, "|"));
    else if constexpr (std::is_same_v<Value, std::map<std::string, int64_t>>)
      text = errors_text(value);
    else if constexpr (std::is_same_v<Value, std::map<int, int64_t>>)
      text = not_established_text(row);
    else if constexpr (std::is_same_v<Value, decltype(row.findings)>)
      text = findings_text(row);
    else if constexpr (std::is_same_v<Value, Histogram> || std::is_same_v<Value, Spread>)
      text = text_of(value, quantity.figure);
    else if constexpr (std::is_same_v<Value, decltype(row.probing.spans)>)
      text = text_of(value);
  });
  return text;
}

static_assert(Histogram::kMostExact == 1024);  // as the columns' help says
constexpr Column<CurvePoint> kLatency[] = {
    {"strategy", "close strategy", [](const CurvePoint& p) { return p.row->strategy; }},
    {"watch", "watch", [](const CurvePoint& p) { return p.row->watch; }},
    {"probe", "probe", [](const CurvePoint& p) { return p.row->probe; }},
    {"since", "issued: from t0, just before the act; scheduled: from the instant asked for",
     [](const CurvePoint& p) { return std::string(p.since); }},
    {"percentile", "0 to 100, of the connections that found out",
     [](const CurvePoint& p) { return fmt::format("{:.6g}", p.percentile); }},
    {"latency_ns",
     "exact where the row has 1,024 findings at most (`count` at percentile 100); of more, the "
     "upper bound of a histogram's bucket (at most 1.6 % above the true value; min and max exact)",
     [](const CurvePoint& p) { return fmt::format("{}", p.latency_ns); }},
    {"count", "findings within this latency",
     [](const CurvePoint& p) { return fmt::format("{}", p.count); }},
    {"write_path", "how the survivor wrote; empty but for --watch writer",
     [](const CurvePoint& p) { return p.row->write_path; }},
};
static_assert(named(kLatency, &Column<CurvePoint>::name));

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
static_assert(named(kTimeline, &Column<TimelineBin>::name));

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
static_assert(named(kEvents, &Column<EventRow>::name));

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
static_assert(named(kWrites, &Column<WriteCount>::name));

std::string summary_csv(const RunResult& result) {
  std::string text = "schema_version";
  append_summary_names(text);
  text += "\n";
  for (const LedgerRow& row : result.ledger) {
    text += fmt::format("{}", kSchemaVersion);
    append_summary_values(text, row);
    text += "\n";
  }
  return text;
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

ColumnNames summary_columns() {
  ColumnNames list = {{"schema_version", "version of this file's columns"}};
  for (const LedgerQuantity& quantity : ledger_quantities())
    if (!quantity.column.empty()) list.emplace_back(quantity.column, quantity.help);
  return list;
}

void append_summary_names(std::string& line) {
  for (const LedgerQuantity& quantity : ledger_quantities())
    if (!quantity.column.empty()) line.append(",").append(quantity.column);
}

void append_summary_values(std::string& line, const LedgerRow& row) {
  for (const LedgerQuantity& quantity : ledger_quantities())
    if (!quantity.column.empty()) line.append(",").append(quoted(text_of(quantity, row)));
}

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
       summary_columns(), always},
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
