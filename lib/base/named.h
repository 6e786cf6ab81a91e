// Rows that are looked up by their names, as command lines and files give them.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/parse.h"

namespace lastack {

// The names of a table's rows, for messages and look-ups.
template <class Row>
std::vector<std::string_view> names_of(std::span<const Row> rows) {
  std::vector<std::string_view> names;
  for (const Row& row : rows) names.push_back(row.name);
  return names;
}

template <class Row>
Result<size_t> find_row(std::string_view what, std::span<const Row> rows, std::string_view name) {
  for (size_t i = 0; i < rows.size(); ++i)
    if (rows[i].name == name) return i;
  return unknown_name(what, name, names_of(rows));
}

// Stores the id of the row that `text` names.
template <class Row, class Id>
Status read_row(std::string_view what, std::span<const Row> rows, std::string_view text, Id& id) {
  const auto index = find_row(what, rows, text);
  if (!index) return index.error();
  id = rows[*index].id;
  return std::nullopt;
}

// Stores the ids that a comma-separated list names, each once.
template <class Row, class Id>
Status read_rows(std::string_view what, std::span<const Row> rows, std::string_view text,
                 std::vector<Id>& ids) {
  std::vector<Id> read;
  for (const std::string_view name : split(text, ',')) {
    Id id{};
    if (Status bad = read_row(what, rows, name, id)) return bad;
    if (std::find(read.begin(), read.end(), id) != read.end())
      return plain_error(fmt::format("{} '{}' is named twice", what, name));
    read.push_back(id);
  }
  if (read.empty())
    return plain_error(
        fmt::format("no {} given; allowed: {}", what, fmt::join(names_of(rows), ", ")));
  ids = std::move(read);
  return std::nullopt;
}

template <class Row, class Id>
std::string print_rows(std::span<const Row> rows, const std::vector<Id>& ids) {
  std::vector<std::string_view> names;
  for (const Id id : ids) names.push_back(rows[static_cast<size_t>(id)].name);
  return fmt::format("{}", fmt::join(names, ","));
}

// Names of values that need no table of their own.
template <class Id>
struct Named {
  Id id;
  std::string_view name;
};

}  // namespace lastack
