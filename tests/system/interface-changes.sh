#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that the daemon hears interfaces and addresses that come, go and come back within seconds,
# with and without -i.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter 120
# shellcheck source=tests/lib/second-network.sh
. "$top/tests/lib/second-network.sh"

# --- what comes and goes ---

check_return() { # NAME LEAVE RETURN
    check "$1: the clock is followed" eventually 15 follows $identity
    $2
    check "$1: the clock is lost" eventually 15 lost $identity
    $3
    check "$1: the clock is followed again" eventually 15 follows $identity
}

remove_ipv4() {
    ip addr del 10.77.0.1/24 dev here
}

add_ipv4() {
    ip addr add 10.77.0.1/24 dev here
}

remove_ipv6() {
    ip addr del fd77::1/64 dev here
}

add_ipv6() {
    ip addr add fd77::1/64 dev here nodad
}

link_down() {
    ip link set here down
}

link_up() {
    ip link set here up
    test "$ipv6" = no && return
    for address in fd77::1 fd77::11 fe80::1; do # going down took them along
        ip addr replace "$address/64" dev here nodad
    done
}

delete_link() {
    ip link del here
}

make_link() {
    ip link add name here address 02:77:00:00:00:01 type veth \
        peer name there address 02:77:00:00:00:02 netns "$there"
    ip link set here addrgenmode none
    in_there ip link set there addrgenmode none
    ip addr add 10.77.0.1/24 dev here
    in_there ip addr add 10.77.0.2/24 dev there
    if test "$ipv6" = yes; then
        ip addr add fd77::1/64 dev here nodad
        ip addr add fe80::1/64 dev here nodad
        in_there ip addr add fd77::2/64 dev there nodad
        in_there ip addr add fe80::2/64 dev there nodad
    fi
    ip link set here up
    in_there ip link set there up
}

returning() { # NAME TO LEAVE RETURN DAEMON-OPTION...
    what=$1 to=$2 leave=$3 return=$4
    shift 4
    case $to in *:*) needs_ipv6 "$what" || return ;; esac
    start_daemon -v "$@"
    start_sender --to "$to"
    check_return "$what" "$leave" "$return"
    stop_senders
    stop_daemon
}

addresses_return() {
    returning '-i IPv4, the address' 10.77.0.1 remove_ipv4 add_ipv4 -i 10.77.0.1
    returning '-i IPv6, the address' fd77::1 remove_ipv6 add_ipv6 -i fd77::1
    returning '-i NAME, the address' 10.77.0.1 remove_ipv4 add_ipv4 -i here
}

links_return() {
    returning '-i IPv4, down and up' 10.77.0.1 link_down link_up -i 10.77.0.1
    returning '-i link-local, down and up' fe80::1%there link_down link_up -i fe80::1%here
    returning '-i NAME, down and up' 10.77.0.1 link_down link_up -i here
}

return_without_i() {
    returning 'everywhere, the address' 10.77.0.1 remove_ipv4 add_ipv4
    returning 'everywhere, down and up' fd77::1 link_down link_up
}

# A sender knows the number of its interface, so it ends with the interface and another one starts.
reborn() { # NAME TO DAEMON-OPTION...
    what=$1
    to=$2
    shift 2
    case $to in *:*) needs_ipv6 "$what" || return ;; esac
    start_daemon -v "$@"
    start_sender --to "$to" --interface there --from "$(source_for "$to")"
    check "$what: the clock is followed" eventually 15 follows $identity
    delete_link
    stop_senders
    check "$what: the clock is lost when the interface is deleted" eventually 15 lost $identity
    make_link
    start_sender --to "$to" --interface there --from "$(source_for "$to")"
    check "$what: the clock is followed when the interface is made again" eventually 15 follows $identity
    stop_senders
    stop_daemon
}

source_for() { # DESTINATION
    case $1 in
    fe80:*) echo fe80::2%there ;;
    *:*) echo fd77::2 ;;
    *) echo 10.77.0.2 ;;
    esac
}

interfaces_return_without_i() {
    reborn 'everywhere, multicast' 224.0.1.129
    reborn 'everywhere, multicast of IPv6' ff0e::181
}

interfaces_of_addresses_return() {
    reborn '-i IPv4, the interface' 10.77.0.1 -i 10.77.0.1
    reborn '-i IPv6, the interface' fd77::1 -i fd77::1
    reborn '-i link-local, the interface' fe80::1%there -i fe80::1%here
}

interfaces_by_name_return() {
    reborn '-i NAME, the interface' 10.77.0.1 -i here --user=root
    reborn '-i NAME, the interface, multicast' 224.0.1.129 -i here
    reborn '-i NAME, the interface, multicast of IPv6' ff0e::181 -i here
}

# --- what is not there yet ---

comes_later() {
    start_daemon -i 10.77.0.50 -i later
    check 'the log tells of an address that is not there yet' grep -q '10\.77\.0\.50 is not there yet' "$tmp/log"
    check 'the log tells of an interface that is not there yet' grep -q 'later is not there yet' "$tmp/log"
    start_sender --to 10.77.0.50
    ip addr add 10.77.0.50/24 dev here
    check 'a clock is heard when the address of -i comes later' eventually 15 follows $identity
    stop_senders
    ip link add name later type veth peer name late netns "$there"
    ip addr add 10.79.0.1/24 dev later
    in_there ip addr add 10.79.0.2/24 dev late
    ip link set later up
    in_there ip link set late up
    start_sender --to 10.79.0.1 --identity $other
    check 'a clock is heard when the interface of -i comes later' eventually 20 follows $other
    check 'the daemon is alive' alive
}

in_parallel addresses_return links_return return_without_i interfaces_return_without_i \
    interfaces_of_addresses_return interfaces_by_name_return comes_later
done_testing
