#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that the daemon sends nothing at all while no client has listed an address, whatever it
# receives; and that it then sends to listed addresses only, Delay_Reqs as AirPlay senders want
# them, from the very address that was served.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter

ip addr add 10.77.0.7/24 dev here
test "$ipv6" = no || ip addr add fd77::7/64 dev here nodad preferred_lft 0

# UDP datagrams that this host has sent since it exists.
sent() {
    awk '/^Udp: [0-9]/ { n += $5 } /^Udp6OutDatagrams/ { n += $2 } END { print n }' \
        /proc/net/snmp /proc/net/snmp6 2>/dev/null
}

# What is not UDP is the kernel's own: ARP, neighbour discovery, multicast listener reports.
start_capture() {
    in_there tcpdump --immediate-mode -Z root -i there -Q in -n -l -x udp or tcp >"$tmp/capture" 2>"$tmp/tcpdump" &
    capture=$!
    eventually 5 test -s "$tmp/tcpdump"
    eventually 2 grep -q 'listening on' "$tmp/tcpdump"
}

captured() {
    grep -c ' IP6\{0,1\} ' "$tmp/capture"
}

# Sets $capture to the process, or to nothing, and $why to the reason.
capture_if_possible() {
    capture=''
    if ! has tcpdump; then
        why='no tcpdump here; it is in Debian package tcpdump'
    elif ! start_capture; then
        capture=''
        why="it takes root: $(head -n 1 "$tmp/tcpdump")"
    fi
}

# --- no list ---

# The senders send to each address that the daemon could answer from, whole messages of every type.
to='--to 10.77.0.1 --to 224.0.1.129 --interface there'
test "$ipv6" = no || to="$to --to fd77::1 --to fe80::1%there --to ff0e::181"

no_list() {
    capture_if_possible
    start_daemon
    before=$(sent)
    # shellcheck disable=SC2086 # a list of words
    start_sender --low-ports $to --masters 2
    check 'without a list a master is followed' "$reader" --wait-master 10 --settle 2 --fresh 3 --count 1 --quiet
    # shellcheck disable=SC2086
    in_there "$sender" --mode truncate $to --rate 4000
    is 'without a list this host sends no datagram' $(($(sent) - before)) 0
    if test "$capture" != ''; then
        is 'without a list the other host gets no datagram' "$(captured)" 0
    else
        skip 'without a list the other host gets no datagram' "$why"
    fi
}

# --- a list of others ---

# While a client plays, the daemon asks silent addresses of its list.
stop_playing() {
    control '/nqptp B'
    control '/nqptp E'
}

others_are_listed() {
    start_daemon
    # shellcheck disable=SC2086 # a list of words
    start_sender --low-ports $to --masters 2
    check 'without a list a master is followed' "$reader" --wait-master 10 --count 1 --quiet
    stop_playing
    control 'T 10.77.0.99'
    before=$(sent)
    sleep 1 # nothing may be sent; a question of the status would count
    is 'an address that is not listed gets nothing' $(($(sent) - before)) 0
}

# --- listed ---

has_delay_reqs() { # COUNT
    test "$(grep -c '^Delay_Req from .* port 319,' "$tmp/sender")" -ge "$1"
}

# A sender that has not heard us for a while, and serves another address only.
silent_address_is_listed() {
    start_daemon
    start_sender --low-ports --verbose --from 10.77.0.2 --to 10.77.0.99
    control 'T 10.77.0.2'
    control '/nqptp B'
    check 'while a client plays a listed address that is silent is asked' eventually 7 has_delay_reqs 3
    stop_daemon USR1
    stop_senders
    start_sender --low-ports --verbose --from 10.77.0.2 --to 10.77.0.99
    start_daemon
    check 'after a restart a listed address that is silent is asked' eventually 7 has_delay_reqs 2
    control '/nqptp E'
    before=$(sent)
    sleep 3 # nothing may be sent
    is 'after E nothing is sent' $(($(sent) - before)) 0
}

# Delay_Reqs as the listed master, which is served at the daemon's second address, gets them.
asked() { # NAME MASTER SERVED
    start_sender --low-ports --verbose --from "$2" --to "$3"
    control "T $2"
    check "$1 get Delay_Reqs" eventually 10 has_delay_reqs 5
    stop_senders
    check_not 'Delay_Reqs come from no other address' grep -v "^Delay_Req from $3 port 319, " "$tmp/sender"
    check_not 'Delay_Reqs have majorSdoId 1 and portNumber 32776' \
        grep -v 'majorSdoId 1, portNumber 32776, ' "$tmp/sender"
    # On a busy machine the sender may have sent some more Syncs before it reads the Delay_Req.
    answered=$(awk '($NF - $(NF - 2) + 65536) % 65536 <= 8 { print $(NF - 2) }' "$tmp/sender" |
        sort -u | wc -l)
    check 'each Sync gets one Delay_Req with its sequenceId' test "$answered" -ge 5 \
        -a "$answered" = "$(wc -l <"$tmp/sender")" ||
        sed 's/^/# /' "$tmp/sender"
}

sending_address_is_listed() {
    capture_if_possible
    start_daemon
    stop_playing
    asked 'IPv4 masters' 10.77.0.2 10.77.0.7
    if test "$ipv6" = yes; then
        asked 'IPv6 masters' fd77::2 fd77::7
        asked 'IPv6 masters with a link-local address' fe80::2%there fe80::1%there
    else
        skip 'IPv6 masters get Delay_Reqs' 'no IPv6 here'
    fi
    if test "$capture" != ''; then
        check 'Delay_Reqs are on the wire, from port 319 to port 319' \
            grep -q ' IP 10\.77\.0\.7\.319 > 10\.77\.0\.2\.319: ' "$tmp/capture"
    fi
}

# Succeeds if the clock has been silent for two seconds or more.
silent() {
    answers && awk '/^[*.]/ && $2 == "98698aaf9c950008" && $4 + 0 >= 2 { found = 1 } END { exit !found }' "$tmp/status"
}

# A sender that stops serving a receiver that sends nothing.
sender_wants_requests() {
    start_daemon
    stop_playing
    start_sender --low-ports --serve-muted 1.5 --to 10.77.0.1
    control 'T 10.77.0.2'
    check 'a sender that wants to be asked goes on serving' "$reader" --wait-master 10 --settle 4 \
        --fresh 3 --count 3 --interval 0.1 --quiet
    control 'T 10.77.0.99'
    check 'a sender that serves only receivers that ask stops when the daemon stops asking' eventually 10 silent
}

in_parallel no_list others_are_listed silent_address_is_listed sending_address_is_listed \
    sender_wants_requests
done_testing
