#!/usr/bin/env python3
"""Plays lastack on Debian's own kernels, in virtual machines, and fails where one does not do as
the tables say or skips a row for a reason that it has no right to.

usage: tests/kernels/run.py PROGRAM [--kernel 6.1|6.12]... [--short] [--cache DIR] [--only NAME]

PROGRAM is the one file that `cmake --workflow --preset static` makes. Kernels are Debian's cloud
kernels: downloaded by apt-get, unpacked into the cache, never installed. A machine holds busybox,
three modules and the program, nothing else. It is emulated (QEMU's TCG), some twenty times slower
than the host, unless --accelerator says kvm. Needs qemu-system-x86, busybox-static, cpio and
xz-utils (scripts/install_packages.sh kernels). Exit code 77 where these or the kernels cannot be
had.
"""

import argparse
import gzip
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
PACKAGES = {"6.1": "linux-image-cloud-amd64", "6.12": "linux-image-6.12-cloud-amd64"}
MODULES = ["net/ipv4/inet_diag", "net/ipv4/tcp_diag", "drivers/net/veth"]  # in order of need

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

# The machine's first process. Results leave by the second serial line, the console is the first.
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox mount -t tmpfs tmpfs /tmp
for module in /modules/*; do /bin/busybox insmod $module || echo "cannot load $module"; done
/bin/busybox stty -F /dev/ttyS1 raw
exec >/dev/ttyS1 2>&1
/bin/busybox ip link set lo up
while read -r name arguments; do
  echo "@begin $name"
  start=$(/bin/busybox date +%s)
  eval "/bin/busybox timeout -s KILL @limit@ /lastack $arguments"
  code=$?
  echo "@end $name $code $(($(/bin/busybox date +%s) - start))"
done </commands
echo "@done"
/bin/busybox poweroff -f
"""


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def fetch_kernel(series, cache):
    """The folder with Debian's newest kernel of the series; unpacked once."""
    shown = subprocess.run(["apt-cache", "depends", PACKAGES[series]], capture_output=True,
                           text=True, check=False).stdout
    found = re.search(r"Depends: (linux-image-\S+)", shown)
    if not found:
        skip(f"apt knows no package {PACKAGES[series]} (apt-get update?)")
    folder = cache / found.group(1)
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=cache) as work:
            got = subprocess.run(["apt-get", "download", "-qq", found.group(1)], cwd=work,
                                 capture_output=True, text=True, check=False)
            packages = list(pathlib.Path(work).glob("*.deb"))
            if not packages:
                skip(f"apt-get download {found.group(1)}: {got.stderr.strip().splitlines()[-1:]}")
            unpacked = pathlib.Path(work) / "unpacked"
            subprocess.run(["dpkg-deb", "-x", packages[0], unpacked], check=True)
            unpacked.rename(folder)
    return folder


def read_module(kernel, name):
    (path,) = (kernel / "lib/modules").glob(f"*/kernel/{name}.ko*")
    if path.suffix == ".xz":
        return subprocess.run(["xz", "-dc", path], capture_output=True, check=True).stdout
    return path.read_bytes()


def make_initramfs(kernel, program, cases, limit_s, target):
    with tempfile.TemporaryDirectory() as work:
        root = pathlib.Path(work)
        for folder in ("bin", "modules"):
            (root / folder).mkdir()
        shutil.copy("/bin/busybox", root / "bin/busybox")
        shutil.copy(program, root / "lastack")
        for i, name in enumerate(MODULES):
            (root / f"modules/{i}-{pathlib.Path(name).name}.ko").write_bytes(
                read_module(kernel, name))
        (root / "commands").write_text("".join(f"{name} {args}\n" for name, args in cases))
        (root / "init").write_text(INIT.replace("@limit@", str(limit_s)))
        (root / "init").chmod(0o755)
        names = "\n".join(str(p.relative_to(root)) for p in sorted(root.rglob("*")))
        archive = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], input=names.encode(),
                                 cwd=root, capture_output=True, check=True).stdout
        target.write_bytes(gzip.compress(archive, 1))


def play(kernel, initramfs, accelerator, limit_s, work):
    """Boots the kernel; returns what the machine said, and its console's end."""
    (image,) = (kernel / "boot").glob("vmlinuz-*")
    console, results = work / "console", work / "results"
    command = [
        "qemu-system-x86_64", "-accel", accelerator, "-cpu", "max", "-smp", "2",
        "-m", "2G", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-serial", f"file:{console}", "-serial", f"file:{results}",
        "-kernel", image, "-initrd", initramfs,
        "-append", "console=ttyS0 panic=-1 quiet mitigations=off",
    ]
    try:
        done = subprocess.run(command, timeout=limit_s, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, check=False)
        trouble = "" if done.returncode == 0 else done.stderr
    except subprocess.TimeoutExpired:
        trouble = f"no end within {limit_s} s"
    tails = [path.read_text(errors="replace") if path.exists() else ""
             for path in (results, console)]
    return tails[0], tails[1][-2000:], trouble


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
    kernel = fetch_kernel(series, options.cache)
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        make_initramfs(kernel, options.program, cases, options.case_limit, work / "initramfs")
        said, console, trouble = play(kernel, work / "initramfs", options.accelerator,
                                      options.limit, work)
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        (options.keep / f"{series}.txt").write_text(said)
    faults = [f"{series}: {trouble}\n{console}"] if trouble else []
    for name, _ in cases:
        found = re.search(rf"^@begin {name}\n(.*?)^@end {name} (\d+) (\d+)$", said,
                          re.MULTILINE | re.DOTALL)
        if not found:
            faults.append(f"{series} {name}: was not played to its end")
            continue
        output, code, seconds = found.group(1), int(found.group(2)), found.group(3)
        wrong = faults_of(series, name, code, output)
        print(f"{kernel.name} {name}: exit code {code}, {seconds} s", flush=True)
        if wrong:
            print(output)
        faults += wrong
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--kernel", action="append", choices=sorted(PACKAGES))
    parser.add_argument("--short", action="store_true", help="what fits into two minutes")
    parser.add_argument("--only", action="append", help="only the case of this name")
    parser.add_argument("--command", help="one command of the program instead of the cases")
    parser.add_argument("--cache", type=pathlib.Path, help="where kernels are kept",
                        default=pathlib.Path(tempfile.gettempdir()) / "lastack-kernels")
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for all that was printed")
    parser.add_argument("--accelerator", choices=["tcg", "kvm"], default="tcg")
    parser.add_argument("--limit", type=int, default=3600, help="seconds for a machine")
    parser.add_argument("--case-limit", type=int, default=900, help="seconds for a case")
    options = parser.parse_args()
    for tool in ("qemu-system-x86_64", "/bin/busybox", "cpio", "xz", "apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            skip(f"{tool} is missing (scripts/install_packages.sh kernels)")
    options.cache.mkdir(parents=True, exist_ok=True)
    cases = [(name, args) for name, short, args in CASES
             if (name in options.only if options.only else short or not options.short)]
    if options.command:
        cases = [("command", options.command)]
    faults = []
    for series in options.kernel or sorted(PACKAGES):
        faults += check_kernel(series, options, cases)
    for fault in faults:
        print(f"FAILED {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
