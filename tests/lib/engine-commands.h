/* SPDX-License-Identifier: MIT */
/* Takes the text of a command into the engine as the daemon does, but makes no objects. */
#ifndef NQPTP_ENGINE_COMMANDS_H
#define NQPTP_ENGINE_COMMANDS_H

#include "nqptp-message-handlers.h"

#include <netinet/in.h>
#include <string.h>

/* Makes an engine with the client that bare commands are for. */
static inline void begin_engine(struct nqptp_engine *engine, uint64_t clock_identity) {
    nqptp_engine_init(engine, clock_identity);
    nqptp_engine_add_client(engine, "/nqptp", &(struct nqptp_shm_record){0});
}

/* Obeys the command. `old` is the record that the object of a new client holds. */
static inline struct nqptp_answer obey(struct nqptp_engine *engine, const char *text, size_t length,
                                       const struct nqptp_shm_record *old, uint64_t now_ns,
                                       struct nqptp_command *command,
                                       struct nqptp_effects *effects) {
    struct nqptp_answer answer = {nqptp_command_parse(text, length, command), -1};

    memset(effects, 0, sizeof *effects);
    if (answer.refusal)
        return answer;
    if (nqptp_engine_needs_client(engine, command))
        nqptp_engine_add_client(engine, command->name, old);
    return nqptp_engine_command(engine, command, now_ns, effects);
}

/* Returns the record that client c has to read by the state of the engine. */
static inline struct nqptp_shm_record record_of(const struct nqptp_engine *engine, int c) {
    int i = engine->clients.list[c].master;
    struct nqptp_shm_record record = {0};

    if (i == NQPTP_NO_CLOCK)
        return record;
    const struct nqptp_clock *clock = &engine->table.clocks[i];
    record = (struct nqptp_shm_record){
        .clock_identity = clock->clock_identity,
        .grandmaster_identity = clock->reading.grandmaster_identity,
        .local_time_ns = clock->reading.local_time_ns,
        .offset_ns = clock->reading.offset_ns,
        .start_time_ns = clock->reading.start_time_ns,
    };
    record.address = clock->address;
    return record;
}

static inline bool has_master(const struct nqptp_shm_record *record) {
    return !IN6_IS_ADDR_UNSPECIFIED(&record->address.ip);
}

/* Whether the record is that of a clock at this address. */
static inline bool is_at(const struct nqptp_shm_record *record,
                         const struct nqptp_address *address) {
    return IN6_ARE_ADDR_EQUAL(&record->address.ip, &address->ip);
}

static inline bool same_record(const struct nqptp_shm_record *a, const struct nqptp_shm_record *b) {
    return a->clock_identity == b->clock_identity && is_at(a, &b->address) &&
           a->grandmaster_identity == b->grandmaster_identity &&
           a->local_time_ns == b->local_time_ns && a->offset_ns == b->offset_ns &&
           a->start_time_ns == b->start_time_ns;
}

#endif
