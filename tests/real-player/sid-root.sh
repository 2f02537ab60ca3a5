#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes a root of Debian sid with the real Shairport Sync and, unpacked in /opt/reference, Debian's
# own nqptp. A root that this script finished earlier is used again. The script marks the root with a
# file before anything else is in it, and removes only a directory with that mark. It needs root, the
# network and the package mmdebstrap.
#
# usage: sid-root.sh DIRECTORY
# Exit status: 0 the root is there, 1 wrong use or no mmdebstrap, 77 three tries with Debian's archive
# did not make one.

set -u
root=${1-}
[ -n "$root" ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 1; }
mark=opt/made-by-sid-root
packages=systemd,systemd-sysv,dbus,avahi-daemon,shairport-sync,iproute2,procps,python3

is_complete() {
    [ -e "$root/opt/complete" ]
}

# Succeeds for a directory that is empty, does not exist, or has the mark.
clear_root() {
    [ ! -e "$root" ] || rmdir "$root" 2>/dev/null && return
    [ -e "$root/$mark" ] && rm -rf --one-file-system "$root" && return
    echo "sid-root.sh: $root is there, and this script did not make it" >&2
    return 1
}

# The Release file of sid may be out of date, and its indexes may change while they are read.
make_root() {
    # shellcheck disable=SC2016 # $1 is the hook's
    timeout -k 60 400 mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" \
        --setup-hook='mkdir "$1/opt"; touch "$1/'$mark'"' \
        --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Retries "3"' \
        --aptopt='Acquire::By-Hash "yes"' --aptopt='Acquire::http::Pipeline-Depth "0"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='chroot "$1" sh -ec "cd /opt; apt-get -qq download nqptp; \
            dpkg-deb -x nqptp_*.deb reference; touch complete"' \
        sid "$root"
}

mkdir -p "$(dirname "$root")" && exec 9<"$(dirname "$root")" || exit 1
flock -w 1500 9 || exit 1 # another run may be making the same root
! is_complete || exit 0
clear_root || exit 1
command -v mmdebstrap >/dev/null || { echo "sid-root.sh: it needs the package mmdebstrap" >&2; exit 1; }
for try in 1 2 3; do
    make_root 9<&- && exit 0
    echo "sid-root.sh: try $try failed" >&2
    clear_root || exit 1
    sleep 5
done
exit 77
