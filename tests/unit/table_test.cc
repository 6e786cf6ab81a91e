#include "base/table.h"

#include <gtest/gtest.h>

namespace lastack {
namespace {

TEST(TableText, FiguresStandToTheRightAndNamesAndTheLastColumnToTheLeft) {
  Table table({"name", "n", "remark"}, 1);
  table.add({"a", "1", ""});
  table.add({"longer", "1,000", "none"});
  EXPECT_EQ(table.text(),
            "name        n  remark\n"
            "a           1\n"
            "longer  1,000  none\n");
}

TEST(TableText, AnIndentStandsBeforeEachLine) {
  Table table({"a", "b"}, 2);
  table.add({"cc", "d"});
  EXPECT_EQ(table.text("  "), "  a   b\n  cc  d\n");
}

TEST(TableText, TheLastColumnMayHoldFigures) {
  Table table({"name", "n"}, 1, Align::right);
  table.add({"a", "1,000"});
  table.add({"b", ""});
  EXPECT_EQ(table.text(), "name      n\na     1,000\nb\n");
}

TEST(TableText, WithoutAHeaderIsItsRows) {
  Table table({}, 1);
  EXPECT_EQ(table.text(), "");
  table.add({"a", "b"});
  table.add({"cc", "d"});
  EXPECT_EQ(table.text(), "a   b\ncc  d\n");
  EXPECT_EQ(table.rows(), 2u);
}

TEST(TableMarkdown, SaysWhereColumnsStand) {
  Table table({"name", "n", "remark"}, 1);
  table.add({"a", "1", ""});
  EXPECT_EQ(table.markdown(), "| name | n | remark |\n|---|---:|---|\n| a | 1 |  |\n");
  EXPECT_EQ(Table({"name", "n"}, 1, Align::right).markdown(), "| name | n |\n|---|---:|\n");
}

TEST(TableMarkdown, NoCellBreaksOut) {
  Table table({"a|b"}, 1);
  table.add({"x\\|y\nz\r"});
  table.add({"`code` <b> *c*"});
  EXPECT_EQ(table.markdown(), "| a\\|b |\n|---|\n| x\\\\\\|y z  |\n| `code` <b> *c* |\n");
  EXPECT_EQ(table.markdown(Markup::foreign),
            "| a\\|b |\n|---|\n| x\\\\\\|y z  |\n| \\`code\\` \\<b> \\*c\\* |\n");
}

TEST(Grouped, HasACommaBeforeEachThousand) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1'204'000), "1,204,000");
  EXPECT_EQ(grouped(-100), "-100");
  EXPECT_EQ(grouped(-1'000), "-1,000");
}

}  // namespace
}  // namespace lastack
