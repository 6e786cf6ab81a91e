#include "compare/verify_tables.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <optional>
#include <set>

#include "base/printable.h"
#include "compare/document.h"

namespace lastack::compare {
namespace {

// ---- Reading

// Sums over all connections, which depend on retransmissions and delayed ACKs.
constexpr std::string_view kFigure = " per connection";

std::map<std::string, int64_t> counts_of(Document& document, const Json& object) {
  std::map<std::string, int64_t> counts;
  for (const auto& [value, times] : object.items())
    counts[printable(value)] = document.number(object, value, std::nullopt);
  return counts;
}

std::string texts_of(const std::map<std::string, int64_t>& counts) {
  if (counts.size() == 1) return counts.begin()->first;
  std::vector<std::string> parts;
  for (const auto& [value, times] : counts) parts.push_back(fmt::format("{} ({})", value, times));
  return fmt::format("{}", fmt::join(parts, ", "));
}

void read_expected(Document& document, const Json& object, TableRow& row) {
  if (!Document::member(object, "expected").is_array()) return;  // a verdict, of other rows
  for (const Json& expected : document.objects(object, "expected", false)) {
    const std::string way = document.text(expected, "way", std::nullopt),
                      what = document.text(expected, "what", std::nullopt);
    std::vector<std::string> allowed;
    const Json& values = Document::member(expected, "values");
    if (!values.is_array()) document.fail("'values' is not a list");
    for (const Json& value : values)
      if (value.is_string()) allowed.push_back(printable(value.get<std::string>()));
    for (auto& [key, sight] : row.sights)
      if (key.second == what && (way.empty() || key.first == way)) sight.allowed = allowed;
  }
}

void read_sights(Document& document, const Json& object, TableRow& row) {
  std::set<std::string> left_to_timing;
  for (const Json& way : document.objects(object, "frequencies", false))
    if (!document.flag(way, "forced", true))
      left_to_timing.insert(document.text(way, "way", std::nullopt));
  const Json& observed = Document::member(object, "observed");
  if (observed.is_null()) return;
  for (const auto& [way, sights] : document.object(object, "observed").items()) {
    if (!sights.is_object()) document.fail(fmt::format("'{}' is not an object", printable(way)));
    for (const auto& [what, values] : sights.items()) {
      if (!values.is_object()) continue;  // bytes
      const WayAndWhat key = {printable(way), printable(what)};
      TableSight& sight = row.sights[key];
      sight.values = counts_of(document, values);
      sight.by_chance = left_to_timing.contains(key.first) || key.second.ends_with(kFigure);
    }
  }
  read_expected(document, object, row);
}

// A row of the claims, or of another list: it is named by its case and variant, or its id.
void read_row(Document& document, const Json& object, RowKey& key, TableRow& row) {
  const bool claim = object.contains("case");
  key.name = claim ? fmt::format("{}/{}", document.text(object, "case", std::nullopt),
                                 document.text(object, "variant", std::nullopt))
                   : document.text(object, "id", std::nullopt);
  key.path = document.text(object, "path", "");
  row.verdict = document.text(object, "verdict", std::nullopt);
  if (!document.flag(object, "played", true)) {
    row.error = document.text(object, "error", "");
    if (row.error.empty()) row.error = "no reason is given";
  }
  if (Document::member(object, "observed").is_object()) read_sights(document, object, row);
}

// A row of the suite of regressions: observed is what is broken or fixed.
void read_regression(Document& document, const Json& object, RowKey& key, TableRow& row) {
  key.name = document.text(object, "name", std::nullopt);
  row.error = document.text(object, "error", "");
  row.verdict = document.text(object, "observed",
                              row.error.empty() ? std::nullopt : std::optional<std::string>(""));
  for (const Json& way : document.objects(object, "ways", false)) {
    const std::string name = document.text(way, "way", std::nullopt);
    for (const auto& [what, values] : document.object(way, "seen").items()) {
      if (!values.is_object()) continue;
      TableSight& sight = row.sights[{name, printable(what)}];
      sight.values = counts_of(document, values);
      sight.by_chance = what.ends_with(kFigure);
    }
  }
}

// A cell of the matrix: findings, and whether they are what the model expects.
void read_cell(Document& document, const Json& object, RowKey& key, TableRow& row) {
  key.name = fmt::format("{}/{}/{}", document.text(object, "survivor", std::nullopt),
                         document.text(object, "strategy", std::nullopt),
                         document.text(object, "watch", std::nullopt));
  key.path = document.text(object, "path", "");
  row.verdict = document.number(object, "unexpected", 0) > 0 ? "unexpected" : "expected";
  row.sights[{"", "findings"}].values = counts_of(document, document.object(object, "findings"));
}

// What tells rows apart: members that all of a kind have.
struct RowKind {
  std::string_view name;
  std::vector<std::string> members;
  void (*read)(Document& document, const Json& object, RowKey& key, TableRow& row);
};

const RowKind* kind_of(const Json& object) {
  static const RowKind kKinds[] = {{"matrix", {"strategy", "findings"}, read_cell},
                                   {"claims", {"case"}, read_row},
                                   {"regressions", {"name", "observed"}, read_regression},
                                   {"rows", {"id"}, read_row}};
  for (const RowKind& kind : kKinds)
    if (std::all_of(kind.members.begin(), kind.members.end(),
                    [&](const std::string& member) { return object.contains(member); }))
      return &kind;
  return nullptr;
}

// ---- Comparing

using Rows = std::vector<const TableRow*>;  // one a side; nullptr: absent, or not played

const TableRow* played_row(const VerifyTable& table, const RowKey& key) {
  const auto found = table.rows.find(key);
  return found == table.rows.end() || !found->second.error.empty() ? nullptr : &found->second;
}

std::set<std::string> values_beyond(const TableSight& sight,
                                    const std::vector<std::string>& allowed) {
  std::set<std::string> beyond;
  for (const auto& [value, times] : sight.values)
    if (std::find(allowed.begin(), allowed.end(), value) == allowed.end()) beyond.insert(value);
  return beyond;
}

bool sights_differ(const TableSight& a, const TableSight& b) {
  if (a.allowed == b.allowed && !a.allowed.empty())
    return values_beyond(a, a.allowed) != values_beyond(b, b.allowed);
  const bool asserted = !a.allowed.empty() || !b.allowed.empty();
  if (!asserted && (a.by_chance || b.by_chance)) return false;
  return std::none_of(a.values.begin(), a.values.end(),
                      [&](const auto& one) { return b.values.contains(one.first); });
}

// Whether any two of those that are there differ.
template <class Value, class Differ>
bool any_differ(const std::vector<const Value*>& values, Differ differ) {
  for (size_t i = 0; i < values.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (values[i] && values[j] && differ(*values[i], *values[j])) return true;
  return false;
}

void compare_row(const RowKey& key, const Rows& rows, TableComparison& comparison) {
  const auto tell = [&](TableMatter matter, const WayAndWhat& what, auto text_of) {
    TableDifference difference{matter, key, what.first, what.second, {}};
    for (const TableRow* row : rows)
      difference.values.push_back(row ? text_of(*row) : std::string("not played"));
    comparison.differences.push_back(std::move(difference));
  };
  const size_t before = comparison.differences.size();
  if (any_differ(rows, [](const auto& a, const auto& b) { return a.verdict != b.verdict; }))
    tell(TableMatter::verdict, {"", "verdict"}, [](const TableRow& row) { return row.verdict; });
  std::set<WayAndWhat> seen;
  for (const TableRow* row : rows)
    if (row)
      for (const auto& [what, sight] : row->sights) seen.insert(what);
  for (const WayAndWhat& what : seen) {
    std::vector<const TableSight*> sights;
    bool asserted = false, missing = false;
    for (const TableRow* row : rows) {
      const bool has = row && row->sights.contains(what);
      sights.push_back(has ? &row->sights.at(what) : nullptr);
      asserted |= has && !sights.back()->allowed.empty();
      missing |= row && !has;
    }
    if (any_differ(sights, sights_differ) || (asserted && missing))
      tell(asserted ? TableMatter::asserted : TableMatter::other, what, [&](const TableRow& row) {
        const auto found = row.sights.find(what);
        return found == row.sights.end() ? "not seen" : texts_of(found->second.values);
      });
  }
  comparison.differing_rows += comparison.differences.size() > before;
}

UnknownRow unknown_row(const RowKey& key, const std::vector<VerifyTable>& tables) {
  UnknownRow unknown{key, {}};
  for (const VerifyTable& table : tables) {
    const auto found = table.rows.find(key);
    unknown.states.push_back(found == table.rows.end()     ? "absent"
                             : found->second.error.empty() ? "played"
                                                           : "not played: " + found->second.error);
  }
  return unknown;
}

}  // namespace

Result<VerifyTable> verify_table_of(const std::string& name, std::string_view json) {
  Document document(json, name, Document::Root::table);
  if (document.failed()) return *document.failed();
  VerifyTable table;
  table.path = name;
  const bool list = document.root().is_array();
  const Json& rows = list ? document.root() : document.objects(document.root(), "rows", true);
  if (!list)
    table.kernel = document.text(Document::member(document.root(), "kernel"), "release", "");
  if (rows.empty()) document.fail("the table has no row");
  for (const Json& object : rows) {
    const RowKind* kind = kind_of(object);
    if (!kind)
      document.fail(
          "a row has neither case, id, strategy nor observed: this is no table of what "
          "kernels do");
    if (kind && !table.kind.empty() && kind->name != table.kind)
      document.fail("rows of different kinds");
    if (document.failed()) return *document.failed();
    table.kind = kind->name;
    RowKey key;
    TableRow row;
    kind->read(document, object, key, row);
    table.kernel = document.text(object, "kernel", table.kernel);
    if (!table.rows.emplace(key, std::move(row)).second)
      document.fail(fmt::format("row {} on '{}' is there twice", key.name, key.path));
    table.order.push_back(std::move(key));
  }
  if (document.failed()) return *document.failed();
  return table;
}

Result<VerifyTable> read_verify_table(const std::string& path) {
  std::error_code failed;
  std::string file = path;
  if (std::filesystem::is_directory(path, failed)) {
    const std::string regressions = path + "/regressions.json";
    file = path + "/verify.json";
    if (!std::filesystem::exists(file, failed) && std::filesystem::exists(regressions, failed))
      file = regressions;
  }
  const auto text = read_recorded_file(file);
  if (!text) return text.error();
  auto table = verify_table_of(printable(file), *text);
  if (table) table->path = printable(path);
  return table;
}

Result<TableComparison> compare_tables(std::vector<VerifyTable> tables) {
  TableComparison comparison;
  std::vector<std::string> paths;
  for (const VerifyTable& table : tables) {
    paths.push_back(table.path);
    if (table.kind != tables.front().kind)
      return plain_error(fmt::format("{} holds {} and {} {}", tables.front().path,
                                     tables.front().kind, table.path, table.kind));
  }
  comparison.labels = labels_of(paths);
  std::set<RowKey> looked_at;
  bool any_pair = false;
  for (const VerifyTable& table : tables) {
    for (const RowKey& key : table.order) {
      if (!looked_at.insert(key).second) continue;
      Rows rows;
      for (const VerifyTable& side : tables) rows.push_back(played_row(side, key));
      const auto played = rows.size() - static_cast<size_t>(std::ranges::count(rows, nullptr));
      comparison.compared += played == rows.size();
      any_pair |= played > 1;
      if (played < rows.size()) comparison.unknown.push_back(unknown_row(key, tables));
      compare_row(key, rows, comparison);
    }
  }
  if (!any_pair)
    return plain_error(fmt::format("{} have no row in common that was played",
                                   fmt::join(comparison.labels, " and ")));
  std::stable_sort(comparison.differences.begin(), comparison.differences.end(),
                   [](const auto& a, const auto& b) { return a.matter < b.matter; });
  comparison.tables = std::move(tables);
  return comparison;
}

}  // namespace lastack::compare
