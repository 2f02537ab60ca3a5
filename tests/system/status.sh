#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves what --status shows to a user: of a running daemon as text, as JSON that other programs read,
# and with a hint if it knows what is wrong. If no daemon answers, it shows facts from the kernel and
# the commands that come next.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter 240

object=/dev/shm/nqptp
cp "$nqptp" "$tmp/nqptp" # where another user may run it
chmod 755 "$tmp/nqptp"

ask() { # OPTION...
    run_as "$tmp/nqptp" --status "$@"
}

says() { # NAME PATTERN
    check "$1" grep -e "$2" "$tmp/stdout"
}

reports() { # NAME PATTERN
    check "$1" grep -e "$2" "$tmp/stderr" || sed 's/^/# /' "$tmp/stderr"
}

# The steps, one a line.
steps() {
    sed -n '/^Next/,$p' "$tmp/stderr" | sed '1d; s/^ *//'
}

fails() { # NAME
    is "$1: exit status 1" "$status" 1
    check_not "$1: nothing on stdout" test -s "$tmp/stdout"
}

# Becomes the command, as an ordinary user.
ordinary() { # COMMAND...
    exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all "$@"
}

# The machine may have systemd. Here there is none.
mount -t tmpfs tmpfs /run

# --- no daemon ---

ask
fails 'no daemon'
reports 'no daemon: the control port is named' 'no answer from UDP port 9000'
for port in 319 320 9000; do
    reports "no daemon: port $port is free" "port $port  *free"
done
reports 'no daemon: there is no object' 'object .*there is no /nqptp'
is 'no daemon, no systemd: start it by hand, then look at the player' "$(steps)" "$tmp/nqptp -v
shairport-sync -V"
ask --json
fails 'no daemon, --json'
ask --control-port=19000
reports 'no daemon: --control-port is honoured' 'no answer from UDP port 19000'
run_as "$tmp/nqptp" --json
is '--json without --status: exit status 2' "$status" 2

if has setpriv && is_root; then
    run_as ordinary "$tmp/nqptp" --status
    fails 'an ordinary user'
    reports 'an ordinary user: the capability for the ports is missing' \
        'permission  *this user lacks CAP_NET_BIND_SERVICE'
    reports 'an ordinary user: the steps need root' '^Next, as root:'
else
    skip 'an ordinary user: the steps need root' 'it takes root to be another user'
fi

# --- a left-over ---

truncate -s 100 $object
chmod 640 $object
ask
reports 'an object of no daemon: owner, mode, size and what becomes of it' \
    'object .*owner uid [0-9]*, mode 0640, 100 bytes; the service takes it over or replaces it'
rm $object

# --- systemd ---

mkdir -p /run/systemd/system
ask
is 'no daemon, with systemd: the steps' "$(steps)" 'systemctl status nqptp
journalctl -u nqptp -n 20
systemctl restart nqptp
shairport-sync -V'

# --- another program has a port ---

start_sender_here() {
    "$sender" --low-ports --to 10.77.0.2 >"$tmp/here" 2>&1 &
    here=$!
    eventually 5 low_ports_taken
}

stop_here() {
    kill "$here"
    wait "$here" 2>/dev/null
}

holder() { # PROGRAM
    ask
    fails "$1 has port 319"
    reports "$1 has port 319: name and pid" "port 319  *held by \"$1\" (pid $here)"
    check "$1 has port 319: how to find its service" grep -qx "  systemctl status $here" "$tmp/stderr"
    check_not "$1 has port 319: nothing is disabled" grep -e disable -e kill "$tmp/stderr"
}

check 'another program takes the ports' start_sender_here
holder ptp-sender
truncate -s 72 $object
chmod 644 $object
ask
reports 'an object beside a program that has the ports: not called left over' \
    'object .*mode 0644, 72 bytes; the program that holds the ports may be using it'
check_not 'an object beside a program that has the ports: not to be removed' \
    grep -q 'rm ' "$tmp/stderr"
rm $object
if has setpriv && is_root; then
    run_as ordinary "$tmp/nqptp" --status
    reports "an ordinary user: the holder's uid" 'port 319  *held by a process of uid 0'
    check 'an ordinary user is told that root sees more' grep -qx "  $tmp/nqptp --status" "$tmp/stderr"
fi
rm -r /run/systemd
ask
check 'without systemd: how to see what the program is that has the port' \
    grep -qx "  ps $here" "$tmp/stderr"
check_not 'without systemd: nothing is killed' grep -e kill "$tmp/stderr"
stop_here
if has ptp4l; then
    ptp4l -4 -S -i here >"$tmp/here" 2>&1 &
    here=$!
    check 'ptp4l takes the ports' eventually 10 low_ports_taken
    ask
    reports 'ptp4l has port 319: name and pid' "port 319  *held by \"ptp4l\" (pid $here)"
    stop_here
else
    skip 'ptp4l has port 319: name and pid' 'no ptp4l here; it is in Debian package linuxptp'
fi

# A program with a deceptive name: an escape sequence, and a command.
# shellcheck disable=SC2016 # no shell runs it
strange=$tmp/$(printf '\033')'[2J$(id)'
cp "$nqptp" "$strange"
set --
is_root || set -- --user=root --group=root
"$strange" "$@" --event-port=9000 --general-port=9001 --control-port=9002 2>"$tmp/log" &
here=$!
control_port_taken() {
    grep -q ':2328 ' /proc/net/udp
}
check 'another program takes the control port' eventually 5 control_port_taken
ask
reports 'a strange name is quoted, and printable' \
    "port 9000  *held by \"?\[2J?(id)\" (pid $here), which does not answer"
run_as "$nqptp" "$@" --event-port=9000 --control-port=9003
reports 'a strange name in the log of a daemon is quoted as well' \
    "UDP port 9000 is in use: held by \"?\[2J?(id)\" (pid $here); stop that program"
stop_here

# The service, by the control group that the kernel shows: that of a daemon which answers otherwise.
group=/sys/fs/cgroup/system.slice/nqptp.service
if is_root && mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null && mkdir -p "$group" 2>/dev/null; then
    mkdir -p /run/systemd/system
    start_sender_here
    echo "$here" >"$group/cgroup.procs"
    ask
    reports 'an older daemon as the service is named' \
        "port 319  *held by \"ptp-sender\" (pid $here, the service nqptp)"
    is 'an older daemon as the service: the only step is a restart' "$(steps)" \
        'systemctl status nqptp
journalctl -u nqptp -n 20
systemctl restart nqptp
shairport-sync -V'
    run_as "$nqptp" --control-port=9003
    reports 'the service has the port of another daemon: how to stop it' \
        'held by .*the service nqptp.*systemctl stop nqptp'
    stop_here
    rmdir "$group"
    rm -r /run/systemd
else
    skip 'an older daemon as the service is named' 'it takes root and cgroup v2'
fi

# --- a daemon that answers ---

start_daemon
ask
is 'a daemon that runs: exit status 0' "$status" 0
says 'a hint says that nothing was heard yet' '^Hint: .*nothing was heard on UDP ports 319 and 320'
says 'status without a player: layout, not in use' '^Object: *'"/nqptp, layout 4, not in use"
if is_root && has setpriv; then
    run_as ordinary "$tmp/nqptp" --status
    is 'another user may ask for the status' "$status" 0
fi
start_sender --to 10.77.0.1 --identity 0123456789abcdef
control 'T 10.77.0.2 fd77:1234:5678:9abc:def0:1234:5678:9abc'
control '/nqptp B'
control '/"\hostile","x":1 T 10.77.0.99'
check 'the status is asked while there is a master' "$reader" --wait-master 10 --expect-id 0123456789abcdef
"$reader" --hold 100 >"$tmp/mapped" 2>&1 &
hold=$!
eventually 5 grep -q mapped "$tmp/mapped"
ask
says 'a player has the object open' '^Object: *''/nqptp, layout [0-9]*, in use, player playing'
says 'status with a player: master and interface' '^Master: *0123456789abcdef at 10.77.0.2 on here$'
says 'status with a player: the row of the master' '^\*LQA\. 0123456789abcdef 10.77.0.2 .* self$'
says 'status with two clients: what the addresses of the other lack' \
    '^Hint: *''/"\\hostile","x":1: the addresses listed are silent'

widest() {
    "$tmp/nqptp" --status | awk '/^[*.]/ && length($0) > max { max = length($0) } END { print max + 0 }'
}
width=$(widest)
check 'the rows of common clocks have 80 columns' test "$width" -gt 60 -a "$width" -le 80
check_not 'without a terminal there is no colour' grep -q "$(printf '\033')" "$tmp/stdout"

# --- JSON ---

kitchen=$(printf '/K\303\274che')
control "$kitchen T 10.77.0.98"
ask --json
says '--json: a name of UTF-8 is unchanged' "\"object\":\"$kitchen\""
is '--json: exit status 0' "$status" 0
says 'a client has the documented members' '^{"version":".*"object":"/nqptp",'
if has jq; then
    is 'jq finds the address of the master' \
        "$(jq -r '.clocks[.clients[0].master].address' "$tmp/stdout")" 10.77.0.2
    is "JSON has a hostile client's name unchanged" "$(jq -r '.clients[1].object' "$tmp/stdout")" \
        '/"\hostile","x":1'
    check 'JSON has numbers' jq -e '.clocks[0].sync_interval_s == 0.125 and .uptime_s > 0 and
        (.clocks[0].offset_ns | type) == "string" and .drops.late == 0' "$tmp/stdout"
else
    skip 'jq reads the JSON' 'no jq here; it is in Debian package jq'
fi

# --- colour ---

coloured() { # VARIABLE=VALUE...
    env TERM=xterm "$@" script -qec "$tmp/nqptp --status" /dev/null </dev/null >"$tmp/typed" 2>&1 || return 2
    grep -q "$(printf '\033\\[1;32m\\*LQA')" "$tmp/typed"
}
if has script; then
    check "on a terminal the master's row is green" coloured A=b
    check 'on a terminal the hint is yellow' grep -q "$(printf '\033\\[33mHint:')" "$tmp/typed"
    check_not 'on a terminal the version has no colour' \
        grep -q "$(printf '\033\\[[0-9;]*mVersion:')" "$tmp/typed"
    check_not 'with NO_COLOR there is no colour' coloured NO_COLOR=1
    check_not 'on a dumb terminal there is no colour' coloured TERM=dumb
else
    skip "on a terminal the master's row is green" 'no script here; it is in Debian package bsdutils'
fi

# --- IPv6 only, and a clock that sleeps ---

kill $hold
wait $hold 2>/dev/null
stop_senders
stop_daemon
if test "$ipv6" = yes; then
    ip -4 addr flush dev lo
    ip -4 addr flush dev here
    start_daemon
    check 'without IPv4 the daemon is asked at ::1' answers
    start_sender --to fd77::1
    check 'without IPv4 the master is followed' "$reader" --wait-master 10 --expect-id "$identity"
    ask
    says 'without IPv4 the status has the IPv6 address' '^\*.QA\. 98698aaf9c950008 fd77::2 '
    stop_senders
    stop_daemon
else
    start_daemon
    skip 'without IPv4 the daemon is asked at ::1' 'no IPv6 here'
    stop_daemon
fi
ip addr add 127.0.0.1/8 dev lo 2>/dev/null
ip addr add 10.77.0.1/24 dev here 2>/dev/null

start_daemon
start_sender --to 10.77.0.1 --skew -1000000 # its time does not pass
sleeps() {
    ask && grep -q '^..Q.Z ' "$tmp/stdout" # It is master if its Announce comes soon enough.
}
check 'a clock that sleeps is marked' eventually 20 sleeps
says 'a hint explains a stopped clock' '^Hint: .*the clock has stopped'
stop_senders
stop_daemon

# --- the kernel drops everything ---

if is_root; then
    start_daemon
    ask
    says 'before wrong checksums: no hint of them' '^Hint: .*nothing was heard on UDP ports'
    in_there "$build/tests/tools/flood" 10.77.0.1 1 checksum 4 >"$tmp/sent"
    is 'four datagrams with wrong checksums were sent' "$(cat "$tmp/sent")" 4
    ask
    says 'wrong checksums: a hint of their own' '^Hint: .*kernel dropped [1-4] UDP datagrams'
    stop_daemon
    start_daemon --user=root # or its limits may not be set
    prlimit --pid "$daemon" --nofile=3 # It can open no file, so not the kernel's counts either.
    ask
    says 'wrong checksums before the start, and no file can be opened: no hint of them' \
        '^Hint: .*nothing was heard on UDP ports'
    stop_daemon
else
    skip 'wrong checksums: a hint of their own' 'it takes root to send them'
fi

done_testing
