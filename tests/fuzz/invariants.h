/* SPDX-License-Identifier: MIT */
/*
 * What must hold of an engine whatever came in, for the fuzz targets. The rules are written here
 * once more, from what was promised and not from how the engine keeps it.
 */
#ifndef NQPTP_INVARIANTS_H
#define NQPTP_INVARIANTS_H

#include "nqptp-commands.h"
#include "nqptp-status.h"

#include "fuzz.h"
#include "../lib/engine-commands.h"

#define REST_MOST_NS UINT64_C(1000000000) /* no packet waits longer to be read */
#define CHANGES_SOME 48                   /* the weight of a few changes of master */
#define CHANGES_NS UINT64_C(5000000000)   /* how long the next change waits after too many */
#define STEPS_REMOVED_LIMIT 255           /* 9.3.2.5 d */

/* --- the rules for masters ------------------------------------------------------------------- */

static inline bool has_address(const struct nqptp_client *client,
                               const struct nqptp_address *address) {
    for (unsigned i = 0; i < client->peer_count; i++)
        if (nqptp_address_equal(&client->peers[i].address, address))
            return true;
    return false;
}

static inline bool has_address_of_any(const struct nqptp_engine *engine,
                                      const struct nqptp_address *address) {
    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++)
        if (c < engine->clients.top && has_address(&engine->clients.list[c], address))
            return true;
    return false;
}

/* Whether the clock by itself could be a master. */
static inline bool is_sound(const struct nqptp_clock *clock, uint64_t now_ns) {
    return clock->in_use && clock->announced &&
           clock->announce.steps_removed < STEPS_REMOVED_LIMIT &&
           nqptp_clock_is_alive(clock, now_ns);
}

/* Whether its reading is of the grandmaster that it announces. The reading of a master may lag. */
static inline bool is_current(const struct nqptp_engine *engine, const struct nqptp_client *client,
                              int i) {
    const struct nqptp_clock *clock = &engine->table.clocks[i];
    return i == client->master ||
           clock->reading.grandmaster_identity == clock->announce.grandmaster_identity;
}

static inline bool hears_its_list(const struct nqptp_engine *engine,
                                  const struct nqptp_client *client, uint64_t now_ns) {
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
        if (is_sound(&engine->table.clocks[i], now_ns) && is_current(engine, client, i) &&
            nqptp_client_lists_clock(client, i))
            return true;
    return false;
}

/*
 * A listed clock; or, while none is alive, the same clock at an address that no client lists, or
 * one of a listed host, if no listed address was heard before it became master.
 */
static inline bool may_follow(const struct nqptp_engine *engine, const struct nqptp_client *client,
                              int row, uint64_t now_ns) {
    const struct nqptp_clock *clock = &engine->table.clocks[row];

    if (!client->has_list || nqptp_client_lists_clock(client, row))
        return true;
    if (hears_its_list(engine, client, now_ns))
        return false;
    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++)
        if (c < engine->clients.top && nqptp_client_lists_clock(&engine->clients.list[c], row))
            return false;
    bool heard = false, same_host = false;
    for (unsigned i = 0; i < client->peer_count; i++) {
        const struct nqptp_peer *peer = &client->peers[i];
        if (peer->identified && peer->clock_identity == clock->clock_identity)
            return true;
        heard = heard || peer->identified;
        same_host = same_host || (peer->same_host >> row & 1);
    }
    return same_host && (!heard || row == client->master);
}

/* The order of preference of a client: the first address, its clock elsewhere, any other. */
static inline int preference(const struct nqptp_engine *engine, const struct nqptp_client *client,
                             int row) {
    const struct nqptp_clock *clock = &engine->table.clocks[row];
    const struct nqptp_peer *first = &client->peers[0];

    if (!client->first_wins || client->peer_count == 0)
        return 0;
    if (nqptp_address_equal(&first->address, &clock->address))
        return 2;
    return (first->identified && first->clock_identity == clock->clock_identity) ||
           (first->same_host >> row & 1);
}

static inline int compare(const struct nqptp_clock *a, const struct nqptp_clock *b) {
    struct nqptp_difference difference;
    return nqptp_clock_compare(a, b, &difference);
}

/* A clock that must not be worse than the master: it can become master while others are alive. */
static inline bool is_rival(const struct nqptp_client *client, const struct nqptp_clock *clock,
                            int row, uint64_t now_ns) {
    return is_sound(clock, now_ns) &&
           clock->reading.grandmaster_identity == clock->announce.grandmaster_identity &&
           (client->has_list ? nqptp_client_lists_clock(client, row) : clock->confirmed);
}

static inline bool is_restless(const struct nqptp_hysteresis *hysteresis, uint64_t now_ns) {
    return hysteresis->weight > CHANGES_SOME && now_ns - hysteresis->changed_at_ns < CHANGES_NS;
}

static inline void require_master(const struct nqptp_engine *engine,
                                  const struct nqptp_client *client, uint64_t now_ns) {
    const struct nqptp_clock *clocks = engine->table.clocks;
    int m = client->master;

    REQUIRE(m == NQPTP_NO_CLOCK || may_follow(engine, client, m, now_ns));
    if (is_restless(&client->hysteresis, now_ns))
        return;
    for (unsigned i = 0; i < NQPTP_ADDRESS_HYSTERESES; i++)
        if (is_restless(&client->address_hysteresis[i], now_ns))
            return;
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++) {
        if (i == m || !is_rival(client, &clocks[i], i, now_ns))
            continue;
        REQUIRE(m != NQPTP_NO_CLOCK && nqptp_clock_is_alive(&clocks[m], now_ns));
        int lead = preference(engine, client, m) - preference(engine, client, i);
        REQUIRE(lead >= 0);
        REQUIRE(lead > 0 || compare(&clocks[m], &clocks[i]) < 0);
    }
}

/* Holds when a call that lets clients choose has come back: an Announce, a sample, a command. */
static inline void require_masters(const struct nqptp_engine *engine, uint64_t now_ns) {
    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++)
        if (c < engine->clients.top)
            require_master(engine, &engine->clients.list[c], now_ns);
}

/* The comparison orders all clocks that announced themselves. */
static inline void require_order(const struct nqptp_engine *engine) {
    const struct nqptp_clock *announced[NQPTP_CLOCKS_MAX] = {0};
    unsigned count = 0;

    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
        if (engine->table.clocks[i].in_use && engine->table.clocks[i].announced)
            announced[count++] = &engine->table.clocks[i];
    for (unsigned i = 0; i < count * count * count; i++) {
        const struct nqptp_clock *a = announced[i % count], *b = announced[i / count % count],
                                 *c = announced[i / count / count];
        int order = compare(a, b);
        REQUIRE((order == 0) == (a == b) && (order < 0) == (compare(b, a) > 0));
        REQUIRE(order >= 0 || compare(b, c) >= 0 || compare(a, c) < 0);
    }
}

/* --- texts ---------------------------------------------------------------------------- */

static inline bool is_printable(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (((unsigned char)text[i] < ' ' || text[i] == 0x7F) && text[i] != '\n')
            return false; /* names may be UTF-8 */
    return true;
}

static inline void require_clock(const struct nqptp_engine *engine, int i, uint64_t now_ns) {
    const struct nqptp_clock *clock = &engine->table.clocks[i];

    REQUIRE(nqptp_clock_find(&engine->table, clock->clock_identity, &clock->address) == i);
    unsigned rows = 0;
    for (int other = 0; other < NQPTP_CLOCKS_MAX; other++)
        rows += engine->table.clocks[other].in_use &&
                nqptp_address_equal(&engine->table.clocks[other].address, &clock->address);
    REQUIRE(clock->address_rows == rows || IN6_IS_ADDR_LINKLOCAL(&clock->address.ip));
    REQUIRE(clock->heard_at_ns <= now_ns && clock->sampled_at_ns <= now_ns);
    REQUIRE(clock->pairing.waiting < NQPTP_EXCHANGES && clock->pairing.oldest < NQPTP_EXCHANGES);
    REQUIRE(clock->estimator.bins <= NQPTP_ESTIMATOR_BINS);
}

static inline void require_client(const struct nqptp_engine *engine, int c) {
    const struct nqptp_client *client = &engine->clients.list[c];
    size_t length = strnlen(client->name, sizeof client->name);
    int m = client->master;

    REQUIRE(m == client->published);
    REQUIRE(m == NQPTP_NO_CLOCK || (m >= 0 && m < NQPTP_CLOCKS_MAX));
    REQUIRE(m == NQPTP_NO_CLOCK ||
            (engine->table.clocks[m].in_use && engine->table.clocks[m].announced &&
             engine->table.clocks[m].sampled_at_ns > 0));
    REQUIRE(m == NQPTP_NO_CLOCK || !client->has_list || client->peer_count > 0);

    REQUIRE(length >= 2 && length < sizeof client->name && is_printable(client->name, length));
    REQUIRE(client->name[0] == '/' && !strchr(client->name + 1, '/'));
    REQUIRE(nqptp_clients_find(&engine->clients, client->name) == c);
    REQUIRE(client->peer_count <= NQPTP_PEERS_MAX && (client->has_list || client->peer_count == 0));
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++) {
        const struct nqptp_clock *clock = &engine->table.clocks[i];
        bool listed = clock->in_use && has_address(client, &clock->address);
        bool of_a_link = IN6_IS_ADDR_LINKLOCAL(&clock->address.ip); /* one link may have won */
        REQUIRE(nqptp_client_lists_clock(client, i) == listed || (of_a_link && listed));
        REQUIRE(clock->in_use || !((client->qualified | client->same_host) >> i & 1));
    }
}

static inline void require_state(const struct nqptp_engine *engine, uint64_t now_ns) {
    uint64_t sum = 0;

    for (unsigned i = 0; i < NQPTP_DROP_COUNT; i++)
        sum += engine->drops[i];
    REQUIRE(sum == engine->packets);
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++) {
        if (!engine->table.clocks[i].in_use)
            continue;
        require_clock(engine, i, now_ns);
    }
    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++)
        if (c < engine->clients.top)
            require_client(engine, c);
    REQUIRE(engine->clients.top > 0);
    uint64_t deadline_ns = nqptp_engine_deadline(engine);
    /* The record of a master that a client plays by has no end. */
    REQUIRE(deadline_ns == NQPTP_NO_DEADLINE || deadline_ns <= now_ns + NQPTP_CLOCK_LIFETIME_NS);
    uint64_t rest_ns = nqptp_engine_rest_until_ns(engine, now_ns);
    REQUIRE(rest_ns == 0 || (rest_ns > now_ns && rest_ns - now_ns <= REST_MOST_NS));
}

/* --- what is to be done ---------------------------------------------------------------------- */

/* Whether a clock at the address is the master of a client that has a list without it. */
static inline bool stands_in(const struct nqptp_engine *engine,
                             const struct nqptp_address *address) {
    for (int c = 0; c < engine->clients.top; c++) {
        const struct nqptp_client *client = &engine->clients.list[c];
        if (client->has_list && client->master != NQPTP_NO_CLOCK &&
            nqptp_address_equal(&engine->table.clocks[client->master].address, address))
            return true;
    }
    return false;
}

/* Nothing is ever sent to an address that no client has listed and where no stand-in is. */
static inline void require_reply(const struct nqptp_engine *engine,
                                 const struct nqptp_reply *reply) {
    struct nqptp_message message;

    REQUIRE(has_address_of_any(engine, &reply->destination) ||
            (!reply->general && stands_in(engine, &reply->destination)));
    REQUIRE(reply->length <= sizeof reply->data);
    REQUIRE(nqptp_message_parse(reply->data, reply->length, &message) == NQPTP_MESSAGE_OK);
    REQUIRE(message.type == (reply->general ? NQPTP_ANNOUNCE : NQPTP_DELAY_REQ));
    REQUIRE(message.source.clock_identity == engine->self.port.clock_identity);
    REQUIRE(message.source.port_number == NQPTP_PORT_NUMBER);
}

static inline void require_effects(const struct nqptp_engine *engine,
                                   const struct nqptp_effects *effects) {
    for (int c = engine->clients.top; c < NQPTP_CLIENTS_MAX; c++)
        REQUIRE(!nqptp_effects_publishes(effects, c));
    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++) {
        if (!(effects->publish >> c & 1))
            continue;
        REQUIRE(c < engine->clients.top);
        struct nqptp_shm_record record = record_of(engine, c);
        REQUIRE(same_record(&record, &effects->records[c]));
    }
    REQUIRE(effects->reply_count <= sizeof effects->replies / sizeof effects->replies[0]);
    for (unsigned i = 0; i < effects->reply_count; i++)
        require_reply(engine, &effects->replies[i]);
    REQUIRE(effects->event_count <= NQPTP_EVENTS_MAX);
    for (unsigned i = 0; i < effects->event_count; i++) {
        const struct nqptp_event *event = &effects->events[i];
        REQUIRE(event->kind < NQPTP_EVENT_KINDS);
        REQUIRE(event->client >= -1 && event->client < NQPTP_CLIENTS_MAX);
        REQUIRE((event->client >= 0) ==
                (event->kind >= NQPTP_EVENT_LIST && event->kind <= NQPTP_EVENT_NO_MASTER));
    }
}

/* The client of a command is there, unless the command asks for the status. */
static inline void require_answer(const struct nqptp_engine *engine,
                                  const struct nqptp_command *command,
                                  const struct nqptp_answer *answer) {
    REQUIRE(answer->client >= -1 && answer->client < engine->clients.top);
    if (answer->refusal)
        REQUIRE(answer->client < 0 && answer->refusal[0]);
    else
        REQUIRE((answer->client < 0) == (command->letter == '?') &&
                (answer->client < 0) == (command->asked == NQPTP_SHM_ASKED_NOTHING) &&
                (answer->client == 0 || command->asked != NQPTP_SHM_ASKED_BARE));
}

/* --- what is written ------------------------------------------------------------------------- */

/* All of it fits, and less room holds less of it. */
static inline void require_status(const struct nqptp_engine *engine, uint64_t now_ns) {
    static char text[NQPTP_STATUS_MAX], part[NQPTP_STATUS_MAX];
    const struct nqptp_status status = {
        .engine = engine, .version = "0", .now_ns = now_ns, .started_ns = now_ns};
    size_t length = nqptp_status_text(&status, text, sizeof text);

    REQUIRE(length < sizeof text - 1 && strlen(text) == length && is_printable(text, length));
    size_t size = length * 2 / 3 + 1;
    size_t less = nqptp_status_text(&status, part, size);
    REQUIRE(less < size && strlen(part) == less);
    length = nqptp_status_json(&status, text, sizeof text);
    REQUIRE(length < sizeof text - 1 && strlen(text) == length && is_printable(text, length));
}

#endif
