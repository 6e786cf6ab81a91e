#include "report/verify_tap.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/printable.h"

namespace lastack {
namespace {

using verify::VerifiedRow;
using verify::VerifyResult;

// Within its line. A number sign would begin a directive; and netdev's CI looks for the directive
// after a single blank, so that no text ends in another one.
std::string tap_text(std::string_view text) {
  std::string line = printable(text);
  std::replace(line.begin(), line.end(), '#', ' ');
  const size_t last = line.find_last_not_of(' ');
  line.resize(last == std::string::npos ? 0 : last + 1);
  return line;
}

std::string comment(std::string_view text) { return fmt::format("# {}\n", tap_text(text)); }

struct Totals {
  int pass = 0, fail = 0, skip = 0, error = 0;
};

std::string tested(const VerifiedRow& row, size_t number, Totals& totals) {
  const std::string name = tap_text(fmt::format("{}/{}/{}", row.case_id, row.variant, row.path));
  const std::string test = fmt::format("ok {} {}", number, name);
  if (row.ok()) return ++totals.pass, test + "\n";
  if (row.record.died)
    return ++totals.error, fmt::format("not {} # ERROR {}\n", test, tap_text(row.record.error));
  if (!row.played())
    return ++totals.skip, fmt::format("{} # SKIP {}\n", test, tap_text(row.record.error));
  ++totals.fail;
  std::string text;
  for (const std::string& difference : row.differences)
    text += comment(fmt::format("{}: {}", name, difference));
  return fmt::format("{}not {}\n", text, test);
}

}  // namespace

std::string verify_tap(const VerifyResult& result) {
  std::string text = "TAP version 13\n";
  if (result.rows.empty()) {
    const bool lacks = result.status == RunStatus::no_resources;
    return fmt::format("{}{} {}\n", text, lacks ? "1..0 # SKIP" : "Bail out!",
                       tap_text(result.error));
  }
  text += fmt::format("1..{}\n", result.rows.size());
  text += comment(fmt::format("lastack verify, Linux {}", result.kernel));
  Totals totals;
  for (size_t i = 0; i < result.rows.size(); ++i) text += tested(result.rows[i], i + 1, totals);
  return text + fmt::format("# Totals: pass:{} fail:{} xfail:0 xpass:0 skip:{} error:{}\n",
                            totals.pass, totals.fail, totals.skip, totals.error);
}

}  // namespace lastack
