#!/usr/bin/env python3
"""How often the second send to a closed peer fails: runs lastack over write rates, payloads, paths,
numbers of connections and sides, and prints one table.

usage: second_send.py LASTACK [--out DIR] [--quick]

LASTACK is the program. With --out, DIR gets second-send.csv and second-send.md; it must be new or
empty.
--quick runs a small part, for a test. Exit code: 0; 1 when a run was not ok; 2 for bad usage.
"""
import argparse
import collections
import csv
import itertools
import io

from files import a_path, deliver, fail, json_of, reason, write_files

COLUMNS = ["survivor", "path", "connections", "runs", "write_rate", "payload", "schedule",
           "as_claimed", "econnreset_first", "more_than_one_accepted", "most_accepted_after_fin",
           "most_accepted_after_act", "lost_after_act_bytes"]
RUNS = {"100": 5, "10k": 1}  # of each row, with another seed each


def settings(quick):
    """(survivor, path, connections, schedule, write rate, payload) of every run."""
    loads = [("100", "rate=200/s", ["rate=1/s", "rate=10/s", "rate=1k/s", "max"]),
             ("10k", "rate=2k/s", ["rate=1/s", "rate=5/s"])]
    if quick:
        loads = [("100", "rate=200/s", ["rate=10/s"])]
    for survivor, path in itertools.product(["client", "server"], ["loopback", "veth"]):
        for connections, schedule, rates in loads:
            for rate, payload in itertools.product(rates, ["64"] if quick else ["64", "64KiB"]):
                # Ten thousand writers of 64 KiB are another experiment: memory bandwidth.
                if connections == "10k" and payload == "64KiB":
                    continue
                yield survivor, path, connections, schedule, rate, payload


def run_once(lastack, survivor, path, connections, schedule, rate, payload, seed):
    command = [lastack, "run", "--watch", "writer", "--write-path", "send-call", "--mix", "fin",
               "--survivor", survivor, "--path", path, "--connections", connections, "--schedule",
               schedule, "--write-rate", rate, "--payload", payload, "--deadline", "10s",
               "--seed", str(seed), "--format", "json"]
    return json_of(command, code=1)["ledger"][0]


def measure(lastack, quick, survivor, path, connections, schedule, rate, payload):
    runs = 1 if quick else RUNS[connections]
    rows = [run_once(lastack, survivor, path, connections, schedule, rate, payload, seed)
            for seed in range(1, runs + 1)]
    total = sum(row["torn_down"] for row in rows)
    after_fin, after_act = collections.Counter(), collections.Counter()
    for row in rows:
        after_fin.update(dict(row["writes"]["by_accepted_after_fin"]))
        after_act.update(dict(row["writes"]["by_accepted_after_act"]))
    first = collections.Counter()
    for row in rows:
        first.update(row["writes"]["first_errors"])
    many = sum(count for writes, count in after_fin.items() if writes > 1)
    lost = sum(row["writes"]["bytes"]["lost_after_act"] for row in rows)
    return {"survivor": survivor, "path": path, "connections": total, "runs": runs,
            "write_rate": rate, "payload": payload, "schedule": schedule,
            # EPIPE came first, and at most one write was accepted when the FIN was there: none
            # when the FIN arrived during the write that drew the RST.
            "as_claimed": (first["EPIPE"] - many) / total,
            "econnreset_first": first["ECONNRESET"] / total,
            "more_than_one_accepted": many / total,
            "most_accepted_after_fin": max(after_fin),
            "most_accepted_after_act": max(after_act),
            "lost_after_act_bytes": lost / total}


def percent(share):
    return f"{100 * share:.2f} %"


def markdown(rows):
    lines = ["| survivor | path | connections | write rate | payload | as claimed | "
             "ECONNRESET first | more than one accepted after the FIN | most | "
             "bytes lost after t0, per connection |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        lines.append(
            f"| {row['survivor']} | {row['path']} | {row['connections']:,} | {row['write_rate']} | "
            f"{row['payload']} | {percent(row['as_claimed'])} | "
            f"{percent(row['econnreset_first'])} | {percent(row['more_than_one_accepted'])} | "
            f"{row['most_accepted_after_fin']} | {row['lost_after_act_bytes']:,.0f} |")
    return "\n".join(lines) + "\n"


def csv_text(rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def new_folder(path):
    """Before anything is measured."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            fail(f"--out {path} is not empty; allowed: a new or an empty folder")
    except OSError as error:
        fail(f"--out {path}: {reason(error)}; allowed: a new or an empty folder")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("lastack")
    parser.add_argument("--out", type=a_path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.out:
        new_folder(options.out)
    rows = [measure(options.lastack, options.quick, *one) for one in settings(options.quick)]
    table = markdown(rows)
    try:
        if options.out:
            contents = {"second-send.csv": csv_text(rows), "second-send.md": table}
            write_files({options.out / name: lambda file, text=text: file.write(text.encode())
                         for name, text in contents.items()})
    finally:
        deliver(table)  # it is not lost to its file


main()
