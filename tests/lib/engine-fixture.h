/* SPDX-License-Identifier: MIT */
/*
 * An engine, a time that passes as the test says, and PTP clocks that send it messages. The
 * messages are made in ptp-messages.h, without nqptp-message.c.
 */
#ifndef NQPTP_ENGINE_FIXTURE_H
#define NQPTP_ENGINE_FIXTURE_H

#include "engine-commands.h"
#include "ptp-messages.h"

#include <arpa/inet.h>

#define US UINT64_C(1000)
#define MS (1000 * US)
#define S (1000 * MS)
#define OUR_IDENTITY REQUESTING_IDENTITY
#define INTERFACE 7
#define LATENCY_NS (30 * US) /* from the kernel's time stamp until the engine is told */

struct world {
    struct nqptp_engine engine;
    struct nqptp_effects effects;   /* Of the last message, command or deadline. */
    struct nqptp_shm_record record; /* The last one published for client 0. */
    struct nqptp_command command;   /* The last command. */
    struct nqptp_answer answer;     /* The answer to it. */
    bool added;                     /* Whether it made a client. */
    uint64_t now_ns;
};

/* A clock. Its time is offset_ns more than ours. */
struct sender {
    uint64_t clock_identity;
    uint16_t port_number;
    struct nqptp_address address;
    uint64_t grandmaster_identity;
    uint8_t priority1;
    uint16_t sequence_id; /* The sequenceId of its next Sync. */
    uint64_t offset_ns;
};

static inline struct world world_begin(void) {
    struct world world = {.now_ns = 5000 * S};

    begin_engine(&world.engine, OUR_IDENTITY);
    return world;
}

/* Compares the padding as well, so any write between a memcpy() of an engine and this shows. */
static inline bool same_octets(const void *a, const void *b, size_t size) {
    return memcmp(a, b, size) == 0;
}

/* Returns the address that the text gives, or :: if it gives none. */
static inline struct nqptp_address at(const char *text) {
    struct nqptp_address address = {.ip = IN6ADDR_ANY_INIT};
    struct in_addr ipv4;

    if (inet_pton(AF_INET, text, &ipv4) == 1) {
        memset(&address.ip.s6_addr[10], 0xFF, 2);
        memcpy(&address.ip.s6_addr[12], &ipv4, 4);
    } else if (inet_pton(AF_INET6, text, &address.ip) != 1) {
        address.ip = in6addr_any;
    }
    return address;
}

static inline struct sender sender(uint64_t clock_identity, const char *address,
                                   uint8_t priority1) {
    return (struct sender){
        .clock_identity = clock_identity,
        .port_number = APPLE_PORT,
        .address = at(address),
        .grandmaster_identity = clock_identity,
        .priority1 = priority1,
        .sequence_id = 1,
        .offset_ns = 788000 * S + clock_identity,
    };
}

/* Returns our time at which the kernel received the message that the engine gets now. */
static inline uint64_t receive_time(const struct world *w) {
    return w->now_ns - LATENCY_NS;
}

/* Returns the clock's time at which it sent the message that the engine gets now. */
static inline uint64_t time_of(const struct world *w, const struct sender *from) {
    return receive_time(w) + from->offset_ns;
}

/* Returns the drop reason that was counted, or NQPTP_DROP_COUNT if not exactly one was. */
static inline enum nqptp_drop counted(const uint64_t *before, const uint64_t *after) {
    enum nqptp_drop fate = NQPTP_DROP_COUNT;
    uint64_t sum = 0;

    for (unsigned i = 0; i < NQPTP_DROP_COUNT; i++) {
        sum += after[i] - before[i];
        if (after[i] != before[i])
            fate = (enum nqptp_drop)i;
    }
    return sum == 1 ? fate : NQPTP_DROP_COUNT;
}

/* Notes what was published for client 0. */
static inline void note(struct world *w) {
    if (w->effects.publish & 1)
        w->record = w->effects.records[0];
}

static inline void expire(struct world *w, uint64_t now_ns) {
    nqptp_engine_expire(&w->engine, now_ns, &w->effects);
    note(w);
}

static inline enum nqptp_drop receive(struct world *w, const struct nqptp_packet *packet) {
    uint64_t before[NQPTP_DROP_COUNT];

    memcpy(before, w->engine.drops, sizeof before);
    enum nqptp_drop drop = nqptp_engine_packet(&w->engine, packet, w->now_ns, &w->effects);
    note(w);
    return counted(before, w->engine.drops) == drop ? drop : NQPTP_DROP_COUNT;
}

static inline enum nqptp_drop deliver(struct world *w, const struct sender *from,
                                      const uint8_t *data, size_t length) {
    const struct nqptp_packet packet = {
        .data = data,
        .length = length,
        .source = from->address,
        .local = at("192.0.2.200"),
        .interface = INTERFACE,
        .receive_time_ns = receive_time(w),
    };
    return receive(w, &packet);
}

static inline enum nqptp_drop send_sync(struct world *w, const struct sender *from,
                                        uint16_t sequence_id) {
    uint8_t message[sizeof apple_sync];

    memcpy(message, apple_sync, sizeof message);
    put_source(message, from->clock_identity, from->port_number);
    put_sequence_id(message, sequence_id);
    return deliver(w, from, message, sizeof message);
}

/* A Sync that carries its own time. */
static inline enum nqptp_drop send_one_step(struct world *w, const struct sender *from,
                                            uint16_t sequence_id, uint16_t flags,
                                            uint64_t origin_ns) {
    uint8_t message[sizeof apple_sync];

    memcpy(message, apple_sync, sizeof message);
    put_flags(message, flags);
    put_source(message, from->clock_identity, from->port_number);
    put_sequence_id(message, sequence_id);
    put_timestamp(message, origin_ns);
    return deliver(w, from, message, sizeof message);
}

static inline enum nqptp_drop send_follow_up(struct world *w, const struct sender *from,
                                             uint16_t sequence_id, uint64_t origin_ns) {
    uint8_t message[sizeof apple_follow_up];

    memcpy(message, apple_follow_up, sizeof message);
    put_correction(message, 0);
    put_source(message, from->clock_identity, from->port_number);
    put_sequence_id(message, sequence_id);
    put_timestamp(message, origin_ns);
    return deliver(w, from, message, sizeof message);
}

static inline enum nqptp_drop send_announce(struct world *w, const struct sender *from) {
    uint8_t message[sizeof apple_announce];

    memcpy(message, apple_announce, sizeof message);
    put_source(message, from->clock_identity, from->port_number);
    put_log_interval(message, 0);
    put_priority1(message, from->priority1);
    put_grandmaster(message, from->grandmaster_identity);
    return deliver(w, from, message, sizeof message);
}

/* Sends a Sync, and after 1 ms its Follow_Up. Returns the drop reason of the Follow_Up. */
static inline enum nqptp_drop send_pair(struct world *w, struct sender *from) {
    uint64_t origin_ns = time_of(w, from);

    (void)send_sync(w, from, from->sequence_id);
    w->now_ns += MS;
    return send_follow_up(w, from, from->sequence_id++, origin_ns);
}

/* Lets time pass. Each deadline in it is kept to the nanosecond. */
static inline void pass(struct world *w, uint64_t ns) {
    uint64_t end_ns = w->now_ns + ns;

    while (nqptp_engine_deadline(&w->engine) <= end_ns) {
        uint64_t deadline_ns = nqptp_engine_deadline(&w->engine);
        w->now_ns = deadline_ns > w->now_ns ? deadline_ns : w->now_ns;
        expire(w, w->now_ns);
    }
    w->now_ns = end_ns;
}

/* Sends a pair each 125 ms and an Announce each second for `ns`. */
static inline void play(struct world *w, struct sender *from, uint64_t ns) {
    for (uint64_t at_ns = 0; at_ns < ns; at_ns += 125 * MS) {
        if (at_ns % S == 0)
            (void)send_announce(w, from);
        (void)send_pair(w, from);
        pass(w, 124 * MS);
    }
}

/* A world in which this clock is master. */
static inline struct world world_of(struct sender *master) {
    struct world w = world_begin();

    (void)send_announce(&w, master);
    (void)send_pair(&w, master);
    pass(&w, 124 * MS);
    return w;
}

static const struct nqptp_shm_record no_record; /* The record of a new object. */

/* Obeys a command of any octets. If it makes a client, the object of the client holds `old`. */
static inline void command_octets(struct world *w, const char *text, size_t length,
                                  const struct nqptp_shm_record *old) {
    int top = w->engine.clients.top;

    w->answer = obey(&w->engine, text, length, old, w->now_ns, &w->command, &w->effects);
    w->added = w->engine.clients.top > top;
    note(w);
}

static inline void command(struct world *w, const char *text) {
    command_octets(w, text, strlen(text), &no_record);
}

/* The player of client 0 pauses: nothing is sent to a silent address, and silence deletes clocks.
 */
static inline void pause_player(struct world *w) {
    command(w, "/nqptp B");
    command(w, "/nqptp P");
}

/* As send_announce(), but this number of steps from its grandmaster. */
static inline void announce_steps(struct world *w, const struct sender *from,
                                  uint16_t steps_removed) {
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

/* Both clocks send for 5 s: a pair each 125 ms, an Announce each second. */
static inline void play_both_5s(struct world *w, struct sender *a, struct sender *b) {
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

/* The identity of the master, or 0. */
static inline uint64_t master_of(const struct world *w) {
    int i = w->engine.clients.list[0].master;
    return i == NQPTP_NO_CLOCK ? 0 : w->engine.table.clocks[i].clock_identity;
}

static inline bool knows(const struct world *w, const struct sender *s) {
    return nqptp_clock_find(&w->engine.table, s->clock_identity, &s->address) != NQPTP_NO_CLOCK;
}

static inline unsigned record_count(const struct world *w) {
    unsigned count = 0;
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
        count += w->engine.table.clocks[i].in_use;
    return count;
}

static inline bool same_address(const struct nqptp_address *a, const struct nqptp_address *b) {
    return memcmp(&a->ip, &b->ip, sizeof a->ip) == 0;
}

/* The estimator assumes that the quickest of few samples was late, so it estimates more. */
static inline bool offset_near(uint64_t a_ns, uint64_t b_ns) {
    return a_ns - b_ns + MS / 20 <= MS / 10;
}

/* Whether the last record published is of this clock, by a sample of that time. */
static inline bool published(const struct world *w, const struct sender *s, uint64_t local_ns) {
    const struct nqptp_shm_record *r = &w->record;
    return (w->effects.publish & 1) && r->clock_identity == s->clock_identity &&
           is_at(r, &s->address) && r->local_time_ns == local_ns &&
           offset_near(r->offset_ns, s->offset_ns);
}

/* Whether "no master" was published: all zeros, as the record goes into shared memory. */
static inline bool published_no_master(const struct world *w) {
    const struct nqptp_shm_record *r = &w->record;
    return (w->effects.publish & 1) && r->clock_identity == 0 && !has_master(r) &&
           r->grandmaster_identity == 0 && r->local_time_ns == 0 && r->offset_ns == 0 &&
           r->start_time_ns == 0;
}

/* Whether the effects are empty except for event_count events. */
static inline bool idle_but(const struct world *w, unsigned event_count) {
    const struct nqptp_effects *e = &w->effects;
    return !e->publish && e->reply_count == 0 && e->event_count == event_count;
}

static inline bool idle(const struct world *w) {
    return idle_but(w, 0);
}

static inline bool told(const struct world *w, enum nqptp_event_kind kind,
                        uint64_t clock_identity) {
    for (unsigned i = 0; i < w->effects.event_count; i++)
        if (w->effects.events[i].kind == kind &&
            w->effects.events[i].clock_identity == clock_identity)
            return true;
    return false;
}

/* Whether the invariants of the engine hold. They must, whatever message came. */
static inline bool sane(const struct world *w) {
    const struct nqptp_engine *engine = &w->engine;
    int master = engine->clients.list[0].master;
    uint64_t sum = 0;

    for (unsigned i = 0; i < NQPTP_DROP_COUNT; i++)
        sum += engine->drops[i];
    bool master_exists = master == NQPTP_NO_CLOCK || (master >= 0 && master < NQPTP_CLOCKS_MAX &&
                                                      engine->table.clocks[master].in_use);
    bool expires = false;
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
        expires = expires || (engine->table.clocks[i].in_use && !engine->table.clocks[i].kept);
    bool has_deadline = nqptp_engine_deadline(engine) != NQPTP_NO_DEADLINE;
    return sum == engine->packets && master_exists && (has_deadline || !expires) &&
           w->effects.event_count <= NQPTP_EVENTS_MAX &&
           engine->clients.list[0].peer_count <= NQPTP_PEERS_MAX;
}

#endif
