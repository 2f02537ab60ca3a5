#!/bin/sh
# SPDX-License-Identifier: MIT
#
# One daemon, through everything that happens to it in a home in months: clocks come, go, sleep,
# step and move to another address, interfaces appear and vanish, the network fails, addresses of
# this machine change, players of all generations come, go and are killed, others flood it, the daemon
# stands still. Descriptors, memory, log lines and the error against the senders' true time have limits
# all the time. At the end it prints a table, and exits with 1 if any limit was broken. What happens is
# pseudo-random by a seed, which it prints. Not part of "make check".
#
#     make soak MINUTES=30 [SEED=7]        as root or not

# The limits: descriptors beyond those at the start, as each player's name keeps an object open as long
# as the daemon lives; memory beyond that after WARM_UP, in kB.
FDS_GROWTH=4
RSS_GROWTH=256
DATA_GROWTH=132
LOG_LINES=30 # a minute
WARM_UP=60   # seconds
SETTLED=10   # seconds from a clock's start, step or return until it is to be right

: "${MINUTES:=1}" "${SEED:=$(date +%s)}"
export MINUTES SEED

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"

die() { # WHY
    echo "soak: $1" >&2
    exit 1
}

skip_all() { # WHY
    die "$1"
}

need awk mawk
enter $((MINUTES * 60 + 120))
watcher=$build/tests/soak/soak-watch

faults=0
fault() { # WHAT
    faults=$((faults + 1))
    test $faults -gt 20 || echo "broken after $(seconds) s: $1"
}

seconds() {
    echo $(($(date +%s) - began))
}

# Leaves in $random a number of 0 to N - 1. The low bits of the generator are the least random.
state=$((SEED % 2147483648))
roll() { # N
    state=$(((state * 1103515245 + 12345) % 2147483648))
    random=$((state / 65536 % $1))
}

# --- clocks ---------------------------------------------------------------------------------------

# Eight clocks: 0 to 5 on the link that is always there, 6 and 7 each on a link of its own. Each has a
# file with its address, its true offset, the pid of its sender while that runs, and, for the watcher,
# since when it has been present or absent.
CLOCKS='0 1 2 3 4 5 6 7'
listed=$CLOCKS

clock_identity() { # CLOCK
    echo "98698aaf9c95010$1"
}

# Its special options, and by how many ns it may err: one-way timing cannot know the min delay of the
# stream, so that is allowed.
clock_manner() { # CLOCK
    case $1 in
    0) options='--serve-muted 15' skew=0 bound=500000 ;;
    1) options='--correction 1450000' skew=0 bound=500000 ;;
    2) options='--delay wired' skew=12 bound=1000000 ;;
    3) options='--delay wifi' skew=-20 bound=6000000 ;;
    4) options='--reorder --duplicate' skew=40 bound=500000 ;;
    5) options='--delay badwifi' skew=0 bound=30000000 ;;
    *) options='--one-step' skew=0 bound=500000 ;;
    esac
}

clock_destination() { # CLOCK
    case $1:$(cat "$tmp/address$1") in
    6:*) echo '224.0.1.129 --interface there6' ;;
    7:*) echo 'ff0e::181 --interface there7' ;;
    *::*) echo fd77::1 ;;
    *) echo 10.77.0.1 ;;
    esac
}

clock_link() { # CLOCK
    if test "$1" -lt 6; then echo here; else echo "here$1"; fi
}

is_running() { # CLOCK
    test -e "$tmp/pid$1"
}

is_listed() { # CLOCK
    case " $listed " in *" $1 "*) ;; *) return 1 ;; esac
}

# After some seconds it has to be right, if it can be heard and may be master.
present() { # CLOCK
    if is_running "$1" && is_listed "$1" && test -e "$tmp/up-$(clock_link "$1")"; then
        echo "$(($("$reader" --now) + SETTLED * 1000000000)) 1" >"$tmp/present$1"
    fi
}

absent() { # CLOCK
    echo "$("$reader" --now) 0" >"$tmp/present$1"
}

is_present() { # CLOCK
    grep -q ' 1$' "$tmp/present$1"
}

write_truths() {
    for one in $CLOCKS; do
        clock_manner "$one"
        echo "$(clock_identity "$one") $(cat "$tmp/truth$one") $skew $(cat "$tmp/present$one") $bound"
    done >"$tmp/truths.new"
    mv "$tmp/truths.new" "$tmp/truths"
}

# The watcher is told first: a clock may be master a moment after its start.
start_clock() { # CLOCK
    : >"$tmp/pid$1"
    present "$1"
    write_truths
    clock_manner "$1"
    # shellcheck disable=SC2046,SC2086 # lists of options
    start_sender --to $(clock_destination "$1") --from "$(cat "$tmp/address$1")" --low-ports \
        --identity "$(clock_identity "$1")" --offset "$(cat "$tmp/truth$1")" --skew "$skew" \
        --priority1 $((100 + $1)) --seed $((SEED % 10000 + $1)) $options
    echo "$last_sender" >"$tmp/pid$1"
}

stop_clock() { # CLOCK
    absent "$1"
    write_truths
    kill -KILL "$(cat "$tmp/pid$1")"
    wait "$(cat "$tmp/pid$1")" 2>/dev/null
    rm "$tmp/pid$1"
}

# Stops the clock, runs the command, and starts the clock again if it ran before.
without_clock() { # CLOCK COMMAND...
    was_running=$1
    is_running "$1" && stop_clock "$1" || was_running=''
    shift
    "$@"
    test -z "$was_running" || start_clock "$was_running"
}

set_truth() { # CLOCK NS-MORE
    echo $(($(cat "$tmp/truth$1") + $2)) >"$tmp/truth$1"
}

# Tells the daemon which clocks may be master for the object that is watched, the first choice first.
send_list() {
    addresses=''
    for one in $listed; do
        addresses="$addresses $(cat "$tmp/address$one")"
    done
    control "/soak T$addresses" || fault 'no answer to ?'
}

# --- the network ----------------------------------------------------------------------------------

add_there() { # ADDRESS
    case $1 in
    *:*) in_there ip addr add "$1/64" dev there nodad ;;
    *) in_there ip addr add "$1/24" dev there ;;
    esac || die "no address $1"
}

del_there() { # ADDRESS
    case $1 in
    *:*) in_there ip addr del "$1/64" dev there ;;
    *) in_there ip addr del "$1/24" dev there ;;
    esac
}

add_link() { # CLOCK
    ip link add "here$1" type veth peer name "there$1" netns "$there" || die "no interface here$1"
    ip addr add "10.78.$1.1/24" dev "here$1"
    in_there ip addr add "10.78.$1.2/24" dev "there$1"
    ip addr add "fd78:$1::1/64" dev "here$1" nodad
    in_there ip addr add "fd78:$1::2/64" dev "there$1" nodad
    ip link set "here$1" up
    in_there ip link set "there$1" up
    : >"$tmp/up-here$1"
}

# IPv6 addresses do not outlive a link that goes down.
link_up() {
    : >"$tmp/up-here"
    for clock in 0 1 2 3 4 5; do
        present $clock
    done
    write_truths
    ip link set here up
    ip addr replace fd77::1/64 dev here nodad
    ip addr replace fe80::1/64 dev here nodad
}

# --- what happens ---------------------------------------------------------------------------------

happens_start_or_stop() {
    roll 6
    if is_running "$random"; then
        stop_clock "$random"
    else
        start_clock "$random"
    fi
}

# A clock's time jumps, from 20 ms to 200 s, either way.
happens_step() {
    roll 6
    clock=$random
    roll 5
    case $random in
    0) size=20000000 ;;
    1) size=100000000 ;;
    2) size=-50000000 ;;
    3) size=-700000000 ;;
    4) size=200000000000 ;;
    esac
    without_clock "$clock" set_truth "$clock" "$size"
}

# A clock falls silent for some seconds, in which its time goes on, or stands still.
happens_sleep() {
    roll 6
    clock=$random
    roll 2
    stood_still=$random
    roll 9
    without_clock "$clock" sleep "$random"
    test $stood_still = 0 || without_clock "$clock" set_truth "$clock" -"$random"000000000
}

# A clock gets another address, and the client learns of it.
happens_move() {
    roll 6
    clock=$random
    roll 30
    without_clock "$clock" move "$clock" "$random"
    send_list
}

move() { # CLOCK NUMBER
    old=$(cat "$tmp/address$1")
    case $old in
    *:*) new=fd77::$1:$((1 + $2)) ;;
    *) new=10.77.0.$((20 + 30 * $1 + $2)) ;;
    esac
    test "$new" != "$old" || return
    del_there "$old"
    add_there "$new"
    echo "$new" >"$tmp/address$1"
}

# An interface vanishes with the clock on it, or appears and brings one.
happens_interface() {
    roll 2
    clock=$((6 + random))
    if is_running $clock; then
        absent $clock
        write_truths
        rm "$tmp/up-here$clock"
        ip link del "here$clock"
        stop_clock $clock
    else
        add_link $clock
        start_clock $clock
    fi
}

# The network is gone for some seconds.
happens_outage() {
    rm "$tmp/up-here"
    for clock in 0 1 2 3 4 5; do
        absent $clock
    done
    write_truths
    ip link set here down
    roll 6
    sleep "$random"
    link_up
}

# This host gets one more address of each family, or loses it.
happens_address() {
    roll 3
    for address in "10.77.0.$((250 + random))/24" "fd77::a:$random/64"; do
        ip addr del "$address" dev here 2>/dev/null || ip addr add "$address" dev here
    done
}

# The client lists six clocks, in another order. Clock 0, which stops serving receivers that send
# nothing, is always among them: without a request it would never be heard again.
happens_list() {
    roll 8
    first=$random
    roll 6
    left_out=$((1 + random))
    listed=''
    for i in $CLOCKS; do
        clock=$(((first + i) % 8))
        test $clock = $left_out || test $clock = $((left_out + 1)) || listed="$listed $clock"
    done
    for clock in $CLOCKS; do
        if ! is_listed "$clock"; then
            absent "$clock"
        elif ! is_present "$clock"; then
            present "$clock"
        fi
    done
    write_truths
    send_list
}

# A player comes, with an object of its own or for the common object. Only one player at a time uses
# the common one: they may be of different generations, and then half a minute has to pass between
# them. Some players are killed while they play.
happens_player() {
    roll 6
    name=$random
    roll 4
    generation=$(echo 2021 4.1 4.2 5 | cut -d ' ' -f $((1 + random)))
    set -- --generation "$generation"
    if test "$name" -lt 4; then
        set -- --generation 5 --name "/player$name"
    else
        name=common
    fi
    test ! -e "$tmp/player-$name" || return
    roll 8
    set -- "$@" --play "$(cat "$tmp/address$random")" --wait 5 --may-vanish --interval 0.01
    roll 10
    set -- "$@" --watch $((1 + random))
    roll 4
    : >"$tmp/player-$name"
    player_runs "$name" "$random" "$@" &
}

# Status 7, waited in vain, is fine, for its clock may be away. So is a killed player.
player_runs() { # NAME WHETHER-0 OPTION...
    name=$1 kills=$2
    shift 2
    timeout -s KILL "$(test "$kills" = 0 && echo 3 || echo 60)" "$player" "$@" >"$tmp/said-$name" 2>&1
    status=$?
    echo "player: exit status $status" >>"$tmp/happened"
    case $status:$kills in
    0:* | 7:* | 137:0) ;;
    *) echo "player $*: status $status: $(tr '\n' ' ' <"$tmp/said-$name")" >>"$tmp/players-faults" ;;
    esac
    test "$name" != common || sleep 35
    rm -f "$tmp/player-$name"
}

# Other machines send: each as a better clock than all before, or random bytes.
happens_strangers() {
    roll 2
    shout "$(test "$random" = 0 && echo flood || echo junk)"
}

shout() { # MODE
    timeout 5 nsenter -t "$there" -n "$sender" --to 10.77.0.1 --from 10.77.0.2 --mode "$1" \
        --count 300 --rate 1000 --seed "$SEED" >/dev/null 2>&1
}

# The daemon stands still, as with a machine that is suspended or too busy.
happens_freeze() {
    kill -STOP "$daemon"
    sleep 1.5 # shorter than the 2 s after which packets are dropped
    kill -CONT "$daemon"
}

happen() {
    roll 21
    case $random in
    0 | 1 | 2) what=start_or_stop ;;
    3 | 4) what=step ;;
    5 | 6) what='sleep' ;;
    7 | 8) what=move ;;
    9 | 10) what=interface ;;
    11) what=outage ;;
    12 | 13) what=address ;;
    14 | 15) what=list ;;
    16 | 17 | 18) what=player ;;
    19) what=strangers ;;
    20) what=freeze ;;
    esac
    echo "$what" >>"$tmp/happened"
    echo "at $(seconds) s: $what" >>"$tmp/diary"
    "happens_$what"
    write_truths
}

# --- bounds ---------------------------------------------------------------------------------------

# Leaves descriptors in $fds, kB in $rss and $data, lines logged in $lines.
read_sizes() {
    fds=$(find "/proc/$daemon/fd" -mindepth 1 | wc -l)
    rss=$(awk '$1 == "VmRSS:" { print $2 }' "/proc/$daemon/status")
    data=$(awk '$1 == "VmData:" { print $2 }' "/proc/$daemon/status")
    lines=$(wc -l <"$tmp/log")
}

within() { # NAME VALUE BOUND
    test "$2" -le "$3" || fault "$1: $2, more than $3"
}

most() { # VALUE VALUE
    if test "$1" -gt "$2"; then echo "$1"; else echo "$2"; fi
}

judge_sizes() {
    kill -0 "$daemon" 2>/dev/null || die "the daemon is gone after $(seconds) s: $(tail "$tmp/log")"
    read_sizes
    if test "$(seconds)" -lt $WARM_UP || test -z "$rss_0"; then
        rss_0=$rss data_0=$data
    fi
    fds_most=$(most "$fds" "$fds_most")
    rss_most=$(most "$rss" "$rss_most")
    data_most=$(most "$data" "$data_most")
    within 'descriptors' "$fds" $((fds_0 + FDS_GROWTH))
    within 'kB of VmRSS' "$rss" $((rss_0 + RSS_GROWTH))
    within 'kB of VmData' "$data" $((data_0 + DATA_GROWTH))
    within 'lines logged' "$lines" $((LOG_LINES * (1 + $(seconds) / 60)))
    if test -e "$tmp/players-faults"; then
        fault "$(cat "$tmp/players-faults")"
        rm "$tmp/players-faults"
    fi
}

# Prints what the watcher found last, the events before it, and the state now.
tell_faults() {
    found=$(grep -c ^broken "$tmp/watched")
    test "$found" -gt "$told" || return
    told=$found
    grep ^broken "$tmp/watched" | tail -n 1
    tail -n 8 "$tmp/diary"
    cat "$tmp/truths"
    answers
    cat "$tmp/status"
}

# --- the whole ------------------------------------------------------------------------------------

begin() {
    test "$ipv6" = yes || die 'it needs IPv6'
    began=$(date +%s)
    for clock in $CLOCKS; do
        case $clock in
        6) address=10.78.6.2 ;;
        7) address=fd78:7::2 ;;
        1 | 3 | 5) address=fd77::$clock:0 ;;
        *) address=10.77.0.$((20 + 30 * clock)) ;;
        esac
        echo "$address" >"$tmp/address$clock"
        echo $(((clock + 1) * 7777777777777)) >"$tmp/truth$clock"
        absent "$clock"
        test "$clock" -ge 6 || add_there "$address"
    done
    write_truths
    : >"$tmp/up-here"
    # shellcheck disable=SC2119
    start_daemon
    send_list
    eventually 5 test -e /dev/shm/soak || die 'there is no object /soak'
    kill -STOP "$daemon" # so that all its room is used once before its size is taken
    shout flood
    shout junk
    kill -CONT "$daemon"
    "$watcher" /soak "$tmp/truths" >"$tmp/watched" 2>&1 &
    watching=$! told=0
    read_sizes
    fds_0=$fds fds_most=$fds rss_0='' rss_most=0 data_most=0
    for clock in 0 1 2 3 4 5; do
        start_clock $clock
    done
    write_truths
}

end() {
    kill "$watching"
    wait "$watching" || faults=$((faults + 1))
    cat "$tmp/watched"
    cpu=$(awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) / hz }' "/proc/$daemon/stat")
    echo
    printf '%-24s%10s%10s%10s\n' '' 'at first' most 'at last'
    printf '%-24s%10s%10s%10s\n' descriptors "$fds_0" "$fds_most" "$fds" \
        'VmRSS, kB' "$rss_0" "$rss_most" "$rss" 'VmData, kB' "$data_0" "$data_most" "$data" \
        'lines logged' 0 "$lines" "$lines"
    printf '%-24s%10s %%\n' processor "$(awk "BEGIN { printf \"%.2f\", 100 * $cpu / $(seconds) }")"
    echo
    sort "$tmp/happened" | uniq -c
    stop_daemon TERM
    test "$status" = 0 || fault "exit status $status"
    for object in nqptp soak player0; do
        test ! -e "/dev/shm/$object" || fault "/dev/shm/$object is left"
    done
    sort "$tmp/log" | uniq -c | sort -rn | head -n 20 | sed 's/^/log: /'
    echo "seed $SEED, $(seconds) s, $faults faults"
}

echo "seed $SEED, $MINUTES minutes"
begin
while test "$(seconds)" -lt $((MINUTES * 60)); do
    happen
    roll 70
    sleep "$((random / 10)).$((random % 10))"
    judge_sizes
    tell_faults
done
end
test $faults = 0
