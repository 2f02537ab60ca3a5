#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Measures how far two rooms of one sender play apart: two daemons on two hosts, with a quiet link to
# each, and a sender that stamps in software and runs 12 ppm fast. In each row something happens to
# the sender or to one room. It is not part of "make check" and takes four minutes.
#
#     make bench-rooms       or       tests/bench/bench-rooms.sh [SECONDS-OF-THE-FIRST-ROW]

# shellcheck source=tests/lib/netns.sh disable=SC2119,SC2317
. "${srcdir:-.}/tests/lib/netns.sh"

LIMIT_US=40
test "${NQPTP_TEST_INSIDE:-}" != '' || export NQPTP_BENCH_SECONDS="${1:-60}"
need awk mawk
enter 600

watcher=$build/tests/bench/bench-rooms
offset=$((788996500000000 - $("$reader" --now)))
missed=0

# The second room's host. The sender is its neighbour too, at 10.78.0.2.
make_second_room() {
    unshare -nm --propagation private sh -c 'mount -t tmpfs tmpfs /dev/shm && exec sleep 1000' &
    room=$!
    eventually 5 second_room_is_there || skip_all 'no third host'
    in_room ip link set lo up
    in_there ip link add room type veth peer name here netns $room
    in_there ip addr add 10.78.0.2/24 dev room
    in_there ip link set room up
    in_room ip addr add 10.78.0.1/24 dev here
    in_room ip link set here up
    mkdir "$tmp/room"
}

second_room_is_there() {
    test "$(readlink "/proc/$room/ns/net")" != "$(readlink /proc/self/ns/net)" &&
        test -z "$(ls "/proc/$room/root/dev/shm")"
}

in_room() { # COMMAND...
    nsenter -t "$room" -n -m "$@"
}

start_second_daemon() {
    nsenter -t "$room" -n -m "$nqptp" --user=root --group=root 2>>"$tmp/second.log" &
    second=$!
    eventually 5 second_answers || skip_all "the second daemon does not start: $(cat "$tmp/second.log")"
}

second_answers() {
    in_room "$nqptp" --status >/dev/null 2>&1
}

end_second_daemon() { # SIGNAL
    kill -s "$1" "$second"
    wait "$second" 2>/dev/null
}

start_master() {
    start_sender --low-ports --to 10.77.0.1 --to 10.78.0.1 --offset "$offset" --skew 12
}

# Runs a player of another version in the second room.
play_there() { # GENERATION SECONDS
    in_room "$player" --generation "$1" --play 10.78.0.2 --watch "$2" >"$tmp/said" 2>&1 ||
        sed 's/^/player: /' "$tmp/said" >&2
}

# Watches both rooms for SECONDS. The event begins after 3 s.
row() { # NAME SECONDS [EVENT...]
    name=$1 seconds=$2
    shift 2
    "$watcher" /dev/shm/nqptp "/proc/$room/root/dev/shm/nqptp" "$seconds" $LIMIT_US \
        >"$tmp/row" 2>"$tmp/said" &
    watching=$!
    test $# = 0 || { sleep 3; "$@"; }
    verdict=''
    wait $watching || { verdict=" MISSED $(cat "$tmp/said")"; missed=$((missed + 1)); }
    awk -F, -v name="$name" -v verdict="$verdict" \
        '{ printf "%-45s%8s%8s%8s%s\n", name, $1, $2, $3, verdict }' "$tmp/row"
    test -s "$tmp/row" || echo "$name:$verdict"
}

away() { # SIGNAL
    end_second_daemon "$1"
    sleep 1
    start_second_daemon
}

restart_master() {
    stop_senders
    sleep 1
    start_master
}

make_second_room
start_daemon
start_second_daemon
start_master
control '/nqptp T 10.77.0.2'
control '/nqptp B'
in_room "$reader" --command '/nqptp T 10.78.0.2'
in_room "$reader" --command '/nqptp B'
sleep 5
echo "Microseconds that two rooms are apart. The maximum must be $LIMIT_US or less."
printf '%-45s%8s%8s%8s\n' '' median p99 max
row 'quiet' "$NQPTP_BENCH_SECONDS"
row 'the second daemon: kill -9, away for 1 s' 20 away KILL
row 'the second daemon: restart' 20 away USR1
row 'the second daemon: stop, start' 20 away TERM
row 'the sender ends and starts' 20 restart_master
for generation in 4.2 2021; do
    play_there $generation 3
    in_room "$reader" --command '/nqptp T 10.78.0.2'
    in_room "$reader" --command '/nqptp B'
    row "after a player of $generation there" 20
done
test $missed = 0
