#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves of the daemon itself what test-rogues proves of its rules: a listed sender that alternates
# grandmasters, priorities and times, or states absurd intervals or corrections, makes nothing thrash;
# a better clock that gives no time is not waited for; and another host with the identity of a listed
# clock is not followed while that clock sends.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter 120

# Plays for 5 s, and counts the series that the player was told of.
few_series() { # NAME MAX OPTION...
    what=$1 max=$2
    shift 2
    "$player" --play 10.77.0.2 --wait 10 --watch 5 "$@" >"$tmp/player" 2>&1
    kept=$?
    count=$(sed -n 's/.* reads, \([0-9]*\) starts.*/\1/p' "$tmp/player")
    check "$what: $max series at most" test "${count:-1000}" -le "$max" -a "$kept" = 0
    sed 's/^/# /' "$tmp/player"
    check "$what: the daemon is alive" alive
}

another_grandmaster() {
    start_daemon
    start_sender --to 10.77.0.1 --fickle 0.5 --other-grandmaster 99 --other-priority1 1 \
        --announce-rate 4
    few_series 'another grandmaster every 0.5 s' 7 --fresh 3
}

another_time() {
    start_daemon
    start_sender --to 10.77.0.1 --fickle 0.5 --other-offset 1000000000000
    few_series 'another time every 0.5 s' 5
}

# The one correction in ten is a random number, of up to 39 hours.
wild_corrections() {
    start_daemon
    start_sender --to 10.77.0.1 --wild-percent 10 --seed 3 --offset 5000
    few_series 'one correction in ten is wild' 1 --ids "$identity" --raw-truth 5000 \
        --within 20000000 --fresh 3
}

# The best clock is the first of the list, and only announces itself.
only_announces() {
    start_daemon
    start_sender --to 10.77.0.1 --offset 5000
    start_sender --to 10.77.0.1 --from 10.77.0.3 --identity 0c --priority1 1 --no-sync
    few_series 'a better clock that never gives its time' 1 --play '10.77.0.3 10.77.0.2' \
        --ids "$identity" --raw-truth 5000 --within 20000000 --fresh 3
}

# The best clock gives its time at first, and then only announces itself. The other clock may have
# been master before it, so there are up to three series.
stops_giving_time() {
    start_daemon
    start_sender --to 10.77.0.1 --offset 5000
    start_sender --to 10.77.0.1 --from 10.77.0.3 --identity 0c --priority1 1 --offset 5000 --seconds 4
    start_sender --to 10.77.0.1 --from 10.77.0.3 --identity 0c --priority1 1 --no-sync
    few_series 'a better clock that stops giving its time' 3 --watch 8 --play '10.77.0.3 10.77.0.2' \
        --ids "0c,$identity" --raw-truth 5000 --within 20000000 --fresh 5
}

absurd_intervals() {
    start_daemon
    start_sender --to 10.77.0.1 --absurd-intervals --offset 5000
    few_series 'another interval each time' 1 --ids "$identity" --raw-truth 5000 --within 20000000 \
        --fresh 3
}

follows_listed_clock() {
    answers && grep -q "^Master: *$identity at 10.77.0.2" "$tmp/status"
}

# The listed clock sends, and so does another host with its identity and a better priority.
same_identity() {
    start_daemon
    start_sender --to 10.77.0.1 --offset 5000
    control 'T 10.77.0.2'
    check 'the listed clock is followed before another host has its identity' \
        eventually 10 follows_listed_clock
    start_sender --to 10.77.0.1 --from 10.77.0.3 --priority1 1 --offset 7000000000000
    few_series 'another host under the identity of the listed clock' 1 --ids "$identity" --raw-truth 5000 --within 20000000 \
        --fresh 3
}

in_parallel another_grandmaster another_time wild_corrections only_announces stops_giving_time \
    absurd_intervals same_identity
done_testing
