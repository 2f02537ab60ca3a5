#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that players of every generation find the layout that they read at their first look: one
# after the other without a pause, in all orders; started before the daemon; and after the daemon was
# frozen until the kernel broke its lease.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter 120

# Looks once by the rules of that generation and ends. A wrong layout or a hang is its exit status.
play() { # GENERATION OPTION...
    generation=$1
    shift
    "$player" --generation "$generation" --play 10.77.0.2 "$@"
}

# The test is about the pause between two players. A daemon that cannot run meanwhile, because the
# machine is busy, gets the time that it needs.
pause() {
    sleep 0.2
    eventually 5 leased
}

# --- one after the other ---

start_daemon
start_sender --to 10.77.0.1 --offset 5000

after() { # GENERATION
    for second in 2021 4.1 4.2 5; do
        check "$second after $1: $1 plays" play "$1" --watch 1.1
        pause
        check "$second after $1: $second finds its layout" play $second --wait 10
        pause
    done
}

# While a player keeps the object open the daemon does not look for its end.
lease_is_back() {
    "$player" --play 10.77.0.2 --watch 1000 >"$tmp/player" 2>&1 &
    playing=$!
    eventually 5 grep -q version "$tmp/player"
    check_not 'a player has the object open: there is no lease' leased
    kill $playing
    wait $playing 2>/dev/null
    check 'the player ends: the lease is back at once' eventually 2 leased
}

# --- started before the daemon ---

# 4.3 sends its T once, to a port that is still closed, and looks for the object for 10 s.
patient_player() { # OPTION...
    exec "$player" --patient "$@" >"$tmp/player" 2>&1
}

player_comes_first() {
    stop_daemon
    start_too_early patient_player --play 10.77.0.2
    start_daemon
    check 'a player of 4.3 started before the daemon finds layout 10' wait $waiting
    sed 's/^/# /' "$tmp/player"
    stop_daemon
    start_too_early patient_player --generation 4.2 --play 10.77.0.2
    start_daemon
    check 'a player of 4.2 started before the daemon finds its layout' wait $waiting
    eventually 5 leased # a busy machine may run the daemon late
    "$player" --generation 2021 --play 10.77.0.2 >"$tmp/player" 2>&1
    is 'after another generation a player of 2021 finds its layout' $? 0
}

# --- frozen ---

# The kernel breaks the lease of a daemon that does not react for fs.lease-break-time seconds.
frozen() {
    break_time=$(cat /proc/sys/fs/lease-break-time)
    if is_root && echo 2 >/proc/sys/fs/lease-break-time 2>/dev/null; then
        trap 'echo $break_time >/proc/sys/fs/lease-break-time' EXIT
        kill -STOP "$daemon"
        "$player" --generation 4.2 >"$tmp/player" 2>&1 &
        playing=$!
        sleep 3 # longer than the lease-break time set above
        kill -CONT "$daemon"
        wait $playing
        check 'frozen while a player of 4.2 opened the object: alive' alive
        eventually 5 leased
        check 'frozen: after that a player of 5 finds its layout' play 5
        eventually 5 leased
        check 'frozen: after that a player of 2021 finds its layout' play 2021
    else
        skip 'frozen while a player of 4.2 opened the object: alive' 'it takes root to set fs.lease-break-time'
    fi
}

# --- slow ---

# Each fcntl() takes 0.2 s, so the player sends its T and opens the object between two steps of what
# the daemon does for an earlier signal: 34 is the one of leases.
slow() {
    if has strace && strace -o /dev/null true 2>/dev/null; then
        stop_daemon
        is_root || set -- --user=root --group=root
        strace -f -o "$tmp/calls" -e trace=fcntl -e inject=fcntl:delay_enter=200000 "$nqptp" "$@" \
            2>"$tmp/log" &
        eventually 20 answers || not_ok 'a slow daemon starts'
        daemon=$(awk '{ print $1; exit }' "$tmp/calls")
        kill -34 "$daemon"
        check 'a slow daemon is at work for another signal: a player of 4.2 finds its layout' play 4.2
    else
        skip 'a slow daemon is at work for another signal: a player of 4.2 finds its layout' 'no strace here'
    fi
}

in_parallel 'after 2021' 'after 4.1' 'after 4.2' 'after 5' lease_is_back player_comes_first frozen slow
done_testing
