/* SPDX-License-Identifier: MIT */
/*
 * A client of layout 4 that also knows the true time. The readers of the tests and of the benchmark
 * share it. It knows of nqptp only the public header.
 */
#ifndef NQPTP_LAYOUT4_CLIENT_H
#define NQPTP_LAYOUT4_CLIENT_H

#include "nqptp-shm-structures.h"
#include "program.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Opens and maps the object as a client does. Returns NULL, with errno, if it cannot. */
static inline struct shm_structure *map_object(void) {
    int fd = shm_open(NQPTP_INTERFACE_NAME, O_RDWR, 0);
    if (fd < 0)
        return NULL;
    struct shm_structure *map = (struct shm_structure *)mmap(
        NULL, sizeof(struct shm_structure), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return map == MAP_FAILED ? NULL : map;
}

/* Copies the record under the mutex. Returns 0 or an error number. The copied mutex is no mutex. */
static inline int lock_and_copy(struct shm_structure *map, struct shm_structure *copy) {
    int error = pthread_mutex_lock(&map->shm_mutex);

    if (error == 0) {
        memcpy(copy, map, sizeof *copy);
        pthread_mutex_unlock(&map->shm_mutex);
    }
    return error;
}

/*
 * Returns the difference of CLOCK_REALTIME and CLOCK_MONOTONIC_RAW. It reads both several times and
 * takes the try with the least time between the readings.
 */
static inline int64_t realtime_minus_raw(void) {
    int64_t least = INT64_MAX, difference = 0;

    for (int i = 0; i < 20; i++) {
        int64_t before = now_ns(CLOCK_MONOTONIC_RAW);
        int64_t realtime = now_ns(CLOCK_REALTIME);
        int64_t after = now_ns(CLOCK_MONOTONIC_RAW);
        if (after - before < least) {
            least = after - before;
            difference = realtime - (before + least / 2);
        }
    }
    return difference;
}

/* Returns what a master that runs fast has gained by this time. ptp-sender has the same rule. */
static inline int64_t gained_ns(double ppm, int64_t raw_ns) {
    int64_t ppb = (int64_t)(ppm * 1000);
    return raw_ns / SECOND * ppb + raw_ns % SECOND * ppb / SECOND;
}

#endif
