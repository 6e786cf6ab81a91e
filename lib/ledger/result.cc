#include "ledger/result.h"

#include <fmt/format.h>

#include "ledger/result_json.h"

namespace lastack {

std::string watch_text(const LedgerRow& row) {
  return row.write_path.empty() ? row.watch : fmt::format("{}:{}", row.watch, row.write_path);
}

std::string watch_text(const PlanRow& row) {
  const std::string watch(watch_row(row.watch).name);
  if (row.write_path == WritePath::none) return watch;
  return fmt::format("{}:{}", watch, write_path_row(row.write_path).name);
}

bool LedgerRow::whole(bool interrupted) const {
  if (requested != established + not_established) return false;
  if (established != torn_down + not_torn_down) return false;
  if (torn_down != found + nothing + undecided) return false;
  int64_t explained = 0;
  for (const auto& [error, connections] : not_established_by) explained += connections;
  if (explained != not_established) return false;
  return interrupted || (not_established == 0 && not_torn_down == 0 && undecided == 0);
}

std::string serialize(const RunResult& result) {
  const auto bytes = nlohmann::json::to_msgpack(nlohmann::json(result));
  return std::string(bytes.begin(), bytes.end());
}

Result<RunResult> deserialize(const std::string& text) {
  // The library reports a wrong shape by an exception; it stops here.
  try {
    return nlohmann::json::from_msgpack(text).get<RunResult>();
  } catch (const nlohmann::json::exception&) {
    return plain_error("the launcher ended without a whole result");
  }
}

int64_t sum_ns(const std::vector<Stall>& stalls) {
  int64_t sum = 0;
  for (const Stall& stall : stalls) sum += stall.duration_ns;
  return sum;
}

}  // namespace lastack
