/* SPDX-License-Identifier: MIT */
/* What happens before the loop: ports, privileges, and what an earlier process left. */
#ifndef NQPTP_STARTUP_H
#define NQPTP_STARTUP_H

#include "nqptp-endpoints.h"
#include "nqptp-options.h"

#include <signal.h>
#include <sys/types.h>

/* The exit status of the program; nqptp(8) says what each means. */
enum nqptp_exit {
    NQPTP_GO_ON = -1, /* No status: the program does not end. */
    NQPTP_DONE = 0,
    NQPTP_FAILED = 1,
    NQPTP_USAGE = 2,
    NQPTP_PORT_BUSY = 3,
    NQPTP_NO_PERMISSION = 4,
    NQPTP_RESTART = 75, /* After SIGUSR1: the unit starts the service again for this status. */
};

/*
 * Blocks the signals that the loop handles, so that none ends the process in the middle of the
 * start. *set becomes the set of them.
 */
void nqptp_startup_block_signals(sigset_t *set);

/* Returns the status that the program ends with after it got this signal. */
enum nqptp_exit nqptp_startup_status_of(int signal);

/*
 * Opens the ports, and gives up what root could do if this process is root's. control[] are the
 * sockets of the control port, IPv4 and IPv6; one of them may be negative. *group is the group that
 * may use the objects, or -1. Under a service manager it waits up to 60 s for a busy port. Returns
 * NQPTP_GO_ON, or the status to end with after it has logged what is wrong.
 */
enum nqptp_exit nqptp_startup(const struct nqptp_options *options,
                              struct nqptp_endpoints *endpoints, int control[2], gid_t *group);

/* --claim: frees the name /nqptp for a daemon of --user=, whatever another user has put there. */
enum nqptp_exit nqptp_startup_claim(const struct nqptp_options *options);

#endif
