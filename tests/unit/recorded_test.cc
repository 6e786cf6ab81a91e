// Recordings are read back: the frozen examples of every form that lastack has written, and what
// is said of files that are cut off, corrupt or newer.
#include "compare/recorded.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>

#include "../named_case.h"
#include "base/file.h"
#include "base/parse.h"
#include "compare/csv_table.h"

namespace lastack::compare {
namespace {

using cases::PrintTo;

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

std::string data(const std::string& name) {
  return std::string(LASTACK_SOURCE_DIR) + "/tests/unit/data/" + name;
}

std::string content(const std::string& path) {
  const auto text = read_file(path);
  EXPECT_TRUE(text) << path;
  return text ? *text : "";
}

const RecordedLine* line_of(const Recording& recording, const RecordedKey& key,
                            int64_t repetition) {
  for (const RecordedLine& line : recording.lines)
    if (line.key == key && line.repetition == repetition) return &line;
  return nullptr;
}

// A folder that goes away.
struct TemporaryFolder {
  std::string path;
  TemporaryFolder() {
    char name[] = "/tmp/lastack-recorded-XXXXXX";
    path = mkdtemp(name);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
};

void write(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

// ---- The contract: these files are never changed, only added to.

TEST(RecordedForms, ARun) {
  const auto run = read_recording(data("csv-v1-run"));
  ASSERT_TRUE(run) << run.error().message();
  EXPECT_EQ(run->suite, "");
  EXPECT_EQ(run->kernel, "6.18.44");
  EXPECT_EQ(run->version, "0.1.0 952be66aecac");
  EXPECT_EQ(run->facts.at("cpu.model"), "AMD EPYC");
  ASSERT_EQ(run->runs.size(), 1u);
  EXPECT_EQ(run->runs[0].status, "ok");
  ASSERT_EQ(run->lines.size(), 3u);
  const RecordedLine& reset = run->lines[0];
  EXPECT_EQ(reset.key, (RecordedKey{"", "rst-linger", "recv", "none", ""}));
  EXPECT_EQ(reset.torn_down, 134);
  EXPECT_EQ(reset.found, 134);
  EXPECT_THAT(reset.findings, ElementsAre(Pair("econnreset", 134)));
  EXPECT_EQ(reset.latency_p50_ns, 115343359);
  EXPECT_EQ(reset.latency_p99_ns, 121803500);
  EXPECT_FALSE(reset.writes_accepted_after_act);
  EXPECT_THAT(run->lines[2].findings, ElementsAre(Pair("nothing", 133)));
  EXPECT_FALSE(run->lines[2].latency_p50_ns);
  // The survivors' user and system CPU of run.json over all 400 connections.
  EXPECT_NEAR(*reset.cpu_ns_per_connection, 1'521'000 / 400.0, 1e-6);
  EXPECT_NEAR(*reset.segments_per_connection, 400 / 400.0, 1e-9);
  EXPECT_FALSE(reset.arm_ns_per_connection) << "that lastack wrote no phases";
  EXPECT_THAT(run->commands.at(""),
              AllOf(HasSubstr("lastack run "), HasSubstr(" --connections 400"),
                    HasSubstr("--deadline 300ms"), Not(HasSubstr("--seed "))));
}

TEST(RecordedForms, TheFirstSuite) {
  const auto suite = read_recording(data("csv-v1-suite-first"));
  ASSERT_TRUE(suite) << suite.error().message();
  EXPECT_EQ(suite->suite, "dead-peer");
  EXPECT_FALSE(suite->quick);
  EXPECT_EQ(suite->runs.size(), 4u) << "with the prices";
  EXPECT_EQ(suite->lines.size(), 10u);
  const RecordedKey key{"keepalive-1s-1s-2", "silent", "recv", "keepalive", ""};
  const RecordedLine* line = line_of(*suite, key, 1);
  ASSERT_TRUE(line) << "its row is its run without the number";
  EXPECT_EQ(line->latency_p50_ns, 3019898879);
  EXPECT_EQ(line->after_predicted_p50_ns, 67997526);
  EXPECT_FALSE(line->cpu_ns_per_connection);
  const RecordedKey writer{"writer-user-timeout-1s", "silent", "writer", "user-timeout", "send"};
  ASSERT_TRUE(line_of(*suite, writer, 1));
  EXPECT_TRUE(line_of(*suite, writer, 1)->writes_accepted_after_act);
  EXPECT_THAT(line_of(*suite, writer, 1)->first_errors, ElementsAre(Pair("ETIMEDOUT", 500)));
}

TEST(RecordedForms, TheSuiteOfRepetitions) {
  const auto suite = read_recording(data("csv-v1-suite"));
  ASSERT_TRUE(suite) << suite.error().message();
  EXPECT_EQ(suite->suite, "short");
  EXPECT_EQ(suite->lines.size(), 18u) << "without the warm-ups";
  const RecordedKey key{"short-block", "fin", "recv", "none", ""};
  EXPECT_FALSE(line_of(*suite, key, 0));
  ASSERT_TRUE(line_of(*suite, key, 1));
  EXPECT_EQ(line_of(*suite, key, 1)->latency_p50_ns, 58900);
  EXPECT_EQ(line_of(*suite, key, 3)->latency_p50_ns, 59500);
  EXPECT_EQ(line_of(*suite, key, 2)->cpu_ns_per_connection, 212000);
  EXPECT_EQ(line_of(*suite, key, 2)->segments_per_connection, 7.25);
  const RecordedKey busy{"short-busy", "fin", "recv", "none", ""};
  EXPECT_FALSE(line_of(*suite, busy, 1)->cpu_ns_per_connection) << "the field is empty";
  EXPECT_EQ(std::ranges::count(suite->runs, true, &RecordedRun::warm_up), 2);
  EXPECT_EQ(std::ranges::count(suite->runs, "too-slow", &RecordedRun::status), 1);
  EXPECT_THAT(suite->commands.at("short-busy"), HasSubstr("--cpu-hog 2"));
}

// What `lastack suite full` left at commit a0f5920, whole.
TEST(RecordedForms, TheSuiteOfTheResults) {
  const auto suite = read_recording(LASTACK_SOURCE_DIR "/results/2026-11-23-full/a");
  ASSERT_TRUE(suite) << suite.error().message();
  EXPECT_EQ(suite->suite, "full");
  EXPECT_EQ(suite->version, "0.1.0 a0f5920d88a6");
  EXPECT_EQ(suite->runs.size(), 408u);
  EXPECT_EQ(suite->commands.size(), 98u);
  EXPECT_EQ(std::ranges::count(suite->runs, true, &RecordedRun::warm_up), 34);
  const RecordedKey key{"killed-process-descriptors", "sigkill", "recv", "none", ""};
  ASSERT_TRUE(line_of(*suite, key, 10));
  EXPECT_THAT(line_of(*suite, key, 10)->findings, ElementsAre(Pair("eof", 4000)));
}

// ---- CSV

TEST(ReadCsv, GivesFieldsByColumn) {
  const auto table = read_csv(
      "schema_version,name,skipped\n"
      "1, a ,\"needs \"\"rights\"\", said\nthe kernel\"\n"
      "1,,b\n",
      "x.csv");
  ASSERT_TRUE(table) << table.error().message();
  ASSERT_EQ(table->rows(), 2u);
  EXPECT_EQ(table->at(0, *table->column("name")), " a ") << "blanks belong to a field";
  EXPECT_EQ(table->at(0, *table->column("skipped")), "needs \"rights\", said\nthe kernel");
  EXPECT_EQ(table->at(1, *table->column("name")), "");
  EXPECT_EQ(table->at(1, 2), "b");
  EXPECT_FALSE(table->column("colour"));
  EXPECT_EQ(table->place(0), "x.csv:2");
  EXPECT_EQ(table->place(1), "x.csv:4") << "the first row has two lines";
}

TEST(ReadCsv, MayHoldNoLineAndLineEndsOfOtherSystems) {
  EXPECT_EQ(read_csv("schema_version,a\n", "x.csv")->rows(), 0u);
  const auto table = read_csv("schema_version,a\r\n1,2\r\n\r\n1,3\r\n", "x.csv");
  ASSERT_TRUE(table) << table.error().message();
  ASSERT_EQ(table->rows(), 2u);
  EXPECT_EQ(table->at(1, 1), "3");
  EXPECT_EQ(table->place(1), "x.csv:4");
}

// The frozen suite's summary.csv as other programs save it.
struct SavedCsv {
  std::string name;
  std::function<void(std::string& csv)> save;
};

class SavedElsewhere : public testing::TestWithParam<SavedCsv> {};

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

// With another delimiter a program quotes fields in which that stands: "eof=1;epipe=2".
void delimit(std::string& csv, char delimiter) {
  std::string saved, field;
  for (const char letter : csv) {
    if (letter != ',' && letter != '\n') {
      field += letter;
      continue;
    }
    const bool quotes = field.find(delimiter) != std::string::npos;
    saved += (quotes ? "\"" + field + "\"" : field) + (letter == ',' ? delimiter : letter);
    field.clear();
  }
  csv = saved;
}

void quote_all(std::string& csv) {
  replace_all(csv, ",", "\",\"");
  replace_all(csv, "\n", "\"\n\"");
  csv = "\"" + csv.substr(0, csv.size() - 1);
}

// The columns from the last to the first.
void reverse(std::string& csv) {
  std::string saved;
  for (const std::string_view line : split(csv, '\n')) {
    if (line.empty()) continue;
    auto fields = split(line, ',');
    std::ranges::reverse(fields);
    saved += fmt::format("{}\n", fmt::join(fields, ","));
  }
  csv = saved;
}

TEST_P(SavedElsewhere, IsReadAsItWas) {
  const std::string manifest = content(data("csv-v1-suite/manifest.json"));
  const std::string csv = content(data("csv-v1-suite/summary.csv"));
  std::string saved = csv;
  GetParam().save(saved);
  ASSERT_NE(saved, csv);
  const auto as_it_was = recorded_suite("S", manifest, csv);
  const auto recording = recorded_suite("S", manifest, saved);
  ASSERT_TRUE(recording) << recording.error().message();
  ASSERT_EQ(recording->lines.size(), as_it_was->lines.size());
  for (size_t i = 0; i < recording->lines.size(); ++i) {
    const RecordedLine &line = recording->lines[i], &other = as_it_was->lines[i];
    EXPECT_EQ(line.key, other.key);
    EXPECT_EQ(line.run, other.run);
    EXPECT_EQ(line.findings, other.findings);
    EXPECT_EQ(line.latency_p50_ns, other.latency_p50_ns);
    EXPECT_EQ(line.cpu_ns_per_connection, other.cpu_ns_per_connection);
  }
}

const SavedCsv kSavedCsv[] = {
    {"ByteOrderMark", [](std::string& csv) { csv = "\xef\xbb\xbf" + csv; }},
    {"WindowsLineEnds", [](std::string& csv) { replace_all(csv, "\n", "\r\n"); }},
    {"Semicolons", [](std::string& csv) { delimit(csv, ';'); }},
    {"SemicolonsAndSepLine",
     [](std::string& csv) {
       delimit(csv, ';');
       csv = "\xef\xbb\xbfsep=;\r\n" + csv;
     }},
    {"Tabs", [](std::string& csv) { replace_all(csv, ",", "\t"); }},
    {"QuotedEverything", quote_all},
    {"QuotedBehindAByteOrderMark",
     [](std::string& csv) {
       quote_all(csv);
       csv = "\xef\xbb\xbf" + csv;
     }},
    {"BlankLines", [](std::string& csv) { csv = "\n" + csv + "\n\n  \n\r\n"; }},
    {"EmptiedLines",
     [](std::string& csv) { csv += ",,,,\n\"\",\"\"\n" + std::string(200, ',') + "\n"; }},
    {"EmptyColumns", [](std::string& csv) { replace_all(csv, "\n", ",,\n"); }},
    {"EmptyColumnsUnderAShortHeader",
     [](std::string& csv) {
       const size_t header = csv.find('\n') + 1;
       std::string rest = csv.substr(header);
       replace_all(rest, "\n", ",\n");
       csv = csv.substr(0, header) + rest;
     }},
    {"ReorderedColumns", reverse},
    {"BlanksInTheHeader",
     [](std::string& csv) {
       const size_t header = csv.find('\n');
       std::string names = csv.substr(0, header);
       replace_all(names, ",", " , ");
       csv = names + csv.substr(header);
     }},
};

INSTANTIATE_TEST_SUITE_P(Recorded, SavedElsewhere, testing::ValuesIn(kSavedCsv), cases::by_name);

struct BadCsv {
  std::string name, text, message;
};

class CorruptCsv : public testing::TestWithParam<BadCsv> {};

TEST_P(CorruptCsv, IsOneLineThatSaysWhere) {
  const auto table = read_csv(GetParam().text, "x.csv");
  ASSERT_FALSE(table);
  EXPECT_EQ(table.error().message(), GetParam().message);
}

const BadCsv kBadCsv[] = {
    {"Empty", "", "x.csv: the file is empty"},
    {"Blank", "\n\n", "x.csv: no header"},
    {"NoHeader", "1,2\n1,3\n",
     "x.csv:1: no column schema_version: this is no header of a file of lastack"},
    {"NoVersion", "strategy,watch\nfin,recv\n",
     "x.csv:1: no column schema_version: this is no header of a file of lastack"},
    {"ColumnTwice", "schema_version,a,a\n1,2,3\n", "x.csv:1: column 'a' twice"},
    {"Newer", "schema_version,a\n2,b\n2,c\n",
     "x.csv: schema version 2 was written by a newer lastack; this one knows up to 1"},
    {"Mixed", "schema_version,a\n1,b\n2,c\n", "x.csv:3: schema version 2 below lines of version 1"},
    {"VersionIsText", "schema_version,a\none,b\n",
     "x.csv:2: schema_version is 'one', which is no version"},
    {"VersionZero", "schema_version,a\n0,b\n",
     "x.csv:2: schema_version is '0', which is no version"},
    {"FewFields", "schema_version,a,b\n1,2,3\n1,2\n", "x.csv:3: 2 fields, and the header has 3"},
    {"ManyFields", "schema_version,a\n1,2,3\n", "x.csv:2: 3 fields, and the header has 2"},
    {"CutOffInALine", "schema_version,a\n1,2\n1,3",
     "x.csv:3: the last line has no end: the file was cut off, or an editor has left the end out"},
    {"CutOffInAQuote", "schema_version,a\n1,\"2\n1,3\n",
     "x.csv:2: a quoted field that does not end"},
    {"QuoteInside", "schema_version,a\n1,2\n1,3\"\n",
     "x.csv:3: a quote inside an unquoted field, or text behind a closing quote"},
    {"BehindAQuote", "schema_version,a\n1,\"2\"3\n",
     "x.csv:2: a quote inside an unquoted field, or text behind a closing quote"},
    {"CarriageReturn", "schema_version,a\n1,2\r1,3\n",
     "x.csv:2: a carriage return in an unquoted field"},
    {"Zeros", std::string("schema_version,a\n1,\0\n", 21),
     "x.csv:2: a byte 0x00: this is no text in UTF-8"},
    {"Binary",
     "\x7f"
     "ELF\x02\x01",
     "x.csv:1: a byte 0x02: this is no text in UTF-8"},
    {"TooManyColumns", "schema_version" + std::string(1'000, ',') + "\n",
     "x.csv:1: more than 1000 fields"},
    {"Utf16", std::string("\xff\xfes\0c\0", 6), "x.csv: this is UTF-16; save it as UTF-8"},
    {"Utf16BigEndian", std::string("\xfe\xff\0s\0c", 6), "x.csv: this is UTF-16; save it as UTF-8"},
    {"Utf16WithoutAMark", std::string("s\0c\0h\0", 6),
     "x.csv:1: a byte 0x00: this is no text in UTF-8"},
    {"Macintosh", "schema_version,a\r1,2\r",
     "x.csv: the lines end with a carriage return alone; save it with LF or CRLF"},
    {"SepLineAlone", "sep=;\n", "x.csv: no header"},
    {"EscapesInAName", "schema_version,\x7f,\xc2\x9b,\xc2\x9b\n", "x.csv:1: column ' ' twice"},
    {"HugeVersion", "schema_version,a\n99999999999999999999,b\n",
     "x.csv:2: schema_version is '99999999999999999999', which is no version"},
};

INSTANTIATE_TEST_SUITE_P(Recorded, CorruptCsv, testing::ValuesIn(kBadCsv), cases::by_name);

// ---- A suite with one thing wrong

struct Damage {
  std::string name;
  std::function<void(std::string& manifest, std::string& summary)> spoil;
  std::string message;
};

void replace(std::string& text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
}

class DamagedSuite : public testing::TestWithParam<Damage> {};

TEST_P(DamagedSuite, IsOneLineThatSaysWhere) {
  std::string manifest = content(data("csv-v1-suite/manifest.json"));
  std::string summary = content(data("csv-v1-suite/summary.csv"));
  GetParam().spoil(manifest, summary);
  const auto suite = recorded_suite("S", manifest, summary);
  ASSERT_FALSE(suite);
  EXPECT_EQ(suite.error().message(), GetParam().message);
}

const Damage kDamages[] = {
    {"ColumnMissing",
     [](std::string&, std::string& csv) { replace(csv, ",latency_count,", ",latency_cuont,"); },
     "S/summary.csv: column 'latency_count' is missing"},
    {"RunColumnMissing", [](std::string&, std::string& csv) { replace(csv, ",run,", ",ran,"); },
     "S/summary.csv: column 'run' is missing"},
    {"NoNumber", [](std::string&, std::string& csv) { replace(csv, ",61200,", ",fast,"); },
     "S/summary.csv:8: latency_p50_ns is 'fast', which is not a number"},
    {"NotANumber", [](std::string&, std::string& csv) { replace(csv, ",61200,", ",nan,"); },
     "S/summary.csv:8: latency_p50_ns is 'nan', which is not a number"},
    {"Infinite", [](std::string&, std::string& csv) { replace(csv, ",61200,", ",inf,"); },
     "S/summary.csv:8: latency_p50_ns is 'inf', which is not a number"},
    {"DecimalComma",
     [](std::string&, std::string& csv) { replace(csv, ",61200,", ",\"61200,5\","); },
     "S/summary.csv:8: latency_p50_ns is '61200,5', which is not a number: a comma for the decimal "
     "point, or between thousands; save numbers as they were"},
    {"Thousands", [](std::string&, std::string& csv) { replace(csv, ",61200,", ",6.120.000,"); },
     "S/summary.csv:8: latency_p50_ns is '6.120.000', which is not a number: rounded, or with "
     "points between thousands; save numbers as they were"},
    {"RoundedBySpreadsheet",
     [](std::string&, std::string& csv) { replace(csv, ",61200,", ",6.12E+04,"); },
     "S/summary.csv:8: latency_p50_ns is '6.12E+04', which is not a number: rounded, or with "
     "points "
     "between thousands; save numbers as they were"},
    {"NumberWithATail", [](std::string&, std::string& csv) { replace(csv, ",61200,", ",61200x,"); },
     "S/summary.csv:8: latency_p50_ns is '61200x', which is not a number"},
    {"NegativeCount",
     [](std::string&, std::string& csv) { replace(csv, ",econnreset,134,", ",econnreset,-134,"); },
     "S/summary.csv:2: requested is '-134', which is not a count"},
    {"FractionOfAConnection",
     [](std::string&, std::string& csv) { replace(csv, ",econnreset,134,", ",econnreset,1.5,"); },
     "S/summary.csv:2: requested is '1.5', which is not a count: rounded, or with points between "
     "thousands; save numbers as they were"},
    {"EmptyCount",
     [](std::string&, std::string& csv) { replace(csv, ",econnreset,134,", ",econnreset,,"); },
     "S/summary.csv:2: requested is '', which is not a count"},
    {"Findings",
     [](std::string&, std::string& csv) { replace(csv, "econnreset=134", "econnreset:134"); },
     "S/summary.csv:2: findings is 'econnreset:134', which is not FINDING=COUNT;..."},
    {"FindingsTwice",
     [](std::string&, std::string& csv) { replace(csv, "econnreset=134", "eof=1;eof=2"); },
     "S/summary.csv:2: findings is 'eof=1;eof=2', which is not FINDING=COUNT;..."},
    {"WarmUp",
     [](std::string&, std::string& csv) { replace(csv, "/warm-up,0,1,", "/warm-up,0,yes,"); },
     "S/summary.csv:2: warm_up is 'yes', which is not 0 or 1"},
    {"LineTwice",
     [](std::string&, std::string& csv) {
       const size_t second = csv.find('\n') + 1, third = csv.find('\n', second) + 1;
       csv.insert(second, csv.substr(second, third - second));
     },
     "S/summary.csv:3: this line stands above already, for the same run"},
    {"OnlyAHeader", [](std::string&, std::string& csv) { csv.resize(csv.find('\n') + 1); },
     "S/summary.csv: no line below the header"},
    {"CutOffBetweenLines",
     [](std::string&, std::string& csv) {
       csv.resize(csv.find("1,short-busy,02-short-busy/rep-2"));
     },
     "S/summary.csv: no line of run 02-short-busy/rep-2, which ended ok: the file was cut off"},
    {"CutOff", [](std::string&, std::string& csv) { csv.resize(csv.size() - 40); },
     "S/summary.csv:25: the last line has no end: the file was cut off, or an editor has left the "
     "end out"},
    {"NewerSummary", [](std::string&, std::string& csv) { replace_all(csv, "\n1,", "\n9,"); },
     "S/summary.csv: schema version 9 was written by a newer lastack; this one knows up to 1"},
    {"EmptyManifest", [](std::string& json, std::string&) { json.clear(); },
     "S/manifest.json: the file is empty"},
    {"ManifestCutOff", [](std::string& json, std::string&) { json.resize(20); },
     "S/manifest.json: no JSON, or cut off, at byte 21"},
    {"ManifestIsAList", [](std::string& json, std::string&) { json = "[1]"; },
     "S/manifest.json: not an object: this is no file of lastack"},
    {"ManifestIsDeep", [](std::string& json, std::string&) { json = std::string(100'000, '['); },
     "S/manifest.json: nested too deep: this is no file of lastack"},
    {"ManifestHasAHugeNumber",
     [](std::string& json, std::string&) { json = "{\"schema_version\": 1e999}"; },
     "S/manifest.json: no JSON: a number is too large"},
    {"NewerManifest",
     [](std::string& json, std::string&) {
       replace(json, "\"schema_version\": 1", "\"schema_version\": 2");
     },
     "S/manifest.json: schema version 2 was written by a newer lastack; this one knows up to 1"},
    {"NoManifestVersion",
     [](std::string& json, std::string&) { replace(json, "schema_version", "schema"); },
     "S/manifest.json: 'schema_version' is not a whole number"},
    {"SuiteIsANumber", [](std::string& json, std::string&) { replace(json, "\"short\"", "7"); },
     "S/manifest.json: 'suite' is not a string"},
    {"QuickIsAText",
     [](std::string& json, std::string&) {
       replace(json, "\"quick\": false", "\"quick\": \"no\"");
     },
     "S/manifest.json: 'quick' is neither true nor false"},
    {"RunsAreAnObject",
     [](std::string& json, std::string&) {
       replace(json, "\"runs\": [", "\"runs\": {}, \"x\": [");
     },
     "S/manifest.json: 'runs' is not a list of objects"},
    {"RunsHoldNumbers",
     [](std::string& json, std::string&) { replace(json, "\"runs\": [", "\"runs\": [3,"); },
     "S/manifest.json: 'runs' is not a list of objects"},
    {"NoEnvironment",
     [](std::string& json, std::string&) { replace(json, "\"environment\"", "\"surroundings\""); },
     "S/manifest.json: 'environment' is not an object"},
    {"RepetitionIsHuge",
     [](std::string& json, std::string&) {
       replace(json, "\"repetition\": 1,", "\"repetition\": 123456789,");
     },
     "S/manifest.json: 'repetition' is not between 0 and 10000"},
};

INSTANTIATE_TEST_SUITE_P(Recorded, DamagedSuite, testing::ValuesIn(kDamages), cases::by_name);

TEST(RecordedText, NeverBreaksALineNorMovesTheCursor) {
  std::string manifest = content(data("csv-v1-suite/manifest.json"));
  std::string summary = content(data("csv-v1-suite/summary.csv"));
  replace(manifest, "\"short\"", "\"sh\\nort\\u001b[2J\"");
  replace(summary, ",fin,recv,", ",\"fin\nrow\",recv,");
  const auto suite = recorded_suite("S", manifest, summary);
  ASSERT_TRUE(suite) << suite.error().message();
  EXPECT_EQ(suite->suite, "sh ort [2J");
  for (const RecordedLine& line : suite->lines)
    EXPECT_EQ(line.key.strategy.find('\n'), std::string::npos);
}

// ---- Folders

TEST(ReadRecording, SaysWhatAFolderIsNot) {
  const TemporaryFolder folder;
  const auto message = [&](const std::string& path) {
    const auto recording = read_recording(path);
    return recording ? "read" : recording.error().message();
  };
  EXPECT_EQ(message(folder.path + "/none"),
            "open " + folder.path + "/none: No such file or directory (ENOENT 2)");
  EXPECT_EQ(message("/dev/null"), "/dev/null is no folder");
  EXPECT_EQ(message(folder.path),
            folder.path + ": neither a suite's folder (manifest.json) nor a run's (run.json)");
  write(folder.path + "/01-fin/rep-1/run.json", "{}");
  EXPECT_EQ(message(folder.path),
            folder.path +
                ": this suite is unfinished (no manifest.json); finish it with `lastack "
                "suite NAME --out " +
                folder.path + " --resume`");
  write(folder.path + "/run/run.json", "{}");
  EXPECT_EQ(message(folder.path + "/run"), "open " + folder.path +
                                               "/run/summary.csv: No such file or directory "
                                               "(ENOENT 2)");
  EXPECT_EQ(message(folder.path + "/x*"), folder.path + "/x*: no folder has such a name");
  ASSERT_EQ(mkfifo((folder.path + "/run/summary.csv").c_str(), 0600), 0);
  EXPECT_EQ(message(folder.path + "/run"), folder.path + "/run/summary.csv is no regular file");
}

TEST(ReadRecording, RefusesAHugeFileBeforeReadingIt) {
  const TemporaryFolder folder;
  write(folder.path + "/manifest.json", "");
  std::filesystem::resize_file(folder.path + "/manifest.json", 10ull << 30);  // without blocks
  const auto recording = read_recording(folder.path);
  ASSERT_FALSE(recording);
  EXPECT_EQ(recording.error().message(), folder.path +
                                             "/manifest.json has 10737418240 bytes; at most 64MiB "
                                             "are read");
}

TEST(ReadRecording, TakesWhatAPatternNamesAsRepetitions) {
  const TemporaryFolder folder;
  std::string summary = content(data("csv-v1-run/summary.csv"));
  std::string document = content(data("csv-v1-run/run.json"));
  for (const int index : {10, 2, 1}) {
    std::string changed = summary;
    replace(changed, ",115343359,", ",115" + std::to_string(index) + ",");
    const std::string name = folder.path + "/a-" + std::to_string(index);
    write(name + "/summary.csv", changed);
    std::string seeded = document;
    replace(seeded, "\"seed\": 1", "\"seed\": " + std::to_string(index));
    write(name + "/run.json", seeded);
  }
  const auto runs = read_recording(folder.path + "/a-*");
  ASSERT_TRUE(runs) << runs.error().message();
  EXPECT_EQ(runs->lines.size(), 9u);
  EXPECT_THAT(runs->doubts, testing::IsEmpty()) << "seeds may differ";
  const RecordedKey key{"", "rst-linger", "recv", "none", ""};
  for (const auto& [repetition, p50_ns] : {std::pair{1, 1151}, {2, 1152}, {3, 11510}}) {
    ASSERT_TRUE(line_of(*runs, key, repetition));
    EXPECT_EQ(line_of(*runs, key, repetition)->latency_p50_ns, p50_ns);
  }
  replace(document, "\"deadline\": \"300ms\"", "\"deadline\": \"5s\"");
  write(folder.path + "/a-3/run.json", document);
  write(folder.path + "/a-3/summary.csv", summary);
  const auto mixed = read_recording(folder.path + "/a-*");
  ASSERT_TRUE(mixed);
  EXPECT_THAT(mixed->doubts, ElementsAre(AllOf(HasSubstr("--deadline 5s"), HasSubstr("a-3"))));
}

TEST(ReadRecording, OfSeveralSuitesCountsTheirRepetitionsOn) {
  const TemporaryFolder folder;
  for (const std::string name : {"/s-1", "/s-2"})
    std::filesystem::copy(data("csv-v1-suite"), folder.path + name);
  const auto suites = read_recording(folder.path + "/s-?");
  ASSERT_TRUE(suites) << suites.error().message();
  EXPECT_EQ(suites->lines.size(), 36u);
  const RecordedKey key{"short-block", "fin", "recv", "none", ""};
  EXPECT_EQ(line_of(*suites, key, 4)->latency_p50_ns, line_of(*suites, key, 1)->latency_p50_ns);
  EXPECT_TRUE(line_of(*suites, key, 6));
}

TEST(ReadRecording, OfAnInterruptedSuiteDoubts) {
  std::string manifest = content(data("csv-v1-suite/manifest.json"));
  replace(manifest, "\"status\": \"too-slow\"", "\"status\": \"interrupted\"");
  const auto suite = recorded_suite("S", manifest, content(data("csv-v1-suite/summary.csv")));
  ASSERT_TRUE(suite);
  EXPECT_THAT(suite->doubts,
              ElementsAre("S was interrupted; finish it with `lastack suite short --out S "
                          "--resume`"));
}

}  // namespace
}  // namespace lastack::compare
