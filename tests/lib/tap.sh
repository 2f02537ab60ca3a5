# SPDX-License-Identifier: MIT
# shellcheck shell=sh disable=SC2154
#
# Test Anything Protocol for those tests that are no part of "make check"; netns.sh has that of the
# others. A test sources this file, makes $work, a directory, and `done_testing` is its last command.

count=0
failures=0

skip_all() { # WHY
    echo "1..0 # SKIP $1"
    exit 77
}

ok() { # STATUS NAME
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $count - $2"
    else
        failures=$((failures + 1))
        echo "not ok $count - $2"
    fi
}

# Runs a command that must succeed. What it says is shown only if it does not, and with it the end
# of $work/log, if there is one.
check() { # NAME COMMAND...
    name=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        ok 0 "$name"
        return
    fi
    ok 1 "$name"
    for said in "$work/out" "$work/log"; do
        [ ! -e "$said" ] || tail -n 60 "$said" | sed 's/^/# /'
    done
}

# Runs a command that must say no by exit status 1. Any other failure is one of the test itself: a
# command or a file that is not there.
refuse() { # NAME COMMAND...
    fails_with 1 "$@"
}

fails_with() { # STATUS NAME COMMAND...
    wanted=$1 name=$2 got=0
    shift 2
    "$@" >"$work/out" 2>&1 || got=$?
    if [ "$got" -eq "$wanted" ]; then
        ok 0 "$name"
        return
    fi
    ok 1 "$name"
    echo "# exit status $got, wanted $wanted"
    sed 's/^/# /' "$work/out"
}

done_testing() {
    echo "1..$count"
    [ "$failures" -eq 0 ]
}
