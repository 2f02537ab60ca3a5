/* SPDX-License-Identifier: MIT */
/*
 * The engine: the rules by which a message, a command or a deadline changes the state, and what is
 * to be done about it. One function per message and per command, named for it.
 *
 * It is pure. Bytes and times go in; what the outside has to do comes out as effects. It reads no
 * clock, sends nothing and logs nothing, and hostile input is never an error, only a counted drop.
 * `now_ns` is CLOCK_MONOTONIC_RAW throughout, never less than in the call before.
 */
#ifndef NQPTP_MESSAGE_HANDLERS_H
#define NQPTP_MESSAGE_HANDLERS_H

#include "nqptp-commands.h"
#include "nqptp-effects.h"

/* The port number that we, and the reference implementation before us, send from. */
#define NQPTP_PORT_NUMBER 32776

#define NQPTP_OWN_ADDRESSES_MAX 128

/* Why a datagram was not used. */
enum nqptp_drop {
    NQPTP_DROP_NONE = NQPTP_MESSAGE_OK,
    NQPTP_DROP_SHORT = NQPTP_MESSAGE_SHORT,
    NQPTP_DROP_VERSION = NQPTP_MESSAGE_VERSION,
    NQPTP_DROP_DOMAIN = NQPTP_MESSAGE_DOMAIN,
    NQPTP_DROP_TYPE = NQPTP_MESSAGE_TYPE,
    NQPTP_DROP_LENGTH = NQPTP_MESSAGE_LENGTH,
    NQPTP_DROP_TRUNCATED, /* It was longer than any PTP message: the kernel cut it off. */
    NQPTP_DROP_OWN,       /* We sent it ourselves. */
    NQPTP_DROP_UNKNOWN,   /* It is a Follow_Up of a clock that is not in the table. */
    NQPTP_DROP_DUPLICATE, /* Its sequenceId was seen, or gave a sample, already. */
    NQPTP_DROP_LATE,      /* It, or its sequenceId, is too old. */
    NQPTP_DROP_FULL,      /* The table has no slot for its clock. */
    NQPTP_DROP_FOREIGN,   /* It is a Delay_Resp to another port's request. */
    NQPTP_DROP_KERNEL,    /* The kernel's buffer was full, or the kernel filtered it in a flood. */
    NQPTP_DROP_COUNT
};

struct nqptp_engine {
    struct nqptp_port_identity self;
    struct nqptp_address own_addresses[NQPTP_OWN_ADDRESSES_MAX];
    unsigned own_address_count;
    struct nqptp_clock_table table;
    struct nqptp_clients clients;
    uint64_t packets;
    uint64_t drops[NQPTP_DROP_COUNT];
};

/* What became of a command. */
struct nqptp_answer {
    const char *refusal; /* Why it was refused and changed nothing, or NULL. */
    int client; /* The client that it was for; -1 if it was refused, or asked for the status. */
};

/* Makes an engine that sends under this identity, knows no clock and has no client. */
void nqptp_engine_init(struct nqptp_engine *engine, uint64_t clock_identity);

/*
 * Whether the command is a T under a new name, for which there is room: then a client has to be
 * added before the engine is told of the command.
 */
bool nqptp_engine_needs_client(const struct nqptp_engine *engine,
                               const struct nqptp_command *command);

/*
 * Adds a client whose object exists already and holds `old`, the record of an earlier process. If
 * the client's first master turns out to be the same clock, within 5 ms of where it should be, the
 * mastership of that record goes on. Returns the client's number, which is nqptp_clients_next(), or
 * -1 if there is no room.
 */
int nqptp_engine_add_client(struct nqptp_engine *engine, const char *name,
                            const struct nqptp_shm_record *old);

/* Our own addresses, by which the engine tells what we sent ourselves. More than fit are ignored.
 */
void nqptp_engine_set_own_addresses(struct nqptp_engine *engine,
                                    const struct nqptp_address *addresses, unsigned count);

/* Takes in a datagram that came to port 319 or 320. Returns whether, or why not, it was used. */
enum nqptp_drop nqptp_engine_packet(struct nqptp_engine *engine, const struct nqptp_packet *packet,
                                    uint64_t now_ns, struct nqptp_effects *effects);

/* Counts datagrams that were dropped for that reason before the engine saw them. */
void nqptp_engine_drop(struct nqptp_engine *engine, enum nqptp_drop reason, uint64_t count);

/*
 * Until when packets may lie in their sockets, to be read in one go then: while many clocks are
 * heard, and the next sample of each that is followed is not due yet. The kernel notes when they
 * came, so waiting costs no accuracy, and saves most of the wake-ups. 0: read them as they come.
 */
uint64_t nqptp_engine_rest_until_ns(const struct nqptp_engine *engine, uint64_t now_ns);

/*
 * Obeys a command. `T` lists the clocks that may become master, or says that none may; `/name T`
 * does so for the client of that name, whose first address wins; `/name B`, `/name P` and `/name E`
 * say that its player begins, pauses and ends. `?` changes nothing.
 */
struct nqptp_answer nqptp_engine_command(struct nqptp_engine *engine,
                                         const struct nqptp_command *command, uint64_t now_ns,
                                         struct nqptp_effects *effects);

/* Publishes again for each client that has a master: CLOCK_REALTIME was set. */
void nqptp_engine_republish(const struct nqptp_engine *engine, struct nqptp_effects *effects);

/* When the engine wants to be called next though nothing comes in; NQPTP_NO_DEADLINE for never. */
uint64_t nqptp_engine_deadline(const struct nqptp_engine *engine);

/* Does one thing that is due at now_ns. Call it until the deadline lies in the future. */
void nqptp_engine_expire(struct nqptp_engine *engine, uint64_t now_ns,
                         struct nqptp_effects *effects);

#endif
