#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Draws the picture of --status that the README shows: a daemon with two masters and a player in
# private namespaces, asked after a minute as on a terminal. The SVG comes on standard output:
#
#     sh tests/demo/status-picture.sh >tests/demo/status.svg
#
# With --text it is the text alone.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
NQPTP_PICTURE=${NQPTP_PICTURE:-${1:-}}
export NQPTP_PICTURE
need script bsdutils
enter 120

draw() {
    awk '
        { sub(/\r$/, ""); line[NR] = $0; if (length($0) > width) width = length($0) }
        function escape(text) {
            gsub(/&/, "\\&amp;", text); gsub(/</, "\\&lt;", text); gsub(/"/, "\\&quot;", text)
            return text
        }
        END {
            printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\"", 700, 20 * NR + 20
            print " font-family=\"monospace\" font-size=\"14\" fill=\"#dddddd\">"
            print "<rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#1c1c1c\"/>"
            for (i = 1; i <= NR; i++) {
                colour = ""
                if (index(line[i], "\033[1;32m")) colour = " fill=\"#6ccf6c\" font-weight=\"bold\""
                if (index(line[i], "\033[33m")) colour = " fill=\"#e0c060\""
                gsub(/\033\[[0-9;]*m/, "", line[i])
                if (line[i] != "")
                    printf "<text x=\"14\" y=\"%d\" xml:space=\"preserve\" textLength=\"%.1f\"%s>%s</text>\n",
                        20 * i + 8, length(line[i]) * 8.4, colour, escape(line[i])
            }
            print "</svg>"
        }'
}

start_daemon
start_sender --low-ports --to 10.77.0.1 --from 10.77.0.2 --delay wifi --skew 12.3 \
    --offset 788996499983123
start_sender --to 10.77.0.1 --from 10.77.0.3 --identity d4a33d6407510008 --priority1 250 --offset 9
start_sender --to 10.77.0.1 --mode truncate --count 12
"$player" --generation 5 --play 10.77.0.2 --wait 10 --watch 100 >"$tmp/player" 2>&1 &
sleep 64
env TERM=xterm script -qec "$nqptp --status" /dev/null </dev/null >"$tmp/typed"
if test "$NQPTP_PICTURE" = --text; then
    sed 's/\x1b\[[0-9;]*m//g; s/\r$//' "$tmp/typed"
else
    draw <"$tmp/typed"
fi
