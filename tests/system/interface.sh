#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that with -i the daemon listens, joins groups and answers on that interface or address and
# on no other, and keeps no more rights than it needs for that.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter
# shellcheck source=tests/lib/second-network.sh
. "$top/tests/lib/second-network.sh"

# --- listening and answering ---

# The clock at -i is followed and answered from there; the better one elsewhere is not heard.
limited() { # NAME -i-ARGUMENT TO MASTER OWN-ADDRESS TO-ELSEWHERE
    case $3 in *:*) needs_ipv6 "$1" || return ;; esac
    start_daemon -i "$2"
    start_sender --to "$6" --identity $other --priority1 1
    start_sender --to "$3" --from "$4" --low-ports --verbose --offset 77
    control "T ${4%\%*} 10.77.0.2 10.78.0.2 fd77::2 fd78::2 fe80::2"
    check "$1: the clock is followed" measure --expect-id $identity --expect-ip "${4%\%*}" \
        --raw-truth 77 --within 100000
    check "$1: the clock is answered from there" eventually 5 answered_from "$5"
    check "$1: no other clock is heard" hears_only $identity
    stop_senders
    stop_daemon
}

limited_to_ipv4_address() {
    limited '-i IPv4' 10.77.0.1 10.77.0.1 10.77.0.2 10.77.0.1 10.77.0.11
    limited '-i IPv4, the second address' 10.77.0.11 10.77.0.11 10.77.0.2 10.77.0.11 10.77.0.1
    limited '-i address, no multicast' 10.77.0.1 10.77.0.1 10.77.0.2 10.77.0.1 224.0.1.129
}

limited_to_ipv6_address() {
    limited '-i IPv6' fd77::1 fd77::1 fd77::2 fd77::1 fd77::11
    limited '-i link-local' fe80::1%here fe80::1%there fe80::2%there fe80::1 fd77::1
}

limited_to_interface() {
    limited '-i NAME, IPv4' here 10.77.0.1 10.77.0.2 10.77.0.1 10.78.0.1
    limited '-i NAME, IPv6' here fd77::1 fd77::2 fd77::1 fd78::1
    limited '-i NAME, link-local' here fe80::1%there fe80::2%there fe80::1 10.78.0.1
}

# The same for groups, by interface.
joined() { # NAME GROUP FROM FROM-ELSEWHERE
    case $2 in *:*) needs_ipv6 "$1" || return ;; esac
    start_daemon -i here
    start_sender --to "$2" --interface edge --from "$4" --identity $other --priority1 1
    start_sender --to "$2" --interface there --from "$3"
    check "$1: the clock is heard" "$reader" --wait-master 10 --expect-id $identity --count 1 --quiet
    check "$1: nothing from the other interface is heard" hears_only $identity
    stop_senders
    stop_daemon
}

memberships() { # INTERFACE
    cat /proc/net/igmp /proc/net/igmp6 | awk -v name="$1" '
        $2 == name && NF > 4 { print tolower($3) }  # IPv6
        /^[0-9]/ && $3 == ":" { current = $2 }
        /^\t/ && current == name { print $1 }' | grep -ci -e 810100e0 -e 0000000000000181
}

joins_groups() {
    joined '-i NAME, a group of IPv4' 224.0.1.129 10.77.0.2 10.78.0.2
    joined '-i NAME, a group of IPv6' ff0e::181 fd77::2 fd78::2
    start_daemon -i here
    is '-i NAME joins the groups on that interface' "$(memberships here)" "$(test "$ipv6" = yes && echo 3 || echo 1)"
    is '-i NAME joins no group on another interface' "$(memberships side)" 0
    stop_daemon
    start_daemon -i 10.77.0.1 -i 10.78.0.1
    is '-i ADDRESS joins no group' "$(memberships here),$(memberships side)" 0,0
    start_sender --to 10.78.0.1 --offset 1
    check 'two addresses by -i: the first one is heard' "$reader" --wait-master 10 --expect-id $identity --count 1 --quiet
    stop_senders
    start_sender --to 10.77.0.1 --identity $other --offset 1
    check 'two addresses by -i: the second one is heard' "$reader" --wait-master 20 --expect-id $other --count 1 --quiet
    stop_senders
    stop_daemon
}

# --- what it takes ---

capabilities() {
    awk '/^Cap(Prm|Eff|Amb)/ { print $2 }' "/proc/$daemon/status" | sort -u | tr -d '\n'
}

rights() {
    if is_root; then
        start_daemon -i 10.77.0.1
        is '-i ADDRESS: root keeps no capability' "$(capabilities)" 0000000000000000
        stop_daemon
        start_daemon -i here
        check '-i NAME: root keeps the capability to bind ports' \
            test "$(capabilities)" = 00000000000000000000000000000400
        stop_daemon
    else
        skip 'capabilities' 'it takes root to have any'
    fi
}

# --- more changes of addresses than the kernel keeps for a daemon that stands still ---

has_joined_late() {
    test "$(memberships late)" -gt 0
}

many_changes() {
    start_daemon
    kill -s STOP "$daemon"
    for _ in $(seq 2000); do
        printf 'addr add 10.79.0.1/32 dev lo\naddr del 10.79.0.1/32 dev lo\n'
    done | ip -batch - || not_ok 'addresses come and go'
    ip link add name late type veth peer name late2
    ip link set late up
    kill -s CONT "$daemon"
    check 'after many changes: the groups are joined on a new interface' eventually 10 has_joined_late
    check_not 'after many changes: no fault is logged' grep 'slowed down' "$tmp/log"
    stop_daemon
}

# --- the command line ---

command_line() {
    for bad in '' 10.77.0 0.0.0.0 224.0.1.129 fe80::1 fd77::1%here 'a b' 1234567890123456; do
        second -i "$bad"
        is "-i '$bad': exit status" $status 2
        says "-i '$bad': one line says why" '^nqptp: error: ".*": -i takes .*; see nqptp --help$'
    done
    second -i
    is '-i alone: exit status' $status 2
}

in_parallel limited_to_ipv4_address limited_to_ipv6_address limited_to_interface joins_groups rights \
    many_changes command_line
done_testing
