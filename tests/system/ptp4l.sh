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

# Without asCapable and with follow_up_info it would send nothing, and say nothing.
start_ptp4l() { # TRANSPORT
    cat >"$tmp/ptp4l.conf" <<END
[global]
network_transport $1
delay_mechanism E2E
transportSpecific 0x1
time_stamping software
twoStepFlag 1
follow_up_info 1
asCapable true
path_trace_enabled 1
masterOnly 1
free_running 1
priority1 248
priority2 248
clockClass 248
clockAccuracy 0xFE
offsetScaledLogVariance 0x436A
logAnnounceInterval -2
logSyncInterval -3
announceReceiptTimeout 2
udp6_scope 0x0E
END
    nsenter -t "$there" -n ptp4l -i there -f "$tmp/ptp4l.conf" -m >"$tmp/ptp4l.log" 2>&1 &
    ptp4l=$!
}

# The identity is made of the interface's MAC address.
follow() { # NAME TRANSPORT MASTER-ADDRESS
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

# Lets what ptp4l sends to the group go to this host alone.
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
unicast() { # NAME TRANSPORT MASTER-ADDRESS FAMILY GROUP ADDRESS
    if ! has nft; then
        skip "$1" 'no nft here; it is in Debian package nftables'
    elif ! to_unicast "$4" "$5" "$6" 2>"$tmp/said"; then
        skip "$1" "no address translation in this kernel: $(head -n 1 "$tmp/said")"
    else
        follow "$1" "$2" "$3"
        in_there nft list ruleset >"$tmp/rules"
        check 'it was unicast indeed' grep -q 'counter packets [1-9]' "$tmp/rules"
        in_there nft flush ruleset
    fi
}

follow 'IPv4 multicast' UDPv4 10.77.0.2
unicast 'IPv4 unicast' UDPv4 10.77.0.2 ip 224.0.1.129 10.77.0.1
if test "$ipv6" = yes; then
    follow 'IPv6 multicast' UDPv6 fd77::2
    unicast 'IPv6 unicast' UDPv6 fd77::2 ip6 ff0e::181 fd77::1
else
    skip 'IPv6 multicast' 'no IPv6 here'
    skip 'IPv6 unicast' 'no IPv6 here'
fi

done_testing
