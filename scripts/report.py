#!/usr/bin/python3
"""Make one HTML page of one or more suites: what was compared, what changed, and every figure.

DIR is the folder of a `lastack suite`. The figures come from its CSV files. What changed between
several DIRs is said by `lastack compare`; this script computes no statistics of its own. The page
is a single file that needs no network.
"""
import argparse
import base64
import csv
import hashlib
import html
import io
import json
import os
import re
import shlex
import shutil
import string
import subprocess
import sys
from pathlib import Path

SCHEMA = 1
HERE = Path(__file__).resolve().parent
PAGE = HERE / "report"  # report.html, report.css, report.js
CHART_JS = Path("/usr/share/javascript/chart.js/chart.min.js")  # Debian's libjs-chart.js
MOST_SIDES = 5  # looks that readers can tell apart without colour, in report.js and report.css
KEY = ["row", "strategy", "watch", "probe", "write_path"]  # aligns the lines of several suites
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
# What `lastack compare` calls its quantities: a name for the reader, and the words for worse and
# better (for differs, where neither is).
QUANTITIES = {
    "latency_p50": ("median latency", "slower", "faster"),
    "latency_p99": ("p99 latency", "slower", "faster"),
    "latency_p999": ("p99.9 latency", "slower", "faster"),
    "found_share": ("share that found out", "lower", "higher"),
    "cpu_per_connection": ("CPU per connection", "higher", "lower"),
    "packets": ("TCP segments per connection", "higher", "lower"),
    "writes_before_error": ("writes accepted after the act", "higher", "lower"),
    "lateness": ("lateness against the prediction", "higher", "lower"),
}
STATES = {"quiet": "quiet", "cpu-hog": "CPUs taken by other processes"}


def fail(message):
    print("report: " + " ".join(str(message).split()), file=sys.stderr)
    sys.exit(2)


# ---- HTML ----


class Html(str):
    """Markup. Whatever else goes into a page is text, and is escaped."""


def escaped(part):
    return part if isinstance(part, Html) else Html(html.escape(str(part)))


def tag(name, *parts, **attributes):
    """An element. `class_` is class, `data_row` is data-row; None and False leave out."""
    shown = "".join(
        f" {key.strip('_').replace('_', '-')}"
        + ("" if value is True else f'="{html.escape(str(value))}"')
        for key, value in attributes.items() if value is not None and value is not False)
    return Html(f"<{name}{shown}>{join(*parts)}</{name}>")


def join(*parts):
    return Html("".join(escaped(part) for part in parts))


def box(label, table):
    """A table that scrolls within itself; the keyboard can scroll what it can focus."""
    return tag("div", table, class_="box", tabindex=0, role="region", aria_label=label)


def caption(text, hidden=False):
    """The inner part wraps in view, however wide the table is."""
    return tag("caption", tag("span", text), class_="hidden-text" if hidden else None)


def items(lines, class_=None):
    return tag("ul", *[tag("li", line) for line in lines], class_=class_) if lines else Html("")


# ---- reading ----


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


def number(text):
    """The number in a CSV field; None where it is empty. Counts and times stay whole."""
    if text == "":
        return None
    value = int(text) if text.lstrip("-").isdecimal() else float(text)
    if abs(value) > 1e19 or value != value:
        raise ValueError
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
            try:
                line[name] = number(line[name])
            except ValueError:
                fail(f"{path} line {place}: {name} is '{line[name]}'; expected a number")
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


def read_timelines(folder, manifest):
    """{row: [[start_ns, injected, found, in_flight], ...]} of each row's first repetition."""
    timelines = {}
    for run in manifest["runs"]:
        path = folder / str(run.get("folder")) / "timeline.csv"
        if run.get("warm_up") or run.get("repetition", 1) != 1 or not path.is_file():
            continue
        timelines[run["name"]] = [
            [line[name] or 0 for name in COLUMNS["timeline.csv"][0]]
            for line in read_csv(path, "timeline.csv", "the timeline.csv of a run")]
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


# ---- comparison, by lastack ----


def find_lastack(given):
    built = HERE.parent / "build/release/bin/lastack"
    program = given or shutil.which("lastack") or (built if built.exists() else None)
    if not program:
        fail("lastack was not found; name it with --lastack PROGRAM, or build it")
    return str(program)


def run_compare(program, folders):
    command = [program, "compare", *map(str, folders), "--format", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        fail(f"{program} cannot be run: {error}")
    if done.returncode != 0:
        fail(f"lastack compare ended with {done.returncode}: {done.stderr or done.stdout}")
    try:
        return json.loads(done.stdout)
    except (ValueError, RecursionError) as error:
        fail(f"`{shlex.join(command)}` printed no valid JSON ({error})")


def check_comparison(comparison, suites, where):
    """A recorded comparison must be of these folders, or the page would mix two stories."""
    try:
        check_version(where, comparison["schema_version"])
        for row in comparison["rows"]:
            key_of(row), row["changes_in_kind"], row["findings"], row["skipped"]
            for quantity in row["quantities"]:
                quantity["name"], quantity["unit"], quantity["sides"][len(suites) - 1]
                for change in quantity["changes"]:
                    quantity["sides"][change["side"]]
                    change["verdict"], change["percent"], change["low"], change["high"]
                    change["adjusted_p"]
        sides = comparison["sides"]
        facts = [(side["label"], side["suite"], side["kernel"]) for side in sides]
        comparison["kind_changes"], comparison["environment"], comparison["command"]
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        fail(f"{where} is not what `lastack compare --format json` prints ({error!r})")
    if len(sides) != len(suites):
        fail(f"{where} compares {len(sides)} sides; {len(suites)} folders are given")
    for suite, (label, name, kernel) in zip(suites, facts):
        manifest = suite["manifest"]
        if (name or manifest["suite"]) != manifest["suite"] or \
                kernel != manifest["environment"]["kernel"]["release"]:
            fail(f"{where} was made of other folders, or in another order: its side {label} is "
                 f"suite {name}, kernel {kernel}, which {suite['folder']} is not")


# ---- words and figures ----


def duration(nanoseconds):
    """Three digits and a unit, as lastack prints times."""
    if nanoseconds < 0:
        return "-" + duration(-nanoseconds)
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        value = nanoseconds / scale
        if value >= 0.9995:
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}{unit}"
    return f"{nanoseconds:.0f}ns"


def amount(value, unit):
    if unit == "ns":
        return duration(value)
    if unit in ("share", "%"):
        return share(value if unit == "share" else value / 100)
    return f"{value:.3g}" + ("" if unit in ("", "1", None) else f" {unit}")


def share(value):
    """A percentage; only all is 100 %, and only none is 0 %."""
    if value in (0, 1):
        return f"{value * 100:.0f} %"
    if value > 0.9999:
        return "> 99.99 %"
    return "< 0.01 %" if value < 0.0001 else f"{value * 100:.4g} %"


def signed(percent):
    return f"{percent:+.1f}".replace("-", "\u2212")


def p_text(p):
    if p is None:
        return "\u2013"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def counted(count, one, many):
    return f"{'no' if count == 0 else f'{count:,}'} {one if count == 1 else many}"


def listed(words):
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def quantity_words(name):
    return QUANTITIES.get(name, (name.replace("_", " "), "worse", "better"))


def label_rows(keys):
    """{key: name}: the suite's row, and what else tells its lines apart."""
    labels = {}
    for key in keys:
        alike = [other for other in keys if other[0] == key[0]]
        varying = [part for place, part in enumerate(key) if place and part
                   and len({other[place] for other in alike}) > 1]
        labels[key] = f"{key[0]}: {', '.join(varying)}" if varying else key[0]
    return labels


def flattened(value, prefix=""):
    if isinstance(value, dict):
        for name, part in value.items():
            yield from flattened(part, f"{prefix}.{name}" if prefix else name)
    else:
        yield prefix, value


def fact(value):
    if value is None:
        return "\u2013"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return json.dumps(value) if isinstance(value, (list, dict)) else str(value)


# ---- sections ----


def swatch(side):
    """Filled by the script with the line and the point that the charts give this side."""
    return tag("span", class_=f"swatch side-{side}", data_swatch=side, aria_hidden="true")


def side_name(suites, side):
    return join(swatch(side), suites[side]["label"])


def title_of(suites):
    names = sorted({suite["manifest"]["suite"] for suite in suites})
    what = f"{'Suite' if len(names) == 1 else 'Suites'} {listed(names)}"
    labels = [suite["label"] for suite in suites]
    return what + (": " + " against ".join(labels) if len(suites) > 1 else f": {labels[0]}")


def overview(suites):
    """What stood against what."""
    lines = []
    for side, suite in enumerate(suites):
        manifest = suite["manifest"]
        environment = manifest["environment"]
        build = environment.get("build", {})
        commit = str(build.get("commit", ""))[:16]
        lines.append(tag(
            "tr", tag("th", side_name(suites, side), scope="row"),
            tag("td", environment["kernel"]["release"]),
            tag("td", environment.get("host", "\u2013")),
            tag("td", environment.get("cpu", {}).get("model", "\u2013")),
            tag("td", manifest["suite"] + (" (quick)" if manifest.get("quick") else "")),
            tag("td", manifest.get("repetitions", 1), class_="figure"),
            tag("td", environment.get("time", "\u2013")),
            tag("td", f"{build.get('version', '')} {commit}")))
    names = ["Side", "Kernel", "Host", "CPU", "Suite", "Repetitions", "Date (UTC)", "lastack"]
    table = tag("table", caption("What was measured", hidden=True),
                tag("thead", tag("tr", *[tag("th", name, scope="col") for name in names])),
                tag("tbody", *lines))
    return box("What was measured", table)


def changed_rows(comparison, side):
    """{("latency" or the quantity, word): {row: "by how much"}} of this side."""
    labels = label_rows([key_of(row) for row in comparison["rows"]])
    found = {}
    for row in comparison["rows"]:
        for quantity in row["quantities"]:
            name, worse, better = quantity_words(quantity["name"])
            words = {"worse": worse, "better": better, "changed": "different"}
            is_latency = worse == "slower"
            for change in quantity["changes"]:
                if change["side"] != side or change["verdict"] not in words:
                    continue
                by = "" if change["percent"] is None else f"{signed(change['percent'])} %"
                by = f"{name} {by}".strip() if is_latency else by
                group = ("latency" if is_latency else name, words[change["verdict"]])
                # Of several latencies the first one speaks for the row.
                found.setdefault(group, {}).setdefault(labels[key_of(row)], by)
    return found


def named(rows, most=3):
    """The first names, and how many more."""
    names = [f"{name} ({by})" if by else name for name, by in rows.items()]
    more = [f"{len(names) - most:,} more"] if len(names) > most else []
    return listed(names[:most] + more)


def side_verdict(comparison, suites, side):
    """"new against old: 1 row is slower: rst-spin (median latency +59.8 %); none is faster." """
    found = changed_rows(comparison, side)
    parts = []
    for word in ("slower", "faster"):
        rows = found.pop(("latency", word), {})
        parts.append(f"{counted(len(rows), 'row is', 'rows are')} {word}: {named(rows)}" if rows
                     else f"none is {word}" if parts else f"no row is {word}")
    for (group, word), rows in found.items():
        parts.append(f"{group} is {word} in {counted(len(rows), 'row', 'rows')}: {named(rows)}")
    return f"{suites[side]['label']} against {suites[0]['label']}: {'; '.join(parts)}."


def verdict(comparison, suites):
    if not comparison:
        suite = suites[0]
        bad = [run for run in suite["manifest"]["runs"] if run.get("status") not in ("ok", None)]
        runs = counted(len(suite["manifest"]["runs"]), "run", "runs")
        return tag("p", f"One suite, with nothing to compare it to: {runs}, "
                   f"{'all of which ended well' if not bad else f'{len(bad)} of which failed'}.",
                   class_="verdict")
    kinds = comparison["kind_changes"]
    every = [change for row in comparison["rows"] for quantity in row["quantities"]
             for change in quantity["changes"]]
    testable = [change for change in every if change["verdict"] != "untestable"]
    parts = []
    if testable:
        parts += [tag("p", side_verdict(comparison, suites, side), class_="verdict")
                  for side in range(1, len(suites))]
    else:
        reasons = list(dict.fromkeys(change.get("reason") or "" for change in every))
        few = min(suite["manifest"].get("repetitions", 1) for suite in suites)
        parts.append(tag("p", f"With {counted(few, 'repetition', 'repetitions')} a side no "
                         "difference in any figure can be told from chance"
                         f"{': ' + reasons[0] if reasons and reasons[0] else ''}.",
                         class_="verdict"))
    parts.append(tag("p", f"{counted(kinds, 'finding', 'findings')} changed in kind"
                     f"{': survivors learn something else than before' if kinds else ''}.",
                     class_="verdict" if kinds else None))
    return join(*parts)


def means(comparison, suites):
    return items([f"{quantity_words(mean['quantity'])[0]}: {signed(mean['percent'])} % in "
                  f"{suites[mean['side']]['label']}, geometric mean of {mean['rows']} rows"
                  for mean in comparison.get("geometric_means", [])
                  if mean.get("percent") is not None]) if comparison else Html("")


def caveats(comparison, suites):
    """What a reader must know before believing the rest."""
    lines = []
    for refusal in (comparison or {}).get("refusals", []):
        lines.append(f"Compared although lastack refuses it: {refusal}")
    for suite in suites:
        manifest, label = suite["manifest"], suite["label"]
        if manifest.get("status") not in ("ok", None):
            lines.append(f"{label}: the suite ended as {manifest['status']}")
        for run in manifest["runs"]:
            if run.get("status") not in ("ok", None) and not run.get("warm_up"):
                error = f" ({run['error']})" if run.get("error") else ""
                lines.append(f"{label}: {run.get('folder')} ended as {run['status']}{error}")
    for side in (comparison or {}).get("sides", []):
        drift = side.get("drift") or {}
        if drift.get("different"):
            lines.append(f"{side['label']}: its own first and second half differ in "
                         f"{drift['different']} of {drift['tests']} tests: the host drifted, and "
                         "differences between the sides may be that")
    lines += (comparison or {}).get("detectable", {}).get("text", [])
    for note in dict.fromkeys(note for suite in suites
                              for note in suite["manifest"].get("notes") or []):
        lines.append(note)
    return items(lines)


def kinds(comparison):
    if not comparison:
        return Html("")
    labels = label_rows([key_of(row) for row in comparison["rows"]])
    lines = [tag("li", tag("strong", labels[key_of(row)]), ": ", text)
             for row in comparison["rows"] for text in row["changes_in_kind"]]
    if not lines:
        return tag("p", "None: every finding that one side had, the other had too.")
    return tag("ul", *lines, class_="kinds")


def figure_text(side, unit):
    if not side:
        return "\u2013"
    between = "" if side.get("low") is None else \
        f"{amount(side['low'], unit)} to {amount(side['high'], unit)}"
    return join(tag("b", amount(side["median"], unit)), " " if between else "",
                tag("small", between) if between else "")


def change_text(change, unit):
    if change["percent"] is None:
        return "\u2013"
    if change["low"] is None:
        return f"{signed(change['percent'])} %"
    return join(tag("b", f"{signed(change['percent'])} %"), " ",
                tag("small", f"{signed(change['low'])} to {signed(change['high'])}"))


def whisker(change, reach):
    """The interval of a change around zero; an arrow where it leaves the picture."""
    if change["percent"] is None or not reach:
        return Html("")
    low = change["percent"] if change["low"] is None else change["low"]
    high = change["percent"] if change["high"] is None else change["high"]
    place = [60 + 56 * max(-1, min(1, value / reach)) for value in (low, change["percent"], high)]
    marks = [tag("line", x1=60, x2=60, y1=0, y2=16, class_="zero"),
             tag("line", x1=f"{place[0]:.1f}", x2=f"{place[2]:.1f}", y1=8, y2=8, class_="span")]
    if low < -reach:
        marks.append(tag("path", d="M8 4 L3 8 L8 12", class_="span"))
    if high > reach:
        marks.append(tag("path", d="M112 4 L117 8 L112 12", class_="span"))
    if abs(change["percent"]) <= reach:
        marks.append(tag("circle", cx=f"{place[1]:.1f}", cy=8, r=3.5))
    return tag("svg", *marks, viewBox="0 0 120 16", width=120, height=16, aria_hidden="true")


def verdict_text(change, words):
    told = {"worse": words[1], "better": words[2], "changed": "different", "same": "~",
            "untestable": "not testable"}
    return told.get(change["verdict"], change["verdict"])


def changes(comparison, suites):
    if not comparison:
        return Html("")
    every = [change for row in comparison["rows"] for quantity in row["quantities"]
             for change in quantity["changes"]]
    ends = [abs(value) for change in every for value in
            (change["low"], change["percent"], change["high"]) if value is not None]
    reach = min(100, max(ends, default=0))
    labels = label_rows([key_of(row) for row in comparison["rows"]])
    several = len(suites) > 2
    head = ["Quantity"]
    for side, suite in enumerate(suites):
        head.append(suite["label"])
        if side:
            of = f" of {suite['label']}" if several else ""
            head += [f"Change{of}", f"\u2212{reach:.0f} % \u2026 +{reach:.0f} %" if reach else "",
                     f"p{of}", f"Verdict{of}"]
    bodies = []
    for row in comparison["rows"]:
        lines = []
        for quantity in row["quantities"]:
            words = quantity_words(quantity["name"])
            by_side = {change["side"]: change for change in quantity["changes"]}
            cells = []
            for side, figures in enumerate(quantity["sides"]):
                cells.append(tag("td", figure_text(figures, quantity["unit"])))
                if side and side in by_side:
                    change = by_side[side]
                    reason = change.get("reason") if change["verdict"] == "untestable" else None
                    cells += [tag("td", change_text(change, quantity["unit"])),
                              tag("td", whisker(change, reach), class_=change["verdict"]),
                              tag("td", p_text(change["adjusted_p"]), class_="figure"),
                              tag("td", verdict_text(change, words), class_=change["verdict"],
                                  title=reason)]
                elif side:
                    cells += [tag("td", "\u2013")] * 4
            is_changed = any(change["verdict"] in ("worse", "better", "changed")
                             for change in quantity["changes"])
            lines.append(tag("tr", tag("th", words[0], scope="row"), *cells,
                             data_changed=is_changed))
        if lines:
            heading = tag("tr", tag("th", labels[key_of(row)], scope="rowgroup",
                                    colspan=len(head)), class_="group")
            bodies.append(tag("tbody", heading, *lines))
    if not bodies:
        return tag("p", "Nothing was measured on both sides.")
    said = caption("Median over the repetitions and its interval, change and p after correction "
                   f"for {comparison.get('family', len(every))} tests")
    table = tag("table", said,
                tag("thead", tag("tr", *[tag("th", name, scope="col") for name in head])),
                *bodies, id="changes-table")
    return box("Table of changes", table)


def side_switches(suites):
    """A set of check boxes; the sets of all charts are one switch."""
    if len(suites) < 2:
        return Html("")
    boxes = [tag("label", tag("input", type="checkbox", checked=True, data_side=side),
                 " ", side_name(suites, side), class_="side") for side in range(len(suites))]
    return tag("fieldset", tag("legend", "Sides"), *boxes)


def numbers(keys, labels, suites):
    """The table below the curves: all rows, of which the script shows the selected one."""
    bodies = []
    for place, key in enumerate(keys):
        lines = []
        for side, suite in enumerate(suites):
            row = suite["rows"].get(key)
            name = tag("th", side_name(suites, side), scope="row")
            findings = row["findings"] if row else {}
            if not row or not findings:
                why = "not in this suite" if not row else \
                    f"skipped: {row['skipped']}" if row["skipped"] else "no connection"
                lines.append(tag("tr", name, tag("td", why, colspan=7), data_line_side=side))
                continue
            total = sum(findings.values())
            found = total - findings.get("nothing", 0) - findings.get("undecided", 0)
            cells = [f"{found:,}", f"{total:,}"]
            cells += [duration(row["figures"][name]) if name in row["figures"] else "\u2013"
                      for name in PERCENTILES.values()]
            lines.append(tag("tr", name, *[tag("td", cell, class_="figure") for cell in cells],
                             data_line_side=side))
        heading = tag("tr", tag("th", labels[key], scope="rowgroup", colspan=8), class_="group")
        bodies.append(tag("tbody", heading, *lines, data_row=place))
    head = ["Side", "Found out", "Of", *PERCENTILES.values()]
    table = tag("table", caption("Latency from the act (t0) to the finding, all repetitions "
                             "merged; \u2013: too few findings to tell"),
                tag("thead", tag("tr", *[tag("th", name, scope="col") for name in head])),
                *bodies, id="numbers-table")
    return box("Latency figures", table)


def row_options(keys, labels, suites, chosen):
    options = []
    for place, key in enumerate(keys):
        found = any(key in suite["curves"] or suite["rows"].get(key, {}).get("figures")
                    for suite in suites)
        text = labels[key] + ("" if found else " (nothing found)")
        options.append(tag("option", text, value=place, selected=key == chosen))
    return tag("select", *options, id="row")


def findings_text(counts):
    total = sum(counts.values())
    return ", ".join(f"{name} {share(count / total)}" for name, count in
                     sorted(counts.items(), key=lambda item: -item[1]))


def matrix(comparison, suites):
    """Strategy and probe by watch; of rows that share a cell the connections are added."""
    changed = {key_of(row) for row in (comparison or {}).get("rows", []) if row["changes_in_kind"]}
    watches, cells = {}, {}  # cells: {(strategy, probe): {watch: {"sides", "changed"}}}
    for side, suite in enumerate(suites):
        for key, row in suite["rows"].items():
            _, strategy, watch, probe, write_path = key
            watch = f"{watch}:{write_path}" if write_path else watch
            watches[watch] = True
            cell = cells.setdefault((strategy, probe), {}).setdefault(
                watch, {"sides": [{} for _ in suites], "skipped": [""] * len(suites),
                        "changed": False})
            for name, count in row["findings"].items():
                cell["sides"][side][name] = cell["sides"][side].get(name, 0) + count
            cell["skipped"][side] = cell["skipped"][side] or row["skipped"]
            cell["changed"] = cell["changed"] or key in changed
    has_probes = {probe for _, probe in cells} != {"none"}
    lines = []
    for (strategy, probe), by_watch in cells.items():
        row = [tag("th", strategy, scope="row")]
        if has_probes:
            row.append(tag("td", probe))
        for watch in watches:
            row.append(matrix_cell(by_watch.get(watch), suites))
        lines.append(tag("tr", *row))
    head = ["Close strategy"] + ["Probe"] * has_probes + list(watches)
    table = tag("table", caption("Findings by close strategy and watch, share of the "
                             "connections of all repetitions"),
                tag("thead", tag("tr", *[tag("th", name, scope="col") for name in head])),
                tag("tbody", *lines), id="matrix")
    return box("Findings matrix", table)


def matrix_cell(cell, suites):
    if not cell:
        return tag("td", "\u2013", class_="empty")
    texts = [findings_text(counts) if counts else
             f"skipped: {skipped}" if skipped else "\u2013"
             for counts, skipped in zip(cell["sides"], cell["skipped"])]
    mark = [tag("strong", "\u25c6 changed in kind", class_="mark")] if cell["changed"] else []
    if len(set(texts)) == 1:
        return tag("td", *mark, tag("div", texts[0]), class_="changed-kind" if mark else None)
    return tag("td", *mark, *[tag("div", side_name(suites, side), " ", text)
                              for side, text in enumerate(texts)],
               class_="changed-kind" if mark else "differs")


def setting_text(line):
    return line["settings"].replace(";", ", ")


def frontier_points(suites):
    """What the chart draws. A cost that cannot be told from zero has no place on a log scale, and
    costs are of idle connections: of others it was not measured."""
    points = []
    for side, suite in enumerate(suites):
        for line in suite["frontier"]:
            if not line["latency_p50_ns"]:
                continue
            plain = line["load"] == "idle" and line["reader"] != "stopped" and \
                not line["neighbours"] and line["survivor_cpu_ns"] is not None
            told = plain and (line["survivor_cpu_low_ns"] or 0) > 0 and line["survivor_cpu_ns"] > 0
            points.append({
                "side": side, "probe": line["probe"], "state": line["load_state"],
                "setting": f"{line['run']}: {setting_text(line)}",
                "p50": line["latency_p50_ns"], "p99": line["latency_p99_ns"],
                "cpu": line["survivor_cpu_ns"] if told else None, "measured": plain,
                "alarms": (line["false_alarms"] or 0) + (line["early_alarms"] or 0)})
    return points


def frontier_table(suites):
    lines = []
    for side, suite in enumerate(suites):
        for line in suite["frontier"]:
            cost = "\u2013" if line["survivor_cpu_ns"] is None else \
                amount(line["survivor_cpu_ns"], "ns")
            if line["survivor_cpu_ns"] is not None and (line["survivor_cpu_low_ns"] or 0) <= 0:
                cost = "~"
            alarms = f"{line['false_alarms'] or 0:,} of {line['alive'] or 0:,}"
            if line["early_alarms"]:
                alarms += f", {line['early_alarms']:,} early"
            times = [duration(line[name]) if line[name] else "\u2013"
                     for name in ("latency_p50_ns", "latency_p99_ns")]
            lines.append(tag(
                "tr", tag("th", line["run"], scope="row"), tag("td", side_name(suites, side)),
                tag("td", line["probe"]), tag("td", setting_text(line)),
                tag("td", STATES.get(line["load_state"], line["load_state"])),
                *[tag("td", text, class_="figure") for text in [
                    f"{line['found'] or 0:,} of {line['silent'] or 0:,}", *times, cost]],
                tag("td", alarms, class_="figure alarm" if line["false_alarms"] else "figure"),
                data_line_side=side))
    head = ["Run", "Side", "Probe", "Settings", "Host", "Found", "p50", "p99",
            "CPU per connection and second", "Live peers taken for dead"]
    table = tag("table", caption("Every setting of every probe; ~: not distinguishable from "
                             "zero, \u2013: not measured"),
                tag("thead", tag("tr", *[tag("th", name, scope="col") for name in head])),
                tag("tbody", *lines), id="frontier-table")
    return box("Every setting of every probe", table)


def state_select(suites):
    states = dict.fromkeys(line["load_state"] for suite in suites for line in suite["frontier"])
    if len(states) < 2:
        return Html("")
    options = [tag("option", STATES.get(state, state), value=state) for state in states]
    return tag("label", "Host ", tag("select", *options, id="state"))


def environment_difference(comparison, suites):
    if not comparison:
        return Html("")
    if not comparison["environment"]:
        return tag("p", "None of what lastack records and holds to matter.")
    lines = [tag("tr", tag("th", entry["key"], scope="row"),
                 *[tag("td", fact(value)) for value in entry["values"]],
                 class_="blocking" if entry.get("blocking") else None)
             for entry in comparison["environment"]]
    head = ["Fact"] + [suite["label"] for suite in suites]
    table = tag("table", caption("Environment: what differs", hidden=True),
                tag("thead", tag("tr", *[tag("th", name, scope="col") for name in head])),
                tag("tbody", *lines), id="environment-table")
    return box("Environment: what differs", table)


def environment_common(suites):
    facts = [dict(flattened(suite["manifest"]["environment"])) for suite in suites]
    lines = [tag("tr", tag("th", name, scope="row"), tag("td", fact(value)))
             for name, value in facts[0].items()
             if all(name in other and other[name] == value for other in facts)]
    table = tag("table", caption("Environment: what all sides share", hidden=True),
                tag("thead", tag("tr", tag("th", "Fact", scope="col"),
                                 tag("th", "Value", scope="col"))), tag("tbody", *lines))
    return box("Environment: what all sides share", table)


def commands(comparison, suites, own):
    lines = []
    for suite in suites:
        manifest = suite["manifest"]
        words = ["lastack", "suite", manifest["suite"]]
        words += ["--quick"] if manifest.get("quick") else []
        for name in ("repetitions", "seed"):
            words += [f"--{name}", str(manifest[name])] if name in manifest else []
        command = shlex.join(words + ["--out", str(suite["folder"])])
        lines.append(f"{command}   # on kernel {manifest['environment']['kernel']['release']}")
    if comparison:
        lines.append(comparison["command"])
    lines.append(own)
    return tag("pre", "\n".join(lines), tabindex=0, role="region", aria_label="Commands")


def row_commands(suites):
    """{row: command} of the first suite that has it."""
    found = {}
    for suite in reversed(suites):
        runs = suite["manifest"].get("rows") or suite["manifest"]["runs"]
        found.update({run["name"]: run.get("command") or "" for run in runs})
    return found


# ---- the page ----


def for_script(document):
    """JSON that no browser takes for markup, whatever the names in it are."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=True)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Html(text)


def script_hash(text):
    """Names this script in the page's policy: no other one runs."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def chosen_row(comparison, keys, suites):
    """The row that the page opens with: the first one that changed, else the first with figures."""
    def has_figures(key):
        return any(suite["rows"].get(key, {}).get("figures") for suite in suites)

    for row in (comparison or {}).get("rows", []):
        verdicts = {change["verdict"] for quantity in row["quantities"]
                    for change in quantity["changes"]}
        if key_of(row) in keys and has_figures(key_of(row)) and \
                (row["changes_in_kind"] or verdicts & {"worse", "better"}):
            return key_of(row)
    return next(filter(has_figures, keys), keys[0])


def build(suites, comparison, own_command):
    keys = list(dict.fromkeys(key for suite in suites for key in suite["rows"]))
    labels = label_rows(keys)
    timelines = {key[0]: [suite["timelines"].get(key[0]) for suite in suites] for key in keys}
    has_timelines = any(any(sides) for sides in timelines.values())
    has_curves = any(suite["curves"] for suite in suites)
    points = frontier_points(suites)
    own_commands = row_commands(suites)
    shown = {  # sections of report.html, and whether there is anything in them
        "compared": bool(comparison), "curves": has_curves, "no-curves": not has_curves,
        "timeline": has_timelines, "frontier": any(suite["frontier"] for suite in suites),
        "one": not comparison}
    document = {
        "sides": [suite["label"] for suite in suites],
        "rows": [{"label": labels[key], "row": key[0], "command": own_commands.get(key[0], ""),
                  "curves": [suite["curves"].get(key) for suite in suites]} for key in keys],
        "timelines": timelines if has_timelines else {}, "frontier": points}
    chart, own = (read_text(path, what).replace("</script", "<\\/script") for path, what in (
        (CHART_JS, "Chart.js: `scripts/install_packages.sh plots`"),
        (PAGE / "report.js", "a file beside this script")))
    template = read_text(PAGE / "report.html", "a file beside this script")
    for name, is_shown in shown.items():
        pattern = rf"<!--section {name}-->(.*?)<!--end {name}-->"
        template = re.sub(pattern, r"\1" if is_shown else "", template, flags=re.DOTALL)
    some_changed = any(change["verdict"] in ("worse", "better", "changed")
                       for row in (comparison or {}).get("rows", [])
                       for quantity in row["quantities"] for change in quantity["changes"])
    caution = caveats(comparison, suites)
    values = {
        "policy": f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
                  f"form-action 'none'; script-src {script_hash(chart)} {script_hash(own)}",
        "title": title_of(suites), "overview": overview(suites),
        "verdict": verdict(comparison, suites), "means": means(comparison, suites),
        "caveats": tag("div", tag("h3", "Before you rely on it"), caution) if caution else "",
        "kinds": kinds(comparison), "changes": changes(comparison, suites),
        "changes_checked": Html("checked" if some_changed else ""),
        "switches": side_switches(suites),
        "row_select": row_options(keys, labels, suites, chosen_row(comparison, keys, suites)),
        "numbers": numbers(keys, labels, suites), "matrix": matrix(comparison, suites),
        "frontier_table": frontier_table(suites), "state_select": state_select(suites),
        "environment_difference": environment_difference(comparison, suites),
        "environment_common": environment_common(suites),
        "common_title": "What all sides share" if comparison else "Everything recorded",
        "commands": commands(comparison, suites, own_command),
        "data": for_script(document), "chart_js": Html(chart), "report_js": Html(own),
        "style": Html(read_text(PAGE / "report.css", "a file beside this script")),
    }
    return string.Template(template).substitute(
        {name: escaped(value) for name, value in values.items()})


def save(page, path):
    """Write under a temporary name first: a failure leaves nothing half-written."""
    if path.is_dir() or not path.parent.is_dir():
        fail(f"{path} cannot be written: expected the name of a file in a folder that exists")
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(page, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        fail(f"{path} cannot be written: {error}")
    finally:
        if part.exists():
            part.unlink()
    print(path)


def main():
    parser = argparse.ArgumentParser(description="Make one HTML page of one or more suites.")
    parser.error = fail
    parser.add_argument("suites", metavar="DIR", nargs="+", type=Path, help="folder of a suite")
    parser.add_argument("-o", "--out", metavar="FILE", type=Path, required=True,
                        help="page to write")
    parser.add_argument("--compare", metavar="FILE", type=Path,
                        help="what `lastack compare DIR... --format json` printed; by default it "
                        "is called")
    parser.add_argument("--lastack", metavar="PROGRAM",
                        help="the lastack to call (default: on PATH, or build/release/bin/lastack)")
    args = parser.parse_args()
    if len(args.suites) > MOST_SIDES:
        fail(f"{len(args.suites)} folders given; expected at most {MOST_SIDES}")
    suites = [read_suite(folder) for folder in args.suites]
    comparison = None
    if args.compare:
        comparison = read_json(args.compare, "what `lastack compare --format json` printed")
        check_comparison(comparison, suites, args.compare)
    elif len(suites) > 1:
        comparison = run_compare(find_lastack(args.lastack), args.suites)
        check_comparison(comparison, suites, "the output of lastack compare")
    for suite, side in zip(suites, comparison["sides"] if comparison else []):
        suite["label"] = side["label"]
    own = shlex.join([f"scripts/{Path(__file__).name}", *sys.argv[1:]])
    save(build(suites, comparison, own), args.out)


if __name__ == "__main__":
    main()
