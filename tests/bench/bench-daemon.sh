#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Measures the daemon in network namespaces, with a sender whose time is known: the error of what it
# publishes, how soon it is right, how long a result takes to shared memory, and what a packet, a
# flood and idleness cost. On a host of its own that gets the same packets at the same times, a rival
# runs: the reference nqptp as Debian ships it, or, where that cannot be had, a stand-in that works
# the way it is described to work (bench-reference.c). The ratios of one run are what counts.
#
# Not part of "make check". It prints tables, and leaves them as CSV in the directory named, or in
# bench-results. It takes about 35 minutes.
#
#     make bench       or       tests/bench/bench-daemon.sh [DIRECTORY]
#
# NQPTP_BENCH_ROUNDS is how often each row is measured, each time with another seed [3].

# What must not be exceeded, beside those limits that stand in the rows themselves.
QUIET_RMS_US=5      # one master, nothing between
STRAINED_RMS_US=100 # the same with 8 or 32 masters
IDLE_WAKEUPS=0
FLOOD_RATIO=1.5 # times what the rival deals with

SKEW=12 # ppm, by which the masters run fast
BUSY_LOOPS=3

if test "${NQPTP_TEST_INSIDE:-}" = ''; then
    mkdir -p "${1:-bench-results}" || exit 1
    NQPTP_BENCH_RESULTS=$(cd "${1:-bench-results}" && pwd)
    "${srcdir:-.}/tests/bench/real-reference.sh" "$NQPTP_BENCH_RESULTS/reference" || true
    export NQPTP_BENCH_RESULTS
fi

# shellcheck source=tests/lib/netns.sh disable=SC2119
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
need setpriv util-linux
enter 3000

watcher=$build/tests/bench/bench-reader
flood=$build/tests/tools/flood
results=$NQPTP_BENCH_RESULTS
rival_shm=$tmp/rival
mkdir "$rival_shm"
rounds=${NQPTP_BENCH_ROUNDS:-3}
missed=0

miss() { # WHAT
    missed=$((missed + 1))
    echo "MISSED: $1"
}

at_most() { # VALUE LIMIT
    awk "BEGIN { exit !($1 <= $2) }"
}

choose_rival() {
    rival_program=$results/reference/nqptp
    rival_name="nqptp $(cat "$results/reference/version" 2>/dev/null)" && test -x "$rival_program" &&
        return
    rival_program=$build/tests/bench/bench-reference
    rival_name='stand-in'
}

# --- the daemon and its rival ---------------------------------------------------------------------

# The rival's host. The sender is its neighbour too, at 10.78.0.2.
make_rival_host() {
    unshare -n sleep infinity &
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

# Both have an object /nqptp, so the rival has a /dev/shm of its own. All its words replace this
# shell's process in the end, so $rival is the program itself.
start_rival() { # PREFIX...
    # shellcheck disable=SC2016 # expanded by the inner shell
    nsenter -t "$beside" -n unshare --mount \
        sh -c 'mount --bind "$1" /dev/shm && shift && exec "$@" >/dev/null 2>&1' \
        sh "$rival_shm" "$@" "$rival_program" &
    rival=$!
}

start() { # RIVAL-PREFIX...
    launch_daemon
    start_rival "$@"
    eventually 10 answers || die "the daemon does not start: $(cat "$tmp/log")"
    eventually 5 test -s "$rival_shm/nqptp" || die 'the rival does not start'
    : >/dev/shm/rival
    mount --bind "$rival_shm/nqptp" /dev/shm/rival || die 'the rival has no object'
}

# With a list, because it is what gets the masters their Delay_Reqs.
play() {
    control 'T 10.77.0.2 fd77::2'
    control B
    in_beside "$reader" --command '/nqptp T 10.78.0.2'
    in_beside "$reader" --command '/nqptp B'
}

# There are no more than 155 masters of this priority: the last must not be better than the first.
start_masters() { # COUNT SENDER-OPTION...
    start_sender --low-ports --mirror --priority1 100 --masters "$@"
}

stop() {
    for one in $senders; do
        wait "$one"
    done
    senders=''
    stop_daemon TERM
    kill "$rival"
    wait "$rival" 2>/dev/null
    umount /dev/shm/rival
    rm -f /dev/shm/rival "$rival_shm"/*
}

# --- tables ---------------------------------------------------------------------------------------

# Of lines of numbers, separated by commas: the median of each column. What is no number is more
# than any.
medians() { # FILE
    awk -F, -v OFS=, '
        { for (i = 1; i <= NF; i++) v[i, NR] = $i ~ /^[0-9]/ ? $i + 0 : 1e99 }
        END {
            for (i = 1; i <= NF; i++) {
                for (a = 2; a <= NR; a++)
                    for (b = a; b > 1 && v[i, b] < v[i, b - 1]; b--) {
                        t = v[i, b]; v[i, b] = v[i, b - 1]; v[i, b - 1] = t
                    }
                m = v[i, int((NR + 1) / 2)]
                $i = m == 1e99 ? "-" : sprintf("%.10g", m)
            }
            print
        }' "$1"
}

# One ratio of ours and the rival for each round: "median (least to greatest)".
spread() { # FIELD
    paste -d, "$tmp/ours" "$tmp/theirs" |
        awk -F, -v f="$1" '$(f + NF / 2) > 0 { print $f / $(f + NF / 2) }' | sort -n |
        awk '{ v[NR] = $1 }
            END { if (NR) printf "%.3f (%.3f to %.3f)", v[int((NR + 1) / 2)], v[1], v[NR] }'
}

# --- accuracy -------------------------------------------------------------------------------------

accuracy_head() {
    echo "Each row is the median of $rounds rounds, and below it that of $rival_name. Errors and latency"
    echo 'in us, errors after 5 s and after 30 s; least: the least delay, which one-way timing cannot'
    echo 'know and which is no error; first, 1 ms, 100 us: seconds until the first publication, and'
    echo 'until the error is below that for 2 s; step: how far a publication moves the error at most;'
    echo 'latency: from a Follow_Up sent to its result in shared memory.'
    echo
    printf '%-22s%6s%7s |%8s%8s%9s |%8s%8s |%6s%6s%7s |%7s |%7s%7s\n' '' publ. least rms p99 max \
        rms p99 first 1ms 100us step med p95
    printf '%-22s%13s |%25s |%16s |%19s |%7s |%14s\n' '' '' 'after 5 s ' 'after 30 s ' 'seconds to   ' \
        '' 'latency  '
    echo 'row,round,daemon,publications,least_us,rms_us,p99_us,max_us,rms_30_us,p99_30_us,max_30_us,'`
        `'first_s,to_1ms_s,to_100us_s,step_max_us,latency_median_us,latency_p95_us' \
        >"$results/daemon-accuracy.csv"
    echo 'row,rms_ratio,rms_ratio_max' >"$results/daemon-ratios.csv"
}

# The maximum after 30 s stands in the CSV only.
accuracy_print() { # NAME FILE
    medians "$2" | awk -F, -v name="$1" '
        function us(x) { return x < 1e5 ? x : sprintf("%.0fms", x / 1000) }
        {
            printf "%-22s%6s%7s |%8s%8s%9s |%8s%8s |%6s%6s%7s |%7s |%7s%7s\n",
                name, $1, $2, us($3), us($4), us($5), us($6), us($7), $9, $10, $11, us($12), $13, $14
        }'
}

# Runs the masters and watches. Leaves a line of figures in $tmp/row for us, another for the rival.
watch_masters() { # TO SECONDS MASTERS SKEW SENDER-OPTION... -- READER-OPTION...
    to=$1 seconds=$2 masters=$3 skew=$4 sends=''
    shift 4
    while test "$1" != --; do
        sends="$sends $1"
        shift
    done
    shift
    # shellcheck disable=SC2086 # a list of options
    start_masters "$masters" --to "$to" --to 10.78.0.1 --seconds "$seconds" --skew "$skew" \
        --offset $((788996500000000 - $("$reader" --now))) --log "$tmp/departures" --seed $round $sends
    "$before_watching"
    "$watcher" --seconds $((seconds + 1)) --log "$tmp/departures" --skew "$skew" "$@" \
        >"$tmp/row" 2>"$tmp/said"
}

before_watching=true

keep_row() { # NAME
    sed -n 1p "$tmp/row" >>"$tmp/ours"
    sed -n 2p "$tmp/row" >>"$tmp/theirs"
    sed -n "1s/^/$1,$round,ours,/p; 2s/^/$1,$round,$rival_name,/p" "$tmp/row" \
        >>"$results/daemon-accuracy.csv"
}

# Some rounds of both. The daemon is told what to follow before the sender begins.
pair_rounds() { # NAME SECONDS SKEW SENDER-OPTION... [-- READER-OPTION...]
    name=$1 seconds=$2 skew=$3
    shift 3
    case " $* " in *' -- '*) ;; *) set -- "$@" -- ;; esac
    : >"$tmp/ours"
    : >"$tmp/theirs"
    for round in $(seq "$rounds"); do
        # shellcheck disable=SC2086 # a list of words
        start $rival_prefix
        "$before_sending"
        watch_masters 10.77.0.1 "$seconds" 1 "$skew" "$@" --beside /rival ||
            miss "$name: $(cat "$tmp/said")"
        stop
        test ! -s "$tmp/row" || keep_row "$name"
    done
    accuracy_print "$name" "$tmp/ours"
    accuracy_print "  $rival_name" "$tmp/theirs"
}

before_sending=play
rival_prefix=''

# A limit for the ratio of the RMS after 5 s, median of the rounds.
pair_row() { # LIMIT NAME SECONDS SKEW SENDER-OPTION... [-- READER-OPTION...]
    limit=$1
    shift
    pair_rounds "$@"
    rms=$(spread 3)
    echo "$1,${rms%% *},$limit" >>"$results/daemon-ratios.csv"
    printf '%22s  ratio of RMS %s, at most %s; of p99 %s; of the RMS after 30 s %s\n' '' "$rms" "$limit" \
        "$(spread 4)" "$(spread 6)"
    at_most "${rms%% *}" "$limit" || miss "$1: ratio of RMS $rms, not $limit"
}

# One row alone: many masters, or IPv6.
accuracy_row() { # LIMIT NAME TO MASTERS
    : >"$tmp/ours"
    for round in $(seq "$rounds"); do
        start
        play
        watch_masters "$3" 11 "$4" $SKEW -- || miss "$2: $(cat "$tmp/said")"
        stop
        keep_row "$2"
    done
    accuracy_print "$2" "$tmp/ours"
    rms=$(medians "$tmp/ours" | cut -d, -f3)
    at_most "$rms" "$1" || miss "$2: RMS $rms us, not $1"
}

make_busy() {
    loops=''
    for _ in $(seq $BUSY_LOOPS); do
        timeout 600 sh -c 'while :; do :; done' &
        loops="$loops $!"
    done
}

end_busy() {
    for loop in $loops; do
        kill "$loop"
        wait "$loop" 2>/dev/null
    done
}

# The sender has been at work for three seconds when the player comes.
play_late() {
    sleep 3
    play
}

accuracy_rows() {
    pair_row .03 'quiet' 40 $SKEW
    pair_row .08 'wired +12 ppm' 40 12 --delay wired
    pair_row .08 'wired +20 ppm' 40 20 --delay wired
    pair_row .06 'good wifi +12 ppm' 40 12 --delay wifi
    pair_row .08 'wifi holds -10 ppm' 40 -10 --delay holdwifi
    pair_row .08 'wifi holds +4 ppm' 40 4 --delay holdwifi
    pair_row .45 'power save -3 ppm' 40 -3 --delay sleepwifi
    pair_row .10 'bad wifi +20 ppm' 40 20 --delay badwifi
    make_busy
    pair_row .10 "$BUSY_LOOPS busy loops" 40 $SKEW
    end_busy
}

event_rows() {
    before_sending=true before_watching=play_late
    pair_rounds 'T to a sender at work' 10 $SKEW --delay wired
    before_sending=play before_watching=true
    pair_rounds 'step of +20 ms' 35 $SKEW --delay wired --sleep-after 15 --sleep-for -0.02
    pair_rounds 'step of -20 ms' 35 $SKEW --delay wired --sleep-after 15 --sleep-for 0.02
    pair_rounds 'step of -10 s' 35 $SKEW --delay wired --sleep-after 15 --sleep-for 10
}

latency_rows() {
    pair_rounds 'latency, as shipped' 20 $SKEW -- --latency 8
    rival_prefix='setpriv --bounding-set=-sys_nice prlimit --rtprio=0'
    pair_rounds 'latency, same priority' 20 $SKEW -- --latency 8
    rival_prefix=''
}

single_rows() {
    accuracy_row $STRAINED_RMS_US 'IPv4 8 masters' 10.77.0.1 8
    accuracy_row $STRAINED_RMS_US 'IPv4 32 masters' 10.77.0.1 32
    test "$ipv6" = yes || { echo 'IPv6: none here'; return; }
    accuracy_row $QUIET_RMS_US 'IPv6 1 master' fd77::1 1
    accuracy_row $STRAINED_RMS_US 'IPv6 32 masters' fd77::1 32
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

memory_kb() { # PID
    awk '$1 == "Pss:" { print $2 }' "/proc/$1/smaps_rollup"
}

cost_head() {
    echo
    echo 'CPU is user and system time per packet received, the sending of Delay_Reqs included, which'
    echo 'the rival does not send. PSS: memory in kB, its share of what is shared.'
    echo
    printf '%-22s%9s%12s%9s%8s%12s%8s\n' '' packets Delay_Reqs 'CPU us' 'CPU %' 'wake-ups/s' PSS
    echo 'row,round,daemon,packets,delay_reqs,cpu_us_per_packet,cpu_percent,wakeups_per_s,pss_kb' \
        >"$results/daemon-cost.csv"
}

# A line of figures.
cost_of() { # PID SECONDS BEFORE
    echo "$3 $(counters "$1") $(memory_kb "$1")" | awk -v s="$2" '{
        packets = $7 - $3; cpu = ($5 - $1) / 1000
        printf "%d,%d,%s,%.2f,%.1f,%d\n", packets, $8 - $4,
            packets ? sprintf("%.1f", cpu / packets) : "-", cpu / s / 1e4, ($6 - $2) / s, $9 }'
}

cost_print() { # NAME FILE
    medians "$2" | awk -F, -v name="$1" \
        '{ printf "%-22s%9s%12s%9s%8s%12s%8s\n", name, $1, $2, $3, $4, $5, $6 }'
}

cost_pair() { # NAME SECONDS
    before=$(counters "$daemon") rival_before=$(counters "$rival")
    sleep "$2"
    cost_of "$daemon" "$2" "$before" | tee -a "$tmp/ours" | sed "s/^/$1,$round,ours,/" \
        >>"$results/daemon-cost.csv"
    cost_of "$rival" "$2" "$rival_before" | tee -a "$tmp/theirs" |
        sed "s/^/$1,$round,$rival_name,/" >>"$results/daemon-cost.csv"
}

cost_row() { # NAME SECONDS MASTERS
    : >"$tmp/ours"
    : >"$tmp/theirs"
    for round in $(seq "$rounds"); do
        start
        if test "$3" -gt 0; then
            play
            start_masters "$3" --to 10.77.0.1 --to 10.78.0.1 --seconds $(($2 + 3))
            sleep 1.5
        fi
        cost_pair "$1" "$2"
        stop
    done
    cost_print "$1" "$tmp/ours"
    cost_print "  $rival_name" "$tmp/theirs"
}

cost_ratio() { # LIMIT NAME MASTERS
    cost_row "$2" 8 "$3"
    cpu=$(spread 3)
    printf '%22s  ratio of CPU per packet %s, at most %s\n' '' "$cpu" "$1"
    at_most "${cpu%% *}" "$1" || miss "$2: ratio of CPU $cpu, not $1"
}

cost_rows() {
    cost_row 'idle' 5 0
    wakeups=$(medians "$tmp/ours" | cut -d, -f5)
    at_most "$wakeups" $IDLE_WAKEUPS || miss "idle: $wakeups wake-ups a second"
    cost_ratio .3 '1 master' 1
    cost_ratio .4 '8 masters' 8
    cost_ratio .45 '32 masters' 32
}

# --- floods ---------------------------------------------------------------------------------------

flood_head() {
    ip route add 10.99.0.0/16 dev here
    in_there ip route add local 10.99.0.0/16 dev lo
    in_beside ip route add 10.99.0.0/16 dev here
    echo
    echo 'Datagrams from 10,000 addresses as fast as one processor sends them. Dealt with: read, or'
    echo 'dropped by the filter that the daemon gave the kernel; the others found no room.'
    echo
    printf '%-22s%12s%14s\n' '' 'sent/s' 'dealt with/s'
    echo 'row,round,daemon,sent_per_s,dealt_with_per_s' >"$results/daemon-floods.csv"
}

# Of the host of that process: datagrams read or filtered out, and those that found no room.
taken() { # PID
    awk '$1 == "Udp:" && $2 != "InDatagrams" { print $2 + $4 - $6, $6 }' "/proc/$1/net/snmp"
}

# A line: sent and dealt with, each second.
flood_of() { # ADDRESS PID KIND
    before=$(taken "$2")
    sent=$(in_there "$flood" "$1" 3 "$3")
    sleep 0.5
    echo "$before $(taken "$2") $sent" | awk '{ printf "%d,%d\n", $5 / 3, ($3 - $1) / 3 }'
}

flood_row() { # NAME KIND
    : >"$tmp/ours"
    : >"$tmp/theirs"
    for round in $(seq "$rounds"); do
        flood_of 10.77.0.1 "$daemon" "$2" | tee -a "$tmp/ours" | sed "s/^/$1,$round,ours,/"
        flood_of 10.78.0.1 "$rival" "$2" | tee -a "$tmp/theirs" | sed "s/^/$1,$round,$rival_name,/"
    done >>"$results/daemon-floods.csv"
    medians "$tmp/ours" | awk -F, -v n="$1" '{ printf "%-22s%12d%14d\n", n, $1, $2 }'
    medians "$tmp/theirs" | awk -F, -v n="  $rival_name" '{ printf "%-22s%12d%14d\n", n, $1, $2 }'
    dealt=$(spread 2)
    printf '%22s  ratio of what was dealt with %s, at least %s\n' '' "$dealt" "$FLOOD_RATIO"
    at_most "$FLOOD_RATIO" "${dealt%% *}" || miss "$1: ratio $dealt, not $FLOOD_RATIO"
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
    play
    flood_row 'junk' junk
    flood_row 'Syncs' sync
    ours=$(burst 10.77.0.1 "$daemon") theirs=$(burst 10.78.0.1 "$rival")
    echo "the largest burst of Syncs received whole: $ours, $rival_name $theirs"
    at_most "$theirs" "$ours" || miss "burst: $ours, not $theirs"
    stop
}

choose_rival
make_rival_host
echo "Beside it: $rival_name"
accuracy_head
accuracy_rows
event_rows
latency_rows
single_rows
cost_head
cost_rows
flood_head
flood_rows
echo
echo "CSV: $results/daemon-*.csv"
test $missed = 0
