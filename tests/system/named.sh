#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that players with names of their own have objects of their own: each with its own clock,
# untouched by what others ask for, from the first command with that name until the daemon ends;
# and that a name never leads to anything that is not the daemon's own.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
enter

shm=/dev/shm

objects() {
    find $shm -maxdepth 1 -type f ! -name '.*' ! -name linked ! -name foreign | wc -l
}

warnings() { # PATTERN
    grep -c -e "$1" "$tmp/log"
}

# Looks at an object for a while and leaves the summary; each look is checked.
watch() { # NAME SECONDS OPTION...
    name=$1 seconds=$2
    shift 2
    "$player" --name "$name" "$@" --watch "$seconds" >"$tmp/player" 2>&1
}

has_id() { # NAME ID
    test "$(id_of "$1")" = "$2"
}

plays() { # NAME
    "$nqptp" --status --json | tr -d ' \n' | grep -q "\"$1\"[^}]*\"player\":\"playing\""
}

# Succeeds if the daemon has qualified both clocks, and both are alive.
qualified_both() {
    answers && test "$(grep -c '^[*.][L.]QA[Z.] ' "$tmp/status")" = 2
}

none=0000000000000000
a=000000000000000a
b=000000000000000b

# Starts what each part needs: a daemon that knows two clocks, of which b is the better one.
begin() {
    start_daemon -v
    start_sender --to 10.77.0.1 --from 10.77.0.2 --identity a --offset 5000 --priority1 200
    start_sender --to 10.77.0.1 --from 10.77.0.3 --identity b --offset 7000 --priority1 100
    check 'without a list /nqptp follows the better clock' "$reader" --wait-master 10 --expect-id b
    check 'both clocks qualify' eventually 10 qualified_both
}

# --- two clients, two masters ---

two_clients() {
    begin
    is 'without a command there is no object but /nqptp' "$(cd $shm && echo [!t]*)" nqptp
    control '/one T'
    is 'a name makes an object at once, mode 0644' "$(stat -c %a $shm/one)" 644
    is 'the object of a new name has layout 10' "$(od -A n -t u2 -N 2 $shm/one | tr -d ' ')" 10
    is 'the object of a new name has no master' "$(id_of /one)" $none
    control '/one T 10.77.0.2'
    control '/two T 10.77.0.3'
    is '/one and /two have their own clocks: /one' "$(id_of /one)" $a
    is '/one and /two have their own clocks: /two' "$(id_of /two)" $b
    "$player" --name /three --play 10.77.0.2 --wait 10 --watch 3 --ids a --raw-truth 5000 \
        --within 20000000 >"$tmp/three" 2>&1 &
    three=$!
    "$player" --name /four --play 10.77.0.3 --wait 10 --watch 3 --ids b --raw-truth 7000 \
        --within 20000000 >"$tmp/four" 2>&1 &
    four=$!
    check 'a player of /one reads the right offset' wait $three
    sed 's/^/# /' "$tmp/three"
    check 'a player of /two reads the right offset at the same time' wait $four
    sed 's/^/# /' "$tmp/four"
    check 'a player of 2021 reads the better of both clocks' "$reader" --expect-id b --fresh 2 --count 1

    # What one client asks for, and what it changes.
    one=$(start_of /one)
    two=$(start_of /two)
    control '/one T 10.77.0.2'
    control '/two T 10.77.0.3'
    control '/one B'
    control '/two P'
    is 'the same list again, B or P: the mastership of /one goes on' "$(start_of /one)" "$one"
    is 'the same list again, B or P: the mastership of /two goes on' "$(start_of /two)" "$two"
    control T
    check 'a bare T clears /nqptp' "$reader" --wait-none 10
    is 'a bare T does not clear /one' "$(id_of /one) $(start_of /one)" "$a $one"
    is 'a bare T does not clear /two' "$(id_of /two) $(start_of /two)" "$b $two"
    control 'T 10.77.0.2'
    check 'a bare list is that of /nqptp' "$reader" --wait-master 2 --expect-id a
    is 'a bare list is not that of the named objects' "$(id_of /one) $(id_of /two)" "$a $b"
    control '/one T 10.77.0.3 10.77.0.2'
    is 'the first address wins' "$(id_of /one)" $b
    control '/one T 10.77.0.2 10.77.0.3'
    is 'the first address of a list wins with a worse clock' "$(id_of /one)" $a
    control '/two T'
    is 'a named T clears its own object' "$(words /two | awk '{ print $2 $3 $4 $5 }')" \
        $none$none$none$none
    is 'a named T does not clear the other name' "$(id_of /one)" $a
    check 'a named T does not clear /nqptp' "$reader" --expect-id a --count 1
    control '/two T 10.77.0.3'
    is 'a cleared name can follow again' "$(id_of /two)" $b
}

# --- names that are none ---

bad_names() {
    start_daemon -v
    before=$(cd $shm && ls)
    for bad in / // /a/b /../x / /. /.. /.x.kept /dir/ \
        /12345678901234567890123456789012345678901234567890123456789012345; do
        control "$bad T 10.77.0.2"
    done
    control "$(printf '/x\001y T 10.77.0.2')"
    control '/nobody B'
    is 'bad names make nothing' "$(cd $shm && ls)" "$before"
    check 'bad names are warned of' test "$(warnings 'command refused')" -ge 1
    long=/$(printf '%062d' 0)
    control "$long T"
    check 'a name of 63 characters is good' test -e "$shm$long"
}

# --- names that another user's file has ---

is_refused() { # NAME
    control "$1 T 10.77.0.2"
    check "$1 is refused with a warning" test "$(warnings ": .*$1\\>")" -gt 0
    control "$1 B"
}

# A daemon logs one warning of this kind in 5 s, so each of these names has a daemon of its own.
restart() {
    stop_daemon
    start_daemon -v
}

foreign_files() {
    begin
    echo precious >$shm/linked
    chmod 666 $shm/linked
    ln -s linked $shm/link
    mkdir $shm/directory
    mkfifo $shm/pipe
    others='/link /directory /pipe'
    if is_root; then
        echo precious >$shm/foreign
        chmod 666 $shm/foreign
        chown 12345 $shm/foreign
        others="$others /foreign"
    else
        skip "another user's object" 'it takes root to make one'
    fi
    list=$(ls -ln $shm/linked $shm/link $shm/foreign 2>&1)
    for other in $others; do
        restart
        is_refused "$other"
        if test "$other" = /directory && is_root; then
            check 'the warning of a directory calls it a directory' \
                grep -q '/directory is not ours: a directory, owned' "$tmp/log"
        fi
    done
    is 'foreign files: nothing is written to them' "$(cat $shm/linked $shm/foreign 2>/dev/null | uniq)" precious
    is 'foreign files: owner, mode and time stay' "$(ls -ln $shm/linked $shm/link $shm/foreign 2>&1)" "$list"
    check 'foreign files: a directory stays' test -d $shm/directory
    check 'foreign files: a pipe stays' test -p $shm/pipe
    restart
    control '/one T 10.77.0.2'
    check 'a client has an object and a clock' eventually 10 has_id /one $a
    ln $shm/one $shm/twin # a hard link to another client's object
    is_refused /twin
    is "a hard link to another client's object: that object keeps its clock" "$(id_of /one)" $a
    rm $shm/link $shm/twin
    control '/link T 10.77.0.3'
    check 'a name that was taken can be used when it is free' eventually 10 has_id /link $b
}

# --- how many, and how long ---

all_open() {
    test "$(find "/proc/$holder/fd" -lname "$shm/*" | wc -l)" -ge 62
}

named_refusal() {
    control '/onemore T 10.77.0.2'
    grep -q '/onemore: command refused: 64 names' "$tmp/log"
}

many_names() {
    begin
    # The oldest unused object makes room: /one, which a player has open, stays, and /two goes.
    control '/one T 10.77.0.2'
    control '/two T 10.77.0.3'
    control '/two B'
    control '/two E'
    "$player" --name /one --play 10.77.0.2 --watch 1000 >"$tmp/first" 2>&1 &
    first=$!
    eventually 5 grep -q version "$tmp/first"
    control "$(printf '/K\303\274che T 10.77.0.2')"
    is 'a name may be UTF-8' "$(id_of "$(printf '/K\303\274che')")" $a
    control "$(printf '/Bad T 10.77.0.2\r\n')"
    is 'a command may end in CR LF' "$(id_of /Bad)" $a
    n=1
    while test $n -le 70; do
        "$reader" --command "/client$n T"
        n=$((n + 1))
    done
    check 'after many clients the daemon is alive' alive
    is 'after many clients there are 64 objects' "$(objects)" 64
    check_not 'many clients: the oldest client that does not play made room' test -e $shm/two
    check 'many clients: a client that plays by its list stays' test -e $shm/Bad
    control '/client70 T 10.77.0.2'
    is 'many clients: the newest client has its object' "$(id_of /client70)" $a
    check 'many clients: an object that a player has open stays' test -e $shm/one
    is 'many clients: an object that a player has open keeps its clock' "$(id_of /one)" $a
    if watch /client70 1 --play 10.77.0.2 --ids a --wait 10; then
        ok 'many clients: a player of the newest client plays'
    else
        not_ok 'many clients: a player of the newest client plays'
        sed 's/^/# /' "$tmp/player"
    fi

    # When players have all objects open there is no room.
    tail -f -n 0 "$shm"/client* "$shm"/K* "$shm"/Bad >/dev/null 2>&1 &
    holder=$!
    check 'players have all 64 objects open' eventually 10 all_open
    control '/onemore T 10.77.0.2'
    is 'all objects are open: another name leaves the objects' "$(objects)" 64
    check_not 'all objects are open: another name gets no object' test -e $shm/onemore
    check 'all objects are open: the refusal has the name and the reason' eventually 10 named_refusal
    kill $holder $first
    wait $first 2>/dev/null

    # How long.
    inode=$(stat -c %i $shm/one)
    stop_daemon USR1
    is 'after SIGUSR1 all objects are there' "$(objects) $(id_of /one)" "64 $a"
    start_daemon
    control '/after T'
    check 'all names are taken before a restart: an unused object makes room after it' \
        test -e $shm/after
    control '/one T 10.77.0.2'
    is 'the next process adopts what its clients ask for again' "$(stat -c %i $shm/one)" "$inode"
    check 'the next process follows the clock of a client that asks again' eventually 10 has_id /one $a
    stop_daemon KILL
    is 'after SIGKILL all objects are there' "$(objects) $(id_of /one)" "64 $a"
    rm -f $shm/after $shm/client* $shm/K* $shm/Bad
    start_daemon
    control '/one T 10.77.0.2'
    control '/two T 10.77.0.3'
    check 'after SIGKILL and fewer objects two clients follow their clocks again' eventually 10 has_id /two $b
    : >"$tmp/last"
    "$player" --name /one --play 10.77.0.2 --watch 1000 >"$tmp/last" 2>&1 &
    watching=$!
    check 'before SIGTERM a player plays' eventually 5 plays /one
    stop_daemon TERM
    is 'no object has a public name after SIGTERM' "$(objects)" 0
    kill $watching
    check 'a player that plays keeps its clock after SIGTERM' wait $watching
}

in_parallel two_clients bad_names foreign_files many_names
done_testing
