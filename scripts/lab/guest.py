"""A machine of QEMU that boots a kernel, plays commands of lastack, and is watched from outside.

It holds busybox, the modules that a run needs and the program, all in its first root (initramfs):
no disk image, no shared file system, no agent. Results leave as a tar on a raw block device, or by
the serial line that also tells what is playing where the kernel has no driver for one.
"""
import base64
import gzip
import io
import re
import shlex
import shutil
import subprocess
import tarfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from .kernels import modules_in_order

QEMU, BUSYBOX = "qemu-system-x86_64", "/bin/busybox"
TOOLS = [QEMU, BUSYBOX, "cpio", "xz", "apt-get", "dpkg-deb", "setpriv"]
# virtio for the results; what lastack asks sockets by, and joins networks with.
MODULES = ["virtio_pci", "virtio_blk", "inet_diag", "tcp_diag", "veth"]
RESULT_BYTES = 256 << 20
# What a kernel says of its own faults; each of them ends the machine (APPEND).
FAULTS = re.compile(r"Kernel panic|BUG:|Oops|WARNING: CPU|Out of memory|blocked for more than|"
                    r"soft lockup|rcu.*detected stalls")
# no_timer_check: an emulated timer may be late on a busy host, and the kernel would panic at once.
APPEND = ["console=ttyS0", "quiet", "no_timer_check", "panic=-1", "oops=panic", "panic_on_warn=1",
          "softlockup_panic=1", "watchdog_thresh=60", "sysctl.kernel.hung_task_panic=1",
          "sysctl.vm.panic_on_oom=1", "mitigations=off"]
# One instruction is one virtual nanosecond (icount), nothing is left to chance, and waiting costs
# no time: the clock jumps to the next timer.
VIRTUAL_OPTIONS = ["-icount", "shift=0,sleep=off", "-rtc", "base=2026-01-01T00:00:00,clock=vm",
                   "-seed", "1"]
VIRTUAL_APPEND = ["nokaslr", "lastack.clock=virtual_ns"]

# The first process. Each command has a folder of its own, in which it is started; what it says on
# standard error is told at once. `lab.provoke` is for the lab's own tests.
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /out
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox mount -t tmpfs tmpfs /tmp
for module in $(/bin/busybox ls /modules); do
  /bin/busybox insmod /modules/$module || echo "cannot load $module"
done
/bin/busybox ip link set lo up
/bin/busybox stty -F /dev/ttyS1 raw
exec 9>/dev/ttyS1
echo "@boot $(/bin/busybox uname -r)" >&9
case "$(/bin/busybox cat /proc/cmdline)" in
  *lab.provoke=panic*) provoke() { echo c >/proc/sysrq-trigger; } ;;
  *lab.provoke=hang*) provoke() { while :; do /bin/busybox sleep 9; done; } ;;
  *lab.provoke=memory*) provoke() { /bin/busybox tail /dev/zero; } ;;
  *) provoke() { :; } ;;
esac
while read -r name limit arguments; do
  echo "@begin $name" >&9
  /bin/busybox mkdir -p /out/$name
  provoke
  /bin/busybox mkfifo /tmp/said
  while IFS= read -r line; do
    echo "$line"
    echo "@said $line" >&9
  done </tmp/said >/out/$name/stderr &
  start=$(/bin/busybox date +%s)
  (cd /out/$name && eval "/bin/busybox timeout -s KILL $limit /lastack $arguments" \\
    >stdout 2>/tmp/said 9>&-)
  code=$?
  wait
  /bin/busybox rm /tmp/said
  echo "@end $name $code $(($(/bin/busybox date +%s) - start))" >&9
done </commands
if [ -b /dev/vda ]; then
  /bin/busybox tar -cf /dev/vda -C /out .
else
  /bin/busybox tar -c -C /out . | /bin/busybox gzip | /bin/busybox base64 |
    /bin/busybox sed 's/^/@tar /' >&9
fi
echo "@done" >&9
/bin/busybox poweroff -f
"""


@dataclass(frozen=True)
class Command:
    name: str        # a word; also that of its folder
    arguments: list  # of lastack
    limit_s: int = 900      # of the whole, by the machine's clock
    row_limit_s: int = 600  # of silence, by the host's


@dataclass(frozen=True)
class Machine:
    accelerator: str = "tcg"
    virtual: bool = False  # virtual time, on one CPU
    cpus: int = 2
    memory: str = "2G"
    append: list = field(default_factory=list)  # to the kernel's command line
    boot_limit_s: int = 180


@dataclass
class Outcome:
    code: int
    seconds: int
    stdout: str = ""
    stderr: str = ""
    files: dict = field(default_factory=dict)  # path below the command's folder -> bytes


@dataclass
class Boot:
    release: str = ""   # what uname(1) said
    trouble: str = ""   # why it did not come to its end; "": it did
    console: str = ""
    outcomes: dict = field(default_factory=dict)  # by the command's name


def missing_tool():
    return next((tool for tool in TOOLS if not shutil.which(tool)), None)


def make_initramfs(kernel, program, commands, target, work):
    root = Path(work, "root")
    for folder in ("bin", "modules"):
        (root / folder).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    shutil.copy(program, root / "lastack")
    for i, (name, data) in enumerate(modules_in_order(kernel, MODULES)):
        (root / f"modules/{i:02}-{name}.ko").write_bytes(data)
    (root / "commands").write_text("".join(
        f"{one.name} {one.limit_s} {shlex.join(one.arguments)}\n" for one in commands))
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    archive = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], input=names.encode(),
                             cwd=root, capture_output=True, check=True).stdout
    target.write_bytes(gzip.compress(archive, 1))
    shutil.rmtree(root)


class Watch:
    """What the machine says on its second serial line, and whether it says it in time."""

    def __init__(self, path, machine, commands):
        self.path, self.machine = path, machine
        self.limits = {one.name: one.row_limit_s for one in commands}
        self.booted, self.playing, self.row, self.done = "", "", "", False
        self.since, self.taken = time.monotonic(), 0
        self.ends, self.tar = {}, []

    def look(self):
        text = self.path.read_text(errors="replace") if self.path.exists() else ""
        lines = text.split("\n")[:-1]
        for line in lines[self.taken:]:
            self.take(line.rstrip("\r").split())
        self.taken = len(lines)

    def take(self, words):
        what, words = (words[0], words[1:]) if words else ("", [])
        if what == "@tar":
            self.tar.append(words[0])
            return
        if what == "@boot":
            self.booted = words[0]
        elif what == "@begin":
            self.playing, self.row = words[0], ""
        elif what == "@said":
            self.row = " ".join(words)
        elif what == "@end":
            self.playing = ""
            self.ends[words[0]] = Outcome(int(words[1]), int(words[2]))
        elif what == "@done":
            self.done = True
        self.since = time.monotonic()

    def overdue(self):
        """Why the machine is waited for no longer, or ""."""
        waited = time.monotonic() - self.since
        if not self.booted:
            limit = self.machine.boot_limit_s
            return f"did not boot within {limit} s" if waited > limit else ""
        limit = self.limits[self.playing] if self.playing else 120
        return f"said nothing for {limit} s" if waited > limit else ""


def qemu_command(kernel, initramfs, machine, files):
    append = [*APPEND, f"lastack.accelerator={machine.accelerator}",
              *(VIRTUAL_APPEND if machine.virtual else []), *machine.append]
    return ["setpriv", "--pdeathsig", "KILL",
            QEMU, "-accel", machine.accelerator, "-cpu", "max", "-smp", str(machine.cpus),
            "-m", machine.memory, "-nodefaults", "-no-user-config", "-display", "none",
            "-no-reboot", "-serial", f"file:{files / 'console'}",
            "-serial", f"file:{files / 'said'}",
            "-drive", f"file={files / 'results'},format=raw,if=virtio",
            "-kernel", str(kernel.image), "-initrd", str(initramfs),
            "-append", " ".join(append), *(VIRTUAL_OPTIONS if machine.virtual else [])]


def take_results(files, watch):
    """Into the outcomes of the watch; returns what is wrong with them, or ""."""
    lost = set(watch.ends)
    data = gzip.decompress(base64.b64decode("".join(watch.tar))) if watch.tar else (
        files / "results").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for member in archive:
            name, _, path = member.name.removeprefix("./").partition("/")
            if not member.isfile() or name not in watch.ends:
                continue
            lost.discard(name)
            content = archive.extractfile(member).read()
            outcome = watch.ends[name]
            if path in ("stdout", "stderr"):
                setattr(outcome, path, content.decode(errors="replace"))
            else:
                outcome.files[path] = content
    return f"no results of {', '.join(sorted(lost))} arrived" if lost else ""


def trouble_of(watch, process, errors, overdue, console):
    """Why the machine did not come to its end, with the row that was playing."""
    fault = FAULTS.search(console)
    if watch.done and not fault:
        return ""
    row = f" ({watch.row})" if watch.row else ""
    where = f" while {watch.playing}{row} was playing" if watch.playing else ""
    if fault:
        line = console[fault.start():].split("\n")[0].strip()
        return f"the kernel said '{line}'{where}"
    if overdue:
        return f"{overdue}{where}"
    if process.returncode != 0 and errors.strip():
        return f"QEMU: {errors.strip().splitlines()[-1]}"
    return f"ended by itself{where or (' before it had booted' if not watch.booted else '')}"


def boot(kernel, program, commands, machine, work, stopped=lambda: False):
    """Plays the commands, one after the other; whatever goes wrong is said, and bounded. The thread
    that calls it must live as long: the machine dies with it."""
    files = Path(work)
    make_initramfs(kernel, program, commands, files / "initramfs", work)
    with open(files / "results", "wb") as results:
        results.truncate(RESULT_BYTES)
    watch, overdue = Watch(files / "said", machine, commands), ""
    with open(files / "errors", "wb") as errors:
        process = subprocess.Popen(
            qemu_command(kernel, files / "initramfs", machine, files), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=errors)
        try:
            while process.poll() is None and not overdue:
                time.sleep(0.1)
                watch.look()
                overdue = "interrupted" if stopped() else watch.overdue()
        finally:
            process.kill()
            process.wait()
    watch.look()
    console = (files / "console").read_text(errors="replace") if (
        files / "console").exists() else ""
    trouble = trouble_of(watch, process, (files / "errors").read_text(errors="replace"), overdue,
                         console)
    if watch.done:
        try:
            trouble = take_results(files, watch) or trouble
        except (tarfile.TarError, OSError, ValueError) as error:
            trouble = f"its results cannot be read: {error}"
    return Boot(watch.booted, trouble, console, watch.ends)
