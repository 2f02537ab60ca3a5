/* SPDX-License-Identifier: MIT */
/*
 * Proves the rules of stand-ins: a clock at an address that is not listed may take the place of the
 * same clock at a listed address, while that address is silent or may not be master.
 */
#include "nqptp-message-handlers.h"

#include "../lib/engine-fixture.h"
#include "../lib/tap.h"

static bool is_master_at(const struct world *w, const char *address) {
    struct nqptp_address wanted = at(address);
    return is_at(&w->record, &wanted);
}

static void test_first_address_wins(void) {
    struct world w = world_begin();
    struct sender a = sender(1, "192.0.2.9", 100), b = sender(1, "192.0.2.1", 100);

    command(&w, "/nqptp T 192.0.2.9 192.0.2.1");
    play_both_5s(&w, &a, &b);
    CHECK(is_master_at(&w, "192.0.2.9"), "of one clock at two addresses the first wins");
}

static void test_identity_of_an_address(void) {
    struct world w = world_begin();
    struct sender x = sender(1, "192.0.2.1", 100), elsewhere = sender(1, "192.0.2.5", 100);
    struct sender stray = sender(2, "192.0.2.1", 90);

    command(&w, "T 192.0.2.1");
    play(&w, &x, 2 * S);
    (void)send_announce(&w, &stray);
    play(&w, &x, 10 * S);
    CHECK_EQ_U64(master_of(&w), 1,
                 "one Announce of another clock at the listed address changes nothing");
    play(&w, &elsewhere, 6 * S);
    CHECK(is_master_at(&w, "192.0.2.5"),
          "after that Announce the clock may stand in from another address");
}

/* The list remembers which clock announced itself last at each address. */
static void test_identity_of_a_new_address(void) {
    struct world w = world_begin();
    struct sender gone = sender(1, "192.0.2.1", 100), x = sender(2, "192.0.2.1", 100);
    struct sender elsewhere = sender(2, "192.0.2.5", 100);

    play(&w, &gone, S);
    pass(&w, 20 * S);
    play(&w, &x, 2 * S);
    play(&w, &elsewhere, 5 * S);
    command(&w, "T 192.0.2.1");
    CHECK_EQ_U64(master_of(&w), 2,
                 "the clock heard last at a listed address that is silent may stand in for it");
}

static void test_stray_sync(void) {
    struct world w = world_begin();
    struct sender x = sender(1, "192.0.2.1", 100), elsewhere = sender(1, "192.0.2.5", 100);
    struct sender stray = sender(2, "192.0.2.1", 90);

    command(&w, "T 192.0.2.1");
    play(&w, &x, 2 * S);
    play(&w, &elsewhere, 6 * S);
    (void)send_sync(&w, &stray, 1);
    (void)send_pair(&w, &elsewhere);
    CHECK_EQ_U64(master_of(&w), 1,
                 "a Sync of another clock at the listed address ends no stand-in");
}

/* Another host sends under the identity of the listed clock before that clock begins. */
static void test_no_stand_in_for_a_clock_that_begins(void) {
    struct world w = world_begin();
    struct sender listed = sender(1, "192.0.2.1", 100), copy = sender(1, "192.0.2.5", 1);
    bool taken = false;

    command(&w, "T 192.0.2.1");
    play(&w, &copy, 3 * S);
    for (int n = 0; n < 16; n++) {
        if (n % 8 == 0)
            (void)send_announce(&w, &copy);
        if (n == 8) /* a second after its first Sync */
            (void)send_announce(&w, &listed);
        (void)send_pair(&w, &copy);
        (void)send_pair(&w, &listed);
        taken = taken || is_at(&w.record, &copy.address);
        pass(&w, 123 * MS);
    }
    CHECK(!taken, "a listed clock begins: until it qualifies no copy of it becomes master");
    CHECK(is_master_at(&w, "192.0.2.1"), "a listed clock that qualifies is master");
}

static void test_stand_in_stays_while_the_listed_clock_begins(void) {
    struct world w = world_begin();
    struct sender listed = sender(1, "192.0.2.1", 100), elsewhere = sender(1, "192.0.2.5", 100);
    bool lost = false;

    command(&w, "T 192.0.2.1");
    play(&w, &listed, S);
    play(&w, &elsewhere, 130 * S);
    CHECK(is_master_at(&w, "192.0.2.5"),
          "the record of the stand-in is gone: another address stands in");
    for (int n = 0; n < 8; n++) {
        (void)send_pair(&w, &listed);
        (void)send_pair(&w, &elsewhere);
        lost = lost || !is_at(&w.record, &elsewhere.address);
        pass(&w, 123 * MS);
    }
    CHECK(!lost, "the listed clock begins again: the stand-in stays until that one qualifies");
}

static void test_stand_in_stays(void) {
    struct world w = world_begin();
    struct sender a = sender(1, "192.0.2.1", 100), b = sender(1, "192.0.2.5", 100);

    command(&w, "T 192.0.2.1");
    for (int n = 0; n < 40; n++) {
        if (n % 8 == 0) {
            announce_steps(&w, &a, 255);
            announce_steps(&w, &b, 0);
        }
        (void)send_pair(&w, &a);
        (void)send_pair(&w, &b);
        pass(&w, 123 * MS);
    }
    CHECK(is_master_at(&w, "192.0.2.5"),
          "another address stands in for a listed one that may not be master");
    a.grandmaster_identity = 77;
    announce_steps(&w, &a, 0);
    CHECK(has_master(&w.record), "when the listed address may be master again there is a master");
}

int main(void) {
    static void (*const tests[])(void) = {
        test_first_address_wins,
        test_identity_of_an_address,
        test_identity_of_a_new_address,
        test_stray_sync,
        test_no_stand_in_for_a_clock_that_begins,
        test_stand_in_stays_while_the_listed_clock_begins,
        test_stand_in_stays,
    };
    TAP_RUN(tests);
    return tap_done();
}
