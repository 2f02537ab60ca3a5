#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that no packet stops the daemon or makes it lose the listed master: random bytes and bent
# messages on all three ports, every beginning of every message, packets of no and of too many
# bytes, over IPv4 and IPv6; and that strangers' packets fill no log.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter

offset=-1234567890123456789
truth="--expect-id $identity --expect-ip 10.77.0.2 --raw-truth $offset --within 100000"
start_daemon -v
start_sender --to 10.77.0.1 --offset "$offset"
control 'T 10.77.0.2'
# shellcheck disable=SC2086 # a list of words, here and below
check 'the listed master is followed' measure $truth
sed 's/^/# /' "$tmp/said"
files=$(open_files "$daemon")

# A client reads all the time. Each time it has to find the master, and a fresh sample.
start_watch() {
    "$reader" --expect-id "$identity" --expect-ip 10.77.0.2 --fresh 4 --raw-truth "$offset" \
        --within 20000000 --interval 0.01 --quiet >"$tmp/watch" 2>&1 &
    watch=$!
}

survives() { # WHAT COMMAND...
    what=$1
    shift
    check "$what: the packets were sent" "$@"
    check "$what: the daemon is alive" alive
    # shellcheck disable=SC2086
    check "$what: the offset is right" measure $truth
    sed 's/^/# /' "$tmp/said"
}

strangers='--from 10.77.0.3 --to 10.77.0.1'
own='--to 127.0.0.1'
if test "$ipv6" = yes; then
    strangers="$strangers --from fd77::3 --to fd77::1"
    own="$own --to ::1"
fi

start_watch
# shellcheck disable=SC2086
{
    survives 'random bytes by 319 and 320' in_there "$sender" --mode junk --count 4000 \
        --rate 5000 --seed 11 $strangers
    survives 'random bytes by 9000 too, from this host' "$sender" --mode junk --count 3000 \
        --rate 5000 --seed 12 --control-port 9000 $own
    survives 'every beginning of every message' in_there "$sender" --mode truncate --rate 5000 \
        --offset "$offset" $strangers
    survives "every beginning of the master's own messages" in_there "$sender" --mode truncate \
        --rate 5000 --offset "$offset" --to 10.77.0.1
}

# The control port is for this machine only: a command from another machine changes nothing.
survives 'commands of another host' in_there "$reader" --command T --to 10.77.0.1
echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet # as some container engines set it
in_there sh -c 'echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet
    ip addr del 127.0.0.1/8 dev lo
    ip route add 127.0.0.1 via 10.77.0.1 src 10.77.0.2'
survives 'commands that another host sends to 127.0.0.1' in_there "$reader" --command T --to 127.0.0.1

many=$(printf '%05000d' 0)
bad_commands() {
    for text in '' X 't 10.77.0.3' 'T10.77.0.3' 'T 10.77.0.3 nonsense' 'T 10.77.0.256' \
        'T ::1::' 'T 10.77.0.3 %' "T $many" "$many" 'T
10.77.0.3'; do
        "$reader" --command "$text" && "$reader" --command "$text" --no-nul || return 1
    done
    answers
}
survives 'commands that are none' bad_commands
is 'after junk the list is as it was' "$(sed -n 's/^List: *//p' "$tmp/status")" '1 address: 10.77.0.2'

kill $watch
check 'a client that read all the while always found the master' wait $watch
sed 's/^/# /' "$tmp/watch"
answers
dropped=$(awk '/^Packets:/ { print $4 }' "$tmp/status")
check 'thousands of packets were looked at and dropped' test "$dropped" -gt 5000
echo "# $dropped were"
is 'no file descriptor was left open' "$(open_files "$daemon")" "$files"
lines=$(grep -c -v 'new clock\|clock deleted\|no room' "$tmp/log")
check "tens of thousands of bad packets are less than 40 lines in the log" test "$lines" -lt 40
echo "# $lines lines"

done_testing
