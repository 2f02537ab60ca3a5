/* SPDX-License-Identifier: MIT */
/*
 * The shared memory object: making or adopting it, and publishing records in it under its mutex.
 *
 * Whoever maps the object may write anything into it, lock its mutex and die, or cut it short. So
 * nothing is ever read back from it but the lock word and the holder beside it, the daemon never
 * waits, and no pthread function is called on the mapped mutex. This module knows no PTP, and
 * nothing outside it touches the mapping.
 */
#ifndef NQPTP_SHM_H
#define NQPTP_SHM_H

#include "nqptp-shm-structures.h"

#include <stdbool.h>
#include <sys/types.h>

#define NQPTP_SHM_SIZE 4096 /* of the object for its whole life, whatever the layout */
#define NQPTP_SHM_NO_DEADLINE UINT64_MAX

/* What is published. All zero is "no master". */
struct nqptp_shm_record {
    uint64_t clock_identity;
    char ip[64];            /* numeric, without scope */
    uint64_t local_time_ns; /* CLOCK_MONOTONIC_RAW, of the last sample */
    uint64_t offset_ns;     /* the master's time minus CLOCK_MONOTONIC_RAW, modulo 2^64 */
};

struct nqptp_shm {
    const char *name;
    int fd;
    struct shm_structure *map;
    struct shm_structure image; /* the object as it shall be, with a fresh, unlocked mutex */
    bool by_lock_word;          /* the mutex is as we know it; else pthread_mutex_trylock() */
    bool pending;               /* the image waits for a client to let go of the mutex: */
    uint64_t retry_ns;          /*   when to try again, */
    uint64_t blocked_ns;        /*   since when the mutex is held */
    int holder;                 /*   by this thread */
};

#define NQPTP_SHM_INIT                                                                             \
    { .name = NQPTP_INTERFACE_NAME, .fd = -1 }

/*
 * Makes the object, complete before it gets its name, or adopts in place the one that this user
 * left: the record in it stays as it is until there is a better one. Its group becomes `group`
 * unless that is (gid_t)-1. Returns 0 or -errno; -EEXIST means that the object is another user's.
 * -EPERM: all is well but for the group, which this process may not give.
 */
int nqptp_shm_open(struct nqptp_shm *shm, gid_t group);

/*
 * Publishes the record, at once or, if a client holds the mutex, by nqptp_shm_retry().
 * realtime_minus_raw_ns takes the record to the clock that the layout counts by; now_ns is
 * CLOCK_MONOTONIC_RAW, as below.
 */
void nqptp_shm_publish(struct nqptp_shm *shm, const struct nqptp_shm_record *record,
                       uint64_t realtime_minus_raw_ns, uint64_t now_ns);

/* When to call nqptp_shm_retry(); NQPTP_SHM_NO_DEADLINE if nothing waits. */
uint64_t nqptp_shm_deadline(const struct nqptp_shm *shm);

/*
 * Tries again to write what waits. After one second in the hands of the same holder the mutex is
 * taken from it: it must have been killed or stopped.
 */
void nqptp_shm_retry(struct nqptp_shm *shm, uint64_t now_ns);

/* Lets go of the object; it stays as it is for the next process. */
void nqptp_shm_close(struct nqptp_shm *shm);

/* Publishes "no master", whoever holds the mutex, then removes the object and closes it. */
void nqptp_shm_remove(struct nqptp_shm *shm);

/*
 * Removes an object of that name unless it belongs to `owner` or somebody has it open. Returns 1
 * if it was removed, 0 if there was none or it is the owner's, -EBUSY if it is in use, or -errno.
 */
int nqptp_shm_remove_foreign(const char *name, uid_t owner);

/* Owner and mode of an object, for people: "owned by uid 0, mode 0644". */
void nqptp_shm_describe(const char *name, char *text, size_t size);

#endif
