/* SPDX-License-Identifier: MIT */
/*
 * Waking up clocks: see the header.
 *
 * Some senders do not give their time before they have heard a rival's Announce. Others give one
 * time again and again soon after they began. Both wake up when a rival announces itself as the
 * better clock and a little later as the worse one. Two members of the clock hold the state:
 * listed_announces counts up from 0, and wake_up_at_ns is the deadline of the second Announce while
 * it is above 0.
 *
 * A clock is woken up
 *   at its first Announce since a client lists it;
 *   at the third one, if it has never given a sample;
 *   when it has repeated its time for 60 s, in a series that is hardly longer than that.
 *
 * This module never sends to an address that no client lists, and never sleeps.
 */
#include "nqptp-wake-up.h"

#include "nqptp-time.h"

#define GAP_NS (150 * NQPTP_MS) /* The second Announce follows the first after this time. */
#define SILENT_ANNOUNCES 3      /* A clock without a sample is woken up again at this Announce. */
#define STOPPED_SYNCS 480       /* A clock that repeats one time is woken up at this repeat. */
#define YOUNG_NS (62 * NQPTP_S) /* A series of samples that is younger has just begun. */

/* Sends the Announce of a better clock, and sets the deadline of the second Announce. */
static void wake_up(struct nqptp_clock *clock, const struct nqptp_self *self, uint64_t now_ns,
                    struct nqptp_effects *effects) {
    uint8_t priority1 = clock->announce.priority1, priority2 = clock->announce.priority2;
    bool can_be_better = priority1 > 2;

    nqptp_effects_send_announce(effects, self, clock,
                                can_be_better ? (uint8_t)(priority1 - 1) : 248,
                                can_be_better ? priority2 : 248);
    clock->wake_up_at_ns = now_ns + GAP_NS;
}

void nqptp_wake_up_if_silent(struct nqptp_clock *clock, const struct nqptp_self *self,
                             bool is_listed, uint64_t now_ns, struct nqptp_effects *effects) {
    clock->listed_announces = is_listed ? clock->listed_announces + 1 : 0;
    if (clock->listed_announces == 1 ||
        (clock->listed_announces == SILENT_ANNOUNCES && clock->sampled_at_ns == 0))
        wake_up(clock, self, now_ns, effects);
}

void nqptp_wake_up_if_stopped(struct nqptp_clock *clock, const struct nqptp_self *self,
                              uint64_t now_ns, struct nqptp_effects *effects) {
    bool own_grandmaster = clock->announce.grandmaster_identity == clock->clock_identity;

    if (clock->repeated_times == STOPPED_SYNCS && own_grandmaster &&
        now_ns - clock->reading.start_time_ns <= YOUNG_NS)
        wake_up(clock, self, now_ns, effects);
}

void nqptp_wake_up_finish(struct nqptp_clock *clock, const struct nqptp_self *self, bool is_listed,
                          struct nqptp_effects *effects) {
    uint8_t priority1 = clock->announce.priority1;

    clock->wake_up_at_ns = 0;
    if (is_listed)
        nqptp_effects_send_announce(effects, self, clock,
                                    priority1 < 254 ? (uint8_t)(priority1 + 1) : 250,
                                    clock->announce.priority2);
}
