"""The sections of the page: tables and sentences, out of what was read."""
import shlex

from markup import Html, box, caption, items, join, tag
from reading import PERCENTILES, key_of
from words import (STATES, amount, counted, duration, fact, flattened, is_latency, label_rows,
                   listed, p_text, quantity_name, share, signed, verdict_word)


def swatch(side):
    """Filled by the script with the line and the point that the charts give this side."""
    return tag("span", class_=f"swatch side-{side}", data_swatch=side, aria_hidden="true")


def side_name(suites, side):
    return join(swatch(side), suites[side]["label"])


def keys_of(suites):
    """All rows, as the suite lists them; their lines come in the order of play, by chance."""
    keys = list(dict.fromkeys(key for suite in suites for key in suite["rows"]))
    listed_rows = [row["name"] for suite in suites for row in suite["manifest"].get("rows") or []]
    places = {name: place for place, name in reversed(list(enumerate(listed_rows)))}
    return sorted(keys, key=lambda key: places.get(key[0], len(places)))


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
            tag("td", repetitions(suite), class_="figure"),
            tag("td", environment.get("time", "\u2013")),
            tag("td", f"{build.get('version', '')} {commit}")))
    names = ["Side", "Kernel", "Host", "CPU", "Suite", "Repetitions", "Date (UTC)", "lastack"]
    table = tag("table", caption("What was measured", hidden=True),
                tag("thead", tag("tr", *[tag("th", name, scope="col") for name in names])),
                tag("tbody", *lines))
    return box("What was measured", table)


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
                by = "" if change["percent"] is None else f"{signed(change['percent'])} %"
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
        return tag("p", f"{against}: no difference is shown in any figure.", class_="verdict")
    parts, names = [], []
    for word in ("slower", "faster"):
        rows = found.pop(("latency", word), {})
        parts.append(f"{counted(len(rows), 'row is', 'rows are')} {word}" if rows else
                     f"{'none' if parts else 'no row'} is {word}")
        names += [f"{word.capitalize()}: {named(rows)}"] if rows else []
    for (group, word), rows in found.items():
        parts.append(f"{group} is {word} in {counted(len(rows), 'row', 'rows')}")
        names.append(f"{group}: {word} in {named(rows)}")
    return join(tag("p", f"{against}: {', '.join(parts)}.", class_="verdict"), items(names))


def failed_runs(suite):
    """Warm-ups too: what failed then may fail again. One without a status was not played."""
    return [run for run in suite["manifest"]["runs"] if run.get("status") not in ("ok", None)]


def verdict_of_one(suite):
    runs, bad = suite["manifest"]["runs"], len(failed_runs(suite))
    ended = f"{bad:,} of which did not end ok" if bad else "all of which ended ok"
    return tag("p", "One suite, with nothing to compare it to: "
               f"{counted(len(runs), 'run', 'runs')}, {ended}.", class_="verdict")


def verdict(comparison, suites):
    if not comparison:
        return verdict_of_one(suites[0])
    kinds_count = comparison["kind_changes"]
    parts = [tag("p", f"{counted(kinds_count, 'finding', 'findings').capitalize()} changed in kind"
                 f"{': survivors learn something else than before' if kinds_count else ''}.",
                 class_="verdict")]
    if was_tested(comparison):
        return join(*parts, *[side_verdict(comparison, suites, side)
                              for side in range(1, len(suites))])
    few = min(repetitions(suite) for suite in suites)
    return join(*parts, tag(
        "p", f"With {counted(few, 'repetition', 'repetitions')} a side no difference in any figure "
        "can be told from chance.", class_="verdict"))


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
        return Html("")
    return items([f"{quantity_name(mean['quantity'])}: {mean_change(mean)} in "
                  f"{suites[mean['side']]['label']}, geometric mean of "
                  f"{counted(mean['rows'], 'row', 'rows')}"
                  for mean in comparison.get("geometric_means", [])])


def mean_change(mean):
    """A change that the test does not tell from none is not given as a figure."""
    low, high = mean["low"], mean["high"]
    if low is None or high is None:
        return "no interval, too few repetitions"
    interval = f"{signed(low)} to {signed(high)} %"
    if not mean["shown"]:
        return f"no change shown ({interval})"
    return f"{signed(mean['percent'])} % ({interval})"


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
    lines += dict.fromkeys(note for suite in suites
                           for note in suite["manifest"].get("notes") or [])
    power = items(comparison.get("detectable", {}).get("text", []))
    if power:
        power = tag("details", tag("summary", "How many repetitions would show how much"), power)
    if not lines and not power:
        return Html("")
    return tag("div", tag("h3", "Before you rely on it"), items(lines), power)


def kinds(comparison):
    labels = label_rows([key_of(row) for row in comparison["rows"]])

    def told(name):
        return [join(tag("strong", labels[key_of(row)]), ": ", text)
                for row in comparison["rows"] for text in row.get(name, [])]

    counted_ones, rare = told("changes_in_kind"), told("rare")
    parts = [items(counted_ones, class_="kinds") if counted_ones else
             tag("p", "None: what one side found as a rule, the other found too.")]
    if rare:
        summary = f"{counted(len(rare), 'rare difference', 'rare differences')} that may be chance"
        parts.append(tag("details", tag("summary", summary), items(rare)))
    return join(*parts)


def figure_text(side, unit):
    if not side:
        return "\u2013"
    between = "" if side.get("low") is None else \
        f"{amount(side['low'], unit)} to {amount(side['high'], unit)}"
    return join(tag("b", amount(side["median"], unit)), " " if between else "",
                tag("small", between) if between else "")


def signed_amount(value, unit):
    return ("\u2212" if value < 0 else "+") + amount(abs(value), unit)


def change_text(change, unit):
    """In percent; as a difference where a ratio says nothing, as of a lateness around zero."""
    middle, low, high = (change[name] for name in ("percent", "low", "high"))
    shown, after = signed, " %"
    if middle is None:
        middle, low, high = (change.get(name) for name in
                             ("difference", "difference_low", "difference_high"))
        shown, after = lambda value: signed_amount(value, unit), ""
    if middle is None:
        return "\u2013"
    between = "" if low is None or high is None else f"{shown(low)} to {shown(high)}"
    # Only what is claimed stands out.
    return join(tag("b" if is_change(change) else "span", shown(middle) + after),
                " " if between else "", tag("small", between) if between else "")


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


def verdict_text(quantity, change):
    return verdict_word(quantity, change["verdict"]) or (
        "not testable" if change["verdict"] == "untestable" else "~")


def changes(comparison, suites):
    every = every_change(comparison)
    ends = [abs(value) for change in every for value in
            (change["low"], change["percent"], change["high"]) if value is not None]
    reach = min(100, max(ends, default=0))
    labels = label_rows([key_of(row) for row in comparison["rows"]])
    several = len(suites) > 2
    head = [tag("th", "Quantity", scope="col")]
    for side, suite in enumerate(suites):
        head.append(tag("th", suite["label"], scope="col"))
        if side:
            of = f" of {suite['label']}" if several else ""
            span = f"\u2212{reach:.0f} % \u2026 +{reach:.0f} %" if reach else ""
            head += [tag("th", f"Change{of}", scope="col"),
                     tag("th", span, scope="col", class_="whisker"),
                     tag("th", f"p{of}", scope="col"), tag("th", f"Verdict{of}", scope="col")]
    bodies = []
    for row in comparison["rows"]:
        lines = []
        for quantity in row["quantities"]:
            by_side = {change["side"]: change for change in quantity["changes"]}
            cells = []
            for side, figures in enumerate(quantity["sides"]):
                cells.append(tag("td", figure_text(figures, quantity["unit"]), class_="median"))
                if side and side in by_side:
                    change = by_side[side]
                    reason = change.get("reason") if change["verdict"] == "untestable" else None
                    said = change["verdict"]
                    cells += [tag("td", change_text(change, quantity["unit"])),
                              tag("td", whisker(change, reach), class_=f"whisker {said}"),
                              tag("td", p_text(change["adjusted_p"]), class_="figure"),
                              tag("td", verdict_text(quantity, change), class_=said,
                                  title=reason)]
                elif side:
                    cells += [tag("td", "\u2013")] * 4
            lines.append(tag("tr", tag("th", quantity_name(quantity["name"]), scope="row"), *cells,
                             data_changed=any(map(is_change, quantity["changes"]))))
        if lines:
            heading = tag("tr", tag("th", labels[key_of(row)], scope="rowgroup",
                                    colspan=len(head)), class_="group")
            bodies.append(tag("tbody", heading, *lines))
    if not bodies:
        return tag("p", "Nothing was measured on both sides.")
    about = caption("Median over the repetitions and its interval, change and p after correction "
                    f"for {comparison.get('family', len(every))} tests")
    table = tag("table", about, tag("thead", tag("tr", *head)),
                *bodies, id="changes-table")
    return box("Table of changes", table)


def side_switches(suites):
    """A set of check boxes; the sets of all charts are one switch."""
    if len(suites) < 2:
        return Html("")
    boxes = [tag("label", tag("input", type="checkbox", checked=True, autocomplete="off",
                              data_side=side),
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
    return tag("select", *options, id="row", autocomplete="off")


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
    has_probes = {probe for _, probe in cells} != {"none"}
    lines = []
    strategies = list(dict.fromkeys(strategy for strategy, _ in cells))
    for (strategy, probe), by_watch in sorted(
            cells.items(), key=lambda item: strategies.index(item[0][0])):
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
    return tag("label", "Host ", tag("select", *options, id="state", autocomplete="off"))


def environment_difference(comparison, suites):
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
