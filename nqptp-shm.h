/* SPDX-License-Identifier: MIT */
/*
 * Shared memory objects: making or adopting one, deciding on its layout, publishing in it, and
 * keeping what its client asked for.
 *
 * A client that maps an object of the mutex layouts may write anything into it, lock its mutex and
 * die, or cut the file short. So the daemon never waits for a client, and reads nothing back while
 * the object is in use but the lock word and the holder beside it. This module knows no PTP, and
 * nothing outside it touches the mapping.
 */
#ifndef NQPTP_SHM_H
#define NQPTP_SHM_H

#include "nqptp-lease.h"
#include "nqptp-shm-file.h"
#include "nqptp-shm-layouts.h"

#define NQPTP_SHM_AUTO 0 /* For a layout: the client's way of opening decides. */

struct nqptp_shm {
    char name[64];               /* With the slash. */
    int fd;                      /* -1: there is no object. */
    gid_t group;                 /* The group of the mutex layouts, or -1. */
    bool group_refused;          /* This process may not give the object to that group. */
    union nqptp_shm_image *map;  /* Shared with the clients. */
    union nqptp_shm_image image; /* The object as it is to be, in private memory. */
    pthread_mutex_t mutex;       /* A fresh one, unlocked, in private memory. */

    const struct nqptp_shm_layout *layout;
    bool automatic;             /* The layout may change while no other process has it open. */
    struct nqptp_lease lease;   /* Of an automatic one. */
    uint64_t started_ns;        /* When this process opened its first object of that name. */
    enum nqptp_shm_asked asked; /* What the last command told about its client. */
    uint64_t asked_ns;          /* When that command came. */

    struct nqptp_shm_record record; /* As published last. */
    uint64_t realtime_minus_raw_ns; /* As published last. */
    bool pending;                   /* The image waits for a client to release the mutex. */
    uint64_t retry_ns;              /* When to try for the mutex again. */
    uint64_t pending_ns;            /* Since when the image waits. */
    uint64_t blocked_ns;            /* Since when the same thread holds the mutex. */
    int holder;                     /* The id of that thread. */
};

/*
 * Returns whether `layout` is one of ours, or NQPTP_SHM_AUTO, and works with this C library: the
 * layouts with a mutex need one whose lock word is known, which musl's is not.
 */
bool nqptp_shm_can_serve(unsigned layout);

/*
 * Makes the object `name`, complete before it gets that name, or adopts in place the one that this
 * user left: its record stays until there is a newer one. layout is 4, 8, 9, 10 or NQPTP_SHM_AUTO,
 * which means 10 where the C library's mutex is unknown. The object's group becomes `group` unless
 * that is (gid_t)-1. Every user may read layout 10. now_ns is CLOCK_MONOTONIC_RAW, here and below.
 *
 * Only a regular file of this user is adopted, with one link and a size that a version of ours
 * made, and under another name than /nqptp only if it has layout 10. Returns 0 or -errno; -EEXIST
 * means that there is something else, -EBUSY that another process of this user serves the object;
 * both are left alone. Sets group_refused if this process may not give the object to the group.
 */
int nqptp_shm_open(struct nqptp_shm *shm, const char *name, unsigned layout, gid_t group,
                   uint64_t now_ns);

/* The version number of the object's layout; 0 if there is no object. */
unsigned nqptp_shm_version(const struct nqptp_shm *shm);

/*
 * The record that an adopted object still holds: only grandmaster, offset and start time, and none
 * (start time 0) in layout 4. A client may have written it, so believe nothing of it.
 */
void nqptp_shm_inherited(const struct nqptp_shm *shm, struct nqptp_shm_record *record);

/*
 * Publishes the record, at once or, if a client holds the mutex, by nqptp_shm_retry().
 * realtime_minus_raw_ns takes the record to CLOCK_REALTIME for the layout that counts by it.
 */
void nqptp_shm_publish(struct nqptp_shm *shm, const struct nqptp_shm_record *record,
                       uint64_t realtime_minus_raw_ns, uint64_t now_ns);

/*
 * Checks that the object still has its name and its size. Only root and this user can take its
 * name. Then a new object takes its place, with the record; the old mapping is not served any more.
 * Returns 0 if the name is there, 1 if there is a new object, or -errno if there can be none.
 */
int nqptp_shm_mend(struct nqptp_shm *shm, uint64_t now_ns);

/* When to call nqptp_shm_retry(); NQPTP_NO_DEADLINE if nothing waits. */
uint64_t nqptp_shm_deadline(const struct nqptp_shm *shm);

/*
 * Tries again to write what waits, and to see whether anybody has the object open. After one second
 * in the hands of the same holder the mutex is taken from it: it must have been killed or stopped.
 * After three seconds it is taken from whoever has it.
 */
void nqptp_shm_retry(struct nqptp_shm *shm, uint64_t now_ns);

/*
 * A command of its client came: writes the record again, since something may have been done to it
 * that nobody noticed while no new one came. Returns false if the layout it asks for is another
 * than the object has, and others have the object open, so that it has to stay.
 */
bool nqptp_shm_ask(struct nqptp_shm *shm, enum nqptp_shm_asked asked, uint64_t now_ns);

/*
 * NQPTP_LEASE_SIGNAL came: puts the right layout in place for the opener that nqptp_lease_opener()
 * told of, and lets it go on. The opener may have sent a command a moment before, so read all
 * commands after that and before this. If a process has closed the object, the layout may change
 * from now on.
 */
void nqptp_shm_signalled(struct nqptp_shm *shm, enum nqptp_opener opener, uint64_t now_ns);

/* Whether another process has the object open; true if that cannot be told. */
bool nqptp_shm_is_in_use(const struct nqptp_shm *shm);

/* Closes the object; it stays as it is for the next process. */
void nqptp_shm_close(struct nqptp_shm *shm);

/*
 * Takes the object's name away, if it still has it, so that new players find no object, and closes
 * it. If another process has the object open, the file stays under a hidden name, and the record
 * stays if its client plays: the next process brings both back. Otherwise "no master" is published,
 * and the file is removed. Returns 0, or -errno if a file that is open could only be removed.
 */
int nqptp_shm_stop(struct nqptp_shm *shm, bool plays);

#endif
