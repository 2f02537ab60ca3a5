#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Downloads the package nqptp, the reference, from Debian sid, and unpacks its program. The benchmark
# runs that beside this project's daemon. Nothing is installed.
#
# usage: real-reference.sh DIRECTORY
# Writes DIRECTORY/nqptp and DIRECTORY/version. Exits with 1 and a message if it cannot.

set -eu
machines=$(cd "$(dirname "$0")/../machines" && pwd)
mkdir -p "$1"
cd "$1"
test ! -s version || exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/archives/partial"
archive=$("$machines/fresh-machine.sh" archive)
echo "deb $archive sid main" >"$work/sources"

apt() { # ARGUMENT...
    apt-get -qq -o Dir::Etc::SourceList="$work/sources" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work" -o Acquire::Languages=none \
        -o Acquire::Check-Valid-Until=false -o Acquire::Retries=3 -o APT::Sandbox::User=root "$@"
}

if ! (cd "$work" && apt update && apt download nqptp && dpkg-deb -x nqptp_*.deb root) >"$work/log" 2>&1; then
    echo 'real-reference.sh: cannot download the package nqptp from Debian sid:' >&2
    tail -n 3 "$work/log" >&2
    exit 1
fi
cp "$work/root/usr/bin/nqptp" .
dpkg-deb -f "$work"/nqptp_*.deb Version | sed 's/^[0-9]*://; s/-.*//' >version
