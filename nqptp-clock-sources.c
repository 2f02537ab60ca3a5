/* SPDX-License-Identifier: MIT */
/* The clock table: see the header. Clauses are those of IEEE 1588-2008. */
#include "nqptp-clock-sources.h"

#include <string.h>

#define NS_PER_S UINT64_C(1000000000)
#define NEWCOMER_IDLE_NS (5 * NS_PER_S) /* how long a record must have been silent to go */
#define ALIVE_LEAST_NS (3 * NS_PER_S)
#define ALIVE_MOST_NS (10 * NS_PER_S)
#define ALIVE_SYNC_INTERVALS 8
#define ASLEEP_REPEATS 3 /* one may be a packet that was repeated under another number */
#define STATED_LEAST (-7)
#define STATED_MOST 4
#define STEPS_REMOVED_LIMIT 255 /* 9.3.2.5 d */
#define FOREIGN_MASTER_WINDOW 4 /* announce intervals, 9.3.2.4.4 */
#define FOREIGN_MASTER_LEAST_NS (4 * NS_PER_S)

/*
 * Hysteresis against senders that change again and again, by mistake or by malice. After a change a
 * player goes on for 5 s by what it had, so it never plays by changes that come faster. Changes
 * that are rare apply at once: a master dies, a clock steps or gets another grandmaster.
 */
#define STEADY_NS (5 * NS_PER_S)
#define WEIGHT_MAX 64      /* Changes that weigh more than this are held back. */
#define WEIGHT_FORGIVEN 16 /* This is subtracted for each STEADY_NS without a change. */
#define WEIGHT_ANNOUNCE 10
#define WEIGHT_MASTER 16
#define WEIGHT_WILD_JUMP 10
#define WEIGHT_JUMP 1 /* A clock that falls asleep and runs slow makes many in one direction. */
#define JUMP_NS INT64_C(5000000) /* less is slewed */
#define JUMP_FAR_NS (2 * (int64_t)NS_PER_S)

/* --- message intervals --------------------------------------------------------------------- */

void nqptp_interval_note(struct nqptp_interval *interval, int8_t log_message_interval,
                         uint64_t now_ns) {
    bool stated = log_message_interval >= STATED_LEAST && log_message_interval <= STATED_MOST;

    interval->stated_ns = !stated                    ? 0
                          : log_message_interval < 0 ? NS_PER_S >> -log_message_interval
                                                     : NS_PER_S << log_message_interval;
    if (interval->messages > 0) {
        memmove(&interval->spacings_ns[1], &interval->spacings_ns[0],
                sizeof interval->spacings_ns - sizeof interval->spacings_ns[0]);
        interval->spacings_ns[0] = now_ns - interval->last_ns;
    }
    interval->last_ns = now_ns;
    if (interval->messages <= NQPTP_SPACINGS)
        interval->messages++;
}

/* The value with as many below it as above it; the lower of two in the middle. */
static uint64_t median(const uint64_t *values, unsigned count) {
    uint64_t sorted[NQPTP_SPACINGS] = {0};

    for (unsigned i = 0; i < count; i++) {
        unsigned at = i;
        for (; at > 0 && sorted[at - 1] > values[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = values[i];
    }
    return sorted[(count - 1) / 2];
}

uint64_t nqptp_interval_ns(const struct nqptp_interval *interval, uint64_t unknown_ns) {
    if (interval->stated_ns > 0)
        return interval->stated_ns;
    if (interval->messages < 2)
        return unknown_ns;
    return median(interval->spacings_ns, interval->messages - 1);
}

/* --- records ------------------------------------------------------------------------------- */

int nqptp_clock_find(const struct nqptp_clock_table *table, uint64_t clock_identity,
                     const struct nqptp_address *address) {
    for (int i = 0; i < table->clocks_top; i++) {
        const struct nqptp_clock *clock = &table->clocks[i];
        if (clock->in_use && clock->clock_identity == clock_identity &&
            nqptp_address_equal(&clock->address, address))
            return i;
    }
    return NQPTP_NO_CLOCK;
}

/* Whether of two clocks a loses its row before b: an unlisted one does, then the one idle longer.
 */
static bool goes_before(const struct nqptp_clock_table *table, uint32_t listed, int a, int b) {
    bool a_is_listed = listed & nqptp_clock_bit(a), b_is_listed = listed & nqptp_clock_bit(b);
    if (a_is_listed != b_is_listed)
        return !a_is_listed;
    return table->clocks[a].heard_ns < table->clocks[b].heard_ns;
}

int nqptp_clock_room(const struct nqptp_clock_table *table, uint32_t listed, uint32_t pinned,
                     bool newcomer_is_listed, uint64_t now_ns) {
    int victim = NQPTP_NO_CLOCK;

    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++) {
        if (!table->clocks[i].in_use)
            return i;
        if (!(pinned & nqptp_clock_bit(i)) &&
            (victim == NQPTP_NO_CLOCK || goes_before(table, listed, i, victim)))
            victim = i;
    }
    if (victim == NQPTP_NO_CLOCK)
        return victim;
    bool victim_is_listed = listed & nqptp_clock_bit(victim);
    bool idle = now_ns - table->clocks[victim].heard_ns >= NEWCOMER_IDLE_NS;
    bool may_go = newcomer_is_listed ? idle || !victim_is_listed : idle && !victim_is_listed;
    return may_go ? victim : NQPTP_NO_CLOCK;
}

void nqptp_clock_create(struct nqptp_clock_table *table, int i, uint64_t clock_identity,
                        const struct nqptp_address *address, uint64_t now_ns) {
    table->clocks[i] = (struct nqptp_clock){
        .in_use = true,
        .clock_identity = clock_identity,
        .address = *address,
        .heard_ns = now_ns,
        .waiting = NQPTP_NO_CLOCK,
    };
    if (i >= table->clocks_top)
        table->clocks_top = i + 1;
}

void nqptp_clock_delete(struct nqptp_clock_table *table, int i) {
    table->clocks[i].in_use = false;
    while (table->clocks_top > 0 && !table->clocks[table->clocks_top - 1].in_use)
        table->clocks_top--;
}

/* --- hysteresis ---------------------------------------------------------------------------- */

void nqptp_hysteresis_note(struct nqptp_hysteresis *hysteresis, unsigned weight, uint64_t now_ns) {
    uint64_t forgiven = (now_ns - hysteresis->changed_at_ns) / STEADY_NS * WEIGHT_FORGIVEN;

    hysteresis->weight -= forgiven < hysteresis->weight ? (unsigned)forgiven : hysteresis->weight;
    hysteresis->weight += hysteresis->weight <= WEIGHT_MAX ? weight : 0;
    hysteresis->changed_at_ns = now_ns;
}

bool nqptp_hysteresis_holds(const struct nqptp_hysteresis *hysteresis, uint64_t now_ns) {
    return hysteresis->weight > WEIGHT_MAX && now_ns - hysteresis->changed_at_ns < STEADY_NS;
}

/* --- what a clock says --------------------------------------------------------------------- */

static bool same_announce(const struct nqptp_announce *a, const struct nqptp_announce *b) {
    return a->grandmaster_identity == b->grandmaster_identity &&
           a->steps_removed == b->steps_removed && a->priority1 == b->priority1 &&
           a->clock_class == b->clock_class && a->clock_accuracy == b->clock_accuracy &&
           a->offset_scaled_log_variance == b->offset_scaled_log_variance &&
           a->priority2 == b->priority2;
}

/* Takes over what the clock says of its grandmaster, unless it says something else all the time. */
static void believe(struct nqptp_clock *clock, const struct nqptp_announce *announce,
                    uint64_t now_ns) {
    if (clock->announced && !same_announce(announce, &clock->said))
        nqptp_hysteresis_note(&clock->announce_hysteresis, WEIGHT_ANNOUNCE, now_ns);
    clock->said = *announce;
    if (clock->announced && nqptp_hysteresis_holds(&clock->announce_hysteresis, now_ns))
        return;
    if (clock->announced && announce->grandmaster_identity != clock->announce.grandmaster_identity)
        nqptp_estimator_reset(&clock->estimator); /* another timescale: a new series */
    clock->announce = *announce;
}

void nqptp_clock_announce(struct nqptp_clock *clock, const struct nqptp_announce *announce,
                          uint16_t port_number, int8_t log_message_interval, uint64_t now_ns) {
    uint64_t previous_ns = clock->announce_interval.last_ns;
    bool first = clock->announce_interval.messages == 0;
    uint64_t window_ns =
        FOREIGN_MASTER_WINDOW *
        nqptp_interval_ns(&clock->announce_interval, NQPTP_ANNOUNCE_INTERVAL_UNKNOWN_NS);

    if (window_ns < FOREIGN_MASTER_LEAST_NS)
        window_ns = FOREIGN_MASTER_LEAST_NS;
    nqptp_interval_note(&clock->announce_interval, log_message_interval, now_ns);
    if (announce->grandmaster_identity == 0)
        return; /* it has none: clients take that for no master */
    if (!first && now_ns - previous_ns <= window_ns)
        clock->confirmed = true;
    believe(clock, announce, now_ns);
    if (!clock->announced)
        clock->reading.grandmaster_identity = announce->grandmaster_identity;
    clock->announced = true;
    clock->port_number = port_number;
}

/* How long after a sample its clock is alive. */
static uint64_t patience_ns(const struct nqptp_clock *clock) {
    uint64_t limit_ns = ALIVE_SYNC_INTERVALS *
                        nqptp_interval_ns(&clock->sync_interval, NQPTP_SYNC_INTERVAL_UNKNOWN_NS);
    return limit_ns < ALIVE_LEAST_NS  ? ALIVE_LEAST_NS
           : limit_ns > ALIVE_MOST_NS ? ALIVE_MOST_NS
                                      : limit_ns;
}

bool nqptp_clock_alive(const struct nqptp_clock *clock, uint64_t now_ns) {
    return now_ns < clock->lost_ns;
}

bool nqptp_clock_asleep(const struct nqptp_clock *clock) {
    return clock->repeated_times >= ASLEEP_REPEATS;
}

/* Counts the jumps of a clock's time, and those that go far, or back on the one before, for more.
 */
static void note_jump(struct nqptp_clock *clock, bool new_series, uint64_t now_ns) {
    uint64_t offset_ns = nqptp_estimator_offset_ns(&clock->estimator);
    int64_t moved_ns = (int64_t)(offset_ns - clock->estimate_ns);
    bool jumped = moved_ns > JUMP_NS || moved_ns < -JUMP_NS;
    bool far = moved_ns > JUMP_FAR_NS || moved_ns < -JUMP_FAR_NS;
    bool wild = far || (jumped && (moved_ns < 0) != clock->jumped_down);

    clock->estimate_ns = offset_ns;
    if (clock->series_ns == 0)
        return; /* there is nothing yet to jump away from */
    if (jumped)
        clock->jumped_down = moved_ns < 0;
    if (jumped || new_series)
        nqptp_hysteresis_note(&clock->series_hysteresis, wild ? WEIGHT_WILD_JUMP : WEIGHT_JUMP,
                              now_ns);
}

bool nqptp_clock_sample(struct nqptp_clock *clock, uint64_t origin_ns, int64_t correction_ns,
                        uint64_t local_ns, uint64_t now_ns) {
    uint64_t master_ns = origin_ns + (uint64_t)correction_ns;
    int64_t moved_ns = (int64_t)(master_ns - clock->last_master_ns);
    bool repeated = clock->sampled_ns > 0 && origin_ns == clock->last_origin_ns &&
                    moved_ns < JUMP_NS && moved_ns > -JUMP_NS;

    clock->repeated_times = repeated ? clock->repeated_times + 1 : 0;
    if (repeated)
        master_ns = clock->last_master_ns;
    clock->last_master_ns = master_ns;
    clock->last_origin_ns = origin_ns;
    if (repeated && clock->estimator.bins == 0)
        return false; /* it sleeps on: what was said of it meanwhile does not make this a sample */
    enum nqptp_estimate estimate = nqptp_estimator_sample(&clock->estimator, master_ns, local_ns);
    if (estimate == NQPTP_ESTIMATE_NONE)
        return false;
    note_jump(clock, estimate == NQPTP_ESTIMATE_RESTARTED, now_ns);
    if (estimate == NQPTP_ESTIMATE_RESTARTED)
        clock->series_ns = local_ns;
    if (nqptp_hysteresis_holds(&clock->series_hysteresis, now_ns))
        return false; /* as good as silent */
    if (clock->sampled_ns > 0 && !nqptp_clock_alive(clock, now_ns))
        clock->confirmed = false; /* back from the dead: it has to qualify again */
    clock->reading.start_time_ns = clock->series_ns;
    clock->reading.grandmaster_identity = clock->announce.grandmaster_identity;
    clock->reading.local_time_ns = local_ns;
    clock->reading.offset_ns = nqptp_estimator_offset_ns(&clock->estimator);
    clock->sampled_ns = now_ns;
    clock->lost_ns = now_ns + patience_ns(clock) + 1;
    return true;
}

/* --- the data set comparison ---------------------------------------------------------------- */

/*
 * Figures 27 and 28, a rung for each row of the former, then of the latter. The first is climbed
 * for equal grandmasters too, where it finds no difference unless one contradicts itself on two
 * paths; so the order stays total. The second's "better" and "better by topology" are one here, and
 * its comparisons of receivers say nothing, because we have a single port that never sends.
 */
int nqptp_clock_compare(const struct nqptp_clock *a, const struct nqptp_clock *b,
                        struct nqptp_difference *difference) {
    const struct nqptp_announce *x = &a->announce, *y = &b->announce;
    const uint64_t rungs[NQPTP_RUNG_ADDRESS][2] = {
        [NQPTP_RUNG_PRIORITY1] = {x->priority1, y->priority1},
        [NQPTP_RUNG_CLOCK_CLASS] = {x->clock_class, y->clock_class},
        [NQPTP_RUNG_CLOCK_ACCURACY] = {x->clock_accuracy, y->clock_accuracy},
        [NQPTP_RUNG_VARIANCE] = {x->offset_scaled_log_variance, y->offset_scaled_log_variance},
        [NQPTP_RUNG_PRIORITY2] = {x->priority2, y->priority2},
        [NQPTP_RUNG_GRANDMASTER_IDENTITY] = {x->grandmaster_identity, y->grandmaster_identity},
        [NQPTP_RUNG_STEPS_REMOVED] = {x->steps_removed, y->steps_removed},
        [NQPTP_RUNG_CLOCK_IDENTITY] = {a->clock_identity, b->clock_identity},
        [NQPTP_RUNG_PORT_NUMBER] = {a->port_number, b->port_number},
    };

    for (unsigned i = 0; i < NQPTP_RUNG_ADDRESS; i++) {
        if (rungs[i][0] == rungs[i][1])
            continue;
        *difference = (struct nqptp_difference){(enum nqptp_rung)i, rungs[i][0], rungs[i][1]};
        return rungs[i][0] < rungs[i][1] ? -1 : 1;
    }
    /* Beyond the standard: one sender heard at two addresses. */
    *difference = (struct nqptp_difference){.rung = NQPTP_RUNG_ADDRESS};
    return memcmp(&a->address.ip, &b->address.ip, sizeof a->address.ip);
}

/* --- clients and their masters --------------------------------------------------------------- */

/* Which of the client's addresses that is, or -1. */
static int peer_of(const struct nqptp_client *client, const struct nqptp_address *address) {
    for (unsigned i = 0; i < client->peer_count; i++)
        if (nqptp_address_equal(&client->peers[i].address, address))
            return (int)i;
    return -1;
}

static struct nqptp_peer *client_peer(struct nqptp_client *client,
                                      const struct nqptp_address *address) {
    int i = peer_of(client, address);
    return i < 0 ? NULL : &client->peers[i];
}

void nqptp_clients_add_clock(struct nqptp_clients *clients, const struct nqptp_clock *clock, int i,
                             bool announced) {
    for (int c = 0; c < clients->top; c++) {
        struct nqptp_peer *peer = client_peer(&clients->list[c], &clock->address);
        if (!peer)
            continue;
        clients->list[c].listed |= nqptp_clock_bit(i);
        if (peer->announced && !announced)
            continue;
        peer->clock_identity = clock->clock_identity;
        peer->identified = true;
        peer->announced = announced;
    }
}

void nqptp_clients_remove_clock(struct nqptp_clients *clients, int i) {
    for (int c = 0; c < clients->top; c++) {
        struct nqptp_client *client = &clients->list[c];
        client->listed &= ~nqptp_clock_bit(i);
        client->qualified &= ~nqptp_clock_bit(i);
        if (client->master == i)
            client->master = NQPTP_NO_CLOCK;
    }
}

static bool lists(const struct nqptp_client *client, const struct nqptp_address *address) {
    return peer_of(client, address) >= 0;
}

bool nqptp_clients_list_address(const struct nqptp_clients *clients,
                                const struct nqptp_address *address) {
    for (int c = 0; c < clients->top; c++)
        if (lists(&clients->list[c], address))
            return true;
    return false;
}

uint32_t nqptp_clients_listed(const struct nqptp_clients *clients) {
    uint32_t listed = 0;
    for (int c = 0; c < clients->top; c++)
        listed |= clients->list[c].listed;
    return listed;
}

uint32_t nqptp_clients_masters(const struct nqptp_clients *clients) {
    uint32_t masters = 0;
    for (int c = 0; c < clients->top; c++)
        if (clients->list[c].in_use && clients->list[c].master != NQPTP_NO_CLOCK)
            masters |= nqptp_clock_bit(clients->list[c].master);
    return masters;
}

bool nqptp_client_lists_clock(const struct nqptp_client *client, int i) {
    return client->listed & nqptp_clock_bit(i);
}

void nqptp_clients_init(struct nqptp_clients *clients, const char *name) {
    memset(clients, 0, sizeof *clients);
    nqptp_clients_add(clients, name);
}

int nqptp_clients_find(const struct nqptp_clients *clients, const char *name) {
    for (int c = 0; c < clients->top; c++)
        if (clients->list[c].in_use && strcmp(clients->list[c].name, name) == 0)
            return c;
    return -1;
}

int nqptp_clients_add(struct nqptp_clients *clients, const char *name) {
    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++) {
        struct nqptp_client *client = &clients->list[c];
        if (client->in_use)
            continue;
        *client = (struct nqptp_client){
            .in_use = true, .master = NQPTP_NO_CLOCK, .published = NQPTP_NO_CLOCK};
        strncpy(client->name, name, sizeof client->name - 1);
        if (c >= clients->top)
            clients->top = c + 1;
        return c;
    }
    return -1;
}

/* The clock at the peer's address is the one that announced itself there last. */
static void identify_peer(const struct nqptp_clock_table *table, struct nqptp_peer *peer) {
    uint64_t last_ns = 0;

    for (int i = 0; i < table->clocks_top; i++) {
        const struct nqptp_clock *clock = &table->clocks[i];
        if (!clock->in_use || !nqptp_address_equal(&clock->address, &peer->address) ||
            (peer->identified && clock->announce_interval.last_ns <= last_ns))
            continue;
        last_ns = clock->announce_interval.last_ns; /* 0: it did not yet */
        peer->clock_identity = clock->clock_identity;
        peer->identified = true;
        peer->announced = last_ns > 0;
    }
}

bool nqptp_client_set_peers(const struct nqptp_clock_table *table, struct nqptp_client *client,
                            const struct nqptp_address *addresses, unsigned count) {
    struct nqptp_client old = *client;

    client->has_list = true;
    client->peer_count = 0;
    client->listed = 0;
    for (unsigned i = 0; i < count && client->peer_count < NQPTP_PEERS_MAX; i++) {
        if (lists(client, &addresses[i]))
            continue;
        const struct nqptp_peer *known = client_peer(&old, &addresses[i]);
        client->peers[client->peer_count++] =
            known ? *known : (struct nqptp_peer){.address = addresses[i]};
    }
    for (int i = 0; i < table->clocks_top; i++)
        if (table->clocks[i].in_use && lists(client, &table->clocks[i].address))
            client->listed |= nqptp_clock_bit(i);
    for (unsigned i = 0; i < client->peer_count; i++)
        if (!client->peers[i].identified)
            identify_peer(table, &client->peers[i]);
    bool same = old.has_list && old.peer_count == client->peer_count;
    for (unsigned i = 0; same && i < old.peer_count; i++)
        same = lists(client, &old.peers[i].address);
    if (!same)
        client->hysteresis = (struct nqptp_hysteresis){0}; /* this change is wanted */
    return !same;
}

/* Announced, and not behind more boundary clocks than the standard allows. */
static bool eligible(const struct nqptp_clock *clock) {
    return clock->announced && clock->announce.steps_removed < STEPS_REMOVED_LIMIT;
}

/* Does the reading belong to the grandmaster that its clock announces? The master's may lag. */
static bool reading_is_current(const struct nqptp_clock_table *table,
                               const struct nqptp_client *client, int i) {
    const struct nqptp_clock *clock = &table->clocks[i];
    return i == client->master ||
           clock->reading.grandmaster_identity == clock->announce.grandmaster_identity;
}

/* Is there no clock at that address that could be master? */
static bool address_silent(const struct nqptp_clock_table *table, const struct nqptp_client *client,
                           const struct nqptp_address *address, uint64_t now_ns) {
    for (int i = 0; i < table->clocks_top; i++) {
        const struct nqptp_clock *clock = &table->clocks[i];
        if (clock->in_use && nqptp_address_equal(&clock->address, address) && eligible(clock) &&
            reading_is_current(table, client, i) && nqptp_clock_alive(clock, now_ns))
            return false;
    }
    return true;
}

/*
 * The listed address, now silent, of this clock, which is heard at another one; or NULL. While the
 * clock is heard at any that is listed, nobody else needs to speak for it.
 */
static const struct nqptp_peer *stands_in_for(const struct nqptp_clock_table *table,
                                              const struct nqptp_client *client,
                                              const struct nqptp_clock *clock, uint64_t now_ns) {
    const struct nqptp_peer *silent = NULL;

    for (unsigned i = 0; i < client->peer_count; i++) {
        const struct nqptp_peer *peer = &client->peers[i];
        if (!peer->identified || peer->clock_identity != clock->clock_identity)
            continue;
        if (!address_silent(table, client, &peer->address, now_ns))
            return NULL;
        if (!silent)
            silent = peer;
    }
    return silent;
}

static bool may_follow(const struct nqptp_clock_table *table, const struct nqptp_client *client,
                       int i, uint64_t now_ns) {
    return !client->has_list || nqptp_client_lists_clock(client, i) ||
           stands_in_for(table, client, &table->clocks[i], now_ns);
}

/* Is there a master that may be followed and that is alive? */
static bool master_stands(const struct nqptp_clock_table *table, const struct nqptp_client *client,
                          uint64_t now_ns) {
    int i = client->master;
    return i != NQPTP_NO_CLOCK && may_follow(table, client, i, now_ns) &&
           nqptp_clock_alive(&table->clocks[i], now_ns);
}

/* 9.3.2.5, relaxed where waiting for a second Announce would only keep a player silent. */
bool nqptp_client_qualifies(const struct nqptp_clock_table *table,
                            const struct nqptp_client *client, int i, uint64_t now_ns) {
    const struct nqptp_clock *clock = &table->clocks[i];
    return eligible(clock) &&
           (clock->confirmed || (client->qualified & nqptp_clock_bit(i)) ||
            nqptp_client_lists_clock(client, i) || !master_stands(table, client, now_ns));
}

/* Once qualified a clock stays so while it is alive, however seldom it announces itself. */
static uint32_t qualified_clocks(const struct nqptp_clock_table *table,
                                 const struct nqptp_client *client, uint64_t now_ns) {
    uint32_t qualified = 0;

    for (int i = 0; i < table->clocks_top; i++)
        if (table->clocks[i].in_use && nqptp_clock_alive(&table->clocks[i], now_ns) &&
            nqptp_client_qualifies(table, client, i, now_ns))
            qualified |= nqptp_clock_bit(i);
    return qualified;
}

static bool candidate(const struct nqptp_clock_table *table, const struct nqptp_client *client,
                      int i, uint64_t now_ns) {
    return (client->qualified & nqptp_clock_bit(i)) && reading_is_current(table, client, i) &&
           may_follow(table, client, i, now_ns);
}

/* With an ordered list the clock at the first address wins, and after it who may stand in for it.
 */
static int precedence(const struct nqptp_client *client, const struct nqptp_clock *clock) {
    const struct nqptp_peer *first = &client->peers[0];

    if (!client->first_wins || client->peer_count == 0)
        return 0;
    if (nqptp_address_equal(&first->address, &clock->address))
        return 2;
    return first->identified && first->clock_identity == clock->clock_identity;
}

static bool better(const struct nqptp_client *client, const struct nqptp_clock *a,
                   const struct nqptp_clock *b) {
    int lead = precedence(client, a) - precedence(client, b);
    struct nqptp_difference difference;
    return lead != 0 ? lead > 0 : nqptp_clock_compare(a, b, &difference) < 0;
}

/* Does the master stay although the best of those that could do is another one, or none? */
static bool stays(const struct nqptp_clock_table *table, const struct nqptp_client *client,
                  int best, uint64_t now_ns) {
    int old = client->master;

    if (old == NQPTP_NO_CLOCK)
        return false;
    if (best == NQPTP_NO_CLOCK)
        return may_follow(table, client, old, now_ns);
    const struct nqptp_clock *from = &table->clocks[old], *to = &table->clocks[best];
    if (!nqptp_hysteresis_holds(&client->hysteresis, now_ns) ||
        precedence(client, to) > precedence(client, from))
        return false; /* the first of an ordered list is back: its client would have no other */
    if (!nqptp_clock_alive(from, now_ns) && may_follow(table, client, old, now_ns))
        return nqptp_address_equal(&from->address, &to->address); /* one sender of many names */
    return candidate(table, client, old, now_ns);
}

/* The best of the candidates, without record `except`; or NQPTP_NO_CLOCK. */
static int best_candidate(const struct nqptp_clock_table *table, const struct nqptp_client *client,
                          int except, uint64_t now_ns) {
    int best = NQPTP_NO_CLOCK;

    for (int i = 0; i < table->clocks_top; i++)
        if (i != except && candidate(table, client, i, now_ns) &&
            (best == NQPTP_NO_CLOCK || better(client, &table->clocks[i], &table->clocks[best])))
            best = i;
    return best;
}

bool nqptp_client_select(const struct nqptp_clock_table *table, struct nqptp_client *client,
                         uint64_t now_ns) {
    int old = client->master;

    client->qualified = qualified_clocks(table, client, now_ns);
    int best = best_candidate(table, client, NQPTP_NO_CLOCK, now_ns);
    if (stays(table, client, best, now_ns))
        best = old;
    if (best != old)
        nqptp_hysteresis_note(&client->hysteresis, WEIGHT_MASTER, now_ns);
    client->master = best;
    return best != old;
}

struct nqptp_reason nqptp_client_reason(const struct nqptp_clock_table *table,
                                        const struct nqptp_client *client, int old,
                                        uint64_t now_ns) {
    struct nqptp_reason reason = {.won = NQPTP_WON_ALONE};
    const struct nqptp_clock *winner = &table->clocks[client->master];

    if (client->has_list && !nqptp_client_lists_clock(client, client->master)) {
        const struct nqptp_peer *peer = stands_in_for(table, client, winner, now_ns);
        reason.won = NQPTP_WON_STANDS_IN;
        reason.address = peer ? peer->address : winner->address;
        return reason;
    }
    bool followed = old != NQPTP_NO_CLOCK && may_follow(table, client, old, now_ns);
    bool alive = followed && nqptp_clock_alive(&table->clocks[old], now_ns);
    if (old != NQPTP_NO_CLOCK && !alive) {
        reason.won = followed ? NQPTP_WON_SILENT : NQPTP_WON_UNLISTED;
        return reason;
    }
    int rival = old != NQPTP_NO_CLOCK && candidate(table, client, old, now_ns)
                    ? old
                    : best_candidate(table, client, client->master, now_ns);
    if (rival == NQPTP_NO_CLOCK)
        return reason;
    reason.won = NQPTP_WON_FIRST;
    if (precedence(client, winner) <= precedence(client, &table->clocks[rival])) {
        reason.won = NQPTP_WON_COMPARED;
        nqptp_clock_compare(winner, &table->clocks[rival], &reason.difference);
    }
    return reason;
}
