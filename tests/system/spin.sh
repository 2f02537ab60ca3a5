#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that the daemon does not spin: for half a minute it takes next to no processor time and wakes up
# seldom, while a player keeps the object open, while clients hold the mutex and die, after an opener
# that did not wait made it release its lease, and while another program has its port. Four daemons
# run at the same time, each in a network and with a /dev/shm of its own.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter

seconds=33 # more than the 30 s after which the daemon asks for a lease again
ticks=$(getconf CLK_TCK)
: >"$tmp/log"

# Namespaces of their own, by the process that keeps them.
new_place() {
    unshare -nm sleep infinity &
    place=$!
    eventually 5 apart $place
    at $place mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    at $place ip link set lo up
}

apart() { # PLACE
    test "$(readlink "/proc/$1/ns/mnt")" != "$(readlink /proc/self/ns/mnt)"
}

at() { # PLACE COMMAND...
    target=$1
    shift
    nsenter -t "$target" -n -m "$@"
}

# Starts a daemon in a new place, and sets $place and $daemon.
start_daemon_apart() { # NAME OPTION...
    case=$1
    shift
    is_root || set -- --user=root --group=root "$@"
    new_place
    nsenter -t $place -n -m "$nqptp" "$@" 2>"$tmp/$case.log" &
    daemon=$!
    check "$case: the daemon answers" eventually 10 at $place "$nqptp" --status
}

logged() { # CASE PATTERN
    grep -q -e "$2" "$tmp/$1.log"
}

note() { # PID
    echo "$(cpu_time "$1") $(wake_ups "$1")" >"$tmp/$1.before"
}

calm() { # CASE PID PERCENT-OF-A-PROCESSOR WAKE-UPS-A-SECOND
    read -r cpu woken <"$tmp/$2.before"
    cpu=$(($(cpu_time "$2") - cpu)) woken=$(($(wake_ups "$2") - woken))
    echo "# $1: $cpu/$ticks s of a processor, $woken wake-ups"
    check "$1: at most $3 % of a processor" test $cpu -le $((seconds * ticks * $3 / 100))
    check "$1: at most $4 wake-ups a second" test $woken -le $((seconds * $4))
}

# --- a player keeps the object open ---

start_daemon_apart open
open=$daemon
at $place "$player" --watch 1000 --interval 1 >"$tmp/player" 2>&1 &
check 'open: a player has the object' eventually 5 grep -q 'version 10' "$tmp/player"
check 'open: another player opens and closes the object' at $place "$player" --watch 0.1

# --- one client after the other is killed while it holds the mutex ---

start_daemon_apart mutex
mutex=$daemon mutex_place=$place
at $place "$sender" --to 127.0.0.1 >"$tmp/sender" 2>&1 &
at $place "$reader" --command 'T 127.0.0.1' # a player with a list plays
check 'mutex: there is a master' eventually 10 at $place "$reader" --expect-id "$identity" --count 1
hold_in_turn() {
    while at "$mutex_place" timeout -s KILL 3 "$build/tests/tools/hostile" hold; test $? = 137; do
        echo killed
    done
}
hold_in_turn >"$tmp/holders" 2>&1 &
check 'mutex: a client holds the mutex' eventually 5 grep -q locked "$tmp/holders"

# --- an opener does not wait, and later another keeps the object open ---

start_daemon_apart lease
lease=$daemon
at $place "$reader" --command '/nqptp T'
check_not 'lease: an opener that does not wait is refused' \
    at $place dd if=/dev/shm/nqptp of=/dev/null count=0 iflag=nonblock
at $place sh -c 'exec 3</dev/shm/nqptp; echo open; exec sleep infinity' >"$tmp/opener" &
check 'lease: another opener has the object' eventually 5 grep -q open "$tmp/opener"

# --- another program has the port ---

add_link() {
    at $place ip link add late type veth peer name early
    at $place ip link set late up
    at $place ip link set early up
}
start_daemon_apart port -i late
port=$daemon
at $place "$sender" --low-ports --to 127.0.0.1 --rate 0.01 --no-announce >"$tmp/holder" 2>&1 &
check 'port: another program has the port' eventually 5 at $place grep -q ':013F ' /proc/self/net/udp
add_link
check 'port: the daemon finds the port taken' eventually 5 logged port 'cannot open UDP port 319'

# --- for half a minute ---

for each in "$open" "$mutex" "$lease" "$port"; do
    note "$each"
done
sleep $seconds # nothing may happen in this time
calm open "$open" 1 1
calm mutex "$mutex" 10 333
calm lease "$lease" 1 1
calm port "$port" 1 2
check 'mutex: a client holds the mutex to the end' test "$(grep -c killed "$tmp/holders")" -gt 5
check 'mutex: the record is published to the end' at "$mutex_place" \
    "$reader" --wait-master 10 --expect-id "$identity" --fresh 3
check 'port: one warning for each port' test "$(grep -c 'cannot open UDP port' "$tmp/port.log")" -le 4
daemon=''

done_testing
