#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that every generation of players finds its own layout at its first look, however soon it
# looks, with a daemon that does not know which generation comes: a new daemon for each player, which
# starts as soon as there is an object, half of them while all processors are busy. And what happens
# when players of different generations come one after the other, or at the same time.
#
# STARTUPS=1000 makes 1000 starts of each kind, which takes minutes.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
starts=${STARTUPS:-30}
enter $((120 + starts * 2))

object=/dev/shm/nqptp
busy=''

play() { # GENERATION OPTION...
    "$player" --generation "$@" >"$tmp/player" 2>&1
}

# More processes than processors: every other process has to wait for one.
make_busy() {
    for _ in 1 2 $(seq "$(nproc)"); do
        timeout $((60 + starts)) sh -c 'while :; do :; done' &
        busy="$busy $!"
    done
}

end_busy() {
    for one in $busy; do
        kill "$one" 2>/dev/null
        wait "$one" 2>/dev/null
    done
    busy=''
}

object_exists() {
    test -e $object
}

# Waits for the object as a player can find it first, before the daemon has come to its loop.
await_object() {
    tries=1000
    until object_exists; do
        tries=$((tries - 1))
        test $tries -gt 0 || return 1
        sleep 0.005
    done
}

# Prints the exit statuses of COUNT first looks, each with its count: "60*0" is the best.
first_looks() { # COUNT GENERATION OPTION...
    count=$1
    shift
    n=0
    while test $n -lt "$count"; do
        n=$((n + 1))
        launch_daemon
        await_object || { echo none; continue; }
        result=0
        play "$@" || result=$?
        echo "$result:$(grep -o 'version [0-9]*' "$tmp/player" | tr -d '\na-z')"
        test $result = 0 || sed 's/^/# /' "$tmp/player" >&2
        stop_daemon
    done | sort | uniq -c | awk '{ n = $1; sub(/^ *[0-9]* /, ""); printf "%s%s*%s", sep, n, $0; sep = " " }'
}

first_looks_are() { # NAME FOUND GENERATION OPTION...
    what=$1 found=$2
    shift 2
    is "$what, idle machine" "$(first_looks $((starts - starts / 2)) "$@")" \
        "$((starts - starts / 2))*0:$found"
    make_busy
    is "$what, busy machine" "$(first_looks $((starts / 2)) "$@")" "$((starts / 2))*0:$found"
    end_busy
}

# A player can open what a killed daemon left before the next daemon has adopted it. The daemon has
# to adopt it soon after it opens its port: on an idle machine most players that start as soon as
# they can send a command are served. On a busy machine the kernel may run the player first, so there
# are 100 tries until four players are served. With a pause before the adoption none was.
control_is_open() {
    grep -q ':2328 ' /proc/self/net/udp
}

looks_at_left_over() { # GENERATION OPTION...
    served=0
    for try in $(seq 100); do
        start_daemon
        stop_daemon KILL
        launch_daemon
        tries=1000
        until control_is_open || test "$tries" = 0; do
            tries=$((tries - 1))
        done
        play "$@" && served=$((served + 1))
        stop_daemon
        test "$served" -lt 4 || break
    done
    echo "# $served of $try"
    test "$served" -eq 4
}

new_daemon() {
    first_looks_are "$starts players of today find 10" ' 10' 5
    first_looks_are "$starts players of 4.1 find 8" ' 8' 4.1 --play 10.77.0.2
    first_looks_are "$starts players of 4.2 find 8, and 9 when they play" ' 8 9' 4.2 --play 10.77.0.2
    first_looks_are "$starts players of 2021 find 4" ' 4' 2021 --play 10.77.0.2
    first_looks_are "$starts readers that send nothing find 4" ' 4' 2021
    is 'players that speak IPv6 too' "$(first_looks 5 5 --to ::1)" '5*0: 10'
    check 'four players of 5 are served as the daemon starts again' looks_at_left_over 5
    check 'four players of 4.1 are served as the daemon starts again' looks_at_left_over 4.1 --play 10.77.0.2

    # A player that starts before there is a daemon waits for it, if it is of 4.1 or 4.2.
    start_too_early play 4.2 --play 10.77.0.2
    start_daemon
    status=0
    wait $waiting || status=$?
    is 'players of 4.2 that came before the daemon' "$status:$(cat "$tmp/player")" '0:version 8
version 9'
}

# --- one after the other ---

one_after_the_other() {
    start_daemon
    check 'an object that no process has open has a lease' leased
    found=''
    for _ in $(seq 50); do # the command is sent a moment earlier than by the player, see below
        control T
        leased || found="$found unleased"
        play 2021 || found="$found 2021:$?"
        control '/nqptp T'
        leased || found="$found unleased"
        play 5 || found="$found 5:$?"
    done
    is '100 openings by 2021 and 5 in turn find their layouts' "$found" ''
    found=''
    for _ in $(seq 100); do
        play 5 || found="$found $?"
    done
    is '100 openings by players of 5 find layout 10' "$found" ''
    for generation in 4.1 4.2 4.1 5 2021 4.2 2021 5; do
        control "$(test $generation = 2021 || echo '/nqptp ')T"
        check "after other generations a player of $generation finds its layout" play $generation --play 10.77.0.2
    done
    check 'the daemon is alive' alive
}

# --- at the same time ---

obeyed() {
    answers && grep -q "^Master: *$identity" "$tmp/status"
}

beside_a_player_of_2021() {
    start_sender --to 10.77.0.1 --offset 1
    start_daemon
    control 'T 10.77.0.2'
    "$reader" --hold 1000 --expect-id "$identity" >"$tmp/mapped" 2>&1 &
    mapped=$!
    check 'a player of 2021 has the object mapped' eventually 5 grep -q mapped "$tmp/mapped"
    result=0
    play 5 || result=$?
    case $result:$(cat "$tmp/player") in
    3:player:\ version\ [012]) ok 'a player of today finds another version while one of 2021 has the object mapped' ;;
    *) not_ok "a player of today finds another version while one of 2021 has the object mapped, not $result" ;;
    esac
    check 'the log says that a client wants another layout' grep -q 'another layout' "$tmp/log"
    control '/nqptp T 10.77.0.2'
    check 'the list of a player with another layout is obeyed' eventually 5 obeyed
    kill $mapped
    check 'a player with another layout does not disturb the first' wait $mapped
    control '/nqptp T'
    check 'when the player of 2021 has gone a player of 5 finds layout 10' play 5
}

beside_a_player_of_5() {
    start_sender --to 10.77.0.1 --offset 1
    start_daemon
    : >"$tmp/first"
    "$player" --play 10.77.0.2 --wait 10 --watch 1000 --ids "$identity" >"$tmp/first" 2>&1 &
    watching=$!
    eventually 5 grep -q version "$tmp/first"
    result=0
    "$player" --generation 2021 --play 10.77.0.2 >"$tmp/second" 2>&1 || result=$?
    # What it locks is no mutex: it hangs, or the C library refuses or ends it.
    echo "# the player of 2021 ended with status $result"
    check 'while a player of 5 plays a player of 2021 reads no layout 4' test $result -ge 3
    status=0
    kill $watching
    wait $watching || status=$?
    is 'a player of 2021 beside it: the player of 5 plays on' "$status" 0
    sed 's/^/# /' "$tmp/first"
    check 'the daemon is alive' alive
    control 'T 10.77.0.2'
    check 'when the player of 5 has gone a player of 2021 finds layout 4' play 2021
}

in_parallel new_daemon one_after_the_other beside_a_player_of_2021 beside_a_player_of_5
done_testing
