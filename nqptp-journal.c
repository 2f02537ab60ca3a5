/* SPDX-License-Identifier: MIT */
/* What people are told, and how often: see the header. */
#include "nqptp-journal.h"

#define NS_PER_S UINT64_C(1000000000)
#define WARNING_SPACING_NS (5 * NS_PER_S)
#define STORY_LINES 10                /* that may come at once, */
#define STORY_LINE_NS (60 * NS_PER_S) /*   and one more each minute */
#define EVENT_LINES 100               /* that -v may add */
#define EVENTS_NS (60 * NS_PER_S)     /*   in such a time */
#define NEWS_NS NS_PER_S              /* between looks if much happens, */
#define NO_NEWS_NS (10 * NS_PER_S)    /*   and if not */

bool nqptp_warning_due(struct nqptp_spaced_warning *warning, uint64_t now_ns, unsigned *withheld) {
    if (now_ns < warning->next_ns) {
        warning->withheld++;
        return false;
    }
    *withheld = warning->withheld;
    *warning = (struct nqptp_spaced_warning){.next_ns = now_ns + WARNING_SPACING_NS};
    return true;
}

/* --- events ---------------------------------------------------------------------------------- */

/* May one more event be told in this minute to who asked for more than the story? */
static bool may_tell(struct nqptp_journal *journal, uint64_t now_ns) {
    if (now_ns >= journal->events_end_ns) {
        if (journal->event_lines > EVENT_LINES)
            nqptp_log(LOG_INFO, "%u lines were left out", journal->event_lines - EVENT_LINES);
        journal->events_end_ns = now_ns + EVENTS_NS;
        journal->event_lines = 0;
    }
    return journal->event_lines++ < EVENT_LINES;
}

/* May the story have another line? */
static bool may_add(struct nqptp_journal *journal, uint64_t now_ns) {
    uint64_t minutes = (now_ns - journal->story_minute_ns) / STORY_LINE_NS;

    journal->story_lines =
        journal->story_lines > minutes ? journal->story_lines - (unsigned)minutes : 0;
    journal->story_minute_ns =
        journal->story_lines > 0 ? journal->story_minute_ns + minutes * STORY_LINE_NS : now_ns;
    if (journal->story_lines == STORY_LINES)
        return false;
    journal->story_lines++;
    return true;
}

static int event_priority(struct nqptp_journal *journal, const struct nqptp_event *event,
                          uint64_t now_ns) {
    if (!nqptp_story_essential(event))
        return LOG_INFO;
    if (may_add(journal, now_ns))
        return LOG_NOTICE;
    journal->story_withheld++;
    return LOG_INFO;
}

static void log_event(struct nqptp_journal *journal, const struct nqptp_engine *engine,
                      const struct nqptp_event *event, uint64_t now_ns) {
    int priority = event_priority(journal, event, now_ns);
    char text[NQPTP_STORY_MAX];
    unsigned withheld = 0;

    if (!nqptp_log_enabled(priority) ||
        (event->kind == NQPTP_EVENT_REFUSED &&
         !nqptp_warning_due(&journal->refused_clock, now_ns, &withheld)) ||
        (priority == LOG_INFO && !may_tell(journal, now_ns)))
        return;
    nqptp_log(priority, "%s", nqptp_story_event(engine, event, text));
    if (withheld > 0)
        nqptp_log(LOG_INFO, "%u others had no room since the last such line", withheld);
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

    nqptp_log(LOG_DEBUG, "%s %s: %s%s%s", way, nqptp_address_format(address, peer),
              parsed ? nqptp_message_describe(&message, text) : "a datagram",
              drop == NQPTP_DROP_NONE ? "" : "; dropped: ",
              drop == NQPTP_DROP_NONE ? "" : nqptp_drop_describe(drop));
    if (nqptp_log_enabled(NQPTP_LOG_BYTES)) {
        char bytes[800];
        nqptp_log(NQPTP_LOG_BYTES, "%zu bytes: %s", length,
                  nqptp_bytes_describe(data, length, bytes, sizeof bytes));
    }
}

/* --- where things stand ---------------------------------------------------------------------- */

void nqptp_journal_sum_up(struct nqptp_journal *journal, const struct nqptp_engine *engine,
                          uint64_t now_ns) {
    struct nqptp_summary summary;
    char text[NQPTP_STORY_MAX];

    if (journal->story_withheld == 0 || !may_add(journal, now_ns))
        return;
    nqptp_summary_make(engine, &summary);
    nqptp_log(LOG_NOTICE, "%u more changes in short order; now: %s", journal->story_withheld,
              nqptp_summary_format(engine, &summary, text));
    journal->story_withheld = 0;
}

uint64_t nqptp_journal_look_ns(const struct nqptp_journal *journal) {
    return journal->looked_ns + (journal->news ? NEWS_NS : NO_NEWS_NS);
}

bool nqptp_journal_look(struct nqptp_journal *journal, const struct nqptp_engine *engine,
                        uint64_t now_ns, char text[NQPTP_STORY_MAX]) {
    struct nqptp_summary summary;

    nqptp_summary_make(engine, &summary);
    nqptp_summary_format(engine, &summary, text);
    bool news = nqptp_summary_news(&summary, &journal->reported);
    if (news)
        journal->reported = summary;
    journal->looked_ns = now_ns;
    journal->news = false;
    return news;
}
