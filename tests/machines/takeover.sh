#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Our package in place of Debian's own nqptp and back, with the real Shairport Sync, under a real
# systemd in Debian sid: nothing else is installed or removed, the service runs and stays enabled, and
# the player always ends up with the memory of the nqptp that runs.
#
# It needs root, the packages mmdebstrap and systemd-container, and the network. tests/real-player/
# sid-root.sh makes ROOT if it is not there. Nothing is written to it.
#
# usage: takeover.sh DIRECTORY-OF-PACKAGES ROOT DIRECTORY-OF-TEST-PROGRAMS
#
# Command lines in single quotes are for the shell in the container.
# shellcheck disable=SC2016

set -u
here=$(dirname "$0")
# shellcheck source=tests/lib/tap.sh
. "$here/../lib/tap.sh"
# shellcheck source=tests/machines/container.sh
. "$here/container.sh"
deb=$(realpath "$1"/nqptp_*.deb)
sid=$2
programs=$(realpath "$3")
ours=$(dpkg-deb --field "$deb" Version)
newer=${ours%-*}.1-1

# --- Debian sid -----------------------------------------------------------------------------------

# Makes the same package with a higher version. To dpkg it is newer.
make_newer() {
    dpkg-deb --raw-extract "$deb" "$work/newer" &&
        sed -i "s/^Version: .*/Version: $newer/" "$work/newer/DEBIAN/control" &&
        dpkg-deb --root-owner-group --build "$work/newer" "$root/opt/newer.deb"
}

# apt fetches all packages now, because the container has no network.
fetch() {
    chroot "$root" sh -c 'apt-get -qq update &&
        apt-get -qq install --download-only --no-install-recommends nqptp libnss-systemd'
}

debian_sid() {
    mkdir "$work/u" "$work/w" || return 1
    mount -t overlay overlay -o "lowerdir=$sid,upperdir=$work/u,workdir=$work/w" "$root" || return 1
    cp "$deb" "$root/opt/ours.deb" && make_newer && cp "$programs/player" "$root/opt/by-hand" || return 1
    printf '%s;\n' 'Binary::apt::APT::Keep-Downloaded-Packages "true"' 'APT::Get::Assume-Yes "true"' \
        'APT::Sandbox::User "root"' 'Acquire::Check-Valid-Until "false"' 'Acquire::Retries "3"' \
        >"$root/etc/apt/apt.conf.d/99test"
    cp -L /etc/hosts /etc/resolv.conf "$root/etc/" && fetch || return 1
    printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
    rm "$root/etc/resolv.conf"
    echo 'DAEMON_ARGS="-o dummy"' >"$root/etc/default/shairport-sync"
}

# --- checks ---------------------------------------------------------------------------------------

apt() { # What it says stays in $work/apt.
    DEBIAN_FRONTEND=noninteractive inside apt "$@" >"$work/apt" 2>&1 || { cat "$work/apt"; return 1; }
}

said() { # WHAT
    cat "$work/apt"
    grep -q "$1" "$work/apt"
}

# Succeeds if the service is active, enabled and of that version.
runs() { # VERSION
    shell "test \"\$(dpkg-query -W -f '\${Version}' nqptp)\" = '$1' &&
        systemctl is-active nqptp && systemctl is-enabled nqptp"
}

is_ours() {
    shell 'systemctl show -P Type nqptp | grep -x notify && nqptp --status'
}

# Succeeds if the player serves AirPlay 2 (port 7000) and has mapped the object that has the name.
plays() {
    shell 'for i in $(seq 100); do
            player=$(pidof shairport-sync) && ss -Hltn "sport = 7000" | grep -q . &&
                grep -q " $(stat -c %i /dev/shm/nqptp) *[^ ]*/dev/shm/nqptp$" /proc/$player/maps && exit 0
            sleep .1
        done
        grep /dev/shm /proc/$player/maps; ls -ail /dev/shm; exit 1'
}

# systemd refuses the sixth start within ten seconds.
restart_player() {
    inside systemctl reset-failed shairport-sync && inside systemctl restart shairport-sync
}

installed() {
    shell "dpkg-query -W -f '\${db:Status-Abbrev} \${Package}\n' | grep ^ii"
}

nothing_else_changed() {
    installed >"$work/installed" && diff "$work/before" "$work/installed"
}

mark() {
    shell 'pidof shairport-sync; stat -c %i /dev/shm/nqptp' >"$work/mark"
}

unchanged() {
    shell 'pidof shairport-sync; stat -c %i /dev/shm/nqptp' | diff "$work/mark" -
}

# With the given object in the way, the package installs, and a player that starts plays.
starts_over() { # NAME MAKE-THE-OBJECT PACKAGE VERSION
    shell "systemctl stop nqptp 2>/dev/null; $2"
    check "$1 is in the way of $4: apt installs $4" apt install --no-install-recommends "$3"
    check "$1 is in the way of $4: $4 runs" runs "$4"
    restart_player
    check "$1 is in the way of $4: the player plays" plays
}

# --- the story ------------------------------------------------------------------------------------

command -v dpkg-deb >/dev/null || skip_all "it needs dpkg-deb"
[ "$(id -u)" = 0 ] || skip_all "it needs root"
"$here/../real-player/sid-root.sh" "$sid" >&2
case $? in
0) ;;
77) skip_all "Debian sid cannot be made" ;;
*) exit 1 ;;
esac
prepare
debian_sid >"$work/log" 2>&1 || { cat "$work/log" >&2; skip_all "Debian sid cannot be made: apt cannot fetch the packages"; }
boot || skip_all "no container boots here"
inside sh -c 'ip link add e0 type veth peer name e1; ip addr add 10.66.0.1/24 dev e0
    ip link set e0 up; ip link set e1 up' # a player needs a MAC address
debians=$(inside apt-cache policy nqptp | sed -n 's/ *Candidate: //p')

# libnss-systemd shows the dynamic user of Debian's nqptp as a real user while that runs.
check "apt installs Debian's nqptp $debians" apt install --no-install-recommends nqptp libnss-systemd
check "Debian's nqptp runs" runs "$debians"
restart_player
check "the player plays with Debian's nqptp" plays
shell 'exec setsid /opt/by-hand --watch 1000 --interval 1 --may-vanish >/dev/null 2>&1 </dev/null &'
installed >"$work/before"

check "apt install of our $ours, without flags" apt install /opt/ours.deb
check "our package: the service runs and is enabled" runs "$ours"
check "our package: the daemon that runs is ours" is_ours
check "user and group nqptp are in /etc" shell 'grep ^nqptp: /etc/passwd && grep ^nqptp: /etc/group'
check "the player has the memory of ours" plays
check "apt has said that it restarts shairport-sync.service" said 'restarting shairport-sync.service'
check "apt has named the player started by hand" said "process $(inside pidof by-hand) (\"by-hand\", user root)"
check "apt installs and removes no other package" nothing_else_changed

inside systemctl kill -s KILL nqptp
check "our daemon is back after it was killed" shell 'for i in $(seq 100); do nqptp --status && exit 0; sleep .1; done; exit 1'
check "the player kept its memory over the crash" plays
mark
check "apt install of our newer $newer" apt install /opt/newer.deb
check "after the upgrade the newer daemon runs" runs "$newer"
check "an upgrade from ours restarts no player and keeps the object" unchanged
check "the player kept its memory over the upgrade" plays
check_not "an upgrade from ours speaks of no shairport-sync.service" said 'shairport-sync.service'
check "apt full-upgrade" apt full-upgrade
check "apt full-upgrade leaves our package" runs "$newer"
check "linuxptp installs beside ours, and removes nothing" shell \
    'apt-get install --simulate --no-remove --no-install-recommends linuxptp'

check "apt remove of ours" apt remove nqptp
check_not "after the removal no daemon is left, though a player has its memory open" shell 'pidof nqptp'
check_not "after the removal no shared memory is left" shell 'find /dev/shm -name "*nqptp*" | grep .'
check "apt install nqptp" apt install --no-install-recommends nqptp
check "Debian's nqptp is back and enabled" runs "$debians"
restart_player
check "the player plays with Debian's nqptp again" plays

check "apt install of ours again, over Debian's" apt install /opt/ours.deb
check "our daemon runs again" runs "$ours"
check "the player has the memory of ours again" plays
check "apt install of Debian's nqptp as a downgrade" apt install --allow-downgrades --no-install-recommends "nqptp=$debians"
check "Debian's nqptp runs after the downgrade" runs "$debians"
restart_player
check "the player plays after the downgrade" plays
starts_over "an object of root's, of another size" \
    'truncate -s 72 /dev/shm/nqptp; chmod 600 /dev/shm/nqptp' /opt/ours.deb "$ours"
check "apt remove of ours again" apt remove nqptp
starts_over "an object of ours" \
    'truncate -s 16384 /dev/shm/nqptp; chown nqptp:nqptp /dev/shm/nqptp; chmod 664 /dev/shm/nqptp' nqptp "$debians"
check "shairport-sync.service never failed" shell 'test "$(systemctl show -P NRestarts shairport-sync)" = 0'
done_testing
