/* SPDX-License-Identifier: MIT */
/*
 * What the daemon tells a service manager by sd_notify(3): that it waits for a port, that it is
 * ready, that it is alive, that it stops, and its state in one line. Without a service manager, or
 * without libsystemd, these functions do nothing. Times are CLOCK_MONOTONIC_RAW.
 */
#ifndef NQPTP_SERVICE_H
#define NQPTP_SERVICE_H

#include "nqptp-journal.h"

struct nqptp_service {
    struct nqptp_journal *journal;
    const struct nqptp_engine *engine;
    uint64_t watchdog_ns;     /* The period of the message that the daemon is alive; 0: none. */
    uint64_t watchdog_due_ns; /* When that message is due, or NQPTP_NO_DEADLINE. */
};

/*
 * Returns whether systemd (248 or later) started this process for a unit. A process that is started
 * by hand says no, also below a unit: it inherits the variables of the unit, but has another pid.
 */
bool nqptp_service_is_managed(void);

#define NQPTP_SERVICE_TEXT_MAX 400

/* Says why the daemon is not ready yet, and that the start may take `seconds` from now. */
void nqptp_service_waiting(const char *text, unsigned seconds);

/* Prepares *service, and says that the daemon is ready and what its state is. */
void nqptp_service_ready(struct nqptp_service *service, struct nqptp_journal *journal,
                         const struct nqptp_engine *engine, uint64_t now_ns);

/* Says that the daemon is about to end. */
void nqptp_service_stopping(void);

/* Returns when to call nqptp_service_tell(), or NQPTP_NO_DEADLINE. */
uint64_t nqptp_service_due_ns(const struct nqptp_service *service);

/* Says that the daemon is alive, when that is due, and its state, if it has changed. */
void nqptp_service_tell(struct nqptp_service *service, uint64_t now_ns);

#endif
