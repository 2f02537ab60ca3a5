/* SPDX-License-Identifier: MIT */
/* The status: the engine's state as text for people. Pure; it changes nothing and prints nothing.
 */
#ifndef NQPTP_STATUS_H
#define NQPTP_STATUS_H

#include "nqptp-message-handlers.h"

/* Room enough for a full table and as many clients as there may be. */
#define NQPTP_STATUS_MAX 16384

/*
 * Writes the status at now_ns (CLOCK_MONOTONIC_RAW) into text, always terminated: what each client
 * asked for and its master, then a row for each record. Returns its length, less than size; what
 * does not fit is left out.
 */
size_t nqptp_status_format(const struct nqptp_engine *engine, uint64_t now_ns, char *text,
                           size_t size);

#endif
