/* SPDX-License-Identifier: MIT */
/* How often a clock sends one type of message: see the header. Tables are IEEE 1588-2008's. */
#include "nqptp-interval.h"

#include "nqptp-time.h"

#include <stdbool.h>
#include <string.h>

#define STATED_MIN (-7)
#define STATED_MAX 4

void nqptp_interval_note(struct nqptp_interval *interval, int8_t log_message_interval,
                         uint64_t now_ns) {
    bool stated = log_message_interval >= STATED_MIN && log_message_interval <= STATED_MAX;

    interval->stated_ns = !stated                    ? 0
                          : log_message_interval < 0 ? NQPTP_S >> -log_message_interval
                                                     : NQPTP_S << log_message_interval;
    if (interval->messages > 0) {
        memmove(&interval->spacings_ns[1], &interval->spacings_ns[0],
                sizeof interval->spacings_ns - sizeof interval->spacings_ns[0]);
        interval->spacings_ns[0] = now_ns - interval->last_at_ns;
    }
    interval->last_at_ns = now_ns;
    if (interval->messages <= NQPTP_SPACINGS)
        interval->messages++;
}

/* Returns the median, or the lower of the two in the middle. count is above 0. */
static uint64_t median(const uint64_t *values, unsigned count) {
    uint64_t sorted[NQPTP_SPACINGS] = {0};

    for (unsigned i = 0; i < count; i++) {
        unsigned at = i;
        for (; at > 0 && sorted[at - 1] > values[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = values[i];
    }
    return sorted[(count - 1) / 2];
}

uint64_t nqptp_interval_ns(const struct nqptp_interval *interval, uint64_t unknown_ns) {
    if (interval->stated_ns > 0)
        return interval->stated_ns;
    if (interval->messages < 2)
        return unknown_ns;
    return median(interval->spacings_ns, interval->messages - 1);
}
