# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2154
#
# An AirPlay 2 session with PTP timing, played to the player of player-root.sh. A test sources
# tap.sh, player-root.sh and this file, and calls `enter_player_root` and `begin`.

identity=98698aaf9c950008
offset=5000000000000
session_seconds=120
control=10.66.0.1 # where the sender connects to the player
listed=10.66.0.2  # what the player then lists: the sender's end of that connection
ptp_from=10.66.0.2
ptp_to=10.66.0.1

# Ends the test if there is nothing to test with.
begin() { # DIRECTORY-OF-THESE-SCRIPTS
    check "a private copy of the root has a network, dbus and avahi" prepare_player
    [ "$failures" -eq 0 ] || { done_testing; exit 1; }
    cp "$1/ap2.py" "$1/judge.py" "$copy/opt"
    : >"$work/pcm" && : >"$copy/opt/pcm" && mount --bind "$work/pcm" "$copy/opt/pcm"
}

# Starts a new clock for each session. It stops serving a receiver that is silent for 15 s.
start_clock() {
    nsenter -t "$there" -n "$TOOLS/ptp-sender" --to "$ptp_to" --from "$ptp_from" --low-ports \
        --serve-muted 15 --identity $identity --offset $offset >"$work/clock.log" 2>&1 &
    clock=$!
}

# The sender plays until end_session, or for $session_seconds if that never comes.
start_session() {
    nsenter -t "$there" -n chroot "$copy" python3 /opt/ap2.py "$control" $identity $offset \
        $session_seconds >"$work/ap2.log" 2>&1 &
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
    if wait "$judge"; then
        ok "$1"
    else
        not_ok "$1"
    fi
    show sound: "$work/sound"
}

status_is_right() {
    chroot "$copy" nqptp --status --json | chroot "$copy" python3 /opt/judge.py status $identity $offset \
        "$listed"
}

sends_delay_reqs() {
    grep -q "to ${ptp_from%\%*}: Delay_Req" "$work/daemon.log"
}

named_the_clock() {
    grep -q "NQPTP master clock $identity" "$work/log"
}

# A player that gets SIGTERM while it ends a connection may hang.
ended_well() {
    stop "$session" || { cat "$work/ap2.log"; return 1; }
    within 5 has_left
}

has_left() {
    grep -q 'Connection [0-9]*: exit' "$work/log"
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

# Succeeds if there is sound without a gap for two seconds.
sounds() {
    chroot "$copy" python3 /opt/judge.py sound /opt/pcm 2
}

# Succeeds if the last sample of the player's master is at most a second old.
sample_is_fresh() {
    chroot "$copy" nqptp --status --json | chroot "$copy" python3 /opt/judge.py fresh 1
}
