#include "report/csv_table.h"

#include <csv.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "report/csv.h"

namespace lastack {
namespace {

constexpr size_t kMostColumns = 1'000;
constexpr size_t kMostBytes = UINT32_MAX;  // CsvTable counts them so
constexpr double kLargest = 1e15;          // a double counts every whole number up to 9e15
constexpr std::string_view kVersionColumn = "schema_version";

// The parser with what its callbacks gather: the fields of the line that is being read.
struct Parser {
  csv_parser parser;
  std::string text;
  std::vector<uint32_t> ends;
  int lines_ended = 0;

  Parser() {
    csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI);
    csv_set_space_func(&parser, [](unsigned char) { return 0; });  // blanks belong to the field
    csv_set_blk_size(&parser, 65'536);
  }
  ~Parser() { csv_free(&parser); }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  static void on_field(void* field, size_t size, void* self) {
    auto& gathered = *static_cast<Parser*>(self);
    if (gathered.ends.size() <= kMostColumns)
      gathered.text.append(static_cast<const char*>(field), size);
    if (gathered.ends.size() <= kMostColumns)
      gathered.ends.push_back(static_cast<uint32_t>(gathered.text.size()));
  }
  static void on_line(int, void* self) { ++static_cast<Parser*>(self)->lines_ended; }
};

Error error_at(const std::string& name, size_t line, std::string_view what) {
  return plain_error(fmt::format("{}:{}: {}", name, line, what));
}

// What is wrong with the text as a whole, before it is taken apart.
Status check_text(std::string_view text, const std::string& name) {
  if (text.empty()) return plain_error(fmt::format("{}: the file is empty", name));
  if (text.size() > kMostBytes) return plain_error(fmt::format("{}: the file is too large", name));
  size_t line = 1;
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if (byte < ' ' && letter != '\n' && letter != '\r' && letter != '\t')
      return error_at(name, line, fmt::format("a byte 0x{:02x}: this is no text", byte));
    line += letter == '\n';
  }
  if (text.back() != '\n')
    return error_at(name, line, "the last line has no end: the file was cut off");
  return std::nullopt;
}

}  // namespace

std::optional<size_t> CsvTable::column(std::string_view name) const {
  const auto found = std::find(columns_.begin(), columns_.end(), name);
  if (found == columns_.end()) return std::nullopt;
  return static_cast<size_t>(found - columns_.begin());
}

std::string_view CsvTable::at(size_t row, size_t column) const {
  const size_t field = row * columns_.size() + column;
  const size_t start = field == 0 ? 0 : ends_[field - 1];
  return std::string_view(text_).substr(start, ends_[field] - start);
}

std::string CsvTable::place(size_t row) const { return fmt::format("{}:{}", name_, lines_[row]); }

std::string in_one_line(std::string text) {
  for (char& letter : text)
    if (static_cast<unsigned char>(letter) < ' ' || letter == 0x7f) letter = ' ';
  return text;
}

std::string shown(std::string_view text) {
  constexpr size_t kMost = 80;
  return in_one_line(std::string(text.substr(0, kMost))) + (text.size() > kMost ? "..." : "");
}

std::optional<int64_t> whole_number(std::string_view text) {
  int64_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool number = failed == std::errc() && end == text.data() + text.size();
  if (!number || std::abs(static_cast<double>(value)) > kLargest) return std::nullopt;
  return value;
}

std::optional<double> any_number(std::string_view text) {
  double value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool number = failed == std::errc() && end == text.data() + text.size();
  if (!number || !(std::abs(value) <= kLargest)) return std::nullopt;
  return value;
}

Result<CsvTable> read_csv(std::string_view text, std::string name) {
  if (Status bad = check_text(text, name)) return *bad;
  CsvTable table;
  table.name_ = std::move(name);
  Parser parser;
  size_t line = 1, first_line = 1;

  // A line of the file at a time, since libcsv does not say where it is.
  for (size_t at = 0; at < text.size(); ++line) {
    const size_t size = text.find('\n', at) + 1 - at;
    const size_t taken = csv_parse(&parser.parser, text.data() + at, size, Parser::on_field,
                                   Parser::on_line, &parser);
    if (taken != size)
      return error_at(table.name_, line,
                      "a quote inside an unquoted field, or text behind a closing quote");
    if (parser.lines_ended > 1)
      return error_at(table.name_, line, "a carriage return in an unquoted field");
    const bool blank = text[at] == '\n' || text.substr(at, size) == "\r\n";
    if (blank && parser.ends.empty()) first_line = line + 1;
    at += size;
    if (parser.lines_ended == 0) continue;
    parser.lines_ended = 0;

    std::string_view fields = parser.text;
    if (parser.ends.size() > kMostColumns)
      return error_at(table.name_, first_line, fmt::format("more than {} fields", kMostColumns));
    if (table.columns_.empty()) {
      std::set<std::string_view> names;
      size_t start = 0;
      for (const uint32_t end : parser.ends) {
        const auto column = fields.substr(start, end - start);
        if (!names.insert(column).second)
          return error_at(table.name_, first_line, fmt::format("column '{}' twice", shown(column)));
        table.columns_.emplace_back(column);
        start = end;
      }
      if (!table.column(kVersionColumn))
        return error_at(
            table.name_, first_line,
            fmt::format("no column {}: this is no header of a file of lastack", kVersionColumn));
    } else if (parser.ends.size() != table.columns_.size()) {
      return error_at(table.name_, first_line,
                      fmt::format("{} fields, and the header has {}", parser.ends.size(),
                                  table.columns_.size()));
    } else {
      const auto start = static_cast<uint32_t>(table.text_.size());
      for (const uint32_t end : parser.ends) table.ends_.push_back(start + end);
      table.text_ += fields;
      table.lines_.push_back(static_cast<uint32_t>(first_line));
    }
    parser.text.clear();
    parser.ends.clear();
    first_line = line + 1;
  }
  if (csv_fini(&parser.parser, Parser::on_field, Parser::on_line, &parser) != 0 ||
      !parser.ends.empty())
    return error_at(table.name_, first_line, "a quoted field that does not end");
  if (table.columns_.empty()) return plain_error(fmt::format("{}: no header", table.name_));

  std::optional<int64_t> common;
  const size_t column = *table.column(kVersionColumn);
  for (size_t row = 0; row < table.rows(); ++row) {
    const auto version = whole_number(table.at(row, column));
    if (!version || *version < 1)
      return plain_error(fmt::format("{}: schema_version is '{}', which is no version",
                                     table.place(row), shown(table.at(row, column))));
    if (common && *version != *common)
      return plain_error(fmt::format("{}: schema version {} below lines of version {}",
                                     table.place(row), *version, *common));
    common = version;
  }
  if (common && *common > kSchemaVersion)
    return plain_error(
        fmt::format("{}: schema version {} was written by a newer lastack; this one knows up to {}",
                    table.name_, *common, kSchemaVersion));
  return table;
}

}  // namespace lastack
