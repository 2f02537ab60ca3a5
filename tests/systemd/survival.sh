# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2016,SC2154,SC2317
#
# A topic of check-systemd.sh: what the service survives, and how it comes back from anything else.

restarts_keep_the_object() {
    shell 'stat -c %i /dev/shm/nqptp >/run/inode; pidof nqptp >/run/pid'
    check "systemctl restart" inside systemctl restart nqptp
    check "systemctl restart starts another process" shell 'is_another_than "$(cat /run/pid)"'
    check "systemctl restart leaves the object in place" shell 'test "$(stat -c %i /dev/shm/nqptp)" = "$(cat /run/inode)"'
}

usr1_by_hand_is_a_restart() {
    shell 'stat -c %i /dev/shm/nqptp >/run/inode; pidof nqptp >/run/pid'
    check "systemctl kill -s USR1 nqptp" inside systemctl kill -s USR1 nqptp
    check "SIGUSR1 by hand: the service is back as another process" \
        shell 'eventually 10 is_another_than "$(cat /run/pid)"'
    check "SIGUSR1 by hand: the object stays in place" \
        shell 'test "$(stat -c %i /dev/shm/nqptp)" = "$(cat /run/inode)"'
}

wrong_option_is_shown() {
    change_unit 'ExecStart=' 'ExecStart=/usr/local/bin/nqptp --smii=4'
    inside timeout 5 systemctl restart nqptp
    check "a wrong option in the unit: systemctl status shows the line that says so" shell '
        shows() { systemctl status nqptp | grep "\"--smii=4\": there is no such option.*; see nqptp --help"; }
        eventually 5 shows'
    check "a wrong option in the unit: the last 20 lines of the journal say so" \
        shell 'journalctl -u nqptp -n 20 | grep "\"--smii=4\": there is no such option"'
    undo_change
    inside systemctl restart nqptp
}

# Acts as an older daemon that an upgrade left running, and that gives another answer.
older_daemon_is_to_be_restarted() {
    change_unit 'Type=exec' 'ExecStart=' 'RestartKillSignal=SIGTERM' \
        'ExecStart=/opt/nqptp/tests/tools/ptp-sender --low-ports --to 127.0.0.2 --rate 0.01 --no-announce'
    inside systemctl restart nqptp
    check "an older daemon has the ports" shell 'eventually 5 grep -q ":013F " /proc/net/udp'
    undo_change
    shell 'nqptp --status 2>/run/status'
    check "an older daemon: --status tells that the service has the port" \
        shell 'cat /run/status; grep "port 319 .*the service nqptp" /run/status'
    check "an older daemon: --status advises systemctl restart nqptp" \
        shell 'grep -x "  systemctl restart nqptp" /run/status'
    check_not "an older daemon: --status advises nothing that ends the service" \
        shell 'grep -e disable -e "kill " -e "stop " -e "^  rm " /run/status'
    inside systemctl restart nqptp
    check "an older daemon: after systemctl restart nqptp the new daemon answers" shell 'eventually 10 answers'
    shell 'rm -f /run/status'
}

crashes_are_survived() { # COUNT
    shell 'stat -c %i /dev/shm/nqptp >/run/inode'
    check "kill -9, $1 times in a row: each time the service starts again" shell "
        for i in \$(seq $1); do
            pid=\$(pidof nqptp) && kill -KILL \$pid && eventually 10 is_another_than \$pid || exit 1
        done"
    check "kill -9, $1 times in a row: the object stays" shell 'test "$(stat -c %i /dev/shm/nqptp)" = "$(cat /run/inode)"'
}

# With a watchdog of 4 s, because the unit's takes half a minute.
watchdog_barks() {
    change_unit WatchdogSec=4s
    inside systemctl restart nqptp
    shell 'stat -c %i /dev/shm/nqptp >/run/inode; pidof nqptp >/run/pid'
    check "a daemon that works is not killed by the watchdog" \
        shell 'sleep 6; test "$(pidof nqptp)" = "$(cat /run/pid)"'
    mark
    check "a daemon that stands still is replaced" shell '
        kill -STOP "$(cat /run/pid)"; eventually 30 is_another_than "$(cat /run/pid)"'
    check "a daemon that stands still is killed by the watchdog" shell 'said "[Ww]atchdog timeout"'
    check "a daemon that stands still is replaced: the object stays" shell 'test "$(stat -c %i /dev/shm/nqptp)" = "$(cat /run/inode)"'
    undo_change
    inside systemctl restart nqptp
}

# A player of this generation maps the object once and commands once. While it plays the daemon is
# restarted, then killed, and the player reads on, by the same clock. With PLAY_BEFORE in
# the environment it plays for that number of seconds more before the restart.
players_play_on() { # GENERATION
    before=${PLAY_BEFORE:-0}
    check "a sender plays, and a player of generation $1 reads" shell "
        (timeout $((before + 40)) tests/tools/ptp-sender --to 127.0.0.1 --identity 1122334455667788 \\
            --seconds $((before + 35)) &)
        (runuser -u member -- /opt/nqptp/tests/tools/player --generation $1 --play 127.0.0.1 --wait 5 \\
            --watch $((before + 12)) --ids 1122334455667788 >/run/player 2>&1
            echo \$? >/run/status) &
        sleep 4; test ! -e /run/status"
    sleep "$before"
    check "a player reads: systemctl restart" inside systemctl restart nqptp
    check "a player reads: the daemon is killed and starts again" shell '
        sleep 3; pid=$(pidof nqptp); kill -KILL $pid && eventually 10 is_another_than $pid'
    check "a player reads: the player goes on over restart and crash" shell '
        eventually 15 test -e /run/status
        cat /run/player; test "$(cat /run/status)" = 0'
    # A first sample that is more than 5 ms late begins another mastership.
    check "a player reads: the mastership goes on over restart or crash" \
        shell 'grep -w "[12] starts" /run/player'
    check "a player reads: the list is in force after restart and crash" shell 'nqptp --status | grep "List: *1 address"'
    shell 'rm -f /run/status; pkill ptp-sender; systemctl stop nqptp; systemctl start nqptp'
    check "after a stop no list is in force" shell 'nqptp --status | grep "List: *never"'
}

busy_port_is_waited_for() {
    inside systemctl stop nqptp
    change_unit TimeoutStartSec=5s # less than the daemon waits
    mark
    check "busy port: another process has port 319" shell '
        tests/tools/ptp-sender --low-ports --to 127.0.0.1 --rate 0.01 --no-announce >/dev/null 2>&1 &
        echo $! >/run/holder
        eventually 5 grep -q ":013F " /proc/net/udp'
    fails_with 124 "busy port: the service does not start" inside timeout 12 systemctl start nqptp
    check "busy port: the service still waits after its TimeoutStartSec=" \
        shell 'systemctl show -p ActiveState nqptp | grep -x ActiveState=activating'
    check "busy port: the journal says which port, and which user holds it" \
        shell 'said "UDP port 319 is in use: held by a process of uid 0.*; waiting for the port"'
    check "busy port: the journal's line has the priority of an error" \
        shell 'journalctl -q -u nqptp -p 3 -o cat | grep "^UDP port 319"'
    check "busy port: systemctl status says so" \
        shell 'systemctl status nqptp | grep "Status: \"UDP port 319 is in use"'
    sleep 20
    check "busy port: the journal has at most 5 lines of the service after 30 s" shell '
        journalctl --sync
        lines=$(journalctl -q -u nqptp -o cat --since="$(cat /run/mark)")
        echo "$lines"; test "$(echo "$lines" | wc -l)" -le 5'
    check "busy port: the service is up within 2 s of the port being free" \
        shell 'kill "$(cat /run/holder)"; eventually 2 answers'
    undo_change
    inside systemctl restart nqptp
}

left_over_of_root() {
    inside systemctl stop nqptp
    check "an object left by root: the object exists" shell 'touch /dev/shm/nqptp && chmod 600 /dev/shm/nqptp'
    check "an object left by root: the service starts" inside systemctl start nqptp
    check "an object left by root: the service has an object of its own" shell 'test "$(stat -c %U /dev/shm/nqptp)" = nqptp'

    inside systemctl stop nqptp
    shell 'rm -f /dev/shm/nqptp; touch /dev/shm/nqptp; (exec 9<>/dev/shm/nqptp; sleep 1000) >/dev/null 2>&1 & echo $! >/run/holder'
    check "an object that root has open: the service starts" inside systemctl start nqptp
    check "an object that root has open: the service has an object of its own" shell 'test "$(stat -c %U /dev/shm/nqptp)" = nqptp'
    shell 'kill -- "$(cat /run/holder)"'

    inside systemctl stop nqptp
    change_unit User=stranger
    check "a drop-in names another user, and root left an object" \
        shell 'touch /dev/shm/nqptp && chmod 600 /dev/shm/nqptp'
    check "a drop-in names another user: the service starts" inside systemctl start nqptp
    check "a drop-in names another user: the object belongs to that user" \
        shell 'test "$(stat -c %U /dev/shm/nqptp)" = stranger'
    inside systemctl stop nqptp
    undo_change
    inside systemctl start nqptp
}
