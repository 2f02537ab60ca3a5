/* SPDX-License-Identifier: MIT */
/*
 * Proves that captures of every format, byte order, resolution and link layer are read, and that
 * the reader never reads beyond the bytes of a file that is cut off or damaged. AddressSanitizer
 * shows such reads: each file ends where its heap block ends.
 */
#include "../lib/capture.h"

#include "../lib/random.h"
#include "../lib/tap.h"

#include <stdlib.h>

#define SECONDS 1700000000u
#define FRACTION 123456000u /* ns */
#define TIME_NS (UINT64_C(1000000000) * SECONDS + FRACTION)

struct file {
    uint8_t bytes[2048];
    size_t length;
    bool big; /* endian */
};

static void put(struct file *f, unsigned bytes, uint64_t value) {
    for (unsigned i = 0; i < bytes; i++)
        f->bytes[f->length++] = (uint8_t)(value >> 8 * (f->big ? bytes - 1 - i : i));
}

static void put_bytes(struct file *f, const uint8_t *bytes, size_t length) {
    memcpy(f->bytes + f->length, bytes, length);
    f->length += length;
}

/* --- packets --------------------------------------------------------------------------------- */

/* UDP of 192.0.2.1 port 319 to 192.0.2.2 port 320 with the payload "ptp". */
static const uint8_t ipv4[] = {
    0x45, 0, 0, 31, 0, 0,  0x40, 0,  64, 17, 0, 0, 192, 0,   2,   1,
    192,  0, 2, 2,  1, 63, 1,    64, 0,  11, 0, 0, 'p', 't', 'p',
};
/* The same from 2001:db8::1 to 2001:db8::2, with a hop-by-hop header. */
static const uint8_t ipv6[] = {
    0x60, 0, 0, 0, 0,    19,   0,    64,   0x20, 0x01, 0x0D, 0xB8, 0, 0,  0, 0, 0,   0,   0,   0,
    0,    0, 0, 1, 0x20, 0x01, 0x0D, 0xB8, 0,    0,    0,    0,    0, 0,  0, 0, 0,   0,   0,   2,
    17,   0, 5, 2, 0,    0,    0,    0,    1,    63,   1,    64,   0, 11, 0, 0, 'p', 't', 'p',
};

static const struct wrapping {
    const char *name;
    uint32_t link;
    uint8_t head[24], length;
    bool v6, outgoing;
} wrappings[] = {
    {"Ethernet", 1, {[12] = 0x08, 0x00}, 14, false, false},
    {"Ethernet, IPv6", 1, {[12] = 0x86, 0xDD}, 14, true, false},
    {"a VLAN", 1, {[12] = 0x81, 0x00, 0, 5, 0x08, 0x00}, 18, false, false},
    {"a VLAN in another", 1, {[12] = 0x88, 0xA8, 0, 5, 0x81, 0, 0, 6, 0x86, 0xDD}, 22, true, false},
    {"cooked", 113, {[14] = 0x08, 0x00}, 16, false, false},
    {"cooked, outgoing", 113, {[1] = 4, [14] = 0x86, 0xDD}, 16, true, true},
    {"cooked 2", 276, {[0] = 0x86, 0xDD}, 20, true, false},
    {"cooked 2, outgoing", 276, {[0] = 0x08, 0x00, [10] = 4}, 20, false, true},
    {"raw IP", 101, {0}, 0, false, false},
    {"raw IPv6", 229, {0}, 0, true, false},
    {"loopback of BSD", 0, {[0] = 2}, 4, false, false},
    {"loopback of OpenBSD", 108, {[3] = 24}, 4, true, false},
};

static size_t wrap(const struct wrapping *w, uint8_t *out) {
    const uint8_t *ip = w->v6 ? ipv6 : ipv4;
    size_t length = w->v6 ? sizeof ipv6 : sizeof ipv4;

    memcpy(out, w->head, w->length);
    memcpy(out + w->length, ip, length);
    return w->length + length;
}

/* --- files ----------------------------------------------------------------------------------- */

static void put_pcap(struct file *f, uint32_t magic, uint32_t link) {
    put(f, 4, magic);
    put(f, 4, 0x00040002);
    put(f, 8, 0);
    put(f, 4, 65535);
    put(f, 4, link);
}

static void put_record(struct file *f, uint32_t fraction, const uint8_t *data, size_t length) {
    put(f, 4, SECONDS);
    put(f, 4, fraction);
    put(f, 4, length);
    put(f, 4, length + 7); /* it was longer */
    put_bytes(f, data, length);
}

static void put_section(struct file *f) {
    put(f, 4, 0x0A0D0D0A);
    put(f, 4, 28);
    put(f, 4, 0x1A2B3C4D);
    put(f, 4, f->big ? 0x00010000 : 1);
    put(f, 8, UINT64_MAX);
    put(f, 4, 28);
}

/* With if_tsresol, and if_tsoffset unless that is 0. */
static void put_interface(struct file *f, uint16_t link, uint8_t resolution, uint64_t offset_s) {
    uint32_t length = offset_s ? 44 : 32;

    put(f, 4, 1);
    put(f, 4, length);
    put(f, 2, link);
    put(f, 2, 0);
    put(f, 4, 0);
    put(f, 2, 9);
    put(f, 2, 1);
    put(f, 1, resolution);
    put(f, 3, 0);
    if (offset_s) {
        put(f, 2, 14);
        put(f, 2, 8);
        put(f, 8, offset_s);
    }
    put(f, 4, 0);
    put(f, 4, length);
}

static void put_packet(struct file *f, uint32_t interface, uint64_t ticks, const uint8_t *data,
                       size_t length) {
    size_t padding = -length & 3;

    put(f, 4, 6);
    put(f, 4, 32 + length + padding);
    put(f, 4, interface);
    put(f, 4, ticks >> 32);
    put(f, 4, ticks & UINT32_MAX);
    put(f, 4, length);
    put(f, 4, length);
    put_bytes(f, data, length);
    put(f, (unsigned)padding, 0);
    put(f, 4, 32 + length + padding);
}

/* --- reading --------------------------------------------------------------------------------- */

/* What was found in a file: the counts of packets and datagrams, and the last of each. */
struct found {
    unsigned packets, datagrams;
    struct capture_packet packet;
    struct capture_datagram datagram;
    bool payload; /* Whether the last datagram has the expected payload. */
    const char *complaint;
};

static struct found read_tight(const uint8_t *bytes, size_t length) {
    uint8_t *block = malloc(length + (length == 0));
    struct found found = {0};
    struct capture capture;

    if (!block)
        abort();
    memcpy(block, bytes, length);
    if (capture_open(&capture, block, length))
        while (found.packets < 1000 && capture_next(&capture, &found.packet)) {
            found.packets++;
            if (!capture_datagram(&found.packet, &found.datagram))
                continue;
            found.datagrams++;
            found.payload = found.datagram.length == 3 && !found.datagram.truncated &&
                            memcmp(found.datagram.data, "ptp", 3) == 0;
        }
    found.complaint = capture.complaint;
    free(block);
    return found;
}

static bool right_ends(const struct capture_datagram *d, bool v6) {
    char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];

    nqptp_address_format(&d->source, source);
    nqptp_address_format(&d->destination, destination);
    return d->source_port == 319 && d->destination_port == 320 &&
           strcmp(source, v6 ? "2001:db8::1" : "192.0.2.1") == 0 &&
           strcmp(destination, v6 ? "2001:db8::2" : "192.0.2.2") == 0;
}

static void test_links(void) {
    for (size_t i = 0; i < sizeof wrappings / sizeof *wrappings; i++) {
        const struct wrapping *w = &wrappings[i];
        struct file f = {.big = i % 2};
        uint8_t packet[128];
        put_pcap(&f, 0xA1B23C4D, w->link);
        put_record(&f, FRACTION, packet, wrap(w, packet));
        struct found found = read_tight(f.bytes, f.length);
        CHECK(found.datagrams == 1 && found.payload && !found.complaint,
              "%s: one datagram is found", w->name);
        CHECK(right_ends(&found.datagram, w->v6), "%s: the datagram has its addresses and ports",
              w->name);
        CHECK_EQ_U64(found.datagram.outgoing, w->outgoing, "%s: the datagram has its direction",
                     w->name);
    }
}

static void test_pcap(void) {
    for (int variant = 0; variant < 4; variant++) {
        struct file f = {.big = variant & 1};
        bool ns = variant & 2;
        put_pcap(&f, ns ? 0xA1B23C4D : 0xA1B2C3D4, 101);
        put_record(&f, 1, ipv6, sizeof ipv6);
        put_record(&f, ns ? FRACTION : FRACTION / 1000, ipv4, sizeof ipv4);
        struct found found = read_tight(f.bytes, f.length);
        CHECK(found.datagrams == 2 && !found.complaint, "pcap of kind %d: both packets are found",
              variant);
        CHECK_EQ_U64(found.packet.time_ns, TIME_NS, "pcap of kind %d: the last packet has its time",
                     variant);
    }
}

static void test_pcapng(void) {
    static const struct {
        uint8_t resolution;
        uint64_t ticks, offset_s;
    } clocks[] = {
        {6, TIME_NS / 1000, 0},
        {9, TIME_NS, 0},
        {12, FRACTION * UINT64_C(1000), SECONDS},
        {3, TIME_NS / 1000000, 0},
        {0x80 | 10, (uint64_t)SECONDS << 10 | 512, 0},
        {0x80 | 32, (uint64_t)SECONDS << 32 | 1u << 31, 0},
    };

    for (size_t i = 0; i < 2 * sizeof clocks / sizeof *clocks; i++) {
        struct file f = {.big = i % 2};
        bool binary = clocks[i / 2].resolution & 0x80;
        uint64_t wanted_ns = binary                          ? TIME_NS - FRACTION + 500000000
                             : clocks[i / 2].resolution == 3 ? TIME_NS / 1000000 * 1000000
                                                             : TIME_NS;
        put_section(&f);
        put_interface(&f, 1, 6, 0);
        put_interface(&f, 101, clocks[i / 2].resolution, clocks[i / 2].offset_s);
        put(&f, 4, 5); /* statistics: a block to be skipped */
        put(&f, 4, 16);
        put(&f, 4, 0);
        put(&f, 4, 16);
        put_packet(&f, 1, clocks[i / 2].ticks, ipv4, sizeof ipv4);
        struct found found = read_tight(f.bytes, f.length);
        CHECK(found.datagrams == 1 && found.payload && !found.complaint,
              "pcapng %zu: one datagram is found", i);
        CHECK_EQ_U64(found.packet.time_ns, wanted_ns, "pcapng %zu: the datagram has its time", i);
    }
}

/* A second section with the other byte order and interfaces of its own. */
static void test_sections(void) {
    struct file f = {.big = false};

    put_section(&f);
    put_interface(&f, 101, 9, 0);
    put_packet(&f, 0, 1, ipv6, sizeof ipv6);
    f.big = true;
    put_section(&f);
    put_interface(&f, 101, 6, 0);
    put_packet(&f, 0, TIME_NS / 1000, ipv4, sizeof ipv4);
    struct found found = read_tight(f.bytes, f.length);
    CHECK_EQ_U64(found.datagrams, 2, "two sections: one datagram of each is found");
    CHECK_EQ_U64(found.packet.time_ns, TIME_NS, "two sections: the last datagram has its time");
    put_packet(&f, 1, 0, ipv4, sizeof ipv4);
    CHECK(read_tight(f.bytes, f.length).complaint,
          "a packet of an interface that is not described is complained about");
}

static void test_what_is_no_datagram(void) {
    uint8_t packet[sizeof ipv6];
    struct capture_packet p = {.link = 101, .data = packet, .length = sizeof ipv4};
    struct capture_datagram d;

#define CHECK_NONE(octet, value, name)                                                             \
    memcpy(packet, ipv4, sizeof ipv4);                                                             \
    packet[octet] = (value);                                                                       \
    CHECK(!capture_datagram(&p, &d), name)
    CHECK_NONE(0, 0x55, "IP version 5 gives no datagram");
    CHECK_NONE(0, 0x44, "an IP header of 16 bytes gives no datagram");
    CHECK_NONE(6, 0x20, "a first fragment gives no datagram");
    CHECK_NONE(7, 0x01, "a later fragment gives no datagram");
    CHECK_NONE(9, 6, "TCP gives no datagram");
    CHECK_NONE(25, 7, "a UDP length shorter than its header gives no datagram");
#undef CHECK_NONE
    memcpy(packet, ipv4, sizeof ipv4);
    p.length--;
    CHECK(capture_datagram(&p, &d) && d.length == 2 && d.truncated,
          "a datagram that was cut off is marked as truncated");
    p.link = 147;
    CHECK(!capture_datagram(&p, &d), "an unknown link layer gives no datagram");
}

/* --- files that are cut off, damaged or none
 * ------------------------------------------------------- */

static struct file good_file(bool pcapng) {
    struct file f = {.big = false};

    if (pcapng) {
        put_section(&f);
        put_interface(&f, 101, 9, 0);
        put_packet(&f, 0, TIME_NS, ipv4, sizeof ipv4);
        put_packet(&f, 0, TIME_NS, ipv6, sizeof ipv6);
        return f;
    }
    put_pcap(&f, 0xA1B2C3D4, 101);
    put_record(&f, 0, ipv4, sizeof ipv4);
    put_record(&f, 0, ipv6, sizeof ipv6);
    return f;
}

static void check_every_prefix(bool pcapng) {
    struct file f = good_file(pcapng);
    unsigned silent = 0;

    for (size_t length = 0; length < f.length; length++)
        silent += read_tight(f.bytes, length).complaint == NULL;
    /* If the file ends where a block or a packet ends, it is not known that there was more. */
    CHECK_EQ_U64(silent, pcapng ? 3 : 2,
                 "a file that is cut off within a block is complained about");
}

static void test_every_prefix(void) {
    check_every_prefix(false);
    check_every_prefix(true);
}

static void check_damage(bool pcapng) {
    struct prng prng = {.state = 20261125};
    struct file f = good_file(pcapng);
    unsigned complaints = 0;

    for (int n = 0; n < 100000; n++) {
        struct file bad = f;
        for (uint64_t i = prng_below(&prng, 4) + 1; i > 0; i--)
            bad.bytes[prng_below(&prng, bad.length)] =
                n % 2 ? 0xFF : (uint8_t)prng_below(&prng, 256);
        complaints += read_tight(bad.bytes, bad.length).complaint != NULL;
    }
    CHECK(complaints > 1000, "of damaged files %u are complained about", complaints);
}

static void test_damage(void) {
    check_damage(false);
    check_damage(true);
}

static void test_what_is_no_capture(void) {
    static const uint8_t text[64] = "This is no capture, but it is long enough for one.";

    CHECK(read_tight(text, 10).complaint, "a file of 10 bytes is complained about");
    CHECK(read_tight(text, sizeof text).complaint, "a text is complained about");
    CHECK(read_tight(text, 0).complaint, "an empty file is complained about");
}

int main(void) {
    static void (*const tests[])(void) = {
        test_links,
        test_pcap,
        test_pcapng,
        test_sections,
        test_what_is_no_datagram,
        test_every_prefix,
        test_damage,
        test_what_is_no_capture,
    };
    TAP_RUN(tests);
    return tap_done();
}
