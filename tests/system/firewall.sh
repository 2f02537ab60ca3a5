#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that a user sees when a firewall of this host keeps our Delay_Reqs from leaving: how many
# could not be sent, with the kernel's reason, and a hint; and that the time is followed all the same.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
need nft nftables
enter

block_output() {
    nft -f - <<'END'
table inet test {
    chain out {
        type filter hook output priority 0
        udp dport 319 drop
    }
}
END
}

hint="messages to senders cannot leave this machine: Operation not permitted: a firewall blocks output to UDP port 319"

has_hint() {
    answers && grep "$hint" "$tmp/status"
}

has_no_hint() {
    ! has_hint >/dev/null
}

unsent() {
    "$nqptp" --status --json | tr -d ' \n' | sed 's/.*"replies_unsent":\([0-9]*\).*/\1/'
}

is_counting() {
    test "$(unsent)" -gt "$1"
}

start_daemon
control 'T 10.77.0.2'
start_sender --low-ports --verbose --to 10.77.0.1 --offset 5
check 'no firewall: the sender gets Delay_Reqs' eventually 10 grep -q '^Delay_Req' "$tmp/sender"
is 'no firewall: no datagram is unsent' "$(unsent)" 0
block_output >"$tmp/said" 2>&1 || { skip 'a firewall' "$(cat "$tmp/said")"; done_testing; exit; }
check 'output blocked: the hint has the reason of the kernel, and says what does it' \
    eventually 5 has_hint
check 'output blocked: the messages that were not sent are counted' eventually 5 is_counting 3
check 'output blocked: the time is followed' measure --expect-id "$identity" --raw-truth 5 \
    --within 5000000
nft flush ruleset
check 'the firewall is gone: there is no hint' eventually 5 has_no_hint

done_testing
