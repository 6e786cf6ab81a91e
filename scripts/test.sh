#!/usr/bin/env bash
# Installs what is missing, builds the dev preset (ASan + UBSan, warnings are errors) and runs
# every test. With arguments: another preset, for instance `scripts/test.sh tsan`.
set -euo pipefail
cd "$(dirname "$0")/.."
preset="${1:-dev}"

scripts/install_packages.sh build plots test kernels
cmake --preset "$preset"
cmake --build --preset "$preset"
ctest --preset "$preset"
echo "The slowest, in seconds:"
sed '/^---/,$d' "build/$preset/Testing/Temporary/CTestCostData.txt" | sort -k3 -rn |
  awk 'NR <= 10 {printf "%7.1f  %s\n", $3, $1}'
