#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that the daemon wakes a listed clock up: at its first Announce, and again at its third if it
# gave no time, by two Announces of ours, 150 ms apart. The clock loses to the first and wins over the
# second. The daemon goes on meanwhile, and wakes no other clock up.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter

self=027700fffe000001 # made of the interface's MAC address
head=1b02004000000408000000000000000000000000${self}8008000005fe00000000000000000000002500
tail=f8fe436a
end=${self}0000a0

has_announces() { # COUNT
    test "$(grep -c '^Announce from' "$tmp/sender")" -ge "$1"
}

# Prints what the sender received by port 320, without the times.
heard() {
    sed 's/ at [0-9]*: / /' "$tmp/sender"
}

# Prints the min and max gap in ms between the first and the second Announce of each pair.
gaps() {
    awk '{ for (i = 1; i < NF; i++) if ($i == "at") time[NR] = $(i + 1) + 0 }
        END { least = 1e9; for (i = 2; i <= NR; i += 2) { gap = (time[i] - time[i - 1]) / 1e6
            if (gap < least) least = gap; if (gap > most) most = gap }
            printf "%d %d\n", least, most }' "$tmp/sender"
}

announces() { # FROM PRIORITY1 PRIORITY2 [PRIORITY1 PRIORITY2]...
    from=$1
    shift
    while test $# -gt 0; do
        printf 'Announce from %s port 320 %s%02x%s%02x%s\n' "$from" $head "$1" $tail "$2" $end
        shift 2
    done
}

check_gaps() {
    gaps=$(gaps)
    echo "# gaps of $gaps ms"
    check 'the two Announces of a pair are 150 ms apart' test "${gaps% *}" -ge 145 -a "${gaps#* }" -lt 1000
}

wakes() { # NAME MASTER SERVED
    what=$1 listed=${2%\%*}
    from=$3
    start_daemon
    control "T 10.77.0.99 $listed"
    start_sender --low-ports --verbose-general --from "$2" --to "$3" --priority1 248
    check "$what: the clock becomes master" "$reader" --wait-master 10 --expect-id "$identity"
    uses_more 40 # two Announces are among them
    stop_senders
    is "$what: two Announces are sent, byte for byte" "$(heard)" \
        "$(announces "$from" 247 248 249 248)"
    check_gaps
    stop_daemon
}

wakes_twice() {
    wakes IPv4 10.77.0.2 10.77.0.1
    if test "$ipv6" = yes; then
        wakes IPv6 fd77::2 fd77::1
        wakes 'IPv6, link-local' fe80::2%there fe80::1%there
    else
        skip 'IPv6: two Announces are sent, byte for byte' 'no IPv6 here'
    fi
}

# --- a clock that announces itself and no more ---

gives_no_time() {
    start_daemon
    control '/nqptp T 10.77.0.2'
    start_sender --low-ports --verbose-general --from 10.77.0.2 --to 10.77.0.1 --no-sync \
        --announce-rate 2 --priority1 2
    check 'a clock that gives no time is woken up again' eventually 5 has_announces 4
    uses_more 3 # Announces
    is 'the third Announce of a clock wakes it up, no later one does, and priority1 2 gets other Announces' "$(heard)" \
        "$(announces 10.77.0.1 248 248 3 248 248 248 3 248)"
    check_gaps
    # The first pair at the first Announce, the second at the third, which is 1 s later.
    apart=$(awk '{ for (i = 1; i < NF; i++) if ($i == "at") time[NR] = $(i + 1) + 0 }
        END { printf "%d\n", (time[3] - time[1]) / 1e6 }' "$tmp/sender")
    echo "# $apart ms apart"
    check 'the two Announces that wake a clock up are a second apart' test "$apart" -ge 900 -a "$apart" -lt 2000
    stop_senders
}

# --- while one clock is being woken up, the others are heard ---

beside_a_master() {
    start_daemon
    control 'T 10.77.0.2 10.77.0.3'
    start_sender --to 10.77.0.1 --from 10.77.0.3 --identity 0a --offset 4000 --rate 64
    check 'a clock that gives its time is master beside a sleeping clock' "$reader" --wait-master 10 --expect-id 0a
    "$player" --generation 2021 --interval 0.005 --watch 3 --ids 0a >"$tmp/player" 2>&1 &
    watching=$!
    start_sender --low-ports --verbose-general --from 10.77.0.2 --to 10.77.0.1 --no-sync \
        --announce-rate 2 --identity 0b
    check 'a sleeping clock beside a master is woken up' eventually 5 has_announces 2
    check 'a sleeping clock is woken up: the master is followed without a break' measure --expect-id 0a --raw-truth 4000 \
        --within 100000
    sed 's/^/# /' "$tmp/said"
    check 'a sleeping clock is woken up: a player of the master reads no other time' wait $watching
}

# --- not listed ---

not_listed() {
    start_daemon
    for list in 'T' 'T 10.77.0.99' '/other T 10.77.0.3'; do
        control 'T'
        control "$list"
        start_sender --low-ports --verbose-general --from 10.77.0.2 --to 10.77.0.1 --no-sync \
            --announce-rate 4 --identity 0c
        uses_more 5 # Announces
        stop_senders
        is "no clock is woken up by: $list" "$(heard)" ''
    done
    check 'the daemon is alive' alive
    stop_daemon
    start_daemon
    start_sender --low-ports --verbose-general --from 10.77.0.2 --to 10.77.0.1 --announce-rate 4
    check 'no clock is woken up without a list' "$reader" --wait-master 10 --settle 1 \
        --expect-id "$identity" --count 1
    stop_senders
    is 'without a list nothing was sent to a clock' "$(heard)" ''
}

in_parallel wakes_twice gives_no_time beside_a_master not_listed
done_testing
