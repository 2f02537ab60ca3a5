/* SPDX-License-Identifier: MIT */
/*
 * The clients and their masters: see the header. Clauses are those of IEEE 1588-2008.
 *
 * nqptp_client_select() decides. A clock can become the master if all of these hold:
 *   is_eligible()    It has announced itself, and it is close enough to its grandmaster.
 *   _qualifies()     It has announced itself often enough. One Announce suffices for a listed
 *                    clock, and for any clock while there is no living master.
 *   is_candidate()   Its reading belongs to the grandmaster that it announces, and the client may
 *                    follow it.
 * A client without a list may follow any clock. With one it may follow the clocks at the listed
 * addresses. While it hears none of these it may follow a stand-in at an address that no other
 * client lists: the clock of a listed address, or, if no clock was ever heard at a listed address,
 * any clock of the same host by the kernel's neighbour table.
 *
 * The best candidate wins: the first address of an ordered list, then the data set comparison.
 * keeps_master() may overrule that. Without a candidate the last master stays, as its last values
 * are better than none. When the choice has changed too often, the old master stays until 5 s
 * have passed without another change, but only while it is usable. Changes are counted for the
 * client and for each address, so that a restless sender does not delay the choice of another one.
 *
 * A client's `listed` and `qualified` are masks of rows of the clock table. They are right only if
 * each row that comes or goes is told by nqptp_clients_add_clock() and _remove_clock().
 *
 * This module knows no messages and publishes nothing.
 */
#include "nqptp-clients.h"

#include "nqptp-text.h"
#include "nqptp-time.h"

#include <string.h>

#define STEPS_REMOVED_LIMIT 255      /* 9.3.2.5 d */
#define CARRY_ON_NS INT64_C(5000000) /* How far off the first sample may be. */
#define HEARD_NS (3 * NQPTP_S)       /* What was heard that long ago still sends. */
#define NEWCOMER_PACKETS 24          /* A clock that sent this many had the time to qualify. */
#define WEIGHT_MASTER 16             /* What a change of master weighs for the client. */
#define WEIGHT_ADDRESS 33            /* What it weighs for each address: two are held back. */

/* --- lists ----------------------------------------------------------------------------------- */

/* Returns the hash of an address without its scope: addresses that are equal have one hash. */
static unsigned hash_of(const struct nqptp_address *address) {
    uint64_t halves[2];

    memcpy(halves, &address->ip, sizeof halves);
    uint64_t mixed = (halves[0] * UINT64_C(31) ^ halves[1]) * UINT64_C(0x9E3779B97F4A7C15);
    return (unsigned)((mixed ^ mixed >> 32) * UINT64_C(0x9E3779B97F4A7C15) >> 52) % NQPTP_HASHES;
}

/*
 * Returns the number of the list entry with this address, or -1. A flood of unlisted clocks makes
 * the engine search the list of each client for each packet, so the time of a search does not grow
 * with the list.
 */
static int find_peer(const struct nqptp_client *client, const struct nqptp_address *address) {
    int i = client->first[hash_of(address)] - 1;

    while (i >= 0 && !nqptp_address_equal(&client->peers[i].address, address))
        i = client->peers[i].next - 1;
    return i;
}

static void add_peer(struct nqptp_client *client, const struct nqptp_address *address,
                     const struct nqptp_peer *known) {
    unsigned hash = hash_of(address);
    struct nqptp_peer *peer = &client->peers[client->peer_count++];

    *peer = known ? *known : (struct nqptp_peer){.address = *address};
    peer->next = client->first[hash];
    client->first[hash] = (uint16_t)client->peer_count;
}

static struct nqptp_peer *peer_at(struct nqptp_client *client,
                                  const struct nqptp_address *address) {
    int i = find_peer(client, address);
    return i < 0 ? NULL : &client->peers[i];
}

/* Whether a clock at the peer's address sends still on the link that won. */
static bool link_is_alive(const struct nqptp_clock_table *table, const struct nqptp_peer *peer,
                          uint64_t now_ns) {
    const struct nqptp_address won = {peer->address.ip, peer->link};

    for (int i = 0; i < table->clocks_top; i++) {
        const struct nqptp_clock *clock = &table->clocks[i];
        if (clock->in_use && nqptp_address_equal(&clock->address, &won) &&
            (clock->heard_at_ns + HEARD_NS > now_ns || nqptp_clock_is_alive(clock, now_ns)))
            return true;
    }
    return false;
}

/*
 * Returns the list entry with the address of the clock in row i, or NULL. If there is one, notes
 * that the client lists the row. For a link-local entry without scope, decides which link wins.
 */
static struct nqptp_peer *bind_row(const struct nqptp_clock_table *table,
                                   struct nqptp_client *client, int i) {
    const struct nqptp_clock *clock = &table->clocks[i];
    uint32_t link = clock->address.scope_id;
    struct nqptp_peer *peer = peer_at(client, &clock->address);

    if (!peer)
        return NULL;
    bool is_open = nqptp_address_is_link_local(&peer->address) && peer->address.scope_id == 0;
    if (is_open && peer->link != link) {
        if (peer->link > 0 && link_is_alive(table, peer, clock->heard_at_ns))
            return NULL;
        client->listed &= ~nqptp_clock_rows_at(table, &peer->address);
        peer->link = link;
    }
    client->listed |= nqptp_clock_bit(i);
    return peer;
}

void nqptp_clients_add_clock(struct nqptp_clients *clients, const struct nqptp_clock_table *table,
                             int i) {
    const struct nqptp_clock *clock = &table->clocks[i];

    for (int c = 0; c < clients->top; c++) {
        struct nqptp_peer *peer = bind_row(table, &clients->list[c], i);
        if (!peer || (peer->announced && !clock->announced))
            continue;
        peer->clock_identity = clock->clock_identity;
        clients->list[c].heard_count += !peer->identified;
        peer->identified = true;
        peer->announced = clock->announced;
    }
}

/* Notes at the listed addresses of that neighbour's host that it has the clocks in these rows. */
static void note_host(struct nqptp_clients *clients, uint32_t rows,
                      const struct nqptp_neighbour *neighbour,
                      const struct nqptp_neighbours *neighbours) {
    for (unsigned n = 0; n < neighbours->count; n++) {
        if (!nqptp_neighbour_is_same_host(&neighbours->list[n], neighbour))
            continue;
        for (int c = 0; c < clients->top; c++) {
            struct nqptp_peer *peer = peer_at(&clients->list[c], &neighbours->list[n].address);
            if (!peer)
                continue;
            peer->same_host |= rows;
            clients->list[c].same_host |= rows;
        }
    }
}

void nqptp_clients_note_neighbours(struct nqptp_clients *clients,
                                   const struct nqptp_clock_table *table,
                                   const struct nqptp_neighbours *neighbours) {
    uint32_t listed = nqptp_clients_listed(clients);

    for (unsigned n = 0; n < neighbours->count; n++) {
        uint32_t rows = nqptp_clock_rows_at(table, &neighbours->list[n].address) & ~listed;
        if (rows)
            note_host(clients, rows, &neighbours->list[n], neighbours);
    }
}

bool nqptp_clients_need_neighbours(const struct nqptp_clients *clients,
                                   const struct nqptp_clock_table *table, uint64_t now_ns) {
    uint32_t strangers = nqptp_clock_rows_alive(table, now_ns) & ~nqptp_clients_listed(clients);

    for (int c = 0; c < clients->top && strangers; c++) {
        const struct nqptp_client *client = &clients->list[c];
        if (client->heard_count == 0 && client->peer_count > 0 &&
            (strangers & client->same_host) == 0 && nqptp_client_plays(client))
            return true;
    }
    return false;
}

void nqptp_clients_remove_clock(struct nqptp_clients *clients, int i) {
    uint32_t bit = nqptp_clock_bit(i);

    for (int c = 0; c < clients->top; c++) {
        struct nqptp_client *client = &clients->list[c];
        client->listed &= ~bit;
        client->qualified &= ~bit;
        for (unsigned p = 0; p < client->peer_count && (client->same_host & bit); p++)
            client->peers[p].same_host &= ~bit;
        client->same_host &= ~bit;
        if (client->master == i)
            client->master = NQPTP_NO_CLOCK;
    }
}

bool nqptp_client_lists_address(const struct nqptp_client *client,
                                const struct nqptp_address *address) {
    return find_peer(client, address) >= 0;
}

bool nqptp_clients_list_address(const struct nqptp_clients *clients,
                                const struct nqptp_address *address) {
    for (int c = 0; c < clients->top; c++)
        if (nqptp_client_lists_address(&clients->list[c], address))
            return true;
    return false;
}

bool nqptp_client_plays(const struct nqptp_client *client) {
    return !client->unused && (client->activity == NQPTP_PLAYING ||
                               (client->activity == NQPTP_UNSAID && client->peer_count > 0));
}

bool nqptp_clients_ended(const struct nqptp_clients *clients, int i) {
    for (int c = 0; c < clients->top; c++) {
        const struct nqptp_client *client = &clients->list[c];
        if (client->master == i && !client->unused && client->activity != NQPTP_STOPPED)
            return false;
    }
    return true;
}

uint32_t nqptp_clients_listed(const struct nqptp_clients *clients) {
    uint32_t rows = 0;

    for (int c = 0; c < clients->top; c++)
        rows |= clients->list[c].listed;
    return rows;
}

uint32_t nqptp_clients_masters(const struct nqptp_clients *clients) {
    uint32_t rows = 0;

    for (int c = 0; c < clients->top; c++)
        if (clients->list[c].master != NQPTP_NO_CLOCK)
            rows |= nqptp_clock_bit(clients->list[c].master);
    return rows;
}

bool nqptp_clients_need_clock(const struct nqptp_clients *clients, int i) {
    for (int c = 0; c < clients->top; c++)
        if (nqptp_client_lists_clock(&clients->list[c], i) ||
            (clients->list[c].has_list && clients->list[c].master == i))
            return true;
    return false;
}

bool nqptp_client_lists_clock(const struct nqptp_client *client, int i) {
    return client->listed & nqptp_clock_bit(i);
}

int nqptp_clients_find(const struct nqptp_clients *clients, const char *name) {
    for (int c = 0; c < clients->top; c++)
        if (strcmp(clients->list[c].name, name) == 0)
            return c;
    return -1;
}

int nqptp_clients_next(const struct nqptp_clients *clients) {
    return clients->top < NQPTP_CLIENTS_MAX ? clients->top : -1;
}

void nqptp_clients_remove(struct nqptp_clients *clients, int c) {
    clients->list[c] = clients->list[--clients->top];
}

int nqptp_clients_add(struct nqptp_clients *clients, const char *name) {
    int c = nqptp_clients_next(clients);
    if (c < 0)
        return -1;
    struct nqptp_client *client = &clients->list[clients->top++];
    *client = (struct nqptp_client){.master = NQPTP_NO_CLOCK, .published = NQPTP_NO_CLOCK};
    strncpy(client->name, name, sizeof client->name - 1);
    nqptp_text_show(client->name, "", client->shown, sizeof client->shown);
    return c;
}

static void forget_changes(struct nqptp_client *client) {
    client->hysteresis = (struct nqptp_hysteresis){0};
    memset(client->address_hysteresis, 0, sizeof client->address_hysteresis);
}

/* Binds a new list entry to the clock that announced itself at its address last. */
static void identify_peer(const struct nqptp_clock_table *table, struct nqptp_peer *peer) {
    uint64_t last_ns = 0;

    for (int i = 0; i < table->clocks_top; i++) {
        const struct nqptp_clock *clock = &table->clocks[i];
        if (!clock->in_use || !nqptp_address_equal(&clock->address, &peer->address) ||
            (peer->link > 0 && peer->link != clock->address.scope_id) ||
            (peer->identified && clock->announce_interval.last_at_ns <= last_ns))
            continue;
        last_ns = clock->announce_interval.last_at_ns; /* 0: it has not announced itself */
        peer->clock_identity = clock->clock_identity;
        peer->identified = true;
        peer->announced = last_ns > 0;
    }
}

bool nqptp_client_set_peers(const struct nqptp_clock_table *table, struct nqptp_client *client,
                            const struct nqptp_address *addresses, unsigned count) {
    struct nqptp_client old = *client;
    bool same = old.has_list;

    client->has_list = true;
    client->peer_count = 0;
    memset(client->first, 0, sizeof client->first);
    client->listed = 0;
    for (unsigned i = 0; i < count && client->peer_count < NQPTP_PEERS_MAX; i++) {
        if (nqptp_client_lists_address(client, &addresses[i]))
            continue;
        const struct nqptp_peer *known = peer_at(&old, &addresses[i]);
        if (known && known->address.scope_id != addresses[i].scope_id &&
            nqptp_address_is_link_local(&addresses[i]))
            known = NULL; /* it names another link, or none any more */
        add_peer(client, &addresses[i], known);
        same = same && known;
    }
    for (int i = 0; i < table->clocks_top; i++)
        if (table->clocks[i].in_use)
            bind_row(table, client, i);
    client->heard_count = client->same_host = 0;
    for (unsigned i = 0; i < client->peer_count; i++) {
        if (!client->peers[i].identified)
            identify_peer(table, &client->peers[i]);
        client->heard_count += client->peers[i].identified;
        client->same_host |= client->peers[i].same_host;
    }
    same = same && old.peer_count == client->peer_count;
    bool same_first = !client->first_wins || old.peer_count == 0 || client->peer_count == 0 ||
                      nqptp_address_equal(&old.peers[0].address, &client->peers[0].address);
    if (!same || !same_first)
        forget_changes(client); /* the client wants this change */
    return !same;
}

/* --- qualification --------------------------------------------------------------------------- */

/* Whether it has announced itself, and not behind more boundary clocks than the standard allows. */
static bool is_eligible(const struct nqptp_clock *clock) {
    return clock->announced && clock->announce.steps_removed < STEPS_REMOVED_LIMIT;
}

/* Whether the reading belongs to the grandmaster that its clock announces. The master's may lag. */
static bool has_current_reading(const struct nqptp_clock_table *table,
                                const struct nqptp_client *client, int i) {
    const struct nqptp_clock *clock = &table->clocks[i];
    return i == client->master ||
           clock->reading.grandmaster_identity == clock->announce.grandmaster_identity;
}

/* Whether a clock at any listed address is alive and could be master. */
static bool hears_list(const struct nqptp_clock_table *table, const struct nqptp_client *client,
                       uint64_t now_ns) {
    for (int i = 0; i < table->clocks_top; i++)
        if (nqptp_client_lists_clock(client, i) && is_eligible(&table->clocks[i]) &&
            has_current_reading(table, client, i) &&
            nqptp_clock_is_alive(&table->clocks[i], now_ns))
            return true;
    return false;
}

/* Whether a listed clock has begun to send, and could not qualify yet. */
static bool hears_newcomer(const struct nqptp_clock_table *table, const struct nqptp_client *client,
                           uint64_t now_ns) {
    for (int i = 0; i < table->clocks_top; i++)
        if (nqptp_client_lists_clock(client, i) && table->clocks[i].packets < NEWCOMER_PACKETS &&
            now_ns - table->clocks[i].heard_at_ns < HEARD_NS)
            return true;
    return false;
}

/* Whether the clock in row i was heard at the listed address before, too. */
static bool was_heard_at(const struct nqptp_clock_table *table, const struct nqptp_peer *peer,
                         int i) {
    return peer->identified && peer->clock_identity == table->clocks[i].clock_identity;
}

/*
 * Returns the silent list entry that the clock in row i, heard at another address, stands in for,
 * or NULL: an entry where the same clock was heard, or, if no listed address was ever heard, an
 * address of the same host. There is none while the client hears any listed clock, and none for a
 * clock that another client lists. A listed clock that begins to send ends no stand-in before it
 * qualifies, but none begins then: the first packet of a listed clock says which identity to copy.
 */
static const struct nqptp_peer *silent_peer_of(const struct nqptp_clock_table *table,
                                               const struct nqptp_client *client, int i,
                                               uint64_t now_ns) {
    bool is_master = i == client->master;
    uint32_t same_host = is_master || client->heard_count == 0 ? nqptp_clock_bit(i) : 0;

    if ((client->reserved & nqptp_clock_bit(i)) ||
        (client->heard_count == 0 && !(client->same_host & same_host)) ||
        hears_list(table, client, now_ns) || (!is_master && hears_newcomer(table, client, now_ns)))
        return NULL;
    for (unsigned p = 0; p < client->peer_count; p++)
        if (was_heard_at(table, &client->peers[p], i) || (client->peers[p].same_host & same_host))
            return &client->peers[p];
    return NULL;
}

static bool may_follow(const struct nqptp_clock_table *table, const struct nqptp_client *client,
                       int i, uint64_t now_ns) {
    return !client->has_list || nqptp_client_lists_clock(client, i) ||
           silent_peer_of(table, client, i, now_ns);
}

/* Whether row i has a clock that is alive and that this client may follow. */
static bool may_follow_alive(const struct nqptp_clock_table *table,
                             const struct nqptp_client *client, int i, uint64_t now_ns) {
    return i != NQPTP_NO_CLOCK && nqptp_clock_is_alive(&table->clocks[i], now_ns) &&
           may_follow(table, client, i, now_ns);
}

/* 9.3.2.5, but without a second Announce where waiting for it would only keep a player silent. */
bool nqptp_client_qualifies(const struct nqptp_clock_table *table,
                            const struct nqptp_client *client, int i, uint64_t now_ns) {
    const struct nqptp_clock *clock = &table->clocks[i];
    return is_eligible(clock) && (clock->confirmed || (client->qualified & nqptp_clock_bit(i)) ||
                                  nqptp_client_lists_clock(client, i) ||
                                  !may_follow_alive(table, client, client->master, now_ns));
}

/* A clock that qualified once stays so while it is alive, however seldom it announces itself. */
static uint32_t qualified_clocks(const struct nqptp_clock_table *table,
                                 const struct nqptp_client *client, uint64_t now_ns) {
    uint32_t alive = nqptp_clock_rows_alive(table, now_ns), qualified = 0;

    for (int i = 0; i < table->clocks_top; i++)
        if ((alive & nqptp_clock_bit(i)) && nqptp_client_qualifies(table, client, i, now_ns))
            qualified |= nqptp_clock_bit(i);
    return qualified;
}

static bool is_candidate(const struct nqptp_clock_table *table, const struct nqptp_client *client,
                         int i, uint64_t now_ns) {
    return (client->qualified & nqptp_clock_bit(i)) && has_current_reading(table, client, i) &&
           may_follow(table, client, i, now_ns);
}

/* --- selection ------------------------------------------------------------------------------- */

/* In an ordered list the clock at the first address comes first, then its stand-in. */
static int precedence(const struct nqptp_clock_table *table, const struct nqptp_client *client,
                      int i) {
    const struct nqptp_peer *first = &client->peers[0];

    if (!client->first_wins || client->peer_count == 0)
        return 0;
    if (nqptp_address_equal(&first->address, &table->clocks[i].address))
        return 2;
    return was_heard_at(table, first, i) || (first->same_host & nqptp_clock_bit(i));
}

/* Whether the clock in row a is a better master than that in row b. */
static bool is_better(const struct nqptp_clock_table *table, const struct nqptp_client *client,
                      int a, int b) {
    int lead = precedence(table, client, a) - precedence(table, client, b);
    struct nqptp_difference difference;
    return lead != 0 ? lead > 0
                     : nqptp_clock_compare(&table->clocks[a], &table->clocks[b], &difference) < 0;
}

/* Returns which address_hysteresis[] of a client is that of the address of the clock in row i. */
static unsigned hysteresis_of(const struct nqptp_clock_table *table, int i) {
    return hash_of(&table->clocks[i].address) % NQPTP_ADDRESS_HYSTERESES;
}

/*
 * Whether the master changed too often to or from the address of the best candidate, or too often
 * at all. The latter does not count if the best candidate is the first of an ordered list.
 */
static bool is_restless(const struct nqptp_clock_table *table, const struct nqptp_client *client,
                        int best, uint64_t now_ns) {
    return nqptp_hysteresis_holds(&client->address_hysteresis[hysteresis_of(table, best)],
                                  now_ns) ||
           (nqptp_hysteresis_holds(&client->hysteresis, now_ns) &&
            precedence(table, client, best) <= precedence(table, client, client->master));
}

static void note_change(const struct nqptp_clock_table *table, struct nqptp_client *client, int old,
                        int best, uint64_t now_ns) {
    struct nqptp_hysteresis *of_address = client->address_hysteresis;
    unsigned from = old == NQPTP_NO_CLOCK ? NQPTP_ADDRESS_HYSTERESES : hysteresis_of(table, old);
    unsigned to = best == NQPTP_NO_CLOCK ? from : hysteresis_of(table, best);

    nqptp_hysteresis_note(&client->hysteresis, WEIGHT_MASTER, now_ns);
    nqptp_hysteresis_note(&of_address[to], WEIGHT_ADDRESS, now_ns);
    if (old != NQPTP_NO_CLOCK && from != to)
        nqptp_hysteresis_note(&of_address[from], WEIGHT_ADDRESS, now_ns);
}

/*
 * Whether the master stays although the best candidate is another clock, or there is none. After
 * too many changes it stays while it is usable; and, as one sender may go by many identities, for
 * another one at its own address even if it is not.
 */
static bool keeps_master(const struct nqptp_clock_table *table, const struct nqptp_client *client,
                         int best, uint64_t now_ns) {
    int old = client->master;

    if (old == NQPTP_NO_CLOCK)
        return false;
    if (best == NQPTP_NO_CLOCK)
        return may_follow(table, client, old, now_ns);
    if (!is_restless(table, client, best, now_ns))
        return false;
    return nqptp_address_equal(&table->clocks[old].address, &table->clocks[best].address)
               ? may_follow(table, client, old, now_ns)
               : is_candidate(table, client, old, now_ns);
}

/* Returns the row of the best candidate other than row `except`, or NQPTP_NO_CLOCK. */
static int best_candidate(const struct nqptp_clock_table *table, const struct nqptp_client *client,
                          int except, uint64_t now_ns) {
    int best = NQPTP_NO_CLOCK;

    for (int i = 0; i < table->clocks_top; i++)
        if (i != except && is_candidate(table, client, i, now_ns) &&
            (best == NQPTP_NO_CLOCK || is_better(table, client, i, best)))
            best = i;
    return best;
}

bool nqptp_client_select(const struct nqptp_clock_table *table, struct nqptp_client *client,
                         uint64_t now_ns) {
    int old = client->master;

    client->qualified = qualified_clocks(table, client, now_ns);
    int best = best_candidate(table, client, NQPTP_NO_CLOCK, now_ns);
    if (keeps_master(table, client, best, now_ns))
        best = old;
    if (best != old)
        note_change(table, client, old, best, now_ns);
    client->master = best;
    return best != old;
}

struct nqptp_reason nqptp_client_reason(const struct nqptp_clock_table *table,
                                        const struct nqptp_client *client, int old,
                                        uint64_t now_ns) {
    struct nqptp_reason reason = {.won = NQPTP_WON_ALONE};
    const struct nqptp_clock *winner = &table->clocks[client->master];

    if (client->has_list && !nqptp_client_lists_clock(client, client->master)) {
        const struct nqptp_peer *peer = silent_peer_of(table, client, client->master, now_ns);
        reason.won = peer && !was_heard_at(table, peer, client->master) ? NQPTP_WON_SAME_HOST
                                                                        : NQPTP_WON_STANDS_IN;
        reason.address = peer ? peer->address : winner->address;
        return reason;
    }
    if (old != NQPTP_NO_CLOCK && !may_follow_alive(table, client, old, now_ns)) {
        reason.won = may_follow(table, client, old, now_ns) ? NQPTP_WON_SILENT : NQPTP_WON_UNLISTED;
        return reason;
    }
    int rival = old != NQPTP_NO_CLOCK && is_candidate(table, client, old, now_ns)
                    ? old
                    : best_candidate(table, client, client->master, now_ns);
    if (rival == NQPTP_NO_CLOCK)
        return reason;
    reason.won = NQPTP_WON_FIRST;
    if (precedence(table, client, client->master) <= precedence(table, client, rival)) {
        reason.won = NQPTP_WON_COMPARED;
        nqptp_clock_compare(winner, &table->clocks[rival], &reason.difference);
    }
    return reason;
}

bool nqptp_client_carry_on(struct nqptp_client *client, struct nqptp_clock *clock) {
    const struct nqptp_reading *before = &client->inherited;
    struct nqptp_reading *now = &clock->reading;
    int64_t moved_ns = (int64_t)(now->offset_ns - before->offset_ns);
    bool same = before->start_time_ns > 0 && before->start_time_ns < now->start_time_ns &&
                before->grandmaster_identity == now->grandmaster_identity &&
                moved_ns < CARRY_ON_NS && moved_ns > -CARRY_ON_NS;

    if (same)
        now->start_time_ns = clock->series_began_at_ns = before->start_time_ns;
    client->inherited = (struct nqptp_reading){0};
    return same;
}

uint64_t nqptp_client_awaits_at_ns(const struct nqptp_clock_table *table,
                                   const struct nqptp_client *client) {
    if (client->has_list && client->peer_count == 0)
        return NQPTP_NO_DEADLINE;
    if (client->master == NQPTP_NO_CLOCK)
        return 0;
    const struct nqptp_clock *clock = &table->clocks[client->master];
    uint64_t interval_ns =
        nqptp_interval_ns(&clock->pairing.sync_interval, NQPTP_SYNC_INTERVAL_UNKNOWN_NS);
    return clock->reading.local_time_ns + interval_ns - interval_ns / 32;
}
