#include "base/parse.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/clock.h"

namespace lastack {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};

constexpr Unit kCountUnits[] = {{"", 1}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}};
constexpr Unit kSizeUnits[] = {{"", 1}, {"B", 1}, {"KiB", 1024}, {"MiB", 1024 * 1024}};
constexpr Unit kDurationUnits[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"min", 60e9}};
constexpr double kLargestNumber = 1e15;  // a double counts every whole number up to 9e15

// The number and the rest of `text`; nullopt unless it starts with a plain decimal number.
std::optional<std::pair<double, std::string_view>> leading_number(std::string_view text) {
  double value = 0;
  const auto [end, status] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  const bool starts_with_digit = !text.empty() && text[0] >= '0' && text[0] <= '9';
  if (status != std::errc() || !starts_with_digit || end[-1] == '.') return std::nullopt;
  return std::pair{value, text.substr(static_cast<size_t>(end - text.data()))};
}

Result<double> parse_with_units(std::string_view text, std::span<const Unit> units,
                                std::string_view allowed) {
  const Error bad = plain_error(fmt::format("'{}' is not {}", text, allowed));
  const auto number = leading_number(text);
  if (!number) return bad;
  for (const Unit& unit : units) {
    if (number->second != unit.name) continue;
    const double value = number->first * unit.factor;
    if (value > kLargestNumber) return plain_error(fmt::format("'{}' is too large", text));
    return value;
  }
  return bad;
}

Result<int64_t> whole(std::string_view text, Result<double> value) {
  if (!value) return value.error();
  const double rounded = std::round(*value);
  // "0.1k" is not exactly 100 in binary: allow for that much rounding and no more.
  if (std::abs(*value - rounded) > std::max(1e-6, 1e-15 * rounded))
    return plain_error(fmt::format("'{}' is not a whole number", text));
  return static_cast<int64_t>(rounded);
}

// The value in the largest unit that leaves a whole number.
std::string format_exact(int64_t value, std::span<const Unit> units) {
  const Unit* best = &units[0];
  for (const Unit& unit : units) {
    const auto factor = static_cast<int64_t>(unit.factor);
    if (value != 0 && value % factor == 0 && unit.factor > best->factor) best = &unit;
  }
  return fmt::format("{}{}", value / static_cast<int64_t>(best->factor), best->name);
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({substituted, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

Result<int64_t> parse_count(std::string_view text) {
  return whole(text, parse_with_units(text, kCountUnits, "a count such as 500, 10k or 1M"));
}

Result<int64_t> parse_size(std::string_view text) {
  return whole(text, parse_with_units(text, kSizeUnits, "a size such as 512, 4KiB or 1MiB"));
}

Result<int64_t> parse_duration(std::string_view text) {
  if (text == "0") return int64_t{0};
  return whole(text, parse_with_units(text, kDurationUnits,
                                      "a duration with a unit (ns, us, ms, s, min), "
                                      "such as 250ms or 5s"));
}

Result<double> parse_rate(std::string_view text) {
  const Error bad =
      plain_error(fmt::format("'{}' is not a rate above zero, such as 500/s or 5k/s", text));
  if (!text.ends_with("/s")) return bad;
  const Result<double> rate =
      parse_with_units(text.substr(0, text.size() - 2), kCountUnits, "a number");
  if (!rate || *rate <= 0 || *rate > 1e9) return bad;
  return *rate;
}

Result<double> parse_weight(std::string_view text) {
  const auto number = leading_number(text);
  if (!number || !number->second.empty() || number->first > 1e9)
    return plain_error(
        fmt::format("'{}' is not a weight; allowed: a number from 0 to 1000000000", text));
  return number->first;
}

Result<double> parse_share(std::string_view text) {
  const auto number = leading_number(text);
  if (!number || number->second != "%" || number->first <= 0 || number->first > 1000)
    return plain_error(
        fmt::format("'{}' is not a percentage above zero, at most 1000%, such as 5%", text));
  return number->first / 100;
}

std::string format_count(int64_t count) { return format_exact(count, kCountUnits); }
std::string format_size(int64_t bytes) { return format_exact(bytes, kSizeUnits); }
std::string format_duration(int64_t duration_ns) {
  return duration_ns == 0 ? "0" : format_exact(duration_ns, kDurationUnits);
}

std::string format_weight(double weight) {
  // The shortest decimal that reads back as the same double, never with an exponent.
  std::string digits(std::numeric_limits<double>::max_digits10 + 330, '\0');
  const auto [end, status] =
      std::to_chars(digits.data(), digits.data() + digits.size(), weight, std::chars_format::fixed);
  digits.resize(static_cast<size_t>(end - digits.data()));
  return digits;
}

std::string format_rate(double per_second) {
  if (per_second == std::floor(per_second))
    return format_count(static_cast<int64_t>(per_second)) + "/s";
  return format_weight(per_second) + "/s";
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
    if (text.empty()) parts.push_back(text);  // "a," has an empty last part
  }
  return parts;
}

std::string_view nearest_name(std::string_view given, std::span<const std::string_view> names) {
  // Only short inputs can be a slip of the keyboard, and the cost is quadratic.
  if (names.empty() || given.size() > 64) return "";
  return *std::min_element(names.begin(), names.end(), [&](auto a, auto b) {
    return edit_distance(given, a) < edit_distance(given, b);
  });
}

Error unknown_name(std::string_view what, std::string_view given,
                   std::span<const std::string_view> names) {
  const std::string_view nearest = nearest_name(given, names);
  const std::string hint = nearest.empty() ? "" : fmt::format(" (did you mean '{}'?)", nearest);
  return plain_error(
      fmt::format("unknown {} '{}'{}; allowed: {}", what, given, hint, fmt::join(names, ", ")));
}

std::optional<int64_t> leading_count(std::string_view text) {
  int64_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed == std::errc::result_out_of_range) return INT64_MAX;
  return failed == std::errc() ? std::optional(value) : std::nullopt;
}

}  // namespace lastack
