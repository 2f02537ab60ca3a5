/* SPDX-License-Identifier: MIT */
/*
 * The engine: the rules by which a message, a command or a deadline changes the state, and what is
 * to be done then. There is one function for each message and command, named for it.
 *
 * It is pure. Bytes and times go in; what the caller has to do comes out as effects. It reads no
 * clock, sends nothing and logs nothing, and hostile input is never an error, only a counted drop.
 * `now_ns` is CLOCK_MONOTONIC_RAW throughout, never less than in the call before.
 */
#ifndef NQPTP_MESSAGE_HANDLERS_H
#define NQPTP_MESSAGE_HANDLERS_H

#include "nqptp-asking.h"
#include "nqptp-commands.h"

/* The PTP port number that our messages come from, as those of the reference implementation. */
#define NQPTP_PORT_NUMBER 32776

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
    struct nqptp_self self;
    struct nqptp_clock_table table;
    struct nqptp_clients clients;
    struct nqptp_asking asking;
    uint64_t packets;                 /* The number of datagrams so far. */
    uint64_t drops[NQPTP_DROP_COUNT]; /* The number of those for each reason; NONE: used. */
};

/* What became of a command. */
struct nqptp_answer {
    const char *refusal; /* Why it was refused and changed nothing, or NULL. */
    int client; /* The client that it was for; -1 if it was refused, or asked for the status. */
};

/* Makes an engine that sends under this identity, knows no clock and has no client. */
void nqptp_engine_init(struct nqptp_engine *engine, uint64_t clock_identity);

/*
 * Whether the command is a T under a new name and an entry is free for its client. Then the caller
 * opens the client's object and adds the client, before it has the engine obey the command. So the
 * engine never holds a client without an object.
 */
bool nqptp_engine_needs_client(const struct nqptp_engine *engine,
                               const struct nqptp_command *command);

/*
 * Adds a client. `old` is what an earlier process published in its object, or zeros. If the
 * client's first master is the same clock, within 5 ms of where it should be, its mastership goes
 * on. Add the client of bare commands first. Returns the number of the client, which
 * nqptp_clients_next() told, or -1 if all are taken.
 */
int nqptp_engine_add_client(struct nqptp_engine *engine, const char *name,
                            const struct nqptp_shm_record *old);

/* Removes client c, whose object is gone. The last client gets its number. */
void nqptp_engine_remove_client(struct nqptp_engine *engine, int c);

/* Sets our own addresses, by which the engine knows what we sent. More than fit are ignored. */
void nqptp_engine_set_own_addresses(struct nqptp_engine *engine,
                                    const struct nqptp_address *addresses, unsigned count);

/* Returns when to read the kernel's neighbour table and to tell it, or NQPTP_NO_DEADLINE. */
uint64_t nqptp_engine_neighbours_due_ns(const struct nqptp_engine *engine);

/* Takes in the kernel's neighbour table, or what could be read of it. */
void nqptp_engine_neighbours(struct nqptp_engine *engine, const struct nqptp_neighbours *neighbours,
                             uint64_t now_ns, struct nqptp_effects *effects);

/* Takes in a datagram to port 319 or 320. Returns NQPTP_DROP_NONE, or why it was not used. */
enum nqptp_drop nqptp_engine_packet(struct nqptp_engine *engine, const struct nqptp_packet *packet,
                                    uint64_t now_ns, struct nqptp_effects *effects);

/* Counts datagrams that were dropped for that reason before the engine saw them. */
void nqptp_engine_drop(struct nqptp_engine *engine, enum nqptp_drop reason, uint64_t count);

/*
 * Returns until when packets may lie in their sockets, or 0 if they are to be read as they come.
 * They may lie there while many clocks are alive and no sample of a master is due. The kernel notes
 * when they came, so that the rest costs no accuracy, and it saves most of the wake-ups.
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

/*
 * No process has had the objects of these clients open for long (bit c: client c): their players
 * stopped, as if they had sent E.
 */
void nqptp_engine_unused(struct nqptp_engine *engine, uint64_t clients, uint64_t now_ns,
                         struct nqptp_effects *effects);

/* Publishes again for each client that has a master: CLOCK_REALTIME was set. */
void nqptp_engine_republish(const struct nqptp_engine *engine, struct nqptp_effects *effects);

/* Returns when to call nqptp_engine_expire() next, or NQPTP_NO_DEADLINE. */
uint64_t nqptp_engine_deadline(const struct nqptp_engine *engine);

/* Does one thing that is due at now_ns. Call it until the deadline lies in the future. */
void nqptp_engine_expire(struct nqptp_engine *engine, uint64_t now_ns,
                         struct nqptp_effects *effects);

#endif
