"""What may not happen in any run, whatever was done to it."""
import collections
import json
import re
import signal

VERDICTS = ["hang", "abort", "exit-code", "wrong-ledger", "leftover", "nameless"]
Fault = collections.namedtuple("Fault", "verdict detail")

EXIT_CODES = {0, 1, 2, 3, 4, 5, 6, 7}  # run's, verify's, cost's and suite's; compare has 8, too
NEED_A_REASON = {1, 2, 3}  # the others are results: their document says what is different
ABORTS = [signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL,
          signal.SIGTRAP, signal.SIGSYS]
NAMED = re.compile(r"\(E[A-Z0-9]+ \d+\)")  # Error::message(): "(EMFILE 24)"
# Messages that say all there is without an errno: no call failed.
PLAIN = re.compile(r"open files|interrupted before the first death|every row of the mix is skipped"
                   r"|must be .*; mend: |no result of its process \d+ within")
# The dynamic loader ends a process before the program has begun.
LOADER = "error while loading shared libraries"


def faults_of(kind, outcome, reference_out=None, expected_codes=(), named=NAMED):
    """The Faults of one outcome. `expected_codes` is what else the run may end with, `named` what a
    message must have."""
    if outcome.hung:
        return [Fault("hang", f"not ended after {outcome.seconds:.0f} s")]
    found = [*aborts(outcome)]
    if not found:
        found += exit_code(kind, outcome, expected_codes, named)
        found += ledger(kind, outcome, reference_out)
    return [*found, *leftovers(outcome)]


def aborts(outcome):
    names = [number.name for number in ABORTS]
    if outcome.code < 0 and signal.Signals(-outcome.code).name in names:
        yield Fault("abort", f"{signal.Signals(-outcome.code).name}: {last_line(outcome.err)}")
    for pid, name in re.findall(r"^(\d+) +\+\+\+ killed by (SIG\w+)", outcome.trace, re.MULTILINE):
        if name in names:
            yield Fault("abort", f"process {pid} of it died of {name}: {last_line(outcome.err)}")


def never_began(outcome):
    return LOADER in outcome.err and outcome.code in (1, 3, 127)


def exit_code(kind, outcome, expected_codes, named):
    code = outcome.code
    if code in expected_codes or never_began(outcome):
        return
    if code not in EXIT_CODES:
        yield Fault("exit-code", f"{code}: {said_last(outcome)}")
    elif code in NEED_A_REASON and not has_reason(kind, outcome, named):
        yield Fault("nameless", f"{code}: {said_last(outcome)}")


def has_reason(kind, outcome, named):
    if kind.name == "doctor" and "mend" in outcome.out:  # its findings are its output
        return True
    said = outcome.err + outcome.out
    return bool(named.search(said) or PLAIN.search(said))


def ledger(kind, outcome, reference_out):
    """With exit 0 all must have been done, and told; interrupted, what is told must add up."""
    if outcome.code == 0 and kind.stdout == "same" and reference_out is not None:
        if outcome.out != reference_out:
            yield Fault("wrong-ledger", "other output than without the fault")
    if outcome.code == 0 and kind.stdout == "text" and not outcome.out.endswith("\n"):
        yield Fault("wrong-ledger", "exit code 0, and no whole output")
    documents = [(name, text) for name, text in outcome.made.items()
                 if name.endswith("run.json") and "rep-" not in name]
    # A failure that is explained may be that the output could not be written.
    if kind.stdout == "run" and (outcome.code == 0 or outcome.out and not outcome.err):
        documents.append(("stdout", outcome.out))
    for name, text in documents:
        document = parsed(text)
        if document is None:
            yield Fault("wrong-ledger", f"exit code {outcome.code}, and {name} is no JSON")
            continue
        yield from (Fault("wrong-ledger", f"{name}: {wrong}")
                    for wrong in wrong_run(kind, document, outcome.code))
    if outcome.code == 0 and kind.stdout in ("claims", "prices", "suite"):
        if not others_are_whole(kind, parsed(outcome.out)):
            yield Fault("wrong-ledger", f"exit code 0, and the {kind.stdout} are not whole")
    # The .json is written last: a folder that has one is complete.
    if outcome.code == 0 and "{out}" in kind.arguments and not any(
            re.fullmatch(r"out/\w+\.json", name) for name in outcome.made):
        yield Fault("wrong-ledger", "exit code 0, and no result in --out")


def parsed(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


def wrong_run(kind, document, code):
    if document["exit_code"] != code and code >= 0:
        yield f"exit_code {document['exit_code']}, exit code {code}"
    rows = [row for row in document["ledger"] if not row["skipped"]]
    for row in rows:
        known = row["found"] + row["nothing"] + row["undecided"]
        chain = [row["requested"], row["established"], row["torn_down"], known]
        whole = len(set(chain)) == 1 and row["undecided"] == 0 and row["unexpected"] == 0
        adds_up = row["torn_down"] == known and chain == sorted(chain, reverse=True)
        if not (whole if code == 0 else adds_up or code == 5):
            yield (f"{row['strategy']}: requested, established, torn down, known {chain}, "
                   f"undecided {row['undecided']}, unexpected {row['unexpected']}")
    requested = sum(row["requested"] for row in rows if row["strategy"] != "alive")
    if code == 0 and not requested <= kind.connections <= sum(row["requested"] for row in rows):
        yield f"{requested} requested instead of {kind.connections}"
    if code == 0 and not document["reconciliation"]["balanced"]:
        yield "the counters are not balanced"


def others_are_whole(kind, document):
    if document is None:
        return False
    if kind.stdout == "claims":
        return len(document) > 0 and all(row["ok"] for row in document)
    if kind.stdout == "prices":
        return document["status"] == "ok" and document["rounds"] == 3
    return document["status"] == "ok" and len(document["runs"]) == len(document["rows"])


def leftovers(outcome):
    yield from (Fault("leftover", what) for what in outcome.left)
    killed = outcome.code == -signal.SIGKILL  # its last file cannot be finished; it has no name yet
    for name, text in outcome.made.items():
        if name.endswith(".tmp") and not killed:
            yield Fault("leftover", f"temporary file {name}")
        if name.endswith(".json") and parsed(text) is None:
            yield Fault("leftover", f"half-written {name}")
        if not name.startswith("out/"):
            yield Fault("leftover", f"file {name}")


def said_last(outcome):
    """What the outcome says of itself: on standard error, or in its document."""
    document = parsed(outcome.out)
    if outcome.err or not document:
        return last_line(outcome.err or outcome.out)
    if isinstance(document, list):  # claims
        return str(next((row for row in document if not row.get("ok")), "no row"))[:600]
    stalls = document.get("host", {}).get("stalls", {}).get("count")
    return f"{document.get('error') or document.get('unexpected', [])[:1]}, {stalls} stalls"


def last_line(text):
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no message"
