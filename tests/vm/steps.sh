#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that steps and slews of CLOCK_REALTIME do not reach what a player reads: neither an error nor
# a new series. It sets the clock, so it runs only in a machine of machine.sh.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
# shellcheck source=tests/vm/series.sh
. "$top/tests/vm/series.sh"
[ "${NQPTP_MACHINE:-}" = yes ] || skip_all 'it sets the clock: run it by make check-vm'
enter 400

bound=1000000 # ns; without KVM the machine adds up to 300 us
truth=7000000000
year=31557600
set_clock=$build/tests/tools/set-clock

follow() { # LAYOUT RATE
    is="layout $1, $2 Syncs a second"
    start_daemon "--smi=$1"
    start_sender --to 10.77.0.1 --rate "$2" --offset $truth
}

# In turn: steps as by an NTP client, the first time of a machine without a clock, and the fastest slews
# that the kernel allows.
each_change() { # COMMAND...
    for step in 50000000 -50000000 1500000000 -1500000000 $((20 * year))000000000 -$((20 * year))000000000; do
        "$@" step "$step"
    done
    "$@" rate 500
    "$@" rate -500
    "$set_clock" rate 0
}

# --- layout 4 -------------------------------------------------------------------------------------

# Layout 4 has times of CLOCK_REALTIME, so they err after a step until the next sample.
is_right() {
    eventually 1 "$reader" --count 1 --quiet --fresh 1 --raw-truth $truth --within $bound &&
        "$reader" --settle 0.2 --interval 0.04 --count 16 --quiet --fresh 1 --raw-truth $truth \
            --within $bound
}

# A slew adds up to 1 ms before it is judged.
change_and_look() { # step|rate HOW-MUCH
    "$set_clock" "$@"
    [ "$1" = step ] || sleep 2
    check "$is: the record is right after a $1 of $2" is_right
}

for rate in 8 128; do
    follow 4 $rate
    control '/nqptp T 10.77.0.2'
    check "$is: the record is right at first" eventually 10 is_right
    began=$(series_began)
    each_change change_and_look
    check "$is: one series through all of it" [ $(($(series_began) - began)) -le 1 ]
    stop_senders
    stop_daemon
done

# --- layout 10 ------------------------------------------------------------------------------------

# A player checks each of its looks meanwhile: 12 s and the time that the commands take.
change() { # step|rate HOW-MUCH
    "$set_clock" "$@"
    if [ "$1" = step ]; then sleep 1; else sleep 3; fi
}

for rate in 8 128; do
    follow 10 $rate
    "$player" --play 10.77.0.2 --wait 10 --watch 20 --interval 0.005 --fresh 2 --raw-truth $truth \
        --within $bound >"$tmp/player" 2>&1 &
    playing=$!
    eventually 10 grep -q version "$tmp/player"
    sleep 2 # to settle
    each_change change
    check "$is: the player goes on to the end" kill -0 $playing
    check "$is: the record is right at each look" wait $playing
    check "$is: one series through all of it" grep ', 1 starts' "$tmp/player"
    sed 's/^/# /' "$tmp/player"
    stop_senders
    stop_daemon
done
done_testing
