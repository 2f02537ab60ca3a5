#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves packaging/nqptp.openrc, and what make install says where OpenRC runs, with the OpenRC of a clean
# Debian: the service starts, runs as user nqptp, comes back after a crash, takes options, and stops.
#
# It needs root, the package mmdebstrap, and the network. Run it where the daemon has been built.
#
# usage: check-openrc.sh SUITE
#
# Command lines in single quotes are for another shell.
# shellcheck disable=SC2016

set -u
here=$(dirname "$0")
# shellcheck source=tests/lib/tap.sh
. "$here/../lib/tap.sh"

# --- in the Debian --------------------------------------------------------------------------------

answers() {
    /usr/local/bin/nqptp --status >"$work/status" 2>&1
}

is_another_than() { # PID
    answers && test "$(pidof nqptp)" != "$1"
}

# What the init of OpenRC does.
boot() {
    openrc sysinit && openrc boot && openrc default
}

# The command that make install names for the first start.
advised() {
    sh /opt/packaging/install-notes.sh /usr/local/bin /usr/local/lib/systemd/system |
        sed -n '/^nqptp is installed/{n; s/^  //p}'
}

service() {
    is "make install names the program where no init runs" "$(advised)" "'/usr/local/bin/nqptp'"
    boot >"$work/log" 2>&1
    check "make install names a command for OpenRC, and it works" sh -ec "$(advised)"
    check "OpenRC: the daemon runs" eventually 10 answers
    is "OpenRC: the daemon is user nqptp" "$(stat -c %U "/proc/$(pidof nqptp)")" nqptp
    check "OpenRC starts the service at boot" sh -c 'rc-update show default | grep -w nqptp'
    pid=$(pidof nqptp)
    kill -KILL "$pid"
    check "OpenRC: the daemon is back after a crash" eventually 10 is_another_than "$pid"
    mkdir -p /etc/conf.d
    echo 'command_args="--smi=10"' >/etc/conf.d/nqptp
    check "OpenRC: restart" rc-service nqptp restart
    check "OpenRC: the daemon has the options of /etc/conf.d/nqptp" \
        eventually 10 sh -c 'grep -z -x -e --smi=10 "/proc/$(pidof nqptp)/cmdline"'
    check "OpenRC: stop" rc-service nqptp stop
    check_not "OpenRC: after the stop no daemon is left" pidof nqptp
    check "OpenRC: after the stop no object is left" test ! -e /dev/shm/nqptp
}

if [ "${NQPTP_TEST_INSIDE:-}" != '' ]; then
    work=$(mktemp -d)
    groupadd -r nqptp && useradd -r -g nqptp nqptp || exit 1
    service
    done_testing
    exit
fi

# --- make the Debian ------------------------------------------------------------------------------

[ "$(id -u)" = 0 ] || skip_all "it needs root"
command -v mmdebstrap >/dev/null || skip_all "it needs the package mmdebstrap"
made=$(mktemp -d) || exit 1
trap 'rm -rf --one-file-system "$made"' EXIT
trap 'exit 1' INT TERM HUP
"$here/fresh-machine.sh" make "$1" "$made/debian" openrc procps >&2 || skip_all "Debian $1 cannot be made"
mkdir "$made/debian/opt/tests" && cp nqptp "$made/debian/usr/local/bin" &&
    cp -R "$here/../../packaging" "$made/debian/opt" &&
    cp -R "$here" "$here/../lib" "$made/debian/opt/tests" || exit 1
"$here/fresh-machine.sh" enter "$made/debian" \
    env NQPTP_TEST_INSIDE=root sh /opt/tests/machines/check-openrc.sh
