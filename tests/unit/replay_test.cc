// Runs that were recorded once (data/books/record.py) are settled and printed again: the same bytes
// must come of them, whatever is rebuilt between the records and the files.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "ledger/books.h"
#include "plan/plan.h"
#include "plan/spec.h"
#include "report/csv.h"
#include "report/document.h"
#include "report/json_text.h"
#include "report/text.h"

namespace lastack {
namespace {

const std::string kFolder = LASTACK_SOURCE_DIR "/tests/unit/data/books/";

nlohmann::json cases() {
  const auto text = read_file(kFolder + "cases.json");
  return text ? nlohmann::json::parse(*text) : nlohmann::json();
}

std::vector<std::string> names() {
  const nlohmann::json all = cases();
  std::vector<std::string> list;
  for (const auto& [name, parameters] : all.items()) list.push_back(name);
  return list;
}

// Where they were recorded.
const Host kHost = {.descriptor_limit = 20'000,
                    .cpus = {0, 1},
                    .net_admin = true,
                    .private_network = true,
                    .ports = 64'512};

// All that people get of a run, one file behind the other.
std::string outputs_of(const RunResult& result) {
  std::string text = "== table\n" + run_table(result);
  text += "== run.json\n" + json_text(run_document(result, {}));
  for (const CsvFile& file : csv_files())
    text += "== " + std::string(file.name) + "\n" + file.content(result);
  return text;
}

class Replay : public testing::TestWithParam<std::string> {};

TEST_P(Replay, MakesTheSameBytes) {
  std::vector<std::pair<std::string, std::string>> values;
  const nlohmann::json parameters = cases().at(GetParam());
  for (const auto& [flag, value] : parameters.items()) values.emplace_back(flag, value);
  const auto spec = read_spec(values);
  ASSERT_TRUE(spec) << spec.error().message();
  const auto plan = make_plan(*spec, kHost);
  ASSERT_TRUE(plan) << plan.error().message();
  const auto packed = read_file(kFolder + GetParam() + ".cbor");
  ASSERT_TRUE(packed) << packed.error().message();
  PackedBooks books;
  const Status bad = unpack_books(*packed, books);
  ASSERT_FALSE(bad) << bad->message() << ": record it again (data/books/record.py)";

  RunResult result;
  result.spec = print_spec(*spec);
  result.stalls = books.stalls;
  result.backlog_drops = books.backlog_drops;
  close_books(*spec, *plan, books.books, result);
  result.status = judge(*spec, result, false);
  const auto handed_over = deserialize(serialize(result));
  ASSERT_TRUE(handed_over) << handed_over.error().message();
  EXPECT_EQ(*handed_over, result);
  const std::string outputs = outputs_of(result);

  const std::string path = kFolder + GetParam() + ".txt";
  if (std::getenv("LASTACK_WRITE_EXPECTED")) {
    const Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    ASSERT_FALSE(write_all(file.get(), outputs, path));
  }
  const auto expected = read_file(path);
  ASSERT_TRUE(expected) << expected.error().message();
  EXPECT_EQ(outputs, *expected);
}

INSTANTIATE_TEST_SUITE_P(Books, Replay, testing::ValuesIn(names()), [](const auto& given) {
  std::string name = given.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(Books, OfOtherRecordsAreRefused) {
  ShardView view{};
  const std::vector<uint32_t> none;
  Books books;
  books.shards.push_back({&view, &none});
  const std::string packed = pack_books(books, {});
  PackedBooks into;
  EXPECT_FALSE(unpack_books(packed, into));
  auto whole = nlohmann::json::from_cbor(packed);
  whole["shards"][0]["victims"]["size"] = 1;
  const std::vector<uint8_t> bytes = nlohmann::json::to_cbor(whole);
  PackedBooks other;
  const Status refused = unpack_books(std::string(bytes.begin(), bytes.end()), other);
  ASSERT_TRUE(refused);
  EXPECT_THAT(refused->message(), testing::HasSubstr("victims of 1 bytes each; allowed: "));
  PackedBooks nothing;
  EXPECT_TRUE(unpack_books("no books", nothing));
}

}  // namespace
}  // namespace lastack
