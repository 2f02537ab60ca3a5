#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that what players asked for outlives the daemon without a service manager: after a crash and
# after a restart the lists, the names, which players play and the layouts are back, and the music goes
# on. And that random bytes in its place do no harm.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter 120

shm=/dev/shm

# The state of all clients, by lines.
asked() {
    answers
    sed -n '/^\(List\|Object\)/p' "$tmp/status"
}

layout_of() { # NAME
    od -A n -t u2 -N 2 "$shm$1" | tr -d ' '
}

start_daemon
start_sender --to 10.77.0.1 --offset 5000
"$player" --play 10.77.0.2 --wait 10 --watch 1000 --ids "$identity" --raw-truth 5000 \
    --within 20000000 >"$tmp/five" 2>&1 &
five=$!
eventually 10 grep -q version "$tmp/five"
"$player" --name /kitchen --play 10.77.0.2 --wait 10 --watch 1000 --ids "$identity" \
    >"$tmp/kitchen" 2>&1 &
kitchen=$!
eventually 10 grep -q version "$tmp/kitchen"
control '/gone T 10.77.0.3'
control '/nobody T'
before=$(asked)
echo "$before" | sed 's/^/# /'

for signal in KILL USR1; do
    check "SIG$signal: the mastership goes on" mastership_goes_on /kitchen $signal
    is "SIG$signal: lists and objects are as the players asked for" "$(asked)" "$before"
    check "SIG$signal: a player of 5 plays on" kill -0 $five
    check "SIG$signal: a player with a name plays on" kill -0 $kitchen
    is "SIG$signal: the object has layout 10 again" "$(layout_of /nqptp)" 10
done
kill $kitchen
check 'through a crash and a restart a player with a name read on' wait $kitchen
sed 's/^/# /' "$tmp/kitchen"

# --- names without an object ---

stop_daemon KILL
rm $shm/gone
mkdir $shm/gone
start_daemon
check_not 'a name whose object is gone is dropped' grep -q /gone "$tmp/status"
check 'a name whose object is gone: the daemon is alive' alive
rmdir $shm/gone

# --- nonsense ---

kill $five
wait $five 2>/dev/null
stop_daemon KILL
dd if=/dev/urandom of=$shm/nqptp bs=4096 seek=1 count=3 conv=notrunc 2>/dev/null
dd if=/dev/urandom of=$shm/kitchen bs=4096 seek=1 count=3 conv=notrunc 2>/dev/null
start_daemon
check 'random bytes are kept: the daemon starts' alive
check 'random bytes are kept: there is no list' grep -q '^List: *never' "$tmp/status"
control 'T 10.77.0.2'
stop_daemon KILL
start_daemon
check 'after random bytes a list is kept again' grep -q '^List: *1 address' "$tmp/status"

# --- only a named object is open when the daemon stops ---

stop_daemon
start_daemon
"$player" --name /cellar --play 10.77.0.2 --wait 10 --watch 1000 --ids "$identity" >"$tmp/cellar" 2>&1 &
cellar=$!
eventually 10 grep -q version "$tmp/cellar"
stop_daemon
check 'after a stop only the object of the player that is there is put aside' \
    test "$(find $shm -maxdepth 1 \( -name '.*.kept' -o -name nqptp \) -printf '%f\n' | sed 's/[0-9a-f]\{16\}/R/')" = .cellar.R.kept
start_daemon
check 'a start brings the named client back' grep -q '/cellar' "$tmp/status"
stop_daemon KILL
start_daemon
check 'a crash after that does not lose the named client' grep -q '/cellar' "$tmp/status"
kill $cellar

# --- a client that ended ---

control '/attic T 10.77.0.2'
control '/attic B'
control '/attic E'
stop_daemon KILL
start_daemon
check 'a client that said E is back after a crash' grep -q '^Object: */attic' "$tmp/status"
check_not 'a client that said E does not play after a crash' grep -q '/attic.*playing' "$tmp/status"

done_testing
