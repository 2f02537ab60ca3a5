# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2016,SC2154,SC2317
#
# A topic of check-systemd.sh: what the service survives, and how it comes back from what it does
# not.

restarts_keep_the_object() {
    shell 'stat -c %i /dev/shm/nqptp >/run/inode; pidof nqptp >/run/pid'
    check "systemctl restart" inside systemctl restart nqptp
    check "is another process" shell 'is_another_than "$(cat /run/pid)"'
    check "and leaves the object in place" shell 'test "$(stat -c %i /dev/shm/nqptp)" = "$(cat /run/inode)"'
}

crashes_are_survived() { # COUNT
    shell 'stat -c %i /dev/shm/nqptp >/run/inode'
    check "kill -9, $1 times in a row, and each time it is back by itself" shell "
        for i in \$(seq $1); do
            pid=\$(pidof nqptp) && kill -KILL \$pid && eventually 10 is_another_than \$pid || exit 1
        done"
    check "with the object in place" shell 'test "$(stat -c %i /dev/shm/nqptp)" = "$(cat /run/inode)"'
}

# Half a minute is long for a test.
watchdog_barks() {
    change_unit WatchdogSec=4s
    inside systemctl restart nqptp
    shell 'stat -c %i /dev/shm/nqptp >/run/inode; pidof nqptp >/run/pid'
    check "the watchdog is content with it" \
        shell 'sleep 6; test "$(pidof nqptp)" = "$(cat /run/pid)"'
    mark
    check "stopped by SIGSTOP, it is replaced" shell '
        kill -STOP "$(cat /run/pid)"; eventually 30 is_another_than "$(cat /run/pid)"'
    check "by the watchdog" shell 'said "[Ww]atchdog timeout"'
    check "with the object in place" shell 'test "$(stat -c %i /dev/shm/nqptp)" = "$(cat /run/inode)"'
    undo_change
    inside systemctl restart nqptp
}

# A player of that generation maps the object once and commands once, in the middle of play the
# daemon is restarted, then killed, and the player reads on: the same clock, one mastership. With
# PLAY_BEFORE in the environment it has played for so many seconds more by then.
players_play_on() { # GENERATION
    before=${PLAY_BEFORE:-0}
    check "a sender plays, and a player of generation $1 reads" shell "
        (timeout $((before + 40)) tests/ptp-sender --to 127.0.0.1 --identity 1122334455667788 \\
            --seconds $((before + 35)) &)
        (runuser -u member -- /opt/nqptp/tests/player --generation $1 --play 127.0.0.1 --wait 5 \\
            --watch $((before + 12)) --ids 1122334455667788 >/run/player 2>&1
            echo \$? >/run/status) &
        sleep 4; test ! -e /run/status"
    sleep "$before"
    check "systemctl restart in the middle of it" inside systemctl restart nqptp
    check "and a crash" shell '
        sleep 3; pid=$(pidof nqptp); kill -KILL $pid && eventually 10 is_another_than $pid'
    check "the player reads on, and says nothing twice" shell '
        eventually 15 test -e /run/status
        cat /run/player; test "$(cat /run/status)" = 0'
    check "in one mastership" shell 'grep -w "1 starts" /run/player'
    check "the list is still in force" shell 'nqptp --status | grep "List: *1 address"'
    shell 'rm -f /run/status; pkill ptp-sender; systemctl stop nqptp; systemctl start nqptp'
    check "after a stop it is not" shell 'nqptp --status | grep "List: *never"'
}

busy_port_is_told() {
    inside systemctl stop nqptp
    mark
    check "somebody else has port 319" shell '
        tests/ptp-sender --low-ports --to 127.0.0.1 --rate 0.01 --no-announce >/dev/null 2>&1 &
        echo $! >/run/holder
        eventually 5 grep -q ":013F " /proc/net/udp'
    refuse "the service does not start" inside timeout 5 systemctl start nqptp
    check "its exit status is 3" shell 'said "status=3/"'
    check "the journal says which port is taken and by whom" \
        shell 'said "UDP port 319 is in use: held by a process of uid 0"'
    check "with its priority" shell 'journalctl -q -u nqptp -p 3 -o cat | grep "^UDP port 319"'
    check "when the port becomes free it starts by itself" \
        shell 'kill "$(cat /run/holder)"; eventually 10 answers'
}

left_over_of_root() {
    inside systemctl stop nqptp
    check "root left an object" shell 'touch /dev/shm/nqptp && chmod 600 /dev/shm/nqptp'
    check "the service starts all the same" inside systemctl start nqptp
    check "with an object of its own" shell 'test "$(stat -c %U /dev/shm/nqptp)" = nqptp'

    inside systemctl stop nqptp
    mark
    shell 'touch /dev/shm/nqptp; (exec 9<>/dev/shm/nqptp; sleep 1000) >/dev/null 2>&1 & echo $! >/run/holder'
    refuse "over one that root uses it does not start" inside timeout 5 systemctl start nqptp
    check "and says what to do" shell 'said "as root, run: rm /dev/shm/nqptp"'
    check "when root is done with it, it starts by itself" \
        shell 'kill -- "$(cat /run/holder)"; eventually 10 answers'
}
