#include "compare/summary.h"

#include <fmt/format.h>

#include <set>

#include "base/parse.h"
#include "base/printable.h"
#include "base/rows.h"
#include "compare/csv_table.h"

namespace lastack::compare {
namespace {

bool read_count(std::string_view text, int64_t& into) {
  const auto value = whole_number(text);
  if (!value || *value < 0) return false;
  into = *value;
  return true;
}

bool read_optional(std::string_view text, std::optional<double>& into) {
  if (text.empty()) return true;
  // lastack writes none: a spreadsheet has rounded the figure.
  if (text.find_first_of("eE") != std::string_view::npos) return false;
  into = any_number(text);
  return into.has_value();
}

// Of a field that is no number any more: what it can be that made it so; "" where nothing is known.
std::string_view what_a_spreadsheet_did(std::string_view text) {
  const size_t first = text.find_first_not_of("0123456789-");
  if (text.empty() || first == 0 || first == std::string_view::npos) return "";
  switch (text[first]) {
    case ',':
      return ": a comma for the decimal point, or between thousands; save numbers as they were";
    case '.':
    case 'e':
    case 'E':
      return text.find_first_not_of("0123456789.eE+-", first) == std::string_view::npos
                 ? ": rounded, or with points between thousands; save numbers as they were"
                 : "";
    default:
      return "";
  }
}

// "eof=3;epipe=1".
bool read_counts(std::string_view text, std::map<std::string, int64_t>& into) {
  for (const std::string_view part : split(text, ';')) {
    const size_t equals = part.find('=');
    int64_t count = 0;
    if (equals == 0 || equals == std::string_view::npos) return false;
    if (!read_count(part.substr(equals + 1), count)) return false;
    if (!into.emplace(part.substr(0, equals), count).second) return false;
  }
  return true;
}

bool copy(std::string_view text, std::string& into) {
  into = printable(text);
  return true;
}

enum class Presence { needed, needed_in_suites, optional };

// A column that the comparison reads, and what its fields have to be.
struct ReadColumn {
  std::string_view name;
  Presence presence;
  std::string_view what;  // "a count": what a field has to be
  bool (*read)(std::string_view text, RecordedLine& line);
};

constexpr ReadColumn kReadColumns[] = {
    {"strategy", Presence::needed, "a name",
     [](std::string_view t, RecordedLine& l) { return copy(t, l.key.strategy) && !t.empty(); }},
    {"watch", Presence::needed, "a name",
     [](std::string_view t, RecordedLine& l) { return copy(t, l.key.watch) && !t.empty(); }},
    {"probe", Presence::needed, "a name",
     [](std::string_view t, RecordedLine& l) { return copy(t, l.key.probe) && !t.empty(); }},
    {"family", Presence::optional, "a name",
     [](std::string_view t, RecordedLine& l) { return copy(t, l.family); }},
    {"skipped", Presence::needed, "a text",
     [](std::string_view t, RecordedLine& l) { return copy(t, l.skipped); }},
    {"requested", Presence::needed, "a count",
     [](std::string_view t, RecordedLine& l) { return read_count(t, l.requested); }},
    {"torn_down", Presence::needed, "a count",
     [](std::string_view t, RecordedLine& l) { return read_count(t, l.torn_down); }},
    {"found", Presence::needed, "a count",
     [](std::string_view t, RecordedLine& l) { return read_count(t, l.found); }},
    {"nothing", Presence::needed, "a count",
     [](std::string_view t, RecordedLine& l) { return read_count(t, l.nothing); }},
    {"findings", Presence::needed, "FINDING=COUNT;...",
     [](std::string_view t, RecordedLine& l) { return read_counts(t, l.findings); }},
    {"latency_count", Presence::needed, "a count",
     [](std::string_view t, RecordedLine& l) { return read_count(t, l.latency_count); }},
    {"latency_p50_ns", Presence::needed, "a number",
     [](std::string_view t, RecordedLine& l) { return read_optional(t, l.latency_p50_ns); }},
    {"latency_p99_ns", Presence::needed, "a number",
     [](std::string_view t, RecordedLine& l) { return read_optional(t, l.latency_p99_ns); }},
    {"latency_p999_ns", Presence::needed, "a number",
     [](std::string_view t, RecordedLine& l) { return read_optional(t, l.latency_p999_ns); }},
    // Those of files of an older lastack, or of a run of its own, may lack these.
    {"run", Presence::needed_in_suites, "a folder",
     [](std::string_view t, RecordedLine& l) { return copy(t, l.run) && !t.empty(); }},
    {"row", Presence::optional, "a name",
     [](std::string_view t, RecordedLine& l) { return copy(t, l.key.row) && !t.empty(); }},
    {"repetition", Presence::optional, "a count",
     [](std::string_view t, RecordedLine& l) {
       return read_count(t, l.repetition) && l.repetition <= kMostRecordedRepetitions;
     }},
    {"warm_up", Presence::optional, "0 or 1",
     [](std::string_view t, RecordedLine& l) {
       l.warm_up = t == "1";
       return t == "0" || t == "1";
     }},
    {"write_path", Presence::optional, "a name",
     [](std::string_view t, RecordedLine& l) { return copy(t, l.key.write_path); }},
    {"writes_accepted_after_act", Presence::optional, "a number",
     [](std::string_view t, RecordedLine& l) {
       return read_optional(t, l.writes_accepted_after_act);
     }},
    {"first_errors", Presence::optional, "ERRNO=COUNT;...",
     [](std::string_view t, RecordedLine& l) { return read_counts(t, l.first_errors); }},
    {"after_predicted_p50_ns", Presence::optional, "a number",
     [](std::string_view t, RecordedLine& l) {
       return read_optional(t, l.after_predicted_p50_ns);
     }},
    {"mode_1_p50_ns", Presence::optional, "a number",
     [](std::string_view t, RecordedLine& l) { return read_optional(t, l.mode_1_p50_ns); }},
    {"mode_1_share", Presence::optional, "a number",
     [](std::string_view t, RecordedLine& l) { return read_optional(t, l.mode_1_share); }},
    {"mode_2_p50_ns", Presence::optional, "a number",
     [](std::string_view t, RecordedLine& l) { return read_optional(t, l.mode_2_p50_ns); }},
    {"mode_2_share", Presence::optional, "a number",
     [](std::string_view t, RecordedLine& l) { return read_optional(t, l.mode_2_share); }},
    {"cpu_ns_per_connection", Presence::optional, "a number",
     [](std::string_view t, RecordedLine& l) { return read_optional(t, l.cpu_ns_per_connection); }},
    {"segments_per_connection", Presence::optional, "a number",
     [](std::string_view t, RecordedLine& l) {
       return read_optional(t, l.segments_per_connection);
     }},
    {"busy_ns_per_connection", Presence::optional, "a number",
     [](std::string_view t, RecordedLine& l) {
       return read_optional(t, l.busy_ns_per_connection);
     }},
    {"establish_ns_per_connection", Presence::optional, "a number",
     [](std::string_view t, RecordedLine& l) {
       return read_optional(t, l.establish_ns_per_connection);
     }},
    {"arm_ns_per_connection", Presence::optional, "a number",
     [](std::string_view t, RecordedLine& l) { return read_optional(t, l.arm_ns_per_connection); }},
    {"written_p50_ns", Presence::optional, "a number",
     [](std::string_view t, RecordedLine& l) { return read_optional(t, l.written_p50_ns); }},
};
static_assert(named(kReadColumns, &ReadColumn::name));

}  // namespace

std::string row_of_folder(std::string_view folder) {
  folder = folder.substr(0, folder.find('/'));
  const size_t digits = folder.find_first_not_of("0123456789");
  const bool numbered = digits != 0 && digits != std::string_view::npos && folder[digits] == '-';
  return std::string(numbered ? folder.substr(digits + 1) : folder);
}

Result<std::vector<RecordedLine>> read_summary(std::string_view text, const std::string& name,
                                               bool of_suite) {
  const auto table = read_csv(text, name);
  if (!table) return table.error();
  std::vector<std::pair<const ReadColumn*, size_t>> columns;
  for (const ReadColumn& column : kReadColumns) {
    if (const auto at = table->column(column.name))
      columns.emplace_back(&column, *at);
    else if (column.presence == Presence::needed ||
             (of_suite && column.presence == Presence::needed_in_suites))
      return plain_error(fmt::format("{}: column '{}' is missing", name, column.name));
  }
  if (table->rows() == 0) return plain_error(fmt::format("{}: no line below the header", name));
  const bool names_rows = table->column("row").has_value();
  std::vector<RecordedLine> lines;
  std::set<std::pair<RecordedKey, std::string>> seen;
  for (size_t row = 0; row < table->rows(); ++row) {
    RecordedLine line;
    for (const auto& [column, at] : columns)
      if (!column->read(table->at(row, at), line))
        return plain_error(fmt::format("{}: {} is '{}', which is not {}{}", table->place(row),
                                       column->name, shown(table->at(row, at)), column->what,
                                       what_a_spreadsheet_did(table->at(row, at))));
    if (line.nothing > 0) line.findings["nothing"] = line.nothing;
    if (of_suite && !names_rows) line.key.row = row_of_folder(line.run);
    if (!seen.insert({line.key, line.run}).second)
      return plain_error(
          fmt::format("{}: this line stands above already, for the same run", table->place(row)));
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace lastack::compare
