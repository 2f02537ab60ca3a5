#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that the log tells the story of a session in a few lines, and why each master won; that a
# clock which keeps changing its mind cannot fill it; that -vv and -vvv show each message and its
# bytes; and what the service manager is told, and how seldom.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter

logged() { # PATTERN
    grep -q -e "$1" "$tmp/log"
}

tells() { # NAME PATTERN
    check "$1" eventually 15 logged "$2"
}

# --- the story -----------------------------------------------------------------------------------

story() {
    start_daemon
    tells 'the log has version, object and ports at the start' 'version .* serves /nqptp in layout 4.* ports 319, 320 and 9000'
    control '/nqptp T 10.77.0.2 10.77.0.3'
    tells 'the log has a new list' '/nqptp: the list is now 2 addresses: 10\.77\.0\.2 10\.77\.0\.3$'
    start_sender --to 10.77.0.1 --from 10.77.0.3 --identity 0b --rate 16
    second=$last_sender
    tells 'the log has the first master, and why' '/nqptp: master is now 000000000000000b at 10\.77\.0\.3, the only candidate$'
    start_sender --to 10.77.0.1 --from 10.77.0.2 --identity 0a --rate 16 --offset 5000000000
    first=$last_sender
    tells 'the log has a better master, and why' 'master is now 000000000000000a at 10\.77\.0\.2, the first in the list$'
    kill "$first"
    tells 'the log has a master that falls silent' 'master 000000000000000a .* is lost: no usable sample for 3\.[0-9] s$'
    tells 'the log has the master that takes its place' \
        'master is now 000000000000000b at 10\.77\.0\.3, because the one before is silent$'
    kill -STOP "$second"
    tells 'the log has the last master that falls silent, and that its values stay' \
        'master 000000000000000b .* is lost: no usable sample for 3\.[0-9] s; players go on by its last values$'
    kill -CONT "$second"
    tells 'the log has a master that is back' 'master 000000000000000b .* is back after [0-9.]* s'
    control '/nqptp T'
    tells 'the log has an empty list' '/nqptp: the list is now empty, so no clock may be master$'
    sleep 0.5 # no further line may come
    lines=$(grep -vc warning "$tmp/log")
    check 'the log of all this has a dozen lines, warnings of the start not counted' test "$lines" -ge 9 -a "$lines" -le 12
    sed 's/^/# /' "$tmp/log"
}

# --- many lists in a moment --------------------------------------------------------------------------

many_lists() {
    start_daemon
    start_sender --to 10.77.0.1 --from 10.77.0.2 --identity 0a --rate 100
    check 'a master is followed' "$reader" --wait-master 10 --expect-id 0a
    for i in $(seq 20); do # All of them have to come within 5 s, so none waits for the one before.
        "$reader" --command "/nqptp T 10.77.0.$((i % 2 * 90 + 2))"
    done
    answers
    lines=$(grep -c '/nqptp: the list is now' "$tmp/log")
    is 'of twenty lists in a moment ten are logged' "$lines" 10
}

# --- every message ----------------------------------------------------------------------------------

every_message() {
    start_daemon -vvv
    control 'T 10.77.0.2'
    start_sender --low-ports --to 10.77.0.1 --from 10.77.0.2 --rate 16
    tells '-vv shows a Sync' "from 10\.77\.0\.2: Sync $identity-32776, sequenceId [0-9]*, flags 0608,"
    tells '-vv shows a Follow_Up with its time' 'Follow_Up .*, origin [0-9]*\.[0-9]\{9\} s$'
    tells '-vv shows an Announce' "Announce .*, grandmaster $identity, priority1 248, .*, stepsRemoved 0$"
    tells '-vv shows a Delay_Req that is sent' 'to 10\.77\.0\.2: Delay_Req .*-32776, sequenceId'
    tells '-vvv shows the bytes of a message' "44 bytes: 1002002c0000060[0-9a-f]*$identity"
    in_there "$sender" --to 10.77.0.1 --mode junk --count 200 --rate 1000
    tells '-vv shows that a datagram is no message' 'from 10\.77\.0\.2: a datagram; dropped: '
    check_not 'the log of junk is printable' grep -q '[^ -~]' "$tmp/log"
    stop_senders
    stop_daemon

    start_daemon -v
    start_sender --to 10.77.0.1 --from 10.77.0.2 --rate 16
    tells '-v shows decisions' "qualified to be master: clock $identity at 10\.77\.0\.2"
    check_not '-v shows no message' logged ': \(Sync\|Follow_Up\|Announce\) [0-9a-f]\{16\}-'
}

# --- the service manager ----------------------------------------------------------------------------

# Succeeds if strace can show what the service manager is told.
can_show() { # NAME
    if ! has strace || ! strace -o /dev/null true 2>/dev/null; then
        skip "$1" 'no strace that works here; it is in Debian package strace'
        return 1
    fi
    if ! ldd "$nqptp" | grep -q libsystemd; then
        skip "$1" 'built without libsystemd'
        return 1
    fi
}

told() { # PATTERN
    grep -q -e "STATUS=$1" "$tmp/calls"
}

is_told() { # NAME PATTERN
    check "$1" eventually 15 told "$2"
}

service_manager() {
    can_show 'the service manager is told' || return
    is_root || set -- --user=root --group=root
    started=$(cut -d . -f 1 /proc/uptime)
    NOTIFY_SOCKET="$tmp/nobody" WATCHDOG_USEC=4000000 strace -f -e trace=sendmsg -s 300 \
        -o "$tmp/calls" "$nqptp" "$@" 2>"$tmp/log" &
    traced=$!
    eventually 10 answers || not_ok 'the daemon starts'
    is_told 'systemd: it is told that the daemon is ready' 'listening, nothing heard yet"'
    start_sender --to 10.77.0.1 --from 10.77.0.2 --skew 12 --rate 16
    is_told 'systemd: it is told the master' "master $identity at 10\.77\.0\.2, [+-][0-9.]* ppm, [0-9]* us, 1 clock\""
    control 'T 10.99.0.9' # It has no entry in the neighbour table, so no clock stands in for it.
    is_told 'systemd: it is told that there is no master' 'no master, 1 clock"'
    control 'T 10.77.0.2'
    sleep 3 # small changes of the rate are no news
    stop_senders
    is_told 'systemd: it is told that the master is lost' "master $identity at 10\.77\.0\.2, lost, 1 clock\""
    control '/nqptp B' # an event that changes nothing of it
    sleep 1.5 # the status may be sent again only if it changed
    control '/nqptp E'
    sleep 1.5 # as above
    is 'systemd: no line comes twice in a row' "$(grep -o 'STATUS=.*' "$tmp/calls" | sed 's/".*//' | uniq -d)" ''
    took=$(($(cut -d . -f 1 /proc/uptime) - started))
    check 'systemd: few lines come' test "$(grep -c STATUS= "$tmp/calls")" -le $((8 + took / 10))
    grep -o 'STATUS=[^"]*' "$tmp/calls" | sed 's/^/# /'
    alive=$(grep -c 'WATCHDOG=1' "$tmp/calls")
    check "systemd: with a watchdog of 4 s it is told about each 2 s that the daemon is alive: $alive times in $took s" \
        test "$alive" -ge $((took / 3)) -a "$alive" -le $((took / 2 + 2))
    kill "$(pgrep -P $traced)"
    wait $traced
    check 'systemd: it is told that the daemon stops' grep -q 'STOPPING=1' "$tmp/calls"
}

told_to_wait() {
    grep -q 'EXTEND_TIMEOUT_USEC=120000000.nSTATUS=UDP port 319 is in use: .*; waiting for the port"' \
        "$tmp/waiting"
}

# strace -D leaves the daemon the pid that was traced from, so it is the unit's own process.
service_waits() {
    can_show 'the service manager is told of a busy port' || return
    is_root || set -- --user=root --group=root
    start_daemon
    # shellcheck disable=SC2016
    NOTIFY_SOCKET="$tmp/nobody" sh -c 'SYSTEMD_EXEC_PID=$$ exec strace -D -e trace=sendmsg -s 600 -o "$@"' \
        sh "$tmp/waiting" "$nqptp" "$@" 2>/dev/null &
    waiting=$!
    check 'systemd: it is told that the daemon waits for a port, and to allow the time for it' \
        eventually 5 told_to_wait
    kill $waiting
    wait $waiting
    stop_daemon
}

in_parallel story many_lists every_message service_manager service_waits
done_testing
