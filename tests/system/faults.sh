#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that the daemon survives a system call of the event loop that fails again and again: it
# warns, does not spin, and goes on when the fault is over. And that the daemon names the cause when a
# call fails at the start. strace makes the calls fail.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
need strace strace
need prlimit util-linux
enter

seconds=3

failed() {
    grep -c INJECTED "$tmp/calls"
}

has_failed() {
    test "$(failed)" -gt 0
}

warning='slowed down: a system call failed'
warned() {
    grep -q "$warning: Input/output error" "$tmp/log"
}

traced() {
    grep -q '^TracerPid:.*[1-9]' "/proc/$daemon/status"
}

strace -o /dev/null true 2>/dev/null || skip_all 'strace may not trace here'

# Lets a call of a running daemon fail from now on, and then runs a command that causes the call.
fails() { # CALL COMMAND...
    calls=$1 call=${1#\?}
    shift
    start_daemon
    : >"$tmp/calls"
    strace -qq -p "$daemon" -e "trace=$calls" -e "inject=$calls:error=EIO" -o "$tmp/calls" \
        2>"$tmp/strace" &
    strace=$!
    eventually 5 traced || not_ok "$call: strace traces the daemon"
    "$@"
    check "$call: the call fails" eventually 5 has_failed
    before=$(failed) began=$("$reader" --now)
    sleep $seconds # the calls of this time are counted
    # One round in 100 ms, with at most ten calls: four sockets of PTP are read before each of the
    # two sockets of commands.
    times=$(($(failed) - before)) took_ms=$((($("$reader" --now) - began) / 1000000))
    check "$call: the call fails at most 100 times a second: $times times in $took_ms ms" \
        test $times -le $((took_ms / 10 + 10))
    check "$call: a warning says why" warned
    kill $strace
    wait $strace 2>/dev/null
    check "$call: when the fault is over the daemon answers" eventually 5 answers
    stop_daemon
    is "$call: when the fault is over the daemon ends well" "$status" 0
}

signal() { # by which the kernel tells of a lease
    kill -s RTMIN "$daemon"
}

ask() {
    "$reader" --command '?' 2>/dev/null # there is no answer
}

add_address() {
    ip addr add 10.77.0.9/24 dev here
}

# getifaddrs() uses recvmsg(). The daemon tries it again each 10 s.
interfaces_fail() {
    warning='cannot read the list of interfaces'
    fails recvmsg add_address
}

in_group() {
    ip maddress show dev late | grep -q '224\.0\.1\.129'
}

# An interface comes while the list cannot be read. The kernel does not tell of it again.
interface_comes_unread() {
    warning='cannot read the list of interfaces'
    start_daemon
    strace -qq -p "$daemon" -e trace=recvmsg -e inject=recvmsg:error=EIO -o "$tmp/calls" \
        2>"$tmp/strace" &
    strace=$!
    eventually 5 traced || not_ok 'unread interface: strace traces the daemon'
    ip link add late type veth peer name late2
    ip link set late up
    check 'unread interface: a warning' eventually 5 warned
    check_not 'unread interface: its groups are not joined' in_group
    kill $strace
    wait $strace 2>/dev/null
    check 'unread interface: once the list can be read its groups are joined' eventually 15 in_group
    stop_daemon
}

# --- another process makes the object meanwhile ---

object_appears() {
    is_root || set -- --user=root --group=root
    strace -f -o "$tmp/calls" -e trace=linkat -e inject=linkat:error=EEXIST:when=1 "$nqptp" "$@" \
        2>"$tmp/log" &
    strace=$!
    check 'linkat() finds a file: the daemon tries again and starts' eventually 10 answers
    check 'linkat() finds a file: that happened' grep -q INJECTED "$tmp/calls"
    daemon=$(awk '{ print $1; exit }' "$tmp/calls")
    kill "$daemon"
    wait $strace
    daemon=''
}

# --- no lease for lack of memory ---

leases() {
    grep -c 'F_SETLEASE.*INJECTED' "$tmp/calls"
}

no_memory_for_a_lease() {
    is_root || set -- --user=root --group=root
    strace -qq -f -o "$tmp/calls" -e trace=fcntl -e inject=fcntl:error=ENOMEM "$nqptp" "$@" \
        2>"$tmp/log" &
    strace=$!
    check 'no memory for a lease: the daemon serves' eventually 10 answers
    daemon=$(awk '{ print $1; exit }' "$tmp/calls")
    before=$(leases)
    sleep $seconds # the calls of this time are counted
    tries=$(($(leases) - before))
    check "no memory for a lease: the daemon tries again, but not often: $tries times in $seconds s" \
        test $tries -ge 1 -a $tries -le $((seconds * 10))
    kill "$daemon"
    wait $strace
    daemon=''
}

# --- no more descriptors at the start ---

# Limits from few to more descriptors: each place where the daemon opens one fails once.
wrong() {
    for most in $(seq 4 15); do
        said=$(timeout 5 prlimit --nofile="$most" "$nqptp" "$@" 2>&1 | tail -n 1)
        case $said in
            *'Too many open files'* | *'Error 24'*) ;; # the latter is what the dynamic loader says
            *) echo "$most: $said" ;;
        esac
    done
}

no_descriptors() {
    is_root || set -- --user=root --group=root
    is 'too few descriptors: the daemon gives that reason' "$(wrong "$@")" ''
}

# --- calls that fail at the start ---

# The daemon ends with this status and these words when the call fails.
start_fails() { # CALL ERROR COMPLAINT OPTION...
    call=$1 error=$2 complaint=$3 status=0
    shift 3
    timeout 10 strace -qq -e "trace=$call" -e "inject=$call:error=$error" -o "$tmp/calls" \
        "$nqptp" "$@" 2>"$tmp/log" || status=$?
    is "$call fails with $error at the start: exit status" "$status" 1
    is "$call fails with $error at the start: the daemon says so" "$(tail -n 1 "$tmp/log")" \
        "nqptp: error: $complaint"
}

calls_fail_at_the_start() {
    is_root || set -- --user=root --group=root
    for call in epoll_create1 signalfd4 timerfd_create; do
        what='cannot set up the event loop'
        test "$call" != epoll_create1 || what='cannot open UDP port 319'
        start_fails "$call" EMFILE "$what: Too many open files" "$@"
        start_fails "$call" ENOMEM "$what: Cannot allocate memory" "$@"
    done

    # As the service manager's SocketBindDeny= does it.
    status=0
    timeout 10 strace -qq -e trace=bind -e inject=bind:error=EPERM -o "$tmp/calls" "$nqptp" "$@" \
        2>"$tmp/log" || status=$?
    is 'bind() is forbidden: exit status' "$status" 4
    check 'bind() is forbidden: the daemon names the setting of the unit' \
        grep -q 'UDP port 319 is forbidden.* SocketBindAllow=udp:319 ' "$tmp/log"
}

# Lets each file that is opened, and all after it, fail. The service is not started again after
# status 2, so a passing lack of something must not look like a wrong option.
wrongly_refused() { # ERROR
    for first in $(seq 60); do
        status=0
        timeout 10 strace -qq -e trace=openat -e "inject=openat:error=$1:when=$first+" \
            -o "$tmp/calls" "$nqptp" --claim --user=root --group=root 2>"$tmp/log" || status=$?
        has_failed || break
        if test $status = 2 || grep -q 'there is no' "$tmp/log"; then
            echo "$first: $status: $(cat "$tmp/log")"
        fi
    done
}

files_cannot_be_opened() {
    for error in EMFILE ENFILE ENOMEM; do
        is "files cannot be opened ($error): no user or group is said to be missing" \
            "$(wrongly_refused $error)" ''
    done
}

# The last of the calls has two names, because not every processor has both.
in_parallel 'fails recvmmsg ask' 'fails recvfrom add_address' 'fails read signal' \
    'fails ?epoll_wait,epoll_pwait ask' interfaces_fail interface_comes_unread object_appears \
    no_memory_for_a_lease no_descriptors calls_fail_at_the_start files_cannot_be_opened
done_testing
