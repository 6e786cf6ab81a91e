// Cases of parametrised tests that have a name: what gtest calls them, and what it says of them
// instead of their bytes.
#pragma once

#include <gtest/gtest.h>

#include <ostream>
#include <string>

namespace lastack::cases {

// gtest looks for it where the case's type is: `using cases::PrintTo;` beside that.
template <class Case>
requires requires(const Case& one, std::ostream& out) { out << one.name; }
void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

constexpr auto by_name = [](const auto& one) { return std::string(one.param.name); };

}  // namespace lastack::cases
