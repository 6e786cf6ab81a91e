#!/usr/bin/env python3
"""The program of the preset `static` needs nothing but a kernel and /proc: its ELF header asks for
no interpreter and no library, and it lists and runs in a root that holds nothing else.

usage: tests/static_test.py PROGRAM
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "faults"))
sys.dont_write_bytecode = True

from enter import CLONE_NEWNS, CLONE_NEWUSER, LIBC, checked, map_to_root

MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 4096, 16384, 1 << 18, 2
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}


def enter_bare_root(root, program):
    """Not chroot(2): who is in one makes no user namespace (current_chrooted, fs/namespace.c)."""
    user, group = os.geteuid(), os.getegid()
    checked(LIBC.unshare(CLONE_NEWNS | (CLONE_NEWUSER if user else 0)))
    if user:
        map_to_root(user, group)
    checked(LIBC.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
    checked(LIBC.mount(b"none", root.encode(), b"tmpfs", 0, None))
    os.mkdir(f"{root}/proc")
    shutil.copy(program, f"{root}/lastack")
    checked(LIBC.mount(b"/proc", f"{root}/proc".encode(), None, MS_BIND | MS_REC, None))
    os.chdir(root)
    checked(LIBC.syscall(SYS_PIVOT_ROOT[os.uname().machine], b".", b"."))
    checked(LIBC.umount2(b".", MNT_DETACH))
    os.chdir("/")


def run_bare(program, *arguments):
    with tempfile.TemporaryDirectory() as root:
        done = subprocess.run(["/lastack", *arguments], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=60, env={}, check=False,
                              preexec_fn=lambda: enter_bare_root(root, program))
    said = done.stdout[-3000:] + done.stderr[-3000:]
    assert done.returncode == 0, f"{arguments}: exit code {done.returncode}\n{said}"
    return done.stdout


def main():
    program = sys.argv[1]
    parts = subprocess.run(["readelf", "--wide", "--program-headers", "--dynamic", program],
                           capture_output=True, text=True, check=True).stdout
    assert "INTERP" not in parts, parts
    assert "(NEEDED)" not in parts, parts
    listed = run_bare(program, "list")
    for word in ("rst-linger", "keepalive", "recv-multishot"):
        assert word in listed, f"{word} is missing: {listed}"
    # Both addresses, a cut path with namespaces of its own, a process that is killed.
    ran = run_bare(program, "run", "--connections", "60", "--mix",
                   "fin,rst-linger,destroy,sigkill,cable", "--deadline", "1s")
    assert re.search(r"^status +ok$", ran, re.MULTILINE), ran
    verified = run_bare(program, "verify", "--case", "A2/linger-zero", "--path", "veth")
    assert "this kernel does what the table expects" in verified, verified


if __name__ == "__main__":
    main()
