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

#include "run/result.h"

namespace lastack {

// Raised when a column changes its meaning or goes away; every CSV row and run.json carry it.
constexpr int kSchemaVersion = 1;

template <class Row>
struct Column {
  std::string_view name;
  std::string_view help;
  std::string (*value)(const Row& row);
};

// Quotes a field only when it must be (RFC 4180).
std::string quoted(std::string text);

// Appends the names, or a row's values, of a table's columns to a line that has begun.
template <class Row>
void append_names(std::string& line, std::span<const Column<Row>> columns) {
  for (const auto& column : columns) line.append(",").append(column.name);
}
template <class Row>
void append_values(std::string& line, std::span<const Column<Row>> columns, const Row& row) {
  for (const auto& column : columns) line.append(",").append(quoted(column.value(row)));
}

// Builds a file row by row: the header first.
template <class Row>
class Csv {
 public:
  explicit Csv(std::span<const Column<Row>> columns) : columns_(columns) {
    text_ = "schema_version";
    append_names(text_, columns_);
    text_ += "\n";
  }
  void add(const Row& row) {
    text_ += std::to_string(kSchemaVersion);
    append_values(text_, columns_, row);
    text_ += "\n";
  }
  std::string take() { return std::move(text_); }

 private:
  std::span<const Column<Row>> columns_;
  std::string text_;
};

// (column, help) of every column, in order.
using ColumnNames = std::vector<std::pair<std::string_view, std::string_view>>;
template <class Row>
ColumnNames names_and_help(std::span<const Column<Row>> columns) {
  ColumnNames list = {{"schema_version", "version of this file's columns"}};
  for (const auto& column : columns) list.emplace_back(column.name, column.help);
  return list;
}

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

std::span<const Column<LedgerRow>> summary_columns();
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

// What a file of any command holds.
struct CsvSchema {
  std::string_view name;
  std::string_view help;
  ColumnNames columns;
};
std::vector<CsvSchema> csv_schemas();

// "econnreset=833;eof=2": findings other than `nothing`.
std::string findings_text(const LedgerRow& row);
// Connections that do not stand, by the errno's name; `pending` for those without one.
std::map<std::string, int64_t> not_established_by_name(const LedgerRow& row);
// "ENETUNREACH=50;pending=3".
std::string not_established_text(const LedgerRow& row);
// "EPIPE=833;ECONNRESET=2".
std::string errors_text(const std::map<std::string, int64_t>& errors);

}  // namespace lastack
