/* SPDX-License-Identifier: MIT */
/* The privileges of this process: its user, its group and its capabilities(7). */
#ifndef NQPTP_PRIVILEGES_H
#define NQPTP_PRIVILEGES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * For a process of root: becomes that user for good, with that group only, then gives up all
 * capabilities but those whose bits are set in `kept`. Returns 0 or -errno.
 */
int nqptp_privileges_drop(uid_t user, gid_t group, uint64_t kept);

/* Returns whether this process has that capability in effect, as /proc tells. */
bool nqptp_privileges_has(unsigned capability);

#endif
