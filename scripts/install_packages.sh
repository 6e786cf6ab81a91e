#!/usr/bin/env bash
# Installs what is missing from the distribution (Debian 12 or newer, Ubuntu 24.04 or newer).
# usage: scripts/install_packages.sh build|plots|test|kernels|clang|coverage ...
# shellcheck disable=SC2034  # the groups are used by name
set -euo pipefail

build="g++ cmake ninja-build pkg-config git ca-certificates liburing-dev libfmt-dev libcli11-dev
  libnl-3-dev libnl-route-3-dev nlohmann-json3-dev libcsv-dev libbenchmark-dev zlib1g-dev"
plots="python3 python3-jinja2 python3-matplotlib python3-numpy python3-pandas libjs-chart.js"
test="libgtest-dev libgmock-dev python3 perl strace util-linux clang-format shellcheck flake8
  libbenchmark-tools python3-scipy chromium chromium-driver python3-selenium"
kernels="qemu-system-x86 busybox-static cpio xz-utils"
clang="clang clang-tidy libclang-rt-dev"
coverage="gcovr"

wanted=""
for group in "$@"; do
  case "$group" in
    build | plots | test | kernels | clang | coverage) wanted="$wanted ${!group}" ;;
    *)
      echo "install_packages: unknown group '$group'; allowed: build, plots, test," \
        "kernels, clang, coverage" >&2
      exit 2
      ;;
  esac
done

missing=""
for package in $wanted; do
  dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed' ||
    missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=""
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "install_packages: missing$missing; run as root, or install sudo" >&2
    exit 3
  }
  as_root="sudo"
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086  # a list of words
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
