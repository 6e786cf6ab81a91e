// lastack without sockets: what its clock, its ring and a wake-up alone take. A latency of a run
// holds these, and cannot be below them.
#pragma once

#include <span>
#include <string_view>

#include "base/error.h"
#include "base/histogram.h"

namespace lastack {

// Where a row's threads run: the CPUs of a run's victims and survivors.
struct NullCpus {
  int acting = 0, measuring = 0;
};

struct NullRow {
  std::string_view name;  // without "null/"
  Result<Histogram> (*measure)(NullCpus cpus);
};
std::span<const NullRow> null_rows();

// About 2,000 events, on threads of its own: the caller stays on the CPUs it had.
Result<Histogram> measure_null_row(const NullRow& row, NullCpus cpus);

}  // namespace lastack
