#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What must not end the music of a real Shairport Sync: a link that is down for some time, a network
# that loses only the PTP, a long pause, and a daemon that is away. The sender's clock serves only
# receivers that it heard in the last 15 s. At the end the player is killed while it plays: after two
# minutes the daemon must send nothing and not wake up.
#
# With a link down for more than a minute the player itself ends the session.
#
# It takes seven minutes more than the outages take, needs what check-player.sh needs and the package
# nftables, and has its exit status.
#
# usage: check-outages.sh DIRECTORY [LINK-SECONDS [PTP-SECONDS]]
# DIRECTORY becomes the root, or is one from before. The two others, "12 17 25" and "25" unless given,
# are for how long in turn the link is down and the PTP is lost.

# shellcheck disable=SC2154 # what player-root.sh and tap.sh set
set -u
here=$(dirname "$0")
# shellcheck source=tests/lib/tap.sh
. "$here/../lib/tap.sh"
# shellcheck source=tests/real-player/player-root.sh
. "$here/player-root.sh"
# shellcheck source=tests/real-player/session.sh
. "$here/session.sh"
link_outages=${2:-12 17 25} ptp_outages=${3:-25}
command -v nft >/dev/null || skip_all "no nft here; it is in Debian package nftables"
enter_player_root 1500 "$@"
session_seconds=1400

seconds_since() { # SECONDS-OF-THE-UPTIME
    awk -v then="$1" '{ printf "%.1f s", $1 - then }' /proc/uptime
}

now() {
    cut -d' ' -f1 /proc/uptime
}

# The connection of the sound is TCP, which looks for its peer ever more rarely while it is away.
goes_on() { # AFTER-WHAT
    back=$(now)
    check "$1: a fresh sample comes within 4 s" within 4 sample_is_fresh
    echo "# after $(seconds_since "$back")"
    check "$1: the daemon follows the sender's clock for a player that plays" within 5 status_is_right
    check "$1: the sound is back" within 90 sounds
    echo "# after $(seconds_since "$back")"
    start_judging
    end_judging "$1: the sound is continuous"
}

link_down() { # SECONDS
    ip link set here down
    sleep "$1"
    ip link set here up
    goes_on "link down for $1 s"
}

# The player goes on by the last values, so the sound must not notice.
lose_ptp() { # SECONDS
    nft 'table ip test { chain lose { type filter hook input priority 0; udp dport { 319, 320 } drop; }; }'
    sleep "$1"
    start_judging
    end_judging "no PTP for $1 s: the sound is continuous"
    nft flush ruleset
    goes_on "no PTP for $1 s"
}

is_paused() {
    grep -q 'paused' "$work/ap2.log"
}

pause_for() { # SECONDS
    kill -USR1 "$session"
    check "a pause of $1 s: the pause begins" within 5 is_paused
    sleep "$1"
    kill -USR1 "$session"
    goes_on "a pause of $1 s"
}

# A daemon that is away sends no Delay_Req: the sender has stopped serving it when it comes back.
daemon_away() { # SECONDS
    kill_daemon
    sleep "$1"
    check "daemon killed, and away for $1 s: the daemon answers" start_daemon
    goes_on "daemon killed, and away for $1 s"
}

# Prints how many datagrams this machine has sent, and how often the daemon slept.
activity() {
    awk '$1 == "Udp:" && $2 != "InDatagrams" { print $5 }' /proc/net/snmp
    awk '$1 == "voluntary_ctxt_switches:" { print $2 }' "/proc/$daemon/status"
}

kill_player() {
    kill -KILL "$player"
    wait "$player" 2>/dev/null
    kill "$session" "$clock"
    sleep 240
    before=$(activity)
    sleep 60
    after=$(activity)
    check "four minutes after kill -9 of the player: no datagram and no wake-up in a minute" \
        [ "$before" = "$after" ]
    echo "$before, $after" | tr '\n' ' ' | sed 's/^/# datagrams and wake-ups: /; s/$/\n/'
}

begin "$here"
check "session: the daemon answers" start_daemon
play_session "session"
end_judging "session: the sound is continuous"
for seconds in $link_outages; do
    link_down "$seconds"
done
for seconds in $ptp_outages; do
    lose_ptp "$seconds"
done
pause_for 20
daemon_away 20
kill_player
check "session: the daemon ends with status 0" stop "$daemon"
kill "$there"
done_testing
