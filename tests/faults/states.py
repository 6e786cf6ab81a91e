"""States that a process inherits (enter.py), and what has to come of them: shortages, and oddities.

A place is the states, and with "--" before them, options for the run, such as
`network=down --host-network`.
"""
import collections
import contextlib
import glob
import os
import re
import signal
import sys
from pathlib import Path

import judge
import kinds
from enter import CANNOT_ENTER

ENTER = str(Path(__file__).resolve().parent / "enter.py")

# What may come of it: WORKS, as if nothing were; MAY, or a failure with its reason; KILLED, that or
# the kernel kills it; FAILS.
WORKS, MAY, KILLED, FAILS = "works", "may", "killed", "fails"
Row = collections.namedtuple("Row", "states values outcome kinds", defaults=[None, MAY, None])

RUNS = [kind.name for kind in kinds.KINDS if kind.stdout == "run"]
# What --host-network can do.
IN_HOST = [name for name in RUNS if name not in ("paths", "veth")]
FOLDERS = [kind.name for kind in kinds.KINDS if "{out}" in kind.arguments]
K, M = 1024, 1024 * 1024

SHORTAGE_ROWS = [
    Row("rlimit=NOFILE:{}", [3, 8, 16, 24, 32, 48, 64, 80, 100, 128, 256]),
    Row("rlimit=NOFILE:{}:4096", [8, 16, 64]),
    Row("rlimit=MEMLOCK:{}", [0, 4 * K, 16 * K, 64 * K, 256 * K]),
    Row("rlimit=AS:{}", [24 * M, 32 * M, 48 * M, 64 * M, 96 * M, 128 * M, 256 * M]),
    Row("rlimit=DATA:{}", [512 * K, M, 2 * M, 4 * M, 16 * M]),
    Row("rlimit=STACK:{}", [64 * K, 128 * K, 256 * K, M]),
    # Standard error is a file, too: with less, no message can be written.
    Row("rlimit=FSIZE:{}", [512, 4 * K, 16 * K, 64 * K, M]),
    Row("rlimit=CPU:{}", ["0", "0:1", "1:2"], KILLED),
    Row("rlimit=RSS:{}", [0]),
    Row("rlimit=CORE:{}", [0]),
    Row("rlimit=SIGPENDING:{}", [0, 1]),
    Row("rlimit=MSGQUEUE:{}", [0]),
    Row("rlimit=NICE:{}", [0]),
    Row("rlimit=RTPRIO:{}", [0]),
    Row("rlimit=RTTIME:{}", [1000]),
    # Root may exceed it, so it is an ordinary user's.
    Row("rlimit=NPROC:{} user=65534", [0, 1, 2, 3, 5, 8, 16]),
    Row("cgroup=pids:{}", [1, 2, 3, 4, 5, 6, 8, 12, 24]),
    Row("cgroup=memory:{}", [4 * M, 8 * M, 16 * M, 24 * M], KILLED),
    Row("mount=/proc/sys"),
    Row("mount={{folder}}:size={}", ["4k", "8k", "32k", "64k"], MAY, FOLDERS),
    Row("mount={{folder}}:nr_inodes={}", [2, 3, 4, 5], MAY, FOLDERS),
    Row("mount={folder}:ro", [None], FAILS, FOLDERS),
    Row("network=core/somaxconn~{} --host-network", [1, 8, 128], MAY, IN_HOST),
    Row("network=ipv4/ip_local_port_range~{} --host-network", ["40000-40001", "40000-40009",
                                                               "40000-40030"], MAY, IN_HOST),
    Row("network=ipv4/tcp_max_syn_backlog~{} --host-network", [1], MAY, IN_HOST),
    Row("network=ipv4/tcp_rmem~4096-4096-4096,ipv4/tcp_wmem~4096-4096-4096 --host-network", [None],
        MAY, IN_HOST),
    Row("network=down --host-network", [None], FAILS, [
        "recv", "epoll", "blocking", "late", "writer-call", "processes", "listener"]),
]

SIGNALS = ["ABRT", "ALRM", "BUS", "CHLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "PIPE", "PROF",
           "PWR", "QUIT", "SEGV", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
           "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX"]
STATE_ROWS = [
    Row("ignore={}", SIGNALS, WORKS),
    Row("block={}", [*SIGNALS, "all"], WORKS),
    Row("close={}", [0], WORKS),
    Row("close=2", [None], WORKS),
    Row("close=0 close=2", [None], WORKS),
    Row("close=1", [None], FAILS),
    Row("close=0 close=1", [None], FAILS),
    Row("replace=1:/dev/full", [None], FAILS),
    Row("replace=2:/dev/full", [None], WORKS),
    Row("broken-pipe=2", [None], WORKS),
    Row("deleted-folder", [None], WORKS, RUNS),
    Row("folder=/proc/self/fd", [None], WORKS, RUNS),
    Row("descriptors={}", [5, 60, 500], WORKS),
    Row("descriptors={} rlimit=NOFILE:64:same", [40, 58], MAY),
    Row("rlimit=NOFILE:{}:same", [64, 256], WORKS, [name for name in RUNS if name != "shards"]),
    Row("rlimit=STACK:{}:same", [256 * K, -1], WORKS, RUNS),
    Row("terminal", [None], WORKS),
    Row("child={}", ["zombie", "sleeping"], WORKS),
    Row("nice={}", [19], WORKS),
    Row("scheduler={}", ["IDLE", "BATCH"], WORKS),
    Row("cpus={}", [0], WORKS),
    Row("umask={}", ["0777", "0277", "0000"], WORKS, RUNS),
    Row("umask={}", ["0777", "0277"], MAY, FOLDERS),
    Row("environment=LASTACK_TEST_FILLER:x:{}", [100000], WORKS),
    Row("environment={}", ["TZ:Mars/Phobos", "TZ:Asia/Kathmandu", "LC_ALL:tr_TR.UTF-8",
                           "LANG:de_DE.UTF-8", "LC_ALL:POSIX", "LC_NUMERIC:fr_FR", "PATH:",
                           "HOME:", "TERM:", "COLUMNS:1", "TMPDIR:/nowhere"], WORKS),
    Row("subreaper", [None], WORKS),
    Row("no-new-privileges", [None], WORKS),
    Row("user=65534", [None], WORKS, RUNS),
]
# Busy machines are late.
CODES = {WORKS: [0, 6], MAY: [0, 4, 5, 6], FAILS: [],
         KILLED: [0, 4, 5, 6, -signal.SIGKILL, -signal.SIGXCPU]}
# Or what ended a process: the kernel, when a limit was exceeded.
NAMED = re.compile(f"{judge.NAMED.pattern}|SIG[A-Z]+")


class States:
    def __init__(self, rows):
        self.rows = rows

    def draw(self, lab, kind, random):
        row = random.choice([row for row in self.rows if not row.kinds or kind.name in row.kinds])
        value = random.choice(row.values or [None])
        return row.states.format(value) if value is not None else row.states

    def outcome_of(self, kind, place):
        for row in self.rows:
            texts = [row.states.format(value) if value is not None else row.states
                     for value in row.values or [None]]
            if place in texts and (not row.kinds or kind.name in row.kinds):
                return row.outcome
        return MAY

    def run(self, lab, kind, place):
        words = place.split()
        options = [word for word in words if word.startswith("--")]
        states = [word for word in words if not word.startswith("--")]
        play = lab.start([sys.executable, ENTER, *states, "--", lab.lastack, *kind.arguments,
                          *options], lab.bound_s(kind))
        outcome = play.end()
        group = f"lastack-faults-{play.process.pid}"
        for path in [f"/sys/fs/cgroup/{group}", *glob.glob(f"/sys/fs/cgroup/*/{group}")]:
            with contextlib.suppress(OSError):
                os.rmdir(path)
        if outcome.code == CANNOT_ENTER:
            outcome.note = "missed"
            return outcome, []
        wanted = self.outcome_of(kind, place)
        # Its output went nowhere, or to where only the run could look.
        silent = wanted == FAILS or "mount={folder}" in place
        faults = [fault for fault in judge.faults_of(kind, outcome, lab.reference(kind).out,
                                                     CODES[wanted], NAMED)
                  if not (silent and fault.verdict == "wrong-ledger")]
        right = CODES[wanted] + ([] if wanted == WORKS else [1, 2, 3])
        if not faults and outcome.code not in right and not judge.never_began(outcome):
            faults.append(judge.Fault("exit-code", f"{outcome.code}, it {wanted}: "
                                                   f"{judge.said_last(outcome)}"))
        return outcome, faults


SHORTAGES, INHERITED = States(SHORTAGE_ROWS), States(STATE_ROWS)
