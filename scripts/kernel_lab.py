#!/usr/bin/env python3
"""Play lastack on other kernels, in machines of QEMU, and compare them. Nothing is installed, and
no root rights are needed.

  scripts/kernel_lab.py --kernel 6.1 --kernel 6.12 --verify --suite regressions --out lab
  scripts/kernel_lab.py --kernel 6.1 --kernel 6.12 --deterministic --out lab -- run --mix fin
  git bisect run .../kernel_lab.py --bisect --kernel arch/x86/boot/bzImage --at-most 16600 \\
    --suite path-length --row rst-linger-recv

A kernel is a version that Debian's archive has (6.1 or 6.1.174, downloaded by apt-get into a
cache), a .deb, a bzImage (with --modules where what a run needs is a module), or `host`. OUT gets a
folder for each thing that was played, with a folder per kernel, which `lastack compare` and
scripts/report.py read, and lab.json, which says how it was made.

Exit codes: 0 everything was played and ended with 0, 1 something was not or did not, 2 bad usage,
3 QEMU or another tool is missing, 130 interrupted. With --bisect, as `git bisect run` wants it: 0
at most --at-most, 1 more, 125 this kernel or program cannot say, 128 bad usage, which ends it.
"""
import argparse
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

sys.dont_write_bytecode = True  # leaves nothing beside the sources

from files import a_path, deliver, fail, json_of, output_of, printable, reason, write_files
from lab import folders, guest, kernels

HERE = Path(__file__).resolve().parent
PROGRAM = HERE.parent / "build/static/bin/lastack"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lastack/kernels"
HOST = "host"
CANNOT_SAY = 125
UNSAID = []  # lines
TABLES = {"verify": "verify.json", "regressions": "regressions.json"}  # of verdicts, not of figures
# For the estimate, by what the reference machine took (two cores, no KVM).
BOOT_S, VERIFY_S, VIRTUAL_VERIFY_S, REGRESSIONS_S, SLOWER = 20, 90, 240, 30, 1.5
VIRTUAL_RUN_S = 2  # of a suite, whose waits take no time there


@dataclass(frozen=True)
class Task:
    name: str          # of its folder
    arguments: tuple   # of lastack
    estimated_s: float
    suite: bool = False

    @property
    def timed(self):
        """Whether it says how long something takes."""
        return self.name not in TABLES


# ---- what is asked for ----


def a_count(text):
    if not text.isdecimal() or int(text) < 1:
        raise ValueError
    return int(text)


a_count.__name__ = "whole number above 0"


def parsed():
    words, rest = sys.argv[1:], []
    if "--" in words:
        words, rest = words[:words.index("--")], words[words.index("--") + 1:]
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     usage="kernel_lab.py --kernel KERNEL ... --out DIR [--verify] "
                                     "[--suite NAME] ... [-- ARGUMENTS OF LASTACK]")
    parser.error = fail
    parser.add_argument("--kernel", action="append", default=[], metavar="KERNEL",
                        help="6.1, 6.1.174, a .deb, a bzImage, or host; any number of them")
    parser.add_argument("--modules", type=a_path, metavar="DIR", help="of the bzImage: the folder "
                        "with kernel/, such as lib/modules/VERSION")
    parser.add_argument("--verify", action="store_true", help="play `lastack verify`")
    parser.add_argument("--suite", action="append", default=[], metavar="NAME",
                        help="play `lastack suite NAME`, once in each boot")
    parser.add_argument("--quick", action="store_true", help="the suites' small version")
    parser.add_argument("--out", type=a_path, metavar="DIR", help="a new or empty folder")
    parser.add_argument("--repetitions", type=a_count, default=1, metavar="N",
                        help="boots of each kernel, in an order by chance (1)")
    parser.add_argument("--seed", type=int, default=1, help="of that order (1)")
    parser.add_argument("--deterministic", action="store_true", help="virtual time on one CPU: "
                        "one instruction is one virtual nanosecond; nothing is left to chance")
    parser.add_argument("--accelerator", choices=["auto", "kvm", "tcg"], default="auto",
                        help="KVM where it works, or emulation (auto)")
    parser.add_argument("--cpus", type=a_count, metavar="N", help="of a machine (2; 1 with "
                        "--deterministic)")
    parser.add_argument("--memory", default="2G", help="of a machine, as QEMU takes it (2G)")
    parser.add_argument("--jobs", type=a_count, metavar="N", help="machines at once (1; with "
                        "--deterministic as many as there are CPUs)")
    parser.add_argument("--append", default="", metavar="WORDS",
                        help="more words for the kernel's command line")
    parser.add_argument("--boot-limit", type=a_count, default=180, metavar="S",
                        help="seconds until a machine must have booted (180)")
    parser.add_argument("--row-limit", type=a_count, default=600, metavar="S",
                        help="seconds that a row may take (600)")
    parser.add_argument("--program", type=a_path, default=PROGRAM, metavar="FILE",
                        help="the static lastack (build/static/bin/lastack)")
    parser.add_argument("--cache", type=a_path, default=CACHE, metavar="DIR",
                        help=f"where downloaded kernels are kept ({printable(CACHE)})")
    parser.add_argument("--bisect", action="store_true", help="judge a run of one kernel for "
                        "`git bisect run`, in virtual time")
    parser.add_argument("--row", metavar="ROW", help="with --bisect: STRATEGY[/WATCH] of the run, "
                        "where it has several; with --suite NAME the suite's row")
    parser.add_argument("--at-most", type=a_count, metavar="N",
                        help="with --bisect: the median in virtual_ns that is still good")
    options = parser.parse_args(words)
    options.rest = rest
    return options


def check(options):
    if not options.kernel:
        fail("--kernel is missing: 6.1, 6.1.174, a .deb, a bzImage, or host")
    if not options.program.is_file():
        fail(f"--program {options.program} is missing; `cmake --workflow --preset static` builds "
             "the program that runs in a machine without libraries")
    if options.bisect:
        if len(options.kernel) != 1 or options.kernel == [HOST]:
            fail("--bisect judges one kernel, and not the host")
        if not options.at_most or (options.rest[:1] != ["run"] and not options.suite):
            fail("--bisect needs --at-most N, and what to play: --suite NAME --row ROW, or -- run "
                 "...")
        if options.verify or options.out or options.repetitions > 1:
            fail("--bisect plays one run once: no --verify, --repetitions or --out")
        options.deterministic = True
        if options.suite:
            take_row_of_suite(options)
        return
    if options.row or options.at_most:
        fail("--row and --at-most are for --bisect")
    if not options.suite and not options.verify and not options.rest:
        fail("nothing to play: give --verify, --suite NAME, or -- and arguments of lastack")
    if not options.out:
        fail("--out is missing: a new or empty folder")
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        fail(f"--out {options.out} is no new or empty folder")
    if options.deterministic and options.accelerator == "kvm":
        fail("--deterministic counts instructions, which KVM cannot; leave --accelerator away")
    if options.deterministic and options.cpus not in (None, 1):
        fail(f"--cpus {options.cpus}: --deterministic has one CPU")


def take_row_of_suite(options):
    """Of a suite's row, its run: it has one line."""
    if len(options.suite) > 1 or options.rest or not options.row:
        fail("--bisect plays one row of one suite: --suite NAME --row ROW, without --")
    (name,) = options.suite
    rows = {row["name"]: row["command"]
            for row in listed_suite(options.program, name)["quick" if options.quick else "full"][
                "rows"]}
    if options.row not in rows:
        fail(f"--row {options.row} is not in suite {name}; allowed: {', '.join(rows)}")
    program, *options.rest = shlex.split(rows[options.row])
    if options.rest[0] != "run":
        fail(f"--row {options.row} of suite {name} is {program} {options.rest[0]}, which has no "
             "latency")
    options.suite, options.row = [], None


def listed_suite(program, name):
    listed = json_of([str(program), "suite", "list", "--format", "json"])
    for suite in listed:
        if suite["name"] == name and "full" in suite:
            return suite
    return fail(f"--suite {name}: allowed: {', '.join(suite['name'] for suite in listed)}")


def suite_seconds(program, name, quick, virtual):
    """Of one repetition."""
    rows = listed_suite(program, name)["quick" if quick else "full"]["rows"]
    if virtual:
        return len(rows) * VIRTUAL_RUN_S
    return sum(row["estimated_ns"] for row in rows) / 1e9 * SLOWER


def run_seconds(program, arguments):
    """As a dry run says; where there is none, a guess. Bad arguments end here, not in a machine."""
    if arguments[0] != "run":
        return 60
    said = output_of([str(program), *arguments, "--dry-run"])
    found = re.search(r"^estimate: ([\d.]+)(ms|s|min)$", said, re.M)
    return float(found[1]) * {"ms": 0.001, "s": 1, "min": 60}[found[2]] if found else 60


def tasks_of(options):
    tasks = []
    if options.verify:
        tasks.append(Task("verify", ("verify", "--format", "json"),
                          VIRTUAL_VERIFY_S if options.deterministic else VERIFY_S))
    for name in dict.fromkeys(options.suite):
        if name in TABLES:
            tasks.append(Task(name, ("suite", name, "--out", "out"), REGRESSIONS_S))
            continue
        quick = ["--quick"] if options.quick else []
        tasks.append(Task(name, ("suite", name, *quick, "--repetitions", "1", "--out", "out"),
                          suite_seconds(options.program, name, options.quick,
                                        options.deterministic), suite=True))
    if options.rest:
        if any(word == "--out" or word.startswith("--out=") for word in options.rest):
            fail("the arguments of lastack hold --out: the lab gives each run its own")
        out = ["--out", "out"] if options.rest[0] in ("run", "cost", "suite") else []
        tasks.append(Task(options.rest[0], (*options.rest, *out),
                          run_seconds(options.program, options.rest) * SLOWER))
    names = [task.name for task in tasks]
    for name in names:
        if names.count(name) > 1:
            fail(f"{name} is asked for twice")
    return tasks


def machine_of(options, accelerator):
    cpus = options.cpus or (1 if options.deterministic else 2)
    return guest.Machine(accelerator, options.deterministic, cpus, options.memory,
                         shlex.split(options.append), options.boot_limit)


# ---- playing ----


def kvm_works(kernel, options):
    """Whether a machine gets to its first process: there are hosts with a /dev/kvm that stalls."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    machine = guest.Machine("kvm", memory=options.memory, boot_limit_s=30)
    with tempfile.TemporaryDirectory() as work:
        return not guest.boot(kernel, options.program, [], machine, work).trouble


def accelerator_of(options, found):
    if options.accelerator != "auto":
        return options.accelerator
    first = next((kernel for kernel in found if kernel != HOST), None)
    fast = first and not options.deterministic and kvm_works(first, options)
    return "kvm" if fast else "tcg"


def play_on_host(program, tasks, limit_s):
    """Like guest.boot(), without a machine."""
    boot = guest.Boot(os.uname().release)
    for task in tasks:
        with tempfile.TemporaryDirectory() as work:
            start = time.monotonic()
            try:
                done = subprocess.run([program.resolve(), *task.arguments], cwd=work, text=True,
                                      stdin=subprocess.DEVNULL, capture_output=True, check=False,
                                      errors="replace", timeout=task.estimated_s * 10 + limit_s)
            except (OSError, subprocess.TimeoutExpired) as error:
                boot.trouble = f"{task.name}: {error}"
                return boot
            boot.outcomes[task.name] = guest.Outcome(
                done.returncode, round(time.monotonic() - start), done.stdout, done.stderr,
                {str(path.relative_to(work)): path.read_bytes()
                 for path in Path(work).rglob("*") if path.is_file()})
    return boot


def play_boot(kernel, options, tasks, machine, stop):
    if kernel == HOST:
        return play_on_host(options.program, tasks, options.row_limit)
    commands = [guest.Command(task.name, list(task.arguments),
                              round(task.estimated_s * 10) + options.row_limit, options.row_limit)
                for task in tasks]
    with tempfile.TemporaryDirectory() as work:
        return guest.boot(kernel, options.program, commands, machine, work, stop.is_set)


def name_of(kernel):
    return HOST if kernel == HOST else re.sub(r"[^\w.+~-]", "_", kernel.name)


def tasks_for(kernel, tasks, options):
    """The host has no virtual time: what it is asked for there is what takes none."""
    return [task for task in tasks if not (kernel == HOST and options.deterministic and task.timed)]


def in_turn(found, options):
    """Each kernel once in every round, in an order by chance: a host that drifts favours none."""
    chance = random.Random(options.seed)
    turns = []
    for repetition in range(1, options.repetitions + 1):
        turns += [(kernel, repetition) for kernel in chance.sample(found, len(found))]
    return turns


def say(line, stream):
    """Of a lab that goes on: what cannot be delivered is told when its results are safe."""
    try:
        print(printable(line), file=stream, flush=True)
    except OSError:
        UNSAID.append(f"{printable(line)}\n")


def tell(where, boot, tasks):
    """One line for what was played, and all that is known of what was not."""
    parts = [f"{name} {outcome.code} ({outcome.seconds} s)"
             for name, outcome in boot.outcomes.items()]
    say(f"{where}: {', '.join(parts) or 'nothing was played'}", sys.stdout)
    complaints = [boot.trouble] if boot.trouble else []
    for task in tasks:
        outcome = boot.outcomes.get(task.name)
        if outcome is None:
            complaints.append(f"{task.name} was not played to its end")
        elif outcome.code:
            said = (outcome.stderr or outcome.stdout).strip().splitlines()
            complaints.append(f"{task.name} ended with {outcome.code}: {said[-1] if said else ''}")
    for complaint in complaints:
        say(f"kernel_lab: {where}: {complaint}", sys.stderr)
    if boot.trouble:
        for line in boot.console.splitlines()[-40:]:
            say(f"  {line}", sys.stderr)
    return not complaints


def play(found, options, tasks, machine):
    """[(kernel, repetition, seconds, Boot)] and whether all went well."""
    stop = threading.Event()

    def one(turn):
        kernel, repetition = turn
        start = time.monotonic()
        own = tasks_for(kernel, tasks, options)
        boot = guest.Boot(trouble="interrupted") if stop.is_set() else play_boot(
            kernel, options, own, machine, stop)
        seconds = time.monotonic() - start
        fine = tell(f"{name_of(kernel)} boot {repetition}, {seconds:.0f} s", boot, own)
        return kernel, repetition, seconds, boot, fine

    with ThreadPoolExecutor(options.jobs) as pool:
        pending = [pool.submit(one, turn) for turn in in_turn(found, options)]
        try:
            wait(pending)
        except KeyboardInterrupt:  # what was played by then is kept
            stop.set()
    played = [each.result() for each in pending]
    return [each[:4] for each in played], all(each[4] for each in played)


# ---- what is left ----


def files_of(task, outcomes):
    """{path: bytes} of one kernel's boots, in the order of their repetitions."""
    if task.suite:
        whole = [{path.removeprefix("out/"): data for path, data in outcome.files.items()}
                 for outcome in outcomes]
        whole = [files for files in whole if "manifest.json" in files]
        return folders.merged_suite(whole) if whole else {}
    files = {}
    for repetition, outcome in enumerate(outcomes, 1):
        front = "" if len(outcomes) == 1 else f"rep-{repetition}/"
        for path, data in outcome.files.items():
            files[front + path.removeprefix("out/")] = data
        # verify has no --out: its table is what it prints.
        files.setdefault(front + TABLES.get(task.name, "stdout.txt"), outcome.stdout.encode())
    return files


def save(options, tasks, machine, played):
    writers = {}

    def add(path, data):
        writers[options.out / path] = lambda file: file.write(data)

    for task in tasks:
        by_kernel = {}
        for kernel, _, _, boot in sorted(played, key=lambda each: each[1]):
            if task.name in boot.outcomes and not boot.trouble:
                by_kernel.setdefault(name_of(kernel), []).append(boot.outcomes[task.name])
        for name, outcomes in by_kernel.items():
            for path, data in files_of(task, outcomes).items():
                add(f"{task.name}/{name}/{path}", data)
    for kernel, repetition, _, boot in played:
        add(f"console/{name_of(kernel)}-{repetition}.log", boot.console.encode())
    manifest = {
        "schema_version": 1, "command": shlex.join(["scripts/kernel_lab.py", *sys.argv[1:]]),
        "accelerator": machine.accelerator, "cpus": machine.cpus, "memory": machine.memory,
        "unit": "virtual_ns" if machine.virtual else "ns",
        "program": output_of([str(options.program), "--version"]).strip(),
        "boots": [{"kernel": name_of(kernel), "release": boot.release, "repetition": repetition,
                   "order": order, "seconds": round(seconds), "trouble": boot.trouble,
                   "played": {name: outcome.code for name, outcome in boot.outcomes.items()}}
                  for order, (kernel, repetition, seconds, boot) in enumerate(played, 1)]}
    add("lab.json", (json.dumps(manifest, indent=2) + "\n").encode())
    write_files(writers)


def compare(options, found, task):
    """What lastack says of the kernels' folders, also as a file and, of suites, as a page."""
    sides = [options.out / task.name / name_of(kernel) for kernel in found]
    sides = [side for side in sides if side.is_dir()]
    if len(sides) < 2:
        return
    if task.name in TABLES:  # those of one kernel's boots have no difference worth a line
        tables = [sorted(side.glob(f"**/{TABLES[task.name]}")) for side in sides]
        sides, how = [each[0] for each in tables if each], ["--verify"]
    elif (sides[0] / "rep-1").is_dir():
        sides, how = [f"{side}/rep-*" for side in sides], []
    else:
        how = []
    command = [options.program, "compare", *how, *sides]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    said = done.stdout or done.stderr
    deliver(f"\n{task.name}: {shlex.join(map(str, command))}\n{said}")
    write_files({options.out / task.name / "compare.txt": lambda file: file.write(said.encode())})
    if task.suite:
        page = options.out / task.name / "report.html"
        made = subprocess.run([HERE / "report.py", *sides, "-o", page, "--lastack",
                               options.program], capture_output=True, text=True, check=False)
        deliver(made.stdout or made.stderr)


def make_folder(flag, path):
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"{flag} {path} cannot be made: {reason(error)}")
    if not os.access(path, os.W_OK | os.X_OK):
        fail(f"{flag} {path} cannot be written")


def find_all(options):
    if options.kernel != [HOST]:
        make_folder("--cache", options.cache)
    found = []
    for wanted in dict.fromkeys(options.kernel):
        try:
            found.append(HOST if wanted == HOST else kernels.find_kernel(
                wanted, options.modules, options.cache))
        except (kernels.Unavailable, OSError) as error:
            fail(f"--kernel {wanted}: {error}", CANNOT_SAY if options.bisect else 2)
    names = [name_of(kernel) for kernel in found]
    for name in names:
        if names.count(name) > 1:
            fail(f"the kernel {name} is given twice")
    return found


# ---- bisection ----


def median_of(summary, row):
    """(name, virtual_ns) of the row's findings; Unavailable where there is no such median."""
    _, lines = folders.table(summary)
    rows = {f"{line['strategy']}/{line['watch']}": line["latency_p50_ns"] for line in lines}
    fitting = [name for name in rows if row in (None, name, name.split("/")[0])]
    if len(fitting) != 1:
        fail(f"--row fits {len(fitting)} rows; allowed: {', '.join(rows)}")
    if not rows[fitting[0]]:
        raise kernels.Unavailable(f"nothing was found in row {fitting[0]}")
    return fitting[0], int(rows[fitting[0]])


def judge(kernel, options, tasks, machine):
    """The exit code for `git bisect run`."""
    boot = play_boot(kernel, options, tasks, machine, threading.Event())
    if not tell(name_of(kernel), boot, tasks):
        return CANNOT_SAY
    try:
        name, median = median_of(boot.outcomes["run"].files["out/summary.csv"], options.row)
    except (kernels.Unavailable, KeyError, ValueError) as error:
        return fail(f"{name_of(kernel)}: {error}", CANNOT_SAY)
    good = median <= options.at_most
    deliver(printable(f"{name_of(kernel)}: {name}: median {median:,} virtual_ns, "
                      f"{'good: at most' if good else 'bad: more than'} {options.at_most:,}\n"))
    return 0 if good else 1


def need_tools(options):
    missing = guest.missing_tool()
    if missing and options.kernel != [HOST]:
        fail(f"{missing} is missing: `scripts/install_packages.sh kernels`",
             CANNOT_SAY if options.bisect else 3)


def interrupt(*_):
    raise KeyboardInterrupt


def main():
    options = parsed()
    check(options)
    need_tools(options)
    signal.signal(signal.SIGTERM, interrupt)
    tasks = tasks_of(options)
    found = find_all(options)
    machine = machine_of(options, accelerator_of(options, found))
    if options.bisect:
        return judge(found[0], options, tasks, machine)
    boots = [sum(task.estimated_s for task in tasks_for(kernel, tasks, options))
             + (0 if kernel == HOST else BOOT_S) for kernel in found]
    options.jobs = options.jobs or (os.cpu_count() or 1 if options.deterministic else 1)
    count = len(boots) * options.repetitions
    minutes = sum(boots) * options.repetitions / min(options.jobs, count) / 60
    time_of = "virtual time" if machine.virtual else "time"
    deliver(f"{count} boots ({machine.accelerator}, {time_of}): "
            f"about {max(1, round(minutes))} minutes\n")
    make_folder("--out", options.out)  # or an hour of boots would find out
    played, fine = play(found, options, tasks, machine)
    save(options, tasks, machine, played)
    deliver("".join(UNSAID))  # which fails again, and says so
    for task in tasks:
        compare(options, found, task)
    return 0 if fine else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        fail("interrupted", 130)
    except SystemExit as end:
        # `git bisect run` would take 2 for a bad revision; above 127 it ends.
        sys.exit(128 if end.code == 2 and "--bisect" in sys.argv else end.code)
