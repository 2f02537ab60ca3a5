#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Floods from 10,000 addresses, as fast as one processor can send them: the listed master stays
# master and right, the daemon does not grow, and the kernel drops packets that the daemon cannot use.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
need awk mawk
enter 120

flood=$build/tests/tools/flood

received() {
    answers
    awk '/^Packets:/ { print $2 + $4 }' "$tmp/status"
}

received_at_least() { # COUNT
    test "$(received)" -ge "$1"
}

memory() {
    awk '$1 == "VmData:" || $1 == "VmStk:" { printf "%s ", $2 }' "/proc/$daemon/status"
}

processor_ms() {
    awk '{ printf "%d", $1 / 1000000 }' "/proc/$daemon/schedstat"
}

# How many datagrams found no room in a buffer, or did not pass a filter.
dropped_by_kernel() {
    awk '$1 == "Udp:" && $4 ~ /^[0-9]+$/ { print $4 }' /proc/net/snmp
}

error_below() { # NANOSECONDS
    measure --within "$1" --raw-truth "$offset"
}

is_master() {
    answers && grep -q "^Master: *$identity at 10.77.0.2" "$tmp/status"
}

flood_with() { # KIND
    in_there "$flood" 10.77.0.1 3 "$1" >"$tmp/sent" &
    flooding=$!
    sleep 0.5 # the check below takes 1 s, in the middle of a flood of 3 s
    check "$1: the offset of the listed master is right in the middle of the flood" error_below 100000
    wait $flooding
    check "$1: more than 20000 packets were sent" test "$(cat "$tmp/sent")" -gt 20000
    echo "# of $(cat "$tmp/sent") datagrams"
    check "$1: the listed master was not displaced" is_master
}

ip route add 10.99.0.0/16 dev here
in_there ip route add local 10.99.0.0/16 dev lo
start_daemon
control 'T 10.77.0.2'
offset=$((788996500000000 - $("$reader" --now)))

# --- a burst --------------------------------------------------------------------------------------

before=$(received)
dropped=$(dropped_by_kernel)
kill -s STOP "$daemon"
in_there "$flood" 10.77.0.1 5 sync 512 >/dev/null
kill -s CONT "$daemon"
check 'a burst of 512 is received' eventually 5 received_at_least $((before + 512))
is 'a burst of 512: the kernel drops no datagram' "$(dropped_by_kernel)" "$dropped"

# --- floods ---------------------------------------------------------------------------------------

start_sender --low-ports --to 10.77.0.1 --offset "$offset"
check 'the listed clock finds room in a full table' eventually 10 is_master
check 'the listed clock is followed in the flood' error_below 100000
memory=$(memory)
before=$(processor_ms) dropped=$(dropped_by_kernel)
flood_with junk
spent=$(($(processor_ms) - before)) dropped=$(($(dropped_by_kernel) - dropped))
check 'junk is dropped by the kernel, for next to no time of ours' \
    test "$dropped" -gt 10000 -a "$spent" -lt 300
flood_with sync
flood_with announce
flood_with delay-resp
flood_with mixed
check 'after the flood the error is as small as before' error_below 100000
is 'the flood does not make the memory of the daemon grow' "$(memory)" "$memory"
echo "# $dropped dropped, $spent ms spent"
lines=$(wc -l <"$tmp/log")
check 'after the flood the log has few lines' test "$lines" -lt 20

# The filter goes 10 s after the last batch that was full.
all_pass() {
    dropped=$(dropped_by_kernel)
    in_there "$flood" 10.77.0.1 1 delay-resp 64 >/dev/null
    test "$(dropped_by_kernel)" = "$dropped"
}
check 'soon after the flood the kernel filters nothing' eventually 20 all_pass
check 'the daemon is alive' alive

done_testing
