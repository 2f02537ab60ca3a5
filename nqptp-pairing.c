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
 * A message counts as late only if its sequenceId is a short way behind that of a recent exchange.
 * A clock that restarts its sequenceIds may seem to send late messages and duplicates. It is told
 * by the time in them, which is newer than that of the last sample. Its Sync carries no time, so it
 * is kept as the doubtful one until its Follow_Up comes. Then what the ring has of that port is
 * forgotten, and the clock is followed at once.
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

/* Gives the message the oldest entry of the ring. */
static struct nqptp_exchange *begin_exchange(struct nqptp_pairing *pairing,
                                             const struct nqptp_message *message, uint64_t now_ns) {
    struct nqptp_exchange *oldest = &pairing->exchanges[pairing->oldest];
    pairing->oldest = (pairing->oldest + 1) % NQPTP_EXCHANGES;
    *oldest = (struct nqptp_exchange){.begun_at_ns = now_ns,
                                      .port_number = message->source.port_number,
                                      .sequence_id = message->sequence_id};
    return oldest;
}

/* Finds or begins the exchange that the message belongs to. Returns NULL if it is late. */
static struct nqptp_exchange *exchange_of(struct nqptp_pairing *pairing,
                                          const struct nqptp_message *message, uint64_t now_ns) {
    for (unsigned i = 0; i < NQPTP_EXCHANGES; i++)
        if (is_recent(&pairing->exchanges[i], message->source.port_number, now_ns) &&
            pairing->exchanges[i].sequence_id == message->sequence_id)
            return &pairing->exchanges[i];
    return is_late(pairing, message, now_ns) ? NULL : begin_exchange(pairing, message, now_ns);
}

/*
 * Whether a message that seems late, or to come again, has a time that is newer than the last
 * sample's, or of another timescale. `exchange` is its exchange, or NULL. Whatever is sent under
 * the newest sequenceId is a duplicate.
 */
static bool is_restart(const struct nqptp_pairing *pairing, const struct nqptp_exchange *exchange,
                       const struct nqptp_message *message) {
    unsigned newest = (pairing->oldest + NQPTP_EXCHANGES - 1) % NQPTP_EXCHANGES;
    int64_t moved_ns = (int64_t)(message->origin_timestamp_ns - pairing->newest_origin_ns);

    if (exchange == &pairing->exchanges[newest])
        return false;
    return moved_ns > 0 || moved_ns < -(int64_t)EXCHANGE_NS;
}

/* The clock restarted its sequenceIds: what the ring has of that port says nothing any more. */
static void forget_port(struct nqptp_pairing *pairing, uint16_t port_number) {
    for (unsigned i = 0; i < NQPTP_EXCHANGES; i++)
        if (pairing->exchanges[i].port_number == port_number)
            pairing->exchanges[i] = (struct nqptp_exchange){0};
    if (pairing->exchanges[pairing->waiting].begun_at_ns == 0)
        pairing->waiting_until_ns = 0;
}

/* Adds the sample of an exchange: the time of origin, and when that was here. */
static void add_sample(struct nqptp_pairing *pairing, struct nqptp_exchange *exchange,
                       struct nqptp_samples *samples) {
    exchange->sampled = true;
    pairing->newest_origin_ns = exchange->origin_ns;
    samples->list[samples->count++] = (struct nqptp_sample){
        .origin_ns = exchange->origin_ns,
        .correction_ns = (int64_t)((uint64_t)exchange->sync_correction_ns +
                                   (uint64_t)exchange->follow_up_correction_ns), /* may wrap */
        .local_ns = exchange->local_ns,
        .replaces_guess = exchange->one_step && exchange->have_follow_up,
    };
}

/* Adds the sample of the Follow_Up that waits, if any: its Sync is lost. */
static void add_waiting(struct nqptp_pairing *pairing, struct nqptp_samples *samples) {
    if (pairing->waiting_until_ns == 0)
        return;
    pairing->waiting_until_ns = 0;
    add_sample(pairing, &pairing->exchanges[pairing->waiting], samples);
}

/*
 * Whether a Follow_Up belongs to the Sync: the twoStepFlag says so, or the Sync has no time, or the
 * clock has sent Follow_Ups lately.
 */
static bool is_two_step(const struct nqptp_pairing *pairing, const struct nqptp_message *sync,
                        uint64_t now_ns) {
    uint64_t recent_ns = FOLLOW_UPS_MISSED *
                         nqptp_interval_ns(&pairing->sync_interval, NQPTP_SYNC_INTERVAL_UNKNOWN_NS);
    return (sync->flags & NQPTP_FLAG_TWO_STEP) || sync->origin_timestamp_ns == 0 ||
           (pairing->follow_up_at_ns > 0 && now_ns - pairing->follow_up_at_ns <= recent_ns);
}

/* A Sync came late or again. Its Follow_Up will tell whether the clock restarted. */
static void keep_doubtful(struct nqptp_pairing *pairing, const struct nqptp_message *sync,
                          uint64_t local_ns, uint64_t now_ns) {
    pairing->doubtful = (struct nqptp_exchange){
        .begun_at_ns = now_ns,
        .port_number = sync->source.port_number,
        .sequence_id = sync->sequence_id,
        .have_sync = true,
        .local_ns = local_ns,
        .sync_correction_ns = sync->correction_ns,
    };
}

enum nqptp_pairing_result nqptp_pairing_sync(struct nqptp_pairing *pairing,
                                             const struct nqptp_message *sync, uint64_t local_ns,
                                             uint64_t now_ns, struct nqptp_samples *samples) {
    struct nqptp_exchange *exchange = exchange_of(pairing, sync, now_ns);
    bool came_before = exchange && (exchange->have_sync || exchange->sampled);

    samples->count = 0;
    if (!exchange || came_before) {
        if (is_two_step(pairing, sync, now_ns) || !is_restart(pairing, exchange, sync)) {
            keep_doubtful(pairing, sync, local_ns, now_ns);
            return came_before ? NQPTP_PAIRING_DUPLICATE : NQPTP_PAIRING_LATE;
        }
        forget_port(pairing, sync->source.port_number);
        exchange = begin_exchange(pairing, sync, now_ns);
    }
    nqptp_interval_note(&pairing->sync_interval, sync->log_message_interval, now_ns);
    exchange->have_sync = true;
    exchange->local_ns = local_ns;
    exchange->sync_correction_ns = sync->correction_ns;
    if (exchange->have_follow_up)
        pairing->waiting_until_ns = 0; /* that one waited for this Sync */
    add_waiting(pairing, samples);
    if (!exchange->have_follow_up && !is_two_step(pairing, sync, now_ns)) {
        exchange->one_step = true;
        exchange->origin_ns = sync->origin_timestamp_ns;
    }
    if (exchange->have_follow_up || exchange->one_step)
        add_sample(pairing, exchange, samples);
    return NQPTP_PAIRING_NOTED;
}

/* Whether there is a sample of a later Sync, or one waits, and this one is too old to replace it.
 */
static bool is_overtaken(const struct nqptp_pairing *pairing, const struct nqptp_exchange *exchange,
                         uint64_t newest_at_ns, uint64_t now_ns) {
    if (pairing->waiting_until_ns > 0)
        newest_at_ns = pairing->exchanges[pairing->waiting].local_ns;
    return exchange->have_sync && exchange->local_ns < newest_at_ns &&
           now_ns - exchange->local_ns > OVERTAKEN_NS;
}

/* Whether the doubtful Sync is this Follow_Up's. */
static bool has_doubtful(const struct nqptp_pairing *pairing, const struct nqptp_message *follow_up,
                         uint64_t now_ns) {
    return is_recent(&pairing->doubtful, follow_up->source.port_number, now_ns) &&
           pairing->doubtful.sequence_id == follow_up->sequence_id;
}

enum nqptp_pairing_result nqptp_pairing_follow_up(struct nqptp_pairing *pairing,
                                                  const struct nqptp_message *follow_up,
                                                  uint64_t local_ns, uint64_t newest_at_ns,
                                                  uint64_t now_ns, struct nqptp_samples *samples) {
    struct nqptp_exchange *exchange = exchange_of(pairing, follow_up, now_ns);
    bool came_before =
        exchange && (exchange->have_follow_up || (exchange->sampled && !exchange->one_step));

    samples->count = 0;
    if (!exchange || came_before) {
        if (!has_doubtful(pairing, follow_up, now_ns) || !is_restart(pairing, exchange, follow_up))
            return came_before ? NQPTP_PAIRING_DUPLICATE : NQPTP_PAIRING_LATE;
        forget_port(pairing, follow_up->source.port_number);
        exchange = begin_exchange(pairing, follow_up, now_ns);
        *exchange = pairing->doubtful;
    }
    if (is_overtaken(pairing, exchange, newest_at_ns, now_ns))
        return NQPTP_PAIRING_LATE;
    pairing->follow_up_at_ns = now_ns;
    add_waiting(pairing, samples);
    exchange->have_follow_up = true;
    exchange->origin_ns = follow_up->origin_timestamp_ns;
    exchange->follow_up_correction_ns = follow_up->correction_ns;
    if (exchange->have_sync) {
        add_sample(pairing, exchange, samples);
    } else {
        exchange->local_ns = local_ns;
        pairing->waiting = (unsigned)(exchange - pairing->exchanges);
        pairing->waiting_until_ns = now_ns + FOLLOW_UP_WAIT_NS;
    }
    return NQPTP_PAIRING_NOTED;
}

void nqptp_pairing_expire(struct nqptp_pairing *pairing, struct nqptp_samples *samples) {
    samples->count = 0;
    add_waiting(pairing, samples);
}
