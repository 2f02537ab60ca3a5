/* SPDX-License-Identifier: MIT */
/*
 * What the engine asks its caller to do: publish records, send messages, tell people of events. The
 * engine does none of that itself, so a test is a function call.
 */
#ifndef NQPTP_EFFECTS_H
#define NQPTP_EFFECTS_H

#include "nqptp-clients.h"
#include "nqptp-message.h"
#include "nqptp-shm-layouts.h"

/* One call tells at most of each client's master and each clock's qualification, and of 4 more. */
#define NQPTP_EVENTS_MAX (NQPTP_CLIENTS_MAX + NQPTP_CLOCKS_MAX + 4)

#define NQPTP_OWN_ADDRESSES_MAX 128

/* What our messages come from. */
struct nqptp_self {
    struct nqptp_port_identity port; /* Our PTP port. */
    unsigned address_count;          /* The number of our addresses. */
    struct nqptp_address addresses[NQPTP_OWN_ADDRESSES_MAX];
};

/* Whether the address is one of our own. */
bool nqptp_self_has_address(const struct nqptp_self *self, const struct nqptp_address *address);

/* What people are told. LIST to NO_MASTER are about a client, the others about a clock. */
enum nqptp_event_kind {
    NQPTP_EVENT_CREATED,     /* A clock is heard for the first time. */
    NQPTP_EVENT_DELETED,     /* A clock fell silent, or another one needed its row. */
    NQPTP_EVENT_REFUSED,     /* There is no row for a clock. */
    NQPTP_EVENT_QUALIFIED,   /* A clock announced itself well enough for a client to follow it. */
    NQPTP_EVENT_LIST,        /* A client lists other addresses now. */
    NQPTP_EVENT_ACTIVITY,    /* A client's player began, paused or ended. */
    NQPTP_EVENT_MASTER,      /* A clock became a client's master. */
    NQPTP_EVENT_NO_MASTER,   /* A client had a master and has none now. */
    NQPTP_EVENT_SILENT,      /* A master gave no sample for too long. */
    NQPTP_EVENT_STOPPED,     /* A master repeated its old time for too long. */
    NQPTP_EVENT_RESUMED,     /* A master that was lost gave a sample. */
    NQPTP_EVENT_STEPPED,     /* A master's time jumped. */
    NQPTP_EVENT_GRANDMASTER, /* A master has another grandmaster, hence another time. */
    NQPTP_EVENT_RATE,        /* A master's rate became odd, or usual again. */
};
#define NQPTP_EVENT_KINDS (NQPTP_EVENT_RATE + 1)

struct nqptp_event {
    enum nqptp_event_kind kind;
    uint64_t clock_identity;       /* The clock; 0 if none is meant. */
    struct nqptp_address address;  /* The clock's address; :: if none is meant. */
    int client;                    /* The client; -1 if none is meant. */
    struct nqptp_reason reason;    /* MASTER: why. NO_MASTER: SILENT or UNLISTED. */
    uint64_t silent_ns;            /* SILENT, STOPPED, RESUMED: for how long. */
    int64_t moved_ns;              /* RESUMED, STEPPED: by how much its offset changed. */
    uint64_t grandmaster_identity; /* The grandmaster of the clock. */
    double odd_rate_ppm;           /* RATE: the master's rate minus ours; 0 if usual again. */
};

/*
 * What one call of the engine asks its caller to do. Each call sets all members before `records`,
 * and of the arrays only the entries that those members count.
 */
struct nqptp_effects {
    uint64_t publish;     /* Bit c: records[c] is to be published in client c's object. */
    unsigned reply_count; /* The number of `replies` that are to be sent. */
    unsigned event_count; /* The number of `events` that people are to be told. */
    struct nqptp_shm_record records[NQPTP_CLIENTS_MAX];
    struct nqptp_reply replies[2];
    struct nqptp_event events[NQPTP_EVENTS_MAX];
};

/* Begins a call of the engine: there is nothing to do yet. */
void nqptp_effects_begin(struct nqptp_effects *effects);

/* Ends a call: fills in the records that are to be published, by the state as it is now. */
void nqptp_effects_finish(struct nqptp_effects *effects, const struct nqptp_clock_table *table,
                          const struct nqptp_clients *clients);

/* Whether client c's record is to be published. */
bool nqptp_effects_publishes(const struct nqptp_effects *effects, int c);

/* Asks to publish client c's record. */
void nqptp_effects_publish(struct nqptp_effects *effects, int c);

/* Asks to tell people of the event. */
void nqptp_effects_tell(struct nqptp_effects *effects, struct nqptp_event event);

/* Makes an event about a clock, or about client c; the caller completes it. */
struct nqptp_event nqptp_event_of_clock(enum nqptp_event_kind kind,
                                        const struct nqptp_clock *clock);
struct nqptp_event nqptp_event_of_client(enum nqptp_event_kind kind, int c);

/*
 * Asks to send a Delay_Req to an address. The kernel chooses the interface, unless the scope of a
 * link-local address says which.
 */
void nqptp_effects_send_request(struct nqptp_effects *effects, const struct nqptp_self *self,
                                const struct nqptp_address *address, uint16_t sequence_id);

/*
 * Asks to send a Delay_Req to the clock, and counts it. Senders drop a receiver that never sends,
 * and know it by the address that they send to: so it is sent from there.
 */
void nqptp_effects_send_delay_req(struct nqptp_effects *effects, const struct nqptp_self *self,
                                  struct nqptp_clock *clock, uint16_t sequence_id);

/* Asks to send an Announce of ours to the clock. */
void nqptp_effects_send_announce(struct nqptp_effects *effects, const struct nqptp_self *self,
                                 const struct nqptp_clock *clock, uint8_t priority1,
                                 uint8_t priority2);

#endif
