#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that the sound goes on after what happens in a house: a link that is down, a pause, a daemon
# that is away, a sender or a receiver that gets another address. The sender stops serving a receiver
# that it did not hear for 2 s, as real ones do after 15 s. A player that plays never reads "no clock".

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter 120

away=4 # seconds: more than the sender waits

# A clock of its own for each part of the test, and a player that plays by it.
begin() { # NAME [PLAYER-OPTION...]
    part=$1
    shift
    start_daemon
    serve
    "$player" --play 10.77.0.2 --wait 10 --watch 1000 --ids "$identity" --raw-truth 5000 \
        --within 20000000 "$@" >"$tmp/player" 2>&1 &
    playing=$!
    check "$part: a player plays" eventually 10 has_fresh_sample
}

serve() {
    start_sender --low-ports --serve-muted 2 --from 10.77.0.2 --to 10.77.0.1 --offset 5000
}

# Has a player that plays a master whose sample is less than a second old?
has_fresh_sample() {
    "$nqptp" --status --json 2>/dev/null | tr -d ' \n' |
        grep -q '"player":"playing".*"master":true[^}]*"sample_age_s":0\.'
}

has_old_sample() {
    ! has_fresh_sample
}

is_followed_at_the_listed_address() {
    grep -q 'master is now .* at 10\.77\.0\.2, because' "$tmp/log"
}

goes_on() {
    check "$part: a fresh sample comes within 4 s" eventually 4 has_fresh_sample
    check "$part: the player goes on" kill -0 "$playing" || sed 's/^/# player: /' "$tmp/player"
}

end() {
    kill "$playing" 2>/dev/null
    wait "$playing" 2>/dev/null
    stop_senders
    stop_daemon
}

begin 'the link is down'
ip link set here down
sleep $away # the outage
ip link set here up
goes_on
end

begin 'a pause'
control '/nqptp P'
sleep $away # the outage
control '/nqptp B'
goes_on
end

for signal in KILL TERM USR1; do
    begin "the daemon ends by SIG$signal and is away"
    stop_daemon $signal
    sleep $away # the outage
    start_daemon
    goes_on
    end
done

# It is followed at an address that is not listed, and back.
begin 'the sender gets another address' --may-return
kill "$last_sender"
start_sender --from 10.77.0.3 --to 10.77.0.1 --offset 5000
check "$part: the sample grows old" eventually 5 has_old_sample
check "$part: the clock is followed there" eventually 6 has_fresh_sample
stop_senders
serve
check "$part: the listed address is followed again" eventually 4 is_followed_at_the_listed_address
goes_on
end

begin 'this host gets another address'
kill "$last_sender"
ip addr del 10.77.0.1/24 dev here
ip addr add 10.77.0.9/24 dev here
start_sender --low-ports --serve-muted 2 --verbose --from 10.77.0.2 --to 10.77.0.9 --offset 5000
goes_on
check "$part: the sender gets its Delay_Reqs from there" eventually 5 \
    grep -q '^Delay_Req from 10\.77\.0\.9 ' "$tmp/sender"
sleep $away # the player goes on
goes_on
end

done_testing
