#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that a player is right soon after this machine stood still: after a suspend to memory with a
# sender that slept too, and with one outside that went on; and after the machine was stopped from
# outside, while packets waited for it. It runs only in a machine of machine.sh.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
# shellcheck source=tests/vm/series.sh
. "$top/tests/vm/series.sh"
[ "${NQPTP_MACHINE:-}" = yes ] || skip_all 'it suspends the machine: run it by make check-vm'
[ -d /sys/class/net/eth0 ] || skip_all 'no network card'
# The machine is private, so no namespace is needed, and in one there would be no eth0.
NQPTP_TEST_INSIDE=root
tmp=$(mktemp -d)
work=$tmp
make_network || skip_all 'cannot make two hosts'
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
rtc=/sys/class/rtc/rtc0

# Prints what the player reads: the sender's time less CLOCK_MONOTONIC_RAW, in ns.
offset() {
    "$reader" --count 1 --fresh 2 --raw-truth 0 2>/dev/null | sed -n 's/.*, error \(-*[0-9]*\) ns$/\1/p'
}

differ_by_ms() { # OFFSET OFFSET
    echo "$1 $2" | awk '{ d = ($1 - $2) / 1e6; printf "%d", d < 0 ? -d : d }'
}

suspend() { # SECONDS
    echo 0 >$rtc/wakealarm
    echo "+$1" >$rtc/wakealarm
    echo mem >/sys/power/state
}

# The clock on the mainboard goes on while the machine is stopped: it jumps when the machine goes on.
be_stopped() { # SECONDS
    before=$(cat $rtc/since_epoch)
    echo "host: stop $1"
    while now=$(cat $rtc/since_epoch); [ $((now - before)) -lt 3 ]; do
        before=$now
        sleep 0.02
    done
}

# 0.5 s and two Sync intervals after waking. What is right is known 8 s later: by then no packet that
# waited counts any more. The two machines' clocks drift apart by 0.2 ms meanwhile, and the emulator
# takes its time to hand over what waited.
check_waking() { # WHAT RATE BOUND-MS COMMAND...
    what=$1 rate=$2 bound_ms=$3
    shift 3
    settled=$(offset)
    "$@"
    woke=$("$reader" --now)
    sleep "$(awk "BEGIN { print 0.5 + 2 / $rate }")"
    woken=$(offset)
    sleep 8
    later=$(offset)
    echo "# offset before $settled, after waking $woken, 8 s later $later ns"
    check "$what: the sender has another offset" [ "$(differ_by_ms "$settled" "$later")" -gt 1000 ]
    check "$what: the record is right at once" [ "$(differ_by_ms "$woken" "$later")" -le "$bound_ms" ]
    check "$what: a new series began" [ $(($(series_began) - woke / 1000000000)) -le 2 ]
}

follow() { # ADDRESS
    start_daemon --smi=4
    control "/nqptp T $1"
    control '/nqptp B'
    check "$what: there is a master" "$reader" --count 1 --wait-master 20 --fresh 1
    sleep 3 # to settle
}

# --- a sender that sleeps too ---

what='suspended with the sender'
start_sender --to 10.77.0.1 --offset 5000000000
follow 10.77.0.2
check "$what: the machine was suspended" suspend 3
check "$what: the record is right at once" "$reader" --settle 0.5 --count 16 --interval 0.02 --quiet --fresh 1 \
    --raw-truth 5000000000 --within 500000
stop_senders
stop_daemon

# --- a sender that goes on ---

what='suspended, the sender goes on'
echo 'host: send --to 127.0.0.1 --rate 8 --offset 0'
follow 10.0.2.2
check_waking "$what" 8 5 suspend 10

# A busy machine hands over more Syncs than these so slowly that they are no burst.
for rate in 8 32; do
    what="stopped while packets wait, $rate Syncs a second"
    echo "host: send --to 127.0.0.1 --rate $rate --offset 0"
    sleep 3
    check_waking "$what" "$rate" 20 be_stopped 10
done
stop_daemon
echo 'host: send --to 127.0.0.1 --seconds 0.01'
kill "$there"
ip addr flush dev eth0
done_testing
