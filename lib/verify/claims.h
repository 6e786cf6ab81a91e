// The claims about abnormal closes that `lastack verify` puts to the running kernel: what is
// claimed, how it is provoked, and what a Linux kernel is expected to do. Pure data.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace lastack::verify {

enum class Verdict : uint8_t {
  holds,
  holds_if,  // on the connections that meet the row's condition, and on no others
  does_not_hold,
  undecided,  // outcomes differ, and the row's condition does not decide which one comes
};
constexpr size_t kVerdictCount = 4;

struct VerdictRow {
  Verdict id;
  std::string_view flag;  // as --expect takes it
  std::string_view text;
};
const VerdictRow& verdict_row(Verdict verdict);
// "holds if <condition>", or the verdict's text.
std::string verdict_text(Verdict verdict, std::string_view condition);

struct Case {
  std::string_view id;
  std::string_view claim;
  std::string_view condition;  // under which the claim holds; "" when it always does
};
std::span<const Case> cases();
const Case& case_row(std::string_view id);

// What every connection of a way must show; `way` "" is every way, `value` may be "a|b".
struct ExpectedSight {
  std::string_view way, what, value;
};

// Where a row can be played.
enum class Paths : uint8_t { both, veth_only };

// One row of the table: a case in one variant.
struct Claim {
  std::string_view case_id, variant;
  std::string_view done;  // how it is provoked, in a phrase
  Verdict expected;
  std::string_view condition;  // for holds_if: what decides
  std::vector<ExpectedSight> sights;
  Paths paths = Paths::both;
};
std::span<const Claim> claims();

// "A3/rst-after-fin=holds": replaces a row's expected verdict.
struct ExpectedVerdict {
  std::string case_id, variant;
  Verdict verdict{};
};
Result<ExpectedVerdict> parse_expected_verdict(std::string_view text);

// How often a row's connections did as claimed, with and without its condition.
struct Outcomes {
  int64_t met_with = 0, met_without = 0, unmet_with = 0, unmet_without = 0;
  int64_t met() const { return met_with + met_without; }
  int64_t unmet() const { return unmet_with + unmet_without; }
};
Verdict decide(const Outcomes& outcomes);

}  // namespace lastack::verify
