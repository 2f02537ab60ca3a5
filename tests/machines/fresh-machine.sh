#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A fresh machine: a minimal Debian in a directory. Programs that run in it do not change it. It has
# three users: root; "maker", an ordinary user with sudo; "guest", an ordinary user without.
#
# usage: fresh-machine.sh make SUITE DIRECTORY [PACKAGE...]   makes the Debian, with these packages
#        fresh-machine.sh enter DIRECTORY COMMAND...          runs a command of root's in it
#        fresh-machine.sh check DIRECTORY USER CLONE [TIMES]  runs the README's two commands in it
#        fresh-machine.sh once SUITE USER CLONE [TIMES]       does both, and deletes the Debian
#        fresh-machine.sh archive                             prints the archive of Debian
#
# "check" prints TAP. The user gets a clone of what is committed in CLONE. For the guest, root installs
# the packages first that the README lists.
#
# It needs root, the package mmdebstrap, and the network: Debian is taken from where this machine's
# apt takes it. "make" ends with 77 if three tries do not make a Debian.
#
# Command lines in single quotes are for the shell in the Debian.
# shellcheck disable=SC2016

set -u
PATH=$PATH:/usr/sbin:/sbin

# --- make -----------------------------------------------------------------------------------------

# Prints the first archive that this machine's apt knows, except archives of security updates.
archive() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources \
        2>/dev/null | sed -n 's/^deb  *\(\[[^]]*\]  *\)\{0,1\}\([^ ]*\) .*/\2/p; s/^URIs: *\([^ ]*\).*/\1/p' |
        grep -v security | head -n 1
}

# Only the main archive: the other indexes often do not match their Release file. The Release file of
# sid may have expired.
try_to_make() { # SUITE DIRECTORY [PACKAGE...]
    suite=$1
    directory=$2
    shift 2
    timeout -k 10 600 mmdebstrap --quiet --mode=root --variant=apt \
        --include="git,sudo,ca-certificates,mount,passwd,login$(printf ',%s' "$@")" \
        --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Retries "3"' \
        "$suite" "$directory" "deb $(archive) $suite main"
}

make() { # SUITE DIRECTORY [PACKAGE...]
    for try in 1 2 3; do
        rm -rf "$2"
        try_to_make "$@" && return
        echo "try $try to make Debian $1 failed" >&2
        sleep 5
    done
    rm -rf "$2"
    return 77
}

# --- enter ----------------------------------------------------------------------------------------

# Changes in the directory stay in memory, and vanish with the namespaces.
enter() { # DIRECTORY COMMAND...
    FRESH_MACHINE=$(readlink -f "$1")
    export FRESH_MACHINE
    shift
    exec unshare --mount --pid --uts --fork --kill-child --mount-proc sh "$self" inside "$@"
}

# By pivot_root(2), because the kernel refuses user namespaces to a process in a chroot(2). Descriptor
# 9 is a network with a loopback only.
inside() { # COMMAND...
    layers=$(mktemp -d) && mount -t tmpfs -o mode=755 none "$layers" || exit 1
    mkdir "$layers/upper" "$layers/work" "$layers/root"
    mount -t overlay overlay "$layers/root" \
        -o "lowerdir=$FRESH_MACHINE,upperdir=$layers/upper,workdir=$layers/work" || exit 1
    cd "$layers/root" && mount -t proc proc proc && mount -t sysfs sysfs sys && make_devices || exit 1
    mount -t tmpfs -o mode=755 none run
    mount -t tmpfs -o mode=1777 none tmp
    cp -L /etc/resolv.conf etc/resolv.conf
    printf '127.0.0.1 localhost fresh\n::1 localhost\n' >etc/hosts
    hostname fresh
    make_users
    [ -z "${FRESH_CLONE:-}" ] || git clone -q "$FRESH_CLONE" opt/nqptp || exit 1
    private_network || exit 1
    mkdir mnt/before
    pivot_root . mnt/before && cd / && umount -l /mnt/before && rmdir /mnt/before || exit 1
    exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        USER=root LOGNAME=root SHELL=/bin/bash LANG=C.UTF-8 TERM=dumb "$@"
}

make_devices() {
    mount -t tmpfs -o mode=755 none dev
    mkdir dev/shm dev/pts
    mount -t tmpfs -o mode=1777 none dev/shm
    mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 none dev/pts
    for node in null zero full random urandom tty; do
        : >dev/$node
        mount --bind /dev/$node dev/$node
    done
    ln -s pts/ptmx dev/ptmx
    ln -s /proc/self/fd dev/fd
    ln -s fd/0 dev/stdin
    ln -s fd/1 dev/stdout
    ln -s fd/2 dev/stderr
}

make_users() {
    for name in maker guest; do
        chroot . useradd -m -s /bin/bash $name
    done
    echo 'maker ALL=(ALL) NOPASSWD: ALL' >etc/sudoers.d/maker
}

private_network() {
    unshare -n sleep 60 &
    network=$!
    until [ "$(readlink /proc/$network/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
    nsenter -t $network -n ip link set lo up
    exec 9</proc/$network/ns/net
    kill $network
}

# --- check ----------------------------------------------------------------------------------------

check_machine() { # DIRECTORY USER CLONE [TIMES]
    FRESH_CLONE=$(readlink -f "$3")
    export FRESH_CLONE
    enter "$1" sh /opt/nqptp/tests/machines/fresh-machine.sh commands "$2" "${4:-1}"
}

packages() {
    dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort
}

as_user() { # SHELL-COMMAND-LINE
    su "$user" -c "cd '$clone' && $1"
}

isolated() { # COMMAND...
    nsenter --net=/proc/self/fd/9 "$@"
}

# Without network and packages: one message, and exit status 1.
refuses() {
    isolated su "$user" -c "cd '$clone' && ./bootstrap" >"$work/refusal" 2>&1 && return 1
    status=$?
    cat "$work/refusal"
    [ $status -eq 1 ] && [ "$(wc -l <"$work/refusal")" -eq 1 ]
}

readme_packages() {
    sed -n '/^    apt-get install/,/[^\\]$/{s/.*apt-get install//; s/\\$//; p}' "$clone/README.md" | tr '\n' ' '
}

answers() {
    isolated "$clone/nqptp" --status >/dev/null 2>&1 || grep -q '^master ' "$work/run"
}

# The command of the README on a terminal, ended by Ctrl-C once the daemon answers. This shell's
# background jobs ignore that signal unless they are told not to.
runs() {
    mkfifo "$work/keys"
    isolated env --default-signal=INT su --pty "$user" -c "cd '$clone' && exec ./bootstrap run" \
        <"$work/keys" >"$work/run" 2>&1 &
    terminal=$!
    exec 7>"$work/keys"
    for _ in $(seq 300); do
        ! answers || break
        sleep 0.2
    done
    answers
    answered=$?
    printf '\003' >&7
    wait $terminal
    ended=$?
    exec 7>&-
    rm "$work/keys"
    cat "$work/run"
    [ $answered -eq 0 ] && [ $ended -eq 0 ] && ! grep -qsx 'nqptp\|shm-reader' /proc/[0-9]*/comm
}

checks() {
    as_user './bootstrap check' >"$work/check" 2>&1
    status=$?
    sed -n 's/^tests.*# SKIP/# &/p' "$work/check"
    sed -n '/^FAIL\|^ERROR\|once more/s/^/# /p' "$work/check"
    for result in PASS FAIL ERROR SKIP; do
        printf '# %s: %s\n' $result "$(cat "$clone"/tests/*/*.trs | grep -c "^:test-result: $result")"
    done
    [ $status -eq 0 ] || tail -n 40 "$work/check" | sed 's/^/# /'
    return $status
}

commands() { # USER TIMES
    user=$1
    times=$2
    # shellcheck source=tests/lib/tap.sh
    . "$(dirname "$self")/../lib/tap.sh"
    work=$(mktemp -d)
    clone=$(getent passwd "$user" | cut -d: -f6)/nqptp
    mv /opt/nqptp "$clone"
    chown -R "$user:" "$clone"
    packages >"$work/before"
    if [ "$user" = guest ]; then
        check "without packages: one message, and exit status 1" refuses
        # shellcheck disable=SC2046 # a list
        check "root installs what the README lists" \
            sh -c "apt-get -q update && apt-get -qy install --no-install-recommends $(readme_packages)"
    fi
    check "./bootstrap installs packages and builds" as_user ./bootstrap
    for time in $(seq "$times"); do
        check "./bootstrap run, time $time" runs
        if checks; then
            ok "./bootstrap check, time $time"
        else
            not_ok "./bootstrap check, time $time"
        fi
    done
    mkdir -m 755 /tmp/decoy /tmp/decoy/nqptp
    check "./bootstrap builds its own clone, where CDPATH names another" \
        as_user 'cd .. && CDPATH=/tmp/decoy nqptp/bootstrap'
    touch "$clone/configure.ac"
    check "root's ./bootstrap configures again after a change" sh -c "cd '$clone' && umask 077 && ./bootstrap"
    check "the user builds after root" as_user ./bootstrap
    packages >"$work/after"
    check "bootstrap removes no package" sh -c "! comm -23 $work/before $work/after | grep ."
    check "every file in the clone is the user's" \
        sh -c "! find $clone ! -user $user | grep ."
    check "git ignores what was built" \
        sh -c "! su $user -c 'git -C $clone status --porcelain' | grep ."
    done_testing
}

once() { # SUITE USER CLONE [TIMES]
    made=$(mktemp -d) || exit 1
    trap 'rm -rf --one-file-system "$made"' EXIT
    make "$1" "$made/debian" || exit
    shift
    (check_machine "$made/debian" "$@")
}

self=$(readlink -f "$0")
command=${1:-}
[ $# -eq 0 ] || shift
case $command in
archive | make | enter | inside | commands | once) "$command" "$@" ;;
check) check_machine "$@" ;;
*)
    sed -n 's/^# \{0,1\}//; 5,18p' "$self" >&2
    exit 2
    ;;
esac
