"""Rules of style that a machine can keep: long functions, long lines, names that stand twice, dead
functions. `check_layout.py` applies them."""
import collections
import itertools
import re

MOST_LINES = 70     # of a function
MOST_COLUMNS = 100  # of a line

# Each of them reads best from top to bottom.
LONG_BY_DESIGN = {
    "expected_of_silence": "a decision per way to be silent, in the order in which they exclude",
    "play_silence": "a scene: what happens in it, in order",
    "observe": "one case per observer",
    "dead_peer_full": "a table of rows",
    "main_with_arguments": "the commands, one by one",
    "make_claims": "a table of rows",
    "sample_result": "a value for every field",
}

# Declared in a header of lib/ and used by tests alone.
FOR_TESTS = {"unpack_books": "recorded runs are replayed by tests"}

KEYWORDS = {"if", "for", "while", "switch", "return", "sizeof", "catch", "alignas", "decltype",
            "requires", "static_assert", "noexcept", "defined", "explicit", "operator"}
NAME_BEFORE_ARGUMENTS = re.compile(r"([~\w]+(?:::[~\w]+)*)\s*\(")
TYPE = re.compile(r"^(?:template\s*<[^{]*>\s*)?(?:struct|class|enum|union)\b(?!.*\))")
NAMESPACE = re.compile(r"^(?:inline\s+)?(?:namespace\b|extern\b)")


def functions_of(code):
    """(name, first line, number of lines, whether only its file sees it) of each function that
    code without comments and literals defines in a namespace or a type."""
    code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", code, flags=re.MULTILINE)
    stack = []  # (kind, name, line of the start)
    start, line = 0, 1
    hidden = 0
    for at, sign in enumerate(code):
        if sign == "\n":
            line += 1
        elif sign == "{":
            head = code[start:at].strip()
            kind, name = kind_of(head, stack)
            first = line - head.count("\n")
            stack.append((kind, name, first))
            hidden += kind == "hidden"
            start = at + 1
        elif sign == "}" and stack:
            kind, name, first = stack.pop()
            hidden -= kind == "hidden"
            if kind == "function":
                yield name, first, line - first + 1, hidden > 0
            start = at + 1
        elif sign == ";":
            start = at + 1


def kind_of(head, stack):
    """What a brace behind `head` opens."""
    if any(kind not in ("namespace", "hidden", "type") for kind, _, _ in stack):
        return "inside", ""
    if NAMESPACE.match(head):
        return ("hidden" if re.search(r"namespace\s*$", head) else "namespace"), ""
    if TYPE.match(head):
        return "type", ""
    names = [name for name in NAME_BEFORE_ARGUMENTS.findall(head) if name not in KEYWORDS]
    if names and "=" not in head.split("(")[0]:
        test = re.search(r"\bTEST(?:_[FP])?\s*\(\s*(\w+)\s*,\s*(\w+)", head)
        return "function", f"{test[1]}.{test[2]}" if test else names[0].split("::")[-1]
    return "value", ""


def long_functions(code):
    """(line, rule) of each function that is too long."""
    for name, first, lines, _ in functions_of(code):
        if lines > MOST_LINES and name not in LONG_BY_DESIGN:
            yield first, f"{name} has {lines} lines; allowed: {MOST_LINES}"


RAW = re.compile(r'R"(\w*)\(.*?\)\1"', re.DOTALL)


def long_lines(text, is_prose):
    """(line, rule) of each line that is too long; without raw strings, and of prose without tables,
    pasted output and lines that are one link."""
    text = RAW.sub(lambda raw: "\n" * raw[0].count("\n"), text)
    pasted = False
    for number, line in enumerate(text.split("\n"), 1):
        if is_prose and line.startswith("```"):
            pasted = not pasted
        exempt = is_prose and (pasted or line.lstrip().startswith(("|", "    ", "!["))
                               or " " not in line.strip())
        if len(line) > MOST_COLUMNS and not exempt:
            yield number, f"{len(line)} columns; allowed: {MOST_COLUMNS}"


NAMESPACE_OR_TYPE = re.compile(
    r"^(?:namespace ([\w:]+) \{"
    r"|(?:struct|class|enum class|enum)\s+(?:\[\[\w+\]\]\s*)?(\w+)[^;{]*\{)", re.MULTILINE)
HIDDEN = re.compile(r"^namespace \{$.*?^\}", re.MULTILINE | re.DOTALL)


def types_of(code):
    """(name, namespace) of the types that code defines for everybody."""
    namespace = ""
    for opened, name in NAMESPACE_OR_TYPE.findall(HIDDEN.sub("", code)):
        namespace = opened or namespace
        if name:
            yield name, namespace


def twice(types_by_file):
    """(file, rule) of each name of a type that two files define for everybody, in one namespace or
    in one around the other, where the inner one would hide the outer one."""
    places = collections.defaultdict(set)
    for file, types in types_by_file.items():
        for name, namespace in types:
            places[name].add((namespace, file))
    for name, where in sorted(places.items()):
        for (outer, file), (inner, other) in itertools.pairwise(sorted(where)):
            if f"{inner}::".startswith(f"{outer}::" if outer else ""):
                yield file, f"{name} stands in {other}, too: one of them needs another name"
                break


DECLARED = re.compile(r"^ {0,2}(?:\[\[\w+\]\] )?"
                      r"(?!return\b|using\b|typedef\b|template\b|friend\b|namespace\b)"
                      r"[A-Za-z_][\w:<>,&* \[\]]*?[ &*](\w+)\([^;{]*\)[^;{=]*;", re.MULTILINE)


def declared_of(code):
    """Names of the functions that a header declares, with those of its classes."""
    return [name for name in DECLARED.findall(code) if name not in KEYWORDS]


def dead_functions(header, words, is_test):
    """Rules broken by the functions that a header declares and no program calls. `words` has the
    counts of identifiers of every file."""
    for name in words[header].declared:
        in_header = words[header].counts[name]
        in_programs = sum(of_file.counts[name] for file, of_file in words.items()
                          if file != header and not is_test(file))
        # Its declaration, and its definition.
        if in_header > 1 or in_programs > 1 or name in FOR_TESTS:
            continue
        in_tests = any(of_file.counts[name] for file, of_file in words.items() if is_test(file))
        yield f"dead: {'tests alone use' if in_tests else 'nobody uses'} {name}"


class Words:
    """The identifiers of a file, and what it declares."""

    def __init__(self, code):
        self.counts = collections.Counter(re.findall(r"\w+", code))
        self.declared = declared_of(code)
