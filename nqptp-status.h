/* SPDX-License-Identifier: MIT */
/*
 * The status: the engine's state as text for people, and as JSON for programs. Pure; it changes
 * nothing and prints nothing. nqptp(8) says what the members of the JSON mean, and in what units.
 */
#ifndef NQPTP_STATUS_H
#define NQPTP_STATUS_H

#include "nqptp-endpoints.h"
#include "nqptp-message-handlers.h"

/* What one datagram holds; a status with everything full and as long as can be is shorter. */
#define NQPTP_STATUS_MAX 65507

/* Of a client's addresses no more than these are named. */
#define NQPTP_STATUS_PEERS 8

enum nqptp_use { NQPTP_USE_UNKNOWN, NQPTP_USE_NONE, NQPTP_USE_OPEN };

/* What there is to tell: the engine, and what is not to be found in it. */
struct nqptp_status {
    const struct nqptp_engine *engine;
    const char *version; /* of the program */
    uint64_t now_ns;     /* CLOCK_MONOTONIC_RAW, */
    uint64_t started_ns; /*   and when this process began */
    uint16_t event_port, general_port;
    struct nqptp_unsent unsent;
    uint64_t checksum_errors; /* UDP datagrams that the kernel dropped for that since the start */
    struct {
        unsigned layout;
        enum nqptp_use use; /* has anybody got it open? */
    } objects[NQPTP_CLIENTS_MAX];
    unsigned place_count; /* 0: it listens everywhere */
    struct {
        char name[NQPTP_PLACE_SIZE];
        bool there; /* is there such an interface or address now? */
    } places[NQPTP_LIMITS_MAX];
    char interfaces[NQPTP_CLOCKS_MAX]
                   [IF_NAMESIZE]; /* name of that which a clock is heard by, or empty */
};

/*
 * Writes the status into text: what each client asked for and its master, a row for each record,
 * what was dropped and, if it can name what is wrong, a hint. Lines have 80 columns at most, but
 * for rows with long addresses. Always terminated. Returns the length, less than size; what does
 * not fit is left out.
 */
size_t nqptp_status_text(const struct nqptp_status *status, char *text, size_t size);

/* The same facts as a JSON object in one line. */
size_t nqptp_status_json(const struct nqptp_status *status, char *text, size_t size);

#endif
