/* SPDX-License-Identifier: MIT */
/*
 * What is logged, and how often: a kind of warning once in 5 s, a kind of event ten times in 5 s.
 * The events that are left out are counted. Their words are those of nqptp-story. Times are
 * CLOCK_MONOTONIC_RAW.
 */
#ifndef NQPTP_JOURNAL_H
#define NQPTP_JOURNAL_H

#include "nqptp-story.h"
#include "nqptp-utilities.h"

/* How much was logged of one kind of warning or event. All zero: nothing yet. */
struct nqptp_log_limit {
    uint64_t until_ns; /* The end of the present 5 s. */
    unsigned lines;    /* Logged in them. */
    unsigned withheld; /* Left out since the last line that said how many. */
};

/* Returns whether 5 s have passed since the last warning of this kind. */
bool nqptp_warning_due(struct nqptp_log_limit *warning, uint64_t now_ns);

/* All zero at the start. */
struct nqptp_journal {
    struct nqptp_log_limit limits[NQPTP_EVENT_KINDS];
    bool news;                      /* An event happened since the last look at the state. */
    uint64_t looked_at_ns;          /* When that look was. */
    uint64_t looked_packets;        /* How many packets had come by then. */
    char reported[NQPTP_STORY_MAX]; /* The state in words, as it was reported last. */
};

/* Logs the events that the engine has just told, each with its priority. */
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
