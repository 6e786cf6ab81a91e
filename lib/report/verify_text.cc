#include "report/verify_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/parse.h"
#include "base/table.h"
#include "base/time_unit.h"
#include "report/json_text.h"

namespace lastack {
namespace {

using nlohmann::ordered_json;
using verify::Case;
using verify::Sight;
using verify::Verdict;
using verify::VerifiedRow;
using verify::VerifyResult;
using verify::Way;

constexpr std::string_view kFrequencyHelp =
    "\"99 of 100\": so many connections did what is claimed when it was provoked in this way.";
constexpr std::string_view kHeldBackHelp =
    "\"Held back\": a filter on the survivor's socket keeps the RST out; \"awaited\": poll() has "
    "seen it.";

std::string values_text(const Sight& sight) {
  if (sight.values.size() == 1) return sight.values.begin()->first;
  std::vector<std::string> parts;
  for (const auto& [value, times] : sight.values)
    parts.push_back(fmt::format("{} ({})", value, times));
  return fmt::format("{}", fmt::join(parts, ", "));
}

// "first read ECONNRESET; TCP state CLOSE".
std::string sights_text(const Way& way) {
  std::vector<std::string> parts;
  for (const Sight& sight : way.sights)
    parts.push_back(fmt::format("{}: {}", sight.what, values_text(sight)));
  if (way.bytes_sent > 0)
    parts.push_back(fmt::format("{} of {} bytes received", way.bytes_received, way.bytes_sent));
  return fmt::format("{}", fmt::join(parts, "; "));
}

// Ways are forced unless they say that timing decides.
std::string way_name(const Way& way) {
  const bool says_so = way.forced || way.name == "left to timing";
  return says_so ? way.name : way.name + " (left to timing)";
}

std::string frequency_text(const Way& way) {
  return fmt::format("{} of {}", way.outcomes.met(), way.connections);
}

std::string row_verdict(const VerifiedRow& row) {
  return row.played() ? verify::verdict_text(row.observed, row.condition) : "not played";
}

// Whether it is as the table expects: "" in text where it is.
std::string_view agreement(const VerifiedRow& row) {
  if (!row.played()) return "NOT PLAYED";
  return row.ok() ? "" : "DIFFERS";
}

int64_t connections_of(const VerifiedRow& row) {
  int64_t sum = 0;
  for (const Way& way : row.record.ways) sum += way.connections;
  return sum;
}

const verify::Claim& claim_of(const VerifiedRow& row) {
  for (const verify::Claim& claim : verify::claims())
    if (claim.case_id == row.case_id && claim.variant == row.variant) return claim;
  return verify::claims().front();
}

// What its connections must show; way "" is every way.
ordered_json expected_json(const verify::Claim& claim) {
  ordered_json list = ordered_json::array();
  for (const verify::ExpectedSight& sight : claim.sights)
    list.push_back({{"way", sight.way}, {"what", sight.what}, {"values", split(sight.value, '|')}});
  return list;
}

// The verdict on a case from those on its rows.
std::string case_verdict(const VerifyResult& result, const Case& one) {
  bool met = false, unmet = false, unknown = false, played = true;
  for (const VerifiedRow& row : result.rows) {
    if (row.case_id != one.id) continue;
    played = played && row.played();
    unknown = unknown || row.observed == Verdict::undecided;
    met = met || row.observed == Verdict::holds || row.observed == Verdict::holds_if;
    unmet = unmet || row.observed == Verdict::does_not_hold || row.observed == Verdict::holds_if;
  }
  if (!played) return "unknown, as a row was not played";
  if (unknown) return "undecided";
  if (met && unmet) return verify::verdict_text(Verdict::holds_if, one.condition);
  return std::string(verify::verdict_row(met ? Verdict::holds : Verdict::does_not_hold).text);
}

bool in_result(const VerifyResult& result, const Case& one) {
  return std::any_of(result.rows.begin(), result.rows.end(),
                     [&](const VerifiedRow& row) { return row.case_id == one.id; });
}

std::string summary(const VerifyResult& result) {
  int64_t differ = 0, not_played = 0, connections = 0;
  for (const VerifiedRow& row : result.rows) {
    differ += row.played() && !row.ok();
    not_played += !row.played();
    connections += connections_of(row);
  }
  std::vector<std::string> parts;
  if (differ > 0)
    parts.push_back(fmt::format("{} row{} from what is expected", differ,
                                differ == 1 ? " DIFFERS" : "s DIFFER"));
  if (not_played > 0)
    parts.push_back(fmt::format("{} row{} NOT PLAYED", not_played, not_played == 1 ? "" : "s"));
  if (parts.empty()) parts.push_back("this kernel does what the table expects");
  return fmt::format(
      "Linux {}, {} rows, {} connections, {}: {}", result.kernel, result.rows.size(), connections,
      format_rounded_duration(static_cast<double>(result.duration_ns), result.time_unit),
      fmt::join(parts, ", "));
}

std::string differing(const VerifyResult& result) {
  std::string text;
  const auto add = [&](const VerifiedRow& row, const std::string& what) {
    text += fmt::format("{} {}/{} on {}: {}\n", agreement(row), row.case_id, row.variant, row.path,
                        what);
  };
  for (const VerifiedRow& row : result.rows) {
    for (const std::string& difference : row.differences) add(row, difference);
    if (!row.played()) add(row, row.record.error);
  }
  return text;
}

// What two paths have in common is shown once: rows that differ in nothing but the path.
bool same_but_path(const VerifiedRow& a, const VerifiedRow& b) {
  if (a.case_id != b.case_id || a.variant != b.variant || a.observed != b.observed) return false;
  if (a.ok() != b.ok() || a.record.error != b.record.error ||
      a.record.ways.size() != b.record.ways.size())
    return false;
  if (a.record.notes != b.record.notes) return false;
  for (size_t i = 0; i < a.record.ways.size(); ++i)
    if (sights_text(a.record.ways[i]) != sights_text(b.record.ways[i]) ||
        frequency_text(a.record.ways[i]) != frequency_text(b.record.ways[i]))
      return false;
  return true;
}

struct Line {
  const VerifiedRow* row;
  std::string paths;
};

std::vector<Line> lines_of(const VerifyResult& result, std::string_view case_id) {
  std::vector<Line> lines;
  for (const VerifiedRow& row : result.rows) {
    if (row.case_id != case_id) continue;
    if (!lines.empty() && same_but_path(*lines.back().row, row))
      lines.back().paths += ", " + row.path;
    else
      lines.push_back({&row, row.path});
  }
  // What differs is what the reader looks for.
  std::stable_sort(lines.begin(), lines.end(),
                   [](const Line& a, const Line& b) { return a.row->ok() < b.row->ok(); });
  return lines;
}

// Text broken at spaces, every line after the first indented.
std::string wrapped(const std::string& text, size_t indent) {
  constexpr size_t kWidth = 100;
  std::string result;
  size_t column = indent;
  for (const std::string_view word : split(text, ' ')) {
    if (column > indent && column + 1 + word.size() > kWidth) {
      result += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      result += ' ';
      ++column;
    }
    result += word;
    column += word.size();
  }
  return result;
}

Table cases_table(const VerifyResult& result) {
  Table table({"case", "claim", "verdict"}, 3);
  for (const Case& one : verify::cases())
    if (in_result(result, one))
      table.add({std::string(one.id), std::string(one.claim), case_verdict(result, one)});
  return table;
}

// A line for each way of each row; of a row that was not played, the reason.
Table ways_table(const VerifyResult& result) {
  Table table({"case", "variant", "path", "done", "way", "as claimed", "observed", "verdict",
               "as expected"},
              9);
  for (const Case& one : verify::cases()) {
    for (const Line& line : lines_of(result, one.id)) {
      const VerifiedRow& row = *line.row;
      const std::string done(claim_of(row).done);
      std::string notes;
      for (const auto& [name, value] : row.record.notes)
        notes += fmt::format("; {}: {}", name, value);
      for (const Way& way : row.record.ways)
        table.add({row.case_id, row.variant, line.paths, done, way_name(way), frequency_text(way),
                   sights_text(way) + notes, row_verdict(row), row.ok() ? "yes" : "NO"});
      if (!row.played())
        table.add({row.case_id, row.variant, line.paths, done, "", "", row.record.error,
                   row_verdict(row), ""});
    }
  }
  return table;
}

}  // namespace

std::string verify_text(const VerifyResult& result) {
  std::string text = differing(result);
  if (!text.empty()) text += "\n";
  for (const Case& one : verify::cases()) {
    if (!in_result(result, one)) continue;
    text += fmt::format("{}  {}\n    {}\n", one.id, wrapped(std::string(one.claim), 4),
                        wrapped("-> " + case_verdict(result, one), 7));
    for (const Line& line : lines_of(result, one.id)) {
      const VerifiedRow& row = *line.row;
      text += fmt::format("    {:<20} {:<15} {}{}\n", row.variant, line.paths, row_verdict(row),
                          row.played() && !row.ok() ? "   DIFFERS" : "");
      text += fmt::format("        {}\n", wrapped(std::string(claim_of(row).done), 8));
      for (const Way& way : row.record.ways)
        text += fmt::format("        {}\n", wrapped(fmt::format("{} {}: {}", frequency_text(way),
                                                                way_name(way), sights_text(way)),
                                                    10));
      for (const auto& [name, value] : row.record.notes)
        text += fmt::format("        {}\n", wrapped(fmt::format("{}: {}", name, value), 10));
      if (!row.record.error.empty()) text += fmt::format("        {}\n", row.record.error);
    }
    text += "\n";
  }
  text += fmt::format("{}\n{}\n", kFrequencyHelp, kHeldBackHelp);
  return text + summary(result) + "\n";
}

std::string verify_markdown(const VerifyResult& result) {
  std::string text = fmt::format("{}.\n", summary(result));
  const std::string differences = differing(result);
  if (!differences.empty()) text += "\n```\n" + differences + "```\n";
  text += "\n" + cases_table(result).markdown();
  text += fmt::format("\n{}\n{}\n", kFrequencyHelp, kHeldBackHelp);
  return text + "\n" + ways_table(result).markdown();
}

std::string verify_json(const VerifyResult& result) {
  ordered_json rows = ordered_json::array();
  const auto add = [&](const VerifiedRow& row) {
    ordered_json object;
    object["case"] = row.case_id;
    object["variant"] = row.variant;
    object["path"] = row.path;
    object["kernel"] = result.kernel;
    object["claim"] = verify::case_row(row.case_id).claim;
    object["done"] = claim_of(row).done;
    object["connections"] = connections_of(row);
    object["observed"] = ordered_json::object();
    object["frequencies"] = ordered_json::array();
    for (const Way& way : row.record.ways) {
      ordered_json seen;
      for (const Sight& sight : way.sights) seen[sight.what] = sight.values;
      if (way.bytes_sent > 0) {
        seen["bytes sent"] = way.bytes_sent;
        seen["bytes received"] = way.bytes_received;
      }
      object["observed"][way.name] = std::move(seen);
      object["frequencies"].push_back(
          {{"way", way.name},
           {"forced", way.forced},
           {"connections", way.connections},
           {"as_claimed_with_condition", way.outcomes.met_with},
           {"as_claimed_without_condition", way.outcomes.met_without},
           {"otherwise_with_condition", way.outcomes.unmet_with},
           {"otherwise_without_condition", way.outcomes.unmet_without}});
    }
    object["notes"] = ordered_json::object();
    for (const auto& [name, value] : row.record.notes) object["notes"][name] = value;
    object["condition"] = row.condition;
    object["verdict"] = row_verdict(row);
    object["expected_verdict"] = verify::verdict_text(row.expected, row.condition);
    object["expected"] = expected_json(claim_of(row));
    object["ok"] = row.ok();
    object["played"] = row.played();
    object["error"] = row.record.error;
    object["differences"] = row.differences;
    object["duration_ns"] = row.duration_ns;
    rows.push_back(std::move(object));
  };
  for (const VerifiedRow& row : result.rows)
    if (!row.ok()) add(row);
  for (const VerifiedRow& row : result.rows)
    if (row.ok()) add(row);
  return json_text(rows);
}

}  // namespace lastack
