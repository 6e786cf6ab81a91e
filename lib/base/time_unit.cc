#include "base/time_unit.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "base/file.h"
#include "base/proc.h"
#include "base/table.h"

namespace lastack {
namespace {

constexpr std::string_view kParameter = "lastack.clock=";
constexpr std::string_view kHidden[] = {"caches", "real interrupts", "parallelism"};

}  // namespace

std::string_view time_unit_name(TimeUnit unit) {
  return unit == TimeUnit::virtual_ns ? "virtual_ns" : "ns";
}

TimeUnit time_unit_named(std::string_view name) {
  return name == time_unit_name(TimeUnit::virtual_ns) ? TimeUnit::virtual_ns : TimeUnit::ns;
}

TimeUnit time_unit_in(std::string_view kernel_parameters) {
  const std::string_view word = word_with_prefix(kernel_parameters, kParameter);
  return time_unit_named(word.empty() ? word : word.substr(kParameter.size()));
}

TimeUnit read_time_unit() { return time_unit_in(kernel_parameters(read_text("/proc/cmdline"))); }

std::string format_rounded_duration(double duration_ns, TimeUnit unit) {
  if (unit == TimeUnit::virtual_ns) return grouped(std::llround(duration_ns)) + "vns";
  struct Scale {
    std::string_view name;
    double factor;
  };
  for (const Scale& scale : {Scale{"s", 1e9}, Scale{"ms", 1e6}, Scale{"us", 1e3}}) {
    const double value = duration_ns / scale.factor;
    if (value < 0.9995) continue;
    const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    return fmt::format("{:.{}f}{}", value, decimals, scale.name);
  }
  return fmt::format("{:.0f}ns", duration_ns);
}

std::string format_seconds(int64_t duration_ns, TimeUnit unit) {
  return fmt::format("{:.1f} {}", static_cast<double>(duration_ns) / 1e9, unit_text("s", unit));
}

std::string unit_text(std::string_view unit, TimeUnit time) {
  std::string text(unit);
  if (time == TimeUnit::ns) return text;
  if (unit == "s" || unit == "second") return "virtual " + text;
  if (unit.ends_with("/s")) text.insert(text.size() - 1, "virtual ");
  if (unit == "ns" || unit.starts_with("ns/"))
    text.replace(0, 2, time_unit_name(TimeUnit::virtual_ns));
  return text;
}

std::span<const std::string_view> hidden_in(TimeUnit unit) {
  return unit == TimeUnit::virtual_ns ? kHidden : std::span<const std::string_view>();
}

std::string time_unit_note(TimeUnit unit) {
  if (unit == TimeUnit::ns) return "";
  return fmt::format(
      "times are {} (vns), not time: an instruction of the guest counts one, and waiting for a "
      "timer as much as the timer is set to; they do not show {}",
      time_unit_name(unit), fmt::join(hidden_in(unit), ", "));
}

}  // namespace lastack
