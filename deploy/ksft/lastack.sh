#!/bin/sh
# SPDX-License-Identifier: MIT
# Plays the claims of `lastack verify` on the running kernel, as a test of kselftest.
#
# LASTACK: the program, if it is not in PATH. Arguments go to `lastack verify`, such as
# "--case A3 --path loopback" (kselftest: KSELFTEST_LASTACK_SH_ARGS).

# kselftest.h
pass=0 fail=1 skip=4

program=${LASTACK:-lastack}
if ! command -v "$program" >/dev/null 2>&1; then
	echo "TAP version 13"
	echo "1..0 # SKIP $program is not installed (LASTACK=PATH names it)"
	exit $skip
fi

tap=$("$program" verify --format tap "$@")
code=$?
[ -n "$tap" ] && printf '%s\n' "$tap"

case $code in
0) exit $pass ;;
# Something is missing, so that some row or all of them say nothing about this kernel. That must
# not hide one that was played and does not do as the table expects.
3) ;;
*)
	echo "# lastack verify: exit code $code"
	exit $fail
	;;
esac
printf '%s\n' "$tap" | grep -q '^not ok' && exit $fail
exit $skip
