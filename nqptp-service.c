/* SPDX-License-Identifier: MIT */
/*
 * The messages to systemd: see the header and sd_notify(3). "systemctl status" shows STATUS= as
 * "Status:". systemd kills a service that stops sending WATCHDOG=1, so the loop sends it twice in
 * the time that the unit's WatchdogSec= allows.
 *
 * There is one state: watchdog_due_ns. nqptp_journal_look() knows whether the state in words is
 * news, so a line is sent when it differs from the one before, at most once a second. Nothing here
 * waits, and an error of a message is ignored: the daemon serves players without systemd as well.
 */
#include "nqptp-service.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>
#else
#define sd_notify(unset, state) ((void)(state))
#define sd_watchdog_enabled(unset, usec) ((void)(usec), 0)
#endif

/* Sends `also` and the state in words. Sends nothing if `also` is empty and the state is no news.
 */
static void notify(struct nqptp_service *service, const char *also, uint64_t now_ns) {
    char text[NQPTP_STORY_MAX], state[NQPTP_STORY_MAX + 32];
    bool news = nqptp_journal_look(service->journal, service->engine, now_ns, text);

    if (!news && !*also)
        return;
    snprintf(state, sizeof state, "%sSTATUS=%s", also, text);
    sd_notify(0, state);
}

bool nqptp_service_is_managed(void) {
    const char *pid = getenv("SYSTEMD_EXEC_PID"); /* systemd.exec(5): of the unit's own process */

    return pid && strtol(pid, NULL, 10) == (long)getpid();
}

void nqptp_service_waiting(const char *text, unsigned seconds) {
    char state[NQPTP_SERVICE_TEXT_MAX + 64];

    snprintf(state, sizeof state, "EXTEND_TIMEOUT_USEC=%u000000\nSTATUS=%s", seconds, text);
    sd_notify(0, state);
}

void nqptp_service_ready(struct nqptp_service *service, struct nqptp_journal *journal,
                         const struct nqptp_engine *engine, uint64_t now_ns) {
    uint64_t period_us = 0;

    service->journal = journal;
    service->engine = engine;
    if (sd_watchdog_enabled(0, &period_us) > 0)
        service->watchdog_ns = period_us * 1000 / 2;
    service->watchdog_due_ns = service->watchdog_ns > 0 ? now_ns : NQPTP_NO_DEADLINE;
    notify(service, "READY=1\n", now_ns);
}

void nqptp_service_stopping(void) {
    sd_notify(0, "STOPPING=1");
}

uint64_t nqptp_service_due_ns(const struct nqptp_service *service) {
    uint64_t look_at_ns = nqptp_journal_due_ns(service->journal, service->engine);

    return look_at_ns < service->watchdog_due_ns ? look_at_ns : service->watchdog_due_ns;
}

void nqptp_service_tell(struct nqptp_service *service, uint64_t now_ns) {
    if (now_ns >= service->watchdog_due_ns) {
        sd_notify(0, "WATCHDOG=1");
        service->watchdog_due_ns = now_ns + service->watchdog_ns;
    }
    notify(service, "", now_ns);
}
