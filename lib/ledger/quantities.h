// The quantities of a ledger row. One row of the table is one of them, or one more figure of it:
// summary.csv, run.json, the message between processes, the record of an unfinished suite and the
// merging of repetitions all read it. To add a quantity: its field (LedgerRow, WriteSums or
// ProbeSums) with what counts it, and its row.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/histogram.h"
#include "ledger/result.h"

namespace lastack {

// Where a quantity lies in a row. Errnos, names of errnos, and numbers of writes are keys of
// connections.
using Field = std::variant<std::string*, bool*, int64_t*, std::vector<std::string>*,
                           std::array<int64_t, kFindingCount>*, std::map<int, int64_t>*,
                           std::map<std::string, int64_t>*, std::map<int64_t, int64_t>*, Histogram*,
                           Spread*, std::vector<std::pair<int64_t, int64_t>>*>;

// What a column shows of a histogram or a spread; of all else its value.
enum class Figure : uint8_t {
  value,
  count,
  min,
  p50,
  p90,
  p99,
  p999,
  max,
  mean,
  mode_1_p50,
  mode_1_share,
  mode_2_p50,
  mode_2_share
};
// Which rows a column is of; it is empty in the others.
enum class Of : uint8_t { all, writers, promises };
// How repetitions become one row. By kind: counts, histograms and maps are added; texts, flags and
// what was known before are the first one's; of spreads nothing is left, for percentiles of parts
// say nothing of the whole.
enum class Merge : uint8_t { by_kind, first, most };

struct LedgerQuantity {
  std::string_view column = {};  // of summary.csv; empty: of none
  std::string_view help = {};
  Field (*field)(LedgerRow& row);
  // In run.json's ledger: "writes.bytes.lost" is `lost` in `bytes` in `writes`. Empty: another row
  // with this field has it. With a dot at its start only processes tell it to each other.
  std::string_view place = {};
  Figure figure = Figure::value;
  Of of = Of::all;
  std::optional<int64_t> absent = {};  // the number that means that there is none
  Merge merge = Merge::by_kind;
};

// In the order of the columns.
std::span<const LedgerQuantity> ledger_quantities();
bool applies_to(const LedgerQuantity& quantity, const LedgerRow& row);
// Calls `with` with the field's value.
template <class With>
void read_field(const LedgerQuantity& quantity, const LedgerRow& row, With&& with) {
  // The table's fields are for writing, too.
  std::visit([&](const auto* value) { with(*value); }, quantity.field(const_cast<LedgerRow&>(row)));
}
// Adds a repetition of the same row.
void merge(const LedgerRow& more, LedgerRow& sum);

}  // namespace lastack
