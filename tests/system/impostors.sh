#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that --status names the true holder of a port, and prints commands that are safe to paste,
# whatever name, arguments and control group a process has.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter 120

set --
is_root || set -- --user=root --group=root

start_holder() {
    "$sender" --low-ports --to 10.77.0.2 >"$tmp/holder" 2>&1 &
    holder=$!
    eventually 5 low_ports_taken
}

stop() { # PID
    kill "$1"
    wait "$1" 2>/dev/null
}

report() {
    run_as "$nqptp" --status
}

steps() {
    sed -n '/^Next/,$p' "$tmp/stderr" | sed '1d; s/^ *//'
}

is_plain() {
    LC_ALL=C tr -d '\n -~' <"$tmp/stderr" | cmp -s - /dev/null
}

is_right() { # NAME
    report
    check "$1: the true holder of port 319 is named, and not as the service" \
        grep -qx "  port 319  *held by \"ptp-sender\" (pid $holder)" "$tmp/stderr"
    check "$1: the output has only printable ASCII" is_plain
    is "$1: the output has the expected steps" "$(steps)" "systemctl status $holder
systemctl status nqptp
journalctl -u nqptp -n 20
systemctl restart nqptp
shairport-sync -V"
}

# The machine may have systemd or not. Here it seems to have.
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system

check 'a program takes the ports' start_holder
is_right 'a holder without tricks'

# --- names and arguments ---

cp "$nqptp" "$tmp/nqptp"
"$tmp/nqptp" "$@" --control-port=7 --event-port=10319 --general-port=10320 2>"$tmp/log" &
impostor=$!
check 'a process nqptp --control-port=7 runs beside the holder' \
    eventually 5 grep -q ':0007 ' /proc/net/udp
is_right 'a process nqptp --control-port=7 beside the holder'
stop "$holder"
stop "$impostor"
"$tmp/nqptp" "$@" --control-port=7 2>"$tmp/log" &
impostor=$!
check 'a process nqptp --control-port=7 takes the ports' eventually 5 low_ports_taken
report
check 'a process nqptp --control-port=7 that holds port 319 is named, and not as the service' \
    grep -qx "  port 319  *held by \"nqptp\" (pid $impostor)" "$tmp/stderr"
stop "$impostor"

# --- control groups ---

top=$tmp/groups service=system.slice/nqptp.service
mine=nqptp-test-$(od -An -N4 -tx4 /dev/urandom | tr -d " ")
mkdir "$top"

# Has the holder in the control group while --status looks.
in_group() { # NAME GROUP
    if mkdir -p "$top/$2" && echo "$holder" >"$top/$2/cgroup.procs"; then
        is_right "$1"
        echo "$holder" >"$top/cgroup.procs"
    else
        not_ok "$1: the control group is made"
    fi
    (cd "$top" && rmdir -p "$2")
}

repeat() { # COUNT TEXT
    i=0
    while test $i -lt "$1"; do
        printf '%s' "$2"
        i=$((i + 1))
    done
}

# A group in whose line the text "0::/" and the service's group follow after that many bytes, which
# a reader with a buffer of that size may take for a line. The line begins with a prefix.
late_service() { # SIZE PREFIX
    left=$(($1 - 1 - ${#2} - ${#mine} - 1))
    printf '%s/%s%s/0::/%s' "$mine" "$(repeat $((left / 200)) "$(repeat 199 a)/")" \
        "$(repeat $((left % 200 - 1)) b)" "$service"
}

late_services() { # KIND PREFIX
    for size in 128 256 512 1024 2048; do
        in_group "$1: a control group that has that of the service after $size bytes" \
            "$(late_service $size "$2")"
    done
}

if is_root && mount -t cgroup2 cgroup2 "$top" 2>"$tmp/said"; then
    check 'the program takes the ports again' start_holder
    in_group 'a control group named like a command' "$mine'; touch PWNED; echo '/x.service"
    in_group 'a control group with ESC and BEL' "$mine$(printf '\033[2J\007')/x.service"
    in_group 'a control group that ends like that of the service' "$mine/$service"
    in_group 'a control group that begins like that of the service' "$service-$mine"
    in_group 'a control group of 4,000 bytes' \
        "$mine/$(repeat 15 "$(repeat 255 a)/")$(repeat 120 b)"
    late_services 'version 2' '0::/'
    check_not 'a control group with a newline: the kernel makes none' \
        mkdir "$top/$(printf '%s\nx' "$mine")"
    check_not 'no name was executed' test -e PWNED
    stop "$holder"
    umount "$top"
else
    skip 'names of control groups' "it takes root and cgroup v2: $(cat "$tmp/said")"
fi

# In version 1 the kernel lists the groups of each hierarchy before that of version 2.
if is_root && mount -t cgroup -o none,name=systemd cgroup "$top" 2>"$tmp/said"; then
    check 'the program takes the ports for version 1' start_holder
    in_group 'version 1: a control group named like a command' "$mine'; touch PWNED; echo '/x"
    late_services 'version 1' "$(sed -n 's/^\([0-9]*:name=systemd:\).*/\1/p' /proc/self/cgroup)/"
    stop "$holder"
    umount "$top"
else
    skip 'version 1: names of control groups' "it takes root and cgroup v1: $(cat "$tmp/said")"
fi

done_testing
