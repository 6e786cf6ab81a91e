"""What the sections of the page say, out of what was read: lists, dictionaries and texts for
page.html.j2."""
import shlex

from files import VIRTUAL, clocked, common_time_unit, time_unit
from reading import PERCENTILES, key_of
from words import (STATES, amount, counted, duration, fact, flattened, is_latency, label_rows,
                   listed, p_text, quantity_name, share, signed, verdict_word)


def keys_of(suites):
    """All rows, as the suite lists them; their lines come in the order of play, by chance."""
    keys = list(dict.fromkeys(key for suite in suites for key in suite["rows"]))
    listed_rows = [row["name"] for suite in suites for row in suite["manifest"].get("rows") or []]
    places = {name: place for place, name in reversed(list(enumerate(listed_rows)))}
    return sorted(keys, key=lambda key: places.get(key[0], len(places)))


def unit_of(suites):
    return common_time_unit({suite["folder"]: time_unit(suite["manifest"]["environment"])
                             for suite in suites})


def time_words(unit):
    """How the page names its times, in sentences, heads and axes."""
    return {"in_unit": f", in {VIRTUAL} (instructions)" if unit == VIRTUAL else "",
            "second": clocked("second", unit)}


def title_of(suites):
    names = sorted({suite["manifest"]["suite"] for suite in suites})
    what = f"{'Suite' if len(names) == 1 else 'Suites'} {listed(names)}"
    labels = [suite["label"] for suite in suites]
    return f"{what}: {listed(labels[1:])} against {labels[0]}" if labels[1:] else \
        f"{what}: {labels[0]}"


def repetitions(suite):
    """Of the row that was played most often: what prices measure repeats itself within a run."""
    return max(len(row["lines"]) for row in suite["rows"].values())


def overview(suites):
    """What stood against what."""
    lines = []
    for suite in suites:
        manifest = suite["manifest"]
        environment = manifest["environment"]
        build = environment.get("build", {})
        commit = str(build.get("commit", ""))[:16]
        lines.append({
            "kernel": environment["kernel"]["release"], "host": environment.get("host", "\u2013"),
            "cpu": environment.get("cpu", {}).get("model", "\u2013"),
            "suite": manifest["suite"] + (" (quick)" if manifest.get("quick") else ""),
            "repetitions": repetitions(suite), "time": environment.get("time", "\u2013"),
            "lastack": f"{build.get('version', '')} {commit}"})
    return lines


def changed_rows(comparison, side):
    """{("latency" or the quantity, word): {row: (percent, "by how much")}} of this side."""
    labels = label_rows([key_of(row) for row in comparison["rows"]])
    found = {}
    for row in comparison["rows"]:
        for quantity in row["quantities"]:
            name = quantity_name(quantity["name"])
            group = "latency" if is_latency(quantity) else name
            for change in quantity["changes"]:
                word = verdict_word(quantity, change["verdict"])
                if change["side"] != side or not word:
                    continue
                by = "" if change["percent"] is None else \
                    f"{signed(change['percent'], quantity['unit'])} %"
                by = f"{name} {by}".strip() if group != name else by
                # Of several latencies the first one speaks for the row.
                label = row["row"] if row["strategy"] == "-" else labels[key_of(row)]
                found.setdefault((group, word), {}).setdefault(
                    label, (change["percent"] or 0, by))
    return found


def named(rows, most=3):
    """Those that changed most, and how many more."""
    names = [f"{name} ({by})" if by else name for name, (_, by) in
             sorted(rows.items(), key=lambda item: -abs(item[1][0]))]
    more = [f"{len(names) - most:,} more"] if len(names) > most else []
    return listed(names[:most] + more)


def side_verdict(comparison, suites, side):
    """The sentence, and below it the rows: "new against old: 1 row is slower, none is faster."."""
    found = changed_rows(comparison, side)
    against = f"{suites[side]['label']} against {suites[0]['label']}"
    if not found:
        return {"sentence": f"{against}: no difference is shown in any figure.", "details": []}
    parts, names = [], []
    for word in ("slower", "faster"):
        rows = found.pop(("latency", word), {})
        parts.append(f"{counted(len(rows), 'row is', 'rows are')} {word}" if rows else
                     f"{'none' if parts else 'no row'} is {word}")
        names += [f"{word.capitalize()}: {named(rows)}"] if rows else []
    for (group, word), rows in found.items():
        parts.append(f"{group} is {word} in {counted(len(rows), 'row', 'rows')}")
        names.append(f"{group}: {word} in {named(rows)}")
    return {"sentence": f"{against}: {', '.join(parts)}.", "details": names}


def failed_runs(suite):
    """Warm-ups too: what failed then may fail again. One without a status was not played."""
    return [run for run in suite["manifest"]["runs"] if run.get("status") not in ("ok", None)]


def verdict_of_one(suite):
    runs, bad = suite["manifest"]["runs"], len(failed_runs(suite))
    ended = f"{bad:,} of which did not end ok" if bad else "all of which ended ok"
    return {"sentence": "One suite, with nothing to compare it to: "
            f"{counted(len(runs), 'run', 'runs')}, {ended}.", "details": []}


def verdicts(comparison, suites):
    if not comparison:
        return [verdict_of_one(suites[0])]
    kinds_count = comparison["kind_changes"]
    in_kind = f"{counted(kinds_count, 'finding', 'findings').capitalize()} changed in kind" \
        f"{': survivors learn something else than before' if kinds_count else ''}."
    told = [{"sentence": in_kind, "details": []}]
    if was_tested(comparison):
        return told + [side_verdict(comparison, suites, side) for side in range(1, len(suites))]
    few = min(repetitions(suite) for suite in suites)
    return told + [{"sentence": f"With {counted(few, 'repetition', 'repetitions')} a side no "
                    "difference in any figure can be told from chance.", "details": []}]


def was_tested(comparison):
    """Not where there are too few repetitions: equal values are called the same even then."""
    return any(change["adjusted_p"] is not None for change in every_change(comparison))


def every_change(comparison):
    return [change for row in comparison.get("rows", []) for quantity in row["quantities"]
            for change in quantity["changes"]]


def is_change(change):
    return change["verdict"] in ("worse", "better", "changed")


def means(comparison, suites):
    """Of a handful of runs that can show nothing they would be noise."""
    if not comparison or not was_tested(comparison):
        return []
    units = {quantity["name"]: quantity["unit"] for row in comparison["rows"]
             for quantity in row["quantities"]}
    return [f"{quantity_name(mean['quantity'])}: "
            f"{mean_change(mean, units.get(mean['quantity']))} in "
            f"{suites[mean['side']]['label']}, geometric mean of "
            f"{counted(mean['rows'], 'row', 'rows')}"
            for mean in comparison.get("geometric_means", [])]


def mean_change(mean, unit):
    """A change that the test does not tell from none is not given as a figure."""
    low, high = mean["low"], mean["high"]
    if low is None or high is None:
        return "no interval, too few repetitions"
    interval = f"{signed(low, unit)} to {signed(high, unit)} %"
    if not mean["shown"]:
        return f"no change shown ({interval})"
    return f"{signed(mean['percent'], unit)} % ({interval})"


def caveats(comparison, suites):
    """What a reader must know before believing the rest."""
    lines = [f"Compared although lastack refuses it: {refusal}"
             for refusal in comparison.get("refusals", [])]
    # Those of rare findings have a place of their own.
    lines += [note for note in comparison.get("notes", []) if not note.startswith("rare: ")]
    for suite in suites:
        bad = failed_runs(suite)
        if bad and not comparison:
            lines.append(f"{counted(len(bad), 'run', 'runs')} did not end ok, such as "
                         f"{bad[0].get('folder')}: {bad[0].get('error') or bad[0]['status']}")
    lines += [note for suite in suites for note in suite["manifest"].get("notes") or []]
    return list(dict.fromkeys(lines))


def kinds(comparison):
    labels = label_rows([key_of(row) for row in comparison["rows"]])

    def told(name):
        return [{"row": labels[key_of(row)], "text": text}
                for row in comparison["rows"] for text in row.get(name, [])]

    rare = told("rare")
    return {"changed": told("changes_in_kind"), "rare": rare,
            "rare_count": counted(len(rare), "rare difference", "rare differences")}


def range_text(low, high, shown):
    """Empty where there is no interval."""
    return "" if low is None or high is None else f"{shown(low)} to {shown(high)}"


def signed_amount(value, unit):
    return ("\u2212" if value < 0 else "+") + amount(abs(value), unit)


def change_text(change, unit):
    """The change and its interval in percent; as a difference where a ratio says nothing, as of a
    lateness around zero. Empty texts where there is none."""
    middle, low, high = (change[name] for name in ("percent", "low", "high"))
    shown, after = lambda value: signed(value, unit), " %"
    if middle is None:
        middle, low, high = (change.get(name) for name in
                             ("difference", "difference_low", "difference_high"))
        shown, after = lambda value: signed_amount(value, unit), ""
    if middle is None:
        return "", ""
    return shown(middle) + after, range_text(low, high, shown)


def whisker(change, reach):
    """The interval of a change around zero, on a line from 4 to 116; None without a picture."""
    if change["percent"] is None or not reach:
        return None
    low = change["percent"] if change["low"] is None else change["low"]
    high = change["percent"] if change["high"] is None else change["high"]

    def place(value):
        return f"{60 + 56 * max(-1, min(1, value / reach)):.1f}"

    return {"low": place(low), "high": place(high), "leaves_left": low < -reach,
            "leaves_right": high > reach,
            "middle": place(change["percent"]) if abs(change["percent"]) <= reach else ""}


def verdict_text(quantity, change):
    return verdict_word(quantity, change["verdict"]) or (
        "not testable" if change["verdict"] == "untestable" else "~")


def change_cells(change, unit, quantity, reach):
    shown, between = change_text(change, unit)
    verdict = change["verdict"]
    return {"shown": shown, "between": between, "claimed": is_change(change), "verdict": verdict,
            "whisker": whisker(change, reach), "p": p_text(change["adjusted_p"]),
            "word": verdict_text(quantity, change),
            "reason": change.get("reason") if verdict == "untestable" else None}


def quantity_line(quantity, reach):
    """A cell per side: its median, and how the side changed against the first one."""
    by_side = {change["side"]: change for change in quantity["changes"]}
    unit = quantity["unit"]
    cells = []
    for side, figures in enumerate(quantity["sides"]):
        cell = {"median": "", "between": "", "change": None}
        if figures:
            cell["median"] = amount(figures["median"], unit)
            cell["between"] = range_text(figures.get("low"), figures.get("high"),
                                         lambda value: amount(value, unit))
        if side and side in by_side:
            cell["change"] = change_cells(by_side[side], unit, quantity, reach)
        cells.append(cell)
    return {"name": quantity_name(quantity["name"]), "cells": cells,
            "changed": any(map(is_change, quantity["changes"]))}


def changes(comparison):
    every = every_change(comparison)
    ends = [abs(value) for change in every for value in
            (change["low"], change["percent"], change["high"]) if value is not None]
    reach = min(100, max(ends, default=0))
    shown = f"{reach:.0f}" if reach >= 1 else f"{reach:.2g}"
    labels = label_rows([key_of(row) for row in comparison["rows"]])
    return {"about": "Median over the repetitions and its interval, change and p after correction "
            f"for {comparison.get('family', len(every))} tests",
            "reach": f"\u2212{shown} % \u2026 +{shown} %" if reach else "",
            "rows": [{"label": labels[key_of(row)],
                      "quantities": [quantity_line(each, reach) for each in row["quantities"]]}
                     for row in comparison["rows"] if row["quantities"]]}


def modes_text(row, unit):
    """Of virtual time only, as lastack tells them; those of the first repetition that has two."""
    if unit != VIRTUAL or not row["modes"]:
        return ""
    lower, lower_share, upper, upper_share = row["modes"][0]
    often = "" if len(row["lines"]) == 1 else \
        f", in {len(row['modes']):,} of {counted(len(row['lines']), 'repetition', 'repetitions')}"
    return f"two modes: {duration(lower, unit)} ({lower_share * 100:.0f} %) and " \
        f"{duration(upper, unit)} ({upper_share * 100:.0f} %){often}; the median may be either"


def number_line(row, unit):
    """The figures of a row on one side, or why there are none."""
    if not row:
        return {"why_none": "not in this suite"}
    if not row["findings"]:
        return {"why_none": f"skipped: {row['skipped']}" if row["skipped"] else "no connection"}
    total = sum(row["findings"].values())
    found = total - row["findings"].get("nothing", 0) - row["findings"].get("undecided", 0)
    times = [duration(row["figures"][name], unit) if name in row["figures"] else "\u2013"
             for name in PERCENTILES.values()]
    return {"why_none": "", "figures": [f"{found:,}", f"{total:,}", *times],
            "modes": modes_text(row, unit)}


def numbers(keys, labels, suites, unit):
    """The table below the curves."""
    return [{"label": labels[key], "lines": [number_line(suite["rows"].get(key), unit)
                                             for suite in suites]} for key in keys]


def row_options(keys, labels, suites, chosen):
    options = []
    for key in keys:
        found = any(key in suite["curves"] or suite["rows"].get(key, {}).get("figures")
                    for suite in suites)
        options.append({"text": labels[key] + ("" if found else " (nothing found)"),
                        "chosen": key == chosen})
    return options


def findings_text(counts):
    total = sum(counts.values())
    return ", ".join(f"{name} {share(count / total)}" for name, count in
                     sorted(counts.items(), key=lambda item: -item[1]))


def matrix(comparison, suites):
    """Strategy and probe by watch; of rows that share a cell the connections are added."""
    changed = {key_of(row) for row in comparison.get("rows", []) if row["changes_in_kind"]}
    watches, cells = {}, {}  # cells: {(strategy, probe): {watch: {"sides", "changed"}}}
    for key in keys_of(suites):
        _, strategy, watch, probe, write_path = key
        watch = f"{watch}:{write_path}" if write_path else watch
        watches[watch] = True
        cell = cells.setdefault((strategy, probe), {}).setdefault(
            watch, {"sides": [{} for _ in suites], "skipped": [""] * len(suites),
                    "changed": False})
        cell["changed"] = cell["changed"] or key in changed
        for side, suite in enumerate(suites):
            row = suite["rows"].get(key, {"findings": {}, "skipped": ""})
            for name, count in row["findings"].items():
                cell["sides"][side][name] = cell["sides"][side].get(name, 0) + count
            cell["skipped"][side] = cell["skipped"][side] or row["skipped"]
    strategies = list(dict.fromkeys(strategy for strategy, _ in cells))
    lines = [{"strategy": strategy, "probe": probe,
              "cells": [matrix_cell(by_watch.get(watch)) for watch in watches]}
             for (strategy, probe), by_watch in sorted(
                 cells.items(), key=lambda item: strategies.index(item[0][0]))]
    return {"watches": list(watches), "has_probes": {probe for _, probe in cells} != {"none"},
            "lines": lines}


def matrix_cell(cell):
    if not cell:
        return None
    texts = [findings_text(counts) if counts else
             f"skipped: {skipped}" if skipped else "\u2013"
             for counts, skipped in zip(cell["sides"], cell["skipped"])]
    return {"changed": cell["changed"], "texts": texts, "alike": len(set(texts)) == 1}


def setting_text(line):
    return line["settings"].replace(";", ", ")


def state_text(name):
    return STATES.get(name, name)


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


def frontier_lines(suites, unit):
    """The table below the chart."""
    lines = []
    for side, suite in enumerate(suites):
        for line in suite["frontier"]:
            cost = "\u2013" if line["survivor_cpu_ns"] is None else \
                amount(line["survivor_cpu_ns"], unit)
            if line["survivor_cpu_ns"] is not None and (line["survivor_cpu_low_ns"] or 0) <= 0:
                cost = "~"
            alarms = f"{line['false_alarms'] or 0:,} of {line['alive'] or 0:,}"
            if line["early_alarms"]:
                alarms += f", {line['early_alarms']:,} early"
            p50, p99 = (duration(line[name], unit) if line[name] else "\u2013"
                        for name in ("latency_p50_ns", "latency_p99_ns"))
            lines.append({
                "side": side, "run": line["run"], "probe": line["probe"],
                "setting": setting_text(line), "state": state_text(line["load_state"]),
                "found": f"{line['found'] or 0:,} of {line['silent'] or 0:,}", "p50": p50,
                "p99": p99, "cost": cost, "alarms": alarms,
                "is_alarming": bool(line["false_alarms"])})
    return lines


def load_states(suites):
    names = dict.fromkeys(line["load_state"] for suite in suites for line in suite["frontier"])
    return [{"name": name, "text": state_text(name)} for name in names]


def different_facts(comparison):
    return [{"name": entry["key"], "by_side": [fact(value) for value in entry["values"]],
             "blocking": bool(entry.get("blocking"))} for entry in comparison["environment"]]


def shared_facts(suites):
    facts = [dict(flattened(suite["manifest"]["environment"])) for suite in suites]
    return [{"name": name, "value": fact(value)} for name, value in facts[0].items()
            if all(name in other and other[name] == value for other in facts)]


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
    return lines + [own]


def row_commands(suites):
    """{row: command} of the first suite that has it."""
    found = {}
    for suite in reversed(suites):
        runs = suite["manifest"].get("rows") or suite["manifest"]["runs"]
        found.update({run["name"]: run.get("command") or "" for run in runs})
    return found
