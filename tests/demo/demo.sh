#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Shows nqptp at work in a private network, with a sender: the demo of ../bootstrap. It
# ends after SECONDS, or when it is told to.
#
# usage: demo.sh [SECONDS]

set -eu
seconds=${1:-0}
unset NOTIFY_SOCKET INVOCATION_ID SYSTEMD_EXEC_PID WATCHDOG_USEC WATCHDOG_PID

# Starts again in namespaces of its own, as their root.
if [ "${NQPTP_DEMO:-}" = '' ]; then
    export NQPTP_DEMO=root
    [ "$(id -u)" = 0 ] || NQPTP_DEMO=user
    exec unshare "-$(test $NQPTP_DEMO = root || echo r)nm" sh "$0" "$@"
fi

say() {
    printf 'demo: %s\n' "$*"
}

started=''
start() { # COMMAND...
    "$@" &
    last=$!
    started="$last $started"
}

# shellcheck disable=SC2317 # called by the trap
end() {
    for process in $started; do
        kill "$process" 2>/dev/null || continue
        wait "$process" 2>/dev/null || true
    done
}
trap end EXIT
trap 'exit 0' INT TERM HUP

# --- a network of two hosts -----------------------------------------------------------------------

other_network() {
    [ "$(readlink "/proc/$there/ns/net")" != "$(readlink /proc/self/ns/net)" ]
}

make_network() {
    ip link set lo up
    start unshare -n sleep 2147483647
    there=$last
    until other_network; do sleep 0.05; done
    ip link add speaker type veth peer name sender netns "$there"
    ip address add 10.77.0.1/24 dev speaker
    ip link set speaker up
    nsenter -t "$there" -n ip address add 10.77.0.2/24 dev sender
    nsenter -t "$there" -n ip link set sender up
}

# --- the sender -----------------------------------------------------------------------------------

start_sender() {
    if command -v ptp4l >/dev/null; then
        say "The sender is ptp4l. Its clock is this machine's, so the true offset is 0."
        start nsenter -t "$there" -n ptp4l -i sender -f tests/lib/ptp4l.conf -m -q >/run/sender.log 2>&1
    else
        say "The sender is tests/tools/ptp-sender, because ptp4l (package linuxptp) is not installed. Its"
        say "clock counts from this machine's start, so the offset is large and negative."
        start nsenter -t "$there" -n tests/tools/ptp-sender --to 10.77.0.1 >/run/sender.log 2>&1
    fi
}

# --- the demo -------------------------------------------------------------------------------------

set --
mount -t tmpfs -o mode=1777 none /dev/shm
mount -t tmpfs none /run # ptp4l wants to write there
make_network
say "nqptp has a network of its own, with a sender at 10.77.0.2. Ctrl-C ends it."
start_sender
[ "$NQPTP_DEMO" = root ] || set -- --user=root --group=root # there is no other user in here
start ./nqptp -v "$@"
daemon=$last
until ./nqptp --status >/dev/null 2>&1; do
    kill -0 "$daemon" || exit 1
    sleep 0.1
done
start tests/tools/shm-reader --interval 1
if [ "$seconds" = 0 ]; then
    wait "$daemon"
    exit
fi
start sleep "$seconds"
wait "$last" || true
if ! tests/tools/shm-reader --wait-master 1 --count 1 --quiet; then
    say "There is no master. The sender says:"
    cat /run/sender.log
    exit 1
fi
