/* SPDX-License-Identifier: MIT */
/*
 * An event is one line. The priority is LOG_NOTICE if a person without sound needs the line, else
 * LOG_INFO, which is logged with -v only. Any host can cause events, so each kind has a limit of
 * its own: a flood of one kind does not hide the others. systemd's journal has a limit for all
 * lines together, so there is none here.
 *
 * The second half decides when the line of the state goes to the service manager: nothing is sent
 * while nothing changes. It holds no deadline: nqptp_journal_due_ns() computes it from the state.
 */
#include "nqptp-journal.h"

#include "nqptp-time.h"

#include <stdio.h>
#include <string.h>

#define LIMIT_NS (5 * NQPTP_S)
#define EVENT_LINES 10            /* The maximum of lines of a kind in LIMIT_NS. */
#define NEWS_NS NQPTP_S           /* The time between looks while events happen. */
#define NUMBERS_NS (10 * NQPTP_S) /* The time between looks while only numbers change. */

/* Returns whether another line may be logged now. Counts the line either way. */
static bool may_log(struct nqptp_log_limit *limit, unsigned lines, uint64_t now_ns) {
    if (now_ns >= limit->until_ns) {
        limit->until_ns = now_ns + LIMIT_NS;
        limit->lines = 0;
    }
    bool may = limit->lines < lines;
    limit->lines += may;
    limit->withheld += !may;
    return may;
}

bool nqptp_warning_due(struct nqptp_log_limit *warning, uint64_t now_ns) {
    return may_log(warning, 1, now_ns);
}

/* --- events ---------------------------------------------------------------------------------- */

static void log_event(struct nqptp_journal *journal, const struct nqptp_engine *engine,
                      const struct nqptp_event *event, uint64_t now_ns) {
    struct nqptp_log_limit *limit = &journal->limits[event->kind];
    int priority = nqptp_story_essential(event) ? LOG_NOTICE : LOG_INFO;
    char text[NQPTP_STORY_MAX];

    if (!nqptp_log_enabled(priority) || !may_log(limit, EVENT_LINES, now_ns))
        return;
    nqptp_log(priority, "%s", nqptp_story_event(engine, event, text));
    if (limit->withheld > 0)
        nqptp_log(priority, "before it, %u lines of this kind were left out", limit->withheld);
    limit->withheld = 0;
}

void nqptp_journal_events(struct nqptp_journal *journal, const struct nqptp_engine *engine,
                          const struct nqptp_effects *effects, uint64_t now_ns) {
    for (unsigned i = 0; i < effects->event_count; i++)
        log_event(journal, engine, &effects->events[i], now_ns);
    journal->news |= effects->event_count > 0;
}

void nqptp_journal_message(const char *way, const struct nqptp_address *address,
                           const uint8_t *data, size_t length, enum nqptp_drop drop) {
    struct nqptp_message message;
    char peer[INET6_ADDRSTRLEN], text[NQPTP_MESSAGE_TEXT_MAX];
    bool parsed = nqptp_message_parse(data, length, &message) == NQPTP_MESSAGE_OK;
    bool used = drop == NQPTP_DROP_NONE;

    nqptp_log(LOG_DEBUG, "%s %s: %s%s%s", way, nqptp_address_format(address, peer),
              parsed ? nqptp_message_describe(&message, text) : "a datagram",
              used ? "" : "; dropped: ", used ? "" : nqptp_drop_name(drop));
    if (nqptp_log_enabled(NQPTP_LOG_BYTES)) {
        char bytes[800];
        nqptp_log(NQPTP_LOG_BYTES, "%zu bytes: %s", length,
                  nqptp_bytes_describe(data, length, bytes, sizeof bytes));
    }
}

/* --- the state ------------------------------------------------------------------------------- */

uint64_t nqptp_journal_due_ns(const struct nqptp_journal *journal,
                              const struct nqptp_engine *engine) {
    return journal->news                                ? journal->looked_at_ns + NEWS_NS
           : engine->packets != journal->looked_packets ? journal->looked_at_ns + NUMBERS_NS
                                                        : NQPTP_NO_DEADLINE;
}

bool nqptp_journal_look(struct nqptp_journal *journal, const struct nqptp_engine *engine,
                        uint64_t now_ns, char text[NQPTP_STORY_MAX]) {
    bool news = strcmp(nqptp_story_state(engine, text), journal->reported) != 0;

    snprintf(journal->reported, sizeof journal->reported, "%s", text);
    journal->looked_at_ns = now_ns;
    journal->looked_packets = engine->packets;
    journal->news = false;
    return news;
}
