#!/usr/bin/env python3
"""What a host or its limits may lack, and what lastack has to say of it: one row each.

usage: limits_test.py LASTACK

Every run ends with 0 and a whole ledger, or with 3, what was tried, and the cure. LASTACK must be
built without sanitizers, which need address space without limit.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from pathlib import Path

K, M = 1024, 1024 * 1024
RUN = "run --connections 100 --mix fin,rst-linger,sigkill --deadline 2s --format json"
BURN = RUN + " --cpu-hog 1 --warm-up 4s"
SAYS_WHAT = re.compile(r"\(E[A-Z0-9]+ \d+\)|SIG[A-Z]+|must be |open files")

# `cure` is a part of the message wherever the exit code is 3. Of `values`, a list or what makes one
# for a program, at least one must end with 3 when `bites`, all with 0 when it is False; None:
# nobody knows.
Row = namedtuple("Row", "name wrapper values cure bites command user", defaults=[RUN, None])


def prlimit(name):
    return ["prlimit", f"--{name}={{}}"]


def mounted(commands):
    return ["unshare", "-m", "sh", "-c", commands + '; exec "$0" "$@"']


def address_spaces(lastack):
    """From the least in which the program starts at all: it grows with the program."""
    least = next(size for size in range(M, 64 * M, 128 * K) if subprocess.run(
        ["prlimit", f"--as={size}", lastack, "list"], capture_output=True).returncode == 0)
    return [least + more for more in (0, 128 * K, 256 * K, M, 4 * M, 24 * M)]


# setrlimit(2) from its first to its last, and what a container's file systems may lack.
ROWS = [
    Row("RLIMIT_AS", prlimit("as"), address_spaces, "ulimit -v", True),
    Row("RLIMIT_CORE", prlimit("core"), [0], "", False),
    Row("RLIMIT_CPU", prlimit("cpu"), [1, 2], "ulimit -t", True, BURN),
    Row("RLIMIT_DATA", prlimit("data"),
        [400 * K, 512 * K, 700 * K, M, 3 * M // 2, 2 * M, 5 * M // 2, 3 * M], "ulimit -v", True),
    Row("RLIMIT_FSIZE", prlimit("fsize"), [4 * K, 16 * K, M], "ulimit -f", True),
    Row("RLIMIT_LOCKS", prlimit("locks"), [0], "", False),
    Row("RLIMIT_MEMLOCK", prlimit("memlock"), [0, 64 * K], "-l", None),
    Row("RLIMIT_MEMLOCK of a user", prlimit("memlock"), [0], "ulimit -l", None, RUN, 65534),
    Row("RLIMIT_MSGQUEUE", prlimit("msgqueue"), [0], "", False),
    Row("RLIMIT_NICE", prlimit("nice"), [0], "", False),
    Row("RLIMIT_NOFILE", prlimit("nofile"), [16, 32, 64, 100], "", True),
    Row("RLIMIT_NPROC of a user", prlimit("nproc"), [1, 2, 4], "ulimit -u", True, RUN, 65534),
    Row("RLIMIT_RSS", prlimit("rss"), [0], "", False),
    Row("RLIMIT_RTPRIO", prlimit("rtprio"), [0], "", False),
    Row("RLIMIT_RTTIME", prlimit("rttime"), [1000], "", False),
    Row("RLIMIT_SIGPENDING", prlimit("sigpending"), [0], "", False),
    Row("RLIMIT_STACK", prlimit("stack"), [128 * K, M], "", None),
    Row("no /proc", mounted("mount -t tmpfs none /proc"), [None], "mount -t proc", True),
    Row("hidden processes", mounted("mount -t proc -o hidepid=2 none /proc"), [None], "", False),
    Row("hidden processes of a user", mounted("mount -t proc -o hidepid=2 none /proc"), [None], "",
        False, RUN, 65534),
    Row("/proc without sysctls", mounted("mount -t proc -o subset=pid none /proc"), [None], "",
        False),
    Row("/proc/sys read only", mounted("mount --bind /proc/sys /proc/sys && "
                                       "mount -o remount,ro,bind /proc/sys"), [None], "", False),
    Row("no /sys", mounted("mount -t tmpfs none /sys"), [None], "", False),
    Row("no /dev", mounted("mount -t tmpfs none /dev"), [None], "", False),
]


def command_of(row, value, lastack):
    wrapper = [word.format(value) if value is not None else word for word in row.wrapper]
    user = ["setpriv", f"--reuid={row.user}", f"--regid={row.user}", "--clear-groups"]
    # A user's limit counts from the change of users on.
    return [*wrapper, *(user if row.user else []), lastack, *row.command.split()]


def wrongs_of(row, outcome):
    """What is wrong with an outcome, a text each."""
    if outcome.returncode == 0:
        ledger = json.loads(outcome.stdout)["ledger"]
        found = sum(entry["found"] for entry in ledger)
        requested = int(re.search(r"--connections (\d+)", row.command).group(1))
        if found != requested:
            yield f"exit code 0, and {found} of {requested} found"
        return
    if outcome.returncode != 3:
        yield f"exit code {outcome.returncode}, must be 0 or 3"
    if not SAYS_WHAT.search(outcome.stderr):
        yield "neither errno nor signal is named"
    if row.cure not in outcome.stderr:
        yield f"'{row.cure}' is not in the message"


def play(row, lastack):
    codes, wrong = [], []
    for value in row.values(lastack) if callable(row.values) else row.values:
        outcome = subprocess.run(command_of(row, value, lastack), capture_output=True, text=True,
                                 timeout=120)
        codes.append(outcome.returncode)
        wrong += [f"{row.name} {value}: {text}: {outcome.stderr.strip()[-400:]}"
                  for text in wrongs_of(row, outcome)]
    if row.bites is not None and row.bites != (3 in codes):
        wrong.append(f"{row.name}: exit codes {codes}, "
                     f"{'one' if row.bites else 'none'} of them must be 3")
    print(f"{row.name}: {codes}", flush=True)
    return wrong


def play_in_cgroup(lastack):
    """With little memory in a control group, of either version; where none can be made, nothing."""
    for parent, limit in [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
                          ("/sys/fs/cgroup", "memory.max")]:
        group = Path(parent, f"lastack-limits-{os.getpid()}")
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if not (group / limit).exists():
                continue
            enter = (f"echo {{}} > {group}/{limit} && echo $$ > {group}/cgroup.procs && "
                     'exec "$0" "$@"')
            return play(Row("a control group's memory", ["sh", "-c", enter],
                            [5 * M, 12 * M, 64 * M], "control group's memory limit", True,
                            RUN.replace("connections 100", "connections 1000")), lastack)
        finally:
            remove_cgroup(group)
    print("a control group's memory: skipped, none can be made here")
    return []


def remove_cgroup(group):
    for _ in range(100):  # its processes may still be on their way out
        try:
            return group.rmdir()
        except OSError:
            time.sleep(0.1)
    print(f"{group} is left")
    return None


def main():
    with tempfile.TemporaryDirectory(prefix="lastack-limits-") as work:
        os.chmod(work, 0o755)  # for users who may not look into the build tree
        lastack = shutil.copy(sys.argv[1], work)
        wrong = []
        for row in ROWS:
            wrong += play(row, lastack)
        wrong += play_in_cgroup(lastack)
    for text in wrong:
        print(f"WRONG {text}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
