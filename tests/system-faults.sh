#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that a system call of the event loop that fails again and again slows the daemon down: it
# warns, does not spin, and goes on when the fault is over. strace makes the calls fail.

# shellcheck source=tests/netns.sh disable=SC2119,SC2317
. "${srcdir:-.}/tests/netns.sh"
need strace strace
enter

seconds=3

failed() {
    grep -c INJECTED "$tmp/calls"
}

has_failed() {
    test "$(failed)" -gt 0
}

slowed() { # ERROR
    grep -q "slowed down: a system call failed: $1" "$tmp/log"
}

traced() {
    grep -q '^TracerPid:.*[1-9]' "/proc/$daemon/status"
}

# Lets a call of a daemon fail from now on, and does what makes it call it.
fails() { # CALL COMMAND...
    calls=$1 call=${1#\?}
    shift
    start_daemon
    : >"$tmp/calls"
    strace -qq -p "$daemon" -e "trace=$calls" -e "inject=$calls:error=EIO" -o "$tmp/calls" \
        2>"$tmp/strace" &
    strace=$!
    eventually 5 traced ||
        skip_all 'strace may not trace here'
    "$@"
    check "$call: it fails" eventually 5 has_failed
    before=$(failed)
    sleep $seconds
    # One round in 100 ms, with a call for each descriptor that is ready, at most four here.
    check "$call: it is tried at most 10 times a second for each descriptor" \
        test $(($(failed) - before)) -le $((seconds * 10 * 4))
    check "$call: a warning says why" slowed 'Input/output error'
    kill $strace
    wait $strace 2>/dev/null
    check "$call: when the fault is over the daemon answers" eventually 5 answers
    stop_daemon
    is "$call: and ends well" "$status" 0
}

signal() { # by which the kernel tells of a lease
    kill -s RTMIN "$daemon"
}

ask() {
    "$reader" --command '?' 2>/dev/null # there is no answer
}

fails recvmmsg ask
fails recvfrom ip addr add 10.77.0.9/24 dev here
fails read signal
fails '?epoll_wait,epoll_pwait' ask # not every processor has both

done_testing
