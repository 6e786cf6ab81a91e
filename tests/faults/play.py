"""Plays a program in a folder of its own, in bounded time, and says what it leaves behind."""
import contextlib
import dataclasses
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

MARK = "LASTACK_FAULTS"  # in the environment of all that a play starts
PATIENCE_S = 10  # what ends with its parent may take so long: it has sockets to close
_numbers = itertools.count()


@dataclasses.dataclass
class Outcome:
    command: list
    code: int = 0  # -signal when it was killed
    out: str = ""
    err: str = ""
    seconds: float = 0
    hung: bool = False
    left: list = dataclasses.field(default_factory=list)  # what stayed that should not
    made: dict = dataclasses.field(default_factory=dict)  # files in its folder: path, text
    trace: str = ""  # strace's
    note: str = ""  # of the campaign: what it did, and to whom


def read(path):
    """The text of a small file; "" where it cannot be read (any more)."""
    with contextlib.suppress(OSError):
        return Path(path).read_bytes().decode(errors="replace")
    return ""


def host_state():
    """What a run must not change: links, sysctls, mounted namespaces, shared memory."""
    tcp = Path("/proc/sys/net/ipv4")
    names = ["tcp_retries2", "tcp_orphan_retries", "ip_local_port_range", "tcp_rto_min_us",
             "tcp_congestion_control"]
    return {"links": sorted(os.listdir("/sys/class/net")),
            "sysctls": [read(tcp / name) for name in names],
            "namespaces": [line for line in read("/proc/self/mountinfo").splitlines()
                           if " nsfs " in line],
            "shared memory": sorted(name for name in os.listdir("/dev/shm") if "lastack" in name)}


class Play:
    """One started program, until end()."""

    def __init__(self, work, command, bound_s):
        self.folder = Path(tempfile.mkdtemp(dir=work))
        self.folder.chmod(0o777)
        self.command = [word.replace("{out}", f"{self.folder}/out")
                        .replace("{folder}", str(self.folder)) for word in command]
        self.mark = f"{MARK}={os.getpid()}-{next(_numbers)}"
        self.before = host_state()
        self.began_s = time.monotonic()
        self.until_s = self.began_s + bound_s
        # The harness's files lie beside the program's folder, which must stay as the program
        # leaves it.
        self.beside = Path(f"{self.folder}.harness")
        self.beside.mkdir()
        self.command = [word.replace("{beside}", str(self.beside)) for word in self.command]
        environment = dict(os.environ, TMPDIR=str(self.folder))
        environment.update([self.mark.split("=")])
        with open(self.beside / "out", "wb") as out, open(self.beside / "err", "wb") as err:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL,
                stdout=out, stderr=err, start_new_session=True)

    def members(self):
        """{pid: command line} of every living process of this play."""
        found = {}
        for name in filter(str.isdigit, os.listdir("/proc")):
            if self.mark in read(f"/proc/{name}/environ").split("\0"):
                found[int(name)] = read(f"/proc/{name}/cmdline").replace("\0", " ").strip()
        return found

    def wait(self, seconds):
        """Whether it ended within so long, or else before its bound."""
        try:
            self.process.wait(max(0, min(seconds, self.until_s - time.monotonic())))
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill_all(self):
        for pid in self.members():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def end(self, note=""):
        hung = not self.wait(self.until_s)
        seconds = time.monotonic() - self.began_s
        left = self.members() if not hung else {}
        until_s = time.monotonic() + PATIENCE_S
        while left and time.monotonic() < until_s:
            time.sleep(0.05)
            left = self.members()
        self.kill_all()
        left = [f"process {pid}: {line}" for pid, line in left.items() if "enter.py" not in line]
        after = host_state()
        left += [f"{key}: {self.before[key]} before, {after[key]} after" for key in after
                 if after[key] != self.before[key]]
        made = {str(path.relative_to(self.folder)): read(path)
                for path in sorted(self.folder.rglob("*")) if path.is_file()}
        outcome = Outcome(self.command, self.process.wait(), read(self.beside / "out"),
                          read(self.beside / "err"), seconds, hung, left, made,
                          read(self.beside / "trace"), note)
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.beside, ignore_errors=True)
        return outcome


def play(work, command, bound_s):
    return Play(work, command, bound_s).end()
