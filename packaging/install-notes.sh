#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What "make install" says: which other nqptp takes precedence over the one just installed, and what
# comes next. It changes nothing; systemd only reads its units again.
#
# usage: install-notes.sh DIRECTORY-OF-THE-BINARY DIRECTORY-OF-THE-UNIT
#
# There is no unit if the second one is empty.

set -u
unset CDPATH
bin=$1
units=$2
here=$(cd "$(dirname "$0")" && pwd)

# The command that removes a file: the package manager's, if a package owns it.
removal_of() { # FILE
    # dpkg knows what is in /usr/lib by the name in /lib in some packages.
    if package=$({ dpkg -S "$1" || dpkg -S "${1#/usr}"; } 2>/dev/null); then
        echo "apt-get remove ${package%%:*}"
    elif package=$(rpm -qf --qf '%{NAME}' "$1" 2>/dev/null); then
        echo "dnf remove $package"
    elif package=$(pacman -Qqo "$1" 2>/dev/null); then
        echo "pacman -R $package"
    elif package=$(apk info -qW "$1" 2>/dev/null); then
        echo "apk del $(echo "$package" | sed 's/-[^-]*-r[0-9]*$//')"
    else
        echo "rm '$1'"
    fi
}

same() { # FILE FILE
    [ "$(readlink -f "$1")" = "$(readlink -f "$2")" ]
}

tell_precedence() { # OTHER OURS
    echo "$1 takes precedence over $2. To remove it, as root: $(removal_of "$1")"
}

# The order is systemd's.
tell_units() {
    for directory in /etc/systemd/system /run/systemd/system /usr/local/lib/systemd/system /usr/lib/systemd/system; do
        ! same "$directory" "$units" || return 0
        [ ! -e "$directory/nqptp.service" ] ||
            tell_precedence "$directory/nqptp.service" "$units/nqptp.service"
    done
}

tell_binaries() {
    echo "$PATH" | tr : '\n' | while read -r directory; do
        ! same "$directory" "$bin" || break
        [ ! -x "$directory/nqptp" ] || same "$directory/nqptp" "$bin/nqptp" ||
            tell_precedence "$directory/nqptp" "$bin/nqptp"
    done
}

# --- what comes next ------------------------------------------------------------------------------

step() { # COMMAND WHY
    printf '  %s\n      %s\n' "$1" "$2"
}

start() {
    if [ -d /run/openrc ]; then
        step "sed 's|/usr/bin/nqptp|$bin/nqptp|' '$here/nqptp.openrc' >/etc/init.d/nqptp && chmod 755 /etc/init.d/nqptp && rc-update add nqptp && rc-service nqptp restart" \
            'Starts nqptp now and at every boot.'
    elif [ -z "$units" ] || ! command -v systemctl >/dev/null; then
        step "'$bin/nqptp'" 'Starts nqptp. Do so before Shairport Sync starts, at every boot.'
    elif ! systemctl is-active --quiet nqptp 2>/dev/null; then
        step 'systemctl enable --now nqptp' 'Starts nqptp now and at every boot.'
    elif "$bin/nqptp" --status >/dev/null 2>&1; then
        step 'systemctl restart nqptp' 'The older nqptp still runs. Music goes on over the restart.'
    else # The reference does not hand its shared memory to the next process.
        step 'systemctl restart nqptp && systemctl restart shairport-sync' \
            'Another nqptp still runs. When it ends, a player that runs loses its shared memory: restart the player too.'
    fi
}

let_players_in() {
    step 'usermod -aG nqptp shairport-sync' \
        'Only for Shairport Sync 4.2 or older: its user must be in the group. Then restart Shairport Sync.'
}

open_firewall() {
    if command -v ufw >/dev/null; then
        step 'ufw allow 319:320/udp' 'Lets PTP in.'
    elif command -v firewall-cmd >/dev/null; then
        step 'firewall-cmd --permanent --add-port=319-320/udp && firewall-cmd --reload' 'Lets PTP in.'
    else
        step 'nft add rule inet filter input udp dport 319-320 accept' \
            'Only with an nftables firewall: lets PTP in. "Firewall" in README.md says more.'
    fi
}

PATH=$PATH:/usr/sbin:/sbin
[ ! -d /run/systemd/system ] || systemctl --no-ask-password daemon-reload 2>/dev/null
[ -z "$units" ] || tell_units
tell_binaries
echo 'nqptp is installed. What comes next, as root:'
start
let_players_in
open_firewall
