// Whatever a parser accepts must survive being printed: run.json records printed values, and a run
// is repeated from them. The first byte chooses the parser, the rest is its text.
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/parse.h"
#include "plan/spec.h"
#include "plan/values.h"

namespace lastack {
namespace {

// The text that broke the promise, for whoever reads the log, and an end that the fuzzer sees.
[[noreturn]] void fail(std::string_view parser, std::string_view text, std::string_view printed) {
  fmt::print(stderr, "{} accepts '{}', prints it as '{}' and reads that differently\n", parser,
             text, printed);
  __builtin_trap();
}

// The values are compared, not only their texts: two numbers may look the same when printed.
template <class Number>
void check_number(std::string_view parser, Result<Number> (*parse)(std::string_view),
                  std::string (*format)(Number), std::string_view text) {
  const Result<Number> number = parse(text);
  if (!number) return;
  const std::string printed = format(*number);
  const Result<Number> again = parse(printed);
  if (!again || *again != *number) fail(parser, text, printed);
}

// Both texts go to fresh specs: one parameter's text must not need another's value.
void check_parameter(const Parameter& parameter,
                     Status (*read)(RunSpec& spec, std::string_view text), std::string_view text) {
  RunSpec spec;
  if (read(spec, text)) return;
  const std::string printed = parameter.access.print(spec);
  RunSpec again;
  if (read(again, printed) || parameter.access.print(again) != printed)
    fail(parameter.flag, text, printed);
}

const Parameter& parameter_of(std::string_view flag) {
  for (const Parameter& parameter : parameters())
    if (parameter.flag == flag) return parameter;
  __builtin_trap();  // it was renamed: this file has to follow
}

Status read_mix(RunSpec& spec, std::string_view text) {
  auto mix = parse_mix(text);
  if (!mix) return mix.error();
  spec.mix = std::move(*mix);
  return std::nullopt;
}

constexpr size_t kParsers = 6;

void check(size_t choice, std::string_view text) {
  switch (choice) {
    case 0:
      return check_parameter(parameter_of("--mix"), read_mix, text);
    case 1:
      return check_parameter(parameter_of("--schedule"), parse_arrival, text);
    case 2:
      return check_number("parse_duration", parse_duration, format_duration, text);
    case 3:
      return check_number("parse_size", parse_size, format_size, text);
    case 4:
      return check_number("parse_count", parse_count, format_count, text);
    case 5:
      return check_number("parse_rate", parse_rate, format_rate, text);
    default:
      const Parameter& parameter = parameters()[choice - kParsers];
      return check_parameter(parameter, parameter.access.read, text);
  }
}

}  // namespace
}  // namespace lastack

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // Counted from '0', so that seeds are plain text: '0' to '5' are the parsers, '6' is the first
  // parameter.
  const size_t choices = lastack::kParsers + lastack::parameters().size();
  const size_t choice = static_cast<uint8_t>(data[0] - '0') % choices;
  lastack::check(choice, {reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}
