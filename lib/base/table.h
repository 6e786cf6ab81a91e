// Tables for people, drawn as aligned text or as Markdown.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lastack {

using Cells = std::vector<std::string>;

// Whether a text may hold Markdown: that of the program may, and what others wrote may not.
enum class Markup : uint8_t { meant, foreign };

// Text that stays within its cell of a Markdown table, or within its line, and is no more than text
// where it is foreign.
std::string escaped(std::string_view text, Markup markup);

enum class Align : uint8_t { left, right };

// The first `left` columns stand to the left and figures to the right; the last column is of its
// own. Without a header it has no Markdown.
class Table {
 public:
  Table() = default;
  Table(Cells header, size_t left, Align last = Align::left)
      : header_(std::move(header)), left_(left), last_(last) {}
  void add(Cells cells) { rows_.push_back(std::move(cells)); }
  size_t rows() const { return rows_.size(); }

  std::string text(std::string_view indent = "") const;
  std::string markdown(Markup markup = Markup::meant) const;

 private:
  Align align(size_t column, size_t columns) const;

  Cells header_;
  size_t left_ = 0;
  Align last_ = Align::left;
  std::vector<Cells> rows_;
};

// "1,204,000".
std::string grouped(int64_t value);

}  // namespace lastack
