/* SPDX-License-Identifier: MIT */
/*
 * The engine: see the header. Clauses are those of IEEE 1588-2008.
 *
 * A packet goes through these functions, each of which calls none of those above it:
 *   nqptp_engine_packet()   parses it; handle() chooses the function for its type
 *   handle_sync() etc.      finds or makes the clock's row: row_of()
 *   nqptp_pairing_...()     pairs it, and gives at most two samples
 *   use_sample()            nqptp_clock_sample() estimates; clients that follow the clock get it
 *   select_masters()        nqptp_client_select(), for each client; tell_choice() tells a change
 *   nqptp_effects_finish()  fills in the records that the caller then writes into the objects
 *
 * A command goes through the last two, and so does the deadline of a clock.
 * select_masters() ends every call that may have changed what a client would choose. A change of
 * master is told and published there only, and a sample in use_sample() only.
 *
 * The engine owns the table of clocks and the clients. Only row_of() and delete_clock() give a row
 * to another clock, so only they bring the clients' masks of rows up to date. The engine never
 * reads a system clock, never sends, and never fails: it counts the packets that it cannot use.
 */
#include "nqptp-message-handlers.h"

#include "nqptp-time.h"
#include "nqptp-wake-up.h"

#include <string.h>

#define REST_CLOCKS 4                      /* Packets wait only while more clocks are alive. */
#define REST_NS (125 * NQPTP_MS)           /* Packets wait at most for the usual Sync interval. */
#define STUCK_NS (2 * (int64_t)NQPTP_S)    /* Older packets came while we were stopped. */
#define STALE_NS NQPTP_S                   /* At B, a master with an older sample starts afresh. */
#define STEP_TOLD_NS INT64_C(5000000)      /* A smaller step is not told. */
#define ANNOUNCE_AGAIN_NS (100 * NQPTP_MS) /* One sequenceId within this time is one datagram. */

void nqptp_engine_init(struct nqptp_engine *engine, uint64_t clock_identity) {
    *engine = (struct nqptp_engine){.self.port = {clock_identity, NQPTP_PORT_NUMBER}};
    nqptp_asking_init(&engine->asking);
}

int nqptp_engine_add_client(struct nqptp_engine *engine, const char *name,
                            const struct nqptp_shm_record *old) {
    int c = nqptp_clients_add(&engine->clients, name);
    if (c >= 0)
        engine->clients.list[c].inherited = (struct nqptp_reading){
            .grandmaster_identity = old->grandmaster_identity,
            .offset_ns = old->offset_ns,
            .start_time_ns = old->start_time_ns,
        };
    return c;
}

/* Whether any client lists the clock in row i. */
static bool is_listed(const struct nqptp_engine *engine, int i) {
    return nqptp_clients_listed(&engine->clients) >> i & 1;
}

void nqptp_engine_remove_client(struct nqptp_engine *engine, int c) {
    nqptp_clients_remove(&engine->clients, c);
}

void nqptp_engine_set_own_addresses(struct nqptp_engine *engine,
                                    const struct nqptp_address *addresses, unsigned count) {
    if (count > NQPTP_OWN_ADDRESSES_MAX)
        count = NQPTP_OWN_ADDRESSES_MAX;
    memcpy(engine->self.addresses, addresses, count * sizeof *addresses);
    engine->self.address_count = count;
}

/* --- choosing -------------------------------------------------------------------------------- */

/* Publishes for all clients that follow the clock in row i. */
static void publish_clock(const struct nqptp_engine *engine, int i, struct nqptp_effects *effects) {
    for (int c = 0; c < engine->clients.top; c++)
        if (engine->clients.list[c].master == i)
            nqptp_effects_publish(effects, c);
}

/*
 * Client c has chosen. If its master is another one than was published, tells and publishes that.
 * It has none if the row of its old master is empty, or the client may not follow that any more.
 */
static void tell_choice(struct nqptp_engine *engine, int c, int old, uint64_t now_ns,
                        struct nqptp_effects *effects) {
    struct nqptp_client *client = &engine->clients.list[c];
    struct nqptp_event event = nqptp_event_of_client(NQPTP_EVENT_NO_MASTER, c);

    if (client->master == client->published)
        return;
    client->published = client->master;
    nqptp_effects_publish(effects, c);
    event.reason.won = old == NQPTP_NO_CLOCK ? NQPTP_WON_SILENT : NQPTP_WON_UNLISTED;
    if (client->master != NQPTP_NO_CLOCK) {
        struct nqptp_clock *clock = &engine->table.clocks[client->master];
        if (nqptp_client_carry_on(client, clock))
            publish_clock(engine, client->master, effects);
        event = nqptp_event_of_clock(NQPTP_EVENT_MASTER, clock);
        event.client = c;
        event.reason = nqptp_client_reason(&engine->table, client, old, now_ns);
    }
    nqptp_effects_tell(effects, event);
}

/*
 * Notes which clocks give no samples any more. A loss is told if a client that has not ended
 * follows the clock, and before any client chooses another one. If a client needs the clock, a
 * round of asking begins. For other clocks none begins, or any host could cause more requests.
 */
static void tell_losses(struct nqptp_engine *engine, uint64_t now_ns,
                        struct nqptp_effects *effects) {
    for (int i = 0; i < engine->table.clocks_top; i++) {
        struct nqptp_clock *clock = &engine->table.clocks[i];
        if (clock->alive_until_ns == 0 || clock->alive_until_ns > now_ns)
            continue;
        clock->alive_until_ns = 0;
        if (nqptp_clients_need_clock(&engine->clients, i))
            nqptp_asking_begin(&engine->asking, &engine->clients, now_ns);
        struct nqptp_event event = nqptp_event_of_clock(
            nqptp_clock_is_asleep(clock) ? NQPTP_EVENT_STOPPED : NQPTP_EVENT_SILENT, clock);
        event.silent_ns = now_ns - clock->sampled_at_ns;
        if (!nqptp_clients_ended(&engine->clients, i))
            nqptp_effects_tell(effects, event);
    }
}

/* Lets all clients choose again, and tells which clocks qualify that did not. */
static void select_masters(struct nqptp_engine *engine, uint64_t now_ns,
                           struct nqptp_effects *effects) {
    struct nqptp_client *clients = engine->clients.list;
    uint32_t listed = nqptp_clients_listed(&engine->clients), before = 0, qualified = 0;
    int old[NQPTP_CLIENTS_MAX] = {0};

    tell_losses(engine, now_ns, effects);
    for (int c = 0; c < engine->clients.top; c++) {
        old[c] = clients[c].master;
        clients[c].reserved = listed & ~clients[c].listed;
        before |= clients[c].qualified;
        nqptp_client_select(&engine->table, &clients[c], now_ns);
        qualified |= clients[c].qualified;
    }
    for (int i = 0; i < engine->table.clocks_top; i++) {
        struct nqptp_clock *clock = &engine->table.clocks[i];
        clock->kept = false;
        if (!(listed >> i & 1))
            clock->listed_announces = 0; /* only those count that it sends while it is listed */
        if ((qualified & ~before) >> i & 1)
            nqptp_effects_tell(effects, nqptp_event_of_clock(NQPTP_EVENT_QUALIFIED, clock));
    }
    for (int c = 0; c < engine->clients.top; c++) {
        tell_choice(engine, c, old[c], now_ns, effects);
        if (clients[c].master != NQPTP_NO_CLOCK && nqptp_client_plays(&clients[c]))
            engine->table.clocks[clients[c].master].kept = true;
    }
    nqptp_asking_plan_neighbours(&engine->asking, &engine->clients, &engine->table, now_ns);
}

uint64_t nqptp_engine_neighbours_due_ns(const struct nqptp_engine *engine) {
    return engine->asking.neighbours_due_ns;
}

void nqptp_engine_neighbours(struct nqptp_engine *engine, const struct nqptp_neighbours *neighbours,
                             uint64_t now_ns, struct nqptp_effects *effects) {
    nqptp_effects_begin(effects);
    nqptp_clients_note_neighbours(&engine->clients, &engine->table, neighbours);
    nqptp_asking_note_neighbours(&engine->asking, now_ns);
    select_masters(engine, now_ns, effects);
    nqptp_effects_finish(effects, &engine->table, &engine->clients);
}

/* --- rows ---------------------------------------------------------------------------------- */

static void delete_clock(struct nqptp_engine *engine, int i, struct nqptp_effects *effects) {
    nqptp_effects_tell(effects,
                       nqptp_event_of_clock(NQPTP_EVENT_DELETED, &engine->table.clocks[i]));
    nqptp_clock_delete(&engine->table, i);
    nqptp_clients_remove_clock(&engine->clients, i);
}

/* Finds or makes the row of the message's clock. Returns NQPTP_NO_CLOCK if none is free. */
static int row_of(struct nqptp_engine *engine, const struct nqptp_packet *packet,
                  const struct nqptp_message *message, uint64_t now_ns,
                  struct nqptp_effects *effects) {
    uint64_t identity = message->source.clock_identity;
    int i = nqptp_clock_find(&engine->table, identity, &packet->source);
    if (i != NQPTP_NO_CLOCK)
        return i;
    i = nqptp_clock_row_for(&engine->table, nqptp_clients_listed(&engine->clients),
                            nqptp_clients_masters(&engine->clients), &packet->source,
                            nqptp_clients_list_address(&engine->clients, &packet->source), now_ns);
    if (i == NQPTP_NO_CLOCK) {
        nqptp_effects_tell(effects, (struct nqptp_event){.kind = NQPTP_EVENT_REFUSED,
                                                         .clock_identity = identity,
                                                         .address = packet->source,
                                                         .client = -1});
        return i;
    }
    if (engine->table.clocks[i].in_use)
        delete_clock(engine, i, effects);
    nqptp_clock_create(&engine->table, i, identity, &packet->source, now_ns);
    nqptp_clients_add_clock(&engine->clients, &engine->table, i);
    nqptp_asking_hasten_neighbours(&engine->asking);
    nqptp_effects_tell(effects,
                       nqptp_event_of_clock(NQPTP_EVENT_CREATED, &engine->table.clocks[i]));
    return i;
}

/* Notes when a message of the clock came, and to which of our addresses and interfaces. */
static void note_arrival(struct nqptp_clock *clock, const struct nqptp_packet *packet,
                         uint64_t now_ns) {
    clock->heard_at_ns = now_ns;
    clock->packets++;
    clock->address.scope_id = packet->source.scope_id;
    clock->local = packet->local;
    clock->interface = packet->interface;
}

/* --- samples --------------------------------------------------------------------------------- */

/* Tells what a sample of a master changed, other than bringing its offset up to date. */
static void tell_sample(struct nqptp_clock *clock, const struct nqptp_reading *old,
                        uint64_t silent_ns, bool lost, struct nqptp_effects *effects) {
    struct nqptp_event event = nqptp_event_of_clock(NQPTP_EVENT_STEPPED, clock);

    if (nqptp_clock_judge_rate(clock))
        nqptp_effects_tell(effects, nqptp_event_of_clock(NQPTP_EVENT_RATE, clock));
    event.moved_ns = (int64_t)(clock->reading.offset_ns - old->offset_ns);
    event.silent_ns = silent_ns;
    if (event.grandmaster_identity != old->grandmaster_identity)
        event.kind = NQPTP_EVENT_GRANDMASTER;
    else if (lost)
        event.kind = NQPTP_EVENT_RESUMED;
    else if (clock->reading.start_time_ns == old->start_time_ns ||
             (event.moved_ns < STEP_TOLD_NS && event.moved_ns > -STEP_TOLD_NS))
        return;
    nqptp_effects_tell(effects, event);
}

/* Gives the clock in row i a sample, publishes it, and lets all clients choose again. */
static void use_sample(struct nqptp_engine *engine, int i, const struct nqptp_sample *sample,
                       uint64_t now_ns, struct nqptp_effects *effects) {
    struct nqptp_clock *clock = &engine->table.clocks[i];
    struct nqptp_reading old = clock->reading;
    uint64_t sampled_at_ns = clock->sampled_at_ns;
    bool was_lost = clock->alive_until_ns == 0;

    if (!nqptp_clock_sample(clock, sample, now_ns)) {
        if (is_listed(engine, i))
            nqptp_wake_up_if_stopped(clock, &engine->self, now_ns, effects);
    } else {
        publish_clock(engine, i, effects);
        if (sampled_at_ns > 0 && (nqptp_clients_masters(&engine->clients) >> i & 1))
            tell_sample(clock, &old, now_ns - sampled_at_ns, was_lost, effects);
    }
    select_masters(engine, now_ns, effects);
}

/* Uses what a Sync or Follow_Up of the clock in row i gave. Returns why it gave nothing, if so. */
static enum nqptp_drop use_samples(struct nqptp_engine *engine, int i,
                                   const struct nqptp_packet *packet,
                                   enum nqptp_pairing_result result,
                                   const struct nqptp_samples *samples, uint64_t now_ns,
                                   struct nqptp_effects *effects) {
    if (result != NQPTP_PAIRING_NOTED)
        return result == NQPTP_PAIRING_LATE ? NQPTP_DROP_LATE : NQPTP_DROP_DUPLICATE;
    note_arrival(&engine->table.clocks[i], packet, now_ns);
    for (unsigned n = 0; n < samples->count; n++)
        use_sample(engine, i, &samples->list[n], now_ns, effects);
    return NQPTP_DROP_NONE;
}

/* --- messages -------------------------------------------------------------------------------- */

static enum nqptp_drop handle_sync(struct nqptp_engine *engine, const struct nqptp_packet *packet,
                                   const struct nqptp_message *message, uint64_t now_ns,
                                   struct nqptp_effects *effects) {
    struct nqptp_samples samples;
    int i = row_of(engine, packet, message, now_ns, effects);
    if (i == NQPTP_NO_CLOCK)
        return NQPTP_DROP_FULL;
    struct nqptp_clock *clock = &engine->table.clocks[i];
    enum nqptp_pairing_result result =
        nqptp_pairing_sync(&clock->pairing, message, packet->receive_time_ns, now_ns, &samples);
    enum nqptp_drop drop = use_samples(engine, i, packet, result, &samples, now_ns, effects);
    if (drop == NQPTP_DROP_NONE && nqptp_clients_need_clock(&engine->clients, i))
        nqptp_effects_send_delay_req(effects, &engine->self, clock, message->sequence_id);
    return drop;
}

static enum nqptp_drop handle_follow_up(struct nqptp_engine *engine,
                                        const struct nqptp_packet *packet,
                                        const struct nqptp_message *message, uint64_t now_ns,
                                        struct nqptp_effects *effects) {
    struct nqptp_samples samples;
    int i = nqptp_clock_find(&engine->table, message->source.clock_identity, &packet->source);
    if (i == NQPTP_NO_CLOCK)
        return NQPTP_DROP_UNKNOWN;
    struct nqptp_clock *clock = &engine->table.clocks[i];
    enum nqptp_pairing_result result =
        nqptp_pairing_follow_up(&clock->pairing, message, packet->receive_time_ns,
                                clock->reading.local_time_ns, now_ns, &samples);
    return use_samples(engine, i, packet, result, &samples, now_ns, effects);
}

static enum nqptp_drop handle_announce(struct nqptp_engine *engine,
                                       const struct nqptp_packet *packet,
                                       const struct nqptp_message *message, uint64_t now_ns,
                                       struct nqptp_effects *effects) {
    int i = row_of(engine, packet, message, now_ns, effects);
    if (i == NQPTP_NO_CLOCK)
        return NQPTP_DROP_FULL;
    struct nqptp_clock *clock = &engine->table.clocks[i];
    if (clock->announced && clock->port_number == message->source.port_number &&
        clock->announce_id == message->sequence_id &&
        now_ns - clock->announce_interval.last_at_ns < ANNOUNCE_AGAIN_NS)
        return NQPTP_DROP_DUPLICATE;
    note_arrival(clock, packet, now_ns);
    clock->announce_id = message->sequence_id;
    nqptp_clock_announce(clock, &message->announce, message->source.port_number,
                         message->log_message_interval, now_ns);
    nqptp_clients_add_clock(&engine->clients, &engine->table, i);
    nqptp_wake_up_if_silent(clock, &engine->self, is_listed(engine, i), now_ns, effects);
    select_masters(engine, now_ns, effects);
    return NQPTP_DROP_NONE;
}

/* The time in it is not used: AirPlay devices return that of their last Follow_Up. */
static enum nqptp_drop handle_delay_resp(struct nqptp_engine *engine,
                                         const struct nqptp_packet *packet,
                                         const struct nqptp_message *message, uint64_t now_ns) {
    if (message->requesting.clock_identity != engine->self.port.clock_identity ||
        message->requesting.port_number != engine->self.port.port_number)
        return NQPTP_DROP_FOREIGN;
    int i = nqptp_clock_find(&engine->table, message->source.clock_identity, &packet->source);
    if (i != NQPTP_NO_CLOCK) {
        engine->table.clocks[i].answers++;
        engine->table.clocks[i].answered_ns = now_ns;
    }
    return NQPTP_DROP_NONE;
}

static bool is_our_own(const struct nqptp_engine *engine, const struct nqptp_packet *packet,
                       const struct nqptp_message *message) {
    return message->source.clock_identity == engine->self.port.clock_identity &&
           message->source.port_number == engine->self.port.port_number &&
           nqptp_self_has_address(&engine->self, &packet->source);
}

/* Whether it waited while we were stopped. A backlog of old times looks like a clock that steps. */
static bool was_stuck(const struct nqptp_packet *packet, const struct nqptp_message *message,
                      uint64_t now_ns) {
    return (message->type == NQPTP_SYNC || message->type == NQPTP_FOLLOW_UP) &&
           (int64_t)(now_ns - packet->receive_time_ns) > STUCK_NS;
}

static enum nqptp_drop handle(struct nqptp_engine *engine, const struct nqptp_packet *packet,
                              uint64_t now_ns, struct nqptp_effects *effects) {
    struct nqptp_message message;
    if (packet->truncated)
        return NQPTP_DROP_TRUNCATED;
    enum nqptp_message_check found = nqptp_message_parse(packet->data, packet->length, &message);
    if (found != NQPTP_MESSAGE_OK)
        return (enum nqptp_drop)found;
    if (is_our_own(engine, packet, &message))
        return NQPTP_DROP_OWN;
    if (was_stuck(packet, &message, now_ns))
        return NQPTP_DROP_LATE;
    switch (message.type) {
    case NQPTP_SYNC:
        return handle_sync(engine, packet, &message, now_ns, effects);
    case NQPTP_FOLLOW_UP:
        return handle_follow_up(engine, packet, &message, now_ns, effects);
    case NQPTP_ANNOUNCE:
        return handle_announce(engine, packet, &message, now_ns, effects);
    case NQPTP_DELAY_RESP:
        return handle_delay_resp(engine, packet, &message, now_ns);
    case NQPTP_DELAY_REQ:
    case NQPTP_PDELAY_REQ:
    case NQPTP_PDELAY_RESP:
    case NQPTP_PDELAY_RESP_FOLLOW_UP:
    case NQPTP_SIGNALING:
    case NQPTP_MANAGEMENT:
        break; /* these are for PTP clocks, which we are not */
    }
    return NQPTP_DROP_NONE;
}

void nqptp_engine_drop(struct nqptp_engine *engine, enum nqptp_drop reason, uint64_t count) {
    engine->packets += count;
    engine->drops[reason] += count;
}

enum nqptp_drop nqptp_engine_packet(struct nqptp_engine *engine, const struct nqptp_packet *packet,
                                    uint64_t now_ns, struct nqptp_effects *effects) {
    nqptp_effects_begin(effects);
    enum nqptp_drop drop = handle(engine, packet, now_ns, effects);
    nqptp_engine_drop(engine, drop, 1);
    nqptp_effects_finish(effects, &engine->table, &engine->clients);
    return drop;
}

/* --- commands -------------------------------------------------------------------------------- */

/* Returns the number of the client that the command is for, or -1. */
static int client_of(const struct nqptp_engine *engine, const struct nqptp_command *command) {
    return command->name[0] ? nqptp_clients_find(&engine->clients, command->name) : 0;
}

bool nqptp_engine_needs_client(const struct nqptp_engine *engine,
                               const struct nqptp_command *command) {
    return command->letter == 'T' && client_of(engine, command) < 0 &&
           nqptp_clients_next(&engine->clients) >= 0;
}

/* T: replaces the client's list. */
static void command_timing_peers(struct nqptp_engine *engine, const struct nqptp_command *command,
                                 int c, uint64_t now_ns, struct nqptp_effects *effects) {
    struct nqptp_client *client = &engine->clients.list[c];
    bool followed_none = client->has_list && client->peer_count == 0;

    if (nqptp_client_set_peers(&engine->table, client, command->addresses, command->count)) {
        nqptp_asking_begin(&engine->asking, &engine->clients, now_ns);
        nqptp_effects_tell(effects, nqptp_event_of_client(NQPTP_EVENT_LIST, c));
    }
    client->first_wins = command->name[0] != '\0';
    if (command->count == 0 && !followed_none)
        nqptp_effects_publish(effects, c); /* the object may hold an earlier process's record */
}

/* B: the player begins. A master without a sample for a while starts afresh. */
static void command_begin(struct nqptp_engine *engine, struct nqptp_client *client,
                          uint64_t now_ns) {
    client->activity = NQPTP_PLAYING;
    nqptp_asking_begin(&engine->asking, &engine->clients, now_ns);
    if (client->master == NQPTP_NO_CLOCK)
        return;
    struct nqptp_clock *clock = &engine->table.clocks[client->master];
    if (now_ns - clock->sampled_at_ns <= STALE_NS)
        return;
    nqptp_estimator_reset(&clock->estimator);
    clock->series_hysteresis = (struct nqptp_hysteresis){0};
}

/* B, P, E: the client's player begins, pauses, ends. */
static void command_activity(struct nqptp_engine *engine, const struct nqptp_command *command,
                             int c, uint64_t now_ns, struct nqptp_effects *effects) {
    struct nqptp_client *client = &engine->clients.list[c];

    if (command->letter == 'B')
        command_begin(engine, client, now_ns);
    else
        client->activity = command->letter == 'P' ? NQPTP_PAUSED : NQPTP_STOPPED;
    nqptp_effects_tell(effects, nqptp_event_of_client(NQPTP_EVENT_ACTIVITY, c));
}

static struct nqptp_answer apply(struct nqptp_engine *engine, const struct nqptp_command *command,
                                 uint64_t now_ns, struct nqptp_effects *effects) {
    int c = client_of(engine, command);

    if (command->letter == '?')
        return (struct nqptp_answer){.client = -1};
    if (c < 0)
        return (struct nqptp_answer){
            .refusal = command->letter == 'T'
                           ? NQPTP_TEXT_OF(NQPTP_CLIENTS_MAX) " names are in use already"
                           : "no client of that name has sent T yet",
            .client = -1,
        };
    nqptp_asking_note_command(&engine->asking, &engine->clients, c, now_ns);
    if (command->letter == 'T')
        command_timing_peers(engine, command, c, now_ns, effects);
    else
        command_activity(engine, command, c, now_ns, effects);
    return (struct nqptp_answer){.client = c};
}

struct nqptp_answer nqptp_engine_command(struct nqptp_engine *engine,
                                         const struct nqptp_command *command, uint64_t now_ns,
                                         struct nqptp_effects *effects) {
    nqptp_effects_begin(effects);
    struct nqptp_answer answer = apply(engine, command, now_ns, effects);
    if (!answer.refusal)
        select_masters(engine, now_ns, effects);
    nqptp_effects_finish(effects, &engine->table, &engine->clients);
    return answer;
}

void nqptp_engine_unused(struct nqptp_engine *engine, uint64_t clients, uint64_t now_ns,
                         struct nqptp_effects *effects) {
    nqptp_effects_begin(effects);
    for (int c = 0; c < engine->clients.top; c++) {
        struct nqptp_client *client = &engine->clients.list[c];
        if (!(clients >> c & 1))
            continue;
        client->unused = true;
        if (client->activity == NQPTP_PLAYING)
            client->activity = NQPTP_STOPPED;
    }
    select_masters(engine, now_ns, effects);
    nqptp_effects_finish(effects, &engine->table, &engine->clients);
}

void nqptp_engine_republish(const struct nqptp_engine *engine, struct nqptp_effects *effects) {
    nqptp_effects_begin(effects);
    for (int c = 0; c < engine->clients.top; c++)
        if (engine->clients.list[c].master != NQPTP_NO_CLOCK)
            nqptp_effects_publish(effects, c);
    nqptp_effects_finish(effects, &engine->table, &engine->clients);
}

/* --- deadlines ------------------------------------------------------------------------------- */

uint64_t nqptp_engine_deadline(const struct nqptp_engine *engine) {
    int first = nqptp_clock_first_due(&engine->table);
    uint64_t due_ns = first == NQPTP_NO_CLOCK ? NQPTP_NO_DEADLINE
                                              : nqptp_clock_deadline(&engine->table.clocks[first]);
    return engine->asking.at_ns < due_ns ? engine->asking.at_ns : due_ns;
}

uint64_t nqptp_engine_rest_until_ns(const struct nqptp_engine *engine, uint64_t now_ns) {
    uint64_t until_ns = now_ns + REST_NS;

    if (__builtin_popcount(nqptp_clock_rows_alive(&engine->table, now_ns)) <= REST_CLOCKS)
        return 0;
    for (int c = 0; c < engine->clients.top; c++) {
        uint64_t due_ns = nqptp_client_awaits_at_ns(&engine->table, &engine->clients.list[c]);
        until_ns = due_ns < until_ns ? due_ns : until_ns;
    }
    return until_ns > now_ns ? until_ns : 0;
}

void nqptp_engine_expire(struct nqptp_engine *engine, uint64_t now_ns,
                         struct nqptp_effects *effects) {
    int i = nqptp_clock_first_due(&engine->table);

    nqptp_effects_begin(effects);
    if (i == NQPTP_NO_CLOCK || nqptp_clock_deadline(&engine->table.clocks[i]) > now_ns) {
        if (engine->asking.at_ns <= now_ns)
            nqptp_asking_go_on(&engine->asking, &engine->clients, &engine->table, &engine->self,
                               now_ns, effects);
        return;
    }
    struct nqptp_clock *clock = &engine->table.clocks[i];
    if (clock->pairing.waiting_until_ns > 0 && clock->pairing.waiting_until_ns <= now_ns) {
        struct nqptp_samples samples;
        nqptp_pairing_expire(&clock->pairing, &samples);
        use_sample(engine, i, &samples.list[0], now_ns, effects);
    } else if (clock->wake_up_at_ns > 0 && clock->wake_up_at_ns <= now_ns) {
        nqptp_wake_up_finish(clock, &engine->self, is_listed(engine, i), effects);
    } else if (clock->alive_until_ns == 0 || nqptp_clock_is_alive(clock, now_ns)) {
        delete_clock(engine, i, effects);
    }
    select_masters(engine, now_ns, effects);
    nqptp_effects_finish(effects, &engine->table, &engine->clients);
}
