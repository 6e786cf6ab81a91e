#!/usr/bin/env python3
"""What CONTRIBUTING.md says an addition touches is enough: one of each is added to a copy of the
sources, which is built, and shows them.

usage: contributing_test.py SOURCES
"""
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# Of each kind: its files, each with a text that stands there once, and what comes before it.
ADDITIONS = {
    "a close strategy": {
        "lib/model/strategy.cc": (
            '    {.name = "rst-disconnect",',
            '    {.name = "rst-added",\n     .family = "rst",\n'
            "     .prepare = Step::set_linger_zero,\n"
            "     .act = Step::close,\n     .finding = Finding::econnreset,\n"
            "     .changes = counter_changes({{Counter::out_rsts, 1}, {Counter::estab_resets, 2},\n"
            "                                 {Counter::abort_on_data, 1}}),\n"
            '     .wire = "RST",\n     .help = "added"},\n'),
    },
    "a watch": {
        "lib/model/watch.h": ("  writer,\n};", "  added,\n"),
        "lib/model/watch.cc": (
            "    {Watch::writer,",
            '    {Watch::added, "added", Engine::epoll, false, true, "as epoll"},\n'),
    },
    "a parameter": {
        "lib/plan/spec.h": ("  int64_t seed = 1;", "  int64_t added = 7;\n"),
        "lib/plan/spec.cc": (
            '    {"--host-network", "",',
            '    {"--added", "N", Group::tests, "added", count<1, 9, &RunSpec::added>()},\n'),
    },
    "a quantity of a ledger row": {
        "lib/ledger/result.h": ("  int64_t stalled = 0;", "  int64_t added = 0;\n"),
        "lib/ledger/ledger.cc": ("  ++row.torn_down;", "  row.added += 2;\n"),
        "lib/ledger/quantities.cc": (
            '    {.column = "requested",',
            '    {.column = "added",\n     .help = "added",\n     .field = at<&LedgerRow::added>,\n'
            '     .place = "added"},\n'),
    },
}
CONNECTIONS = 40


def run(*words, folder):
    done = subprocess.run([str(word) for word in words], cwd=folder, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        said = done.stdout[-4000:] + done.stderr[-4000:]
        sys.exit(f"{words}: exit code {done.returncode}\n{said}")
    return done.stdout


def counted(page):
    """The number of files by what is to be added, as the page says."""
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \|", page, re.MULTILINE)
    return {name: int(files) for name, files in rows}


def add_all(sources):
    for files in ADDITIONS.values():
        for name, (before, text) in files.items():
            path = sources / name
            content = path.read_text(encoding="utf-8")
            times = content.count(before)
            assert times == 1, f"{name}: {before!r} stands {times} times"
            path.write_text(content.replace(before, text + before), encoding="utf-8")


def main():
    sources = Path(sys.argv[1])
    said = counted((sources / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    for name, files in ADDITIONS.items():
        assert said[name] == len(files), f"{name}: {len(files)} files, and not {said[name]}"
    assert set(said) == set(ADDITIONS), "a number that nobody counts"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "sources")
        copy.mkdir()
        shutil.copy(sources / "CMakeLists.txt", copy)
        for name in ("cmake", "lib", "bench"):
            shutil.copytree(sources / name, copy / name)
        add_all(copy)
        build = copy / "build"
        run("cmake", "-G", "Ninja", "-B", build, "-DCMAKE_BUILD_TYPE=Debug",
            "-DCMAKE_CXX_FLAGS_DEBUG=-O0", folder=copy)
        run("cmake", "--build", build, "--target", "lastack", folder=copy)
        out = run(build / "bin/lastack", "run", "--connections", CONNECTIONS, "--mix", "rst-added",
                  "--watch", "added", "--added", "8", "--deadline", "5s", "--format", "json",
                  "--out", copy / "out", folder=copy)
        document = json.loads(out)
        row = document["ledger"][0]
        assert document["status"] == "ok" and document["spec"]["added"] == 8, document["spec"]
        assert (row["strategy"], row["watch"], row["added"]) == ("rst-added", "added", 80), row
        header, line = (copy / "out/summary.csv").read_text(encoding="utf-8").splitlines()
        assert dict(zip(header.split(","), line.split(",")))["added"] == "80", line
    print("what CONTRIBUTING.md says is enough")


if __name__ == "__main__":
    main()
