#!/usr/bin/env bash
# From a fresh clone to the main result: installs what is missing, builds, lets 10,000 connections
# die in every way that lastack knows, prints the table and draws it. The last line is the folder
# with everything in it.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install_packages.sh build plots
{ cmake --preset release && cmake --build --preset release --target lastack; } >build.log 2>&1 ||
  { tail -n 40 build.log >&2; exit 1; }
rm -f build.log

out="lastack-results/$(date -u +%Y%m%dT%H%M%SZ)-$(uname -n)"
status=0
build/release/bin/lastack run --connections 10k --mix all --schedule rate=5k/s --out "$out" ||
  status=$?
[ -f "$out/run.json" ] || exit "$status"
/usr/bin/python3 scripts/plot_latency.py "$out" >/dev/null
echo "$PWD/$out"
exit "$status"
