/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target for the whole engine: the input is a sequence of steps, for example packets made to
 * fit earlier packets, packets of any octets, commands, deadlines, and time that passes. After each
 * step the invariants of invariants.h must hold, and each change for a client must be published.
 */
#include "invariants.h"
#include "../lib/random.h"
#include "../lib/ptp-messages.h"

#define MS UINT64_C(1000000)
#define OUR_IDENTITY REQUESTING_IDENTITY
#define SENDERS 48   /* clock identities, more than there are records */
#define ADDRESSES 32 /* fewer, so that some share one */
#define PAIR_NS (125 * MS)
#define PAIRS_MOST 24
#define WAIT_MOST ((UINT64_C(1) << 43) - 1)    /* two hours and a half */
#define LATENCY_MOST ((UINT64_C(1) << 31) - 1) /* the kernel's receive time is not older */
#define EXPIRIES_MOST (3 * NQPTP_CLOCKS_MAX)   /* each clock has three deadlines */
#define ADDRESSED 0x80  /* A bit in the octet of a step: another address follows. */
#define STEPS_MOST 1500 /* of one input: it must not take for ever */
#define STATUS_STEPS 32 /* between two looks at the status */
#define TEXT_MAX 1024

/* What a client was told last, and how its master was chosen. */
struct told {
    bool in_use;
    int master;
    uint32_t qualified;
    struct nqptp_shm_record record;
};

struct run {
    struct nqptp_engine engine;
    struct nqptp_effects effects;
    uint64_t now_ns;
    unsigned steps;
    uint16_t sequence_ids[SENDERS];
    struct told told[NQPTP_CLIENTS_MAX];
};

static struct nqptp_engine next_engine; /* of the next process */

/* --- what must hold after each step ----------------------------------------------------------- */

/* 9.3.2.5: an unlisted clock takes a living master's place only by a second Announce. */
static void require_qualified(const struct run *run, int c) {
    const struct nqptp_client *client = &run->engine.clients.list[c];
    const struct nqptp_clock *clocks = run->engine.table.clocks;
    int before = run->told[c].master, after = client->master;

    if (!run->told[c].in_use || before == NQPTP_NO_CLOCK || after == NQPTP_NO_CLOCK ||
        before == after)
        return;
    const struct nqptp_shm_record *old = &run->told[c].record;
    bool stands = clocks[before].in_use && clocks[before].clock_identity == old->clock_identity &&
                  is_at(old, &clocks[before].address) &&
                  nqptp_clock_is_alive(&clocks[before], run->now_ns) &&
                  may_follow(&run->engine, client, before, run->now_ns);
    REQUIRE(!stands || clocks[after].confirmed || has_address(client, &clocks[after].address) ||
            (run->told[c].qualified >> after & 1));
}

static void require_told(struct run *run, int c) {
    const struct nqptp_client *client = &run->engine.clients.list[c];
    struct told *told = &run->told[c];
    struct nqptp_shm_record record = {0};

    if (c < run->engine.clients.top)
        record = record_of(&run->engine, c);
    REQUIRE(same_record(&record, &told->record) || (run->effects.publish >> c & 1));
    require_qualified(run, c);
    *told = (struct told){c < run->engine.clients.top, client->master, client->qualified, record};
}

/* Whether there is a row for the clock of this record. */
static bool has_row(const struct run *run, const struct nqptp_shm_record *record) {
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++) {
        const struct nqptp_clock *clock = &run->engine.table.clocks[i];
        if (clock->in_use && clock->clock_identity == record->clock_identity &&
            is_at(record, &clock->address))
            return true;
    }
    return false;
}

/* No newcomer takes the row of a client's master. */
static void require_kept(const struct run *run) {
    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++) {
        const struct nqptp_shm_record *record = &run->told[c].record;
        REQUIRE(!run->told[c].in_use || !has_master(record) || has_row(run, record));
    }
}

/* To be called after each call of the engine's. */
static void require_all(struct run *run, bool chosen) {
    require_effects(&run->engine, &run->effects);
    require_state(&run->engine, run->now_ns);
    if (chosen)
        require_masters(&run->engine, run->now_ns);
    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++)
        require_told(run, c);
    if (run->steps++ % STATUS_STEPS == 0)
        require_status(&run->engine, run->now_ns);
}

/* --- time ------------------------------------------------------------------------------------- */

/* The deadline of a clock lets all clients choose. To ask a silent address does not. */
static bool has_due_clock(const struct run *run) {
    const struct nqptp_clock_table *table = &run->engine.table;
    int first = nqptp_clock_first_due(table);

    return first != NQPTP_NO_CLOCK && nqptp_clock_deadline(&table->clocks[first]) <= run->now_ns;
}

static void expire(struct run *run) {
    unsigned count = 0;

    while (nqptp_engine_deadline(&run->engine) <= run->now_ns) {
        REQUIRE(count++ < EXPIRIES_MOST);
        bool chosen = has_due_clock(run);
        nqptp_engine_expire(&run->engine, run->now_ns, &run->effects);
        require_all(run, chosen);
    }
}

static void pass(struct run *run, uint64_t ns) {
    run->now_ns += ns;
    expire(run);
}

/* --- packets ---------------------------------------------------------------------------------- */

static struct nqptp_address address_of(unsigned n) {
    struct nqptp_address address = nqptp_address_from_ipv4((struct in_addr){htonl(0xC0000200 | n)});

    if (n % 4 == 3)
        address = (struct nqptp_address){.ip = {.s6_addr = {0xFE, 0x80, [15] = (uint8_t)n}},
                                         .scope_id = n % 8};
    return address;
}

static uint64_t identity_of(unsigned sender) {
    return sender == SENDERS - 1 ? OUR_IDENTITY : APPLE_IDENTITY + sender;
}

/* What its clock shows now. */
static uint64_t time_of(const struct run *run, unsigned sender) {
    return run->now_ns + sender * UINT64_C(700000000000000);
}

static bool is_of_type(const uint8_t *message, enum nqptp_message_type type) {
    return (message[0] & 0x0F) == type;
}

/* Whether the last message gave a sample. */
static bool sampled(const struct nqptp_engine *engine, uint64_t now_ns) {
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
        if (engine->table.clocks[i].in_use && engine->table.clocks[i].sampled_at_ns == now_ns)
            return true;
    return false;
}

static void deliver(struct run *run, const uint8_t *data, size_t length, unsigned where,
                    uint64_t latency_ns, bool truncated) {
    uint8_t *copy = fuzz_copy(data, length);
    struct nqptp_packet packet = {
        .data = copy,
        .length = length,
        .truncated = truncated,
        .source = address_of(where),
        .local = address_of(where + ADDRESSES),
        .interface = where % 8,
        .receive_time_ns = run->now_ns > latency_ns ? run->now_ns - latency_ns : 0,
    };
    uint64_t used = run->engine.drops[NQPTP_DROP_NONE];
    bool sampled_before = sampled(&run->engine, run->now_ns);

    nqptp_engine_packet(&run->engine, &packet, run->now_ns, &run->effects);
    used = run->engine.drops[NQPTP_DROP_NONE] - used;
    REQUIRE(used == 1 || run->effects.reply_count == 0);
    require_kept(run);
    bool chosen =
        is_of_type(copy, NQPTP_ANNOUNCE) || (!sampled_before && sampled(&run->engine, run->now_ns));
    require_all(run, used == 1 && chosen);
    free(copy);
}

/* Which fields differ from those that the sender would send. */
enum changed {
    CHANGED_SEQUENCE = 1 << 0,
    CHANGED_FLAGS = 1 << 1,
    CHANGED_TIME = 1 << 2,
    CHANGED_CORRECTION = 1 << 3,
    CHANGED_INTERVAL = 1 << 4,
    CHANGED_DATA_SET = 1 << 5,
    CHANGED_PORT = 1 << 6,
    CHANGED_ANYTHING = 1 << 7,
};

static void change_time(uint8_t *message, uint64_t ns, struct fuzz_input *input) {
    bool back = fuzz_octet(input) & 1;
    uint64_t by_ns = fuzz_magnitude(input);
    put_timestamp(message, back ? ns - by_ns : ns + by_ns);
}

static void change_data_set(uint8_t *announce, struct fuzz_input *input) {
    put_priority1(announce, fuzz_octet(input));
    put_grandmaster(announce, identity_of(fuzz_octet(input) % SENDERS));
    put_steps_removed(announce, (uint16_t)(fuzz_octet(input) * 0x0101));
}

static void change(uint8_t *message, size_t length, unsigned changed, uint64_t time_ns,
                   struct fuzz_input *input) {
    if (changed & CHANGED_FLAGS)
        put_flags(message, (uint16_t)fuzz_number(input, 2));
    if (changed & CHANGED_TIME)
        change_time(message, time_ns, input);
    if (changed & CHANGED_CORRECTION)
        put_correction(message, (int64_t)fuzz_number(input, 8));
    if (changed & CHANGED_INTERVAL)
        put_log_interval(message, (int8_t)fuzz_octet(input));
    if ((changed & CHANGED_DATA_SET) && is_of_type(message, NQPTP_ANNOUNCE))
        change_data_set(message, input);
    if (changed & CHANGED_ANYTHING) {
        size_t place = fuzz_octet(input) % length;
        message[place] = fuzz_octet(input);
    }
}

/* One of the vectors, as this sender would send it. Returns its length. */
static size_t compose(struct run *run, unsigned vector, unsigned sender, unsigned changed,
                      struct fuzz_input *input, uint8_t message[VECTOR_LONGEST]) {
    size_t length = vectors[vector].datagram_length;
    uint16_t *sequence_id = &run->sequence_ids[sender];
    uint16_t port = sender == SENDERS - 1 ? NQPTP_PORT_NUMBER : APPLE_PORT;

    memcpy(message, vectors[vector].data, length);
    put_source(message, identity_of(sender), changed & CHANGED_PORT ? fuzz_octet(input) : port);
    *sequence_id = (uint16_t)(*sequence_id + is_of_type(message, NQPTP_SYNC));
    if (changed & CHANGED_SEQUENCE)
        *sequence_id = (uint16_t)(*sequence_id + (int8_t)fuzz_octet(input));
    put_sequence_id(message, *sequence_id);
    put_log_interval(message, is_of_type(message, NQPTP_ANNOUNCE) ? 0 : -3);
    if (is_of_type(message, NQPTP_FOLLOW_UP))
        put_timestamp(message, time_of(run, sender));
    if (is_of_type(message, NQPTP_ANNOUNCE))
        put_grandmaster(message, identity_of(sender));
    change(message, length, changed, time_of(run, sender), input);
    return length;
}

static void send_message(struct run *run, bool addressed, struct fuzz_input *input) {
    uint8_t message[VECTOR_LONGEST];
    unsigned vector = fuzz_octet(input) % VECTOR_COUNT;
    unsigned sender = fuzz_octet(input) % SENDERS;
    unsigned changed = fuzz_octet(input);
    unsigned where = (addressed ? fuzz_octet(input) : sender) % ADDRESSES;
    uint64_t latency_ns = addressed ? fuzz_magnitude(input) & LATENCY_MOST : MS / 32;
    size_t length = compose(run, vector, sender, changed, input, message);

    deliver(run, message, length, where, latency_ns, false);
}

static void send_octets(struct run *run, bool truncated, struct fuzz_input *input) {
    unsigned where = fuzz_octet(input) % ADDRESSES;
    size_t length = (size_t)fuzz_number(input, 2);

    length = length < input->left ? length : input->left;
    deliver(run, input->data, length, where, MS / 32, truncated);
    input->data += length;
    input->left -= length;
}

static void send_vector(struct run *run, unsigned vector, unsigned sender, uint64_t latency_ns) {
    struct fuzz_input none = {NULL, 0};
    uint8_t message[VECTOR_LONGEST];
    size_t length = compose(run, vector, sender, 0, &none, message);

    deliver(run, message, length, sender % ADDRESSES, latency_ns, false);
}

/* Some clocks that go well for a while: Apple's Announces, Syncs and Follow_Ups. */
static void play(struct run *run, struct fuzz_input *input) {
    unsigned first = fuzz_octet(input), count = fuzz_octet(input) % 4 + 1;
    unsigned pairs = fuzz_octet(input) % PAIRS_MOST + 1;
    struct prng prng = {0x5EED + first};

    for (unsigned pair = 0; pair < pairs && run->steps < STEPS_MOST; pair++) {
        for (unsigned i = 0; i < count; i++) {
            unsigned sender = (first + i) % SENDERS;
            if (pair % 8 == 0)
                send_vector(run, 2, sender, 0);
            send_vector(run, 0, sender, prng_below(&prng, MS));
            send_vector(run, 1, sender, 0);
        }
        pass(run, PAIR_NS);
    }
}

/* --- commands --------------------------------------------------------------------------------- */

static void command(struct run *run, const char *data, size_t length) {
    static const struct nqptp_shm_record none;
    uint8_t *text = fuzz_copy((const uint8_t *)data, length);
    struct nqptp_command command;

    struct nqptp_answer answer =
        obey(&run->engine, (const char *)text, length, &none, run->now_ns, &command, &run->effects);
    free(text);
    require_answer(&run->engine, &command, &answer);
    REQUIRE(run->effects.reply_count == 0);
    require_all(run, !answer.refusal);
}

/* The client's name and a space, or nothing. */
static size_t write_name(char *text, unsigned client) {
    int length = client == 0   ? 0
                 : client == 1 ? snprintf(text, TEXT_MAX, "/nqptp ")
                               : snprintf(text, TEXT_MAX, "/client%u ", client);
    return (size_t)length;
}

static void send_list(struct run *run, struct fuzz_input *input) {
    char text[TEXT_MAX], address[INET6_ADDRSTRLEN];
    size_t length = write_name(text, fuzz_octet(input) % 20);
    unsigned count = fuzz_octet(input) % 8;

    text[length++] = 'T';
    for (unsigned i = 0; i < count; i++) {
        struct nqptp_address listed = address_of(fuzz_octet(input) % ADDRESSES);
        length += (size_t)snprintf(text + length, sizeof text - length, " %s",
                                   nqptp_address_format(&listed, address));
    }
    command(run, text, length);
}

static void send_activity(struct run *run, struct fuzz_input *input) {
    char text[TEXT_MAX];
    size_t length = write_name(text, fuzz_octet(input) % 20);

    text[length++] = "BEP?"[fuzz_octet(input) % 4];
    command(run, text, length);
}

static void send_text(struct run *run, struct fuzz_input *input) {
    size_t length = fuzz_octet(input);

    length = length < input->left ? length : input->left;
    command(run, (const char *)input->data, length);
    input->data += length;
    input->left -= length;
}

/* --- the process ------------------------------------------------------------------------------ */

/* The record that an object held counts only for the first master of its client. */
static void inherit(struct run *run, struct fuzz_input *input) {
    int c = fuzz_octet(input) % NQPTP_CLIENTS_MAX;
    struct nqptp_reading reading = {
        .grandmaster_identity = identity_of(fuzz_octet(input) % SENDERS),
        .offset_ns = time_of(run, fuzz_octet(input) % SENDERS) - run->now_ns,
        .start_time_ns = fuzz_magnitude(input),
    };
    struct nqptp_client *client = &run->engine.clients.list[c];
    if (c < run->engine.clients.top && client->master == NQPTP_NO_CLOCK)
        client->inherited = reading;
}

static void set_own_addresses(struct run *run, struct fuzz_input *input) {
    struct nqptp_address addresses[ADDRESSES];
    unsigned count = fuzz_octet(input) % ADDRESSES;

    for (unsigned i = 0; i < count; i++)
        addresses[i] = address_of(fuzz_octet(input) % ADDRESSES);
    nqptp_engine_set_own_addresses(&run->engine, addresses, count);
}

/* Each four addresses in a row are of one host. */
static unsigned host_of(const struct nqptp_address *address) {
    return address->ip.s6_addr[15] / 4;
}

/* Tells the engine part of the kernel's neighbour table, whether it is due or not. */
static void tell_neighbours(struct run *run, struct fuzz_input *input) {
    static struct nqptp_neighbours neighbours;

    neighbours.count = fuzz_octet(input) % ADDRESSES;
    for (unsigned i = 0; i < neighbours.count; i++) {
        struct nqptp_address address = address_of(fuzz_octet(input) % ADDRESSES);
        neighbours.list[i] =
            (struct nqptp_neighbour){address, 1, {(uint8_t)host_of(&address), 0, 0, 0, 0, 1}};
    }
    nqptp_engine_neighbours(&run->engine, &neighbours, run->now_ns, &run->effects);
    REQUIRE(run->effects.reply_count == 0);
    REQUIRE(nqptp_engine_neighbours_due_ns(&run->engine) > run->now_ns);
    require_all(run, true);
    for (int c = 0; c < run->engine.clients.top; c++)
        for (unsigned p = 0; p < run->engine.clients.list[c].peer_count; p++)
            for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
                REQUIRE(!(run->engine.clients.list[c].peers[p].same_host >> i & 1) ||
                        host_of(&run->engine.clients.list[c].peers[p].address) ==
                            host_of(&run->engine.table.clocks[i].address));
}

/* The next engine gets the commands of the client and the texts that its object kept. */
static void ask_again(const struct nqptp_client *client, int c, uint64_t now_ns) {
    static const char letters[] = {
        [NQPTP_STOPPED] = 'E', [NQPTP_PLAYING] = 'B', [NQPTP_PAUSED] = 'P'};
    const struct nqptp_shm_record none = {0};
    struct nqptp_command again = {.letter = 'T', .count = client->peer_count};
    struct nqptp_effects effects;

    if (c > 0)
        nqptp_engine_add_client(&next_engine, client->name, &none);
    if (c > 0 || client->first_wins)
        snprintf(again.name, sizeof again.name, "%s", client->name);
    for (unsigned i = 0; i < client->peer_count; i++)
        again.addresses[i] = client->peers[i].address;
    if (client->has_list)
        nqptp_engine_command(&next_engine, &again, now_ns, &effects);
    again.letter = letters[client->activity];
    snprintf(again.name, sizeof again.name, "%s", client->name);
    if (client->activity != NQPTP_UNSAID)
        nqptp_engine_command(&next_engine, &again, now_ns, &effects);
}

/* The next process has the lists of the clients, and the records of their objects. */
static void restart(struct run *run) {
    begin_engine(&next_engine, run->engine.self.port.clock_identity);
    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++)
        if (c < run->engine.clients.top)
            ask_again(&run->engine.clients.list[c], c, run->now_ns);
    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++) {
        const struct nqptp_client *client = &run->engine.clients.list[c];
        int other = c < run->engine.clients.top
                        ? nqptp_clients_find(&next_engine.clients, client->name)
                        : -1;
        const struct nqptp_shm_record *record = &run->told[c].record;
        if (other >= 0)
            next_engine.clients.list[other].inherited =
                (struct nqptp_reading){.grandmaster_identity = record->grandmaster_identity,
                                       .offset_ns = record->offset_ns,
                                       .start_time_ns = record->start_time_ns};
    }
    memcpy(&run->engine, &next_engine, sizeof next_engine);
    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++)
        run->told[c] =
            (struct told){.in_use = c < run->engine.clients.top, .master = NQPTP_NO_CLOCK};
}

/* --- inputs ----------------------------------------------------------------------------------- */

static void step(struct run *run, struct fuzz_input *input) {
    unsigned what = fuzz_octet(input);
    bool addressed = what & ADDRESSED;

    switch (what % ADDRESSED % 16) {
    case 0:
        run->now_ns += fuzz_magnitude(input) & WAIT_MOST;
        break;
    case 1:
        pass(run, fuzz_magnitude(input) & WAIT_MOST);
        break;
    case 2:
        send_octets(run, addressed, input);
        break;
    case 3:
        send_list(run, input);
        break;
    case 4:
        send_activity(run, input);
        break;
    case 5:
        send_text(run, input);
        break;
    case 6:
        play(run, input);
        break;
    case 7:
        tell_neighbours(run, input);
        break;
    case 8:
        inherit(run, input);
        break;
    case 9:
        set_own_addresses(run, input);
        break;
    case 10:
        restart(run);
        break;
    default:
        send_message(run, addressed, input);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct run run;
    struct fuzz_input input = {data, size};

    memset(&run, 0, sizeof run);
    begin_engine(&run.engine, OUR_IDENTITY);
    run.now_ns = 1 + (fuzz_magnitude(&input) & WAIT_MOST);
    for (int c = 0; c < NQPTP_CLIENTS_MAX; c++)
        run.told[c].master = NQPTP_NO_CLOCK;
    while (input.left > 0 && run.steps < STEPS_MOST)
        step(&run, &input);
    require_order(&run.engine);
    require_status(&run.engine, run.now_ns);
    return 0;
}
