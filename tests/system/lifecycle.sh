#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves how the daemon starts, refuses to start, stops and is replaced: options and exit statuses,
# busy ports, missing permission, which signals remove the object and which leave it to the next
# process, and that it touches only its own object.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter

object=/dev/shm/nqptp

# Runs the daemon, which is to end by itself. Leaves $status, $tmp/stdout and $tmp/stderr.
run() { # OPTION...
    is_root || set -- --user=root --group=root "$@"
    run_as timeout 10 "$nqptp" "$@"
}

# Succeeds if the first line of the output matches.
says_first() { # PATTERN
    head -n 1 "$tmp/stdout" | grep -q "$1"
}

complains() {
    test "$(grep -c '^nqptp: error: .*; see nqptp --help$' "$tmp/stderr")" = 1 &&
        test "$(wc -l <"$tmp/stderr")" = 1 && ! test -s "$tmp/stdout"
}

says() { # NAME PATTERN
    check "$1" grep -e "$2" "$tmp/stderr"
}

# --- options ---

options() {
    run_as "$nqptp" -V
    is '-V exits with 0' "$status" 0
    check '-V begins with Version' says_first '^Version: .'
    run_as "$nqptp" -h
    is '-h exits with 0' "$status" 0
    check '-h tells the usage on stdout' says_first '^usage: '
    for wrong in --nonsense -x stray --smi=5 --smi=x --smi= --smi --user=no-such-user --group=no-such-group \
        --status=now --vers=1 --event-port=0 --event-port=70000 --general-port=x --control-port= '-v stray' \
        '--event-port=500 --general-port=500' --control-port=319 '--status -i here'; do
        # shellcheck disable=SC2086 # some are two words
        run_as timeout 10 "$nqptp" $wrong
        is "$wrong: exit status 2" "$status" 2
        check "$wrong: one line on stderr, nothing on stdout" complains
    done
    run_as "$nqptp" "$(printf -- '--non\033[2Jsense')"
    says 'a wrong option is quoted, and printable' '"--non?\[2Jsense": there is no such option'
    run_as "$nqptp" -vx
    says 'a wrong letter among others is named' '"-x": there is no such option'
    run_as "$nqptp" --status
    is '--status without a daemon: exit status 1' "$status" 1
    says '--status without a daemon names the control port' 9000
    check_not 'no wrong command line made an object' test -e $object
}

# --- the object, and busy ports ---

busy_ports() {
    umask 077
    start_daemon
    umask 022
    is 'the object has mode 0664 whatever the umask' "$(stat -c %a $object)" 664
    run_as "$nqptp" --status
    is '--status: exit status 0' "$status" 0
    check '--status prints the status on stdout' grep -q '^Master: *none$' "$tmp/stdout"
    inode=$(stat -c %i $object)
    run
    is 'a second instance: exit status 3' "$status" 3
    says 'a second instance names the busy port' '\<319\>'
    if is_root; then
        says 'a second instance says what to do' 'stop that program, or the service that it belongs to'
        says 'a second instance names the process that holds the port' "\\<$daemon\\>"
    else
        skip 'a second instance names the process that holds the port' 'only root may see that'
    fi
    run --event-port=1319 --general-port=1320
    is 'only the control port is taken: exit status 3' "$status" 3
    says 'only the control port is taken: the log names it' '\<9000\>'
    is "a second daemon leaves the object of the first alone" "$(stat -c %i $object)" "$inode"
    check 'after a second daemon the first one is alive' alive
}

# --- what the signals do ---

signals() {
    for signal in TERM INT HUP; do
        start_daemon
        stop_daemon $signal
        is "SIG$signal: exit status 0" "$status" 0
        check_not "SIG$signal removes the object" test -e $object
    done

    # As nohup starts it: the terminal closes, and the daemon stays.
    trap '' HUP
    start_daemon
    trap - HUP
    kill -HUP "$daemon"
    check 'SIGHUP that was ignored at the start stays ignored' alive
    stop_daemon INT
    is 'SIGHUP was ignored at the start: SIGINT ends the daemon' "$status" 0

    # The kernel sends SIGIO if too many signals of the lease wait.
    start_daemon
    kill -s IO "$daemon"
    check 'SIGIO does not end the daemon' alive
    stop_daemon
    is 'SIGIO came before: SIGTERM ends the daemon' "$status" 0
}

log_is_not_read() {
    mkfifo "$tmp/short"
    head -n 1 <"$tmp/short" >"$tmp/first" &
    reads_one_line=$!
    is_root || set -- --user=root --group=root
    "$nqptp" "$@" 2>"$tmp/short" &
    daemon=$!
    check 'the reader of the log ends: the daemon starts' eventually 10 answers
    wait $reads_one_line
    control nonsense # This makes a line of the log.
    check 'the reader of the log ends: the daemon goes on' alive
    stop_daemon

    # A pipe holds 64 KiB. A write to a full pipe waits for the reader, which never reads.
    mkfifo "$tmp/pipe"
    # shellcheck disable=SC2217 # it only keeps the pipe open
    sleep 1000 <"$tmp/pipe" &
    stuck=$!
    is_root || set -- --user=root --group=root
    "$nqptp" -vvv "$@" 2>"$tmp/pipe" &
    daemon=$!
    check 'the log is not read: the daemon starts' eventually 10 answers
    start_sender --to 10.77.0.1 --offset 1 --rate 64
    control 'T 10.77.0.2'
    uses_more 600 # which gives more than 100 KiB of log
    check 'the log is not read: the record is fresh' "$reader" --expect-id "$identity" --fresh 2 --count 5 \
        --interval 0.1
    stop_senders
    stop_daemon TERM
    is 'the log is not read: SIGTERM ends the daemon' "$status" 0
    kill $stuck
}

# A client that keeps it mapped sees the end; one that maps it sees the next process go on.
start_mapped() {
    "$reader" --hold 1000 >"$tmp/mapped" 2>&1 &
    mapped=$!
    eventually 5 grep -q mapped "$tmp/mapped"
}

# The client reads the record when it ends.
end_mapped() {
    kill "$mapped"
    wait "$mapped"
}

stop_without_a_player() {
    start_daemon
    start_sender --to 10.77.0.1 --offset 1
    check 'the only clock is master before the daemon stops' "$reader" --wait-master 10 --expect-id "$identity"
    start_mapped
    stop_daemon TERM
    end_mapped
    is 'after a clean stop a client that has no list reads no master' "$(tail -n 1 "$tmp/mapped")" \
        'no master'
}

both_play() {
    answers && test "$(grep -c '^Object:.*player playing' "$tmp/status")" = 2
}

# A player that plays does not hear of a stop and a start.
stop_while_players_play() {
    start_daemon
    start_sender --to 10.77.0.1 --offset 5000
    "$player" --play 10.77.0.2 --wait 10 --watch 1000 --ids "$identity" --raw-truth 5000 \
        --within 20000000 >"$tmp/playing" 2>&1 &
    playing=$!
    "$player" --name /kitchen --play 10.77.0.2 --wait 10 --watch 1000 --ids "$identity" \
        >"$tmp/kitchen" 2>&1 &
    kitchen=$!
    check 'two players play before the daemon stops' eventually 10 both_play
    inode=$(stat -c %i $object)
    stop_daemon TERM
    is 'stopped while players play: no object has a public name' "$(cd /dev/shm && echo [!t]*)" '[!t]*'
    "$player" >"$tmp/other" 2>&1
    is 'stopped while players play: a new player finds no object' $? 1
    sleep 1 # the players go on without a daemon
    start_daemon
    is 'stop and start: it is the same object' "$(stat -c %i $object)" "$inode"
    check 'stop and start: the lists are back' grep -q '^List: *1 address: 10.77.0.2' "$tmp/status"
    check 'stop and start: the mastership goes on' mastership_goes_on /nqptp TERM
    kill $playing $kitchen
    check 'stop and start: a player played on' wait $playing
    sed 's/^/# /' "$tmp/playing"
    check 'stop and start: a player with a name played on' wait $kitchen
    stop_daemon TERM
    is 'stopped without a player: no file is left' "$(cd /dev/shm && find . -type f ! -path './test-*')" ''
}

next_process_adopts() { # SIGNAL-THAT-ENDS-THE-FIRST-ONE
    start_sender --to 10.77.0.1 --offset 1
    start_daemon
    check 'the only clock is master before the daemon stops' "$reader" --wait-master 10 --expect-id "$identity"
    inode=$(stat -c %i $object)
    stop_senders
    stop_daemon "$1"
    test "$1" = KILL ||
        is "SIG$1: exit status 75, for which the unit starts the service again" "$status" 75
    is "SIG$1 leaves the object" "$(stat -c %i $object 2>&1)" "$inode"
    start_daemon
    is 'the next process adopts the object' "$(stat -c %i $object)" "$inode"
    check 'the last record stays readable' "$reader" --expect-id "$identity" --count 1
    start_mapped
    start_sender --to 10.77.0.1 --identity 0123456789abcdef
    check 'the next process follows the new master' "$reader" --wait-master 10 --expect-id 0123456789abcdef
    end_mapped
    check 'a client that has the object mapped reads the new master' \
        grep -q '^master 0123456789abcdef at 10\.77\.0\.2,' "$tmp/mapped"
}

# --- no permission ---

# Where every user may run it.
cp "$nqptp" "$tmp/nqptp"
chmod 755 "$tmp/nqptp"

# Becomes the command, without any privilege.
powerless() { # COMMAND...
    if is_root; then
        exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all "$@"
    else
        exec setpriv --inh-caps=-all --bounding-set=-all "$@"
    fi
}

no_permission() {
    if has setpriv; then
        run_as powerless timeout 10 "$tmp/nqptp"
        is 'without permission: exit status 4' "$status" 4
        says 'without permission: the log names the capability' CAP_NET_BIND_SERVICE
        says 'without permission: the log names the kernel setting' net.ipv4.ip_unprivileged_port_start
        says 'without permission: the log names the port' '\<319\>'
        check_not 'without permission: no object is made' test -e $object
        is_root || set -- --user=root --group=root
        powerless "$tmp/nqptp" "$@" --event-port=3190 --general-port=3200 2>"$tmp/log" &
        daemon=$!
        check 'ports above 1023 need no permission' eventually 5 answers
        stop_daemon
        check_not 'without permission: the daemon removes its object when it stops' test -e $object
    else
        skip 'without permission: exit status 4' 'no setpriv here; it is in Debian package util-linux'
    fi
}

# --- another user's object ---

leave_object() { # As another user.
    truncate -s 4096 $object
    chmod 640 $object
    chown 12345 $object
    sum=$(cksum $object)
}

# Becomes the command, with no privilege but low ports.
as_service() { # COMMAND...
    exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all,+net_bind_service \
        --ambient-caps=-all,+net_bind_service --bounding-set=-all,+net_bind_service "$@"
}

foreign_object() {
    if is_root && has setpriv; then
        leave_object
        run_as as_service timeout 10 "$tmp/nqptp"
        is "the service does not start over another user's object" "$status" 1
        says "another user's object: the log names the owner" '\<12345\>'
        says "another user's object: the log names the mode" '\<0640\>'
        says "another user's object: the log gives the command that frees the name" 'nqptp --claim --user=nobody$'
        is "another user's object: the daemon does not change it" "$(cksum $object)" "$sum"

        rm $object

        echo precious >"$tmp/precious"
        chmod 666 "$tmp/precious"
        ln -s "$tmp/precious" $object
        run_as as_service timeout 3 "$tmp/nqptp"
        check 'a symbolic link is not followed' grep -q '^precious$' "$tmp/precious"
        is 'a symbolic link is refused' "$status" 1
        rm $object
    else
        skip "the service does not start over another user's object" 'it takes root to leave one'
    fi
}

# --- a machine that lacks something ---

machine_lacks_something() {
    mount -t tmpfs tmpfs /run
    cp "$nqptp" /run/nqptp
    tmp=/run work=/run
    mount -t tmpfs -o nr_inodes=1,mode=1777 tmpfs /dev/shm
    run
    is '/dev/shm full: exit status 1' "$status" 1
    says '/dev/shm full: the daemon says so' 'cannot make /nqptp: /dev/shm is full; .* df '
    run_as "$nqptp" --status
    says '/dev/shm full: --status says so' '/dev/shm  */dev/shm is full'
    how=remount,ro
    is_root || how=remount,bind,ro # in a user namespace mount(8) names an owner that is none there
    mount -o "$how" /dev/shm
    run
    is '/dev/shm read-only: exit status 1' "$status" 1
    says '/dev/shm read-only: the daemon says so' \
        'cannot make /nqptp: /dev/shm is read-only; as root, run: mount -o remount,rw /dev/shm'
    run_as "$nqptp" --status
    says '/dev/shm read-only: --status says so' '/dev/shm  */dev/shm is read-only'
    if is_root; then
        sh -c "$(sed -n 's/.*as root, run: //p' "$tmp/stderr")"
        check '/dev/shm read-only: the command makes it writable' chmod 1777 /dev/shm
    else
        skip '/dev/shm read-only: the command makes it writable' 'it takes root to run it'
    fi
    umount /dev/shm
    mount -t tmpfs -o mode=755 tmpfs /dev/shm
    if has setpriv && is_root; then
        run_as powerless timeout 10 /run/nqptp --event-port=3190 --general-port=3200
        is '/dev/shm not writable: exit status 1' "$status" 1
        says '/dev/shm not writable: the daemon says so' \
            '/dev/shm is not writable for this user; as root, run: chmod 1777 /dev/shm'
        run_as powerless /run/nqptp --status
        says '/dev/shm not writable: --status says so' '/dev/shm  */dev/shm is not writable'
    else
        skip '/dev/shm not writable: the daemon says so' 'it takes root to be another user'
    fi
    mount -t tmpfs tmpfs /dev
    run
    is '/dev/shm missing: exit status 1' "$status" 1
    says '/dev/shm missing: the daemon says so' '/dev/shm is missing; as root, run: mkdir -p /dev/shm'
    run_as "$nqptp" --status
    says '/dev/shm missing: --status says so' '/dev/shm  */dev/shm is missing'
    sh -c "$(sed -n 's/.*as root, run: //p' "$tmp/stderr")"
    check '/dev/shm missing: the command makes it' test -d /dev/shm
    is '/dev/shm missing: every user may write to what the command makes' \
        "$(stat -c %a /dev/shm 2>&1)" 1777
    umount /dev/shm /dev
    chmod 1777 /dev/shm
    if test "$ipv6" = yes; then
        ip addr del 127.0.0.1/8 dev lo
        start_daemon
        check 'no loopback of IPv4: the daemon can be asked by IPv6' answers
        stop_daemon
    else
        skip 'no loopback of IPv4: the daemon can be asked by IPv6' 'no IPv6 here'
    fi
    ip addr flush dev lo
    run
    is 'no loopback: exit status 1' "$status" 1
    says 'no loopback: the log says how to bring it up' 'ip link set lo up'
}

in_parallel options busy_ports signals log_is_not_read stop_without_a_player stop_while_players_play \
    'next_process_adopts USR1' 'next_process_adopts KILL' no_permission foreign_object \
    machine_lacks_something
done_testing
