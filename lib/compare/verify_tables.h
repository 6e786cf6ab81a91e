// What kernels do, row by row and side by side: tables of `lastack verify`, of its matrix, or of
// any command whose JSON is a list of rows with a verdict.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace lastack::compare {

// How often each value of one thing was seen in one way to provoke it.
struct TableSight {
  std::map<std::string, int64_t> values;
  std::vector<std::string> allowed;  // what the row asserts; empty: nothing
  bool by_chance = false;            // timing decides, or it is a figure
};
using WayAndWhat = std::pair<std::string, std::string>;

struct TableRow {
  std::string verdict;  // what the kernel does; of a cell of the matrix whether that is expected
  std::string error;    // why it was not played: then it says nothing about the kernel
  std::map<WayAndWhat, TableSight> sights;
};
struct RowKey {
  std::string name, path;  // "A3/first-read" on "veth"
  auto operator<=>(const RowKey&) const = default;
};

struct VerifyTable {
  std::string path;    // as it was given
  std::string kind;    // "claims", "matrix", "regressions" or "rows"
  std::string kernel;  // "" where the file does not say
  std::vector<RowKey> order;
  std::map<RowKey, TableRow> rows;
};

// `name` is what messages call the file.
Result<VerifyTable> verify_table_of(const std::string& name, std::string_view json);
// Reads a file, or verify.json or regressions.json in a folder.
Result<VerifyTable> read_verify_table(const std::string& path);

// What a difference is of, the most weighty first.
enum class TableMatter : uint8_t { verdict, asserted, other };

struct TableDifference {
  TableMatter matter;
  RowKey row;
  std::string way, what;            // "" and "verdict" for a verdict
  std::vector<std::string> values;  // one a side; "not played" where it was not
};
// A row that some side has not, or has not played.
struct UnknownRow {
  RowKey row;
  std::vector<std::string> states;  // one a side: "played", "absent", "not played: why"
};

struct TableComparison {
  std::vector<VerifyTable> tables;
  std::vector<std::string> labels;
  size_t compared = 0;  // rows that all sides have played
  std::vector<TableDifference> differences;
  std::vector<UnknownRow> unknown;
  size_t differing_rows = 0;
};

// At least two tables of one kind; an Error where they are not, or have no row in common.
//
// Told is what does not vary from run to run of one kernel:
// - verdicts;
// - what a row asserts of its connections: which values were seen that it does not allow. How often
//   is left out, and which of the allowed ones;
// - of all else, in ways that timing does not decide, values that share nothing: what all
//   connections of one side showed none of the other's did. Figures (segments per connection) vary.
Result<TableComparison> compare_tables(std::vector<VerifyTable> tables);

}  // namespace lastack::compare
