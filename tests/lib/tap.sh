# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2154
#
# Test Anything Protocol for every test in shell. A test sources this file, or netns.sh, which does.
# Before its first check it sets $work, the path of a directory; its last command is `done_testing`.
# A check that fails shows the end of $work/log, if there is one.

tests=0
failures=0

skip_all() { # WHY
    echo "1..0 # SKIP $1"
    exit 0
}

need() { # COMMAND DEBIAN-PACKAGE
    has "$1" || skip_all "no $1 here; it is in Debian package $2"
}

has() { # COMMAND
    command -v "$1" >/dev/null 2>&1
}

ok() { # NAME
    tests=$((tests + 1))
    echo "ok $tests - $1"
}

not_ok() { # NAME
    tests=$((tests + 1))
    failures=$((failures + 1))
    echo "not ok $tests - $1"
    show log: "$work/log"
}

skip() { # NAME WHY
    tests=$((tests + 1))
    echo "ok $tests - $1 # SKIP $2"
}

# Prints the end of a file, if it is there and not empty, as TAP diagnostics.
show() { # LABEL FILE
    if [ -s "$2" ]; then
        tail -n 60 "$2" | sed "s/^/# $1 /"
    fi
}

# Passes if the command succeeds. What the command says is shown only if it fails. Returns 1 if the
# check fails, so that the caller can leave out what depends on it.
check() { # NAME COMMAND...
    name=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        ok "$name"
    else
        not_ok "$name"
        show said: "$work/said"
        return 1
    fi
}

# Passes if the command ends with exit status 1. Any other status but 0 is a fault of the test itself,
# as a command or a file that does not exist.
check_not() { # NAME COMMAND...
    fails_with 1 "$@"
}

fails_with() { # STATUS NAME COMMAND...
    wanted=$1 name=$2 got=0
    shift 2
    "$@" >"$work/said" 2>&1 || got=$?
    if [ "$got" -eq "$wanted" ]; then
        ok "$name"
    else
        not_ok "$name"
        echo "# exit status $got, wanted $wanted"
        show said: "$work/said"
        return 1
    fi
}

is() { # NAME GOT WANTED
    if [ "$2" = "$3" ]; then
        ok "$1"
    else
        not_ok "$1"
        echo "# got '$2', wanted '$3'"
        return 1
    fi
}

# Tries the command 20 times a second until it succeeds. SECONDS is the most that an idle machine
# needs. The command has three times as long, because other programs share the machine. Returns 1 if
# it does not succeed in that time.
eventually() { # SECONDS COMMAND...
    tries=$(($1 * 60))
    shift
    while ! "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.05
    done
}

done_testing() {
    echo "1..$tests"
    [ $failures -eq 0 ]
}
