/* SPDX-License-Identifier: MIT */
/* Users and groups by name, and the privileges of this process: its user and capabilities(7). */
#ifndef NQPTP_PRIVILEGES_H
#define NQPTP_PRIVILEGES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Looks up a user and its group. Returns 0, -ENOENT if there is no such user, or another -errno. */
int nqptp_user_find(const char *name, uid_t *user, gid_t *group);

/* Looks up a group. Returns 0, -ENOENT if the group does not exist, or another -errno. */
int nqptp_group_find(const char *name, gid_t *group);

/*
 * For a process of root: becomes that user for good, with that group only, then gives up all
 * capabilities except those whose bits are set in `kept`. Returns 0 or -errno.
 */
int nqptp_privileges_drop(uid_t user, gid_t group, uint64_t kept);

/* Returns whether this process has that capability in effect; false if a sandbox forbids to ask. */
bool nqptp_privileges_has(unsigned capability);

#endif
