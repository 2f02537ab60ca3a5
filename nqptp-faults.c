/* SPDX-License-Identifier: MIT */
/*
 * Faults of the event loop: see the header.
 *
 * A round of the loop notes each result with nqptp_faults_note(), and ends with
 * nqptp_faults_slow_down(). The state is the last error of the present round. The daemon never ends
 * for a fault, because players can still read the last values: it warns once in 5 s and goes on.
 */
#include "nqptp-faults.h"

#include "nqptp-time.h"

#include <errno.h>
#include <unistd.h>

#define ROUND_NS (100 * NQPTP_MS) /* Samples stay fresh: a player's may be 0.5 s old. */

int nqptp_faults_note(struct nqptp_faults *faults, int result) {
    if (result < 0 && result != -EINTR)
        faults->error = result;
    return result;
}

bool nqptp_faults_read(struct nqptp_faults *faults, int fd, void *data, size_t size) {
    ssize_t count = read(fd, data, size);

    if (count < 0 && errno != EAGAIN && errno != ECANCELED)
        nqptp_faults_note(faults, -errno);
    return count == (ssize_t)size;
}

void nqptp_faults_slow_down(struct nqptp_faults *faults, uint64_t now_ns) {
    if (faults->error == 0)
        return;
    if (nqptp_warning_due(&faults->warning, now_ns))
        nqptp_log_error(LOG_WARNING, faults->error,
                        "the event loop is slowed down: a system call failed");
    faults->error = 0;
    nanosleep(&(struct timespec){.tv_nsec = ROUND_NS}, NULL);
}
