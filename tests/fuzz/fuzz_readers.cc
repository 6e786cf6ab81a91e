// Whatever a reader of recorded files accepts can be compared, and does not differ from itself.
// The first byte chooses the reader: 'c' a CSV table, 'v' a table of `lastack verify`, 's' a suite,
// 'r' a run; the last two have the JSON document and summary.csv behind it, with a line "====" in
// between.
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "base/printable.h"
#include "compare/compare.h"
#include "compare/compare_text.h"
#include "compare/csv_table.h"
#include "compare/recorded.h"
#include "compare/verify_tables.h"
#include "compare/verify_tables_text.h"

namespace lastack::compare {
namespace {

[[noreturn]] void fail(std::string_view promise, std::string_view why) {
  fmt::print(stderr, "{}: {}\n", promise, why);
  __builtin_trap();
}

void check_message(const Error& error) {
  if (printable(error.message()) != error.message())
    fail("an error is one harmless line", error.message());
}

void check_table(std::string_view text) {
  const auto table = read_csv(text, "x.csv");
  if (!table) return check_message(table.error());
  const auto version = table->column("schema_version");
  if (!version) fail("an accepted table has a version", "");
  size_t size = 0;
  for (size_t row = 0; row < table->rows(); ++row) {
    if (table->at(row, *version) != "1") fail("it is one that is known", table->place(row));
    size += table->at(row, 0).size() + table->place(row).size();
  }
  if (size > 0 && table->rows() == 0) fail("no row has fields", "");
}

void check_output(const Comparison& comparison) {
  const auto csv = read_csv(compare_csv(comparison), "compare.csv");
  if (!csv) fail("compare's CSV can be read", csv.error().message());
  const auto replace = nlohmann::json::error_handler_t::replace;
  const std::string json = compare_document(comparison, "").dump(-1, ' ', false, replace);
  if (json.empty() || compare_markdown(comparison).empty() || compare_text(comparison).empty())
    fail("there is something to say", "");
}

// One that differs in everything that can differ.
Recording another(Recording recording) {
  for (auto& [key, value] : recording.facts) value += " too";
  size_t index = 0;
  for (RecordedLine& line : recording.lines) {
    if (line.latency_p50_ns) *line.latency_p50_ns *= 1.5;
    if (line.cpu_ns_per_connection) *line.cpu_ns_per_connection *= 2;
    if (line.after_predicted_p50_ns) *line.after_predicted_p50_ns -= 1e6;
    line.found /= 2;
    if (index % 3 == 0) line.findings["eof"] += 1;
    if (index++ % 5 == 4) line.key.probe += "-other";
  }
  for (RecordedRun& run : recording.runs) run.status = run.status == "ok" ? "failed" : "ok";
  return recording;
}

void check_recording(const Result<Recording>& recording) {
  if (!recording) return check_message(recording.error());
  Options options;
  options.force = true;
  const auto comparison = comparison_of({*recording, *recording}, options);
  if (!comparison) return check_message(comparison.error());  // all of it may be warm-ups
  if (comparison->worse + comparison->better + comparison->kind_changes > 0)
    fail("a recording does not differ from itself", compare_text(*comparison));
  if (regressed(*comparison, 1e-9)) fail("nor is it worse", "");
  check_output(*comparison);
  const auto with_another = comparison_of({*recording, another(*recording)}, options);
  if (!with_another) return check_message(with_another.error());
  check_output(*with_another);
}

void check_verify_table(std::string_view text) {
  const auto table = verify_table_of("v.json", text);
  if (!table) return check_message(table.error());
  const auto comparison = compare_tables({*table, *table});
  if (!comparison) return check_message(comparison.error());  // no row was played
  if (!comparison->differences.empty())
    fail("a table does not differ from itself", tables_text(*comparison));
  VerifyTable other = *table;
  for (auto& [key, row] : other.rows) row.verdict += " not";
  const auto changed = compare_tables({*table, other});
  if (!changed || changed->differences.size() != changed->compared)
    fail("every verdict differs", changed ? tables_text(*changed) : "");
  const auto replace = nlohmann::json::error_handler_t::replace;
  if (tables_markdown(*changed).empty() ||
      tables_document(*changed, "").dump(-1, ' ', false, replace).empty())
    fail("there is something to say", "");
}

}  // namespace
}  // namespace lastack::compare

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 'c') {
    lastack::compare::check_table(text);
    return 0;
  }
  if (data[0] == 'v') {
    lastack::compare::check_verify_table(text);
    return 0;
  }
  constexpr std::string_view kBetween = "\n====\n";
  const size_t between = text.find(kBetween);
  if (between == std::string_view::npos) return 0;
  const auto document = text.substr(0, between), summary = text.substr(between + kBetween.size());
  if (data[0] == 's')
    lastack::compare::check_recording(lastack::compare::recorded_suite("S", document, summary));
  else if (data[0] == 'r')
    lastack::compare::check_recording(lastack::compare::recorded_run("R", document, summary));
  return 0;
}
