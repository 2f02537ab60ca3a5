/* SPDX-License-Identifier: MIT */
/*
 * What is asked while a client plays and its listed addresses are silent: the sender, by
 * Delay_Reqs, and the kernel, for its neighbour table. Some senders serve only receivers that they
 * hear: after an outage the sender and the daemon would wait for each other.
 */
#ifndef NQPTP_ASKING_H
#define NQPTP_ASKING_H

#include "nqptp-effects.h"

/* How far the present round through all lists has come. */
struct nqptp_asking {
    uint64_t at_ns;              /* When to go on, or NQPTP_NO_DEADLINE. */
    uint64_t round_at_ns;        /* When the last round began. */
    int client;                  /* The client whose list is looked at next. */
    unsigned peer;               /* The entry of that list which is looked at next. */
    unsigned asked;              /* How many silent addresses the round has found. */
    bool again;                  /* Another round begins as soon as allowed after this one. */
    uint16_t sequence_id;        /* The sequenceId of the next Delay_Req. */
    uint64_t neighbours_due_ns;  /* When to read the neighbour table, or NQPTP_NO_DEADLINE. */
    uint64_t neighbours_at_ns;   /* When it was read last. */
    uint64_t neighbours_wait_ns; /* The time until it is read again, if it is needed. */
};

/* Makes it ready: nothing is due. */
void nqptp_asking_init(struct nqptp_asking *asking);

/*
 * Begins a round as soon as allowed: a list changed, a player began, or a clock was lost. A round
 * that has begun goes to its end before.
 */
void nqptp_asking_begin(struct nqptp_asking *asking, const struct nqptp_clients *clients,
                        uint64_t now_ns);

/* Asks the next silent address of the round: asking->at_ns has come. */
void nqptp_asking_go_on(struct nqptp_asking *asking, const struct nqptp_clients *clients,
                        struct nqptp_clock_table *table, const struct nqptp_self *self,
                        uint64_t now_ns, struct nqptp_effects *effects);

/*
 * Client c sent a command. If it was unused, it may play again by the list that it had: then a
 * round begins.
 */
void nqptp_asking_note_command(struct nqptp_asking *asking, struct nqptp_clients *clients, int c,
                               uint64_t now_ns);

/* Decides when to read the neighbour table: something changed. */
void nqptp_asking_plan_neighbours(struct nqptp_asking *asking, const struct nqptp_clients *clients,
                                  const struct nqptp_clock_table *table, uint64_t now_ns);

/* A new clock is heard, which the table may be about: reads it soon again. */
void nqptp_asking_hasten_neighbours(struct nqptp_asking *asking);

/* The table was read. The next time waits longer, until there is a reason to hasten it. */
void nqptp_asking_note_neighbours(struct nqptp_asking *asking, uint64_t now_ns);

#endif
