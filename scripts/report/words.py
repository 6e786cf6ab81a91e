"""Figures and names as a reader sees them."""
import json

from files import TIME, VIRTUAL, virtual_text

# What `lastack compare` calls its quantities, for the reader.
QUANTITIES = {
    "latency_p50": "median latency", "latency_p99": "p99 latency", "latency_p999": "p99.9 latency",
    "found_share": "share that found out", "writes_before_error": "writes accepted after the act",
    "lateness": "lateness against the prediction", "cpu_per_connection": "CPU per connection",
    "segments_per_connection": "TCP segments per connection",
}
STATES = {"quiet": "quiet", "cpu-hog": "CPUs taken by other processes"}


def duration(nanoseconds, unit):
    """As lastack prints times: three digits and a unit, or all of virtual time."""
    if unit == VIRTUAL:
        return virtual_text(nanoseconds)
    if nanoseconds < 0:
        return "-" + duration(-nanoseconds, unit)
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        value = nanoseconds / scale
        if value >= 0.9995:
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}{unit}"
    return f"{nanoseconds:.0f}ns"


def amount(value, unit):
    """A figure of a quantity; the name of the quantity says what is counted."""
    if unit in (TIME, VIRTUAL):
        return duration(value, unit)
    return share(value) if unit == "share" else f"{value:,.4g}"


def share(value):
    """A percentage; only all is 100 %, and only none is 0 %."""
    if value in (0, 1):
        return f"{value * 100:.0f} %"
    if value > 0.9999:
        return "> 99.99 %"
    return "< 0.01 %" if value < 0.0001 else f"{round(value * 100, 2):g} %"


def signed(percent, unit):
    """Of virtual time to the hundredth of a percent, for that is told from chance there."""
    return f"{percent:+.{2 if unit == VIRTUAL else 1}f}".replace("-", "\u2212")


def p_text(p):
    if p is None:
        return "\u2013"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def counted(count, one, many):
    return f"{'no' if count == 0 else f'{count:,}'} {one if count == 1 else many}"


def listed(words):
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def quantity_name(name):
    return QUANTITIES.get(name, name.replace("_", " "))


def is_latency(quantity):
    return quantity["name"].startswith("latency_")


def verdict_word(quantity, verdict):
    """What became of the quantity; None where nothing is claimed. Which way is worse depends on the
    row: it is good to find a dead peer, and bad to find a live one dead."""
    if is_latency(quantity):
        return {"worse": "slower", "better": "faster", "changed": "different"}.get(verdict)
    up, down = ("worse", "better") if quantity["better"] == "less" else ("better", "worse")
    return {up: "higher", down: "lower", "changed": "different"}.get(verdict)


def label_rows(keys):
    """{key: name}: the suite's row, and what else tells its lines apart. Of what belongs to the
    whole run, strategy and all else is "-"."""
    labels = {}
    for key in keys:
        alike = [other for other in keys if other[0] == key[0] and other[1] != "-"]
        varying = ["whole run"] if key[1] == "-" else [
            part for place, part in enumerate(key)
            if place and part and len({other[place] for other in alike}) > 1]
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
