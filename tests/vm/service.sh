#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that the kernel enforces what the unit denies: other ports, other system calls, more memory,
# more processes. In a container the kernel may not enforce all of it, so this test runs only in a
# machine of machine.sh, under systemd.

# shellcheck source=tests/lib/tap.sh
. ./tests/lib/tap.sh
[ -d /run/systemd/system ] || skip_all 'no systemd here'
work=$(mktemp -d)
nqptp=$(sed -n 's/^ExecStart=//p' /etc/systemd/system/nqptp.service)
drop_in=/run/systemd/system/nqptp.service.d/test.conf
mkdir -p "${drop_in%/*}"

# Starts the service with other settings. said() looks at the journal from then on.
start() { # SETTING...
    systemctl stop nqptp
    {
        echo '[Service]'
        printf '%s\n' "$@"
    } >"$drop_in"
    systemctl daemon-reload
    journalctl --rotate -q && journalctl --vacuum-time=1s -q
    timeout 60 systemctl start nqptp
}

# The same with a command in the place of the daemon, which ends as WORDS of `systemctl show` say.
runs() { # COMMAND
    start Type=oneshot Restart=no ExecStartPre= ExecStart= "ExecStart=$1"
}

said() { # REGULAR-EXPRESSION
    journalctl -q -u nqptp -o cat | grep -- "$1"
}

result_is() { # RESULT
    [ "$(systemctl show -P Result nqptp)" = "$1" ]
}

check "the service starts: it may bind ports 319, 320 and 9000" start
check "the service answers --status" eventually 10 "$nqptp" --status
is "the service runs as user nqptp" "$(stat -c %U "/proc/$(systemctl show -P MainPID nqptp)")" nqptp

if systemctl --version | grep -q '+BPF_FRAMEWORK'; then
    check_not "the service may not bind port 321" start ExecStart= "ExecStart=$nqptp --event-port=321"
    check "the message names the port and the setting" said 'UDP port 321 .*SocketBindAllow=udp:321'
    check "a service that may not bind port 321 ends with exit status 4" [ "$(systemctl show -P ExecMainStatus nqptp)" = 4 ]
    check "with SocketBindAllow= the service may bind port 321" start SocketBindAllow=udp:321 ExecStart= "ExecStart=$nqptp --event-port=321"
else
    skip "the service may not bind port 321" "this systemd is built without BPF"
fi

check "a command of the unit runs" runs '/usr/bin/sh -c "exit 0"'
check_not "mount(2) is refused" runs '/usr/bin/mount -t tmpfs none /tmp'
check_not "chown(2) is refused" runs '/usr/bin/chown nqptp /tmp/.'
check_not "unshare(2) is refused" runs '/usr/bin/unshare -U true'
check_not "more memory than 32 MB is refused" runs '/usr/bin/tail /dev/zero'
check "more memory than 32 MB: the kernel ended the process" result_is oom-kill
check_not "more than four processes are refused" \
    runs '/usr/bin/sh -c "sleep 9 & sleep 9 & sleep 9 & sleep 9 & wait"'
check "more than four processes: the message of fork(2) is logged" said 'fork\|Resource temporarily unavailable'
rm "$drop_in"
check "the service starts again" start
done_testing
