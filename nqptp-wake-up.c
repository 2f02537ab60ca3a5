/* SPDX-License-Identifier: MIT */
/*
 * Waking up clocks: see the header.
 *
 * Some senders do not give their time before they have heard the Announce of a rival, and some
 * fall asleep soon after they began: their Syncs come, but repeat one time. Both wake up when a
 * rival announces itself, first as the better clock and a little later as the worse one. The states
 * are those of two members of the clock: listed_announces counts up from 0, and wake_up_at_ns is
 * the deadline of the second Announce while it is above 0.
 *
 * A clock is woken up
 *   at its first Announce since a client lists it;
 *   at the third one, if it has never given a sample;
 *   when it has repeated its time for 60 s, if it was master for hardly longer than that.
 *
 * This module never sends to an address that no client lists, and never waits.
 */
#include "nqptp-wake-up.h"

#include "nqptp-time.h"

#define GAP_NS (150 * NQPTP_MS) /* The second Announce follows the first after this time. */
#define SILENT_ANNOUNCES 3      /* A clock without a sample is woken up again at this Announce. */
#define STOPPED_SYNCS 480       /* A clock that repeats one time is woken up at this repeat. */
#define YOUNG_NS (62 * NQPTP_S) /* A series of samples that is younger has just begun. */

static void send_better_announce(const struct nqptp_clock *clock, const struct nqptp_self *self,
                                 struct nqptp_effects *effects) {
    uint8_t theirs = clock->announce.priority1;

    if (theirs > 2)
        nqptp_effects_send_announce(effects, self, clock, (uint8_t)(theirs - 1),
                                    clock->announce.priority2);
    else
        nqptp_effects_send_announce(effects, self, clock, 248, 248);
}

static void send_worse_announce(const struct nqptp_clock *clock, const struct nqptp_self *self,
                                struct nqptp_effects *effects) {
    uint8_t theirs = clock->announce.priority1;
    uint8_t priority1 = theirs < 254 ? (uint8_t)(theirs + 1) : 250;

    nqptp_effects_send_announce(effects, self, clock, priority1, clock->announce.priority2);
}

static void wake_up(struct nqptp_clock *clock, const struct nqptp_self *self, uint64_t now_ns,
                    struct nqptp_effects *effects) {
    send_better_announce(clock, self, effects);
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
    clock->wake_up_at_ns = 0;
    if (is_listed)
        send_worse_announce(clock, self, effects);
}
