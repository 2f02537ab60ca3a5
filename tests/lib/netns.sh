# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2034,SC2119,SC2120
#
# What the system tests share: tap.sh, private namespaces, a network of two hosts, and the daemon on
# one of them. A test sources this file, calls `need` for each tool it takes, then `enter`, makes
# its checks and ends with `done_testing`.
#
# `enter` runs the test again in namespaces of its own: network, mounts, processes, and, for an
# ordinary user, a user namespace. So ports 319 and 320 are free, /dev/shm is private, no packet
# gets out, and whatever was started ends with the test. The daemon lives "here" (10.77.0.1,
# fd77::1, fe80::1), its masters "there" (10.77.0.2 and .3, fd77::2 and ::3, fe80::2).

set -u
PATH=$PATH:/usr/sbin:/sbin
unset CDPATH NOTIFY_SOCKET INVOCATION_ID SYSTEMD_EXEC_PID WATCHDOG_USEC WATCHDOG_PID

top=$(cd "${srcdir:-.}" && pwd)
build=$(pwd)
# shellcheck source=tests/lib/tap.sh
. "$top/tests/lib/tap.sh"
nqptp=$build/nqptp
sender=$build/tests/tools/ptp-sender
reader=$build/tests/tools/shm-reader
player=$build/tests/tools/player

identity=98698aaf9c950008 # the clock identity of ptp-sender without --identity
senders=''
daemon=''

# --- namespaces -----------------------------------------------------------------------------------

# Runs the test again in its namespaces. SECONDS is the most that it takes on an idle machine. After
# three times as long it is killed with all its processes.
enter() { # [SECONDS]
    if test "${NQPTP_TEST_INSIDE:-}" = ''; then
        need unshare util-linux
        need nsenter util-linux
        need ip iproute2
        need timeout coreutils
        for program in "$nqptp" "$sender" "$reader" "$player"; do
            test -x "$program" || { echo "Bail out! $program is not built"; exit 1; }
        done
        NQPTP_TEST_INSIDE=root
        test "$(id -u)" = 0 || NQPTP_TEST_INSIDE=user
        NQPTP_TEST_SECONDS=$((3 * ${1:-90}))
        export NQPTP_TEST_INSIDE NQPTP_TEST_SECONDS
        set -- "$NQPTP_TEST_SECONDS" "-$(test $NQPTP_TEST_INSIDE = root || echo r)nmp"
        why=$(unshare "$2" --mount-proc --fork true 2>&1) || skip_all "no private namespaces: $why"
        exec timeout -s KILL "$1" unshare "$2" --mount-proc --fork --kill-child sh "$0"
    fi
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm || skip_all 'cannot mount a private /dev/shm'
    tmp=$(mktemp -d /dev/shm/test-XXXXXX) # vanishes with the mount
    chmod 755 "$tmp"
    work=$tmp # tap.sh writes the output of commands there, and finds the daemon's log there
    make_network || skip_all 'cannot make two hosts'
}

is_root() {
    test "$NQPTP_TEST_INSIDE" = root
}

# Runs these commands at the same time: functions of the test, with arguments. Each runs in a copy of
# the test that has namespaces of its own, so with another network and another /dev/shm. Shows their
# checks in this order. A test calls this once, right before `done_testing`. What stands before the
# call runs in each copy as well. A machine with one processor runs one copy after the other.
in_parallel() { # COMMAND...
    if test "${NQPTP_TEST_PART:-}" != ''; then
        $NQPTP_TEST_PART
        done_testing
        exit
    fi
    copies=''
    for command; do
        NQPTP_TEST_PART=$command timeout -s KILL $((NQPTP_TEST_SECONDS - 5)) unshare -nmp \
            --mount-proc --fork --kill-child sh "$0" >"$tmp/$command.tap" &
        copies="$copies $!"
        test -e /sys/devices/system/cpu/cpu1 || wait $!
    done
    for copy in $copies; do
        wait "$copy"
    done
    for command; do
        add_results "$command"
    done
}

# Shows the checks of a copy, with their numbers in the whole test.
add_results() { # COMMAND
    count=$(grep -cE '^(not )?ok ' "$tmp/$1.tap")
    awk -v n=$tests '/^(not )?ok / { sub(/[0-9]+/, ++n) } !/^1\.\.[0-9]+$/' "$tmp/$1.tap"
    tests=$((tests + count))
    failures=$((failures + $(grep -c '^not ok ' "$tmp/$1.tap")))
    if test "$count" = 0 || ! grep -qx "1\.\.$count" "$tmp/$1.tap"; then
        not_ok "'$1' makes its checks and comes to its end in time"
    fi
}

make_network() {
    unshare -n sleep infinity &
    there=$!
    eventually 5 other_network || return 1
    ip link set lo up
    in_there ip link set lo up
    ip link add here address 02:77:00:00:00:01 type veth \
        peer name there address 02:77:00:00:00:02 netns $there || return 1
    ip link set here addrgenmode none
    in_there ip link set there addrgenmode none
    ip addr add 10.77.0.1/24 dev here
    in_there ip addr add 10.77.0.2/24 dev there
    in_there ip addr add 10.77.0.3/24 dev there
    ipv6=yes
    ip addr add fd77::1/64 dev here nodad 2>/dev/null || ipv6=no
    if test $ipv6 = yes; then
        ip addr add fe80::1/64 dev here nodad
        in_there ip addr add fd77::2/64 dev there nodad
        in_there ip addr add fd77::3/64 dev there nodad preferred_lft 0
        in_there ip addr add fe80::2/64 dev there nodad
    fi
    ip link set here up
    in_there ip link set there up
    eventually 5 carrier
}

other_network() {
    test "$(readlink "/proc/$there/ns/net")" != "$(readlink /proc/self/ns/net)"
}

carrier() {
    test "$(cat /sys/class/net/here/carrier 2>/dev/null || echo 1)" = 1
}

in_there() { # COMMAND...
    nsenter -t "$there" -n "$@"
}

# --- the daemon, its masters and its client -------------------------------------------------------

# Starts the daemon without waiting for it. An ordinary user cannot become another one.
launch_daemon() { # [OPTION...]
    is_root || set -- --user=root --group=root "$@"
    "$nqptp" "$@" 2>"$tmp/log" &
    daemon=$!
}

start_daemon() { # [OPTION...]
    launch_daemon "$@"
    eventually 10 answers || not_ok 'the daemon starts'
}

answers() {
    "$nqptp" --status >"$tmp/status" 2>/dev/null
}

# Leaves its exit status in $status.
stop_daemon() { # [SIGNAL]
    status=0
    kill -s "${1:-TERM}" "$daemon"
    wait "$daemon" 2>/dev/null || status=$?
    daemon=''
}

alive() {
    kill -0 "$daemon" && eventually 5 answers
}

# Succeeds if the daemon has the lease on /nqptp. It takes the lease when the last other process has
# closed the object, so a test waits for that before a player of another generation starts.
leased() {
    grep -q "LEASE *ACTIVE.*:$(stat -c %i /dev/shm/nqptp) " /proc/locks
}

# Sends a client's command, and returns when the daemon has obeyed it: a question for the status goes
# to the same port, so the answer comes after that.
control() { # COMMAND
    "$reader" --command "$1" && eventually 5 answers
}

# Waits for the master and judges the median of some reads of a fresh sample. On a busy machine one
# median may be wrong for other reasons, so there are three tries.
measure() { # SHM-READER-OPTION...
    for _ in 1 2 3; do
        "$reader" --wait-master 20 --median --fresh 5 --settle 0.3 --interval 0.04 --count 16 \
            --quiet "$@" && return
        test $? = 1 || return 1 # no record to judge
    done
    return 1
}

rows() {
    answers
    grep -c '^[*.][L.][Q.][A.][Z.] ' "$tmp/status"
}

has_rows() { # COUNT
    test "$(rows)" = "$1"
}

# How many packets the daemon has used since it started.
used() {
    answers
    awk '/^Packets:/ { print $2 }' "$tmp/status"
}

has_used() { # COUNT
    test "$(used)" -ge "$1"
}

# Waits until the daemon has used that many packets more: for checks that nothing comes of them.
uses_more() { # COUNT
    eventually 30 has_used $(($(used) + $1)) || not_ok "the daemon uses $1 packets more"
}

# How many datagrams came to ports that no socket on this machine has.
undelivered() {
    awk '$1 == "Udp:" { count = $3 } END { print count }' /proc/net/snmp
}

more_undelivered() { # COUNT-BEFORE
    test "$(undelivered)" -gt "$1"
}

# Runs the command in the background, with its process in $waiting, and waits until it has sent a
# datagram to the daemon that does not run yet.
start_too_early() { # COMMAND...
    before=$(undelivered)
    "$@" &
    waiting=$!
    eventually 5 more_undelivered "$before" ||
        not_ok 'the player has sent a command before there is a daemon'
}

start_sender() { # OPTION...
    nsenter -t "$there" -n "$sender" "$@" >"$tmp/sender" 2>&1 &
    last_sender=$!
    senders="$senders $last_sender"
}

stop_senders() {
    for one in $senders; do
        kill "$one" 2>/dev/null
        wait "$one" 2>/dev/null
    done
    senders=''
}

# --- processes ------------------------------------------------------------------------------------

# Runs the command. Leaves its exit status in $status, and its output in $tmp/stdout and $tmp/stderr.
run_as() { # COMMAND...
    status=0
    ("$@" >"$tmp/stdout" 2>"$tmp/stderr") || status=$?
}

# In user space and in the kernel, in clock ticks.
cpu_time() { # PID
    awk '{ print $14 + $15 }' "/proc/$1/stat"
}

# How often the process has gone to sleep by itself.
wake_ups() { # PID
    awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/$1/status"
}

open_files() { # PID
    find "/proc/$1/fd" -type l | wc -l
}

# Succeeds if a program of this host has port 319 of IPv4.
low_ports_taken() {
    grep -q ':013F ' /proc/net/udp
}

# --- objects of layout 10 -------------------------------------------------------------------------

# Prints the words of the object, without any command to the daemon, unlike a player that starts.
words() { # NAME
    od -A n -t x8 -v -N 72 "/dev/shm$1" | tr -d '\n'
}

id_of() { # NAME
    words "$1" | awk '{ print $2 }'
}

start_of() { # NAME
    words "$1" | awk '{ print $5 }'
}

has_sample_since() { # NAME TIME, as shm-reader --now prints it
    test $((0x$(words "$1" | awk '{ print $3 }'))) -gt "$2"
}

# Ends the daemon by the signal and starts another one. Succeeds if the mastership in the object goes
# on with the first sample. On a busy machine that sample may be more than 5 ms late, after which the
# daemon has to begin another mastership, so there are three tries.
mastership_goes_on() { # NAME SIGNAL
    for _ in 1 2 3; do
        start=$(start_of "$1")
        stop_daemon "$2"
        now=$("$reader" --now)
        start_daemon
        eventually 5 has_sample_since "$1" "$now" || return 1
        test "$(start_of "$1")" = "$start" && return
    done
    return 1
}
