#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Gets a kernel of Debian into a directory: it is downloaded and unpacked, not installed. A kernel that
# is there already is not downloaded again.
#
# usage: kernel.sh VERSION DIRECTORY      VERSION is 5.10, 6.1 or 6.12
#
# It needs the packages apt, dpkg and kmod, and the network: Debian is taken from where this
# machine's apt takes it. It ends with 77 if three tries do not get the kernel.

set -u
PATH=$PATH:/usr/sbin:/sbin

version=$1
directory=$2
case $version in
5.10) suite=bullseye ;;
6.1) suite=bookworm ;;
6.12) suite=trixie ;;
*)
    echo "no Debian has Linux $version: 5.10, 6.1 and 6.12 are known here" >&2
    exit 2
    ;;
esac
archive=$("$(dirname "$0")/../machines/fresh-machine.sh" archive)

# Runs apt with a state of its own, which knows only the main archive of that suite.
apt() { # COMMAND...
    tool=$1
    shift
    "$tool" -qq -o "Dir::Etc::sourcelist=$state/sources" -o Dir::Etc::sourceparts=- \
        -o "Dir::State=$state" -o Dir::State::status=/dev/null -o "Dir::Cache=$state" \
        -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none -o APT::Sandbox::User=root "$@"
}

download() {
    state=$(mktemp -d) || exit 1
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    echo "deb $archive $suite main" >"$state/sources"
    apt apt-get update && cd "$state" &&
        apt apt-get download "$(apt apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: //p')" &&
        dpkg-deb -x linux-image-*.deb "$directory.part" &&
        { [ -d "$directory.part/lib" ] || ln -s usr/lib "$directory.part/lib"; } && mv "$directory.part" "$directory"
    got=$?
    rm -rf --one-file-system "$state" "$directory.part"
    return $got
}

mkdir -p "$(dirname "$directory")"
directory=$(readlink -f "$directory")
for _ in 1 2 3; do
    [ ! -d "$directory" ] || exit 0
    (download) && exit 0
    sleep 5
done
exit 77
