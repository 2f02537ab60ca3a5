/* SPDX-License-Identifier: MIT */
/*
 * What the engine asks for: see the header.
 *
 * The struct is several kilobytes long, so a call resets only its small part, the members before
 * `records`. A member that is added there is reset with the others. The records are filled in last,
 * after all changes of the call.
 */
#include "nqptp-effects.h"

#include <stddef.h>
#include <string.h>

bool nqptp_self_has_address(const struct nqptp_self *self, const struct nqptp_address *address) {
    for (unsigned i = 0; i < self->address_count; i++)
        if (nqptp_address_equal(&self->addresses[i], address))
            return true;
    return false;
}

void nqptp_effects_begin(struct nqptp_effects *effects) {
    memset(effects, 0, offsetof(struct nqptp_effects, records));
}

/* The record of a client: its master's values, or zeros. */
static struct nqptp_shm_record record_of(const struct nqptp_clock_table *table,
                                         const struct nqptp_client *client) {
    struct nqptp_shm_record record = {0};

    if (client->master == NQPTP_NO_CLOCK)
        return record;
    const struct nqptp_clock *clock = &table->clocks[client->master];
    record.clock_identity = clock->clock_identity;
    record.grandmaster_identity = clock->reading.grandmaster_identity;
    record.local_time_ns = clock->reading.local_time_ns;
    record.offset_ns = clock->reading.offset_ns;
    record.start_time_ns = clock->reading.start_time_ns;
    record.address = clock->address;
    return record;
}

void nqptp_effects_finish(struct nqptp_effects *effects, const struct nqptp_clock_table *table,
                          const struct nqptp_clients *clients) {
    for (int c = 0; c < clients->top; c++)
        if (nqptp_effects_publishes(effects, c))
            effects->records[c] = record_of(table, &clients->list[c]);
}

bool nqptp_effects_publishes(const struct nqptp_effects *effects, int c) {
    return effects->publish >> c & 1;
}

_Static_assert(NQPTP_CLIENTS_MAX <= 64, "there is a bit for each client");

void nqptp_effects_publish(struct nqptp_effects *effects, int c) {
    effects->publish |= UINT64_C(1) << c;
}

void nqptp_effects_tell(struct nqptp_effects *effects, struct nqptp_event event) {
    if (effects->event_count < NQPTP_EVENTS_MAX)
        effects->events[effects->event_count++] = event;
}

struct nqptp_event nqptp_event_of_clock(enum nqptp_event_kind kind,
                                        const struct nqptp_clock *clock) {
    return (struct nqptp_event){
        .kind = kind,
        .clock_identity = clock->clock_identity,
        .address = clock->address,
        .client = -1,
        .grandmaster_identity = clock->reading.grandmaster_identity,
        .odd_rate_ppm = clock->odd_rate_ppm,
    };
}

struct nqptp_event nqptp_event_of_client(enum nqptp_event_kind kind, int c) {
    return (struct nqptp_event){.kind = kind, .client = c};
}

/* Begins a message of ours to the clock. It goes the way by which the clock's messages come. */
static struct nqptp_reply reply_to(const struct nqptp_clock *clock) {
    return (struct nqptp_reply){
        .destination = clock->address, .local = clock->local, .interface = clock->interface};
}

static void send_delay_req(struct nqptp_effects *effects, const struct nqptp_self *self,
                           struct nqptp_reply reply, uint16_t sequence_id) {
    reply.length = NQPTP_DELAY_REQ_LENGTH;
    nqptp_message_write_delay_req(reply.data, &self->port, sequence_id);
    effects->replies[effects->reply_count++] = reply;
}

void nqptp_effects_send_request(struct nqptp_effects *effects, const struct nqptp_self *self,
                                const struct nqptp_address *address, uint16_t sequence_id) {
    struct nqptp_reply reply = {.destination = *address, .interface = address->scope_id};

    send_delay_req(effects, self, reply, sequence_id);
}

void nqptp_effects_send_delay_req(struct nqptp_effects *effects, const struct nqptp_self *self,
                                  struct nqptp_clock *clock, uint16_t sequence_id) {
    clock->requests++;
    send_delay_req(effects, self, reply_to(clock), sequence_id);
}

void nqptp_effects_send_announce(struct nqptp_effects *effects, const struct nqptp_self *self,
                                 const struct nqptp_clock *clock, uint8_t priority1,
                                 uint8_t priority2) {
    struct nqptp_reply reply = reply_to(clock);

    reply.general = true;
    reply.length = NQPTP_ANNOUNCE_LENGTH;
    nqptp_message_write_announce(reply.data, &self->port, priority1, priority2);
    effects->replies[effects->reply_count++] = reply;
}
