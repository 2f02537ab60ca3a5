# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034,SC2154
#
# What the tests of -i share: a second network, and checks of a daemon that listens on one of the
# two. A test sources this file after `enter`.

mac=027700fffe000001 # the daemon's clock identity, made of its MAC address
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

# As start_sender, but on this host. Returns when the sender has the ports.
start_own_sender() { # OPTION...
    "$sender" --low-ports "$@" >"$tmp/sender" 2>&1 &
    last_sender=$!
    senders="$senders $last_sender"
    check 'another program takes the ports' eventually 5 has_ports "$last_sender"
}

# Succeeds if a socket of the process is bound to port 320, the last port that a sender binds.
has_ports() { # PID
    for link in $(readlink "/proc/$1/fd/"*); do
        socket=${link#socket:\[}
        grep -q ":0140 .* ${socket%]} " /proc/net/udp /proc/net/udp6 && return
    done
    return 1
}

# Succeeds if this clock is master, with a sample of the last second.
follows() { # IDENTITY
    "$reader" --expect-id "$1" --fresh 1 --count 1 --quiet >/dev/null 2>&1
}

lost() { # IDENTITY
    ! follows "$1"
}

answered_from() { # ADDRESS
    grep -q "^Delay_Req from $1\(%there\)* port 319" "$tmp/sender"
}

# Succeeds if this clock has the only row, and still has it a second later.
hears_only() { # IDENTITY
    eventually 5 follows "$1" && sleep 1 && has_rows 1 && grep -q "^[*].* $1 " "$tmp/status"
}

# Starts another daemon, which has to end by itself.
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
