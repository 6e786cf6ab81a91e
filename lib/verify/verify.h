// `lastack verify`: plays every row of the table of claims (verify/claims.h) on the running kernel
// and compares what happens with what the table expects.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time_unit.h"
#include "model/run_status.h"
#include "shard/launcher.h"
#include "verify/claims.h"
#include "verify/stage.h"

namespace lastack::verify {

struct Spec {
  bool loopback = true, veth = true;
  int64_t connections = 100;      // of each way of each row
  std::vector<std::string> rows;  // "A3" or "A3/first-read"; empty: all
  std::vector<ExpectedVerdict> expected;
};
constexpr int64_t kFewestConnections = 100, kMostConnections = 400;

// A row of the result: one claim on one path.
struct VerifiedRow {
  std::string case_id, variant, path;
  Record record;
  Verdict observed{}, expected{};
  std::string condition;                 // what decides, for holds_if
  std::vector<std::string> differences;  // from the table; empty when the row is as expected
  int64_t duration_ns = 0;
  // A row that was not played to its end (record.error) says nothing about the kernel.
  bool played() const { return record.error.empty(); }
  bool ok() const { return played() && differences.empty(); }
};

// Not `Result`: that is a value or an Error in all of lib/.
struct VerifyResult {
  RunStatus status = RunStatus::failed;
  std::string error;   // why there are no rows
  std::string kernel;  // its release
  std::vector<VerifiedRow> rows;
  int64_t duration_ns = 0;
  TimeUnit time_unit = TimeUnit::ns;
};

// Whether `given` names a case or a row of the table.
Status check_row_name(const std::string& given);

// Plays in processes of its own; nothing of them survives the caller.
VerifyResult play(const Spec& spec, const RunHooks& hooks);

// Compares a record with its claim.
VerifiedRow judge(const Claim& claim, const std::string& path, const Spec& spec, Record record);

}  // namespace lastack::verify
