#!/usr/bin/env bash
# Installs what is missing, builds with warnings as errors and runs every test: under ASan and
# UBSan (preset `full`), a part of them under ThreadSanitizer (`tsan`), and half a minute of each
# fuzzer (`fuzz`). With arguments: these presets only, for instance `scripts/test.sh tsan`.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- full tsan fuzz

scripts/install_packages.sh build plots test kernels clang
for preset in "$@"; do
  SECONDS=0
  cmake --preset "$preset"
  cmake --build --preset "$preset"
  built=$SECONDS
  # Clang 14's ThreadSanitizer knows no addresses with more random bits.
  run=()
  if [ "$preset" = tsan ] && [ "$(cat /proc/sys/vm/mmap_rnd_bits)" -gt 28 ]; then
    run=(setarch --addr-no-randomize)
  fi
  "${run[@]}" ctest --preset "$preset"
  echo "Preset $preset: built in $built s, tested in $((SECONDS - built)) s; the slowest:"
  sed '/^---/,$d' "build/$preset/Testing/Temporary/CTestCostData.txt" | sort -k3 -rn |
    awk 'NR <= 10 {printf "%7.1f s  %s\n", $3, $1}'
done
