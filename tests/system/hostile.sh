#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that no client of this host hurts the daemon or the players of another object: not one that
# is killed or stopped with the mutex in its hands, is greedy for it, scribbles over the object, cuts
# it short, removes or replaces it, opens it without end, or floods the control port; and that the
# record is right again when that is over, and every log is short.
#
# With NQPTP_TEST_LONG set it goes on for minutes.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter $((180 * (1 + 4 * 0${NQPTP_TEST_LONG:+1})))

hostile=$build/tests/tools/hostile
seconds=${NQPTP_TEST_LONG:+20}
seconds=${seconds:-1} # for each abuse
offset=1234567890123
seed=0

# Plays a role at low priority, so that the other processes get some of the processors.
guest() { # OPTION... ROLE
    seed=$((seed + 1))
    nice -n 19 "$hostile" --seed $seed "$@"
}

# The contract allows 2 s after the abuse. A busy machine has three times as long.
right_again() { # WHAT
    check "$1: the record is right again" "$hostile" --seconds 6 --expect-id "$identity" look
    sed 's/^/# /' "$tmp/said"
    check "$1: a client that locks reads the record" "$reader" --wait-master 10 --expect-id "$identity" \
        --fresh 5
    check "$1: the daemon is alive" alive
    check "$1: the player of another object is undisturbed" kill -0 "$watching"
}

survives() { # WHAT COMMAND...
    what=$1
    shift
    check "$what" "$@"
    sed 's/^/# /' "$tmp/said"
    right_again "$what"
}

stopped() { # PID
    test "$(cut -d ' ' -f 3 "/proc/$1/stat")" = T
}

# Two clients, one of which has the mutex and is stopped, and one waits for it.
two_clients() {
    : >"$tmp/holder"
    : >"$tmp/waiter"
    "$hostile" hold >"$tmp/holder" 2>&1 &
    holder=$!
    eventually 5 stopped $holder
    "$hostile" wait >"$tmp/waiter" 2>&1 &
    waiter=$!
    eventually 5 grep -q waiting "$tmp/waiter"
}

start_watching() {
    "$player" --name /other --play 10.77.0.2 --wait 10 --ids "$identity" --raw-truth "$offset" \
        --within 20000000 --fresh 3 --watch 1000 >"$tmp/watching" 2>&1 &
    watching=$!
    eventually 10 grep -q version "$tmp/watching"
}

stop_watching() {
    check 'a player of another object reads on' kill "$watching"
    sed 's/^/# /' "$tmp/watching"
    wait "$watching" 2>/dev/null
}

# Starts what each part needs: a daemon, a sender, and a player of another object.
begin() {
    start_daemon -v
    start_sender --to 10.77.0.1 --offset "$offset"
    control 'T 10.77.0.2'
    check 'the only clock is master before clients do harm' "$reader" --wait-master 10 --expect-id "$identity"
    start_watching
    files=$(open_files "$daemon")
    begun=$(uptime_s)
}

uptime_s() {
    cut -d . -f 1 /proc/uptime
}

# Each object that a client made meanwhile has a descriptor. A daemon logs ten lines of a kind in 5 s,
# so more of them come where a busy machine makes the part last longer.
end() { # PART [NEW-OBJECTS]
    is "$1: the list is as it was" "$(sed -n 's/^List: *//p' "$tmp/status" | head -n 1)" '1 address: 10.77.0.2'
    lines=$(wc -l <"$tmp/log")
    rare=$(grep -cv 'clock\|master is\|no master' "$tmp/log")
    took=$(($(uptime_s) - begun))
    check "$1: the log with -v has less than 400 lines" test "$lines" -lt 400
    check "$1: the log without -v has less than 40 lines and 4 more a second" \
        test "$rare" -lt $((40 + 4 * took))
    echo "# $lines and $rare in $took s"
    is "$1: no file descriptor was left open" "$(open_files "$daemon")" $((files + ${2:-0}))
    stop_watching
    stop_daemon
    is "$1: after that the daemon stops with status 0" "$status" 0
    is "$1: the daemon leaves no object when it stops" "$(find /dev/shm -maxdepth 1 -type f | wc -l)" 0
}

# --- the mutex ---

mutex() {
    begin
    if is_root; then
        check_not 'the daemon is not root any more' grep -q '^Uid:.*[[:space:]]0\>' "/proc/$daemon/status"
    else
        skip 'the daemon is not root any more' 'it takes root to start it as root'
    fi

    two_clients
    kill -KILL $holder
    check 'killed with the mutex: the client that waited gets the mutex' wait $waiter
    is 'killed with the mutex: the client that waited reads the record' "$(tail -n 1 "$tmp/waiter")" "got $identity"
    right_again 'killed with the mutex'

    two_clients
    check 'stopped with the mutex: the client that waited gets the mutex' wait $waiter
    is 'stopped with the mutex: the client that waited gets the record' "$(tail -n 1 "$tmp/waiter")" "got $identity"
    right_again 'stopped with the mutex'
    kill -CONT $holder
    check 'stopped with the mutex: the client that is continued goes on unharmed' wait $holder
    right_again 'continued'

    # Clients whose mutex was taken from them, and which are still stopped, do not disturb other clients.
    for _ in 1 2 3; do
        two_clients
        check 'stopped with the mutex, one after the other: the client that waited gets the mutex' wait $waiter
        held="${held:-} $holder"
    done
    # shellcheck disable=SC2086 # a list
    kill -CONT $held
    for one in $held; do
        check 'stopped, one after the other: each goes on unharmed' wait "$one"
    done

    for _ in 1 2 3; do
        guest --seconds "$seconds" loop >"$tmp/loop" 2>&1 &
        loops="${loops:-} $!"
    done
    check 'greedy for the mutex: others find the record fresh' "$reader" --expect-id "$identity" \
        --fresh 3 --interval 0.02 --count 80 --quiet
    for one in $loops; do
        wait "$one"
    done
    right_again 'greedy for the mutex'
    end 'clients that hold the mutex'
}

# --- the object ---

other_has_clock() { # without a command, which would be the player's
    test "$(od -A n -t x8 -N 16 /dev/shm/other 2>/dev/null | awk '{ print $2 }')" = "$identity"
}

all_at_once() {
    guest --seconds "$seconds" scribble &
    scribbling=$!
    guest --seconds "$seconds" cut &
    cutting=$!
    guest --seconds "$seconds" unlink
    unlinked=$?
    wait $scribbling $cutting # They fail if they find no object.
    return $unlinked
}

object() {
    begin
    survives 'scribbling over the mutex' guest --seconds "$seconds" mutex
    survives 'scribbling over the mutex without a pause' guest --seconds "$seconds" --bare mutex
    survives 'scribbling over the object' guest --seconds "$seconds" scribble
    survives 'scribbling over the object without a pause' guest --seconds "$seconds" --bare scribble
    survives 'cutting it short' guest --seconds "$seconds" cut
    survives 'cutting it short without a pause' guest --seconds "$seconds" --bare cut
    survives 'removing it' guest --seconds "$seconds" unlink
    survives 'replacing it' guest --seconds "$seconds" replace
    survives 'all of that at once' all_at_once

    # Only root and the daemon's user can remove the name. Players then have to start again.
    stop_watching
    mode=$(stat -c %a:%u:%g /dev/shm/other)
    rm /dev/shm/other
    check 'removed: there is another object, with the clock' eventually 5 other_has_clock
    is 'removed: the new object has the same mode and owner' "$(stat -c %a:%u:%g /dev/shm/other)" "$mode"
    start_watching
    right_again 'removed'

    # Without a master nothing is published, so a command makes the daemon look at its object.
    control T
    check 'without clocks there is no master' "$reader" --wait-none 10
    rm /dev/shm/nqptp
    control T
    check 'removed while there is no master: the object is there after a command' "$reader" --wait-none 10
    control 'T 10.77.0.2'
    right_again 'no master'
    end 'abuse of the object'
}

# --- opening ---

storm() { # WHAT OPTION...
    before=$(used)
    start=$("$reader" --now)
    what=$1
    shift
    survives "$what" guest --seconds "$seconds" "$@" open
    tenths=$((($("$reader" --now) - start) / 100000000))
    rate=$((($(used) - before) * 10 / tenths))
    # An idle machine sends 17 a second. A busy one may stop the sender for a while.
    check "$what: packets are taken in as before" test $rate -ge 8
    echo "# $rate a second"
}

storms() {
    begin
    storm 'opening it without end' --bare
    storm 'opening it without end by many at once' --bare --processes 8
    storm 'opening it without end after commands' --processes 2
    control 'T 10.77.0.2'
    check 'opening it without end: the lease is back, after half a minute at most' eventually 40 leased
    end 'opening it without end'
}

waits_to_open() { # PID
    grep -q '(cat) S' "/proc/$1/stat"
}

# A process that opens the object waits until the daemon gives up its lease. Of three openers the
# first is killed while it waits, the second is stopped, and the third opens and never closes.
openers() {
    begin
    check 'while no process has the object open there is a lease' eventually 5 leased
    kill -STOP "$daemon"
    cat /dev/shm/nqptp >/dev/null 2>&1 &
    first=$!
    cat /dev/shm/nqptp >/dev/null 2>&1 &
    second=$!
    eventually 5 waits_to_open $first && eventually 5 waits_to_open $second
    kill -KILL $first
    kill -STOP $second
    kill -CONT "$daemon"
    right_again 'killed and stopped in opening it'
    (exec 3</dev/shm/nqptp; echo open; exec sleep 1000) >"$tmp/third" &
    third=$!
    eventually 10 grep -q open "$tmp/third" # After the next command it would find another layout.
    control '/nqptp T 10.77.0.2'
    control 'T 10.77.0.2'
    right_again 'open for ever'
    kill -CONT $second
    check 'an opener that was stopped and continued finishes' wait $second
    kill $third
    end 'hostile openers'
}

# --- commands ---

commands() {
    begin
    in_there "$sender" --mode flood --from 10.77.0.3 --to 10.77.0.1 --rate 500 --count 1000 &
    flooding=$!
    survives 'a flood of commands' guest --count "$((seconds * 50000))" flood
    wait $flooding
    is 'each of 40 names has one object' "$(find /dev/shm -maxdepth 1 -name 'f*' -type f | wc -l)" 40
    is 'a request for the status from a loopback address is answered' "$("$hostile" --seconds 10 --from ::1 ask)" answered
    is 'a request for the status from another address is not answered' "$("$hostile" --from fd77::1 ask)" 'no answer'
    end 'a flood of commands' 40
}

# --- layout 9, which clients keep mapped ---

layout_9() {
    start_daemon --smi=9
    start_sender --to 10.77.0.1 --offset "$offset"
    control '/nqptp T 10.77.0.2'
    "$player" --generation 4.2 --play 10.77.0.2 --wait 10 --ids "$identity" --raw-truth "$offset" \
        --within 20000000 --watch 5 >"$tmp/player" 2>&1 &
    playing=$!
    eventually 10 grep -q version "$tmp/player"
    two_clients
    check 'layout 9: the client that waited gets the mutex' wait $waiter
    kill -CONT $holder
    check 'layout 9: the client that held the mutex goes on' wait $holder
    sed 's/^/# /' "$tmp/holder"
    two_clients
    kill -KILL $holder
    check 'layout 9: the client that waited for a killed one gets the mutex' wait $waiter
    check 'layout 9: a player played on all the while' wait $playing
    sed 's/^/# /' "$tmp/player"
    check 'the daemon is alive' alive
}

# --- no descriptors left ---

unreadable() {
    grep -q 'cannot read the list of interfaces' "$tmp/log"
}

no_descriptors() {
    printf '#!/bin/sh\nexec prlimit --nofile=24 "%s" "$@"\n' "$nqptp" >"$tmp/limited"
    chmod 755 "$tmp/limited"
    nqptp=$tmp/limited
    start_daemon
    for name in $(seq 15); do
        control "/name$name T 10.77.0.2"
    done
    for host in $(seq 20); do
        ip addr add "10.78.0.$host/24" dev here
    done
    check 'interfaces that cannot be read for want of descriptors are told of' eventually 5 unreadable
    sleep 0.5 # no second line may come
    is 'interfaces that cannot be read are warned of once' "$(grep -c 'cannot read the list of interfaces' "$tmp/log")" 1
    check 'the daemon is alive' alive
    stop_daemon
}

in_parallel mutex object storms openers commands layout_9 no_descriptors
done_testing
