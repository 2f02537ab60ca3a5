#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves the Debian packages: lintian finds nothing, and in a clean Debian, booted in a container,
# installing them is all it takes to have the service run; removing and purging leaves nothing.
#
# It needs root, the packages mmdebstrap, lintian and systemd-container, and the network: Debian is
# taken from where this machine's apt takes it.
#
# usage: check-deb.sh DIRECTORY-OF-PACKAGES
#
# Command lines in single quotes are for the shell in the container.
# shellcheck disable=SC2016

set -u
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/tap.sh"
# shellcheck source=tests/container.sh
. "$(dirname "$0")/container.sh"
directory=$1

clean_debian() {
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    set --
    for sources in /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
        /etc/apt/sources.list.d/*.sources; do
        [ ! -s "$sources" ] || set -- "$@" "$sources"
    done
    mmdebstrap --quiet --variant=minbase \
        --include=systemd,systemd-sysv,dbus,procps "$suite" "$root" "$@" || return 1
    mkdir "$root/opt/debs"
    cp "$directory"/*.deb "$root/opt/debs"
}

files() { # FILE
    shell "find / -xdev -path /opt -prune -o -path /var/log -prune -o -path /var/lib/systemd -prune \
        -o -path /var/lib/dpkg -prune -o -path /tmp -prune -o -path /var/tmp -prune \
        -o -path /var/cache -prune -o ! -type d -print | sort" >"$1"
}

accounts() {
    shell 'getent passwd; getent group; systemctl list-unit-files --no-legend; ls /dev/shm'
}

command -v mmdebstrap >/dev/null || skip_all "it needs the package mmdebstrap"
command -v lintian >/dev/null || skip_all "it needs the package lintian"
prepare
check "lintian finds no error and no warning" \
    lintian --allow-root --fail-on error,warning "$directory"/*.changes
check "a clean Debian" clean_debian
boot || skip_all "no container boots here"
files "$work/before"
accounts >"$work/accounts-before"

check "dpkg installs the packages, for all they need is there" \
    shell 'dpkg -i /opt/debs/nqptp_*.deb /opt/debs/nqptp-dev_*.deb'
check "the service is active" shell 'systemctl is-active nqptp'
check "and will be after the next boot" shell 'systemctl is-enabled nqptp'
check "it says that it is ready, by itself" shell 'systemctl show -P Type nqptp | grep -x notify'
check "it runs as user nqptp" shell 'test "$(ps -o user= -p "$(pidof nqptp)")" = nqptp'
check "with one capability" shell 'grep -x "CapBnd:.0*400" "/proc/$(pidof nqptp)/status"'
check "it answers" nsenter -t "$init" -a nqptp --status
check "its object is there for group nqptp" \
    shell 'test "$(stat -c "%U %G %a" /dev/shm/nqptp)" = "nqptp nqptp 664"'
check "the header is where compilers look" shell 'test -f /usr/include/nqptp-shm-structures.h'

pid=$(inside pidof nqptp)
inode=$(inside stat -c %i /dev/shm/nqptp)
check "installing again, as an upgrade does" shell 'dpkg -i /opt/debs/nqptp_*.deb'
refuse "is a restart" test "$(inside pidof nqptp)" = "$pid"
check "that keeps the object" test "$(inside stat -c %i /dev/shm/nqptp)" = "$inode"

check "removing it" shell 'dpkg -r nqptp nqptp-dev'
refuse "ends the service" shell 'pidof nqptp'
check "and purging it" shell 'dpkg -P nqptp nqptp-dev'
files "$work/after"
check "leaves no file" diff "$work/before" "$work/after"
accounts >"$work/accounts-after"
check "no account, no unit and no shared memory" diff "$work/accounts-before" "$work/accounts-after"
refuse "and nothing that systemd or dpkg remembers" \
    shell 'find /var/lib/systemd /var/lib/dpkg/info -name "*nqptp*" | grep .'

done_testing
