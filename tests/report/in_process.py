"""The scripts that read suites, called in this process: starting them takes longer than running."""
import contextlib
import io
import sys
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
sys.dont_write_bytecode = True  # tests leave nothing in the source tree

import plot_latency
import plot_probes
import report

MAINS = {"plot_latency": plot_latency.main, "plot_probes": plot_probes.main, "report": report.main}


def call(name, arguments):
    """(exit code, what it printed, what it complained about)"""
    code = 0
    with contextlib.redirect_stdout(io.StringIO()) as printed, \
            contextlib.redirect_stderr(io.StringIO()) as complaint, \
            mock.patch.object(sys, "argv", [f"{name}.py", *map(str, arguments)]):
        try:
            MAINS[name]()
        except SystemExit as end:
            code = end.code
    plot_latency.plt.close("all")
    return code, printed.getvalue(), complaint.getvalue()
