"""What the folder of a suite holds. Bad input ends the program with one line."""
import csv
import io
import json
import math
import re
import sys

SCHEMA = 1
KEY = ["row", "strategy", "watch", "probe", "write_path"]  # aligns the lines of several suites
OLDER_WIDTH_NS = 100_000_000  # of a timeline's bins, before they told it
PERCENTILES = {"50": "p50", "90": "p90", "99": "p99", "99.9": "p99.9", "100": "max"}
# Columns in use: those that must be there, and of them the numbers (which may be empty).
COLUMNS = {
    "summary.csv": (["run", "strategy", "watch", "probe", "findings", "nothing", "undecided",
                     "skipped"], ["nothing", "undecided"]),
    "latency.csv": (["row", "strategy", "watch", "probe", "since", "percentile", "latency_ns",
                     "count"], ["percentile", "latency_ns", "count"]),
    "timeline.csv": (["start_ns", "injected", "found", "in_flight"],
                     ["start_ns", "injected", "found", "in_flight"]),
    "frontier.csv": (["run", "watch", "probe", "settings", "load", "reader", "neighbours",
                      "load_state", "silent", "found", "latency_p50_ns", "latency_p99_ns",
                      "alive", "false_alarms", "early_alarms", "survivor_cpu_ns",
                      "survivor_cpu_low_ns", "survivor_cpu_high_ns"],
                     ["neighbours", "silent", "found", "latency_p50_ns", "latency_p99_ns", "alive",
                      "false_alarms", "early_alarms", "survivor_cpu_ns", "survivor_cpu_low_ns",
                      "survivor_cpu_high_ns"]),
}


def fail(message):
    print("report: " + " ".join(str(message).split()), file=sys.stderr)
    sys.exit(2)


def read_text(path, what):
    try:
        text = path.read_text(encoding="utf-8")
        if "\0" in text:
            fail(f"{path} holds a NUL byte; expected a text file")
        return text
    except FileNotFoundError:
        fail(f"{path} is missing; expected {what}")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{path} cannot be read: {error}; expected a text file")


def read_json(path, what):
    try:
        document = json.loads(read_text(path, what))
    except (ValueError, RecursionError) as error:
        fail(f"{path} is not valid JSON ({error}); expected {what}")
    check_version(path, document.get("schema_version") if isinstance(document, dict) else None)
    return document


def check_version(where, version):
    if str(version).isdecimal() and int(version) > SCHEMA:
        fail(f"{where} has schema_version {version}: written by a newer lastack; this script "
             f"knows {SCHEMA}")
    if str(version) != str(SCHEMA):
        fail(f"{where} has schema_version {version!r}; expected {SCHEMA}")


def number(text, where):
    """The number in a CSV field; None where it is empty. Counts and times stay whole."""
    if text == "":
        return None
    try:
        value = int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError:
        value = math.nan
    if not abs(value) < 1e19:
        fail(f"{where} is '{text}'; expected a number")
    return value


def read_csv(path, kind, what):
    """The lines of a CSV file as dictionaries, with numbers where the columns are numbers."""
    needed, numbers = COLUMNS[kind]
    text = read_text(path, what)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        records = [(reader.line_num, fields) for fields in reader if fields]
    except csv.Error as error:
        fail(f"{path} line {reader.line_num} is not valid CSV: {error}")
    if not records:
        fail(f"{path} is empty; expected a line of column names")
    if not text.endswith("\n"):
        fail(f"{path} line {records[-1][0]} is cut short: it has no end of line")
    header = records[0][1]
    missing = [name for name in ["schema_version"] + needed if name not in header]
    if missing:
        fail(f"{path} lacks the columns {', '.join(missing)}")
    lines = []
    for place, fields in records[1:]:
        if len(fields) != len(header):
            fail(f"{path} line {place} has {len(fields)} fields; expected {len(header)}")
        line = dict(zip(header, fields))
        check_version(f"{path} line {place}", line["schema_version"])
        for name in numbers:
            line[name] = number(line[name], f"{path} line {place}: {name}")
        lines.append(line)
    return lines


def key_of(line):
    return tuple(line.get(name) or "" for name in KEY)


def parse_findings(path, line):
    """{"eof": 2, "nothing": 5} of one line of summary.csv, without zero counts."""
    counts = {}
    for item in filter(None, line["findings"].split(";")):
        name, _, count = item.partition("=")
        if not name or not count.isdecimal():
            fail(f"{path}: findings is '{line['findings']}'; expected name=count;name=count")
        counts[name] = counts.get(name, 0) + int(count)
    for name in ("nothing", "undecided"):
        counts[name] = counts.get(name, 0) + (line[name] or 0)
    return {name: count for name, count in counts.items() if count}


def read_summary(path):
    """{key: {"lines", "findings", "skipped"}} of the measured repetitions, in the file's order."""
    rows = {}
    for line in read_csv(path, "summary.csv", "the summary.csv of a suite"):
        if line.get("warm_up", "0") == "1":
            continue
        # Before suites repeated their rows, a row was the run's folder without its number.
        line.setdefault("row", re.sub(r"^[0-9]+-", "", line["run"]))
        row = rows.setdefault(key_of(line), {"lines": [], "findings": {}, "skipped": ""})
        row["lines"].append(line)
        row["skipped"] = row["skipped"] or line["skipped"]
        for name, count in parse_findings(path, line).items():
            row["findings"][name] = row["findings"].get(name, 0) + count
    if not rows:
        fail(f"{path} holds no measured row; expected at least one")
    return rows


def read_curves(path):
    """{key: [[percentile, latency_ns, count], ...]} since t0."""
    curves = {}
    for line in read_csv(path, "latency.csv", "the latency.csv of a suite"):
        point = [line["percentile"], line["latency_ns"], line["count"]]
        if None in point:
            fail(f"{path}: a point of the row {line['row']} is empty; expected three numbers")
        if line["since"] == "issued":
            curves.setdefault(key_of(line), []).append(point)
    return {key: sorted(curve) for key, curve in curves.items()}


def summary_figures(row):
    """The same figures for a suite without latency.csv; those of one repetition only, for
    percentiles of several repetitions cannot be merged."""
    if len(row["lines"]) != 1:
        return {}
    line = row["lines"][0]
    names = {"p50": "latency_p50_ns", "p90": "latency_p90_ns", "p99": "latency_p99_ns",
             "p99.9": "latency_p999_ns", "max": "latency_max_ns"}
    return {name: int(line[column]) for name, column in names.items()
            if line.get(column, "").isdecimal()}


def timeline_bins(lines):
    """[[start_ns, injected, found, in_flight, width_ns], ...]"""
    names = COLUMNS["timeline.csv"][0]
    return [[line[name] or 0 for name in names]
            + [number(line.get("width_ns", ""), "timeline.csv: width_ns") or OLDER_WIDTH_NS]
            for line in lines]


def read_timelines(folder, manifest):
    """{row: bins} of each row's first repetition: the suite's, or its runs' where it has none."""
    path = folder / "timeline.csv"
    if path.exists():
        rows = {}
        for line in read_csv(path, "timeline.csv", "the timeline.csv of a suite"):
            rows.setdefault(line.get("row", ""), []).append(line)
        return {row: timeline_bins(lines) for row, lines in rows.items()}
    timelines = {}
    for run in manifest["runs"]:
        path = folder / str(run.get("folder")) / "timeline.csv"
        if run.get("repetition", 1) == 1 and not run.get("warm_up") and path.is_file():
            timelines[run["name"]] = timeline_bins(
                read_csv(path, "timeline.csv", "the timeline.csv of a run"))
    return timelines


def read_suite(folder):
    if not folder.is_dir():
        fail(f"{folder} is not a folder; expected the folder of a suite")
    path = folder / "manifest.json"
    manifest = read_json(path, "the folder of a finished `lastack suite`")
    try:
        manifest["environment"]["kernel"]["release"]
        [run["name"] for run in manifest["runs"]]
        manifest["suite"]
    except (KeyError, TypeError):
        fail(f"{path} is incomplete; expected suite, runs and environment.kernel.release")
    rows = read_summary(folder / "summary.csv")
    latency, frontier = folder / "latency.csv", folder / "frontier.csv"
    curves = read_curves(latency) if latency.exists() else {}
    for key, row in rows.items():
        if key in curves:
            row["figures"] = {name: point[1] for name in PERCENTILES.values()
                              for point in curves[key]
                              if PERCENTILES.get(f"{point[0]:g}") == name}
        else:
            row["figures"] = summary_figures(row)
    return {"folder": folder, "label": folder.resolve().name, "manifest": manifest, "rows": rows,
            "curves": curves, "timelines": read_timelines(folder, manifest),
            "frontier": read_csv(frontier, "frontier.csv", "the frontier.csv of a suite")
            if frontier.exists() else []}
