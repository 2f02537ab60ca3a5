# SPDX-License-Identifier: MIT
# usage: awk -v each=MAX -v all=MAX -f code-lines.awk FILE.c ...
# Fails if a file has more than `each` lines of code, or all files together more than `all`. A line
# of code is one that is neither blank nor a comment.

function check(name, count, max) {
    if (count > max) {
        printf "%s: %d lines of code, more than %d\n", name, count, max
        failed = 1
    }
}

FNR == 1 && NR > 1 { check(name, count, each); count = 0 }

{
    name = FILENAME
    code = ""
    rest = $0
    while (rest != "") {
        if (in_comment) {
            at = index(rest, "*/")
            in_comment = at == 0
            rest = at ? substr(rest, at + 2) : ""
        } else if ((at = index(rest, "/*")) > 0) {
            code = code substr(rest, 1, at - 1)
            rest = substr(rest, at + 2)
            in_comment = 1
        } else {
            code = code rest
            rest = ""
        }
    }
    sub(/\/\/.*/, "", code)
    if (code ~ /[^ \t]/) { count++; total++ }
}

END {
    check(name, count, each)
    check("all together", total, all)
    exit failed
}
