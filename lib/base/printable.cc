#include "base/printable.h"

#include <cstddef>

namespace lastack {
namespace {

struct Letter {
  char32_t code = 0;
  size_t bytes = 0;  // 0: no UTF-8
};

// The first letter of a text that is not empty (RFC 3629).
Letter first_letter(std::string_view text) {
  const auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1};
  const size_t bytes = first >= 0xf0 && first < 0xf5 ? 4
                       : first >= 0xe0               ? 3
                       : first >= 0xc2               ? 2
                                                     : 0;
  if (first >= 0xf5 || bytes == 0 || text.size() < bytes) return {};
  char32_t code = first & (0xffu >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3fu);
  }
  const bool overlong = (bytes == 3 && code < 0x800) || (bytes == 4 && code < 0x10000);
  const bool surrogate = code >= 0xd800 && code < 0xe000;
  return overlong || surrogate || code > 0x10ffff ? Letter{} : Letter{code, bytes};
}

bool acts_on_terminals(char32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x061c ||
         (code >= 0x200e && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
         (code >= 0x2066 && code <= 0x2069);
}

std::string harmless(std::string_view text, std::string_view kept) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const Letter letter = first_letter(text);
    const std::string_view bytes = text.substr(0, letter.bytes ? letter.bytes : 1);
    if (letter.bytes == 0)
      result += '?';
    else if (acts_on_terminals(letter.code) && kept.find(bytes) == std::string_view::npos)
      result += ' ';
    else
      result += bytes;
    text.remove_prefix(bytes.size());
  }
  return result;
}

}  // namespace

std::string printable(std::string_view text) { return harmless(text, ""); }
std::string printable_lines(std::string_view text) { return harmless(text, "\n\t"); }

}  // namespace lastack
