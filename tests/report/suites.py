"""Small suites of made-up figures, always the same ones for a seed, and their comparison."""
import copy
import csv
import json
import random
import re
import statistics
from pathlib import Path

REPETITIONS = 4
CONNECTIONS = 2000
WIDTH_NS = 10_000_000  # of a timeline's bins
KEY = ["row", "strategy", "watch", "probe", "write_path"]
LATENCIES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
# Markup, an entity, what ends a script, an attribute, and what a template would run. Of a finding's
# name, which ends at "=" or ";", only a part.
HOSTILE = "</title><img src=x onerror=alert(1)></script><script>window.injected=1</script>\"'&lt " \
    "{{ 7*7 }}{% if %}{#"
HOSTILE_FINDING = "<u>\"'&lt {{ 7*7 }}"
ROWS = [  # row, strategy, watch, probe, its median per side in ns, the findings per side
    ("rst-spin", "rst-linger", "recv", "none", (20_000, 31_000),
     ({"econnreset": 1.0}, {"econnreset": 1.0})),
    ("fin-block", "fin", "epoll", "none", (62_000, 62_000), ({"eof": 1.0}, {"eof": 1.0})),
    ("late-reset", "fin-then-rst", "recv", "none", (160_000, 162_000),
     ({"epipe": 1.0}, {"econnreset": 0.9, "epipe": 0.1})),
    ("silent-plain", "silent", "recv", "none", (0, 0), ({"nothing": 1.0}, {"nothing": 1.0})),
]
KEEPALIVE = "keepalive-idle=1s;keepalive-interval=1s;keepalive-count=2"
OFTEN = "heartbeat-interval=33ms;heartbeat-deadline=100ms"
SELDOM = "heartbeat-interval=333ms;heartbeat-deadline=1s"
FRONTIER = [  # probe, settings, load_state, p50 ns, survivors' CPU ns, its lower end, false alarms
    ("keepalive", KEEPALIVE, "quiet", 3.02e9, 36.1, -11.4, 0),
    ("heartbeat-wheel", OFTEN, "quiet", 1.0e8, 493e3, 471e3, 0),
    ("heartbeat-wheel", SELDOM, "quiet", 1.0e9, 49e3, 47e3, 0),
    ("heartbeat-scan", OFTEN, "quiet", 1.1e8, 484e3, 425e3, 343),
    ("heartbeat-scan", OFTEN, "cpu-hog", 1.2e8, 484e3, 425e3, 500),
    ("user-timeout", "user-timeout=1s", "quiet", 1.4e9, None, None, 0),
]


def write_csv(path, lines):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def curve_of(median_ns, scatter, count):
    """[percentile, latency_ns, count]: straight on a logarithmic axis, so easy to check."""
    points = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 92, 95, 97, 99, 99.5, 99.9, 100]
    return [[point, round(median_ns * (0.6 + point / 125) * (1 + max(point - 90, 0) ** 1.3 / 9)
                          * scatter), max(1, round(count * point / 100))] for point in points]


def frontier_lines():
    return [{"schema_version": 1, "run": f"probe-{number}", "watch": "recv", "probe": probe,
             "settings": settings, "load": "idle", "reader": "running", "neighbours": 0,
             "load_state": state, "silent": 500, "found": 500, "found_share": 1,
             "latency_p50_ns": round(p50), "latency_p99_ns": round(p50 * 1.02), "alive": 500,
             "false_alarms": alarms, "false_alarm_share": alarms / 500, "early_alarms": 0,
             "cost_basis": "" if cpu is None else "measured",
             "survivor_cpu_ns": "" if cpu is None else cpu,
             "survivor_cpu_low_ns": "" if low is None else low,
             "survivor_cpu_high_ns": "" if cpu is None else cpu * 1.1, "victim_cpu_ns": "",
             "segments": ""}
            for number, (probe, settings, state, p50, cpu, low, alarms) in enumerate(FRONTIER)]


def environment(kernel, hertz, day):
    return {"time": f"2026-11-{day}T10:00:00Z", "host": "lab", "load_average": [0.1, 0.2, 0.3],
            "kernel": {"release": kernel, "hz": hertz, "preemption": {"config": ["PREEMPT_NONE"]}},
            "cpu": {"model": "Test CPU", "online_count": 2, "smt": False},
            "tcp": {"congestion_control": "cubic", "sysctls": {"net/ipv4/tcp_retries2": "15"}},
            "build": {"version": "0.1.0", "commit": "0123456789ab", "build_type": "Release"}}


def make_suite(folder, side, kernel, hertz, day, chance, with_frontier=True):
    """Writes a suite; returns {key: [p50 of each repetition]}."""
    folder.mkdir()
    summary, latency, timeline, runs, rows, medians = [], [], [], [], [], {}
    for place, (row, strategy, watch, probe, median, findings) in enumerate(ROWS):
        number = f"{place + 1:02d}-{strategy}-{watch}"
        command = f"lastack run --connections 2k --mix {strategy} --watch {watch}"
        rows.append({"name": row, "command": command})
        counts = {name: round(share * CONNECTIONS) for name, share in findings[side].items()}
        nothing = counts.pop("nothing", 0)
        key = (row, strategy, watch, probe, "")
        for repetition in range(REPETITIONS + 1):  # 0 is the warm-up, and far off
            scatter = chance.uniform(0.97, 1.03) * (1 if repetition else 50)
            run = f"{number}/{'warm-up' if repetition == 0 else f'rep-{repetition}'}"
            (folder / run).mkdir(parents=True)
            curve = curve_of(median[side], scatter, CONNECTIONS)
            figures = {name: "" if nothing else
                       next(point[1] for point in curve if point[0] == share * 100)
                       for name, share in LATENCIES.items()}
            if repetition and not nothing:
                medians.setdefault(key, []).append(figures["p50"])
            summary.append({
                "schema_version": 1, "row": row, "run": run, "repetition": repetition,
                "warm_up": int(repetition == 0), "run_status": "ok", "deadline": "5s",
                "cpu_ns_per_connection": round(9000 * scatter), "segments_per_connection": 7,
                "strategy": strategy, "watch": watch, "probe": probe, "requested": CONNECTIONS,
                "found": CONNECTIONS - nothing, "nothing": nothing, "undecided": 0,
                "findings": ";".join(f"{name}={count}" for name, count in counts.items()),
                "skipped": "", "latency_count": CONNECTIONS - nothing,
                **{f"latency_{name}_ns": value for name, value in figures.items()},
                "latency_max_ns": "" if nothing else curve[-1][1], "write_path": ""})
            runs.append({"name": row, "folder": run, "repetition": repetition,
                         "warm_up": repetition == 0, "order": len(runs), "command": command,
                         "status": "ok", "exit_code": 0, "error": None, "sysctls": {}})
            bins = [{"schema_version": 1, "start_ns": start * WIDTH_NS,
                     "injected": chance.randint(300, 400) * (start < 5),
                     "found": chance.randint(150, 200) * (not nothing),
                     "in_flight": 100 * (9 - start), "width_ns": WIDTH_NS} for start in range(10)]
            write_csv(folder / run / "timeline.csv", bins)
            timeline += [{"row": row, **each} for each in bins if repetition == 1]
        if nothing:
            continue
        for since in ("issued", "scheduled"):
            late = 0 if since == "issued" else 1000
            latency += [{"schema_version": 1, "row": row, "strategy": strategy, "watch": watch,
                         "probe": probe, "write_path": "", "since": since, "percentile": percentile,
                         "latency_ns": value + late, "count": count}
                        for percentile, value, count in
                        curve_of(median[side], 1, CONNECTIONS * REPETITIONS)]
    write_csv(folder / "summary.csv", summary)
    write_csv(folder / "latency.csv", latency)
    write_csv(folder / "timeline.csv", timeline)
    write_csv(folder / "frontier.csv", frontier_lines())
    if not with_frontier:
        header = (folder / "frontier.csv").read_text().splitlines()[0]
        (folder / "frontier.csv").write_text(header + "\n")
    (folder / "manifest.json").write_text(json.dumps({
        "schema_version": 1, "suite": "abrupt", "quick": False, "repetitions": REPETITIONS,
        "warm_up_repetitions": 1, "seed": 7, "status": "ok", "exit_code": 0,
        "notes": ["timers are scaled down"], "environment": environment(kernel, hertz, day),
        "rows": rows, "runs": runs, "frontier": [], "safe_heartbeat_deadlines": []}))
    return medians


def quantity(name, unit, better, values, verdicts, percent):
    sides = [{"n": len(each), "median": statistics.median(each), "low": min(each),
              "high": max(each), "values": each} for each in values]
    changes = [{"side": side, "percent": percent, "low": percent - 1.5, "high": percent + 1.5,
                "difference": None, "difference_low": None, "difference_high": None, "p": 0.0286,
                "adjusted_p": 0.029 if verdict != "same" else 0.686,
                "verdict": verdict, "reason": ""} for side, verdict in enumerate(verdicts, 1)]
    return {"name": name, "unit": unit, "better": better, "sides": sides, "changes": changes}


def make_comparison(path, names, kernels, medians):
    """What `lastack compare` would say of the suites, in its JSON."""
    rows = []
    for row, strategy, watch, probe, _, findings in ROWS:
        key = (row, strategy, watch, probe, "")
        kinds = [] if strategy != "fin-then-rst" else [
            f"finding econnreset: 0 of 8000 in {names[0]}, 7200 of 8000 in {names[1]}"]
        quantities = []
        if key in medians[0]:
            values = [side[key] for side in medians]
            percent = (statistics.median(values[1]) / statistics.median(values[0]) - 1) * 100
            verdict = "worse" if row == "rst-spin" else "same"
            quantities.append(quantity("latency_p50", "ns", "less", values, [verdict], percent))
        rows.append({**dict(zip(KEY, key)), "skipped": [None, None], "findings": list(findings),
                     "changes_in_kind": kinds, "quantities": quantities,
                     "rare": ["finding epipe: 0 of 8000 and 1 of 8000"] * (strategy == "fin")})
        costs = [quantity("cpu_per_connection", "ns", "less", [[9000, 9050, 9100, 8990]] * 2,
                          ["same"], 0.0)]
        rows.append({**dict(zip(KEY, (row, "-", "-", "-", "-"))), "skipped": [None, None],
                     "findings": [{}, {}], "changes_in_kind": [], "rare": [],
                     "quantities": costs})
    rows.sort(key=lambda row: not row["changes_in_kind"])
    document = {
        "schema_version": 1, "command": f"lastack compare {' '.join(names)}", "confidence": 0.95,
        "family": 7, "correction": "benjamini-hochberg",
        "sides": [{"label": name, "path": name, "suite": "abrupt", "kernel": kernel,
                   "lastack": "0.1.0 0123456", "time": "2026-11-20T10:00:00Z",
                   "repetitions": REPETITIONS, "warm_up_left_out": 4, "runs": 16,
                   "failed_runs": [], "drift": {"tests": 7, "different": side}}
                  for side, (name, kernel) in enumerate(zip(names, kernels))],
        "environment": [{"key": "kernel.release", "values": kernels, "blocking": False},
                        {"key": "kernel.hz", "values": [250, 1000], "blocking": False}],
        "refusals": [], "rows": rows,
        "geometric_means": [{"quantity": "latency_p50", "side": 1, "percent": 16.2,
                             "low": 9.1, "high": 24.0, "shown": True, "rows": 3}],
        "detectable": {"repetitions": [REPETITIONS] * 2, "percent": 5, "rows": [],
                       "text": ["a change of 5 % would be seen in 2 of 3 rows"]},
        "notes": ["new drifted: 3 of 7 tests of its own halves differ", "rare: fin-block: epipe"],
        "kind_changes": 1, "worse": 1, "better": 0}
    path.write_text(json.dumps(document))
    return document


def make_pair(folder, with_frontier=True, seed=1):
    """Two suites A and B and their comparison below folder."""
    chance = random.Random(seed)
    names, kernels = ["old", "new"], ["6.1.0-test", "6.18.0-test"]
    medians = [make_suite(Path(folder) / name, side, kernels[side], (250, 1000)[side], 20 + side,
                          chance, with_frontier) for side, name in enumerate(names)]
    comparison = make_comparison(Path(folder) / "compare.json", names, kernels, medians)
    return [Path(folder) / name for name in names], copy.deepcopy(comparison)


# What the manifest of a guest that counts instructions says.
VIRTUAL_LAB = {"accelerator": "tcg", "time_unit": "virtual_ns",
               "does_not_show": ["caches", "real interrupts", "parallelism"]}


def in_virtual_time(folder):
    """Makes it a suite of such a guest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["environment"]["lab"] = VIRTUAL_LAB
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def with_two_modes(folder, row, repetitions):
    """Makes two groups of the latencies of a row's first repetitions."""
    path = folder / "summary.csv"
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        two = line["row"] == row and int(line["repetition"]) in range(1, repetitions + 1)
        line.update(zip(("mode_1_p50_ns", "mode_1_share", "mode_2_p50_ns", "mode_2_share"),
                        (14_079, 0.62, 18_687, 0.38) if two else ("",) * 4))
    write_csv(path, lines)
    return folder


# ---- suites that somebody made to harm who looks at them ----

# Decides what is shown, or has a grammar that is checked: everything else is any text.
WORDS_OF_LASTACK = {"since", "status", "run_status", "verdict", "folder", "findings"}


def hostile(value, name=""):
    """A document whose every text, and every name of a sysctl, ends with HOSTILE; the same text
    always becomes the same, so that files still agree."""
    if isinstance(value, dict):
        return {hostile(key) if "/" in key else key: hostile(part, key)
                for key, part in value.items()}
    if isinstance(value, list):
        return [hostile(part, name) for part in value]
    if not isinstance(value, str) or name in WORDS_OF_LASTACK or \
            re.fullmatch(r"-|[-0-9.e+]*", value):  # nothing, or a number in a CSV file
        return value
    return value + HOSTILE


def make_hostile_pair(folder):
    """Two suites and their comparison, hostile wherever they hold a text; and all these texts."""
    pair, comparison = make_pair(folder)
    change = comparison["rows"][-1]["quantities"][0]["changes"][0]
    change.update(verdict="untestable", reason="6 repetitions a side are needed")
    comparison["refusals"] = ["cpu.model differs"]
    documents = {Path(folder) / "compare.json": comparison}
    for suite in pair:
        manifest = json.loads((suite / "manifest.json").read_text())
        manifest["runs"][0].update(status="failed", error="no memory")
        documents[suite / "manifest.json"] = manifest
        for path in suite.glob("*.csv"):
            with path.open(newline="") as file:
                documents[path] = list(csv.DictReader(file))
        for line in documents[suite / "summary.csv"]:
            line["findings"] = line["findings"].replace("=", f"{HOSTILE_FINDING}=")
            if suite == pair[1] and line["row"] == "silent-plain":
                line.update(nothing="", findings="", skipped="needs another kernel")
    texts = set()
    for path, document in documents.items():
        document = hostile(document)
        texts |= {text for text in every_text(document) if text.endswith(HOSTILE)}
        if path.suffix == ".csv":
            write_csv(path, document)
        else:
            path.write_text(json.dumps(document))
    return pair, texts


def every_text(value):
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from every_text(part)
    elif isinstance(value, str):
        yield value
