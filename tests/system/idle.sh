#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that the daemon sleeps while nothing happens: in some seconds it makes no system call but the
# one that it waits in. This holds after the start, with a list of silent clocks, and while a player
# keeps the object open.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
need strace strace
enter

strace -o /dev/null true 2>/dev/null || skip_all 'strace may not trace here'

# Every finished system call is a line, written when it ends.
calls() {
    wc -l <"$tmp/calls"
}

# Succeeds if the daemon made no system call for a second.
rests() {
    before=$(calls)
    sleep 1
    test "$(calls)" = "$before"
}

idles() { # NAME SECONDS
    check "$1: the daemon comes to rest" eventually 1 rests # 60 tries
    before=$(calls) cpu=$(cpu_time "$daemon")
    sleep "$2" # nothing may happen
    is "$1: no system call in $2 s" $(($(calls) - before)) 0
    is "$1: no processor time in $2 s" "$(cpu_time "$daemon")" "$cpu"
}

start_traced() {
    is_root || set -- --user=root --group=root
    strace -f -o "$tmp/calls" "$nqptp" "$@" 2>"$tmp/log" &
    eventually 10 answers || not_ok 'the daemon starts'
    daemon=$(awk '{ print $1; exit }' "$tmp/calls")
}

after_start() {
    start_traced
    idles 'after the start' 5
}

list_silent_clocks() {
    control '/nqptp B'
    control '/nqptp E' # while a client plays, silent addresses of its list are asked
    control 'T 10.77.0.2 fd77::2'
}

with_a_list() {
    start_traced
    before=$(calls)
    list_silent_clocks
    check 'the system calls that a command causes are counted' test "$(calls)" -gt "$before"
    idles 'with a list of silent clocks' 3
}

with_a_player() {
    start_traced
    list_silent_clocks
    "$player" --watch 1000 --interval 1 >"$tmp/player" 2>&1 &
    eventually 5 grep -q 'version 10' "$tmp/player" || not_ok 'a player opens the object'
    sleep 1 # after that the daemon has looked once whether the opener was killed
    idles 'while a player keeps the object open' 8
}

in_parallel after_start with_a_list with_a_player
done_testing
