#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Makes each system call of the daemon and of --status fail once, in the places where strace saw it
# in a normal run. The daemon then either goes on, or ends with an exit status that the contract
# allows and a message that names the cause. It never crashes, spins, or leaves its object behind.
#
# `make check` tries one error at the first use of each call. With FAULTS=all, as `make check-faults`
# sets it, each call fails with each error that is plausible for it, at many of its uses. SANITIZED
# may name a second build of the daemon, which then takes the place of the first one, except for the
# calls that get memory: the sanitizers themselves end a process whose mmap() fails.

# shellcheck source=tests/lib/netns.sh disable=SC2119,SC2317
. "${srcdir:-.}/tests/lib/netns.sh"
need strace strace
enter "$(test "${FAULTS:-}" = all && echo 900 || echo 90)"

workers=${WORKERS:-$(test "${FAULTS:-}" = all && echo 12 || echo 6)}
sanitized=${SANITIZED:-$nqptp}
ASAN_OPTIONS=detect_leaks=0:exitcode=99
UBSAN_OPTIONS=exitcode=99:halt_on_error=1
export ASAN_OPTIONS UBSAN_OPTIONS
unset LANG LC_ALL LANGUAGE
is_root && as_user='' || as_user='--user=root --group=root'

# --- one life of the daemon -----------------------------------------------------------------------

# Starts the daemon under strace, which detaches from it when it ends by itself.
start_traced() { # STRACE-OPTION...
    # shellcheck disable=SC2086 # a list of options
    strace -D -qq -o "$tmp/calls" "$@" "$subject" $as_user 2>"$tmp/log" &
    daemon=$!
}

gone() {
    ! kill -0 "$daemon" 2>/dev/null
}

answers_or_gone() {
    gone || answers
}

# Clock ticks that the daemon took.
cpu() {
    awk '{ print $14 + $15 }' "/proc/$daemon/stat" 2>/dev/null || echo 0
}

# A player of 5, a player that takes the mutex, a second client, an interface that changes.
use() {
    "$player" --play 10.77.0.2 --wait 3 >"$tmp/played" 2>&1 || served=no
    "$player" --generation 4.1 --play 10.77.0.2 --wait 3 >>"$tmp/played" 2>&1 || served=no
    "$reader" --command '/other T 10.77.0.3'
    ip addr add 10.77.0.9/24 dev here
    ip addr del 10.77.0.9/24 dev here
    eventually 1 answers_or_gone
}

# Leaves: status, ended (the daemon ended by itself), served, ticks.
life() { # fresh|again STRACE-OPTION...
    ended=no served=yes ticks=0 status=0
    rm -rf /dev/shm/nqptp /dev/shm/other /dev/shm/.nqptp* /dev/shm/.other*
    test "$1" = fresh || cp -a "$tmp/kept/nqptp" "$tmp/kept/other" /dev/shm
    begin=$1
    shift
    start_traced "$@"
    if ! eventually 2 answers_or_gone; then
        served=no
    elif ! gone && test "$begin" = fresh; then
        use
    fi
    ticks=$(cpu)
    if gone; then ended=yes; else kill "$daemon"; fi
    eventually 2 gone || { kill -KILL "$daemon"; served=no; }
    wait "$daemon" || status=$?
}

# Objects that an earlier process left, for the lives that begin with them.
keep_objects() {
    subject=$nqptp
    mkdir "$tmp/kept"
    # shellcheck disable=SC2086 # a list of options
    "$nqptp" $as_user 2>"$tmp/log" &
    daemon=$!
    eventually 10 answers
    "$player" --play 10.77.0.2 --wait 3 >"$tmp/played" 2>&1
    "$reader" --command '/other T 10.77.0.3'
    answers
    stop_daemon USR1
    mv /dev/shm/nqptp /dev/shm/other "$tmp/kept"
}

# --- one fault ------------------------------------------------------------------------------------

wrong() { # WHAT
    printf 'wrong %s %s %s: %s %s: %s\n' "$call" "$error" "$nth" "$kind" "$1" \
        "$(tail -n 1 "$tmp/log" | cut -c 1-200)"
}

# Succeeds if the daemon's log names the error, in the words of the C library or in our own.
names_cause() {
    said=$(sed -n 's/.*-1 E[A-Z]* (\(.*\)) (INJECTED).*/\1/p' "$tmp/calls" | head -n 1)
    grep -qF -e "$said" "$tmp/log" && return
    case $error in
    EACCES | EPERM) grep -qE 'permission|forbidden|not allowed' "$tmp/log" ;;
    EADDRINUSE) grep -q 'in use' "$tmp/log" ;;
    EADDRNOTAVAIL) grep -q 'no loopback address' "$tmp/log" ;;
    ENOSPC | EDQUOT) grep -q 'full' "$tmp/log" ;;
    ENOMEM) grep -q 'out of memory' "$tmp/log" ;;
    *) false ;;
    esac
}

may_end_so() {
    case $status-$error in
    1-* | 3-EADDRINUSE | 4-EACCES | 4-EPERM) true ;;
    *) false ;;
    esac
}

left() {
    find /dev/shm -mindepth 1 -maxdepth 1 ! -name 'test-*'
}

# Succeeds if the daemon serves, or says that it cannot.
is_told() {
    grep -qE '(warning|error): ' "$tmp/log"
}

# Succeeds if the fault cannot happen: the machine lacks the family, or the kernel gives no error there.
is_absurd() {
    case $error in
    EAFNOSUPPORT | EADDRNOTAVAIL) return 0 ;;
    esac
    grep INJECTED "$tmp/calls" | grep -qE 'F_GETLEASE|F_UNLCK'
}

judge() {
    grep -qE 'Sanitizer|runtime error' "$tmp/log" && wrong 'a sanitizer reports'
    test "$ticks" -le 50 || wrong "$ticks clock ticks of a processor"
    if test $ended = yes; then
        may_end_so || wrong "it ends with status $status"
        names_cause || wrong 'it ends without the cause'
    else
        test "$status" = 0 || wrong "the signal ends it with status $status"
        test $served = yes || is_told || is_absurd || wrong 'it runs but does not serve'
    fi
    test "$kind" = again || test "$(left)" = '' || grep -q 'cannot be removed' "$tmp/log" ||
        wrong "it leaves $(left | tr '\n' ' ')"
}

judge_status() { # STATUS
    grep -qE 'Sanitizer|runtime error' "$tmp/errors" && wrong 'a sanitizer reports'
    test "$1" -le 1 || wrong "--status ends with status $1"
    test -s "$tmp/said" || test -s "$tmp/errors" || test "$call" = write || wrong '--status says nothing'
}

# Tries the fault of $kind, $build, $call, $error and $nth.
try() {
    subject=$sanitized
    test "$build" = sanitized || subject=$nqptp
    set -- --seccomp-bpf -f -e "trace=$call" -e "inject=$call:error=$error:when=$nth"
    case $kind in
    fresh | again)
        life "$kind" "$@"
        test $served = yes || test $ended = yes || life "$kind" "$@" # a busy machine
        judge
        ;;
    *)
        set -- "$@" "$subject" --status
        test "$kind" = answered || set -- "$@" --control-port=9009
        got=0
        timeout 20 strace -qq -o "$tmp/calls" "$@" >"$tmp/said" 2>"$tmp/errors" || got=$?
        judge_status $got
        ;;
    esac
    ! grep -q INJECTED "$tmp/calls" || echo "failed $call"
}

# --- the list of faults ---------------------------------------------------------------------------

# The errors that the kernel may plausibly give. It gives none to lseek() in an open file, and the C
# library, which looks up users with it, does not tell one from a user that does not exist. Which of
# them it gives to futex() depends on the operation, and at another one the C library aborts.
errors_of() { # CALL
    case $1 in
    exit* | execve | get*id | rt_sig* | restart_syscall | rseq | set_*list | *lseek | futex) ;;
    mmap | mmap2 | brk | munmap | mprotect | mremap | madvise) echo ENOMEM ;;
    open*) echo EMFILE ENFILE ENOMEM EACCES EINTR EIO ENOSPC ;;
    socket) echo EMFILE ENFILE ENOMEM EACCES EAFNOSUPPORT ENOBUFS ;;
    epoll_create1 | signalfd* | timerfd_create | inotify_init1) echo EMFILE ENFILE ENOMEM ;;
    *stat* | *access* | getdents64) echo ENOMEM EACCES EIO ;;
    *read* | recv* | poll | ppoll | epoll_*wait*) echo EIO EINTR EAGAIN ENOMEM ;;
    rename* | link*) echo ENOSPC EINTR EIO EPERM EEXIST EDQUOT ;;
    *write* | *unlink* | fallocate | ftruncate* | fch*) echo ENOSPC EINTR EIO EPERM EDQUOT ;;
    send* | connect) echo EPERM EINTR EAGAIN ENOBUFS ENETUNREACH ECONNREFUSED ;;
    bind | *sockopt | *sockname) echo EADDRINUSE EADDRNOTAVAIL EACCES ENOMEM ENOPROTOOPT EPERM ;;
    fcntl*) echo ENOMEM ;;
    inotify_add_watch | epoll_ctl) echo ENOSPC ENOMEM EACCES ;;
    *) echo EPERM EAGAIN ENOMEM EINTR EIO ;;
    esac
}

gets_memory() { # CALL
    case $1 in
    mmap | mmap2 | brk | munmap | mprotect | mremap | madvise) true ;;
    *) false ;;
    esac
}

# The uses of each call in a trace: "CALL FIRST LAST". What the loader and the sanitizers do before
# main() is not ours; the first socket is what the daemon itself opens.
uses() { # TRACE
    sed -n 's/^\([0-9]* *\)\{0,1\}\([a-z_0-9]*\)(.*/\2/p' "$1" | awk '
        $1 == "socket" { begun = 1 }
        { count[$1]++ }
        begun && !($1 in first) { first[$1] = count[$1] }
        END { for (call in first) print call, first[call], count[call] }' | sort
}

# The first twelve of our uses, then ever fewer; only the first one for `make check`.
places() { # FIRST LAST
    test "${FAULTS:-}" = all || { echo "$1"; return; }
    awk -v first="$1" -v last="$2" 'BEGIN {
        for (n = first; n <= last; n += n - first < 12 ? 1 : int((n - first) / 3)) print n }'
}

faults_of() { # KIND BUILD
    uses "$tmp/trace" | while read -r call first last; do
        if gets_memory "$call"; then test "$2" = plain; else test "$2" = sanitized; fi || continue
        for nth in $(places "$first" "$last"); do
            for error in $(errors_of "$call"); do
                echo "$1 $2 $call $error $nth"
                test "${FAULTS:-}" = all || break
            done
        done
    done
}

# Counts the lines that complain. Not every machine has a user or a group nqptp.
complaints() {
    grep -E 'Sanitizer|warning:' "$tmp/log" | grep -vcE 'no (user|group) nqptp'
}

list_faults() {
    for build in plain sanitized; do
        subject=$sanitized
        test $build = sanitized || subject=$nqptp
        for kind in fresh again; do
            life $kind
            check "$kind, $build: the daemon serves when nothing fails" \
                test "$ended$served$status$(complaints)" = noyes00
            cp "$tmp/calls" "$tmp/trace"
            faults_of $kind $build >>"$tmp/faults"
        done
        start_daemon
        strace -qq -o "$tmp/trace" "$subject" --status >"$tmp/said" 2>&1
        faults_of answered $build >>"$tmp/faults"
        cp "$tmp/trace" "$tmp/status-trace"
        strace -qq -o "$tmp/trace" "$subject" --status --control-port=9009 >"$tmp/said" 2>&1
        faults_of unanswered $build >>"$tmp/faults"
        cat "$tmp/trace" >>"$tmp/status-trace"
        stop_daemon
    done
}

# What --status must not do: run a program, open a port, open the object.
forbidden() {
    grep -E '^(execve|fork|vfork|clone|bind\(.*AF_INET|open.*/dev/shm/nqptp)' "$tmp/status-trace" |
        grep -v "^execve(\"$subject\""
}

# --- workers --------------------------------------------------------------------------------------

# Reads faults and tries each, in a network and with a /dev/shm of its own.
work() {
    running=no
    while read -r kind build call error nth; do
        case $kind-$running in
        *answered-no) start_daemon && running=yes ;;
        esac
        try
    done
}

# Those of --status come last: the worker's daemon then runs beside them.
share_of() { # WORKER
    { grep -v answered "$tmp/faults"; grep answered "$tmp/faults"; } |
        awk -v n="$1" -v of="$workers" 'NR % of == n - 1'
}

start_sender --to 10.77.0.1 --rate 32
keep_objects
if test "${1:-}" = worker; then
    work
    exit
fi

list_faults
check_not '--status runs no program, opens no port and not the object' forbidden
for n in $(seq "$workers"); do
    share_of "$n" | unshare -nm sh "$0" worker >"$tmp/results.$n" 2>&1 &
    working="${working:-} $!"
done
for one in $working; do
    wait "$one"
done
cat "$tmp"/results.* >"$tmp/results"
test -z "${RESULTS:-}" || cp "$tmp/results" "$RESULTS"

none_wrong() { # CALL
    ! grep "^wrong $1 " "$tmp/results"
}

echo "# $(wc -l <"$tmp/faults") faults, of which $(grep -c '^failed ' "$tmp/results") came"
cut -d ' ' -f 3 "$tmp/faults" | sort -u >"$tmp/names"
while read -r call; do
    check "$call fails ($(grep -c "^failed $call\$" "$tmp/results") times): borne, or said" \
        none_wrong "$call"
done <"$tmp/names"
check 'the workers say nothing else' test "$(grep -vE '^(failed|wrong) ' "$tmp/results")" = ''
done_testing
