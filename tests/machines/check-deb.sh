#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves the Debian packages in a clean Debian, which boots in a container: that Debian's lintian
# finds nothing, installing them makes the service run, a player keeps its clock over an upgrade, and
# removing and purging leaves nothing.
#
# It needs root, the packages mmdebstrap and systemd-container, and the network.
#
# usage: check-deb.sh DIRECTORY-OF-PACKAGES DIRECTORY-OF-TEST-PROGRAMS SUITE
#
# SUITE is this machine's Debian or a later one: bookworm, trixie, sid.
#
# Command lines in single quotes are for the shell in the container.
# shellcheck disable=SC2016

set -u
# shellcheck source=tests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=tests/machines/container.sh
. "$(dirname "$0")/container.sh"
directory=$1
programs=$2
suite=$3

# The archive's indexes do not always match its Release file, and the Release file of sid may have expired.
clean_debian() {
    for _ in 1 2 3; do
        mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' \
            --include=systemd,systemd-sysv,dbus,procps,lintian "$suite" "$root" && break
        find "$root" -mindepth 1 -delete
    done
    mkdir "$root/opt/debs" &&
        cp "$directory"/*.deb "$directory"/*.changes "$directory"/*.buildinfo "$root/opt/debs" &&
        cp "$programs/player" "$programs/ptp-sender" "$root/opt" && make_newer
}

# Makes the same package with a higher version. To dpkg it is newer.
make_newer() {
    dpkg-deb --raw-extract "$directory"/nqptp_*.deb "$work/newer" &&
        sed -i '/^Version: /s/-1$/.1-1/' "$work/newer/DEBIAN/control" &&
        dpkg-deb --root-owner-group --build "$work/newer" "$root/opt/newer.deb"
}

files() { # FILE
    shell "find / -xdev -path /opt -prune -o -path /var/log -prune -o -path /var/lib/systemd -prune \
        -o -path /var/lib/dpkg -prune -o -path /tmp -prune -o -path /var/tmp -prune \
        -o -path /var/cache -prune -o ! -type d -print | sort" >"$1"
}

accounts() {
    shell 'getent passwd; getent group; systemctl list-unit-files --no-legend'
}

# Starts a player that reads for SECONDS after it has a clock.
start_player() { # SECONDS
    shell "(timeout $(($1 + 20)) /opt/ptp-sender --to 127.0.0.1 --identity 1122334455667788 \\
            --seconds $(($1 + 15)) >/dev/null 2>&1 &)
        rm -f /run/player.status
        (/opt/player --generation 5 --play 127.0.0.1 --wait 10 --watch $1 --ids 1122334455667788 \\
            >/run/player.log 2>&1; echo \$? >/run/player.status) >/dev/null 2>&1 &
        for i in \$(seq 100); do
            nqptp --status | grep '^Master: *1122334455667788' && exit 0
            sleep .1
        done
        exit 1"
}

player_ended_well() {
    shell 'for i in $(seq 300); do [ ! -e /run/player.status ] || break; sleep .1; done
        cat /run/player.log; test "$(cat /run/player.status)" = 0'
}

command -v mmdebstrap >/dev/null || skip_all "it needs the package mmdebstrap"
prepare
check "$suite: a clean Debian" clean_debian
[ "$failures" -eq 0 ] || exit 1
check "$suite: lintian finds no error and no warning" \
    chroot "$root" sh -c 'lintian --allow-root --fail-on error,warning /opt/debs/*.changes'
boot || skip_all "no container boots here"
files "$work/before"
accounts >"$work/accounts-before"

check "$suite: dpkg installs the packages, for all they need is there" \
    shell 'dpkg -i /opt/debs/nqptp_*.deb /opt/debs/nqptp-dev_*.deb'
check "$suite: the service is active" shell 'systemctl is-active nqptp'
check "$suite: the service is enabled" shell 'systemctl is-enabled nqptp'
check "$suite: the service reports by itself that it is ready" shell 'systemctl show -P Type nqptp | grep -x notify'
check "$suite: the service runs as user nqptp" shell 'test "$(ps -o user= -p "$(pidof nqptp)")" = nqptp'
check "$suite: the service can have one capability only" shell 'grep -x "CapBnd:.0*400" "/proc/$(pidof nqptp)/status"'
check "$suite: the service answers --status" inside nqptp --status
check "$suite: the object belongs to user and group nqptp" \
    shell 'test "$(stat -c "%U %G %a" /dev/shm/nqptp)" = "nqptp nqptp 664"'
check "$suite: the header is where compilers look" shell 'test -f /usr/include/nqptp-shm-structures.h'

check "$suite: a player has a clock" start_player 10
pid=$(inside pidof nqptp)
inode=$(inside stat -c %i /dev/shm/nqptp)
check "$suite: dpkg installs a newer version while a player reads" shell 'dpkg -i /opt/newer.deb'
check_not "$suite: the upgrade replaces the process" test "$(inside pidof nqptp)" = "$pid"
check "$suite: the upgrade keeps the object" test "$(inside stat -c %i /dev/shm/nqptp)" = "$inode"
check "$suite: the player kept its clock over the upgrade" player_ended_well

start_player 1000 >"$work/log"
shell 'touch /dev/shm/.nqptp.x.kept /dev/shm/of-another; chown nqptp /dev/shm/.nqptp.x.kept'
check "$suite: dpkg removes the packages while a player has the object open" shell 'dpkg -r nqptp nqptp-dev'
check_not "$suite: removal ends the service" shell 'pidof nqptp'
check "$suite: removal deletes all shared memory of nqptp, and no other" \
    shell 'ls -A /dev/shm; test "$(ls -A /dev/shm)" = of-another'
shell 'kill $(pidof player ptp-sender)'
check "$suite: dpkg purges the packages" shell 'dpkg -P nqptp nqptp-dev'
files "$work/after"
check "$suite: purging leaves no file" diff "$work/before" "$work/after"
accounts >"$work/accounts-after"
check "$suite: purging leaves no account and no unit" diff "$work/accounts-before" "$work/accounts-after"
check_not "$suite: neither systemd nor dpkg remembers anything" \
    shell 'find /var/lib/systemd /var/lib/dpkg/info -name "*nqptp*" | grep .'

done_testing
