/* SPDX-License-Identifier: MIT */
/*
 * Proves that the kernel's neighbour table is read safely, with any lengths in it, and which clock
 * at another address of the same host stands in for a listed address that was never heard.
 */
#include "nqptp-neighbours.h"

#include "../lib/engine-fixture.h"
#include "../lib/tap.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>

/* --- the kernel's answer --------------------------------------------------------------------- */

struct answer {
    size_t length;
    uint8_t data[2048];
};

static const uint8_t hardware[] = {2, 0x77, 0, 0, 0, 2};

static void add_octets(struct answer *a, const void *data, size_t length) {
    memcpy(a->data + a->length, data, length);
    a->length += NLMSG_ALIGN(length);
}

static void add_attribute(struct answer *a, uint16_t type, const void *data, size_t length) {
    struct rtattr attribute = {.rta_len = (uint16_t)RTA_LENGTH(length), .rta_type = type};

    add_octets(a, &attribute, sizeof attribute);
    add_octets(a, data, length);
}

/* Adds a message of this type, with a neighbour. Returns where it begins. */
static size_t add_message(struct answer *a, uint16_t type, uint16_t state, const char *address,
                          size_t hardware_length) {
    size_t begin = a->length;
    struct nqptp_address ip = at(address);
    bool ipv4 = strchr(address, '.');
    struct nlmsghdr header = {.nlmsg_type = type};
    struct ndmsg message = {
        .ndm_family = ipv4 ? AF_INET : AF_INET6, .ndm_ifindex = 3, .ndm_state = state};

    add_octets(a, &header, sizeof header);
    add_octets(a, &message, sizeof message);
    add_attribute(a, NDA_CACHEINFO, (uint8_t[16]){0}, 16);
    add_attribute(a, NDA_DST, ip.ip.s6_addr + (ipv4 ? 12 : 0), ipv4 ? 4 : 16);
    if (hardware_length > 0)
        add_attribute(a, NDA_LLADDR, hardware, hardware_length);
    header.nlmsg_len = (uint32_t)(a->length - begin);
    memcpy(a->data + begin, &header, sizeof header);
    return begin;
}

/* Parses a copy of exactly these octets, so that a sanitizer sees what is read beyond them. */
static int parse(struct nqptp_neighbours *n, const struct answer *a, size_t length) {
    uint8_t *copy = malloc(length + 1);

    if (!copy)
        abort();
    memcpy(copy, a->data, length);
    n->count = 0;
    int result = nqptp_neighbours_parse(n, copy, length);
    free(copy);
    return result;
}

static void test_answer(void) {
    static struct nqptp_neighbours n;
    struct answer a = {0};

    add_message(&a, RTM_NEWNEIGH, NUD_STALE, "10.77.0.2", 6);
    add_message(&a, RTM_NEWNEIGH, NUD_REACHABLE, "fe80::2", 6);
    add_message(&a, RTM_NEWNEIGH, NUD_INCOMPLETE, "10.77.0.3", 6);
    add_message(&a, RTM_NEWNEIGH, NUD_FAILED, "10.77.0.4", 6);
    add_message(&a, RTM_NEWNEIGH, NUD_NOARP, "10.77.0.5", 6);
    add_message(&a, RTM_NEWNEIGH, NUD_REACHABLE, "10.77.0.6", 0);
    add_message(&a, RTM_NEWNEIGH, NUD_REACHABLE, "10.77.0.7", 5);
    add_message(&a, RTM_NEWADDR, NUD_REACHABLE, "10.77.0.8", 6);
    CHECK_EQ_I64(parse(&n, &a, a.length), 0,
                 "neighbours: a part of the answer without an end is not the last");
    CHECK_EQ_U64(n.count, 2, "neighbours: only resolved neighbours with 6 bytes count");
    struct nqptp_address ipv4 = at("10.77.0.2"), link_local = at("fe80::2");
    CHECK(same_address(&n.list[0].address, &ipv4) && n.list[0].address.scope_id == 0 &&
              n.list[0].interface == 3 && memcmp(n.list[0].hardware, hardware, 6) == 0,
          "neighbours: an IPv4 address is found");
    CHECK(same_address(&n.list[1].address, &link_local) && n.list[1].address.scope_id == 3,
          "neighbours: a link-local address has the interface as its scope");
    CHECK(nqptp_neighbour_is_same_host(&n.list[0], &n.list[1]),
          "neighbours: one link-layer address is one host");
    n.list[1].interface = 4;
    CHECK(!nqptp_neighbour_is_same_host(&n.list[0], &n.list[1]),
          "neighbours: one link-layer address on another interface is another host");
    add_message(&a, NLMSG_DONE, 0, "10.77.0.2", 0);
    CHECK_EQ_I64(parse(&n, &a, a.length), 1,
                 "neighbours: a part of the answer with an end is the last");
}

static void test_hostile_lengths(void) {
    static struct nqptp_neighbours n;
    struct answer a = {0};
    size_t begin = add_message(&a, RTM_NEWNEIGH, NUD_STALE, "fd77::2", 6), length = a.length;
    unsigned odd = 0;

    for (size_t cut = 0; cut < length; cut++) {
        int result = parse(&n, &a, cut);
        odd += result != (cut == 0 ? 0 : -EBADMSG) || n.count > 0;
    }
    CHECK_EQ_U64(odd, 0, "neighbours: an answer that is cut off anywhere gives no neighbour");
    for (uint32_t stated = 0; stated < 100; stated++) {
        memcpy(a.data + begin, &stated, sizeof stated);
        (void)parse(&n, &a, length);
        odd += n.count > (stated >= length - 2); /* the last two octets are padding */
    }
    CHECK_EQ_U64(odd, 0, "neighbours: a message that states another length gives no neighbour");
    uint32_t right = (uint32_t)length;
    memcpy(a.data + begin, &right, sizeof right);
    size_t attribute = begin + NLMSG_HDRLEN + sizeof(struct ndmsg);
    for (unsigned stated = 0; stated < 65536; stated++) {
        uint16_t wrong = (uint16_t)stated;
        memcpy(a.data + attribute, &wrong, sizeof wrong);
        odd += parse(&n, &a, length) != 0;
    }
    CHECK_EQ_U64(odd, 0,
                 "neighbours: an attribute that states any other length gives no odd neighbour");
    a.length = 0;
    add_message(&a, NLMSG_ERROR, 0, "10.77.0.2", 0);
    CHECK_EQ_I64(parse(&n, &a, a.length), -EIO, "neighbours: the kernel's refusal is an error");
}

static void test_full(void) {
    static struct nqptp_neighbours n;
    struct answer a = {0};

    add_message(&a, RTM_NEWNEIGH, NUD_STALE, "10.77.0.2", 6);
    n.count = NQPTP_NEIGHBOURS_MAX;
    CHECK_EQ_I64(nqptp_neighbours_parse(&n, a.data, a.length), 0,
                 "neighbours: an answer with one neighbour too many is read");
    CHECK_EQ_U64(n.count, NQPTP_NEIGHBOURS_MAX, "neighbours: one neighbour too many is left out");
}

/* --- stand-ins ------------------------------------------------------------------------------- */

static struct nqptp_neighbours table;

static void know(const char *address, uint8_t host) {
    table.list[table.count++] = (struct nqptp_neighbour){
        .address = at(address), .interface = INTERFACE, .hardware = {2, 0, 0, 0, 0, host}};
}

/* Lets the sender send for that time, and tells the engine the table when it asks. */
static unsigned play_and_tell(struct world *w, struct sender *s, uint64_t ns) {
    unsigned reads = 0;

    for (uint64_t at_ns = 0; at_ns < ns; at_ns += 125 * MS) {
        play(w, s, 125 * MS);
        if (nqptp_engine_neighbours_due_ns(&w->engine) > w->now_ns)
            continue;
        nqptp_engine_neighbours(&w->engine, &table, w->now_ns, &w->effects);
        note(w);
        reads++;
    }
    return reads;
}

/* A player lists this address and plays. The host has that address and 192.0.2.2. */
static struct world world_with(const char *listed) {
    struct world w = world_begin();
    char text[64];

    table.count = 0;
    know("2001:db8::2", 2);
    know("192.0.2.2", 2);
    know("192.0.2.3", 3);
    snprintf(text, sizeof text, "T %s", listed);
    command(&w, text);
    command(&w, "/nqptp B");
    return w;
}

static void test_same_host(void) {
    struct sender s = sender(1, "192.0.2.2", 100), listed = sender(5, "2001:db8::2", 200);
    struct world w = world_with("2001:db8::2");
    bool lost = false;

    CHECK_EQ_U64(nqptp_engine_neighbours_due_ns(&w.engine), NQPTP_NO_DEADLINE,
                 "same host: without a clock the table is not needed");
    CHECK_EQ_U64(play_and_tell(&w, &s, 2 * S), 1, "same host: the table is read once");
    CHECK_EQ_U64(master_of(&w), 1, "same host: a clock at another address is master within 2 s");
    command(&w, "T 2001:db8::2 2001:db8::99");
    CHECK_EQ_U64(master_of(&w), 1, "same host: the stand-in stays when the list grows");
    for (int n = 0; n < 8; n++) {
        (void)send_pair(&w, &listed);
        lost = lost || master_of(&w) != 1;
        play(&w, &s, 125 * MS);
    }
    CHECK(!lost, "same host: the stand-in stays while the listed clock begins");
    (void)send_announce(&w, &listed);
    CHECK_EQ_U64(master_of(&w), 5, "same host: the listed clock becomes master when it qualifies");
    play(&w, &s, 20 * S);
    CHECK_EQ_U64(master_of(&w), 5,
                 "same host: after a listed address was heard, a clock of its host is no stand-in");
}

static void test_other_hosts(void) {
    struct sender third = sender(1, "192.0.2.3", 1), unknown = sender(2, "192.0.2.4", 1);
    struct world w = world_with("2001:db8::2");

    (void)play_and_tell(&w, &third, 10 * S);
    CHECK_EQ_U64(master_of(&w), 0, "other host: a clock of another host is not followed");
    (void)play_and_tell(&w, &unknown, 10 * S);
    CHECK_EQ_U64(master_of(&w), 0,
                 "other host: a clock that the kernel does not know is no master");
    unsigned reads = play_and_tell(&w, &third, 600 * S);
    CHECK(reads >= 600 / 32 && reads <= 600 / 32 + 4,
          "other host: after a while the table is read each 32 s (%u)", reads);
    know("192.0.2.4", 2);
    (void)play_and_tell(&w, &unknown, 2 * S); /* it was deleted for its silence, and is new */
    CHECK_EQ_U64(master_of(&w), 2,
                 "other host: a clock that turns out to be of the same host is followed");
    command(&w, "/nqptp E");
    CHECK_EQ_U64(nqptp_engine_neighbours_due_ns(&w.engine), NQPTP_NO_DEADLINE,
                 "other host: after E the table is not read");
}

static void test_empty_list(void) {
    struct sender s = sender(1, "192.0.2.2", 100);
    struct world w = world_with("");

    play(&w, &s, 2 * S);
    CHECK_EQ_U64(nqptp_engine_neighbours_due_ns(&w.engine), NQPTP_NO_DEADLINE,
                 "a client that plays with an empty list: the table is not read");
}

static void test_listed_by_another(void) {
    struct sender s = sender(1, "192.0.2.2", 100);
    struct world w = world_with("2001:db8::2");

    command(&w, "/other T 192.0.2.2");
    (void)play_and_tell(&w, &s, 5 * S);
    CHECK_EQ_U64(master_of(&w), 0, "same host: an address that another client lists is not taken");
    w = world_with("2001:db8::2");
    (void)play_and_tell(&w, &s, 5 * S);
    command(&w, "/other T 192.0.2.2");
    play(&w, &s, S);
    CHECK_EQ_U64(master_of(&w), 0,
                 "same host: a stand-in is given up when another client lists its address");
}

static void test_row_of_a_stand_in(void) {
    struct sender s = sender(1, "192.0.2.2", 100);
    struct world w = world_with("2001:db8::2");

    (void)play_and_tell(&w, &s, 2 * S);
    command(&w, "/nqptp E");
    pass(&w, 121 * S);
    CHECK_EQ_U64(w.engine.clients.list[0].same_host, 0,
                 "same host: the row of a deleted clock has no host any more");
    table.count = 0;
    command(&w, "/nqptp B");
    (void)play_and_tell(&w, &s, 5 * S);
    CHECK_EQ_U64(master_of(&w), 0, "same host: the next clock in the row is looked up afresh");
}

/* A sender that serves only receivers that it hears needs a Delay_Req from the address it knows. */
static void test_silent_stand_in_is_asked(void) {
    struct sender s = sender(1, "192.0.2.2", 100);
    struct world w = world_with("2001:db8::2");
    unsigned asked = 0;

    (void)play_and_tell(&w, &s, 2 * S);
    for (uint64_t end_ns = w.now_ns + 25 * S; w.now_ns < end_ns;) {
        w.now_ns = nqptp_engine_deadline(&w.engine);
        expire(&w, w.now_ns);
        asked += w.effects.reply_count > 0 &&
                 same_address(&w.effects.replies[0].destination, &s.address);
    }
    CHECK(asked >= 10 && asked <= 13, "a silent stand-in is asked each 2 s (%u times)", asked);
}

int main(void) {
    static void (*const tests[])(void) = {
        test_answer,
        test_hostile_lengths,
        test_full,
        test_same_host,
        test_other_hosts,
        test_empty_list,
        test_listed_by_another,
        test_row_of_a_stand_in,
        test_silent_stand_in_is_asked,
    };
    TAP_RUN(tests);
    return tap_done();
}
