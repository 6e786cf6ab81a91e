#include "verify/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/kernel_config.h"
#include "base/parse.h"
#include "verify/performance.h"

namespace lastack::verify {
namespace {

// The launcher speaks every second.
constexpr int64_t kSilencePatience_ns = 30 * kSecond_ns;

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
  for (size_t i = 0; i < claims().size(); ++i) {
    const Claim& claim = claims()[i];
    if (!asked_for(spec, claim)) continue;
    if (spec.loopback && claim.paths == Paths::both) rows.push_back({i, false, "", "", false, 0});
    if (spec.veth) rows.push_back({i, true, "", "", false, 0});
  }
  return rows;
}

// What the row's process said, and what the launcher has to add to it.
Record record_of(const Performance& performance) {
  auto whole = deserialize_record(performance.record);
  Record record;
  if (whole) record = std::move(*whole);
  if (!whole) record.error = whole.error().message();
  if (!whole) record.died = performance.error.empty();
  if (!performance.error.empty() && (!whole || record.error.empty()))
    record.error = performance.error;
  record.died |= performance.died;
  return record;
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

RunStatus status_of(const std::vector<VerifiedRow>& rows) {
  RunStatus status = RunStatus::ok;
  for (const VerifiedRow& row : rows) {
    if (row.record.died) return RunStatus::failed;
    if (!row.played()) status = RunStatus::no_resources;
    if (row.played() && !row.ok()) status = std::min(status, RunStatus::unmet_expectation);
  }
  return status;
}

VerifyResult play(const Spec& spec, const RunHooks& hooks) {
  const int64_t start_ns = now_ns();
  const std::vector<Performance> asked = rows_of(spec);
  if (asked.empty())
    return failed_verify(RunStatus::bad_usage,
                         "the rows of --case need a path that can be cut; allowed: --path veth");
  const nlohmann::json request = {{"connections", spec.connections}, {"rows", asked}};
  const Launched launched = launch({"verify", 0}, request.dump(), hooks, {kSilencePatience_ns, 0});
  if (launched.status != RunStatus::ok) return failed_verify(launched.status, launched.error);
  const nlohmann::json answer = nlohmann::json::parse(launched.text, nullptr, false);
  if (answer.is_discarded())
    return failed_verify(RunStatus::failed, "the launcher ended without a whole result");
  if (answer.contains("error"))
    return failed_verify(RunStatus::no_resources, answer.at("error").get<std::string>());

  VerifyResult result;
  result.kernel = kernel_release();
  for (const Performance& one : answer.at("rows").get<std::vector<Performance>>()) {
    result.rows.push_back(
        judge(claims()[one.claim], one.veth ? "veth" : "loopback", spec, record_of(one)));
    result.rows.back().duration_ns = one.duration_ns;
  }
  result.status = status_of(result.rows);
  result.duration_ns = now_ns() - start_ns;
  return result;
}

}  // namespace lastack::verify
