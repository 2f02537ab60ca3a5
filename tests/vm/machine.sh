#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Boots a kernel under QEMU, without KVM, and runs tests of this build on it, with the programs and
# libraries of this machine.
#
# usage: machine.sh KERNEL TEST...     KERNEL is a directory that kernel.sh made
#
# It prints the output of the tests, and lines that begin with "machine:". A
# line "host: COMMAND" is a request to this script:
#
#   stop SECONDS    stops the machine for SECONDS; packets to it wait
#   send OPTION...  starts a sender outside the machine, and ends the sender before
#
# With ROOT, the directory of a Debian that has systemd, the machine has that root file system, and its
# first process is systemd.
#
# It needs the packages qemu-system-x86, cpio, kmod and those of the programs in `tools`. It needs no
# root. Run it where the daemon and the test programs have been built.

set -u
PATH=$PATH:/usr/sbin:/sbin

tools="sh ip tc bridge unshare nsenter mount umount timeout awk sed grep stat readlink mktemp seq date
    dirname cat chmod chown mkdir rm rmdir ln mv cp ls touch id env sleep tail head sort uniq wc tr cut
    kill modprobe uname stty true false dd cmp od expr test sync mkfifo nohup ps prlimit setpriv strace
    getent mountpoint truncate tee comm basename losetup bash find xargs nice hostname"
modules="af_packet virtio_pci virtio_net rtc_cmos veth sch_netem 8021q bridge macvlan ipv6 dummy"

# --- what the machine has -------------------------------------------------------------------------

copy() { # FILE
    [ ! -e "$guest$1" ] || return 0
    mkdir -p "$guest$(dirname "$1")" && cp -L "$1" "$guest$1"
}

# Copies a program and the libraries that it is linked to.
copy_program() { # FILE
    copy "$1"
    for library in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*'); do
        copy "$library"
    done
}

copy_tools() {
    for directory in bin sbin lib lib64; do
        [ ! -L /$directory ] || ln -s usr/$directory "$guest/$directory"
    done
    for tool in $tools; do
        path=$(command -v "$tool" | grep /) || path=/usr/bin/$tool
        [ ! -x "$path" ] || copy_program "$path"
    done
}

copy_modules() {
    [ -e "$kernel/lib/modules/$release/modules.dep" ] || depmod -b "$kernel" "$release"
    for module in $modules; do
        modprobe -d "$kernel" -S "$release" --show-depends "$module"
    done 2>/dev/null | sed -n "s|^insmod $kernel\(/[^ ]*\).*|\1|p" | sort -u |
        while read -r file; do
            mkdir -p "$guest$(dirname "$file")"
            cp "$kernel$file" "$guest$file"
            [ "$file" = "${file%.xz}" ] || xz -d "$guest$file"
        done
    cp "$kernel/lib/modules/$release"/modules.builtin* "$kernel/lib/modules/$release/modules.order" \
        "$guest/lib/modules/$release"
    depmod -b "$guest" "$release"
}

copy_build() {
    mkdir -p "$guest/nqptp"
    cp nqptp "$guest/nqptp"
    (cd "$srcdir" && tar -cf - tests/*/*.sh tests/recordings) | tar -xf - -C "$guest/nqptp"
    for program in nqptp tests/tools/* tests/unit/*; do
        [ "$program" != "${program#*.}" ] || [ ! -x "$program" ] || {
            mkdir -p "$guest/nqptp/$(dirname "$program")"
            cp "$program" "$guest/nqptp/$program"
            for library in $(ldd "$program" | grep -o '/[^ ]*'); do
                copy "$library"
            done
        }
    done
}

# A service that runs the tests, in the place of the usual services.
add_systemd() {
    program=$(sed -n 's/^ExecStart=//p' nqptp.service)
    rm -f "$guest/etc/machine-id"
    : >"$guest/etc/machine-id"
    mkdir -p "$guest$(dirname "$program")"
    cp nqptp "$guest$program"
    cp nqptp.service "$guest/etc/systemd/system"
    cp "$srcdir/packaging/nqptp.sysusers" "$guest/usr/lib/sysusers.d/nqptp.conf"
    cat >"$guest/etc/systemd/system/tests.service" <<END
[Unit]
After=sysinit.target
[Service]
ExecStart=/bin/sh /tests.sh
END
    cat >"$guest/etc/systemd/system/tests.target" <<END
[Unit]
Requires=sysinit.target tests.service
AllowIsolate=yes
END
    ln -sf tests.target "$guest/etc/systemd/system/default.target"
    ln -sf usr/lib/systemd/systemd "$guest/init"
}

make_guest() { # TEST...
    mkdir -p "$guest/proc" "$guest/sys" "$guest/dev" "$guest/run" "$guest/tmp" "$guest/etc" \
        "$guest/usr/bin" "$guest/usr/sbin" "$guest/usr/lib" "$guest/usr/lib64" "$guest/root"
    if [ -n "${ROOT:-}" ]; then
        cp -a "$ROOT/." "$guest"
        copy_build
        copy_modules
        add_systemd
    else
        make_small_guest
    fi
    cp "$srcdir/tests/vm/init.sh" "$guest/tests.sh"
    printf '%s\n' "$@" >"$guest/tests"
    (cd "$guest" && find . | cpio --quiet -o -H newc -R 0:0) >"$work/initrd"
}

make_small_guest() {
    copy_tools
    copy_build
    copy_modules
    printf 'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >"$guest/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$guest/etc/group"
    printf '127.0.0.1 localhost\n' >"$guest/etc/hosts"
    cp "$srcdir/tests/vm/init.sh" "$guest/init"
    chmod 755 "$guest/init"
}

# --- the machine ----------------------------------------------------------------------------------

# In a network of its own, so that the host can send from port 319 to it.
boot() {
    mkfifo "$work/monitor.in" "$work/monitor.out"
    cat "$work/monitor.out" >/dev/null &
    exec 7<>"$work/monitor.in"
    timeout -k 5 "$limit" qemu-system-x86_64 -accel tcg -smp 1 -m 512 -cpu max -M pc -display none \
        -nodefaults -no-reboot -kernel "$kernel"/boot/vmlinuz-* -initrd "$work/initrd" \
        -append "console=ttyS0 quiet panic=-1 reboot=t" \
        -monitor "pipe:$work/monitor" -serial "file:$work/console" -serial stdio \
        -netdev user,id=net,hostfwd=udp:127.0.0.1:319-:319,hostfwd=udp:127.0.0.1:320-:320 \
        -device virtio-net-pci,netdev=net </dev/null | while read -r word line; do
        case $word in
        host:) obey "$line" ;;
        *) printf '%s %s\n' "$word" "$line" ;;
        esac
    done
}

sending=''
obey() { # COMMAND
    # shellcheck disable=SC2086 # words
    set -- $1
    case $1 in
    stop)
        echo stop >&7
        sleep "$2"
        echo cont >&7
        ;;
    send)
        shift
        [ -z "$sending" ] || kill "$sending"
        tests/tools/ptp-sender "$@" >/dev/null 2>&1 &
        sending=$!
        ;;
    esac
}

if [ "${NQPTP_IN_NETWORK:-}" = '' ]; then
    export NQPTP_IN_NETWORK=yes
    [ "$(id -u)" = 0 ] && new=-n || new=-rn # For root the owners of files stay.
    exec unshare "$new" --fork --kill-child sh "$0" "$@"
fi
ip link set lo up
kernel=$(readlink -f "$1")
shift
srcdir=${srcdir:-.}
release=$(ls "$kernel/lib/modules")
limit=900 # s
work=$(mktemp -d)
guest=$work/guest
trap 'rm -rf --one-file-system "$work"' EXIT
make_guest "$@"
boot
if [ -s "$work/console" ]; then
    tail -n 20 "$work/console" | tr -d '\r' | sed 's/^/# console: /'
fi
