#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes a Debian 13 with systemd in a directory, for machine.sh. The systemd of Debian 12 is built
# without BPF, so it does not enforce SocketBindDeny=.
#
# usage: debian.sh DIRECTORY
#
# It needs root, the package mmdebstrap, and the network: Debian is taken from where this machine's
# apt takes it. It ends with 77 if it cannot be made.

set -u
[ ! -d "$1" ] || exit 0
archive=$("$(dirname "$0")/../machines/fresh-machine.sh" archive)
for _ in 1 2 3; do
    timeout -k 10 600 mmdebstrap --quiet --mode=root --variant=essential \
        --include=systemd,systemd-sysv,libbpf1,iproute2,procps,kmod,mount \
        --aptopt='Acquire::Check-Valid-Until "false"' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        trixie "$1.part" "deb $archive trixie main" && mv "$1.part" "$1" && exit 0
    rm -rf --one-file-system "$1.part"
    sleep 5
done
exit 77
