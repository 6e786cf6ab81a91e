"""Figures and names as a reader sees them."""
import json

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
    return "< 0.01 %" if value < 0.0001 else f"{round(value * 100, 2):g} %"


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
