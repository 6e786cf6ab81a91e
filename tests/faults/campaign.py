#!/usr/bin/env python3
"""Disturbs lastack at seeded places, and judges what becomes of it.

usage: campaign.py --lastack PROGRAM [--campaign NAME|all] [--seed N] [--runs N] [--minutes M]
       campaign.py --lastack PROGRAM --case CAMPAIGN/KIND/PLACE [--times N] [--verbose]

campaigns: syscalls   system calls that fail, by strace
           signals    signals to the program and to every process of it, at any instant
           shortages  too little of everything that rlimits, cgroups and sysctls can ration
           states     what a process inherits: ignored signals, closed descriptors, odd limits

Each has --runs runs, spread over all kinds of runs, and an equal part of --minutes: whichever ends
first. Judged, whatever was done: the run ends (hang), no process of it aborts (abort), its exit
code is documented (exit-code), exit 0 comes with a whole ledger (wrong-ledger), nothing stays
behind (leftover), and a failure says what was tried and the errno or signal (nameless).

Every finding is a line: its verdict, and the command that repeats it. PROGRAM must be built without
sanitizers (LeakSanitizer dies under ptrace). Exit code: 0; 1 when anything was found; 2 for bad
usage.
"""
import argparse
import collections
import concurrent.futures
import os
import random
import shlex
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import judge
import kinds
import play
import signals
import states
import syscalls

CAMPAIGNS = {"syscalls": syscalls, "signals": signals, "shortages": states.SHORTAGES,
             "states": states.INHERITED}
# A run may take its plain time four times over, and for whatever it waits the minute that a silent
# launcher has (silence_patience_ns in plan/patience.h) and something.
BOUND_S, BOUND_FACTOR = 70, 4
TRIES = 5  # a busy machine is late at times


class Lab:
    """The program under test, and what it does when nobody disturbs it."""

    def __init__(self, program, work):
        self.work = Path(work)
        self.work.chmod(0o755)
        # A copy: for users who may not look into the build tree, and for builds meanwhile.
        self.lastack = str(shutil.copy(program, self.work / "lastack"))
        os.chmod(self.lastack, 0o755)
        self._known = {}
        self._lock = threading.Lock()
        self._locks = collections.defaultdict(threading.Lock)

    def play(self, command, bound_s):
        return play.play(self.work, command, bound_s)

    def start(self, command, bound_s):
        return play.Play(self.work, command, bound_s)

    def _once(self, key, make):
        with self._lock:
            lock = self._locks[key]
        with lock:
            if key not in self._known:
                self._known[key] = make()
            return self._known[key]

    def reference(self, kind):
        """The outcome of a run without faults."""
        def make():
            for _ in range(TRIES):
                outcome = self.play([self.lastack, *kind.arguments], 300)
                faults = judge.faults_of(kind, outcome)
                if not faults and outcome.code in (0, 6):
                    return outcome
            print(f"campaign.py: kind {kind.name} fails without a fault: exit code {outcome.code}, "
                  f"{faults}, {outcome.err}", file=sys.stderr)
            return outcome
        return self._once(("reference", kind.name), make)

    def recorded(self, kind):
        return self._once(("calls", kind.name), lambda: syscalls.record(self, kind))

    def bound_s(self, kind):
        return BOUND_S + BOUND_FACTOR * self.reference(kind).seconds


def kinds_of(campaign, seed):
    """An endless walk over the campaign's kinds: all of them, before one comes again."""
    names = list(getattr(campaign, "kinds", None) or [kind.name for kind in kinds.KINDS])
    random.Random(f"{seed}").shuffle(names)
    while True:
        yield from map(kinds.kind_named, names)


def one_case(lab, name, kind, place):
    """(place, outcome, faults); the place is drawn when it is a random generator."""
    campaign = CAMPAIGNS[name]
    if not isinstance(place, str):
        place = campaign.draw(lab, kind, place)
    outcome, faults = campaign.run(lab, kind, place)
    return place, outcome, faults


def cases_of(options, names):
    for name in names:
        walk = kinds_of(CAMPAIGNS[name], options.seed)
        for index in range(options.runs or sys.maxsize):
            yield name, next(walk), random.Random(f"{options.seed}/{name}/{index}")


class Summary:
    def __init__(self, options):
        self.options = options
        self.by_campaign = collections.defaultdict(collections.Counter)
        self.codes = collections.defaultdict(collections.Counter)

    def add(self, name, kind, place, outcome, faults):
        counts = self.by_campaign[name]
        counts["runs"] += 1
        counts["missed"] += outcome.note == "missed"
        counts.update({fault.verdict for fault in faults})
        self.codes[name][outcome.code] += 1
        again = (f"{sys.argv[0]} --lastack {self.options.lastack} --case "
                 f"{shlex.quote(f'{name}/{kind.name}/{place}')}")
        for fault in faults:
            print(f"{fault.verdict}: {again}  # {fault.detail}", flush=True)
        if self.options.verbose:
            print(f"{name}/{kind.name}/{place}: exit code {outcome.code} after "
                  f"{outcome.seconds:.1f} s {outcome.note}: {judge.last_line(outcome.err)}",
                  flush=True)

    def print(self):
        for name, counts in self.by_campaign.items():
            words = [f"{counts[verdict]} {verdict}" for verdict in judge.VERDICTS]
            codes = ", ".join(f"{code}: {count}"
                              for code, count in sorted(self.codes[name].items()))
            print(f"{name}: {counts['runs']} runs ({counts['missed']} missed their place), "
                  f"{', '.join(words)}; exit codes {codes}")
        return any(counts[verdict] for counts in self.by_campaign.values()
                   for verdict in judge.VERDICTS)


def play_cases(lab, options, cases, until_s, summary):
    """Plays the cases, --jobs at a time, until there are no more or the time is over."""
    def next_case():
        return next(cases, None) if time.monotonic() < until_s else None

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        running = {}
        while True:
            while len(running) < options.jobs and (case := next_case()):
                running[pool.submit(one_case, lab, *case)] = case
            if not running:
                return
            done, _ = concurrent.futures.wait(
                running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                name, kind, _ = running.pop(future)
                summary.add(name, kind, *future.result())


def arguments():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--lastack", required=True)
    parser.add_argument("--campaign", default="all", choices=["all", *CAMPAIGNS])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--case")
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    if not options.case and not options.runs and not options.minutes:
        parser.error("--runs and --minutes are missing; allowed: one or both, or --case")
    if not shutil.which("strace"):
        parser.error("strace is missing: scripts/install_packages.sh test")
    return options


def main():
    options = arguments()
    summary = Summary(options)
    with tempfile.TemporaryDirectory(prefix="lastack-faults-") as work:
        lab = Lab(options.lastack, work)
        if options.case:
            name, kind, place = options.case.split("/", 2)
            cases = iter([(name, kinds.kind_named(kind), place)] * options.times)
            play_cases(lab, options, cases, float("inf"), summary)
        else:
            names = list(CAMPAIGNS) if options.campaign == "all" else [options.campaign]
            part_s = options.minutes * 60 / len(names) or float("inf")
            for name in names:
                play_cases(lab, options, cases_of(options, [name]), time.monotonic() + part_s,
                           summary)
    return 1 if summary.print() else 0


if __name__ == "__main__":
    sys.exit(main())
