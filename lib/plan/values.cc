#include "plan/values.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/named.h"
#include "base/parse.h"

namespace lastack {
namespace {

constexpr double kSlowestWrites = 1.0 / 3600;

struct Pace {
  bool poisson;
  double per_second;
};

// "rate=5k/s" or "poisson=5k/s"; `refusal` says what anything else is not, and what is allowed.
Result<Pace> read_pace(std::string_view text, std::string_view refusal) {
  const bool poisson = text.starts_with("poisson=");
  if (!poisson && !text.starts_with("rate="))
    return plain_error(fmt::format("'{}' {}", text, refusal));
  const auto rate = parse_rate(text.substr(text.find('=') + 1));
  if (!rate) return rate.error();
  return Pace{poisson, *rate};
}

constexpr std::string_view kSigpipe = "sigpipe", kNoSigpipe = "no-sigpipe";

// WRITE-PATH=sigpipe or WRITE-PATH=no-sigpipe.
Status read_expect_sigpipe(std::string_view part, std::vector<SigpipeOverride>& overrides) {
  const size_t equals = part.find('=');
  SigpipeOverride entry{WritePath::none, part.substr(equals + 1) == kSigpipe};
  if (Status bad = read_row("write path", write_paths(), part.substr(0, equals), entry.path))
    return bad;
  for (const SigpipeOverride& earlier : overrides)
    if (earlier.path == entry.path)
      return plain_error(
          fmt::format("write path '{}' is named twice", write_path_row(entry.path).name));
  overrides.push_back(entry);
  return std::nullopt;
}

}  // namespace

Result<std::vector<Weight>> parse_mix(std::string_view text) {
  std::vector<Weight> mix;
  double sum = 0;
  for (const std::string_view part : split(text, ',')) {
    const size_t equals = part.find('=');
    const std::string_view name = part.substr(0, equals);
    double weight = 1;
    if (equals != std::string_view::npos) {
      const auto number = parse_weight(part.substr(equals + 1));
      if (!number) return number.error();
      weight = *number;
    }
    const size_t before = mix.size();
    if (name == "all") {
      for (const size_t strategy : close_strategies()) mix.push_back({strategy, weight});
    } else {
      const auto strategy = find_row("strategy", strategies(), name);
      if (!strategy) return strategy.error();
      mix.push_back({*strategy, weight});
    }
    for (size_t i = before; i < mix.size(); ++i) {
      sum += mix[i].weight;
      for (size_t j = 0; j < before; ++j)
        if (mix[j].strategy == mix[i].strategy)
          return plain_error(
              fmt::format("strategy '{}' is named twice", strategies()[mix[i].strategy].name));
    }
  }
  if (sum <= 0)
    return plain_error(fmt::format(
        "the mix '{}' sums to nothing; allowed: NAME=WEIGHT,... with a weight above 0", text));
  std::erase_if(mix, [](const Weight& weight) { return weight.weight == 0; });
  return mix;
}

Status read_mix(RunSpec& spec, std::string_view text) {
  auto mix = parse_mix(text);
  if (!mix) return mix.error();
  spec.mix = std::move(*mix);
  return std::nullopt;
}

std::string print_mix(const RunSpec& spec) {
  std::vector<std::string> parts;
  for (const Weight& weight : effective_mix(spec))
    parts.push_back(
        fmt::format("{}={}", strategies()[weight.strategy].name, format_weight(weight.weight)));
  return fmt::format("{}", fmt::join(parts, ","));
}

Status parse_arrival(RunSpec& spec, std::string_view text) {
  if (text == "storm") {
    spec.arrival = Arrival::storm;
    spec.arrivals_per_second = 0;
    return std::nullopt;
  }
  const auto pace =
      read_pace(text, "is not a schedule; allowed: storm, rate=RATE, poisson=RATE (rate=5k/s)");
  if (!pace) return pace.error();
  spec.arrival = pace->poisson ? Arrival::poisson : Arrival::constant;
  spec.arrivals_per_second = pace->per_second;
  return std::nullopt;
}

std::string print_arrival(const RunSpec& spec) {
  switch (spec.arrival) {
    case Arrival::storm:
      return "storm";
    case Arrival::constant:
      return "rate=" + format_rate(spec.arrivals_per_second);
    case Arrival::poisson:
      return "poisson=" + format_rate(spec.arrivals_per_second);
  }
  return "";
}

Status read_traffic(std::string_view text, Traffic& traffic) {
  for (const Load load : {Load::idle, Load::bulk}) {
    if (text != load_row(load).name) continue;
    traffic = {load, 0};
    return std::nullopt;
  }
  if (!text.starts_with("echo="))
    return plain_error(
        fmt::format("'{}' is not a load; allowed: idle, bulk, echo=RATE (echo=5k/s)", text));
  const auto rate = parse_rate(text.substr(5));
  if (!rate) return rate.error();
  traffic = {Load::echo, *rate};
  return std::nullopt;
}

std::string print_traffic(const Traffic& traffic) {
  if (traffic.load != Load::echo) return std::string(load_row(traffic.load).name);
  return "echo=" + format_rate(traffic.round_trips_per_second);
}

Status read_write_rate(RunSpec& spec, std::string_view text) {
  if (text == "max") {
    spec.writing.poisson_writes = false;
    spec.writing.writes_per_second = 0;
    return std::nullopt;
  }
  const auto pace =
      read_pace(text, "is not a write rate; allowed: rate=RATE, poisson=RATE (rate=10/s), max");
  if (!pace) return pace.error();
  if (pace->per_second < kSlowestWrites)
    return plain_error(fmt::format("'{}' is less than one write an hour", text));
  spec.writing.poisson_writes = pace->poisson;
  spec.writing.writes_per_second = pace->per_second;
  return std::nullopt;
}

std::string print_write_rate(const RunSpec& spec) {
  if (spec.writing.writes_per_second == 0) return "max";
  return (spec.writing.poisson_writes ? "poisson=" : "rate=") +
         format_rate(spec.writing.writes_per_second);
}

Status read_write_paths(RunSpec& spec, std::string_view text) {
  if (text != "all") return read_rows("write path", write_paths(), text, spec.write_paths);
  spec.write_paths.clear();
  for (const WritePathRow& row : write_paths()) spec.write_paths.push_back(row.id);
  return std::nullopt;
}

std::string print_write_paths(const RunSpec& spec) {
  std::vector<std::string_view> names;
  for (const WritePath path : spec.write_paths) names.push_back(write_path_row(path).name);
  return fmt::format("{}", fmt::join(names, ","));
}

Status read_expect(RunSpec& spec, std::string_view text) {
  std::vector<ExpectationOverride> overrides;
  std::vector<SigpipeOverride> signals;
  for (const std::string_view part : split(text, ',')) {
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos)
      return plain_error(fmt::format(
          "'{}' is not STRATEGY=FINDING or WRITE-PATH=sigpipe|no-sigpipe, such as fin=eof", part));
    const std::string_view wanted = part.substr(equals + 1);
    if (wanted == kSigpipe || wanted == kNoSigpipe) {
      if (Status bad = read_expect_sigpipe(part, signals)) return bad;
      continue;
    }
    const auto strategy = find_row("strategy", strategies(), part.substr(0, equals));
    if (!strategy) return strategy.error();
    const auto finding = find_row("finding", std::span<const FindingRow>(kFindings), wanted);
    if (!finding) return finding.error();
    for (const ExpectationOverride& earlier : overrides)
      if (earlier.strategy == *strategy)
        return plain_error(
            fmt::format("strategy '{}' is named twice", strategies()[*strategy].name));
    overrides.push_back({*strategy, static_cast<Finding>(*finding)});
  }
  spec.expect = std::move(overrides);
  spec.expect_sigpipe = std::move(signals);
  return std::nullopt;
}

std::string print_expect(const RunSpec& spec) {
  std::vector<std::string> parts;
  for (const ExpectationOverride& entry : spec.expect)
    parts.push_back(
        fmt::format("{}={}", strategies()[entry.strategy].name, finding_row(entry.finding).name));
  for (const SigpipeOverride& entry : spec.expect_sigpipe)
    parts.push_back(fmt::format("{}={}", write_path_row(entry.path).name,
                                entry.raises ? kSigpipe : kNoSigpipe));
  return fmt::format("{}", fmt::join(parts, ","));
}

}  // namespace lastack
