#!/usr/bin/python3
"""Draw the results of one or more lastack runs: latency, timeline and findings.

Each DIR is the result folder of one run (run.json, summary.csv, latency.csv, timeline.csv).
Several DIRs are overlaid: a row keeps its colour and marker, a run has its own line style.

Or each is the latency.csv of a suite, one for each host or kernel, of which `--row` picks rows; the
latency chart goes to one file, whose suffix (.png or .svg) says what it is.
"""
import argparse
import textwrap

from drawing import (BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, WINE, YELLOW, axis_label,
                     save, time_label, use_style)
from files import (OLDER_WIDTH_NS, TIME, VIRTUAL, a_path, clocked, common_time_unit, fail, number,
                   parse_findings, printable, read_csv, read_json, time_unit)

# After drawing, which says in a line what is missing.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, MaxNLocator, NullLocator

KEY = ["strategy", "watch", "probe"]
# The columns in use: texts, then numbers >= 0. A file may hold more.
COLUMNS = {
    "summary.csv": (KEY + ["findings", "skipped"], ["nothing", "undecided"]),
    "latency.csv": (KEY + ["since"], ["percentile", "latency_ns", "count"]),
    "timeline.csv": ([], ["start_ns", "injected", "found", "in_flight"]),
}
# 8 colours by 9 markers tell 72 rows apart.
ROW_COLOURS = [BLUE, VERMILION, GREEN, PURPLE, BLACK, ORANGE, SKY, WINE]
ROW_MARKERS = "osD^vP*X<"
RUN_STYLES = ["-"] + [(0, dashes) for dashes in ((5, 2), (1, 1.5), (6, 2, 1, 2), (9, 4))]
FINDING_COLOURS = {"eof": BLUE, "econnreset": VERMILION, "epipe": PURPLE, "etimedout": YELLOW,
                   "nothing": "#BBBBBB", "undecided": "#FFFFFF"}
NOT_FOUND = {"nothing", "undecided"}
OTHER_COLOUR = SKY  # shared by all other findings, which differ by hatch
MARGIN_INCHES = 0.15
OTHER_HATCHES = ["", "///", "...", "xxx", "\\\\\\", "+++", "ooo"]


# ---- reading ----


def read_facts(path):
    """What the titles and legends say of a run, and the unit of its times."""
    run = read_json(path, "the run.json of a run")
    try:
        spec, kernel = run["spec"], run["environment"]["kernel"]["release"]
        unit = time_unit(run["environment"])
        facts = {"connections": f"{int(spec['connections']):,} connections",
                 "schedule": f"schedule {spec['schedule']}", "wait": f"wait {spec['wait']}",
                 "kernel": f"kernel {kernel}"}
        return facts, unit
    except (ArithmeticError, KeyError, TypeError, ValueError):
        fail(f"{path} is incomplete; expected spec.connections (a number), spec.schedule, "
             "spec.wait and environment.kernel.release")


def read_table(path, unique, kind=None):
    """A CSV file as a DataFrame, checked line by line so that an error can name the line."""
    texts, numbers = COLUMNS[kind or path.name]
    header, records = read_csv(path, texts + numbers, "a CSV file of lastack")
    table = pd.DataFrame([fields for _, fields in records], columns=header, dtype=str)
    table["line"] = [line for line, _ in records]
    if "watch" in texts and "write_path" in header:  # newer than the first files
        table["watch"] = [f"{watch}:{path}" if path else watch
                          for watch, path in zip(table["watch"], table["write_path"])]
    if "skipped" in texts:  # a row that never ran may leave its counts blank
        blank = table[numbers].eq("").mul(table["skipped"].ne(""), axis=0)
        table[numbers] = table[numbers].mask(blank, "0")
    for name in numbers + ["width_ns"] * ("width_ns" in header):
        least, most = (0, 100) if name == "percentile" else (1, 1e19) if name == "width_ns" \
            else (0, 1e19)
        values = [number(text, f"{path} line {line}: {name}", least, most)
                  for line, text in table[["line", name]].to_numpy()]
        for line, value in zip(table["line"], values):
            if value is None:
                fail(f"{path} line {line}: {name} is empty; expected a number")
        table[name] = np.array(values, dtype=float)
    unique = ["row"] * ("row" in header) + unique  # a suite's rows may share all else
    for line in table.loc[table.duplicated(unique), "line"]:
        fail(f"{path} line {line} repeats an earlier one; expected each {'/'.join(unique)} once")
    if path.name == "timeline.csv" and "width_ns" not in header:  # an older one
        table["width_ns"] = OLDER_WIDTH_NS
    return table


def load_run(folder, since):
    if not folder.is_dir():
        fail(f"{folder} is not a folder; expected the result folder of a run")
    paths = [folder / name for name in COLUMNS]
    facts, unit = read_facts(folder / "run.json")
    keys = (KEY, KEY + ["since", "percentile"], ["start_ns"])
    summary, latency, timeline = (read_table(path, key) for path, key in zip(paths, keys))
    if summary.empty:
        fail(f"{paths[0]} holds no row; expected one line per row of the run")
    rows = {tuple(row[KEY]): {"skipped": row["skipped"], "findings": parse_findings(
        row, f"{paths[0]} line {row['line']}")} for _, row in summary.iterrows()}
    curves = {key: curve.sort_values("percentile")
              for key, curve in latency[latency["since"] == since].groupby(KEY)}
    for key in curves.keys() - rows.keys():
        fail(f"{paths[1]} has the row {'/'.join(key)}; expected only rows of summary.csv")
    for key, row in rows.items():  # only a row without a finding has no curve
        if row["findings"].keys() - NOT_FOUND and (
                key not in curves or curves[key]["percentile"].max() < 100):
            fail(f"{paths[1]} lacks the row {'/'.join(key)} since {since}, which has findings; "
                 "expected its curve up to percentile 100")
    if timeline.empty and any(row["findings"] for row in rows.values()):
        fail(f"{paths[2]} holds no bin; expected one line per 100 ms")
    return {"folder": folder, "facts": facts, "unit": unit, "rows": rows, "curves": curves,
            "timeline": timeline.sort_values("start_ns")}


def load_suite(path, since, wanted):
    """The curves of a suite's latency.csv, of all its rows or of those wanted."""
    latency = read_table(path, KEY + ["since", "percentile"], "latency.csv")
    if "row" not in latency:
        fail(f"{path} lacks the column row; expected the latency.csv of a suite")
    for name in set(wanted) - set(latency["row"]):
        fail(f"{path} has no row '{name}'; it has {', '.join(sorted(set(latency['row'])))}")
    latency = latency[(latency["since"] == since) & (latency["row"].isin(wanted or latency["row"]))]
    curves = {key: curve.sort_values("percentile")
              for key, curve in latency.groupby(["row"] + KEY, sort=False)}
    facts, unit, manifest = {}, TIME, path.with_name("manifest.json")
    if manifest.exists():
        try:
            document = read_json(manifest, "the manifest of a suite")
            facts["kernel"] = f"kernel {printable(document['environment']['kernel']['release'])}"
            unit = time_unit(document["environment"])
        except (KeyError, TypeError) as error:
            fail(f"{manifest} is not the manifest of a suite ({error!r})")
    return {"folder": path.parent, "facts": facts, "unit": unit, "curves": curves,
            "rows": {key: {"skipped": "", "findings": {}} for key in curves}}


# ---- naming ----


def name_runs(runs):
    """Give each run its tag (A, B, ...), label and line style; return the facts all share."""
    names = [run["folder"].resolve().name for run in runs]
    shared = {key: fact for key, fact in runs[0]["facts"].items()
              if all(run["facts"].get(key) == fact for run in runs)}
    for index, run in enumerate(runs):
        name = names[index] if names.count(names[index]) == 1 else run["folder"]
        own = [fact for key, fact in run["facts"].items() if key == "kernel" or key not in shared]
        run["tag"] = chr(ord("A") + index)
        run["label"] = f"{run['tag']}: {name}" + (f" ({', '.join(own)})" if own else "")
        run["style"] = RUN_STYLES[index]
    return textwrap.fill(", ".join(shared.values()), 90)


def name_rows(runs):
    """{key: label} of all rows, in first-seen order, and what they all share."""
    keys = list(dict.fromkeys(key for run in runs for key in run["rows"]))
    places = range(len(keys[0]) if keys else 0)
    shown = [i for i in places if len({key[i] for key in keys}) > 1] or [0]
    common = [keys[0][i] for i in places if i not in shown and keys[0][i] != "none"]
    return {key: " / ".join(key[i] for i in shown) for key in keys}, " / ".join(common)


def add_run_legend(ax, runs, looks):
    """Name the runs, if there are several, below the axes and their label."""
    if len(runs) > 1:
        handles = [Line2D([], [], label=run["label"], **look) for run, look in zip(runs, looks)]
        below = -0.6 / (ax.get_position().height * ax.figure.get_figheight())  # 0.6 inch
        ax.figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, below),
                         bbox_transform=ax.transAxes, handlelength=4 * ("linestyle" in looks[0]))


# ---- latency by percentile ----


def time_ticks(low, high):
    """Limits at the 1-2-5 steps around low to high, and ticks: the decades, or all if few."""
    steps = np.array([step * 10.0**decade for decade in range(20) for step in (1, 2, 5)])
    first = max(np.searchsorted(steps, low, side="right") - 1, 0)
    last = max(np.searchsorted(steps, high, side="left"), first + 1)
    return steps[[first, last]], steps[first:last + 1] if last - first < 9 else steps[::3]


def curve_points(curve):
    """x = 1/(1-p), cut at the number of findings n: from 1-1/n on, p is the maximum."""
    with np.errstate(divide="ignore"):
        x = 1 / (1 - curve["percentile"].to_numpy() / 100)
    x = np.minimum(x, max(curve["count"].max(), 1))
    keep = np.append(x[1:] > x[:-1], True)  # the last of the points cut to the same x
    return x[keep], np.maximum(curve["latency_ns"].to_numpy()[keep], 1)  # 0 has no logarithm


def draw_latency(runs, labels, facts, since):
    columns = 2 if len(labels) > 20 else 1
    fig, ax = plt.subplots(figsize=(11, max(6.5, 0.19 * len(labels))))
    handles, drawn = [], []
    for index, (key, label) in enumerate(labels.items()):
        turn, hue = divmod(index, len(ROW_COLOURS))  # neighbours differ in both colour and marker
        look = {"color": ROW_COLOURS[hue], "marker": ROW_MARKERS[(turn + hue) % len(ROW_MARKERS)]}
        with_curve = [(nth, run) for nth, run in enumerate(runs) if key in run["curves"]]
        for nth, run in with_curve:
            drawn.append(curve_points(run["curves"][key]))
            # Staggered markers stay apart where the lines do not.
            ax.plot(*drawn[-1], **look, linestyle=run["style"], linewidth=1.3, markersize=5.5,
                    markevery=((index % 8) / 80, 0.1) if len(drawn[-1][0]) > 1 else None,
                    clip_on=False, zorder=3, markerfacecolor="white" if nth % 2 else None)
        if not with_curve:
            skipped = any(run["rows"].get(key, {}).get("skipped") for run in runs)
            label += " (skipped)" if skipped else " (no finding)"
            look = {"color": "none"}
        handles.append(Line2D([], [], label=label, **look))
    reach = max([x[-1] for x, _ in drawn] + [10])
    ticks = [1, 2, *10.0 ** np.arange(1, np.ceil(np.log10(reach) - 1e-9) + 1)]
    ax.set(xscale="log", yscale="log", xlim=(1, ticks[-1]))
    ax.set_xticks(ticks, [f"{round(100 - 100 / x, 10):.12g}%" for x in ticks])
    latencies = np.concatenate([y for _, y in drawn] or [[1e3, 1e6]])
    limits, ticks = time_ticks(latencies.min(), latencies.max())
    if runs[0]["unit"] == VIRTUAL and latencies.max() < 4 * latencies.min():
        # A few percent of instructions are a difference, and decades would hide it.
        ax.set_yscale("linear")
        ticks = MaxNLocator(8, integer=True).tick_values(latencies.min(), latencies.max())
        limits = ticks[[0, -1]]
    ax.set_yticks(ticks, [time_label(tick, runs[0]["unit"]) for tick in ticks])
    ax.set_ylim(limits)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_locator(NullLocator())
    if not drawn:
        ax.text(0.5, 0.5, "no finding in any row", ha="center", transform=ax.transAxes)
    ax.set_xlabel("percentile of the row's findings (a line ends at its slowest finding)")
    ax.set_ylabel(axis_label(f"latency since {since}", runs[0]["unit"]))
    ax.set_title(f"Time until the survivor knows, since {since}\n{facts}")
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1), ncol=columns,
              fontsize=9)
    add_run_legend(ax, runs, [{"color": "black", "linestyle": run["style"], "marker": "o",
                               "markerfacecolor": "white" if number % 2 else None}
                              for number, run in enumerate(runs)])
    return fig


# ---- connections over time ----


def stretch_start(ax, runs):
    """Log scale after the injection, if a long wait for the last finding would squeeze it."""
    bins = pd.concat([run["timeline"] for run in runs])
    bins["end"] = (bins["start_ns"] + bins["width_ns"]) / 1e9
    last, end = bins.loc[bins["injected"] > 0, "end"].max(), bins["end"].max()
    if not end > 8 * last:  # true too if nothing was injected: last is then not a number
        return ""
    ax.set_xscale("symlog", linthresh=last, linscale=1.5)
    ax.set_xlim(0, end * 1.1)
    later = [step * 10.0**decade for decade in range(-1, 7) for step in (1, 2, 5)]
    ticks = [tick for tick in MaxNLocator(4).tick_values(0, last) if 0 <= tick < 0.9 * last]
    ticks += [last] + [tick for tick in later if 1.4 * last < tick <= end]
    ax.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    return f", logarithmic after {last:.3g}"


def draw_timeline(runs, facts):
    fig, axes = plt.subplots(3, 1, figsize=(11, 8), sharex=True)
    second, short = (clocked(word, runs[0]["unit"]) for word in ("second", "s"))
    axes[0].sharey(axes[1])  # what goes in and what comes out are read against each other
    timed = [(run, colour) for run, colour in zip(runs, ROW_COLOURS) if len(run["timeline"])]
    for ax, name in zip(axes, ("injected", "found", "in_flight")):
        for run, colour in timed:
            start = run["timeline"]["start_ns"].to_numpy() / 1e9
            edges = np.append(start, start[-1] + run["timeline"]["width_ns"].iloc[-1] / 1e9)
            values = run["timeline"][name].to_numpy()
            if name != "in_flight":
                values = values / np.diff(edges)
            # No baseline: the run's end is not a fall to zero.
            ax.stairs(values, edges, baseline=None, color=colour, linestyle=run["style"],
                      linewidth=1.4)
            if len(runs) == 1:
                ax.stairs(values, edges, color=colour, alpha=0.2, fill=True)
        ax.margins(x=0)
        ax.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.yaxis.set_major_formatter(EngFormatter(sep=""))
        unit = "connections" if name == "in_flight" else f"per {second}"
        ax.set_ylabel(f"{name.replace('_', ' ')}\n({unit})")
    for ax in axes[1:]:  # only now: a fixed limit stops the axis from growing with the data
        ax.set_ylim(0, max(1, ax.get_ylim()[1]))
    scale = stretch_start(axes[2], [run for run, _ in timed]) if timed else " (nothing torn down)"
    axes[2].set_xlabel(f"time since the first scheduled instant, in {short}{scale}")
    widths = sorted({width for run, _ in timed for width in run["timeline"]["width_ns"]})
    bins = " or ".join(time_label(width, runs[0]["unit"]) for width in widths) or "100 ms"
    axes[0].set_title(f"Connections over the run, in bins of {bins}\n{facts}")
    fig.align_ylabels(axes)
    add_run_legend(axes[2], runs, [{"color": colour, "linestyle": run["style"]}
                                   for run, colour in zip(runs, ROW_COLOURS)])
    return fig


# ---- findings ----


def finding_looks(runs):
    """{finding: bar style} of the findings seen, in the order of bars and legend."""
    seen = {name for run in runs for row in run["rows"].values() for name in row["findings"]}
    looks = {name: {"facecolor": colour} for name, colour in FINDING_COLOURS.items()}
    ends = {name: looks.pop(name) for name in ("nothing", "undecided")}
    for index, name in enumerate(sorted(seen - FINDING_COLOURS.keys())):
        hatch = OTHER_HATCHES[index % len(OTHER_HATCHES)]
        looks[name] = {"facecolor": OTHER_COLOUR, "hatch": hatch}
    ends["undecided"]["hatch"] = "///"
    return {name: {"edgecolor": "#444444", "linewidth": 0.5, **look}
            for name, look in {**looks, **ends}.items() if name in seen}


def draw_bar(ax, place, row, looks, longest):
    left, small = 0, []
    for finding in filter(row["findings"].get, looks):
        count, colour = row["findings"][finding], looks[finding]["facecolor"]
        ax.barh(place, count, left=left, height=0.8, **looks[finding])
        if count / longest > 0.01 + 0.01 * len(f"{count:,}"):
            ax.text(left + count / 2, place, f"{count:,}", ha="center", va="center_baseline",
                    fontsize=8, color="white" if finding in ("eof", "econnreset") else "black",
                    bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.8})
        else:
            small.append(f"{finding} {count:,}")  # too narrow for its count: said after the bar
        left += count
    note = ", ".join(small)
    if not left:
        note = textwrap.shorten(row["skipped"] or "no connection torn down", 90)
    ax.annotate(note, (left, place), (5, 0), textcoords="offset points", va="center_baseline",
                fontsize=8, style="normal" if left else "italic", annotation_clip=False)


def draw_findings(runs, labels, facts):
    several = len(runs) > 1
    looks = finding_looks(runs)
    totals = [sum(row["findings"].values()) for run in runs for row in run["rows"].values()]
    # With several runs the bars of one row stand close together, the rows further apart.
    step = len(runs) + 0.5 if several else 1
    end = step * len(labels) - (0.5 if several else 0)
    fig, ax = plt.subplots(figsize=(11, (0.28 if several else 0.36) * (end + 1)))
    names = {}
    for index, (key, label) in enumerate(labels.items()):
        for nth, run in enumerate(runs):
            place = step * index + nth
            names[place] = label if nth == 0 else ""
            if several:
                names[place] += f"  {run['tag']}"
            row = run["rows"].get(key, {"skipped": "not in this run", "findings": {}})
            draw_bar(ax, place, row, looks, max(totals + [1]))
    ax.set_yticks(list(names), list(names.values()))
    ax.set_ylim(end - 0.3, -0.7)
    ax.set_xlim(0, max(totals + [1]))
    ax.grid(False)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.set_xlabel("connections torn down, by finding")
    ax.spines[["top", "right"]].set_visible(False)
    lines = -(-len(looks) // 7)
    if looks:
        ax.legend(handles=[Patch(label=name, **look) for name, look in looks.items()],
                  ncol=-(-len(looks) // lines), loc="lower left", bbox_to_anchor=(0, 1))
    ax.set_title(f"What the survivors found\n{facts}", pad=10 + 17 * lines)
    add_run_legend(ax, runs, [{"color": "none"}] * len(runs))
    return fig


def main():
    parser = argparse.ArgumentParser(description="Draw the results of lastack runs.")
    parser.error = fail
    parser.add_argument("runs", metavar="DIR", nargs="+", type=a_path,
                        help="result folder of a run, or latency.csv of a suite")
    parser.add_argument("-o", "--out", type=a_path, metavar="OUT",
                        help="folder for the charts (default: first DIR); or, always with suites, "
                        "FILE.png or FILE.svg for the latency chart alone")
    parser.add_argument("--format", choices=["png", "svg"], default="png",
                        help="of the charts in a folder (default: png)")
    parser.add_argument("--since", choices=["issued", "scheduled"], default="issued",
                        help="instant latency counts from (default: issued)")
    parser.add_argument("--row", action="append", default=[], metavar="NAME",
                        help="draw this row of a suite; may be repeated (default: all)")
    args = parser.parse_args()
    if len(args.runs) > len(RUN_STYLES):
        fail(f"{len(args.runs)} folders given; expected at most {len(RUN_STYLES)}")
    single = args.out if args.out and args.out.suffix in (".png", ".svg") else None
    are_files = [path.is_file() for path in args.runs]
    if any(are_files) and not all(are_files):
        fail("files and folders are mixed; expected folders of runs, or latency.csv of suites")
    if all(are_files) and not single:
        fail("suites need -o FILE.png or -o FILE.svg")
    if args.row and not all(are_files):
        fail("--row picks rows of suites; folders of runs are given")
    runs = [load_suite(path, args.since, args.row) if all(are_files)
            else load_run(path, args.since) for path in args.runs]
    common_time_unit({run["folder"]: run["unit"] for run in runs})
    facts, (labels, common) = name_runs(runs), name_rows(runs)
    facts = ", ".join(filter(None, [common, facts]))
    use_style(title_size=11)
    latency = draw_latency(runs, labels, facts, args.since)
    if single:
        return save({single: latency}, MARGIN_INCHES)
    out = args.out or args.runs[0]
    charts = {"latency": latency, "timeline": draw_timeline(runs, facts),
              "findings": draw_findings(runs, labels, facts)}
    save({out / f"{name}.{args.format}": chart for name, chart in charts.items()},
         MARGIN_INCHES)


if __name__ == "__main__":
    main()
