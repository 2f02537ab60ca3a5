/* SPDX-License-Identifier: MIT */
/*
 * System calls of the event loop that should not fail. When one fails, it most likely fails again
 * in the next round, and epoll reports its descriptor again at once. Then each round of the loop
 * takes 100 ms, so that the daemon does not spin, and the log says why.
 */
#ifndef NQPTP_FAULTS_H
#define NQPTP_FAULTS_H

#include "nqptp-journal.h"

struct nqptp_faults {
    int error; /* -errno of a call that failed in this round, or 0. */
    struct nqptp_log_limit warning;
};

/* Notes the result of a call, which may be -errno; EINTR is no fault. Returns it. */
int nqptp_faults_note(struct nqptp_faults *faults, int result);

/*
 * Reads from a descriptor that is no socket. Returns whether `size` bytes came; errno says why not.
 * EAGAIN is no fault, and ECANCELED tells that CLOCK_REALTIME was set.
 */
bool nqptp_faults_read(struct nqptp_faults *faults, int fd, void *data, size_t size);

/* Ends a round: warns and sleeps for 100 ms if there was a fault. */
void nqptp_faults_slow_down(struct nqptp_faults *faults, uint64_t now_ns);

#endif
