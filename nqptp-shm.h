/* SPDX-License-Identifier: MIT */
/*
 * A shared memory object: the daemon makes or adopts it, gives it the layout that its client reads,
 * and writes records into it.
 *
 * A client that maps an object of a layout with a mutex may write anything into it, may die with
 * the mutex locked, and may cut the file short. So the daemon never waits for a client. While the
 * object is in use it reads back only the lock word and the holder beside it. This module knows no
 * PTP, and no other module touches the mapping.
 */
#ifndef NQPTP_SHM_H
#define NQPTP_SHM_H

#include "nqptp-lease.h"
#include "nqptp-shm-file.h"
#include "nqptp-shm-layouts.h"

#define NQPTP_SHM_AUTO 0 /* A layout that each client decides by its way of opening. */

struct nqptp_shm {
    char name[64];               /* With the slash. */
    int fd;                      /* -1: there is no object. */
    gid_t group;                 /* The group that may write the layouts with a mutex, or -1. */
    bool group_refused;          /* This process may not give the object to that group. */
    union nqptp_shm_image *map;  /* Shared with the clients. */
    union nqptp_shm_image image; /* The bytes to write, in private memory. */
    pthread_mutex_t mutex;       /* A fresh one, unlocked, in private memory. */

    const struct nqptp_shm_layout *layout;
    bool automatic;             /* The layout may change while no other process has it open. */
    struct nqptp_lease lease;   /* It is opened if the layout is automatic. */
    uint64_t started_ns;        /* When this process opened its first object of that name. */
    enum nqptp_shm_asked asked; /* What the last command told of its client. */
    uint64_t asked_ns;          /* When that command came. */

    struct nqptp_shm_record record; /* The record that was published last. */
    bool pending;                   /* A client holds the mutex, and the image waits for it. */
    uint64_t retry_ns;              /* When to try for the mutex again. */
    uint64_t pending_ns;            /* When the image began to wait. */
    uint64_t blocked_ns;            /* When the daemon first saw the same holder. */
    int holder;                     /* The thread id of the holder. */
};

/*
 * Returns whether `layout` is NQPTP_SHM_AUTO or a layout that works with this C library. A layout
 * with a mutex needs a mutex whose lock word is known, which that of musl is not.
 */
bool nqptp_shm_can_serve(unsigned layout);

/*
 * Makes the object `name`, complete before it gets that name. Or adopts the object that an earlier
 * process of this user left, whose record stays until there is a newer one. nqptp_shm_can_serve()
 * must be true of `layout`. NQPTP_SHM_AUTO means 10 where the C library's mutex is unknown. The
 * object gets that group unless it is (gid_t)-1. Sets group_refused if this process may not give it
 * the group. now_ns is CLOCK_MONOTONIC_RAW, here and below.
 *
 * nqptp_shm_is_ours() tells which file is adopted. Under another name than /nqptp it must also have
 * layout 10. Returns 0 or -errno: -EEXIST if another file has the name, -EBUSY if another process
 * of this user serves the object. Both files are left alone.
 */
int nqptp_shm_open(struct nqptp_shm *shm, const char *name, unsigned layout, gid_t group,
                   uint64_t now_ns);

/* Returns the version number of the object's layout; 0 if there is no object. */
unsigned nqptp_shm_version(const struct nqptp_shm *shm);

/*
 * Writes to *record what an adopted object still has: grandmaster, offset and start time. The start
 * time is 0 if the layout has none. A client may have written these, so the caller must check them.
 */
void nqptp_shm_inherited(const struct nqptp_shm *shm, struct nqptp_shm_record *record);

/*
 * Publishes the record: at once or, if a client holds the mutex, by nqptp_shm_retry(). Layout 4 has
 * times of CLOCK_REALTIME: those of the record plus realtime_minus_raw_ns.
 */
void nqptp_shm_publish(struct nqptp_shm *shm, const struct nqptp_shm_record *record,
                       uint64_t realtime_minus_raw_ns, uint64_t now_ns);

/*
 * Looks whether the object still has its name, which only root and this user can remove. If not,
 * makes a new object with the same record, and serves the old mapping no more. Also gives the file
 * its size again. Returns 0 if the name is there, 1 if there is a new object, or -errno if none can
 * be made.
 */
int nqptp_shm_mend(struct nqptp_shm *shm, uint64_t now_ns);

/* Returns when to call nqptp_shm_retry(); NQPTP_NO_DEADLINE if nothing waits. */
uint64_t nqptp_shm_deadline(const struct nqptp_shm *shm);

/*
 * Tries again to take the mutex and the lease, if that is due. The daemon takes the mutex over if
 * one client has held it for 1 s, because that client must have been killed or stopped; or if
 * several clients have held it in turn for 3 s.
 */
void nqptp_shm_retry(struct nqptp_shm *shm, uint64_t now_ns);

/*
 * A command of the object's client came. Writes the image again, because a client may have written
 * over it since the last record. Returns false if the client needs another layout, but the layout
 * must stay because other processes have the object open.
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
 * Removes the object's name, so that new players find no object, and closes the object. If another
 * process has it open, the file stays under a hidden name, and the next daemon brings it back. Then
 * the record stays if the client plays. Otherwise "no master" is published. Returns 0, or -errno if
 * the file could not be put aside or removed.
 */
int nqptp_shm_stop(struct nqptp_shm *shm, bool plays);

#endif
