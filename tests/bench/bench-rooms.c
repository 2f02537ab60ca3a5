/* SPDX-License-Identifier: MIT */
/*
 * Reads the objects of two daemons, both of layout 10, a thousand times a second, and prints the
 * difference of their offsets. Both daemons and this program run on one machine, so they have the
 * same CLOCK_MONOTONIC_RAW: players in two rooms would play that far apart.
 *
 * usage: bench-rooms OBJECT OBJECT SECONDS MAX-US
 *
 * It begins when both daemons have had a master for 400 ms, because players wait so long too. It
 * prints the median, the 99th percentile and the maximum in microseconds, separated by commas. It
 * exits with 1 if the maximum is above MAX-US, and with 2 if an object has another layout or loses
 * its master.
 */
#include "../lib/layout4-client.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#define AGE_NS (400 * MS)
#define PATIENCE_NS (10 * SECOND)
#define READS_MAX 200000

struct room {
    const char *path;
    const struct shm_structure_10 *map;
};

static struct room open_room(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *map = fd < 0 ? MAP_FAILED
                       : mmap(NULL, sizeof(struct shm_structure_10), PROT_READ, MAP_SHARED, fd, 0);

    if (map == MAP_FAILED)
        quit(2, "%s: cannot map it", path);
    close(fd);
    return (struct room){path, map};
}

static struct shm_structure_set read_room(const struct room *room) {
    struct shm_structure_10 first, second;

    do {
        memcpy(&first, (const void *)room->map, sizeof first);
        atomic_thread_fence(memory_order_seq_cst);
        memcpy(&second, (const void *)room->map, sizeof second);
        if (first.version != 10)
            quit(2, "%s: it is not of layout 10", room->path);
    } while (memcmp(&first.main, &second.secondary, sizeof first.main) != 0);
    return first.main;
}

static bool is_playable(const struct room *room) {
    struct shm_structure_set set = read_room(room);
    return set.master_clock_id != 0 &&
           now_ns(CLOCK_MONOTONIC_RAW) - (int64_t)set.master_clock_start_time >= AGE_NS;
}

static void wait_ms(void) {
    nanosleep(&(struct timespec){.tv_nsec = MS}, NULL);
}

static int64_t disagreement_ns(const struct room rooms[2]) {
    struct shm_structure_set a = read_room(&rooms[0]), b = read_room(&rooms[1]);

    if (a.master_clock_id == 0 || b.master_clock_id == 0)
        quit(2, "%s: it has lost its master", rooms[a.master_clock_id != 0].path);
    return llabs((int64_t)(a.local_to_master_time_offset - b.local_to_master_time_offset));
}

int main(int argc, char **argv) {
    static int64_t reads[READS_MAX];
    size_t count = 0;

    if (argc != 5)
        quit(2, "usage: OBJECT OBJECT SECONDS MAX-US");
    prctl(PR_SET_TIMERSLACK, 1UL);
    struct room rooms[2] = {open_room(argv[1]), open_room(argv[2])};
    int64_t begun_ns = now_ns(CLOCK_MONOTONIC_RAW);
    while (!is_playable(&rooms[0]) || !is_playable(&rooms[1])) {
        if (now_ns(CLOCK_MONOTONIC_RAW) > begun_ns + PATIENCE_NS)
            quit(2, "both rooms: no master in 10 s");
        wait_ms();
    }
    int64_t end_ns = now_ns(CLOCK_MONOTONIC_RAW) + (int64_t)(atof(argv[3]) * 1e9);
    while (now_ns(CLOCK_MONOTONIC_RAW) < end_ns && count < READS_MAX) {
        reads[count++] = disagreement_ns(rooms);
        wait_ms();
    }
    sort_numbers(reads, count);
    double max_us = (double)reads[count - 1] / 1000;
    size_t middle = count / 2, late = (count - 1) * 99 / 100;
    printf("%.1f,%.1f,%.1f\n", (double)reads[middle] / 1000, (double)reads[late] / 1000, max_us);
    return max_us > atof(argv[4]);
}
