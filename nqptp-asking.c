/* SPDX-License-Identifier: MIT */
/*
 * Asking listed addresses that are silent: see the header.
 *
 * A round goes through the lists of all clients that play, one Delay_Req for each call. It leaves
 * out addresses where a clock is alive, our own, and those that it has asked already. While a round
 * finds a silent address, the next one begins 2 s after it. Otherwise nothing is due until a clock
 * is lost or a command comes. A round always goes to its end, so that commands that come often do
 * not keep it from the last lists.
 *
 * The neighbour table is read if it could give a client a stand-in. While it does not, the wait
 * until the next time doubles, because an unlisted clock may send for hours.
 */
#include "nqptp-asking.h"

#include "nqptp-time.h"

#define ASK_NS (2 * NQPTP_S)        /* A silent address is asked this often. */
#define ASK_MIN_NS (200 * NQPTP_MS) /* Commands do not make it more often than this. */

/*
 * A round pauses after this many requests, so that packets are read in between and no burst fills
 * the queues of the network. A round of all lists, 16,384 requests, takes less than ASK_NS.
 */
#define BURST_REQUESTS 64
#define BURST_NS (5 * NQPTP_MS)

#define NEIGHBOURS_MIN_NS (500 * NQPTP_MS)
#define NEIGHBOURS_MAX_NS (32 * NQPTP_S)

void nqptp_asking_init(struct nqptp_asking *asking) {
    *asking = (struct nqptp_asking){.at_ns = NQPTP_NO_DEADLINE,
                                    .neighbours_due_ns = NQPTP_NO_DEADLINE,
                                    .neighbours_wait_ns = NEIGHBOURS_MIN_NS};
}

void nqptp_asking_begin(struct nqptp_asking *asking, const struct nqptp_clients *clients,
                        uint64_t now_ns) {
    uint64_t at_ns = NQPTP_NO_DEADLINE;

    asking->again = asking->client > 0 || asking->peer > 0;
    if (asking->again)
        return;
    for (int c = 0; c < clients->top; c++)
        if (nqptp_client_plays(&clients->list[c]))
            at_ns = asking->round_at_ns + ASK_MIN_NS;
    asking->at_ns = at_ns > now_ns ? at_ns : now_ns;
}

/* Returns that of these rows whose clock was heard last, or NQPTP_NO_CLOCK if there is none. */
static int last_heard(const struct nqptp_clock_table *table, uint32_t rows) {
    int last = NQPTP_NO_CLOCK;

    for (int i = 0; i < table->clocks_top; i++)
        if ((rows & nqptp_clock_bit(i)) &&
            (last == NQPTP_NO_CLOCK ||
             table->clocks[i].heard_at_ns > table->clocks[last].heard_at_ns))
            last = i;
    return last;
}

/* Whether an earlier client of the round lists the address as well. */
static bool was_asked(const struct nqptp_asking *asking, const struct nqptp_clients *clients,
                      const struct nqptp_address *address) {
    for (int c = 0; c < asking->client; c++)
        if (nqptp_client_plays(&clients->list[c]) &&
            nqptp_client_lists_address(&clients->list[c], address))
            return true;
    return false;
}

/*
 * Asks the address. If the clock in row i was heard there and our address that it sent to is still
 * ours, the request goes back by the way that its messages came.
 */
static void ask(struct nqptp_asking *asking, struct nqptp_clock_table *table, int i,
                const struct nqptp_self *self, struct nqptp_address address,
                struct nqptp_effects *effects) {
    uint16_t sequence_id = asking->sequence_id++;

    asking->asked++;
    if (i != NQPTP_NO_CLOCK)
        address = table->clocks[i].address; /* with its scope */
    if (nqptp_address_is_link_local(&address) && address.scope_id == 0)
        return; /* its link is not known */
    if (i != NQPTP_NO_CLOCK && nqptp_self_has_address(self, &table->clocks[i].local))
        nqptp_effects_send_delay_req(effects, self, &table->clocks[i], sequence_id);
    else
        nqptp_effects_send_request(effects, self, &address, sequence_id);
}

/*
 * Tells the next address of this client in the round. Returns whether there is one. Behind its list
 * comes the stand-in that it follows, if any: the sender may know us by the address that it sent to
 * from there.
 */
static bool next_address(struct nqptp_asking *asking, const struct nqptp_client *client,
                         const struct nqptp_clock_table *table, struct nqptp_address *address) {
    unsigned peer = asking->peer++;
    bool stands_in = client->has_list && client->master != NQPTP_NO_CLOCK &&
                     !nqptp_client_lists_clock(client, client->master);

    if (!nqptp_client_plays(client) || peer >= client->peer_count + stands_in)
        return false;
    *address = peer < client->peer_count ? client->peers[peer].address
                                         : table->clocks[client->master].address;
    return true;
}

void nqptp_asking_go_on(struct nqptp_asking *asking, const struct nqptp_clients *clients,
                        struct nqptp_clock_table *table, const struct nqptp_self *self,
                        uint64_t now_ns, struct nqptp_effects *effects) {
    uint32_t alive = nqptp_clock_rows_alive(table, now_ns);

    if (asking->client == 0 && asking->peer == 0)
        asking->round_at_ns = now_ns;
    for (; asking->client < clients->top; asking->client++, asking->peer = 0) {
        const struct nqptp_client *client = &clients->list[asking->client];
        struct nqptp_address address;
        while (next_address(asking, client, table, &address)) {
            uint32_t rows = nqptp_clock_rows_at(table, &address);
            if ((rows & alive) || nqptp_self_has_address(self, &address) ||
                was_asked(asking, clients, &address))
                continue;
            ask(asking, table, last_heard(table, rows), self, address, effects);
            if (asking->asked % BURST_REQUESTS == 0)
                asking->at_ns = now_ns + BURST_NS;
            return;
        }
    }
    asking->at_ns = asking->asked > 0 ? asking->round_at_ns + ASK_NS : NQPTP_NO_DEADLINE;
    asking->client = 0;
    asking->peer = 0;
    asking->asked = 0;
    if (asking->again)
        nqptp_asking_begin(asking, clients, now_ns);
}

void nqptp_asking_note_command(struct nqptp_asking *asking, struct nqptp_clients *clients, int c,
                               uint64_t now_ns) {
    bool was_unused = clients->list[c].unused;

    clients->list[c].unused = false;
    nqptp_asking_hasten_neighbours(asking);
    if (was_unused)
        nqptp_asking_begin(asking, clients, now_ns);
}

void nqptp_asking_plan_neighbours(struct nqptp_asking *asking, const struct nqptp_clients *clients,
                                  const struct nqptp_clock_table *table, uint64_t now_ns) {
    asking->neighbours_due_ns = nqptp_clients_need_neighbours(clients, table, now_ns)
                                    ? asking->neighbours_at_ns + asking->neighbours_wait_ns
                                    : NQPTP_NO_DEADLINE;
}

void nqptp_asking_hasten_neighbours(struct nqptp_asking *asking) {
    asking->neighbours_wait_ns = NEIGHBOURS_MIN_NS;
}

void nqptp_asking_note_neighbours(struct nqptp_asking *asking, uint64_t now_ns) {
    asking->neighbours_at_ns = now_ns;
    if (asking->neighbours_wait_ns < NEIGHBOURS_MAX_NS)
        asking->neighbours_wait_ns *= 2;
}
