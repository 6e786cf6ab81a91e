#!/usr/bin/python3
"""Draw what a suite about dead peers found: how soon each probe tells, and what it costs.

DIR is the folder of a `lastack suite` (frontier.csv, manifest.json). A point is one setting of one
probe: its median time from the death of the peer to the finding, with a line to the 99th
percentile; filled where no live peer was taken for dead, hollow where one was.
"""
import argparse
import textwrap

from drawing import (BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, WINE, axis_label,
                     save, time_label, use_style)
from files import (VIRTUAL, a_path, clocked, fail, number, printable, read_csv, read_json,
                   time_unit)

# After drawing, which says in a line what is missing.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

TEXTS = ["run", "watch", "probe", "settings", "load", "reader", "load_state", "cost_basis"]
COUNTS = ["neighbours", "silent", "found", "alive", "false_alarms", "early_alarms"]
FIGURES = ["latency_p50_ns", "latency_p99_ns", "survivor_cpu_ns", "survivor_cpu_low_ns"]
# No two probes share a marker, so that colour is never needed to tell them apart.
LOOKS = {"keepalive": (BLUE, "o"), "keepalive+user-timeout": (SKY, "p"),
         "user-timeout": (BLACK, "X"), "retransmit": (WINE, "P"),
         "heartbeat-link": (VERMILION, "s"), "heartbeat-wheel": (GREEN, "D"),
         "heartbeat-multishot": (ORANGE, "^"), "heartbeat-timerfd": (PURPLE, "v"),
         "heartbeat-scan": (BLACK, "<")}
OTHER_LOOK = ("#666666", "*")
DEFAULT_RTO_MAX = "2min"  # of the kernel; any other is a part of the setting
STATES = {"quiet": "quiet host", "cpu-hog": "CPUs taken by other processes"}


# ---- reading ----


def read_facts(path):
    """What the title says of the suite, and the unit of its times."""
    try:
        manifest = read_json(path, "the folder of a suite, with manifest.json and frontier.csv")
        quick = " --quick" if manifest["quick"] else ""
        kernel = manifest["environment"]["kernel"]["release"]
        return (printable(f"suite {manifest['suite']}{quick}, kernel {kernel}"),
                time_unit(manifest["environment"]))
    except (KeyError, TypeError) as error:
        fail(f"{path} is not the manifest of a suite ({error!r})")


def read_frontier(path):
    header, records = read_csv(path, TEXTS + COUNTS + FIGURES, "the frontier.csv of a suite")
    table = pd.DataFrame([fields for _, fields in records], columns=header, dtype=str)
    for name in COUNTS + FIGURES:
        # An end of a confidence interval may lie below zero.
        least = -1e19 if name.startswith("survivor_cpu") else 0
        values = [number(fields[header.index(name)], f"{path} line {line}: {name}", least)
                  for line, fields in records]
        for (line, _), value in zip(records, values):
            if value is None and name in COUNTS:
                fail(f"{path} line {line}: {name} is empty; expected a number")
        table[name] = np.array(values, dtype=float)
    return table


# ---- naming ----


def setting_label(row):
    """What a reader has to set: "1s+2x1s" (idle, count, interval), "3" (retries), "300ms"."""
    options = dict(item.split("=", 1) for item in row["settings"].split(";") if "=" in item)
    if "heartbeat-deadline" in options:
        return f"{options['heartbeat-deadline']}, beat {options['heartbeat-interval']}"
    if "user-timeout" in options:
        return options["user-timeout"]
    if "keepalive-idle" in options:
        return (f"{options['keepalive-idle']}+{options['keepalive-count']}"
                f"x{options['keepalive-interval']}")
    if "retries2" in options:
        limit = options.get("rto-max", DEFAULT_RTO_MAX)
        return options["retries2"] + (f", max {limit}" if limit != DEFAULT_RTO_MAX else "")
    return row["settings"]


def row_name(row):
    """The probe and what differs from idle connections of a plain watch."""
    parts = [row["probe"]]
    if row["load"] != "idle":
        parts.append(row["load"])
    if row["reader"] == "stopped":
        parts.append("window shut")
    if row["neighbours"]:
        parts.append("busy neighbours")
    if row["watch"].startswith("writer"):
        parts.append("writing")
    return ", ".join(parts)


# ---- drawing ----


def look_of(row):
    colour, marker = LOOKS.get(row["probe"], OTHER_LOOK)
    alarms = row["false_alarms"] + row["early_alarms"] > 0
    return {"color": colour, "marker": marker, "markersize": 6.5, "linestyle": "none",
            "markeredgewidth": 1.3, "markerfacecolor": "white" if alarms else colour}


def draw_point(ax, row, y):
    p50, p99 = row["latency_p50_ns"] / 1e9, row["latency_p99_ns"] / 1e9
    look = look_of(row)
    if p99 > p50:
        ax.plot([p50, p99], [y, y], color=look["color"], linewidth=0.9, zorder=2)
    ax.plot([p50], [y], zorder=3, **look)


def annotate(ax, x, y, text, above=True):
    ax.annotate(text, (x, y), (0, 6 if above else -6), textcoords="offset points", ha="center",
                va="bottom" if above else "top", fontsize=6.5, color="#333333", zorder=4)


def draw_values(ax, rows, values):
    """Points at their values; of settings that several ways share, the label stands once."""
    for (_, row), y in zip(rows.iterrows(), values):
        draw_point(ax, row, y)
    labelled = rows.assign(y=values, label=[setting_label(row) for _, row in rows.iterrows()])
    keys = ["label", labelled["probe"].str.replace(r"^heartbeat-.*", "heartbeat", regex=True)]
    for (label, _), group in labelled.groupby(keys, sort=False):
        kernel = not group["probe"].iloc[0].startswith("heartbeat")
        top = group.loc[group["y"].idxmin() if kernel else group["y"].idxmax()]
        annotate(ax, top["latency_p50_ns"] / 1e9, top["y"], label, above=not kernel)


def draw_rows(ax, rows, names):
    """A line of the chart per name: points that have no value but their time."""
    for place, name in enumerate(names):
        is_own = [row_name(row) == name for _, row in rows.iterrows()]
        own = rows.loc[rows.index[is_own]]  # an empty list would select columns
        own = own.sort_values("latency_p50_ns")
        for nth, (_, row) in enumerate(own.iterrows()):
            draw_point(ax, row, place)
            annotate(ax, row["latency_p50_ns"] / 1e9, place, setting_label(row), nth % 2 == 0)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_yticks(range(len(names)), names)


def draw(frontier, facts, unit):
    found = frontier[frontier["latency_p50_ns"].notna()]
    if found.empty:
        fail("no row of frontier.csv found a dead peer; expected at least one")
    # Costs are of idle connections; and what cannot be told from zero has no place on a log scale.
    plain = found["load"].eq("idle") & found["reader"].ne("stopped") & found["neighbours"].eq(0)
    priced = plain & found["survivor_cpu_low_ns"].gt(0) & found["survivor_cpu_ns"].gt(0)
    by_cost = bool(priced.any())
    cpu_unit, cpu_scale = (VIRTUAL, 1) if unit == VIRTUAL else ("us", 1e3)
    upper, lower = (found[priced], found[~priced]) if by_cost else (found, found[:0])
    states = [state for state in STATES if found["load_state"].eq(state).any()]
    names = list(dict.fromkeys(row_name(row) for _, row in lower.iterrows()))
    heights = [5.2, max(0.36 * len(names), 0.9)] if names else [5.2]
    fig, axes = plt.subplots(len(heights), len(states), sharex=True, sharey="row", squeeze=False,
                             figsize=(2.2 + 6.2 * len(states), sum(heights) + 1.6),
                             height_ratios=heights, layout="constrained")
    for column, state in enumerate(states):
        ax = axes[0][column]
        rows = upper[upper["load_state"].eq(state)]
        share = rows["false_alarms"] / rows["alive"].clip(lower=1) * 100
        draw_values(ax, rows, rows["survivor_cpu_ns"] / cpu_scale if by_cost else share)
        ax.set_title(STATES[state])
        if names:
            draw_rows(axes[1][column], lower[lower["load_state"].eq(state)], names)
        axes[-1][column].set_xlabel(textwrap.fill(axis_label(
            "from the death of the peer to the finding: median, and a line to the 99th percentile",
            unit), 90))
    reach = found[["latency_p50_ns", "latency_p99_ns"]].to_numpy() / 1e9
    first = axes[0][0]
    first.set_xscale("log")
    first.set_xlim(reach[reach > 0].min() / 1.4, reach.max() * 1.4)
    low, high = first.get_xlim()
    ticks = [step * 10.0**decade for decade in range(-6, 5) for step in (1, 2, 5)]
    first.set_xticks([tick for tick in ticks if low <= tick <= high])
    first.xaxis.set_major_formatter(
        FuncFormatter(lambda seconds, _: time_label(seconds * 1e9, unit)))
    first.xaxis.set_minor_locator(NullLocator())
    if by_cost:
        first.set_yscale("log")
        first.margins(y=0.12)
        digits = "g" if cpu_scale > 1 else ",.0f"
        first.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:{digits}}"))
        first.set_ylabel(f"survivors' CPU, {cpu_unit} per connection and "
                         f"{clocked('second', unit)}, more than\nwithout a probe (measured on a "
                         "quiet host, nobody dying)")
    else:
        first.set_ylim(-4, 104)
        first.set_ylabel("live peers taken for dead, %")
    if names:
        axes[1][0].set_title("cost not distinguishable from zero, or not measured with this "
                             "traffic")
    probes = [probe for probe in LOOKS if found["probe"].eq(probe).any()]
    probes += sorted(set(found["probe"]) - set(LOOKS))
    handles = []
    for probe in probes:
        colour, marker = LOOKS.get(probe, OTHER_LOOK)
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle="none", label=probe))
    handles += [Line2D([], [], color="#666666", marker="o", linestyle="none",
                       label="no false alarm"),
                Line2D([], [], color="#666666", marker="o", linestyle="none",
                       markerfacecolor="white", label="false alarms")]
    fig.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.01, 0), ncol=6,
               fontsize=8)
    fig.suptitle(f"How soon a dead peer is noticed, and for what price ({facts})", fontsize=11,
                 x=0.01, ha="left")
    return fig


def main():
    parser = argparse.ArgumentParser(description="Draw the frontier of a suite about dead peers.")
    parser.error = fail
    parser.add_argument("suite", metavar="DIR", type=a_path, help="folder of a suite")
    parser.add_argument("-o", "--out", metavar="FILE", type=a_path, required=True,
                        help="picture to write, .png or .svg")
    args = parser.parse_args()
    if args.out.suffix not in (".png", ".svg"):
        fail(f"{args.out} is neither .png nor .svg")
    use_style(title_size=10, **{"font.size": 9})
    facts, unit = read_facts(args.suite / "manifest.json")
    frontier = read_frontier(args.suite / "frontier.csv")
    save({args.out: draw(frontier, facts, unit)}, margin_inches=0.1)


if __name__ == "__main__":
    main()
