#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that other PTP programs, and other daemons, may have the ports elsewhere on this host while
# the daemon is limited by -i; that the daemon follows them; and that it says which program has a port
# that it needs.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter 120
# shellcheck source=tests/lib/second-network.sh
. "$top/tests/lib/second-network.sh"

# --- beside other programs on this host ---

# The sender has the ports at another address, and our identity and port number. It is followed. The
# Delay_Reqs reach it, so they went by the right way.
beside() { # NAME ITS-ADDRESS OUR-ADDRESS
    case $2 in *:*) needs_ipv6 "$1" || return ;; esac
    start_own_sender --verbose --from "$2" --to "$3" --identity $mac --offset 5
    start_daemon -i "$3"
    control "T $2"
    check "$1: the clock is followed" measure --expect-id $mac --expect-ip "$2" --raw-truth 5 --within 100000
    check "$1: the clock gets Delay_Reqs" eventually 5 answered_from "$3"
    stop_senders
    start_own_sender --verbose --from "$2" --to "$3" --identity $mac --offset 7
    check "$1: the other program may also start later" eventually 10 answered_from "$3"
    stop_senders
    stop_daemon
}

beside_ipv4() {
    beside 'a sender at another address' 10.77.0.11 10.77.0.1
    beside 'a sender at an address of another interface' 10.78.0.1 10.77.0.1
}

beside_ipv6() {
    beside 'a sender at another address, IPv6' fd77::11 fd77::1
    beside 'a sender at an address of another interface, IPv6' fd78::1 fd77::1
}

# A program that takes every address of IPv4, and does not share its ports.
beside_all_ipv4() {
    start_own_sender --to 10.77.0.99
    for place in 10.77.0.1 here; do
        second -i $place
        is "-i $place beside a program with all addresses: exit status" $status 3
        says "-i $place beside a program with all addresses: the log names the port" "port 319 o[fn] $place is in use"
        is_root && says "-i $place beside a program with all addresses: the log names the program" 'held by "ptp-sender"'
    done
    if needs_ipv6 'beside a program with all IPv4 addresses: an IPv6 address'; then
        start_daemon -i fd77::1
        start_sender --to fd77::1 --identity $other
        check 'beside a program with all IPv4 addresses: an IPv6 address is free' eventually 15 follows $other
        stop_daemon
    fi
    stop_senders
}

beside_ptp4l() {
    if has ptp4l && mount -t tmpfs tmpfs /run; then
        start_sender --to 10.77.0.1
        for place in here 10.77.0.1; do
            start_daemon -i $place
            ptp4l -i side -f "$top/tests/lib/ptp4l.conf" --clockIdentity=027700.fffe.000001 -m >"$tmp/ptp4l.log" 2>&1 &
            ptp4l=$!
            check "-i $place: ptp4l gets the ports on another interface" \
                eventually 20 grep -q 'to MASTER' "$tmp/ptp4l.log"
            check "-i $place: the daemon goes on beside ptp4l" eventually 5 follows $identity
            stop_daemon
            start_daemon -i $place
            check "-i $place: the daemon can start after ptp4l" eventually 10 follows $identity
            check "-i $place: ptp4l goes on beside the daemon" kill "$ptp4l"
            check_not "-i $place: ptp4l has no fault" grep -q FAULT "$tmp/ptp4l.log"
            wait "$ptp4l" 2>/dev/null
            stop_daemon
        done
        stop_senders
    else
        skip 'ptp4l on another interface' 'no ptp4l here; it is in Debian package linuxptp'
    fi
}

# --- two daemons ---

follows_other() {
    "$nqptp" --status --control-port=9001 2>&1 | grep -q "^Master: *$other"
}

two_daemons() {
    start_daemon -i 10.77.0.1
    start_sender --to 10.77.0.1
    check 'one daemon with -i follows its clock' "$reader" --wait-master 10 --expect-id $identity --count 1 --quiet
    inode=$(stat -c %i /dev/shm/nqptp)
    start_sender --to 10.78.0.1 --identity $other
    user=$(stat -c %u /dev/shm/nqptp)
    user=$(getent passwd "$user" | cut -d: -f1)
    start_own_sender --from 10.77.0.11 --to 10.77.0.99
    second -i 10.77.0.1
    is 'a second daemon at the same address: exit status' $status 3
    says 'a second daemon at the same address: the log names port and address' 'port 319 of 10\.77\.0\.1 .*in use'
    says 'a second daemon at the same address: the log names the first one' 'nqptp\|uid'
    check_not 'a second daemon at the same address: the log names no program with another address' grep -q ptp-sender "$tmp/second"
    second
    is 'a second daemon without -i: exit status' $status 3
    says 'a second daemon without -i: the log names the port' 'port 319 is in use'
    second -i 10.78.0.1
    is 'a second daemon at another address: exit status' $status 3
    says 'a second daemon at another address: the log names the control port' 'port 9000 is in use'
    says 'a second daemon at another address: the log says what to do' '--control-port='
    second -i 10.78.0.1 --control-port=9001 ${user:+"--user=$user"}
    is 'a second daemon with another control port: exit status' $status 1
    says 'a second daemon with another control port: the log says that the object is in use' 'another nqptp.*/nqptp'
    is 'a second daemon with another control port: the object stays' "$(stat -c %i /dev/shm/nqptp)" "$inode"
    check 'the first daemon goes on while a second one fails' eventually 5 follows $identity
    set -- -i 10.78.0.1 --control-port=9001
    is_root || set -- --user=root --group=root "$@"
    # shellcheck disable=SC2016
    unshare -m sh -c 'mount -t tmpfs tmpfs /dev/shm && exec "$@"' sh "$nqptp" "$@" 2>"$tmp/second" &
    second=$!
    check 'a second daemon with an object of its own follows its clock' eventually 10 follows_other
    check 'the first daemon goes on beside a second one' eventually 5 follows $identity
    kill $second
    wait $second
    check 'the first daemon goes on when the second one ends' eventually 5 follows $identity
    stop_senders
    stop_daemon
    start_daemon -i here
    second -i here
    is 'a second daemon on the same interface: exit status' $status 3
    says 'a second daemon on the same interface: the log names port and interface' 'port 319 on here is in use'
    stop_daemon
}

# --- an interface whose port another program has when the interface comes ---

port_is_taken_before() {
    if is_root; then
        start_daemon -i busy
        start_own_sender --to 10.77.0.99
        ip link add name busy type veth peer name bustle netns "$there"
        ip addr add 10.80.0.1/24 dev busy
        in_there ip addr add 10.80.0.2/24 dev bustle
        ip link set busy up
        in_there ip link set bustle up
        check 'an interface comes whose port is taken: the log says so' eventually 5 grep -q 'port 319 on busy' "$tmp/log"
        stop_senders
        start_sender --to 10.80.0.1 --identity $other
        check 'an interface comes whose port is taken: the daemon listens when the port is free' eventually 25 follows $other
        stop_senders
        stop_daemon
    else
        skip 'an interface comes whose port is taken' 'an ordinary user shares no port with root'
    fi
}

in_parallel port_is_taken_before beside_ipv4 beside_ipv6 beside_all_ipv4 beside_ptp4l two_daemons
done_testing
