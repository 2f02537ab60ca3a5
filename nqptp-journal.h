/* SPDX-License-Identifier: MIT */
/*
 * The journal decides what is logged, and how often: each kind of warning once in 5 s, each kind of
 * event ten times in 5 s. It counts the events that it leaves out. The words are those of
 * nqptp-story. Times are CLOCK_MONOTONIC_RAW.
 */
#ifndef NQPTP_JOURNAL_H
#define NQPTP_JOURNAL_H

#include "nqptp-story.h"
#include "nqptp-utilities.h"

/* Counts the lines of one kind of warning or event. All zero at the start. */
struct nqptp_log_limit {
    uint64_t until_ns; /* The end of the current 5 s. */
    unsigned lines;    /* The lines that were logged in the current 5 s. */
    unsigned withheld; /* The lines left out since the log last said how many. */
};

/* Returns whether 5 s have passed since the last warning of this kind. */
bool nqptp_warning_due(struct nqptp_log_limit *warning, uint64_t now_ns);

/* What was logged, and the state as it was last reported. All zero at the start. */
struct nqptp_journal {
    struct nqptp_log_limit limits[NQPTP_EVENT_KINDS];
    bool news;                      /* An event happened since the last look at the state. */
    uint64_t looked_at_ns;          /* The time of the last look. */
    uint64_t looked_packets;        /* The number of packets at the last look. */
    char reported[NQPTP_STORY_MAX]; /* The state in words at the last look. */
};

/* Logs the events of one call of the engine, each with its priority. */
void nqptp_journal_events(struct nqptp_journal *journal, const struct nqptp_engine *engine,
                          const struct nqptp_effects *effects, uint64_t now_ns);

/*
 * Logs a message "from" or "to" an address in words, with the reason if it was dropped, and with
 * -vvv also its bytes.
 */
void nqptp_journal_message(const char *way, const struct nqptp_address *address,
                           const uint8_t *data, size_t length, enum nqptp_drop drop);

/*
 * Returns when to call nqptp_journal_look(): a second after the last look if an event happened
 * since, ten seconds after it if only packets came, NQPTP_NO_DEADLINE if nothing came.
 */
uint64_t nqptp_journal_due_ns(const struct nqptp_journal *journal,
                              const struct nqptp_engine *engine);

/* Writes the state in one line. Returns whether that line differs from the last one. */
bool nqptp_journal_look(struct nqptp_journal *journal, const struct nqptp_engine *engine,
                        uint64_t now_ns, char text[NQPTP_STORY_MAX]);

#endif
