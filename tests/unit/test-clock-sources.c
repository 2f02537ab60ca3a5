/* SPDX-License-Identifier: MIT */
/*
 * Proves the rules of the clock table: the interval of messages, which clock gets a row of a full
 * table, which of two clocks is better and that this is a total order, when a clock is alive, and
 * what its samples do. test-selection proves which clock a client follows.
 */
#include "nqptp-clock-sources.h"

#include "../lib/table-fixture.h"
#include "../lib/random.h"
#include "../lib/tap.h"

/* --- message intervals ----------------------------------------------------------------------- */

/* Returns the interval that the value states, from a table, or 0 if it states none. */
static uint64_t stated_ns(int log_interval) {
    static const uint64_t from_minus_7[12] = {
        7812500,   15625000,   31250000,   62500000,   125000000,  250000000,
        500000000, 1000000000, 2000000000, 4000000000, 8000000000, 16000000000,
    };
    return log_interval < -7 || log_interval > 4 ? 0 : from_minus_7[log_interval + 7];
}

static void test_every_log_interval(void) {
    const uint64_t unknown_ns = 777;
    unsigned wrong = 0;

    for (int n = INT8_MIN; n <= INT8_MAX; n++) {
        struct nqptp_interval interval = {0};
        nqptp_interval_note(&interval, (int8_t)n, 5 * S);
        uint64_t expected_ns = stated_ns(n) ? stated_ns(n) : unknown_ns;
        wrong += nqptp_interval_ns(&interval, unknown_ns) != expected_ns;
        nqptp_interval_note(&interval, (int8_t)n, 8 * S);
        expected_ns = stated_ns(n) ? stated_ns(n) : 3 * S;
        wrong += nqptp_interval_ns(&interval, unknown_ns) != expected_ns;
    }
    CHECK_EQ_U64(wrong, 0, "-7 to +4 state an interval, all else does not and is measured");
}

/* Returns the interval of messages that came at these spacings, in ms, and stated no interval. */
static uint64_t measured_ms(unsigned count, const uint64_t *spacings_ms) {
    struct nqptp_interval interval = {0};
    uint64_t now_ns = 5 * S;

    nqptp_interval_note(&interval, LOG_NOT_STATED, now_ns);
    for (unsigned i = 0; i < count; i++)
        nqptp_interval_note(&interval, LOG_NOT_STATED, now_ns += spacings_ms[i] * MS);
    return nqptp_interval_ns(&interval, 777 * MS) / MS;
}

static void test_measured_interval(void) {
    static const uint64_t spacings_ms[] = {250, 9000, 240, 3, 260, 255, 245, 8000, 4, 250};

    CHECK_EQ_U64(measured_ms(0, spacings_ms), 777, "one message: its interval is unknown");
    CHECK_EQ_U64(measured_ms(1, spacings_ms), 250,
                 "two messages: the interval is the time between them");
    CHECK_EQ_U64(measured_ms(3, spacings_ms), 250, "four messages: the interval is the median");
    CHECK_EQ_U64(measured_ms(5, spacings_ms), 250,
                 "six messages: a pause and a burst do not change the interval");
    CHECK_EQ_U64(measured_ms(10, spacings_ms), 250,
                 "eleven messages: a burst and long pauses do not count");
    uint64_t of_two_ms = measured_ms(2, spacings_ms);
    CHECK(of_two_ms >= 250 && of_two_ms <= 9000,
          "three messages: the interval is between the two times");
}

static void test_interval_changes(void) {
    struct nqptp_interval interval = {0};

    for (uint64_t ns = 5 * S; ns < 15 * S; ns += S)
        nqptp_interval_note(&interval, -3, ns);
    CHECK_EQ_U64(nqptp_interval_ns(&interval, 777), 125 * MS, "an interval that is stated counts");
    nqptp_interval_note(&interval, -2, 15 * S);
    CHECK_EQ_U64(nqptp_interval_ns(&interval, 777), 250 * MS,
                 "the last of two stated intervals counts");
    nqptp_interval_note(&interval, LOG_NOT_STATED, 16 * S);
    CHECK_EQ_U64(nqptp_interval_ns(&interval, 777), S,
                 "after a message that states no interval the time since the last one counts");
    for (uint64_t ns = 17 * S; ns < 33 * S; ns += 4 * S)
        nqptp_interval_note(&interval, LOG_NOT_STATED, ns);
    CHECK_EQ_U64(nqptp_interval_ns(&interval, 777), 4 * S,
                 "messages that state no interval: a change of pace is followed");
}

/* --- records --------------------------------------------------------------------------------- */

static void test_find(void) {
    struct table_fixture b = table_begin();
    int first = add(&b, 1, 1), second = add(&b, 2, 1), third = add(&b, 1, 2);
    struct nqptp_address one = host(1), two = host(2), three = host(3);

    CHECK_EQ_I64(nqptp_clock_find(&b.table, 1, &one), first,
                 "a clock is found by identity and address");
    CHECK_EQ_I64(nqptp_clock_find(&b.table, 2, &one), second,
                 "two identities at one address are told apart");
    CHECK_EQ_I64(nqptp_clock_find(&b.table, 1, &two), third,
                 "one identity at two addresses is told apart");
    CHECK_EQ_I64(nqptp_clock_find(&b.table, 2, &two), NQPTP_NO_CLOCK,
                 "an identity at an address where only others were heard is not found");
    CHECK_EQ_I64(nqptp_clock_find(&b.table, 1, &three), NQPTP_NO_CLOCK,
                 "an identity at an unknown address is not found");
    one.scope_id = 3;
    CHECK_EQ_I64(nqptp_clock_find(&b.table, 1, &one), first,
                 "the scope of an address that is not link-local does not count");
    delete (&b, first);
    CHECK_EQ_I64(nqptp_clock_find(&b.table, 1, &one), NQPTP_NO_CLOCK,
                 "a deleted clock is not found");
    CHECK_EQ_I64(nqptp_clock_find(&b.table, 2, &one), second,
                 "after another clock is deleted a clock is still found");
}

static void test_created_record_is_new(void) {
    struct table_fixture b = table_begin();
    int i = add_ready(&b, 1, 1, 10);
    b.clients.list[0].master = i;

    delete (&b, i);
    CHECK_EQ_I64(b.clients.list[0].master, NQPTP_NO_CLOCK, "a deleted record is no master");
    CHECK_EQ_I64(add(&b, 2, 2), i, "a new clock gets the row of the deleted one");
    const struct nqptp_clock *clock = &b.table.clocks[i];
    CHECK(clock->in_use && clock->clock_identity == 2,
          "the row of a deleted clock has the identity of the new one");
    CHECK(!clock->announced && !clock->confirmed && clock->sampled_at_ns == 0 &&
              clock->reading.local_time_ns == 0,
          "the row of a deleted clock keeps nothing of it");
    CHECK_EQ_U64(clock->heard_at_ns, b.now_ns, "a new clock was heard now");
    CHECK_EQ_U64(clock->pairing.waiting_until_ns, 0, "a new clock waits for no Follow_Up");
}

/* 32 clocks, 1 to 32 at hosts 1 to 32, number n heard last 40 - n seconds ago. */
static struct table_fixture bench_full(void) {
    struct table_fixture b = table_begin();
    unsigned made = 0;

    for (uint8_t n = 1; n <= NQPTP_CLOCKS_MAX; n++) {
        made += add(&b, n, n) == n - 1;
        b.table.clocks[n - 1].heard_at_ns = b.now_ns - (40u - n) * S;
    }
    CHECK_EQ_U64(made, 32, "there are slots for 32 clocks");
    return b;
}

static int room_at(const struct table_fixture *b, uint8_t number, bool listed) {
    struct nqptp_address newcomer = host(number);
    return nqptp_clock_row_for(&b->table, nqptp_clients_listed(&b->clients),
                               nqptp_clients_masters(&b->clients), &newcomer, listed, b->now_ns);
}

static int room(const struct table_fixture *b, bool listed) {
    return room_at(b, 99, listed);
}

static void test_newcomer_to_full_table(void) {
    struct table_fixture b = bench_full();

    CHECK_EQ_I64(room(&b, false), 0,
                 "a 33rd clock gets the row of the clock that was silent longest");
    CHECK_EQ_I64(room(&b, true), 0,
                 "a listed 33rd clock gets the row of the clock that was silent longest");
    b.table.clocks[0].heard_at_ns = b.now_ns;
    CHECK_EQ_I64(room(&b, false), 1,
                 "a 33rd clock gets the row of any clock that was silent longest");
    delete (&b, 17);
    CHECK_EQ_I64(room(&b, false), 17, "a newcomer gets a free row before that of a silent clock");
    CHECK_EQ_I64(room(&b, true), 17,
                 "a listed newcomer gets a free row before that of a silent clock");
}

static void test_newcomer_among_busy_clocks(void) {
    struct table_fixture b = bench_full();

    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
        b.table.clocks[i].heard_at_ns = b.now_ns - (i == 9 ? 5 * S - 1 : 1 * S);
    CHECK_EQ_I64(room(&b, false), NQPTP_NO_CLOCK,
                 "no clock is silent for 5 s: an unlisted clock finds no row");
    CHECK_EQ_I64(room(&b, true), 9, "a listed clock takes the row that was silent longest");
    b.now_ns += 1;
    CHECK_EQ_I64(room(&b, false), 9, "a clock is silent for 5 s: an unlisted clock takes its row");
}

static void test_master_is_never_evicted(void) {
    struct table_fixture b = bench_full();

    b.clients.list[0].master = 0;
    CHECK_EQ_I64(room(&b, false), 1, "the master keeps its row though it was silent longest");
    CHECK_EQ_I64(room(&b, true), 1, "a listed clock takes the row of an unlisted one");
}

static void test_listed_are_not_evicted_for_unlisted(void) {
    struct table_fixture b = bench_full();

    list_hosts(&b, 3, (const uint8_t[]){1, 2, 4});
    CHECK_EQ_I64(room(&b, false), 2,
                 "listed clocks keep their rows though they were silent longest");
    CHECK_EQ_I64(room(&b, true), 2, "a listed newcomer takes the row of an unlisted clock");
    b.clients.list[0].listed = UINT32_MAX;
    CHECK_EQ_I64(room(&b, false), NQPTP_NO_CLOCK,
                 "all clocks are listed: an unlisted newcomer finds no row");
    CHECK_EQ_I64(room(&b, true), 0,
                 "all clocks are listed: a listed newcomer takes the row of a silent one");
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
        b.table.clocks[i].heard_at_ns = b.now_ns;
    CHECK_EQ_I64(room(&b, true), NQPTP_NO_CLOCK,
                 "all clocks are listed and send: a listed newcomer finds no row");
}

/* A table of busy clocks: `count` of them at one address, the others at an address each. */
static struct table_fixture crowded(unsigned count) {
    struct table_fixture b = table_begin();

    for (unsigned n = 0; n < NQPTP_CLOCKS_MAX; n++, b.now_ns += MS)
        (void)add(&b, n + 1, (uint8_t)(n % 3 == 1 && n / 3 < count ? 50 : n + 1));
    return b;
}

/* Rows are not in the order of their age: row 3 was given to another clock. */
static void test_which_row_of_a_crowded_address(void) {
    struct table_fixture b = table_begin();

    for (uint8_t n = 0; n < NQPTP_CLOCKS_MAX; n++)
        (void)add(&b, n + 1u, n == 3 || n == 19 ? 200 : n + 1);
    b.now_ns += S;
    delete (&b, 3);
    (void)add(&b, 99, 200);
    struct nqptp_address newcomer = host(201);
    CHECK_EQ_I64(nqptp_clock_row_for(&b.table, 0, 0, &newcomer, false, b.now_ns), 3,
                 "a full table: a newcomer takes the newest row of the address with two rows");
    for (int i = 5; i < 8; i++)
        delete (&b, i);
    b.now_ns -= S / 2;
    for (uint8_t n = 0; n < 3; n++)
        (void)add(&b, 100u + n, 202);
    CHECK_EQ_I64(
        nqptp_clock_row_for(&b.table, 0, 0, &newcomer, false, b.now_ns + S / 2), 5,
        "a full table: a newcomer takes a row of the address with most rows, though older");
}

static void test_one_address_cannot_fill_the_table(void) {
    struct table_fixture b = table_begin();
    unsigned made = 0;

    for (unsigned n = 0; n < NQPTP_CLOCKS_MAX; n++, b.now_ns += MS)
        made += add(&b, n + 1, 50) != NQPTP_NO_CLOCK;
    CHECK_EQ_U64(made, 32, "32 clocks of one address fit an empty table");
    CHECK_EQ_I64(room_at(&b, 50, false), NQPTP_NO_CLOCK, "a 33rd clock of that address has no row");
    CHECK_EQ_I64(room(&b, false), 31, "a clock of another address takes its newest row");
    b.clients.list[0].master = 31;
    CHECK_EQ_I64(room(&b, false), 30, "a clock of another address takes no master's row");
    b.clients.list[0].listed = UINT32_MAX;
    CHECK_EQ_I64(room(&b, false), NQPTP_NO_CLOCK,
                 "a clock of another address that is not listed takes no listed one's row");
    CHECK_EQ_I64(room(&b, true), 30, "a listed clock of another address takes the newest row");
    CHECK_EQ_I64(room_at(&b, 50, true), NQPTP_NO_CLOCK,
                 "a listed clock of an address that has rows takes none");
    b = crowded(1);
    CHECK_EQ_I64(room(&b, false), NQPTP_NO_CLOCK, "no address has two rows: none may go");
    b = crowded(2);
    CHECK_EQ_I64(room(&b, false), 4, "the address with the most rows has two: its newest goes");
    b = crowded(5);
    CHECK_EQ_I64(room(&b, false), 13, "the address with the most rows has five: its newest goes");
}

/* --- the comparison -------------------------------------------------------------------------- */

static int sign(int order) {
    return (order > 0) - (order < 0);
}

/* Two clocks that differ in nothing yet. */
struct pair {
    struct nqptp_clock better, worse;
};

static struct pair twins(void) {
    struct nqptp_clock clock = {
        .in_use = true,
        .clock_identity = 50,
        .address = host(50),
        .announced = true,
        .announce = {.grandmaster_identity = 50,
                     .steps_removed = 50,
                     .offset_scaled_log_variance = 50,
                     .priority1 = 50,
                     .clock_class = 50,
                     .clock_accuracy = 50,
                     .priority2 = 50},
        .port_number = 50,
    };
    return (struct pair){clock, clock};
}

/*
 * Rungs in the order of figures 27 and 28, then the address; on each the values of both ends are
 * so that a comparison of any narrower or signed type would err.
 */
static void set_rung(struct pair *p, int rung, bool swap) {
    struct nqptp_clock *low = swap ? &p->worse : &p->better;
    struct nqptp_clock *high = swap ? &p->better : &p->worse;

    switch (rung) {
    case 0:
        low->announce.priority1 = 1;
        high->announce.priority1 = 255;
        break;
    case 1:
        low->announce.clock_class = 1;
        high->announce.clock_class = 255;
        break;
    case 2:
        low->announce.clock_accuracy = 1;
        high->announce.clock_accuracy = 254;
        break;
    case 3:
        low->announce.offset_scaled_log_variance = 0x01FF;
        high->announce.offset_scaled_log_variance = 0xFF00;
        break;
    case 4:
        low->announce.priority2 = 1;
        high->announce.priority2 = 255;
        break;
    case 5:
        low->announce.grandmaster_identity = UINT64_C(0x00000001FFFFFFFF);
        high->announce.grandmaster_identity = UINT64_C(0xFFFFFFFF00000000);
        break;
    case 6:
        low->announce.steps_removed = 0x00FE;
        high->announce.steps_removed = 0xFF00;
        break;
    case 7:
        low->clock_identity = UINT64_C(0x00000001FFFFFFFF);
        high->clock_identity = UINT64_C(0xFFFFFFFF00000000);
        break;
    case 8:
        low->port_number = 0x01FF;
        high->port_number = 0xFF00;
        break;
    default:
        low->address = host(1);
        high->address = host(255);
    }
}

static void test_each_rung(void) {
    static const char *const names[] = {
        "priority1",     "clockClass",           "clockAccuracy", "offsetScaledLogVariance",
        "priority2",     "grandmasterIdentity",  "stepsRemoved",  "clockIdentity of the sender",
        "portNumber of", "address of the record"};
    for (int rung = 0; rung < 10; rung++) {
        struct pair p = twins();
        set_rung(&p, rung, false);
        CHECK_EQ_I64(sign(compare(&p.better, &p.worse)), -1,
                     "%s: the clock with the lower value is better", names[rung]);
        CHECK_EQ_I64(sign(compare(&p.worse, &p.better)), 1,
                     "%s: the clock with the higher value is worse", names[rung]);
        for (int lower = rung + 1; lower < 10; lower++)
            set_rung(&p, lower, true);
        CHECK_EQ_I64(sign(compare(&p.better, &p.worse)), -1,
                     "%s: it outweighs all that comes after it", names[rung]);
        CHECK_EQ_I64(sign(compare(&p.worse, &p.better)), 1,
                     "%s: it outweighs all that comes after it when the clocks change places",
                     names[rung]);
    }
}

static void test_equal_clocks(void) {
    struct pair p = twins();

    CHECK_EQ_I64(compare(&p.better, &p.worse), 0, "a clock is no better than its equal");
    p.better.address.scope_id = 7;
    CHECK(compare(&p.better, &p.worse) > 0 && compare(&p.worse, &p.better) < 0,
          "of two links with one address the one with the lower number is better");
}

/* The range of each field is small, so that ties are common. */
static struct nqptp_clock random_clock(struct prng *prng, unsigned range) {
    struct nqptp_clock clock = {.in_use = true, .announced = true};
    struct nqptp_announce *data = &clock.announce;

    data->priority1 = (uint8_t)prng_below(prng, range);
    data->clock_class = (uint8_t)prng_below(prng, range);
    data->clock_accuracy = (uint8_t)prng_below(prng, range);
    data->offset_scaled_log_variance = (uint16_t)prng_below(prng, range);
    data->priority2 = (uint8_t)prng_below(prng, range);
    data->grandmaster_identity = prng_below(prng, range);
    data->steps_removed = (uint16_t)prng_below(prng, range);
    clock.clock_identity = prng_below(prng, range);
    clock.port_number = (uint16_t)prng_below(prng, range);
    clock.address = host((uint8_t)prng_below(prng, range));
    return clock;
}

/* A clock that differs on two rungs at most, so that low rungs decide, too. */
static struct nqptp_clock relative_of(const struct nqptp_clock *clock, struct prng *prng) {
    struct pair p = {*clock, *clock};

    for (int n = 0; n < 2; n++) {
        int rung = (int)prng_below(prng, 10);
        set_rung(&p, rung, prng_below(prng, 2));
    }
    return prng_below(prng, 2) ? p.better : p.worse;
}

static bool is_transitive(int ab, int bc, int ac) {
    if (ab == 0)
        return ac == bc;
    return bc == -ab || ac == ab;
}

static void test_total_order(void) {
    struct prng prng = {1588};
    unsigned reflexive = 0, antisymmetric = 0, transitive = 0, ties = 0;
    const unsigned count = 100000;

    for (unsigned n = 0; n < count; n++) {
        struct nqptp_clock a = random_clock(&prng, 2);
        struct nqptp_clock b = n % 2 ? random_clock(&prng, 2) : relative_of(&a, &prng);
        struct nqptp_clock c = n % 2 ? random_clock(&prng, 2) : relative_of(&b, &prng);
        int ab = sign(compare(&a, &b)), bc = sign(compare(&b, &c));
        int ac = sign(compare(&a, &c));
        ties += ab == 0;
        reflexive += compare(&a, &a) == 0;
        antisymmetric += ab == -sign(compare(&b, &a));
        transitive += is_transitive(ab, bc, ac);
    }
    CHECK_EQ_U64(reflexive, count, "a random clock is no better than itself");
    CHECK_EQ_U64(antisymmetric, count, "of two random clocks one is better, or neither");
    CHECK_EQ_U64(transitive, count, "of three random clocks the order is transitive");
    CHECK(ties > 100 && ties < count, "some of the random pairs are ties, here %u", ties);
}

/* --- alive ----------------------------------------------------------------------------------- */

static bool alive_after(int8_t log_interval, uint64_t spacing_ns, uint64_t silence_ns) {
    struct table_fixture b = table_begin();
    int i = add(&b, 1, 1);

    for (int n = 0; n < 6; n++, b.now_ns += spacing_ns)
        nqptp_interval_note(&b.table.clocks[i].pairing.sync_interval, log_interval, b.now_ns);
    (void)sample(&b, i);
    return nqptp_clock_is_alive(&b.table.clocks[i], b.now_ns + silence_ns);
}

static void check_alive_for(int8_t log_interval, uint64_t spacing_ns, uint64_t limit_ns) {
    CHECK(alive_after(log_interval, spacing_ns, limit_ns - 1),
          "log %d, every %" PRIu64 " ms: alive for %" PRIu64 " ms", log_interval, spacing_ns / MS,
          limit_ns / MS);
    CHECK(!alive_after(log_interval, spacing_ns, limit_ns + 1),
          "log %d, every %" PRIu64 " ms: not alive after %" PRIu64 " ms", log_interval,
          spacing_ns / MS, limit_ns / MS);
}

static void test_alive(void) {
    check_alive_for(-7, 8 * MS, 3 * S);
    check_alive_for(-3, 125 * MS, 3 * S);
    check_alive_for(-1, 500 * MS, 4 * S);
    check_alive_for(0, 1 * S, 8 * S);
    check_alive_for(1, 2 * S, 10 * S);
    check_alive_for(4, 16 * S, 10 * S);
    check_alive_for(LOG_NOT_STATED, 100 * MS, 3 * S);
    check_alive_for(LOG_NOT_STATED, 600 * MS, 4800 * MS);
    check_alive_for(LOG_NOT_STATED, 60 * S, 10 * S);
}

static void test_not_alive_without_sample(void) {
    struct table_fixture b = table_begin();
    int i = add(&b, 1, 1);

    announce(&b, i, 10);
    CHECK(!nqptp_clock_is_alive(&b.table.clocks[i], b.now_ns),
          "a clock without a sample is not alive");
    CHECK_EQ_I64(master(&b), NQPTP_NO_CLOCK, "a clock without a sample is not master");
    (void)sample(&b, i);
    CHECK(nqptp_clock_is_alive(&b.table.clocks[i], b.now_ns),
          "a clock with its first sample is alive");
    CHECK_EQ_I64(master(&b), i, "a clock with its first sample is master");
}

static void test_stopped_clock_is_not_alive(void) {
    struct table_fixture b = table_begin();
    int i = add_ready(&b, 1, 1, 10);
    uint64_t stopped_at_ns = b.now_ns + 5000 * S;

    for (int n = 0; n < 40; n++) {
        b.now_ns += 125 * MS;
        (void)sample_of(&b, i, stopped_at_ns);
        CHECK(nqptp_clock_is_asleep(&b.table.clocks[i]) == (n >= 2),
              "a time that is repeated %d times: the clock is asleep from 3 on", n + 1);
    }
    CHECK(!nqptp_clock_is_alive(&b.table.clocks[i], b.now_ns),
          "a clock that repeats its time for 5 s is not alive");
    (void)sample_of(&b, i, stopped_at_ns + S);
    CHECK(!nqptp_clock_is_asleep(&b.table.clocks[i]), "a clock that gives another time is awake");
}

/* --- samples --------------------------------------------------------------------------------- */

static void test_reading(void) {
    struct table_fixture b = table_begin();
    int i = add_ready(&b, 0x1234, 1, 10);
    const struct nqptp_reading *reading = &b.table.clocks[i].reading;
    uint64_t start_ns = b.now_ns;

    CHECK_EQ_U64(reading->grandmaster_identity, 0x1234, "a reading has the grandmaster");
    CHECK_EQ_U64(reading->local_time_ns, start_ns, "a reading has the time of its sample");
    CHECK_EQ_U64(reading->offset_ns, 5000 * S, "a reading has the offset");
    CHECK_EQ_U64(reading->start_time_ns, start_ns, "a reading has the start of its series");
    b.now_ns += S;
    CHECK(sample(&b, i), "another sample changes the reading");
    CHECK_EQ_U64(reading->local_time_ns, b.now_ns, "another sample: the reading has its time");
    CHECK_EQ_U64(reading->start_time_ns, start_ns,
                 "another sample: the reading has the start of the same series");
    CHECK(!sample(&b, i), "the same sample again does not change the reading");
}

static void test_announced_data(void) {
    struct table_fixture b = table_begin();
    struct nqptp_clock *clock = &b.table.clocks[add(&b, 1, 1)];
    const struct nqptp_announce said = {UINT64_C(0x0102030405060708), 2, 3, 4, 5, 6, 7};

    nqptp_clock_announce(clock, &said, 0x8005, LOG_1_S, b.now_ns);
    CHECK(clock->announced, "a clock that sent an Announce is known to have announced itself");
    CHECK_EQ_U64(clock->port_number, 0x8005, "an Announce: the clock has its port number");
    CHECK_EQ_U64(clock->announce.grandmaster_identity, UINT64_C(0x0102030405060708),
                 "an Announce: the clock has its grandmaster");
    CHECK_EQ_U64(clock->announce.priority2, 7, "an Announce: the clock has its priority2");
}

static void test_new_grandmaster(void) {
    struct table_fixture b = table_begin();
    int i = add_ready(&b, 1, 1, 10);
    struct nqptp_announce other = b.table.clocks[i].announce;

    other.grandmaster_identity = 99;
    b.now_ns += S;
    nqptp_clock_announce(&b.table.clocks[i], &other, 1, LOG_1_S, b.now_ns);
    CHECK_EQ_U64(b.table.clocks[i].reading.grandmaster_identity, 1,
                 "without a sample of the new grandmaster the reading has the old one");
    b.now_ns += S;
    (void)sample_of(&b, i, b.now_ns + 5000 * S + MS);
    CHECK_EQ_U64(b.table.clocks[i].reading.grandmaster_identity, 99,
                 "with a sample of the new grandmaster the reading has the new one");
    CHECK_EQ_U64(b.table.clocks[i].reading.offset_ns, 5000 * S + MS,
                 "with a sample of the new grandmaster the reading has its offset alone");
    CHECK_EQ_U64(b.table.clocks[i].reading.start_time_ns, b.now_ns,
                 "with a sample of the new grandmaster the reading has a new start");
}

static void test_announced_after_sample(void) {
    struct table_fixture b = table_begin();
    int i = add(&b, 77, 1);

    (void)sample(&b, i);
    announce(&b, i, 10);
    CHECK_EQ_I64(master(&b), i, "a clock that announces itself after its first sample is master");
    CHECK_EQ_U64(
        b.table.clocks[i].reading.grandmaster_identity, 77,
        "a clock that announces itself after its first sample: the reading has its grandmaster");
}

/* While this machine stood still, a one-step guess was withheld. Its Follow_Up says less. */
static void test_guess_of_a_backlog_is_replaced(void) {
    struct table_fixture b = table_begin();
    int i = add_ready(&b, 1, 1, 100);
    struct nqptp_clock *clock = &b.table.clocks[i];

    for (int n = 0; n < 8; n++) {
        b.now_ns += 125 * MS;
        (void)sample(&b, i);
    }
    b.now_ns += MS;
    CHECK(!sample_of(&b, i, b.now_ns + 5010 * S), "a sample 10 s too high is withheld");
    const struct nqptp_sample right = {
        .origin_ns = b.now_ns + 5005 * S, .local_ns = b.now_ns, .replaces_guess = true};
    CHECK(nqptp_clock_sample(clock, &right, b.now_ns),
          "what replaces a withheld guess changes the reading, though its time is earlier");
    CHECK(!clock->withholds, "a guess that was replaced is withheld no longer");
}

int main(void) {
    static void (*const tests[])(void) = {
        test_every_log_interval,
        test_measured_interval,
        test_interval_changes,
        test_find,
        test_created_record_is_new,
        test_newcomer_to_full_table,
        test_newcomer_among_busy_clocks,
        test_master_is_never_evicted,
        test_listed_are_not_evicted_for_unlisted,
        test_which_row_of_a_crowded_address,
        test_one_address_cannot_fill_the_table,
        test_each_rung,
        test_equal_clocks,
        test_total_order,
        test_alive,
        test_not_alive_without_sample,
        test_stopped_clock_is_not_alive,
        test_reading,
        test_announced_data,
        test_new_grandmaster,
        test_announced_after_sample,
        test_guess_of_a_backlog_is_replaced,
    };
    TAP_RUN(tests);
    return tap_done();
}
