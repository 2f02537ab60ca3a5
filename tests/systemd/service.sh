# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2016,SC2154,SC2317
#
# A topic of check-systemd.sh: the service as it is started, looked at and stopped.

service_is_up() {
    check "systemctl enable --now nqptp" inside systemctl enable --now nqptp
    check "the service is active" inside systemctl is-active nqptp
    check "the service runs as user nqptp" shell 'test "$(ps -o user= -p "$(pidof nqptp)")" = nqptp'
    # Without libsystemd the daemon cannot say that it is ready: the unit is active a moment earlier.
    check "the daemon answers" shell 'eventually 5 answers'
    check "/nqptp belongs to nqptp and its group, mode 0664" \
        shell 'test "$(stat -c "%U %G %a" /dev/shm/nqptp)" = "nqptp nqptp 664"'
}

has_one_privilege() {
    check "CAP_NET_BIND_SERVICE is the one capability" shell '
        grep ^Cap /proc/$(pidof nqptp)/status
        test "$(grep -c "^Cap.*:.*0000000000000400$" /proc/$(pidof nqptp)/status)" = 5'
    check "the service cannot gain privileges" shell 'grep -x "NoNewPrivs:.1" /proc/$(pidof nqptp)/status'
    check "the system calls of the service are filtered" shell 'grep -x "Seccomp:.2" /proc/$(pidof nqptp)/status'
    check "the exposure is at most 1.5" \
        inside systemd-analyze security --no-pager --threshold=15 nqptp.service
}

# Succeeds if systemd can filter bind(2) here. It needs BPF, which a container may lack.
can_filter_bind() {
    inside systemd-run -q --wait -p SocketBindDeny=any \
        /opt/nqptp/tests/tools/ptp-sender --to 127.0.0.2 --low-ports --seconds 1 --no-announce
    test $? -ne 0
}

# The kernel refuses a port that the unit does not name, though the capability is there.
other_ports_are_refused() {
    inside systemctl stop nqptp
    if can_filter_bind >/dev/null 2>&1; then
        change_unit 'ExecStart=' 'ExecStart=/usr/local/bin/nqptp --control-port=9001'
        mark
        inside timeout 5 systemctl start nqptp
        check "a port that the unit does not name is refused, and the setting is named" \
            shell 'eventually 5 said "UDP port 9001 is forbidden.*SocketBindAllow=udp:9001"'
        check "a port that the unit does not name: exit status 4" shell 'said "status=4/"'
        undo_change
    else
        skip "a port that the unit does not name is refused" "no BPF for systemd here"
    fi
    inside systemctl start nqptp
}

# A system call that the unit denies ends the daemon now. So the checks that follow find each call that
# the daemon needs and the unit denies.
strictly() {
    change_unit 'SystemCallErrorNumber='
    inside systemctl restart nqptp
}

stayed_within() {
    check_not "the daemon tried no system call that the unit denies" shell 'journalctl -u nqptp | grep -e SIGSYS -e /SYS'
    undo_change
}

shows_its_state() {
    check_not "the journal has no warning when all is well" \
        shell 'journalctl -q _SYSTEMD_UNIT=nqptp.service _PID="$(pidof nqptp)" -p warning | grep .'
    mark
    shell 'bash -c "printf nonsense >/dev/udp/127.0.0.1/9000"'
    check "a warning in the journal has its priority" shell '
        warned() { journalctl -q -u nqptp -p 4..4 -o cat --since="$(cat /run/mark)" | grep "^command refused"; }
        eventually 5 warned'
}

members_read_and_others_do_not() {
    check "a master is followed, and a fresh member of group nqptp reads it under the mutex" shell '
        (timeout 10 tests/tools/ptp-sender --to 127.0.0.1 --identity 1122334455667788 --seconds 8 &)
        runuser -u member -- /opt/nqptp/tests/tools/shm-reader --wait-master 8 --count 1 --expect-id 1122334455667788'
    check_not "a user outside the group may not write to the object" \
        shell 'runuser -u stranger -- /opt/nqptp/tests/tools/shm-reader --count 1'
    check "a user outside the group may read the object" shell 'runuser -u stranger -- cat /dev/shm/nqptp >/dev/null'
}

# The sender that the members read is still there, or was there a moment ago.
tells_its_story() {
    check "systemctl status shows the state of the daemon" shell '
        shows() { systemctl status nqptp | grep "Status: \"master 1122334455667788 at 127.0.0.1, .* 1 clock\""; }
        eventually 5 shows'
    check "the journal has version, master and reason at priority notice" shell '
        journalctl -u nqptp -p notice >/run/journal; cat /run/journal
        grep "serves /nqptp in layout 4" /run/journal &&
        grep "master is now 1122334455667788 at 127.0.0.1, the only candidate" /run/journal'
}

listens_on_an_interface_only() {
    change_unit 'ExecStart=' 'ExecStart=/usr/local/bin/nqptp -i late'
    mark
    check "with -i of an interface that is not there the service starts" inside systemctl restart nqptp
    check "the journal says that the interface of -i is not there" shell 'said "late is not there yet"'
    check "the ports are bound when the interface comes" shell '
        ip link add late type veth peer name other && ip addr add 192.0.2.1/24 dev late && ip link set late up
        bound() { ss -Huln | grep "%late:319 " && ss -Huln | grep "%late:320 "; }
        eventually 10 bound'
    check_not "with -i no port of another interface is bound" shell 'ss -Huln | grep ":319 " | grep -v "%late:"'
    shell 'ip link del late'
    undo_change
    inside systemctl restart nqptp
}

stops_clean() {
    check "systemctl stop" inside systemctl stop nqptp
    check "systemctl stop removes the object" shell 'test ! -e /dev/shm/nqptp'
    check "systemctl stop is no failure" shell '! systemctl is-failed nqptp'
}
