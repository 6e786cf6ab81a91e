#!/usr/bin/env python3
"""Runs a little of lastack-bench and puts it through Google Benchmark's own compare.py.

usage: benchmark_compare.py LASTACK_BENCH LASTACK COMPARE_PY

Exit code: 0, or 1 with a line per thing that is not as it should be.
"""
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
sys.dont_write_bytecode = True

from files import parse_json

ROW = "quick/quick-paced-recv"  # the cheapest of a suite
RUN_ROWS = ["null/clock", "null/ring-spin", "null/wake", ROW]
FLOOR_ROWS = [f"rst_{what}_{wait}/{who}" for what in ("latency", "storm")
              for wait in ("spin", "block") for who in ("lastack", "floor")]
PERCENTILES = ["p50_ns", "p99_ns", "p999_ns"]
FACTS = ["kernel", "cpu", "hz", "mitigations", "clock_source", "congestion_control", "lastack",
         "build_type", "sanitizers"]
REPETITIONS = 2

failures = []


def expect(holds, complaint):
    if not holds:
        failures.append(complaint)


def call(command, folder, expected_code=0, **options):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False,
                          **options)
    if done.returncode != expected_code:
        failures.append(f"exit code {done.returncode}, expected {expected_code}: "
                        f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return done


def parse(text, what):
    """The JSON; None if it is none."""
    try:
        return parse_json(text)
    except ValueError as error:
        failures.append(f"{what}: {error}")
        return None


def row_of(benchmark_name):
    """Google Benchmark adds "/iterations:1/manual_time" to a name."""
    return benchmark_name.split("/iterations:")[0]


def suite_rows(suites):
    """The names of the rows that lastack-bench has to have: those of suites that do not collect
    the rows of others, without prices, and that are tables of runs."""
    rows = {suite["name"]: suite["full"]["rows"] for suite in suites if "full" in suite}
    names = {suite: {row["name"] for row in those} for suite, those in rows.items()}
    for suite, those in rows.items():
        if any(whole < names[suite] for whole in names.values()):
            continue
        for row in those:
            if not row["command"].startswith("lastack cost "):
                yield f"{suite}/{row['name']}"


def check_list(bench, lastack, folder):
    suites = json.loads(call([lastack, "suite", "list", "--format", "json"], folder).stdout)
    expected = sorted([*RUN_ROWS[:3], *FLOOR_ROWS, *suite_rows(suites)])
    listed = sorted(map(row_of, call([bench, "--benchmark_list_tests"], folder).stdout.split()))
    expect(len(expected) > 50, f"only {len(expected)} rows expected")
    expect(listed == expected, f"rows: missing {sorted(set(expected) - set(listed))}, too many "
                               f"{sorted(set(listed) - set(expected))}, {len(listed)} in all")


def check_context(context, version, what):
    for key in FACTS:
        expect(context.get(key), f"{what}: no context '{key}'")
    kernel = os.uname().release
    expect(context.get("kernel") == kernel, f"{what}: kernel is {context.get('kernel')}")
    number = " ".join(version.split()[:2])  # the commit is that of each program's own build
    expect(f"lastack {context.get('lastack')}".startswith(f"{number} (commit "),
           f"{what}: lastack is {context.get('lastack')}, expected {number}")
    manifest = parse(context.get("environment", ""), f"{what}: environment")
    if manifest is not None:
        expect(manifest["kernel"]["release"] == kernel, f"{what}: environment of another kernel")
        expect(manifest["tcp"]["sysctls"], f"{what}: environment without the run's sysctls")


def check_rows(document, what):
    runs = [one for one in document["benchmarks"] if one["run_type"] == "iteration"]
    for row in RUN_ROWS:
        those = [run for run in runs if row_of(run["name"]) == row]
        expect(len(those) == REPETITIONS, f"{what}: {row} ran {len(those)} times")
        for run in those:
            expect("error_message" not in run, f"{what}: {row}: {run.get('error_message')}")
            for counter in PERCENTILES:
                expect(run.get(counter, 0) > 0, f"{what}: {row}: {counter} is {run.get(counter)}")
            if row == ROW:
                for counter in ("span_ns", "found", "cpu_ns_per_connection"):
                    expect(run.get(counter, 0) > 0, f"{what}: {row}: no {counter}")
                expect(run.get("nothing") == 0, f"{what}: {row}: nothing {run.get('nothing')}")


def check_run(bench, version, folder, name):
    done = call([bench, f"--benchmark_filter=^({'|'.join(RUN_ROWS)})/",
                 f"--benchmark_repetitions={REPETITIONS}", f"--benchmark_out={name}"], folder)
    expect("environment" not in done.stderr, "the manifest is on the console")
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        document = parse(file.read(), name)
    if document is not None:
        check_context(document["context"], version, name)
        check_rows(document, name)


def check_both_outputs(bench, version, folder):
    done = call([bench, "--benchmark_filter=null/clock", "--benchmark_format=json",
                 "--benchmark_out=both.json"], folder)
    with open(os.path.join(folder, "both.json"), encoding="utf-8") as file:
        for what, text in (("stdout", done.stdout), ("both.json", file.read())):
            document = parse(text, what)
            if document is not None:
                check_context(document["context"], version, what)


def check_compare(compare, folder):
    # -B: no compiled copies beside compare.py, which is not ours.
    command = [sys.executable, "-B", compare, "--no-color"]
    done = call([*command, "benchmarks", "a.json", "b.json"], folder)
    for row in RUN_ROWS if done.returncode == 0 else []:
        for end in ("", "_median", "_pvalue"):
            name = f"{row}/iterations:1/manual_time{end}"
            expect(name in done.stdout.split(), f"compare.py benchmarks: no {name}")
    done = call([*command, "filters", "a.json", "null/ring-spin", "null/wake"], folder)
    expect("[null/ring-spin vs. null/wake]/iterations:1" in done.stdout,
           f"compare.py filters: {done.stdout}")


def check_error(bench, folder):
    """A run that fails is an error of its row, and of the program."""
    def few_files():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    done = call([bench, f"--benchmark_filter={ROW}", "--benchmark_format=json"], folder,
                expected_code=1, preexec_fn=few_files)
    document = parse(done.stdout, "a run that fails")
    for run in document["benchmarks"] if document else []:
        expect(run.get("error_occurred") and "open files" in run.get("error_message", ""),
               f"a run that fails is no error: {run}")
    call([bench, "--no-such-flag"], folder, expected_code=2)


def check_csv(bench, folder):
    """Rows of different counters have the same columns."""
    done = call([bench, f"--benchmark_filter=^({'|'.join(RUN_ROWS)})/", "--benchmark_format=csv",
                 "--benchmark_out=rows.csv", "--benchmark_out_format=csv"], folder)
    with open(os.path.join(folder, "rows.csv"), encoding="utf-8") as file:
        expect(file.read() == done.stdout, "rows.csv is not what was printed")
    rows = {row_of(row["name"]): row for row in csv.DictReader(done.stdout.splitlines())}
    expect(sorted(rows) == sorted(RUN_ROWS), f"CSV: rows {sorted(rows)}")
    for name, row in rows.items():
        expect(None not in row and None not in row.values(), f"CSV: {name} has other fields: {row}")
        expect(bool(row.get("found")) == (name == ROW), f"CSV: {name}: found is {row.get('found')}")
        expect(float(row.get("p50_ns") or 0) > 0, f"CSV: {name}: no p50_ns")


def check_undelivered(bench, folder):
    """What cannot be printed or written is an error, whatever prints it."""
    def no_reader():
        read, write = os.pipe()
        os.dup2(write, 1)
        os.close(read)
        os.close(write)
    sinks = [("ENOSPC", lambda: os.dup2(os.open("/dev/full", os.O_WRONLY), 1)),
             ("EBADF", lambda: os.close(1)), ("EPIPE", no_reader)]
    row = "--benchmark_filter=null/clock"
    commands = [["--help"], ["--benchmark_list_tests"], [row], [row, "--benchmark_format=json"],
                [row, "--benchmark_format=csv"]]
    for command in commands:
        for cause, sink in sinks:
            done = call([bench, *command], folder, expected_code=1, preexec_fn=sink)
            last = done.stderr.rstrip("\n").rpartition("\n")[2]
            expect(last.startswith("lastack-bench: write to standard output: ") and cause in last,
                   f"{command} to {cause}: {last}")
    for form in ("json", "csv", "console"):
        done = call([bench, row, "--benchmark_out=/dev/full", f"--benchmark_out_format={form}"],
                    folder, expected_code=1)
        expect("lastack-bench: write /dev/full: No space left" in done.stderr, done.stderr[-200:])
    done = call([bench, "--no-such-flag"], folder, expected_code=2,
                preexec_fn=lambda: os.close(2))
    done = call([bench, "--benchmark_filter=\x1b[2J"], folder, expected_code=2)
    expect(done.stderr.rstrip("\n").isprintable(), f"escapes: {done.stderr!r}")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    bench, lastack, compare = map(os.path.abspath, sys.argv[1:])
    if not os.path.exists(compare):
        sys.exit(f"{compare} is missing: scripts/install_packages.sh test")
    with tempfile.TemporaryDirectory() as folder:
        version = call([lastack, "--version"], folder).stdout
        check_list(bench, lastack, folder)
        check_run(bench, version, folder, "a.json")
        check_run(bench, version, folder, "b.json")
        check_both_outputs(bench, version, folder)
        check_compare(compare, folder)
        check_error(bench, folder)
        check_csv(bench, folder)
        check_undelivered(bench, folder)
        expect(sorted(os.listdir(folder)) == ["a.json", "b.json", "both.json", "rows.csv"],
               f"left behind: {os.listdir(folder)}")
    if failures:
        sys.exit("\n".join(failures))
    print("benchmark-compare: ok")


if __name__ == "__main__":
    main()
