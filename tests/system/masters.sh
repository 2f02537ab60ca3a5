#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that the daemon keeps 32 clocks and survives any number of them, that the list decides which
# may be master, that a better master takes over and a dead one is replaced, and that "no master"
# is published when none is left.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter "${NQPTP_TEST_LONG:+300}"

between() { # MIN NUMBER MAX
    test "$2" -ge "$1" && test "$2" -le "$3"
}

# --- 32 clocks, and one more ---

full_table() {
    start_daemon
    start_sender --to 10.77.0.1 --masters 32 --priority1 100 --offset 1
    check 'with 32 clocks the best is followed' measure --expect-id "$identity" \
        --expect-ip 10.77.0.2 --raw-truth 1 --within 100000
    sed 's/^/# /' "$tmp/said"
    check '32 clocks have 32 rows in the status' eventually 5 has_rows 32
    is 'each of 32 clocks has its own row' "$(sort -u "$tmp/status" | grep -c '^[*.].* 98698aaf9c9500.* 10\.77\.0\.2 ')" 32
    is 'one of 32 clocks is marked as master' "$(grep -c '^\*.* 98698aaf9c950008 ' "$tmp/status")" 1
}

one_clock_too_many() {
    start_daemon -v
    start_sender --to 10.77.0.1 --masters 33 --priority1 100 --seconds 3
    check 'of 33 clocks the best is followed' "$reader" --wait-master 10 --expect-id "$identity"
    check 'the 33rd clock gets no record, and -v says so' eventually 5 grep -q 'no room' "$tmp/log"
    is '33 clocks have 32 rows in the status' "$(rows)" 32
    lines=$(grep -c 'new clock' "$tmp/log")
    check 'a few lines tell of the 32 new clocks, ten of a kind in 5 s at most' between 1 "$lines" 20
    stop_senders
}

# --- a listed clock finds room among any number of others ---

flood() { # SECONDS-OR-SO OPTION...
    in_there "$sender" --mode flood --from 10.77.0.3 --to 10.77.0.1 "$@"
}

listed_among_many() {
    start_daemon
    control 'T 10.77.0.2'
    flood --count 200 --rate 1000 --seed 1
    start_sender --to 10.77.0.1 --identity 1122334455660008 --offset 77
    check 'the listed clock gets a record in a full table, and is master' "$reader" --wait-master 10 \
        --expect-id 1122334455660008
    flood --count 10000 --rate 8000 --seed 2 &
    check '10,000 better clocks do not displace the listed clock' "$reader" --expect-id 1122334455660008 \
        --expect-ip 10.77.0.2 --fresh 3 --interval 0.02 --count 150 --quiet
    wait $!
    check 'the offset of the listed clock is right after the flood' measure --expect-id 1122334455660008 --raw-truth 77 \
        --within 100000
    sed 's/^/# /' "$tmp/said"
    check 'the daemon is alive' alive
    is 'the list among many clocks: the table is full' "$(rows)" 32

    # The list decides.
    control 'T'
    check 'an empty list: no master' "$reader" --wait-none 10
    control 'T 10.77.0.2'
    check 'a clock that is listed again is master again' "$reader" --wait-master 10 --expect-id 1122334455660008
    control 'T 10.77.0.9 fd77::9'
    check 'a list of other addresses: no master' "$reader" --wait-none 10
}

# --- the better one comes, and dies ---

better_one_comes_and_dies() {
    start_daemon
    start_sender --to 10.77.0.1 --priority1 200 --identity 0a --offset 5000
    check 'a clock alone is the master' "$reader" --wait-master 10 --expect-id 0a
    start_sender --to 10.77.0.1 --priority1 100 --identity 0b --from 10.77.0.3
    better=$last_sender
    check 'a better clock becomes master' "$reader" --wait-master 15 --expect-id 0b --expect-ip 10.77.0.3
    kill "$better"
    check 'when the better clock falls silent the other becomes master' "$reader" --wait-master 15 --expect-id 0a \
        --expect-ip 10.77.0.2
    check 'the other clock is published with its own offset' measure --expect-id 0a --raw-truth 5000 --within 100000
    sed 's/^/# /' "$tmp/said"
    stop_senders
    check 'when all clocks are silent the last values stay' "$reader" --settle 4 --expect-id 0a --count 1
    if test "${NQPTP_TEST_LONG:-}" != ''; then
        check 'when all clocks are silent for 120 s there is no master' "$reader" --wait-none 130
        is 'when all clocks are silent for 120 s the status has no rows' "$(rows)" 0
    fi
    check 'the daemon is alive' alive
}

in_parallel full_table one_clock_too_many listed_among_many better_one_comes_and_dies
done_testing
