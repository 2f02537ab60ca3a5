/* SPDX-License-Identifier: MIT */
/*
 * What people are told, and how often. Strangers, clients and clocks can make any number of things
 * happen, so a kind of warning comes once in 5 s, the story has ten lines at once and one more each
 * minute, and what -v adds to it a hundred in a minute. What is left out is counted.
 *
 * It writes to the log; the words are those of nqptp-story.
 */
#ifndef NQPTP_JOURNAL_H
#define NQPTP_JOURNAL_H

#include "nqptp-story.h"
#include "nqptp-utilities.h"

/* A warning that may come as often as strangers like. All zero: there was none yet. */
struct nqptp_spaced_warning {
    uint64_t next_ns;
    unsigned withheld;
};

/* Is it time for this warning again? If so, *withheld says how many were left out. */
bool nqptp_warning_due(struct nqptp_spaced_warning *warning, uint64_t now_ns, unsigned *withheld);

/* All zero: nothing was told yet. Times are CLOCK_MONOTONIC_RAW. */
struct nqptp_journal {
    unsigned story_lines;     /* told, less those whose minute is over */
    uint64_t story_minute_ns; /* when the present one began; the first does with a line */
    unsigned story_withheld;
    unsigned event_lines;   /* that -v added in this minute, */
    uint64_t events_end_ns; /*   which is over then */
    struct nqptp_spaced_warning refused_clock;
    bool news;                     /* something happened since */
    uint64_t looked_ns;            /*   it was looked last where things stand, */
    struct nqptp_summary reported; /*   and what was reported of that */
};

/* Logs what the engine has just told, each event by its importance. */
void nqptp_journal_events(struct nqptp_journal *journal, const struct nqptp_engine *engine,
                          const struct nqptp_effects *effects, uint64_t now_ns);

/* Logs a message "from" or "to" an address in words, with -vvv also its bytes, and its fate. */
void nqptp_journal_message(const char *way, const struct nqptp_address *address,
                           const uint8_t *data, size_t length, enum nqptp_drop drop);

/* If lines of the story were left out, says what came of it when there is a line to spare. */
void nqptp_journal_sum_up(struct nqptp_journal *journal, const struct nqptp_engine *engine,
                          uint64_t now_ns);

/*
 * When to look at the earliest where things stand: a second after the last look if something
 * happened since, else ten.
 */
uint64_t nqptp_journal_look_ns(const struct nqptp_journal *journal);

/* Looks, and writes it in one line. Returns whether that says something new. */
bool nqptp_journal_look(struct nqptp_journal *journal, const struct nqptp_engine *engine,
                        uint64_t now_ns, char text[NQPTP_STORY_MAX]);

#endif
