#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes Debian packages, unsigned, of a tarball and of what is in debian/ beside this script.
#
# usage: build-deb.sh TARBALL VERSION EPOCH DIRECTORY
#
# The directory is made afresh, and holds the packages then. EPOCH is the time of the release.

set -eu
tarball=$1
version=$2
epoch=$3
directory=$4
here=$(cd "$(dirname "$0")" && pwd)

rm -rf "$directory"
mkdir -p "$directory"
cp "$tarball" "$directory/nqptp_$version.orig.tar.gz"
cd "$directory"
tar -xf "nqptp_$version.orig.tar.gz"
cp -R "$here/debian" "nqptp-$version/debian"
cd "nqptp-$version"
chmod u+w -R debian
sed -e "s/@VERSION@/$version/" -e "s/@DATE@/$(LC_ALL=C date -u -R -d "@$epoch")/" \
    debian/changelog.in >debian/changelog
rm debian/changelog.in
dpkg-buildpackage -us -uc -b
