"""What boots leave: a folder per kernel that lastack and the report read as any other.

Each boot plays a suite once. The boots of one kernel become one suite, whose repetitions they are.
"""
import bisect
import csv
import io
import json

CURVE = ["row", "strategy", "watch", "probe", "since", "write_path"]  # what one curve is of


def table(data):
    reader = csv.DictReader(io.StringIO(data.decode()))
    return list(reader.fieldnames or []), list(reader)


def text_of(names, lines):
    target = io.StringIO()
    writer = csv.DictWriter(target, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return target.getvalue().encode()


def within(curve, latency):
    """How many values of a curve, [(latency_ns, count)] in order, are known to be within it."""
    at = bisect.bisect_right(curve, (latency, float("inf")))
    return curve[at - 1][1] if at else 0


def pooled_curves(tables):
    """latency.csv of all boots together. What lies between two points of a boot's curve counts as
    the greater one, so that a latency may be told too long, by the distance of two points."""
    curves = {}
    for _, lines in tables:
        one = {}
        for line in lines:
            one.setdefault(tuple(line.get(name, "") for name in CURVE), []).append(line)
        for key, points in one.items():
            curves.setdefault(key, []).append(points)
    pooled = []
    for boots in curves.values():
        counted = [sorted((int(point["latency_ns"]), int(point["count"])) for point in points)
                   for points in boots]
        latencies = sorted({latency for curve in counted for latency, _ in curve})
        counts = [sum(within(curve, latency) for curve in counted) for latency in latencies]
        for point in boots[0]:
            wanted = counts[-1] * float(point["percentile"]) / 100
            at = min(bisect.bisect_left(counts, wanted - 1e-6), len(counts) - 1)
            pooled.append({**point, "latency_ns": latencies[at], "count": counts[at]})
    return text_of(tables[0][0], pooled)


def renamed(folder, repetition):
    """01-storm/rep-1 of a boot is 01-storm/rep-N of all boots."""
    front, _, last = folder.rpartition("/")
    return f"{front}/rep-{repetition}" if last == "rep-1" else f"{folder}-{repetition}"


def merged_manifest(manifests):
    whole = json.loads(manifests[0])
    whole["runs"] = []
    for repetition, text in enumerate(manifests, 1):
        one = json.loads(text)
        for run in one["runs"]:
            whole["runs"].append({**run, "repetition": repetition,
                                  "order": run["order"] + (repetition - 1) * len(one["runs"]),
                                  "folder": renamed(run["folder"], repetition)})
        if one["exit_code"] and not whole["exit_code"]:
            whole["exit_code"], whole["status"] = one["exit_code"], one["status"]
    whole["repetitions"] = len(manifests)
    for row in whole["rows"]:
        row["repetitions"] = len(manifests)
    whole["notes"].append(f"each repetition is a boot of its own; frontier.csv and timeline.csv "
                          f"are those of the first of {len(manifests)} boots")
    return (json.dumps(whole, indent=2) + "\n").encode()


def merged_suite(boots):
    """{path: bytes} of several {path: bytes}, each a suite that was played once."""
    if len(boots) == 1:
        return boots[0]
    files = dict(boots[0])
    for repetition, boot in enumerate(boots, 1):
        for path, data in boot.items():
            if "/" in path:
                folder, _, name = path.rpartition("/")
                files[f"{renamed(folder, repetition)}/{name}"] = data
    files["manifest.json"] = merged_manifest([boot["manifest.json"] for boot in boots])
    if all("summary.csv" in boot for boot in boots):
        tables = [table(boot["summary.csv"]) for boot in boots]
        files["summary.csv"] = text_of(tables[0][0], [
            {**line, "repetition": repetition, "run": renamed(line["run"], repetition)}
            for repetition, (_, lines) in enumerate(tables, 1) for line in lines])
    if all("latency.csv" in boot for boot in boots):
        files["latency.csv"] = pooled_curves([table(boot["latency.csv"]) for boot in boots])
    return files
