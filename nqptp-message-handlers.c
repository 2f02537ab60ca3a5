/* SPDX-License-Identifier: MIT */
/* The engine: see the header. Clauses are those of IEEE 1588-2008. */
#include "nqptp-message-handlers.h"

#include <string.h>

#define MS UINT64_C(1000000)
#define FOLLOW_UP_WAIT_NS (100 * MS)     /* how long a lone Follow_Up waits for its Sync */
#define EXCHANGE_NS (2000 * MS)          /* after this a sequenceId seen before may be a new one */
#define FOLLOW_UPS_MISSED 16             /* Syncs in a row without one: the clock is one-step now */
#define LATE_LEAST (NQPTP_EXCHANGES / 2) /* two ports of one clock may share the ring */
#define LATE_MOST 64 /* a sequenceId further back than this was started afresh */

void nqptp_engine_init(struct nqptp_engine *engine, uint64_t clock_identity) {
    *engine = (struct nqptp_engine){
        .self = {clock_identity, NQPTP_PORT_NUMBER},
        .client = {.master = NQPTP_NO_CLOCK},
    };
}

void nqptp_engine_set_own_addresses(struct nqptp_engine *engine,
                                    const struct nqptp_address *addresses, unsigned count) {
    if (count > NQPTP_OWN_ADDRESSES_MAX)
        count = NQPTP_OWN_ADDRESSES_MAX;
    memcpy(engine->own_addresses, addresses, count * sizeof *addresses);
    engine->own_address_count = count;
}

/* --- effects ------------------------------------------------------------------------------- */

static void tell(struct nqptp_effects *effects, enum nqptp_event_kind kind, uint64_t clock_identity,
                 const struct nqptp_address *address) {
    if (effects->event_count < NQPTP_EVENTS_MAX)
        effects->events[effects->event_count++] =
            (struct nqptp_event){kind, clock_identity, *address};
}

static void tell_clock(struct nqptp_effects *effects, enum nqptp_event_kind kind,
                       const struct nqptp_clock *clock) {
    tell(effects, kind, clock->clock_identity, &clock->address);
}

static void publish(const struct nqptp_engine *engine, struct nqptp_effects *effects) {
    int master = engine->client.master;

    effects->publish = true;
    effects->has_master = master != NQPTP_NO_CLOCK;
    if (!effects->has_master)
        return;
    const struct nqptp_clock *clock = &engine->table.clocks[master];
    effects->clock_identity = clock->clock_identity;
    effects->address = clock->address;
    effects->reading = clock->reading;
}

/* Lets the client choose again; what it follows now is published if it is another clock. */
static void select_master(struct nqptp_engine *engine, int before, uint64_t now_ns,
                          struct nqptp_effects *effects) {
    nqptp_client_select(&engine->client, &engine->table, now_ns);
    int master = engine->client.master;
    if (master == before)
        return;
    publish(engine, effects);
    if (master != NQPTP_NO_CLOCK)
        tell_clock(effects, NQPTP_EVENT_MASTER, &engine->table.clocks[master]);
    else
        tell(effects, NQPTP_EVENT_NO_MASTER, 0, &(struct nqptp_address){0});
}

/* Gives clock i its sample; if it is the master, that is published. */
static void sample(struct nqptp_engine *engine, int i, uint64_t master_ns, uint64_t local_ns,
                   uint64_t now_ns, struct nqptp_effects *effects) {
    if (nqptp_clock_sample(&engine->table.clocks[i], master_ns, local_ns, now_ns) &&
        engine->client.master == i)
        publish(engine, effects);
}

/* --- records ------------------------------------------------------------------------------- */

static void delete_clock(struct nqptp_engine *engine, int i, struct nqptp_effects *effects) {
    tell_clock(effects, NQPTP_EVENT_DELETED, &engine->table.clocks[i]);
    nqptp_clock_delete(&engine->table, &engine->client, i);
}

/* Finds the record of the message's clock, or makes one; NQPTP_NO_CLOCK if there is no room. */
static int clock_of(struct nqptp_engine *engine, const struct nqptp_packet *packet,
                    const struct nqptp_message *message, uint64_t now_ns,
                    struct nqptp_effects *effects) {
    uint64_t identity = message->source.clock_identity;
    int i = nqptp_clock_find(&engine->table, identity, &packet->source);
    if (i != NQPTP_NO_CLOCK)
        return i;

    bool listed = nqptp_client_lists(&engine->client, &packet->source);
    i = nqptp_clock_room(&engine->table, &engine->client, listed, now_ns);
    if (i == NQPTP_NO_CLOCK) {
        tell(effects, NQPTP_EVENT_REFUSED, identity, &packet->source);
        return i;
    }
    if (engine->table.clocks[i].in_use)
        delete_clock(engine, i, effects);
    nqptp_clock_create(&engine->table, &engine->client, i, identity, &packet->source, now_ns);
    tell_clock(effects, NQPTP_EVENT_CREATED, &engine->table.clocks[i]);
    return i;
}

/* --- Sync and Follow_Up, which pair in either order ------------------------------------------ */

static bool exchange_is(const struct nqptp_exchange *exchange, const struct nqptp_message *message,
                        uint64_t now_ns) {
    return exchange->begun_ns > 0 && now_ns - exchange->begun_ns <= EXCHANGE_NS &&
           exchange->port_number == message->source.port_number &&
           exchange->sequence_id == message->sequence_id;
}

/* Does the message come so long after its turn that its exchange is forgotten already? */
static bool late(const struct nqptp_clock *clock, const struct nqptp_message *message,
                 uint64_t now_ns) {
    for (int i = 0; i < NQPTP_EXCHANGES; i++) {
        const struct nqptp_exchange *exchange = &clock->exchanges[i];
        uint16_t behind = (uint16_t)(exchange->sequence_id - message->sequence_id);
        if (exchange->begun_ns > 0 && now_ns - exchange->begun_ns <= EXCHANGE_NS &&
            exchange->port_number == message->source.port_number && behind >= LATE_LEAST &&
            behind <= LATE_MOST)
            return true;
    }
    return false;
}

/* The exchange that the message belongs to, begun if need be in place of the oldest. */
static struct nqptp_exchange *exchange_of(struct nqptp_clock *clock,
                                          const struct nqptp_message *message, uint64_t now_ns) {
    for (int i = 0; i < NQPTP_EXCHANGES; i++)
        if (exchange_is(&clock->exchanges[i], message, now_ns))
            return &clock->exchanges[i];
    if (late(clock, message, now_ns))
        return NULL;
    struct nqptp_exchange *oldest = &clock->exchanges[clock->next_exchange];
    clock->next_exchange = (clock->next_exchange + 1) % NQPTP_EXCHANGES;
    *oldest = (struct nqptp_exchange){.begun_ns = now_ns,
                                      .port_number = message->source.port_number,
                                      .sequence_id = message->sequence_id};
    return oldest;
}

/* A complete exchange gives its sample: the time of origin, and when the Sync came. */
static void serve(struct nqptp_engine *engine, int i, struct nqptp_exchange *exchange,
                  uint64_t now_ns, struct nqptp_effects *effects) {
    uint64_t origin_ns = exchange->origin_ns + (uint64_t)exchange->sync_correction_ns;

    exchange->served = true;
    sample(engine, i, origin_ns, exchange->sync_time_ns, now_ns, effects);
}

/* The Follow_Up that waits, if any, has waited enough: it is used with its own receive time. */
static void serve_waiting(struct nqptp_engine *engine, int i, uint64_t now_ns,
                          struct nqptp_effects *effects) {
    struct nqptp_clock *clock = &engine->table.clocks[i];
    if (clock->waiting == NQPTP_NO_CLOCK)
        return;

    struct nqptp_exchange *exchange = &clock->exchanges[clock->waiting];
    clock->waiting = NQPTP_NO_CLOCK;
    exchange->served = true;
    sample(engine, i, exchange->origin_ns, exchange->follow_up_time_ns, now_ns, effects);
}

/* Does this clock send Follow_Ups, whatever its twoStepFlag says? Then they are to be trusted. */
static bool two_step(const struct nqptp_clock *clock, const struct nqptp_message *sync,
                     uint64_t now_ns) {
    uint64_t recent_ns = FOLLOW_UPS_MISSED *
                         nqptp_interval_ns(&clock->sync_interval, NQPTP_SYNC_INTERVAL_UNKNOWN_NS);
    return (sync->flags & NQPTP_FLAG_TWO_STEP) || sync->origin_timestamp_ns == 0 ||
           (clock->follow_up_ns > 0 && now_ns - clock->follow_up_ns <= recent_ns);
}

/* Senders stop serving who stays mute; they know us by the address that they serve. */
static void ask_delay(const struct nqptp_engine *engine, const struct nqptp_packet *packet,
                      const struct nqptp_message *sync, struct nqptp_effects *effects) {
    effects->send_delay_req = true;
    effects->delay_req = (struct nqptp_reply){
        .destination = packet->source,
        .local = packet->local,
        .interface = packet->interface,
    };
    nqptp_message_write_delay_req(effects->delay_req.data, &engine->self, sync->sequence_id);
}

static enum nqptp_drop handle_sync(struct nqptp_engine *engine, const struct nqptp_packet *packet,
                                   const struct nqptp_message *message, uint64_t now_ns,
                                   struct nqptp_effects *effects) {
    int i = clock_of(engine, packet, message, now_ns, effects);
    if (i == NQPTP_NO_CLOCK)
        return NQPTP_DROP_FULL;
    struct nqptp_clock *clock = &engine->table.clocks[i];
    struct nqptp_exchange *exchange = exchange_of(clock, message, now_ns);
    if (!exchange)
        return NQPTP_DROP_LATE;
    if (exchange->have_sync || exchange->served)
        return NQPTP_DROP_DUPLICATE;

    clock->heard_ns = now_ns;
    nqptp_interval_note(&clock->sync_interval, message->log_message_interval, now_ns);
    exchange->have_sync = true;
    exchange->sync_time_ns = packet->receive_time_ns;
    exchange->sync_correction_ns = message->correction_ns;
    if (exchange->have_follow_up)
        clock->waiting = NQPTP_NO_CLOCK;
    serve_waiting(engine, i, now_ns, effects);
    if (!exchange->have_follow_up && !two_step(clock, message, now_ns)) {
        exchange->one_step = true;
        exchange->origin_ns = message->origin_timestamp_ns;
    }
    if (exchange->have_follow_up || exchange->one_step)
        serve(engine, i, exchange, now_ns, effects);
    if (nqptp_client_lists_clock(&engine->client, i))
        ask_delay(engine, packet, message, effects);
    return NQPTP_DROP_NONE;
}

static enum nqptp_drop handle_follow_up(struct nqptp_engine *engine,
                                        const struct nqptp_packet *packet,
                                        const struct nqptp_message *message, uint64_t now_ns,
                                        struct nqptp_effects *effects) {
    int i = nqptp_clock_find(&engine->table, message->source.clock_identity, &packet->source);
    if (i == NQPTP_NO_CLOCK)
        return NQPTP_DROP_UNKNOWN;
    struct nqptp_clock *clock = &engine->table.clocks[i];
    struct nqptp_exchange *exchange = exchange_of(clock, message, now_ns);
    if (!exchange)
        return NQPTP_DROP_LATE;
    if (exchange->have_follow_up || (exchange->served && !exchange->one_step))
        return NQPTP_DROP_DUPLICATE;

    clock->heard_ns = now_ns;
    clock->follow_up_ns = now_ns;
    serve_waiting(engine, i, now_ns, effects);
    exchange->have_follow_up = true;
    exchange->follow_up_time_ns = packet->receive_time_ns;
    exchange->origin_ns = message->origin_timestamp_ns + (uint64_t)message->correction_ns;
    if (exchange->one_step) /* the Sync's own time was no better than a guess: it goes */
        nqptp_estimator_reset(&clock->estimator);
    if (exchange->have_sync) {
        serve(engine, i, exchange, now_ns, effects);
    } else {
        clock->waiting = (int)(exchange - clock->exchanges);
        clock->waiting_until_ns = now_ns + FOLLOW_UP_WAIT_NS;
    }
    return NQPTP_DROP_NONE;
}

/* --- the other messages ---------------------------------------------------------------------- */

static enum nqptp_drop handle_announce(struct nqptp_engine *engine,
                                       const struct nqptp_packet *packet,
                                       const struct nqptp_message *message, uint64_t now_ns,
                                       struct nqptp_effects *effects) {
    int i = clock_of(engine, packet, message, now_ns, effects);
    if (i == NQPTP_NO_CLOCK)
        return NQPTP_DROP_FULL;
    struct nqptp_clock *clock = &engine->table.clocks[i];
    clock->heard_ns = now_ns;
    nqptp_clock_announce(clock, &message->announce, message->source.port_number,
                         message->log_message_interval, now_ns);
    return NQPTP_DROP_NONE;
}

/* The time in a Delay_Resp is not to be trusted (AirPlay devices return their own Follow_Up's). */
static enum nqptp_drop handle_delay_resp(const struct nqptp_engine *engine,
                                         const struct nqptp_message *message) {
    return message->requesting.clock_identity == engine->self.clock_identity &&
                   message->requesting.port_number == engine->self.port_number
               ? NQPTP_DROP_NONE
               : NQPTP_DROP_FOREIGN;
}

static bool sent_by_us(const struct nqptp_engine *engine, const struct nqptp_packet *packet,
                       const struct nqptp_message *message) {
    if (message->source.clock_identity != engine->self.clock_identity ||
        message->source.port_number != engine->self.port_number)
        return false;
    for (unsigned i = 0; i < engine->own_address_count; i++)
        if (nqptp_address_equal(&engine->own_addresses[i], &packet->source))
            return true;
    return false;
}

static enum nqptp_drop handle(struct nqptp_engine *engine, const struct nqptp_packet *packet,
                              uint64_t now_ns, struct nqptp_effects *effects) {
    struct nqptp_message message;
    if (packet->truncated)
        return NQPTP_DROP_TRUNCATED;
    enum nqptp_drop refusal = nqptp_message_parse(packet->data, packet->length, &message);
    if (refusal != NQPTP_DROP_NONE)
        return refusal;
    if (sent_by_us(engine, packet, &message))
        return NQPTP_DROP_OWN;
    switch (message.type) {
    case NQPTP_SYNC:
        return handle_sync(engine, packet, &message, now_ns, effects);
    case NQPTP_FOLLOW_UP:
        return handle_follow_up(engine, packet, &message, now_ns, effects);
    case NQPTP_ANNOUNCE:
        return handle_announce(engine, packet, &message, now_ns, effects);
    case NQPTP_DELAY_RESP:
        return handle_delay_resp(engine, &message);
    case NQPTP_DELAY_REQ:
    case NQPTP_PDELAY_REQ:
    case NQPTP_PDELAY_RESP:
    case NQPTP_PDELAY_RESP_FOLLOW_UP:
    case NQPTP_SIGNALING:
    case NQPTP_MANAGEMENT:
        break; /* for PTP clocks, which we are not */
    }
    return NQPTP_DROP_NONE;
}

void nqptp_engine_packet(struct nqptp_engine *engine, const struct nqptp_packet *packet,
                         uint64_t now_ns, struct nqptp_effects *effects) {
    int before = engine->client.master;

    *effects = (struct nqptp_effects){0};
    engine->packets++;
    enum nqptp_drop refusal = handle(engine, packet, now_ns, effects);
    engine->drops[refusal]++;
    if (refusal == NQPTP_DROP_NONE)
        select_master(engine, before, now_ns, effects);
}

/* --- commands -------------------------------------------------------------------------------- */

/* "T", or "T" and addresses, each after one space or more. The list is replaced, or refused whole.
 */
static const char *command_timing_peers(struct nqptp_engine *engine, const char *text,
                                        size_t length) {
    struct nqptp_address addresses[NQPTP_PEERS_MAX];
    unsigned count = 0;

    for (size_t at = 1; at < length;) {
        if (text[at] == ' ') {
            at++;
            continue;
        }
        const char *space = memchr(text + at, ' ', length - at);
        size_t word = space ? (size_t)(space - (text + at)) : length - at;
        if (count == NQPTP_PEERS_MAX)
            return "more than 256 addresses";
        if (nqptp_address_parse(text + at, word, &addresses[count++]) < 0)
            return "not a numeric IPv4 or IPv6 address";
        at += word;
    }
    nqptp_client_set_peers(&engine->client, &engine->table, addresses, count);
    return NULL;
}

static bool printable(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (text[i] < ' ' || text[i] > '~')
            return false;
    return true;
}

static const char *command(struct nqptp_engine *engine, const char *text, size_t length,
                           struct nqptp_effects *effects) {
    if (length > NQPTP_COMMAND_MAX)
        return "longer than 4096 bytes";
    if (length > 0 && text[length - 1] == '\0')
        length--;
    if (length == 0)
        return "empty";
    if (!printable(text, length))
        return "not printable ASCII";
    if (length == 1 && text[0] == '?') {
        effects->send_status = true;
        return NULL;
    }
    if (text[0] == 'T' && (length == 1 || text[1] == ' '))
        return command_timing_peers(engine, text, length);
    return "unknown command";
}

static bool follows_nobody(const struct nqptp_client *client) {
    return client->has_list && client->peer_count == 0;
}

void nqptp_engine_command(struct nqptp_engine *engine, const char *text, size_t length,
                          uint64_t now_ns, struct nqptp_effects *effects) {
    int before = engine->client.master;
    bool followed_nobody = follows_nobody(&engine->client);

    *effects = (struct nqptp_effects){0};
    effects->refusal = command(engine, text, length, effects);
    if (effects->refusal)
        return;
    select_master(engine, before, now_ns, effects);
    if (follows_nobody(&engine->client) && !followed_nobody)
        publish(engine, effects); /* even if the record is one that a previous process left */
}

/* --- deadlines ------------------------------------------------------------------------------- */

static uint64_t clock_deadline(const struct nqptp_clock *clock) {
    uint64_t deletion_ns = clock->heard_ns + NQPTP_CLOCK_LIFETIME_NS;

    return clock->waiting != NQPTP_NO_CLOCK && clock->waiting_until_ns < deletion_ns
               ? clock->waiting_until_ns
               : deletion_ns;
}

/* The clock whose deadline comes first, or NQPTP_NO_CLOCK. */
static int first_due(const struct nqptp_engine *engine) {
    int first = NQPTP_NO_CLOCK;

    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++) {
        const struct nqptp_clock *clock = &engine->table.clocks[i];
        if (clock->in_use && (first == NQPTP_NO_CLOCK ||
                              clock_deadline(clock) < clock_deadline(&engine->table.clocks[first])))
            first = i;
    }
    return first;
}

uint64_t nqptp_engine_deadline(const struct nqptp_engine *engine) {
    int first = first_due(engine);
    return first == NQPTP_NO_CLOCK ? NQPTP_NO_DEADLINE
                                   : clock_deadline(&engine->table.clocks[first]);
}

void nqptp_engine_expire(struct nqptp_engine *engine, uint64_t now_ns,
                         struct nqptp_effects *effects) {
    int before = engine->client.master;
    int i = first_due(engine);

    *effects = (struct nqptp_effects){0};
    if (i == NQPTP_NO_CLOCK || clock_deadline(&engine->table.clocks[i]) > now_ns)
        return;
    if (engine->table.clocks[i].waiting != NQPTP_NO_CLOCK)
        serve_waiting(engine, i, now_ns, effects);
    else
        delete_clock(engine, i, effects);
    select_master(engine, before, now_ns, effects);
}
