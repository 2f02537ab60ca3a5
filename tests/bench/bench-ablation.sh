#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What each part of the estimator buys: builds nqptp-estimator.c without it, runs bench-estimator on
# that, and lists what gets worse. What gets worse by less than 3 % is left out. Part of `make bench`.
#
# A part is left out by an edit of one line, so the module needs no switches. If a line is no longer
# there, the script fails.

set -eu

test $# -eq 1 || { echo "usage: $0 DIRECTORY" >&2; exit 2; }
directory=$1
top=${srcdir:-.}
seeds=${SEEDS:-3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

variants() {
    cat <<'END'
nothing left out	s/^$//
the prior of the slope	s/^#define SIGMA_PPM .*/#define SIGMA_PPM 1e5/
slopes beyond the prior	s/wild && f->n >= TRUSTED_BINS/false/
the window wider than 8 s	s/^#define BIN_MOST_NS .*/#define BIN_MOST_NS BIN_LEAST_NS/
leaving far bins out of the centre	s/near >= f->n . NEAR_MIN_SHARE/false/
leaving far bins out of the noise	s/f->n >= TRUSTED_BINS && depth_us/false \&\& depth_us/
excluding the highest bins	/^    exclude_unsupported/d
two high bins support each other	s/ - us > to_us(STEP_NS))/ - us > 1e12)/
the second witness	s/= e->suspect;/= sample;/; s/bool proven = /bool proven = true || /
lateness	/fit.level_us += lateness/d
lateness after several delays	s/if (f->n < LATE_BINS ||/if (true ||/
no lateness of this kind with 1 ms of noise	s/^#define LATE_NOISE_MOST_US .*/#define LATE_NOISE_MOST_US 1e12/
at most 20 samples for lateness	s/^#define LATE_MOST .*/#define LATE_MOST 64/
low peaks	s/bool complete = /bool complete = false \&\& /
the limit of 5 ms for low peaks	s/shift_least_ns(e, STEP_NS)/shift_least_ns(e, INT64_MAX)/
the chance of low bins	s/^#define SERIES_CHANCE .*/#define SERIES_CHANCE 2/
new rates	s/low_ns = trend < 0 ?/low_ns = false ?/
the chance of low bins for new rates	s/^#define RATE_CHANCE .*/#define RATE_CHANCE 2/
expecting the new rate	s/double expected_ppm = .*/double expected_ppm = 0;/
larger steps towards a new rate	s/ || e->line.time_ns < e->trend_until_ns;/;/
low samples	s/enum change change = judge_samples(e, residual);/enum change change = UNCHANGED;/
two samples far too low	s/bool far = /bool far = false \&\& /
one witness in 60 ms	s/^#define BURST_NS .*/#define BURST_NS 0/
settling	s/^#define SETTLING_NS .*/#define SETTLING_NS -1/
the shaper	s/^#define SHAPED_NS .*/#define SHAPED_NS (1000000 * S)/
larger steps until 15 s	s/^#define FAST_NS .*/#define FAST_NS 0/
a new series when 20 ms astray	s/^#define ASTRAY_NS .*/#define ASTRAY_NS (1000000 * S)/
END
}

run_variant() { # NUMBER EDIT
    sed "$2" "$top/nqptp-estimator.c" >"$work/$1.c"
    if [ "$1" -gt 0 ] && cmp -s "$work/$1.c" "$top/nqptp-estimator.c"; then
        echo "$0: this edit changes nothing: $2" >&2
        exit 1
    fi
    mkdir "$work/$1"
    ${CC:-cc} -O2 -w -I"$top" -o "$work/$1/bench" \
        "$top/tests/bench/bench-estimator.c" "$work/$1.c" -lm
    # Thresholds are missed here: that is the point.
    "$work/$1/bench" "$work/$1" 0 "$seeds" >"$work/$1/table" || test $? -eq 1
}

# The differences of a variant, the greatest first. A quantity that may be 0 counts as 1 more.
compare() { # NUMBER
    awk -F'"' -v OFS='\t' '
        { split($5, cell, ","); key = $2 ", " $4; value = cell[3] == "never" ? 180 : cell[3] }
        FNR == 1 || cell[2] == "ns" || cell[2] == "bytes" { next }
        FNR == NR { whole[key] = value; text[key] = cell[3]; next }
        { ratio = (value + 1) / (whole[key] + 1) }
        ratio > 1.03 { print ratio, key ": " text[key] " -> " cell[3] " " cell[2] }
    ' "$work/0/estimator.csv" "$work/$1/estimator.csv" | sort -rn | cut -f2
}

variants >"$work/variants"
number=0
tab=$(printf '\t')
while IFS=$tab read -r name edit; do
    run_variant $number "$edit"
    if [ $number -gt 0 ]; then
        compare $number >"$work/worse"
        echo "without $name: $(wc -l <"$work/worse") figures are worse by more than 3 %"
        sed -n '1,8s/^/    /p' "$work/worse"
        sed "s/^/\"$name\",\"/; s/$/\"/" "$work/worse" >>"$work/all"
    fi
    number=$((number + 1))
done <"$work/variants"
mv "$work/all" "$directory/ablation.csv"
