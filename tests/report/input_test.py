#!/usr/bin/python3
"""Files that people touched, and outputs that cannot be written: the scripts read what spreadsheets
save, or say in one line what they did to it; no traceback, nothing half-written, no escapes."""
import contextlib
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True  # tests leave nothing in the source tree

import suites
from in_process import ROOT, call


def delimited(text, delimiter):
    fields = re.compile(r'([^,\n]*)([,\n])')
    return fields.sub(lambda match: (f'"{match[1]}"' if delimiter in match[1] else match[1])
                      + (delimiter if match[2] == "," else "\n"), text)


def reversed_columns(text):
    return "".join(",".join(reversed(line.split(","))) + "\n" for line in text.splitlines())


READ = {
    "byte order mark": lambda text: "\ufeff" + text,
    "line ends of Windows": lambda text: text.replace("\n", "\r\n"),
    "line ends of old": lambda text: text.replace("\n", "\r"),
    "semicolons": lambda text: delimited(text, ";"),
    "sep line": lambda text: "\ufeffsep=;\n" + delimited(text, ";"),
    "tabs": lambda text: text.replace(",", "\t"),
    "quoted": lambda text: re.sub(r"[^,\n]+", lambda match: f'"{match[0]}"', text),
    "blank lines": lambda text: "\n" + text + "\n  \n,,,,\n\n",
    "empty columns": lambda text: text.replace("\n", ",,\n"),
    "reordered": reversed_columns,
}
REFUSED = [
    (lambda text: text.encode("utf-16"), "is UTF-16; save it as UTF-8"),
    (lambda text: b"\xff" + text.encode(), "save it as UTF-8"),
    (lambda text: text.replace(",", "").encode(), "lacks the columns"),
    (lambda text: text.replace("schema_version", "version").encode(), "lacks the columns"),
    (lambda text: text.replace("\n", ",x\n", 1).encode(), "fields; expected"),
    (lambda text: text.rstrip("\n").encode(), "cut short"),
    (lambda text: b"", "is empty"),
]
NUMBERS = ["inf", "-inf", "nan", "1e999", "-1", "1,5", "six", ""]


class InputTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="input-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        pair, _ = suites.make_pair(self.folder)
        self.suite = pair[0]
        self.out = self.folder / "out"
        self.out.mkdir()
        self.commands = {  # the files of a suite that each reads
            "report": (["summary.csv", "latency.csv", "timeline.csv", "frontier.csv"],
                       [self.suite, "-o", self.out / "page.html"]),
            "plot_latency": (["latency.csv"],
                             [self.suite / "latency.csv", "-o", self.out / "a.svg"]),
            "plot_probes": (["frontier.csv"], [self.suite, "-o", self.out / "b.svg"])}

    @contextlib.contextmanager
    def changed(self, name, change):
        path = self.suite / name
        before = path.read_bytes()
        after = change(before.decode())
        path.write_bytes(after if isinstance(after, bytes) else after.encode())
        self.assertNotEqual(before, path.read_bytes())
        yield
        path.write_bytes(before)

    def refuse(self, name, arguments, message):
        code, printed, complaint = call(name, arguments)
        self.assertEqual((2, ""), (code, printed), complaint)
        self.assertIn(message, complaint)
        self.assertEqual(1, complaint.count("\n"), complaint)
        self.assertTrue(complaint.startswith(f"{name}: "), complaint)
        self.assertTrue(complaint[:-1].isprintable(), complaint)
        self.assertEqual([], os.listdir(self.out))

    def test_what_spreadsheets_save_is_read(self):
        page = self.out / "page.html"
        files, arguments = self.commands["report"]
        self.assertEqual(0, call("report", arguments)[0])
        as_it_was = page.read_text()
        for how, change in READ.items():
            with self.subTest(how=how), contextlib.ExitStack() as changes:
                for file in files:
                    changes.enter_context(self.changed(file, change))
                self.assertEqual((0, f"{page}\n", ""), call("report", arguments))
                self.assertEqual(as_it_was, page.read_text())
        for name in ("plot_latency", "plot_probes"):
            files, arguments = self.commands[name]
            with self.changed(files[0], READ["sep line"]):
                self.assertEqual((0, ""), call(name, arguments)[::2])

    def test_what_cannot_be_read_is_named(self):
        for name, (files, arguments) in self.commands.items():
            for file in files:
                for change, message in REFUSED:
                    with self.subTest(script=name, file=file, message=message), \
                            self.changed(file, change):
                        self.refuse(name, arguments, message)

    def test_numbers_that_are_none(self):
        columns = {"latency.csv": ["percentile", "latency_ns", "count"],
                   "timeline.csv": ["injected", "width_ns"],
                   "frontier.csv": ["silent", "latency_p50_ns", "latency_p99_ns"]}
        for name, (files, arguments) in self.commands.items():
            for file in set(files) & set(columns):
                for column in columns[file]:
                    for text in NUMBERS:
                        if name == "report" and text in ("-1", "") or \
                                text == "" and column.endswith("_ns"):
                            continue

                        def change(before, column=column, text=text):
                            header, first, rest = before.split("\n", 2)
                            fields = first.split(",")
                            fields[header.split(",").index(column)] = f'"{text}"'
                            return "\n".join([header, ",".join(fields), rest])

                        with self.subTest(script=name, column=column, text=text), \
                                self.changed(file, change):
                            self.refuse(name, arguments, f"{column} is ")

    def test_json_has_no_nan(self):
        for name, (_, arguments) in self.commands.items():
            for word in ("NaN", "-Infinity", "1e999"):
                with self.subTest(script=name, word=word), self.changed(
                        "manifest.json", lambda text: text.replace("{", f'{{"x": {word}, ', 1)):
                    self.refuse(name, arguments, "is not valid JSON")

    def test_escapes_are_harmless(self):
        bad = "\x1b[31m\u202e\x9b"
        for name, (files, arguments) in self.commands.items():
            with self.changed(files[0], lambda text: text.replace("schema_version", bad, 1)):
                self.refuse(name, arguments, "lacks the columns")
            self.refuse(name, [*arguments, f"--{bad}"], "unrecognized arguments")
            self.refuse(name, [self.folder / bad, *arguments[1:]], "")
            self.refuse(name, [os.fsdecode(b"\xff"), *arguments[1:]], "")
            self.refuse(name, ["", *arguments[1:]], "name of a file or folder")
            self.refuse(name, [*arguments[:-1], ""], "name of a file or folder")
        with self.changed("latency.csv", lambda text: text.replace("fin-block", bad)):
            name, (_, arguments) = "plot_latency", self.commands["plot_latency"]
            self.assertEqual(0, call(name, arguments)[0])


class OutputTest(unittest.TestCase):
    """In processes of their own, whose descriptors and limits are set."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="output-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        pair, _ = suites.make_pair(self.folder)
        self.page = self.folder / "out" / "page.html"
        self.page.parent.mkdir()
        self.command = [sys.executable, ROOT / "scripts/report.py", pair[0], "-o", self.page]

    def check(self, code, message, **how):
        done = subprocess.run(self.command, stderr=subprocess.PIPE, text=True, check=False, **how)
        self.assertEqual(code, done.returncode, done.stderr)
        self.assertIn(message, done.stderr)
        self.assertEqual(1, done.stderr.count("\n"), done.stderr)

    def test_a_package_that_is_missing(self):
        for name, package in (("report", "jinja2"), ("plot_latency", "pandas"),
                              ("plot_probes", "matplotlib")):
            (self.folder / f"{package}.py").write_text("raise ImportError('not installed')")
            self.command[1] = ROOT / f"scripts/{name}.py"
            self.check(2, f"{name}: Python cannot import {package} (not installed); it is in the "
                       f"package python3-{package}: `scripts/install_packages.sh plots`",
                       env={**os.environ, "PYTHONPATH": str(self.folder)})
            (self.folder / f"{package}.py").unlink()
        self.assertEqual([], os.listdir(self.page.parent))

    def test_an_output_that_nobody_takes(self):
        with open("/dev/full", "wb") as full:
            self.check(1, "write to standard output: No space left on device", stdout=full)
        self.check(1, "write to standard output: it is closed", preexec_fn=lambda: os.close(1))
        read, write = os.pipe()
        os.close(read)
        self.check(1, "write to standard output: Broken pipe", stdout=write)
        os.close(write)
        self.assertIn("<!doctype html>", self.page.read_text())

    def test_a_file_that_cannot_be_written(self):
        def limited():
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        self.page.write_text("older page")
        self.check(2, "cannot be written: File too large", preexec_fn=limited)
        self.assertEqual(["page.html"], os.listdir(self.page.parent))
        self.assertEqual("older page", self.page.read_text())
        # A link in the way of the page is replaced, and one in the way of its part is not followed.
        precious = self.folder / "precious"
        precious.write_text("mine")
        self.page.unlink()
        self.page.symlink_to(precious)
        self.assertEqual(0, subprocess.run(self.command, stdout=subprocess.DEVNULL,
                                           check=False).returncode)
        self.assertEqual("mine", precious.read_text())
        self.assertFalse(self.page.is_symlink())


if __name__ == "__main__":
    unittest.main()
