#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs tests on kernels of Debian, each in a virtual machine without KVM. It prints TAP: each check
# with the kernel and the test in front.
#
# usage: check-vm.sh "KERNEL..." [TEST...]      for example: check-vm.sh "5.10 6.1" tests/vm/steps.sh
#
# Without tests it runs those that ask the kernel something, and all of tests/vm. Kernels stay in the
# directory `kernels`. A kernel that cannot be downloaded is a skip. tests/vm/service.sh gets a machine of its
# own, with a Debian 13; by default only that Debian's kernel runs it.
#
# It needs the network for the kernels, and the packages qemu-system-x86, cpio, kmod, xz-utils,
# iproute2 and strace; for service.sh also root and mmdebstrap. Run it where the daemon and the test programs have been built.

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
service=no
case " $* " in
'  ') service=6.12 ;;
*" tests/vm/service.sh "*) service=$kernels ;;
esac
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

run() { # KERNEL TEST...
    kernel=$1
    shift
    [ $# -gt 0 ] || return
    begun=$(date +%s)
    sh "$srcdir/tests/vm/machine.sh" "kernels/$kernel" "$@" >"$work/said" 2>&1
    take_results "$kernel" "$work/said"
    echo "# $kernel: $(($(date +%s) - begun)) s"
}

run_service() { # KERNEL
    if "$srcdir/tests/vm/debian.sh" kernels/debian >"$work/debian" 2>&1; then
        export ROOT=kernels/debian
        run "$1" tests/vm/service.sh
        unset ROOT
    else
        show debian: "$work/debian"
        skip "$1: service.sh" "a Debian 13 cannot be made"
    fi
}

small() { # TEST...
    for test in "$@"; do
        [ "$test" = tests/vm/service.sh ] || echo "$test"
    done
}

for kernel in $kernels; do
    if "$srcdir/tests/vm/kernel.sh" "$kernel" "kernels/$kernel" >"$work/kernel" 2>&1; then
        # shellcheck disable=SC2046 # a list
        run "$kernel" $(small "$@")
        case " $service " in *" $kernel "*) run_service "$kernel" ;; esac
    elif [ $? -eq 77 ]; then
        show kernel: "$work/kernel"
        skip "$kernel" "the kernel cannot be downloaded"
    else
        show kernel: "$work/kernel"
        not_ok "$kernel: a kernel of that name"
    fi
done
done_testing
