// CSV by tables: one row of a column table is one column, in the file, in `lastack list` and in
// results/README.md.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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

// What a file of any command holds.
struct CsvSchema {
  std::string_view name;
  std::string_view help;
  ColumnNames columns;
};

}  // namespace lastack
