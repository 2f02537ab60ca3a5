#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Measures the daemon itself, in namespaces, with a sender whose truth is known: by how much it
# errs, how soon it is right, how long a result takes to get into shared memory, and what a packet
# and idleness cost. Not part of "make check". It takes less than four minutes, prints tables and
# leaves them as CSV in the directory named, or bench-results.
#
#     make bench-daemon       or       tests/bench-daemon.sh [DIRECTORY]

# What must not be exceeded.
QUIET_RMS_US=20     # one master, nothing between
STRAINED_RMS_US=100 # the same with 8 or 32 masters, or with all processors busy
IDLE_WAKEUPS=0

SKEW=12 # ppm, by which the masters run fast
SETTLED=5
BUSY_LOOPS=3

if test "${NQPTP_TEST_INSIDE:-}" = ''; then
    mkdir -p "${1:-bench-results}" || exit 1
    NQPTP_BENCH_RESULTS=$(cd "${1:-bench-results}" && pwd)
    export NQPTP_BENCH_RESULTS
fi

# shellcheck source=tests/netns.sh disable=SC2119,SC2317
. "${srcdir:-.}/tests/netns.sh"

die() { # WHY
    echo "bench-daemon: $1" >&2
    exit 1
}

skip_all() { # WHY
    die "$1"
}

need awk mawk
need tee coreutils
enter 300

watcher=$build/tests/bench-reader
accuracy=$NQPTP_BENCH_RESULTS/daemon-accuracy.csv
cost=$NQPTP_BENCH_RESULTS/daemon-cost.csv
missed=0

miss() { # WHAT
    missed=$((missed + 1))
    echo "MISSED: $1"
}

at_most() { # VALUE LIMIT
    awk "BEGIN { exit !($1 <= $2) }"
}

# With a list, as it is what gets the masters their Delay_Reqs.
start() {
    launch_daemon
    eventually 10 answers || die "the daemon does not start: $(cat "$tmp/log")"
    control 'T 10.77.0.2 fd77::2'
    sleep 0.3
}

# There are no more than 155 masters of this priority: the last must not be better than the first.
start_masters() { # COUNT SENDER-OPTION...
    start_sender --low-ports --priority1 100 --masters "$@"
}

stop() {
    wait "$last_sender"
    senders=''
    stop_daemon TERM
}

# --- accuracy -------------------------------------------------------------------------------------

accuracy_head() {
    echo 'Errors and latency in us. least: the least delay, which no one-way timing can know and'
    echo 'which is no error; to 1 ms, to 100 us: seconds until the error is so small for 2 s;'
    echo 'step: how far a publication moves the error; latency: Follow_Up sent to result in shm,'
    echo 'where a busy machine delays not only the daemon, but also the one who looks.'
    echo
    printf '%-23s%6s %7s |%7s%7s%8s%8s%8s |%6s%7s |%6s%6s |%7s%8s%8s\n' '' publ. least rms p50 p95 \
        p99 max '1ms' '100us' p99 max min med p95
    printf '%-23s%6s %7s |%38s |%13s |%12s |%23s\n' '' '' '' 'error   ' 'to ' 'step ' 'latency  '
    echo 'row,publications,least_us,rms_us,p50_us,p95_us,p99_us,max_us,to_1ms_s,to_100us_s,'`
        `'step_p99_us,step_max_us,latency_min_us,latency_median_us,latency_p95_us' >"$accuracy"
}

accuracy_row() { # NAME TO SECONDS DELAY MASTERS
    name=$1 offset=$((788996500000000 - $("$reader" --now)))
    set -- "$@" --log "$tmp/departures" --raw-truth "$offset" --skew "$SKEW" --skip "$SETTLED"
    test "$4" != none || set -- "$@" --latency 8
    start
    start_masters "$5" --to "$2" --seconds "$3" --delay "$4" --offset "$offset" --skew "$SKEW" \
        --log "$tmp/departures" --seed 11
    seconds=$(($3 + 1))
    shift 5
    "$watcher" --seconds "$seconds" "$@" >"$tmp/row" 2>"$tmp/said"
    stop
    if ! test -s "$tmp/row"; then
        miss "$name: $(cat "$tmp/said")"
        return 1
    fi
    echo "$name,$(cat "$tmp/row")" | tee -a "$accuracy" | awk -F, '{
        printf "%-23s%6s %7s |%7s%7s%8s%8s%8s |%6s%7s |%6s%6s |%7s%8s%8s\n",
            $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15 }'
    rms=$(cut -d, -f3 "$tmp/row")
}

# A machine that is too busy may err, the daemon may not err twice.
judged_row() { # LIMIT NAME TO SECONDS DELAY MASTERS
    limit=$1
    shift
    accuracy_row "$@" || return
    at_most "$rms" "$limit" && return
    accuracy_row "$@" || return
    at_most "$rms" "$limit" || miss "$1: RMS $rms us, not $limit"
}

make_busy() {
    loops=''
    for _ in $(seq $BUSY_LOOPS); do
        timeout 60 sh -c 'while :; do :; done' &
        loops="$loops $!"
    done
}

end_busy() {
    for loop in $loops; do
        kill "$loop"
        wait "$loop" 2>/dev/null
    done
}

accuracy_rows() {
    judged_row $QUIET_RMS_US 'IPv4 1 master' 10.77.0.1 20 none 1
    accuracy_row 'IPv4 1 master wired' 10.77.0.1 20 wired 1
    accuracy_row 'IPv4 1 master wifi' 10.77.0.1 28 wifi 1
    accuracy_row 'IPv4 1 master bad wifi' 10.77.0.1 28 badwifi 1
    make_busy
    judged_row $STRAINED_RMS_US "with $BUSY_LOOPS busy loops" 10.77.0.1 12 none 1
    end_busy
    judged_row $STRAINED_RMS_US 'IPv4 8 masters' 10.77.0.1 11 none 8
    judged_row $STRAINED_RMS_US 'IPv4 32 masters' 10.77.0.1 11 none 32
    test "$ipv6" = yes || { echo 'IPv6: none here'; return; }
    judged_row $STRAINED_RMS_US 'IPv6 8 masters' fd77::1 11 none 8
    judged_row $STRAINED_RMS_US 'IPv6 32 masters' fd77::1 11 none 32
}

# --- cost -----------------------------------------------------------------------------------------

# Of the daemon: nanoseconds on a processor, times that it went to sleep, packets in and out.
counters() {
    if test -r "/proc/$daemon/schedstat"; then
        awk '{ printf "%s ", $1 }' "/proc/$daemon/schedstat"
    else
        awk -v hz="$(getconf CLK_TCK)" '{ printf "%d ", ($14 + $15) * 1e9 / hz }' \
            "/proc/$daemon/stat"
    fi
    awk '$1 == "voluntary_ctxt_switches:" { printf "%s ", $2 }' "/proc/$daemon/status"
    awk '$1 == "Udp:" && $2 != "InDatagrams" { print $2, $5 }' /proc/net/snmp
}

cost_head() {
    echo
    echo 'CPU is user and system time per packet received, the sending of Delay_Reqs included.'
    echo
    printf '%-23s%9s%13s%9s%12s%12s\n' '' packets Delay_Reqs 'CPU us' 'CPU %' 'wake-ups/s'
    echo 'row,packets,delay_reqs,cpu_us_per_packet,cpu_percent,wakeups_per_s' >"$cost"
}

# Leaves the wake-ups per second in $wakeups.
cost_row() { # NAME SECONDS
    before=$(counters)
    sleep "$2"
    echo "$before $(counters)" | awk -v name="$1" -v s="$2" '{
        packets = $7 - $3; cpu = ($5 - $1) / 1000
        printf "%s,%d,%d,%s,%.2f,%.1f\n", name, packets, $8 - $4,
            packets ? sprintf("%.1f", cpu / packets) : "-", cpu / s / 1e4, ($6 - $2) / s
    }' >"$tmp/row"
    cat "$tmp/row" >>"$cost"
    awk -F, '{ printf "%-23s%9s%13s%9s%12s%12s\n", $1, $2, $3, $4, $5, $6 }' "$tmp/row"
    wakeups=$(cut -d, -f6 "$tmp/row")
}

cost_rows() {
    start
    cost_row 'idle' 5
    at_most "$wakeups" $IDLE_WAKEUPS || miss "idle: $wakeups wake-ups a second"
    stop_daemon TERM
    for masters in 1 8 32; do
        start
        start_masters $masters --to 10.77.0.1 --seconds 10
        sleep 1.5
        cost_row "$masters master$(test $masters = 1 || echo s)" 8
        stop
    done
}

accuracy_head
accuracy_rows
cost_head
cost_rows
echo
echo "CSV: $accuracy, $cost"
test $missed = 0
