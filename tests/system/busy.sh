#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves what the daemon does when another process has its port: started by hand it ends at once,
# also from a shell of a unit; started by systemd it waits for the port, says so in one line,
# and gives up after 60 s.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter 150

seconds_since() { # A TIME OF now()
    echo $(($(now) - $1))
}

now() {
    cut -d . -f 1 /proc/uptime
}

# As systemd starts the unit's own process, without a socket for sd_notify(3).
launch_service() {
    is_root || set -- --user=root --group=root
    : >"$tmp/log" # Or waits() may find the line of the daemon before.
    # shellcheck disable=SC2016
    sh -c 'SYSTEMD_EXEC_PID=$$ exec "$@"' sh "$nqptp" "$@" 2>"$tmp/log" &
    daemon=$!
}

# As from a shell in a unit of Type=notify: the daemon inherits the variables of the unit.
launch_below_service() {
    export SYSTEMD_EXEC_PID=$$ INVOCATION_ID=0123456789abcdef0123456789abcdef
    export NOTIFY_SOCKET="$tmp/manager"
    launch_daemon
    unset SYSTEMD_EXEC_PID INVOCATION_ID NOTIFY_SOCKET
}

waits() {
    grep -q 'UDP port 319 is in use.*; waiting for the port$' "$tmp/log"
}

ends_at_once() { # NAME
    status=0
    wait "$daemon" || status=$?
    is "busy port, $1: exit status 3" "$status" 3
    check "busy port, $1: the daemon does not wait for the port" \
        test "$(seconds_since "$began_by_hand")" -le 20
}

gives_up() {
    start_daemon
    launch_service
    began=$(now)
    check 'busy port, as a service: the daemon waits' eventually 5 waits
    status=0
    wait "$daemon" || status=$?
    took=$(seconds_since "$began")
    is 'busy port, as a service: after the wait the exit status is 3' "$status" 3
    check "busy port, as a service: the daemon waited for 60 s, not $took" test "$took" -ge 58 -a "$took" -le 120
    is 'busy port, as a service: one line in the log for all of the 60 s' "$(wc -l <"$tmp/log")" 1
}

ends_or_serves() {
    start_daemon
    holder=$daemon
    began_by_hand=$(now)
    launch_daemon
    ends_at_once 'by hand'
    began_by_hand=$(now)
    launch_below_service
    ends_at_once 'by hand below a unit'

    for signal in TERM:0 INT:0 USR1:75; do
        launch_service
        eventually 5 waits
        asked=$(now)
        stop_daemon ${signal%:*}
        is "busy port, as a service: exit status after SIG${signal%:*} in the wait" "$status" ${signal#*:}
        check "busy port, as a service: SIG${signal%:*} ends the wait" \
            test "$(seconds_since "$asked")" -le 10
    done

    launch_service
    check 'busy port, as a service: the daemon waits' eventually 5 waits
    service=$daemon
    daemon=$holder
    stop_daemon
    daemon=$service
    check 'busy port, as a service: the daemon serves soon after the port is free' eventually 4 answers
    stop_daemon
    is 'busy port, as a service: after the wait SIGTERM stops the daemon' "$status" 0
}

holds_port() {
    "$nqptp" --status --control-port=9001 >"$tmp/status" 2>/dev/null
}

control_is_waited_for() {
    grep -q 'UDP port 9000 is in use.*needs --control-port=; waiting for the port$' "$tmp/log"
}

# A daemon that waits keeps nothing open, or it would find its own sockets in its way: this one has
# ports 319 and 320 and 127.0.0.1:9000 each time before it fails with ::1:9000.
has_control_port_of_ipv6() {
    launch_daemon -i ::1 --event-port=9000 --general-port=1320 --control-port=9001
    holder=$daemon
    check 'another program has the control port of IPv6 only' eventually 5 holds_port
    launch_service
    service=$daemon
    check 'busy control port of IPv6, as a service: the daemon waits and names the option' \
        eventually 5 control_is_waited_for
    sleep 2 # Two tries more.
    daemon=$holder
    stop_daemon
    daemon=$service
    check 'busy control port of IPv6, as a service: the daemon serves soon after the port is free' \
        eventually 4 answers
    stop_daemon
}

in_parallel gives_up ends_or_serves has_control_port_of_ipv6
done_testing
