#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that a sender is followed whose control connection has one address family and whose PTP
# has the other: the player lists an address that never sends, and the kernel's neighbour table says
# which other address the same host has. A third host on the same link is not followed.

# shellcheck source=tests/lib/netns.sh disable=SC2119,SC2317
. "${srcdir:-.}/tests/lib/netns.sh"
enter
test "$ipv6" = yes || skip_all 'no IPv6 here'

# A third host on the link, with a link-layer address of its own.
unshare -n sleep infinity &
third=$!
third_is_there() {
    test "$(readlink "/proc/$third/ns/net")" != "$(readlink /proc/self/ns/net)" &&
        in_there ip link add link there name third address 02:77:00:00:00:09 netns "$third" \
            type macvlan mode bridge
}
eventually 5 third_is_there || skip_all 'no macvlan here'
nsenter -t "$third" -n ip addr add 10.77.0.9/24 dev third
nsenter -t "$third" -n ip link set third up

# Succeeds if the clock at this address is known, and is master or not.
has_clock() { # ADDRESS MASTER
    "$nqptp" --status --json 2>/dev/null | tr -d ' \n' |
        grep -q "\"address\":\"$1\",\"interface\":\"here\",\"master\":$2"
}

# The sender serves only receivers that it hears, and hears us at the address that it serves.
check_family() { # LISTED OTHER SERVED
    start_daemon -v
    start_sender --low-ports --serve-muted 3 --from "$2" --to "$3" --offset 5000
    check "T $1: the same host sends from $2, and a player follows it" \
        "$player" --play "$1" --wait 10 --watch 8 --ids "$identity" --fresh 3 --raw-truth 5000 \
            --within 20000000
    check "T $1: the log says why" grep -q "$2, another address of the host of $1" "$tmp/log"
}

# --- a third host, under the identity of the sender ---

third_host() {
    start_daemon -v
    control '/nqptp T fd77::2'
    control '/nqptp B'
    nsenter -t "$third" -n "$sender" --to 10.77.0.1 --from 10.77.0.9 --offset 7000000000000 \
        --priority1 1 >"$tmp/sender" 2>&1 &
    senders=$!
    check 'a third host is heard' eventually 5 has_clock 10.77.0.9 false
    eventually 5 sh -c 'ip neigh | grep -q "^10.77.0.9 .*02:77:00:00:00:09"' ||
        not_ok 'the kernel knows the third host'
    uses_more 51 # three Announces are among them
    check 'a third host is not followed' has_clock 10.77.0.9 false
    start_sender --to 10.77.0.1 --from 10.77.0.2 --offset 5000
    check 'beside a third host the same host is followed' eventually 6 has_clock 10.77.0.2 true
    start_sender --to fd77::1 --from fd77::2 --offset 5000
    check 'when the listed address sends, it becomes master' eventually 6 has_clock fd77::2 true
}

in_parallel 'check_family fd77::2 10.77.0.2 10.77.0.1' 'check_family 10.77.0.2 fd77::2 fd77::1' third_host
done_testing
