#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that a link-local address belongs to a link. A host on another link has the listed
# sender's address, clock identity, a better priority and sequenceIds that are ahead of the sender's.
# The player must not notice while the sender sends.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter
test "$ipv6" = yes || skip_all 'no IPv6 here'

# A second link: "side" here, "edge" there, with the same addresses as the first one.
ip link add name side type veth peer name edge netns "$there" || skip_all 'no second link'
ip link set side addrgenmode none
in_there ip link set edge addrgenmode none
ip addr add fe80::1/64 dev side nodad
in_there ip addr add fe80::2/64 dev edge nodad
ip link set side up
in_there ip link set edge up

start_honest() {
    start_sender --to fe80::1%there --from fe80::2%there --offset 5000
}

start_impostor() { # OPTION...
    start_sender --to fe80::1%edge --from fe80::2%edge --offset 7000000000000 --priority1 1 "$@"
}

# Starts a player that reads for SECONDS. It must read no other time than the honest
# sender's, in one series.
start_player() { # ADDRESS SECONDS
    "$player" --play "$1" --wait 10 --watch "$2" --ids "$identity" --fresh 3 --raw-truth 5000 \
        --within 20000000 >"$tmp/player" 2>&1 &
    playing=$!
}

end_player() { # NAME
    result=0
    wait "$playing" || result=$?
    is "$1: the player keeps the honest sender's time" $result 0
    sed 's/^/# /' "$tmp/player"
    check "$1: the player read one series" grep -q ' 1 starts,' "$tmp/player"
}

# Succeeds if the address is heard on this link, and the clock there is master or not.
has_row() { # LINK MASTER
    "$nqptp" --status --json 2>/dev/null | tr -d ' \n' |
        grep -q "\"address\":\"fe80::2\",\"interface\":\"$1\",\"master\":$2"
}

# --- T fe80::2: the first link where the address sends wins while it sends there ---

without_a_link() {
    start_daemon -v
    start_player fe80::2 7
    start_honest
    check 'fe80::2: the honest sender is followed' eventually 10 has_row here true
    start_impostor --sequence 60 # the honest sender has sent fewer than 30 Syncs
    check 'fe80::2: an impostor on another link is heard' eventually 5 has_row side false
    end_player 'fe80::2, an impostor on another link'
}

# --- T fe80::2%here: that link, also if the other one was heard first ---

with_a_link() {
    start_daemon -v
    start_player fe80::2%here 5
    start_impostor
    check 'fe80::2%here: an impostor on another link is heard' eventually 5 has_row side false
    uses_more 34 # two Announces are among them
    check 'fe80::2%here: an impostor alone is not followed' has_row side false
    start_honest
    check 'fe80::2%here: the honest sender is followed' eventually 10 has_row here true
    end_player 'fe80::2%here, an impostor on another link'
}

in_parallel without_a_link with_a_link
done_testing
