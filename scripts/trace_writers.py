#!/usr/bin/env python3
"""Holds lastack's counts of SIGPIPEs and RSTs against the kernel's tracepoints.

usage: trace_writers.py LASTACK

Runs writing survivors for one close strategy of each family while signal:signal_generate and
tcp:tcp_send_reset are recorded in a trace instance of their own, and prints both counts side by
side. Needs root and tracefs at /sys/kernel/tracing. RSTs are counted on the whole host: nothing
else may send any meanwhile. Exit code: 0 when all counts agree, 1 when not, 77 without tracefs.
"""
import os
import re
import sys

from files import fail, json_of

TRACING = "/sys/kernel/tracing"
INSTANCE = f"{TRACING}/instances/lastack-{os.getpid()}"
PATHS = "write,send,write-async,write-sqpoll,splice,send-call,sendfile"
# Family: strategy and what else its run needs.
FAMILIES = {"fin": ["fin"], "rst": ["rst-linger"], "fin-rst": ["fin-then-rst"],
            "silent": ["silent", "--probe", "user-timeout", "--user-timeout", "500ms"]}


def put(name, text):
    with open(f"{INSTANCE}/{name}", "w") as file:
        file.write(text)


def traced(command):
    put("trace", "")
    put("tracing_on", "1")
    run = json_of(command, code=1)
    put("tracing_on", "0")
    with open(f"{INSTANCE}/trace") as file:
        return run, file.read().splitlines()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        os.mkdir(INSTANCE)
    except OSError as error:
        fail(f"no trace instance: {error}", 77)
    wrong = 0
    try:
        put("buffer_size_kb", "32768")
        put("events/signal/signal_generate/filter", "sig==13")
        put("events/signal/signal_generate/enable", "1")
        put("events/tcp/tcp_send_reset/enable", "1")
        print(f"{'family':8} {'strategy':13} {'SIGPIPE: lastack':>17} {'kernel':>7} "
              f"{'to kernel threads':>18} {'RST: OutRsts':>13} {'kernel':>7}")
        for family, strategy in FAMILIES.items():
            run, lines = traced([sys.argv[1], "run", "--watch", "writer", "--write-path", PATHS,
                                 "--connections", "1400", "--mix", *strategy, "--format", "json"])
            workers = {thread["process"] for thread in run["environment"]["threads"]}
            here = kernel_threads = 0
            for line in lines:
                signal = re.search(r"signal_generate: .* comm=(\S+) pid=(\d+) ", line)
                if signal and signal[1].startswith("iou-"):
                    kernel_threads += 1
                elif signal and int(signal[2]) in workers:
                    here += 1
            resets = sum("tcp_send_reset:" in line for line in lines)
            counted = sum(row["writes"]["sigpipes"] for row in run["ledger"])
            counters = run["reconciliation"]["counters"]
            out_rsts = counters["cleaned"]["OutRsts"] - counters["before"]["OutRsts"]
            agree = counted == here and out_rsts == resets
            wrong += not agree
            print(f"{family:8} {strategy[0]:13} {counted:17} {here:7} {kernel_threads:18} "
                  f"{out_rsts:13} {resets:7}{'' if agree else '  DIFFER'}")
    finally:
        for name in ["signal/signal_generate", "tcp/tcp_send_reset"]:
            put(f"events/{name}/enable", "0")
        os.rmdir(INSTANCE)
    sys.exit(1 if wrong else 0)


main()
