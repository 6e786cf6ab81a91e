#include "base/printable.h"

#include <gtest/gtest.h>

namespace lastack {
namespace {

struct Case {
  std::string_view text, harmless;
};

TEST(Printable, LeavesNothingThatActsOnATerminal) {
  const Case kCases[] = {
      {"", ""},
      {"plain, and \xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa2",
       "plain, and \xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xa2"},
      {"\x1b[31mred\x1b[0m", " [31mred [0m"},
      {"\x1b]0;title\x07", " ]0;title "},
      {"a\rb\nc\td\be\x7f", "a b c d e "},
      {std::string_view("a\0b", 3), "a b"},
      {"\xc2\x9b"
       "2J",
       " 2J"},  // CSI of the C1 controls, as UTF-8
      {"\x9b"
       "2J",
       "?2J"},  // and as a byte
      {"\xe2\x80\xae"
       "gpj.exe",
       " gpj.exe"},  // right-to-left override
      {"\xe2\x81\xa6x\xe2\x81\xa9", " x "},
      {"a\xe2\x80\xa8"
       "b",
       "a b"},             // line separator
      {"\xc0\x8a", "??"},  // a line feed in two bytes
      {"\xe0\x80\x8a", "???"},
      {"\xed\xa0\x80", "???"},       // half of a pair
      {"\xf4\x90\x80\x80", "????"},  // beyond Unicode
      {"\xf8\x88\x80\x80\x80", "?????"},
      {"cut \xe2\x82", "cut ??"},
  };
  for (const Case& one : kCases) {
    EXPECT_EQ(printable(one.text), one.harmless);
    EXPECT_EQ(printable(printable(one.text)), one.harmless);
  }
}

TEST(Printable, KeepsTheLinesOfAPage) {
  EXPECT_EQ(printable_lines("a\tb\n\x1b[2Jc\r\n"), "a\tb\n [2Jc \n");
}

}  // namespace
}  // namespace lastack
