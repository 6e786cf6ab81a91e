#!/usr/bin/env bash
# Draws the pictures of README.md from two recordings of `lastack suite full`: A, and B beside it.
# usage: scripts/readme_pictures.sh [A B OUT]   (default: those in results/, and where README looks)
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
[ $# -eq 0 ] || [ $# -eq 3 ] || {
  echo "readme_pictures: $# arguments given; expected none, or A B OUT" >&2
  exit 2
}
full="$root/results/2026-11-23-full"
a="${1:-$full/a}" b="${2:-$full/b}" out="${3:-$full}"
latency=(/usr/bin/python3 "$root/scripts/plot_latency.py")

"${latency[@]}" "$a/latency.csv" --row every-strategy -o "$out/every-strategy.png"
"${latency[@]}" "$a/latency.csv" "$b/latency.csv" --row paced-recv --row paced-epoll \
  --row paced-ppoll --row paced-blocking -o "$out/watches.png"
"${latency[@]}" "$a/latency.csv" --row killed-process-descriptors \
  --row killed-process-armed-requests --row killed-process-direct-descriptors \
  -o "$out/killed-process.png"
/usr/bin/python3 "$root/scripts/plot_probes.py" "$a" -o "$out/frontier.png"
