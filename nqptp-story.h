/* SPDX-License-Identifier: MIT */
/*
 * The story: events and messages in words for the log, and the state in the one line that
 * systemctl(1) shows. The functions are pure: nqptp-journal logs the words, nqptp-service sends the
 * line to the service manager.
 */
#ifndef NQPTP_STORY_H
#define NQPTP_STORY_H

#include "nqptp-message-handlers.h"
#include "nqptp-text.h"

#define NQPTP_STORY_MAX 512 /* The size of a buffer for any line. */

/* Returns whether the event is logged without -v. */
bool nqptp_story_essential(const struct nqptp_event *event);

/*
 * Writes the event in one line without a newline. The engine must still be in the state in which it
 * told the event. Returns text.
 */
const char *nqptp_story_event(const struct nqptp_engine *engine, const struct nqptp_event *event,
                              char text[NQPTP_STORY_MAX]);

/* The maximum number of addresses that are shown of a client's list. */
#define NQPTP_PEERS_SHOWN 8

/* Adds the client's list in words: "2 addresses: 192.0.2.1 2001:db8::1". */
void nqptp_story_list(const struct nqptp_client *client, struct nqptp_text *list);

/* The size of a buffer for any message in words. */
#define NQPTP_MESSAGE_TEXT_MAX 320

/* Writes the message field by field, in one line without a newline. Returns text. */
const char *nqptp_message_describe(const struct nqptp_message *message,
                                   char text[NQPTP_MESSAGE_TEXT_MAX]);

/*
 * Writes bytes as hexadecimal digits, with "..." at the end if not all of them fit into size, which
 * is at least 4. Returns text.
 */
const char *nqptp_bytes_describe(const uint8_t *data, size_t length, char *text, size_t size);

/*
 * Returns the reason for which a datagram was not used, in one word that nqptp(8) explains. It is
 * "used" for NQPTP_DROP_NONE.
 */
const char *nqptp_drop_name(enum nqptp_drop drop);

/*
 * Writes the state in one line: "master 98698aaf9c950008 at 192.0.2.1, +12.3 ppm, 41 us, 3 clocks".
 * The master is that of the first client that has one. Returns text.
 */
const char *nqptp_story_state(const struct nqptp_engine *engine, char text[NQPTP_STORY_MAX]);

#endif
