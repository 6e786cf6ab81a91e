// `lastack suite regressions`: plays rows of verify/regressions.h on the running kernel and
// compares what happens with what a kernel of that version should do.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/kernel_version.h"
#include "base/time_unit.h"
#include "shard/launcher.h"
#include "verify/regressions.h"
#include "verify/stage.h"

namespace lastack::verify {

// Of each way of each row: they differ by kernel, not by connection.
constexpr int64_t kRegressionConnections = 10;

struct RegressionSpec {
  std::vector<const Regression*> rows;   // empty: all
  std::optional<KernelVersion> version;  // what is expected is that of this version
};

struct RegressionRow {
  const Regression* regression = nullptr;
  Record record;
  bool broken = false;        // a connection showed the fault
  bool should_break = false;  // by version
  int64_t duration_ns = 0;
  bool played() const { return record.error.empty(); }
  bool ok() const { return played() && broken == should_break; }
};

struct RegressionResult {
  RunStatus status = RunStatus::failed;
  std::string error;  // why there are no rows
  std::string release;
  KernelIdentity kernel;
  KernelVersion expected_of;  // kernel.version, unless another one was asked for
  std::vector<RegressionRow> rows;
  int64_t duration_ns = 0;
  TimeUnit time_unit = TimeUnit::ns;
};

RegressionRow judge(const Regression& regression, const KernelVersion& version, Record record);

// Plays in processes of its own; nothing of them survives the caller.
RegressionResult play(const RegressionSpec& spec, const RunHooks& hooks);

}  // namespace lastack::verify
