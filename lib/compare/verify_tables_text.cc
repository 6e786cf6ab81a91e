#include "compare/verify_tables_text.h"

#include <fmt/format.h>

#include "base/csv.h"
#include "base/table.h"

namespace lastack::compare {
namespace {

std::string_view matter_name(TableMatter matter) {
  switch (matter) {
    case TableMatter::verdict:
      return "verdict";
    case TableMatter::asserted:
      return "asserted";
    case TableMatter::other:
      return "other";
  }
  return "";
}

Cells header_of(const TableComparison& comparison, Cells cells) {
  cells.insert(cells.end(), comparison.labels.begin(), comparison.labels.end());
  return cells;
}

Table differences_table(const TableComparison& comparison) {
  Cells header = header_of(comparison, {"row", "path", "way", "what"});
  const size_t columns = header.size();
  Table table(std::move(header), columns);
  for (const TableDifference& one : comparison.differences) {
    Cells cells = {one.row.name, one.row.path, one.way, one.what};
    cells.insert(cells.end(), one.values.begin(), one.values.end());
    table.add(std::move(cells));
  }
  return table;
}

Table unknown_table(const TableComparison& comparison) {
  Cells header = header_of(comparison, {"not compared", "path"});
  const size_t columns = header.size();
  Table table(std::move(header), columns);
  for (const UnknownRow& one : comparison.unknown) {
    Cells cells = {one.row.name, one.row.path};
    cells.insert(cells.end(), one.states.begin(), one.states.end());
    table.add(std::move(cells));
  }
  return table;
}

Table sides_table(const TableComparison& comparison) {
  Table table({"side", "kernel", "rows"}, 2);
  for (size_t i = 0; i < comparison.tables.size(); ++i)
    table.add({comparison.labels[i], comparison.tables[i].kernel,
               fmt::format("{}", comparison.tables[i].rows.size())});
  return table;
}

std::string counted(size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string summary(const TableComparison& comparison) {
  std::string text =
      comparison.differences.empty()
          ? fmt::format("no difference in {}", counted(comparison.compared, "row"))
          : fmt::format("{} in {}, of {} that every side played",
                        counted(comparison.differences.size(), "difference"),
                        counted(comparison.differing_rows, "row"), comparison.compared);
  if (!comparison.unknown.empty())
    text += fmt::format("; {} NOT COMPARED", counted(comparison.unknown.size(), "row"));
  return text;
}

}  // namespace

std::string tables_text(const TableComparison& comparison) {
  std::string text = sides_table(comparison).text() + "\n";
  if (!comparison.differences.empty()) text += differences_table(comparison).text() + "\n";
  if (!comparison.unknown.empty()) text += unknown_table(comparison).text() + "\n";
  return text + summary(comparison) + "\n";
}

std::string tables_markdown(const TableComparison& comparison) {
  std::string text = escaped(summary(comparison), Markup::foreign) + "\n\n" +
                     sides_table(comparison).markdown(Markup::foreign);
  if (!comparison.differences.empty())
    text += "\n" + differences_table(comparison).markdown(Markup::foreign);
  if (!comparison.unknown.empty())
    text += "\n" + unknown_table(comparison).markdown(Markup::foreign);
  return text;
}

nlohmann::ordered_json tables_document(const TableComparison& comparison,
                                       const std::string& command) {
  using nlohmann::ordered_json;
  ordered_json sides = ordered_json::array(), differences = ordered_json::array(),
               unknown = ordered_json::array();
  for (size_t i = 0; i < comparison.tables.size(); ++i)
    sides.push_back({{"label", comparison.labels[i]},
                     {"path", comparison.tables[i].path},
                     {"kernel", comparison.tables[i].kernel},
                     {"rows", comparison.tables[i].rows.size()}});
  for (const TableDifference& one : comparison.differences)
    differences.push_back({{"row", one.row.name},
                           {"path", one.row.path},
                           {"matter", matter_name(one.matter)},
                           {"way", one.way},
                           {"what", one.what},
                           {"values", one.values}});
  for (const UnknownRow& one : comparison.unknown)
    unknown.push_back({{"row", one.row.name}, {"path", one.row.path}, {"states", one.states}});
  return {{"schema_version", kSchemaVersion},
          {"command", command},
          {"sides", std::move(sides)},
          {"compared", comparison.compared},
          {"differing_rows", comparison.differing_rows},
          {"differences", std::move(differences)},
          {"not_compared", std::move(unknown)}};
}

}  // namespace lastack::compare
