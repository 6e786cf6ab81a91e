#!/usr/bin/env python3
"""What CONTRIBUTING.md says an addition touches is enough: one of each is made in a copy of the
sources, which is built, and works.

usage: contributing_test.py SOURCES
"""
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# Of each kind: its places. A place is a file, what comes into it in one piece, and a text that
# stands there once and that the piece comes before; with "" the file is a new one.
ADDITIONS = {
    "a close strategy": [
        ("lib/model/strategy.cc", '    {.name = "rst-disconnect",',
         '    {.name = "rst-added",\n     .family = "rst",\n'
         "     .prepare = Step::set_linger_zero,\n"
         "     .act = Step::close,\n     .finding = Finding::econnreset,\n"
         "     .changes = counter_changes({{Counter::out_rsts, 1}, {Counter::estab_resets, 2},\n"
         "                                 {Counter::abort_on_data, 1}}),\n"
         '     .wire = "RST",\n     .help = "added"},\n'),
    ],
    "a watch": [
        ("lib/model/watch.h", "  writer,\n};", "  added,\n"),
        ("lib/model/watch.cc", "    {Watch::writer,",
         '    {Watch::added, "added", Engine::epoll, false, true, "as epoll"},\n'),
    ],
    "a write path": [
        ("lib/model/write_path.h", "  sendfile,\n", "  writev_call,\n"),
        ("lib/model/write_path.cc", "    {WritePath::sendfile,",
         '    {WritePath::writev_call, "writev-call", false, true, 1, false, false,\n'
         '     WriteNeed::none, "writev(2)"},\n'),
        ("lib/survivor/writer_survivor.cc", "    case WritePath::sendfile: {",
         "    case WritePath::writev_call:\n"
         "      return ::writev(descriptor, &message_vector_, 1);\n"),
    ],
    # Heartbeats decide, and the kernel's own timer stands behind them.
    "a probe with a setting of its own": [
        ("lib/model/probe.h", "  heartbeat_scan,\n};", "  backed,\n"),
        ("lib/model/probe.h", "  bool heartbeats_aligned",
         "  int64_t backing_ns = 5'000'000'000;\n"),
        ("lib/model/probe.cc", "    {Probe::heartbeat_scan,",
         '    {Probe::backed, "backed", false, false, false, Heartbeat::wheel, true, 1,\n'
         '     kTimerAlone, "added"},\n'),
        ("lib/plan/spec.cc", '    {"--heartbeat-interval", "TIME",',
         '    {"--backing", "TIME", Group::probes, "added",\n'
         "     multiple<kMs, 86'400'000, kProbing, &ProbeSettings::backing_ns>(),\n"
         "     [](const ProbeRow& row) { return row.id == Probe::backed; }},\n"),
        ("lib/survivor/common.cc", "    {Option::user_timeout_ms, by_user_timeout,",
         "    {Option::user_timeout_ms,\n"
         "     [](const ProbeRow& row) { return row.id == Probe::backed; },\n"
         "     [](const ProbeSettings& settings) {\n"
         "       return settings.backing_ns / kMillisecond_ns; }},\n"),
    ],
    "a parameter of the launcher": [
        ("lib/plan/spec.h", "  int64_t seed = 1;", "  int64_t syn_retries = 6;\n"),
        ("lib/plan/spec.cc", '    {"--host-network", "",',
         '    {"--syn-retries", "N", Group::tests, "added",\n'
         "     count<1, 9, &RunSpec::syn_retries>(), nullptr,\n"
         '     sysctl<1, &RunSpec::syn_retries>("net/ipv4/tcp_syn_retries")},\n'),
    ],
    "a parameter of the workers that changes what is expected": [
        ("lib/model/write_path.h", "  BeforeWrite before_write =", "  int64_t most_writes = 0;\n"),
        ("lib/plan/spec.cc", '    {"--before-write", "WHAT",',
         '    {"--most-writes", "N", Group::writers, "added",\n'
         "     count<0, 9, &RunSpec::writing, &WriteSettings::most_writes>()},\n"),
        ("lib/survivor/writer_survivor.cc", "    write_one(due.slot);",
         "    const int64_t most = shard_.header->settings.writing.most_writes;\n"
         "    if (most > 0 && record.attempted >= most) continue;\n"),
        ("lib/model/expectation.cc", "  // A first piece may draw the RST,",
         "  if (when.writing.most_writes > 0) add({Finding::nothing});\n"),
    ],
    "a quantity of a ledger row": [
        ("lib/ledger/result.h", "  int64_t stalled = 0;", "  int64_t added = 0;\n"),
        ("lib/ledger/ledger.cc", "  ++row.torn_down;", "  row.added += 2;\n"),
        ("lib/ledger/quantities.cc", '    {.column = "requested",',
         '    {.column = "added",\n     .help = "added",\n     .field = at<&LedgerRow::added>,\n'
         '     .place = "added"},\n'),
    ],
    "a counter": [
        ("lib/net/counters.h", "  retrans_segs,\n};", "  attempt_fails,\n"),
        ("lib/net/counters.h", '    {Counter::retrans_segs, "RetransSegs"',
         '    {Counter::attempt_fails, "AttemptFails", "added"},\n'),
    ],
    "a run of a suite, and a row of lastack-bench": [
        ("lib/suite/tables.cc", '      {"quick-pipe",',
         '      {"quick-added", size + "mix=rst-added", {{"", ""}}, repetitions},\n'),
    ],
    "a command of the program": [
        ("bench/commands/added.cc", "",
         '#include "commands/command.h"\n\nnamespace lastack {\n\n'
         "Action add_added(CLI::App&) {\n  return [] {\n"
         '    print("it answers\\n");\n    return 0;\n  };\n}\n\n}  // namespace lastack\n'),
        ("bench/commands/command.h", "Action add_list(", "Action add_added(CLI::App& command);\n"),
        ("bench/lastack.cc", '    {"list", "strategies,', '    {"added", "added", add_added},\n'),
    ],
}


def run(*words, folder):
    done = subprocess.run([str(word) for word in words], cwd=folder, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        said = done.stdout[-4000:] + done.stderr[-4000:]
        sys.exit(f"{words}: exit code {done.returncode}\n{said}")
    return done.stdout


def counted(page):
    """Files and places by what is to be added, as the page says."""
    rows = re.findall(r"^\| ([^|]+) \| *(\d*) \| *(\d*) \|", page, re.MULTILINE)
    return {name: (int(files or 0), int(places or 0)) for name, files, places in rows
            if files or places}


def check_numbers(page):
    said = counted(page)
    for name, places in ADDITIONS.items():
        real = (len({file for file, _, _ in places}), len(places))
        assert said.get(name) == real, f"{name}: {real} files and places, not {said.get(name)}"
    assert set(said) == set(ADDITIONS), f"nobody counts {set(said) - set(ADDITIONS)}"


def add(sources, file, before, text):
    path = sources / file
    if not before:
        assert not path.exists(), path
        path.write_text(text, encoding="utf-8")
        return
    content = path.read_text(encoding="utf-8")
    times = content.count(before)
    assert times == 1, f"{file}: {before!r} stands {times} times"
    path.write_text(content.replace(before, text + before), encoding="utf-8")


def build(sources, copy):
    copy.mkdir()
    shutil.copy(sources / "CMakeLists.txt", copy)
    for name in ("cmake", "lib", "bench"):
        shutil.copytree(sources / name, copy / name)
    for places in ADDITIONS.values():
        for place in places:
            add(copy, *place)
    run("cmake", "-G", "Ninja", "-B", copy / "build", "-DCMAKE_BUILD_TYPE=Debug",
        "-DCMAKE_CXX_FLAGS_DEBUG=-O0", "-DCMAKE_UNITY_BUILD=ON", folder=copy)
    run("cmake", "--build", copy / "build", "--target", "lastack", folder=copy)
    return copy / "build/bin/lastack"


def play(lastack, folder, connections, *words):
    """A run's document, and its only row; the run is as expected, and balanced."""
    document = json.loads(run(lastack, "run", "--connections", connections, "--format", "json",
                              *words, folder=folder))
    (row,) = document["ledger"]
    assert document["status"] == "ok" and row["requested"] == connections, row
    return document, row


def check_resets(lastack, folder):
    """The strategy, the watch, the quantity, the counter and the launcher's parameter."""
    document, row = play(lastack, folder, 40, "--mix", "rst-added", "--watch", "added",
                         "--syn-retries", "8", "--deadline", "5s", "--out", folder / "out")
    assert (row["strategy"], row["watch"]) == ("rst-added", "added"), row
    assert row["added"] == 80 and row["findings"] == {"econnreset": 40}, row
    header, line = (folder / "out/summary.csv").read_text(encoding="utf-8").splitlines()
    assert dict(zip(header.split(","), line.split(",")))["added"] == "80", line
    assert document["spec"]["syn-retries"] == 8, document["spec"]
    sysctls = document["environment"]["tcp"]["sysctls"]
    assert sysctls["net/ipv4/tcp_syn_retries"] == "8", sysctls
    checks = [check for check in document["reconciliation"]["checks"]
              if check["counter"] == "AttemptFails"]
    assert [check["phase"] for check in checks] == ["establish", "ledger"], checks


def check_writes(lastack, folder):
    """The write path, and the workers' parameter: who writes once, before the act, is not told."""
    _, row = play(lastack, folder, 20, "--mix", "fin", "--watch", "writer", "--write-path",
                  "writev-call", "--write-rate", "rate=20/s", "--most-writes", "1", "--payload",
                  "100", "--warm-up", "1s", "--deadline", "1500ms")
    writes = row["writes"]
    assert (writes["attempted"], writes["accepted"]) == (20, 20), writes
    assert writes["bytes"]["delivered"] == 2000, writes
    assert row["expected"] == ["epipe", "econnreset", "nothing"] and row["nothing"] == 20, row


def check_probes(lastack, folder):
    """The probe, whose sockets have its setting."""
    document, row = play(lastack, folder, 20, "--mix", "silent", "--probe", "backed", "--backing",
                         "4321ms", "--heartbeat-interval", "100ms", "--heartbeat-deadline", "300ms",
                         "--deadline", "5s")
    assert row["findings"] == {"heartbeat-missed": 20}, row
    sockets = [socket for socket in document["environment"]["tcp"]["sockets"]
               if socket["probe"] == "backed"]
    assert {socket["user_timeout_ms"] for socket in sockets} == {4321}, sockets


def main():
    sources = Path(sys.argv[1])
    check_numbers((sources / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lastack = build(sources, folder / "sources")
        assert run(lastack, "added", folder=folder) == "it answers\n"
        assert "quick-added" in run(lastack, "suite", "list", folder=folder)
        for check in (check_resets, check_writes, check_probes):
            check(lastack, folder)
    print("what CONTRIBUTING.md says is enough")


if __name__ == "__main__":
    main()
