# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# What the tests share that boot a real systemd in a container. A test sources tap.sh and this
# file, calls `prepare`, fills $root with a file system, calls `boot`, and then runs commands
# `inside`. All is gone when the test ends. It needs root.

init=   # the pid of the container's init, outside
nspawn= # the pid of systemd-nspawn

inside() {
    timeout 300 nsenter -t "$init" -a "$@"
}

# Runs a shell command line inside, in the unpacked source if there is one.
shell() {
    inside sh -c "cd /opt/nqptp 2>/dev/null; $1"
}

# Makes $work, and in it the directory $root, for the file system of the container.
prepare() {
    [ "$(id -u)" = 0 ] || skip_all "it needs root"
    command -v systemd-nspawn >/dev/null || skip_all "it needs the package systemd-container"
    work=$(mktemp -d) || exit 1
    root=$work/m
    cgroup=/sys/fs/cgroup
    [ ! -d $cgroup/unified ] || cgroup=$cgroup/unified
    cgroup=$cgroup/nqptp-${0##*/}-$$
    mount -t tmpfs -o mode=755 tmpfs "$work" || skip_all "it needs to mount a tmpfs"
    trap shut_down EXIT
    trap 'exit 1' INT TERM HUP
    mkdir "$root"
}

boot() {
    : >"$root/etc/machine-id"
    mkdir "$cgroup" || return 1
    # The shell that becomes systemd-nspawn enters the cgroup first.
    # shellcheck disable=SC2016
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 sh -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' sh \
        "$cgroup" systemd-nspawn -q --register=no --keep-unit --console=pipe --private-network \
        --capability=all --system-call-filter=bpf --link-journal=no --resolv-conf=off -b -D "$root" \
        </dev/null >"$work/console" 2>&1 &
    nspawn=$!
    for _ in $(seq 600); do
        init=$(pgrep -P "$nspawn" | head -n 1)
        [ -n "$init" ] && inside systemctl is-system-running --wait >"$work/running" 2>/dev/null
        case $(cat "$work/running" 2>/dev/null) in
        running | degraded) return 0 ;;
        esac
        sleep 0.1
    done
    sed 's/^/# /' "$work/console"
    return 1
}

# shellcheck disable=SC2317 # called by the trap
shut_down() {
    [ -z "$init" ] || inside systemctl --no-wall --no-block poweroff >/dev/null 2>&1
    for _ in $(seq 100); do
        kill -0 "${nspawn:-none}" 2>/dev/null || break
        sleep 0.1
    done
    [ -z "$nspawn" ] || kill -KILL "$nspawn" 2>/dev/null
    umount "$root" 2>/dev/null
    find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null
    umount "$work" && rmdir "$work"
}
