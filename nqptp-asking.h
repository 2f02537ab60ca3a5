/* SPDX-License-Identifier: MIT */
/*
 * Delay_Reqs to listed addresses that are silent while a client plays. Some senders serve only
 * receivers that they hear: after an outage the sender and the daemon would wait for each other.
 */
#ifndef NQPTP_ASKING_H
#define NQPTP_ASKING_H

#include "nqptp-effects.h"

/* How far the present round through all lists has come. */
struct nqptp_asking {
    uint64_t at_ns;       /* When to go on, or NQPTP_NO_DEADLINE. */
    uint64_t round_at_ns; /* When the last round began. */
    int client;           /* The client whose list is looked at next. */
    unsigned peer;        /* The entry of that list which is looked at next. */
    bool asked;           /* The round has found a silent address. */
    uint16_t sequence_id; /* The sequenceId of the next Delay_Req. */
};

/* Begins a round as soon as allowed: a list changed, a player began, or a clock was lost. */
void nqptp_asking_begin(struct nqptp_asking *asking, const struct nqptp_clients *clients,
                        uint64_t now_ns);

/* Asks the next silent address of the round: asking->at_ns has come. */
void nqptp_asking_go_on(struct nqptp_asking *asking, const struct nqptp_clients *clients,
                        struct nqptp_clock_table *table, const struct nqptp_self *self,
                        uint64_t now_ns, struct nqptp_effects *effects);

#endif
