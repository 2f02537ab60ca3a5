/* SPDX-License-Identifier: MIT */
/*
 * How often a clock sends one type of message: as its messages state, or else as measured. `now_ns`
 * is CLOCK_MONOTONIC_RAW.
 */
#ifndef NQPTP_INTERVAL_H
#define NQPTP_INTERVAL_H

#include <stdint.h>

#define NQPTP_SPACINGS 5 /* The interval is measured by the median of the last 5. */

/* All zero: no message came yet. */
struct nqptp_interval {
    uint64_t stated_ns;                   /* What the last message states; 0: it states nothing. */
    uint64_t last_at_ns;                  /* The arrival of the last message. */
    uint64_t spacings_ns[NQPTP_SPACINGS]; /* The times between the last messages. */
    unsigned messages; /* The number of messages so far; it stays at NQPTP_SPACINGS + 1. */
};

/*
 * Notes that a message came now. log_message_interval, base 2 of seconds, counts as a statement
 * from -7 to +4; 0x7F and the rest do not (table 24).
 */
void nqptp_interval_note(struct nqptp_interval *interval, int8_t log_message_interval,
                         uint64_t now_ns);

/* Returns the interval as stated, else as measured, else unknown_ns. */
uint64_t nqptp_interval_ns(const struct nqptp_interval *interval, uint64_t unknown_ns);

/* What to take for unknown_ns. */
#define NQPTP_SYNC_INTERVAL_UNKNOWN_NS UINT64_C(125000000)
#define NQPTP_ANNOUNCE_INTERVAL_UNKNOWN_NS UINT64_C(1000000000)

#endif
