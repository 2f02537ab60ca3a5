/* SPDX-License-Identifier: MIT */
/* Privileges of the process: its user, group and capabilities, see capabilities(7). */
#ifndef NQPTP_PRIVILEGES_H
#define NQPTP_PRIVILEGES_H

#include <stdint.h>
#include <sys/types.h>

/*
 * Becomes that user for good, with that group only, unless it is that user already; then gives up
 * all capabilities(7) but those whose bits are set in `kept`. -EPERM without root's rights: a
 * filter of system calls is in the way, but a program that is executed now will not have them.
 */
int nqptp_privileges_drop(uid_t user, gid_t group, uint64_t kept);

#endif
