/* SPDX-License-Identifier: MIT */
/*
 * Which processes have a file of ours open, and how: by a write lease (fcntl(2), F_SETLEASE).
 *
 * The kernel grants it while no other process has the file open or mapped. A process that opens the
 * file then waits in the kernel until we release the lease, or is refused if it opens with
 * O_NONBLOCK. While other processes have the file open, an inotify watch tells when one of them has
 * closed and unmapped it. NQPTP_LEASE_SIGNAL tells of both, so nothing is polled.
 */
#ifndef NQPTP_LEASE_H
#define NQPTP_LEASE_H

#include "nqptp-time.h"

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The signal that a process opens a leased file, or has closed a watched one. Keep it blocked, and
 * read it by signalfd(2).
 */
#define NQPTP_LEASE_SIGNAL SIGRTMIN

enum nqptp_lease_state {
    NQPTP_LEASE_NONE,        /* another process has the file open, or may have */
    NQPTP_LEASE_HELD,        /* no other process has the file open, and the next opener waits */
    NQPTP_LEASE_REFUSED,     /* released for an opener that did not wait, and will try again */
    NQPTP_LEASE_UNAVAILABLE, /* this file system or sandbox has no leases */
};

enum nqptp_opener {
    NQPTP_OPENER_NONE,
    NQPTP_OPENER_READ_ONLY,
    NQPTP_OPENER_READ_WRITE,
};

struct nqptp_lease {
    int fd;                   /* The file; it is the caller's. */
    char path[NAME_MAX + 32]; /* A name of the file, for where there is no /proc. */
    enum nqptp_lease_state state;
    enum nqptp_opener opener; /* How the opener that was noted opens the file. */
    int inotify;              /* -errno: there is none. */
    int watch_error;          /* -errno: no close is told, so the lease is tried for each 30 s. */
    uint64_t retry_ns;        /* When to call nqptp_lease_retry(), or NQPTP_NO_DEADLINE. */
    unsigned refusals;        /* How often the lease was refused since the last close. */
    bool starved;             /* The last try failed for want of memory. */
    bool close_waits; /* A close came too soon after the one before, and waits for retry_ns. */
    uint64_t quiet_until_ns; /* The next close is acted on then at the earliest. */
};

/* A lease that was not opened: no function does anything with it. */
#define NQPTP_LEASE_OF_NOTHING                                                                     \
    { .fd = -1, .inotify = -1, .state = NQPTP_LEASE_UNAVAILABLE, .retry_ns = NQPTP_NO_DEADLINE }

/* Takes the lease on the file, or notes that another process has it open. */
void nqptp_lease_open(struct nqptp_lease *lease, int fd, const char *path, uint64_t now_ns);

/* The file has got this path. */
void nqptp_lease_rename(struct nqptp_lease *lease, const char *path);

/* Does not close the file. */
void nqptp_lease_close(struct nqptp_lease *lease);

/* A player is about to open the file: tries to take the lease, and acts on its close at once. */
void nqptp_lease_expect(struct nqptp_lease *lease);

/*
 * Notes in lease->opener how a process opens the file and waits until the lease is released.
 * Returns whether a process waits.
 */
bool nqptp_lease_note_opener(struct nqptp_lease *lease);

/*
 * Releases the lease for the opener that was noted. `returns` says that an opener that did not wait
 * is expected to try again. Then the state becomes REFUSED, and the lease is not taken for 30 s.
 */
void nqptp_lease_release(struct nqptp_lease *lease, bool returns, uint64_t now_ns);

/* NQPTP_LEASE_SIGNAL came: tries to take the lease if a process has closed the file. */
void nqptp_lease_check_closed(struct nqptp_lease *lease, uint64_t now_ns);

/* Tries to take the lease if retry_ns has come. */
void nqptp_lease_retry(struct nqptp_lease *lease, uint64_t now_ns);

/*
 * Returns 1 if another process has the file open or mapped, 0 if none has, or -errno if the kernel
 * does not tell. If none has, the lease is held afterwards.
 */
int nqptp_lease_is_in_use(int fd);

#endif
