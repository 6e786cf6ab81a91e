"""Signals to the program and to the processes of a run, at seeded instants.

A place is TARGET:SIGNALS:DELAY: the delay, in milliseconds, counts from the target's first sight.
SIGNALS is one, or several with pauses in milliseconds between them: INT+50+INT.
"""
import contextlib
import os
import re
import signal
import time

import judge

PROGRAM = "program"
# What of a process's command line tells its role; a row of verify is a child of its launcher.
ROLES = ["launcher", "victim", "survivor", "host", "hog", "verify"]
ROLE = re.compile(r"--lastack-process=(\w+)")
# What the program and its processes may get. The exit codes of a result (0, 4, 5, 6) say that it
# was too late, or made no difference.
INTERRUPTS = ["INT", "TERM", "HUP", "INT+20+INT", "TERM+200+TERM", "HUP+5+HUP", "INT+0+TERM"]
KILLS = ["KILL", "SEGV", "KILL+0+KILL"]
STOPS = ["STOP+300+CONT", "STOP+1500+CONT", "STOP"]
RESULTS = [0, 4, 5, 6]
# What a message must say of a process that was killed or stopped.
ROLE_AND_SIGNAL = re.compile(
    r"(?=.*(launcher|victim|survivor|host|hog|writer|row|process))"
    r"(?=.*(SIG[A-Z]+|not answer|no answer|said nothing for))|" + judge.NAMED.pattern)
SIGHT_S = 0.005  # how often a target is looked for


# Commands without processes of their own have nobody to signal but the program.
ALONE = ["doctor", "compare", "list", "dry-run"]
WITH = {"hog": ["shards"], "host": ["processes", "processes-unread", "veth"],
        "verify": ["verify-servers", "verify-aborts", "verify-clients"]}


def targets_of(kind):
    if kind.name in ALONE:
        return [PROGRAM]
    if kind.name in WITH["verify"]:
        return [PROGRAM, "verify"]
    more = [role for role in ("host", "hog") if kind.name in WITH[role]]
    return [PROGRAM, "launcher", "victim", "survivor", *more]


def draw(lab, kind, random):
    target = random.choice(targets_of(kind))
    if target == PROGRAM:
        sent = random.choice([*INTERRUPTS, "KILL", *STOPS[:2]])
    else:
        sent = random.choice(KILLS + STOPS)
    which = random.randrange(4)
    delay_ms = int(lab.reference(kind).seconds * 1000 * random.random() ** 2)
    return f"{target}{which if target != PROGRAM else ''}:{sent}:{delay_ms}"


def role_of(line):
    found = ROLE.search(line)
    return found[1] if found else PROGRAM


def sight(play, target):
    """The pid of the target, as soon as there is one; None when the program ended before."""
    role, which = target.rstrip("0123456789"), int(re.sub(r"\D", "", target) or 0)
    while not play.wait(SIGHT_S):
        if role == PROGRAM:
            return play.process.pid
        found = sorted(pid for pid, line in play.members().items() if role_of(line) == role)
        if found:
            return found[which % len(found)]
        if time.monotonic() > play.until_s:
            break
    return None


def send(play, pid, sent):
    """Whether the target still was there for the first signal."""
    reached = False
    for word in sent.split("+"):
        if word.isdigit():
            play.wait(int(word) / 1000)
            continue
        with contextlib.suppress(ProcessLookupError):
            if pid != play.process.pid or play.process.poll() is None:
                os.kill(pid, getattr(signal, f"SIG{word}"))
                reached = True
    return reached


def codes_of(sent, had_processes):
    """The exit codes that are right when the program itself gets these signals."""
    first = getattr(signal, f"SIG{sent.split('+')[0]}")
    if first == signal.SIGSTOP:
        return RESULTS
    if first == signal.SIGKILL:
        return [-first]
    # Before anything was begun, a signal does what it does to any program.
    return [*RESULTS, 7, *([] if had_processes else [-first])]


def run(lab, kind, place):
    target, sent, delay_ms = place.split(":")
    role = target.rstrip("0123456789")
    play = lab.start([lab.lastack, *kind.arguments], lab.bound_s(kind))
    pid = sight(play, target)
    note = "missed"
    had_processes = False
    if pid is not None and not play.wait(int(delay_ms) / 1000):
        had_processes = len(play.members()) > 1
        if send(play, pid, sent):
            note = f"{sent} to {pid}"
    outcome = play.end(note)
    codes, named = RESULTS, judge.NAMED if role == PROGRAM else ROLE_AND_SIGNAL
    if role == PROGRAM and note != "missed":
        codes = codes_of(sent, had_processes and kind.name not in ALONE)
    faults = judge.faults_of(kind, outcome, lab.reference(kind).out, codes, named)
    if not faults and outcome.code not in [*codes, 1, 3]:
        faults.append(judge.Fault("exit-code", f"{outcome.code} after {note}: "
                                               f"{judge.last_line(outcome.err)}"))
    return outcome, faults
