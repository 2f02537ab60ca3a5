#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that a client of 2021 reads the right clock with no command given at all: identity,
# address and offset of a master whose true time is known, by every kind of address it may send to.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter

# The median of the reads may err by 100 us; each must name the master and be of a fresh sample.
follow() { # NAME MASTER-ADDRESS OFFSET SENDER-OPTION...
    what=$1 address=$2 offset=$3
    shift 3
    case $what in
    *IPv6*) test "$ipv6" = yes || { skip "$what" 'no IPv6 here'; return; } ;;
    esac
    start_daemon
    start_sender --interface there --offset "$offset" "$@"
    check "$what: offset, identity and address" measure --expect-id "$identity" \
        --expect-ip "$address" --raw-truth "$offset" --within 100000
    sed 's/^/# /' "$tmp/said"
    stop_senders
    stop_daemon
}

now=$("$reader" --now)

by_ipv4() {
    follow 'IPv4 unicast' 10.77.0.2 0 --to 10.77.0.1
    follow 'IPv4 unicast, from ports 319 and 320' 10.77.0.2 $((788996500000000 - now)) \
        --to 10.77.0.1 --low-ports
    follow 'IPv4 unicast, second address of the master' 10.77.0.3 1 --from 10.77.0.3 --to 10.77.0.1
    follow 'IPv4 multicast' 10.77.0.2 9223372036854775807 --to 224.0.1.129
}

by_ipv6() {
    follow 'IPv6 unicast' fd77::2 "-$now" --to fd77::1
    follow 'IPv6 unicast, link-local' fe80::2 18446744073709551615 --to fe80::1%there
    follow 'IPv6 multicast ff02::181' fe80::2 5000000000 --to ff02::181%there --from fe80::2%there
    follow 'IPv6 multicast ff0e::181' fd77::2 -123456789012345678 --to ff0e::181
}

# The best of three, though it comes last; master i is i seconds ahead of the first.
best_of_three() {
    start_daemon
    start_sender --to 10.77.0.1 --masters 3 --priority1 246 --priority-step 255
    check 'the best of three clocks is the master' measure --expect-id 98698aaf9c95000a \
        --expect-ip 10.77.0.2 --raw-truth 2000000000 --within 100000
    sed 's/^/# /' "$tmp/said"
}

in_parallel by_ipv4 by_ipv6 best_of_three
done_testing
