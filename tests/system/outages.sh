#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that the sound goes on after outages that happen at home: a link that is down, a pause, a
# daemon that is away, a sender or a receiver that gets another address. The sender stops serving a
# receiver that it did not hear for 2 s, as real senders do after 15 s. A player that plays never
# reads "no clock".

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter 120

away=4 # seconds: more than the sender waits

# Each part has a sender, and a player that plays by it until end() ends the player.
begin() { # NAME [PLAYER-OPTION...]
    part=$1
    shift
    start_daemon
    serve
    "$player" --play 10.77.0.2 --wait 10 --watch 1000 --ids "$identity" --raw-truth 5000 \
        --within 20000000 "$@" >"$tmp/player" 2>&1 &
    playing=$!
    check "$part: a player plays" eventually 10 has_fresh_sample 10.77.0.2
}

serve() {
    start_sender --low-ports --serve-muted 2 --from 10.77.0.2 --to 10.77.0.1 --offset 5000
}

# Succeeds if the player plays by the clock at this address, with a sample that is less than 1 s old.
has_fresh_sample() { # ADDRESS
    "$nqptp" --status --json 2>/dev/null | tr -d ' \n' |
        grep -q "\"player\":\"playing\".*\"address\":\"$1\"[^}]*\"master\":true[^}]*\"sample_age_s\":0\\."
}

has_old_sample() { # ADDRESS
    ! has_fresh_sample "$1"
}

goes_on() {
    check "$part: a fresh sample comes again" eventually 4 has_fresh_sample 10.77.0.2
}

# The player looks once more when it is told to end. It fails if any of its looks broke a rule.
end() {
    kill "$playing" 2>/dev/null
    check "$part: the player went on to the end" wait "$playing"
    sed 's/^/# player: /' "$tmp/player"
    stop_senders
    stop_daemon
}

link_is_down() {
    begin 'the link is down'
    ip link set here down
    sleep $away # the outage
    ip link set here up
    goes_on
    end
}

pause() {
    begin 'a pause'
    control '/nqptp P'
    sleep $away # the outage
    control '/nqptp B'
    goes_on
    end
}

daemon_is_away() { # SIGNAL
    begin "the daemon ends by SIG$1 and is away"
    stop_daemon "$1"
    sleep $away # the outage
    start_daemon
    goes_on
    end
}

# The player follows the sender to an address that is not listed, and back.
sender_moves() {
    begin 'the sender gets another address' --may-return
    kill "$last_sender"
    start_sender --from 10.77.0.3 --to 10.77.0.1 --offset 5000
    check "$part: the sample grows old" eventually 5 has_old_sample 10.77.0.2
    check "$part: the clock is followed there" eventually 6 has_fresh_sample 10.77.0.3
    stop_senders
    serve
    goes_on
    end
}

host_moves() {
    begin 'this host gets another address'
    kill "$last_sender"
    ip addr del 10.77.0.1/24 dev here
    ip addr add 10.77.0.9/24 dev here
    start_sender --low-ports --serve-muted 2 --verbose --from 10.77.0.2 --to 10.77.0.9 --offset 5000
    check "$part: the sender gets its Delay_Reqs from there" eventually 5 \
        grep -q '^Delay_Req from 10\.77\.0\.9 ' "$tmp/sender"
    sleep $away # longer than the sender serves a receiver that it does not hear
    goes_on
    end
}

in_parallel link_is_down pause 'daemon_is_away KILL' 'daemon_is_away TERM' \
    'daemon_is_away USR1' sender_moves host_moves
done_testing
