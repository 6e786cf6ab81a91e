// The CSV files of a run. One row of the column tables is one column, in the file, in
// `lastack list` and in results/README.md.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/csv.h"
#include "ledger/result.h"

namespace lastack {

// One point of a percentile curve.
struct CurvePoint {
  const LedgerRow* row;
  std::string_view since;  // "issued" or "scheduled"
  double percentile;
  int64_t latency_ns;
  uint64_t count;  // how many findings came within this latency
};

// One bar of a row's histogram of writes.
struct WriteCount {
  const LedgerRow* row;
  std::string_view since;  // "act" or "fin"
  int64_t writes;
  int64_t connections;
};

struct EventRow {
  const Event* event;
  const LedgerRow* row;
};

// summary.csv: a column per quantity (ledger/quantities.h). The line has begun.
ColumnNames summary_columns();
void append_summary_names(std::string& line);
void append_summary_values(std::string& line, const LedgerRow& row);
std::span<const Column<CurvePoint>> latency_columns();
std::span<const Column<TimelineBin>> timeline_columns();
std::span<const Column<EventRow>> event_columns();
std::span<const Column<WriteCount>> write_columns();

// A row's curve by log steps: 0, 10 ... 90, 91 ... 99, 99.1 ... and 100; as far as the count of
// findings can tell percentiles apart.
std::vector<CurvePoint> percentile_curve(const LedgerRow& row, std::string_view since,
                                         const Histogram& histogram);

struct CsvFile {
  std::string_view name;
  std::string_view help;
  std::string (*content)(const RunResult& result);
  ColumnNames columns;
  bool (*wanted)(const RunResult& result);  // whether there is anything for it
};
const std::vector<CsvFile>& csv_files();

// "econnreset=833;eof=2": findings other than `nothing`.
std::string findings_text(const LedgerRow& row);
// Connections that do not stand, by the errno's name; `pending` for those without one.
std::map<std::string, int64_t> not_established_by_name(const LedgerRow& row);
// "ENETUNREACH=50;pending=3".
std::string not_established_text(const LedgerRow& row);
// "EPIPE=833;ECONNRESET=2".
std::string errors_text(const std::map<std::string, int64_t>& errors);

}  // namespace lastack
