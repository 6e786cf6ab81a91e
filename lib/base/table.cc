#include "base/table.h"

#include <fmt/format.h>

#include <algorithm>

namespace lastack {

std::string escaped(std::string_view text, Markup markup) {
  const std::string_view special = markup == Markup::foreign ? "|\\<`*" : "|\\";
  std::string result;
  for (const char letter : text) {
    if (special.find(letter) != std::string_view::npos) result += '\\';
    result += letter == '\n' || letter == '\r' ? ' ' : letter;
  }
  return result;
}

Align Table::align(size_t column, size_t columns) const {
  if (column + 1 == columns) return last_;
  return column < left_ ? Align::left : Align::right;
}

std::string Table::text(std::string_view indent) const {
  std::vector<size_t> widths;
  const auto measure = [&](const Cells& cells) {
    widths.resize(std::max(widths.size(), cells.size()));
    for (size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], cells[i].size());
  };
  measure(header_);
  for (const Cells& row : rows_) measure(row);
  std::string text;
  const auto draw = [&](const Cells& cells) {
    std::string line(indent);
    for (size_t i = 0; i < cells.size(); ++i) {
      if (i > 0) line += "  ";
      line += align(i, cells.size()) == Align::left ? fmt::format("{:<{}}", cells[i], widths[i])
                                                    : fmt::format("{:>{}}", cells[i], widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  if (!header_.empty()) draw(header_);
  for (const Cells& row : rows_) draw(row);
  return text;
}

std::string Table::markdown(Markup markup) const {
  std::string text;
  const auto draw = [&](const Cells& cells) {
    text += "|";
    for (const std::string& cell : cells) text += fmt::format(" {} |", escaped(cell, markup));
    text += "\n";
  };
  draw(header_);
  text += "|";
  for (size_t i = 0; i < header_.size(); ++i)
    text += align(i, header_.size()) == Align::left ? "---|" : "---:|";
  text += "\n";
  for (const Cells& row : rows_) draw(row);
  return text;
}

std::string grouped(int64_t value) {
  std::string digits = fmt::format("{}", value);
  for (auto at = static_cast<int64_t>(digits.size()) - 3; at > (value < 0 ? 1 : 0); at -= 3)
    digits.insert(static_cast<size_t>(at), ",");
  return digits;
}

}  // namespace lastack
