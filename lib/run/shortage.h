// What a host or its limits may lack for a run, and what to do about it: one row per errno.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "run/control.h"

namespace lastack {

struct ShortageRow {
  int error_number;
  std::string_view cure;
};
std::span<const ShortageRow> shortages();

// Whether the errno says that the host has not enough of something, or does not allow it.
bool is_shortage(int error_number);
// "OPERATION: what the errno means (NAME NUMBER); mend: CURE", the cure where there is one.
std::string with_cure(const std::string& message, int error_number);
std::string with_cure(const Error& error);

// Of a launcher that ended with it (say_shortage()).
std::string last_word(const Message& failure);

}  // namespace lastack
