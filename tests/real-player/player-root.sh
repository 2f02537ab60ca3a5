# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2154
#
# A real Shairport Sync, with no configuration, in a private copy of the sid root. A test sources
# tap.sh and this file, and calls `enter_player_root` and `prepare_player`. After that
#   $work   is a tmpfs
#   $copy   is the root that the daemon and the player see, with its own /dev/shm and /run
#   $there  is a process in the sender's network: 10.66.0.2, linked to our 10.66.0.1

# Makes the root and runs the test again, inside mount, network and process namespaces of its own.
# The test is killed with all that it started if it takes too long.
enter_player_root() { # SECONDS DIRECTORY [ARGUMENT...]
    if [ "${NQPTP_TEST_INSIDE:-}" = "" ]; then
        limit=$1
        shift
        [ "$(id -u)" = 0 ] || skip_all "it needs root"
        "$(dirname "$0")/sid-root.sh" "${1-}"
        case $? in
        0) ;;
        77) skip_all "Debian sid cannot be made" ;;
        *) exit 1 ;;
        esac
        ROOT=$(realpath "$1") NQPTP=$(realpath ./nqptp) TOOLS=$(realpath tests/tools)
        export ROOT NQPTP TOOLS NQPTP_TEST_INSIDE=yes
        exec timeout -s KILL "$limit" unshare -nmp --fork --kill-child=KILL --mount-proc \
            --propagation private sh "$0" "$@"
    fi
    work=$ROOT/mnt # only these namespaces see what is mounted there
    mount -t tmpfs tmpfs "$work" || exit 1
}

prepare_player() {
    copy=$work/m
    mkdir "$work/u" "$work/w" "$copy" || return 1
    mount -t overlay overlay -o "lowerdir=$ROOT,upperdir=$work/u,workdir=$work/w" "$copy" || return 1
    mount_system_directories || return 1
    # The player ends if it cannot resolve localhost.
    printf '127.0.0.1 localhost\n::1 localhost\n' >"$copy/etc/hosts"
    chroot "$copy" sh -c 'groupadd -r nqptp; useradd -r -g nqptp -d / nqptp'  || return 1
    install -m 755 "$NQPTP" "$copy/usr/bin/nqptp" || return 1
    install -m 755 "$TOOLS/player" "$copy/opt/player" || return 1
    make_network || return 1
    chroot "$copy" dbus-daemon --system --fork && chroot "$copy" avahi-daemon -D --no-drop-root --no-chroot
}

mount_system_directories() {
    mount -t proc proc "$copy/proc" && mount -t tmpfs -o mode=755 tmpfs "$copy/dev" || return 1
    mkdir "$copy/dev/shm" "$copy/dev/pts"
    for node in null zero full random urandom; do
        : >"$copy/dev/$node"
        mount --bind "/dev/$node" "$copy/dev/$node" || return 1
    done
    ln -s /proc/self/fd "$copy/dev/fd"
    mount -t tmpfs -o mode=1777 tmpfs "$copy/dev/shm" || return 1
    mount -t tmpfs -o mode=755 tmpfs "$copy/run" || return 1
    mkdir -p "$copy/run/dbus" "$copy/run/avahi-daemon"
}

# The player waits for ever where no interface has a MAC address, so there is always a veth.
make_network() {
    unshare -n sleep infinity &
    there=$!
    within 5 has_own_network || return 1
    ip link set lo up && ip link add here type veth peer name there netns "$there" || return 1
    ip addr add 10.66.0.1/24 dev here && ip link set here up || return 1
    in_there sh -c 'ip link set lo up; ip addr add 10.66.0.2/24 dev there; ip link set there up'
    # A machine without IPv6 plays by IPv4 only.
    ip addr add fd66::1/64 dev here nodad 2>/dev/null && ip addr add fe80::1/64 dev here nodad &&
        in_there sh -c 'ip addr add fd66::2/64 dev there nodad; ip addr add fe80::2/64 dev there nodad'
    return 0
}

has_own_network() {
    [ "$(readlink "/proc/$there/ns/net")" != "$(readlink /proc/self/ns/net)" ]
}

in_there() { # COMMAND...
    nsenter -t "$there" -n "$@"
}

# Tries the command for SECONDS until it succeeds. What the last try said is shown if it fails.
within() { # SECONDS COMMAND...
    deadline=$(($(date +%s) + $1 + 1))
    shift
    until "$@" >"$work/try" 2>&1; do
        [ "$(date +%s)" -lt "$deadline" ] || { cat "$work/try"; return 1; }
        sleep 0.02
    done
}

has_ended() { # PID
    ! kill -0 "$1" 2>/dev/null
}

# Sends SIGTERM and returns the exit status; a process that ignores it for 5 s is killed.
stop() { # PID
    kill -TERM "$1"
    within 5 has_ended "$1" || kill -KILL "$1"
    wait "$1"
}

# --- the daemon -----------------------------------------------------------------------------------

start_daemon() { # [OPTION...]
    chroot "$copy" nqptp -vv "$@" >>"$work/daemon.log" 2>&1 &
    daemon=$!
    within 5 answers
}

answers() {
    chroot "$copy" nqptp --status >/dev/null 2>&1
}

kill_daemon() {
    kill -KILL "$daemon"
    wait "$daemon" 2>/dev/null
    within 5 has_ended "$daemon"
}

start_reference() {
    chroot "$copy" /opt/reference/usr/bin/nqptp >>"$work/daemon.log" 2>&1 &
    daemon=$!
    within 5 test -e "$copy/dev/shm/nqptp"
}

# --- the player -----------------------------------------------------------------------------------

# The sound goes to a file. What the player says goes to $work/log, which a failed check shows.
start_player() {
    chroot "$copy" shairport-sync -vv -o stdout >"$work/pcm" 2>"$work/log" &
    player=$!
    within 15 is_accepted
}

# The player serves AirPlay 2 on TCP port 7000; with port 5000 it found no nqptp and serves the
# classic AirPlay. And it has mapped the object that has the name now.
is_accepted() {
    kill -0 "$player" && ss -Hltn 'sport = 7000' | grep -q . && has_current_object
}

has_current_object() {
    inode=$(stat -c %i "$copy/dev/shm/nqptp") &&
        grep -q " $inode *[^ ]*/dev/shm/nqptp$" "/proc/$player/maps"
}

# Before the player has told avahi of its service, a session ends it or hangs.
is_announced() {
    grep -q 'successfully added' "$work/log"
}
