/* SPDX-License-Identifier: MIT */
/*
 * The hint of the status: what is wrong, for a person without sound, as far as the state of the
 * engine tells. The function is pure.
 */
#ifndef NQPTP_HINTS_H
#define NQPTP_HINTS_H

#include "nqptp-status.h"

#define NQPTP_HINT_MAX 512 /* The size of a buffer for any hint, with any name of a client. */

/* Writes what is wrong, and what to do or check. Returns false if it finds nothing wrong. */
bool nqptp_hint(const struct nqptp_status *status, char hint[NQPTP_HINT_MAX]);

#endif
