#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that the log tells the story of a session in a few lines, and why each master won; that a
# clock which keeps changing its mind cannot fill it; that -vv and -vvv show each message and its
# bytes; and what the service manager is told, and how seldom.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter 150

logged() { # PATTERN
    grep -q -e "$1" "$tmp/log"
}

tells() { # NAME PATTERN
    check "$1" eventually 15 logged "$2"
}

# --- the story -----------------------------------------------------------------------------------

start_daemon
tells 'it says what it is and serves' 'version .* serves /nqptp in layout 4.* ports 319, 320 and 9000'
control '/nqptp T 10.77.0.2 10.77.0.3'
tells 'what a client asks for' '/nqptp: only clocks at 2 addresses .*: 10\.77\.0\.2 10\.77\.0\.3$'
start_sender --to 10.77.0.1 --from 10.77.0.3 --identity 0b --rate 16
second=$last_sender
tells 'the first master' '/nqptp: master is now 000000000000000b at 10\.77\.0\.3, the only candidate$'
start_sender --to 10.77.0.1 --from 10.77.0.2 --identity 0a --rate 16 --offset 5000000000
first=$last_sender
tells 'why another one wins' 'master is now 000000000000000a at 10\.77\.0\.2, the first in the list$'
kill "$first"
tells 'that it falls silent' 'master 000000000000000a .* is lost: no usable sample for 3\.[0-9] s$'
tells 'and who follows' \
    'master is now 000000000000000b at 10\.77\.0\.3, because the one before is silent$'
kill -STOP "$second"
tells 'that there is nobody to follow' 'master 000000000000000b .* is lost: no usable sample for 3\.[0-9] s; its last values stay$'
kill -CONT "$second"
tells 'that it is back' 'master 000000000000000b .* is back after [0-9.]* s'
control '/nqptp T'
tells 'the end' '/nqptp: no clock may be master now$'
sleep 0.5
lines=$(grep -vc warning "$tmp/log")
check 'in a dozen lines, besides warnings of the start' test "$lines" -ge 9 -a "$lines" -le 12
sed 's/^/# /' "$tmp/log"
stop_senders
stop_daemon

# --- a clock that keeps changing its mind -----------------------------------------------------------

start_daemon
start_sender --to 10.77.0.1 --from 10.77.0.2 --identity 0a --rate 100
check 'a master is followed' "$reader" --wait-master 10 --expect-id 0a
for i in $(seq 20); do
    control "/nqptp T 10.77.0.$((i % 2 * 90 + 2))"
done
lines=$(grep -c '/nqptp: only clocks at' "$tmp/log")
is 'of twenty lists in a moment ten are told' "$lines" 10
stop_senders
stop_daemon

# --- every message ----------------------------------------------------------------------------------

start_daemon -vvv
control 'T 10.77.0.2'
start_sender --low-ports --to 10.77.0.1 --from 10.77.0.2 --rate 16
tells '-vv shows a Sync' "from 10\.77\.0\.2: Sync $identity-32776, sequenceId [0-9]*, flags 0608,"
tells 'a Follow_Up with its time' 'Follow_Up .*, origin [0-9]*\.[0-9]\{9\} s$'
tells 'an Announce' "Announce .*, grandmaster $identity, priority1 248, .*, stepsRemoved 0$"
tells 'what is sent' 'to 10\.77\.0\.2: Delay_Req .*-32776, sequenceId'
tells '-vvv shows their bytes' "44 bytes: 1002002c0000060[0-9a-f]*$identity"
in_there "$sender" --to 10.77.0.1 --mode junk --count 200 --rate 1000
tells 'what is no message is not shown as one' 'from 10\.77\.0\.2: a datagram; dropped: '
check_not 'no byte of the network gets into the log as it is' grep -q '[^ -~]' "$tmp/log"
stop_senders
stop_daemon

start_daemon -v
start_sender --to 10.77.0.1 --from 10.77.0.2 --rate 16
tells '-v shows decisions' "qualified to be master: clock $identity at 10\.77\.0\.2"
check_not 'and no message' logged ': \(Sync\|Follow_Up\|Announce\) [0-9a-f]\{16\}-'
stop_senders
stop_daemon

# --- the service manager ----------------------------------------------------------------------------

if ! has strace || ! strace -o /dev/null true 2>/dev/null; then
    skip 'the service manager is told' 'no strace that works here; it is in Debian package strace'
    done_testing
    exit
fi
if ! ldd "$nqptp" | grep -q libsystemd; then
    skip 'the service manager is told' 'built without libsystemd'
    done_testing
    exit
fi

told() { # PATTERN
    grep -q -e "STATUS=$1" "$tmp/calls"
}

is_told() { # NAME PATTERN
    check "$1" eventually 15 told "$2"
}

is_root || set -- --user=root --group=root
NOTIFY_SOCKET="$tmp/nobody" strace -f -e trace=sendmsg -s 300 -o "$tmp/calls" "$nqptp" "$@" \
    2>"$tmp/log" &
eventually 10 answers || not_ok 'the daemon starts'
is_told 'the service manager is told that it is ready' 'listening, nothing heard yet"'
start_sender --to 10.77.0.1 --from 10.77.0.2 --skew 12 --rate 16
is_told 'the master' "master $identity at 10\.77\.0\.2, [+-][0-9.]* ppm, [0-9]* us, 1 clock\""
control 'T 10.77.0.3'
is_told 'that there is none' 'no master, 1 clock"'
control 'T 10.77.0.2'
sleep 5
stop_senders
is_told 'that it is lost' "master $identity at 10\.77\.0\.2, lost, 1 clock\""
control '/nqptp B' # an event that changes nothing of it
sleep 1.5
control '/nqptp E'
sleep 1.5
is 'and nothing twice' "$(grep -o 'STATUS=.*' "$tmp/calls" | sed 's/".*//' | uniq -d)" ''
check 'in few words' test "$(grep -c STATUS= "$tmp/calls")" -le 8
grep -o 'STATUS=[^"]*' "$tmp/calls" | sed 's/^/# /'

done_testing
