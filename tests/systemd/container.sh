# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2016,SC2034,SC2154
#
# What the topics of check-systemd.sh share: a container on an overlay of this machine's own root file
# system, and functions that act and look in it.

set -u

# Functions for the command lines of shell().
prelude='
cd /opt/nqptp
eventually() { # SECONDS COMMAND...
    tries=$(($1 * 10))
    shift
    until "$@"; do
        tries=$((tries - 1))
        test $tries -gt 0 || return 1
        sleep 0.1
    done
}
answers() { nqptp --status >/dev/null; }
is_another_than() { # PID
    new=$(pidof nqptp) && test "$new" != "$1" && systemctl is-active -q nqptp
}
said() { # WHAT, in the journal since mark()
    journalctl --sync
    journalctl -q -u nqptp --since="$(cat /run/mark)" | grep -e "$1"
}
'

# Runs a shell command line inside, in the unpacked source, with the functions above.
shell() {
    inside sh -c "$prelude $1"
}

# From here on said() looks at the journal.
mark() {
    shell 'journalctl --sync; date +@%s.%6N >/run/mark'
}

# Changes the unit by a drop-in. undo_change() removes it.
change_unit() { # LINE...
    printf '%s\n' '[Service]' "$@" >"$work/drop-in"
    inside mkdir -p /run/systemd/system/nqptp.service.d
    inside sh -c 'cat >/run/systemd/system/nqptp.service.d/test.conf' <"$work/drop-in"
    inside systemctl daemon-reload
}

undo_change() {
    inside rm /run/systemd/system/nqptp.service.d/test.conf
    inside systemctl daemon-reload
}

fill() { # TARBALL
    mkdir "$work/u" "$work/w" || return 1
    mount -t overlay overlay -o "lowerdir=/,upperdir=$work/u,workdir=$work/w" "$root" || return 1
    rm -rf "$root"/etc/systemd/system/*.wants/* "$root/etc/resolv.conf"
    rm -rf "$root/opt/nqptp"
    mkdir -p "$root/opt/nqptp"
    tar -xf "$1" -C "$root/opt/nqptp" --strip-components=1
}

# Boots the container with the tarball's source in it.
enter_container() { # TARBALL
    [ -x /sbin/init ] || skip_all "it needs the package systemd-sysv"
    command -v dbus-daemon >/dev/null || skip_all "it needs the package dbus"
    prepare
    fill "$1" || exit 1
    boot || skip_all "no container boots here"
}
