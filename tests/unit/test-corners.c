/* SPDX-License-Identifier: MIT */
/*
 * Proves what is right in the ordinary case and easily wrong in a corner: clocks that stop with
 * corrections that go on, that are heard twice, that are listed again, that are slow or fast; and
 * that what is told of all that is true.
 */
#include "nqptp-message-handlers.h"
#include "nqptp-story.h"

#include "../lib/tap.h"
#include "../lib/engine-fixture.h"

/* As send_pair(), but the Follow_Up has this time and this correction. */
static void send_corrected(struct world *w, struct sender *from, uint64_t origin_ns,
                           int64_t correction_ns) {
    uint8_t message[sizeof apple_follow_up];

    (void)send_sync(w, from, from->sequence_id);
    w->now_ns += MS;
    memcpy(message, apple_follow_up, sizeof message);
    put_correction(message, correction_ns * 65536);
    put_source(message, from->clock_identity, from->port_number);
    put_sequence_id(message, from->sequence_id++);
    put_timestamp(message, origin_ns);
    (void)deliver(w, from, message, sizeof message);
}

/* As send_announce(), but so many steps from its grandmaster. */
static void announce_steps(struct world *w, const struct sender *from, uint16_t steps_removed) {
    uint8_t message[sizeof apple_announce];

    memcpy(message, apple_announce, sizeof message);
    put_source(message, from->clock_identity, from->port_number);
    put_sequence_id(message, (uint16_t)(w->now_ns / MS));
    put_log_interval(message, 0);
    put_priority1(message, from->priority1);
    put_grandmaster(message, from->grandmaster_identity);
    put_steps_removed(message, steps_removed);
    (void)deliver(w, from, message, sizeof message);
}

/* Both send for 5 s as they should. */
static void play_both(struct world *w, struct sender *a, struct sender *b) {
    for (int n = 0; n < 40; n++) {
        if (n % 8 == 0) {
            (void)send_announce(w, a);
            (void)send_announce(w, b);
        }
        (void)send_pair(w, a);
        (void)send_pair(w, b);
        pass(w, 123 * MS);
    }
}

static const char *address_of(const struct world *w) {
    return w->record.ip;
}

/* Apple's corrections differ from packet to packet though the clock sleeps. */
static void test_stop_with_corrections(void) {
    static const int64_t corrections_ns[] = {1401459, 1456792, 1479791, 1498500};
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_begin();
    unsigned woken = 0, stopped = 0;
    uint64_t stopped_at_ns = 0;

    pause_player(&w);
    command(&w, "/nqptp T 192.0.2.1");
    for (unsigned n = 0; n < 1000; n++) {
        if (n % 8 == 0)
            (void)send_announce(&w, &s);
        if (n == 8)
            stopped_at_ns = time_of(&w, &s);
        send_corrected(&w, &s, n < 8 ? time_of(&w, &s) : stopped_at_ns, corrections_ns[n % 4]);
        for (unsigned i = 0; n > 16 && i < w.effects.reply_count; i++)
            woken += w.effects.replies[i].general;
        pass(&w, 124 * MS);
        stopped += told(&w, NQPTP_EVENT_STOPPED, 1);
        if (n != 60)
            continue;
        CHECK(nqptp_clock_is_asleep(&w.engine.table.clocks[0]),
              "a clock that repeats its time sleeps");
        CHECK(!nqptp_clock_is_alive(&w.engine.table.clocks[0], w.now_ns), "and is not alive");
    }
    CHECK_EQ_U64(stopped, 1, "that is told once");
    CHECK_EQ_U64(woken, 1, "and it is woken up once");
    int64_t moved_ns = (int64_t)(w.record.offset_ns - s.offset_ns);
    CHECK(moved_ns < 5 * (int64_t)MS && moved_ns > -5 * (int64_t)MS, "its last values stay");
}

static void test_repeated_announce(void) {
    struct sender m = sender(1, "192.0.2.1", 200), o = sender(2, "192.0.2.2", 100);
    struct world w = world_of(&m);

    play(&w, &m, S);
    (void)send_pair(&w, &o);
    (void)send_announce(&w, &o);
    w.now_ns += 30 * US;
    CHECK_EQ_U64(send_announce(&w, &o), NQPTP_DROP_DUPLICATE, "an Announce that comes twice");
    CHECK_EQ_U64(master_of(&w), 1, "is one, and displaces nobody");
}

static void test_wake_up_when_listed_again(void) {
    struct world w = world_begin();
    struct sender s = sender(1, "192.0.2.1", 100);

    command(&w, "T 192.0.2.1");
    for (int n = 0; n < 5; n++) {
        (void)send_announce(&w, &s);
        pass(&w, S);
    }
    command(&w, "T");
    pass(&w, 20 * S);
    command(&w, "T 192.0.2.1");
    (void)send_announce(&w, &s);
    CHECK_EQ_U64(w.effects.reply_count, 1, "who is listed again is woken up by the first Announce");
}

static void test_one_step_is_not_silent(void) {
    struct world w = world_begin();
    struct sender s = sender(1, "192.0.2.1", 100);
    unsigned woken = 0;

    command(&w, "T 192.0.2.1");
    for (int n = 0; n < 32; n++) {
        if (n % 8 == 0) {
            (void)send_announce(&w, &s);
            woken += w.effects.reply_count;
        }
        (void)send_one_step(&w, &s, s.sequence_id++, 0x0400, time_of(&w, &s));
        pass(&w, 125 * MS);
    }
    CHECK_EQ_U64(woken, 1, "a one-step clock that gives its time is woken up no second time");
}

/* 128 Syncs a second, whose Follow_Ups come 70 ms later. */
static void test_fast_clock(void) {
    struct world w = world_begin();
    struct sender s = sender(1, "192.0.2.1", 100);
    uint64_t origins_ns[300];
    unsigned used = 0;

    (void)send_announce(&w, &s);
    for (uint16_t n = 0; n < 300; n++) {
        origins_ns[n] = time_of(&w, &s);
        (void)send_sync(&w, &s, n);
        if (n >= 9)
            used += send_follow_up(&w, &s, (uint16_t)(n - 9), origins_ns[n - 9]) == NQPTP_DROP_NONE;
        pass(&w, 7812500);
    }
    CHECK_EQ_U64(used, 291, "Follow_Ups that trail by nine Syncs are used");
}

static void test_slow_clock_steps(const char *what, uint64_t interval_ns, bool lossy) {
    struct nqptp_estimator estimator = {0};
    uint64_t now_ns = 5000 * S, offset_ns = 7000 * S, stepped_ns = 0;

    for (int n = 0; n < 60; n++, now_ns += interval_ns) {
        if (n == 30) {
            offset_ns += 50 * MS;
            stepped_ns = now_ns;
        }
        if (n >= 30 && lossy && n % 2)
            continue;
        if (nqptp_estimator_sample(&estimator, now_ns + offset_ns, now_ns) ==
                NQPTP_ESTIMATE_RESTARTED &&
            n >= 30)
            break;
    }
    CHECK(now_ns - stepped_ns <= 4 * interval_ns, "%s: a step is followed after %.1f s", what,
          (double)(now_ns - stepped_ns) / 1e9);
}

static void test_first_address_wins(void) {
    struct world w = world_begin();
    struct sender a = sender(1, "192.0.2.9", 100), b = sender(1, "192.0.2.1", 100);

    command(&w, "/nqptp T 192.0.2.9 192.0.2.1");
    play_both(&w, &a, &b);
    CHECK_EQ_STR(address_of(&w), "192.0.2.9", "of one clock at two addresses the first wins");
}

static void test_identity_of_an_address(void) {
    struct world w = world_begin();
    struct sender x = sender(1, "192.0.2.1", 100), elsewhere = sender(1, "192.0.2.5", 100);
    struct sender stray = sender(2, "192.0.2.1", 90);

    command(&w, "T 192.0.2.1");
    play(&w, &x, 2 * S);
    (void)send_announce(&w, &stray);
    play(&w, &x, 10 * S);
    CHECK_EQ_U64(master_of(&w), 1, "one stray Announce from its address changes nothing");
    play(&w, &elsewhere, 6 * S);
    CHECK_EQ_STR(address_of(&w), "192.0.2.5", "and the clock may still stand in for itself");
}

/* Another host sends under the identity of the listed clock before that clock begins. */
static void test_no_stand_in_for_a_clock_that_begins(void) {
    struct world w = world_begin();
    struct sender listed = sender(1, "192.0.2.1", 100), copy = sender(1, "192.0.2.5", 1);
    bool taken = false;

    command(&w, "T 192.0.2.1");
    play(&w, &copy, 3 * S);
    for (int n = 0; n < 16; n++) {
        if (n % 8 == 0)
            (void)send_announce(&w, &copy);
        if (n == 8) /* a second after its first Sync */
            (void)send_announce(&w, &listed);
        (void)send_pair(&w, &copy);
        (void)send_pair(&w, &listed);
        taken = taken || is_at(&w.record, &copy.address);
        pass(&w, 123 * MS);
    }
    CHECK(!taken, "a listed clock begins: until it qualifies no copy of it becomes master");
    CHECK_EQ_STR(address_of(&w), "192.0.2.1", "when it qualifies it is master");
}

static void test_stand_in_stays_while_the_listed_clock_begins(void) {
    struct world w = world_begin();
    struct sender listed = sender(1, "192.0.2.1", 100), elsewhere = sender(1, "192.0.2.5", 100);
    bool lost = false;

    command(&w, "T 192.0.2.1");
    play(&w, &listed, S);
    play(&w, &elsewhere, 130 * S);
    CHECK_EQ_STR(address_of(&w), "192.0.2.5", "its record is gone: another address stands in");
    for (int n = 0; n < 8; n++) {
        (void)send_pair(&w, &listed);
        (void)send_pair(&w, &elsewhere);
        lost = lost || !is_at(&w.record, &elsewhere.address);
        pass(&w, 123 * MS);
    }
    CHECK(!lost, "the listed clock begins again: the stand-in stays until that one qualifies");
}

static void test_stand_in_stays(void) {
    struct world w = world_begin();
    struct sender a = sender(1, "192.0.2.1", 100), b = sender(1, "192.0.2.5", 100);

    command(&w, "T 192.0.2.1");
    for (int n = 0; n < 40; n++) {
        if (n % 8 == 0) {
            announce_steps(&w, &a, 255);
            announce_steps(&w, &b, 0);
        }
        (void)send_pair(&w, &a);
        (void)send_pair(&w, &b);
        pass(&w, 123 * MS);
    }
    CHECK_EQ_STR(address_of(&w), "192.0.2.5",
                 "for who may not be master another address stands in");
    a.grandmaster_identity = 77;
    announce_steps(&w, &a, 0);
    CHECK(has_master(&w.record), "until that one may, and has given its time");
}

static void test_same_list_keeps_the_peace(void) {
    struct world w = world_begin();

    command(&w, "T 192.0.2.1 192.0.2.2");
    w.engine.clients.list[0].hysteresis = (struct nqptp_hysteresis){80, w.now_ns};
    command(&w, "T 192.0.2.1 192.0.2.2");
    CHECK_EQ_U64(w.engine.clients.list[0].hysteresis.weight, 80,
                 "T with the list in force changes nothing");
    CHECK(idle(&w), "and nothing is told");
}

/* A new client's object may hold the record of a process before. */
static void test_inherited_late(void) {
    struct sender m = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&m);
    const struct nqptp_shm_record old = {
        .grandmaster_identity = 1, .offset_ns = m.offset_ns, .start_time_ns = 1000 * S};
    const char text[] = "/x T 192.0.2.1";

    play(&w, &m, 4 * S);
    command_octets(&w, text, strlen(text), &old);
    int c = w.answer.client;
    CHECK_EQ_U64(w.effects.publish, 3, "who follows the same clock is told as well");
    CHECK_EQ_U64(w.effects.records[c].start_time_ns, 1000 * S, "its mastership is carried on");
    command(&w, "/x T");
    pass(&w, 70 * S);
    play(&w, &m, 4 * S);
    uint64_t start_ns = w.engine.table.clocks[0].reading.start_time_ns;
    command(&w, "/x T 192.0.2.1");
    CHECK_EQ_U64(w.effects.records[c].start_time_ns, start_ns, "and a later one is not");
}

static void test_reason(void) {
    struct world w = world_begin();
    struct sender a = sender(1, "192.0.2.1", 100), b = sender(2, "192.0.2.2", 200);
    char text[NQPTP_STORY_MAX] = "";

    play_both(&w, &a, &b);
    announce_steps(&w, &a, 255);
    for (unsigned i = 0; i < w.effects.event_count; i++)
        if (w.effects.events[i].kind == NQPTP_EVENT_MASTER)
            nqptp_story_event(&w.engine, &w.effects.events[i], text);
    CHECK_EQ_STR(text, "/nqptp: master is now 0000000000000002 at 192.0.2.2, the only candidate",
                 "who could not win any more is not who lost");
}

/* When a master dies, as many qualify at once as there are. */
static void test_all_that_qualify_are_told(void) {
    struct world w = world_begin();
    struct sender m = sender(1, "192.0.2.1", 10), others[24];
    unsigned qualified = 0;

    for (unsigned i = 0; i < 24; i++) {
        char address[32];
        snprintf(address, sizeof address, "192.0.2.%u", 10 + i);
        others[i] = sender(100 + i, address, 200);
    }
    (void)send_announce(&w, &m);
    (void)send_pair(&w, &m);
    for (unsigned i = 0; i < 24; i++)
        (void)send_announce(&w, &others[i]);
    for (int n = 0; n < 30; n++) {
        for (unsigned i = 0; i < 24; i++) {
            (void)send_pair(&w, &others[i]);
            for (unsigned e = 0; e < w.effects.event_count; e++)
                qualified += w.effects.events[e].kind == NQPTP_EVENT_QUALIFIED;
        }
        uint64_t next_ns = w.now_ns + 100 * MS, due_ns;
        while ((due_ns = nqptp_engine_deadline(&w.engine)) <= next_ns) {
            w.now_ns = due_ns;
            nqptp_engine_expire(&w.engine, due_ns, &w.effects);
            for (unsigned e = 0; e < w.effects.event_count; e++)
                qualified += w.effects.events[e].kind == NQPTP_EVENT_QUALIFIED;
        }
        w.now_ns = next_ns;
    }
    CHECK_EQ_U64(qualified, 24, "all of them are told of");
}

/* What an address is known by when it is listed: who announced itself there last. */
static void test_identity_of_a_new_address(void) {
    struct world w = world_begin();
    struct sender gone = sender(1, "192.0.2.1", 100), x = sender(2, "192.0.2.1", 100);
    struct sender elsewhere = sender(2, "192.0.2.5", 100);

    play(&w, &gone, S);
    pass(&w, 20 * S);
    play(&w, &x, 2 * S);
    play(&w, &elsewhere, 5 * S);
    command(&w, "T 192.0.2.1");
    CHECK_EQ_U64(master_of(&w), 2, "who was heard last at a silent address may stand in for it");
}

static void test_follow_up_with_the_syncs_time(void) {
    struct world w = world_begin();
    struct sender s = sender(1, "192.0.2.1", 100);
    uint8_t message[sizeof apple_follow_up];
    uint64_t start_ns = receive_time(&w), origin_ns = time_of(&w, &s);

    (void)send_announce(&w, &s);
    (void)send_one_step(&w, &s, 1, 0x0400, origin_ns);
    w.now_ns += MS;
    memcpy(message, apple_follow_up, sizeof message);
    put_correction(message, 1400000 * INT64_C(65536));
    put_source(message, s.clock_identity, s.port_number);
    put_sequence_id(message, 1);
    put_timestamp(message, origin_ns);
    (void)deliver(&w, &s, message, sizeof message);
    CHECK_EQ_U64(w.record.offset_ns, s.offset_ns + 1400000,
                 "a Follow_Up wins though it differs in its correction only");
    s.sequence_id = 2;
    pass(&w, 124 * MS);
    (void)send_pair(&w, &s);
    CHECK_EQ_U64(w.record.start_time_ns, start_ns, "and its series goes on");
}

static void test_overtaken_follow_up(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&s);

    play(&w, &s, 10 * S);
    uint64_t start_ns = w.record.start_time_ns, origin_ns = time_of(&w, &s);
    (void)send_sync(&w, &s, s.sequence_id++);
    pass(&w, 125 * MS);
    play(&w, &s, S);
    CHECK_EQ_U64(send_follow_up(&w, &s, (uint16_t)(s.sequence_id - 9), origin_ns), NQPTP_DROP_LATE,
                 "a Follow_Up that comes 1.1 s after its Sync is late");
    (void)send_pair(&w, &s);
    CHECK_EQ_U64(w.record.start_time_ns, start_ns, "and begins no series");
    origin_ns = time_of(&w, &s);
    (void)send_sync(&w, &s, s.sequence_id++);
    pass(&w, 1100 * MS);
    (void)send_follow_up(&w, &s, s.sequence_id, time_of(&w, &s));
    CHECK_EQ_U64(send_follow_up(&w, &s, (uint16_t)(s.sequence_id - 1), origin_ns), NQPTP_DROP_LATE,
                 "so is one that a lone one overtook, which waits");
}

static void test_rest_after_lone_follow_up(void) {
    struct world w = world_begin();
    struct sender m = sender(1, "192.0.2.1", 1);

    (void)send_announce(&w, &m);
    (void)send_pair(&w, &m);
    for (unsigned i = 0; i < 6; i++) {
        char address[32];
        snprintf(address, sizeof address, "192.0.2.%u", 10 + i);
        struct sender other = sender(10 + i, address, 200);
        (void)send_announce(&w, &other);
        (void)send_pair(&w, &other);
    }
    play(&w, &m, S / 2);
    uint64_t due_ns = w.now_ns + 125 * MS;
    (void)send_follow_up(&w, &m, m.sequence_id++, time_of(&w, &m));
    pass(&w, 101 * MS);
    CHECK(nqptp_engine_rest_until_ns(&w.engine, w.now_ns) <= due_ns,
          "after a lone Follow_Up, too, packets rest until the next Sync is due at most");
}

static void test_stray_sync(void) {
    struct world w = world_begin();
    struct sender x = sender(1, "192.0.2.1", 100), elsewhere = sender(1, "192.0.2.5", 100);
    struct sender stray = sender(2, "192.0.2.1", 90);

    command(&w, "T 192.0.2.1");
    play(&w, &x, 2 * S);
    play(&w, &elsewhere, 6 * S);
    (void)send_sync(&w, &stray, 1);
    (void)send_pair(&w, &elsewhere);
    CHECK_EQ_U64(master_of(&w), 1, "a stray Sync takes no right to stand in away");
}

/* Clients take the identity 0 for "no master". */
static void test_no_grandmaster(void) {
    struct world w = world_begin();
    struct sender s = sender(1, "192.0.2.1", 100);

    s.grandmaster_identity = 0;
    play(&w, &s, 2 * S);
    CHECK(!has_master(&w.record), "a grandmaster of identity 0 is none");
    s.grandmaster_identity = 1;
    play(&w, &s, 2 * S);
    s.grandmaster_identity = 0;
    play(&w, &s, 2 * S);
    CHECK_EQ_U64(w.record.grandmaster_identity, 1, "and no master comes to have it");
}

/* --- a host that stood still ----------------------------------------------------------------- */

/* Sends pairs whose times are `interval_ns` apart, and here come 5 us apart. */
static void send_backlog(struct world *w, struct sender *s, uint64_t stood_ns, uint64_t interval_ns,
                         unsigned batch) {
    uint64_t begin_ns = time_of(w, s), count = stood_ns / interval_ns;

    for (uint64_t first = 0; first < count; first += batch) {
        uint64_t end = first + batch < count ? first + batch : count;
        for (uint64_t n = first; n < end; n++, w->now_ns += 5 * US)
            (void)send_sync(w, s, (uint16_t)(s->sequence_id + n));
        for (uint64_t n = first; n < end; n++, w->now_ns += 5 * US)
            (void)send_follow_up(w, s, (uint16_t)(s->sequence_id + n),
                                 begin_ns + (n + 1) * interval_ns);
    }
    s->sequence_id = (uint16_t)(s->sequence_id + count);
    s->offset_ns += stood_ns;
}

/* Pairs at that interval for that time. Notes how many series are published, and since when. */
static unsigned play_at(struct world *w, struct sender *s, uint64_t interval_ns, uint64_t ns) {
    uint64_t start_ns = w->record.start_time_ns;
    unsigned series = 0;

    for (uint64_t at_ns = 0; at_ns < ns; at_ns += interval_ns) {
        (void)send_pair(w, s);
        pass(w, interval_ns - MS);
        series += w->record.start_time_ns != start_ns;
        start_ns = w->record.start_time_ns;
    }
    return series;
}

static void check_stood_still(uint64_t stood_ns, unsigned syncs_a_second, unsigned batch) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_begin();
    uint64_t interval_ns = S / syncs_a_second;
    char name[80];

    snprintf(name, sizeof name, "%u s still, %u Syncs/s, in batches of %u",
             (unsigned)(stood_ns / S), syncs_a_second, batch);
    command(&w, "T 192.0.2.1");
    (void)send_announce(&w, &s);
    (void)play_at(&w, &s, interval_ns, 20 * S);
    uint64_t start_ns = w.record.start_time_ns, woke_ns = w.now_ns;
    send_backlog(&w, &s, stood_ns, interval_ns, batch);
    CHECK_EQ_U64(w.record.start_time_ns, start_ns, "%s: no series is of the backlog", name);
    unsigned series = play_at(&w, &s, interval_ns, S / 2 + 2 * interval_ns);
    CHECK(offset_near(w.record.offset_ns, s.offset_ns), "%s: soon right", name);
    series += play_at(&w, &s, interval_ns, 20 * S);
    CHECK(offset_near(w.record.offset_ns, s.offset_ns), "%s: and stays so", name);
    CHECK_EQ_U64(series, 1, "%s: there is one new series", name);
    CHECK(w.record.start_time_ns >= woke_ns - LATENCY_NS, "%s: it began after waking", name);
}

static void test_host_that_stood_still(void) {
    static const unsigned rates[] = {1, 8, 128}, batches[] = {1, 128};

    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++)
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
            check_stood_still(2 * S, rates[r], batches[b]);
            check_stood_still(10 * S, rates[r], batches[b]);
            check_stood_still(60 * S, rates[r], batches[b]);
            check_stood_still(600 * S, rates[r], batches[b]);
        }
}

int main(void) {
    test_stray_sync();
    test_no_grandmaster();
    test_identity_of_a_new_address();
    test_follow_up_with_the_syncs_time();
    test_overtaken_follow_up();
    test_rest_after_lone_follow_up();
    test_stop_with_corrections();
    test_repeated_announce();
    test_wake_up_when_listed_again();
    test_one_step_is_not_silent();
    test_fast_clock();
    test_slow_clock_steps("1 s", S, false);
    test_slow_clock_steps("2.00004 s", 2 * S + 40 * US, false);
    test_slow_clock_steps("4 s", 4 * S, false);
    test_slow_clock_steps("1 s, every other one lost", S + 20 * US, true);
    test_first_address_wins();
    test_identity_of_an_address();
    test_no_stand_in_for_a_clock_that_begins();
    test_stand_in_stays_while_the_listed_clock_begins();
    test_stand_in_stays();
    test_same_list_keeps_the_peace();
    test_inherited_late();
    test_reason();
    test_all_that_qualify_are_told();
    test_host_that_stood_still();
    return tap_done();
}
