"""What the scripts have in common: messages, files that people may have touched, files that are
written whole or not at all, and calls of lastack. Whatever is wrong ends the program with one line.
"""
import csv
import importlib
import io
import json
import math
import os
import shlex
import subprocess
import sys
from pathlib import Path

SCHEMA = 1
BUILT_LASTACK = Path(__file__).resolve().parent.parent / "build/release/bin/lastack"
OLDER_WIDTH_NS = 100_000_000  # of a timeline's bins, before they told it
TIME, VIRTUAL = "ns", "virtual_ns"  # what a nanosecond is: time, or an instruction of a guest
DELIMITERS = ",;\t"  # a spreadsheet may put another one than lastack; no column's name holds one


def printable(text):
    """Nothing in it that acts on a terminal: control characters, escapes, half letters."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text))


def fail(message, code=2):
    text = " ".join(printable(message).split())
    try:
        print(f"{Path(sys.argv[0]).stem}: {text}", file=sys.stderr, flush=True)
    except OSError:
        sys.stderr = None  # nobody can be told
    sys.exit(code)


def need(*modules):
    """For packages that Python does not come with: an import alone would fail in many lines."""
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            fail(f"Python cannot import {name} ({error}); it is in the package python3-{name}: "
                 "`scripts/install_packages.sh plots`")


def reason(error):
    """Of an OSError, without the path, which the message has already."""
    return error.strerror or str(error)


def a_path(text):
    """For argparse: "" would be the current folder."""
    if not text:
        raise ValueError
    return Path(text)


a_path.__name__ = "name of a file or folder"


def deliver(text):
    """Prints to standard output; what cannot be delivered is an error."""
    try:
        if sys.stdout is None:  # it was closed
            raise OSError(None, "it is closed")
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        sys.stdout = None  # or the interpreter would try again at its end
        fail(f"write to standard output: {reason(error)}", 1)


# ---- reading ----


def read_text(path, what):
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        fail(f"{path} is missing; expected {what}")
    except OSError as error:
        fail(f"{path} cannot be read: {reason(error)}; expected {what}")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        fail(f"{path} is UTF-16; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fail(f"{path} cannot be read: {error}; save it as UTF-8")
    if "\0" in text:
        fail(f"{path} holds a NUL byte; expected a text file")
    return text


def parse_json(text):
    """Raises a ValueError; Python alone would take NaN and infinity."""
    def refuse(word):
        raise ValueError(f"{word} is no number")

    def finite(word):
        return float(word) if math.isfinite(float(word)) else refuse(word)

    try:
        return json.loads(text, parse_constant=refuse, parse_float=finite)
    except RecursionError:
        raise ValueError("nested too deep") from None


def read_json(path, what):
    try:
        document = parse_json(read_text(path, what))
    except ValueError as error:
        fail(f"{path} is not valid JSON ({error}); expected {what}")
    check_version(path, document.get("schema_version") if isinstance(document, dict) else None)
    return document


def check_version(where, version):
    if str(version).isdecimal() and int(version) > SCHEMA:
        fail(f"{where} has schema_version {version}: written by a newer lastack; this script "
             f"knows {SCHEMA}")
    if str(version) != str(SCHEMA):
        fail(f"{where} has schema_version {version!r}; expected {SCHEMA}")


def number(text, where, least=-1e19, most=1e19):
    """The number in a CSV field; None where it is empty. Counts and times stay whole."""
    if text == "":
        return None
    try:
        value = int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError:
        value = math.nan
    if least <= value <= most:
        return value
    wanted = "a number" if least < 0 else f"a number from {least:g} to {most:g}"
    commas = text.replace(",", "").lstrip("-").isdecimal() and "," in text
    hint = " (a comma for the decimal point, or between thousands)" if commas else ""
    return fail(f"{where} is '{text}'{hint}; expected {wanted}")


def read_csv(path, needed, what):
    """(names of the columns, [(line of the file, fields), ...]), as lastack wrote it or as a
    spreadsheet saved it: with a byte order mark, semicolons or tabs, a line "sep=;", empty lines,
    or empty columns at the end."""
    text = read_text(path, what)
    above = 0
    if text.startswith("sep="):
        text, above = text.partition("\n")[2], 1
    front = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(DELIMITERS, key=front.count)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        records = [(reader.line_num + above, [printable(field) for field in fields])
                   for fields in reader if "".join(fields).strip()]
    except csv.Error as error:
        fail(f"{path} line {reader.line_num + above} is not valid CSV: {error}")
    if not records:
        fail(f"{path} is empty; expected {what}")
    if not text.endswith(("\n", "\r")):
        fail(f"{path} line {records[-1][0]} is cut short: it has no end of line")
    header = [name.strip() for name in records[0][1]]
    while not header[-1]:
        header.pop()
    for name in header:
        if header.count(name) > 1:
            fail(f"{path} has the column '{name}' twice")
    missing = [name for name in ["schema_version"] + needed if name not in header]
    if missing:
        fail(f"{path} lacks the columns {', '.join(missing)}")
    lines = []
    for line, fields in records[1:]:
        while len(fields) > len(header) and not fields[-1].strip():
            fields.pop()
        if len(fields) != len(header):
            fail(f"{path} line {line} has {len(fields)} fields; expected {len(header)}")
        check_version(f"{path} line {line}", fields[header.index("schema_version")])
        lines.append((line, fields))
    return header, lines


def parse_findings(line, where):
    """{"eof": 2, "nothing": 5} of a line of summary.csv, without zero counts."""
    counts = {}
    for item in filter(None, line["findings"].split(";")):
        name, _, count = item.partition("=")
        if not name or not count.isdecimal():
            fail(f"{where}: findings is '{line['findings']}'; expected name=count;name=count")
        counts[name] = counts.get(name, 0) + int(count)
    for name in ("nothing", "undecided"):
        counts[name] = counts.get(name, 0) + int(line[name] or 0)
    return {name: count for name, count in counts.items() if count}


# ---- units of time ----


def time_unit(environment):
    """Of a manifest's environment; an older lastack measured time."""
    lab = environment.get("lab")
    return VIRTUAL if isinstance(lab, dict) and lab.get("time_unit") == VIRTUAL else TIME


def common_time_unit(units):
    """Of {folder: unit}: instructions and time share no axis and no table."""
    folders = {unit: folder for folder, unit in reversed(units.items())}
    if len(folders) > 1:
        fail(f"times of {folders[TIME]} are {TIME}, those of {folders[VIRTUAL]} {VIRTUAL} "
             "(instructions): they cannot be shown together")
    return next(iter(folders))


def virtual_text(virtual_ns):
    """Every digit, for it is read for differences of a thousandth."""
    return f"{virtual_ns:,.0f}vns"


def clocked(word, unit):
    """A "second" or "s" of the clock that has this unit."""
    return f"virtual {word}" if unit == VIRTUAL else word


# ---- writing ----


def write_files(writers):
    """Each file, {path: function that writes to an open one}, under a temporary name first: a
    failure leaves nothing half-written, and no link is followed."""
    parts = {}
    try:
        for path, write in writers.items():
            if path.is_dir():
                fail(f"{path} cannot be written: expected the name of a file")
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.{os.getpid()}")
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
            parts[path] = part
            with open(descriptor, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
        for path, part in parts.items():
            part.replace(path)
    except OSError as error:
        fail(f"{path} cannot be written: {reason(error)}")
    finally:
        for part in parts.values():
            if os.path.lexists(part):
                part.unlink()


# ---- calls of lastack ----


def output_of(command, good_codes=(0,), code=2):
    """What a program prints; `code` is this script's exit code where that ends otherwise."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace",
                              check=False)
    except OSError as error:
        fail(f"{command[0]} cannot be run: {reason(error)}", code)
    if done.returncode not in good_codes:
        fail(f"`{shlex.join(command)}` ended with {done.returncode}: "
             f"{(done.stderr or done.stdout)[-2000:]}", code)
    return done.stdout


def json_of(command, good_codes=(0,), code=2):
    try:
        return parse_json(output_of(command, good_codes, code))
    except ValueError as error:
        return fail(f"`{shlex.join(command)}` printed no valid JSON ({error})", code)
