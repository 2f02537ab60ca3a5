/* SPDX-License-Identifier: MIT */
/*
 * Proves that no sender makes the published record change all the time, if it alternates
 * grandmasters, priorities or times, jumps, states absurd intervals or has many identities; that no
 * unlisted clock is followed by the identity of a listed clock; and that a clock that behaves well
 * again is followed again.
 */
#include "../lib/engine-fixture.h"

#include "../lib/random.h"
#include "../lib/tap.h"

#define MINUTE 480 /* in turns of 125 ms */

/* The records of client 0: how often they changed, and how often in the second half of the time. */
struct told {
    struct nqptp_shm_record record;
    unsigned publications, series, masters, late;
};

static void hear(struct told *t, const struct world *w, bool late) {
    const struct nqptp_shm_record *now = &w->record, *old = &t->record;

    if (!(w->effects.publish & 1))
        return;
    bool master = now->clock_identity != old->clock_identity ||
                  now->grandmaster_identity != old->grandmaster_identity;
    bool series = master || now->start_time_ns != old->start_time_ns;
    t->publications++;
    t->masters += master;
    t->series += series;
    t->late += series && late;
    t->record = *now;
}

/* One turn of a sender: an Announce if it is time for one, a pair; then the rest of 125 ms. */
static void turn(struct world *w, struct told *t, struct sender *s, bool announces, bool late) {
    if (announces) {
        (void)send_announce(w, s);
        hear(t, w, late);
    }
    (void)send_sync(w, s, s->sequence_id);
    hear(t, w, late);
    (void)send_follow_up(w, s, s->sequence_id++, time_of(w, s));
    hear(t, w, late);
}

static void rest(struct world *w, struct told *t) {
    pass(w, 125 * MS);
    hear(t, w, false);
}

static void turns(struct world *w, struct told *t, struct sender *s, unsigned count) {
    for (unsigned n = 0; n < count; n++) {
        turn(w, t, s, n % 8 == 0, false);
        rest(w, t);
    }
}

/* A world with a list of two addresses. The clock at the first has been master for 10 s. */
static struct world listed(struct told *t, struct sender *s) {
    struct world w = world_begin();

    *t = (struct told){.publications = 0};
    command(&w, "T 192.0.2.1 192.0.2.2");
    turns(&w, t, s, 80);
    CHECK_EQ_U64(t->series, 1, "a listed clock is master");
    return w;
}

/* --- grandmasters ---------------------------------------------------------------------------- */

static void check_grandmasters(unsigned turns_each, uint64_t apart_ns) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct told t;
    struct world w = listed(&t, &s);

    for (unsigned n = 0; n < MINUTE; n++) {
        bool second = n / turns_each % 2;
        s.grandmaster_identity = second ? 99 : 1;
        s.offset_ns = 788000 * S + (second ? apart_ns : 0);
        turn(&w, &t, &s, n % turns_each == 0, n >= MINUTE / 2);
        rest(&w, &t);
    }
    CHECK(t.series <= 20, "two grandmasters, %u ms each: at most 20 series in a minute, here %u",
          turns_each * 125, t.series);
    CHECK_EQ_U64(t.late, 0, "two grandmasters by turns: no new series after half a minute");
    s.grandmaster_identity = 77;
    turns(&w, &t, &s, 64);
    CHECK_EQ_U64(t.record.grandmaster_identity, 77,
                 "two grandmasters by turns: a third one that lasts for 8 s is published");
    CHECK(offset_near(t.record.offset_ns, s.offset_ns),
          "two grandmasters by turns: the offset of a third one that lasts is published");
}

/* The clock keeps one grandmaster for as long as it must, then changes it as often as it can. */
static void test_patient_trouble(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct told t;
    struct world w = listed(&t, &s);

    for (unsigned n = 0; n < 4 * MINUTE; n++) {
        s.grandmaster_identity = n % 50 < 42 ? 1 : n;
        turn(&w, &t, &s, true, false);
        rest(&w, &t);
    }
    CHECK(t.series <= 8 + 240 / 5,
          "a clock that rests as long as it must has %u series in four minutes", t.series);
}

static void test_grandmasters(void) {
    check_grandmasters(8, 0);
    check_grandmasters(2, 0);
    check_grandmasters(8, 1000 * S);
    check_grandmasters(2, 30 * MS);
    check_grandmasters(16, 1000 * S);
}

static void test_one_timescale_is_followed(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct told t;
    struct world w = listed(&t, &s);

    for (unsigned n = 0; n < MINUTE; n++) {
        s.grandmaster_identity = n / 8 % 2 ? 99 : 1;
        turn(&w, &t, &s, n % 8 == 0, false);
        rest(&w, &t);
    }
    CHECK(w.now_ns - t.record.local_time_ns < S && t.publications > MINUTE,
          "a clock that changes its grandmaster but not its time is published all the time");
}

/* --- priorities ------------------------------------------------------------------------------ */

static void check_priorities(const char *name, bool both, unsigned turns_each, bool list) {
    struct sender a = sender(1, "192.0.2.1", 100), b = sender(2, "192.0.2.2", 150);
    struct told t;
    struct world w = listed(&t, &a);

    if (!list) {
        w = world_begin();
        t = (struct told){.publications = 0};
    }
    for (unsigned n = 0; n < MINUTE; n++) {
        bool second = n / turns_each % 2;
        a.priority1 = second ? 200 : 100;
        b.priority1 = both && second ? 90 : 150;
        turn(&w, &t, &a, n % turns_each == 0, n >= MINUTE / 2);
        turn(&w, &t, &b, n % turns_each == 0, n >= MINUTE / 2);
        rest(&w, &t);
    }
    CHECK(t.masters > 1 && t.masters <= 10, "%s: at most 10 masters in a minute, here %u", name,
          t.masters);
    CHECK_EQ_U64(t.late, 0, "priorities by turns: no new master in the second half of a minute");
    a.priority1 = 200;
    b.priority1 = 1;
    for (unsigned n = 0; n < 56; n++) {
        turn(&w, &t, &a, n % 8 == 0, false);
        turn(&w, &t, &b, n % 8 == 0, false);
        rest(&w, &t);
    }
    CHECK_EQ_U64(t.record.clock_identity, 2,
                 "priorities by turns: a clock that is better for 7 s is master");
}

static void test_priorities(void) {
    check_priorities("priority of one clock alternates", false, 8, true);
    check_priorities("priorities of both clocks alternate", true, 8, true);
    check_priorities("priorities of both clocks alternate four times a second", true, 2, true);
    check_priorities("priority of one clock alternates, without a list", true, 8, false);
}

/* No client has a list, and each second a clock appears that is better than all before. */
static void test_ever_better_clocks(void) {
    struct world w = world_begin();
    struct told t = {.publications = 0};

    for (unsigned n = 0; n < MINUTE; n++) {
        unsigned known = n / 8 < 30 ? n / 8 : 30;
        for (unsigned i = 0; i <= known; i++) {
            struct sender s = sender(i + 1, "192.0.2.1", (uint8_t)(250 - 4 * i));
            s.sequence_id = (uint16_t)n;
            turn(&w, &t, &s, n % 4 == 0, n >= 280);
        }
        rest(&w, &t);
    }
    CHECK(t.masters <= 18,
          "31 clocks, each better than the one before: at most 18 masters, here %u", t.masters);
    CHECK_EQ_U64(master_of(&w), 31,
                 "31 clocks, each better than the one before: the best is master in the end");
    CHECK_EQ_U64(t.late, 0, "31 clocks, each better than the one before: no late change of master");
}

/* The clock at one listed address changes its identity, to a better one, every `turns` turns. */
static void check_names(const char *list, unsigned turns_each) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct told t;
    struct world w = listed(&t, &s);

    command(&w, list);
    for (unsigned n = 0; n < MINUTE; n++) {
        s.clock_identity = s.grandmaster_identity = 1000 - n / turns_each;
        turn(&w, &t, &s, true, n >= MINUTE / 2);
        rest(&w, &t);
    }
    CHECK(t.masters <= 18 && t.late <= 6,
          "%s, an identity for %u ms: at most 18 masters and 6 of them late, here %u and %u", list,
          turns_each * 125, t.masters, t.late);
    turns(&w, &t, &s, 56);
    CHECK_EQ_U64(t.record.clock_identity, s.clock_identity,
                 "a clock identity that lasts after many is followed");
}

static void test_names(void) {
    check_names("T 192.0.2.1", 1);
    check_names("T 192.0.2.1", 4);
    check_names("/nqptp T 192.0.2.1", 1);
    check_names("/nqptp T 192.0.2.1", 4);
}

/* The most changes of master within 5 s. */
struct pace {
    uint64_t changed_at_ns[256];
    unsigned changes, most;
};

static void count_change(struct pace *pace, uint64_t now_ns) {
    unsigned within = 1;

    for (unsigned i = pace->changes; i-- > 0 && now_ns - pace->changed_at_ns[i] < 5 * S;)
        within++;
    if (pace->changes < 256)
        pace->changed_at_ns[pace->changes++] = now_ns;
    pace->most = within > pace->most ? within : pace->most;
}

/*
 * A listed sender has 30 identities. Each 400 ms the one that is master says that it is too far
 * from its grandmaster (stepsRemoved 255), and 10.5 s later that it is not any more. Another listed
 * sender, if any, gives its time all the while.
 */
static void check_many_identities(const char *list, bool has_other) {
    struct world w = world_begin();
    struct sender other = sender(100, "192.0.2.2", 200);
    uint64_t banned_until_ns[31] = {0}, followed = 0;
    struct pace pace = {.changes = 0};

    command(&w, list);
    for (unsigned n = 0; n < 150; n++) {
        for (uint64_t id = 1; id <= 30; id++) {
            struct sender s = sender(id, "192.0.2.1", 100);
            s.sequence_id = (uint16_t)(n + 1);
            if (id == master_of(&w) && banned_until_ns[id] <= w.now_ns)
                banned_until_ns[id] = w.now_ns + 10500 * MS;
            announce_steps(&w, &s, banned_until_ns[id] > w.now_ns ? 255 : 0);
            (void)send_pair(&w, &s);
            if (w.record.clock_identity != followed)
                count_change(&pace, w.now_ns);
            followed = w.record.clock_identity;
        }
        if (has_other)
            play(&w, &other, 125 * MS);
        if (w.record.clock_identity != followed)
            count_change(&pace, w.now_ns);
        followed = w.record.clock_identity;
        pass(&w, (has_other ? 275 : 400) * MS - 30 * MS);
    }
    CHECK(pace.most <= 3, "%s: a sender with 30 identities makes at most 3 changes in 5 s, here %u",
          list, pace.most);
    CHECK(pace.changes >= 5, "%s: a sender with 30 identities is followed, %u changes", list,
          pace.changes);
}

static void test_many_identities(void) {
    check_many_identities("T 192.0.2.1", false);
    check_many_identities("T 192.0.2.1 192.0.2.2", true);
    check_many_identities("/nqptp T 192.0.2.1 192.0.2.2", true);
}

/* A sender that changes all the time delays no other sender. */
static void test_hysteresis_is_of_one_address(void) {
    struct world w = world_begin();
    struct sender calm = sender(9, "192.0.2.9", 1);

    command(&w, "T 192.0.2.1 192.0.2.9");
    for (uint64_t id = 1; id <= 3; id++) {
        struct sender a = sender(id, "192.0.2.1", (uint8_t)(100 - id));
        play(&w, &a, 125 * MS);
    }
    CHECK_EQ_U64(master_of(&w), 2,
                 "after two changes to identities of one address the third one waits");
    play(&w, &calm, 125 * MS);
    CHECK_EQ_U64(master_of(&w), 9,
                 "after two changes to identities of one address a better sender at another one "
                 "does not wait");
}

/* Client A lists a sender that has 40 identities. The honest sender of client B begins later. */
static void test_names_do_not_fill_the_table(void) {
    struct world w = world_begin();
    struct sender honest = sender(1000, "192.0.2.9", 100);
    struct told t = {.publications = 0};
    bool followed = true;

    command(&w, "/a T 192.0.2.1");
    command(&w, "/b T 192.0.2.9");
    int c = nqptp_clients_find(&w.engine.clients, "/b");
    for (unsigned n = 0; n < 20 * 8; n++) {
        for (unsigned name = n % 8 * 5; name < n % 8 * 5 + 5; name++) {
            struct sender rogue = sender(name + 1, "192.0.2.1", (uint8_t)name);
            rogue.sequence_id = (uint16_t)n;
            turn(&w, &t, &rogue, true, false);
        }
        if (n == 80)
            CHECK_EQ_U64(record_count(&w), 32, "one sender by many identities has all 32 rows");
        if (n >= 80) {
            turn(&w, &t, &honest, n % 8 == 0, false);
            followed = followed && record_of(&w.engine, c).clock_identity == 1000;
        }
        rest(&w, &t);
    }
    CHECK(followed, "one sender by many identities: the sender of another client has its row and "
                    "is master at once, and stays");
}

/* --- times ----------------------------------------------------------------------------------- */

static void check_times(unsigned turns_each, uint64_t apart_ns) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct told t;
    struct world w = listed(&t, &s);
    uint64_t offset_ns = s.offset_ns;

    for (unsigned n = 0; n < MINUTE; n++) {
        s.offset_ns = offset_ns + (n / turns_each % 2 ? apart_ns : 0);
        turn(&w, &t, &s, n % 8 == 0, n >= MINUTE / 2);
        rest(&w, &t);
    }
    CHECK(t.series <= 10, "two times, %u ms each: at most 10 series in a minute, here %u",
          turns_each * 125, t.series);
    CHECK_EQ_U64(t.late, 0, "two times by turns: no new series after half a minute");
    CHECK(t.record.clock_identity == 1, "two times by turns: the last values stay");
    turns(&w, &t, &s, 56);
    CHECK(offset_near(t.record.offset_ns, s.offset_ns) && w.now_ns - t.record.local_time_ns < S,
          "two times by turns: a time that lasts for 7 s is followed");
}

static void test_times(void) {
    check_times(1, 1000 * S);
    check_times(3, S);
    check_times(8, 1000 * S);
    check_times(16, 60 * MS);
    check_times(32, UINT64_MAX / 2);
}

/*
 * A clock that jumps by 1000 s each 8 s. While few jumps came, the first sample that contradicts
 * the published time replaces it. After that the old time stays until the new one has lasted 5 s.
 */
static void test_jumps_that_last(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct told t;
    struct world w = listed(&t, &s);
    uint64_t offset_ns = s.offset_ns, right_at_ns = w.now_ns, first_ns = 0, longest_ns = 0;

    for (unsigned n = 0; n < 4 * MINUTE; n++) {
        s.offset_ns = offset_ns + 1000 * S * (n % 96 < 32 ? n / 2 % 2 : n / 96 % 2);
        turn(&w, &t, &s, n % 8 == 0, false);
        if (t.record.offset_ns - s.offset_ns + S < 2 * S)
            right_at_ns = w.now_ns;
        longest_ns = w.now_ns - right_at_ns > longest_ns ? w.now_ns - right_at_ns : longest_ns;
        first_ns = n == 8 ? longest_ns : first_ns;
        rest(&w, &t);
    }
    CHECK(first_ns < S, "jumps of a clock's time: the first ones are followed at once");
    CHECK(longest_ns < 6 * S,
          "jumps of a clock's time: none is held back for more than 5 s (%" PRIu64 " ms)",
          longest_ns / MS);
    CHECK(longest_ns > 4 * S, "jumps of a clock's time: after many the next one is held back");
}

static void test_random_times(void) {
    struct sender s = sender(1, "192.0.2.1", 100), other = sender(2, "192.0.2.2", 200);
    struct prng prng = {99};
    struct told t;
    struct world w = listed(&t, &s);

    for (unsigned n = 0; n < MINUTE; n++) {
        s.offset_ns = prng_next(&prng);
        turn(&w, &t, &s, n % 8 == 0, n >= MINUTE / 2);
        turn(&w, &t, &other, n % 8 == 0, n >= MINUTE / 2);
        rest(&w, &t);
    }
    CHECK(t.series <= 20, "another time with each Sync: at most 20 series in a minute, here %u",
          t.series);
    CHECK_EQ_U64(t.late, 0, "another time with each Sync: no new series after half a minute");
    CHECK(t.record.clock_identity == 2 && offset_near(t.record.offset_ns, other.offset_ns),
          "another time with each Sync: the clock counts as silent, another one is followed");
}

static void test_one_step_is_not_delayed(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct told t;
    struct world w = listed(&t, &s);

    for (unsigned n = 0; n < 10; n++) {
        s.offset_ns += n % 2 ? 1000 * S : (uint64_t)-1000 * S;
        turns(&w, &t, &s, 4);
        CHECK(offset_near(t.record.offset_ns, s.offset_ns),
              "a step every 20 s: the new offset is published within 0.5 s");
        turns(&w, &t, &s, 156);
    }
    CHECK_EQ_U64(t.series, 11, "a step every 20 s: each begins one series");
}

static void test_player_begins(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct told t;
    struct world w = listed(&t, &s);

    command(&w, "/nqptp T 192.0.2.1");
    for (unsigned n = 0; n < 80; n++) {
        s.offset_ns += n % 8 ? 0 : n / 8 % 2 ? S : (uint64_t)-1 * S;
        turn(&w, &t, &s, n % 8 == 0, false);
        rest(&w, &t);
    }
    CHECK(w.now_ns - t.record.local_time_ns > S, "a clock that jumps every second is not followed");
    command(&w, "/nqptp B");
    turns(&w, &t, &s, 4);
    CHECK(offset_near(t.record.offset_ns, s.offset_ns) && w.now_ns - t.record.local_time_ns < S,
          "a clock that jumps every second is followed at once when a player begins");
}

/* --- intervals ------------------------------------------------------------------------------- */

static void send_stating(struct world *w, struct told *t, struct sender *s, uint8_t log_interval,
                         bool late) {
    uint8_t message[sizeof apple_announce], sync[sizeof apple_sync];

    memcpy(message, apple_announce, sizeof message);
    put_source(message, s->clock_identity, s->port_number);
    put_log_interval(message, (int8_t)log_interval);
    put_priority1(message, s->priority1);
    put_grandmaster(message, s->grandmaster_identity);
    (void)deliver(w, s, message, sizeof message);
    hear(t, w, late);
    memcpy(sync, apple_sync, sizeof sync);
    put_source(sync, s->clock_identity, s->port_number);
    put_log_interval(sync, (int8_t)log_interval);
    put_sequence_id(sync, s->sequence_id);
    (void)deliver(w, s, sync, sizeof sync);
    (void)send_follow_up(w, s, s->sequence_id++, time_of(w, s));
    hear(t, w, late);
}

static void test_intervals(void) {
    static const uint8_t extremes[] = {0x7F, 0x80, 0xF9, 4, 0, 0xFF, 5, 0xF8};
    struct sender s = sender(1, "192.0.2.1", 100), other = sender(2, "192.0.2.2", 200);
    struct told t;
    struct world w = listed(&t, &s);

    for (unsigned n = 0; n < 2 * MINUTE; n++) {
        send_stating(&w, &t, &s, n < MINUTE ? (uint8_t)(n * 37) : extremes[n % 8], true);
        turn(&w, &t, &other, n % 8 == 0, true);
        rest(&w, &t);
    }
    CHECK_EQ_U64(t.late, 0, "a clock that states any interval is master, in one series");
    CHECK(offset_near(t.record.offset_ns, s.offset_ns),
          "a clock that states any interval: the offset is right");
    for (unsigned i = 0; i < 8; i++) {
        w = listed(&t, &s); /* without the changes of the turn before */
        turns(&w, &t, &other, 8);
        send_stating(&w, &t, &s, extremes[i], false);
        turns(&w, &t, &other, 16);
        CHECK(master_of(&w) == 1, "a master that states interval %u stays for 2 s of silence",
              extremes[i]);
        turns(&w, &t, &other, 80);
        CHECK(master_of(&w) == 2,
              "a master that states interval %u is replaced after 12 s of silence", extremes[i]);
        turns(&w, &t, &s, 1);
    }
}

/* --- names of others ------------------------------------------------------------------------- */

/* The listed clock sends for some turns, then is silent for some; an unlisted one never stops. */
static void check_impostor(unsigned speaks, unsigned silent, bool flaps, unsigned wanted) {
    struct sender s = sender(1, "192.0.2.1", 200), impostor = sender(1, "192.0.2.66", 0);
    struct told t;
    struct world w = listed(&t, &s);
    unsigned wrong = 0;

    impostor.offset_ns += 1000 * S;
    for (unsigned n = 0; n < MINUTE; n++) {
        if (!flaps || n / 30 % 2)
            turn(&w, &t, &impostor, n % 8 == 0, false);
        if (n % (speaks + silent) < speaks)
            turn(&w, &t, &s, n % 8 == 0, false);
        rest(&w, &t);
        wrong += !is_at(&w.record, &s.address) || !offset_near(w.record.offset_ns, s.offset_ns);
    }
    if (wanted == 0)
        CHECK_EQ_U64(wrong, 0, "a copy of the listed identity at another address is not followed");
    else
        CHECK(wrong > 0 && wrong < wanted,
              "a copy of the listed identity is followed only while the listed clock is silent: %u "
              "turns",
              wrong);
    turns(&w, &t, &s, 1);
    CHECK(is_at(&w.record, &s.address), "the listed clock is master when it sends again");
}

static void test_impostor(void) {
    check_impostor(1, 0, false, 0);
    check_impostor(1, 0, true, 0);
    check_impostor(1, 20, false, 0); /* silent for 2.6 s at a time */
    check_impostor(1, 20, true, 0);
    check_impostor(80, 80, false, 240);
}

int main(void) {
    static void (*const tests[])(void) = {
        test_grandmasters,
        test_patient_trouble,
        test_one_timescale_is_followed,
        test_priorities,
        test_ever_better_clocks,
        test_names,
        test_names_do_not_fill_the_table,
        test_many_identities,
        test_hysteresis_is_of_one_address,
        test_times,
        test_random_times,
        test_jumps_that_last,
        test_one_step_is_not_delayed,
        test_player_begins,
        test_intervals,
        test_impostor,
    };
    TAP_RUN(tests);
    return tap_done();
}
