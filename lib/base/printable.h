// Text that others wrote (names, file contents, option values), made harmless for a terminal.
#pragma once

#include <string>
#include <string_view>

namespace lastack {

// Whatever breaks lines, moves the cursor, starts an escape sequence or turns the direction of
// writing becomes a blank: the control characters of ASCII and of Unicode (C0, DEL, C1), U+2028,
// U+2029 and the bidirectional controls. A byte that is no UTF-8 becomes a question mark.
std::string printable(std::string_view text);
// The same for a whole page: line ends and tabs stay.
std::string printable_lines(std::string_view text);

}  // namespace lastack
