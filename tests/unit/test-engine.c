/* SPDX-License-Identifier: MIT */
/*
 * Proves the rules of the engine for clocks and their records: what is published when, which clock
 * a Delay_Req goes to, which messages are ignored, when records come and go, which events are told,
 * and that floods and junk do no harm. Pairs of Sync and Follow_Up are in test-pairing, commands in
 * test-commands.
 */
#include "nqptp-message-handlers.h"

#include "../lib/random.h"
#include "../lib/tap.h"
#include "../lib/ptp-messages.h"
#include "../lib/engine-fixture.h"

/* --- the master and what is published of it -------------------------------------------------- */

static void test_nothing_at_first(void) {
    struct world w = world_begin();

    CHECK_EQ_U64(nqptp_engine_deadline(&w.engine), NQPTP_NO_DEADLINE,
                 "a new engine has no deadline");
    expire(&w, w.now_ns);
    CHECK(idle(&w), "a new engine that is asked to expire does nothing");
    CHECK_EQ_U64(master_of(&w), 0, "a new engine has no master");
}

static void test_first_master(void) {
    struct world w = world_begin();
    struct sender s = sender(1, "192.0.2.1", 100);

    CHECK_EQ_U64(send_announce(&w, &s), NQPTP_DROP_NONE, "the first Announce of a clock is used");
    CHECK(told(&w, NQPTP_EVENT_CREATED, 1) && w.effects.event_count == 1,
          "the first Announce of a clock: its new record is the only event");
    CHECK(!w.effects.publish,
          "a clock that only announced itself is not published, for it has no offset");
    CHECK_EQ_U64(send_sync(&w, &s, 1), NQPTP_DROP_NONE, "a Sync of an announced clock is used");
    CHECK(idle(&w), "a Sync without its Follow_Up has no effect");
    uint64_t local_ns = receive_time(&w), origin_ns = time_of(&w, &s);
    w.now_ns += MS;
    CHECK_EQ_U64(send_follow_up(&w, &s, 1, origin_ns), NQPTP_DROP_NONE,
                 "the Follow_Up of a Sync is used");
    CHECK(published(&w, &s, local_ns), "the first sample of an announced clock is published");
    CHECK(told(&w, NQPTP_EVENT_MASTER, 1),
          "the first sample of an announced clock makes it master");
    CHECK_EQ_U64(w.record.grandmaster_identity, 1,
                 "the record of the first master has its grandmaster");
    CHECK_EQ_U64(w.record.start_time_ns, local_ns,
                 "the record of the first master starts at its first sample");
    CHECK(!w.effects.reply_count, "a clock gets no Delay_Req while there is no list");
}

static void test_each_sample_is_published(void) {
    struct sender s = sender(1, "2001:db8::1", 100);
    struct world w = world_of(&s);
    uint64_t start_ns = w.engine.table.clocks[0].reading.start_time_ns;
    unsigned wrong = 0;

    for (int n = 0; n < 100; n++) {
        uint64_t local_ns = receive_time(&w);
        (void)send_pair(&w, &s);
        wrong += !published(&w, &s, local_ns) || w.effects.event_count > 0 ||
                 w.record.start_time_ns != start_ns;
        pass(&w, 124 * MS);
    }
    CHECK_EQ_U64(wrong, 0, "each sample of the master is published, in one series");
}

static void test_only_the_master_is_published(void) {
    struct sender master = sender(1, "192.0.2.1", 100), other = sender(2, "192.0.2.2", 200);
    struct world w = world_of(&master);
    unsigned publications = 0;

    (void)send_announce(&w, &other);
    for (int n = 0; n < 20; n++) {
        (void)send_pair(&w, &other);
        publications += w.effects.publish != 0;
        play(&w, &master, 125 * MS);
    }
    CHECK_EQ_U64(publications, 0, "a clock that is not the master is not published");
    CHECK_EQ_U64(master_of(&w), 1, "a worse clock does not become master");
}

static void test_better_clock_takes_over_at_once(void) {
    struct sender old = sender(1, "192.0.2.1", 100), better = sender(2, "192.0.2.2", 50);
    struct world w = world_of(&old);

    (void)send_announce(&w, &better);
    uint64_t local_ns = receive_time(&w);
    (void)send_pair(&w, &better);
    CHECK(!w.effects.publish, "a better clock that announced itself once waits");
    play(&w, &old, S);
    (void)send_announce(&w, &better);
    CHECK(published(&w, &better, local_ns),
          "a better clock is published with its own values at its second Announce");
    CHECK(told(&w, NQPTP_EVENT_MASTER, 2), "a better clock: the change of master is told");
}

static void test_silent_master(void) {
    struct sender old = sender(1, "192.0.2.1", 100), worse = sender(2, "192.0.2.2", 200);
    struct world w = world_of(&old);

    play(&w, &old, S);
    for (int n = 0; n < 10; n++)
        play(&w, &worse, 250 * MS);
    CHECK_EQ_U64(master_of(&w), 1, "a master that is silent for 2.5 s is still the master");
    for (int n = 0; n < 4; n++)
        play(&w, &worse, 250 * MS);
    CHECK_EQ_U64(master_of(&w), 2, "when the master is silent for 3 s a worse clock is master");
    CHECK(knows(&w, &old), "the record of a master that was lost is kept");
}

/* A clock that states 2 s between its Syncs may be silent for longer. */
static void test_slow_master(void) {
    struct sender slow = sender(1, "192.0.2.1", 100), worse = sender(2, "192.0.2.2", 200);
    struct world w = world_begin();
    uint8_t sync[sizeof apple_sync];

    memcpy(sync, apple_sync, sizeof sync);
    put_log_interval(sync, 1);
    put_source(sync, slow.clock_identity, slow.port_number);
    put_sequence_id(sync, 1);
    (void)send_announce(&w, &slow);
    (void)deliver(&w, &slow, sync, sizeof sync);
    (void)send_follow_up(&w, &slow, 1, time_of(&w, &slow));
    CHECK_EQ_U64(master_of(&w), 1, "a clock with one Sync in 2 s becomes master");
    for (int n = 0; n < 9; n++)
        play(&w, &worse, S);
    CHECK_EQ_U64(master_of(&w), 1,
                 "a master with one Sync in 2 s is still master after 9 s of silence");
    play(&w, &worse, 2 * S);
    CHECK_EQ_U64(master_of(&w), 2,
                 "a master with one Sync in 2 s is replaced after 11 s of silence");
}

static void test_series_begins_when_clock_went_on(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&s);
    uint64_t stopped_at_ns = time_of(&w, &s);
    unsigned publications = 0;

    for (int n = 0; n < 80; n++) {
        s.offset_ns = stopped_at_ns - receive_time(&w);
        (void)send_pair(&w, &s);
        publications += w.effects.publish != 0;
        pass(&w, 124 * MS);
    }
    CHECK_EQ_U64(publications, 1, "a clock that stopped is not published again");
    CHECK_EQ_U64(master_of(&w), 1, "a clock that stopped stays master while there is no other");
    uint64_t local_ns = receive_time(&w);
    (void)send_pair(&w, &s);
    (void)send_pair(&w, &s);
    CHECK_EQ_U64(w.record.start_time_ns, local_ns,
                 "a clock that goes on after a stop begins a new series");
    CHECK_EQ_U64(w.record.offset_ns, s.offset_ns,
                 "a clock that goes on after a stop is published with its new offset");
}

static void test_master_time_wraps(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_begin();
    unsigned wrong = 0;
    bool wrapped = false;
    uint64_t start_ns = receive_time(&w);

    s.offset_ns = UINT64_MAX - w.now_ns - 2 * S;
    (void)send_announce(&w, &s);
    for (int n = 0; n < 40; n++) {
        uint64_t local_ns = receive_time(&w);
        wrapped = wrapped || time_of(&w, &s) < S;
        (void)send_pair(&w, &s);
        wrong += !published(&w, &s, local_ns);
        pass(&w, 124 * MS);
    }
    CHECK(wrapped, "the master's time passes 2^64 ns");
    CHECK_EQ_U64(wrong, 0,
                 "when the master's time passes 2^64 ns each offset is right, modulo 2^64");
    CHECK_EQ_U64(w.record.start_time_ns, start_ns,
                 "when the master's time passes 2^64 ns the series goes on");
}

/* --- grandmasters ---------------------------------------------------------------------------- */

static void test_announce_after_samples(void) {
    struct world w = world_begin();
    struct sender s = sender(1, "192.0.2.1", 100);

    s.grandmaster_identity = 99;
    uint64_t local_ns = receive_time(&w);
    (void)send_pair(&w, &s);
    CHECK(!w.effects.publish, "a clock that has not announced itself is not published");
    (void)send_announce(&w, &s);
    CHECK(published(&w, &s, local_ns),
          "the first Announce of a clock with a sample makes it master");
    CHECK_EQ_U64(w.record.grandmaster_identity, 99,
                 "the first Announce of a clock with a sample: the record names the grandmaster");
}

static void test_new_grandmaster_behind_the_master(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&s);

    play(&w, &s, 5 * S);
    s.grandmaster_identity = 99;
    (void)send_announce(&w, &s);
    CHECK(!w.effects.publish, "a new grandmaster behind the master: nothing to publish yet");
    s.offset_ns += 3 * MS; /* too little to be taken for a step */
    uint64_t local_ns = receive_time(&w);
    (void)send_pair(&w, &s);
    CHECK(published(&w, &s, local_ns),
          "a new grandmaster behind the master: its first sample is published as the offset");
    CHECK_EQ_U64(w.record.grandmaster_identity, 99,
                 "a new grandmaster behind the master: the record names it");
    CHECK_EQ_U64(w.record.start_time_ns, local_ns,
                 "a new grandmaster behind the master begins a new series");
}

/* A clock that takes over by its new grandmaster never has the offset of the old grandmaster. */
static void test_new_grandmaster_makes_a_master(void) {
    struct sender old = sender(1, "192.0.2.1", 100), other = sender(2, "192.0.2.2", 200);
    struct world w = world_of(&old);
    unsigned mixed = 0;

    for (int n = 0; n < 8; n++) {
        play(&w, &old, 250 * MS);
        play(&w, &other, 250 * MS);
    }
    other.grandmaster_identity = 99;
    other.priority1 = 1;
    other.offset_ns += 777 * S;
    (void)send_announce(&w, &other);
    mixed += w.effects.publish && !offset_near(w.record.offset_ns, other.offset_ns);
    for (int n = 0; n < 4; n++) {
        (void)send_pair(&w, &other);
        mixed += w.effects.publish && !offset_near(w.record.offset_ns, other.offset_ns);
        pass(&w, 124 * MS);
    }
    CHECK_EQ_U64(master_of(&w), 2, "a clock behind a better grandmaster becomes master");
    CHECK_EQ_U64(
        w.record.grandmaster_identity, 99,
        "a clock that became master by its new grandmaster: the record names that grandmaster");
    CHECK_EQ_U64(
        mixed, 0,
        "a clock with a new grandmaster is never published with the offset of the one before");
}

/* --- Delay_Req ------------------------------------------------------------------------------- */

static void test_delay_req_to_listed_clock(void) {
    struct world w = world_begin();
    struct sender s = sender(1, "fe80::1", 100);

    s.address.scope_id = INTERFACE;
    command(&w, "T fe80::1");
    CHECK_EQ_U64(send_sync(&w, &s, 0x1A2B), NQPTP_DROP_NONE, "a Sync of a listed clock is used");
    CHECK(w.effects.reply_count, "a Sync of a listed clock is answered");
    const struct nqptp_reply *reply = &w.effects.replies[0];
    struct nqptp_address local = at("192.0.2.200");
    CHECK(memcmp(reply->data, our_delay_req, sizeof our_delay_req) == 0,
          "the Delay_Req to a listed clock has the expected bytes");
    CHECK(same_address(&reply->destination, &s.address),
          "the Delay_Req goes to the source address of the Sync");
    CHECK_EQ_U64(reply->destination.scope_id, INTERFACE,
                 "the Delay_Req goes to the scope of the source address");
    CHECK(same_address(&reply->local, &local),
          "the Delay_Req leaves from the address that the Sync was sent to");
    CHECK_EQ_U64(reply->interface, INTERFACE,
                 "the Delay_Req leaves by the interface that the Sync came in by");
}

static void test_one_delay_req_for_each_sync(void) {
    struct world w = world_begin();
    struct sender s = sender(1, "192.0.2.1", 100);

    command(&w, "T 192.0.2.9 192.0.2.1");
    (void)send_announce(&w, &s);
    (void)send_announce(&w, &s);
    CHECK(!w.effects.reply_count, "the second Announce of a listed clock gets no Delay_Req");
    (void)send_sync(&w, &s, 1);
    CHECK(w.effects.reply_count, "a Sync of a listed clock gets a Delay_Req");
    (void)send_sync(&w, &s, 1);
    CHECK(!w.effects.reply_count, "the same Sync a second time gets no Delay_Req");
    (void)send_follow_up(&w, &s, 1, time_of(&w, &s));
    CHECK(!w.effects.reply_count, "a Follow_Up gets no Delay_Req");
    (void)send_sync(&w, &s, 2);
    CHECK(w.effects.reply_count, "the next Sync gets a Delay_Req");
    CHECK(w.effects.replies[0].data[30] == 0 && w.effects.replies[0].data[31] == 2,
          "the Delay_Req for the next Sync has the sequenceId of that Sync");
}

static void test_no_delay_req_to_unlisted_clock(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&s);

    (void)send_sync(&w, &s, 100);
    CHECK(!w.effects.reply_count, "without a list the master gets no Delay_Req");
    command(&w, "T 192.0.2.2");
    (void)send_sync(&w, &s, 101);
    CHECK(!w.effects.reply_count, "a clock that is not in the list gets no Delay_Req");
    command(&w, "T 192.0.2.1");
    (void)send_sync(&w, &s, 102);
    CHECK(w.effects.reply_count, "a clock that was just listed gets a Delay_Req");
    command(&w, "T");
    (void)send_sync(&w, &s, 103);
    CHECK(!w.effects.reply_count, "a clock that is no longer listed gets no Delay_Req");
}

static void test_delay_req_to_stand_in(void) {
    struct world w = world_begin();
    struct sender listed = sender(1, "192.0.2.1", 100), elsewhere = sender(1, "192.0.2.2", 100);

    command(&w, "T 192.0.2.1");
    play(&w, &listed, S);
    (void)send_sync(&w, &elsewhere, elsewhere.sequence_id++);
    CHECK(!w.effects.reply_count,
          "a copy of the listed clock that is no stand-in gets no Delay_Req");
    play(&w, &elsewhere, 5 * S);
    CHECK(is_at(&w.record, &elsewhere.address),
          "the listed clock is silent: its copy at another address stands in for it");
    (void)send_sync(&w, &elsewhere, elsewhere.sequence_id++);
    CHECK(w.effects.reply_count == 1 &&
              same_address(&w.effects.replies[0].destination, &elsewhere.address),
          "a stand-in gets a Delay_Req for its Sync");
    play(&w, &listed, S);
    (void)send_sync(&w, &elsewhere, elsewhere.sequence_id);
    CHECK(!w.effects.reply_count,
          "a former stand-in gets no Delay_Req when the listed clock is back");
}

/* --- what is not for us ---------------------------------------------------------------------- */

static void test_our_own_packets(void) {
    struct world w = world_begin();
    const struct nqptp_address own[] = {at("192.0.2.200"), at("2001:db8::200")};
    struct sender us = sender(OUR_IDENTITY, "2001:db8::200", 100);

    nqptp_engine_set_own_addresses(&w.engine, own, 2);
    us.port_number = NQPTP_PORT_NUMBER;
    CHECK_EQ_U64(send_sync(&w, &us, 1), NQPTP_DROP_OWN,
                 "a Sync of our own identity, port and address is dropped");
    CHECK_EQ_U64(send_announce(&w, &us), NQPTP_DROP_OWN,
                 "an Announce of our own identity, port and address is dropped");
    us.address = at("192.0.2.200");
    CHECK_EQ_U64(send_sync(&w, &us, 1), NQPTP_DROP_OWN,
                 "a Sync of our own from our other address is dropped");
    CHECK_EQ_U64(record_count(&w), 0, "our own messages make no record");
    us.port_number = 1;
    CHECK_EQ_U64(send_sync(&w, &us, 1), NQPTP_DROP_NONE,
                 "a Sync of our identity with another port number is used");
    us.port_number = NQPTP_PORT_NUMBER;
    us.clock_identity++;
    CHECK_EQ_U64(send_sync(&w, &us, 1), NQPTP_DROP_NONE,
                 "a Sync of another clock on this host is used");
    us.clock_identity--;
    us.address = at("192.0.2.1");
    CHECK_EQ_U64(send_sync(&w, &us, 1), NQPTP_DROP_NONE,
                 "a Sync with our identity from elsewhere is used");
    nqptp_engine_set_own_addresses(&w.engine, own, 1);
    us.address = at("2001:db8::200");
    CHECK_EQ_U64(send_sync(&w, &us, 1), NQPTP_DROP_NONE,
                 "a Sync from an address that we had once is used");
}

static void test_many_own_addresses(void) {
    struct world w = world_begin();
    struct nqptp_address own[NQPTP_OWN_ADDRESSES_MAX + 1] = {0};
    struct sender us = sender(OUR_IDENTITY, "192.0.2.1", 100);

    for (unsigned i = 0; i <= NQPTP_OWN_ADDRESSES_MAX; i++) {
        own[i] = at("10.0.0.0");
        own[i].ip.s6_addr[15] = (uint8_t)i;
    }
    us.port_number = NQPTP_PORT_NUMBER;
    us.address = own[NQPTP_OWN_ADDRESSES_MAX - 1];
    nqptp_engine_set_own_addresses(&w.engine, own, NQPTP_OWN_ADDRESSES_MAX + 1);
    CHECK_EQ_U64(send_sync(&w, &us, 1), NQPTP_DROP_OWN,
                 "the last of our addresses that fits is known: a Sync from it is dropped");
    CHECK_EQ_U64(w.engine.self.address_count, NQPTP_OWN_ADDRESSES_MAX,
                 "addresses above the maximum are ignored");
}

static enum nqptp_drop send_delay_resp(struct world *w, const struct sender *from,
                                       uint64_t clock_identity, uint16_t port_number) {
    uint8_t message[sizeof apple_delay_resp];

    memcpy(message, apple_delay_resp, sizeof message);
    put_source(message, from->clock_identity, from->port_number);
    put_requesting(message, clock_identity, port_number);
    return deliver(w, from, message, sizeof message);
}

static void test_delay_resp(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&s);

    CHECK_EQ_U64(send_delay_resp(&w, &s, OUR_IDENTITY, NQPTP_PORT_NUMBER), NQPTP_DROP_NONE,
                 "a Delay_Resp that names our port is accepted");
    CHECK(idle(&w), "a Delay_Resp has no effect: its time is not used");
    CHECK(w.engine.table.clocks[0].answers == 1 && w.engine.table.clocks[0].answered_ns == w.now_ns,
          "a Delay_Resp is counted for its clock");
    CHECK_EQ_U64(send_delay_resp(&w, &s, OUR_IDENTITY, 1), NQPTP_DROP_FOREIGN,
                 "a Delay_Resp for another port of our identity is dropped as foreign");
    CHECK_EQ_U64(send_delay_resp(&w, &s, OUR_IDENTITY + 1, NQPTP_PORT_NUMBER), NQPTP_DROP_FOREIGN,
                 "a Delay_Resp for another clock identity is dropped as foreign");
}

static void test_other_messages_change_nothing(void) {
    static const uint8_t types[] = {0x1, 0x2, 0x3, 0xA, 0xC, 0xD};
    struct world w = world_begin();
    struct sender s = sender(APPLE_IDENTITY, "192.0.2.1", 100);

    for (size_t i = 0; i < sizeof types; i++) {
        uint8_t message[sizeof apple_signaling];
        memcpy(message, apple_signaling, sizeof message);
        message[0] = (uint8_t)(0x10 | types[i]);
        CHECK_EQ_U64(deliver(&w, &s, message, sizeof message), NQPTP_DROP_NONE,
                     "a message of type 0x%X is accepted as PTP", types[i]);
        CHECK(idle(&w) && record_count(&w) == 0,
              "a message of a type without a meaning for us changes nothing");
    }
}

static void test_truncated_datagrams(void) {
    struct world w = world_begin();
    struct sender s = sender(APPLE_IDENTITY, "192.0.2.1", 100);

    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        const struct nqptp_packet packet = {
            .data = vectors[i].data,
            .length = vectors[i].datagram_length,
            .truncated = true,
            .source = s.address,
            .receive_time_ns = receive_time(&w),
        };
        CHECK_EQ_U64(receive(&w, &packet), NQPTP_DROP_TRUNCATED, "%s, truncated: dropped",
                     vectors[i].name);
    }
    CHECK_EQ_U64(record_count(&w), 0, "truncated datagrams make no record");
}

static void test_refusals_are_counted(void) {
    struct world w = world_begin();
    struct sender s = sender(1, "192.0.2.1", 100);
    uint8_t message[sizeof apple_sync];

    CHECK_EQ_U64(deliver(&w, &s, apple_sync, 0), NQPTP_DROP_SHORT,
                 "an empty datagram is dropped as too short");
    CHECK_EQ_U64(deliver(&w, &s, apple_sync, 43), NQPTP_DROP_SHORT,
                 "a Sync without its last octet is dropped as too short");
    memcpy(message, apple_sync, sizeof message);
    message[1] = 1;
    CHECK_EQ_U64(deliver(&w, &s, message, sizeof message), NQPTP_DROP_VERSION,
                 "a message of PTP version 1 is dropped");
    message[1] = 2;
    message[4] = 1;
    CHECK_EQ_U64(deliver(&w, &s, message, sizeof message), NQPTP_DROP_DOMAIN,
                 "a message of domain 1 is dropped");
    message[4] = 0;
    message[0] = 0x1F;
    CHECK_EQ_U64(deliver(&w, &s, message, sizeof message), NQPTP_DROP_TYPE,
                 "a message of a reserved type is dropped");
    message[0] = 0x10;
    put_message_length(message, 45);
    CHECK_EQ_U64(deliver(&w, &s, message, sizeof message), NQPTP_DROP_LENGTH,
                 "a message with a wrong length field is dropped");
    CHECK_EQ_U64(w.engine.packets, 6, "each of six refused datagrams is counted");
    CHECK(idle(&w) && record_count(&w) == 0, "refused datagrams have no effect and make no record");
}

/* --- records --------------------------------------------------------------------------------- */

/* The clock with number n has its own address. */
static struct sender nth(unsigned n) {
    struct sender s = sender(0x10000 + n, "10.0.0.0", 200);

    put(&s.address.ip.s6_addr[13], 3, n);
    return s;
}

static struct world world_of_32(void) {
    struct world w = world_begin();

    for (unsigned n = 0; n < NQPTP_CLOCKS_MAX; n++) {
        struct sender s = nth(n);
        (void)send_sync(&w, &s, 1);
        w.now_ns += MS;
    }
    CHECK_EQ_U64(record_count(&w), 32, "there are records of 32 clocks");
    return w;
}

static void test_record_of_the_33rd(void) {
    struct world w = world_of_32();
    struct sender newcomer = nth(32), first = nth(0);

    CHECK_EQ_U64(send_sync(&w, &newcomer, 1), NQPTP_DROP_FULL,
                 "a Sync of a 33rd clock is dropped, for the table is full");
    CHECK(told(&w, NQPTP_EVENT_REFUSED, newcomer.clock_identity),
          "the 33rd clock: its refusal is told");
    CHECK_EQ_U64(send_announce(&w, &newcomer), NQPTP_DROP_FULL,
                 "an Announce of the 33rd clock is dropped as well");
    w.now_ns = 5000 * S + 5 * S;
    CHECK_EQ_U64(send_sync(&w, &newcomer, 2), NQPTP_DROP_NONE,
                 "a Sync of the 33rd clock is used when another clock was silent for 5 s");
    CHECK(told(&w, NQPTP_EVENT_DELETED, first.clock_identity),
          "the 33rd clock: the deletion of the oldest record is told");
    CHECK(told(&w, NQPTP_EVENT_CREATED, newcomer.clock_identity),
          "the 33rd clock: its new record is told");
    CHECK(knows(&w, &newcomer) && !knows(&w, &first),
          "the 33rd clock has the place of the oldest record");
    CHECK_EQ_U64(record_count(&w), 32, "the 33rd clock: there are still 32 records");
}

static void test_listed_33rd(void) {
    struct world w = world_of_32();
    struct sender newcomer = nth(32), first = nth(0);

    newcomer.address = at("192.0.2.1");
    command(&w, "T 192.0.2.1");
    CHECK_EQ_U64(send_announce(&w, &newcomer), NQPTP_DROP_NONE,
                 "an Announce of a listed 33rd clock is used at once");
    CHECK(knows(&w, &newcomer) && !knows(&w, &first),
          "a listed 33rd clock takes the place of the clock that was silent longest");
}

static void test_one_record_for_each_address_and_identity(void) {
    struct world w = world_begin();
    struct sender one = sender(1, "192.0.2.1", 1), moved = sender(1, "192.0.2.2", 1);
    struct sender other = sender(2, "192.0.2.1", 1), mapped = sender(1, "::ffff:192.0.2.1", 1);

    (void)send_sync(&w, &one, 1);
    (void)send_sync(&w, &moved, 1);
    (void)send_sync(&w, &other, 1);
    CHECK_EQ_U64(record_count(&w), 3, "three pairs of identity and address make three records");
    (void)send_announce(&w, &mapped);
    mapped.address = at("192.0.2.1");
    mapped.address.scope_id = 4;
    (void)send_announce(&w, &mapped);
    CHECK_EQ_U64(record_count(&w), 3,
                 "the mapped form of an address, or its scope, makes no further record");
}

static void test_silent_record_is_deleted(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_begin();

    (void)send_sync(&w, &s, 1);
    CHECK_EQ_U64(nqptp_engine_deadline(&w.engine), w.now_ns + 120 * S,
                 "a record is due for deletion 120 s after its first Sync");
    w.now_ns += 50 * S;
    (void)send_announce(&w, &s);
    CHECK_EQ_U64(nqptp_engine_deadline(&w.engine), w.now_ns + 120 * S,
                 "an Announce puts the deletion of its record off to 120 s from then");
    w.now_ns += 50 * S;
    (void)send_sync(&w, &s, 2);
    CHECK_EQ_U64(nqptp_engine_deadline(&w.engine), w.now_ns + 120 * S,
                 "a Sync puts the deletion of its record off to 120 s from then");
    w.now_ns += MS;
    (void)send_follow_up(&w, &s, 2, time_of(&w, &s));
    uint64_t heard_ns = w.now_ns;
    CHECK_EQ_U64(nqptp_engine_deadline(&w.engine), heard_ns + 3 * S + 1,
                 "after a sample the next deadline is the loss of the clock in 3 s");
    nqptp_engine_expire(&w.engine, heard_ns + 3 * S + 1, &w.effects);
    CHECK_EQ_U64(nqptp_engine_deadline(&w.engine), heard_ns + 120 * S,
                 "a Follow_Up puts the deletion of its record off to 120 s from then");
    w.now_ns += 10 * S;
    (void)send_sync(&w, &s, 2);
    (void)send_delay_resp(&w, &s, OUR_IDENTITY, NQPTP_PORT_NUMBER);
    (void)send_delay_resp(&w, &s, OUR_IDENTITY, 1);
    CHECK(nqptp_engine_deadline(&w.engine) >= heard_ns + 120 * S,
          "a repeated Sync or a Delay_Resp does not bring the deletion of a record nearer");
}

static void test_master_is_deleted(void) {
    struct sender s = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&s);
    pass(&w, 4 * S);
    uint64_t end_ns = nqptp_engine_deadline(&w.engine);

    expire(&w, end_ns - 1);
    CHECK(idle(&w) && knows(&w, &s),
          "a nanosecond before its deadline the silent master's record stays");
    expire(&w, end_ns);
    CHECK(!knows(&w, &s), "after 120 s of silence the master's record is deleted");
    CHECK(told(&w, NQPTP_EVENT_DELETED, 1) && told(&w, NQPTP_EVENT_NO_MASTER, 0),
          "the deletion of the master's record: the deletion and the missing master are told");
    CHECK(published_no_master(&w), "the deletion of the master's record: no master is published");
    expire(&w, end_ns);
    CHECK(idle(&w), "the deletion of the master's record is told only once");
    CHECK_EQ_U64(nqptp_engine_deadline(&w.engine), NQPTP_NO_DEADLINE,
                 "after the deletion of the only record there is no deadline");
    (void)send_sync(&w, &s, 500);
    CHECK(!w.effects.publish, "after the deletion of the master a Sync alone publishes nothing");
}

static void test_deleted_master_has_a_successor(void) {
    struct sender old = sender(1, "192.0.2.1", 1), next = sender(2, "192.0.2.2", 200);
    struct world w = world_of(&old);

    pause_player(&w);
    command(&w, "T 192.0.2.1");
    play(&w, &next, 119 * S);
    CHECK_EQ_U64(master_of(&w), 1, "a silent listed master stays for 119 s");
    play(&w, &next, 2 * S);
    CHECK_EQ_U64(
        master_of(&w), 0,
        "a listed master that is silent for 121 s is lost, and no unlisted clock succeeds it");
    command(&w, "T 192.0.2.2");
    CHECK_EQ_U64(w.record.clock_identity, 2,
                 "a clock that is listed after the loss of the master becomes master at once");
}

static void test_deletions_one_at_a_time(void) {
    struct world w = world_of_32();
    unsigned deletions = 0;

    w.now_ns += 1000 * S;
    while (nqptp_engine_deadline(&w.engine) <= w.now_ns && deletions < 100) {
        expire(&w, w.now_ns);
        deletions += w.effects.event_count == 1 &&
                     told(&w, NQPTP_EVENT_DELETED, nth(deletions).clock_identity);
    }
    CHECK_EQ_U64(deletions, 32, "32 records are deleted, oldest first, each told of");
    CHECK_EQ_U64(record_count(&w), 0, "after 32 deletions no record is left");
}

/* --- floods and junk ------------------------------------------------------------------------- */

/* While the master sends, 10000 unknown clocks send a pair each; 1 ms between them. */
static void flood(struct world *w, struct sender *master, uint8_t priority1, unsigned *lost,
                  unsigned *unpublished) {
    for (unsigned n = 0; n < 10000; n++) {
        struct sender stranger = nth(n);
        stranger.priority1 = priority1;
        (void)send_announce(w, &stranger);
        (void)send_sync(w, &stranger, 1);
        (void)send_follow_up(w, &stranger, 1, time_of(w, &stranger));
        if (n % 125 == 0) {
            uint64_t local_ns = receive_time(w);
            (void)send_pair(w, master);
            *unpublished += !published(w, master, local_ns);
        }
        *lost += master_of(w) != master->clock_identity;
        pass(w, MS);
    }
}

static void test_flood_with_list(void) {
    struct sender master = sender(1, "192.0.2.1", 255);
    struct world w = world_of(&master);
    unsigned lost = 0, unpublished = 0;

    command(&w, "T 192.0.2.1");
    flood(&w, &master, 0, &lost, &unpublished);
    CHECK_EQ_U64(lost, 0, "10000 better clocks never displace the listed master");
    CHECK_EQ_U64(unpublished, 0,
                 "10000 better clocks that are not listed: each sample of the master is published");
    CHECK_EQ_U64(record_count(&w), 32,
                 "10000 better clocks that are not listed fill the table of 32");
    CHECK(w.engine.drops[NQPTP_DROP_FULL] > 9000,
          "most of 10000 clocks are dropped, for the table is full");
    CHECK(sane(&w), "after a flood of 10000 clocks the engine keeps its invariants");
}

static void test_flood_without_list(void) {
    struct sender master = sender(1, "192.0.2.1", 100);
    struct world w = world_of(&master);
    unsigned lost = 0, unpublished = 0;

    flood(&w, &master, 101, &lost, &unpublished);
    CHECK_EQ_U64(lost, 0, "without a list 10000 worse clocks do not displace the master");
    CHECK_EQ_U64(unpublished, 0,
                 "without a list 10000 worse clocks: each sample of the master is published");
}

static void test_flood_before_the_listed_clock(void) {
    struct world w = world_of_32();
    struct sender late = sender(1, "192.0.2.1", 255);
    struct sender worst = sender(2, "192.0.2.3", 255);
    unsigned lost = 0, unpublished = 0;

    command(&w, "T 192.0.2.1");
    flood(&w, &worst, 0, &lost, &unpublished);
    CHECK_EQ_U64(master_of(&w), 0, "none of 10000 unlisted clocks becomes master");
    (void)send_announce(&w, &late);
    (void)send_pair(&w, &late);
    CHECK_EQ_U64(master_of(&w), 1,
                 "a listed clock in a full table becomes master with its first sample");
}

static void test_flood_of_silent_master(void) {
    struct sender master = sender(1, "192.0.2.1", 255);
    struct world w = world_of(&master);

    command(&w, "T 192.0.2.1");
    for (unsigned n = 0; n < 10000; n++) {
        struct sender stranger = nth(n);
        (void)send_announce(&w, &stranger);
        pass(&w, 11 * MS);
    }
    CHECK(w.now_ns < 5000 * S + 120 * S,
          "the flood of announcing strangers ends before 120 s of silence");
    CHECK(knows(&w, &master),
          "a flood of announcing strangers leaves the silent master its record");
    CHECK_EQ_U64(master_of(&w), 1,
                 "a flood of announcing strangers leaves the silent master in its role");
}

/* One of 40 clocks. Its sequenceIds go up with time, not exactly. */
static struct sender random_sender(const struct world *w, struct prng *prng) {
    struct sender s = nth((unsigned)prng_below(prng, 40));

    s.sequence_id = (uint16_t)(w->now_ns / (125 * MS) + prng_below(prng, 4));
    return s;
}

/* Sends a vector with up to three octets changed, sometimes cut. Most are still messages. */
static void send_mutation(struct world *w, struct prng *prng) {
    uint8_t bytes[VECTOR_LONGEST];
    const struct vector *v = &vectors[prng_below(prng, VECTOR_COUNT)];
    struct sender from = random_sender(w, prng);
    size_t length = v->datagram_length;

    memcpy(bytes, v->data, length);
    put_source(bytes, from.clock_identity, from.port_number);
    put_sequence_id(bytes, from.sequence_id);
    if (prng_below(prng, 4))
        put_timestamp(bytes, time_of(w, &from));
    for (uint64_t n = prng_below(prng, 4); n > 0; n--)
        bytes[prng_below(prng, length)] = (uint8_t)prng_next(prng);
    if (prng_below(prng, 8) == 0)
        length = (size_t)prng_below(prng, length + 1);
    (void)deliver(w, &from, bytes, length);
}

static void send_junk(struct world *w, struct prng *prng) {
    uint8_t bytes[128];
    struct sender from = random_sender(w, prng);
    size_t length = (size_t)prng_below(prng, sizeof bytes + 1);

    prng_fill(prng, bytes, length);
    (void)deliver(w, &from, bytes, length);
}

static void test_junk(void) {
    struct world w = world_begin();
    struct prng prng = {3190320};
    unsigned insane = 0, publications = 0;

    for (unsigned n = 0; n < 200000; n++) {
        if (n == 100000)
            command(&w, "T 10.0.0.1 10.0.0.2 10.0.0.3");
        if (n % 4 == 0)
            send_junk(&w, &prng);
        else
            send_mutation(&w, &prng);
        publications += w.effects.publish != 0;
        insane += !sane(&w);
        w.effects.publish = 0;
        pass(&w, prng_magnitude(&prng) >> 31); /* up to 8 s */
        publications += w.effects.publish != 0;
    }
    CHECK_EQ_U64(insane, 0, "200000 datagrams of junk: the engine keeps its invariants");
    CHECK_EQ_U64(w.engine.packets, 200000, "200000 datagrams of junk: each is counted");
    CHECK(w.engine.drops[NQPTP_DROP_NONE] > 50000,
          "200000 datagrams of junk: more than 50000 are used, here %" PRIu64,
          w.engine.drops[NQPTP_DROP_NONE]);
    CHECK(publications > 500, "200000 datagrams of junk: more than 500 publications, here %u",
          publications);
}

/* `count` clocks that announce themselves, give a sample each, and stay alive for 3 s. */
static void gather(struct world *w, uint8_t count) {
    for (uint8_t i = 0; i < count; i++) {
        struct sender s = sender(0x100u + i, "10.0.1.1", (uint8_t)(100 + i));
        (void)send_announce(w, &s);
        (void)send_pair(w, &s);
    }
}

static uint64_t rest(const struct world *w) {
    uint64_t until_ns = nqptp_engine_rest_until_ns(&w->engine, w->now_ns);
    return until_ns > 0 ? until_ns - w->now_ns : 0;
}

static void test_rest(void) {
    struct sender master = sender(0xAA, "10.0.0.1", 1);
    struct world w = world_of(&master);

    CHECK_EQ_U64(rest(&w), 0, "with one clock packets do not rest");
    gather(&w, 3);
    (void)send_pair(&w, &master);
    CHECK_EQ_U64(rest(&w), 0, "with four clocks packets do not rest");
    gather(&w, 4);
    (void)send_pair(&w, &master);
    CHECK(rest(&w) > 115 * MS && rest(&w) < 125 * MS,
          "with five clocks packets rest until shortly before the master's next sample");
    w.now_ns += 100 * MS;
    CHECK(rest(&w) > 0 && rest(&w) < 25 * MS,
          "100 ms after the master's sample packets rest less than 25 ms more");
    w.now_ns += 23 * MS;
    CHECK_EQ_U64(rest(&w), 0, "when the master's next sample is due packets do not rest");
    (void)send_pair(&w, &master);
    CHECK(rest(&w) > 115 * MS && rest(&w) < 125 * MS,
          "after the master's next sample packets rest until shortly before the one after");
    command(&w, "/other T 10.0.9.9");
    CHECK_EQ_U64(rest(&w), 0, "while a client waits for its first sample, packets do not rest");
    command(&w, "/other T");
    CHECK(rest(&w) > 0, "a client that may follow no clock waits for no sample");
    command(&w, "/other T 10.0.0.1");
    CHECK(rest(&w) > 0, "packets rest when each client with a list has its first sample");
    command(&w, "/other T");
    command(&w, "T");
    CHECK_EQ_U64(rest(&w), 125 * MS, "while no client waits for a sample, packets rest for 125 ms");
    pass(&w, 11 * S);
    CHECK_EQ_U64(rest(&w), 0, "packets do not rest while all clocks are silent");
}

/* Clients take the identity 0 for "no master". */
static void test_no_grandmaster(void) {
    struct world w = world_begin();
    struct sender s = sender(1, "192.0.2.1", 100);

    s.grandmaster_identity = 0;
    play(&w, &s, 2 * S);
    CHECK(!has_master(&w.record), "a clock with grandmasterIdentity 0 does not become master");
    s.grandmaster_identity = 1;
    play(&w, &s, 2 * S);
    s.grandmaster_identity = 0;
    play(&w, &s, 2 * S);
    CHECK_EQ_U64(w.record.grandmaster_identity, 1,
                 "a master that announces grandmasterIdentity 0 keeps the identity before");
}

static void test_repeated_announce(void) {
    struct sender m = sender(1, "192.0.2.1", 200), o = sender(2, "192.0.2.2", 100);
    struct world w = world_of(&m);

    play(&w, &m, S);
    (void)send_pair(&w, &o);
    (void)send_announce(&w, &o);
    w.now_ns += 30 * US;
    CHECK_EQ_U64(send_announce(&w, &o), NQPTP_DROP_DUPLICATE,
                 "an Announce that comes twice is counted as a duplicate");
    CHECK_EQ_U64(master_of(&w), 1, "an Announce that comes twice does not displace the master");
}

/* When a master falls silent, all others may qualify at once. */
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
    CHECK_EQ_U64(qualified, 24, "24 clocks that qualify at once are all told");
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
          "after a lone Follow_Up packets rest no longer than until the next Sync");
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
    CHECK_EQ_U64(woken, 1, "a one-step clock that gives its time is not woken up again");
}

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
              "a clock that repeats its time with other corrections is asleep");
        CHECK(!nqptp_clock_is_alive(&w.engine.table.clocks[0], w.now_ns),
              "a clock that is asleep is not alive");
    }
    CHECK_EQ_U64(stopped, 1, "a clock that stops is told once");
    CHECK_EQ_U64(woken, 1, "a clock that stops is woken up once");
    int64_t moved_ns = (int64_t)(w.record.offset_ns - s.offset_ns);
    CHECK(moved_ns < 5 * (int64_t)MS && moved_ns > -5 * (int64_t)MS,
          "a clock that stops: its last values stay");
}

/*
 * Sends pairs whose times are `interval_ns` apart, and which come 5 us apart. In batches each
 * second Follow_Up overtakes the one before.
 */
static void send_backlog(struct world *w, struct sender *s, uint64_t stood_ns, uint64_t interval_ns,
                         unsigned batch) {
    uint64_t begin_ns = time_of(w, s), count = stood_ns / interval_ns;

    for (uint64_t first = 0; first < count; first += batch) {
        uint64_t end = first + batch < count ? first + batch : count;
        for (uint64_t n = first; n < end; n++, w->now_ns += 5 * US)
            (void)send_sync(w, s, (uint16_t)(s->sequence_id + n));
        for (uint64_t n = first; n < end; n++, w->now_ns += 5 * US) {
            uint64_t which = (n ^ 1) < end && batch > 1 ? n ^ 1 : n;
            (void)send_follow_up(w, s, (uint16_t)(s->sequence_id + which),
                                 begin_ns + (which + 1) * interval_ns);
        }
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
    CHECK_EQ_U64(w.record.start_time_ns, start_ns, "%s: the backlog begins no series", name);
    unsigned series = play_at(&w, &s, interval_ns, S / 2 + 2 * interval_ns);
    CHECK(offset_near(w.record.offset_ns, s.offset_ns),
          "%s: the offset is right within half a second", name);
    series += play_at(&w, &s, interval_ns, 20 * S);
    CHECK(offset_near(w.record.offset_ns, s.offset_ns), "%s: the offset stays right", name);
    CHECK_EQ_U64(series, 1, "%s: there is one new series", name);
    CHECK(w.record.start_time_ns >= woke_ns - LATENCY_NS, "%s: the new series began after waking",
          name);
}

static void test_host_that_stood_still(void) {
    static const unsigned rates[] = {1, 8, 128}, batches[] = {1, 128};

    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++)
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
            check_stood_still(1 * S, rates[r], batches[b]);
            check_stood_still(2 * S, rates[r], batches[b]);
            check_stood_still(10 * S, rates[r], batches[b]);
            check_stood_still(60 * S, rates[r], batches[b]);
            check_stood_still(600 * S, rates[r], batches[b]);
        }
}

/* Called by their addresses, so that no compiler puts all their worlds into one stack frame. */
int main(void) {
    static void (*const tests[])(void) = {
        test_nothing_at_first,
        test_rest,
        test_first_master,
        test_each_sample_is_published,
        test_only_the_master_is_published,
        test_better_clock_takes_over_at_once,
        test_silent_master,
        test_slow_master,
        test_series_begins_when_clock_went_on,
        test_master_time_wraps,
        test_announce_after_samples,
        test_new_grandmaster_behind_the_master,
        test_new_grandmaster_makes_a_master,
        test_delay_req_to_listed_clock,
        test_one_delay_req_for_each_sync,
        test_no_delay_req_to_unlisted_clock,
        test_delay_req_to_stand_in,
        test_our_own_packets,
        test_many_own_addresses,
        test_delay_resp,
        test_other_messages_change_nothing,
        test_truncated_datagrams,
        test_refusals_are_counted,
        test_record_of_the_33rd,
        test_listed_33rd,
        test_one_record_for_each_address_and_identity,
        test_silent_record_is_deleted,
        test_master_is_deleted,
        test_deleted_master_has_a_successor,
        test_deletions_one_at_a_time,
        test_flood_with_list,
        test_flood_without_list,
        test_flood_before_the_listed_clock,
        test_flood_of_silent_master,
        test_junk,
        test_no_grandmaster,
        test_repeated_announce,
        test_all_that_qualify_are_told,
        test_rest_after_lone_follow_up,
        test_one_step_is_not_silent,
        test_stop_with_corrections,
        test_host_that_stood_still,
    };
    TAP_RUN(tests);
    return tap_done();
}
