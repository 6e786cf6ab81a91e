#include "base/proc.h"

#include "base/parse.h"

namespace lastack {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank(" \t\n\0", 4);
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::string_view value_of(std::string_view text, std::string_view key, char separator) {
  for (const std::string_view line : split(text, '\n')) {
    const size_t at = line.find(separator);
    if (at != std::string_view::npos && trimmed(line.substr(0, at)) == key)
      return trimmed(line.substr(at + 1));
  }
  return {};
}

std::optional<int64_t> number_of(std::string_view text, std::string_view key, char separator) {
  return leading_count(value_of(text, key, separator));
}

std::optional<int64_t> bytes_of(std::string_view text, std::string_view key) {
  const std::string_view value = value_of(text, key);
  const auto kibibytes = value.ends_with(" kB") ? leading_count(value) : std::nullopt;
  return kibibytes ? std::optional(*kibibytes * 1024) : std::nullopt;
}

std::string_view word_with_prefix(std::string_view text, std::string_view prefix) {
  std::string_view found;
  for (const std::string_view word : split(text, ' '))
    if (trimmed(word).starts_with(prefix)) found = trimmed(word);
  return found;
}

std::string_view kernel_parameters(std::string_view command_line) {
  return command_line.substr(0, command_line.find(" -- "));
}

std::optional<int64_t> limit_of(std::string_view text) {
  return text.starts_with("max") ? kUnlimited : leading_count(text);
}

}  // namespace lastack
