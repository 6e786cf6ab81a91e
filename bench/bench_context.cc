#include "bench_context.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/printable.h"
#include "plan/values.h"
#include "report/environment.h"
#include "run/runner.h"

namespace lastack {
namespace {

using Json = nlohmann::ordered_json;

// Google Benchmark escapes quotes, backslashes and line ends in its JSON, and no other control
// character: they become blanks.
std::string text_of(const Json& value) {
  if (value.is_null()) return "unknown";
  return printable(value.is_string() ? value.get<std::string>() : value.dump());
}

// The names without the kernel's sentences: "mitigated spectre_v1, spectre_v2; vulnerable mds".
std::string mitigations_text(const Json& states) {
  if (!states.is_object() || states.empty()) return "unknown";
  struct Group {
    std::string_view name, prefix;  // of the kernel's text
  };
  constexpr Group kGroups[] = {
      {"mitigated", "Mitigation"}, {"vulnerable", "Vulnerable"}, {"unknown", "Unknown"}};
  std::vector<std::string> parts;
  for (const Group& group : kGroups) {
    std::vector<std::string> names;
    for (const auto& [name, state] : states.items())
      if (state.is_string() && state.get<std::string>().starts_with(group.prefix))
        names.push_back(name);
    if (!names.empty()) parts.push_back(fmt::format("{} {}", group.name, fmt::join(names, ", ")));
  }
  return parts.empty() ? "none needed" : printable(fmt::format("{}", fmt::join(parts, "; ")));
}

struct Fact {
  const char* key;
  const char* path;  // in the manifest
  std::string (*text)(const Json&);
};

constexpr Fact kFacts[] = {
    {"kernel", "/kernel/release", text_of},
    {"cpu", "/cpu/model", text_of},
    {"hz", "/kernel/hz", text_of},
    {"mitigations", "/kernel/mitigations", mitigations_text},
    {"clock_source", "/clock_source/current", text_of},
    {"congestion_control", "/tcp/congestion_control", text_of},
    {"build_type", "/build/build_type", text_of},
    {"sanitizers", "/build/sanitizers", text_of},
};

// What only a run can tell: the sysctls of a private namespace, the congestion control of its
// sockets. Its processes and CPUs are not those of the rows.
RunResult smallest_run() {
  RunSpec spec;
  spec.connections = 1;
  spec.mix = *parse_mix("rst-linger");
  RunResult result = run(spec, {});
  result.workers.clear();
  return result;
}

}  // namespace

BenchContext describe_bench_context() {
  const Json environment = describe_environment(smallest_run());
  BenchContext context;
  for (const Fact& fact : kFacts) {
    const Json::json_pointer path(fact.path);
    context.facts.emplace_back(
        fact.key, fact.text(environment.contains(path) ? environment.at(path) : Json()));
  }
  context.facts.emplace_back("lastack", printable(build_version()));
  context.environment = environment.dump(-1, ' ', true);
  return context;
}

}  // namespace lastack
