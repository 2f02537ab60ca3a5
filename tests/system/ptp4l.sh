#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves the same as follow.sh with a witness that is not ours: linuxptp's ptp4l as master,
# set to send what AirPlay senders send. Its time is CLOCK_REALTIME, so the true offset is 0.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
need ptp4l linuxptp
enter

mount -t tmpfs tmpfs /run || skip_all 'cannot mount a private /run' # for its sockets
ptp4l=''

start_ptp4l() { # -4 OR -6
    nsenter -t "$there" -n ptp4l "$1" -i there -f "$top/tests/lib/ptp4l.conf" -m \
        >"$tmp/ptp4l.log" 2>&1 &
    ptp4l=$!
}

# The identity is made of the interface's MAC address.
follow() { # NAME -4-OR-6 MASTER-ADDRESS
    start_daemon
    start_ptp4l "$2"
    if check "$1: offset, identity and address" measure --expect-id 027700fffe000002 \
        --expect-ip "$3" --realtime-truth 0 --within 100000; then
        sed 's/^/# /' "$tmp/said"
    else
        sed 's/^/# ptp4l: /' "$tmp/ptp4l.log"
    fi
    kill "$ptp4l"
    wait "$ptp4l" 2>/dev/null
    stop_daemon
}

# Translates the group to this machine's address, so that ptp4l's multicast arrives as unicast.
to_unicast() { # FAMILY GROUP ADDRESS
    in_there nft -f - <<END
table $1 n {
    chain out {
        type nat hook output priority -100
        $1 daddr $2 udp dport { 319, 320 } counter dnat to $3
    }
}
END
}

# Multicast, or unicast by way of address translation.
unicast() { # NAME -4-OR-6 MASTER-ADDRESS FAMILY GROUP ADDRESS
    if ! has nft; then
        skip "$1" 'no nft here; it is in Debian package nftables'
    elif ! to_unicast "$4" "$5" "$6" 2>"$tmp/said"; then
        skip "$1" "no address translation in this kernel: $(head -n 1 "$tmp/said")"
    else
        follow "$1" "$2" "$3"
        in_there nft list ruleset >"$tmp/rules"
        check "$1: the packets were translated to unicast" grep -q 'counter packets [1-9]' "$tmp/rules"
        in_there nft flush ruleset
    fi
}

follow 'IPv4 multicast' -4 10.77.0.2
unicast 'IPv4 unicast' -4 10.77.0.2 ip 224.0.1.129 10.77.0.1
if test "$ipv6" = yes; then
    follow 'IPv6 multicast' -6 fd77::2
    unicast 'IPv6 unicast' -6 fd77::2 ip6 ff0e::181 fd77::1
else
    skip 'IPv6 multicast' 'no IPv6 here'
    skip 'IPv6 unicast' 'no IPv6 here'
fi

done_testing
