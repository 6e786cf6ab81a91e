#include "model/run_status.h"

#include "base/rows.h"

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
    {RunStatus::skipped, "skipped", 8,
     "the kernel, its settings or the rights lack what every row of the mix needs"},
    {RunStatus::ok, "ok", 0, "every connection ended as expected, and everything adds up"},
};
static_assert(indexed(kStatuses) && unique(kStatuses, &RunStatusRow::exit_code));

}  // namespace

std::span<const RunStatusRow> run_statuses() { return kStatuses; }
const RunStatusRow& status_row(RunStatus status) { return kStatuses[static_cast<size_t>(status)]; }

}  // namespace lastack
