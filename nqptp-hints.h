/* SPDX-License-Identifier: MIT */
/* What is wrong, for a person without sound, as far as the state of the engine tells. Pure. */
#ifndef NQPTP_HINTS_H
#define NQPTP_HINTS_H

#include "nqptp-status.h"

/* Writes what is wrong, and what to check. Returns false if the daemon cannot tell. */
bool nqptp_hint(const struct nqptp_status *status, char *text, size_t size);

#endif
