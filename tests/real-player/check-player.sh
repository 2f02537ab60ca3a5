#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A real Shairport Sync of Debian sid beside our daemon: the player accepts the shared memory at its
# first try, keeps it when the daemon is killed and started again, and plays an AirPlay 2 session with
# PTP timing, in which the daemon is killed, restarted and stopped. Then the player plays a session
# beside Debian's own nqptp. That is the control: its result is printed and does not change the exit
# status.
#
# It needs root, the network and the package mmdebstrap. If Debian sid cannot be made, all is skipped.
#
# usage: check-player.sh DIRECTORY [STARTS [ROUNDS [PAUSES]]]
# DIRECTORY becomes the root, or is one from before. In each of the rounds a player of each older
# generation runs before and after the real one, after each of the pauses, which are in seconds.

# shellcheck disable=SC2154 # what player-root.sh and tap.sh set
set -u
here=$(dirname "$0")
# shellcheck source=tests/lib/tap.sh
. "$here/../lib/tap.sh"
# shellcheck source=tests/real-player/player-root.sh
. "$here/player-root.sh"
# shellcheck source=tests/real-player/session.sh
. "$here/session.sh"
starts=${2:-20} rounds=${3:-1} pauses=${4:-0.2}

enter_player_root $((300 + 80 * rounds)) "$@"

is_empty() { # DIRECTORY
    [ -z "$(ls -A "$1")" ]
}

# --- starts ---------------------------------------------------------------------------------------

# One life of daemon and player. The daemon is killed once; the player must not notice.
start_and_stop() { # NUMBER
    check "start $1: the daemon answers" start_daemon
    check "start $1: the player accepts the shared memory at its first try" start_player
    kill_daemon
    check "start $1: the daemon answers after kill -9 and a start" start_daemon
    check "start $1: the player is still served after kill -9" is_accepted
    check "start $1: the player ends with status 0" stop "$player"
    check "start $1: the daemon ends with status 0" stop "$daemon"
    check "start $1: /dev/shm is empty after both ended" is_empty "$copy/dev/shm"
}

# Ends the test if the daemon never works: each start would wait in vain.
all_starts() {
    for i in $(seq "$starts"); do
        start_and_stop "$i"
        [ "$failures" -lt 10 ] || return 1
    done
}

# --- generations ----------------------------------------------------------------------------------

# tests/tools/player keeps the rules of an older generation. It plays, or looks once.
older() { # GENERATION OPTION...
    rules=$1
    shift
    [ "$rules" != 4.3 ] || { rules=5 && set -- --patient "$@"; }
    chroot "$copy" /opt/player --generation "$rules" --play 10.66.0.2 "$@"
}

# The pauses are tested: each player must find its layout so soon after the player before.
change() { # GENERATION PAUSE
    check "generations: $1 plays" older "$1" --watch 0.6
    sleep "$2"
    check "generations: $2 s after $1 the player accepts the shared memory at its first try" start_player
    check "generations: the player ends with status 0" stop "$player"
    sleep "$2"
    check "generations: $2 s after the player $1 finds its layout" older "$1"
    sleep "$2"
}

change_generations() {
    check "generations: the daemon answers" start_daemon
    for pause in $pauses; do
        for _ in $(seq "$rounds"); do
            for generation in 2021 4.1 4.2 4.3; do
                change $generation "$pause"
            done
        done
    done
    check "generations: the daemon ends with status 0" stop "$daemon"
}

# --- a session ------------------------------------------------------------------------------------

end_daemon() { # SIGNAL STATUS
    status=0
    kill -s "$1" "$daemon"
    wait "$daemon" || status=$?
    [ "$status" = "$2" ]
}

# The daemon ends during play, and starts a second later.
interrupt() { # SIGNAL STATUS
    start_judging
    check "SIG$1 in mid-play: the daemon ends with status $2" end_daemon "$1" "$2"
    [ "$1" != TERM ] || check "SIGTERM in mid-play: a player that starts now finds no object" has_no_object
    sleep 1
    : >"$work/daemon.log"
    check "SIG$1 in mid-play: the daemon answers after a start" start_daemon
    is_served "SIG$1 in mid-play, then a start"
    end_judging "SIG$1 in mid-play: the sound goes on"
}

has_no_object() {
    [ ! -e "$copy/dev/shm/nqptp" ]
}

interrupt_session() {
    interrupt KILL 137
    interrupt USR1 75
    interrupt TERM 0
}

session_beside_ours() {
    before=$failures
    check "session: the daemon answers" start_daemon
    play_session "session"
    is_served "session"
    end_judging "session: the sound is continuous"
    [ "$failures" -gt "$before" ] || interrupt_session
    end_session "session"
    check "session: the daemon ends with status 0" stop "$daemon"
    check "session: /dev/shm is empty after all ended" is_empty "$copy/dev/shm"
}

# Plays for a few seconds.
short_session() { # NAME
    check "$1: the daemon answers" start_daemon
    play_session "$1"
    is_served "$1"
    end_judging "$1: the sound is continuous"
    end_session "$1"
    check "$1: the daemon ends with status 0" stop "$daemon"
}

# The player lists the address that the sender connects from. The PTP may come from another one.
sessions_by_ipv6() {
    ip addr show dev here | grep -q fd66::1 || { echo "# no IPv6 here"; return 0; }
    control=fd66::1 listed=fd66::2
    short_session "session by IPv6, PTP by IPv4"
    control=fe80::1%there listed=fe80::2 ptp_from=fe80::2%there ptp_to=fe80::1%there
    short_session "session by link-local addresses"
    control=10.66.0.1 listed=10.66.0.2 ptp_from=10.66.0.2 ptp_to=10.66.0.1
}

# Runs in a subshell, so that its failures are not counted.
control() {
    failures=0
    reference=$(basename "$ROOT"/opt/nqptp_*.deb .deb)
    check "$reference: the reference makes its shared memory" start_reference
    play_session "$reference"
    end_judging "$reference: the sound is continuous"
    end_session "$reference"
    stop "$daemon"
    if [ "$failures" -eq 0 ]; then
        echo "# control: the same session works beside Debian's $reference"
    else
        echo "# control: the same session FAILS beside Debian's $reference: player or test has changed"
    fi
}

# --- begin ----------------------------------------------------------------------------------------

begin "$here"
all_starts && change_generations && session_beside_ours && sessions_by_ipv6
control 2>&1 | sed -e 's/^# /#   /' -e 's/^\(not \)*ok [0-9]*/# \1ok/' -e 's/^#   control/# control/'
kill "$there"
done_testing
