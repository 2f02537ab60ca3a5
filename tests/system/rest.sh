#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that a master stays master while packets rest in their sockets, as they do with many clocks,
# and while Syncs of other clocks are lost, so that deadlines are due between packets. Proves as well
# that packets which rest do not wake up the daemon.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter 90

datagrams() {
    awk '$1 == "Udp:" && $2 != "InDatagrams" { print $2 }' /proc/net/snmp
}

start_daemon -v
start_sender --to 10.77.0.1 --priority1 100 --delay badwifi --seed 3
check 'the best clock is followed' "$reader" --wait-master 10 --expect-id "$identity" --count 1 \
    --quiet
start_sender --to 10.77.0.1 --from 10.77.0.3 --masters 8 --identity d4a33d6407510008 \
    --priority1 200 --lose-sync-percent 50 --delay badwifi --seed 5
check 'nine clocks are heard' eventually 10 has_rows 9
woken=$(wake_ups "$daemon") received=$(datagrams)
sleep 12 # no other clock may become master
woken=$(($(wake_ups "$daemon") - woken)) received=$(($(datagrams) - received))
echo "# $woken wake-ups, $received datagrams"
check 'the daemon wakes up less often than once for two datagrams' \
    test $((2 * woken)) -lt $received
is 'the best clock stays master' "$(grep -c 'master is now' "$tmp/log")" 1
check 'the daemon is alive' alive
stop_senders
stop_daemon

done_testing
