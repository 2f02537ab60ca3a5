/* SPDX-License-Identifier: MIT */
/*
 * Shared memory objects: making or adopting one, deciding on its layout, and publishing in it.
 *
 * Whoever maps an object of the mutex layouts may write anything into it, lock its mutex and die,
 * or cut it short. So nothing is read back from it while it is in use but the lock word and the
 * holder beside it, the daemon never waits, and no pthread function is called on the mapped mutex.
 * This module knows no PTP, and nothing outside it touches the mapping.
 */
#ifndef NQPTP_SHM_H
#define NQPTP_SHM_H

#include "nqptp-shm-structures.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#define NQPTP_SHM_SIZE 4096 /* of an object for its whole life, whatever the layout */
#define NQPTP_SHM_NO_DEADLINE UINT64_MAX
#define NQPTP_SHM_AUTO 0 /* for a layout: let the client's way of opening decide */

/* The signal that says: somebody is about to open an object; see nqptp_shm_opened(). */
#define NQPTP_SHM_SIGNAL SIGRTMIN

/* What is published. All zero is "no master". */
struct nqptp_shm_record {
    uint64_t clock_identity;
    uint64_t grandmaster_identity;
    char ip[64];            /* numeric, without scope */
    uint64_t local_time_ns; /* CLOCK_MONOTONIC_RAW, of the last sample */
    uint64_t offset_ns;     /* the master's time minus CLOCK_MONOTONIC_RAW, modulo 2^64 */
    uint64_t start_time_ns; /* CLOCK_MONOTONIC_RAW, of the first of the unbroken samples */
};

/* An object's bytes, in whatever layout. */
union nqptp_shm_image {
    pthread_mutex_t mutex;
    struct shm_structure v4;
    struct shm_structure_9 v9;
    struct shm_structure_10 v10;
};

/* What a client's last command tells of the layout that it reads. */
enum nqptp_shm_asked {
    NQPTP_SHM_ASKED_NOTHING,
    NQPTP_SHM_ASKED_BARE,  /* T: layout 4 */
    NQPTP_SHM_ASKED_NAMED, /* /name T: 8 or 9 if it opens read-write, 10 if read-only */
    NQPTP_SHM_ASKED_PLAY,  /* /name B, E or P: not 8, then */
};

struct nqptp_shm {
    char name[64]; /* with the slash */
    int fd;
    gid_t group;        /* or -1 */
    bool group_refused; /* this process may not give the object to that group */
    union nqptp_shm_image *map;
    union nqptp_shm_image image; /* the object as it shall be */
    pthread_mutex_t mutex;       /* a fresh one, unlocked */

    unsigned layout;
    bool automatic;             /* the layout may change while nobody has the object open */
    bool leased;                /* nobody has */
    bool leaseless;             /* leases are not to be had here */
    bool impatient;             /* who met the lease last was refused, and is to try again */
    uint64_t lease_ns;          /* when to try for a lease again */
    enum nqptp_shm_asked asked; /* by the last command that told, */
    uint64_t asked_ns;          /*   and when */

    bool adopted;                   /* the object still holds an earlier process's record */
    struct nqptp_shm_record record; /* as published last */
    uint64_t realtime_minus_raw_ns;
    bool pending;        /* the image waits for a client to let go of the mutex: */
    uint64_t retry_ns;   /*   when to try again, */
    uint64_t pending_ns; /*   since when it does, */
    uint64_t blocked_ns; /*   since when the mutex is held */
    int holder;          /*   by this thread */
};

/*
 * Returns whether `layout` is one of ours, or NQPTP_SHM_AUTO, and works with this C library: the
 * layouts with a mutex need one whose lock word is known, which musl's is not.
 */
bool nqptp_shm_can_serve(unsigned layout);

/*
 * Makes the object `name`, complete before it gets that name, or adopts in place the one that this
 * user left: the record in it stays as it is until there is a better one. layout is 4, 8, 9, 10,
 * or NQPTP_SHM_AUTO, which means 10 where the C library's mutex is unknown; kept is the layout that
 * an earlier process served, and is ignored if it is none. The object's group becomes `group`
 * unless that is (gid_t)-1. Every user may read layout 10. now_ns is CLOCK_MONOTONIC_RAW, here and
 * below.
 *
 * Returns 0 or -errno; -EEXIST means that the object is another user's (or, under another name than
 * /nqptp, linked or not one of ours), -EBUSY that another process of this user serves it, and it is
 * left alone. Sets group_refused if this process may not give the object to the group.
 */
int nqptp_shm_open(struct nqptp_shm *shm, const char *name, unsigned layout, unsigned kept,
                   gid_t group, uint64_t now_ns);

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

/* When to call nqptp_shm_retry(); NQPTP_SHM_NO_DEADLINE if nothing waits. */
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
 * NQPTP_SHM_SIGNAL came: somebody is opening the object, and waits until this puts the right layout
 * in place. Take in all commands first; the opener may have sent one a moment ago.
 */
void nqptp_shm_opened(struct nqptp_shm *shm, uint64_t now_ns);

/* Lets go of the object; it stays as it is for the next process. */
void nqptp_shm_close(struct nqptp_shm *shm);

/*
 * Publishes "no master", whoever holds the mutex, then removes the object, if the name still is
 * its own, and closes it.
 */
void nqptp_shm_remove(struct nqptp_shm *shm);

/*
 * Removes an object of that name unless it belongs to `owner` or somebody has it open. Returns 1
 * if it was removed, 0 if there was none or it is the owner's, -EBUSY if it is in use, or -errno.
 */
int nqptp_shm_remove_foreign(const char *name, uid_t owner);

/* Is there anything by that name? It is not opened to find out. */
bool nqptp_shm_exists(const char *name);

/* What there is by the name of an object, whoever it belongs to. */
struct nqptp_shm_found {
    uid_t owner;
    unsigned mode;
    unsigned layout; /* by the number in it; 0: it has none, or may not be read */
    bool leased;     /* a daemon lives that waits for it to be opened; then the layout is 0 */
};

/* Returns 0, or -errno: -ENOENT if there is nothing. It may cost a daemon its lease for 30 s. */
int nqptp_shm_inspect(const char *name, struct nqptp_shm_found *found);

/* Owner and mode of an object, for people: "owned by uid 0, mode 0644". */
void nqptp_shm_describe(const char *name, char *text, size_t size);

#endif
