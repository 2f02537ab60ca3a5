/* SPDX-License-Identifier: MIT */
/* The start of the daemon before it has an object: ports, user, group and privileges. */
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

/* What the steps of the start work on. */
struct nqptp_startup {
    const struct nqptp_options *options;
    struct nqptp_endpoints *endpoints;
    int *control;     /* Two sockets of the control port: IPv4, IPv6. One may be negative. */
    gid_t group;      /* The group that may use the objects, or -1. */
    const char *user; /* The user that a daemon started as root becomes. */
    uid_t uid;        /* The number of that user. */
    gid_t gid;        /* The group of that user and of its objects. */
};

/*
 * The caller sets the options, and where the endpoints and the two sockets are. Opens the ports and
 * finds the group. If this process is root, it then gives up root's privileges. A service waits up
 * to 60 s for a busy port. Returns NQPTP_GO_ON, or the status to end with after the log has said
 * what is wrong.
 */
enum nqptp_exit nqptp_startup(struct nqptp_startup *startup);

/* --claim: frees the name /nqptp from what another user put there, for a daemon of --user=. */
enum nqptp_exit nqptp_startup_claim(const struct nqptp_options *options);

/*
 * Blocks the signals that the loop handles, so that none ends the process in the middle of the
 * start. *set becomes the set of them.
 */
void nqptp_startup_block_signals(sigset_t *set);

/* Returns the status that the program ends with after it got this signal. */
enum nqptp_exit nqptp_startup_status_of(int signal);

#endif
