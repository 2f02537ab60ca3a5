/* SPDX-License-Identifier: MIT */
/*
 * Asking listed addresses that are silent, while a client plays, by Delay_Reqs. Some senders serve
 * only receivers that they hear: after an outage both sides would wait for each other.
 */
#ifndef NQPTP_ASKING_H
#define NQPTP_ASKING_H

#include "nqptp-message-handlers.h"

/* Begins a round as soon as may be: a list changed, a player began, or a clock was lost. */
void nqptp_asking_begin(struct nqptp_engine *engine, uint64_t now_ns);

/* Asks the next silent address of the round: asking.at_ns has come. */
void nqptp_asking_go_on(struct nqptp_engine *engine, uint64_t now_ns,
                        struct nqptp_effects *effects);

/*
 * Client c sent a command, so it is not unused any more. If it was, it may play again by the list
 * that it had: then a round of asking begins.
 */
void nqptp_asking_note_use(struct nqptp_engine *engine, int c, uint64_t now_ns);

#endif
