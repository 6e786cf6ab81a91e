// What a host or its limits may lack for a run, and what to do about it: one row per errno.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "shard/control.h"

namespace lastack {

struct ShortageRow {
  int error_number;
  std::string_view cure;
};
std::span<const ShortageRow> shortages();

// Whether the errno says that the host has not enough of something, or does not allow it.
bool is_shortage(int error_number);
bool is_shortage(const Error& error);
// Of an errno of the table; "" for others.
std::string cure_of(int error_number);
// "OPERATION: what the errno means (NAME NUMBER); mend: CURE", the cure where there is one.
std::string with_cure(const std::string& message, int error_number);
std::string with_cure(const Error& error);

// Of a launcher that ended with it (say_shortage()).
std::string last_word(const Message& failure);

// Memory that cannot be had shall end a process by words and exit code 3, not by SIGABRT. Unwinding
// needs memory, too (the destructor of JSON values allocates, and may not throw): some is held
// back, which the first failing allocation gives free before it throws std::bad_alloc; and should
// that not do, std::terminate() says it.
void prepare_for_lack_of_memory();
// One line to standard error, in words that need no memory; returns the exit code 3.
int say_lack_of_memory();

}  // namespace lastack
