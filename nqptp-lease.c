/* SPDX-License-Identifier: MIT */
/*
 * Leases.
 *
 * While a lease is being broken F_GETLEASE says what the opener wants: F_RDLCK if it opens
 * read-only, F_UNLCK if it opens read-write. F_SETLEASE then fails with EAGAIN while the opener
 * waits, since it counts as a process that has the file open. It succeeds if the opener has gone.
 *
 * Traps: to release a lease resets F_SETSIG, and the next break would then come as SIGIO, so the
 * signal is set again with each lease. On Linux 5.10 F_SETLEASE succeeds also while a read-only
 * opener waits, which is then taken for one that was refused.
 */
#include "nqptp-lease.h"

#include <errno.h>
#include <fcntl.h>

enum nqptp_lease nqptp_lease_take(int fd) {
    fcntl(fd, F_SETSIG, NQPTP_LEASE_SIGNAL);
    if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0)
        return NQPTP_LEASE_HELD;
    return errno == EAGAIN ? NQPTP_LEASE_NONE : NQPTP_LEASE_UNAVAILABLE;
}

enum nqptp_opener nqptp_lease_opener(int fd) {
    switch (fcntl(fd, F_GETLEASE)) {
    case F_RDLCK:
        return NQPTP_OPENER_READ_ONLY;
    case F_UNLCK:
        return NQPTP_OPENER_READ_WRITE;
    default:
        return NQPTP_OPENER_NONE;
    }
}

enum nqptp_lease nqptp_lease_release(int fd) {
    enum nqptp_lease left =
        fcntl(fd, F_SETLEASE, F_WRLCK) == 0 ? NQPTP_LEASE_REFUSED : NQPTP_LEASE_NONE;

    fcntl(fd, F_SETLEASE, F_UNLCK);
    return left;
}
