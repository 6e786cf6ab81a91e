#!/usr/bin/env python3
"""deploy/ksft/: what kselftest learns of lastack's exit codes, and that it takes the folder.

usage: ksft_test.py LASTACK
"""
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "deploy/ksft"
PASS, FAIL, SKIP = 0, 1, 4  # KSFT_PASS and so on in tools/testing/selftests/kselftest.h
LASTACK = Path(sys.argv.pop(1)).resolve()

# What a program prints and ends with, and what comes of it. 3: some row was not played.
FAKES = [
    ("all are ok", "ok 1 a", 0, PASS),
    ("one differs", "not ok 1 a", 4, FAIL),
    ("one was not played", "ok 1 a # SKIP no veth", 3, SKIP),
    ("one was not played, and one differs", "not ok 1 a\nok 2 b # SKIP no veth", 3, FAIL),
    ("none could be played", "1..0 # SKIP no namespaces", 3, SKIP),
    ("it failed", "Bail out! no", 1, FAIL),
    ("bad usage", "", 2, FAIL),
    ("it was interrupted", "", 7, FAIL),
    ("it was killed", "", 137, FAIL),
]


class Wrapper(unittest.TestCase):
    def setUp(self):
        self.work = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.work)

    def play(self, *arguments, **environment):
        return subprocess.run([FOLDER / "lastack.sh", *arguments], capture_output=True, text=True,
                              check=False, env={"PATH": "/usr/bin:/bin", **environment})

    def fake(self, text, code, name="fake"):
        program = self.work / name
        program.write_text(f"#!/bin/sh\necho \"arguments: $*\" >&2\ncat <<'END'\n{text}\nEND\n"
                           f"exit {code}\n")
        program.chmod(0o755)
        return str(program)

    def test_without_lastack_it_is_skipped(self):
        done = self.play(LASTACK=str(self.work / "none"))
        self.assertEqual(done.returncode, SKIP)
        self.assertRegex(done.stdout, r"\ATAP version 13\n1\.\.0 # SKIP .*not installed.*\n\Z")

    def test_every_exit_code_has_its_meaning(self):
        for name, text, code, expected in FAKES:
            with self.subTest(name):
                done = self.play("--case", "A3", LASTACK=self.fake(text, code))
                self.assertEqual(done.returncode, expected)
                self.assertIn(text, done.stdout)
                self.assertEqual(done.stderr, "arguments: verify --format tap --case A3\n")

    def test_it_is_found_in_the_path(self):
        self.fake("ok 1 a", 0, "lastack")
        self.assertEqual(self.play(PATH=f"{self.work}:/usr/bin:/bin").returncode, PASS)

    def test_the_program_itself(self):
        for more, expected in ([], PASS), (["--expect", "A4/idle=does-not-hold"], FAIL):
            done = self.play("--case", "A4", *more, LASTACK=str(LASTACK))
            self.assertEqual(done.returncode, expected, done.stdout + done.stderr)
            self.assertTrue(done.stdout.startswith("TAP version 13\n1..2\n"), done.stdout)

    @unittest.skipUnless(shutil.which("prove"), "no prove (perl)")
    def test_a_harness_of_tap_passes_it(self):
        for more, code in ([], 0), (["--expect", "A4/idle=does-not-hold"], 1):
            done = subprocess.run(["prove", "-e", "sh", FOLDER / "lastack.sh", "::", "--case", "A4",
                                   *more], capture_output=True, text=True, check=False,
                                  env={"PATH": "/usr/bin:/bin", "LASTACK": str(LASTACK)})
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)

    def test_kselftest_takes_the_folder(self):
        self.assertRegex((FOLDER / "settings").read_text(), r"\Atimeout=\d+\n\Z")
        for line in (FOLDER / "config").read_text().splitlines():
            self.assertRegex(line, r"\A(# .*|CONFIG_[A-Z0-9_]+=y)\Z")
        if not shutil.which("make"):
            self.skipTest("no make")
        copy = self.work / "lastack"
        shutil.copytree(FOLDER, copy)
        (self.work / "lib.mk").write_text("all:\n\t@ls -l $(TEST_PROGS)\n")
        done = subprocess.run(["make", "-s", "-C", copy], capture_output=True, text=True,
                              check=False)
        self.assertRegex(done.stdout, r"(?m)^-rwx.* lastack\.sh$", done.stderr)


if __name__ == "__main__":
    unittest.main()
