#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that with -i the daemon listens, joins groups and answers there and nowhere else; that
# other PTP programs have the ports elsewhere on this host at the same time, and may be followed;
# and that interfaces and addresses that come, go and come back are heard within seconds.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter 300

mac=027700fffe000001 # made of the MAC address that the daemon's identity is made of
other=1122334455660008

# A second network: "side" here (10.78.0.1, fd78::1), "edge" there (10.78.0.2, fd78::2); and a
# second address on the first one.
ip link add name side type veth peer name edge netns "$there" || skip_all 'no second network'
ip addr add 10.78.0.1/24 dev side
in_there ip addr add 10.78.0.2/24 dev edge
ip addr add 10.77.0.11/24 dev here
if test "$ipv6" = yes; then
    ip addr add fd78::1/64 dev side nodad
    in_there ip addr add fd78::2/64 dev edge nodad
    ip addr add fd77::11/64 dev here nodad
fi
ip link set side up
in_there ip link set edge up

# As start_sender, but on this host, where it is to have the ports before somebody else tries.
start_own_sender() { # OPTION...
    "$sender" --low-ports "$@" >"$tmp/sender" 2>&1 &
    last_sender=$!
    senders="$senders $last_sender"
    check 'another program takes the ports' eventually 5 has_ports "$last_sender"
}

# Is one of its sockets bound to port 320? That is the last that it binds.
has_ports() { # PID
    for link in $(readlink "/proc/$1/fd/"*); do
        socket=${link#socket:\[}
        grep -q ":0140 .* ${socket%]} " /proc/net/udp /proc/net/udp6 && return
    done
    return 1
}

# Is this clock master, with a sample of the last second?
follows() { # IDENTITY
    "$reader" --expect-id "$1" --fresh 1 --count 1 --quiet >/dev/null 2>&1
}

lost() { # IDENTITY
    ! follows "$1"
}

answered_from() { # ADDRESS
    grep -q "^Delay_Req from $1\(%there\)* port 319" "$tmp/sender"
}

# Is there one row only, and a second later still?
hears_only() { # IDENTITY
    follows "$1" && sleep 1 && has_rows 1 && grep -q "^[*].* $1 " "$tmp/status"
}

# Starts another daemon, which is expected to end.
second() { # OPTION...
    status=0
    is_root || set -- --user=root --group=root "$@"
    timeout 10 "$nqptp" "$@" 2>"$tmp/second" || status=$?
}

says() { # NAME PATTERN
    check "$1" grep -q -e "$2" "$tmp/second" || sed 's/^/# second: /' "$tmp/second"
}

needs_ipv6() { # NAME
    test "$ipv6" = yes && return
    skip "$1" 'no IPv6 here'
    return 1
}

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
    check "$1: and answered from there" eventually 5 answered_from "$5"
    check "$1: nothing else is heard" hears_only $identity
    stop_senders
    stop_daemon
}

limited '-i IPv4' 10.77.0.1 10.77.0.1 10.77.0.2 10.77.0.1 10.77.0.11
limited '-i IPv4, the second address' 10.77.0.11 10.77.0.11 10.77.0.2 10.77.0.11 10.77.0.1
limited '-i IPv6' fd77::1 fd77::1 fd77::2 fd77::1 fd77::11
limited '-i link-local' fe80::1%here fe80::1%there fe80::2%there fe80::1 fd77::1
limited '-i address, no multicast' 10.77.0.1 10.77.0.1 10.77.0.2 10.77.0.1 224.0.1.129
limited '-i NAME, IPv4' here 10.77.0.1 10.77.0.2 10.77.0.1 10.78.0.1
limited '-i NAME, IPv6' here fd77::1 fd77::2 fd77::1 fd78::1
limited '-i NAME, link-local' here fe80::1%there fe80::2%there fe80::1 10.78.0.1

# The same for groups, by interface.
joined() { # NAME GROUP FROM FROM-ELSEWHERE
    case $2 in *:*) needs_ipv6 "$1" || return ;; esac
    start_daemon -i here
    start_sender --to "$2" --interface edge --from "$4" --identity $other --priority1 1
    start_sender --to "$2" --interface there --from "$3"
    check "$1: is heard" "$reader" --wait-master 10 --expect-id $identity --count 1 --quiet
    check "$1: and nothing from the other interface" hears_only $identity
    stop_senders
    stop_daemon
}

joined '-i NAME, a group of IPv4' 224.0.1.129 10.77.0.2 10.78.0.2
joined '-i NAME, a group of IPv6' ff0e::181 fd77::2 fd78::2
memberships() { # INTERFACE
    cat /proc/net/igmp /proc/net/igmp6 | awk -v name="$1" '
        $2 == name && NF > 4 { print tolower($3) }  # IPv6
        /^[0-9]/ && $3 == ":" { current = $2 }
        /^\t/ && current == name { print $1 }' | grep -ci -e 810100e0 -e 0000000000000181
}
start_daemon -i here
is 'it is a member where it was told to be' "$(memberships here)" "$(test "$ipv6" = yes && echo 3 || echo 1)"
is 'and nowhere else' "$(memberships side)" 0
stop_daemon
start_daemon -i 10.77.0.1 -i 10.78.0.1
is 'of an address nowhere at all' "$(memberships here),$(memberships side)" 0,0
start_sender --to 10.78.0.1 --offset 1
check 'two addresses: the one' "$reader" --wait-master 10 --expect-id $identity --count 1 --quiet
stop_senders
start_sender --to 10.77.0.1 --identity $other --offset 1
check 'and the other' "$reader" --wait-master 20 --expect-id $other --count 1 --quiet
stop_senders
stop_daemon

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
    cat >"$tmp/ptp4l.conf" <<END
[global]
network_transport UDPv4
delay_mechanism E2E
time_stamping software
masterOnly 1
free_running 1
clockIdentity 027700.fffe.000001
END
    start_sender --to 10.77.0.1
    for place in here 10.77.0.1; do
        start_daemon -i $place
        ptp4l -i side -f "$tmp/ptp4l.conf" -m >"$tmp/ptp4l.log" 2>&1 &
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

# --- what comes and goes ---

check_return() { # NAME LEAVE RETURN
    check "$1: it is followed" eventually 15 follows $identity
    $2
    check "$1: gone" eventually 15 lost $identity
    $3
    check "$1: and back" eventually 15 follows $identity
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

returning '-i IPv4, the address' 10.77.0.1 remove_ipv4 add_ipv4 -i 10.77.0.1
returning '-i IPv6, the address' fd77::1 remove_ipv6 add_ipv6 -i fd77::1
returning '-i NAME, the address' 10.77.0.1 remove_ipv4 add_ipv4 -i here
returning '-i IPv4, down and up' 10.77.0.1 link_down link_up -i 10.77.0.1
returning '-i link-local, down and up' fe80::1%there link_down link_up -i fe80::1%here
returning '-i NAME, down and up' 10.77.0.1 link_down link_up -i here
returning 'everywhere, the address' 10.77.0.1 remove_ipv4 add_ipv4
returning 'everywhere, down and up' fd77::1 link_down link_up

# What a sender has to know of its interface is gone with it, so that is another one afterwards.
reborn() { # NAME TO DAEMON-OPTION...
    what=$1
    to=$2
    shift 2
    case $to in *:*) needs_ipv6 "$what" || return ;; esac
    start_daemon -v "$@"
    start_sender --to "$to" --interface there --from "$(source_for "$to")"
    check "$what: it is followed" eventually 15 follows $identity
    delete_link
    stop_senders
    check "$what: deleted" eventually 15 lost $identity
    make_link
    start_sender --to "$to" --interface there --from "$(source_for "$to")"
    check "$what: made again" eventually 15 follows $identity
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

reborn 'everywhere, multicast' 224.0.1.129
reborn 'everywhere, multicast of IPv6' ff0e::181
reborn '-i IPv4, the interface' 10.77.0.1 -i 10.77.0.1
reborn '-i IPv6, the interface' fd77::1 -i fd77::1
reborn '-i link-local, the interface' fe80::1%there -i fe80::1%here
reborn '-i NAME, the interface' 10.77.0.1 -i here --user=root
reborn '-i NAME, the interface, multicast' 224.0.1.129 -i here
reborn '-i NAME, the interface, multicast of IPv6' ff0e::181 -i here

# --- what it takes ---

capabilities() {
    awk '/^Cap(Prm|Eff|Amb)/ { print $2 }' "/proc/$daemon/status" | sort -u | tr -d '\n'
}

if is_root; then
    start_daemon -i 10.77.0.1
    is 'with an address nothing is kept' "$(capabilities)" 0000000000000000
    stop_daemon
    start_daemon -i here
    check 'with an interface the right to bind ports is' \
        test "$(capabilities)" = 00000000000000000000000000000400
    stop_daemon
else
    skip 'capabilities' 'it takes root to have any'
fi

# --- what is not there yet ---

start_daemon -i 10.77.0.50 -i later
check 'an address to come is told of' grep -q '10\.77\.0\.50 is not there yet' "$tmp/log"
check 'an interface to come, too' grep -q 'later is not there yet' "$tmp/log"
start_sender --to 10.77.0.50
ip addr add 10.77.0.50/24 dev here
check 'the address is heard when it comes' eventually 15 follows $identity
stop_senders
ip link add name later type veth peer name late netns "$there"
ip addr add 10.79.0.1/24 dev later
in_there ip addr add 10.79.0.2/24 dev late
ip link set later up
in_there ip link set late up
start_sender --to 10.79.0.1 --identity $other
check 'and so is the interface' eventually 20 follows $other
check 'the daemon is alive' alive
stop_senders
stop_daemon

# --- and whose port somebody else has when it comes ---

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

# --- the command line ---

for bad in '' 10.77.0 0.0.0.0 224.0.1.129 fe80::1 fd77::1%here 'a b' 1234567890123456; do
    second -i "$bad"
    is "-i '$bad': exit status" $status 2
    says "-i '$bad': one line says why" '^nqptp: error: ".*": -i takes .*; see nqptp --help$'
done
second -i
is '-i alone: exit status' $status 2

done_testing
