// The grid of what every watch finds of every strategy.
#pragma once

#include <span>
#include <string>

#include "ledger/result.h"
#include "plan/spec.h"

namespace lastack {

// Every strategy with every watch, so many connections of each, without a probe.
RunSpec matrix_spec(Side survivor, bool veth, int64_t connections_each);

struct MatrixRun {
  RunSpec spec;
  RunResult result;
};

// A grid per run: a line per strategy, a column per watch. Where connections of one cell differ,
// all their findings are named, with their numbers.
std::string matrix_text(std::span<const MatrixRun> runs);
std::string matrix_markdown(std::span<const MatrixRun> runs);
// An array with an object per cell.
std::string matrix_json(std::span<const MatrixRun> runs);

}  // namespace lastack
