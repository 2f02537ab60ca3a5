#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that no user can keep the service from starting: whatever is at /dev/shm/nqptp, and though
# another user takes the name again in a loop, "nqptp --claim" makes room, and the daemon starts with
# an object of its own. And that --claim leaves the object of a running daemon, and other names, alone.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
need setpriv util-linux
enter 150
is_root || skip_all 'it takes root to claim'

object=/dev/shm/nqptp
cp "$nqptp" "$build/tests/tools/hostile" "$tmp" # where every user can execute them
chmod 755 "$tmp/nqptp" "$tmp/hostile"

as_other() { # COMMAND...
    setpriv --reuid=12345 --regid=12345 --clear-groups "$@"
}

# As the unit does: first --claim as root, then the daemon without any privilege but low ports.
start_service() {
    "$nqptp" --claim --user=nobody --group=root 2>>"$tmp/claim"
    launch_service
    eventually 10 answers
}

launch_service() { # [OPTION...]
    setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all,+net_bind_service \
        --ambient-caps=-all,+net_bind_service --bounding-set=-all,+net_bind_service \
        "$tmp/nqptp" "$@" 2>"$tmp/log" &
    daemon=$!
}

own() {
    test "$(stat -c '%F %u' $object)" = 'regular file 65534'
}

clean() {
    rm -rf $object /dev/shm/.nqptp.*
}

serves_over() { # WHAT
    check "$1: the service starts" start_service
    check "$1: the daemon starts with an object of its own" own
    is "$1: a reader finds a layout" "$(od -A n -t u2 -N 2 $object | tr -d ' ')" 10
    stop_daemon
    is "$1: nothing is left but a directory that is not empty" \
        "$(find /dev/shm -maxdepth 1 -name '*nqptp*' -type d | wc -l)" "${2:-0}"
    check "$1: no other file is left" \
        test "$(find /dev/shm -maxdepth 1 -name '*nqptp*' ! -type d | wc -l)" = 0
    clean
}

as_other mkdir $object
serves_over 'a directory'
as_other sh -c "mkdir $object && touch $object/file"
serves_over 'a directory that is not empty' 1
echo precious >"$tmp/precious"
chmod 666 "$tmp/precious"
as_other ln -s "$tmp/precious" $object
serves_over 'a link'
is 'a link: the file that it leads to is as it was' "$(cat "$tmp/precious")" precious
as_other ln -s nowhere $object
serves_over 'a link that leads nowhere'
as_other mkfifo $object
serves_over 'a pipe'
setpriv --reuid=12345 --regid=12345 --clear-groups \
    sh -c ": >$object; exec sleep 1000 <$object" &
holder=$!
eventually 5 test -e $object
serves_over 'a file that another user has open'
kill $holder
as_other sh -c "umask 0; truncate -s 4096 $object"
"$reader" --hold 5 >"$tmp/mapped" 2>&1 &
holder=$!
eventually 5 grep -q mapped "$tmp/mapped"
serves_over 'a file that another process has mapped'
kill $holder 2>/dev/null
as_other "$tmp/hostile" socket
serves_over 'a socket'

# --- a daemon that is started as root ---

as_other mkdir $object
start_daemon --user=nobody --group=root
check 'a directory, and the daemon is started as root: it has an object of its own' own
check 'a directory, and the daemon is started as root: the log says what it replaced' \
    grep "what was at $object did not belong to user nobody" "$tmp/log"
stop_daemon
clean

# --- a loop of mkdir ---

setpriv --reuid=12345 --regid=12345 --clear-groups "$tmp/hostile" --seconds 1000 mkdir \
    >"$tmp/loop" 2>&1 &
loop=$!
started=0
for _ in $(seq 50); do
    eventually 5 test -d $object || break
    start_service && own && started=$((started + 1))
    stop_daemon
done
is 'against a loop of mkdir the service starts' "$started of 50" '50 of 50'
kill $loop
wait $loop 2>/dev/null
clean

# --- another user takes the name while the service is stopped ---

start_service
control 'T 10.77.0.2'
"$reader" --hold 60 >"$tmp/held" 2>&1 &
holder=$!
eventually 5 grep -q mapped "$tmp/held"
stop_daemon
as_other mkdir $object /dev/shm/.nqptp.kept
launch_service
wait "$daemon"
is 'the name is taken while stopped: the daemon alone does not start' $? 1
start_service
check 'the name is taken while stopped: after --claim the list is back' \
    grep -q '^List: *1 address' "$tmp/status"
stop_daemon
start_service
check 'the name that a file was put aside by is taken: the list is back' \
    grep -q '^List: *1 address' "$tmp/status"
kill $holder
wait $holder 2>/dev/null
stop_daemon
clean

# --- where it does nothing ---

start_service
inode=$(stat -c %i $object)
"$nqptp" --claim --user=root --group=root
is 'while a daemon has the port nothing is done' "$(stat -c %i $object)" "$inode"
"$nqptp" --claim --user=root --group=root --event-port=1319
is 'while a daemon has port 319 a claim for another port does nothing' "$(stat -c %i $object)" \
    "$inode"
"$nqptp" --user=root --event-port=1319 --general-port=1320 --control-port=1900 2>"$tmp/second" &
second=$!
eventually 5 test -s "$tmp/second"
kill $second
wait $second 2>/dev/null
is 'a second daemon of root with other ports leaves the object of the first' \
    "$(stat -c %i $object)" "$inode"
stop_daemon KILL
launch_service --event-port=1319 --general-port=1320
check 'a daemon with another event port serves the object' eventually 10 answers
"$nqptp" --claim --user=root --group=root --event-port=1319
is 'while a daemon has the event port a claim for that port does nothing' "$(stat -c %i $object)" \
    "$inode"
stop_daemon KILL
"$nqptp" --claim --user=nobody --group=root
is "an object of the service's user stays" "$(stat -c %i $object)" "$inode"
clean
"$nqptp" --claim --user=nobody --group=root
check 'a claim without a file makes none' test ! -e $object
as_other mkdir $object
as_other "$tmp/nqptp" --claim --user=nobody 2>"$tmp/refused"
is 'claim by another user: exit status for a lack of permission' $? 4
check 'a claim by another user leaves the directory' test -d $object

done_testing
