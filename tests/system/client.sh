#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Proves that clients can be written by the documentation: the example in doc/clients.md compiles
# without a warning and reads the master. A client of 2021 does the same. It finds the header beside
# its own directory, sends its command to 0.0.0.0 and links nothing of ours.

# shellcheck source=tests/lib/netns.sh disable=SC2119
. "${srcdir:-.}/tests/lib/netns.sh"
: "${CC:=cc}"
need "${CC%% *}" gcc
enter

compile() { # OPTION...
    # shellcheck disable=SC2086 # CC may be a command with options
    $CC -Wall -Wextra -Werror "$@" -lpthread -lrt
}

start_daemon
start_sender --to 10.77.0.1 --offset 1

# --- the example ---

awk '/^```c$/ { inside = 1; next } /^```/ && inside { exit } inside' "$top/doc/clients.md" \
    >"$tmp/example.c"
lines=$(wc -l <"$tmp/example.c")
check 'doc/clients.md has an example of 11 to 60 lines' test "$lines" -gt 10 -a "$lines" -le 60
check 'the example program of doc/clients.md compiles' compile -I"$top" -o "$tmp/example" "$tmp/example.c"
check 'without a list the only clock is master' "$reader" --wait-master 10 --expect-id "$identity"
example() {
    timeout 5 "$tmp/example" >"$tmp/stdout" 2>&1 || return
    cat "$tmp/stdout"
    grep -q "$identity" "$tmp/stdout"
}
check 'the example program reads the master' example
sed 's/^/# /' "$tmp/stdout"
said=$(grep -o '[0-9]\{10,\}' "$tmp/stdout")
late=$(($("$reader" --now) - said)) # the master goes by the clock of that name
check "the example program reads the master's time" test "$late" -ge 0 -a "$late" -lt 10000000000
control T
fails_with 3 'the example finds no master when there is none' example

# --- a client of 2021 ---

mkdir "$tmp/nqptp" "$tmp/player"
cp "$top/nqptp-shm-structures.h" "$tmp/nqptp/"
cat >"$tmp/player/player.c" <<'END'
#include "../nqptp/nqptp-shm-structures.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static void send_peers(const char *text)
{
    struct sockaddr_in to;
    int s = socket(AF_INET, SOCK_DGRAM, 0);

    memset(&to, 0, sizeof(to));
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_ANY);
    to.sin_port = htons(NQPTP_CONTROL_PORT);
    sendto(s, text, strlen(text) + 1, 0, (struct sockaddr *)&to, sizeof(to));
    close(s);
}

static uint64_t query(uint64_t *offset)
{
    uint64_t id = 0;
    int fd = shm_open(STORAGE_ID, O_RDWR, 0);
    if (fd < 0)
        return 0;
    struct shm_structure *nqptp =
        mmap(NULL, sizeof(struct shm_structure), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (nqptp == MAP_FAILED)
        return 0;
    pthread_mutex_lock(&nqptp->shm_mutex);
    if (nqptp->version == NQPTP_SHM_STRUCTURES_VERSION) {
        id = nqptp->master_clock_id;
        *offset = nqptp->local_to_master_time_offset;
    }
    pthread_mutex_unlock(&nqptp->shm_mutex);
    munmap(nqptp, sizeof(struct shm_structure));
    return id;
}

int main(int argc, char **argv)
{
    uint64_t id = 0, offset = 0;

    if (argc > 1)
        send_peers(argv[1]);
    for (int i = 0; i < 300 && id == 0; i++) {
        usleep(10000);
        id = query(&offset);
    }
    printf("%016" PRIx64 "\n", id);
    return id == 0;
}
END
check 'a client of 2021 compiles' compile -o "$tmp/player/player" "$tmp/player/player.c"
is 'a player reads the clock that it listed' "$("$tmp/player/player" 'T 10.77.0.2 fd77::2')" "$identity"
if is_root && has setpriv; then
    group=$(stat -c %g /dev/shm/nqptp)
    is 'a member of the group reads the clock that it listed' "$(setpriv --reuid=54321 --regid=54321 \
        --groups="$group" "$tmp/player/player" 'T fe80::2 10.77.0.2')" "$identity"
    is 'a user outside the group reads no clock' "$(setpriv --reuid=54321 --regid=54321 --clear-groups \
        "$tmp/player/player" 'T 10.77.0.2')" 0000000000000000
else
    skip 'a member of the group reads the clock that it listed' 'only root can become one'
fi
control T
is 'a player that lists no address reads no clock' "$("$tmp/player/player")" 0000000000000000

done_testing
