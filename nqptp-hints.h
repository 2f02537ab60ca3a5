/* SPDX-License-Identifier: MIT */
/* What is wrong, for a person without sound, as far as the state of the engine tells. Pure. */
#ifndef NQPTP_HINTS_H
#define NQPTP_HINTS_H

#include "nqptp-status.h"

#define NQPTP_HINT_MAX 512 /* Room for the longest name of a client and any hint. */

/* Writes what is wrong, and what to do or check. Returns false if the daemon cannot tell. */
bool nqptp_hint(const struct nqptp_status *status, char hint[NQPTP_HINT_MAX]);

#endif
