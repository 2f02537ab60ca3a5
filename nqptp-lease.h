/* SPDX-License-Identifier: MIT */
/*
 * Which processes have a file of ours open, and how: by a write lease (fcntl(2), F_SETLEASE).
 *
 * The kernel grants the lease while no other process has the file open or mapped. While the daemon
 * holds it, a process that opens the file waits in the kernel until the daemon releases the lease.
 * With O_NONBLOCK the kernel refuses the process. While other processes have the file open, an
 * inotify watch tells when one of them has closed and unmapped it. NQPTP_LEASE_SIGNAL tells of both
 * events, so nothing is polled.
 */
#ifndef NQPTP_LEASE_H
#define NQPTP_LEASE_H

#include "nqptp-time.h"

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The signal that says that a process opens a leased file, or has closed a watched one. Keep it
 * blocked, and read it by signalfd(2).
 */
#define NQPTP_LEASE_SIGNAL SIGRTMIN

enum nqptp_lease_state {
    NQPTP_LEASE_NONE,        /* Another process has the file open, or may have it. */
    NQPTP_LEASE_HELD,        /* No other process has the file open. The next opener waits. */
    NQPTP_LEASE_REFUSED,     /* Released for an opener that did not wait and will try again. */
    NQPTP_LEASE_UNAVAILABLE, /* This file system or sandbox has no leases. */
};

enum nqptp_opener {
    NQPTP_OPENER_NONE,
    NQPTP_OPENER_READ_ONLY,
    NQPTP_OPENER_READ_WRITE,
};

struct nqptp_lease {
    int fd;                   /* The file; it is the caller's. */
    char path[NAME_MAX + 32]; /* The name of the file, for the watch. */
    enum nqptp_lease_state state;
    enum nqptp_opener opener; /* How the opener that was noted opens the file. */
    int inotify;              /* The descriptor, or -errno if there is none. */
    int watch_error;          /* -errno: no close is told, and each 30 s there is a try. */
    unsigned refusals;        /* How often the kernel refused the lease since the last close. */
    bool close_waits;         /* A close came too soon after another and waits for retry_ns. */
    uint64_t retry_ns;        /* When to call nqptp_lease_retry(), or NQPTP_NO_DEADLINE. */
    uint64_t quiet_until_ns;  /* Until then a close waits. */
};

/* A lease that was not opened: no function does anything with it. */
#define NQPTP_LEASE_OF_NOTHING                                                                     \
    { .fd = -1, .inotify = -1, .state = NQPTP_LEASE_UNAVAILABLE, .retry_ns = NQPTP_NO_DEADLINE }

/*
 * Takes the lease on the file, or notes that another process has it open. A file that has no name
 * yet gets this path later.
 */
void nqptp_lease_open(struct nqptp_lease *lease, int fd, const char *path, uint64_t now_ns);

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
