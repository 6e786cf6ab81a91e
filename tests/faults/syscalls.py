"""System calls that fail, by strace's injection: a seeded call, errno and occurrence.

A place is CALL:ERRNO:WHEN, WHEN as strace has it: 3 is each process's third call, 3+ that and all
later ones.
"""
import collections
import re

import judge

# What these calls may fail with although the program did all right: too few of something (Linux
# man pages), a security filter (EPERM, ENOSYS), an older kernel (ENOSYS, EINVAL), a signal. Absent:
# close() and munmap(), which strace leaves undone and no kernel does; brk(), which has no errno.
ERRNOS = {
    "accept4": "ECONNABORTED EMFILE ENFILE ENOBUFS ENOMEM EINTR",
    "bind": "EADDRINUSE EACCES ENOMEM",
    "clock_nanosleep": "EINTR",
    "clone": "EAGAIN ENOMEM EPERM",
    "clone3": "EAGAIN ENOMEM EPERM ENOSYS",
    "close_range": "EPERM ENOSYS",
    "connect": "EADDRNOTAVAIL EINTR ENETUNREACH EPERM",
    "dup2": "EBADF EINTR",
    "epoll_create1": "EMFILE ENFILE ENOMEM",
    "epoll_ctl": "ENOMEM ENOSPC",
    "epoll_pwait2": "EINTR EPERM ENOSYS",
    "epoll_wait": "EINTR ENOMEM",
    "fcntl": "EMFILE",
    "fsync": "EIO ENOSPC",
    "ftruncate": "EFBIG ENOSPC EINTR",
    "getdents64": "EIO",
    "getpeername": "ENOBUFS",
    "getsockname": "ENOBUFS",
    "getsockopt": "ENOBUFS ENOPROTOOPT EPERM",
    "io_uring_enter": "EINTR EAGAIN EBUSY ENOMEM EPERM ENOSYS",
    "io_uring_register": "ENOMEM EINVAL EPERM EBUSY",
    "io_uring_setup": "ENOMEM EPERM EMFILE ENFILE ENOSYS EINVAL",
    "ioctl": "EINVAL ENOTTY EPERM",
    "kill": "EPERM",
    "listen": "EADDRINUSE EPERM",
    "lseek": "EINVAL",
    "memfd_create": "EMFILE ENFILE ENOMEM ENOSYS",
    "mkdir": "ENOSPC EACCES EROFS",
    "mmap": "ENOMEM EAGAIN",
    "mprotect": "ENOMEM",
    "newfstatat": "ENOMEM EACCES",
    "openat": "EMFILE ENFILE ENOMEM EACCES EINTR",
    "pipe2": "EMFILE ENFILE",
    "poll": "EINTR ENOMEM",
    "ppoll": "EINTR ENOMEM EPERM",
    "prctl": "EINVAL EPERM",
    "pselect6": "EINTR ENOMEM EPERM",
    "read": "EINTR EIO EAGAIN",
    "recvfrom": "EINTR ENOMEM EPERM",
    "recvmsg": "EINTR ENOMEM ENOBUFS",
    "rename": "EACCES ENOSPC EIO",
    "sched_getaffinity": "EPERM",
    "sched_setaffinity": "EINVAL EPERM",
    "sendfile": "EINTR EIO ENOMEM",
    "sendmsg": "EINTR ENOBUFS ENOMEM EPERM",
    "sendto": "EINTR ENOBUFS ENOMEM EPERM",
    "setns": "EPERM ENOMEM EINVAL",
    "setsockopt": "ENOBUFS ENOMEM EPERM ENOPROTOOPT",
    "shutdown": "ENOBUFS",
    "signalfd4": "EMFILE ENOMEM",
    "socket": "EMFILE ENFILE ENOBUFS ENOMEM EACCES EAFNOSUPPORT EPERM",
    "socketpair": "EMFILE ENFILE ENOMEM",
    "timerfd_create": "EMFILE ENFILE ENOMEM",
    "timerfd_settime": "EINVAL",
    "unshare": "EPERM ENOSPC EINVAL EUSERS",
    "wait4": "EINTR ECHILD",
    "write": "EINTR ENOSPC EIO EPERM",
}
# Calls are to be made again after these, so that a program may wait as long as they go on.
TRY_AGAIN = {"EINTR", "EAGAIN", "EBUSY"}
FOR_GOOD = 0.3  # of the places

Calls = collections.namedtuple("Calls", "loader most")


def strace(options):
    # -f: all processes; -q -q would hide which signal ended one.
    return ["strace", "-f", "-q", "--seccomp-bpf", "-e", "signal=none", *options, "-o",
            "{beside}/trace"]


def record(lab, kind):
    """{call: Calls} of a run without faults: how often a process makes it, the busiest one, and how
    often the dynamic loader before the program starts, the least one."""
    watched = ",".join(f"?{call}" for call in ERRNOS) + ",munmap"
    done = lab.play([*strace(["-e", f"trace={watched}"]), lab.lastack, *kind.arguments], 300)
    by_process = collections.defaultdict(collections.Counter)
    loading, loaded = set(), {}
    for pid, call, rest in re.findall(r"^(\d+) +(\w+)\((.*)", done.trace, re.MULTILINE):
        if "ld.so.cache" in rest:  # which ld.so opens first, and forgets last
            loading.add(pid)
        if call == "munmap":
            if pid in loading:
                loaded.setdefault(pid, collections.Counter(by_process[pid]))
        else:
            by_process[pid][call] += 1
    calls = {}
    for call in sorted(set().union(*by_process.values())):
        makers = [pid for pid, made in by_process.items() if made[call]]
        loader = min(loaded.get(pid, {}).get(call, 0) for pid in makers)
        calls[call] = Calls(loader, max(by_process[pid][call] for pid in makers))
    return calls


def draw(lab, kind, random):
    calls = {call: made for call, made in lab.recorded(kind).items() if made.most > made.loader}
    call = random.choice(sorted(calls))
    made = calls[call]
    # The logarithm of the occurrence is uniform: what is called once counts as much as a loop.
    count = int((made.most - made.loader + 1) ** random.random())
    errno = random.choice(ERRNOS[call].split())
    for_good = random.random() < FOR_GOOD and errno not in TRY_AGAIN
    return f"{call}:{errno}:{made.loader + max(1, count)}{'+' if for_good else ''}"


def run(lab, kind, place):
    call, errno, when = place.split(":")
    options = ["-e", f"trace={call}", "-e", f"inject={call}:error={errno}:when={when}"]
    outcome = lab.play([*strace(options), lab.lastack, *kind.arguments], lab.bound_s(kind))
    if "(INJECTED)" not in outcome.trace:
        outcome.note = "missed"
    # A message that cannot be written names nothing.
    mute = re.search(r"write\(2, .*\(INJECTED\)", outcome.trace)
    return outcome, [fault for fault in judge.faults_of(kind, outcome, lab.reference(kind).out)
                     if not (mute and fault.verdict == "nameless")]
