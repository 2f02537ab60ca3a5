/* SPDX-License-Identifier: MIT */
/*
 * Leases.
 *
 * While a process opens a leased file, F_GETLEASE returns F_RDLCK if it opens read-only, and
 * F_UNLCK if it opens read-write. F_SETLEASE fails with EAGAIN while the opener waits, because the
 * kernel counts it as a process that has the file open. It succeeds if the opener has gone.
 *
 * Taking the lease again: arm a one-shot watch for a close, then try the lease. The other order
 * misses a close in between. The kernel tells of the close a moment before it grants the lease: up
 * to 0.1 ms in 1 to 3 of 1,000 cases. So after a refusal the lease is tried for again after 1, 10,
 * 100 and 1000 ms; if it is still refused another process has the file open, and its close will be
 * told. A client of 2021 opens and closes the file hundreds of times a second, so the daemon acts
 * on at most ten closes in a second, and at once after a command. With one in a second, a player
 * that starts 0.2 s after a client of 2021 could find layout 4.
 *
 * An opener that is gone when the daemon releases the lease was refused because it opened with
 * O_NONBLOCK, as musl's shm_open() does; or it was killed; or the kernel let it in while the daemon
 * was stopped for over 45 s. A refused player tries again, and must not be refused twice, so the
 * lease is left alone for 30 s. This matters only if it opened read-only: a player with musl cannot
 * use the mutex of glibc. After a read-write opener the lease is taken again at once.
 *
 * Traps: releasing a lease resets F_SETSIG, and the next opener would then be told by SIGIO. So the
 * signal is set again with each lease. On Linux 5.10 F_SETLEASE succeeds also while a read-only
 * opener waits, which is then taken for one that was refused; its close brings the lease back.
 */
#include "nqptp-lease.h"

#include "nqptp-time.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#define QUIET_NS (100 * NQPTP_MS)       /* Between two closes that are acted on. */
#define UNWATCHED_NS (30000 * NQPTP_MS) /* Between tries where no close is told. */
#define CHECK_NS (1000 * NQPTP_MS)      /* Then an opener that was killed in opening has gone. */
#define RETURN_NS (30000 * NQPTP_MS)    /* A player that was refused is started again by then. */

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

/* Asks to be told of the next close. Returns 0, or -errno if that does not work here. */
static int arm(const struct nqptp_lease *lease) {
    char path[32];

    if (lease->inotify < 0)
        return lease->inotify;
    snprintf(path, sizeof path, "/proc/self/fd/%d", lease->fd);
    return inotify_add_watch(lease->inotify, path, IN_CLOSE | IN_ONESHOT) >= 0 ||
                   inotify_add_watch(lease->inotify, lease->path, IN_CLOSE | IN_ONESHOT) >= 0
               ? 0
               : -errno;
}

static bool read_events(const struct nqptp_lease *lease) {
    char events[1024];
    bool any = false;

    while (lease->inotify >= 0 && read(lease->inotify, events, sizeof events) > 0)
        any = true;
    return any;
}

/* --- the lease -------------------------------------------------------------------------------- */

static bool wants_lease(const struct nqptp_lease *lease) {
    return lease->state == NQPTP_LEASE_NONE || lease->state == NQPTP_LEASE_REFUSED;
}

static void take(struct nqptp_lease *lease) {
    if (!wants_lease(lease))
        return;
    fcntl(lease->fd, F_SETSIG, NQPTP_LEASE_SIGNAL);
    int error = fcntl(lease->fd, F_SETLEASE, F_WRLCK) == 0 ? 0 : errno;
    if (error == ENOMEM && lease->refusals == PAUSES) /* no close will be told: try again */
        lease->refusals = lease->starved ? PAUSES - 1 : 0;
    lease->starved = error == ENOMEM;
    lease->state = error == 0                           ? NQPTP_LEASE_HELD
                   : error == EAGAIN || error == ENOMEM ? NQPTP_LEASE_NONE
                                                        : NQPTP_LEASE_UNAVAILABLE;
    if (!wants_lease(lease))
        lease->retry_ns = NQPTP_NO_DEADLINE;
}

/* When to try next after the lease was refused. */
static uint64_t next_try_ns(struct nqptp_lease *lease, uint64_t now_ns) {
    if (lease->watch_error)
        return now_ns + UNWATCHED_NS;
    if (lease->refusals < PAUSES)
        return now_ns + pauses_ns[lease->refusals++];
    return NQPTP_NO_DEADLINE;
}

static void arm_and_take(struct nqptp_lease *lease, uint64_t now_ns) {
    lease->watch_error = arm(lease);
    take(lease);
    if (wants_lease(lease))
        lease->retry_ns = next_try_ns(lease, now_ns);
}

/* --- for the object --------------------------------------------------------------------------- */

void nqptp_lease_open(struct nqptp_lease *lease, int fd, const char *path, uint64_t now_ns) {
    *lease = (struct nqptp_lease){
        .fd = fd, .inotify = open_inotify(), .refusals = PAUSES, .retry_ns = NQPTP_NO_DEADLINE};
    nqptp_lease_rename(lease, path);
    arm_and_take(lease, now_ns);
}

void nqptp_lease_rename(struct nqptp_lease *lease, const char *path) {
    snprintf(lease->path, sizeof lease->path, "%s", path);
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

    lease->watch_error = arm(lease);
    bool gone = fcntl(lease->fd, F_SETLEASE, F_WRLCK) == 0;
    bool refused = gone && returns && reads;

    fcntl(lease->fd, F_SETLEASE, F_UNLCK);
    lease->state = refused ? NQPTP_LEASE_REFUSED : NQPTP_LEASE_NONE;
    lease->refusals = PAUSES;
    lease->close_waits = false;
    lease->retry_ns = now_ns + (refused ? RETURN_NS : CHECK_NS);
    lease->opener = NQPTP_OPENER_NONE;
    if (gone && !reads)
        take(lease);
}

void nqptp_lease_check_closed(struct nqptp_lease *lease, uint64_t now_ns) {
    if (!read_events(lease) || !wants_lease(lease))
        return;
    lease->close_waits = true;
    lease->retry_ns = lease->quiet_until_ns;
    nqptp_lease_retry(lease, now_ns);
}

void nqptp_lease_retry(struct nqptp_lease *lease, uint64_t now_ns) {
    if (!wants_lease(lease) || now_ns < lease->retry_ns)
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
