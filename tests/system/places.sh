#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that the daemon works in odd places, or says what is wrong and ends: without /proc, without
# O_TMPFILE, with a small stack, without inotify, with few descriptors, with a limit of file sizes.

# Inner shells expand the text in single quotes.
# shellcheck source=tests/lib/netns.sh disable=SC2119,SC2016
. "${srcdir:-.}/tests/lib/netns.sh"
enter

object=/dev/shm/nqptp
is_root || set -- --user=root --group=root

# Starts the daemon by a shell that runs a command first.
start_after() { # COMMAND OPTION...
    command=$1
    shift
    sh -c "$command"'; exec "$0" "$@"' "$nqptp" "$@" 2>"$tmp/log" &
    daemon=$!
    eventually 10 answers
}

ends_after() { # COMMAND OPTION...
    command=$1
    shift
    status=0
    timeout 10 sh -c "$command"'; exec "$0" "$@"' "$nqptp" "$@" 2>"$tmp/log" || status=$?
}

serves() { # WHERE
    check "$1: a player of 5 finds its layout" "$player" --play 10.77.0.2 --wait 10
    eventually 5 leased
    check "$1: after that a player of 4.2 finds its layout" "$player" --generation 4.2 --play 10.77.0.2
    check "$1: the daemon is alive" alive
    stop_daemon
    is "$1: SIGTERM ends the daemon" "$status" 0
    is "$1: no file is left" "$(files)" ''
}

files() {
    (cd /dev/shm && find . -type f ! -path './test-*')
}

start_sender --to 10.77.0.1 --offset 5000

cat >"$tmp/no-proc" <<'END'
#!/bin/sh
mount -t tmpfs tmpfs /proc
exec "$@"
END
chmod 755 "$tmp/no-proc"
unshare -m "$tmp/no-proc" "$nqptp" "$@" 2>"$tmp/log" &
daemon=$!
check 'without /proc: the daemon starts' eventually 10 answers
check_not 'without /proc: inotify works' grep inotify "$tmp/log"
status=0
unshare -m "$tmp/no-proc" timeout 10 "$nqptp" "$@" 2>"$tmp/second" || status=$?
is 'without /proc: a second daemon ends with exit status 3' "$status" 3
check 'without /proc: a second daemon says that it cannot see the first' \
    grep -q 'port 319 is in use: the process that holds it is not visible from here;' "$tmp/second"
serves 'without /proc'

# The file system of /dev/shm lacks O_TMPFILE: strace makes each open of the directory fail.
if has strace && strace -o /dev/null true 2>/dev/null; then
    strace -qq -f -P /dev/shm -e trace=openat -e inject=openat:error=EOPNOTSUPP -o "$tmp/calls" \
        "$nqptp" "$@" 2>"$tmp/log" &
    strace=$!
    check 'without O_TMPFILE: the daemon starts' eventually 10 answers
    check 'without O_TMPFILE: the daemon tried to use it' grep -q 'O_TMPFILE.*INJECTED' "$tmp/calls"
    daemon=$(awk '{ print $1; exit }' "$tmp/calls")
    check 'without O_TMPFILE: a player of 5 finds its layout' "$player" --play 10.77.0.2 --wait 10
    eventually 5 leased
    check 'without O_TMPFILE: after that a player of 4.2 finds its layout' "$player" --generation 4.2 \
        --play 10.77.0.2
    kill "$daemon"
    check 'without O_TMPFILE: SIGTERM ends the daemon' wait $strace
    is 'without O_TMPFILE: no file is left' "$(files)" ''
    daemon=''
else
    skip 'without O_TMPFILE: the daemon starts' 'no strace here'
fi

check 'a stack of 64 kB: the daemon starts' start_after 'ulimit -s 64' "$@"
check 'a stack of 64 kB: --status --json works' sh -c 'ulimit -s 64; exec "$0" --status --json' "$nqptp"
serves 'a stack of 64 kB'

check 'ten descriptors and those of the ports: the daemon starts' start_after 'ulimit -n 20' "$@"
serves 'few descriptors'
ends_after 'ulimit -n 8' "$@"
check 'too few descriptors: the daemon ends with exit status 1' test "$status" = 1
check 'too few descriptors: the log has the reason' grep -q 'Too many open files' "$tmp/log"

ends_after 'ulimit -f 8' "$@"
is 'a limit of file sizes: the daemon ends with exit status 1' "$status" 1
check 'a limit of file sizes: the log has the reason' grep -q 'ulimit -f' "$tmp/log"
check 'a limit of file sizes: no object is left' test ! -e $object

# Without an instance of inotify, in a user namespace. Its root is an ordinary user outside.
if unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_inotify_instances' 2>/dev/null; then
    unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_inotify_instances; exec "$0" "$@"' "$nqptp" \
        --user=root --group=root --event-port=3190 --general-port=3200 2>"$tmp/log" &
    daemon=$!
    check 'without inotify: the daemon starts' eventually 10 answers
    check 'without inotify: a player of 5 finds its layout' "$player"
    eventually 5 grep -q inotify "$tmp/log" # The player goes on before the daemon logs it.
    is 'without inotify: the log says so once' "$(grep -c inotify "$tmp/log")" 1
    stop_daemon
else
    skip 'without inotify: the daemon starts' 'no user namespaces here'
fi

done_testing
