#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Measures the daemon itself, in namespaces, with a sender whose truth is known: by how much it
# errs, how soon it is right, how long a result takes to get into shared memory, and what a packet
# and idleness cost. Beside it, on a host of its own that gets the same packets at the same times,
# works a daemon in the way of the reference (bench-reference.c), so what counts are ratios of one
# run. Not part of "make check". It takes eight minutes, prints tables and leaves them as CSV in the
# directory named, or bench-results.
#
#     make bench       or       tests/bench/bench-daemon.sh [DIRECTORY]

# What must not be exceeded.
QUIET_RMS_US=5      # one master, nothing between
STRAINED_RMS_US=100 # the same with 8 or 32 masters, or with all processors busy
IDLE_WAKEUPS=0
FLOOD_RATIO=1.5 # times what the rival deals with
CPU_RATIO=.6 # of the rival's, per packet, with 1 and with 32 masters

SKEW=12 # ppm, by which the masters run fast
SETTLED=5
BUSY_LOOPS=3

if test "${NQPTP_TEST_INSIDE:-}" = ''; then
    mkdir -p "${1:-bench-results}" || exit 1
    NQPTP_BENCH_RESULTS=$(cd "${1:-bench-results}" && pwd)
    export NQPTP_BENCH_RESULTS
fi

# shellcheck source=tests/lib/netns.sh disable=SC2119,SC2317
. "${srcdir:-.}/tests/lib/netns.sh"

die() { # WHY
    echo "bench-daemon: $1" >&2
    exit 1
}

skip_all() { # WHY
    die "$1"
}

need awk mawk
need tee coreutils
enter 600

watcher=$build/tests/bench/bench-reader
rival_program=$build/tests/bench/bench-reference
flood=$build/tests/tools/flood
accuracy=$NQPTP_BENCH_RESULTS/daemon-accuracy.csv
ratios=$NQPTP_BENCH_RESULTS/daemon-ratios.csv
cost=$NQPTP_BENCH_RESULTS/daemon-cost.csv
floods=$NQPTP_BENCH_RESULTS/daemon-floods.csv
missed=0

miss() { # WHAT
    missed=$((missed + 1))
    echo "MISSED: $1"
}

at_most() { # VALUE LIMIT
    awk "BEGIN { exit !($1 <= $2) }"
}

# The rival's host. The sender is its neighbour too, at 10.78.0.2.
make_rival_host() {
    unshare -n sleep 1000 &
    beside=$!
    eventually 5 rival_network || die 'no third host'
    in_beside ip link set lo up
    in_there ip link add beside type veth peer name here netns $beside
    in_there ip addr add 10.78.0.2/24 dev beside
    in_there ip link set beside up
    in_beside ip addr add 10.78.0.1/24 dev here
    in_beside ip link set here up
}

rival_network() {
    test "$(readlink "/proc/$beside/ns/net")" != "$(readlink /proc/self/ns/net)"
}

in_beside() { # COMMAND...
    nsenter -t "$beside" -n "$@"
}

# With a list, as it is what gets the masters their Delay_Reqs.
start() {
    launch_daemon
    nsenter -t "$beside" -n "$rival_program" &
    rival=$!
    eventually 10 answers || die "the daemon does not start: $(cat "$tmp/log")"
    eventually 5 test -s /dev/shm/reference || die 'the rival does not start'
    control 'T 10.77.0.2 fd77::2'
    in_beside "$reader" --command '/nqptp T 10.78.0.2'
    sleep 0.3
}

# There are no more than 155 masters of this priority: the last must not be better than the first.
start_masters() { # COUNT SENDER-OPTION...
    start_sender --low-ports --mirror --priority1 100 --masters "$@"
}

stop() {
    wait "$last_sender"
    senders=''
    stop_daemon TERM
    stop_rival
}

stop_rival() {
    kill "$rival"
    wait "$rival" 2>/dev/null
    rm /dev/shm/reference
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

accuracy_print() { # NAME
    awk -F, -v OFS=, -v name="$1" '{
        $1 = (NR == 1 ? name : "  the reference way") OFS $1; print }' "$tmp/row" |
        tee -a "$accuracy" | awk -F, '{
        printf "%-23s%6s %7s |%7s%7s%8s%8s%8s |%6s%7s |%6s%6s |%7s%8s%8s\n",
            $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15 }'
}

# Leaves a line of figures in $tmp/row; with the rival, for whom there is no IPv6, two.
accuracy_run() { # TO SECONDS DELAY MASTERS SKEW READER-OPTION...
    to=$1 seconds=$2 delay=$3 masters=$4 skew=$5 offset=$((788996500000000 - $("$reader" --now)))
    shift 5
    test "$delay" != none || set -- "$@" --latency 8
    start
    start_masters "$masters" --to "$to" --to 10.78.0.1 --seconds "$seconds" --delay "$delay" \
        --offset "$offset" --skew "$skew" --log "$tmp/departures" --seed 20
    "$watcher" --seconds $((seconds + 1)) --log "$tmp/departures" --raw-truth "$offset" \
        --skew "$skew" --skip "$SETTLED" "$@" >"$tmp/row" 2>"$tmp/said"
    stop
    test -s "$tmp/row"
}

# One row alone: many masters, or IPv6.
accuracy_row() { # LIMIT NAME TO SECONDS DELAY MASTERS
    limit=$1 name=$2
    shift 2
    # A machine that is too busy may err, the daemon may not err twice.
    for _ in 1 2; do
        accuracy_run "$@" $SKEW || { miss "$name: $(cat "$tmp/said")"; return; }
        accuracy_print "$name"
        rms=$(cut -d, -f3 "$tmp/row")
        at_most "$rms" "$limit" && return
    done
    miss "$name: RMS $rms us, not $limit"
}

ratio() { # FIELD
    cut -d, -f"$1" "$tmp/row" | paste -s | awk '{ printf "%.3f", $1 / $2 }'
}

within() { # RMS-RATIO LIMIT P99-RATIO LIMIT LATENCY-RATIO LIMIT
    at_most "$1" "$2" && at_most "$3" "$4" && { test "$6" = - || at_most "$5" "$6"; }
}

# Two rows, of us and the rival, and what is left of its errors and its latency. A limit of - is
# none. A machine that is too busy may err, the daemon may not err twice.
pair_row() { # NAME SECONDS DELAY SKEW RMS-RATIO P99-RATIO LATENCY-RATIO
    for _ in 1 2; do
        accuracy_run 10.77.0.1 "$2" "$3" 1 "$4" --beside /reference ||
            { miss "$1: $(cat "$tmp/said")"; return; }
        accuracy_print "$1"
        rms=$(ratio 3) p99=$(ratio 6) latency=-
        test "$3" != none || latency=$(ratio 13)
        echo "$1,$rms,$5,$p99,$6,$latency,$7" >>"$ratios"
        printf '%25s%s\n' '' \
            "ratios: RMS $rms (at most $5), p99 $p99 ($6), median latency $latency ($7)"
        within "$rms" "$5" "$p99" "$6" "$latency" "$7" && return
    done
    miss "$1: a ratio is above its limit"
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
    echo 'row,rms_ratio,rms_ratio_max,p99_ratio,p99_ratio_max,latency_ratio,latency_ratio_max' \
        >"$ratios"
    pair_row 'quiet' 20 none 12 .1 .1 1.25
    pair_row 'wired +12 ppm' 40 wired 12 .15 .20 -
    pair_row 'wired +20 ppm' 40 wired 20 .15 .20 -
    pair_row 'wifi +12 ppm' 40 wifi 12 .12 .30 -
    pair_row 'wifi holds -10 ppm' 40 holdwifi -10 .10 .30 -
    pair_row 'wifi holds +4 ppm' 40 holdwifi 4 .10 .30 -
    pair_row 'wifi sleeps -3 ppm' 40 sleepwifi -3 .45 .60 -
    pair_row 'bad wifi +20 ppm' 40 badwifi 20 .12 .35 -
    make_busy
    pair_row "$BUSY_LOOPS busy loops" 12 none 12 .1 .1 -
    end_busy
    accuracy_row $STRAINED_RMS_US 'IPv4 8 masters' 10.77.0.1 11 none 8
    accuracy_row $STRAINED_RMS_US 'IPv4 32 masters' 10.77.0.1 11 none 32
    test "$ipv6" = yes || { echo 'IPv6: none here'; return; }
    accuracy_row $QUIET_RMS_US 'IPv6 1 master' fd77::1 11 none 1
    accuracy_row $STRAINED_RMS_US 'IPv6 8 masters' fd77::1 11 none 8
    accuracy_row $STRAINED_RMS_US 'IPv6 32 masters' fd77::1 11 none 32
}

# --- cost -----------------------------------------------------------------------------------------

# Of a process: nanoseconds on a processor, times that it went to sleep, packets in and out of its
# host.
counters() { # PID
    if test -r "/proc/$1/schedstat"; then
        awk '{ printf "%s ", $1 }' "/proc/$1/schedstat"
    else
        awk -v hz="$(getconf CLK_TCK)" '{ printf "%d ", ($14 + $15) * 1e9 / hz }' "/proc/$1/stat"
    fi
    awk '$1 == "voluntary_ctxt_switches:" { printf "%s ", $2 }' "/proc/$1/status"
    awk '$1 == "Udp:" && $2 != "InDatagrams" { print $2, $5 }' "/proc/$1/net/snmp"
}

cost_head() {
    echo
    echo 'CPU is user and system time per packet received, the sending of Delay_Reqs included.'
    echo
    printf '%-23s%9s%13s%9s%12s%12s\n' '' packets Delay_Reqs 'CPU us' 'CPU %' 'wake-ups/s'
    echo 'row,packets,delay_reqs,cpu_us_per_packet,cpu_percent,wakeups_per_s' >"$cost"
}

cost_print() { # NAME SECONDS BEFORE AFTER
    echo "$3 $4" | awk -v name="$1" -v s="$2" '{
        packets = $7 - $3; cpu = ($5 - $1) / 1000
        printf "%s,%d,%d,%s,%.2f,%.1f\n", name, packets, $8 - $4,
            packets ? sprintf("%.1f", cpu / packets) : "-", cpu / s / 1e4, ($6 - $2) / s
    }' | tee "$tmp/row" >>"$cost"
    awk -F, '{ printf "%-23s%9s%13s%9s%12s%12s\n", $1, $2, $3, $4, $5, $6 }' "$tmp/row"
}

# Leaves both CPU times per packet in $ours and $theirs, and our wake-ups per second in $wakeups.
cost_pair() { # NAME SECONDS
    before=$(counters "$daemon") rival_before=$(counters "$rival")
    sleep "$2"
    after=$(counters "$daemon") rival_after=$(counters "$rival")
    cost_print "$1" "$2" "$before" "$after"
    ours=$(cut -d, -f4 "$tmp/row") wakeups=$(cut -d, -f6 "$tmp/row")
    cost_print '  the reference way' "$2" "$rival_before" "$rival_after"
    theirs=$(cut -d, -f4 "$tmp/row")
}

cost_rows() {
    start
    cost_pair 'idle' 5
    at_most "$wakeups" $IDLE_WAKEUPS || miss "idle: $wakeups wake-ups a second"
    stop_daemon TERM
    stop_rival
    for masters in 1 8 32; do
        cost_of $masters || cost_of $masters ||
            miss "$masters masters: $ours us a packet, not $CPU_RATIO of $theirs us"
    done
}

# With so many masters. Succeeds if it is little enough, which is not asked of 8.
cost_of() { # MASTERS
    start
    start_masters "$1" --to 10.77.0.1 --to 10.78.0.1 --seconds 10
    sleep 1.5
    cost_pair "$1 master$(test "$1" = 1 || echo s)" 8
    stop
    test "$1" = 8 || at_most "$ours / $theirs" $CPU_RATIO
}

# --- floods ---------------------------------------------------------------------------------------

flood_head() {
    ip route add 10.99.0.0/16 dev here
    in_there ip route add local 10.99.0.0/16 dev lo
    in_beside ip route add 10.99.0.0/16 dev here
    echo
    echo 'Datagrams from 10,000 addresses as fast as one processor sends them. Dealt with: read, or'
    echo 'found to be of no use by the kernel on behalf of the daemon; the others found no room.'
    echo
    printf '%-23s%12s%14s\n' '' 'sent/s' 'dealt with/s'
    echo 'row,sent_per_s,dealt_with_per_s' >"$floods"
}

# Of the host of that process: datagrams read or filtered out, and those that found no room.
taken() { # PID
    awk '$1 == "Udp:" && $2 != "InDatagrams" { print $2 + $4 - $6, $6 }' "/proc/$1/net/snmp"
}

# Leaves what was dealt with per second in $dealt.
flood_print() { # NAME ADDRESS PID KIND
    before=$(taken "$3")
    sent=$(in_there "$flood" "$2" 3 "$4")
    sleep 0.5
    dealt=$(echo "$before $(taken "$3")" | awk '{ printf "%d", ($3 - $1) / 3 }')
    printf '%-23s%12d%14d\n' "$1" $((sent / 3)) "$dealt"
    echo "$1,$((sent / 3)),$dealt" >>"$floods"
}

flood_row() { # NAME KIND
    flood_print "$1" 10.77.0.1 "$daemon" "$2"
    ours=$dealt
    flood_print '  the reference way' 10.78.0.1 "$rival" "$2"
    at_most "$dealt * $FLOOD_RATIO" "$ours" || miss "$1: $ours, not $FLOOD_RATIO times $dealt"
}

# The largest of some bursts that are received whole.
burst() { # ADDRESS PID
    whole=0
    for count in 512 1024 2048 4096; do
        before=$(taken "$2")
        in_there "$flood" "$1" 5 sync $count >/dev/null
        sleep 0.5
        test "${before#* }" = "$(taken "$2" | cut -d' ' -f2)" || break
        whole=$count
    done
    echo $whole
}

flood_rows() {
    start
    flood_row 'junk' junk
    flood_row 'Syncs' sync
    ours=$(burst 10.77.0.1 "$daemon") theirs=$(burst 10.78.0.1 "$rival")
    echo "the largest burst of Syncs received whole: $ours, the reference way $theirs"
    echo "burst,$ours,$theirs" >>"$floods"
    at_most "$theirs" "$ours" || miss "burst: $ours, not $theirs"
    stop_daemon TERM
    stop_rival
}

make_rival_host
accuracy_head
accuracy_rows
cost_head
cost_rows
flood_head
flood_rows
echo
echo "CSV: $accuracy, $ratios, $cost, $floods"
test $missed = 0
