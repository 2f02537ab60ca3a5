#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that the offset is right however a master gives its time: in one step or two, in part in
# the correctionFields, with packets lost, late, repeated or out of order, at any rate, running
# fast or slow, and while its time wraps at 2^64.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter

now=$("$reader" --now)
offset=$((788996500000000 - now))

# The error that the median of the reads may have.
follow() { # NAME BOUND-NS SKEW-PPM SENDER-OPTION...
    what=$1 bound=$2 skew=$3
    shift 3
    start_daemon
    start_sender --to 10.77.0.1 --offset "$offset" --skew "$skew" "$@"
    check "$what" measure --expect-id "$identity" --expect-ip 10.77.0.2 --raw-truth "$offset" \
        --skew "$skew" --within "$bound"
    sed 's/^/# /' "$tmp/said"
    stop_senders
    stop_daemon
}

one_step() {
    follow 'one step' 100000 0 --one-step
    follow 'one step, corrected by 1.5 ms' 100000 0 --one-step --correction 1498500
}

two_steps() {
    follow 'two steps, both corrected, 1.5 ms in all' 100000 0 --correction 1498500
    follow 'two steps, both corrected, -7 s in all' 100000 0 --correction -7000000001
    follow 'each Follow_Up before its Sync' 100000 0 --reorder
}

repeated_and_lost() {
    follow 'every packet twice' 100000 0 --duplicate
    follow 'four Syncs in ten lost, their Follow_Ups not' 100000 0 --lose-sync-percent 40 --seed 7
}

rates() {
    follow 'two Syncs a second' 100000 0 --rate 2
    follow '64 Syncs a second' 100000 0 --rate 64
    follow 'a master 20 ppm fast' 100000 20
    follow 'a master 20 ppm slow' 100000 -20
}

delays() {
    follow 'a wired network of 200 us and more' 600000 0 --delay wired --rate 32 --seed 3
    follow 'a wireless network of 1.2 to 35 ms' 4500000 0 --delay wifi --rate 32 --duplicate --seed 5
}

# The time that counts is when the kernel received a packet, not when the daemon read it.
packets_wait() {
    start_daemon
    kill -s STOP "$daemon"
    in_there "$sender" --to 10.77.0.1 --offset 5 --seconds 0.5
    sleep 0.5 # the packets wait in the kernel meanwhile
    kill -s CONT "$daemon"
    check 'the offset is right after packets waited to be read' measure --expect-id "$identity" --raw-truth 5 --within 100000
    sed 's/^/# /' "$tmp/said"
}

# Three seconds from now this master's time will be 0; every single read counts.
time_wraps() {
    zero=$(($("$reader" --now) + 3000000000))
    start_daemon
    start_sender --to 10.77.0.1 --offset "-$zero"
    check 'the time of the master wraps' "$reader" --wait-master 10 --expect-id "$identity" \
        --raw-truth "-$zero" --within 20000000 --interval 0.1 --count 50 --quiet
    sed 's/^/# /' "$tmp/said"
    check "the master's time has wrapped" test "$("$reader" --now)" -gt "$zero"
}

in_parallel one_step two_steps repeated_and_lost rates delays packets_wait time_wraps
done_testing
