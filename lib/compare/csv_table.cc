#include "compare/csv_table.h"

#include <csv.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "base/csv.h"
#include "base/printable.h"

namespace lastack::compare {
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

  explicit Parser(char delimiter) {
    csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI);
    csv_set_space_func(&parser, [](unsigned char) { return 0; });  // blanks belong to the field
    csv_set_delim(&parser, static_cast<unsigned char>(delimiter));
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
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff"))
    return plain_error(fmt::format("{}: this is UTF-16; save it as UTF-8", name));
  if (text.find('\n') == std::string_view::npos && text.find('\r') != std::string_view::npos)
    return plain_error(fmt::format(
        "{}: the lines end with a carriage return alone; save it with LF or CRLF", name));
  size_t line = 1;
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if (byte < ' ' && letter != '\n' && letter != '\r' && letter != '\t')
      return error_at(name, line, fmt::format("a byte 0x{:02x}: this is no text in UTF-8", byte));
    line += letter == '\n';
  }
  if (text.back() != '\n')
    return error_at(
        name, line,
        "the last line has no end: the file was cut off, or an editor has left the end out");
  return std::nullopt;
}

// What spreadsheets do to the front of a file: a byte order mark, a line "sep=;", and other
// characters between the fields than commas.
struct Front {
  size_t bytes = 0, lines = 0;  // that are no CSV
  char delimiter = ',';
};

Front front_of(std::string_view text) {
  Front front;
  if (text.starts_with("\xef\xbb\xbf")) front.bytes = 3;
  if (text.substr(front.bytes).starts_with("sep=")) {
    front.bytes = text.find('\n') + 1;
    front.lines = 1;
  }
  // The header decides: names of columns hold none of these. Blank lines may stand above it.
  text.remove_prefix(front.bytes);
  const size_t header = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  const std::string_view line = text.substr(header, text.find('\n', header) - header);
  for (const char delimiter : {';', '\t'})
    if (std::ranges::count(line, delimiter) > std::ranges::count(line, front.delimiter))
      front.delimiter = delimiter;
  return front;
}

constexpr std::string_view kBlanks = " \t";

bool is_blank(std::string_view text) {
  return text.find_first_not_of(kBlanks) == std::string_view::npos;
}

std::string_view without_blanks(std::string_view text) {
  if (is_blank(text)) return "";
  text.remove_prefix(text.find_first_not_of(kBlanks));
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
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

std::string shown(std::string_view text) {
  constexpr size_t kMost = 80;
  if (text.size() <= kMost) return printable(text);
  size_t end = kMost;  // between two letters of UTF-8
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return printable(text.substr(0, end)) + "...";
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

// Takes the header, or a row below it, out of the fields of a line.
Status CsvTable::take(std::string_view fields, std::vector<uint32_t> ends, size_t line) {
  const auto field = [&](size_t i) {
    const uint32_t start = i == 0 ? 0 : ends[i - 1];
    return fields.substr(start, ends[i] - start);
  };
  bool blank = true;
  for (size_t i = 0; i < ends.size(); ++i) blank = blank && is_blank(field(i));
  if (blank) return std::nullopt;  // spreadsheets keep lines that were emptied
  // ... and columns.
  while (ends.size() > columns_.size() && is_blank(field(ends.size() - 1))) ends.pop_back();
  if (!columns_.empty()) {
    if (ends.size() != columns_.size())
      return error_at(
          name_, line,
          fmt::format("{} fields, and the header has {}", ends.size(), columns_.size()));
    const auto start = static_cast<uint32_t>(text_.size());
    for (const uint32_t end : ends) ends_.push_back(start + end);
    text_ += fields.substr(0, ends.back());
    lines_.push_back(static_cast<uint32_t>(line));
    return std::nullopt;
  }
  std::set<std::string_view> names;
  for (size_t i = 0; i < ends.size(); ++i) {
    const auto name = without_blanks(field(i));
    if (!names.insert(name).second)
      return error_at(name_, line, fmt::format("column '{}' twice", shown(name)));
    columns_.emplace_back(name);
  }
  if (!column(kVersionColumn))
    return error_at(
        name_, line,
        fmt::format("no column {}: this is no header of a file of lastack", kVersionColumn));
  return std::nullopt;
}

Status CsvTable::check_versions() const {
  std::optional<int64_t> common;
  const size_t column_of_version = *column(kVersionColumn);
  for (size_t row = 0; row < rows(); ++row) {
    const auto text = at(row, column_of_version);
    const auto version = whole_number(text);
    if (!version || *version < 1)
      return plain_error(
          fmt::format("{}: schema_version is '{}', which is no version", place(row), shown(text)));
    if (common && *version != *common)
      return plain_error(fmt::format("{}: schema version {} below lines of version {}", place(row),
                                     *version, *common));
    common = version;
  }
  if (common && *common > kSchemaVersion)
    return plain_error(
        fmt::format("{}: schema version {} was written by a newer lastack; this one knows up to {}",
                    name_, *common, kSchemaVersion));
  return std::nullopt;
}

Result<CsvTable> read_csv(std::string_view text, std::string name) {
  if (Status bad = check_text(text, name)) return *bad;
  CsvTable table;
  table.name_ = std::move(name);
  const Front front = front_of(text);
  Parser parser(front.delimiter);
  size_t line = 1 + front.lines, first_line = line;

  // A line of the file at a time, since libcsv does not say where it is.
  for (size_t at = front.bytes; at < text.size(); ++line) {
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
    if (parser.ends.size() > kMostColumns)
      return error_at(table.name_, first_line, fmt::format("more than {} fields", kMostColumns));
    if (Status bad = table.take(parser.text, parser.ends, first_line)) return *bad;
    parser.text.clear();
    parser.ends.clear();
    first_line = line + 1;
  }
  if (csv_fini(&parser.parser, Parser::on_field, Parser::on_line, &parser) != 0 ||
      !parser.ends.empty())
    return error_at(table.name_, first_line, "a quoted field that does not end");
  if (table.columns_.empty()) return plain_error(fmt::format("{}: no header", table.name_));
  if (Status bad = table.check_versions()) return *bad;
  return table;
}

}  // namespace lastack::compare
