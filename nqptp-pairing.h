/* SPDX-License-Identifier: MIT */
/*
 * Sync and Follow_Up of one clock, which come in either order or alone, become samples. Each
 * exchange gives one sample, or one more if a Follow_Up shows that the first was a guess. This
 * module knows neither the clock nor what a sample is worth. `now_ns` is CLOCK_MONOTONIC_RAW.
 */
#ifndef NQPTP_PAIRING_H
#define NQPTP_PAIRING_H

#include "nqptp-interval.h"
#include "nqptp-message.h"

#define NQPTP_EXCHANGES 16 /* Syncs that may wait for their Follow_Ups at one time. */

/* A Sync and its Follow_Up: they have the same source port identity and sequenceId, 9.5.4. */
struct nqptp_exchange {
    uint64_t begun_at_ns; /* The first of the two arrived then; 0: this entry is free. */
    uint16_t port_number;
    uint16_t sequence_id;
    bool have_sync;
    bool have_follow_up;
    bool sampled;      /* It gave its one sample. */
    bool one_step;     /* Its sample was the Sync's own time. */
    uint64_t local_ns; /* The receive time of the Sync, or of a Follow_Up that waits for it. */
    int64_t sync_correction_ns;
    int64_t follow_up_correction_ns;
    uint64_t origin_ns; /* The preciseOriginTimestamp, or the Sync's own originTimestamp. */
};

/* All zero: the clock has sent neither yet. */
struct nqptp_pairing {
    struct nqptp_interval sync_interval;
    struct nqptp_exchange exchanges[NQPTP_EXCHANGES]; /* A ring. */
    unsigned oldest;                                  /* The entry that the next exchange gets. */
    unsigned waiting;          /* The exchange whose Follow_Up waits for its Sync. */
    uint64_t waiting_until_ns; /* When that Follow_Up has waited enough; 0: none waits. */
    uint64_t follow_up_at_ns;  /* The arrival of the last Follow_Up; 0: there was none. */
    uint64_t newest_origin_ns; /* The origin of the last sample. */
    struct nqptp_exchange
        doubtful; /* A Sync that was dropped: late, or the first after a restart. */
};

/* origin_ns + correction_ns was the clock's time when it was local_ns here. */
struct nqptp_sample {
    uint64_t origin_ns;
    int64_t correction_ns;
    uint64_t local_ns;
    bool replaces_guess; /* The sample that the same exchange gave before was wrong. */
};

/* A message can end the wait of an older Follow_Up and give a sample of its own as well. */
struct nqptp_samples {
    unsigned count;
    struct nqptp_sample list[2];
};

/* What became of a Sync or Follow_Up. */
enum nqptp_pairing_result {
    NQPTP_PAIRING_NOTED,     /* It was new. It may have completed samples. */
    NQPTP_PAIRING_DUPLICATE, /* The exchange has one already, or gave its sample. */
    NQPTP_PAIRING_LATE,      /* It comes long after its turn. */
};

/* Takes in a Sync that was received at local_ns. */
enum nqptp_pairing_result nqptp_pairing_sync(struct nqptp_pairing *pairing,
                                             const struct nqptp_message *sync, uint64_t local_ns,
                                             uint64_t now_ns, struct nqptp_samples *samples);

/* Takes in a Follow_Up. newest_at_ns is the local time of the newest sample that was used. */
enum nqptp_pairing_result nqptp_pairing_follow_up(struct nqptp_pairing *pairing,
                                                  const struct nqptp_message *follow_up,
                                                  uint64_t local_ns, uint64_t newest_at_ns,
                                                  uint64_t now_ns, struct nqptp_samples *samples);

/* waiting_until_ns has come: the Follow_Up that waits gives a sample by its own arrival. */
void nqptp_pairing_expire(struct nqptp_pairing *pairing, struct nqptp_samples *samples);

#endif
