#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Builds the fuzz targets with clang, and runs each for SECONDS with libFuzzer under
# AddressSanitizer and UndefinedBehaviorSanitizer, one after the other, from the corpus in the
# source tree and the inputs that earlier runs added in the build directory. Prints the coverage, and
# fails if there is a finding. `make fuzz` calls it.
#
# "Edges" are of the control flow of the target and of the code that it tests, with the checks of the
# sanitizers, so they cannot all be reached. "Features" count also how often an edge was passed.

set -eu

usage() {
    echo "usage: $0 SECONDS BUILD-DIRECTORY [TARGET...]" >&2
    exit 2
}

test $# -ge 2 || usage
seconds=$1
build=$2
shift 2
case $seconds in '' | *[!0-9]* | 0) usage ;; esac
test $# -gt 0 || set -- message commands engine estimator

top=${srcdir:-.}
cc=${FUZZ_CC:-clang}
command -v "$cc" >/dev/null || { echo "no $cc here; it is in Debian package clang" >&2; exit 1; }

# The modules that a target can reach. Others would only count as never reached.
sources_of() { # TARGET
    case $1 in
    estimator) echo "$top/nqptp-estimator.c" ;;
    message) echo "$top/nqptp-message.c" "$top/nqptp-address.c" "$top/nqptp-neighbours.c" ;;
    *) for module in address neighbours message interval pairing estimator clock-sources clients commands \
        effects wake-up asking message-handlers text story hints status; do
        echo "$top/nqptp-$module.c"
    done ;;
    esac
}

build_target() { # TARGET
    # shellcheck disable=SC2046 # a list of names
    "$cc" -g -O1 -std=gnu11 -D_GNU_SOURCE -fno-omit-frame-pointer \
        -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
        -fno-sanitize-coverage=trace-cmp \
        -I"$top" "$top/tests/fuzz/fuzz-$1.c" $(sources_of "$1") -lm -o "$build/fuzz-$1"
}

# A command may be 4096 octets long, so that input is one octet longer. Others need a few messages.
longest() { # TARGET
    case $1 in
    commands) echo 6000 ;;
    message) echo 512 ;;
    *) echo 1024 ;;
    esac
}

run_target() { # TARGET
    mkdir -p "$build/corpus/$1" "$build/findings"
    "$build/fuzz-$1" -max_total_time="$seconds" -max_len="$(longest "$1")" -timeout=20 \
        -print_final_stats=1 -artifact_prefix="$build/findings/$1-" \
        "$build/corpus/$1" "$top/tests/fuzz/corpus/$1" >"$build/$1.log" 2>&1
}

# From libFuzzer's last words: "#N DONE cov: EDGES ft: FEATURES corp: ..."
figures() { # TARGET
    awk -v target="$1" '
        /inline 8-bit counters/ { sub(/.*\(/, ""); edges = $1 }
        /DONE/ { for (i = 1; i < NF; i++) is[$i] = $(i + 1) }
        /^stat::number_of_executed_units/ { executed = $2 }
        END {
            printf "%-10s %11d executions, %5d of %d edges, %6d features\n",
                target, executed, is["cov:"], edges, is["ft:"]
        }' "$build/$1.log"
}

failed=0
mkdir -p "$build"
for target; do
    build_target "$target"
    if run_target "$target"; then
        figures "$target"
    else
        failed=1
        grep -E 'does not hold|ERROR:|runtime error|Test unit written' "$build/$target.log" ||
            tail -n 20 "$build/$target.log"
        echo "$target: a finding; all that was said is in $build/$target.log"
    fi
done
exit $failed
