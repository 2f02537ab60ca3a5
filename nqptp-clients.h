/* SPDX-License-Identifier: MIT */
/*
 * The clients: what each asked for, which clocks qualify for it, the choice of its master among
 * them, and why. It reads the clock table, and changes nothing in it but a clock's start that it
 * carries on. `now_ns` is CLOCK_MONOTONIC_RAW.
 */
#ifndef NQPTP_CLIENTS_H
#define NQPTP_CLIENTS_H

#include "nqptp-clock-sources.h"
#include "nqptp-neighbours.h"

#define NQPTP_CLIENTS_MAX 64
#define NQPTP_PEERS_MAX 256
#define NQPTP_HASHES 512  /* There are twice as many hashes as entries of a full list. */
#define NQPTP_NAME_MAX 62 /* The bytes of an object's name after the slash. */
#define NQPTP_NAME_SIZE (1 + NQPTP_NAME_MAX + 1)
#define NQPTP_ADDRESS_HYSTERESES 32 /* Addresses with one hash share a hysteresis. */

/* An entry of a client's list. */
struct nqptp_peer {
    struct nqptp_address address;
    uint32_t link;           /* The link that won, if it is link-local without scope; or 0. */
    uint64_t clock_identity; /* The clock that announced itself there last, or was heard last. */
    bool identified;         /* A clock was heard there, so that clock_identity is valid. */
    bool announced;          /* That clock has announced itself there. */
    uint32_t same_host;      /* Bit i: the clock in row i is at another address of that host. */
    uint16_t next;           /* 1 + the number of the next entry with the same hash, or 0. */
};

/* Why a client's master is the one it is. */
enum nqptp_won {
    NQPTP_WON_ALONE,     /* There was no other candidate. */
    NQPTP_WON_COMPARED,  /* Its data set is better than its rival's. */
    NQPTP_WON_FIRST,     /* It is the first of the client's list. */
    NQPTP_WON_STANDS_IN, /* The listed address where it was heard before is silent. */
    NQPTP_WON_SAME_HOST, /* A listed address of its host is silent. */
    NQPTP_WON_SILENT,    /* The master before it gave no sample for too long. */
    NQPTP_WON_UNLISTED,  /* The client does not list the master before it any more. */
};

struct nqptp_reason {
    enum nqptp_won won;
    struct nqptp_difference difference; /* COMPARED: what told the winner from its rival. */
    struct nqptp_address address;       /* STANDS_IN, SAME_HOST: the silent address. */
};

/* What a player said last about its playing. */
enum nqptp_activity {
    NQPTP_UNSAID, /* It sent none of B, P and E yet. Shairport Sync before 4.2 never does. */
    NQPTP_STOPPED,
    NQPTP_PLAYING,
    NQPTP_PAUSED,
};

/* What one client asked for, and the master that it has. */
struct nqptp_client {
    char name[NQPTP_NAME_SIZE];  /* The name of its object, with the slash. */
    char shown[NQPTP_NAME_SIZE]; /* The name for people, by nqptp_text_show(). */
    bool first_wins; /* Its list is ordered: the first address wins while it is alive. */
    enum nqptp_activity activity;
    bool unused;   /* No process has had its object open for long, nor did it send a command. */
    bool has_list; /* It has sent a list; until then it follows any clock. */
    unsigned heard_count; /* The number of listed addresses where a clock was ever heard. */
    unsigned peer_count;
    struct nqptp_peer peers[NQPTP_PEERS_MAX];
    uint16_t first[NQPTP_HASHES]; /* For each hash: 1 + the number of an entry with it, or 0. */
    uint32_t listed;              /* Bit i: the list has the address of the clock in row i. */
    uint32_t same_host; /* Bit i: the clock in row i is at another address of a listed host. */
    uint32_t reserved;  /* Bit i: other clients list the clock in row i, and this one does not. */
    uint32_t qualified; /* Bit i: the clock in row i qualified, and has been alive since. */
    int master;         /* The row of its master, or NQPTP_NO_CLOCK. */
    int published;      /* The row of the master that was published last, or NQPTP_NO_CLOCK. */
    struct nqptp_hysteresis hysteresis; /* It counts all changes of the master. */
    /* One for each hash. It counts the changes to or from the addresses with that hash. */
    struct nqptp_hysteresis address_hysteresis[NQPTP_ADDRESS_HYSTERESES];
    struct nqptp_reading inherited; /* What an earlier process published; start 0: nothing. */
};

/* All entries before `top` are in use. Client 0 is the one of commands without a name. */
struct nqptp_clients {
    int top;
    struct nqptp_client list[NQPTP_CLIENTS_MAX];
};

/* Returns the rows of the clocks that a client lists: bit i is row i. */
uint32_t nqptp_clients_listed(const struct nqptp_clients *clients);

/* Returns the rows of the clocks that are the master of a client. */
uint32_t nqptp_clients_masters(const struct nqptp_clients *clients);

/* Whether a client lists the clock in row i, or follows it as a stand-in. */
bool nqptp_clients_need_clock(const struct nqptp_clients *clients, int i);

/* Returns the number of the client with that name, or -1. */
int nqptp_clients_find(const struct nqptp_clients *clients, const char *name);

/* Returns the number that the next client will get, or -1 if all are taken. */
int nqptp_clients_next(const struct nqptp_clients *clients);

/* Removes client c. The last client gets its number. */
void nqptp_clients_remove(struct nqptp_clients *clients, int c);

/* Adds a client of that name without a list. Returns its number, or -1 if all are taken. */
int nqptp_clients_add(struct nqptp_clients *clients, const char *name);

/*
 * Row i holds a clock that is new or has announced itself just now: binds it to the list entries
 * with its address. A clock that did not announce itself does not replace one that did. A
 * link-local address without scope is that of the link that was heard first, while a clock is heard
 * there.
 */
void nqptp_clients_add_clock(struct nqptp_clients *clients, const struct nqptp_clock_table *table,
                             int i);

/* Row i is empty now: a client whose master was there has none. */
void nqptp_clients_remove_clock(struct nqptp_clients *clients, int i);

/*
 * Whether the kernel's neighbour table could give a client that plays a stand-in: no clock was ever
 * heard at its listed addresses, and one is alive at an address that no client lists.
 */
bool nqptp_clients_need_neighbours(const struct nqptp_clients *clients,
                                   const struct nqptp_clock_table *table, uint64_t now_ns);

/* Notes which unlisted clocks are at another address of a listed host. */
void nqptp_clients_note_neighbours(struct nqptp_clients *clients,
                                   const struct nqptp_clock_table *table,
                                   const struct nqptp_neighbours *neighbours);

/* Whether any client lists this address. */
bool nqptp_clients_list_address(const struct nqptp_clients *clients,
                                const struct nqptp_address *address);

/*
 * Whether the client plays: from its B until its E or P, or, if it never sent one of these, while
 * it has a list; in either case not while its object is unused.
 */
bool nqptp_client_plays(const struct nqptp_client *client);

/* Whether the player of each client that follows the clock in row i ended, or is gone. */
bool nqptp_clients_ended(const struct nqptp_clients *clients, int i);

/* Whether the client's list has that address. */
bool nqptp_client_lists_address(const struct nqptp_client *client,
                                const struct nqptp_address *address);

/* Whether this client lists the clock in row i. */
bool nqptp_client_lists_clock(const struct nqptp_client *client, int i);

/*
 * Replaces the client's list. Entries that it had before keep what is known of them. Returns
 * whether the list has other addresses than before.
 */
bool nqptp_client_set_peers(const struct nqptp_clock_table *table, struct nqptp_client *client,
                            const struct nqptp_address *addresses, unsigned count);

/* Whether the clock in row i has announced itself well enough to be the master (9.3.2.5). */
bool nqptp_client_qualifies(const struct nqptp_clock_table *table,
                            const struct nqptp_client *client, int i, uint64_t now_ns);

/*
 * Chooses the client's master: the best clock that it may follow, that qualifies (9.3.2.5) and that
 * is alive. While there is none, the old master stays. It also stays, while it is usable, when the
 * choice has changed too often. Returns whether the master changed.
 */
bool nqptp_client_select(const struct nqptp_clock_table *table, struct nqptp_client *client,
                         uint64_t now_ns);

/*
 * Returns why the master won that nqptp_client_select() has just chosen. `old` is the row of the
 * master before it, or NQPTP_NO_CLOCK.
 */
struct nqptp_reason nqptp_client_reason(const struct nqptp_clock_table *table,
                                        const struct nqptp_client *client, int old,
                                        uint64_t now_ns);

/*
 * The client's master was chosen. If it is the first one, and the clock that the object's record of
 * an earlier process is about, its mastership goes on: the clock's series gets that start. Returns
 * whether it did.
 */
bool nqptp_client_carry_on(struct nqptp_client *client, struct nqptp_clock *clock);

/*
 * When the client's next sample is about to come: 0 if it has no master yet, so that any message
 * may matter, and NQPTP_NO_DEADLINE if its list is empty.
 */
uint64_t nqptp_client_awaits_at_ns(const struct nqptp_clock_table *table,
                                   const struct nqptp_client *client);

#endif
