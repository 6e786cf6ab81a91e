// What really broke in the endings of connections between Linux 6.1 and 6.18: each with the change
// that mended it, the versions that have that change, and how it looks where it is missing. Pure
// data. `lastack suite regressions` plays them: where a kernel should fail, failing is as expected.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/kernel_version.h"

namespace lastack::verify {

// Of the scenes of regressions; their variant is the regression's name.
constexpr std::string_view kRegressionCase = "regression";

struct Regression {
  std::string_view name;
  std::string_view broke;   // what an application sees where it is broken
  std::string_view title;   // of the upstream commit that mended it
  std::string_view commit;  // its id there, as far as it takes to find it
  Arrivals fixed;
  // Where the fault came from; "" and none: it is older than Linux 6.1.
  std::string_view cause = {};
  Arrivals introduced = {};
  // Why nobody has seen the row fail on a kernel without the change; "" where it was seen.
  std::string_view not_shown_red = {};
};
std::span<const Regression> regressions();
Result<const Regression*> find_regression(std::string_view name);

// Whether a kernel of that version should fail.
bool should_fail(const Regression& regression, const KernelVersion& version);
// "6.17.0 and later, until 6.18.20, 6.19.10, 7.0.0 and later".
std::string fixed_text(const Regression& regression);

}  // namespace lastack::verify
