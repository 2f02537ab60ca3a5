#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that the daemon follows a sender through what the kernel's own queues and links do: netem's
# delay, jitter, loss, repetition and disorder, and a vlan, a bridge and a macvlan. Containers and some
# kernels have none of these, so make check-vm runs it. Elsewhere it skips what the kernel lacks.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
need tc iproute2
enter 200

truth=7000000000

# A delay of all packets looks like another offset, so the limit includes it.
follow() { # WHAT WITHIN-NS ADDRESS
    if control "/nqptp T $3" && control '/nqptp B' &&
        "$reader" --wait-master 15 --fresh 2 --settle 3 --interval 0.04 --count 16 --median --quiet \
            --expect-ip "$3" --raw-truth $truth --within "$2" >"$tmp/said"; then
        ok "$1"
    else
        not_ok "$1"
    fi
    sed 's/^/# /' "$tmp/said"
}

# --- netem ----------------------------------------------------------------------------------------

start_daemon --smi=4
start_sender --to 10.77.0.1 --offset $truth
if in_there tc qdisc add dev there root netem 2>"$tmp/said"; then
    while read -r within vice; do
        # shellcheck disable=SC2086 # words
        in_there tc qdisc change dev there root netem $vice
        follow "netem $vice" "$within" 10.77.0.2
    done <<END
1000000 delay 0
3000000 delay 2ms
3000000 delay 2ms 2ms
1000000 loss 30%
1000000 duplicate 50%
3000000 delay 2ms reorder 50%
END
    in_there tc qdisc del dev there root
else
    skip 'netem' "$(cat "$tmp/said")"
fi
stop_senders

# --- links that the daemon did not know at its start -------------------------------------------------

# The sender multicasts, so the daemon must have joined the group on that link.
on_link() { # WHAT ADDRESS-HERE ADDRESS-THERE
    ip addr add "$2/24" dev "new-$1" && ip link set "new-$1" up || return
    in_there ip addr add "$3/24" dev "new-$1" && in_there ip link set "new-$1" up || return
    start_sender --to 224.0.1.129 --interface "new-$1" --from "$3" --offset $truth
    follow "$1: the daemon joins the group and follows the clock" 1000000 "$3"
    stop_senders
}

if ip link add link here name new-vlan type vlan id 7 2>"$tmp/said" &&
    in_there ip link add link there name new-vlan type vlan id 7; then
    on_link vlan 10.78.0.1 10.78.0.2
else
    skip 'vlan' "$(cat "$tmp/said")"
fi
if ip link add link here name new-macvlan type macvlan mode bridge 2>"$tmp/said" &&
    in_there ip link add link there name new-macvlan type macvlan mode bridge; then
    on_link macvlan 10.79.0.1 10.79.0.2
else
    skip 'macvlan' "$(cat "$tmp/said")"
fi
if ip link add new-bridge type bridge mcast_snooping 0 2>"$tmp/said"; then
    ip link add here2 type veth peer name new-bridge netns "$there"
    ip link set here2 master new-bridge
    ip link set here2 up
    on_link bridge 10.80.0.1 10.80.0.2
else
    skip 'bridge' "$(cat "$tmp/said")"
fi
check 'the daemon is alive after all networks' alive
done_testing
