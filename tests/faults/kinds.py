"""The kinds of runs that the campaigns disturb: small, and between them of every engine, scope,
path and command of the program."""
import collections
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SUITES = f"{ROOT}/results/2026-11-23-full"
PACE = "--deadline 1s --schedule rate=1k/s --format json"
BEATS = "--heartbeat-deadline 300ms --heartbeat-interval 100ms"

# What stdout is: the document of a run, of claims, of prices or of a suite (judge.py knows their
# shape), `same`: always the same text, or `text`. {out} in the arguments is a new folder.
Kind = collections.namedtuple("Kind", "name stdout connections arguments")


def run(name, connections, arguments, pace=PACE):
    return Kind(name, "run", connections,
                f"run --connections {connections} {arguments} {pace}".split())


KINDS = [
    run("recv", 40, "--watch recv --mix fin,rst-linger,fin-then-rst,silent"),
    run("recv-multishot", 40, "--watch recv-multishot --mix fin-data,rst-unread,rst-unread-data"),
    run("poll", 40, "--watch poll,poll-multishot --mix half-close,rst-disconnect"),
    run("epoll", 40, "--watch epoll,epoll-et --mix fin,rst-linger,fin-then-rst,silent"),
    run("select", 40, "--watch select --mix fin,rst-linger,fin-then-rst"),
    run("ppoll", 40, "--watch ppoll --mix fin,rst-linger,fin-then-rst"),
    run("blocking", 20, "--watch blocking --mix fin,rst-linger,silent"),
    run("late", 40, "--watch late --mix fin,rst-linger"),
    run("client", 40, "--survivor client --mix destroy,vanish,linger2 --family inet6"),
    run("listener", 40, "--survivor client --mix listener-close"),
    run("direct", 40, "--descriptors direct --victim-requests recv --mix fin,rst-linger"),
    run("sqpoll", 40, "--ring sqpoll --mix fin,rst-linger"),
    run("spin", 40, "--wait spin --ring coop --mix fin,rst-linger"),
    run("writer-ring", 48, "--watch writer --mix fin,rst-linger --write-rate rate=50/s --write-path"
        " send,sendmsg,send-zc,write,writev,write-async,splice,write-linked"),
    run("writer-sqpoll", 20, "--watch writer --write-path write-sqpoll --write-rate rate=50/s"
        " --sigpipe signalfd --mix fin,rst-linger"),
    run("writer-call", 40, "--watch writer --write-path send-call,send-nosignal,write-call,sendfile"
        " --write-rate rate=50/s --before-write poll --mix fin,rst-linger"),
    run("writer-child", 20, "--watch writer --write-path write-call --write-rate rate=50/s"
        " --sigpipe default --mix fin,rst-linger"),
    run("keepalive", 20, "--probe keepalive --mix vanish,silent",
        "--deadline 4s --format json"),
    run("user-timeout", 20, "--probe user-timeout --user-timeout 500ms --load echo=400/s"
        " --mix silent", "--deadline 3s --format json"),
    run("heartbeats", 40, f"--watch recv --probe heartbeat-link,heartbeat-wheel {BEATS}"
        " --mix silent,alive"),
    run("heartbeats-epoll", 40, f"--watch epoll --probe heartbeat-timerfd,heartbeat-scan {BEATS}"
        " --mix silent,alive"),
    run("processes", 40, "--mix sigkill,exit,sigkill-sending,freeze --per-process 4"
        " --survivor client"),
    run("processes-unread", 40, "--mix sigkill-unread,exit-unread --per-process 10 --watch epoll"),
    run("paths", 40, "--mix cable,cable-restore,unreachable,reboot --watch recv"),
    run("veth", 40, "--path veth --mix fin,rst-linger,sigkill,cable --watch epoll"),
    run("shards", 40, "--shards 2 --cpu-hog 2 --neighbours 10 --mix fin,rst-linger"),
    run("bulk", 20, "--load bulk --warm-up 100ms --mix rst-linger"),
    Kind("out", "text", 40, "run --connections 40 --mix fin,rst-linger --deadline 1s --schedule"
         " rate=1k/s --events --out {out}".split()),
    Kind("verify-servers", "claims", 100, "verify --case S1,S3,S5 --format json".split()),
    Kind("verify-aborts", "claims", 100, "verify --case A1,A2,A6 --format json".split()),
    Kind("verify-clients", "claims", 100, "verify --case C1,C2,C3 --path veth --format json"
         .split()),
    Kind("cost", "prices", 20, "cost --connections 20 --probe keepalive --rounds 3 --window 200ms"
         " --format json --out {out}".split()),
    Kind("suite", "suite", 0, "suite quick --quick --repetitions 1 --format json --out {out}"
         .split()),
    Kind("doctor", "text", 0, "doctor --connections 100".split()),
    Kind("compare", "same", 0, ["compare", f"{SUITES}/a", f"{SUITES}/b"]),
    Kind("list", "same", 0, ["list"]),
    Kind("dry-run", "text", 0, ["run", "--connections", "100", "--mix", "all", "--dry-run"]),
]


def kind_named(name):
    return next(kind for kind in KINDS if kind.name == name)
