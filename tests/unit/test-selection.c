/* SPDX-License-Identifier: MIT */
/*
 * Proves which clock a client follows: when a clock qualifies, the best clock of all without a list
 * and of the list with one, which clock stands in for a silent clock, and that a client follows no
 * clock that it may not follow.
 */
#include "nqptp-clock-sources.h"

#include "../lib/table-fixture.h"
#include "../lib/tap.h"

#include <time.h>

/* --- qualification --------------------------------------------------------------------------- */

static void test_first_clock_needs_one_announce(void) {
    struct table_fixture b = table_begin();
    int i = add(&b, 1, 1);

    (void)sample(&b, i);
    CHECK_EQ_I64(master(&b), NQPTP_NO_CLOCK, "without an Announce no clock is master");
    announce(&b, i, 10);
    CHECK_EQ_I64(master(&b), i, "one Announce makes a clock master while there is none");
    CHECK(!nqptp_client_select(&b.table, &b.clients.list[0], b.now_ns),
          "a choice that is repeated changes nothing");
}

/* Whether the second Announce of a better clock, after this time, makes it master. */
static bool second_announce_displaces(int8_t log_interval, uint64_t spacing_ns) {
    struct table_fixture b = table_begin();
    int old = add_ready(&b, 1, 1, 200);
    CHECK_EQ_I64(master(&b), old, "the only clock is master");
    int better = add(&b, 2, 2);
    (void)sample(&b, better);
    announce_path(&b, better, 10, 0, log_interval);
    CHECK_EQ_I64(master(&b), old, "one Announce of a better clock does not displace it");
    for (uint64_t ns = 0; ns < spacing_ns; ns += 100 * MS)
        wait_with(&b, 100 * MS, 3);
    CHECK_EQ_I64(master(&b), old, "time alone does not make it master");
    announce_path(&b, better, 10, 0, log_interval);
    return master(&b) == better;
}

static void test_displacing_a_master(void) {
    CHECK(second_announce_displaces(LOG_1_S, 1 * S),
          "a second Announce after 1 s displaces the master");
    CHECK(second_announce_displaces(LOG_1_S, 3900 * MS),
          "a second Announce within four stated intervals of 1 s displaces the master");
    CHECK(!second_announce_displaces(LOG_1_S, 4100 * MS),
          "a second Announce after more than four stated intervals of 1 s does not displace the "
          "master");
    CHECK(second_announce_displaces(-2, 3900 * MS),
          "a second Announce within 4 s displaces the master, at a shorter stated interval");
    CHECK(!second_announce_displaces(-2, 4100 * MS),
          "a second Announce after more than 4 s does not displace the master, at a shorter stated "
          "interval");
    CHECK(second_announce_displaces(1, 7900 * MS),
          "a second Announce within four stated intervals of 2 s displaces the master");
    CHECK(!second_announce_displaces(1, 8100 * MS),
          "a second Announce after more than four stated intervals of 2 s does not displace the "
          "master");
    CHECK(second_announce_displaces(LOG_NOT_STATED, 1 * S),
          "a second Announce after 1 s displaces the master without a stated interval");
    CHECK(!second_announce_displaces(LOG_NOT_STATED, 60 * S),
          "a second Announce after 60 s does not displace the master without a stated interval");
}

static void test_worse_clock_does_not_displace(void) {
    struct table_fixture b = table_begin();
    int old = add_ready(&b, 1, 1, 100), worse = add_ready(&b, 2, 2, 101);

    CHECK_EQ_I64(master(&b), old, "of two clocks the better is master");
    for (int n = 0; n < 5; n++) {
        wait_with(&b, S, 3);
        announce(&b, worse, 101);
    }
    CHECK_EQ_I64(master(&b), old,
                 "a worse clock that announces itself six times does not displace the master");
}

static void test_one_announce_when_master_is_dead(void) {
    struct table_fixture b = table_begin();
    int old = add_ready(&b, 1, 1, 100);

    CHECK_EQ_I64(master(&b), old, "the only clock is master before it falls silent");
    b.now_ns += 20 * S;
    CHECK_EQ_I64(master(&b), old, "a silent master stays while there is no other");
    int worse = add_ready(&b, 2, 2, 200);
    CHECK_EQ_I64(master(&b), worse,
                 "one Announce and a sample of any other clock displace a silent master");
}

static void test_listed_clock_needs_one_announce(void) {
    struct table_fixture b = table_begin();

    list_hosts(&b, 2, (const uint8_t[]){1, 2});
    int old = add_ready(&b, 1, 1, 100);
    CHECK_EQ_I64(master(&b), old, "the only listed clock is master");
    int better = add_ready(&b, 2, 2, 10);
    CHECK_EQ_I64(master(&b), better, "one Announce of a better listed clock displaces it");
}

/* The delay after many changes of master. */
static void test_what_ends_a_restless_mastership(void) {
    struct table_fixture b = table_begin();
    struct nqptp_client *client = &b.clients.list[0];

    list_hosts(&b, 2, (const uint8_t[]){1, 2});
    int old = add_ready(&b, 1, 1, 100);
    CHECK_EQ_I64(master(&b), old, "before many changes the only listed clock is master");
    client->hysteresis = (struct nqptp_hysteresis){1000, b.now_ns};
    int better = add_ready(&b, 2, 2, 10);
    CHECK_EQ_I64(master(&b), old, "after many changes a better clock waits");
    client->first_wins = true;
    CHECK_EQ_I64(master(&b), old,
                 "after many changes a better clock waits that comes second in an ordered list");
    client->peers[0] = client->peers[1];
    CHECK_EQ_I64(
        master(&b), better,
        "after many changes a better clock does not wait that comes first in an ordered list");
    client->hysteresis = (struct nqptp_hysteresis){1000, b.now_ns};
    client->first_wins = false;
    announce(&b, better, 200);
    CHECK_EQ_I64(master(&b), better,
                 "after many changes a clock that became worse is still master");
    for (int n = 0; n < 4; n++)
        wait_with(&b, S, only(old));
    CHECK_EQ_I64(master(&b), old, "after many changes a silent master is replaced without delay");
}

/* The change from an address counts for that address as the change to it does. */
static void test_changes_from_an_address_count(void) {
    struct table_fixture b = table_begin();

    list_hosts(&b, 2, (const uint8_t[]){1, 2});
    int better = add_ready(&b, 1, 1, 50), worse = add_ready(&b, 2, 2, 100);
    CHECK_EQ_I64(master(&b), better, "two listed clocks: the better one is master");
    wait_with(&b, 3 * S + 1, only(worse));
    CHECK_EQ_I64(master(&b), worse, "the better clock is silent for 3 s: the other one is master");
    wait_with(&b, S, only(better) | only(worse));
    CHECK_EQ_I64(
        master(&b), worse,
        "a change to the better clock and one from it, and it is back 1 s later: it waits");
    for (int n = 0; n < 4; n++)
        wait_with(&b, S, only(better) | only(worse));
    CHECK_EQ_I64(master(&b), better,
                 "the better clock is back, and 5 s passed without a change: it is master");
}

static void test_steps_removed(void) {
    struct table_fixture b = table_begin();
    int far = add(&b, 1, 1), near = add(&b, 2, 2);

    list_host(&b, 1);
    announce_path(&b, far, 1, 255, LOG_1_S);
    announce_path(&b, near, 1, 254, LOG_1_S);
    wait_with(&b, 0, 3);
    CHECK(!nqptp_client_qualifies(&b.table, &b.clients.list[0], far, b.now_ns),
          "a clock with stepsRemoved 255 does not qualify");
    CHECK_EQ_I64(master(&b), NQPTP_NO_CLOCK,
                 "a clock with stepsRemoved 255 is no master though it alone is listed");
    list_host(&b, 2);
    CHECK_EQ_I64(master(&b), near, "a clock with stepsRemoved 254 is master");
    announce_path(&b, far, 1, UINT16_MAX, LOG_1_S);
    CHECK(!nqptp_client_qualifies(&b.table, &b.clients.list[0], far, b.now_ns),
          "a clock with stepsRemoved 65535 does not qualify");
}

static void test_missing_announces_do_not_unqualify(void) {
    struct table_fixture b = table_begin();
    int worse = add_ready(&b, 1, 1, 100), better = add(&b, 2, 2);

    CHECK_EQ_I64(master(&b), worse, "the only clock with a sample is master");
    for (int n = 0; n < 2; n++) {
        wait_with(&b, S, 3);
        announce(&b, better, 10);
    }
    CHECK_EQ_I64(master(&b), better, "a better clock displaces it by two Announces");
    for (int n = 0; n < 200; n++) {
        wait_with(&b, S, 3);
        announce(&b, worse, 100);
    }
    CHECK_EQ_I64(master(&b), better, "a master stays master though it no longer announces itself");
}

static void test_qualified_stays_qualified(void) {
    struct table_fixture b = table_begin();
    int first = add_ready(&b, 1, 1, 100), second = add_ready(&b, 2, 2, 101);

    CHECK(nqptp_client_qualifies(&b.table, &b.clients.list[0], second, b.now_ns),
          "while no master stands both of two clocks qualify by one Announce");
    CHECK_EQ_I64(master(&b), first,
                 "while no master stands the better of two clocks becomes master");
    wait_with(&b, S, 3);
    CHECK(nqptp_client_qualifies(&b.table, &b.clients.list[0], second, b.now_ns),
          "a clock that qualified stays qualified when another is master");
    announce(&b, first, 200);
    CHECK_EQ_I64(master(&b), second,
                 "a clock that stayed qualified follows a master that becomes worse");
}

static void test_announces_before_the_first_sample(void) {
    struct table_fixture b = table_begin();
    int old = add_ready(&b, 1, 1, 100), better = add(&b, 2, 2);

    announce(&b, better, 10);
    wait_with(&b, S, only(old));
    announce(&b, better, 10);
    CHECK_EQ_I64(master(&b), old,
                 "two Announces of a better clock without a sample do not displace the master");
    (void)sample(&b, better);
    CHECK_EQ_I64(master(&b), better,
                 "the first sample of a clock that announced itself twice displaces the master");
}

static void test_slot_is_not_qualified(void) {
    struct table_fixture b = table_begin();
    int first = add_ready(&b, 1, 1, 100), second = add_ready(&b, 2, 2, 101);

    CHECK_EQ_I64(master(&b), first, "the better of two qualified clocks is master");
    delete (&b, second);
    CHECK_EQ_I64(add_ready(&b, 3, 3, 10), second,
                 "the row of a deleted clock goes to a better clock");
    CHECK_EQ_I64(master(&b), first, "the new clock in that row is not qualified");
}

static void test_dead_clock_qualifies_anew(void) {
    struct table_fixture b = table_begin();
    int worse = add_ready(&b, 1, 1, 100), better = add_ready(&b, 2, 2, 10);

    wait_with(&b, S, 3);
    announce(&b, better, 10);
    CHECK_EQ_I64(master(&b), better, "the better of two is master");
    for (int n = 0; n < 30; n++)
        wait_with(&b, S, 1);
    CHECK_EQ_I64(master(&b), worse,
                 "the worse of two clocks is master when the better one is silent");
    wait_with(&b, S, 3);
    CHECK_EQ_I64(master(&b), worse, "a sample alone does not bring a lost master back");
    announce(&b, better, 10);
    wait_with(&b, S, 3);
    announce(&b, better, 10);
    CHECK_EQ_I64(master(&b), better, "two Announces bring a lost master back");
}

/* --- selection ------------------------------------------------------------------------------- */

static void test_without_list_the_best_of_all(void) {
    struct table_fixture b = table_begin();

    for (uint8_t n = 1; n <= NQPTP_CLOCKS_MAX; n++)
        (void)add_ready(&b, n, n, n == 20 ? 1 : 100);
    CHECK_EQ_I64(master(&b), 19, "without a list the best of 32 is master");
    for (int n = 0; n < 12; n++)
        wait_with(&b, S, ~(1u << 19));
    CHECK_EQ_I64(master(&b), 0,
                 "without a list the best of the others is master when the best of 32 is silent");
}

static void test_with_list_the_best_of_it(void) {
    struct table_fixture b = table_begin();
    int best = add_ready(&b, 1, 1, 1), good = add_ready(&b, 2, 2, 50),
        bad = add_ready(&b, 3, 3, 99);

    CHECK_EQ_I64(master(&b), best, "without a list the best clock is master");
    list_hosts(&b, 2, (const uint8_t[]){3, 2});
    CHECK_EQ_I64(master(&b), good, "with a list the best clock of the list is master at once");
    list_host(&b, 3);
    CHECK_EQ_I64(master(&b), bad, "with another list the clock of that list is master");
    list_host(&b, 9);
    CHECK_EQ_I64(master(&b), NQPTP_NO_CLOCK, "a list without a known clock: no master");
    CHECK_EQ_I64(add_ready(&b, 9, 9, 200), 3, "a new clock at a listed address gets a row");
    CHECK_EQ_I64(master(&b), 3, "a new clock at the listed address is master");
}

static void test_empty_list(void) {
    struct table_fixture b = table_begin();
    int i = add_ready(&b, 1, 1, 1);

    CHECK_EQ_I64(master(&b), i, "without a list the only clock is master");
    list_hosts(&b, 0, NULL);
    CHECK(nqptp_client_select(&b.table, &b.clients.list[0], b.now_ns),
          "an empty list changes the master");
    CHECK_EQ_I64(b.clients.list[0].master, NQPTP_NO_CLOCK, "an empty list leaves no master");
    wait_with(&b, S, 1);
    announce(&b, i, 1);
    CHECK_EQ_I64(master(&b), NQPTP_NO_CLOCK,
                 "with an empty list a further Announce and sample make no master");
}

static void test_silent_master_stays(void) {
    struct table_fixture b = table_begin();
    int listed = add_ready(&b, 1, 1, 100), other = add_ready(&b, 2, 2, 1);

    list_host(&b, 1);
    CHECK_EQ_I64(master(&b), listed, "the listed clock is master");
    for (int n = 0; n < 100; n++)
        wait_with(&b, S, only(other));
    CHECK_EQ_I64(master(&b), listed,
                 "a silent listed master stays though a better unlisted clock sends");
    delete (&b, listed);
    CHECK_EQ_I64(master(&b), NQPTP_NO_CLOCK,
                 "when the silent listed master is deleted there is no master");
}

static void test_set_peers(void) {
    struct table_fixture b = table_begin();
    int one = add(&b, 1, 1), two = add(&b, 2, 2);
    struct nqptp_address address = host(2), stranger = host(3);

    CHECK(!nqptp_clients_list_address(&b.clients, &address), "without a list no address is listed");
    list_hosts(&b, 3, (const uint8_t[]){2, 7, 2});
    CHECK_EQ_U64(b.clients.list[0].peer_count, 2, "an address that is named twice counts once");
    CHECK(b.clients.list[0].has_list, "a client with a set of peers has a list");
    address.scope_id = 5;
    CHECK(nqptp_clients_list_address(&b.clients, &address),
          "a listed address is found, of any scope");
    CHECK(!nqptp_clients_list_address(&b.clients, &stranger),
          "an address that is not listed is not found");
    CHECK(nqptp_client_lists_clock(&b.clients.list[0], two),
          "the clock at a listed address is listed");
    CHECK(!nqptp_client_lists_clock(&b.clients.list[0], one),
          "the clock at another address is not listed");
    CHECK(nqptp_client_lists_clock(&b.clients.list[0], add(&b, 7, 7)),
          "a clock that appears later at a listed address is listed");
    delete (&b, two);
    CHECK_EQ_I64(add(&b, 8, 8), two, "the row of a deleted listed clock goes to another clock");
    CHECK(!nqptp_client_lists_clock(&b.clients.list[0], two),
          "the new clock in the row of a listed one is not listed");
}

static void test_peers_max(void) {
    struct table_fixture b = table_begin();
    struct nqptp_address addresses[NQPTP_PEERS_MAX + 1];

    for (unsigned i = 0; i <= NQPTP_PEERS_MAX; i++) {
        addresses[i] = host((uint8_t)i);
        addresses[i].ip.s6_addr[14] = (uint8_t)(i >> 8);
    }
    nqptp_client_set_peers(&b.table, &b.clients.list[0], addresses, NQPTP_PEERS_MAX);
    CHECK_EQ_U64(b.clients.list[0].peer_count, 256, "256 addresses are a list");
    CHECK(nqptp_clients_list_address(&b.clients, &addresses[255]),
          "a list of 256 addresses has the last of them");
    CHECK(!nqptp_clients_list_address(&b.clients, &addresses[256]),
          "a list of 256 addresses does not have the 257th");
}

/* The processor time of 2,000 lookups of unlisted addresses, while `lists` clients list 256 each.
 */
static clock_t lookup_time(struct nqptp_clients *clients, int lists) {
    clients->top = lists;
    clock_t begun = clock();
    unsigned found = 0;

    for (unsigned i = 0; i < 2000; i++) {
        struct nqptp_address stranger = host((uint8_t)i);
        stranger.ip.s6_addr[12] = 11;
        stranger.ip.s6_addr[14] = (uint8_t)(i >> 8);
        found += nqptp_clients_list_address(clients, &stranger);
    }
    CHECK_EQ_U64(found, 0, "%d lists have no stranger", lists);
    return clock() - begun;
}

/* The same by a comparison with each entry of each list. */
static clock_t scan_time(const struct nqptp_clients *clients, int lists) {
    clock_t begun = clock();
    unsigned found = 0;

    for (unsigned i = 0; i < 2000; i++) {
        struct nqptp_address stranger = host((uint8_t)i);
        stranger.ip.s6_addr[12] = 11;
        for (int c = 0; c < lists; c++)
            for (unsigned p = 0; p < clients->list[c].peer_count; p++)
                found += nqptp_address_equal(&clients->list[c].peers[p].address, &stranger);
    }
    CHECK_EQ_U64(found, 0, "%d lists have no stranger, entry by entry", lists);
    return clock() - begun;
}

static void test_lookups_of_strangers(void) {
    static struct nqptp_clients clients;
    struct table_fixture b = table_begin();
    struct nqptp_address addresses[NQPTP_PEERS_MAX];
    unsigned missing = 0;

    for (int c = 0; c < 15; c++) {
        for (unsigned i = 0; i < NQPTP_PEERS_MAX; i++) {
            addresses[i] = host((uint8_t)i);
            addresses[i].ip.s6_addr[14] = (uint8_t)c;
        }
        for (unsigned list = 40; list > 0; list--) { /* The last one is the one that counts. */
            for (unsigned i = 0; i < NQPTP_PEERS_MAX; i++)
                addresses[i].ip.s6_addr[13] = (uint8_t)list;
            nqptp_client_set_peers(&b.table, &clients.list[c], addresses, NQPTP_PEERS_MAX);
        }
        for (unsigned i = 0; i < NQPTP_PEERS_MAX; i++)
            missing += !nqptp_client_lists_address(&clients.list[c], &addresses[i]);
    }
    CHECK_EQ_U64(missing, 0, "each of 3,840 listed addresses is found");
    CHECK(lookup_time(&clients, 15) < scan_time(&clients, 15) / 3,
          "a stranger is not compared with each entry of 15 lists");
    nqptp_client_set_peers(&b.table, &clients.list[0], &addresses[1], 1);
    CHECK(!nqptp_client_lists_address(&clients.list[0], &addresses[0]),
          "an address of the list before is not found");
}

/* --- stand-ins ------------------------------------------------------------------------------- */

/* Clock 1 at the listed host 1 and at host 2, clock 3 at host 3, all of them alive. */
static struct table_fixture bench_stand_in(void) {
    struct table_fixture b = table_begin();

    list_host(&b, 1);
    (void)add_ready(&b, 1, 1, 100);
    (void)add_ready(&b, 1, 2, 100);
    (void)add_ready(&b, 3, 3, 1);
    CHECK_EQ_I64(master(&b), 0, "the clock of the listed address is master");
    return b;
}

static void test_stand_in(void) {
    struct table_fixture b = bench_stand_in();

    for (int n = 0; n < 5; n++)
        wait_with(&b, S, 1u << 1 | 1u << 2);
    CHECK_EQ_I64(
        master(&b), 1,
        "when the listed address is silent the same identity at another address stands in");
    for (int n = 0; n < 5; n++)
        wait_with(&b, S, 7);
    CHECK_EQ_I64(master(&b), 0, "when the listed address sends again its clock is master");
}

static void test_list_of_clocks_that_are_known(void) {
    struct table_fixture b = table_begin();

    (void)add_ready(&b, 1, 1, 100);
    (void)add_ready(&b, 1, 2, 100);
    list_host(&b, 1);
    CHECK_EQ_I64(master(&b), 0, "a list that names a known clock makes it master");
    for (int n = 0; n < 5; n++)
        wait_with(&b, S, 1u << 1);
    CHECK_EQ_I64(
        master(&b), 1,
        "a list that names a known clock: the same identity at another address stands in for it");
}

/* A better path does not matter: the client asked for the address. */
static void test_no_stand_in_for_a_clock_that_speaks(void) {
    struct table_fixture b = bench_stand_in();

    for (int n = 0; n < 5; n++) {
        wait_with(&b, S, 7);
        announce(&b, 1, 1);
    }
    CHECK_EQ_I64(master(&b), 0,
                 "while the listed address sends no other stands in for it, however good");
}

/* A sender has more addresses than it uses. */
static void test_no_stand_in_for_a_clock_that_speaks_elsewhere_on_the_list(void) {
    struct table_fixture b = table_begin();

    list_hosts(&b, 2, (const uint8_t[]){1, 2});
    (void)add_ready(&b, 1, 1, 100);
    (void)add_ready(&b, 1, 2, 100);
    (void)add_ready(&b, 1, 3, 1);
    for (int n = 0; n < 5; n++) {
        wait_with(&b, S, 1u << 1 | 1u << 2);
        announce(&b, 2, 1);
    }
    CHECK_EQ_I64(
        master(&b), 1,
        "one listed address is silent: the same identity at the other listed address is master");
    for (int n = 0; n < 12; n++)
        wait_with(&b, S, 1u << 2);
    CHECK_EQ_I64(
        master(&b), 2,
        "when both listed addresses are silent the same identity at a third one stands in");
}

static void test_stand_in_outlives_record(void) {
    struct table_fixture b = bench_stand_in();

    delete (&b, 0);
    CHECK_EQ_I64(master(&b), 1,
                 "a stand-in is master when the record of the listed address is deleted");
    list_host(&b, 1);
    CHECK_EQ_I64(master(&b), 1, "a stand-in stays master when the same list is given again");
    list_hosts(&b, 2, (const uint8_t[]){9, 1});
    CHECK_EQ_I64(master(&b), 1, "a stand-in stays master with another list that has the address");
    list_host(&b, 9);
    CHECK_EQ_I64(master(&b), NQPTP_NO_CLOCK,
                 "a stand-in is no master with a list without the address");
}

static void test_stand_in_is_alive(void) {
    struct table_fixture b = bench_stand_in();

    for (int n = 0; n < 5; n++)
        wait_with(&b, S, 1u << 2);
    CHECK_EQ_I64(master(&b), 0, "a silent stand-in does not replace the silent master");
}

/* The listed address 3 was heard once and sleeps; a stranger has its identity and is better. */
static void copy_of_a_sleeping_clock(bool first_wins, uint8_t first, uint8_t second) {
    struct table_fixture b = table_begin();
    const uint8_t list[] = {first, second};

    list_hosts(&b, 2, list);
    b.clients.list[0].first_wins = first_wins;
    int living = add_ready(&b, 2, 2, 100);
    (void)add_ready(&b, 3, 3, 200);
    for (int n = 0; n < 5; n++)
        wait_with(&b, S, only(living));
    int copy = add_ready(&b, 3, 99, 1);
    for (int n = 0; n < 5; n++) {
        wait_with(&b, S, 1u << living | 1u << copy);
        announce(&b, copy, 1);
    }
    CHECK_EQ_I64(master(&b), living, "list %u %u, %s: a copy of its sleeping clock is not taken",
                 first, second, first_wins ? "ordered" : "bare");
    for (int n = 0; n < 5; n++)
        wait_with(&b, S, only(copy));
    CHECK_EQ_I64(master(&b), copy,
                 "when no listed clock is alive a copy of a listed identity stands in");
    wait_with(&b, S, 1u << living | 1u << copy);
    CHECK_EQ_I64(master(&b), living, "the first sample of a listed clock ends a stand-in");
}

static void test_stand_in_against_listed(void) {
    copy_of_a_sleeping_clock(false, 2, 3);
    copy_of_a_sleeping_clock(false, 3, 2);
    copy_of_a_sleeping_clock(true, 2, 3);
    copy_of_a_sleeping_clock(true, 3, 2);
}

static void test_no_stand_in_that_another_client_lists(void) {
    struct table_fixture b = bench_stand_in();

    b.clients.list[0].reserved = only(1);
    for (int n = 0; n < 5; n++)
        wait_with(&b, S, 1u << 1 | 1u << 2);
    CHECK_EQ_I64(master(&b), 0, "a clock that another client lists does not stand in");
}

static int add_on_link(struct table_fixture *b, uint64_t identity, uint32_t link) {
    struct nqptp_address address = {.scope_id = link};

    memcpy(address.ip.s6_addr, (const uint8_t[16]){0xFE, 0x80, [15] = 2}, 16);
    int i = nqptp_clock_row_for(&b->table, 0, 0, &address, true, b->now_ns);
    nqptp_clock_create(&b->table, i, identity, &address, b->now_ns);
    announce(b, i, link == 7 ? 100 : 1);
    (void)sample(b, i);
    nqptp_clients_add_clock(&b->clients, &b->table, i);
    return i;
}

/* fe80::2 on link 7 is the sender; fe80::2 on link 8 is another host, and better. */
static void check_link_local_address_is_of_one_link(uint32_t listed_scope) {
    struct table_fixture b = table_begin();
    struct nqptp_address address = {.scope_id = listed_scope};

    memcpy(address.ip.s6_addr, (const uint8_t[16]){0xFE, 0x80, [15] = 2}, 16);
    nqptp_client_set_peers(&b.table, &b.clients.list[0], &address, 1);
    int other = listed_scope ? add_on_link(&b, 5, 8) : -1;
    int honest = add_on_link(&b, 5, 7);
    if (!listed_scope)
        other = add_on_link(&b, 5, 8);
    CHECK(honest != other, "scope %u: two links, two records", listed_scope);
    for (int n = 0; n < 5; n++) {
        wait_with(&b, S, 1u << honest | 1u << other);
        announce(&b, other, 1);
        nqptp_clients_add_clock(&b.clients, &b.table, other);
        CHECK_EQ_I64(master(&b), honest, "scope %u: the sender's link is followed", listed_scope);
    }
    for (int n = 0; n < 12; n++)
        wait_with(&b, S, only(other));
    b.table.clocks[other].heard_at_ns = b.now_ns;
    nqptp_clients_add_clock(&b.clients, &b.table, other);
    CHECK_EQ_I64(nqptp_client_lists_clock(&b.clients.list[0], other), listed_scope == 0,
                 "scope %u: silent, the link %s another one", listed_scope,
                 listed_scope ? "is not" : "may be");
}

static void test_link_local_address_is_of_one_link(void) {
    check_link_local_address_is_of_one_link(7);
    check_link_local_address_is_of_one_link(0);
}

/* Two identities at one listed address: the list remembers the last one. */
static void test_same_list_changes_nothing(void) {
    struct table_fixture b = table_begin();

    list_host(&b, 1);
    (void)add(&b, 9, 9);
    (void)add(&b, 1, 1);
    delete (&b, 0);
    CHECK_EQ_I64(add(&b, 2, 1), 0,
                 "two identities at one address: the younger one has the lower row");
    CHECK_EQ_U64(b.clients.list[0].peers[0].clock_identity, 2,
                 "two identities at one address: the list has the younger one");
    list_host(&b, 1);
    CHECK_EQ_U64(b.clients.list[0].peers[0].clock_identity, 2,
                 "the same list again: it has the younger of two identities at one address");
    CHECK_EQ_U64(b.clients.list[0].listed, 3,
                 "the same list again: both rows at one address are listed");
}

int main(void) {
    static void (*const tests[])(void) = {
        test_first_clock_needs_one_announce,
        test_displacing_a_master,
        test_worse_clock_does_not_displace,
        test_one_announce_when_master_is_dead,
        test_listed_clock_needs_one_announce,
        test_what_ends_a_restless_mastership,
        test_changes_from_an_address_count,
        test_steps_removed,
        test_missing_announces_do_not_unqualify,
        test_qualified_stays_qualified,
        test_announces_before_the_first_sample,
        test_slot_is_not_qualified,
        test_dead_clock_qualifies_anew,
        test_without_list_the_best_of_all,
        test_with_list_the_best_of_it,
        test_empty_list,
        test_silent_master_stays,
        test_set_peers,
        test_peers_max,
        test_lookups_of_strangers,
        test_stand_in,
        test_list_of_clocks_that_are_known,
        test_no_stand_in_for_a_clock_that_speaks,
        test_no_stand_in_for_a_clock_that_speaks_elsewhere_on_the_list,
        test_stand_in_outlives_record,
        test_stand_in_is_alive,
        test_stand_in_against_listed,
        test_no_stand_in_that_another_client_lists,
        test_link_local_address_is_of_one_link,
        test_same_list_changes_nothing,
    };
    TAP_RUN(tests);
    return tap_done();
}
