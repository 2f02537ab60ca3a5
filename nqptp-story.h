/* SPDX-License-Identifier: MIT */
/*
 * The story: what happens, in words for the log, and where things stand, in the one line that
 * systemctl(1) shows. Pure: nqptp-journal logs it, nqptp.c sends it.
 */
#ifndef NQPTP_STORY_H
#define NQPTP_STORY_H

#include "nqptp-message-handlers.h"

#define NQPTP_STORY_MAX 512 /* room for any line */

/* Whether the event is told without -v. */
bool nqptp_story_essential(const struct nqptp_event *event);

/*
 * The event, which the engine has just told, as a line without its end. It has printable ASCII
 * only. Returns text.
 */
const char *nqptp_story_event(const struct nqptp_engine *engine, const struct nqptp_event *event,
                              char text[NQPTP_STORY_MAX]);

/* Room for any message in words. */
#define NQPTP_MESSAGE_TEXT_MAX 320

/* The message in words, field by field: one line without its end. Returns text. */
const char *nqptp_message_describe(const struct nqptp_message *message,
                                   char text[NQPTP_MESSAGE_TEXT_MAX]);

/*
 * Bytes as hexadecimal digits, always terminated; "..." at the end says that size, which is 4 at
 * least, did not suffice.
 * Returns text.
 */
const char *nqptp_bytes_describe(const uint8_t *data, size_t length, char *text, size_t size);

/* Why a datagram was not used, in a few words; "used" for NQPTP_DROP_NONE. */
const char *nqptp_drop_describe(enum nqptp_drop drop);

/* Where things stand. */
struct nqptp_summary {
    bool heard; /* any message, ever */
    unsigned clocks;
    int client; /* the first that has a master, whose that below is; -1: none has */
    bool lost;  /* it gives no samples */
    uint64_t clock_identity;
    struct nqptp_address address;
    double rate_ppm; /* by which the master runs faster than this host */
    double noise_us; /* by how much its packets are late on average */
};

void nqptp_summary_make(const struct nqptp_engine *engine, struct nqptp_summary *summary);

/*
 * Does it say more than `old` did: another master or none, more or fewer clocks, or a rate that
 * differs by 1 ppm or a noise by a quarter?
 */
bool nqptp_summary_news(const struct nqptp_summary *summary, const struct nqptp_summary *old);

/* "master 98698aaf9c950008 at 192.0.2.1, +12.3 ppm, 41 us, 3 clocks". Returns text. */
const char *nqptp_summary_format(const struct nqptp_engine *engine,
                                 const struct nqptp_summary *summary, char text[NQPTP_STORY_MAX]);

#endif
