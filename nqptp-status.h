/* SPDX-License-Identifier: MIT */
/*
 * The status: the engine's state as text for people, and as JSON for programs. The functions are
 * pure: they change nothing and print nothing. nqptp(8) gives meaning and unit of each member.
 */
#ifndef NQPTP_STATUS_H
#define NQPTP_STATUS_H

#include "nqptp-endpoints.h"
#include "nqptp-message-handlers.h"

/* The maximum that one datagram holds. The longest status is shorter. */
#define NQPTP_STATUS_MAX 65507

/* Whether another process has an object open. */
enum nqptp_use { NQPTP_USE_UNKNOWN, NQPTP_USE_NONE, NQPTP_USE_OPEN };

/* The engine, and what the status shows that is not in the engine. */
struct nqptp_status {
    const struct nqptp_engine *engine;
    const char *version;        /* The version of the program. */
    uint64_t now_ns;            /* CLOCK_MONOTONIC_RAW. */
    uint64_t started_ns;        /* CLOCK_MONOTONIC_RAW when this process began. */
    uint16_t event_port;        /* The UDP port of Syncs, 319 without an option. */
    uint16_t general_port;      /* The UDP port of the other messages, 320 without an option. */
    struct nqptp_unsent unsent; /* Our messages that the kernel did not send. */
    uint64_t checksum_errors;   /* UDP datagrams that the kernel dropped for a wrong checksum. */
    struct {
        unsigned layout;          /* Its layout. */
        enum nqptp_use use;       /* Whether another process has it open. */
    } objects[NQPTP_CLIENTS_MAX]; /* The object of each client. */
    unsigned place_count; /* The number of places of -i; 0: the daemon listens everywhere. */
    struct {
        const char *name;       /* The interface or address, as -i gave it. */
        bool there;             /* The interface or address exists now. */
    } places[NQPTP_LIMITS_MAX]; /* The places of -i. */
    /* The interface that the last message of each clock came in by; empty if it is gone. */
    char interfaces[NQPTP_CLOCKS_MAX][IF_NAMESIZE];
};

/*
 * Writes the status into text: the list and the master of each client, a row for each clock, what
 * was dropped, and a hint if there is one. A fact is one line. Rows have 80 columns, unless
 * addresses are long. The text is always terminated. What does not fit is left out. Returns the
 * length, which is less than size.
 */
size_t nqptp_status_text(const struct nqptp_status *status, char *text, size_t size);

/* Writes the same facts, and more of each clock, as a JSON object in one line. */
size_t nqptp_status_json(const struct nqptp_status *status, char *text, size_t size);

#endif
