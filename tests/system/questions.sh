#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that packets come first: while two processes of this host flood the control ports of both
# families with questions and a third opens the object in a loop, each time after a command, what a
# player reads stays fresh.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter

hostile=$build/tests/tools/hostile
seconds=6

start_daemon
start_sender --to 10.77.0.1
# The answer takes long: it names the addresses of all lists. An opener waits until the commands in
# the sockets are answered. If the daemon read no packets meanwhile, a packet would wait for seconds
# on any machine. It waits for 16 answers only, which take some milliseconds.
for client in $(seq 60); do
    "$reader" --command "/client$client T $(seq -s ' ' -f "10.78.$client.%g" 1 250)"
done
control '/player T 10.77.0.2'
control '/player B'
check 'before the questions there is a master' "$reader" --wait-master 10 --expect-id "$identity"

# Succeeds if the player read fresh samples all the while, and the opener ended. The player's first
# commands, an empty list and its list, may be read late, or be lost.
stays_fresh() {
    flooding=''
    for _ in 1 2; do
        "$hostile" --seconds $seconds questions &
        flooding="$flooding $!"
        test "$ipv6" = no && continue
        "$hostile" --seconds $seconds --from ::1 questions &
        flooding="$flooding $!"
    done
    "$hostile" --path /dev/shm/nqptp --seconds $seconds --processes 1 open &
    opener=$! result=0
    "$player" --name /player --play 10.77.0.2 --wait 10 --watch $((seconds - 2)) --interval 0.02 \
        --fresh 1.2 --may-vanish || result=$?
    wait $opener || result=$?
    # shellcheck disable=SC2086 # a list
    wait $flooding
    return $result
}

# A busy machine may stop any process for a second, so there are three tries.
stays_fresh_once() {
    stays_fresh || stays_fresh || stays_fresh
}
check 'under a flood of questions no sample is older than 1.2 s' stays_fresh_once
sed 's/^/# /' "$tmp/said"
check 'after the flood the daemon answers' eventually 10 answers

done_testing
