// What tables promise, checked by the compiler: static_assert(in_order(kRows, &Row::id)).
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

namespace lastack {

// Each row stands at the index that is its id.
template <class Row, size_t N, class Id>
consteval bool in_order(const Row (&rows)[N], Id id) {
  for (size_t i = 0; i < N; ++i)
    if (static_cast<size_t>(std::invoke(id, rows[i])) != i) return false;
  return true;
}

// No two rows have the same key.
template <class Row, size_t N, class Key = std::identity>
consteval bool unique(const Row (&rows)[N], Key key = {}) {
  for (size_t i = 0; i < N; ++i)
    for (size_t j = 0; j < i; ++j)
      if (std::invoke(key, rows[i]) == std::invoke(key, rows[j])) return false;
  return true;
}

// Each row has a name of its own.
template <class Row, size_t N, class Name>
consteval bool named(const Row (&rows)[N], Name name) {
  for (const Row& row : rows)
    if (std::string_view(std::invoke(name, row)).empty()) return false;
  return unique(rows, name);
}

// Both, of a table that is looked up by its ids.
template <class Row, size_t N>
consteval bool indexed(const Row (&rows)[N]) {
  return in_order(rows, &Row::id) && named(rows, &Row::name);
}

}  // namespace lastack
