#include "report/regressions_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/table.h"
#include "base/time_unit.h"
#include "report/csv.h"

namespace lastack {
namespace {

using Json = nlohmann::ordered_json;
using verify::Regression;
using verify::RegressionResult;
using verify::RegressionRow;
using verify::Way;

constexpr std::string_view kHelp =
    "what really broke in the endings of connections from Linux 6.1 on: a row each, and whether "
    "this kernel has the fault";

std::string_view condition(bool broken) { return broken ? "broken" : "sound"; }

std::string_view observed(const RegressionRow& row) {
  return row.played() ? condition(row.broken) : "not played";
}

std::string_view verdict(const RegressionRow& row) {
  return !row.played() ? "NOT PLAYED" : row.ok() ? "ok" : "DIFFERS";
}

// "10 of 10 broken: SO_ERROR 0".
std::string way_text(const Way& way) {
  std::vector<std::string> seen;
  for (const verify::Sight& sight : way.sights)
    for (const auto& [value, times] : sight.values)
      seen.push_back(times == way.connections
                         ? fmt::format("{}: {}", sight.what, value)
                         : fmt::format("{}: {} ({})", sight.what, value, times));
  return fmt::format("{}: {} of {} broken; {}", way.name, way.outcomes.unmet(), way.connections,
                     fmt::join(seen, "; "));
}

// What is to be known of one row that is not as expected.
std::string remark(const RegressionResult& result, const RegressionRow& row) {
  if (!row.played())
    return fmt::format("NOT PLAYED {}: {}\n", row.regression->name, row.record.error);
  if (row.ok()) return "";
  std::string text =
      fmt::format("DIFFERS {}: {}, expected {} of Linux {}", row.regression->name,
                  condition(row.broken), condition(row.should_break), to_text(result.expected_of));
  for (const Way& way : row.record.ways) text += fmt::format("; {}", way_text(way));
  return text + "\n";
}

std::string remarks(const RegressionResult& result) {
  std::string text;
  for (const RegressionRow& row : result.rows) text += remark(result, row);
  return text;
}

Table table_of(const RegressionResult& result, bool whole) {
  Cells header = {"row", "fixed in", "expected", "observed", "verdict"};
  if (whole) {
    header.insert(header.begin() + 1, {"what broke", "mended by"});
    header.push_back("seen");
  }
  Table table(header, header.size());
  for (const RegressionRow& row : result.rows) {
    const Regression& one = *row.regression;
    Cells cells = {std::string(one.name), verify::fixed_text(one),
                   std::string(condition(row.should_break)), std::string(observed(row)),
                   std::string(verdict(row))};
    if (whole) {
      cells.insert(cells.begin() + 1,
                   {std::string(one.broke), fmt::format("{} ({})", one.title, one.commit)});
      std::vector<std::string> seen;
      for (const Way& way : row.record.ways) seen.push_back(way_text(way));
      cells.push_back(row.played() ? fmt::format("{}", fmt::join(seen, "; ")) : row.record.error);
    }
    table.add(std::move(cells));
  }
  return table;
}

// "Linux 6.1.174 (uname -v; release 6.1.0-49-cloud-amd64)".
std::string kernel_text(const RegressionResult& result) {
  return fmt::format("Linux {} ({}; release {})", to_text(result.kernel.version),
                     result.kernel.source, result.release);
}

std::string notes(const RegressionResult& result) {
  std::string text;
  if (result.expected_of != result.kernel.version)
    text += fmt::format("expected is what Linux {} does, as asked\n", to_text(result.expected_of));
  else if (result.kernel.may_differ)
    text +=
        "expected is by version: a vendor's kernel may have changes of later versions, or lack "
        "some\n";
  return text;
}

std::string summary(const RegressionResult& result) {
  int64_t differ = 0, not_played = 0;
  for (const RegressionRow& row : result.rows) {
    differ += row.played() && !row.ok();
    not_played += !row.played();
  }
  const auto rows = static_cast<int64_t>(result.rows.size());
  return fmt::format(
      "{}: {} of {} rows as expected{}{}, in {}", kernel_text(result), rows - differ - not_played,
      rows, differ > 0 ? fmt::format(", {} {}", differ, differ == 1 ? "DIFFERS" : "DIFFER") : "",
      not_played > 0 ? fmt::format(", {} NOT PLAYED", not_played) : "",
      format_rounded_duration(static_cast<double>(result.duration_ns), result.time_unit));
}

Json versions_json(Arrivals arrivals) {
  Json list = Json::array();
  for (const KernelVersion& version : arrivals) list.push_back(to_text(version));
  return list;
}

Json described(const Regression& one) {
  return {{"name", one.name},
          {"broke", one.broke},
          {"title", one.title},
          {"commit", one.commit},
          {"fixed_in", versions_json(one.fixed)},
          {"cause", one.cause.empty() ? Json(nullptr) : Json(one.cause)},
          {"broken_since", versions_json(one.introduced)},
          {"not_shown_red", one.not_shown_red.empty() ? Json(nullptr) : Json(one.not_shown_red)}};
}

Json row_json(const RegressionRow& row) {
  Json json = described(*row.regression);
  json["expected"] = condition(row.should_break);
  json["observed"] = row.played() ? Json(condition(row.broken)) : Json(nullptr);
  json["ok"] = row.ok();
  json["error"] = row.played() ? Json(nullptr) : Json(row.record.error);
  json["ways"] = Json::array();
  for (const Way& way : row.record.ways) {
    Json seen = Json::object();
    for (const verify::Sight& sight : way.sights) seen[sight.what] = sight.values;
    json["ways"].push_back({{"way", way.name},
                            {"connections", way.connections},
                            {"broken", way.outcomes.unmet()},
                            {"seen", std::move(seen)}});
  }
  json["duration_ns"] = row.duration_ns;
  return json;
}

}  // namespace

std::string regressions_text(const RegressionResult& result) {
  std::string text = table_of(result, false).text();
  for (const RegressionRow& row : result.rows) {
    text += fmt::format("\n{}: {}\n    mended by \"{}\" ({})\n", row.regression->name,
                        row.regression->broke, row.regression->title, row.regression->commit);
    if (!row.regression->cause.empty())
      text += fmt::format("    caused by \"{}\"\n", row.regression->cause);
    if (!row.regression->not_shown_red.empty())
      text += fmt::format("    not shown red: {}\n", row.regression->not_shown_red);
    for (const Way& way : row.record.ways) text += fmt::format("    {}\n", way_text(way));
  }
  const std::string different = remarks(result);
  if (!different.empty()) text += "\n" + different;
  return fmt::format("{}\n{}{}\n", text, notes(result), summary(result));
}

std::string regressions_markdown(const RegressionResult& result) {
  std::string text = fmt::format("{}.\n", summary(result));
  if (const std::string note = notes(result); !note.empty()) text += "\n" + note;
  return text + "\n" + table_of(result, true).markdown();
}

Json regressions_document(const RegressionResult& result, const Json& environment) {
  Json rows = Json::array();
  for (const RegressionRow& row : result.rows) rows.push_back(row_json(row));
  return {{"schema_version", kSchemaVersion},
          {"suite", "regressions"},
          {"kernel",
           {{"release", result.release},
            {"version", to_text(result.kernel.version)},
            {"source", result.kernel.source},
            {"may_differ", result.kernel.may_differ}}},
          {"expected_of", to_text(result.expected_of)},
          {"status", status_row(result.status).name},
          {"exit_code", status_row(result.status).exit_code},
          {"wall_ns", result.duration_ns},
          {"rows", std::move(rows)},
          {"environment", environment}};
}

std::string regressions_list_text() {
  std::string text = fmt::format("regressions: {}\n", kHelp);
  for (const Regression& one : verify::regressions())
    text += fmt::format("    {}: {}\n", one.name, one.title);
  return text;
}

Json regressions_list_json() {
  Json rows = Json::array();
  for (const Regression& one : verify::regressions()) rows.push_back(described(one));
  return {{"name", "regressions"}, {"help", kHelp}, {"rows", std::move(rows)}};
}

}  // namespace lastack
