// Aligned columns for people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lastack {

// A table of strings, aligned: the first `left` columns and the last to the left, figures to the
// right.
class TextTable {
 public:
  TextTable(std::vector<std::string> header, size_t left) : left_(left) { add(std::move(header)); }
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string render(std::string_view indent = "") const;

 private:
  size_t left_;
  std::vector<std::vector<std::string>> rows_;
};

// "1,204,000".
std::string grouped(int64_t value);

}  // namespace lastack
