/* SPDX-License-Identifier: MIT */
/*
 * What the engine asks its caller to do: publish records, send messages, tell people of events. The
 * engine does none of that itself, so a test is a function call.
 */
#ifndef NQPTP_EFFECTS_H
#define NQPTP_EFFECTS_H

#include "nqptp-clients.h"
#include "nqptp-message.h"
#include "nqptp-shm.h"

#define NQPTP_EVENTS_MAX (NQPTP_CLIENTS_MAX + NQPTP_CLOCKS_MAX + 4)

/* What is told to people. */
enum nqptp_event_kind {
    NQPTP_EVENT_CREATED,     /* a record */
    NQPTP_EVENT_DELETED,     /* a record: its clock fell silent, or another one needed the slot */
    NQPTP_EVENT_REFUSED,     /* a clock, for want of a slot */
    NQPTP_EVENT_QUALIFIED,   /* a clock: its Announces are good enough for a client to follow it */
    NQPTP_EVENT_LIST,        /* a client lists other addresses now */
    NQPTP_EVENT_ACTIVITY,    /* a client's player began, paused or ended */
    NQPTP_EVENT_MASTER,      /* a clock became master */
    NQPTP_EVENT_NO_MASTER,   /* there was a master; now there is none */
    NQPTP_EVENT_SILENT,      /* a master gave no sample for too long, */
    NQPTP_EVENT_STOPPED,     /*   or only its old time again */
    NQPTP_EVENT_RESUMED,     /* such a master gave a sample */
    NQPTP_EVENT_STEPPED,     /* a master's time jumped */
    NQPTP_EVENT_GRANDMASTER, /* a master has another grandmaster, hence another time */
};

struct nqptp_event {
    enum nqptp_event_kind kind;
    uint64_t clock_identity; /* 0 and :: where no clock is meant */
    struct nqptp_address address;
    int client;                    /* whose list, activity, master; else -1 */
    struct nqptp_reason reason;    /* MASTER; NO_MASTER: SILENT or UNLISTED */
    uint64_t silent_ns;            /* SILENT, STOPPED, RESUMED: for how long */
    int64_t moved_ns;              /* RESUMED, STEPPED: by how much its offset changed */
    uint64_t grandmaster_identity; /* GRANDMASTER: the new one */
};

/*
 * What one call asks its caller to do. Every call sets the members before `records`, and of the
 * arrays only as much as they say.
 */
struct nqptp_effects {
    uint32_t publish;     /* Bit c: records[c] is to be published in client c's object. */
    unsigned reply_count; /* So many of `replies` are to be sent. */
    unsigned event_count; /* So many of `events` are to be told. */
    struct nqptp_shm_record records[NQPTP_CLIENTS_MAX];
    struct nqptp_reply replies[2];
    struct nqptp_event events[NQPTP_EVENTS_MAX];
};

/* Begins a call: there is nothing to do yet. */
void nqptp_effects_begin(struct nqptp_effects *effects);

/* Ends a call: fills in the records that are to be published, by the state as it is now. */
void nqptp_effects_finish(struct nqptp_effects *effects, const struct nqptp_clock_table *table,
                          const struct nqptp_clients *clients);

/* Client c's record is to be published. */
void nqptp_effects_publish(struct nqptp_effects *effects, int c);

/* People are to be told of the event. */
void nqptp_effects_tell(struct nqptp_effects *effects, struct nqptp_event event);

/* An event about a clock, or about client c, to be completed by the caller. */
struct nqptp_event nqptp_event_of_clock(enum nqptp_event_kind kind,
                                        const struct nqptp_clock *clock);
struct nqptp_event nqptp_event_of_client(enum nqptp_event_kind kind, int c);

/*
 * A Delay_Req is to be sent to the clock. Senders drop a receiver that never sends, and know it by
 * the address that they sent to, so it is sent from there.
 */
void nqptp_effects_send_delay_req(struct nqptp_effects *effects,
                                  const struct nqptp_port_identity *self,
                                  const struct nqptp_clock *clock, uint16_t sequence_id);

/* An Announce of ours is to be sent to the clock. */
void nqptp_effects_send_announce(struct nqptp_effects *effects,
                                 const struct nqptp_port_identity *self,
                                 const struct nqptp_clock *clock, uint8_t priority1,
                                 uint8_t priority2);

#endif
