#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves what --status says, as a user meets it: of a daemon that runs, in any width, as JSON that
# other programs read, and with a hint where it knows what is wrong; and when none answers, what
# stands in its way and what to do next, for each cause that users have reported.

# shellcheck source=tests/netns.sh disable=SC2119,SC2317
. "${srcdir:-.}/tests/netns.sh"
enter 240

object=/dev/shm/nqptp
cp "$nqptp" "$tmp/nqptp" # where another user may run it
chmod 755 "$tmp/nqptp"

# With the user that the harness gives the daemon of an ordinary user: an object is judged by whose
# it would be.
own=
is_root || own=--user=root
ask() { # OPTION...
    run_as "$tmp/nqptp" --status ${own:+"$own"} "$@"
}

# Leaves $result, $tmp/stdout and $tmp/stderr.
run_as() { # COMMAND...
    result=0
    ("$@" >"$tmp/stdout" 2>"$tmp/stderr") || result=$?
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

last_step() {
    steps | tail -n 1
}

fails() { # NAME
    is "$1: exit status 1" "$result" 1
    check_not "$1: nothing on stdout" test -s "$tmp/stdout"
}

# Becomes the command, as an ordinary user.
ordinary() { # COMMAND...
    exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all "$@"
}

# Puts a file of ours in the place of the machine's, for this test only. Comes from stdin.
replace() { # FILE
    cat >"$tmp/$(basename "$1")"
    chmod 755 "$tmp/$(basename "$1")"
    mount --bind "$tmp/$(basename "$1")" "$1"
}

# The machine may have a service, a group and a player. Here there are none.
mount -t tmpfs tmpfs /run
mkdir "$tmp/bin"
PATH=/usr/sbin:/usr/bin:/sbin:/bin
grep -v '^nqptp:' /etc/group | replace /etc/group
grep -v -e '^nqptp:' -e '^shairport-sync:' /etc/passwd | replace /etc/passwd

# --- no daemon ---

ask
fails 'no daemon'
reports 'it names the control port' 'no answer from UDP port 9000'
for port in 319 320 9000; do
    reports "port $port is free" "port $port  *free"
done
reports 'there is no object' 'object .*there is no /nqptp'
reports 'there is no group' 'group .*nqptp does not exist'
reports 'there is no player' 'player .*no shairport-sync'
reports 'there is no service' 'service .*systemd does not run here'
check 'the group is to be made' grep -q '^  groupadd -r nqptp$' "$tmp/stderr"
is 'and nqptp to be started' "$(last_step)" "$tmp/nqptp -v"
ask --json
fails 'no daemon, --json'
ask --control-port=19000
reports '--control-port is honoured' 'no answer from UDP port 19000'
run_as "$tmp/nqptp" --json
is '--json goes with --status only' "$result" 2

if has setpriv && is_root; then
    run_as ordinary "$tmp/nqptp" --status
    fails 'an ordinary user'
    reports 'has no permission for the ports' 'permission  *no: .*CAP_NET_BIND_SERVICE.* 1024'
    reports 'and needs root' '^Next, as root:'
    echo 319 >/proc/sys/net/ipv4/ip_unprivileged_port_start
    run_as ordinary "$tmp/nqptp" --status
    reports 'unless everybody may have them' 'permission  *yes: .* 319 '
    echo 1024 >/proc/sys/net/ipv4/ip_unprivileged_port_start
else
    skip 'an ordinary user has no permission' 'it takes root to be another user'
fi

# --- a left-over, and the group ---

if is_root; then
    truncate -s 4096 $object
    chown 12345 $object
    chmod 640 $object
    ask
    reports "somebody's object is described" 'object .*uid 12345.*0640'
    check 'and to be removed' grep -q "^  rm $object\$" "$tmp/stderr"
    sh -c "$(grep "^  rm $object\$" "$tmp/stderr")"
    check_not 'which removes it' test -e $object
else
    skip "somebody's object is described" 'it takes root to leave one'
fi
start_daemon --smi=9
stop_daemon KILL
ask
reports 'a left-over of a daemon has a layout' 'object .*layout 9; the next daemon takes it over'
check_not 'and is not to be removed' grep -q "^  rm " "$tmp/stderr"
rm $object
{
    cat "$tmp/group"
    echo 'nqptp:x:4711:'
} >"$tmp/with-group"
cat "$tmp/with-group" >/etc/group
ask
reports 'a group is there, but not for us' 'group .*exists, and this user is not in it'
check_not 'and is not to be made' grep -q groupadd "$tmp/stderr"

# --- the player ---

player_is() { # VERSION
    # shellcheck disable=SC2016 # for the script
    printf '#!/bin/sh\ntouch "%s/ran" 2>/dev/null\necho "%s-uid$(id -u)"\n' "$tmp" "$1" \
        >"$tmp/bin/shairport-sync"
    chmod 755 "$tmp/bin/shairport-sync"
}

PATH=$tmp/bin:$PATH
player_is 4.3.2-AirPlay2-smi10-OpenSSL
if is_root; then
    ask
    reports 'the installed player tells its layout' 'player .*/shairport-sync reads layout 10: 4.3.2'
    reports 'and is not run as root' 'uid65534'
    echo 'shairport-sync:x:4712:4712::/:/bin/false' >>/etc/passwd
    player_is 4.2-AirPlay2-smi9
    ask
    check 'a player with a mutex is to be put into the group' \
        grep -q '^  usermod -aG nqptp shairport-sync$' "$tmp/stderr"
    echo 'nqptp:x:4711:4711::/:/bin/false' >>/etc/passwd
    ask
    check 'also if there is user nqptp, who is' \
        grep -q '^  usermod -aG nqptp shairport-sync$' "$tmp/stderr"
    grep -v '^nqptp:' /etc/passwd >"$tmp/without" # $tmp/passwd itself is mounted on /etc/passwd
    cat "$tmp/without" >/etc/passwd
    player_is 4.3-OpenSSL
    ask
    reports 'one without AirPlay 2 is no use' 'player .*without AirPlay 2'
    printf '#!/bin/sh\nexec sleep 100\n' >"$tmp/bin/shairport-sync"
    begin=$(date +%s)
    ask
    reports 'one that hangs is not waited for' 'player .*to see what it is, run'
    check 'for long' test $(($(date +%s) - begin)) -lt 30
    printf '#!/bin/sh\nwhile :; do echo; sleep 1; done\n' >"$tmp/bin/shairport-sync"
    begin=$(date +%s)
    ask
    check 'nor is one that comes to no end' test $(($(date +%s) - begin)) -lt 30
    player_is 4.3.2-AirPlay2-smi10
    rm -f "$tmp/ran"
    chmod 777 "$tmp/bin"
    ask
    reports 'one that anybody may have put there' 'player .*to see what it is, run'
    check_not 'is not run' test -e "$tmp/ran"
    chmod 755 "$tmp/bin"
else
    skip 'the installed player tells its layout' "what is root's is not to be seen from here"
fi
rm "$tmp/bin/shairport-sync"

# --- the service ---

service_is() { # STATE
    printf '#!/bin/sh\nprintf "LoadState=%%s\\nActiveState=%%s\\n" %s\n' "$1" >"$tmp/systemctl"
}

if test -x /bin/systemctl; then
    mkdir -p /run/systemd/system
    replace /bin/systemctl </dev/null
    service_is 'not-found inactive'
    ask
    reports 'a machine without the unit' 'service .*no unit'
    service_is 'loaded inactive'
    ask
    reports 'a service that was not started' 'service .*not running'
    is 'is to be started' "$(last_step)" 'systemctl enable --now nqptp'
    service_is 'loaded failed'
    ask
    reports 'a service that failed' 'service .*failed'
    check 'has a log' grep -q '^  journalctl -u nqptp' "$tmp/stderr"
    rm -r /run/systemd
else
    skip 'a service that was not started' 'no systemctl here; it is in Debian package systemd'
fi

# --- somebody else has a port ---

start_sender_here() {
    "$sender" --low-ports --to 10.77.0.2 >"$tmp/here" 2>&1 &
    here=$!
    eventually 5 grep -q ':013F ' /proc/net/udp
}

holder() {
    ask
    fails "$1 has port 319"
    reports 'its name and pid are told' "port 319  *held by $1 (pid $2)"
    check 'and how to end it' grep -q "^  kill $2\$" "$tmp/stderr"
}

check 'another program takes the ports' start_sender_here
holder ptp-sender "$here"
if has setpriv && is_root; then
    run_as ordinary "$tmp/nqptp" --status
    reports 'an ordinary user sees whose it is' 'port 319  *held by a process of uid 0'
    check 'and how root sees more' grep -q "^  $tmp/nqptp --status\$" "$tmp/stderr"
fi
kill "$here"
wait "$here" 2>/dev/null
if has ptp4l; then
    ptp4l -4 -S -i here >"$tmp/here" 2>&1 &
    here=$!
    check 'ptp4l takes the ports' eventually 10 grep -q ':013F ' /proc/net/udp
    holder ptp4l "$here"
    kill "$here"
    wait "$here" 2>/dev/null
else
    skip 'ptp4l has port 319' 'no ptp4l here; it is in Debian package linuxptp'
fi
cp "$nqptp" "$tmp/deaf"
set --
is_root || set -- --user=root --group=root
"$tmp/deaf" "$@" --event-port=9000 --general-port=9001 --control-port=9002 2>"$tmp/log" &
here=$!
check 'another program takes the control port' eventually 5 grep -q ':2328 ' /proc/net/udp
ask
reports 'which is told' "port 9000  *held by deaf (pid $here), which does not answer"
check 'with how to end it' grep -q "^  kill $here\$" "$tmp/stderr"
kill "$here"
wait "$here" 2>/dev/null

# --- a daemon elsewhere ---

launch_daemon --control 19000
elsewhere() {
    "$tmp/nqptp" --status --control-port=19000 >/dev/null 2>&1
}
check 'a daemon has another control port' eventually 10 elsewhere
ask
fails 'a daemon with another control port'
reports 'it is found' "process .*nqptp runs as pid $daemon, control port 19000"
is 'and how to ask it' "$(steps)" "$tmp/nqptp --status --control-port=19000"
run_as sh -c "$(steps)"
is 'which works' "$result" 0
stop_daemon

start_daemon
kill -STOP "$daemon"
ask
fails 'a daemon that is stopped'
is 'is to go on' "$(steps)" "kill -CONT $daemon"
sh -c "$(steps)"
check 'and answers then' eventually 5 answers

# --- a daemon that answers ---

ask
is 'a daemon that runs: exit status 0' "$result" 0
says 'it has heard nothing yet' '^Hint: .*nothing was heard on UDP ports 319 and 320'
says 'its object has a layout, and nobody has it open' '^Object: *'"/nqptp, layout 4, not in use"
if is_root && has setpriv; then
    run_as ordinary "$tmp/nqptp" --status
    is 'anybody may ask' "$result" 0
fi
start_sender --to 10.77.0.1 --identity 0123456789abcdef
control 'T 10.77.0.2 fd77:1234:5678:9abc:def0:1234:5678:9abc'
control '/nqptp B'
control '/"\hostile","x":1 T 10.77.0.99'
check 'there is a master' "$reader" --wait-master 10 --expect-id 0123456789abcdef
"$reader" --hold 100 >"$tmp/mapped" 2>&1 &
hold=$!
eventually 5 grep -q mapped "$tmp/mapped"
ask
says 'somebody has the object open' '^Object: *''/nqptp, layout [0-9]*, in use, player playing'
says 'its master, by the interface' '^Master: *0123456789abcdef at 10.77.0.2 on here$'
says 'and its row' '^\*LQA\. 0123456789abcdef 10.77.0.2 .* self$'
says 'what the addresses of another client lack' \
    '^Hint: *''/"\\hostile","x":1: the addresses listed are silent'

widest() { # COLUMNS
    COLUMNS=$1 "$tmp/nqptp" --status |
        awk '{ if (length($0) > max) max = length($0) } END { print max }'
}
for columns in 40 80 200; do
    check "no line is wider than $columns columns" test "$(widest $columns)" -le $columns
    COLUMNS=$columns "$tmp/nqptp" --status >"$tmp/stdout"
    says 'marks and address are there' '^\*LQA\. 0123456789abcdef 10.77.0.2'
    check_not 'without a terminal there is no colour' grep -q "$(printf '\033')" "$tmp/stdout"
done

# --- JSON ---

ask --json
is '--json: exit status 0' "$result" 0
says 'a client, as it is documented' '^{"version":".*"object":"/nqptp",'
if has jq; then
    is 'jq finds the address of the master' \
        "$(jq -r '.clocks[.clients[0].master].address' "$tmp/stdout")" 10.77.0.2
    is "and a hostile client's name as it is" "$(jq -r '.clients[1].object' "$tmp/stdout")" \
        '/"\hostile","x":1'
    check 'and numbers' jq -e '.clocks[0].sync_interval_s == 0.125 and .uptime_s > 0 and
        (.clocks[0].offset_ns | type) == "string" and .drops.late == 0' "$tmp/stdout"
else
    skip 'jq reads it' 'no jq here; it is in Debian package jq'
fi

# --- colour ---

coloured() { # VARIABLE=VALUE...
    env TERM=xterm "$@" script -qec "$tmp/nqptp --status" /dev/null </dev/null >"$tmp/typed" 2>&1
    grep -q "$(printf '\033\\[1;32m\\*LQA')" "$tmp/typed"
}
if has script; then
    check "on a terminal the master's row is green" coloured A=b
    check_not 'not with NO_COLOR' coloured NO_COLOR=1
    check_not 'nor on a dumb one' coloured TERM=dumb
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
    check 'without IPv4 it is asked at ::1' answers
    start_sender --to fd77::1
    check 'and has its master' "$reader" --wait-master 10 --expect-id "$identity"
    ask
    says 'with its address' '^\*.QA\. 98698aaf9c950008 fd77::2 '
    stop_senders
    stop_daemon
else
    start_daemon
    skip 'without IPv4 it is asked at ::1' 'no IPv6 here'
    stop_daemon
fi
ip link set lo down
ask
fails 'without loopback'
is 'it is to be brought up' "$(steps)" 'ip link set lo up'
ip link set lo up
ip addr add 127.0.0.1/8 dev lo 2>/dev/null
ip addr add 10.77.0.1/24 dev here 2>/dev/null

start_daemon
start_sender --to 10.77.0.1 --skew -1000000 # its time does not pass
sleeps() {
    ask && grep -q '^\*.Q.Z ' "$tmp/stdout"
}
check 'a clock that sleeps is marked' eventually 20 sleeps
says 'and that is explained' '^Hint: .*the clock has stopped'
stop_senders
stop_daemon

done_testing
