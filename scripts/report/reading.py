"""What the folder of a suite holds. Bad input ends the program with one line."""
import re

from files import OLDER_WIDTH_NS, fail, number, parse_findings, read_csv, read_json

KEY = ["row", "strategy", "watch", "probe", "write_path"]  # aligns the lines of several suites
PERCENTILES = {"50": "p50", "90": "p90", "99": "p99", "99.9": "p99.9", "100": "max"}
# Of the two groups of a row's latencies; older files have no such columns.
MODES = ["mode_1_p50_ns", "mode_1_share", "mode_2_p50_ns", "mode_2_share"]
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


def read_lines(path, kind, what):
    """The lines of a CSV file as dictionaries, with numbers where the columns are numbers."""
    needed, numbers = COLUMNS[kind]
    header, records = read_csv(path, needed, what)
    lines = []
    for place, fields in records:
        line = dict(zip(header, fields))
        for name in numbers:
            line[name] = number(line[name], f"{path} line {place}: {name}")
        lines.append(line)
    return lines


def key_of(line):
    return tuple(line.get(name) or "" for name in KEY)


def read_summary(path):
    """{key: {"lines", "modes", "findings", "skipped"}} of the measured repetitions, in the file's
    order."""
    rows = {}
    for line in read_lines(path, "summary.csv", "the summary.csv of a suite"):
        if line.get("warm_up", "0") == "1":
            continue
        # Before suites repeated their rows, a row was the run's folder without its number.
        line.setdefault("row", re.sub(r"^[0-9]+-", "", line["run"]))
        row = rows.setdefault(key_of(line),
                              {"lines": [], "modes": [], "findings": {}, "skipped": ""})
        row["lines"].append(line)
        modes = [number(line.get(name, ""), f"{path}: {name}") for name in MODES]
        row["modes"] += [modes] if None not in modes else []
        row["skipped"] = row["skipped"] or line["skipped"]
        for name, count in parse_findings(line, path).items():
            row["findings"][name] = row["findings"].get(name, 0) + count
    if not rows:
        fail(f"{path} holds no measured row; expected at least one")
    return rows


def read_curves(path):
    """{key: [[percentile, latency_ns, count], ...]} since t0."""
    curves = {}
    for line in read_lines(path, "latency.csv", "the latency.csv of a suite"):
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
        for line in read_lines(path, "timeline.csv", "the timeline.csv of a suite"):
            rows.setdefault(line.get("row", ""), []).append(line)
        return {row: timeline_bins(lines) for row, lines in rows.items()}
    timelines = {}
    for run in manifest["runs"]:
        path = folder / str(run.get("folder")) / "timeline.csv"
        if run.get("repetition", 1) == 1 and not run.get("warm_up") and path.is_file():
            timelines[run["name"]] = timeline_bins(
                read_lines(path, "timeline.csv", "the timeline.csv of a run"))
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
            "frontier": read_lines(frontier, "frontier.csv", "the frontier.csv of a suite")
            if frontier.exists() else []}
