#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Builds the tarball for other processors, C libraries and compilers, out of its tree and with
# warnings as errors, and runs the unit tests there. System tests need a kernel of their own kind.
#
# usage: check-ports.sh TARBALL PORT...
#
# A port is gcc, clang, musl, or a GNU triplet such as arm-linux-gnueabihf, whose compiler and
# emulator are in the Debian packages gcc-TRIPLET and qemu-user-static. Flags may follow, without
# blanks: gcc:-O3,-flto. A port whose tools are missing has failed.

set -u
tarball=$1
shift
# shellcheck source=tests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"

fail() { # WHAT-FAILED
    not_ok "$port: $1"
    return 1
}

# Finds how to run a program of that triplet here: by an emulator, or by its own loader.
emulator_of() { # TRIPLET
    case $1 in
    i?86-*) echo "/usr/$1/lib/ld-linux.so.2 --library-path /usr/$1/lib" && return ;;
    arm*) cpu=arm ;;
    m68k-* | mips*-* | riscv*-* | s390x-* | aarch64-* | sh4-* | hppa-*) cpu=${1%%-*} ;;
    powerpc*) cpu=ppc${1#powerpc} && cpu=${cpu%%-*} ;;
    *) cpu=${1%%-*} ;;
    esac
    echo "qemu-$cpu-static -L /usr/$1"
}

# musl has no headers of the kernel. Those of the other C library are the same.
kernel_headers() { # DIRECTORY
    mkdir "$1"
    ln -s /usr/include/linux /usr/include/asm-generic "$1"
    ln -s "/usr/include/$(gcc -print-multiarch)/asm" "$1"
}

# Sets `emulator` and the arguments of configure, one a line in file $1.
choose() { # FILE
    emulator=''
    case $name in
    gcc | clang) echo "CC=$name" ;;
    musl)
        kernel_headers "$work/kernel"
        printf '%s\n' CC=musl-gcc --without-systemd "CPPFLAGS=-idirafter $work/kernel"
        ;;
    *)
        printf '%s\n' "--host=$name" --without-systemd
        emulator=$(emulator_of "$name")
        ;;
    esac >"$1"
    case $port in
    *:*) printf 'CFLAGS=%s\n' "$(echo "${port#*:}" | tr ',' ' ')" >>"$1" ;;
    esac
}

tools_are_there() {
    case $name in
    gcc | clang) compiler=$name package=$name ;;
    musl) compiler=musl-gcc package=musl-tools ;;
    *) compiler=$name-gcc package=gcc-$name ;;
    esac
    command -v "$compiler" >"$work/log" || fail "no $compiler: install $package" || return
    test -z "$emulator" || command -v "${emulator%% *}" >"$work/log" ||
        fail "no ${emulator%% *}: install qemu-user-static or libc6-dev of that port"
}

build() {
    # shellcheck disable=SC2046 # one argument a line
    (IFS='
' && exec "$source/configure" -q --enable-werror $(cat "$work/arguments")) >"$work/log" 2>&1 ||
        fail 'configure' || return
    make -s -j2 >"$work/log" 2>&1 || fail 'make' || return
    # shellcheck disable=SC2086 # a command line
    $emulator ./nqptp -V >"$work/log" 2>&1
    grep -q '^Version: ' "$work/log" || fail 'nqptp -V'
}

# Prints of each test that failed: what automake says of it, its failed checks, and the end of its
# log, which shows where a test was that crashed or was killed.
show_failures() {
    grep -E '^(FAIL|ERROR|XPASS):' "$work/log" | sed 's/^/# /'
    grep -l '^:recheck: yes' tests/*/*.trs | while read -r trs; do
        test=${trs%.trs}
        grep -E -A 3 '^(not ok|Bail out)' "$test.log" | head -n 60 | sed "s|^|# $test: |"
        tail -n 10 "$test.log" | sed "s|^|# end of $test.log: |"
    done
}

check_port() {
    # Only warnings of the linker are no errors.
    if make -s -j2 check-unit EMULATOR="$emulator" >"$work/log" 2>&1; then
        ok "$port${emulator:+, by ${emulator%% *}}"
    else
        fail 'make check-unit'
        show_failures
    fi
    grep -E '^# (TOTAL|PASS|SKIP|FAIL|ERROR):' "$work/log"
}

work=$(mktemp -d) || exit 1
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
tar -xf "$tarball" -C "$work" || exit 1
source=$(echo "$work"/nqptp-*)

for port; do
    name=${port%%:*}
    rm -rf "$work/kernel" "$work/build"
    mkdir "$work/build" && cd "$work/build" || exit 1
    choose "$work/arguments"
    tools_are_there && build && check_port
done

done_testing
