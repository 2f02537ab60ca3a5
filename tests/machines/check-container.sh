#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves what the Containerfile and doc/packaging.md say of containers, as far as that can be done without
# an engine: with the namespaces, user, capabilities and flags that engines give. A daemon and two
# players, one of them built with musl, each have mounts and processes of their own, and share the
# network and /dev/shm. Neither an image nor an engine is made or run.
#
# It needs root, and the packages util-linux, libcap2-bin, iproute2 and musl-tools. Run it where the
# daemon and the test programs have been built.

set -u
PATH=$PATH:/usr/sbin:/sbin
# shellcheck source=tests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"

# --- engines --------------------------------------------------------------------------------------

# Runs the daemon as the first process of a container, without waiting for it. It runs env(1) first,
# so that the image's user loses the capabilities of root, except ambient capabilities.
contain() { # "ENGINE'S WAY" DAEMON-OPTION...
    way=$1
    shift
    # shellcheck disable=SC2086 # options
    unshare --mount --pid --fork --kill-child --mount-proc setpriv --reuid=319 --regid=319 \
        --clear-groups $way env "$work/nqptp" "$@" >"$work/log" 2>&1 &
    container=$!
}

answers() {
    ./nqptp --status >"$work/status" 2>&1
}

# Prints the pid of the daemon outside: the only child of unshare.
daemon() {
    tr -d ' ' <"/proc/$container/task/$container/children"
}

has_ended() {
    ! kill -0 "$container" 2>/dev/null
}

status_of_container() {
    status=0
    eventually 10 has_ended || kill -KILL "$container"
    wait "$container" || status=$?
    return "$status"
}

stop_container() {
    kill -TERM "$(daemon)" || kill -KILL "$container"
    status_of_container
}

is_as_should_be() {
    grep -qx 'Uid:.319.319.319.319' "/proc/$(daemon)/status" &&
        grep -qx 'CapPrm:.0*400' "/proc/$(daemon)/status" &&
        grep -qx 'CapBnd:.0*400' "/proc/$(daemon)/status" &&
        grep -q '^NSpid:.*	1$' "/proc/$(daemon)/status"
}

# A player in the container beside it: other mounts and processes, another user.
play() { # PLAYER
    unshare --mount --pid --fork --kill-child --mount-proc setpriv --reuid=4711 --regid=4711 \
        --clear-groups --bounding-set=-all "$1" --generation 5 --wait 5 --play 127.0.0.1 \
        --watch 2 --ids 98698aaf9c950008
}

docker="--inh-caps=-all --bounding-set=-all,+net_bind_service"
podman="--inh-caps=-all,+net_bind_service --ambient-caps=+net_bind_service
    --bounding-set=-all,+net_bind_service"

docker_and_podman() {
    contain "$docker" --smi=10
    check "as Docker, with the capability on the file: the daemon runs" eventually 10 answers
    check "as Docker: the daemon is user 319, first process, with one capability" is_as_should_be
    ./tests/tools/ptp-sender --to 127.0.0.1 --seconds 60 >/dev/null 2>&1 &
    sender=$!
    check "a player of generation 5 beside the container plays" play ./tests/tools/player
    check "a player with musl plays at its first try" play "$work/player-musl"
    kill "$sender"
    check "the first process of a container stops when it is told" stop_container
    check "the daemon leaves no object when it stops" test ! -e /dev/shm/nqptp

    contain "$podman" --smi=10
    check "as Podman, with an ambient capability: the daemon runs" eventually 10 answers
    check "as Podman: the daemon is user 319, first process, with one capability" is_as_should_be
    stop_container

    contain "$podman --no-new-privs" --smi=10
    check "as Podman, with no-new-privileges: the daemon runs" eventually 10 answers
    stop_container
}

mistakes() {
    contain "$docker --no-new-privs" --smi=10
    status_of_container
    check "as Docker, with no-new-privileges: the daemon has no permission" test "$status" = 4
    contain "--inh-caps=-all --bounding-set=-all" --smi=10
    status_of_container
    check "without the capability the kernel refuses to run the daemon" test "$status" = 126
    sysctl -q net.ipv4.ip_unprivileged_port_start=319
    setcap -r "$work/nqptp"
    contain "--inh-caps=-all --bounding-set=-all" --smi=10
    check "in a network of its own with the sysctl the daemon needs no capability" eventually 10 answers
    stop_container
}

# --- begin ----------------------------------------------------------------------------------------

if [ "${NQPTP_TEST_INSIDE:-}" = '' ]; then
    [ "$(id -u)" = 0 ] || skip_all "it needs root"
    for program in setcap setpriv unshare ip musl-gcc; do
        command -v "$program" >/dev/null || skip_all "it needs $program"
    done
    export NQPTP_TEST_INSIDE=root
    exec timeout -s KILL 120 unshare --mount --net --pid --mount-proc --fork --kill-child sh "$0"
fi
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
work=$(mktemp -d)
mount -t tmpfs -o mode=755 tmpfs "$work"
trap 'umount "$work"; rmdir "$work"' EXIT
ip link set lo up
: >"$work/log"
cp ./nqptp "$work/nqptp"
setcap cap_net_bind_service=+ep "$work/nqptp"
musl-gcc -static -D_GNU_SOURCE -I"${srcdir:-.}" -o "$work/player-musl" "${srcdir:-.}/tests/tools/player.c" || exit 1
docker_and_podman
mistakes

done_testing
