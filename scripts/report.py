#!/usr/bin/python3
"""Make one HTML page of one or more suites: what was compared, what changed, and every figure.

DIR is the folder of a `lastack suite`. The figures come from its CSV files. What changed between
several DIRs is said by `lastack compare`; this script computes no statistics of its own. The page
is a single file that needs no network.
"""
import argparse
import base64
import hashlib
import json
import re
import shlex
import shutil
import string
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE / "report"  # the page's template, style and script, and the modules that fill it
sys.path.insert(0, str(PAGE))
sys.dont_write_bytecode = True  # leaves nothing beside the sources

import sections
from markup import Html, escaped
from files import (a_path, check_version, deliver, fail, parse_json, printable, read_json,
                   read_text, write_files)
from reading import key_of, read_suite
from words import label_rows

CHART_JS = Path("/usr/share/javascript/chart.js/chart.min.js")  # Debian's libjs-chart.js
MOST_SIDES = 5  # looks that readers can tell apart without colour, in report.js and report.css


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
        done = subprocess.run(command, capture_output=True, text=True, errors="replace",
                              check=False)
    except OSError as error:
        fail(f"{program} cannot be run: {error}")
    if done.returncode != 0:
        fail(f"lastack compare ended with {done.returncode}: {done.stderr or done.stdout}")
    try:
        return parse_json(done.stdout)
    except ValueError as error:
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

    for row in comparison.get("rows", []):
        verdicts = {change["verdict"] for quantity in row["quantities"]
                    for change in quantity["changes"]}
        if key_of(row) in keys and has_figures(key_of(row)) and \
                (row["changes_in_kind"] or verdicts & {"worse", "better"}):
            return key_of(row)
    return next(filter(has_figures, keys), keys[0])


def build(suites, comparison, own_command):
    keys = sections.keys_of(suites)
    labels = label_rows(keys)
    timelines = {key[0]: [suite["timelines"].get(key[0]) for suite in suites] for key in keys}
    has_timelines = any(any(sides) for sides in timelines.values())
    has_curves = any(suite["curves"] for suite in suites)
    points = sections.frontier_points(suites)
    own_commands = sections.row_commands(suites)
    shown = {  # sections of report.html, and whether there is anything in them
        "compared": bool(comparison), "curves": has_curves, "no-curves": not has_curves,
        "timeline": has_timelines, "frontier": any(suite["frontier"] for suite in suites)}
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
    values = {
        "policy": f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
                  f"form-action 'none'; script-src {script_hash(chart)} {script_hash(own)}",
        "title": sections.title_of(suites), "overview": sections.overview(suites),
        "verdict": sections.verdict(comparison, suites),
        "means": sections.means(comparison, suites),
        "caveats": sections.caveats(comparison, suites),
        "switches": sections.side_switches(suites),
        "row_select": sections.row_options(keys, labels, suites,
                                           chosen_row(comparison, keys, suites)),
        "numbers": sections.numbers(keys, labels, suites),
        "matrix": sections.matrix(comparison, suites),
        "frontier_table": sections.frontier_table(suites),
        "state_select": sections.state_select(suites),
        "environment_common": sections.environment_common(suites),
        "common_title": "What all sides share" if comparison else "Everything recorded",
        "commands": sections.commands(comparison, suites, own_command),
        "data": for_script(document), "chart_js": Html(chart), "report_js": Html(own),
        "style": Html(read_text(PAGE / "report.css", "a file beside this script")),
    }
    if comparison:
        values.update({
            "kinds": sections.kinds(comparison), "changes": sections.changes(comparison, suites),
            "environment_difference": sections.environment_difference(comparison, suites)})
    return string.Template(template).substitute(
        {name: escaped(value) for name, value in values.items()})


def save(page, path):
    if path.is_dir() or not path.parent.is_dir():
        fail(f"{path} cannot be written: expected the name of a file in a folder that exists")
    write_files({path: lambda file: file.write(page.encode("utf-8", errors="backslashreplace"))})
    deliver(f"{printable(path)}\n")


def main():
    parser = argparse.ArgumentParser(description="Make one HTML page of one or more suites.")
    parser.error = fail
    parser.add_argument("suites", metavar="DIR", nargs="+", type=a_path, help="folder of a suite")
    parser.add_argument("-o", "--out", metavar="FILE", type=a_path, required=True,
                        help="page to write")
    parser.add_argument("--compare", metavar="FILE", type=a_path,
                        help="what `lastack compare DIR... --format json` printed; by default it "
                        "is called")
    parser.add_argument("--lastack", metavar="PROGRAM",
                        help="the lastack to call (default: on PATH, or build/release/bin/lastack)")
    args = parser.parse_args()
    if len(args.suites) > MOST_SIDES:
        fail(f"{len(args.suites)} folders given; expected at most {MOST_SIDES}")
    suites = [read_suite(folder) for folder in args.suites]
    comparison = {}
    if args.compare:
        comparison = read_json(args.compare, "what `lastack compare --format json` printed")
        check_comparison(comparison, suites, args.compare)
    elif len(suites) > 1:
        comparison = run_compare(find_lastack(args.lastack), args.suites)
        check_comparison(comparison, suites, "the output of lastack compare")
    for suite, side in zip(suites, comparison.get("sides", [])):
        suite["label"] = side["label"]
    own = shlex.join([f"scripts/{Path(__file__).name}", *sys.argv[1:]])
    try:
        page = build(suites, comparison, own)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # The parts that a page cannot do without were checked; this is one of the many others.
        fail(f"a manifest.json or the comparison holds what lastack does not write ({error!r})")
    save(page, args.out)


if __name__ == "__main__":
    main()
