#!/usr/bin/env python3
"""scripts/kernel_lab.py with machines that go wrong, by words on the kernel's command line, with
one that does not, and with what nobody can have asked for.

usage: tests/kernels/lab_test.py PROGRAM CACHE

PROGRAM is that of the preset `static`. Exit code 77 where QEMU or the kernel cannot be had.
"""
import json
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
sys.dont_write_bytecode = True

from lab import folders, guest, kernels

SKIPPED = 77
SERIES = "6.1"
PROGRAM, CACHE = (Path(argument).resolve() for argument in sys.argv[1:3])
RUN = ["--", "run", "--connections", "40", "--mix", "fin,rst-linger", "--deadline", "500ms"]
# A row that has one mode, with so many instructions more.
SLOWED = ["--", "run", "--connections", "200", "--mix", "rst-linger", "--schedule", "rate=200/s",
          "--deadline", "1s", "--victim-policy", "idle", "--reap-instructions"]
SLOWDOWN = 2000

# What the machine is made to do, and the line that must say so. The kernel cannot do without its
# network, which is said as well.
TROUBLES = [
    ("panic", ["--append", "lab.provoke=panic"],
     r"the kernel said 'Kernel panic - not syncing: sysrq.*' while run was playing"),
    ("hang", ["--append", "lab.provoke=hang", "--row-limit", "20"],
     r"said nothing for 20 s while run was playing"),
    ("memory", ["--append", "lab.provoke=memory", "--memory", "256M"],
     r"the kernel said '.*Out of memory.*' while run was playing"),
    ("network", ["--append", "initcall_blacklist=inet_init"], r"the kernel said '.+'"),
    ("no init", ["--append", "rdinit=/nothing root=/dev/nothing"],
     r"the kernel said 'Kernel panic.*'"),
]
WRONG = [
    ([], "--kernel is missing"),
    (["--kernel", "6.1"], "nothing to play"),
    (["--kernel", "6.1", "--verify"], "--out is missing"),
    (["--kernel", "six", "--verify", "--out", "new"], "--kernel six: expected a version"),
    (["--kernel", "1.2", "--verify", "--out", "new"], "apt knows no kernel 1.2"),
    (["--kernel", "./absent", "--verify", "--out", "new"], "./absent is missing"),
    (["--kernel", sys.executable, "--verify", "--out", "new"], "is no bzImage"),
    (["--kernel", "6.1", "--suite", "nope", "--out", "new"], "--suite nope: allowed: quick"),
    (["--kernel", "6.1", "--verify", "--out", str(SCRIPTS)], "no new or empty folder"),
    (["--kernel", "6.1", "--out", "new", "--", "run", "--no"], "unknown option '--no'"),
    (["--kernel", "6.1", "--out", "new", "--", "run", "--out", "x"], "hold --out"),
    (["--kernel", "6.1", "--deterministic", "--cpus", "2", "--verify", "--out", "new"], "one CPU"),
    (["--kernel", "6.1", "--verify", "--out", "/dev/null/new"], "--out /dev/null/new cannot be"),
    (["--kernel", "6.1", "--cache", "/dev/null/new", "--verify", "--out", "new"],
     "--cache /dev/null/new cannot be made: Not a directory"),
    (["--kernel", "6.1", "--verify", "--repetitions", "0", "--out", "new"], "--repetitions"),
]


def command(*arguments):
    return [SCRIPTS / "kernel_lab.py", "--program", PROGRAM, "--cache", CACHE, *arguments]


def lab(*arguments, work):
    return subprocess.run(command(*arguments), cwd=work, capture_output=True, text=True,
                          timeout=400, check=False)


def machines_of(pid):
    """The processes of QEMU below this one."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, text=True,
                            check=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines()
            if int(line.split()[1]) == pid and "qemu" in line.split()[2]]


def is_alive(pid):
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False


class Lab(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.work = Path(folder.name)

    def test_trouble_is_told_and_bounded(self):
        for name, options, line in TROUBLES:
            with self.subTest(name):
                done = lab("--kernel", SERIES, "--out", name, *options, *RUN, work=self.work)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertRegex(done.stderr, line)
                boots = json.loads((self.work / name / "lab.json").read_text())["boots"]
                self.assertTrue(boots[0]["trouble"])
                self.assertFalse((self.work / name / "run").exists())

    def test_two_boots_become_repetitions(self):
        done = lab("--kernel", SERIES, "--kernel", "host", "--out", "out", "--repetitions", "2",
                   *RUN, work=self.work)
        self.assertEqual(done.returncode, 0, done.stderr)
        manifest = json.loads((self.work / "out/lab.json").read_text())
        self.assertEqual([boot["played"] for boot in manifest["boots"]], [{"run": 0}] * 4)
        found = sorted(self.work.glob("out/run/*/rep-*/run.json"))
        self.assertEqual(len(found), 4)
        guests = [json.loads(path.read_text()) for path in found if "host" not in path.parts]
        for run in guests:
            self.assertEqual(run["environment"]["lab"],
                             {"accelerator": manifest["accelerator"], "time_unit": "ns",
                              "does_not_show": []})
            self.assertTrue(run["environment"]["kernel"]["release"].startswith(SERIES))
        # Another CPU and another accelerator.
        said = (self.work / "out/run/compare.txt").read_text()
        self.assertIn("not comparable", said)

    def test_a_run_is_judged_for_a_bisection(self):
        for options, code, line in [
                (["--at-most", "1000000", "--row", "fin"], 0, r"fin/recv: median [\d,]+ .* good"),
                (["--at-most", "10", "--row", "rst-linger/recv"], 1, "bad: more than 10"),
                (["--at-most", "10"], 128, "allowed: fin/recv, rst-linger/recv"),
                ([], 128, "--at-most N"),
                (["--at-most", "10", "--append", "lab.provoke=panic"], 125, "Kernel panic")]:
            with self.subTest(options):
                done = lab("--bisect", "--kernel", SERIES, *options, *RUN, work=self.work)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertRegex(done.stdout + done.stderr, line)
                self.assertEqual(list(self.work.iterdir()), [])

    def test_a_row_of_a_suite_is_judged(self):
        suite = ["--bisect", "--kernel", SERIES, "--suite", "path-length", "--at-most", "10"]
        for row, code, line in [("fin-recv", 1, "fin/recv: median [0-9,]+ .* bad"),
                                ("nope", 128, "allowed: fin-recv, "),
                                ("alive-heartbeat-multishot", 125, "Linux 6.4")]:
            with self.subTest(row):
                done = lab(*suite, "--row", row, work=self.work)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertRegex(done.stdout + done.stderr, line)

    def median_with(self, instructions):
        done = lab("--bisect", "--kernel", SERIES, "--at-most", "10", *SLOWED, str(instructions),
                   work=self.work)
        self.assertEqual(done.returncode, 1, done.stderr)
        return int(re.search("median ([0-9,]+) virtual_ns", done.stdout)[1].replace(",", ""))

    def test_instructions_are_found_and_bisected(self):
        fast, slow = self.median_with(0), self.median_with(SLOWDOWN)
        self.assertAlmostEqual(slow - fast, SLOWDOWN, delta=SLOWDOWN / 100)
        # Of eight versions the fifth is two percent slower.

        def git(*words):
            return subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org",
                                   *words], cwd=self.work, check=True, text=True,
                                  capture_output=True).stdout
        git("init", "--quiet")
        for version in range(1, 9):
            (self.work / "version").write_text(str(version))
            (self.work / "instructions").write_text(str(fast // 50 if version >= 5 else 0))
            git("add", ".")
            git("commit", "--quiet", "-m", f"version {version}")
        git("bisect", "start", "HEAD", "HEAD~7")
        judged = shlex.join(map(str, command("--bisect", "--kernel", SERIES, "--at-most",
                                             str(fast + fast // 100), *SLOWED)))
        said = git("bisect", "run", "sh", "-c", f"{judged} $(cat instructions)")
        self.assertRegex(said, "[0-9a-f]{40} is the first bad commit")
        self.assertIn("version 5", git("log", "-1", "--format=%s", "refs/bisect/bad"))

    def test_virtual_time_is_in_the_manifest(self):
        done = lab("--kernel", SERIES, "--deterministic", "--out", "out", *RUN, work=self.work)
        self.assertEqual(done.returncode, 0, done.stderr)
        (path,) = self.work.glob("out/run/*/run.json")
        told = json.loads(path.read_text())["environment"]["lab"]
        self.assertEqual((told["accelerator"], told["time_unit"]), ("tcg", "virtual_ns"))
        self.assertIn("caches", told["does_not_show"])

    def test_no_machine_outlives_its_lab(self):
        script = subprocess.Popen(command(
            "--kernel", SERIES, "--out", "out", "--accelerator", "tcg", "--append",
            "lab.provoke=hang", *RUN),
            cwd=self.work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(600):
                machines = machines_of(script.pid)
                if machines:
                    break
                time.sleep(0.1)
            self.assertTrue(machines, "no machine was started")
            time.sleep(2)
            self.assertTrue(all(map(is_alive, machines)), "it ended by itself")
        finally:
            script.send_signal(signal.SIGKILL)
            script.wait()
        for _ in range(100):
            if not any(map(is_alive, machines)):
                break
            time.sleep(0.1)
        self.assertEqual([pid for pid in machines if is_alive(pid)], [])

    def test_wrong_words_are_one_line(self):
        for words, line in WRONG:
            with self.subTest(words):
                done = lab(*words, work=self.work)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(line, done.stderr)
                self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
                self.assertFalse((self.work / "new").exists())


class Merging(unittest.TestCase):
    def test_boots_are_the_repetitions_of_one_suite(self):
        def boot(latencies, code):
            lines = "".join(f"r,fin,{at},{latency},{count}\n" for at, latency, count in latencies)
            run = {"folder": "01-r/rep-1", "repetition": 1, "order": 1}
            manifest = {"runs": [run], "rows": [{"name": "r", "repetitions": 1}], "notes": [],
                        "repetitions": 1, "exit_code": code, "status": str(code)}
            return {"manifest.json": json.dumps(manifest).encode(),
                    "summary.csv": b"run,repetition,found\n01-r/rep-1,1,10\n",
                    "latency.csv": f"row,strategy,percentile,latency_ns,count\n{lines}".encode(),
                    "01-r/rep-1/run.json": b"{}"}
        one = boot([(0, 10, 1), (50, 20, 5), (100, 30, 10)], 0)
        self.assertIs(folders.merged_suite([one]), one)
        two = boot([(0, 25, 1), (50, 40, 5), (100, 50, 10)], 6)
        merged = folders.merged_suite([one, two])
        self.assertEqual(merged["summary.csv"],
                         b"run,repetition,found\n01-r/rep-1,1,10\n01-r/rep-2,2,10\n")
        # The tenth of twenty values is within 30 (ten of the first boot, one of the second).
        self.assertEqual(merged["latency.csv"].decode().splitlines()[1:],
                         ["r,fin,0,10,1", "r,fin,50,30,11", "r,fin,100,50,20"])
        manifest = json.loads(merged["manifest.json"])
        self.assertEqual([run["folder"] for run in manifest["runs"]], ["01-r/rep-1", "01-r/rep-2"])
        self.assertEqual((manifest["exit_code"], manifest["repetitions"]), (6, 2))
        self.assertIn("01-r/rep-2/run.json", merged)


def cannot():
    """Why no machine can be had here, or ""."""
    missing = guest.missing_tool()
    if missing:
        return f"{missing} is missing (scripts/install_packages.sh kernels)"
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        kernels.find_kernel(SERIES, None, CACHE)
    except kernels.Unavailable as error:
        return str(error)
    return ""


if __name__ == "__main__":
    if cannot():
        print(f"skipped: {cannot()}")
        sys.exit(SKIPPED)
    unittest.main(argv=sys.argv[:1])
