#include "verify/regression_suite.h"

#include "base/clock.h"
#include "verify/performance.h"

namespace lastack::verify {

RegressionRow judge(const Regression& regression, const KernelVersion& version, Record record) {
  RegressionRow row;
  row.regression = &regression;
  row.should_break = should_fail(regression, version);
  row.record = std::move(record);
  for (const Way& way : row.record.ways) row.broken |= way.outcomes.unmet() > 0;
  return row;
}

RegressionResult play(const RegressionSpec& spec, const RunHooks& hooks) {
  const int64_t start_ns = now_ns();
  RegressionResult result;
  const KernelNames names = read_kernel_names();
  result.release = names.release;
  result.kernel = identify(names);
  result.time_unit = read_time_unit();
  result.expected_of = spec.version.value_or(result.kernel.version);
  std::vector<const Regression*> asked = spec.rows;
  if (asked.empty())
    for (const Regression& one : regressions()) asked.push_back(&one);
  std::vector<Performance> rows;
  for (const Regression* one : asked)
    rows.push_back({std::string(kRegressionCase), std::string(one->name), false, "", "", false, 0});
  const Performed performed = perform(rows, kRegressionConnections, hooks);
  result.status = performed.status;
  result.error = performed.error;
  if (performed.status != RunStatus::ok) return result;
  for (size_t i = 0; i < performed.rows.size(); ++i) {
    const Performance& one = performed.rows[i];
    result.rows.push_back(judge(*asked[i], result.expected_of, record_of(one)));
    result.rows.back().duration_ns = one.duration_ns;
  }
  result.status = status_of(result.rows);
  result.duration_ns = now_ns() - start_ns;
  return result;
}

}  // namespace lastack::verify
