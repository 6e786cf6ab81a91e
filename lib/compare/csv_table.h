// A recorded CSV file, by the names of its columns. libcsv takes it apart, strictly (RFC 4180).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace lastack::compare {

// The file in memory, each line below the header as a row of fields.
class CsvTable {
 public:
  const std::string& name() const { return name_; }
  size_t rows() const { return lines_.size(); }
  std::optional<size_t> column(std::string_view name) const;
  std::string_view at(size_t row, size_t column) const;
  // "summary.csv:12", the line on which the row begins: for messages.
  std::string place(size_t row) const;

 private:
  Status take(std::string_view fields, std::vector<uint32_t> ends, size_t line);
  Status check_versions() const;

  friend Result<CsvTable> read_csv(std::string_view text, std::string name);
  std::string name_;
  std::vector<std::string> columns_;
  std::string text_;            // all fields, one behind the other
  std::vector<uint32_t> ends_;  // of each field in it
  std::vector<uint32_t> lines_;
};

// Checks that it is the whole text of a CSV file of this lastack or an older one: a header with
// schema_version, one and the same version in every line, as many fields everywhere, and an end.
// What spreadsheets make of it is read as well: a byte order mark, fields between semicolons or
// tabs, a line "sep=;", CRLF, quotes around everything, empty lines, empty columns at the end.
// `name` is what messages call the file.
Result<CsvTable> read_csv(std::string_view text, std::string name);

// Recorded text for a message: harmless (base/printable.h), and not too long.
std::string shown(std::string_view text);

// The whole text as a number, finite and no larger than 1e15 either way; nullopt otherwise.
std::optional<int64_t> whole_number(std::string_view text);
std::optional<double> any_number(std::string_view text);

}  // namespace lastack::compare
