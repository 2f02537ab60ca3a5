#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What each part of the estimator is worth: builds nqptp-estimator.c without one part at a time, runs
# bench-estimator on it, and lists the figures that are worse by more than 3 %. Part of `make bench`.
#
# Each row below names a part and an edit for sed that takes it out, so the module needs no switches.
# The script fails if an edit changes nothing.

set -eu

test $# -eq 1 || { echo "usage: $0 DIRECTORY" >&2; exit 2; }
directory=$1
top=${srcdir:-.}
seeds=${SEEDS:-4}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

variants() {
    cat <<'END'
nothing left out	s/^$//
the prior of the slope	s/^#define SIGMA_PPM .*/#define SIGMA_PPM 1e5/
slopes beyond the prior	s/wild \&\& f->n >= TRUSTED_BINS/false/
bins wider than 125 ms	s/^#define BIN_MAX_NS .*/#define BIN_MAX_NS BIN_MIN_NS/
leaving far bins out of the centre	s/near >= f->n . NEAR_MIN_SHARE/false/
leaving far bins out of the noise	s/f->n >= TRUSTED_BINS \&\& depth_us/false \&\& depth_us/
leaving out false bins	/^    leave_out_false_bins/d
believing two high bins	s/ - third_us > to_us(STEP_NS))/ - third_us > 1e12)/
the second high sample	s/bool confirmed = /e->suspect = sample; bool confirmed = true || /
lateness	s/if (fit.n >= 3)/if (false)/
lateness after several delays	s/ = clamp((SPREAD_MAX - f->spread).*/ = 0;/
its limit of 1 ms of noise	s/^#define LATE_NOISE_MAX_US .*/#define LATE_NOISE_MAX_US 1e12/
its limit of 20 bins	s/^#define LATE_BINS_MAX .*/#define LATE_BINS_MAX 64/
low peaks	s/if (list->count < NQPTP_ESTIMATOR_RECENT ||/if (true ||/
the limit of 5 ms for low peaks	s/^    int64_t min_ns = noise_limit_ns(e, STEP_NS)/    int64_t min_ns = noise_limit_ns(e, INT64_MAX)/
the probability of low bins	s/^#define STEP_CHANCE .*/#define STEP_CHANCE 2/
new rates	s/low_ns = common_depth(list, NQPTP_ESTIMATOR_RECENT, min_ns, spread_ns, trend_ppm);/low_ns = 0;/
the probability of new rates	s/^#define RATE_CHANCE .*/#define RATE_CHANCE 2/
expecting the new rate	s/double expected_ppm = .*/double expected_ppm = 0;/
larger steps towards a new rate	s/ || line.time_ns < e->new_rate_until_ns;/;/
low samples	s/enum change change = check_bursts(e, residual);/enum change change = CHANGE_NONE;/
two very low samples	s/bool far = /bool far = false \&\& /
one witness in 60 ms	s/^#define BURST_NS .*/#define BURST_NS 0/
the first 3 s that may rise	s/ <= SETTLING_NS;/ < 0;/
the shaper	s/!restart \&\& age_ns >= YOUNG_NS/false/
larger steps until 15 s	s/^#define FAST_NS .*/#define FAST_NS 0/
a new series beyond 20 ms	s/clamp(left_ns, FAR_NS) != left_ns/false/
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
    # Status 1 means that a threshold is missed, which is expected without a part.
    "$work/$1/bench" "$work/$1" 0 "$seeds" >"$work/$1/table" || test $? -eq 1
}

# Lists the differences of a variant, the largest first. Both values get 1 added, because one may be 0.
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
