/* SPDX-License-Identifier: MIT */
/*
 * A shared memory object: it is made or adopted, gets the layout that its client reads, and is
 * written.
 *
 * A client that maps an object of a layout with a mutex may write anything into it, lock its mutex
 * and die, or cut the file short. So the daemon never waits for a client. While the object is in
 * use it reads back only the lock word and the holder beside it. This module knows no PTP, and no
 * other module touches the mapping.
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
    gid_t group;                 /* The group that may write the layouts with a mutex, or -1. */
    bool group_refused;          /* This process may not give the object to that group. */
    union nqptp_shm_image *map;  /* Shared with the clients. */
    union nqptp_shm_image image; /* What the object is to hold, in private memory. */
    pthread_mutex_t mutex;       /* A fresh one, unlocked, in private memory. */

    const struct nqptp_shm_layout *layout;
    bool automatic;             /* The layout may change while no other process has it open. */
    struct nqptp_lease lease;   /* Opened if the layout is automatic. */
    uint64_t started_ns;        /* When this process opened its first object of that name. */
    enum nqptp_shm_asked asked; /* What the last command told about its client. */
    uint64_t asked_ns;          /* When that command came. */

    struct nqptp_shm_record record; /* The record that was published last. */
    bool pending;                   /* A client holds the mutex, and the image waits for it. */
    uint64_t retry_ns;              /* When to try for the mutex again. */
    uint64_t pending_ns;            /* Since when the image waits. */
    uint64_t blocked_ns;            /* Since when the same thread holds the mutex. */
    int holder;                     /* The id of that thread. */
};

/*
 * Returns whether `layout` is NQPTP_SHM_AUTO or a layout that works with this C library. A layout
 * with a mutex needs a mutex whose lock word is known, which that of musl is not.
 */
bool nqptp_shm_can_serve(unsigned layout);

/*
 * Makes the object `name`, complete before it gets that name, or adopts the one that this user
 * left, whose record stays until there is a newer one. `layout` is the number of a layout or
 * NQPTP_SHM_AUTO, which means 10 where the C library's mutex is unknown. The object's group becomes
 * `group` unless that is (gid_t)-1. now_ns is CLOCK_MONOTONIC_RAW, here and below.
 *
 * nqptp_shm_is_ours() tells which file is adopted. Under another name than /nqptp it must also have
 * layout 10. Returns 0 or -errno: -EEXIST if there is something else, -EBUSY if another process of
 * this user serves the object. Both are left alone. Sets group_refused if this process may not give
 * the object to the group.
 */
int nqptp_shm_open(struct nqptp_shm *shm, const char *name, unsigned layout, gid_t group,
                   uint64_t now_ns);

/* The version number of the object's layout; 0 if there is no object. */
unsigned nqptp_shm_version(const struct nqptp_shm *shm);

/*
 * Writes the record that an adopted object still holds: grandmaster, offset and start time only.
 * The start time is 0 if there is none, as in layout 4. A client may have written it: check all of
 * it.
 */
void nqptp_shm_inherited(const struct nqptp_shm *shm, struct nqptp_shm_record *record);

/*
 * Publishes the record: at once or, if a client holds the mutex, by nqptp_shm_retry(). Adding
 * realtime_minus_raw_ns to a time of the record gives CLOCK_REALTIME, which layout 4 counts by.
 */
void nqptp_shm_publish(struct nqptp_shm *shm, const struct nqptp_shm_record *record,
                       uint64_t realtime_minus_raw_ns, uint64_t now_ns);

/*
 * Checks that the object still has its name and its size. Only root and this user can remove the
 * name. Then a new object with the same record takes its place, and the old mapping is not written
 * any more. Returns 0 if the name is there, 1 if there is a new object, or -errno if none can be
 * made.
 */
int nqptp_shm_mend(struct nqptp_shm *shm, uint64_t now_ns);

/* When to call nqptp_shm_retry(); NQPTP_NO_DEADLINE if nothing waits. */
uint64_t nqptp_shm_deadline(const struct nqptp_shm *shm);

/*
 * Tries again for the mutex and for the lease, if it is time. A client that holds the mutex for a
 * second must have been killed or stopped, so the daemon takes the mutex over. If several clients
 * held it in turn, that happens after three seconds.
 */
void nqptp_shm_retry(struct nqptp_shm *shm, uint64_t now_ns);

/*
 * A command of the object's client came. Writes the image again: a client may have written over it
 * since the last record. Returns false if the command asks for another layout than the object has,
 * and the layout must stay because other processes have the object open.
 */
bool nqptp_shm_ask(struct nqptp_shm *shm, enum nqptp_shm_asked asked, uint64_t now_ns);

/*
 * NQPTP_LEASE_SIGNAL came: puts the right layout in place for the opener that
 * nqptp_lease_note_opener() noted, and lets it go on. The opener may have sent a command a moment
 * before, so read all commands after that and before this. If one of them renewed the object, no
 * opener is noted any more. If a process has closed the object, the layout may change from now on.
 */
void nqptp_shm_signalled(struct nqptp_shm *shm, uint64_t now_ns);

/* Returns whether another process has the object open; true if the kernel does not tell. */
bool nqptp_shm_is_in_use(const struct nqptp_shm *shm);

/* Closes the object, which stays for the next process. */
void nqptp_shm_close(struct nqptp_shm *shm);

/*
 * Takes the object's name away, if it still has it, so that new players find no object, and closes
 * it. If another process has the object open, the file stays under a hidden name, and the record
 * stays if its client plays: the next process brings both back. Otherwise "no master" is published,
 * and the file is removed. Returns 0, or -errno if a file that is open could only be removed.
 */
int nqptp_shm_stop(struct nqptp_shm *shm, bool plays);

#endif
