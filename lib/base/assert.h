// Invariants of lastack's own: indices, states, sums. Asserted in every build. What a host or a
// user may do wrong is an Error, never an assertion.
#pragma once

#include <cstdint>
#include <span>

namespace lastack {

// One line to standard error, and SIGABRT: whoever waits for the process says that it is a fault of
// lastack's (death_text()).
[[noreturn]] void fail_assertion(const char* place, const char* condition, const char* names,
                                 std::span<const int64_t> values);

template <class... Values>
[[noreturn]] void fail_assertion_of(const char* place, const char* condition, const char* names,
                                    Values... values) {
  const int64_t list[] = {static_cast<int64_t>(values)...};
  fail_assertion(place, condition, names, list);
}

}  // namespace lastack

#define LASTACK_TEXT_OF(number) #number
#define LASTACK_PLACE(file, line) file ":" LASTACK_TEXT_OF(line)
// LASTACK_ASSERT(row < rows.size(), row, rows.size()): the values are in the message.
#define LASTACK_ASSERT(condition, ...)                                                       \
  ((condition) ? void()                                                                      \
               : ::lastack::fail_assertion_of(LASTACK_PLACE(__FILE__, __LINE__), #condition, \
                                              #__VA_ARGS__, __VA_ARGS__))
