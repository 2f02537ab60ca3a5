/* SPDX-License-Identifier: MIT */
/*
 * Proves how the engine makes samples of Sync and Follow_Up messages: they pair in either order by
 * port and sequenceId; lost, late, repeated and reordered messages do no harm; and a Sync that
 * carries its own time is used unless a Follow_Up gives another.
 */
#include "nqptp-message-handlers.h"

#include "../lib/random.h"
#include "../lib/tap.h"
#include "../lib/engine-fixture.h"

#include <stdlib.h>

#define WAIT_NS (100 * MS)       /* of a Follow_Up for its Sync */
#define SCALED_NS INT64_C(65536) /* of a correctionField */

/* The master. Its only sample so far has sequenceId 1. */
static struct sender usual_sender(void) {
    return sender(0x1234, "192.0.2.1", 100);
}

static void test_sync_then_follow_up(void) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);
    uint64_t local_ns = receive_time(&w), origin_ns = time_of(&w, &s);

    CHECK_EQ_U64(send_sync(&w, &s, 2), NQPTP_DROP_NONE, "a Sync is used");
    CHECK(idle(&w), "a Sync alone gives no sample");
    w.now_ns += 500 * MS;
    CHECK_EQ_U64(send_follow_up(&w, &s, 2, origin_ns), NQPTP_DROP_NONE,
                 "the Follow_Up of a Sync is used");
    CHECK(published(&w, &s, local_ns), "a pair gives a sample of when its Sync came");
}

static void test_follow_up_then_sync(void) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);
    uint64_t origin_ns = time_of(&w, &s) + 40 * MS;

    CHECK_EQ_U64(send_follow_up(&w, &s, 2, origin_ns), NQPTP_DROP_NONE,
                 "a Follow_Up before its Sync is used");
    CHECK(idle(&w), "a Follow_Up before its Sync gives no sample yet");
    w.now_ns += 40 * MS;
    uint64_t local_ns = receive_time(&w);
    CHECK_EQ_U64(send_sync(&w, &s, 2), NQPTP_DROP_NONE, "a Sync after its Follow_Up is used");
    CHECK(published(&w, &s, local_ns),
          "a pair in reverse order gives a sample of when its Sync came");
    CHECK_EQ_U64(nqptp_engine_deadline(&w.engine), w.now_ns + 3 * S + 1,
                 "after the sample the next deadline is the master's silence");
}

/* Returns how far a pair with these corrections moves the first offset of a series. */
static uint64_t offset_with(int64_t sync_scaled_ns, int64_t follow_up_scaled_ns) {
    struct sender s = usual_sender();
    struct world w = world_begin();
    uint8_t sync[sizeof apple_sync], follow_up[sizeof apple_follow_up];

    memcpy(sync, apple_sync, sizeof sync);
    memcpy(follow_up, apple_follow_up, sizeof follow_up);
    put_correction(sync, sync_scaled_ns);
    put_correction(follow_up, follow_up_scaled_ns);
    put_source(sync, s.clock_identity, s.port_number);
    put_source(follow_up, s.clock_identity, s.port_number);
    put_timestamp(follow_up, time_of(&w, &s));
    (void)send_announce(&w, &s);
    (void)deliver(&w, &s, sync, sizeof sync);
    w.now_ns += MS;
    (void)deliver(&w, &s, follow_up, sizeof follow_up);
    CHECK(w.effects.publish, "a pair with corrections gives a sample");
    return w.record.offset_ns - s.offset_ns;
}

static void test_corrections(void) {
    CHECK_EQ_I64(offset_with(0, 1401459 * SCALED_NS), 1401459,
                 "the correctionField of the Follow_Up counts");
    CHECK_EQ_I64(offset_with(1000 * SCALED_NS, 0), 1000, "the correctionField of the Sync counts");
    CHECK_EQ_I64(offset_with(1000 * SCALED_NS, 1401459 * SCALED_NS), 1402459,
                 "the correctionFields of Sync and Follow_Up are added");
    CHECK_EQ_I64(offset_with(-1000 * SCALED_NS, -5 * SCALED_NS), -1005,
                 "negative correctionFields are added with their signs");
    CHECK_EQ_I64(offset_with(70 * SCALED_NS + 1, 30 * SCALED_NS + 1), 100,
                 "correctionFields count in whole nanoseconds");
}

static void test_corrections_in_reverse(void) {
    struct sender s = usual_sender();
    struct world w = world_begin();
    uint8_t sync[sizeof apple_sync];

    memcpy(sync, apple_sync, sizeof sync);
    put_correction(sync, -7 * SCALED_NS);
    put_source(sync, s.clock_identity, s.port_number);
    put_sequence_id(sync, 9);
    (void)send_announce(&w, &s);
    (void)send_follow_up(&w, &s, 9, time_of(&w, &s) + MS + 7);
    w.now_ns += MS;
    (void)deliver(&w, &s, sync, sizeof sync);
    CHECK_EQ_U64(w.record.offset_ns, s.offset_ns,
                 "the correctionField of a Sync that comes second counts");
}

/* --- lone Follow_Ups ------------------------------------------------------------------------- */

static void test_lone_follow_up_is_used_in_time(void) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);
    uint64_t local_ns = receive_time(&w), deadline_ns = w.now_ns + WAIT_NS;

    (void)send_follow_up(&w, &s, 2, time_of(&w, &s));
    CHECK_EQ_U64(nqptp_engine_deadline(&w.engine), deadline_ns,
                 "a lone Follow_Up waits for 100 ms");
    expire(&w, deadline_ns - 1);
    CHECK(idle(&w), "a lone Follow_Up is not used 1 ns before the end of its wait");
    expire(&w, deadline_ns);
    CHECK(published(&w, &s, local_ns),
          "after its wait a lone Follow_Up gives a sample of when it came itself");
    expire(&w, deadline_ns);
    CHECK(idle(&w), "after its wait a lone Follow_Up is used only once");
    w.now_ns = deadline_ns + MS;
    CHECK_EQ_U64(send_sync(&w, &s, 2), NQPTP_DROP_DUPLICATE,
                 "after its wait the Sync of a lone Follow_Up is dropped as a duplicate");
    CHECK(idle(&w), "after its wait the Sync of a lone Follow_Up gives no second sample");
    CHECK_EQ_U64(send_follow_up(&w, &s, 2, time_of(&w, &s)), NQPTP_DROP_DUPLICATE,
                 "after its wait a repeated lone Follow_Up is dropped as a duplicate");
}

static void test_next_sync_ends_the_wait(void) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);
    uint64_t local_ns = receive_time(&w);

    (void)send_follow_up(&w, &s, 2, time_of(&w, &s));
    w.now_ns += 20 * MS;
    uint64_t next_ns = receive_time(&w), next_origin_ns = time_of(&w, &s);
    CHECK_EQ_U64(send_sync(&w, &s, 3), NQPTP_DROP_NONE,
                 "the next Sync ends the wait of a lone Follow_Up, and is used");
    CHECK(published(&w, &s, local_ns),
          "a lone Follow_Up whose wait the next Sync ends gives a sample of when it came itself");
    w.now_ns += MS;
    (void)send_follow_up(&w, &s, 3, next_origin_ns);
    CHECK(published(&w, &s, next_ns),
          "the Sync that ended the wait gives a sample with its own Follow_Up");
    CHECK_EQ_U64(send_sync(&w, &s, 2), NQPTP_DROP_DUPLICATE,
                 "the Sync of a lone Follow_Up is dropped after the next Sync");
}

static void test_next_follow_up_ends_the_wait(void) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);
    uint64_t local_ns = receive_time(&w);

    (void)send_follow_up(&w, &s, 2, time_of(&w, &s));
    w.now_ns += 20 * MS;
    uint64_t next_ns = receive_time(&w), due_ns = w.now_ns + WAIT_NS;
    CHECK_EQ_U64(send_follow_up(&w, &s, 3, time_of(&w, &s)), NQPTP_DROP_NONE,
                 "the next Follow_Up ends the wait of a lone Follow_Up, and is used");
    CHECK(published(&w, &s, local_ns),
          "a lone Follow_Up whose wait the next one ends gives a sample");
    CHECK_EQ_U64(nqptp_engine_deadline(&w.engine), due_ns,
                 "the Follow_Up that ended the wait waits for 100 ms itself");
    expire(&w, due_ns);
    CHECK(published(&w, &s, next_ns),
          "the Follow_Up that ended the wait gives a sample after its own wait");
}

static void test_only_its_own_clock_ends_the_wait(void) {
    struct sender s = usual_sender(), other = sender(2, "192.0.2.2", 200);
    struct world w = world_of(&s);
    uint64_t deadline_ns = w.now_ns + WAIT_NS;

    (void)send_follow_up(&w, &s, 2, time_of(&w, &s));
    w.now_ns += 20 * MS;
    (void)send_announce(&w, &other);
    (void)send_pair(&w, &other);
    (void)send_announce(&w, &s);
    CHECK_EQ_U64(
        nqptp_engine_deadline(&w.engine), deadline_ns,
        "the messages of another clock, or an Announce, do not end the wait of a Follow_Up");
}

static void test_clock_without_syncs(void) {
    struct sender s = usual_sender();
    struct world w = world_begin();
    unsigned publications = 0;

    (void)send_announce(&w, &s);
    for (uint16_t n = 0; n < 80; n++) {
        (void)send_follow_up(&w, &s, n, time_of(&w, &s));
        pass(&w, 125 * MS);
        publications += w.effects.publish != 0;
    }
    CHECK_EQ_U64(publications, 80, "a clock of which only Follow_Ups come is followed");
    CHECK(offset_near(w.record.offset_ns, s.offset_ns),
          "a clock of which only Follow_Ups come: the offset is right within the latency");
}

/* --- repeated, late and reordered ------------------------------------------------------------ */

static void test_repeated_messages(void) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);
    uint64_t origin_ns = time_of(&w, &s), local_ns = receive_time(&w);

    (void)send_sync(&w, &s, 2);
    w.now_ns += MS;
    CHECK_EQ_U64(send_sync(&w, &s, 2), NQPTP_DROP_DUPLICATE, "a repeated Sync is dropped");
    w.now_ns += MS;
    (void)send_follow_up(&w, &s, 2, origin_ns);
    CHECK(published(&w, &s, local_ns),
          "after a repeated Sync the sample has the time of the first one");
    w.now_ns += MS;
    CHECK_EQ_U64(send_follow_up(&w, &s, 2, origin_ns), NQPTP_DROP_DUPLICATE,
                 "a repeated Follow_Up is dropped");
    CHECK(idle(&w), "a repeated Follow_Up gives no second sample");
    CHECK_EQ_U64(send_sync(&w, &s, 2), NQPTP_DROP_DUPLICATE,
                 "a Sync that comes again after its pair is dropped");
    CHECK_EQ_U64(send_follow_up(&w, &s, 2, origin_ns + 5 * S), NQPTP_DROP_DUPLICATE,
                 "a Follow_Up that comes again with another time is dropped");
    CHECK_EQ_U64(w.engine.drops[NQPTP_DROP_DUPLICATE], 4,
                 "each of four repeated messages is counted");
}

static void test_repeated_lone_follow_up(void) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);
    uint64_t deadline_ns = w.now_ns + WAIT_NS;

    (void)send_follow_up(&w, &s, 2, time_of(&w, &s));
    w.now_ns += 50 * MS;
    CHECK_EQ_U64(send_follow_up(&w, &s, 2, time_of(&w, &s)), NQPTP_DROP_DUPLICATE,
                 "a lone Follow_Up that is repeated is dropped");
    CHECK(idle(&w), "a lone Follow_Up that is repeated does not end the wait of the first");
    CHECK_EQ_U64(nqptp_engine_deadline(&w.engine), deadline_ns,
                 "a repeated Follow_Up does not prolong the wait");
}

static void test_repetitions_are_no_stopped_clock(void) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);
    uint64_t start_ns = w.engine.table.clocks[0].reading.start_time_ns;
    unsigned samples = 0;

    for (uint16_t n = 2; n < 50; n++) {
        uint64_t origin_ns = time_of(&w, &s);
        for (int copy = 0; copy < 6; copy++) {
            (void)send_sync(&w, &s, n);
            w.now_ns += 10 * MS;
            (void)send_follow_up(&w, &s, n, origin_ns);
            w.now_ns += 10 * MS;
            samples += w.effects.publish != 0;
        }
    }
    CHECK_EQ_U64(samples, 48, "a pair that comes six times is used once");
    CHECK_EQ_U64(w.engine.table.clocks[0].reading.start_time_ns, start_ns,
                 "a clock whose pairs come six times is not taken for one that stopped");
}

static void test_late_messages(void) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);

    uint64_t origin_ns = time_of(&w, &s) + 31 * MS; /* of the pair with sequenceId 3 */
    for (uint16_t n = 2; n < 20; n++) {
        (void)send_pair(&w, &s);
        w.now_ns += 30 * MS;
    }
    uint64_t heard_ns = w.engine.table.clocks[0].heard_at_ns;
    CHECK_EQ_U64(send_sync(&w, &s, 3), NQPTP_DROP_LATE, "a Sync of long ago is dropped");
    CHECK_EQ_U64(send_follow_up(&w, &s, 3, origin_ns), NQPTP_DROP_LATE,
                 "a Follow_Up of long ago is dropped");
    CHECK(idle(&w), "late messages have no effect");
    CHECK_EQ_U64(w.engine.table.clocks[0].heard_at_ns, heard_ns,
                 "a late message does not count as hearing its clock");
}

/* A daemon that was stopped reads the packets that came meanwhile, which are all old. */
static void test_what_waited(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&s);
    uint64_t offset_ns = w.record.offset_ns, stopped_ns = w.now_ns;
    uint64_t follow_up_ns = w.engine.table.clocks[0].pairing.follow_up_at_ns;
    uint8_t message[sizeof apple_follow_up];
    unsigned late = 0;

    pass(&w, 60 * S);
    for (uint64_t n = 0; n < 464; n++) {
        struct nqptp_packet packet = {
            .data = message,
            .source = s.address,
            .receive_time_ns = stopped_ns + n * 125 * MS,
        };
        memcpy(message, apple_sync, packet.length = sizeof apple_sync);
        put_source(message, s.clock_identity, s.port_number);
        put_sequence_id(message, s.sequence_id);
        late += receive(&w, &packet) == NQPTP_DROP_LATE;
        memcpy(message, apple_follow_up, packet.length = sizeof apple_follow_up);
        put_source(message, s.clock_identity, s.port_number);
        put_sequence_id(message, s.sequence_id++);
        late += receive(&w, &packet) == NQPTP_DROP_LATE;
    }
    CHECK_EQ_U64(late, 2 * 464, "Syncs and Follow_Ups of long ago are dropped");
    CHECK(w.engine.table.clocks[0].pairing.follow_up_at_ns == follow_up_ns &&
              w.record.offset_ns == offset_ns,
          "Syncs and Follow_Ups of long ago change neither the pairing nor the offset");
    (void)send_pair(&w, &s);
    CHECK(w.record.local_time_ns > w.now_ns - S,
          "after messages of long ago a present pair is used");
}

static void test_sender_starts_afresh(void) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);

    s.sequence_id = 40000;
    for (int n = 0; n < 10; n++) {
        (void)send_pair(&w, &s);
        pass(&w, 124 * MS);
    }
    s.sequence_id = 0;
    uint64_t local_ns = receive_time(&w);
    CHECK_EQ_U64(send_pair(&w, &s), NQPTP_DROP_NONE,
                 "a sender that counts from 0 again: its first Follow_Up is used");
    CHECK(published(&w, &s, local_ns),
          "a sender that counts from 0 again: its first pair gives a sample");
}

/* The sequenceIds begin again at 0 after `count` of them, which are still in the ring or near it.
 */
static void restart_after(uint16_t count, int64_t time_moves_ns) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);

    s.sequence_id = 0;
    pass(&w, 3 * S);
    for (uint16_t n = 0; n < count; n++) {
        (void)send_pair(&w, &s);
        pass(&w, 124 * MS);
    }
    s.sequence_id = 0;
    s.offset_ns += (uint64_t)time_moves_ns;
    for (int n = 0; n < 3; n++) {
        uint64_t local_ns = receive_time(&w), origin_ns = time_of(&w, &s);
        enum nqptp_drop fate = send_sync(&w, &s, s.sequence_id);
        CHECK(n == 0 || fate == NQPTP_DROP_NONE, "restart after %u Syncs: Sync %d is used at once",
              count, n);
        w.now_ns += MS;
        CHECK_EQ_U64(send_follow_up(&w, &s, s.sequence_id++, origin_ns), NQPTP_DROP_NONE,
                     "restart after %u Syncs: Follow_Up %d is used at once", count, n);
        CHECK(published(&w, &s, local_ns) || (time_moves_ns != 0 && n < 2),
              "restart: the sample is published, of a clock whose time jumped the third one");
        pass(&w, 124 * MS);
    }
}

static void test_sequence_begins_again(void) {
    restart_after(2, 0);
    restart_after(5, 0);
    restart_after(12, 0);
    restart_after(40, 0);
    restart_after(40, -3600 * (int64_t)S);
    restart_after(12, -3600 * (int64_t)S);
}

/* Every datagram comes twice, the copy 300 ms after the original. */
static void test_delayed_duplicates_are_no_restart(void) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);
    uint64_t origin_ns[40];
    unsigned used = 0;

    for (uint16_t n = 0; n < 40; n++) {
        origin_ns[n] = time_of(&w, &s);
        (void)send_sync(&w, &s, (uint16_t)(100 + n));
        (void)send_follow_up(&w, &s, (uint16_t)(100 + n), origin_ns[n]);
        w.now_ns += 15 * MS;
        if (n < 20)
            continue;
        used += send_sync(&w, &s, (uint16_t)(80 + n)) == NQPTP_DROP_NONE;
        used += send_follow_up(&w, &s, (uint16_t)(80 + n), origin_ns[n - 20]) == NQPTP_DROP_NONE;
    }
    CHECK_EQ_U64(used, 0, "copies that come 300 ms later are not taken for a restart");
}

/* Returns the drop reason of a Sync that is so far behind the only Sync before it, sequenceId 1.
 */
static enum nqptp_drop drop_behind(uint16_t behind) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);

    w.now_ns += 10 * MS;
    return send_sync(&w, &s, (uint16_t)(1 - behind));
}

static void test_how_far_back_is_late(void) {
    CHECK_EQ_U64(drop_behind(64), NQPTP_DROP_LATE, "a Sync that is 64 sequenceIds behind is late");
    CHECK_EQ_U64(drop_behind(65), NQPTP_DROP_NONE, "a Sync that is 65 behind begins afresh");
}

static void test_one_step_sequence_begins_again(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_begin();

    (void)send_announce(&w, &s);
    for (uint16_t n = 0; n < 80; n++) {
        uint16_t sequence_id = n < 40 ? n : (uint16_t)(n - 40);
        CHECK_EQ_U64(send_one_step(&w, &s, sequence_id, 0, time_of(&w, &s)), NQPTP_DROP_NONE,
                     "one-step Sync %u, sequenceId %u is used", n, sequence_id);
        pass(&w, 25 * MS);
    }
}

static void test_sequence_after_a_pause(void) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);

    s.sequence_id = 30;
    (void)send_pair(&w, &s);
    pass(&w, 2100 * MS);
    s.sequence_id = 20;
    uint64_t local_ns = receive_time(&w);
    CHECK_EQ_U64(send_pair(&w, &s), NQPTP_DROP_NONE,
                 "after a pause of 2.1 s a Follow_Up with any sequenceId is used");
    CHECK(published(&w, &s, local_ns),
          "after a pause of 2.1 s a pair with any sequenceId gives a sample");
}

/* Two pairs, whose messages come in this order; digits are Syncs, letters their Follow_Ups. */
static unsigned publications_of(uint16_t first, const char *order) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);
    uint64_t origin_ns[2] = {time_of(&w, &s), time_of(&w, &s) + 2 * MS};
    unsigned publications = 0;

    for (; *order; order++) {
        bool is_sync = *order <= '9';
        unsigned n = (unsigned)(*order - (is_sync ? '1' : 'a'));
        uint16_t sequence_id = (uint16_t)(first + n);
        w.now_ns += MS;
        if (is_sync)
            (void)send_sync(&w, &s, sequence_id);
        else
            (void)send_follow_up(&w, &s, sequence_id, origin_ns[n]);
        publications += w.effects.publish != 0;
    }
    return publications;
}

static void test_reordered_messages(void) {
    static const char *const orders[] = {"1a2b", "12ab", "12ba", "21ab", "21ba",
                                         "2b1a", "a12b", "1b2a", "b21a", "a1b2"};
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        CHECK_EQ_U64(publications_of(10, orders[i]), 2,
                     "in the order %s two pairs give two samples", orders[i]);
        CHECK_EQ_U64(publications_of(65535, orders[i]), 2,
                     "in the order %s two pairs give two samples where sequenceIds wrap",
                     orders[i]);
    }
    CHECK_EQ_U64(publications_of(10, "1ba2"), 1,
                 "Follow_Up a completes its pair and ends the wait of b: one sample");
    CHECK_EQ_U64(publications_of(10, "2ab1"), 1,
                 "Follow_Up b completes its pair, and a, which is late, gives none: one sample");
}

static void test_many_under_way(void) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);
    uint64_t begin_ns = receive_time(&w);
    unsigned samples = 0;

    for (uint16_t n = 0; n < 8; n++, w.now_ns += MS)
        (void)send_sync(&w, &s, (uint16_t)(100 + n));
    for (uint16_t n = 0; n < 8; n++, w.now_ns += MS) {
        uint64_t local_ns = begin_ns + n * MS;
        (void)send_follow_up(&w, &s, (uint16_t)(100 + n), local_ns + s.offset_ns);
        samples += published(&w, &s, local_ns);
    }
    CHECK_EQ_U64(samples, 8, "eight Syncs, then their Follow_Ups: eight samples");
}

static void test_pairs_by_port(void) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);
    struct sender twin = s;
    uint64_t origin_ns = time_of(&w, &s), local_ns = receive_time(&w);

    twin.port_number++;
    CHECK_EQ_U64(send_sync(&w, &s, 2), NQPTP_DROP_NONE, "a Sync of one port is used");
    w.now_ns += MS;
    CHECK_EQ_U64(send_sync(&w, &twin, 2), NQPTP_DROP_NONE,
                 "a Sync of another port with the same sequenceId is used");
    w.now_ns += MS;
    CHECK_EQ_U64(send_follow_up(&w, &s, 2, origin_ns), NQPTP_DROP_NONE,
                 "the Follow_Up of the first port is used");
    CHECK(published(&w, &s, local_ns),
          "the Follow_Up of the first port pairs with the Sync of that port");
    CHECK_EQ_U64(record_count(&w), 1, "two ports of one clock have one record");
}

/* Both ports share the ring of sequenceIds of their clock. It must be large enough for both. */
static void test_repetition_of_one_of_two_ports(void) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);
    struct sender twin = s;
    uint64_t origin_ns = 0;

    twin.port_number++;
    s.sequence_id = twin.sequence_id = 100;
    for (int n = 0; n < 8; n++) {
        if (s.sequence_id == 103)
            origin_ns = time_of(&w, &s);
        (void)send_pair(&w, &s);
        (void)send_pair(&w, &twin);
        w.now_ns += 10 * MS;
    }
    CHECK(send_sync(&w, &s, 103) != NQPTP_DROP_NONE,
          "a repeated Sync of one of two ports is dropped");
    CHECK(send_follow_up(&w, &s, 103, origin_ns) != NQPTP_DROP_NONE,
          "a repeated Follow_Up of one of two ports is dropped");
    CHECK(!w.effects.publish, "a repeated pair of one of two ports gives no second sample");
}

static void test_restart_of_one_of_two_ports(void) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);
    struct sender twin = s;

    twin.port_number++;
    for (int n = 0; n < 4; n++) {
        (void)send_pair(&w, &s);
        pass(&w, 124 * MS);
    }
    uint64_t local_ns = receive_time(&w), origin_ns = time_of(&w, &twin);
    (void)send_sync(&w, &twin, 500);
    w.now_ns += MS;
    s.sequence_id = 3;
    CHECK_EQ_U64(send_pair(&w, &s), NQPTP_DROP_NONE,
                 "one of two ports begins its sequenceIds again: its Follow_Up is used");
    (void)send_follow_up(&w, &twin, 500, origin_ns);
    CHECK(published(&w, &twin, local_ns),
          "one of two ports begins again: the Sync of the other one still pairs");
}

static void test_pairs_by_address(void) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);
    struct sender elsewhere = s;

    elsewhere.address = at("192.0.2.2");
    (void)send_sync(&w, &s, 2);
    CHECK_EQ_U64(send_follow_up(&w, &elsewhere, 2, time_of(&w, &s)), NQPTP_DROP_UNKNOWN,
                 "a Follow_Up from an address that is unknown is dropped");
    CHECK_EQ_U64(record_count(&w), 1, "a Follow_Up from an unknown address makes no record");
    (void)send_announce(&w, &elsewhere);
    (void)send_follow_up(&w, &elsewhere, 2, time_of(&w, &s));
    CHECK(idle(&w),
          "a Follow_Up from another known address does not pair with a Sync from this one");
}

static void test_pairs_by_sequence_id(void) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);

    (void)send_sync(&w, &s, 2);
    w.now_ns += MS;
    CHECK_EQ_U64(send_follow_up(&w, &s, 3, time_of(&w, &s)), NQPTP_DROP_NONE,
                 "a Follow_Up with another sequenceId than the Sync is used");
    CHECK(idle(&w), "a Follow_Up with another sequenceId than the Sync makes no pair");
    (void)send_sync(&w, &s, 0x0102);
    w.now_ns += MS;
    (void)send_follow_up(&w, &s, 0x0202, time_of(&w, &s));
    CHECK(idle(&w), "a Follow_Up whose sequenceId is equal only in the low octet makes no pair");
}

/* --- one-step -------------------------------------------------------------------------------- */

static void test_one_step(void) {
    struct sender s = usual_sender();
    struct world w = world_begin();
    unsigned samples = 0;

    (void)send_announce(&w, &s);
    for (uint16_t n = 0; n < 20; n++) {
        uint64_t local_ns = receive_time(&w);
        (void)send_one_step(&w, &s, n, NQPTP_FLAG_UNICAST, time_of(&w, &s));
        samples += published(&w, &s, local_ns);
        w.now_ns += 125 * MS;
    }
    CHECK_EQ_U64(samples, 20, "a one-step Sync is a sample by itself");
    CHECK_EQ_U64(send_one_step(&w, &s, 19, NQPTP_FLAG_UNICAST, time_of(&w, &s)),
                 NQPTP_DROP_DUPLICATE, "a one-step Sync that is repeated is dropped");
}

static void test_one_step_correction(void) {
    struct sender s = usual_sender();
    struct world w = world_begin();
    uint8_t sync[sizeof apple_sync];

    memcpy(sync, apple_sync, sizeof sync);
    put_flags(sync, 0);
    put_source(sync, s.clock_identity, s.port_number);
    put_timestamp(sync, time_of(&w, &s));
    put_correction(sync, 4321 * SCALED_NS);
    (void)send_announce(&w, &s);
    (void)deliver(&w, &s, sync, sizeof sync);
    CHECK_EQ_U64(w.record.offset_ns, s.offset_ns + 4321,
                 "the correctionField of a one-step Sync counts");
}

static void test_sync_that_is_not_one_step(void) {
    struct sender s = usual_sender();
    struct world w = world_begin();

    (void)send_announce(&w, &s);
    (void)send_one_step(&w, &s, 1, NQPTP_FLAG_TWO_STEP, time_of(&w, &s));
    CHECK(idle(&w), "a Sync with twoStepFlag is no sample, whatever time it carries");
    (void)send_one_step(&w, &s, 2, 0, 0);
    CHECK(idle(&w), "a one-step Sync without a time is no sample");
}

/* A sender sets a rough time in its Sync, does not set twoStepFlag, and sends Follow_Ups. */
static void test_follow_up_wins(void) {
    struct sender s = usual_sender();
    struct world w = world_begin();
    uint64_t local_ns = receive_time(&w), origin_ns = time_of(&w, &s);
    unsigned wrong = 0;

    (void)send_announce(&w, &s);
    (void)send_one_step(&w, &s, 1, 0, origin_ns + 3 * MS);
    w.now_ns += MS;
    CHECK_EQ_U64(send_follow_up(&w, &s, 1, origin_ns), NQPTP_DROP_NONE,
                 "a Follow_Up to what looked like a one-step Sync is used");
    CHECK(published(&w, &s, local_ns),
          "a Follow_Up to what looked like a one-step Sync replaces the Sync's own time");
    CHECK_EQ_U64(send_follow_up(&w, &s, 1, origin_ns), NQPTP_DROP_DUPLICATE,
                 "a Follow_Up to what looked like a one-step Sync is dropped the second time");
    for (uint16_t n = 2; n < 40; n++) {
        w.now_ns += 125 * MS;
        local_ns = receive_time(&w);
        origin_ns = time_of(&w, &s);
        (void)send_one_step(&w, &s, n, 0, origin_ns + 3 * MS);
        wrong += w.effects.publish != 0;
        w.now_ns += MS;
        (void)send_follow_up(&w, &s, n, origin_ns);
        wrong += !published(&w, &s, local_ns);
    }
    CHECK_EQ_U64(wrong, 0, "after a Follow_Up the clock's Syncs are taken for two-step");
}

static void test_clock_becomes_one_step(void) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);
    unsigned samples = 0;

    for (uint16_t n = 100; n < 140; n++) {
        uint64_t local_ns = receive_time(&w);
        (void)send_one_step(&w, &s, n, 0, time_of(&w, &s));
        samples += n >= 120 && published(&w, &s, local_ns);
        w.now_ns += 125 * MS;
    }
    CHECK_EQ_U64(samples, 20, "after 20 Syncs without a Follow_Up the Syncs' own times are used");
}

static void test_follow_up_before_one_step(void) {
    struct sender s = usual_sender();
    struct world w = world_begin();
    uint64_t origin_ns = time_of(&w, &s) + MS;

    (void)send_announce(&w, &s);
    (void)send_follow_up(&w, &s, 1, origin_ns);
    w.now_ns += MS;
    uint64_t local_ns = receive_time(&w);
    (void)send_one_step(&w, &s, 1, 0, origin_ns + 3 * MS);
    CHECK(published(&w, &s, local_ns),
          "a Follow_Up before what looks like a one-step Sync wins over the Sync's own time");
}

/* --- all of it at once ----------------------------------------------------------------------- */

#define PAIRS 4000
#define COPIES_MAX ((size_t)PAIRS * 4)

struct arrival {
    uint64_t at_ns;
    unsigned pair;
    bool is_sync;
};

static int by_time(const void *a, const void *b) {
    const struct arrival *x = a, *y = b;
    return x->at_ns < y->at_ns ? -1 : x->at_ns > y->at_ns;
}

/* A message each millisecond, up to 4 ms late; one of 16 is lost, one of 8 comes twice. */
static unsigned shuffle(struct arrival *arrivals, struct prng *prng, uint64_t begin_ns) {
    unsigned count = 0;

    for (unsigned m = 0; m < 2 * PAIRS; m++) {
        unsigned copies = prng_below(prng, 16) == 0 ? 0 : prng_below(prng, 8) == 0 ? 2 : 1;
        for (; copies > 0; copies--)
            arrivals[count++] =
                (struct arrival){begin_ns + m * MS + prng_below(prng, 4 * MS), m / 2, m % 2 == 0};
    }
    qsort(arrivals, count, sizeof *arrivals, by_time);
    return count;
}

static void test_bad_network(void) {
    struct sender s = usual_sender();
    struct world w = world_of(&s);
    struct prng prng = {44};
    struct arrival *arrivals = calloc(COPIES_MAX, sizeof *arrivals);
    uint64_t begin_ns = w.now_ns, start_ns = w.engine.table.clocks[0].reading.start_time_ns;
    unsigned count = shuffle(arrivals, &prng, begin_ns), publications = 0, after_the_first = 0;
    uint8_t *samples = calloc(PAIRS, 1);

    for (unsigned i = 0; i < count; i++) {
        const struct arrival *a = &arrivals[i];
        uint64_t origin_ns = begin_ns - LATENCY_NS + s.offset_ns + a->pair * (2 * MS);
        pass(&w, a->at_ns - w.now_ns);
        enum nqptp_drop fate = a->is_sync
                                   ? send_sync(&w, &s, (uint16_t)(a->pair + 65000))
                                   : send_follow_up(&w, &s, (uint16_t)(a->pair + 65000), origin_ns);
        publications += w.effects.publish != 0;
        if (w.effects.publish && w.record.local_time_ns == receive_time(&w))
            after_the_first += samples[a->pair]++ > 0;
        after_the_first += fate != NQPTP_DROP_NONE && w.effects.publish;
    }
    CHECK(publications > PAIRS / 2, "%u messages of %d pairs, by a bad network: %u samples", count,
          PAIRS, publications);
    CHECK(publications <= PAIRS, "by a bad network each pair gives at most one publication");
    CHECK_EQ_U64(after_the_first, 0, "by a bad network a repeated message gives no sample");
    CHECK_EQ_U64(w.engine.table.clocks[0].reading.start_time_ns, start_ns,
                 "by a bad network there is one series");
    free(samples);
    free(arrivals);
}

/* --- late and corrected Follow_Ups ------------------------------------------------------------ */

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
                 "a Follow_Up that differs from the Sync only in its correction wins");
    s.sequence_id = 2;
    pass(&w, 124 * MS);
    (void)send_pair(&w, &s);
    CHECK_EQ_U64(w.record.start_time_ns, start_ns,
                 "a Follow_Up that corrects the Sync's time continues the series");
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
    CHECK_EQ_U64(w.record.start_time_ns, start_ns, "a late Follow_Up begins no series");
    origin_ns = time_of(&w, &s);
    (void)send_sync(&w, &s, s.sequence_id++);
    pass(&w, 1100 * MS);
    (void)send_follow_up(&w, &s, s.sequence_id, time_of(&w, &s));
    CHECK_EQ_U64(send_follow_up(&w, &s, (uint16_t)(s.sequence_id - 1), origin_ns), NQPTP_DROP_LATE,
                 "a Follow_Up is late if a later one waits for its Sync");
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

int main(void) {
    static void (*const tests[])(void) = {
        test_sync_then_follow_up,
        test_follow_up_then_sync,
        test_corrections,
        test_corrections_in_reverse,
        test_lone_follow_up_is_used_in_time,
        test_next_sync_ends_the_wait,
        test_next_follow_up_ends_the_wait,
        test_only_its_own_clock_ends_the_wait,
        test_clock_without_syncs,
        test_repeated_messages,
        test_repeated_lone_follow_up,
        test_repetitions_are_no_stopped_clock,
        test_late_messages,
        test_what_waited,
        test_sender_starts_afresh,
        test_sequence_begins_again,
        test_delayed_duplicates_are_no_restart,
        test_how_far_back_is_late,
        test_one_step_sequence_begins_again,
        test_sequence_after_a_pause,
        test_reordered_messages,
        test_many_under_way,
        test_pairs_by_port,
        test_repetition_of_one_of_two_ports,
        test_restart_of_one_of_two_ports,
        test_pairs_by_address,
        test_pairs_by_sequence_id,
        test_one_step,
        test_one_step_correction,
        test_sync_that_is_not_one_step,
        test_follow_up_wins,
        test_clock_becomes_one_step,
        test_follow_up_before_one_step,
        test_bad_network,
        test_follow_up_with_the_syncs_time,
        test_overtaken_follow_up,
        test_fast_clock,
    };
    TAP_RUN(tests);
    return tap_done();
}
