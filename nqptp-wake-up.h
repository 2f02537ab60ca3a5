/* SPDX-License-Identifier: MIT */
/*
 * Waking up clocks that announce themselves but do not give their time, by the Announces of a
 * rival. `self` is what these come from. Nothing goes to a clock that no client lists.
 */
#ifndef NQPTP_WAKE_UP_H
#define NQPTP_WAKE_UP_H

#include "nqptp-effects.h"

/* Notes an Announce of the clock, which may be waiting for a rival before it gives its time. */
void nqptp_wake_up_if_silent(struct nqptp_clock *clock, const struct nqptp_self *self,
                             bool is_listed, uint64_t now_ns, struct nqptp_effects *effects);

/* Notes that a listed clock gave no usable sample: it may have fallen asleep. */
void nqptp_wake_up_if_stopped(struct nqptp_clock *clock, const struct nqptp_self *self,
                              uint64_t now_ns, struct nqptp_effects *effects);

/* Sends the second Announce: the clock's wake_up_at_ns has come. */
void nqptp_wake_up_finish(struct nqptp_clock *clock, const struct nqptp_self *self, bool is_listed,
                          struct nqptp_effects *effects);

#endif
