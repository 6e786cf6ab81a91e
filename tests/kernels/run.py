#!/usr/bin/env python3
"""Plays lastack on Debian's own kernels, in virtual machines, and fails where one does not do as
the tables say or skips a row for a reason that it has no right to.

usage: tests/kernels/run.py PROGRAM [--kernel 6.1|6.12]... [--short] [--cache DIR] [--only NAME]

PROGRAM is the one file that `cmake --workflow --preset static` makes. Kernels are Debian's cloud
kernels: downloaded by apt-get, unpacked into the cache, never installed. A machine holds busybox,
some modules and the program, nothing else. It is emulated (QEMU's TCG), some twenty times slower
than the host, unless --accelerator says kvm. Needs qemu-system-x86, busybox-static, cpio and
xz-utils (scripts/install_packages.sh kernels). Exit code 77 where these or the kernels cannot be
had.
"""

import argparse
import pathlib
import re
import shlex
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
sys.dont_write_bytecode = True  # tests leave nothing in the source tree

from lab import guest, kernels

SKIPPED = 77
SERIES = ["6.1", "6.12"]

# Why a row may be skipped, whatever the kernel, and by kernel.
SKIPS = [
    r"the (server|client) cannot be the survivor of '[a-z-]+'",
    r"needs --watch .*|needs a watch of io_uring",
    r"needs a private network namespace, and IPv4",  # of inet6
]
SKIPS_OF = {
    "6.1": [r"needs RWF_NOSIGNAL \(Linux 6\.18\)",
            r"needs multishot timeouts of io_uring \(Linux 6\.4\)"],
    "6.12": [r"needs RWF_NOSIGNAL \(Linux 6\.18\)"],
}

# Watches that are no writer, and probes.
READERS = "recv,recv-multishot,poll,poll-multishot,epoll,epoll-et,select,ppoll,blocking,late"
PROBES = ("none,keepalive,user-timeout,keepalive+user-timeout,retransmit,keepalive+heartbeat,"
          "heartbeat-link,heartbeat-wheel,heartbeat-multishot,heartbeat-timerfd,heartbeat-scan")
RUN = "run --deadline 5s --schedule rate=50/s "
# name, whether the short version has it, and the program's arguments. All must exit with 0.
CASES = [
    ("list", True, "list"),
    ("doctor", True, "doctor --connections 300"),
    ("writers", True, RUN + "--connections 300 --mix fin,rst-linger,silent --watch writer "
     "--write-path all"),
    ("verify-short", True, "verify --case A2,S3 --path veth"),
    ("regressions", True, "suite regressions"),
    ("verify", False, "verify"),
    ("writers-all", False, RUN + "--connections 1000 --mix all --watch writer --write-path all"),
    ("writers-64KiB", False, RUN + "--connections 280 --mix fin,sigkill-sending-chatty,silent "
     "--watch writer --write-path all --payload 64KiB"),
    ("server", False, RUN + "--connections 1200 --mix all --watch " + READERS),
    ("client", False, RUN + "--connections 1200 --mix all --survivor client --watch " + READERS),
    ("inet6", False, RUN + "--connections 300 --mix all --watch " + READERS + " --family inet6"),
    ("veth", False, RUN + "--connections 600 --mix all --watch " + READERS + " --path veth"),
    ("direct", False, RUN + "--connections 300 --mix all --descriptors direct"),
    ("ring-default", False, RUN + "--connections 300 --mix all --ring default"),
    ("ring-coop", False, RUN + "--connections 300 --mix all --ring coop"),
    ("ring-sqpoll", False, RUN + "--connections 300 --mix all --ring sqpoll"),
    ("probes", False, "run --deadline 30s --schedule rate=50/s --connections 600 --retries2 3 "
     "--mix fin,rst-linger,vanish,silent,freeze,alive --watch recv,epoll --probe " + PROBES),
]


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def faults_of(series, name, code, output):
    faults = []
    if code != 0:
        faults.append(f"exit code {code} instead of 0")
    for reason in re.findall(r"skipped: (.*?)(?:;.*)?$", output, re.MULTILINE):
        if not any(re.fullmatch(allowed, reason) for allowed in SKIPS + SKIPS_OF[series]):
            faults.append(f"skipped for a reason that is not allowed here: {reason}")
    if not output.strip():
        faults.append("no output")
    return [f"{series} {name}: {fault}" for fault in sorted(set(faults))]


def check_kernel(series, options, cases):
    try:
        kernel = kernels.find_kernel(series, None, options.cache)
    except kernels.Unavailable as error:
        skip(error)
    commands = [guest.Command(name, shlex.split(arguments), options.case_limit,
                              options.case_limit + 60) for name, arguments in cases]
    with tempfile.TemporaryDirectory() as work:
        boot = guest.boot(kernel, options.program, commands,
                          guest.Machine(accelerator=options.accelerator), work)
    faults = []
    if boot.trouble:
        faults.append(f"{series}: {boot.trouble}\n" + "\n".join(boot.console.splitlines()[-40:]))
    said = ""
    for name, _ in cases:
        if name not in boot.outcomes:
            faults.append(f"{series} {name}: was not played to its end")
            continue
        outcome = boot.outcomes[name]
        output = outcome.stdout + outcome.stderr
        wrong = faults_of(series, name, outcome.code, output)
        print(f"{kernel.name} {name}: exit code {outcome.code}, {outcome.seconds} s", flush=True)
        if wrong:
            print(output)
        faults += wrong
        said += f"@begin {name}\n{output}@end {name} {outcome.code}\n"
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        (options.keep / f"{series}.txt").write_text(said)
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--kernel", action="append", choices=SERIES)
    parser.add_argument("--short", action="store_true", help="what fits into two minutes")
    parser.add_argument("--only", action="append", help="only the case of this name")
    parser.add_argument("--command", help="one command of the program instead of the cases")
    parser.add_argument("--cache", type=pathlib.Path, help="where kernels are kept",
                        default=pathlib.Path(tempfile.gettempdir()) / "lastack-kernels")
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for all that was printed")
    parser.add_argument("--accelerator", choices=["tcg", "kvm"], default="tcg")
    parser.add_argument("--case-limit", type=int, default=900, help="seconds for a case")
    options = parser.parse_args()
    missing = guest.missing_tool()
    if missing:
        skip(f"{missing} is missing (scripts/install_packages.sh kernels)")
    options.cache.mkdir(parents=True, exist_ok=True)
    cases = [(name, args) for name, short, args in CASES
             if (name in options.only if options.only else short or not options.short)]
    if options.command:
        cases = [("command", options.command)]
    faults = []
    for series in options.kernel or SERIES:
        faults += check_kernel(series, options, cases)
    for fault in faults:
        print(f"FAILED {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
