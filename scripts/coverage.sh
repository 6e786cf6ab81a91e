#!/usr/bin/env bash
# Prints how much of each room of lib/ the unit tests run, and with --live the live ones, too.
# usage: scripts/coverage.sh [--live]
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/coverage

scripts/install_packages.sh build test coverage
mkdir -p "$build"
cmake -G Ninja -B "$build" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG="-O0 -g1 --coverage" \
  -DLASTACK_TESTS=ON > "$build.log"
cmake --build "$build" --target lastack lastack-unit-tests lastack-live-tests >> "$build.log"
find "$build" -name "*.gcda" -delete
"$build/bin/lastack-unit-tests" --gtest_brief=1
if [ "${1:-}" = --live ]; then
  # Processes that are killed count nothing; those that end by themselves do.
  "$build/bin/lastack-live-tests" --gtest_brief=1 \
    --gtest_filter="Run.*:Trap.*:Probes.*:Writers.*:Verify.*:ReadBack.*:Processes.*"
fi
gcovr --root . --filter "lib/" --object-directory "$build" --json-summary-pretty \
  --exclude-throw-branches > "$build/coverage.json"
python3 - "$build/coverage.json" << 'END'
import collections
import json
import sys


def show(name, some, whole):
    print(f"{name:10} {some:6} of {whole:6} lines {some / whole:6.1%}")


rooms = collections.Counter()
covered = collections.Counter()
for file in json.load(open(sys.argv[1], encoding="utf-8"))["files"]:
    room = file["filename"].split("/")[1]
    rooms[room] += file["line_total"]
    covered[room] += file["line_covered"]
for room in sorted(rooms):
    show(room, covered[room], rooms[room])
show("all", sum(covered.values()), sum(rooms.values()))
END
