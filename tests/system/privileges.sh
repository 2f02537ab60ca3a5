#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that a daemon started as root gives up its privileges when the ports are bound, that a daemon
# with the unit's capability keeps no other, and that both work on. The kernel says which privileges
# are left, while the daemon follows a clock.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
need setpriv util-linux
enter

# What capability sets the daemon has: inheritable, permitted, effective, ambient; and bounding.
capabilities() { # SET...
    for set in "$@"; do
        awk -v set="Cap$set:" '$1 == set { printf "%s ", $2 }' "/proc/$daemon/status"
    done
}

none=0000000000000000
bind=0000000000000400 # CAP_NET_BIND_SERVICE is bit 10
has_none() { # NAME
    is "$1: no capability is left" "$(capabilities Prm Eff Amb)" "$none $none $none "
}

gains_nothing() {
    grep -x "NoNewPrivs:.1" "/proc/$daemon/status"
}

works() { # NAME
    start_sender --to 10.77.0.1 --offset 5
    check "$1: the daemon follows a clock" "$reader" --wait-master 10 --expect-id "$identity"
    ip link add more type veth peer name other
    ip link set more up
    in_group() {
        ip maddress show dev more | grep -q '224\.0\.1\.129'
    }
    check "$1: the daemon joins an interface that comes" eventually 5 in_group
    ip link del more
    stop_senders
    stop_daemon TERM
    is "$1: exit status 0" "$status" 0
    check_not "$1: the object is gone" test -e /dev/shm/nqptp
}

user_of_daemon() {
    awk '$1 == "Uid:" { print $2, $3, $4 }' "/proc/$daemon/status"
}

group_of_daemon() {
    awk '$1 == "Gid:" { print $2, $3, $4 }' "/proc/$daemon/status"
}

cp "$nqptp" "$tmp" # where every user may run it
chmod 755 "$tmp/nqptp"

# Starts it as the unit does: with one capability, which it inherits.
start_as_service() {
    setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs \
        --inh-caps=-all,+net_bind_service --ambient-caps=-all,+net_bind_service \
        --bounding-set=-all,+net_bind_service "$tmp/nqptp" 2>"$tmp/log" &
    daemon=$!
    eventually 10 answers || not_ok 'the daemon starts'
}

if is_root; then
    start_as_service
    is 'with the capability of the unit: the daemon keeps that capability' "$(capabilities Prm Eff Amb Bnd)" \
        "$bind $bind $bind $bind "
    works 'with the capability of the unit'

    start_daemon --user=nobody --group=root
    is 'started as root: the object is of the group that was given' "$(stat -c %g /dev/shm/nqptp)" 0
    check_not 'started as root: the daemon is not root any more' test "$(user_of_daemon)" = '0 0 0'
    has_none 'started as root'
    check 'started as root: no program that the daemon executed would gain a privilege' gains_nothing
    works 'started as root'

    for file in passwd group; do
        grep -v '^nqptp:' "/etc/$file" >"$tmp/$file"
        mount --bind "$tmp/$file" "/etc/$file"
    done
    start_daemon
    uid=$(id -u nobody) gid=$(id -g nobody)
    is 'no user nqptp: the daemon becomes nobody' "$(user_of_daemon)" "$uid $uid $uid"
    is 'no group nqptp: the daemon has the group of its user' "$(group_of_daemon)" "$gid $gid $gid"
    is 'no group nqptp: the object has the group of its user' "$(stat -c %g /dev/shm/nqptp)" "$gid"
    check 'no user nqptp: the log says that the daemon becomes nobody' \
        grep -q 'no user nqptp, so the daemon becomes nobody; as root, run: useradd' "$tmp/log"
    check 'no group nqptp: the log says that players need it' \
        grep -q 'no group nqptp: players that need it' "$tmp/log"
    stop_daemon
else
    skip 'with the capability of the unit: the daemon keeps that capability' 'it takes root to give one'
fi

# Only the right to give the object to its group (CAP_CHOWN is bit 0).
start_daemon --user=root
is 'root that stays root: user' "$(user_of_daemon)" '0 0 0'
is 'root that stays root: the daemon has one capability' "$(capabilities Inh Prm Eff Amb)" \
    "$none 0000000000000001 0000000000000001 $none "
check 'root that stays root: no program that the daemon executed would gain a privilege' gains_nothing
works 'root that stays root'

done_testing
