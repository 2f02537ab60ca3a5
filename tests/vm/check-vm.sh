#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs tests on kernels of Debian, each in a virtual machine without KVM. It prints TAP: each check
# with the kernel and the test in front.
#
# usage: check-vm.sh "KERNEL..." [TEST...]      for example: check-vm.sh "5.10 6.1" tests/vm/steps.sh
#
# Without tests it runs those that ask the kernel something, and all of tests/vm. Kernels stay in the
# directory `kernels`. A kernel that cannot be had is a skip.
#
# It needs the network for the kernels, and the packages qemu-system-x86, cpio, kmod, xz-utils,
# iproute2 and strace; no root. Run it where the daemon and the test programs have been built.

set -u
srcdir=${srcdir:-.}
export srcdir
# shellcheck source=tests/lib/tap.sh
. "$srcdir/tests/lib/tap.sh"
need qemu-system-x86_64 qemu-system-x86
need cpio cpio
need xz xz-utils
PATH=$PATH:/usr/sbin:/sbin need depmod kmod

kernels=$1
shift
[ $# -gt 0 ] || set -- tests/unit/test-shm tests/unit/test-objects tests/unit/test-kept \
    tests/unit/test-endpoints tests/unit/test-utilities tests/system/generations.sh \
    tests/vm/network.sh tests/vm/steps.sh tests/vm/suspend.sh
work=$(mktemp -d) || exit 1
trap 'rm -rf --one-file-system "$work"' EXIT

# Takes what machine.sh printed, and makes the checks of all tests one list.
take_results() { # KERNEL FILE
    running='' ended=no
    while IFS= read -r line; do
        case $line in
        'machine: begin '*)
            running=${line##*[ /]} before=$tests bad=$failures
            ;;
        'machine: end '*)
            [ $tests -gt "$before" ] || not_ok "$1: $running: it made no check"
            [ "${line##* }" = 0 ] || [ $failures -gt "$bad" ] ||
                not_ok "$1: $running: exit status ${line##* }"
            running=''
            ;;
        'machine: done') ended=yes ;;
        'ok '*' - '*) ok "$1: $running: ${line#* - }" ;;
        'not ok '*' - '*) not_ok "$1: $running: ${line#* - }" ;;
        '1..0 # SKIP'*) skip "$1: $running" "${line#*SKIP }" ;;
        '#'* | machine:*) echo "# ${line#\# }" ;;
        esac
    done <"$2"
    [ $ended = yes ] || not_ok "$1: the machine ran all tests${running:+, but ended in $running}"
}

for kernel in $kernels; do
    if "$srcdir/tests/vm/kernel.sh" "$kernel" "kernels/$kernel" >"$work/kernel" 2>&1; then
        begun=$(date +%s)
        sh "$srcdir/tests/vm/machine.sh" "kernels/$kernel" "$@" >"$work/said" 2>&1
        take_results "$kernel" "$work/said"
        echo "# $kernel: $(($(date +%s) - begun)) s"
    elif [ $? -eq 77 ]; then
        show kernel: "$work/kernel"
        skip "$kernel" "the kernel cannot be had"
    else
        show kernel: "$work/kernel"
        not_ok "$kernel: a kernel of that name"
    fi
done
done_testing
