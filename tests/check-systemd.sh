#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves the installed service under a real systemd: the tarball of this build is configured, built
# and installed in a container that boots an overlay of this machine's own root file system, once
# with libsystemd and once without it and pkg-config. Nothing outside the container is changed.
#
# Not part of "make check": it needs root, and the packages systemd-container, systemd-sysv, dbus.
# usage: check-systemd.sh TARBALL
#
# Command lines in single quotes are for the shell in the container.
# shellcheck disable=SC2016

set -u
# shellcheck source=tests/container.sh
. "$(dirname "$0")/container.sh"
tarball=$1

fill() {
    mkdir "$work/u" "$work/w" || return 1
    mount -t overlay overlay -o "lowerdir=/,upperdir=$work/u,workdir=$work/w" "$root" || return 1
    rm -rf "$root"/etc/systemd/system/*.wants/* "$root/etc/resolv.conf"
    rm -rf "$root/opt/nqptp"
    mkdir -p "$root/opt/nqptp"
    tar -xf "$tarball" -C "$root/opt/nqptp" --strip-components=1
}

[ -x /sbin/init ] || skip_all "it needs the package systemd-sysv"
command -v dbus-daemon >/dev/null || skip_all "it needs the package dbus"
prepare
fill || exit 1
boot || skip_all "no container boots here"

# --- what is expected of the service --------------------------------------------------------------

service_is_up() {
    check "systemctl enable --now nqptp" inside systemctl enable --now nqptp
    check "it is active" inside systemctl is-active nqptp
    check "it runs as user nqptp" shell 'test "$(ps -o user= -p "$(pidof nqptp)")" = nqptp'
    # Without libsystemd it cannot say that it is ready: the unit is active a moment before.
    check "the daemon answers" shell '
        for i in $(seq 50); do nqptp --status && exit 0; sleep 0.1; done; exit 1'
    check "/nqptp belongs to nqptp and its group, mode 0664" \
        shell 'test "$(stat -c "%U %G %a" /dev/shm/nqptp)" = "nqptp nqptp 664"'
}

members_read_and_others_do_not() {
    check "a master is followed, and a fresh member of group nqptp reads it under the mutex" shell '
        (timeout 10 tests/ptp-sender --to 127.0.0.1 --identity 1122334455667788 --seconds 8 &)
        runuser -u member -- /opt/nqptp/tests/shm-reader --wait-master 8 --count 1 --expect-id 1122334455667788'
    refuse "who is no member is refused write access" \
        shell 'runuser -u stranger -- /opt/nqptp/tests/shm-reader --count 1'
    check "but may look" shell 'runuser -u stranger -- cat /dev/shm/nqptp >/dev/null'
}

restarts_keep_the_object() {
    shell 'stat -c %i /dev/shm/nqptp >/run/inode; pidof nqptp >/run/pid'
    check "systemctl restart" inside systemctl restart nqptp
    check "is another process" shell 'test "$(pidof nqptp)" != "$(cat /run/pid)"'
    check "and leaves the object in place" shell 'test "$(stat -c %i /dev/shm/nqptp)" = "$(cat /run/inode)"'
    check "kill -9, and it is back by itself" shell '
        pid=$(pidof nqptp); kill -KILL $pid
        for i in $(seq 100); do
            new=$(pidof nqptp) && test "$new" != "$pid" && systemctl is-active -q nqptp && exit 0
            sleep 0.1
        done; exit 1'
    check "with the object in place" shell 'test "$(stat -c %i /dev/shm/nqptp)" = "$(cat /run/inode)"'
}

stops_clean() {
    check "systemctl stop" inside systemctl stop nqptp
    check "removes the object" shell 'test ! -e /dev/shm/nqptp'
    check "and is no failure" shell '! systemctl is-failed nqptp'
}

# A player of that generation maps the object once and commands once, in the middle of play the
# daemon is restarted, then killed, and the player reads on: the same clock, one mastership. With
# PLAY_BEFORE in the environment it has played for so many seconds more by then.
players_play_on() { # GENERATION
    before=${PLAY_BEFORE:-0}
    check "a sender plays, and a player of generation $1 reads" shell "
        (timeout $((before + 40)) tests/ptp-sender --to 127.0.0.1 --identity 1122334455667788 \\
            --seconds $((before + 35)) &)
        (runuser -u member -- /opt/nqptp/tests/player --generation $1 --play 127.0.0.1 --wait 5 \\
            --watch $((before + 12)) --ids 1122334455667788 >/run/player 2>&1
            echo \$? >/run/status) &
        sleep 4; test ! -e /run/status"
    sleep "$before"
    check "systemctl restart in the middle of it" inside systemctl restart nqptp
    shell 'sleep 3; kill -KILL $(pidof nqptp)'
    check "and a crash" shell 'sleep 2; systemctl is-active nqptp'
    check "the player reads on, and says nothing twice" shell '
        for i in $(seq 150); do test -e /run/status && break; sleep 0.1; done
        cat /run/player; test "$(cat /run/status)" = 0'
    check "in one mastership" shell 'grep -w "1 starts" /run/player'
    check "the list is still in force" shell 'nqptp --status | grep "List: *1 address"'
    shell 'rm -f /run/status; pkill ptp-sender; systemctl stop nqptp; systemctl start nqptp'
    check "after a stop it is not" shell 'nqptp --status | grep "List: *never"'
}

left_over_of_root() {
    check "root left an object" shell 'touch /dev/shm/nqptp && chmod 600 /dev/shm/nqptp'
    check "the service starts all the same" inside systemctl start nqptp
    check "with an object of its own" shell 'test "$(stat -c %U /dev/shm/nqptp)" = nqptp'
}

build_and_install() { # CONFIGURE-ARGUMENTS
    check "configure $1" shell "./configure --enable-werror $1 >/run/configure.log 2>&1"
    check "make" shell 'make -j2 all tests/player tests/ptp-sender tests/shm-reader'
    check "make install" shell 'make install'
    check "systemd finds nothing wrong with the unit" \
        shell 'systemd-analyze verify nqptp.service 2>&1 | tee /run/verify; ! grep -i nqptp /run/verify'
}

# --- with libsystemd ------------------------------------------------------------------------------

shell 'userdel nqptp; groupdel nqptp' >/dev/null 2>&1
build_and_install ""
check "make install made user and group nqptp" shell 'getent passwd nqptp && getent group nqptp'
check "the unit is Type=notify" shell 'grep -x Type=notify /usr/local/lib/systemd/system/nqptp.service'
shell 'useradd -G nqptp member; useradd stranger' >/dev/null 2>&1
service_is_up
members_read_and_others_do_not
restarts_keep_the_object
players_play_on 5
players_play_on 2021
stops_clean
left_over_of_root

shell 'echo "# edited" >>/usr/local/lib/systemd/system/nqptp.service'
check "an upgrade" shell 'make install'
check "replaces our own unit" shell '! grep -q edited /usr/local/lib/systemd/system/nqptp.service'
shell 'cp /usr/local/lib/systemd/system/nqptp.service /etc/systemd/system/nqptp.service'
check "a unit that would win over ours is named, with how to remove it" \
    shell 'make install | grep "rm /etc/systemd/system/nqptp.service"'
shell 'rm /etc/systemd/system/nqptp.service; systemctl daemon-reload'

check "make uninstall" shell 'systemctl disable --now nqptp; make uninstall'
check "leaves nothing" shell 'test -z "$(find /usr/local /etc/systemd /dev/shm -name "*nqptp*")"'

# --- without libsystemd and pkg-config -------------------------------------------------------------

shell 'rm -rf /usr/include/systemd /usr/bin/pkg-config /usr/bin/*-pkg-config /usr/bin/pkgconf; make distclean' \
    >/dev/null 2>&1
refuse "libsystemd is not there now" shell 'echo "#include <systemd/sd-daemon.h>" | cc -E -'
refuse "nor is pkg-config" shell 'command -v pkg-config'
refuse "configure --with-systemd fails then" shell './configure --with-systemd >/run/configure.log 2>&1'
check "naming the package" shell 'grep "install the package libsystemd-dev" /run/configure.log'
build_and_install "--prefix=/usr"
check "the unit is Type=exec" shell 'grep -x Type=exec /usr/lib/systemd/system/nqptp.service'
refuse "and has no watchdog" shell 'grep ^WatchdogSec= /usr/lib/systemd/system/nqptp.service'
refuse "the daemon does not use libsystemd" shell 'ldd /usr/bin/nqptp | grep systemd'
service_is_up
members_read_and_others_do_not
stops_clean

container_done
