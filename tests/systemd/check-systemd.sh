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

here=$(dirname "$0")
# shellcheck source=tests/lib/tap.sh
. "$here/../lib/tap.sh"
# shellcheck source=tests/machines/container.sh
. "$here/../machines/container.sh"
# shellcheck source=tests/systemd/container.sh
. "$here/container.sh"
# shellcheck source=tests/systemd/service.sh
. "$here/service.sh"
# shellcheck source=tests/systemd/survival.sh
. "$here/survival.sh"
# shellcheck source=tests/systemd/install.sh
. "$here/install.sh"

enter_container "$1"
shell 'userdel nqptp; groupdel nqptp' >/dev/null 2>&1
list_files >"$work/files-before"

# --- with libsystemd ------------------------------------------------------------------------------

build_and_install ""
check "make install made user and group nqptp" shell 'getent passwd nqptp && getent group nqptp'
check "with libsystemd the unit is Type=notify" shell 'grep -x Type=notify /usr/local/lib/systemd/system/nqptp.service'
shell 'useradd -G nqptp member; useradd stranger' >/dev/null 2>&1
service_is_up
has_one_privilege
other_ports_are_refused
shows_its_state
strictly
members_read_and_others_do_not
tells_its_story
restarts_keep_the_object
usr1_by_hand_is_a_restart
players_play_on 5
players_play_on 2021
stayed_within
wrong_option_is_shown
older_daemon_is_to_be_restarted
crashes_are_survived 10
watchdog_barks
listens_on_an_interface_only
stops_clean
busy_port_is_waited_for
left_over_of_root
upgrade_keeps_playing
replaces_the_reference
replaces_a_dynamic_user
uninstall_leaves_nothing "$work/files-before"

# --- without libsystemd and pkg-config -------------------------------------------------------------

shell 'rm -rf /usr/include/systemd /usr/bin/pkg-config /usr/bin/*-pkg-config /usr/bin/pkgconf; make distclean' \
    >/dev/null 2>&1
check_not "without the package libsystemd is not there" shell 'echo "#include <systemd/sd-daemon.h>" | cc -E -'
fails_with 127 "without the package pkg-config is not there" shell 'command -v pkg-config'
check_not "without libsystemd configure --with-systemd fails" shell './configure --with-systemd >/run/configure.log 2>&1'
check "without libsystemd configure --with-systemd names the package" shell 'grep "install the package libsystemd-dev" /run/configure.log'
build_and_install "--prefix=/usr"
inside usermod -aG nqptp member
check "without libsystemd the unit is Type=exec" shell 'grep -x Type=exec /usr/lib/systemd/system/nqptp.service'
check_not "the unit without libsystemd has no watchdog" shell 'grep ^WatchdogSec= /usr/lib/systemd/system/nqptp.service'
check_not "the daemon does not use libsystemd" shell 'ldd /usr/bin/nqptp | grep systemd'
service_is_up
has_one_privilege
members_read_and_others_do_not
stops_clean

done_testing
