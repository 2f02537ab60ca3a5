#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that senders go on serving: masters that, as airptpd does, send nothing more to a receiver that has
# not been heard for a while from the very address that they serve. The daemon's host has two
# addresses of each kind, and is served at either. Each player follows one of the masters.
#
# NQPTP_TEST_LONG=1 takes a while of 15 s and a minute of play, as with real senders.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
mute=2 play=6
test "${NQPTP_TEST_LONG:-}" = '' || mute=15 play=60
enter $((60 + play + 2 * mute))

ip addr add 10.77.0.7/24 dev here
if test "$ipv6" = yes; then
    ip addr add fd77::7/64 dev here nodad
    ip addr add fe80::7/64 dev here nodad
    in_there ip addr add fe80::3/64 dev there nodad
fi

players=''

# A master and its player; its identity is also the player's name.
pair() { # IDENTITY FROM TO
    start_sender --low-ports --serve-muted $mute --identity "$1" --from "$2" --to "$3" --offset 9
    "$player" --name "/$1" --play "${2%\%*}" --wait 10 --watch $play --ids "$1" --fresh 1.5 \
        --interval 0.02 --raw-truth 9 --within 5000000 >"$tmp/player-$1" 2>&1 &
    players="$players $1:$!"
}

start_daemon
pair a1 10.77.0.2 10.77.0.1
pair a2 10.77.0.3 10.77.0.7
if test "$ipv6" = yes; then
    pair b1 fd77::2 fd77::1
    pair b2 fd77::3 fd77::7
    pair c1 fe80::2%there fe80::1%there
    pair c2 fe80::3%there fe80::7%there
else
    skip 'masters of IPv6' 'no IPv6 here'
fi
for one in $players; do
    result=0
    wait "${one#*:}" || result=$?
    is "${one%:*}, which serves only receivers that send each $mute s, is followed for $play s" $result 0
    sed 's/^/# /' "$tmp/player-${one%:*}"
    check "${one%:*} is followed in one mastership" grep -q ' 1 starts,' "$tmp/player-${one%:*}"
done

# The senders would have stopped without requests: the daemon now lists none of them and sends none.
for one in $players; do
    control "/${one%:*} T"
done
all_silent() {
    answers && test "$(awk '/^[*.]/ && $4 + 0 >= 2' "$tmp/status" | wc -l)" = "$(rows)"
}
check 'all senders stop when they hear nothing' eventually $((mute + 10)) all_silent
still_there() {
    for one in $senders; do
        kill -0 "$one" || return 1
    done
}
check 'all masters still send at the end' still_there

done_testing
