#!/usr/bin/python3
"""Whether `lastack compare` cries wolf, and whether it is deaf: measured on this host.

Records the paced rows of suite rst, repetition by repetition in an order by chance, each with and
without a known slowdown: survivors that spin for a tenth of the row's median latency before each
look (--reap-delay; its length comes from a pilot that is thrown away). Then, so often as --splits:
  A against A   20 repetitions without the slowdown against the 20 others: whatever is reported is
                a false alarm; allowed in 5 % of rows
  slowdown      20 without against 20 with it: the median latency must be found worse in 90 % of
                rows
The same is told of sides of 10 and of 5, which are not judged.

All runs share one CPU, the first that this process may use: on a virtual host, how far two CPUs are
apart and how long a halted one takes to wake change from run to run, and nobody inside can tell
(--all-cpus records that). Row order, number of repetitions and the warm-up that is left out are
fixed here, before anything is recorded. Exit code: 0 when both hold, 1 when not, 2 for bad usage.
"""
import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from files import (BUILT_LASTACK, a_path, deliver, fail, json_of, output_of, read_json, reason,
                   write_files)

WARM_UPS, REPETITIONS = 1, 40  # of each row
SIDES = (5, 10, 20)  # repetitions on a side; the last, half of all, is judged
SLOWDOWN = 0.10
PILOTS = 3
MOST_FALSE_ALARMS, FEWEST_FOUND = 0.05, 0.90
PLAIN, DELAYED = "plain", "delayed"
GOOD_CODES = (0, 6)  # an achieved rate below the one asked for is a figure like any other


def paced_rows(lastack, quick):
    """(name, options) of each row; a row that spins needs two CPUs that are its own."""
    suites = json_of([lastack, "suite", "list", "--format", "json"], GOOD_CODES)
    rst = next(suite for suite in suites if suite["name"] == "rst")
    rows = [(row["name"], row["command"].split()[2:])
            for row in rst["quick" if quick else "full"]["rows"]
            if row["name"].startswith("paced-") and "spin" not in row["name"]]
    return rows[:2] if quick else rows


def median_latency_ns(lastack, options):
    """Of the row's findings; the largest of its strategies' medians."""
    run = json_of([lastack, "run", *options, "--format", "json"], GOOD_CODES)
    return max(row["latency_ns"]["p50"] for row in run["ledger"])


def pilot(lastack, rows):
    """The slowdown of each row in nanoseconds."""
    delays = {}
    for name, options in rows:
        medians = sorted(median_latency_ns(lastack, options) for _ in range(PILOTS))
        delays[name] = round(SLOWDOWN * medians[PILOTS // 2])
    return delays


def record(lastack, rows, delays, repetitions, chance, folder):
    """Plays everything; the runs lie in folder/SIDE/ROW-REPETITION, the warm-ups are removed."""
    for repetition in range(WARM_UPS + repetitions):
        turns = [(row, side) for row in rows for side in (PLAIN, DELAYED)]
        chance.shuffle(turns)
        for (name, options), side in turns:
            out = folder / side / f"{name}-{repetition - WARM_UPS:02}"
            delay = ["--reap-delay", f"{delays[name]}ns"] if side == DELAYED else []
            output_of([lastack, "run", *options, *delay, "--out", str(out)], GOOD_CODES)
            if repetition < WARM_UPS:
                shutil.rmtree(out)
        if sys.stderr.isatty():
            print(f"recorded {repetition + 1} of {WARM_UPS + repetitions}", file=sys.stderr)


def recorded(folder, name, command):
    """One run as the lines and the manifest's entry that a suite has of it."""
    run = read_json(folder / "run.json", "the run.json of a run")
    cost = run["cost"]
    header, *lines = (folder / "summary.csv").read_text(encoding="utf-8").splitlines()
    connections = sum(row["requested"] for row in run["ledger"])
    survivors_cpu_ns = cost["survivors"]["user_ns"] + cost["survivors"]["system_ns"]
    front = [name, folder.name, "{repetition}", "0", run["status"],
             f"{survivors_cpu_ns / connections:.1f}",
             f"{cost['traffic']['out_segments'] / connections:.1f}"]
    entry = {"name": name, "folder": folder.name, "warm_up": False, "command": command,
             "status": run["status"], "exit_code": run["exit_code"], "error": run["error"]}
    return {"header": header, "lines": lines, "front": ",".join(front), "entry": entry,
            "environment": run["environment"]}


def side_of(runs, side, rows, repetitions, into):
    """A suite's folder that has these repetitions, numbered anew."""
    into.mkdir(parents=True)
    summary, entries = [], []
    for name, _ in rows:
        for place, repetition in enumerate(repetitions, 1):
            run = runs[side, name, repetition]
            if not summary:
                columns = run["header"].split(",", 1)[1]
                summary.append("schema_version,row,run,repetition,warm_up,run_status,"
                               f"cpu_ns_per_connection,segments_per_connection,{columns}")
            for line in run["lines"]:
                version, figures = line.split(",", 1)
                front = run["front"].replace("{repetition}", str(place))
                summary.append(f"{version},{front},{figures}")
            entries.append({**run["entry"], "repetition": place, "order": len(entries) + 1})
    manifest = {"schema_version": 1, "suite": "calibration", "quick": False, "status": "ok",
                "environment": run["environment"],
                "rows": [{"name": name, "command": " ".join(["lastack", "run", *options])}
                         for name, options in rows],
                "runs": entries}
    (into / "summary.csv").write_text("\n".join(summary) + "\n", encoding="utf-8")
    (into / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return str(into)


def compare(lastack, a, b):
    return json_of([lastack, "compare", a, b, "--format", "json"])


def reported(row):
    """Whether any difference is reported for the row."""
    return row["changes_in_kind"] or any(change["verdict"] in ("worse", "better", "changed")
                                         for quantity in row["quantities"]
                                         for change in quantity["changes"])


def found_worse(row):
    return any(change["verdict"] == "worse"
               for quantity in row["quantities"] if quantity["name"] == "latency_p50"
               for change in quantity["changes"])


def measured_rows(comparison):
    """Those with a latency: not those for what a whole run used."""
    return [row for row in comparison["rows"]
            if any(quantity["name"] == "latency_p50" and all(quantity["sides"])
                   for quantity in row["quantities"])]


def split(lastack, rows, order, slow, side, runs, scratch):
    """What a comparison of `side` repetitions with as many others says: without the slowdown, and
    with it."""
    half = len(order) // 2
    a = side_of(runs, PLAIN, rows, order[:side], scratch / "a")
    again = side_of(runs, PLAIN, rows, order[half:half + side], scratch / "again")
    delayed = side_of(runs, DELAYED, rows, slow[:side], scratch / "delayed")
    same, slower = compare(lastack, a, again), compare(lastack, a, delayed)
    return {"rows": len(same["rows"]), "false_alarms": sum(map(bool, map(reported, same["rows"]))),
            "slowed_rows": len(measured_rows(slower)),
            "slowdowns_found": sum(map(found_worse, measured_rows(slower)))}


def judge(lastack, rows, runs, splits, sides, repetitions, chance):
    """By side: the counts of each split, and their shares."""
    counts = {side: [] for side in sides}
    for _ in range(splits):
        order, slow = list(range(repetitions)), list(range(repetitions))
        chance.shuffle(order)
        chance.shuffle(slow)
        for side in sides:
            with tempfile.TemporaryDirectory() as scratch:
                counts[side].append(split(lastack, rows, order, slow, side, runs, Path(scratch)))
    outcomes = []
    for side in sides:
        total = {name: sum(count[name] for count in counts[side]) for name in counts[side][0]}
        outcomes.append({"repetitions_a_side": side, **total,
                         "false_alarm_share": total["false_alarms"] / total["rows"],
                         "found_share": total["slowdowns_found"] / total["slowed_rows"],
                         "splits": counts[side]})
    return outcomes


def told(outcome):
    side = outcome["repetitions_a_side"]
    return (f"{side} against {side} repetitions:\n"
            f"  A against A: {outcome['false_alarms']} of {outcome['rows']} rows reported "
            f"({outcome['false_alarm_share']:.1%}; allowed {MOST_FALSE_ALARMS:.0%})\n"
            f"  slowdown of {SLOWDOWN:.0%}: found in {outcome['slowdowns_found']} of "
            f"{outcome['slowed_rows']} rows ({outcome['found_share']:.1%}; "
            f"wanted {FEWEST_FOUND:.0%})\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", required=True, type=a_path,
                        help="new folder for runs/ and result.json")
    parser.add_argument("--lastack", default=str(BUILT_LASTACK), help="the program")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--all-cpus", action="store_true",
                        help="do not confine the runs to one CPU")
    parser.add_argument("--quick", action="store_true",
                        help="few connections and repetitions, to see that the script works; its "
                             "figures say nothing, and the exit code does not judge them")
    arguments = parser.parse_args()
    if not os.access(arguments.lastack, os.X_OK):
        fail(f"{arguments.lastack} is not a program; build it, or give --lastack")
    folder = arguments.out
    if os.path.lexists(folder):
        fail(f"{folder} exists; expected a new folder")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        fail(f"{folder} cannot be made: {reason(error)}")
    repetitions, sides = (4, (2,)) if arguments.quick else (REPETITIONS, SIDES)
    cpus = sorted(os.sched_getaffinity(0))
    if not arguments.all_cpus:
        cpus = cpus[:1]
    os.sched_setaffinity(0, cpus)  # the runs inherit it
    chance = random.Random(arguments.seed)
    rows = paced_rows(arguments.lastack, arguments.quick)
    delays = pilot(arguments.lastack, rows)
    record(arguments.lastack, rows, delays, repetitions, chance, folder / "runs")

    runs = {(side, name, repetition):
            recorded(folder / "runs" / side / f"{name}-{repetition:02}", name,
                     " ".join(["lastack", "run", *options]))
            for name, options in rows for side in (PLAIN, DELAYED)
            for repetition in range(repetitions)}
    outcomes = judge(arguments.lastack, rows, runs, arguments.splits, sides, repetitions, chance)
    result = {"schema_version": 1, "seed": arguments.seed, "cpus": cpus, "slowdown": SLOWDOWN,
              "reap_delay_ns": delays, "allowed_false_alarm_share": MOST_FALSE_ALARMS,
              "wanted_found_share": FEWEST_FOUND, "sides": outcomes}
    text = json.dumps(result, indent=2) + "\n"
    try:
        write_files({folder / "result.json": lambda file: file.write(text.encode())})
    finally:
        deliver("".join(map(told, outcomes)))
    judged = outcomes[-1]
    if arguments.quick:
        return 0
    return 0 if (judged["false_alarm_share"] <= MOST_FALSE_ALARMS
                 and judged["found_share"] >= FEWEST_FOUND) else 1


if __name__ == "__main__":
    sys.exit(main())
