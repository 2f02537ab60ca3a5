#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves of the unit, without starting it, that it exposes little and allows what the service needs.
# check-systemd.sh proves the rest.

# shellcheck source=tests/lib/netns.sh
. "${srcdir:-.}/tests/lib/netns.sh"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
unit=$build/nqptp.service
test -e "$unit" || skip_all 'configured to install no unit'

# --- what would break it: the reason is in the unit ---

for setting in RemoveIPC PrivateUsers PrivateNetwork; do
    check_not "no $setting=" grep -i "^ *$setting *=" "$unit"
done
is 'the one capability is that for ports below 1024' "$(grep '^CapabilityBoundingSet' "$unit")" \
    CapabilityBoundingSet=CAP_NET_BIND_SERVICE

# --- what systemd says about it ---

# Tenths.
EXPOSURE=15

if ! has systemd-analyze; then
    skip "the exposure of the unit is at most $EXPOSURE tenths" 'no systemd-analyze here; it is in Debian package systemd'
elif ! systemd-analyze --help 2>/dev/null | grep -q -e '--offline'; then
    skip "the exposure of the unit is at most $EXPOSURE tenths" 'this systemd-analyze judges no files: it is older than 250'
else
    check "the exposure of the unit is at most $EXPOSURE tenths" systemd-analyze security --no-pager \
        --offline=true --threshold=$EXPOSURE "$unit"
    grep -v -e SystemCallFilter "$unit" >"$work/open.service"
    check_not 'a unit without a filter of system calls exceeds that exposure' systemd-analyze security --no-pager --offline=true \
        --threshold=$EXPOSURE "$work/open.service"
    mkdir "$work/verified"
    ln -s "$nqptp" "$work/nqptp" # a unit would take a path with a blank for two words
    sed "s|=\\([+-]*\\)[^ ]*/nqptp\\>|=\\1$work/nqptp|" "$unit" >"$work/verified/nqptp.service"
    systemd-analyze verify --man=no "$work/verified/nqptp.service" >"$work/verify" 2>&1
    check_not 'systemd-analyze verify finds no wrong line' grep nqptp.service "$work/verify"
    echo 'NoSuchSetting=yes' >>"$work/verified/nqptp.service"
    systemd-analyze verify --man=no "$work/verified/nqptp.service" >"$work/verify" 2>&1
    check 'systemd-analyze verify finds a wrong line that is added' grep nqptp.service "$work/verify"
fi

done_testing
