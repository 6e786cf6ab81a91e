// The texts of /proc, /sys and control groups: "key: value" lines, numbers, and "no limit".
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

namespace lastack {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

// Without the blanks, line ends and zero bytes around it.
std::string_view trimmed(std::string_view text);

// The value of "key<blanks>:<blanks>value" (/proc/cpuinfo, meminfo, status), of the first such
// line; "" without one.
std::string_view value_of(std::string_view text, std::string_view key, char separator = ':');
// The number that such a value starts with.
std::optional<int64_t> number_of(std::string_view text, std::string_view key, char separator = ':');

// The same of "12 kB", in bytes (meminfo, status, smaps_rollup); nullopt with another unit.
std::optional<int64_t> bytes_of(std::string_view text, std::string_view key);

// Of "word word=value ..." the last one with this prefix, since the last of several equal boot
// parameters wins; "" without one.
std::string_view word_with_prefix(std::string_view text, std::string_view prefix);
// Of /proc/cmdline, without what follows " -- ": that goes to init, not to the kernel
// (kernel-parameters.rst), and is none of a reader's business.
std::string_view kernel_parameters(std::string_view command_line);

// A limit as the kernel writes it: a number, or "max" for none (cgroup v2).
std::optional<int64_t> limit_of(std::string_view text);

}  // namespace lastack
