// Text to numbers and back: counts are SI ("10k"), sizes binary ("4KiB"), durations need a unit
// ("250ms"). Every parser takes the whole text or fails with one line that says what is allowed.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace lastack {

// "1", "10k", "1.5M"; k, M and G are powers of 1000. A whole number results.
Result<int64_t> parse_count(std::string_view text);
// The number that a text of the kernel's starts with; nullopt for anything else, such as "max", and
// INT64_MAX for one that is larger.
std::optional<int64_t> leading_count(std::string_view text);
// "512", "4KiB", "1MiB" in bytes.
Result<int64_t> parse_size(std::string_view text);
// "250ms", "5s", "1.5s", "20us", "100ns", "2min"; "0" needs no unit.
Result<int64_t> parse_duration(std::string_view text);
// "5k/s" in events a second, above 0 and at most 1G/s.
Result<double> parse_rate(std::string_view text);
// "40", "0.5": a weight of zero or more.
Result<double> parse_weight(std::string_view text);
// "5%": 0.05; above 0 and at most 1000%.
Result<double> parse_share(std::string_view text);

// The exact inverses, for the effective options: parse_x(format_x(v)) == v.
std::string format_count(int64_t count);
std::string format_size(int64_t bytes);
std::string format_duration(int64_t duration_ns);
std::string format_rate(double per_second);
std::string format_weight(double weight);

// The parts of "a,b,c", empty parts included; {} for "".
std::vector<std::string_view> split(std::string_view text, char separator);

// The name nearest to `given` by edit distance, for "did you mean".
std::string_view nearest_name(std::string_view given, std::span<const std::string_view> names);
// "unknown strategy 'finn' (did you mean 'fin'?); allowed: ...".
Error unknown_name(std::string_view what, std::string_view given,
                   std::span<const std::string_view> names);

}  // namespace lastack
