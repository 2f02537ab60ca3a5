/* SPDX-License-Identifier: MIT */
/*
 * The clock table: see the header. Clauses are those of IEEE 1588-2008.
 *
 * A row begins with nqptp_clock_create() and ends with nqptp_clock_delete(). In between it is
 *   new       until it announces itself (`announced`) and gives a sample (`sampled_at_ns`),
 *   alive     from a sample on for 8 Sync intervals, 3 s at least and 10 s at most,
 *   lost      after that, with its last reading, until the next sample or 120 s of silence, or
 *             without end while it is the master of a client that plays;
 * and it is asleep, too, while its samples repeat one time.
 *
 * A sample that looks like one of a backlog is withheld until the next one comes. The estimator
 * takes each of the others, ignores it, or begins a new series with it.
 * After that there are two hystereses. One keeps back a reading that jumps to and fro, as if the
 * clock were silent. The other keeps back Announces that contradict each other.
 *
 * This module sends nothing, chooses no master, and deletes no clock by itself.
 */
#include "nqptp-clock-sources.h"

#include "nqptp-time.h"

#include <math.h>
#include <string.h>

#define NEWCOMER_IDLE_NS (5 * NQPTP_S) /* A clock silent for this time may lose its row. */
#define ALIVE_MIN_NS (3 * NQPTP_S)
#define ALIVE_MAX_NS (10 * NQPTP_S)
#define ALIVE_SYNC_INTERVALS 8
#define ASLEEP_REPEATS 3        /* A single repeat may be one packet under another sequenceId. */
#define FOREIGN_MASTER_WINDOW 4 /* Announce intervals, 9.3.2.4.4 */
#define FOREIGN_MASTER_MIN_NS (4 * NQPTP_S)

/*
 * Hysteresis against senders that change again and again, by mistake or by malice. After a change a
 * player goes on for 5 s by what it had, so it never plays by changes that come faster. Changes
 * that are rare apply at once: a master dies, a clock steps or gets another grandmaster.
 */
#define STEADY_NS (5 * NQPTP_S)
#define WEIGHT_MAX 64      /* Changes that weigh more than this are held back. */
#define WEIGHT_FORGIVEN 16 /* This is subtracted for each STEADY_NS without a change. */
#define WEIGHT_ANNOUNCE 10
#define WEIGHT_WILD_JUMP 10
#define WEIGHT_JUMP 1 /* A clock that falls asleep and runs slow makes many in one direction. */
#define JUMP_NS INT64_C(5000000) /* The estimator slews by less. */
#define JUMP_FAR_NS (2 * (int64_t)NQPTP_S)

/*
 * Crystals are wrong by 50 ppm at most, so two of them differ by 100. A rate just at a limit must
 * not count as odd, usual and odd again, so there are two limits. After RATE_KNOWN_NS, with an
 * error below RATE_KNOWN_US, the rate is wrong by less than half of the distance from 100 to
 * ODD_RATE_PPM.
 */
#define ODD_RATE_PPM 150
#define USUAL_RATE_PPM 120
#define RATE_KNOWN_NS (60 * NQPTP_S)
#define RATE_KNOWN_US 200

/* --- rows ---------------------------------------------------------------------------------- */

int nqptp_clock_find(const struct nqptp_clock_table *table, uint64_t clock_identity,
                     const struct nqptp_address *address) {
    for (int i = 0; i < table->clocks_top; i++) {
        const struct nqptp_clock *clock = &table->clocks[i];
        if (clock->in_use && clock->clock_identity == clock_identity &&
            nqptp_address_equal(&clock->address, address))
            return i;
    }
    return NQPTP_NO_CLOCK;
}

unsigned nqptp_clocks_in_use(const struct nqptp_clock_table *table) {
    unsigned count = 0;

    for (int i = 0; i < table->clocks_top; i++)
        count += table->clocks[i].in_use;
    return count;
}

/* Whether of two clocks a loses its row before b: an unlisted one does, then the one idle longer.
 */
static bool goes_before(const struct nqptp_clock_table *table, uint32_t listed, int a, int b) {
    bool a_is_listed = listed & nqptp_clock_bit(a), b_is_listed = listed & nqptp_clock_bit(b);
    if (a_is_listed != b_is_listed)
        return !a_is_listed;
    return table->clocks[a].heard_at_ns < table->clocks[b].heard_at_ns;
}

uint32_t nqptp_clock_rows_at(const struct nqptp_clock_table *table,
                             const struct nqptp_address *address) {
    uint32_t rows = 0;

    for (int i = 0; i < table->clocks_top; i++)
        if (table->clocks[i].in_use && nqptp_address_equal(&table->clocks[i].address, address))
            rows |= nqptp_clock_bit(i);
    return rows;
}

/* Notes in each row at the address how many there are. */
static void count_rows_at(struct nqptp_clock_table *table, const struct nqptp_address *address) {
    uint32_t rows = nqptp_clock_rows_at(table, address);

    for (int i = 0; i < table->clocks_top; i++)
        if (rows & nqptp_clock_bit(i))
            table->clocks[i].address_rows = (unsigned)__builtin_popcount(rows);
}

/*
 * Returns the newest row, among those of the mask, of the address that has the most rows, or
 * NQPTP_NO_CLOCK if no address has two. So one address cannot keep all others out.
 */
static int crowded_row(const struct nqptp_clock_table *table, uint32_t mask) {
    int found = NQPTP_NO_CLOCK;
    unsigned most = 2;

    for (int i = 0; i < table->clocks_top; i++) {
        const struct nqptp_clock *clock = &table->clocks[i];
        if (!(mask & nqptp_clock_bit(i)) || clock->address_rows < most ||
            (clock->address_rows == most && found != NQPTP_NO_CLOCK &&
             clock->created_at_ns <= table->clocks[found].created_at_ns))
            continue;
        most = clock->address_rows;
        found = i;
    }
    return found;
}

int nqptp_clock_row_for(const struct nqptp_clock_table *table, uint32_t listed, uint32_t pinned,
                        const struct nqptp_address *newcomer, bool newcomer_is_listed,
                        uint64_t now_ns) {
    int victim = NQPTP_NO_CLOCK;

    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++) {
        if (!table->clocks[i].in_use)
            return i;
        if (!(pinned & nqptp_clock_bit(i)) &&
            (victim == NQPTP_NO_CLOCK || goes_before(table, listed, i, victim)))
            victim = i;
    }
    if (victim == NQPTP_NO_CLOCK)
        return victim;
    bool victim_is_listed = listed & nqptp_clock_bit(victim);
    bool idle = now_ns - table->clocks[victim].heard_at_ns >= NEWCOMER_IDLE_NS;
    if (newcomer_is_listed ? idle || !victim_is_listed : idle && !victim_is_listed)
        return victim;
    victim = crowded_row(table, ~pinned & (newcomer_is_listed ? UINT32_MAX : ~listed));
    return victim == NQPTP_NO_CLOCK || nqptp_clock_rows_at(table, newcomer) ? NQPTP_NO_CLOCK
                                                                            : victim;
}

void nqptp_clock_create(struct nqptp_clock_table *table, int i, uint64_t clock_identity,
                        const struct nqptp_address *address, uint64_t now_ns) {
    table->clocks[i] = (struct nqptp_clock){
        .in_use = true,
        .clock_identity = clock_identity,
        .address = *address,
        .created_at_ns = now_ns,
        .heard_at_ns = now_ns,
    };
    if (i >= table->clocks_top)
        table->clocks_top = i + 1;
    count_rows_at(table, address);
}

void nqptp_clock_delete(struct nqptp_clock_table *table, int i) {
    table->clocks[i].in_use = false;
    count_rows_at(table, &table->clocks[i].address);
    while (table->clocks_top > 0 && !table->clocks[table->clocks_top - 1].in_use)
        table->clocks_top--;
}

/* --- hysteresis ---------------------------------------------------------------------------- */

void nqptp_hysteresis_note(struct nqptp_hysteresis *hysteresis, unsigned weight, uint64_t now_ns) {
    uint64_t forgiven = (now_ns - hysteresis->changed_at_ns) / STEADY_NS * WEIGHT_FORGIVEN;

    hysteresis->weight -= forgiven < hysteresis->weight ? (unsigned)forgiven : hysteresis->weight;
    hysteresis->weight += hysteresis->weight <= WEIGHT_MAX ? weight : 0;
    hysteresis->changed_at_ns = now_ns;
}

bool nqptp_hysteresis_holds(const struct nqptp_hysteresis *hysteresis, uint64_t now_ns) {
    return hysteresis->weight > WEIGHT_MAX && now_ns - hysteresis->changed_at_ns < STEADY_NS;
}

/* --- what a clock says --------------------------------------------------------------------- */

static bool same_announce(const struct nqptp_announce *a, const struct nqptp_announce *b) {
    return a->grandmaster_identity == b->grandmaster_identity &&
           a->steps_removed == b->steps_removed && a->priority1 == b->priority1 &&
           a->clock_class == b->clock_class && a->clock_accuracy == b->clock_accuracy &&
           a->offset_scaled_log_variance == b->offset_scaled_log_variance &&
           a->priority2 == b->priority2;
}

/* Believes what the clock says of its grandmaster, unless it keeps saying something else. */
static void accept_announce(struct nqptp_clock *clock, const struct nqptp_announce *announce,
                            uint64_t now_ns) {
    if (clock->announced && !same_announce(announce, &clock->last_announce))
        nqptp_hysteresis_note(&clock->announce_hysteresis, WEIGHT_ANNOUNCE, now_ns);
    clock->last_announce = *announce;
    if (clock->announced && nqptp_hysteresis_holds(&clock->announce_hysteresis, now_ns))
        return;
    if (clock->announced && announce->grandmaster_identity != clock->announce.grandmaster_identity)
        nqptp_estimator_reset(&clock->estimator); /* another timescale: a new series */
    clock->announce = *announce;
}

void nqptp_clock_announce(struct nqptp_clock *clock, const struct nqptp_announce *announce,
                          uint16_t port_number, int8_t log_message_interval, uint64_t now_ns) {
    uint64_t previous_ns = clock->announce_interval.last_at_ns;
    bool first = clock->announce_interval.messages == 0;
    uint64_t window_ns =
        FOREIGN_MASTER_WINDOW *
        nqptp_interval_ns(&clock->announce_interval, NQPTP_ANNOUNCE_INTERVAL_UNKNOWN_NS);

    if (window_ns < FOREIGN_MASTER_MIN_NS)
        window_ns = FOREIGN_MASTER_MIN_NS;
    nqptp_interval_note(&clock->announce_interval, log_message_interval, now_ns);
    if (announce->grandmaster_identity == 0)
        return; /* for a player that would mean "no master" */
    if (!first && now_ns - previous_ns <= window_ns)
        clock->confirmed = true;
    accept_announce(clock, announce, now_ns);
    if (!clock->announced)
        clock->reading.grandmaster_identity = announce->grandmaster_identity;
    clock->announced = true;
    clock->port_number = port_number;
}

/* For how long a sample makes its clock alive. */
static uint64_t alive_for_ns(const struct nqptp_clock *clock) {
    uint64_t limit_ns = ALIVE_SYNC_INTERVALS * nqptp_interval_ns(&clock->pairing.sync_interval,
                                                                 NQPTP_SYNC_INTERVAL_UNKNOWN_NS);
    return limit_ns < ALIVE_MIN_NS   ? ALIVE_MIN_NS
           : limit_ns > ALIVE_MAX_NS ? ALIVE_MAX_NS
                                     : limit_ns;
}

bool nqptp_clock_is_alive(const struct nqptp_clock *clock, uint64_t now_ns) {
    return now_ns < clock->alive_until_ns;
}

uint32_t nqptp_clock_rows_alive(const struct nqptp_clock_table *table, uint64_t now_ns) {
    uint32_t rows = 0;

    for (int i = 0; i < table->clocks_top; i++)
        if (table->clocks[i].in_use && nqptp_clock_is_alive(&table->clocks[i], now_ns))
            rows |= nqptp_clock_bit(i);
    return rows;
}

bool nqptp_clock_is_asleep(const struct nqptp_clock *clock) {
    return clock->repeated_times >= ASLEEP_REPEATS;
}

/* Notes a jump of the clock's time. One that goes far, or back on the last one, weighs more. */
static void note_jump(struct nqptp_clock *clock, bool new_series, uint64_t now_ns) {
    uint64_t offset_ns = nqptp_estimator_offset_ns(&clock->estimator);
    int64_t moved_ns = (int64_t)(offset_ns - clock->newest_offset_ns);
    bool jumped = moved_ns > JUMP_NS || moved_ns < -JUMP_NS;
    bool far = moved_ns > JUMP_FAR_NS || moved_ns < -JUMP_FAR_NS;
    bool wild = far || (jumped && (moved_ns < 0) != clock->jumped_back);

    clock->newest_offset_ns = offset_ns;
    if (clock->series_began_at_ns == 0)
        return; /* the first series: there is nothing to jump away from */
    if (jumped)
        clock->jumped_back = moved_ns < 0;
    if (jumped || new_series)
        nqptp_hysteresis_note(&clock->series_hysteresis, wild ? WEIGHT_WILD_JUMP : WEIGHT_JUMP,
                              now_ns);
}

/* Whether the sample repeats the time of the one before; its corrections may differ a little. */
static bool is_repeat(const struct nqptp_clock *clock, const struct nqptp_sample *sample,
                      uint64_t master_ns) {
    int64_t moved_ns = (int64_t)(master_ns - clock->last_master_ns);
    return !sample->replaces_guess && sample->origin_ns == clock->last_origin_ns &&
           moved_ns < JUMP_NS && moved_ns > -JUMP_NS;
}

/*
 * While this machine stood still (a suspended guest), packets may have waited below the kernel.
 * They come in a burst with fresh stamps, so each sample is higher than the one before by what the
 * sender's clock went on. No delay makes a sample too high, and only the last of them is true.
 */
static bool is_of_backlog(const struct nqptp_clock *clock, const struct nqptp_sample *sample,
                          uint64_t master_ns) {
    int64_t above_ns = (int64_t)(master_ns - sample->local_ns - clock->reading.offset_ns);
    int64_t master_moved_ns = (int64_t)(master_ns - clock->last_master_ns);
    int64_t local_moved_ns = (int64_t)(sample->local_ns - clock->last_local_ns);

    return !nqptp_estimator_is_empty(&clock->estimator) && !sample->replaces_guess &&
           above_ns > JUMP_NS && master_moved_ns > JUMP_NS && local_moved_ns < master_moved_ns / 2;
}

/* Whether a sample waits for the next one. A reset of the estimator makes it worth nothing. */
static bool withholds(const struct nqptp_clock *clock) {
    return clock->withholds && !nqptp_estimator_is_empty(&clock->estimator);
}

/* In a backlog a sample may overtake another one. The later one does not end the backlog. */
static bool is_overtaken(const struct nqptp_clock *clock, const struct nqptp_sample *sample,
                         uint64_t master_ns) {
    return withholds(clock) && !sample->replaces_guess &&
           (int64_t)(master_ns - clock->last_master_ns) <= 0 &&
           (int64_t)(sample->local_ns - clock->last_local_ns) < JUMP_NS;
}

/* Gives the estimator a sample. Returns whether the reading changed. */
static bool estimate(struct nqptp_clock *clock, const struct nqptp_sample *sample,
                     uint64_t master_ns, uint64_t now_ns) {
    enum nqptp_estimate estimate =
        nqptp_estimator_sample(&clock->estimator, master_ns, sample->local_ns);
    if (estimate == NQPTP_ESTIMATE_NONE)
        return false;
    note_jump(clock, estimate == NQPTP_ESTIMATE_RESTARTED, now_ns);
    if (estimate == NQPTP_ESTIMATE_RESTARTED)
        clock->series_began_at_ns = sample->local_ns;
    if (nqptp_hysteresis_holds(&clock->series_hysteresis, now_ns))
        return false; /* as if it were silent */
    if (clock->sampled_at_ns > 0 && !nqptp_clock_is_alive(clock, now_ns))
        clock->confirmed = false; /* it was lost: it has to qualify again */
    clock->reading.start_time_ns = clock->series_began_at_ns;
    clock->reading.grandmaster_identity = clock->announce.grandmaster_identity;
    clock->reading.local_time_ns = sample->local_ns;
    clock->reading.offset_ns = nqptp_estimator_offset_ns(&clock->estimator);
    clock->sampled_at_ns = now_ns;
    clock->alive_until_ns = now_ns + alive_for_ns(clock) + 1;
    return true;
}

/* Gives the estimator the sample that was withheld, if any: the next one is not of a backlog. */
static bool release_withheld(struct nqptp_clock *clock, uint64_t now_ns) {
    const struct nqptp_sample *sample = &clock->withheld;
    bool withheld = withholds(clock);

    clock->withholds = false;
    return withheld &&
           estimate(clock, sample, sample->origin_ns + (uint64_t)sample->correction_ns, now_ns);
}

bool nqptp_clock_sample(struct nqptp_clock *clock, const struct nqptp_sample *sample,
                        uint64_t now_ns) {
    uint64_t master_ns = sample->origin_ns + (uint64_t)sample->correction_ns;
    if (is_overtaken(clock, sample, master_ns))
        return false;
    bool repeated = is_repeat(clock, sample, master_ns);
    bool of_backlog = !repeated && is_of_backlog(clock, sample, master_ns);

    clock->repeated_times = repeated ? clock->repeated_times + 1 : 0;
    if (repeated)
        master_ns = clock->last_master_ns;
    clock->last_master_ns = master_ns;
    clock->last_origin_ns = sample->origin_ns;
    clock->last_local_ns = sample->local_ns;
    if (of_backlog) {
        clock->withheld = *sample;
        clock->withholds = true;
        return false;
    }
    if (sample->replaces_guess)
        nqptp_estimator_reset(&clock->estimator);
    if (repeated && nqptp_estimator_is_empty(&clock->estimator))
        return false; /* it still sleeps: a reset estimator does not make this a first sample */
    bool changed = release_withheld(clock, now_ns);
    return estimate(clock, sample, master_ns, now_ns) || changed;
}

bool nqptp_clock_judge_rate(struct nqptp_clock *clock) {
    const struct nqptp_reading *reading = &clock->reading;
    bool was_odd = clock->odd_rate_ppm != 0;
    struct nqptp_quality quality;

    if (!nqptp_estimator_quality(&clock->estimator, &quality) || quality.error_us > RATE_KNOWN_US ||
        reading->local_time_ns - reading->start_time_ns < RATE_KNOWN_NS)
        return false;
    bool is_odd = fabs(quality.rate_ppm) > (was_odd ? USUAL_RATE_PPM : ODD_RATE_PPM);
    clock->odd_rate_ppm = is_odd ? quality.rate_ppm : 0;
    return is_odd != was_odd;
}

/* --- the data set comparison ---------------------------------------------------------------- */

/*
 * Figures 27 and 28: a rung for each comparison of figure 27, then for each of figure 28. The
 * standard uses figure 27 only if the grandmasters differ. For equal grandmasters it would find no
 * difference there, unless one grandmaster contradicts itself on two paths; so the order is total.
 * "Better" and "better by topology" of the second figure mean the same here. Its comparisons of
 * receivers are left out, because we have a single port, which is never a master.
 */
int nqptp_clock_compare(const struct nqptp_clock *a, const struct nqptp_clock *b,
                        struct nqptp_difference *difference) {
    const struct nqptp_announce *x = &a->announce, *y = &b->announce;
    const uint64_t rungs[NQPTP_RUNG_ADDRESS][2] = {
        [NQPTP_RUNG_PRIORITY1] = {x->priority1, y->priority1},
        [NQPTP_RUNG_CLOCK_CLASS] = {x->clock_class, y->clock_class},
        [NQPTP_RUNG_CLOCK_ACCURACY] = {x->clock_accuracy, y->clock_accuracy},
        [NQPTP_RUNG_VARIANCE] = {x->offset_scaled_log_variance, y->offset_scaled_log_variance},
        [NQPTP_RUNG_PRIORITY2] = {x->priority2, y->priority2},
        [NQPTP_RUNG_GRANDMASTER_IDENTITY] = {x->grandmaster_identity, y->grandmaster_identity},
        [NQPTP_RUNG_STEPS_REMOVED] = {x->steps_removed, y->steps_removed},
        [NQPTP_RUNG_CLOCK_IDENTITY] = {a->clock_identity, b->clock_identity},
        [NQPTP_RUNG_PORT_NUMBER] = {a->port_number, b->port_number},
    };

    for (unsigned i = 0; i < NQPTP_RUNG_ADDRESS; i++) {
        if (rungs[i][0] == rungs[i][1])
            continue;
        *difference = (struct nqptp_difference){(enum nqptp_rung)i, rungs[i][0], rungs[i][1]};
        return rungs[i][0] < rungs[i][1] ? -1 : 1;
    }
    /* Beyond the standard: one sender heard at two addresses. */
    *difference = (struct nqptp_difference){.rung = NQPTP_RUNG_ADDRESS};
    int order = memcmp(&a->address.ip, &b->address.ip, sizeof a->address.ip);
    return order != 0 ? order
                      : (a->address.scope_id > b->address.scope_id) -
                            (a->address.scope_id < b->address.scope_id);
}

/* --- deadlines ---------------------------------------------------------------------------- */

uint64_t nqptp_clock_deadline(const struct nqptp_clock *clock) {
    uint64_t deadline_ns =
        clock->kept ? NQPTP_NO_DEADLINE : clock->heard_at_ns + NQPTP_CLOCK_LIFETIME_NS;

    const uint64_t others_ns[] = {clock->pairing.waiting_until_ns, clock->wake_up_at_ns,
                                  clock->alive_until_ns};
    for (size_t i = 0; i < sizeof others_ns / sizeof *others_ns; i++)
        if (others_ns[i] > 0 && others_ns[i] < deadline_ns)
            deadline_ns = others_ns[i];
    return deadline_ns;
}

int nqptp_clock_first_due(const struct nqptp_clock_table *table) {
    int first = NQPTP_NO_CLOCK;

    for (int i = 0; i < table->clocks_top; i++) {
        const struct nqptp_clock *clock = &table->clocks[i];
        if (clock->in_use &&
            (first == NQPTP_NO_CLOCK ||
             nqptp_clock_deadline(clock) < nqptp_clock_deadline(&table->clocks[first])))
            first = i;
    }
    return first;
}
