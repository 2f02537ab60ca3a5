#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A real Shairport Sync of Debian sid beside our daemon: the player accepts the shared memory at its
# first try, keeps it when the daemon is killed and started again, and plays an AirPlay 2 session with
# PTP timing, in which the daemon is killed, restarted and stopped. Then the player plays a session
# beside Debian's own nqptp. That is the control: its result is printed and does not change the exit
# status.
#
# It needs root, the network and the package mmdebstrap. Exit status: 0 all is well, 1 a check
# failed, 77 the root of Debian sid could not be made.
#
# usage: check-player.sh DIRECTORY [STARTS]    DIRECTORY becomes the root, or is one from before

# shellcheck disable=SC2154 # what player-root.sh and tap.sh set
set -u
here=$(dirname "$0")
# shellcheck source=tests/tap.sh
. "$here/../tap.sh"
# shellcheck source=tests/real-player/player-root.sh
. "$here/player-root.sh"
starts=${2:-20}
identity=98698aaf9c950008
offset=5000000000000

if [ "${NQPTP_TEST_INSIDE:-}" = "" ]; then
    [ "$(id -u)" = 0 ] || skip_all "it needs root"
    "$here/sid-root.sh" "${1-}"
    case $? in
    0) ;;
    77) skip_all "Debian sid could not be made" ;;
    *) exit 1 ;;
    esac
    ROOT=$(realpath "$1") NQPTP=$(realpath ./nqptp) SENDER=$(realpath tests/ptp-sender)
    export ROOT NQPTP SENDER NQPTP_TEST_INSIDE=yes
    exec timeout -s KILL 300 unshare -nmp --fork --kill-child=KILL --mount-proc --propagation private \
        sh "$0" "$@"
fi

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

# Gives up on a daemon that never works: each start would wait in vain.
all_starts() {
    for i in $(seq "$starts"); do
        start_and_stop "$i"
        [ "$failures" -lt 10 ] || return 1
    done
}

# --- a session ------------------------------------------------------------------------------------

# A new clock for each session: it stops serving a receiver that is silent for 15 s.
start_clock() {
    nsenter -t "$there" -n "$SENDER" --to 10.66.0.1 --from 10.66.0.2 --low-ports --serve-muted 15 \
        --identity $identity --offset $offset --seconds 500 >"$work/clock.log" 2>&1 &
    clock=$!
}

# The sender plays until end_session, or for two minutes if that never comes.
start_session() {
    nsenter -t "$there" -n chroot "$copy" python3 /opt/ap2.py 10.66.0.1 $identity $offset 120 \
        >"$work/ap2.log" 2>&1 &
    session=$!
}

# The player starts with some silence, faster than time.
has_first_second() {
    [ "$(stat -c %s "$work/pcm")" -ge 384000 ]
}

# Judges the sound of the next five seconds, while the test goes on.
start_judging() {
    chroot "$copy" python3 /opt/judge.py sound /opt/pcm 5 >"$work/sound" 2>&1 &
    judge=$!
}

end_judging() { # NAME
    wait $judge
    ok $? "$1"
    sed 's/^/# /' "$work/sound"
}

status_is_right() {
    chroot "$copy" nqptp --status --json | chroot "$copy" python3 /opt/judge.py status $identity $offset
}

sends_delay_reqs() {
    grep -q 'to 10.66.0.2: Delay_Req' "$work/daemon.log"
}

named_the_clock() {
    grep -q "NQPTP master clock $identity" "$work/log"
}

ended_well() {
    stop "$session" || { cat "$work/ap2.log"; return 1; }
}

play_session() { # WHOSE-DAEMON
    check "$1: the player accepts the shared memory" start_player
    check "$1: the player announces itself" within 15 is_announced
    start_clock
    start_session
    check "$1: the first second of sound comes within 10 s" within 10 has_first_second
    start_judging
}

end_session() { # WHOSE-DAEMON
    check "$1: the session ends well" ended_well
    check "$1: the player names the clock of the sender" named_the_clock
    check "$1: the player ends with status 0" stop "$player"
    kill "$clock"
}

is_served() { # WHEN
    check "$1: the player is served by the memory that has the name" within 5 is_accepted
    check "$1: the daemon follows the sender's clock for a player that plays" within 5 status_is_right
    check "$1: the daemon sends Delay_Reqs" within 5 sends_delay_reqs
}

end_daemon() { # SIGNAL STATUS
    status=0
    kill -s "$1" "$daemon"
    wait "$daemon" || status=$?
    [ "$status" = "$2" ]
}

# The daemon ends in mid-play, and is started a second later.
interrupt() { # SIGNAL STATUS
    start_judging
    check "SIG$1 in mid-play: the daemon ends with status $2" end_daemon "$1" "$2"
    sleep 1
    : >"$work/daemon.log"
    check "SIG$1 in mid-play: the daemon answers after a start" start_daemon
    is_served "SIG$1 in mid-play, then a start"
    end_judging "SIG$1 in mid-play: the sound goes on"
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

# Runs in a subshell, so that its failures are not counted.
control() {
    failures=0
    reference=$(basename "$ROOT"/opt/nqptp_*.deb .deb)
    check "$reference: it makes its shared memory" start_reference
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

work=$ROOT/mnt # only these namespaces see what is mounted there
mount -t tmpfs tmpfs "$work" || exit 1
check "a private copy of the root has a network, dbus and avahi" prepare_player
[ "$failures" -eq 0 ] || { done_testing; exit 1; }
cp "$here/ap2.py" "$here/judge.py" "$copy/opt"
: >"$work/pcm" && : >"$copy/opt/pcm" && mount --bind "$work/pcm" "$copy/opt/pcm"

all_starts && session_beside_ours
control 2>&1 | sed -e 's/^# /#   /' -e 's/^\(not \)*ok [0-9]*/# \1ok/' -e 's/^#   control/# control/'
kill "$there"
done_testing
