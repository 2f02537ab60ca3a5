#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves of the tarball what distributions rely on: it builds without autoconf, automake and a
# network, and no rule asks for them; two builds that differ in all that must not matter install
# the same bytes; with DESTDIR only the files listed here are installed; a user who packs it again
# gets the same tarball; and a build that is configured again is what configure says.
#
# usage: check-reproducible.sh TARBALL

set -u
tarball=$1
# shellcheck source=tests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"

# Programs of the maintainer, replaced by scripts that note that they were called.
hide_autotools() {
    mkdir "$work/bin" || return 1
    for tool in aclocal autoconf autoheader autom4te automake autoreconf autoupdate m4 perl; do
        printf '#!/bin/sh\necho "%s $*" >>"%s"\nexit 1\n' "$tool" "$work/called" >"$work/bin/$tool"
        ln "$work/bin/$tool" "$work/bin/$tool-1.16"
    done
    chmod +x "$work"/bin/*
    PATH=$work/bin:$PATH
}

offline() {
    if unshare -n true 2>/dev/null; then unshare -n "$@"; else unshare -rn "$@"; fi
}

unpack() { # DIRECTORY
    mkdir -p "$1" && tar -xf "$tarball" -C "$1" --strip-components=1
}

# Builds and installs as a distribution does, in the current directory.
build_there() { # SOURCE DESTDIR
    offline "$1/configure" -q --prefix=/usr CFLAGS='-g -O2 -Werror=date-time' &&
        offline make -s && offline make -s install DESTDIR="$2"
}

build_in_tree() {
    (cd "$work/here" && build_there . "$work/root-here")
}

# Builds at another time, in a directory with another length, out of the tree, as another user.
build_elsewhere() {
    (umask 077 && mkdir -p "$work/a/much/longer/way" && cd "$work/a/much/longer/way" &&
        TZ=Pacific/Auckland LC_ALL=C.UTF-8 HOME=/nonexistent USER=somebody &&
        export TZ LC_ALL HOME USER && build_there ../../../../there "$work/root-there")
}

# Prints one path a line. The modes of directories depend on the umask, so they are left out.
files_of() { # ROOT
    (cd "$1" && find . -type f -printf '%m %p\n' | sort -k 2)
}

# The unit and the daemon must agree on whether the daemon reports to systemd.
configured_again() {
    (cd "$work/here" && ./configure -q --prefix=/usr --without-systemd && make -s &&
        grep -x Type=exec nqptp.service && ! readelf -d nqptp | grep libsystemd)
}

pack_again() {
    (umask 077 && cd "$work/a/much/longer/way" && make -s dist && cmp ./nqptp-*.tar.gz "$tarball")
}

work=$(mktemp -d) || exit 1
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
tarball=$(cd "$(dirname "$tarball")" && pwd)/$(basename "$tarball")
unpack "$work/here" && unpack "$work/there" || exit 1
hide_autotools || exit 1

check 'the tarball builds and installs without autotools and network' build_in_tree
sleep 2
check 'the tarball builds and installs out of its tree' build_elsewhere
check 'both builds install the same bytes' diff -r "$work/root-here" "$work/root-there"
files_of "$work/root-here" >"$work/files"
unit=$(sed -n 's/.* \(.*\)\/nqptp.service$/\1/p' "$work/files")
printf '%s\n' '755 ./usr/bin/nqptp' '644 ./usr/include/nqptp-shm-structures.h' \
    "644 $unit/nqptp.service" '644 ./usr/lib/sysusers.d/nqptp.conf' \
    '644 ./usr/share/bash-completion/completions/nqptp' '644 ./usr/share/man/man8/nqptp.8' | sort -k 2 >"$work/expected"
check 'both builds install the listed files only' diff "$work/expected" "$work/files"
files_of "$work/root-there" >"$work/files"
check 'the files are installed with the listed modes' diff "$work/expected" "$work/files"
check 'a tarball that is packed again is the same' pack_again
check 'configured again without libsystemd, unit and daemon are without it' configured_again
check 'the build asks for no autotools' test ! -e "$work/called"

done_testing
