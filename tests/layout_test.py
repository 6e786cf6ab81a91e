#!/usr/bin/env python3
"""check_layout.py finds what it is for: each rule is broken once in a small house of its own."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOUSE = {
    ".clang-format": "BasedOnStyle: Google\nColumnLimit: 100\n",
    "lib/base/error.h": "#pragma once\nstruct Error {};\nint code_of(const Error& error);\n",
    "lib/base/error.cc": '#include "base/error.h"\nint code_of(const Error&) { return 0; }\n',
    "lib/ring/ring.h": '#pragma once\n#include "base/error.h"\nint turn();\n',
    "lib/ring/ring.cc": '#include "ring/ring.h"\nint turn() { return code_of({}); }\n',
    "bench/main.cc": '#include "ring/ring.h"\nint main() { return turn(); }\n',
    "README.md": "# A house\n",
}
LONG = "int turn() {\n" + "  code_of({});\n" * 71 + "  return 0;\n}\n"


class Layout(unittest.TestCase):
    def check(self, changes):
        """What is said of the house with these files; None: without one."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {**HOUSE, **changes}.items():
                if text is None:
                    continue
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            done = subprocess.run([sys.executable, "-B", ROOT / "scripts/check_layout.py", folder],
                                  capture_output=True, text=True, check=False)
        self.assertEqual("", done.stderr)
        self.assertEqual(1 if changes else 0, done.returncode, done.stdout)
        return done.stdout

    def test_a_tidy_house(self):
        self.assertIn("no violation", self.check({}))

    def test_an_include_of_a_higher_floor(self):
        said = self.check({"lib/base/error.cc": '#include "base/error.h"\n#include "ring/ring.h"\n'
                                                "int code_of(const Error&) { return turn(); }\n"})
        self.assertIn("lib/base/error.cc:2: base (floor 0) may not include ring/ring.h", said)

    def test_a_folder_without_a_floor(self):
        said = self.check({"lib/attic/box.h": "#pragma once\n"})
        self.assertIn("lib/attic/box.h:1: it lies in no folder that has a floor", said)

    def test_a_second_door_to_io_uring(self):
        said = self.check({"lib/base/error.h": "#pragma once\n#include <liburing.h>\n"
                                               "struct Error {};\nint code_of(const Error& error);"
                                               "\n"})
        self.assertIn("only lib/ring/ring.h includes liburing.h", said)

    def test_prints_and_exits(self):
        said = self.check({"lib/ring/ring.cc": '#include "ring/ring.h"\nint turn() {\n'
                                               '  puts("a print");\n  exit(code_of({}));\n}\n'})
        self.assertIn("ring.cc:3: lib/ neither prints nor exits: puts", said)
        self.assertIn("ring.cc:4: lib/ neither prints nor exits: exit", said)

    def test_a_print_in_a_comment_is_none(self):
        said = self.check({"lib/ring/ring.cc": '#include "ring/ring.h"\n// puts("a");\n'
                                               "int turn() { return code_of({}); }\nint  wide;\n"})
        self.assertNotIn("puts", said)

    def test_a_dead_header(self):
        said = self.check({"lib/base/dust.h": "#pragma once\n"})
        self.assertIn("lib/base/dust.h:1: dead: nothing but its own .cc includes it", said)

    def test_a_lonely_source(self):
        said = self.check({"lib/base/alone.cc": "int alone;\n"})
        self.assertIn("lib/base/alone.cc:1: a .cc has a header of the same name", said)

    def test_a_long_function(self):
        said = self.check({"lib/ring/ring.cc": '#include "ring/ring.h"\n' + LONG})
        self.assertIn("lib/ring/ring.cc:2: turn has 74 lines; allowed: 70", said)

    def test_a_long_method(self):
        body = LONG.replace("int turn", "  int turn_of_a_class").replace("\n  ", "\n    ")
        said = self.check({"lib/ring/ring.cc": '#include "ring/ring.h"\nclass Wheel {\n' + body +
                                               "};\nint turn() { return code_of({}); }\n"})
        self.assertIn("turn_of_a_class has 74 lines", said)

    def test_braces_in_literals_end_no_function(self):
        said = self.check({"lib/ring/ring.cc": '#include "ring/ring.h"\n' + LONG.replace(
            "int turn() {\n", 'int turn() {\n  const char* brace = "}";  // }\n')})
        self.assertIn("turn has 75 lines", said)

    def test_long_lines(self):
        long = "word " * 25
        said = self.check({"README.md": f"{long}\n```\n{long}\n```\n| {long} |\n",
                           "scripts/a.sh": f"# {long}\n",
                           "scripts/a/b.html.j2": f"<p>{long}\n"})
        self.assertIn("README.md:1: 125 columns; allowed: 100", said)
        self.assertIn("scripts/a.sh:1: 127 columns", said)
        self.assertIn("scripts/a/b.html.j2:1: 128 columns", said)
        self.assertEqual(3, said.count("columns"))

    def test_a_raw_string_may_be_long(self):
        text = 'const char* page = R"(' + "word " * 25 + ')";\n'
        said = self.check({"lib/ring/ring.cc": HOUSE["lib/ring/ring.cc"] + text + "int  wide;\n"})
        self.assertNotIn("columns", said)

    def test_a_name_that_stands_twice(self):
        said = self.check({"lib/ring/ring.h": HOUSE["lib/ring/ring.h"] + "struct Error {};\n"})
        self.assertIn("Error stands in", said)

    def test_a_name_in_two_namespaces(self):
        turn = "namespace {0} {{\nstruct Turn {{}};\n}}  // namespace {0}\nint  wide;\n"

        def said(one, other):
            return self.check({name: HOUSE[name] + turn.format(namespace) for name, namespace in
                               (("lib/ring/ring.h", one), ("lib/base/error.h", other))})
        self.assertNotIn("stands in", said("house::ring", "house::base"))
        self.assertIn("Turn stands in", said("house::ring", "house"))  # hides the other one
        self.assertIn("Turn stands in", said("house::ring", "house::ring"))

    def test_dead_functions(self):
        said = self.check({"lib/ring/ring.h": HOUSE["lib/ring/ring.h"] +
                           "int unturned();\nint tried();\n",
                           "tests/a_test.cc": "int test() { return tried(); }\n"})
        self.assertIn("lib/ring/ring.h:1: dead: nobody uses unturned", said)
        self.assertIn("dead: tests alone use tried", said)

    def test_a_room_that_is_a_hall(self):
        lines = "".join(f"int value{number};\n" for number in range(1500))
        said = self.check({"lib/ring/ring.cc": HOUSE["lib/ring/ring.cc"] + lines})
        self.assertIn("lib/ring:1: 100% of all lines; allowed: 15% (divide it)", said)

    def test_clang_format(self):
        said = self.check({"lib/ring/ring.cc": '#include "ring/ring.h"\nint turn() '
                                               "{ return   code_of({}); }\n"})
        self.assertIn("lib/ring/ring.cc:2: clang-format lays it out otherwise", said)


if __name__ == "__main__":
    unittest.main()
