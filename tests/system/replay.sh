#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that a capture, as it comes with a bug report, can be replayed: that the recordings beside
# this give the masters, steps, sleep and accuracy that they should, in both formats; and that a
# file that is cut off, damaged or no capture is refused with its name. It needs no namespaces.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
work=$(mktemp -d) || skip_all 'no room for a temporary directory'
trap 'rm -rf "$work"' EXIT
replay=$build/tests/tools/replay
recordings=$top/tests/recordings

# Leaves what it prints in $work/out, its complaints in $work/err, its exit status in $status.
replays() { # OPTION... FILE
    status=0
    "$replay" "$@" >"$work/out" 2>"$work/err" || status=$?
}

says() { # NAME PATTERN
    check "$1" grep -q -e "$2" "$work/out" || sed 's/^/# /' "$work/out" | grep ' \* '
}

# The min and max error in microseconds after that time.
errors() { # SECONDS
    awk -v from="$1" 'NF > 3 && $(NF - 2) == "error" && $1 > from {
            us = $(NF - 1) / 1000
            if (n++ == 0 || us < min) min = us
            if (n == 1 || us > max) max = us
        } END { if (n) printf "%d %d\n", min, max }' "$work/out"
}

check_errors() { # NAME SECONDS MIN MAX
    errors=$(errors "$2")
    check "$1" test "${errors:+known}" = known -a "${errors% *}" -ge "$3" -a "${errors#* }" -le "$4"
    echo "# errors of $errors us"
}

lines() { # PATTERN
    grep -c -e "$1" "$work/out"
}

# --- wired: pcap, nanoseconds, two masters ---

replays --truth "$recordings/wired.truth" "$recordings/wired.pcap"
is 'wired: the capture is read to its end' "$status $(cat "$work/err")" '0 '
says 'wired: the first clock is master' 'master is now 000000000000000b at 10\.77\.0\.3, the only candidate$'
says 'wired: the better clock is master after its second Announce' \
    "^4\.00.* master is now $identity at 10\.77\.0\.2, by priority1: 248 before 250$"
is 'wired: there are two masters in all' "$(lines 'master is now')" 2
is 'wired: no clock steps or stops' "$(lines ' is lost\| is back\| has stepped')" 0
check_errors 'wired: the error is the min delay of 200 us' 10 -350 -150
says 'wired: packets are counted' '^442 packets in 22\.876 s: 442 received, 0 sent'
wired=$(lines "  master $identity")

replays --list 10.77.0.3 "$recordings/wired.pcap"
is 'a list of one: there is one master' "$(lines 'master is now')" 1
says 'a list of one: its clock is master' 'master is now 000000000000000b at 10\.77\.0\.3'
replays --list 10.77.0.3,10.77.0.2 "$recordings/wired.pcap"
is 'a list of two: both clocks become master in turn' "$(lines 'master is now')" 2

replays --csv "$recordings/wired.pcap"
is 'wired: CSV has all publications and nothing else' "$(awk -F , 'NF == 8' "$work/out" | wc -l)" \
    "$(grep -c '' "$work/out")"
is 'wired: CSV has as many publications of the first clock' "$(lines "$identity")" "$wired"
replays --verbose "$recordings/wired.pcap"
is 'every message can be shown' "$(lines '  from 10\.77\.0\.[23]: \(Sync\|Follow_Up\|Announce\) .*; used$')" 442

# --- wifi: pcapng, any interface, with the traffic of a player and a daemon ---

replays --truth "$recordings/wifi.truth" "$recordings/wifi.pcapng"
is 'wifi: the capture is read to its end' "$status $(cat "$work/err")" '0 '
is 'the log has one master' "$(lines "master is now $identity at 10\.77\.0\.2,")" 1
is 'wired: all publications are of one series' "$(lines 'since 0\.000000')" "$(lines "  master $identity")"
says "a command that was captured is obeyed" '/nqptp: the list is now 1 address: 10\.77\.0\.2$'
says 'wifi: packets of the host itself are not taken for a clock' '425 received, 192 sent by this machine, 1 comm'
says 'the status has one clock' '^Clocks: *1 of 32$'
check_errors 'the error is the min delay, of 1200 us and a little' 10 -1800 -1100

# --- a clock that sleeps: pcap, microseconds ---

replays --truth "$recordings/asleep.truth" "$recordings/asleep.pcap"
is 'asleep: the capture is read to its end' "$status $(cat "$work/err")" '0 '
says 'asleep: the clock is found asleep' "^1[01]\..* master $identity .* is lost: its time has not moved for 3\.0 s"
says 'asleep: the clock is back with its step' "^16\..* master $identity .* is back after 8\.0 s, its time moved by -8\.000 s$"
is 'nothing is published while the clock stands still' "$(awk '$2 $3 == "/nqptpmaster" && $1 > 8.2 && $1 < 15.9' "$work/out" | wc -l)" 0
says 'asleep: a new series begins' '^23\..* since 1[56]\.'
check_errors 'asleep: the error is the min delay again' 20 -400 -150

# --- a host that stood still for 60 s while packets waited ---

replays --truth "$recordings/stood-still.truth" "$recordings/stood-still.pcap"
is 'stood still: the capture is read to its end' "$status $(cat "$work/err")" '0 '
check_errors 'stood still: nothing of the backlog is published, and the next sample is right' 5 -350 -150
says 'stood still: the time of the first right sample' '^10\.12.*  master '
says 'stood still: the step is told' '^10\.1.* has stepped, its time moved by +60\.000 s$'
is 'stood still: there is one new series' "$(sed -n 's/.* since \([0-9.]*\) .*/\1/p' "$work/out" | uniq | wc -l)" 2
says 'stood still: the new series began as the host woke up' '^24\..* since \(9\.99\|10\.\)'

# --- nothing heard ---

head -c 24 "$recordings/wired.pcap" >"$work/silent"
replays "$work/silent"
is 'a capture without packets is read to its end' "$status $(cat "$work/err")" '0 '
says 'a capture without packets: the hint names the ports' 'nothing was heard on UDP ports 319 and 320'

# --- files that are cut off, damaged or none ---

fails() { # NAME FILE PATTERN
    replays "$2"
    is "$1: exit status 1" "$status" 1
    check "$1: the message says why" grep -q "^replay: .*$3" "$work/err"
    sed 's/^/# /' "$work/err"
}

for file in wired.pcap wifi.pcapng; do
    head -c 30001 "$recordings/$file" >"$work/$file"
    fails "$file, cut off" "$work/$file" 'after [1-9][0-9]* packets: the file is cut off'
    check "$file, cut off: the part before the cut is replayed" test "$(lines '  master ')" -gt 50
    { head -c 20000 "$recordings/$file"; head -c 3000 /dev/zero | tr '\0' '\377'; } >"$work/$file"
    fails "$file, damaged" "$work/$file" 'after [1-9][0-9]* packets: '
done
echo 'This is a text, and no capture of anything.' >"$work/text"
fails 'a text' "$work/text" 'neither pcap nor pcapng'
: >"$work/empty"
fails 'an empty file' "$work/empty" 'too short'
fails 'no file' "$work/none" 'No such file'
replays
is 'replay without a file: exit status 2' "$status" 2

done_testing
