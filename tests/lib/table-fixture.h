/* SPDX-License-Identifier: MIT */
/* A table of clocks and one client. The clocks are set up without any messages. */
#ifndef NQPTP_TABLE_FIXTURE_H
#define NQPTP_TABLE_FIXTURE_H

#include "nqptp-clients.h"

#define MS UINT64_C(1000000)
#define S (1000 * MS)
#define LOG_1_S 0
#define LOG_NOT_STATED 0x7F

struct table_fixture {
    struct nqptp_clock_table table;
    struct nqptp_clients clients;
    uint64_t now_ns;
};

static inline struct table_fixture table_begin(void) {
    struct table_fixture b = {.now_ns = 1000 * S};

    nqptp_clients_add(&b.clients, "/nqptp");
    return b;
}

/* 10.0.0.host */
static inline struct nqptp_address host(uint8_t number) {
    return (struct nqptp_address){
        .ip = {.s6_addr = {[10] = 0xFF, [11] = 0xFF, [12] = 10, [15] = number}},
    };
}

static inline int add(struct table_fixture *b, uint64_t clock_identity, uint8_t number) {
    struct nqptp_address address = host(number);
    int i = nqptp_clock_row_for(&b->table, nqptp_clients_listed(&b->clients),
                                nqptp_clients_masters(&b->clients), &address,
                                nqptp_clients_list_address(&b->clients, &address), b->now_ns);
    if (i != NQPTP_NO_CLOCK) {
        nqptp_clock_create(&b->table, i, clock_identity, &address, b->now_ns);
        nqptp_clients_add_clock(&b->clients, &b->table, i);
    }
    return i;
}

static inline void delete (struct table_fixture *b, int i) {
    nqptp_clock_delete(&b->table, i);
    nqptp_clients_remove_clock(&b->clients, i);
}

static inline void announce_path(struct table_fixture *b, int i, uint8_t priority1,
                                 uint16_t steps_removed, int8_t log_interval) {
    const struct nqptp_announce data = {
        .grandmaster_identity = b->table.clocks[i].clock_identity,
        .priority1 = priority1,
        .clock_class = 248,
        .steps_removed = steps_removed,
    };
    nqptp_clock_announce(&b->table.clocks[i], &data, 1, log_interval, b->now_ns);
}

static inline void announce(struct table_fixture *b, int i, uint8_t priority1) {
    announce_path(b, i, priority1, 0, LOG_1_S);
}

static inline bool sample_of(struct table_fixture *b, int i, uint64_t origin_ns) {
    const struct nqptp_sample given = {.origin_ns = origin_ns, .local_ns = b->now_ns};
    return nqptp_clock_sample(&b->table.clocks[i], &given, b->now_ns);
}

/* Every clock here is 5000 s ahead of us. */
static inline bool sample(struct table_fixture *b, int i) {
    return sample_of(b, i, b->now_ns + 5000 * S);
}

/* Adds a clock that sent one Announce and one sample. */
static inline int add_ready(struct table_fixture *b, uint64_t clock_identity, uint8_t number,
                            uint8_t priority1) {
    int i = add(b, clock_identity, number);
    announce(b, i, priority1);
    (void)sample(b, i);
    return i;
}

static inline int compare(const struct nqptp_clock *a, const struct nqptp_clock *b) {
    struct nqptp_difference difference;
    return nqptp_clock_compare(a, b, &difference);
}

static inline int master(struct table_fixture *b) {
    (void)nqptp_client_select(&b->table, &b->clients.list[0], b->now_ns);
    return b->clients.list[0].master;
}

/* Returns the set of this clock alone, for wait_with(), or the empty set for NQPTP_NO_CLOCK. */
static inline unsigned only(int i) {
    return i < 0 ? 0 : 1u << i;
}

/* Lets `ns` pass. At the end these clocks (bit i: clock i) give a sample each. */
static inline void wait_with(struct table_fixture *b, uint64_t ns, unsigned clocks) {
    b->now_ns += ns;
    for (int i = 0; i < NQPTP_CLOCKS_MAX; i++)
        if (clocks >> i & 1)
            (void)sample(b, i);
}

static inline void list_hosts(struct table_fixture *b, unsigned count, const uint8_t *numbers) {
    struct nqptp_address addresses[4];

    for (unsigned i = 0; i < count; i++)
        addresses[i] = host(numbers[i]);
    nqptp_client_set_peers(&b->table, &b->clients.list[0], addresses, count);
}

static inline void list_host(struct table_fixture *b, uint8_t number) {
    list_hosts(b, 1, &number);
}

#endif
