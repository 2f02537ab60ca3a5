#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes a root of Debian sid with the real Shairport Sync and, unpacked in /opt/reference, Debian's
# own nqptp. A root that this script finished earlier is used again. It removes only a directory
# that it began itself. It needs root, the network and the package mmdebstrap.
#
# usage: sid-root.sh DIRECTORY
# Exit status: 0 the root is there, 1 wrong use, 77 Debian's archive did not give one in three tries.

set -u
[ $# -eq 1 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 1; }
root=$1
begun=$root.begun # this script makes or made that directory
packages=systemd,systemd-sysv,dbus,avahi-daemon,shairport-sync,iproute2,procps,python3

[ ! -e "$root/opt/complete" ] || exit 0
if [ -e "$root" ] && [ ! -e "$begun" ]; then
    echo "sid-root.sh: $root is there, and this script did not make it" >&2
    exit 1
fi
command -v mmdebstrap >/dev/null || { echo "sid-root.sh: it needs the package mmdebstrap" >&2; exit 77; }

# The Release file of sid may be out of date, and its indexes may change while they are read.
make_root() {
    # shellcheck disable=SC2016 # $1 is the hook's
    timeout -k 60 400 mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" \
        --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Retries "3"' \
        --aptopt='Acquire::By-Hash "yes"' --aptopt='Acquire::http::Pipeline-Depth "0"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='chroot "$1" sh -ec "cd /opt; apt-get -qq download nqptp; \
            dpkg-deb -x nqptp_*.deb reference; touch complete"' \
        sid "$root"
}

mkdir -p "$(dirname "$root")" || exit 1
touch "$begun" || exit 1
for try in 1 2 3; do
    rm -rf --one-file-system "$root"
    make_root && exit 0
    echo "sid-root.sh: try $try failed" >&2
    sleep 5
done
exit 77
