#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that other PTP programs, and other daemons, may have the ports elsewhere on this host while
# the daemon is limited by -i; that the daemon follows them; and that it says which program has a port
# that it needs.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter 150
# shellcheck source=tests/lib/second-network.sh
. "$top/tests/lib/second-network.sh"

# --- beside other programs on this host ---

# It has the ports at another address, the identity and even the port number that are ours, and is
# followed. Its answers come back to it, so they went by the right way.
beside() { # NAME ITS-ADDRESS OUR-ADDRESS
    case $2 in *:*) needs_ipv6 "$1" || return ;; esac
    start_own_sender --verbose --from "$2" --to "$3" --identity $mac --offset 5
    start_daemon -i "$3"
    control "T $2"
    check "$1: is followed" measure --expect-id $mac --expect-ip "$2" --raw-truth 5 --within 100000
    check "$1: and answered" eventually 5 answered_from "$3"
    stop_senders
    start_own_sender --verbose --from "$2" --to "$3" --identity $mac --offset 7
    check "$1: it may also start later" eventually 10 answered_from "$3"
    stop_senders
    stop_daemon
}

beside 'a sender at another address' 10.77.0.11 10.77.0.1
beside 'a sender at an address of another interface' 10.78.0.1 10.77.0.1
beside 'a sender at another address, IPv6' fd77::11 fd77::1
beside 'a sender at an address of another interface, IPv6' fd78::1 fd77::1

# One that takes every address of IPv4, and does not share.
start_own_sender --to 10.77.0.99
for place in 10.77.0.1 here; do
    second -i $place
    is "-i $place beside who has all addresses: exit status" $status 3
    says 'which is said' "port 319 o[fn] $place is in use"
    is_root && says 'and by whom' 'held by "ptp-sender"'
done
if needs_ipv6 'beside who has all addresses of IPv4: an IPv6 address'; then
    start_daemon -i fd77::1
    start_sender --to fd77::1 --identity $other
    check 'an address of IPv6 is left' eventually 15 follows $other
    stop_daemon
fi
stop_senders

if has ptp4l && mount -t tmpfs tmpfs /run; then
    start_sender --to 10.77.0.1
    for place in here 10.77.0.1; do
        start_daemon -i $place
        ptp4l -i side -f "$top/tests/lib/ptp4l.conf" --clockIdentity=027700.fffe.000001 -m >"$tmp/ptp4l.log" 2>&1 &
        ptp4l=$!
        check "-i $place: ptp4l gets the ports on another interface" \
            eventually 20 grep -q 'to MASTER' "$tmp/ptp4l.log"
        check 'and the daemon goes on' eventually 5 follows $identity
        stop_daemon
        start_daemon -i $place
        check 'it may also start later' eventually 10 follows $identity
        check 'ptp4l goes on' kill "$ptp4l"
        check_not 'without a fault' grep -q FAULT "$tmp/ptp4l.log"
        wait "$ptp4l" 2>/dev/null
        stop_daemon
    done
    stop_senders
else
    skip 'ptp4l on another interface' 'no ptp4l here; it is in Debian package linuxptp'
fi

# --- two daemons ---

start_daemon -i 10.77.0.1
start_sender --to 10.77.0.1
check 'one daemon' "$reader" --wait-master 10 --expect-id $identity --count 1 --quiet
inode=$(stat -c %i /dev/shm/nqptp)
start_sender --to 10.78.0.1 --identity $other
user=$(stat -c %u /dev/shm/nqptp)
user=$(getent passwd "$user" | cut -d: -f1)
start_own_sender --from 10.77.0.11 --to 10.77.0.99
second -i 10.77.0.1
is 'another one in the same place: exit status' $status 3
says 'the port and the place are named' 'port 319 of 10\.77\.0\.1 .*in use'
says 'the holder is the daemon, not who has the port elsewhere' 'nqptp\|uid'
check_not 'so it is not' grep -q ptp-sender "$tmp/second"
second
is 'everywhere: exit status' $status 3
says 'port' 'port 319 is in use'
second -i 10.78.0.1
is 'elsewhere: exit status' $status 3
says 'the control port' 'port 9000 is in use'
says 'what to do' '--control-port='
second -i 10.78.0.1 --control-port=9001 ${user:+"--user=$user"}
is 'with a control port of its own: exit status' $status 1
says 'the object is in use' 'another nqptp.*/nqptp'
is 'which is not touched' "$(stat -c %i /dev/shm/nqptp)" "$inode"
check 'its daemon goes on' follows $identity
cat >"$tmp/own-shm.sh" <<'END'
mount -t tmpfs tmpfs /dev/shm
exec "$@"
END
set -- -i 10.78.0.1 --control-port=9001
is_root || set -- --user=root --group=root "$@"
unshare -m sh "$tmp/own-shm.sh" "$nqptp" "$@" 2>"$tmp/second" &
second=$!
follows_other() {
    "$nqptp" --status --control-port=9001 2>&1 | grep -q "^Master: *$other"
}
check 'with an object of its own it runs' eventually 10 follows_other
check 'beside the first' follows $identity
kill $second
wait $second
check 'which goes on when it ends' follows $identity
stop_senders
stop_daemon
start_daemon -i here
second -i here
is 'another one on the same interface: exit status' $status 3
says 'port and place' 'port 319 on here is in use'
stop_daemon

# --- an interface whose port another program has when the interface comes ---

if is_root; then
    start_daemon -i busy
    start_own_sender --to 10.77.0.99
    ip link add name busy type veth peer name bustle netns "$there"
    ip addr add 10.80.0.1/24 dev busy
    in_there ip addr add 10.80.0.2/24 dev bustle
    ip link set busy up
    in_there ip link set bustle up
    check 'a port that somebody else has is told of' eventually 5 grep -q 'port 319 on busy' "$tmp/log"
    stop_senders
    start_sender --to 10.80.0.1 --identity $other
    check 'it is tried again until it is free' eventually 25 follows $other
    stop_senders
    stop_daemon
else
    skip 'a port that somebody else has' 'an ordinary user shares no port with root'
fi

done_testing
