#include "verify/verify.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/clock.h"
#include "base/kernel_config.h"
#include "base/parse.h"
#include "verify/performance.h"

namespace lastack::verify {
namespace {

bool asked_for(const Spec& spec, const Claim& claim) {
  if (spec.rows.empty()) return true;
  const std::string full = fmt::format("{}/{}", claim.case_id, claim.variant);
  return std::any_of(spec.rows.begin(), spec.rows.end(),
                     [&](const std::string& row) { return row == claim.case_id || row == full; });
}

std::string alternatives_text(const Sight& sight) {
  std::string text;
  for (const auto& [value, times] : sight.values)
    text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", value, times);
  return text;
}

void compare_sights(const Claim& claim, VerifiedRow& row) {
  for (const ExpectedSight& expected : claim.sights) {
    bool found = false;
    for (const Way& way : row.record.ways) {
      if (!expected.way.empty() && expected.way != way.name) continue;
      for (const Sight& sight : way.sights) {
        if (sight.what != expected.what) continue;
        found = true;
        const auto allowed = split(expected.value, '|');
        const bool all =
            std::all_of(sight.values.begin(), sight.values.end(), [&](const auto& one) {
              return std::find(allowed.begin(), allowed.end(), one.first) != allowed.end();
            });
        if (!all)
          row.differences.push_back(fmt::format("{}: {} is {}, expected {}", way.name,
                                                expected.what, alternatives_text(sight),
                                                expected.value));
      }
    }
    if (!found) row.differences.push_back(fmt::format("{} was not seen", expected.what));
  }
}

// In the order of the table.
std::vector<Performance> rows_of(const Spec& spec) {
  std::vector<Performance> rows;
  for (const Claim& claim : claims()) {
    if (!asked_for(spec, claim)) continue;
    for (const bool veth : {false, true}) {
      if (!(veth ? spec.veth : spec.loopback && claim.paths == Paths::both)) continue;
      rows.push_back(
          {std::string(claim.case_id), std::string(claim.variant), veth, "", "", false, 0});
    }
  }
  return rows;
}

const Claim& claim_of(const Performance& row) {
  return *std::ranges::find_if(claims(), [&](const Claim& claim) {
    return claim.case_id == row.case_id && claim.variant == row.variant;
  });
}

VerifyResult failed_verify(RunStatus status, std::string error) {
  VerifyResult result;
  result.status = status;
  result.error = std::move(error);
  return result;
}

}  // namespace

Status check_row_name(const std::string& given) {
  std::vector<std::string_view> known;
  for (const Case& row : cases()) {
    if (given == row.id) return std::nullopt;
    known.push_back(row.id);
  }
  for (const Claim& claim : claims())
    if (given == fmt::format("{}/{}", claim.case_id, claim.variant)) return std::nullopt;
  if (given.find('/') != std::string::npos)
    return plain_error(fmt::format("unknown row '{}'; `lastack verify` prints them all", given));
  return unknown_name("case", given, known);
}

VerifiedRow judge(const Claim& claim, const std::string& path, const Spec& spec, Record record) {
  VerifiedRow row;
  row.case_id = claim.case_id;
  row.variant = claim.variant;
  row.path = path;
  row.condition = claim.condition;
  row.expected = claim.expected;
  for (const ExpectedVerdict& one : spec.expected)
    if (one.case_id == row.case_id && one.variant == row.variant) row.expected = one.verdict;
  row.record = std::move(record);
  Outcomes sum;
  for (const Way& way : row.record.ways) {
    sum.met_with += way.outcomes.met_with;
    sum.met_without += way.outcomes.met_without;
    sum.unmet_with += way.outcomes.unmet_with;
    sum.unmet_without += way.outcomes.unmet_without;
  }
  row.observed = row.played() ? decide(sum) : Verdict::undecided;
  if (!row.played()) return row;
  if (row.observed != row.expected)
    row.differences.push_back(fmt::format("the claim {}, expected: {}",
                                          verdict_text(row.observed, row.condition),
                                          verdict_text(row.expected, row.condition)));
  for (const Way& way : row.record.ways)
    if (way.connections < spec.connections)
      row.differences.push_back(fmt::format("{}: {} connections instead of {}", way.name,
                                            way.connections, spec.connections));
  compare_sights(claim, row);
  return row;
}

VerifyResult play(const Spec& spec, const RunHooks& hooks) {
  const int64_t start_ns = now_ns();
  const std::vector<Performance> asked = rows_of(spec);
  if (asked.empty())
    return failed_verify(RunStatus::bad_usage,
                         "the rows of --case need a path that can be cut; allowed: --path veth");
  const Performed performed = perform(asked, spec.connections, hooks);
  if (performed.status != RunStatus::ok) return failed_verify(performed.status, performed.error);

  VerifyResult result;
  result.kernel = kernel_release();
  result.time_unit = read_time_unit();
  for (const Performance& one : performed.rows) {
    result.rows.push_back(
        judge(claim_of(one), one.veth ? "veth" : "loopback", spec, record_of(one)));
    result.rows.back().duration_ns = one.duration_ns;
  }
  result.status = status_of(result.rows);
  result.duration_ns = now_ns() - start_ns;
  return result;
}

}  // namespace lastack::verify
