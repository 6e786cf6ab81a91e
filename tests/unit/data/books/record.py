#!/usr/bin/env python3
"""Records the runs of cases.json, for tests/unit/replay_test.cc.

usage: record.py PROGRAM [CASE ...]

Needed when the records of ends or writes get another size, and for new cases. Afterwards
`LASTACK_WRITE_EXPECTED=1 lastack-unit-tests --gtest_filter='*Replay*'` writes what a build makes of
them: run it with the build whose outputs are to stay, and read the difference.
"""

import json
import os
import pathlib
import subprocess
import sys


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder = pathlib.Path(__file__).parent
    cases = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    for name in sys.argv[2:] or cases:
        parameters = cases[name]
        arguments = [word for flag, value in parameters.items()
                     for word in ([f"--{flag}"] if value == "true" else [f"--{flag}", value])]
        done = subprocess.run([sys.argv[1], "run", *arguments], capture_output=True, text=True,
                              env={**os.environ, "LASTACK_KEEP_BOOKS": folder / f"{name}.cbor"})
        print(f"{name}: exit code {done.returncode} {done.stderr.strip()}")


if __name__ == "__main__":
    main()
