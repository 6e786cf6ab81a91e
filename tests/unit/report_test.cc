// What a run leaves behind: CSV files, run.json, the table for people, the way between processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>

#include "base/file.h"
#include "base/parse.h"
#include "ledger/quantities.h"
#include "ledger/result_json.h"
#include "report/csv.h"
#include "report/document.h"
#include "report/environment.h"
#include "report/schema.h"
#include "report/text.h"

namespace lastack {
namespace {

using Json = nlohmann::ordered_json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;
using testing::SizeIs;
using testing::UnorderedElementsAre;
using Strings = std::vector<std::string>;

// One row that ran, one that was skipped; whole_result() has the rest.
RunResult sample_result() {
  RunResult result;
  result.status = RunStatus::unmet_expectation;
  result.error = "an error";
  result.spec = {{"connections", "10k"}, {"mix", "fin=1"}, {"host-network", "true"}};
  result.notes = {"a note"};
  LedgerRow ran;
  ran.strategy = "fin";
  ran.watch = "recv";
  ran.probe = "keepalive";
  ran.family = "fin";
  ran.expected = {"eof", "epipe"};
  ran.requested = 1'204;
  ran.established = 1'203;
  ran.torn_down = 1'202;
  ran.found = 4;
  ran.nothing = 3;
  ran.undecided = 2;
  ran.unexpected = 1;
  ran.late = 5;
  ran.not_established = 6;
  ran.not_established_by = {{0, 1}, {ENETUNREACH, 5}};
  ran.not_torn_down = 7;
  ran.findings = {3, 2, 1, 0, 0, 1};
  ran.bytes_received = 2'048;
  for (const int64_t latency_ns : {10, 20, 30, 100}) ran.issued.record(latency_ns);
  for (const int64_t latency_ns : {11, 111}) ran.scheduled.record(latency_ns);
  ran.written.record(7);
  ran.stalled = 9;
  ran.probing.false_alarms = 8;
  ran.probing.false_alarms_in_stalls = 7;
  LedgerRow skipped;
  skipped.strategy = "destroy";
  skipped.watch = "poll";
  skipped.probe = "none";
  skipped.family = "rst";
  skipped.expected = {"econnreset"};
  skipped.skipped = "needs \"rights\", said the kernel";
  result.ledger = {ran, skipped};
  result.surprises = {{5, "fin", "recv", "keepalive", "127.0.0.1:9", "eof|epipe", "econnreset",
                       "ECONNRESET", true}};
  Event event;
  event.pair = 5;
  event.row = 0;
  event.victim_address = "127.0.0.1:8";
  event.survivor_address = "127.0.0.1:9";
  event.scheduled_ns = 1;
  event.issued_ns = 2;
  event.found_ns = 4;
  event.finding = "eof";
  event.error = "0";
  event.bytes_received = 6;
  result.events = {event};
  result.timeline = {{0, 100'000'000, 4, 3, 1}, {100'000'000, 100'000'000, 0, 1, 0}};
  result.checks = {{"OutRsts", "ledger", 5, 5, 6, false}, {"TCPTimeouts", "ledger", 0, 9, 3, true}};
  result.exclusive = false;
  result.balanced = true;
  result.counters["armed"]["OutRsts"] = 42;
  result.phases = {{"establish", 1, 2'000'000}};
  result.cost.victims = {11, 12, 13, 14, true};
  result.cost.survivors = {21, 22, 23, 24, false};
  result.cost.wall_ns = 3;
  result.cost.traffic = {31, 32, 33, 34, 35, 36};
  result.cost.softirq_ns = 5;
  result.cost.host_busy_ns = 8;
  result.cost.memory_armed_bytes = 4;
  result.cost.memory_peak_bytes = 1'204'000;
  result.cost.slab_bytes = 6;
  result.cost.tcp_memory_bytes = 7;
  result.least_stall_ns = 50;
  result.stalls = {{"survivor", 2, "waited", -3, 60}, {"launcher", -1, "stopped", 4, 70}};
  result.host = {{1.5, 2.5, 3}, 0.25, "/a/cpu.max", 81, 82, 83, 84, {85, 86}, {87, 88}};
  result.workers = {{"victim", 1, 4'711, 3, true, "3", "batch", 4}};
  result.sockets = {{"survivor", "keepalive", {true, "bbr", 51, 52, 1, 53, 54, 55, 56}}};
  result.rings = {{"victim", 1 << 13, 4'096}};
  result.limits = {{"open_files", 57, -1}};
  result.sysctls = {{"net/ipv4/tcp_retries2", "15"}};
  result.congestion_control = "cubic";
  result.requested_rate = 100;
  result.achieved_rate = 99.5;
  result.requested_round_trips = 50;
  result.achieved_round_trips = 49;
  result.span_ns = 777;
  result.completion_overflows = 8;
  return result;
}

// A result in which every field differs from its default, which leaves_at_default() checks.
RunResult whole_result() {
  RunResult result = sample_result();
  LedgerRow& row = result.ledger[0];
  row.skipped = "never both";
  row.bytes_sent = 71;
  row.alive = 72;
  row.write_path = "splice";
  WriteSums& writes = row.writes;
  int64_t value = 100;
  for (int64_t* const count : {&writes.attempted,
                               &writes.accepted,
                               &writes.short_writes,
                               &writes.errors,
                               &writes.would_block,
                               &writes.cancelled,
                               &writes.accepted_after_act,
                               &writes.accepted_after_fin,
                               &writes.accepted_bytes,
                               &writes.delivered_bytes,
                               &writes.lost_bytes,
                               &writes.lost_after_act_bytes,
                               &writes.queued_bytes,
                               &writes.untold_bytes,
                               &writes.unexplained_bytes,
                               &writes.unexplained,
                               &writes.sigpipes,
                               &writes.sigpipes_predicted,
                               &writes.sigpipes_of_short,
                               &writes.sigpipe_connections,
                               &writes.killed})
    *count = ++value;
  writes.first_errors = {{"EPIPE", 1}};
  writes.second_errors = {{"ECONNRESET", 2}};
  writes.by_accepted_after_act = {{0, 3}};
  writes.by_accepted_after_fin = {{1, 4}};
  writes.first_error.record(5);
  writes.second_error.record(6);
  row.probing = {true,
                 201,
                 "its last byte",
                 {{1, 2}},
                 {1, 2, 3, 4, 5, 6},
                 {7, 8, 9, 10, 11, 12},
                 202,
                 203,
                 204,
                 205,
                 206,
                 207};
  Event& event = result.events[0];
  event.row = 1;
  event.written_ns = 3;
  event.writes_accepted_after_act = 7;
  event.writes_accepted_after_fin = 8;
  event.sigpipes = 9;
  event.first_error = "EPIPE";
  event.second_error = "ECONNRESET";
  result.timeline[0].start_ns = 1;
  result.checks = {{"TCPTimeouts", "armed", 1, 2, 3, true}};
  result.backlog_drops = 91;
  result.cost.victims.spins = true;
  result.cost.survivors.spins = true;
  result.writer_threads = {{1, 2, 3}};
  result.sigpipes_unblamed = 92;
  result.write_lag_ns = 93;
  result.time_unit = TimeUnit::virtual_ns;
  return result;
}

// The places of a document that are as in another; lists are compared by their first element.
Strings leaves_at_default(const nlohmann::json& document, const nlohmann::json& plain,
                          const std::string& place) {
  Strings found;
  const auto add = [&](const Strings& more) {
    found.insert(found.end(), more.begin(), more.end());
  };
  if (document.is_object() && plain.is_object() && !plain.empty()) {
    for (const auto& [name, value] : document.items())
      add(leaves_at_default(value, plain.value(name, nlohmann::json()), place + "/" + name));
  } else if (document.is_array() && plain.is_array() && !document.empty() && !plain.empty() &&
             document[0].is_object()) {
    add(leaves_at_default(document[0], plain[0], place + "/0"));
  } else if (place.ends_with("/values") || place.ends_with("/buckets")) {
    // A histogram has either; histogram_test.cc sends both.
  } else if (document == plain) {
    found.push_back(place);
  }
  return found;
}

// How many fields an aggregate has: what its braces take.
struct Anything {
  template <class T>
  operator T() const;
};
template <class T, size_t... I>
constexpr bool takes(std::index_sequence<I...>) {
  return requires { T{(void(I), Anything())...}; };
}
template <class T, size_t kFields = 0>
constexpr size_t count_fields() {
  if constexpr (takes<T>(std::make_index_sequence<kFields + 1>()))
    return count_fields<T, kFields + 1>();
  else
    return kFields;
}

const CsvFile& csv_file(std::string_view name) {
  const auto& files = csv_files();
  return *std::find_if(files.begin(), files.end(),
                       [&](const CsvFile& file) { return file.name == name; });
}

// The fields of each line (RFC 4180), the header first.
std::vector<Strings> parse_csv(const std::string& text) {
  std::vector<Strings> lines;
  Strings line(1);
  bool in_quotes = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (in_quotes && text[i] == '"' && i + 1 < text.size() && text[i + 1] == '"')
      line.back() += text[++i];
    else if (text[i] == '"')
      in_quotes = !in_quotes;
    else if (!in_quotes && text[i] == ',')
      line.emplace_back();
    else if (!in_quotes && text[i] == '\n')
      lines.push_back(std::exchange(line, Strings(1)));
    else
      line.back() += text[i];
  }
  return lines;
}

std::string field(const std::vector<Strings>& csv, size_t row, std::string_view column) {
  const auto at = std::find(csv[0].begin(), csv[0].end(), column);
  if (at == csv[0].end()) return "no such column";
  return csv[row + 1][static_cast<size_t>(at - csv[0].begin())];
}

Strings keys_of(const Json& object) {
  Strings keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  return keys;
}

class CsvFiles : public testing::TestWithParam<const char*> {};

TEST_P(CsvFiles, StartWithTheSchemaVersionAndHaveOneFieldPerColumn) {
  const CsvFile& file = csv_file(GetParam());
  Strings names;
  for (const auto& [name, help] : file.columns) {
    names.emplace_back(name);
    EXPECT_NE(help, "") << name;
  }
  const auto lines = parse_csv(file.content(sample_result()));
  ASSERT_GE(lines.size(), 2u);
  EXPECT_EQ(lines[0], names);
  EXPECT_EQ(lines[0][0], "schema_version");
  EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
  for (size_t i = 1; i < lines.size(); ++i) {
    EXPECT_THAT(lines[i], SizeIs(names.size()));
    EXPECT_EQ(lines[i][0], "1");
  }
}

INSTANTIATE_TEST_SUITE_P(All, CsvFiles,
                         testing::Values("summary.csv", "latency.csv", "timeline.csv",
                                         "events.csv"),
                         [](const testing::TestParamInfo<const char*>& tested) {
                           const std::string name = tested.param;
                           return name.substr(0, name.find('.'));
                         });

TEST(Csv, ThereIsNoOtherFileAndOnlyEventsAreOnRequest) {
  Strings always, sometimes;
  for (const CsvFile& file : csv_files())
    (file.wanted(RunResult()) ? always : sometimes).emplace_back(file.name);
  EXPECT_THAT(sometimes, ElementsAre("writes.csv", "events.csv"));
}

TEST(Csv, ATimelineToTheLetter) {
  EXPECT_EQ(csv_file("timeline.csv").content(sample_result()),
            "schema_version,start_ns,injected,found,in_flight,width_ns\n"
            "1,0,4,3,1,100000000\n"
            "1,100000000,0,1,0,100000000\n");
}

TEST(Csv, FieldsWithCommasAndQuotesAreQuotedAndOthersAreNot) {
  const std::string text = csv_file("summary.csv").content(sample_result());
  EXPECT_THAT(text, HasSubstr(",\"needs \"\"rights\"\", said the kernel\","));
  EXPECT_THAT(text, HasSubstr("\n1,fin,recv,keepalive,fin,eof|epipe,1204,"));
}

TEST(Csv, ASummaryRowHoldsItsLedgerRow) {
  const auto csv = parse_csv(csv_file("summary.csv").content(sample_result()));
  ASSERT_THAT(csv, SizeIs(3));
  const std::pair<const char*, const char*> expected[] = {
      {"strategy", "fin"},
      {"watch", "recv"},
      {"probe", "keepalive"},
      {"family", "fin"},
      {"expected", "eof|epipe"},
      {"requested", "1204"},
      {"established", "1203"},
      {"torn_down", "1202"},
      {"found", "4"},
      {"nothing", "3"},
      {"late", "5"},
      {"undecided", "2"},
      {"unexpected", "1"},
      {"not_established", "6"},
      {"not_established_errors", "ENETUNREACH=5;pending=1"},
      {"not_torn_down", "7"},
      {"skipped", ""},
      {"bytes_received", "2048"},
      {"latency_count", "4"},
      {"latency_min_ns", "10"},
      {"latency_p50_ns", "20"},
      {"latency_p90_ns", "100"},
      {"latency_max_ns", "100"},
      {"latency_mean_ns", "40"},
      {"scheduled_p50_ns", "11"},
      {"scheduled_max_ns", "111"},
      {"written_p50_ns", "7"},
      {"findings", "eof=2;econnreset=1;ehostunreach=1"}};
  for (const auto& [column, value] : expected) EXPECT_EQ(field(csv, 0, column), value) << column;
}

TEST(Csv, ALatencyOfNothingIsEmpty) {
  const auto csv = parse_csv(csv_file("summary.csv").content(sample_result()));
  EXPECT_EQ(field(csv, 1, "skipped"), "needs \"rights\", said the kernel");
  EXPECT_EQ(field(csv, 1, "latency_count"), "0");
  for (const char* column :
       {"latency_min_ns", "latency_p50_ns", "latency_p90_ns", "latency_p99_ns", "latency_p999_ns",
        "latency_max_ns", "latency_mean_ns", "scheduled_p50_ns", "scheduled_p99_ns",
        "scheduled_max_ns", "written_p50_ns"})
    EXPECT_EQ(field(csv, 1, column), "") << column;
}

TEST(Csv, LatenciesAreOneCurvePerStampAndNoneWithoutFindings) {
  const auto csv = parse_csv(csv_file("latency.csv").content(sample_result()));
  // 4 and 2 findings: 0, 10 ... 90 and 100 for each of the two stamps.
  ASSERT_THAT(csv, SizeIs(1 + 2 * 11));
  EXPECT_EQ(field(csv, 0, "since"), "issued");
  EXPECT_EQ(field(csv, 0, "percentile"), "0");
  EXPECT_EQ(field(csv, 0, "latency_ns"), "10");
  EXPECT_EQ(field(csv, 21, "since"), "scheduled");
  EXPECT_EQ(field(csv, 21, "percentile"), "100");
  EXPECT_EQ(field(csv, 21, "latency_ns"), "111");
  EXPECT_EQ(field(csv, 21, "count"), "2");
}

TEST(Csv, AnEventWithoutAnInstantLeavesItEmpty) {
  const auto csv = parse_csv(csv_file("events.csv").content(sample_result()));
  ASSERT_THAT(csv, SizeIs(2));
  const std::pair<const char*, const char*> expected[] = {
      {"pair", "5"},           {"strategy", "fin"}, {"victim", "127.0.0.1:8"},
      {"scheduled_ns", "1"},   {"issued_ns", "2"},  {"survivor", "127.0.0.1:9"},
      {"written_ns", ""},      {"found_ns", "4"},   {"finding", "eof"},
      {"bytes_received", "6"}, {"errno", "0"}};
  for (const auto& [column, value] : expected) EXPECT_EQ(field(csv, 0, column), value) << column;
}

TEST(FindingsText, LeavesNothingOut) {
  LedgerRow row;
  EXPECT_EQ(findings_text(row), "");
  row.findings[static_cast<size_t>(Finding::nothing)] = 9;
  EXPECT_EQ(findings_text(row), "");
  row.findings[static_cast<size_t>(Finding::etimedout)] = 2;
  EXPECT_EQ(findings_text(row), "etimedout=2");
}

class PercentileCurveOf : public testing::TestWithParam<int64_t> {};

TEST_P(PercentileCurveOf, AscendsFromTheMinimumToTheExactMaximum) {
  LedgerRow row;
  Histogram histogram;
  for (int64_t i = 0; i < GetParam(); ++i) histogram.record(1'000'003 + i * i);
  const auto curve = percentile_curve(row, "issued", histogram);
  ASSERT_GE(curve.size(), 2u);
  EXPECT_EQ(curve.front().percentile, 0);
  EXPECT_EQ(curve.front().latency_ns, 1'000'003);
  EXPECT_EQ(curve.back().percentile, 100);
  EXPECT_EQ(curve.back().latency_ns, histogram.max());
  EXPECT_EQ(curve.back().count, static_cast<uint64_t>(GetParam()));
  for (size_t i = 1; i < curve.size(); ++i) {
    EXPECT_LT(curve[i - 1].percentile, curve[i].percentile);
    EXPECT_LE(curve[i - 1].latency_ns, curve[i].latency_ns);
    EXPECT_LE(curve[i - 1].count, curve[i].count);
    EXPECT_EQ(curve[i].row, &row);
    EXPECT_EQ(curve[i].since, "issued");
  }
}

INSTANTIATE_TEST_SUITE_P(Counts, PercentileCurveOf,
                         testing::Values(1, 2, 9, 10, 99, 1'000, 12'345));

TEST(PercentileCurve, HasAsManyStepsAsTheCountCanTellApart) {
  const auto steps = [](uint64_t count) {
    Histogram histogram;
    histogram.record(5, count);
    return percentile_curve(LedgerRow{}, "issued", histogram).size();
  };
  EXPECT_EQ(steps(0), 0u);
  EXPECT_EQ(steps(9), 2u + 9);
  EXPECT_EQ(steps(99), 2u + 2 * 9);
  EXPECT_EQ(steps(999), 2u + 3 * 9);
}

TEST(PercentileCurve, CountsTheFindingsWithinEachLatency) {
  Histogram histogram;
  for (int64_t latency_ns = 1; latency_ns <= 10; ++latency_ns) histogram.record(latency_ns);
  const auto curve = percentile_curve(LedgerRow{}, "issued", histogram);
  ASSERT_GE(curve.size(), 6u);
  EXPECT_DOUBLE_EQ(curve[5].percentile, 50);
  EXPECT_EQ(curve[5].latency_ns, 5);
  EXPECT_EQ(curve[5].count, 5u);
}

TEST(RunDocument, HasTheKeysOfTheSchema) {
  const Json document = run_document(sample_result(), {{"kernel", "6.1"}});
  EXPECT_THAT(keys_of(document),
              UnorderedElementsAre("schema_version", "status", "exit_code", "error", "spec",
                                   "notes", "environment", "ledger", "unexpected", "reconciliation",
                                   "cost", "rates", "writers", "phases", "host"));
  for (const std::string& key : keys_of(document)) EXPECT_THAT(schema_markdown(), HasSubstr(key));
  EXPECT_EQ(document["schema_version"], kSchemaVersion);
  EXPECT_EQ(document["status"], "unmet-expectation");
  EXPECT_EQ(document["exit_code"], 4);
  EXPECT_EQ(document["error"], "an error");
  EXPECT_EQ(document["environment"]["kernel"], "6.1");
  EXPECT_EQ(document["notes"], Json({"a note"}));
  EXPECT_EQ(document["phases"],
            Json({{{"name", "establish"}, {"start_ns", 1}, {"duration_ns", 2'000'000}}}));
}

TEST(RunDocument, SaysHowTheHostServedTheRun) {
  const Json document = run_document(sample_result(), {});
  const Json& host = document["host"];
  EXPECT_EQ(host["load_average_before"], 1.5);
  EXPECT_EQ(host["others_running_before"], 2.5);
  EXPECT_EQ(host["busy_before"], true);
  EXPECT_EQ(host["quota_cpus"], 0.25);
  EXPECT_EQ(host["quota_file"], "/a/cpu.max");
  EXPECT_EQ(host["throttled_ns"], 81);
  EXPECT_EQ(host["steal_ns"], 82);
  EXPECT_EQ(host["victims_waited_ns"], 83);
  EXPECT_EQ(host["survivors_waited_ns"], 84);
  EXPECT_EQ(host["frequency_khz_before"], Json({{"min", 85}, {"max", 86}}));
  EXPECT_EQ(host["frequency_khz_after"], Json({{"min", 87}, {"max", 88}}));
  const Json& stalls = host["stalls"];
  EXPECT_EQ(stalls["least_ns"], 50);
  EXPECT_EQ(stalls["count"], 2);
  EXPECT_EQ(stalls["sum_ns"], 130);
  EXPECT_EQ(stalls["longest_ns"], 70);
  EXPECT_EQ(stalls["first"][0], Json({{"process", "survivor"},
                                      {"shard", 2},
                                      {"cause", "waited"},
                                      {"start_ns", -3},
                                      {"duration_ns", 60}}));
  EXPECT_TRUE(stalls["first"][1]["shard"].is_null());
  EXPECT_EQ(document["ledger"][0]["stalled"], 9);
  EXPECT_EQ(document["ledger"][0]["probing"]["false_alarms_in_stalls"], 7);
}

TEST(Environment, SaysWhatTheRunHad) {
  const Json environment = describe_environment(sample_result());
  EXPECT_EQ(environment["tcp"]["sockets"], Json({{{"role", "survivor"},
                                                  {"probe", "keepalive"},
                                                  {"congestion_control", "bbr"},
                                                  {"send_buffer_bytes", 51},
                                                  {"receive_buffer_bytes", 52},
                                                  {"keepalive", true},
                                                  {"keepalive_idle_s", 53},
                                                  {"keepalive_interval_s", 54},
                                                  {"keepalive_count", 55},
                                                  {"user_timeout_ms", 56}}}));
  EXPECT_EQ(environment["limits"]["of_run"],
            Json({{"open_files_soft", 57}, {"open_files_hard", "unlimited"}}));
  EXPECT_EQ(environment["io_uring"]["rings"]["victim"],
            Json({{"flags", {"DEFER_TASKRUN"}}, {"completion_entries", 4'096}}));
  const Json& thread = environment["threads"][0];
  EXPECT_EQ(thread["cpus"], "3");
  EXPECT_EQ(thread["policy"], "batch");
  EXPECT_EQ(thread["nice"], 4);
}

TEST(RunDocument, TheSpecHasTypes) {
  const Json spec = run_document(sample_result(), {})["spec"];
  EXPECT_EQ(spec["connections"], 10'000);
  EXPECT_EQ(spec["mix"], "fin=1");
  EXPECT_EQ(spec["host-network"], true);
}

TEST(RunDocument, ALedgerObjectHoldsItsRow) {
  const Json ledger = run_document(sample_result(), {})["ledger"];
  ASSERT_EQ(ledger.size(), 2u);
  const Json& row = ledger[0];
  EXPECT_THAT(keys_of(row),
              IsSupersetOf({"strategy", "watch", "probe", "family", "expected", "requested",
                            "established", "torn_down", "found", "nothing", "late", "undecided",
                            "unexpected", "skipped", "findings", "bytes_received", "latency_ns",
                            "scheduled_latency_ns", "written_latency_ns"}));
  EXPECT_EQ(row["strategy"], "fin");
  EXPECT_EQ(row["watch"], "recv");
  EXPECT_EQ(row["probe"], "keepalive");
  EXPECT_EQ(row["family"], "fin");
  EXPECT_EQ(row["expected"], Json({"eof", "epipe"}));
  EXPECT_EQ(row["requested"], 1'204);
  EXPECT_EQ(row["established"], 1'203);
  EXPECT_EQ(row["torn_down"], 1'202);
  EXPECT_EQ(row["found"], 4);
  EXPECT_EQ(row["nothing"], 3);
  EXPECT_EQ(row["late"], 5);
  EXPECT_EQ(row["undecided"], 2);
  EXPECT_EQ(row["unexpected"], 1);
  EXPECT_EQ(row["not_established"], 6);
  EXPECT_EQ(row["not_established_errors"], Json({{"ENETUNREACH", 5}, {"pending", 1}}));
  EXPECT_EQ(row["not_torn_down"], 7);
  EXPECT_EQ(row["bytes_received"], 2'048);
  EXPECT_TRUE(row["skipped"].is_null());
  EXPECT_EQ(row["findings"],
            Json({{"nothing", 3}, {"eof", 2}, {"econnreset", 1}, {"ehostunreach", 1}}));
  EXPECT_EQ(ledger[1]["skipped"], "needs \"rights\", said the kernel");
  EXPECT_EQ(ledger[1]["findings"], Json::object());
}

TEST(RunDocument, LatenciesAreNullWithoutAFinding) {
  const Json ledger = run_document(sample_result(), {})["ledger"];
  EXPECT_EQ(ledger[0]["latency_ns"], Json({{"count", 4},
                                           {"min", 10},
                                           {"p50", 20},
                                           {"p90", 100},
                                           {"p99", 100},
                                           {"p999", 100},
                                           {"max", 100},
                                           {"mean", 40.0}}));
  EXPECT_EQ(ledger[0]["scheduled_latency_ns"]["max"], 111);
  EXPECT_EQ(ledger[0]["written_latency_ns"]["max"], 7);
  for (const char* since : {"latency_ns", "scheduled_latency_ns", "written_latency_ns"})
    EXPECT_EQ(ledger[1][since], Json({{"count", 0},
                                      {"min", nullptr},
                                      {"p50", nullptr},
                                      {"p90", nullptr},
                                      {"p99", nullptr},
                                      {"p999", nullptr},
                                      {"max", nullptr},
                                      {"mean", nullptr}}))
        << since;
}

TEST(RunDocument, AnExactCheckExpectsANumberAndABoundedOneTwo) {
  const Json books = run_document(sample_result(), {})["reconciliation"];
  EXPECT_EQ(books["balanced"], true);
  EXPECT_EQ(books["exclusive"], false);
  EXPECT_THAT(books["note"].get<std::string>(), HasSubstr("not exclusive"));
  EXPECT_EQ(books["counters"]["armed"]["OutRsts"], 42);
  EXPECT_EQ(books["checks"], Json({{{"counter", "OutRsts"},
                                    {"phase", "ledger"},
                                    {"kind", "exact"},
                                    {"expected", 5},
                                    {"observed", 6},
                                    {"ok", false}},
                                   {{"counter", "TCPTimeouts"},
                                    {"phase", "ledger"},
                                    {"kind", "bounds"},
                                    {"expected", {{"min", 0}, {"max", 9}}},
                                    {"observed", 3},
                                    {"ok", true}}}));
  RunResult exclusive = sample_result();
  exclusive.exclusive = true;
  EXPECT_TRUE(run_document(exclusive, {})["reconciliation"]["note"].is_null());
}

TEST(RunDocument, CostIsSharedByTheConnections) {
  const Json cost = run_document(sample_result(), {})["cost"];
  EXPECT_EQ(
      cost,
      Json({{"user_ns", 32},
            {"system_ns", 34},
            {"victims",
             {{"user_ns", 11},
              {"system_ns", 12},
              {"context_switches", nullptr},
              {"ring_enters", 14}}},
            {"survivors",
             {{"user_ns", 21}, {"system_ns", 22}, {"context_switches", 23}, {"ring_enters", 24}}},
            {"softirq_ns", 5},
            {"host_busy_ns", 8},
            {"wall_ns", 3},
            {"bytes_per_connection", 1'000},
            {"memory_armed_bytes", 4},
            {"memory_peak_bytes", 1'204'000},
            {"kernel_slab_bytes", 6},
            {"kernel_tcp_bytes", 7},
            {"traffic",
             {{"in_segments", 31},
              {"out_segments", 32},
              {"in_bytes", 33},
              {"out_bytes", 34},
              {"interface_packets", 35},
              {"interface_bytes", 36}}},
            {"completion_overflows", 8}}));
  EXPECT_TRUE(run_document(RunResult{}, {})["cost"]["bytes_per_connection"].is_null());
  RunResult untold;
  untold.cost.host_busy_ns = untold.cost.slab_bytes = untold.cost.tcp_memory_bytes = kNotKnown;
  untold.host.steal_ns = kNotKnown;
  const Json document = run_document(untold, {});
  for (const char* figure : {"softirq_ns", "host_busy_ns", "kernel_slab_bytes", "kernel_tcp_bytes"})
    EXPECT_TRUE(document["cost"][figure].is_null()) << figure;
  EXPECT_TRUE(document["host"]["steal_ns"].is_null());
}

TEST(RunDocument, AStormHasNoRates) {
  const Json rates = run_document(sample_result(), {})["rates"];
  EXPECT_EQ(rates["requested_per_second"], 100);
  EXPECT_EQ(rates["achieved_per_second"], 99.5);
  EXPECT_EQ(rates["requested_round_trips_per_second"], 50);
  EXPECT_EQ(rates["achieved_round_trips_per_second"], 49);
  EXPECT_EQ(rates["span_ns"], 777);
  const Json storm = run_document(RunResult{}, {})["rates"];
  EXPECT_TRUE(storm["requested_per_second"].is_null());
  EXPECT_TRUE(storm["achieved_per_second"].is_null());
}

TEST(RunDocument, SurprisesNameTheConnection) {
  EXPECT_EQ(run_document(sample_result(), {})["unexpected"], Json({{{"pair", 5},
                                                                    {"strategy", "fin"},
                                                                    {"watch", "recv"},
                                                                    {"probe", "keepalive"},
                                                                    {"survivor", "127.0.0.1:9"},
                                                                    {"expected", "eof|epipe"},
                                                                    {"seen", "econnreset"},
                                                                    {"errno", "ECONNRESET"},
                                                                    {"before_act", true}}}));
}

TEST(RunTable, TellsWhatWasSkippedAndWhatWasUnexpected) {
  const std::string text = run_table(sample_result());
  EXPECT_THAT(text, HasSubstr("skipped: needs \"rights\", said the kernel"));
  EXPECT_THAT(text, HasSubstr("eof=2 econnreset=1 ehostunreach=1 nothing=3  (1 UNEXPECTED)"));
  EXPECT_THAT(text, HasSubstr("1,204 requested, 4 found, 3 nothing, 2 undecided, 1 unexpected"));
  EXPECT_THAT(text, HasSubstr("(1 UNEXPECTED)  not established: ENETUNREACH=5;pending=1"));
  EXPECT_THAT(text, HasSubstr("          not established: ENETUNREACH=5;pending=1\n"));
  EXPECT_THAT(text, HasSubstr("          7 established and not torn down\n"));
  EXPECT_THAT(text, HasSubstr("connection 5 (fin, recv, keepalive, survivor 127.0.0.1:9): expected "
                              "eof|epipe, saw econnreset (errno ECONNRESET) before the act"));
  EXPECT_THAT(text, HasSubstr("1 of 2 checks DISAGREE"));
  EXPECT_THAT(text, HasSubstr("OutRsts (ledger): expected 5, observed 6"));
  EXPECT_THAT(text, Not(HasSubstr("TCPTimeouts")));
  EXPECT_THAT(text, HasSubstr("note      a note"));
  EXPECT_THAT(text, HasSubstr("status    unmet-expectation"));
}

TEST(RunTable, OfACleanRunHasNoAlarm) {
  RunResult result = sample_result();
  result.status = RunStatus::ok;
  result.ledger[0].unexpected = 0;
  result.surprises.clear();
  result.checks.erase(result.checks.begin());
  const std::string text = run_table(result);
  EXPECT_THAT(text, AllOf(Not(HasSubstr("UNEXPECTED")), Not(HasSubstr("DISAGREE"))));
  EXPECT_THAT(text, HasSubstr("1 checks against the kernel's own counters agree"));
}

TEST(RunTable, ShowsTenSurprisesAndSaysThatThereAreMore) {
  RunResult result = sample_result();
  result.surprises.assign(10, result.surprises[0]);
  EXPECT_THAT(run_table(result), Not(HasSubstr("more in run.json")));
  result.surprises.assign(11, result.surprises[0]);
  EXPECT_THAT(run_table(result), HasSubstr("more in run.json"));
}

// A time of a clock, rounded or not: "7.81us", "2.50ms", "3.00s".
const char* const kTime = "[0-9](ns|us|ms|s)([ ,.\n]|$)";

TEST(RunTable, OfVirtualTimeNamesItsUnitAtEveryFigure) {
  RunResult result = sample_result();
  result.time_unit = TimeUnit::virtual_ns;
  result.requested_rate = result.achieved_rate = 200;
  LedgerRow& row = result.ledger[0];
  row.issued = {};
  row.issued.record(16'057);
  row.probing.promised = true;
  row.probing.after_predicted = {1, 4, 4, 4, 4, 4};
  row.probing.spans = {{1'000'000, 2'000'000}};
  const std::string text = run_table(result);
  EXPECT_THAT(text, HasSubstr("latency, virtual_ns: from just before"));
  EXPECT_THAT(text, HasSubstr("16,057vns"));
  EXPECT_THAT(text, HasSubstr("1,000,000vns..2,000,000vns"));
  EXPECT_THAT(text, HasSubstr("200 injections/virtual s of 200"));
  EXPECT_FALSE(std::regex_search(text, std::regex(kTime))) << text;

  result.time_unit = TimeUnit::ns;
  EXPECT_THAT(run_table(result), AllOf(Not(HasSubstr("virtual")), Not(HasSubstr("vns"))));
  EXPECT_TRUE(std::regex_search(run_table(result), std::regex(kTime)));
}

// The line of a CSV file by the names of its columns; without a quoted comma.
std::map<std::string, std::string> csv_fields(const std::string& csv) {
  std::vector<std::string_view> lines = split(csv, '\n');
  const auto names = split(lines.at(0), ','), values = split(lines.at(1), ',');
  std::map<std::string, std::string> fields;
  for (size_t i = 0; i < names.size(); ++i) fields.emplace(names[i], values.at(i));
  return fields;
}

TEST(TwoModes, AreToldOfVirtualTimeAndKeptOfAll) {
  RunResult result = sample_result();
  result.ledger.resize(1);
  const auto summary = [&] {
    return csv_fields(
        std::ranges::find(csv_files(), "summary.csv", &CsvFile::name)->content(result));
  };
  const auto kept = [&] { return run_document(result, {})["ledger"][0]["latency_ns"]; };
  LedgerRow& row = result.ledger[0];
  row.issued = {};
  row.issued.record(14'079, 100);
  result.time_unit = TimeUnit::virtual_ns;
  EXPECT_THAT(run_table(result), Not(HasSubstr("modes")));
  EXPECT_FALSE(kept().contains("modes"));
  for (const char* name : {"mode_1_p50_ns", "mode_1_share", "mode_2_p50_ns", "mode_2_share"})
    EXPECT_EQ(summary().at(name), "");

  row.issued.record(18'687, 60);
  EXPECT_THAT(run_table(result), HasSubstr("latency   fin recv keepalive: two modes: 14,079vns (62 "
                                           "%) and 18,687vns (38 %)\n"));
  result.time_unit = TimeUnit::ns;
  EXPECT_THAT(run_table(result), Not(HasSubstr("modes")));
  EXPECT_EQ(kept()["modes"], Json::parse(R"([{"p50": 14079, "share": 0.625},
                                             {"p50": 18687, "share": 0.375}])"));
  EXPECT_EQ(summary().at("mode_1_p50_ns"), "14079");
  EXPECT_EQ(summary().at("mode_1_share"), "0.625");
  EXPECT_EQ(summary().at("mode_2_p50_ns"), "18687");
  EXPECT_EQ(summary().at("mode_2_share"), "0.375");
}

TEST(RunTable, WithoutALedgerIsTheError) {
  RunResult result;
  result.error = "no ports";
  EXPECT_EQ(run_table(result), "no ports\n");
}

template <class T>
class Serialized : public testing::Test {};
using SerializedTypes =
    testing::Types<RunResult, Spread, Surprise, Event, TimelineBin, Check, Phase, TrafficCounters,
                   RoleCost, Cost, Stall, HostLoad, Frequencies, HostService, WorkerPlace,
                   SocketReport, RingReport, Limit, WriterThread>;
TYPED_TEST_SUITE(Serialized, SerializedTypes);

TYPED_TEST(Serialized, NamesEveryField) {
  EXPECT_EQ(nlohmann::json(TypeParam()).size(), count_fields<TypeParam>());
}

// A field without a row would be lost on the way, and added to nothing.
TEST(Quantities, EveryFieldHasOneRowThatOwnsIt) {
  LedgerRow row;
  std::set<const void*> fields;
  size_t owned = 0;
  for (const LedgerQuantity& quantity : ledger_quantities()) {
    if (quantity.place.empty()) continue;
    ++owned;
    fields.insert(
        std::visit([](auto* field) -> const void* { return field; }, quantity.field(row)));
  }
  EXPECT_EQ(fields.size(), owned);
  constexpr size_t kParts = 2;  // `writes` and `probing` are what is in them
  EXPECT_EQ(owned, count_fields<LedgerRow>() - kParts + count_fields<WriteSums>() +
                       count_fields<ProbeSums>());
}

TEST(Quantities, RepetitionsBecomeOneRow) {
  LedgerRow one = sample_result().ledger.front();
  one.probing.longest_silence_ns = 7;
  LedgerRow sum = one;
  merge(one, sum);
  for (const LedgerQuantity& quantity : ledger_quantities()) {
    if (quantity.place.empty() || quantity.merge != Merge::by_kind) continue;
    SCOPED_TRACE(quantity.place);
    read_field(quantity, one, [&]<class Value>(const Value& before) {
      read_field(quantity, sum, [&]<class Same>(const Same& after) {
        if constexpr (!std::is_same_v<Value, Same>) {
          ADD_FAILURE();
        } else if constexpr (std::is_same_v<Value, int64_t>) {
          EXPECT_EQ(after, quantity.absent == before ? before : 2 * before);
        } else if constexpr (std::is_same_v<Value, Histogram>) {
          EXPECT_EQ(after.count(), 2 * before.count());
        } else if constexpr (std::is_same_v<Value, Spread>) {
          EXPECT_EQ(after, Spread());
        } else if constexpr (requires { typename Value::mapped_type; }) {
          for (const auto& [key, connections] : before) EXPECT_EQ(after.at(key), 2 * connections);
        } else if constexpr (!std::is_same_v<Value, decltype(one.findings)>) {
          EXPECT_EQ(after, before);
        }
      });
    });
  }
  EXPECT_EQ(sum.probing.nominal_ns, one.probing.nominal_ns);
  EXPECT_EQ(sum.findings[1], 2 * one.findings[1]);
  LedgerRow quieter = one;
  quieter.probing.longest_silence_ns = one.probing.longest_silence_ns - 1;
  merge(quieter, sum);
  EXPECT_EQ(sum.probing.longest_silence_ns, one.probing.longest_silence_ns);
  // Who was not asked adds nothing.
  LedgerRow asked = one, unasked = one;
  asked.alive = 3;
  unasked.alive = -1;
  merge(asked, unasked);
  EXPECT_EQ(unasked.alive, 3);
}

TEST(Serialize, NothingIsLostOnTheWay) {
  RunResult plain;
  plain.ledger.resize(1);
  plain.surprises.resize(1);
  plain.events.resize(1);
  plain.timeline.resize(1);
  plain.checks.resize(1);
  plain.stalls.resize(1);
  plain.phases.resize(1);
  plain.workers.resize(1);
  plain.sockets.resize(1);
  plain.rings.resize(1);
  plain.limits.resize(1);
  plain.writer_threads.resize(1);
  const RunResult sent = whole_result();
  // Otherwise what follows would prove nothing of a new field.
  EXPECT_THAT(leaves_at_default(nlohmann::json(sent), nlohmann::json(plain), ""), IsEmpty());
  const auto received = deserialize(serialize(sent));
  ASSERT_TRUE(received);
  EXPECT_TRUE(*received == sent);
}

TEST(Serialize, WhatIsCutShortIsAnError) {
  const std::string whole = serialize(sample_result());
  EXPECT_FALSE(deserialize(""));
  EXPECT_FALSE(deserialize(whole.substr(0, whole.size() / 2)));
  EXPECT_FALSE(deserialize(whole + "x"));
}

// A folder that goes away with its test.
class ResultFolder : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "lastack-report-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  Strings names() const {
    Strings found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_))
      found.push_back(entry.path().filename());
    return found;
  }
  std::string folder_;
};

TEST_F(ResultFolder, HoldsTheDocumentAndTheCsvFiles) {
  RunResult result = sample_result();
  const Json document = run_document(result, {});
  auto folder = Folder::open(folder_);
  ASSERT_TRUE(folder);
  ASSERT_FALSE(write_results(*folder, result, document));
  EXPECT_THAT(names(), UnorderedElementsAre("run.json", "summary.csv", "latency.csv",
                                            "timeline.csv", "events.csv"));
  EXPECT_EQ(Json::parse(*read_file(folder_ + "/run.json")), document);
  EXPECT_EQ(*read_file(folder_ + "/summary.csv"), csv_file("summary.csv").content(result));
}

TEST_F(ResultFolder, HasNoEventsUnlessAskedFor) {
  RunResult result = sample_result();
  result.events.clear();
  auto folder = Folder::open(folder_);
  ASSERT_TRUE(folder);
  ASSERT_FALSE(write_results(*folder, result, {}));
  EXPECT_THAT(names(), Not(testing::Contains("events.csv")));
}

TEST_F(ResultFolder, MustBeEmptyOrNew) {
  EXPECT_TRUE(prepare_output_folder(folder_));
  EXPECT_TRUE(prepare_output_folder(folder_ + "/new/one"));
  EXPECT_TRUE(std::filesystem::is_directory(folder_ + "/new/one"));
  const auto refused = prepare_output_folder(folder_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("is not empty"));
}

TEST(ResultsReadme, IsTheSchemaOfThisBuild) {
  const auto readme = read_file(LASTACK_SOURCE_DIR "/results/README.md");
  ASSERT_TRUE(readme) << readme.error().message();
  EXPECT_EQ(*readme, schema_markdown())
      << "mend with: lastack list --format schema > results/README.md";
}

}  // namespace
}  // namespace lastack
