/* SPDX-License-Identifier: MIT */
/*
 * Proves that the status says what there is: the master, the list, a row for each record with its
 * marks; that NQPTP_STATUS_MAX is room enough for the largest table; and that a smaller buffer is
 * never overrun.
 */
#include "nqptp-status.h"

#include "tap.h"
#include "world.h"

#include <stdlib.h>

static size_t status_of(const struct world *w, char text[NQPTP_STATUS_MAX]) {
    return nqptp_status_format(&w->engine, w->now_ns, text, NQPTP_STATUS_MAX);
}

/* Is there one line, and only one, with all of these? */
static bool has_row(const char *text, const char *first, const char *second, const char *third) {
    unsigned rows = 0;

    for (const char *line = text; *line;) {
        const char *end = strchr(line, '\n');
        size_t length = end ? (size_t)(end - line) : strlen(line);
        char copy[256] = "";
        memcpy(copy, line, length < sizeof copy ? length : sizeof copy - 1);
        rows += strstr(copy, first) && strstr(copy, second) && strstr(copy, third);
        line += length + (end != NULL);
    }
    return rows == 1;
}

static unsigned lines_of(const char *text) {
    unsigned lines = 0;

    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static void test_nothing(void) {
    struct world w = world_begin();
    char text[NQPTP_STATUS_MAX];
    size_t length = status_of(&w, text);

    CHECK_EQ_U64(length, strlen(text), "the status is as long as is returned");
    CHECK(has_row(text, "Object", "/nqptp", ""), "the object is named");
    CHECK(has_row(text, "Master", "none", ""), "at first there is no master");
    CHECK(has_row(text, "List", "never", ""), "nor a list");
    CHECK(has_row(text, "Clocks", " 0 of 32", ""), "nor a clock");
    CHECK(has_row(text, "Packets", " 0 used", " 0 dropped"), "nor a packet");
    CHECK_EQ_U64(lines_of(text), 5, "and that is all");
    CHECK(length > 0 && text[length - 1] == '\n', "it ends with its last line");
}

static void test_master(void) {
    struct sender s = sender(UINT64_C(0x98698AAF9C950008), "192.0.2.1", 100);
    struct world w = world_of(&s);
    char text[NQPTP_STATUS_MAX];

    play(&w, &s, 10 * S);
    (void)send_sync(&w, &s, (uint16_t)(s.sequence_id - 1)); /* a repetition */
    w.now_ns += 2500 * MS;
    (void)status_of(&w, text);
    CHECK(has_row(text, "Master", "98698aaf9c950008", "192.0.2.1"), "identity and address");
    CHECK(has_row(text, "Sample", " 2.6 s", " 12.6 s"), "how old its last and first samples are");
    CHECK(has_row(text, "Clock identity", "Address", "Marks"), "what the columns are");
    CHECK(has_row(text, "98698aaf9c950008  192.0.2.1", " 2.6 s", " master"), "a row, as master");
    CHECK(has_row(text, "98698aaf9c950008  192.0.2.1", " qualified", " alive"), "with its marks");
    CHECK(!strstr(text, "listed"), "not as listed");
    CHECK(has_row(text, "Packets", " 173 used", " 1 dropped"), "what was used, and what not");
    w.now_ns += 10 * S;
    (void)status_of(&w, text);
    CHECK(!strstr(text, "alive"), "when it is silent it is not alive");
    CHECK(has_row(text, "98698aaf9c950008  192.0.2.1", "12.6 s", " master"), "but master");
}

static void test_marks(void) {
    struct sender s = sender(0xA, "192.0.2.1", 100), other = sender(0xB, "2001:db8::b", 1);
    struct world w = world_of(&s);
    char text[NQPTP_STATUS_MAX];

    (void)send_sync(&w, &other, 1);
    command(&w, "T 192.0.2.1 192.0.2.7");
    (void)status_of(&w, text);
    CHECK(has_row(text, "000000000000000a  192.0.2.1", " master", " listed"), "a listed master");
    CHECK(has_row(text, "000000000000000b  2001:db8::b", " 0.0 s", ""), "another clock has a row");
    CHECK(!has_row(text, "000000000000000b", " listed", "") &&
              !has_row(text, "000000000000000b", " qualified", "") &&
              !has_row(text, "000000000000000b", " alive", "") &&
              !has_row(text, "000000000000000b", " master", ""),
          "without any mark");
    CHECK(has_row(text, "Clocks", " 2 of 32", ""), "two clocks");
    CHECK(has_row(text, "List", " 2 addresses", ""), "a list of two");
    command(&w, "T 192.0.2.1");
    (void)status_of(&w, text);
    CHECK(has_row(text, "List", " 1 address", "") && !strstr(text, "1 addresses"), "a list of one");
    command(&w, "T");
    (void)status_of(&w, text);
    CHECK(has_row(text, "List", "empty", "") && has_row(text, "Master", "none", ""),
          "an empty one");
}

static void test_clients(void) {
    struct sender one = sender(1, "192.0.2.1", 100), two = sender(2, "192.0.2.2", 200);
    struct world w = world_begin();
    char text[NQPTP_STATUS_MAX];

    command(&w, "/kitchen T 192.0.2.2");
    command(&w, "/kitchen B");
    command(&w, "T 192.0.2.1");
    play(&w, &one, S);
    play(&w, &two, S);
    (void)status_of(&w, text);
    CHECK(strstr(text, "Object:   /nqptp\nMaster:   0000000000000001") != NULL,
          "each client has its object and its master");
    CHECK(strstr(text, "Object:   /kitchen, playing\nMaster:   0000000000000002") != NULL,
          "and what it does");
    CHECK(has_row(text, "0000000000000001  192.0.2.1", " master listed", "") &&
              has_row(text, "0000000000000002  192.0.2.2", " master listed", ""),
          "and the marks are those of all clients");
}

/* As long as can be: identities, addresses and ages; one of them master, each with every mark. */
static struct world world_of_long_rows(void) {
    struct world w = world_begin();
    struct nqptp_address listed[NQPTP_CLOCKS_MAX];

    for (uint8_t n = 0; n < NQPTP_CLOCKS_MAX; n++) {
        listed[n] = at("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00");
        listed[n].ip.s6_addr[15] = (uint8_t)(0xFF - n);
    }
    nqptp_client_set_peers(&w.engine.table, &w.engine.table.clients[0], listed, NQPTP_CLOCKS_MAX);
    for (unsigned n = 0; n < NQPTP_CLOCKS_MAX; n++) {
        struct sender s = sender(UINT64_MAX - n, "::", 100);
        s.address = listed[n];
        (void)send_announce(&w, &s);
        (void)send_pair(&w, &s);
    }
    for (int n = 1; n < NQPTP_CLIENTS_MAX; n++) {
        char text[NQPTP_NAME_SIZE + 64];
        (void)snprintf(text, sizeof text, "/%060d%c T ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffe1", 0,
                       'a' + n);
        command(&w, text);
    }
    w.engine.packets = UINT64_MAX;
    return w;
}

static void test_full_table(void) {
    struct world w = world_of_long_rows();
    char text[NQPTP_STATUS_MAX];
    char identity[17], address[40];
    unsigned rows = 0;

    (void)status_of(&w, text);
    for (unsigned n = 0; n < NQPTP_CLOCKS_MAX; n++) {
        (void)snprintf(identity, sizeof identity, "%016" PRIx64, UINT64_MAX - n);
        (void)snprintf(address, sizeof address, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff%02x",
                       0xFF - n);
        rows += has_row(text, identity, address, "listed qualified alive");
    }
    CHECK_EQ_U64(rows, 32, "32 clocks have 32 rows, with all their marks");
    CHECK(has_row(text, "Clocks", " 32 of 32", ""), "and are counted");
}

static void test_room(void) {
    struct world w = world_of_long_rows();
    char text[NQPTP_STATUS_MAX];

    CHECK(status_of(&w, text) < (size_t)NQPTP_STATUS_MAX / 4 * 3, "NQPTP_STATUS_MAX is ample");
    w.now_ns = UINT64_MAX; /* 584 years: no age is longer */
    size_t length = status_of(&w, text);
    CHECK(length < NQPTP_STATUS_MAX - 1, "for the longest rows, too");
    CHECK(has_row(text, "ffffffffffffffe0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffe0", "listed"),
          "down to the last of them");
}

/* The block ends where the buffer does, so that the sanitizer sees a write beyond it. */
static bool right_in(const struct world *w, size_t size, const char *whole) {
    char *text = malloc(size);

    if (!text)
        return false;
    memset(text, 0xAA, size);
    size_t length = nqptp_status_format(&w->engine, w->now_ns, text, size);
    bool right = length < size && text[length] == '\0' && memcmp(text, whole, length) == 0 &&
                 length == (size - 1 < strlen(whole) ? size - 1 : strlen(whole));
    free(text);
    return right;
}

static void test_every_size(void) {
    struct world w = world_of_long_rows();
    char whole[NQPTP_STATUS_MAX];
    size_t length = status_of(&w, whole), size = 1;

    while (size <= length + 2 && right_in(&w, size, whole))
        size++;
    CHECK_EQ_U64(size, length + 3, "in a buffer of any size it is as much as fits, terminated");
}

int main(void) {
    test_nothing();
    test_master();
    test_marks();
    test_clients();
    test_full_table();
    test_room();
    test_every_size();
    return tap_done();
}
