#include "ledger/books.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "ledger/stalls.h"

namespace lastack {

void close_books(const RunSpec& spec, const Plan& plan, const Books& books, RunResult& result) {
  const std::vector<Outcome> outcomes =
      fill_ledger(spec, plan, books.shards, books.start_ns, books.closed_ns, result);
  if (books.asked_alive) count_alive(plan, books.silent_pairs, result);
  for (Stall& stall : result.stalls) stall.start_ns -= books.start_ns;
  int64_t established = 0;
  for (const LedgerRow& row : result.ledger) established += row.established;
  result.checks =
      reconcile(plan, outcomes, established, books.closed_ns - books.armed_ns, books.snapshots);
  result.balanced = std::all_of(result.checks.begin(), result.checks.end(),
                                [](const Check& check) { return check.ok; });
  const std::pair<const char*, CounterValues> phases[] = {{"before", books.snapshots.before},
                                                          {"armed", books.snapshots.armed},
                                                          {"closed", books.snapshots.closed},
                                                          {"cleaned", books.cleaned}};
  for (const auto& [phase, values] : phases)
    for (const CounterRow& row : kCounters)
      result.counters[phase][std::string(row.name)] = values[row.id];
}

namespace {

using Json = nlohmann::json;

template <class Record>
Json packed(std::span<const Record> records) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(records.data());
  return {{"size", sizeof(Record)},
          {"records", Json::binary({bytes, bytes + records.size_bytes()})}};
}

template <class Record>
Status unpack(const Json& from, const char* name, std::vector<Record>& into) {
  const auto& bytes = from.at(name).at("records").get_binary();
  if (from.at(name).at("size") != sizeof(Record))
    return plain_error(fmt::format("{} of {} bytes each; allowed: {}", name,
                                   from.at(name).at("size").dump(), sizeof(Record)));
  into.resize(bytes.size() / sizeof(Record));
  if (!into.empty())
    std::memcpy(static_cast<void*>(into.data()), bytes.data(), into.size() * sizeof(Record));
  return std::nullopt;
}

Status unpack_shard(const Json& from, PackedBooks::Shard& into) {
  if (Status bad = unpack(from, "victims", into.victims)) return bad;
  if (Status bad = unpack(from, "survivors", into.survivors)) return bad;
  if (Status bad = unpack(from, "writes", into.writes)) return bad;
  if (Status bad = unpack(from, "reads", into.reads)) return bad;
  from.at("acceptor_of").get_to(into.acceptor_of);
  into.view = {nullptr, into.victims, into.survivors, into.writes, into.reads};
  return std::nullopt;
}

}  // namespace

std::string pack_books(const Books& books, const RunResult& result) {
  Json shards = Json::array();
  for (const LedgerShard& shard : books.shards)
    shards.push_back({{"victims", packed<VictimEnd>(shard.view->victims)},
                      {"survivors", packed<SurvivorEnd>(shard.view->survivors)},
                      {"writes", packed<WriteRecord>(shard.view->writes)},
                      {"reads", packed<ReadRecord>(shard.view->reads)},
                      {"acceptor_of", *shard.acceptor_of}});
  Json stalls = Json::array();
  for (const Stall& stall : result.stalls)
    stalls.push_back({stall.process, stall.shard, stall.cause, stall.start_ns, stall.duration_ns});
  Json silent = Json::array();
  for (const SilentPair& pair : books.silent_pairs) silent.push_back({pair.row, pair.pair});
  const Snapshots& snapshots = books.snapshots;
  const Json whole = {{"shards", std::move(shards)},
                      {"instants", {books.start_ns, books.armed_ns, books.closed_ns}},
                      {"opening_ns", snapshots.opening_ns},
                      {"before", snapshots.before.values},
                      {"armed", snapshots.armed.values},
                      {"closed", snapshots.closed.values},
                      {"cleaned", books.cleaned.values},
                      {"asked_alive", books.asked_alive},
                      {"silent_pairs", std::move(silent)},
                      {"stalls", std::move(stalls)},
                      {"backlog_drops", result.backlog_drops}};
  const std::vector<uint8_t> bytes = Json::to_cbor(whole);
  return {bytes.begin(), bytes.end()};
}

Status unpack_books(std::string_view packed, PackedBooks& into) {
  // The library reports a wrong shape by an exception; it stops here.
  try {
    const Json whole = Json::from_cbor(packed);
    into.shards.resize(whole.at("shards").size());
    for (size_t i = 0; i < into.shards.size(); ++i)
      if (Status bad = unpack_shard(whole.at("shards")[i], into.shards[i])) return bad;
    Books& books = into.books;
    for (const PackedBooks::Shard& shard : into.shards)
      books.shards.push_back({&shard.view, &shard.acceptor_of});
    books.start_ns = whole.at("instants").at(0);
    books.armed_ns = whole.at("instants").at(1);
    books.closed_ns = whole.at("instants").at(2);
    whole.at("opening_ns").get_to(books.snapshots.opening_ns);
    whole.at("before").get_to(books.snapshots.before.values);
    whole.at("armed").get_to(books.snapshots.armed.values);
    whole.at("closed").get_to(books.snapshots.closed.values);
    whole.at("cleaned").get_to(books.cleaned.values);
    whole.at("asked_alive").get_to(books.asked_alive);
    for (const Json& pair : whole.at("silent_pairs"))
      books.silent_pairs.push_back({pair.at(0), pair.at(1)});
    for (const Json& stall : whole.at("stalls"))
      into.stalls.push_back({stall.at(0), stall.at(1), stall.at(2), stall.at(3), stall.at(4)});
    whole.at("backlog_drops").get_to(into.backlog_drops);
  } catch (const Json::exception& wrong) {
    return plain_error(fmt::format("no books of a run: {}", wrong.what()));
  }
  return std::nullopt;
}

}  // namespace lastack
