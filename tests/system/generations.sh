#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that players of every generation find the layout that they read at their first look: one
# after the other without a pause, in all orders; started before the daemon; and after the daemon was
# frozen for so long that the kernel broke its lease.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter 120

# Looks once by the rules of that generation and ends. A wrong layout or a hang is its exit status.
play() { # GENERATION OPTION...
    generation=$1
    shift
    "$player" --generation "$generation" --play 10.77.0.2 "$@"
}

leased() {
    grep -q "LEASE *ACTIVE.*:$(stat -c %i /dev/shm/nqptp) " /proc/locks
}

# --- one after the other ---

start_daemon
start_sender --to 10.77.0.1 --offset 5000
for first in 2021 4.1 4.2 5; do
    for second in 2021 4.1 4.2 5; do
        check "$second after $first: $first plays" play $first --watch 1.1
        sleep 0.2 # the pause between the two is what is tested
        check "$second after $first: $second finds its layout" play $second --wait 5
        sleep 0.2
    done
done

# While a player keeps the object open the daemon does not look for its end.
"$player" --play 10.77.0.2 --watch 1000 >"$tmp/player" 2>&1 &
playing=$!
eventually 5 grep -q version "$tmp/player"
check_not 'a player has the object open: there is no lease' leased
kill $playing
wait $playing 2>/dev/null
check 'it ends: the lease is back at once' eventually 2 leased

# --- started before the daemon ---

# 4.3 sends its T once, to a port that is still closed, and looks for the object for 10 s.
wait_for_daemon() { # OPTION...
    "$player" --patient "$@" >"$tmp/player" 2>&1 &
    playing=$!
}
stop_daemon
wait_for_daemon --play 10.77.0.2
sleep 0.5
start_daemon
check 'a player of 4.3 started before the daemon finds layout 10' wait $playing
sed 's/^/# /' "$tmp/player"
stop_daemon
wait_for_daemon --generation 4.2 --play 10.77.0.2
sleep 0.5
start_daemon
check 'a player of 4.2 started before the daemon finds its layout' wait $playing
"$player" --generation 2021 --play 10.77.0.2 >"$tmp/player" 2>&1
is 'then a player of 2021 finds its layout' $? 0

# --- frozen ---

# The kernel breaks the lease of a daemon that does not react for fs.lease-break-time seconds.
break_time=$(cat /proc/sys/fs/lease-break-time)
if is_root && echo 2 >/proc/sys/fs/lease-break-time 2>/dev/null; then
    trap 'echo $break_time >/proc/sys/fs/lease-break-time' EXIT
    stop_daemon
    start_daemon
    kill -STOP "$daemon"
    "$player" --generation 4.2 >"$tmp/player" 2>&1 &
    playing=$!
    sleep 3
    kill -CONT "$daemon"
    wait $playing
    check 'frozen while a player of 4.2 opened the object: alive' alive
    check 'frozen: then a player of 5 finds its layout' play 5
    check 'frozen: then a player of 2021 finds its layout' play 2021
else
    skip 'frozen while a player of 4.2 opened the object: alive' 'it takes root to set fs.lease-break-time'
fi

done_testing
