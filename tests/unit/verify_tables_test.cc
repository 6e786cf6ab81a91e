// Tables of `lastack verify` side by side: what is told as a difference, and what chance decides.
#include "compare/verify_tables.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "compare/verify_tables_text.h"

namespace lastack::compare {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// Two rows as `lastack verify --format json` has them: what is asserted, what is forced, what
// timing decides, and a figure.
json claims_of_a_kernel() {
  const json way = {{"first read", {{"ECONNRESET", 100}}},
                    {"events", {{"IN HUP", 100}}},
                    {"finding", {{"EHOSTUNREACH", 60}, {"ETIMEDOUT", 40}}},
                    {"retransmissions per connection", {{"3 to 4", 100}}},
                    {"bytes sent", 1000}};
  return json::array(
      {{{"case", "A3"},
        {"variant", "first-read"},
        {"path", "veth"},
        {"kernel", "6.1.0"},
        {"observed", {{"abort", way}, {"at once", {{"RST back", {{"later", 100}}}}}}},
        {"frequencies",
         {{{"way", "abort"}, {"forced", true}}, {{"way", "at once"}, {"forced", false}}}},
        {"expected",
         {{{"way", ""}, {"what", "first read"}, {"values", {"ECONNRESET"}}},
          {{"way", "abort"}, {"what", "finding"}, {"values", {"EHOSTUNREACH", "ETIMEDOUT"}}}}},
        {"verdict", "holds"},
        {"played", true},
        {"error", ""}},
       {{"case", "A4"},
        {"variant", "idle"},
        {"path", "veth"},
        {"kernel", "6.1.0"},
        {"observed", json::object()},
        {"verdict", "holds"},
        {"played", true},
        {"error", ""}}});
}

VerifyTable table_of(const json& rows, const std::string& name = "b.json") {
  auto table = verify_table_of(name, rows.dump());
  EXPECT_TRUE(table) << table.error().message();
  return table ? std::move(*table) : VerifyTable();
}

TableComparison comparison_with(const json& rows) {
  auto comparison = compare_tables({table_of(claims_of_a_kernel(), "a.json"), table_of(rows)});
  EXPECT_TRUE(comparison) << comparison.error().message();
  return comparison ? std::move(*comparison) : TableComparison();
}

struct Edit {
  std::string name;
  std::function<void(json& rows)> edit;
  std::string told;  // "way/what", or "" for nothing
};

json& observed(json& rows, const char* way = "abort") { return rows[0]["observed"][way]; }

const Edit kEdits[] = {
    {"nothing", [](json&) {}, ""},
    {"the verdict", [](json& r) { r[0]["verdict"] = "does not hold"; }, "/verdict"},
    {"a condition", [](json& r) { r[0]["verdict"] = "holds if it rains"; }, "/verdict"},
    {"one connection of a hundred where all are asserted",
     [](json& r) {
       observed(r)["first read"] = {{"ECONNRESET", 99}, {"0", 1}};
     },
     "abort/first read"},
    {"what is asserted was not seen", [](json& r) { observed(r).erase("first read"); },
     "abort/first read"},
    {"how often each of the allowed values came",
     [](json& r) {
       observed(r)["finding"] = {{"EHOSTUNREACH", 1}, {"ETIMEDOUT", 99}};
     },
     ""},
    {"which of the allowed values came",
     [](json& r) {
       observed(r)["finding"] = {{"ETIMEDOUT", 100}};
     },
     ""},
    {"a value that is not allowed",
     [](json& r) {
       observed(r)["finding"] = {{"nothing", 1}, {"ETIMEDOUT", 99}};
     },
     "abort/finding"},
    {"other expectations, and what they ask for",
     [](json& r) {
       r[0]["expected"][0]["values"] = {"0"};
       observed(r)["first read"] = {{"0", 100}};
     },
     "abort/first read"},
    {"other expectations, and the same values",
     [](json& r) {
       r[0]["expected"][0]["values"] = {"ECONNRESET", "0"};
     },
     ""},
    {"what nobody asserts, of all connections",
     [](json& r) {
       observed(r)["events"] = {{"IN", 100}};
     },
     "abort/events"},
    {"what nobody asserts, of some",
     [](json& r) {
       observed(r)["events"] = {{"IN HUP", 1}, {"IN", 99}};
     },
     ""},
    {"what nobody asserts and timing decides",
     [](json& r) {
       observed(r, "at once")["RST back"] = {{"before", 100}};
     },
     ""},
    {"a figure",
     [](json& r) {
       observed(r)["retransmissions per connection"] = {{"3", 100}};
     },
     ""},
    {"bytes", [](json& r) { observed(r)["bytes sent"] = 1; }, ""},
    {"the kernel's name", [](json& r) { r[0]["kernel"] = "6.12.0"; }, ""},
};

TEST(VerifyTables, TellWhatDoesNotVaryFromRunToRun) {
  for (const Edit& one : kEdits) {
    SCOPED_TRACE(one.name);
    json rows = claims_of_a_kernel();
    one.edit(rows);
    const auto comparison = comparison_with(rows);
    EXPECT_EQ(comparison.compared, 2u);
    EXPECT_THAT(comparison.unknown, IsEmpty());
    std::string told;
    for (const TableDifference& difference : comparison.differences)
      told += difference.way + "/" + difference.what;
    EXPECT_EQ(told, one.told);
    EXPECT_EQ(comparison.differing_rows, one.told.empty() ? 0u : 1u);
    EXPECT_THAT(tables_text(comparison), HasSubstr(one.told.empty() ? "no difference in 2 rows\n"
                                                                    : "1 difference in 1 row"));
  }
}

TEST(VerifyTables, WhatWeighsMostStandsFirst) {
  json rows = claims_of_a_kernel();
  observed(rows)["events"] = {{"IN", 100}};
  observed(rows)["first read"] = {{"0", 100}};
  rows[1]["verdict"] = "does not hold";
  const auto comparison = comparison_with(rows);
  ASSERT_EQ(comparison.differences.size(), 3u);
  EXPECT_EQ(comparison.differences[0].row.name, "A4/idle");
  EXPECT_EQ(comparison.differences[1].what, "first read");
  EXPECT_EQ(comparison.differences[2].what, "events");
  EXPECT_THAT(comparison.differences[0].values, ElementsAre("holds", "does not hold"));
  EXPECT_THAT(comparison.differences[1].values, ElementsAre("ECONNRESET", "0"));

  const json document = tables_document(comparison, "lastack compare --verify a.json b.json");
  EXPECT_EQ(document["differences"][0]["matter"], "verdict");
  EXPECT_EQ(document["differences"][1]["matter"], "asserted");
  EXPECT_EQ(document["differences"][2]["matter"], "other");
  EXPECT_EQ(document["sides"][0]["kernel"], "6.1.0");
  EXPECT_THAT(tables_markdown(comparison),
              HasSubstr("| A4/idle | veth |  | verdict | holds | does not hold |\n"));
  EXPECT_THAT(tables_text(comparison), HasSubstr("\n3 differences in 2 rows, of 2 that every"));
}

TEST(VerifyTables, WhatWasNotPlayedIsNoDifferenceAndIsSaid) {
  json rows = claims_of_a_kernel();
  rows[0]["played"] = false;
  rows[0]["error"] = "accept: Timer expired (ETIME 62)";
  rows[0]["verdict"] = "not played";
  rows[0]["observed"] = json::object();
  auto comparison = comparison_with(rows);
  EXPECT_THAT(comparison.differences, IsEmpty());
  EXPECT_EQ(comparison.compared, 1u);
  ASSERT_EQ(comparison.unknown.size(), 1u);
  EXPECT_THAT(comparison.unknown[0].states,
              ElementsAre("played", "not played: accept: Timer expired (ETIME 62)"));
  EXPECT_THAT(tables_text(comparison), HasSubstr("no difference in 1 row; 1 row NOT COMPARED\n"));

  rows.erase(0);
  comparison = comparison_with(rows);
  ASSERT_EQ(comparison.unknown.size(), 1u);
  EXPECT_THAT(comparison.unknown[0].states, ElementsAre("played", "absent"));

  // Of three sides the other two are compared.
  json other = claims_of_a_kernel();
  other[0]["verdict"] = "does not hold";
  const auto three = compare_tables(
      {table_of(claims_of_a_kernel(), "a.json"), table_of(rows), table_of(other, "c.json")});
  ASSERT_TRUE(three);
  ASSERT_EQ(three->differences.size(), 1u);
  EXPECT_THAT(three->differences[0].values, ElementsAre("holds", "not played", "does not hold"));
}

TEST(VerifyTables, TheMatrixHasFindings) {
  const auto cell = [](json findings, int unexpected) {
    return json::array({{{"path", "veth"},
                         {"survivor", "server"},
                         {"strategy", "fin"},
                         {"watch", "recv"},
                         {"requested", 20},
                         {"findings", std::move(findings)},
                         {"unexpected", unexpected}}});
  };
  const auto told = [&](const json& a, const json& b) {
    const auto comparison = compare_tables({table_of(a, "a.json"), table_of(b)});
    std::string text;
    for (const TableDifference& one : comparison->differences)
      text += fmt::format("{} {}: {}; ", one.row.name, one.what, one.values[1]);
    return text;
  };
  EXPECT_EQ(told(cell({{"eof", 20}}, 0), cell({{"eof", 1}, {"epipe", 19}}, 0)), "");
  EXPECT_EQ(told(cell({{"eof", 20}}, 0), cell({{"epipe", 20}}, 0)),
            "server/fin/recv findings: epipe; ");
  EXPECT_EQ(told(cell({{"eof", 20}}, 0), cell({{"eof", 19}, {"nothing", 1}}, 1)),
            "server/fin/recv verdict: unexpected; ");
}

// Rows of a command that only have an id and a verdict.
TEST(VerifyTables, OtherRowsAreToldByTheirVerdicts) {
  const auto rows = [](const char* verdict) {
    return json::array({{{"id", "zero-window"}, {"verdict", verdict}, {"expected", "fails"}}});
  };
  const auto comparison = compare_tables({table_of(rows("fails"), "a.json"), table_of(rows("ok"))});
  ASSERT_EQ(comparison->differences.size(), 1u);
  EXPECT_EQ(comparison->differences[0].row.name, "zero-window");
}

TEST(VerifyTables, ASuiteOfRegressionsHasWhatIsBroken) {
  const auto suite = [](json observed, json error) {
    return json{{"schema_version", 1},
                {"kernel", {{"release", "6.1.0-49"}}},
                {"rows",
                 {{{"name", "zero-window"},
                   {"expected", "broken"},
                   {"observed", std::move(observed)},
                   {"error", std::move(error)},
                   {"ways", {{{"way", "shut"}, {"seen", {{"finding", {{"nothing", 9}}}}}}}}}}}};
  };
  const auto a = table_of(suite("broken", nullptr), "a.json");
  EXPECT_EQ(a.kernel, "6.1.0-49");
  EXPECT_EQ(a.rows.at({"zero-window", ""}).sights.at({"shut", "finding"}).values.at("nothing"), 9);
  const auto comparison = compare_tables({a, table_of(suite("fixed", nullptr))});
  ASSERT_TRUE(comparison);
  ASSERT_EQ(comparison->differences.size(), 1u);
  EXPECT_THAT(comparison->differences[0].values, ElementsAre("broken", "fixed"));
  EXPECT_EQ(table_of(suite(nullptr, "no veth")).rows.at({"zero-window", ""}).error, "no veth");
}

struct Wrong {
  std::string text, message;
};
TEST(VerifyTables, WhatIsWrongIsOneLine) {
  const Wrong kWrong[] = {
      {"", "b.json: the file is empty"},
      {"[{", "b.json: no JSON, or cut off, at byte"},
      {"{}", "b.json: 'schema_version' is not a whole number"},
      {R"({"schema_version":1})", "b.json: 'rows' is not a list of objects"},
      {"[]", "b.json: the table has no row"},
      {"[1]", "b.json: not a list of rows"},
      {"[{}]", "b.json: a row has neither case, id, strategy nor observed"},
      {R"([{"case":"A1"}])", "b.json: 'variant' is not a string"},
      {R"([{"case":"A1","variant":"x"}])", "b.json: 'verdict' is not a string"},
      {R"([{"id":"x","verdict":"ok"},{"id":"x","verdict":"ok"}])", "row x on '' is there twice"},
      {R"([{"id":"x","verdict":"ok"},{"case":"A1"}])", "rows of different kinds"},
      {R"([{"id":"x","verdict":"ok","observed":{"w":{"a":{"b":"c"}}}}])", "'b' is not a whole"},
      {R"([{"id":"x","verdict":"ok","observed":{"w":1}}])", "'w' is not an object"},
      {R"([{"id":"x","verdict":"ok","observed":{},"expected":1}])", ""},
      {R"([{"strategy":"fin","watch":"recv","findings":1}])", "'survivor' is not a string"},
  };
  for (const Wrong& one : kWrong) {
    const auto table = verify_table_of("b.json", one.text);
    EXPECT_EQ(static_cast<bool>(table), one.message.empty()) << one.text;
    if (table) continue;
    EXPECT_THAT(table.error().message(), AllOf(HasSubstr(one.message), Not(HasSubstr("\n"))));
  }
}

TEST(VerifyTables, OnlyTablesOfOneKindWithARowInCommon) {
  const json claims = claims_of_a_kernel();
  const json other = json::array({{{"id", "x"}, {"verdict", "ok"}}});
  EXPECT_EQ(compare_tables({table_of(claims), table_of(other, "c.json")}).error().message(),
            "b.json holds claims and c.json rows");
  EXPECT_EQ(compare_tables(
                {table_of(json::array({claims[0]})), table_of(json::array({claims[1]}), "c.json")})
                .error()
                .message(),
            "b.json and c.json have no row in common that was played");
}

}  // namespace
}  // namespace lastack::compare
