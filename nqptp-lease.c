/* SPDX-License-Identifier: MIT */
/*
 * Holds one lease and one inotify watch on a file. The states are in nqptp-lease.h. It never opens
 * the file, never waits, and never reads or writes what is in the file.
 *
 * Openers. While a process opens a leased file, F_GETLEASE returns F_RDLCK if it opens read-only,
 * and F_UNLCK if it opens read-write. F_SETLEASE fails with EAGAIN while the opener waits, because
 * the kernel counts it as a process that has the file open. It succeeds if the opener is gone.
 *
 * An opener is gone when the daemon releases the lease in three cases. The kernel refused it
 * because it opened with O_NONBLOCK, as musl's shm_open() does; it was killed; or the kernel let it
 * in after the daemon had been stopped for over 45 s. A player that was refused tries again and
 * must not be refused twice, so the daemon does not take the lease for 30 s. It matters only for a
 * read-only opener: a player with musl cannot use the mutex of glibc. After a read-write opener the
 * daemon takes the lease again at once.
 *
 * Closes. The daemon arms a watch that tells of one close, then tries to take the lease. The other
 * order misses a close in between. The kernel tells of the close up to 0.1 ms before it grants the
 * lease, in 1 to 3 of 1,000 cases. So after a refusal the daemon tries again after 1, 10, 100 and
 * 1000 ms. If the kernel still refuses, another process has the file open, and the kernel will tell
 * of its close. A client of 2021 opens and closes the file hundreds of times a second, so the
 * daemon acts on at most ten closes in a second, and at once after a command. With one in a second,
 * a player that started 0.2 s after a client of 2021 sometimes found layout 4.
 *
 * Two properties of the kernel. Releasing a lease resets F_SETSIG, and the kernel would tell of the
 * next opener by SIGIO: so the signal is set again with each lease. On Linux 5.10 F_SETLEASE also
 * succeeds while a read-only opener waits. The daemon then takes that opener for one that was
 * refused; its close brings the lease back.
 */
#include "nqptp-lease.h"

#include "nqptp-time.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#define QUIET_NS (100 * NQPTP_MS)       /* The time between two closes that are acted on. */
#define UNWATCHED_NS (30000 * NQPTP_MS) /* The time between two tries without a watch. */
#define CHECK_NS (1000 * NQPTP_MS)      /* After this an opener that was killed is gone. */
#define RETURN_NS (30000 * NQPTP_MS)    /* After this a player that was refused has come back. */

/* The time to wait after each refusal in a row. */
static const uint64_t pauses_ns[] = {1 * NQPTP_MS, 10 * NQPTP_MS, 100 * NQPTP_MS, 1000 * NQPTP_MS};

enum { PAUSES = sizeof pauses_ns / sizeof *pauses_ns };

/* --- the watch -------------------------------------------------------------------------------- */

/* Returns the descriptor of an inotify instance that sends NQPTP_LEASE_SIGNAL, or -errno. */
static int open_inotify(void) {
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    if (fd < 0)
        return -errno;
    fcntl(fd, F_SETOWN, getpid());
    fcntl(fd, F_SETSIG, NQPTP_LEASE_SIGNAL);
    fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC);
    return fd;
}

/* Asks the kernel to tell of the next close, and notes why it does not. */
static void arm(struct nqptp_lease *lease) {
    int error = lease->inotify;

    if (error >= 0)
        error =
            inotify_add_watch(lease->inotify, lease->path, IN_CLOSE | IN_ONESHOT) < 0 ? -errno : 0;
    lease->watch_error = error == -ENOENT ? 0 : error; /* A new file has no name yet. */
}

/* Reads what the watch told. Returns whether it told of a close. */
static bool read_events(const struct nqptp_lease *lease) {
    char events[1024];
    bool any = false;

    while (read(lease->inotify, events, sizeof events) > 0)
        any = true;
    return any;
}

/* --- the lease -------------------------------------------------------------------------------- */

static bool has_no_lease(const struct nqptp_lease *lease) {
    return lease->state == NQPTP_LEASE_NONE || lease->state == NQPTP_LEASE_REFUSED;
}

/* Tries to take the lease. Without memory no close will be told, so the last pause is repeated. */
static void take(struct nqptp_lease *lease) {
    if (!has_no_lease(lease))
        return;
    fcntl(lease->fd, F_SETSIG, NQPTP_LEASE_SIGNAL);
    int error = fcntl(lease->fd, F_SETLEASE, F_WRLCK) == 0 ? 0 : errno;
    if (error == ENOMEM && lease->refusals == PAUSES)
        lease->refusals--;
    lease->state = error == 0                           ? NQPTP_LEASE_HELD
                   : error == EAGAIN || error == ENOMEM ? NQPTP_LEASE_NONE
                                                        : NQPTP_LEASE_UNAVAILABLE;
    if (!has_no_lease(lease))
        lease->retry_ns = NQPTP_NO_DEADLINE;
}

/* Returns when to try next after the kernel refused the lease. */
static uint64_t next_try_ns(struct nqptp_lease *lease, uint64_t now_ns) {
    if (lease->watch_error)
        return now_ns + UNWATCHED_NS;
    if (lease->refusals < PAUSES)
        return now_ns + pauses_ns[lease->refusals++];
    return NQPTP_NO_DEADLINE;
}

static void arm_and_take(struct nqptp_lease *lease, uint64_t now_ns) {
    arm(lease);
    take(lease);
    if (has_no_lease(lease))
        lease->retry_ns = next_try_ns(lease, now_ns);
}

/* --- for the object --------------------------------------------------------------------------- */

void nqptp_lease_open(struct nqptp_lease *lease, int fd, const char *path, uint64_t now_ns) {
    *lease = (struct nqptp_lease){
        .fd = fd, .inotify = open_inotify(), .refusals = PAUSES, .retry_ns = NQPTP_NO_DEADLINE};
    snprintf(lease->path, sizeof lease->path, "%s", path);
    take(lease); /* A new file has no name yet, and needs no watch. */
    if (has_no_lease(lease))
        arm_and_take(lease, now_ns);
}

void nqptp_lease_close(struct nqptp_lease *lease) {
    if (lease->inotify >= 0)
        close(lease->inotify);
    lease->inotify = -1;
}

void nqptp_lease_expect(struct nqptp_lease *lease) {
    lease->quiet_until_ns = 0;
    take(lease);
}

bool nqptp_lease_note_opener(struct nqptp_lease *lease) {
    int left = lease->state == NQPTP_LEASE_HELD ? fcntl(lease->fd, F_GETLEASE) : F_WRLCK;

    lease->opener = left == F_RDLCK   ? NQPTP_OPENER_READ_ONLY
                    : left == F_UNLCK ? NQPTP_OPENER_READ_WRITE
                                      : NQPTP_OPENER_NONE;
    return lease->opener != NQPTP_OPENER_NONE;
}

void nqptp_lease_release(struct nqptp_lease *lease, bool returns, uint64_t now_ns) {
    bool reads = lease->opener == NQPTP_OPENER_READ_ONLY;

    arm(lease);
    bool gone = fcntl(lease->fd, F_SETLEASE, F_WRLCK) == 0;
    bool refused = gone && returns && reads;

    fcntl(lease->fd, F_SETLEASE, F_UNLCK);
    lease->state = refused ? NQPTP_LEASE_REFUSED : NQPTP_LEASE_NONE;
    lease->refusals = PAUSES;
    lease->retry_ns = now_ns + (refused ? RETURN_NS : CHECK_NS);
    if (gone && !reads)
        take(lease);
}

void nqptp_lease_check_closed(struct nqptp_lease *lease, uint64_t now_ns) {
    if (!read_events(lease) || !has_no_lease(lease))
        return;
    lease->close_waits = true;
    lease->retry_ns = lease->quiet_until_ns;
    nqptp_lease_retry(lease, now_ns);
}

void nqptp_lease_retry(struct nqptp_lease *lease, uint64_t now_ns) {
    if (!has_no_lease(lease) || now_ns < lease->retry_ns)
        return;
    if (lease->close_waits) {
        lease->close_waits = false;
        lease->refusals = 0;
        lease->quiet_until_ns = now_ns + QUIET_NS;
    }
    arm_and_take(lease, now_ns);
}

int nqptp_lease_is_in_use(int fd) {
    if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0)
        return 0;
    return errno == EAGAIN ? 1 : -errno;
}
