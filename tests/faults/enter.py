#!/usr/bin/env python3
"""Enters states that processes inherit, then executes a command in them.

usage: enter.py STATE ... -- COMMAND ...

A state is NAME=VALUE or NAME; VALUE's parts are separated by ':'. STATES below has them all.
"""
import ctypes
import fcntl
import os
import pty
import resource
import signal
import socket
import struct
import subprocess
import sys
import termios

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000
IFF_UP, SIOCSIFFLAGS = 1, 0x8914
CGROUPS = "/sys/fs/cgroup"
CANNOT_ENTER = 125  # the exit code when this host or user cannot have a state


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def rlimit(name, soft, hard=None):
    which = getattr(resource, f"RLIMIT_{name}")
    hard = resource.getrlimit(which)[1] if hard == "same" else int(hard or soft)
    resource.setrlimit(which, (int(soft), hard))


def disposition(name):
    signal.signal(getattr(signal, f"SIG{name}"), signal.SIG_IGN)


def block(name):
    which = signal.valid_signals() if name == "all" else [getattr(signal, f"SIG{name}")]
    signal.pthread_sigmask(signal.SIG_BLOCK, which)


def deleted_folder():
    os.mkdir("deleted")
    os.chdir("deleted")
    os.rmdir("../deleted")


def descriptors(count):
    for _ in range(int(count)):
        os.set_inheritable(os.open("/dev/null", os.O_RDONLY), True)


def replace(number, path):
    opened = os.open(path, os.O_RDWR)
    os.dup2(opened, int(number))
    os.close(opened)


def broken_pipe(number):
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, int(number))
    os.close(writing)


def terminal():
    """A terminal of its own, whose other end nobody reads."""
    master, slave = pty.openpty()
    os.set_inheritable(master, True)  # its end would hang up
    if os.getsid(0) != os.getpid():
        os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    os.dup2(slave, 0)


def child(how):
    """A child that the command does not know of: a zombie, or one that sleeps."""
    if os.fork() == 0:
        if how == "sleeping":
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            signal.pause()
        os._exit(0)


def scheduler(name):
    os.sched_setscheduler(0, getattr(os, f"SCHED_{name}"), os.sched_param(0))


def map_to_root(user, group):
    """Makes who enters a new user namespace its root."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"),
                       ("gid_map", f"0 {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def private_network(*parts):
    """A user and network namespace; lo is up unless `down` is among the sysctls."""
    sysctls = ":".join(parts).split(",")
    user, group = os.getuid(), os.getgid()
    checked(LIBC.unshare(CLONE_NEWUSER | CLONE_NEWNET))
    map_to_root(user, group)
    if "down" not in sysctls:
        with socket.socket() as any_socket:
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    for name, value in (sysctl.split("~") for sysctl in sysctls if sysctl != "down"):
        with open(f"/proc/sys/net/{name}", "w", encoding="ascii") as file:
            file.write(value.replace("-", "\t"))


def mounted(path, *options):
    """A mount namespace in which `path` is an own file system, or the old one read-only."""
    checked(LIBC.unshare(CLONE_NEWNS))
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    if path == "/proc/sys":
        subprocess.run(["mount", "--bind", path, path], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", path, path], check=True)
        return
    os.makedirs(path, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "none", path], check=True)


def cgroup(controller, value):
    """A group of its own, in a hierarchy of either version; `campaign.py` removes it."""
    first_version = os.path.isdir(f"{CGROUPS}/{controller}")
    parent = f"{CGROUPS}/{controller}" if first_version else CGROUPS
    of_memory = first_version and controller == "memory"
    name = "memory.limit_in_bytes" if of_memory else f"{controller}.max"
    path = f"{parent}/lastack-faults-{os.getpid()}"
    os.mkdir(path)
    for file_name, text in ((name, value), ("cgroup.procs", str(os.getpid()))):
        with open(f"{path}/{file_name}", "w", encoding="ascii") as file:
            file.write(text)


def environment(name, value="", times=1):
    os.environ[name] = value * int(times)


def user(number):
    os.setgroups([])
    os.setgid(int(number))
    os.setuid(int(number))


STATES = {
    "rlimit": rlimit,
    "ignore": disposition,
    "block": block,
    "close": lambda number: os.close(int(number)),
    "replace": replace,
    "broken-pipe": broken_pipe,
    "deleted-folder": deleted_folder,
    "folder": os.chdir,
    "descriptors": descriptors,
    "terminal": terminal,
    "child": child,
    "nice": lambda value: os.nice(int(value)),
    "scheduler": scheduler,
    "cpus": lambda *cpus: os.sched_setaffinity(0, map(int, cpus)),
    "umask": lambda mask: os.umask(int(mask, 8)),
    "environment": environment,
    "subreaper": lambda: checked(LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)),
    "no-new-privileges": lambda: checked(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)),
    "network": private_network,
    "mount": mounted,
    "cgroup": cgroup,
    "user": user,
}


def refused(state, error):
    print(f"enter.py: {state}: {error}", file=sys.stderr)
    return CANNOT_ENTER


def main():
    words = sys.argv[1:]
    split = words.index("--")
    # Python's own: SIGPIPE and SIGXFSZ ignored.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    for word in words[:split]:
        name, _, value = word.partition("=")
        try:
            STATES[name](*(value.split(":") if value else []))
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            sys.exit(refused(word, error))
    command = words[split + 1:]
    try:
        os.execvp(command[0], command)
    except OSError as error:  # EAGAIN: the new user has too many processes (execve(2))
        sys.exit(refused("exec", error))


if __name__ == "__main__":
    main()
