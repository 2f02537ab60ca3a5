/* SPDX-License-Identifier: MIT */
/* System calls of the loop that fail: see the header. */
#include "nqptp-faults.h"

#include "nqptp-time.h"

#include <errno.h>
#include <unistd.h>

#define ROUND_NS (100 * NQPTP_MS) /* A player's sample may be 0.5 s old. */

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
