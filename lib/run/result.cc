#include "run/result.h"

#include <fmt/format.h>

#include "run/result_json.h"

namespace lastack {

namespace {

constexpr RunStatusRow kStatuses[] = {
    {RunStatus::bad_usage, "bad-usage", 2, "the command line asks for something impossible"},
    {RunStatus::no_resources, "not-enough-resources", 3,
     "descriptors, ports, memory, namespaces or rights are missing (see `lastack doctor`)"},
    {RunStatus::failed, "failed", 1,
     "lastack itself failed: a worker died or a call that must not, or what it had to print could "
     "not be delivered"},
    {RunStatus::interrupted, "interrupted", 7, "SIGINT, SIGTERM or SIGHUP ended the run early"},
    {RunStatus::unbalanced, "unbalanced", 5,
     "the ledger is incomplete, the kernel's counters do not agree with it, or a writer's bytes or "
     "signals do not add up"},
    {RunStatus::unmet_expectation, "unmet-expectation", 4,
     "a connection ended otherwise than its strategy's row says"},
    {RunStatus::too_slow, "too-slow", 6,
     "the achieved rate is more than 5% below the requested one"},
    {RunStatus::ok, "ok", 0, "every connection ended as expected, and everything adds up"},
};

}  // namespace

std::span<const RunStatusRow> run_statuses() { return kStatuses; }
const RunStatusRow& status_row(RunStatus status) { return kStatuses[static_cast<size_t>(status)]; }

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
