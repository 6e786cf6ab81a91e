#!/usr/bin/python3
"""Make one HTML page of one or more suites: what was compared, what changed, and every figure.

DIR is the folder of a `lastack suite`. The figures come from its CSV files. What changed between
several DIRs is said by `lastack compare`; this script computes no statistics of its own. The page
is a single file that needs no network.
"""
import argparse
import base64
import hashlib
import shlex
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE / "report"  # the page's templates, style and script, and the modules that fill them
sys.path.insert(0, str(PAGE))
sys.dont_write_bytecode = True  # leaves nothing beside the sources

from files import (BUILT_LASTACK, a_path, check_version, deliver, fail, json_of, need, printable,
                   read_json, read_text, write_files)

need("jinja2")
import jinja2

import sections
from reading import PERCENTILES, key_of, read_suite
from words import label_rows

CHART_JS = Path("/usr/share/javascript/chart.js/chart.min.js")  # Debian's libjs-chart.js
MOST_SIDES = 5  # looks that readers can tell apart without colour, in report.js and report.css


# ---- comparison, by lastack ----


def find_lastack(given):
    program = given or shutil.which("lastack") or (BUILT_LASTACK.exists() and BUILT_LASTACK)
    if not program:
        fail("lastack was not found; name it with --lastack PROGRAM, or build it")
    return str(program)


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


def facts_of(suites, comparison, own_command):
    """All that the page says, by the names of page.html.j2."""
    keys = sections.keys_of(suites)
    labels = label_rows(keys)
    unit = sections.unit_of(suites)
    timelines = {key[0]: [suite["timelines"].get(key[0]) for suite in suites] for key in keys}
    has_timelines = any(any(sides) for sides in timelines.values())
    own_commands = sections.row_commands(suites)
    sides = [suite["label"] for suite in suites]
    return {
        "title": sections.title_of(suites), "sides": sides, "compared": bool(comparison),
        "time": sections.time_words(unit),
        "overview": sections.overview(suites),
        "verdicts": sections.verdicts(comparison, suites),
        "means": sections.means(comparison, suites),
        "caveats": sections.caveats(comparison, suites),
        "power": comparison.get("detectable", {}).get("text", []),
        "kinds": sections.kinds(comparison) if comparison else None,
        "changes": sections.changes(comparison) if comparison else None,
        "row_options": sections.row_options(keys, labels, suites,
                                            chosen_row(comparison, keys, suites)),
        "has_curves": any(suite["curves"] for suite in suites),
        "percentiles": list(PERCENTILES.values()),
        "numbers": sections.numbers(keys, labels, suites, unit),
        "has_timelines": has_timelines,
        "matrix": sections.matrix(comparison, suites),
        "frontier": sections.frontier_lines(suites, unit),
        "load_states": sections.load_states(suites),
        "different_facts": sections.different_facts(comparison) if comparison else None,
        "shared_facts": sections.shared_facts(suites),
        "commands": sections.commands(comparison, suites, own_command),
        "chart_data": {  # for report.js
            "sides": sides, "time_unit": unit,
            "rows": [{"label": labels[key], "row": key[0],
                      "command": own_commands.get(key[0], ""),
                      "curves": [suite["curves"].get(key) for suite in suites]} for key in keys],
            "timelines": timelines if has_timelines else {},
            "frontier": sections.frontier_points(suites)}}


def build(facts):
    """The page. What the facts hold is text in it, whatever it looks like: it is escaped."""
    chart_js = read_text(CHART_JS, "Chart.js: `scripts/install_packages.sh plots`")
    report_js, style = (read_text(PAGE / name, "a file beside this script")
                        for name in ("report.js", "report.css"))
    chart_js, report_js = (text.replace("</script", "<\\/script")
                           for text in (chart_js, report_js))
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; " \
        f"form-action 'none'; script-src {script_hash(chart_js)} {script_hash(report_js)}"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGE), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment.get_template("page.html.j2").render(
        facts, policy=policy, style=style, chart_js=chart_js, report_js=report_js)


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
        comparison = json_of([find_lastack(args.lastack), "compare", *map(str, args.suites),
                              "--format", "json"])
        check_comparison(comparison, suites, "the output of lastack compare")
    for suite, side in zip(suites, comparison.get("sides", [])):
        suite["label"] = side["label"]
    own = shlex.join([f"scripts/{Path(__file__).name}", *sys.argv[1:]])
    try:
        page = build(facts_of(suites, comparison, own))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # The parts that a page cannot do without were checked; this is one of the many others.
        fail(f"a manifest.json or the comparison holds what lastack does not write ({error!r})")
    save(page, args.out)


if __name__ == "__main__":
    main()
