/* SPDX-License-Identifier: MIT */
/*
 * Which processes have a file of ours open, and how: by a write lease (fcntl(2), F_SETLEASE).
 *
 * The kernel grants it while no other process has the file open or mapped. A process that opens the
 * file then waits in the kernel until we release the lease, or is refused if it opens with
 * O_NONBLOCK. NQPTP_LEASE_SIGNAL tells us of it.
 */
#ifndef NQPTP_LEASE_H
#define NQPTP_LEASE_H

#include <signal.h>

/* The signal that a process is opening a leased file. Keep it blocked, and read it by signalfd(2).
 */
#define NQPTP_LEASE_SIGNAL SIGRTMIN

enum nqptp_lease {
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

/* Tries to take the lease. Returns HELD, NONE or UNAVAILABLE. */
enum nqptp_lease nqptp_lease_take(int fd);

/* How the process opens the file that waits for us to release the lease. */
enum nqptp_opener nqptp_lease_opener(int fd);

/* Releases the lease. Returns NONE if an opener waited, which now has the file open, else REFUSED.
 */
enum nqptp_lease nqptp_lease_release(int fd);

#endif
