#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that bash completes every option that -h names, no other, and the values that it can know.

# shellcheck source=tests/lib/netns.sh
. "${srcdir:-.}/tests/lib/netns.sh"
need bash bash

# Prints what completion offers for the last of the words, in a line. Bash splits --smi=4 into three.
offered() { # WORD...
    # shellcheck disable=SC2016 # for bash
    bash -c '. "$0"; COMP_WORDS=(nqptp "$@"); COMP_CWORD=$#; _nqptp; echo "${COMPREPLY[*]-}"' \
        "$top/packaging/nqptp.bash-completion" "$@" 2>/dev/null
}

# shellcheck disable=SC2016 # for bash
is 'the completion is for the command nqptp' "$(bash -c '. "$0"; complete -p nqptp' "$top/packaging/nqptp.bash-completion")" \
    'complete -F _nqptp nqptp'
is '--s' "$(offered --s)" '--status --smi='
is '--js' "$(offered --status --js)" --json
is '--smi=' "$(offered --smi =)" '4 8 9 10 auto'
is '--smi=a' "$(offered --smi = a)" auto
is '--smi a, with a blank' "$(offered --smi a)" auto
is '--user=root' "$(offered --user = roo)" root
is '--group=root' "$(offered --group = roo)" root
is '--interface=lo' "$(offered --interface = lo | tr ' ' '\n' | grep -x lo)" lo
is '-i lo' "$(offered -i lo | tr ' ' '\n' | grep -x lo)" lo
is 'a port is for the user to say' "$(offered --event-port = '')" ''
is 'completion offers no other words' "$(offered x)" ''
is 'all that -h names are offered, and no more' \
    "$(offered -- | tr ' ' '\n' | sort)" \
    "$("$nqptp" -h | grep -o -e '--[a-z-]*=\{0,1\}' | sort -u)"
done_testing
