#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A real Shairport Sync of Debian sid beside our daemon: it accepts the shared memory at its first
# try, keeps it when the daemon is killed and restarted, and plays an AirPlay 2 session with PTP
# timing. Then it plays one beside Debian's own nqptp: that is told, and shows that the test's sender
# is right, but only our daemon is judged.
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
session_seconds=12
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
    exec timeout -s KILL 600 unshare -nmp --fork --kill-child=KILL --mount-proc --propagation private \
        sh "$0" "$@"
fi

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

is_empty() { # DIRECTORY
    [ -z "$(ls -A "$1")" ]
}

start_sender() {
    in_there "$SENDER" --to 10.66.0.1 --from 10.66.0.2 --low-ports --serve-muted 15 \
        --identity $identity --offset $offset --seconds 500 >"$work/sender.log" 2>&1 &
    sender=$!
}

# Plays for session_seconds in the background.
start_session() {
    in_there chroot "$copy" python3 /opt/ap2.py 10.66.0.1 $identity $offset $session_seconds \
        >"$work/ap2.log" 2>&1 &
    session=$!
}

sound_begins() {
    [ -s "$work/pcm" ]
}

sound_is_continuous() {
    chroot "$copy" python3 /opt/judge.py sound /opt/pcm $((session_seconds - 5))
}

status_is_right() {
    chroot "$copy" nqptp --status --json | chroot "$copy" python3 /opt/judge.py status $identity $offset
}

named_the_clock() {
    grep -q "NQPTP master clock $identity" "$work/log"
}

ended_well() { # PID
    wait "$1" || { cat "$work/ap2.log"; return 1; }
}

play_session() { # WHOSE-DAEMON
    check "$1: the player accepts the shared memory" start_player
    check "$1: the player announces itself" within 15 is_announced
    start_session
    check "$1: sound begins within 10 s" within 10 sound_begins
    sound_is_continuous >"$work/sound" 2>&1 &
    sound=$!
}

end_session() { # WHOSE-DAEMON
    wait $sound
    ok $? "$1: the sound is continuous"
    sed 's/^/# /' "$work/sound"
    check "$1: the session ends well" ended_well "$session"
    check "$1: the player names the clock of the sender" named_the_clock
    check "$1: the player ends with status 0" stop "$player"
}

work=$(mktemp -d) || exit 1
mount -t tmpfs tmpfs "$work" || skip_all "it needs to mount a tmpfs"
check "a private copy of the root, with a network, dbus and avahi" prepare_player || exit 1
cp "$here/ap2.py" "$here/judge.py" "$copy/opt"
: >"$work/pcm" && : >"$copy/opt/pcm" && mount --bind "$work/pcm" "$copy/opt/pcm"

for i in $(seq "$starts"); do
    start_and_stop "$i"
done

start_sender
check "session: the daemon answers" start_daemon
play_session "session"
check "session: the daemon follows the sender's clock for a player that plays" within 5 status_is_right
end_session "session"
check "session: the daemon sent Delay_Reqs" grep -q 'to 10.66.0.2: Delay_Req' "$work/daemon.log"
check "session: the daemon ends with status 0" stop "$daemon"
check "session: /dev/shm is empty after all ended" is_empty "$copy/dev/shm"

# The control. Its checks are told as comments.
control() {
    start_reference || echo "not ok - the daemon starts"
    play_session "Debian's nqptp"
    end_session "Debian's nqptp"
    stop "$daemon"
}
judged=$count:$failures
control 2>&1 | sed -e 's/^# /#   /' -e 's/^\(not \)*ok [0-9]*/# \1ok/'
[ "$judged" = "$count:$failures" ] || exit 1
stop $sender
kill "$there"
done_testing
