# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2016,SC2154,SC2317
#
# A topic of check-systemd.sh: make install on a machine that is new, has an older version, or the
# reference built from source, and make uninstall.

build_and_install() { # CONFIGURE-ARGUMENTS
    check "configure $1" shell "./configure --enable-werror $1 >/run/configure.log 2>&1"
    check "make" shell 'make -j2 all tests/tools/player tests/tools/ptp-sender tests/tools/shm-reader'
    check "make install" shell 'make install'
    check "systemd finds nothing wrong with the unit" \
        shell 'systemd-analyze verify nqptp.service 2>&1 | tee /run/verify; ! grep -i nqptp /run/verify'
}

# Prints all files called nqptp, except the source and those that change while the service runs.
list_files() {
    shell 'find /etc /usr /var -xdev -name "*nqptp*" -not -path "/var/log/*" | sort'
}

# The older version is this version with another number.
upgrade_keeps_playing() {
    check "make install of version 0.0.1" shell '
        make -s clean && make -s -j2 AM_CPPFLAGS="-D_GNU_SOURCE -DHAVE_LIBSYSTEMD" DEFS="-DPACKAGE_VERSION=\\\"0.0.1\\\"" &&
        make -s install DEFS="-DPACKAGE_VERSION=\\\"0.0.1\\\"" && nqptp -V | grep 0\\.0\\.1'
    inside systemctl restart nqptp
    shell 'bash -c "printf \"T 127.0.0.1\" >/dev/udp/127.0.0.1/9000"; stat -c %i /dev/shm/nqptp >/run/inode; pidof nqptp >/run/pid
        echo "# edited" >>/usr/local/lib/systemd/system/nqptp.service'
    check "make install of this version over the older version" \
        shell 'make -s clean && make -s -j2 all tests/tools/player tests/tools/ptp-sender tests/tools/shm-reader && make install >/run/install'
    check_not "make install over an older version replaces the unit" shell 'grep edited /usr/local/lib/systemd/system/nqptp.service'
    check "make install says that the old daemon still runs and how to change that" \
        shell 'grep -x "  systemctl restart nqptp" /run/install && test "$(pidof nqptp)" = "$(cat /run/pid)"'
    inside systemctl restart nqptp
    check "after the restart that make install names the new daemon runs" \
        shell '! strings "/proc/$(pidof nqptp)/exe" | grep -x 0\\.0\\.1; is_another_than "$(cat /run/pid)"'
    check "the new daemon has the object of the old one" shell 'test "$(stat -c %i /dev/shm/nqptp)" = "$(cat /run/inode)"'
    check "the new daemon has the lists of the old one" shell 'nqptp --status | grep "List: *1 address"'
}

# Makes the files of a reference that was built from source: binary, unit and user.
reference_in() { # UNIT-DIRECTORY [SETTING]
    shell "
        systemctl disable --now nqptp; rm -f /usr/local/lib/systemd/system/nqptp.service
        printf '%s\\n' '#!/bin/sh' 'echo Version: 1.2.5' 'exec sleep 1000' >/usr/local/bin/nqptp
        chmod 755 /usr/local/bin/nqptp
        mkdir -p $1
        printf '%s\\n' '[Service]' 'ExecStart=/usr/local/bin/nqptp' 'User=nqptp' '${2:-}' '[Install]' \\
            'WantedBy=multi-user.target' >$1/nqptp.service
        systemctl daemon-reload; systemctl enable --now nqptp" >/dev/null 2>&1
}

replaces_the_reference() {
    reference_in /lib/systemd/system
    check "a reference built from source runs" inside systemctl is-active nqptp
    check "make install over the reference" shell 'make install >/run/install'
    check "make install over the reference replaces its binary" shell 'nqptp -V | grep "Interface Version: 4"'
    check_not "make install names no unit, because ours takes precedence" shell 'grep "takes precedence" /run/install'
    check "make install says that a player must be restarted after the reference" \
        shell 'grep -x "  systemctl restart nqptp && systemctl restart shairport-sync" /run/install'
    inside systemctl restart nqptp
    check "after a restart the installed daemon runs" shell 'eventually 5 answers'
    shell 'rm /lib/systemd/system/nqptp.service'

    reference_in /etc/systemd/system
    shell 'make install >/run/install'
    check "make install names a unit that takes precedence over ours, and the command that removes it" \
        shell "grep \"takes precedence over .*: rm '/etc/systemd/system/nqptp.service'\" /run/install"
    check "a package owns the unit that takes precedence" shell '
        mkdir -p /run/package/DEBIAN /run/package/etc/systemd/system
        cp /etc/systemd/system/nqptp.service /run/package/etc/systemd/system
        printf "%s\n" "Package: another-nqptp" "Version: 1" "Architecture: all" "Maintainer: a <a@example.org>" \
            "Description: a unit" >/run/package/DEBIAN/control
        dpkg-deb --build /run/package /run/package.deb && dpkg -i /run/package.deb'
    shell 'make install >/run/install'
    check "make install names the command that removes the package" \
        shell 'grep "takes precedence over .*: apt-get remove another-nqptp$" /run/install'
    shell 'dpkg -P another-nqptp; rm /etc/systemd/system/nqptp.service; systemctl daemon-reload; systemctl restart nqptp'
    check "after the steps that make install names the installed daemon runs" shell 'eventually 5 answers'
}

# As Debian's package of the reference does it. libnss-systemd shows the user while the service runs.
replaces_a_dynamic_user() {
    shell 'systemctl stop nqptp; userdel nqptp; groupdel nqptp' >/dev/null 2>&1
    reference_in /etc/systemd/system DynamicUser=yes
    shell 'make install >/run/install; rm /etc/systemd/system/nqptp.service; systemctl daemon-reload'
    check "make install makes the user, though a service has a dynamic user of that name" \
        shell 'grep ^nqptp: /etc/passwd && grep ^nqptp: /etc/group'
    inside systemctl restart nqptp
    check "the installed daemon runs after a service with a dynamic user" shell 'eventually 5 answers'
}

uninstall_leaves_nothing() { # FILES-BEFORE
    shell 'systemctl disable --now nqptp'
    check "make uninstall says that user and group stay" shell 'make uninstall >/run/uninstall; grep "group nqptp stay" /run/uninstall'
    check "user and group stay" shell 'getent passwd nqptp && getent group nqptp'
    list_files >"$work/files"
    check "make uninstall leaves no file" diff "$1" "$work/files"
    check "the command that make uninstall names removes user and group" shell '
        sh -c "$(sed -n "s/.*as root: //p" /run/uninstall)"; ! getent passwd nqptp && ! getent group nqptp'
}
