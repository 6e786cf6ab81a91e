#include "compare/facts.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/printable.h"

namespace lastack::compare {
namespace {

using Json = nlohmann::json;

// What blocks can be compared by force; what separates is another quantity.
enum class FactKind { left_out, shown, blocking, separating };

struct FactRow {
  std::string_view prefix;
  FactKind kind;
};

// The first row whose prefix fits decides; what fits none is left out: the time, the load, process
// numbers and whatever else differs between any two runs.
constexpr FactRow kFacts[] = {
    // Figures of another CPU or of an unoptimised build are other figures.
    {"cpu.model", FactKind::blocking},
    {"cpu.usable_count", FactKind::blocking},
    {"cpu.quota_cpus", FactKind::blocking},
    {"build.build_type", FactKind::blocking},
    {"build.sanitizers", FactKind::blocking},
    {"lab.accelerator", FactKind::blocking},
    {"lab.time_unit", FactKind::separating},         // instructions, or time
    {"cpu.frequency_mhz", FactKind::left_out},       // of one moment
    {"memory.available_bytes", FactKind::left_out},  // likewise
    {"container.evidence", FactKind::left_out},
    {"tcp.sockets", FactKind::left_out},     // of the options, which are compared
    {"io_uring.rings", FactKind::left_out},  // likewise
    {"host", FactKind::shown},
    {"privileged", FactKind::shown},
    {"kernel.", FactKind::shown},
    {"cpu.", FactKind::shown},
    {"memory.", FactKind::shown},
    {"clock_source.", FactKind::shown},
    {"tcp.", FactKind::shown},
    {"limits.", FactKind::shown},
    {"io_uring.", FactKind::shown},
    {"build.", FactKind::shown},
    {"container.", FactKind::shown},
};

// A row behind one that fits whatever fits it would decide nothing.
consteval bool each_decides() {
  for (size_t i = 0; i < std::size(kFacts); ++i)
    for (size_t j = 0; j < i; ++j)
      if (kFacts[i].prefix.starts_with(kFacts[j].prefix)) return false;
  return true;
}
static_assert(each_decides());

FactKind fact_kind(std::string_view key) {
  for (const FactRow& row : kFacts)
    if (key.starts_with(row.prefix)) return row.kind;
  return FactKind::left_out;
}

}  // namespace

void flatten(const Json& value, const std::string& key, std::map<std::string, std::string>& facts) {
  if (value.is_object()) {
    for (const auto& [name, member] : value.items())
      flatten(member, key.empty() ? name : key + "." + name, facts);
    return;
  }
  if (value.is_null() || fact_kind(key) == FactKind::left_out) return;
  facts[printable(key)] = printable(value.is_string() ? value.get<std::string>() : value.dump());
}

std::vector<FactDifference> fact_differences(const std::vector<const Recording*>& recordings) {
  std::set<std::string> keys;
  for (const Recording* recording : recordings)
    for (const auto& [key, value] : recording->facts) keys.insert(key);
  std::vector<FactDifference> differences;
  for (const std::string& key : keys) {
    FactDifference difference{key, {}, false};
    std::set<std::string> known;
    for (const Recording* recording : recordings) {
      const auto fact = recording->facts.find(key);
      const bool is_known = fact != recording->facts.end();
      difference.values.push_back(is_known ? std::optional(fact->second) : std::nullopt);
      if (is_known) known.insert(fact->second);
    }
    const bool missing = std::find(difference.values.begin(), difference.values.end(),
                                   std::nullopt) != difference.values.end();
    if (known.size() == 1 && !missing) continue;
    // What an older lastack did not write down may be the same.
    difference.blocking = fact_kind(key) >= FactKind::blocking && known.size() > 1;
    // An older lastack was in no lab, and measured time.
    difference.separating =
        fact_kind(key) == FactKind::separating && (known.size() > 1 || !known.contains("ns"));
    differences.push_back(std::move(difference));
  }
  return differences;
}

}  // namespace lastack::compare
