# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2154
#
# What the tests of tests/vm share.

# Prints when the series of the master began, in seconds of CLOCK_MONOTONIC_RAW.
series_began() {
    age=$("$nqptp" --status --json | grep -o '"series_s": *[0-9.]*' | head -n 1)
    echo "$("$reader" --now) ${age##*[ :]}" | awk '{ printf "%d", $1 / 1e9 - $2 + 0.5 }'
}
