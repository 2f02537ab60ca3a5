/* SPDX-License-Identifier: MIT */
/*
 * Sync and Follow_Up of one clock become samples: see the header. Clauses are those of IEEE
 * 1588-2008.
 *
 * A Sync says when it arrived here, its Follow_Up when it left the clock. The two have one source
 * port identity and one sequenceId; together they are an exchange. An exchange
 *   begins     with the first of the two;
 *   is sampled when the other one comes, and is then a duplicate if it comes again;
 *   waits      if the Follow_Up came first: until its Sync, until the next message of this clock,
 *              or for 100 ms. Then it is sampled by the Follow_Up's own arrival;
 *   is a guess if a Sync that states no Follow_Up gave its own time. A Follow_Up that comes all the
 *              same replaces that sample;
 *   ends       after 2 s, when its sequenceId may come again, or when the ring is full.
 * A clock that restarts its sequenceIds is followed at once: only a short way behind a recent
 * exchange counts as late.
 *
 * This module never waits itself: waiting_until_ns is a deadline for the caller.
 */
#include "nqptp-pairing.h"

#include "nqptp-time.h"

#define FOLLOW_UP_WAIT_NS (100 * NQPTP_MS) /* A Follow_Up waits for its Sync at most this long. */
#define EXCHANGE_NS (2 * NQPTP_S)          /* After this its sequenceId may be a new one. */
#define OVERTAKEN_NS (500 * NQPTP_MS)      /* An older sample is used only if it is the newest. */
#define FOLLOW_UPS_MISSED 16               /* Without a Follow_Up for 16 Syncs it is one-step. */
#define LATE_MIN (NQPTP_EXCHANGES / 2)     /* Two ports of one clock may share the ring. */
#define LATE_MAX 64                        /* A sequenceId further back was started afresh. */

/* Whether the exchange is of this port, and not so old that its sequenceId may come again. */
static bool is_recent(const struct nqptp_exchange *exchange, uint16_t port_number,
                      uint64_t now_ns) {
    return exchange->begun_at_ns > 0 && now_ns - exchange->begun_at_ns <= EXCHANGE_NS &&
           exchange->port_number == port_number;
}

/* Whether the message comes so late that the ring has no entry for its exchange any more. */
static bool is_late(const struct nqptp_pairing *pairing, const struct nqptp_message *message,
                    uint64_t now_ns) {
    for (unsigned i = 0; i < NQPTP_EXCHANGES; i++) {
        const struct nqptp_exchange *exchange = &pairing->exchanges[i];
        uint16_t behind = (uint16_t)(exchange->sequence_id - message->sequence_id);
        if (is_recent(exchange, message->source.port_number, now_ns) && behind >= LATE_MIN &&
            behind <= LATE_MAX)
            return true;
    }
    return false;
}

/* Finds or begins the exchange that the message belongs to. Returns NULL if it is late. */
static struct nqptp_exchange *exchange_of(struct nqptp_pairing *pairing,
                                          const struct nqptp_message *message, uint64_t now_ns) {
    for (unsigned i = 0; i < NQPTP_EXCHANGES; i++)
        if (is_recent(&pairing->exchanges[i], message->source.port_number, now_ns) &&
            pairing->exchanges[i].sequence_id == message->sequence_id)
            return &pairing->exchanges[i];
    if (is_late(pairing, message, now_ns))
        return NULL;
    struct nqptp_exchange *oldest = &pairing->exchanges[pairing->oldest];
    pairing->oldest = (pairing->oldest + 1) % NQPTP_EXCHANGES;
    *oldest = (struct nqptp_exchange){.begun_at_ns = now_ns,
                                      .port_number = message->source.port_number,
                                      .sequence_id = message->sequence_id};
    return oldest;
}

/* Adds the sample of a complete exchange: the time of origin, and when the Sync arrived. */
static void add_sample(struct nqptp_exchange *exchange, bool replaces_guess,
                       struct nqptp_samples *samples) {
    exchange->sampled = true;
    samples->list[samples->count++] = (struct nqptp_sample){
        .origin_ns = exchange->origin_ns,
        .correction_ns = (int64_t)((uint64_t)exchange->sync_correction_ns +
                                   (uint64_t)exchange->follow_up_correction_ns), /* may wrap */
        .local_ns = exchange->sync_at_ns,
        .replaces_guess = replaces_guess,
    };
}

/* Adds the sample of the Follow_Up that waits, if any: its Sync is lost. */
static void add_waiting(struct nqptp_pairing *pairing, struct nqptp_samples *samples) {
    if (pairing->waiting_until_ns == 0)
        return;
    struct nqptp_exchange *exchange = &pairing->exchanges[pairing->waiting];
    pairing->waiting_until_ns = 0;
    exchange->sampled = true;
    samples->list[samples->count++] = (struct nqptp_sample){
        .origin_ns = exchange->origin_ns,
        .correction_ns = exchange->follow_up_correction_ns,
        .local_ns = exchange->follow_up_at_ns,
    };
}

/* Whether this clock sends Follow_Ups, whatever its twoStepFlag says: then they are trusted. */
static bool is_two_step(const struct nqptp_pairing *pairing, const struct nqptp_message *sync,
                        uint64_t now_ns) {
    uint64_t recent_ns = FOLLOW_UPS_MISSED *
                         nqptp_interval_ns(&pairing->sync_interval, NQPTP_SYNC_INTERVAL_UNKNOWN_NS);
    return (sync->flags & NQPTP_FLAG_TWO_STEP) || sync->origin_timestamp_ns == 0 ||
           (pairing->follow_up_at_ns > 0 && now_ns - pairing->follow_up_at_ns <= recent_ns);
}

static enum nqptp_pairing_result result_of(const struct nqptp_samples *samples) {
    return samples->count > 0 ? NQPTP_PAIRING_SAMPLE : NQPTP_PAIRING_NOTHING;
}

enum nqptp_pairing_result nqptp_pairing_sync(struct nqptp_pairing *pairing,
                                             const struct nqptp_message *sync, uint64_t local_ns,
                                             uint64_t now_ns, struct nqptp_samples *samples) {
    struct nqptp_exchange *exchange = exchange_of(pairing, sync, now_ns);

    samples->count = 0;
    if (!exchange)
        return NQPTP_PAIRING_LATE;
    if (exchange->have_sync || exchange->sampled)
        return NQPTP_PAIRING_DUPLICATE;
    nqptp_interval_note(&pairing->sync_interval, sync->log_message_interval, now_ns);
    exchange->have_sync = true;
    exchange->sync_at_ns = local_ns;
    exchange->sync_correction_ns = sync->correction_ns;
    if (exchange->have_follow_up)
        pairing->waiting_until_ns = 0; /* that one waited for this Sync */
    add_waiting(pairing, samples);
    if (!exchange->have_follow_up && !is_two_step(pairing, sync, now_ns)) {
        exchange->one_step = true;
        exchange->origin_ns = sync->origin_timestamp_ns;
    }
    if (exchange->have_follow_up || exchange->one_step)
        add_sample(exchange, false, samples);
    return result_of(samples);
}

/* Whether there is a sample of a later Sync, or one waits, and this one is too old to replace it.
 */
static bool is_overtaken(const struct nqptp_pairing *pairing, const struct nqptp_exchange *exchange,
                         uint64_t newest_at_ns, uint64_t now_ns) {
    if (pairing->waiting_until_ns > 0)
        newest_at_ns = pairing->exchanges[pairing->waiting].follow_up_at_ns;
    return exchange->have_sync && exchange->sync_at_ns < newest_at_ns &&
           now_ns - exchange->sync_at_ns > OVERTAKEN_NS;
}

enum nqptp_pairing_result nqptp_pairing_follow_up(struct nqptp_pairing *pairing,
                                                  const struct nqptp_message *follow_up,
                                                  uint64_t local_ns, uint64_t newest_at_ns,
                                                  uint64_t now_ns, struct nqptp_samples *samples) {
    struct nqptp_exchange *exchange = exchange_of(pairing, follow_up, now_ns);

    samples->count = 0;
    if (!exchange)
        return NQPTP_PAIRING_LATE;
    if (exchange->have_follow_up || (exchange->sampled && !exchange->one_step))
        return NQPTP_PAIRING_DUPLICATE;
    if (is_overtaken(pairing, exchange, newest_at_ns, now_ns))
        return NQPTP_PAIRING_LATE;
    pairing->follow_up_at_ns = now_ns;
    add_waiting(pairing, samples);
    exchange->have_follow_up = true;
    exchange->follow_up_at_ns = local_ns;
    exchange->origin_ns = follow_up->origin_timestamp_ns;
    exchange->follow_up_correction_ns = follow_up->correction_ns;
    if (exchange->have_sync) {
        add_sample(exchange, exchange->one_step, samples);
    } else {
        pairing->waiting = (unsigned)(exchange - pairing->exchanges);
        pairing->waiting_until_ns = now_ns + FOLLOW_UP_WAIT_NS;
    }
    return result_of(samples);
}

void nqptp_pairing_expire(struct nqptp_pairing *pairing, struct nqptp_samples *samples) {
    samples->count = 0;
    add_waiting(pairing, samples);
}
