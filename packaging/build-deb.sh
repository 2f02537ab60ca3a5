#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes unsigned Debian packages from a tarball and from debian/ beside this script. They are put in
# the directory deb, or deb-HOST, which is made anew. EPOCH is the time of the release. HOST is the
# architecture to build for, by Debian's name (arm64, armhf), if it is not this machine's.
#
# usage: build-deb.sh TARBALL VERSION EPOCH [HOST]

set -eu
unset CDPATH
tarball=$1
version=$2
epoch=$3
host=${4:-}
here=$(cd "$(dirname "$0")" && pwd)

# Says how to get what is missing, and ends.
missing() { # COMMAND...
    {
        echo 'make deb: not everything that it needs is installed. As root, run:'
        printf '    %s\n' "$@"
    } >&2
    exit 1
}

can_build() {
    command -v dpkg-buildpackage >/dev/null && command -v dh >/dev/null || return 1
    if [ -z "$host" ]; then
        dpkg-checkbuilddeps "$here/debian/control"
    else
        command -v "$(dpkg-architecture -f -a "$host" -q DEB_HOST_GNU_TYPE)-gcc" >/dev/null &&
            dpkg-checkbuilddeps -a "$host" -P cross,nocheck "$here/debian/control"
    fi
}

[ "$host" != "$(dpkg --print-architecture 2>/dev/null)" ] || host=
if ! can_build; then
    [ -n "$host" ] || missing 'apt-get install --no-install-recommends build-essential debhelper libsystemd-dev'
    missing "dpkg --add-architecture $host" 'apt-get update' \
        "apt-get install --no-install-recommends build-essential debhelper crossbuild-essential-$host libsystemd-dev:$host"
fi

directory=deb${host:+-$host}
rm -rf "$directory"
mkdir "$directory"
cp "$tarball" "$directory/nqptp_$version.orig.tar.gz"
cd "$directory"
tar -xf "nqptp_$version.orig.tar.gz"
cp -R "$here/debian" "nqptp-$version/debian"
cd "nqptp-$version"
chmod -R u+w debian
sed -e "s/@VERSION@/$version/" -e "s/@DATE@/$(LC_ALL=C date -u -R -d "@$epoch")/" \
    debian/changelog.in >debian/changelog
rm debian/changelog.in
if [ -z "$host" ]; then
    dpkg-buildpackage -us -uc -b
else
    # Tests of another processor's program cannot run here; nqptp-dev is the same for all.
    DEB_BUILD_OPTIONS=nocheck dpkg-buildpackage -us -uc -B --host-arch="$host" --build-profiles=cross,nocheck
fi
