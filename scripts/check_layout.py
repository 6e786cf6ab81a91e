#!/usr/bin/python3
"""Check the layout of lib/: its floors, its one door to io_uring, dead files, prints and exits;
and the style of all code, scripts and pages (style_rules.py, clang-format).

usage: check_layout.py [FOLDER]

Prints a line per violation, "file:line: rule", and exits with 1; with 0 when there is none.
"""
import collections
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import style_rules

ROOT = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
LIB = ROOT / "lib"

# A file includes files of its own folder and of lower floors. Two folders of one floor do not know
# each other: net does without io_uring, and a survivor learns nothing from the victim's code.
FLOORS = {"base": 0, "ring": 1, "net": 1, "compare": 1, "model": 2, "shard": 3, "plan": 4,
          "victim": 4, "verify": 4, "survivor": 5, "ledger": 5, "doctor": 5, "run": 6, "suite": 7,
          "report": 8}

MOST_OF_HOUSE, SMALL_HOUSE = 0.15, 1000  # the share of a room; lines of lib/

# Everything else talks to the kernel through this header, which gives the reason for every flag.
LIBURING_DOOR = LIB / "ring" / "ring.h"

# The caller decides what is shown and when the process ends. snprintf() only fills a buffer.
PRINTS = re.compile(r"\b(?:v?f?printf|v?dprintf|f?puts|f?putc|putchar|perror)\s*\("
                    r"|\b(?:fmt|std)::print(?:ln)?\b|\b(?:cout|cerr|clog)\b")
EXITS_BY_DESIGN = {
    "base/process.cc": "a child whose parent is gone",
    "doctor/trial.cc": "the trial's forked child",
    "shard/shortage.cc": "std::terminate() without memory",
    "survivor/writer_survivor.cc": "the forked child that writes",
    "verify/stage.cc": "a row's forked process and its children",
    "verify/performance.cc": "a row's forked process",
    "victim/process_hosts.cc": "a victim process that exits on purpose",
}
EXITS = re.compile(r"\b(?:exit|quick_exit|_exit|_Exit)\s*\(")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">\n]+)[">]', re.MULTILINE)
# One pass, so that a quote in a comment and a comment sign in a string are what they are. A quote
# after a digit separates digits (10'000).
TOKEN = re.compile(r'(?P<include>^[ \t]*#[ \t]*include\b[^\n]*)'
                   r'|//[^\n]*|/\*.*?\*/'
                   r'|R"(?P<mark>[^(\s]*)\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"'
                   r"|(?<!\w)'(?:\\.|[^'\\\n])+'", re.MULTILINE | re.DOTALL)


def code_of(file):
    """The file's text with comments and literals emptied; includes and line numbers stay."""
    return TOKEN.sub(lambda token: token["include"] or "\n" * token[0].count("\n"),
                     file.read_text(encoding="utf-8", errors="replace"))


def included_file(file, quote, name):
    """The file of this repository that the include finds, as the compiler looks; None: foreign."""
    folders = [file.parent, LIB] if quote == '"' else [LIB]
    for folder in folders:
        path = Path(os.path.normpath(folder / name))
        if path.is_file() and path.is_relative_to(ROOT):
            return path
    return None


def folder_of(file):
    """The folder of lib/ that holds the file; "" for a file elsewhere or in lib/ itself."""
    parts = file.relative_to(LIB).parts if file.is_relative_to(LIB) else ()
    return parts[0] if len(parts) > 1 else ""


def include_violation(file, name, target):
    """The rule that this include of a file in lib/ breaks; None if it breaks none."""
    if (name == "liburing.h" or name.startswith("liburing/")) and file != LIBURING_DOOR:
        return f"only {LIBURING_DOOR.relative_to(ROOT)} includes {name}"
    own = folder_of(file)
    if target is None or own not in FLOORS:  # a folder without a floor is reported on its own
        return None
    other = folder_of(target)
    if other == own or FLOORS.get(other, len(FLOORS)) < FLOORS[own]:
        return None
    return f"{own} (floor {FLOORS[own]}) may not include {name} (floor {FLOORS.get(other, 'none')})"


def call_violation(file, call):
    """The rule that this print or exit in a file in lib/ breaks; None if it breaks none."""
    word = call.rstrip("( \t\n")
    # A process of a run must not run its parent's atexit() handlers.
    if word == "_exit" and file.relative_to(LIB).as_posix() in EXITS_BY_DESIGN:
        return None
    return f"lib/ neither prints nor exits: {word}"


def large_rooms(files):
    """(folder, rule) of each room that is too much of the house; in a small one nothing is."""
    lines = collections.Counter()
    for file in files:
        lines[file.parent] += file.read_text(encoding="utf-8", errors="replace").count("\n")
    all_lines = sum(lines.values())
    for room, count in lines.items():
        if all_lines > SMALL_HOUSE and count > MOST_OF_HOUSE * all_lines:
            yield room, (f"{count / all_lines:.0%} of all lines; allowed: {MOST_OF_HOUSE:.0%} "
                         "(divide it)")


def is_test(file):
    """Whether the file is none of the programs'."""
    return file.relative_to(ROOT).parts[0] == "tests"


def style_violations(codes):
    """(file, line, rule) of C++ code and of everything else that people read."""
    words = {file: style_rules.Words(code) for file, code in codes.items()}
    for file, code in codes.items():
        for line, rule in style_rules.long_functions(code):
            yield file, line, rule
        if file.suffix == ".h" and file.is_relative_to(LIB):
            for rule in style_rules.dead_functions(file, words, is_test):
                yield file, 1, rule
    headers = {file: style_rules.types_of(code) for file, code in codes.items()
               if file.suffix == ".h" and file.is_relative_to(LIB)}
    for file, rule in style_rules.twice(headers):
        yield file, 1, rule
    scripts = [path for folder in ("scripts", "tests", "cmake", ".ci")
               for path in (ROOT / folder).rglob("*")
               if path.suffix in (".py", ".sh", ".j2", ".cmake") or path.name == "CMakeLists.txt"]
    pages = [*ROOT.glob("*.md"), *LIB.rglob("*.md")]
    for file in [*codes, *sorted(scripts), *sorted(pages)]:
        text = file.read_text(encoding="utf-8", errors="replace")
        for line, rule in style_rules.long_lines(text, file.suffix == ".md"):
            yield file, line, rule


def format_violations(files):
    """What clang-format would lay out otherwise, where it is installed."""
    if not shutil.which("clang-format"):
        return
    done = subprocess.run(["clang-format", "--dry-run", "--ferror-limit=1", *map(str, files)],
                          capture_output=True, text=True, check=False, cwd=ROOT)
    for match in re.finditer(r"^(/[^:\n]+):(\d+):\d+: warning: code should be", done.stderr,
                             re.MULTILINE):
        yield Path(match[1]), int(match[2]), "clang-format lays it out otherwise"


def main():
    # Whatever is no documentation counts as code: a new kind of header does not escape.
    in_lib = sorted(path for path in LIB.rglob("*") if path.is_file() and path.suffix != ".md")
    if not in_lib:  # all would be well with it
        sys.exit(f"check_layout: no file in {LIB}")
    users = sorted(path for folder in ("bench", "tests") for path in (ROOT / folder).rglob("*")
                   if path.suffix in (".h", ".c", ".cc"))

    violations = []  # (file, line, rule)
    includers = {path: set() for path in in_lib}
    codes = {file: code_of(file) for file in in_lib + users}
    for file, code in codes.items():

        def report(match, rule):
            if rule:
                violations.append((file, code.count("\n", 0, match.start()) + 1, rule))

        for match in INCLUDE.finditer(code):
            target = included_file(file, match[1], match[2])
            if target in includers:
                includers[target].add(file)
            if file in includers:
                report(match, include_violation(file, match[2], target))
        if file in includers:
            for match in [*PRINTS.finditer(code), *EXITS.finditer(code)]:
                report(match, call_violation(file, match[0]))

    for file in in_lib:
        if folder_of(file) not in FLOORS:
            violations.append((file, 1, "it lies in no folder that has a floor"))
        if file.suffix == ".cc":
            if not file.with_suffix(".h").is_file():
                violations.append((file, 1, "a .cc has a header of the same name"))
        elif not includers[file] - {file, file.with_suffix(".cc")}:
            violations.append((file, 1, "dead: nothing but its own .cc includes it"))

    violations += [(room, 1, rule) for room, rule in large_rooms(in_lib)]
    violations += [*style_violations(codes), *format_violations(codes)]
    for file, line, rule in sorted(violations):
        print(f"{file.relative_to(ROOT)}:{line}: {rule}")
    if violations:
        sys.exit(1)
    print(f"layout: {len(in_lib)} files on {len(set(FLOORS.values()))} floors, no violation")


if __name__ == "__main__":
    main()
