/* SPDX-License-Identifier: MIT */
/*
 * Proves that nqptp-message reads every field that it promises from where the standard has it,
 * refuses what it should for the reason that it should, never reads beyond the datagram, and
 * writes a Delay_Req to the octet; and that addresses are read, told apart and written.
 *
 * Overreads show under AddressSanitizer: bytes are parsed where a heap block ends with them.
 */
#include "nqptp-story.h"

#include "../lib/random.h"
#include "../lib/tap.h"
#include "../lib/ptp-messages.h"

#include <errno.h>
#include <stdlib.h>

/* --- parsing --------------------------------------------------------------------------------- */

/*
 * Returns a copy that has nothing after it: it ends with its block, which is to be freed. A copy
 * of 0 octets is the end of a block of 1.
 */
static void *copy_tight(const void *data, size_t length, uint8_t **block) {
    size_t before = length == 0;
    *block = malloc(before + length);
    if (!*block)
        abort();
    if (length > 0)
        memcpy(*block, data, length);
    return *block + before;
}

/* Parses a copy that has nothing after it. */
static enum nqptp_message_check parse_tight(const uint8_t *data, size_t length,
                                            struct nqptp_message *message) {
    uint8_t *block;
    const uint8_t *copy = copy_tight(data, length, &block);
    enum nqptp_message_check refusal = nqptp_message_parse(copy, length, message);

    free(block);
    return refusal;
}

static enum nqptp_message_check refusal_of(const uint8_t *data, size_t length) {
    struct nqptp_message message;
    return parse_tight(data, length, &message);
}

static struct nqptp_message parsed(const uint8_t *data, size_t length) {
    struct nqptp_message message = {0};

    CHECK_EQ_U64(parse_tight(data, length, &message), NQPTP_MESSAGE_OK,
                 "a message of ours is read");
    return message;
}

static void check_header(const char *name, const struct nqptp_message *m, uint64_t clock_identity,
                         uint16_t port_number, uint16_t sequence_id, int8_t log_message_interval) {
    CHECK_EQ_U64(m->source.clock_identity, clock_identity, "%s: clockIdentity", name);
    CHECK_EQ_U64(m->source.port_number, port_number, "%s: portNumber", name);
    CHECK_EQ_U64(m->sequence_id, sequence_id, "%s: sequenceId", name);
    CHECK_EQ_I64(m->log_message_interval, log_message_interval, "%s: logMessageInterval", name);
}

/* Of two structs the padding may differ, so they are compared by member. */
static bool no_announce(const struct nqptp_message *m) {
    const struct nqptp_announce *a = &m->announce;
    return a->grandmaster_identity == 0 && a->steps_removed == 0 &&
           a->offset_scaled_log_variance == 0 && a->priority1 == 0 && a->clock_class == 0 &&
           a->clock_accuracy == 0 && a->priority2 == 0;
}

static bool no_requesting(const struct nqptp_message *m) {
    return m->requesting.clock_identity == 0 && m->requesting.port_number == 0;
}

static void test_sync_fields(void) {
    struct nqptp_message apple = parsed(apple_sync, sizeof apple_sync);
    struct nqptp_message ptp4l = parsed(ptp4l_sync, sizeof ptp4l_sync);

    CHECK_EQ_U64(apple.type, NQPTP_SYNC, "Apple's Sync: messageType");
    check_header("Apple's Sync", &apple, APPLE_IDENTITY, APPLE_PORT, 0x1A2B, -3);
    CHECK_EQ_U64(apple.flags, 0x0608, "Apple's Sync: flags");
    CHECK(apple.flags & NQPTP_FLAG_TWO_STEP, "Apple's Sync: twoStepFlag");
    CHECK(apple.flags & NQPTP_FLAG_UNICAST, "Apple's Sync: unicastFlag");
    CHECK_EQ_I64(apple.correction_ns, 0, "Apple's Sync: correctionField");
    CHECK_EQ_U64(apple.origin_timestamp_ns, 0, "Apple's Sync: originTimestamp");
    CHECK(no_announce(&apple) && no_requesting(&apple), "Apple's Sync: nothing of other types");

    CHECK_EQ_U64(ptp4l.type, NQPTP_SYNC, "ptp4l's Sync: messageType");
    check_header("ptp4l's Sync", &ptp4l, PTP4L_IDENTITY, PTP4L_PORT, 0xFFFE, 0x7F);
    CHECK_EQ_U64(ptp4l.flags, NQPTP_FLAG_TWO_STEP, "ptp4l's Sync: flags");
}

static void test_follow_up_fields(void) {
    struct nqptp_message apple = parsed(apple_follow_up, sizeof apple_follow_up);
    struct nqptp_message ptp4l = parsed(ptp4l_follow_up, sizeof ptp4l_follow_up);

    CHECK_EQ_U64(apple.type, NQPTP_FOLLOW_UP, "Apple's Follow_Up: messageType");
    check_header("Apple's Follow_Up", &apple, APPLE_IDENTITY, APPLE_PORT, 0x1A2B, -3);
    CHECK_EQ_U64(apple.flags, 0x0408, "Apple's Follow_Up: flags");
    CHECK_EQ_I64(apple.correction_ns, 1401459, "Apple's Follow_Up: correctionField");
    CHECK_EQ_U64(apple.origin_timestamp_ns, UINT64_C(788996499983000),
                 "Apple's Follow_Up: preciseOriginTimestamp");
    CHECK(no_announce(&apple) && no_requesting(&apple),
          "Apple's Follow_Up: only its own fields are set");

    CHECK_EQ_U64(ptp4l.type, NQPTP_FOLLOW_UP, "ptp4l's Follow_Up: messageType");
    check_header("ptp4l's Follow_Up", &ptp4l, PTP4L_IDENTITY, PTP4L_PORT, 0xFFFE, -3);
    CHECK_EQ_I64(ptp4l.correction_ns, -10, "ptp4l's Follow_Up: correctionField -9.5 rounds down");
    CHECK_EQ_U64(ptp4l.origin_timestamp_ns, UINT64_C(1699581696000000123),
                 "ptp4l's Follow_Up: preciseOriginTimestamp");
}

static void test_announce_fields(void) {
    struct nqptp_message apple = parsed(apple_announce, sizeof apple_announce);
    struct nqptp_message ptp4l = parsed(ptp4l_announce, sizeof ptp4l_announce);

    CHECK_EQ_U64(apple.type, NQPTP_ANNOUNCE, "Apple's Announce: messageType");
    check_header("Apple's Announce", &apple, APPLE_IDENTITY, APPLE_PORT, 0x0011, -2);
    CHECK_EQ_U64(apple.announce.grandmaster_identity, APPLE_IDENTITY,
                 "Apple's Announce: it is its own grandmaster");
    CHECK_EQ_U64(apple.announce.steps_removed, 0, "Apple's Announce: stepsRemoved");
    CHECK_EQ_U64(apple.origin_timestamp_ns, 0, "Apple's Announce: no time of origin");
    CHECK(no_requesting(&apple), "Apple's Announce: no requesting port");

    CHECK_EQ_U64(ptp4l.type, NQPTP_ANNOUNCE, "ptp4l's Announce: messageType");
    check_header("ptp4l's Announce", &ptp4l, PTP4L_IDENTITY, PTP4L_PORT, 3, 1);
    CHECK_EQ_U64(ptp4l.announce.priority1, 0x80, "ptp4l's Announce: priority1");
    CHECK_EQ_U64(ptp4l.announce.clock_class, 0x06, "ptp4l's Announce: clockClass");
    CHECK_EQ_U64(ptp4l.announce.clock_accuracy, 0x22, "ptp4l's Announce: clockAccuracy");
    CHECK_EQ_U64(ptp4l.announce.offset_scaled_log_variance, 0x4E5D, "ptp4l's Announce: variance");
    CHECK_EQ_U64(ptp4l.announce.priority2, 0xF7, "ptp4l's Announce: priority2");
    CHECK_EQ_U64(ptp4l.announce.grandmaster_identity, PTP4L_GRANDMASTER,
                 "ptp4l's Announce: grandmasterIdentity");
    CHECK_EQ_U64(ptp4l.announce.steps_removed, 1, "ptp4l's Announce: stepsRemoved");
}

static void test_other_fields(void) {
    struct nqptp_message response = parsed(apple_delay_resp, sizeof apple_delay_resp);
    struct nqptp_message signaling = parsed(apple_signaling, sizeof apple_signaling);
    struct nqptp_message request = parsed(our_delay_req, sizeof our_delay_req);

    CHECK_EQ_U64(response.type, NQPTP_DELAY_RESP, "Delay_Resp: messageType");
    check_header("Delay_Resp", &response, APPLE_IDENTITY, APPLE_PORT, 0x1A2B, -3);
    CHECK_EQ_U64(response.requesting.clock_identity, REQUESTING_IDENTITY,
                 "Delay_Resp: requesting clockIdentity");
    CHECK_EQ_U64(response.requesting.port_number, REQUESTING_PORT,
                 "Delay_Resp: requesting portNumber");
    CHECK_EQ_U64(response.origin_timestamp_ns, 0, "Delay_Resp: its time is not for us");

    CHECK_EQ_U64(signaling.type, NQPTP_SIGNALING, "Signaling: messageType");
    check_header("Signaling", &signaling, APPLE_IDENTITY, APPLE_PORT, 11, -128);
    CHECK_EQ_U64(request.type, NQPTP_DELAY_REQ, "Delay_Req: messageType");
    check_header("Delay_Req", &request, REQUESTING_IDENTITY, REQUESTING_PORT, 0x1A2B, 0x7F);
}

static enum nqptp_message_check expected_of_prefix(const struct vector *v, size_t length) {
    return length < v->minimum_length   ? NQPTP_MESSAGE_SHORT
           : length < v->message_length ? NQPTP_MESSAGE_LENGTH
                                        : NQPTP_MESSAGE_OK;
}

static void test_every_prefix(void) {
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        const struct vector *v = &vectors[i];
        size_t length = 0;
        while (length <= v->datagram_length &&
               refusal_of(v->data, length) == expected_of_prefix(v, length))
            length++;
        CHECK_EQ_U64(length, v->datagram_length + 1, "%s: every prefix has the right fate",
                     v->name);
    }
}

static enum nqptp_message_check with_message_length(const struct vector *v, size_t length) {
    uint8_t copy[VECTOR_LONGEST];

    memcpy(copy, v->data, v->datagram_length);
    put_message_length(copy, (uint16_t)length);
    return refusal_of(copy, v->datagram_length);
}

static void test_every_message_length(void) {
    for (size_t i = 0; i < VECTOR_COUNT; i++) {
        const struct vector *v = &vectors[i];
        size_t length = 0;
        for (; length <= UINT16_MAX; length++) {
            bool fits = length >= v->minimum_length && length <= v->datagram_length;
            if (with_message_length(v, length) != (fits ? NQPTP_MESSAGE_OK : NQPTP_MESSAGE_LENGTH))
                break;
        }
        CHECK_EQ_U64(length, UINT16_MAX + 1, "%s: every messageLength has the right fate", v->name);
    }
}

static void test_version(void) {
    uint8_t sync[sizeof apple_sync];
    unsigned wrong = 0;

    memcpy(sync, apple_sync, sizeof sync);
    for (unsigned octet = 0; octet < 256; octet++) {
        sync[1] = (uint8_t)octet;
        wrong += refusal_of(sync, sizeof sync) !=
                 (octet % 16 == 2 ? NQPTP_MESSAGE_OK : NQPTP_MESSAGE_VERSION);
    }
    CHECK_EQ_U64(wrong, 0, "versionPTP 2 alone is read, whatever the minor version");
}

static void test_domain(void) {
    uint8_t sync[sizeof apple_sync];
    unsigned wrong = 0;

    memcpy(sync, apple_sync, sizeof sync);
    for (unsigned domain = 0; domain < 256; domain++) {
        sync[4] = (uint8_t)domain;
        wrong += refusal_of(sync, sizeof sync) !=
                 (domain == 0 ? NQPTP_MESSAGE_OK : NQPTP_MESSAGE_DOMAIN);
    }
    CHECK_EQ_U64(wrong, 0, "domain 0 alone is read");
}

static void test_types(void) {
    static const uint16_t reserved = 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 14 | 1 << 15;
    uint8_t message[64] = {[1] = 2, [3] = sizeof message};
    unsigned wrong = 0;

    for (unsigned octet = 0; octet < 256; octet++) {
        unsigned type = octet % 16;
        message[0] = (uint8_t)octet;
        wrong += refusal_of(message, sizeof message) !=
                 (reserved >> type & 1 ? NQPTP_MESSAGE_TYPE : NQPTP_MESSAGE_OK);
    }
    CHECK_EQ_U64(wrong, 0, "reserved types alone are refused, whatever the majorSdoId");
}

/* Clauses 13.5 to 13.12 and 15.4: how long each type is without TLVs. */
static void test_minimum_of_each_type(void) {
    static const uint8_t minimum[16] = {
        [0x0] = 44, [0x1] = 44, [0x2] = 54, [0x3] = 54, [0x8] = 44,
        [0x9] = 54, [0xA] = 54, [0xB] = 64, [0xC] = 44, [0xD] = 48,
    };
    for (uint8_t type = 0; type < 16; type++) {
        if (minimum[type] == 0)
            continue;
        uint8_t message[64] = {[0] = type, [1] = 2, [3] = minimum[type]};
        CHECK_EQ_U64(refusal_of(message, minimum[type] - 1u), NQPTP_MESSAGE_SHORT,
                     "type 0x%X: one octet less is refused", type);
        CHECK_EQ_U64(refusal_of(message, minimum[type]), NQPTP_MESSAGE_OK,
                     "type 0x%X: %u octets are enough", type, minimum[type]);
    }
}

static void test_ignored_header_fields(void) {
    uint8_t sync[sizeof apple_sync];

    memcpy(sync, apple_sync, sizeof sync);
    sync[5] = 0xFF;
    memset(sync + 16, 0xFF, 4);
    sync[32] = 0xFF;
    struct nqptp_message message = parsed(sync, sizeof sync);
    check_header("a Sync with odd reserved fields", &message, APPLE_IDENTITY, APPLE_PORT, 0x1A2B,
                 -3);
}

static void check_correction(int64_t scaled_ns, int64_t ns) {
    uint8_t sync[sizeof apple_sync];

    memcpy(sync, apple_sync, sizeof sync);
    put_correction(sync, scaled_ns);
    CHECK_EQ_I64(parsed(sync, sizeof sync).correction_ns, ns,
                 "correctionField %" PRId64 " is %" PRId64 " ns", scaled_ns, ns);
}

static void test_corrections_round_down(void) {
    check_correction(65535, 0);
    check_correction(65536, 1);
    check_correction(-1, -1);
    check_correction(-65535, -1);
    check_correction(-65536, -1);
    check_correction(-65537, -2);
    check_correction(INT64_MAX, INT64_C(140737488355327));
    check_correction(INT64_MIN, INT64_C(-140737488355328));
}

static void check_timestamp(uint64_t seconds, uint64_t nanoseconds, uint64_t ns) {
    uint8_t sync[sizeof apple_sync];

    memcpy(sync, apple_sync, sizeof sync);
    put(sync + 34, 6, seconds);
    put(sync + 40, 4, nanoseconds);
    CHECK_EQ_U64(parsed(sync, sizeof sync).origin_timestamp_ns, ns,
                 "%" PRIu64 " s and %" PRIu64 " ns, modulo 2^64", seconds, nanoseconds);
}

static void test_timestamps_wrap(void) {
    check_timestamp(0, 1, 1);
    check_timestamp(1, 999999999, 1999999999);
    check_timestamp(UINT64_C(0x010203040506), 0, UINT64_C(0x010203040506) * 1000000000);
    check_timestamp(UINT64_C(18446744073), 709551615, UINT64_MAX);
    check_timestamp(UINT64_C(18446744073), 709551616, 0);
    check_timestamp(UINT64_C(0xFFFFFFFFFFFF), 0xFFFFFFFF, UINT64_C(0xCA000000C46535FF));
}

/* Version, domain and the high octet of the length are good, so that some datagrams pass. */
static void test_random_bytes(void) {
    struct prng prng = {20210502};
    struct nqptp_message message;
    unsigned accepted = 0;

    for (unsigned i = 0; i < 20000; i++) {
        uint8_t bytes[80];
        prng_fill(&prng, bytes, sizeof bytes);
        bytes[1] = 2;
        bytes[2] = 0;
        bytes[4] = 0;
        accepted += parse_tight(bytes, i % (sizeof bytes + 1), &message) == NQPTP_MESSAGE_OK;
    }
    CHECK(accepted > 0 && accepted < 20000, "of 20000 random datagrams some pass, %u", accepted);
}

/* --- writing --------------------------------------------------------------------------------- */

static void test_delay_req(void) {
    const struct nqptp_port_identity self = {REQUESTING_IDENTITY, REQUESTING_PORT};
    uint8_t *out = malloc(NQPTP_DELAY_REQ_LENGTH);

    memset(out, 0xAA, NQPTP_DELAY_REQ_LENGTH);
    nqptp_message_write_delay_req(out, &self, 0x1A2B);
    CHECK_EQ_U64(NQPTP_DELAY_REQ_LENGTH, sizeof our_delay_req, "a Delay_Req has 44 octets");
    CHECK(memcmp(out, our_delay_req, sizeof our_delay_req) == 0,
          "each octet of a Delay_Req is as expected");
    free(out);
}

/* --- addresses ------------------------------------------------------------------------------- */

/* Parses a copy that has nothing, not even a NUL, after it. */
static int parse_address(const char *text, struct nqptp_address *address) {
    size_t length = strlen(text);
    uint8_t *block;
    const char *copy = copy_tight(text, length, &block);

    memset(address, 0xAA, sizeof *address);
    int result = nqptp_address_parse(copy, length, address);
    free(block);
    return result;
}

static void check_address(const char *text, const char *formatted) {
    struct nqptp_address address;
    char out[INET6_ADDRSTRLEN];

    CHECK_EQ_I64(parse_address(text, &address), 0, "\"%s\" is an address", text);
    CHECK_EQ_STR(nqptp_address_format(&address, out), formatted, "\"%s\" is written so", text);
}

static void test_addresses(void) {
    check_address("192.0.2.7", "192.0.2.7");
    check_address("0.0.0.0", "0.0.0.0");
    check_address("255.255.255.255", "255.255.255.255");
    check_address("::ffff:192.0.2.7", "192.0.2.7");
    check_address("::FFFF:C000:0207", "192.0.2.7");
    check_address("::", "::");
    check_address("::1", "::1");
    check_address("2001:DB8:0:0:0:0:0:1", "2001:db8::1");
    check_address("fe80::1", "fe80::1");
    check_address("fe80::1%eth0", "fe80::1");
    check_address("fe80::1%2", "fe80::1");
    check_address("fe80::1%a-very-long-interface-name-that-no-machine-will-ever-have", "fe80::1");
    check_address("1111:2222:3333:4444:5555:6666:255.255.255.255",
                  "1111:2222:3333:4444:5555:6666:ffff:ffff");
    check_address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

static void test_what_is_no_address(void) {
    static const char *const junk[] = {
        "",
        " ",
        "T",
        "%",
        "%eth0",
        "fe80::1%",
        "1.2.3.4%x",
        "1.2.3.4%",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "01.2.3.4",
        "0x7f.0.0.1",
        "2130706433",
        " 1.2.3.4",
        "1.2.3.4 ",
        "1.2.3.4,5.6.7.8",
        "localhost",
        ":",
        ":::",
        "1::2::3",
        "12345::",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "[::1]",
        "::1/64",
        "g::",
        "1111:2222:3333:4444:5555:6666:255.255.255.2555",
        "11111111111111111111111111111111111111111111111111111111111111111111111111111111",
    };
    for (size_t i = 0; i < sizeof junk / sizeof junk[0]; i++) {
        struct nqptp_address address;
        CHECK_EQ_I64(parse_address(junk[i], &address), -EINVAL, "\"%s\" is refused", junk[i]);
    }
}

static void test_address_length_counts(void) {
    static const char text[] = "192.0.2.7 192.0.2.8";
    struct nqptp_address address = {0};
    char out[INET6_ADDRSTRLEN];

    CHECK_EQ_I64(nqptp_address_parse(text, 9, &address), 0, "the first of two words is read");
    CHECK_EQ_STR(nqptp_address_format(&address, out), "192.0.2.7",
                 "only the first part of the text is read");
    CHECK_EQ_I64(nqptp_address_parse(text, sizeof text - 1, &address), -EINVAL,
                 "two words are not one address");
    CHECK_EQ_I64(nqptp_address_parse("192.0.2.7\0junk", 14, &address), -EINVAL,
                 "all characters count, those after a NUL too");
    CHECK_EQ_I64(nqptp_address_parse("fe80::1%lo fe80::2", 10, &address), 0,
                 "the first of two words, with a scope, is read");
    CHECK_EQ_U64(address.scope_id, 1, "the scope ends where the first of two words does");
}

static struct nqptp_address address_of(const char *text) {
    struct nqptp_address address = {0};
    (void)parse_address(text, &address);
    return address;
}

static void test_address_equality(void) {
    struct nqptp_address ipv4 = address_of("192.0.2.7");
    struct nqptp_address mapped = address_of("::ffff:192.0.2.7");
    struct nqptp_address compatible = address_of("::192.0.2.7");
    struct nqptp_address local = address_of("fe80::1");
    struct nqptp_address scoped = local;
    scoped.scope_id = 3;

    CHECK(nqptp_address_equal(&ipv4, &mapped), "an IPv4 address equals its mapped form");
    CHECK(!nqptp_address_equal(&ipv4, &compatible),
          "an IPv4 address does not equal its IPv4-compatible form");
    CHECK(nqptp_address_equal(&local, &scoped),
          "a link-local address without a scope equals it on any link");
    local.scope_id = 4;
    CHECK(!nqptp_address_equal(&local, &scoped), "link-local addresses of two links differ");
    mapped.scope_id = 4;
    ipv4.scope_id = 3;
    CHECK(nqptp_address_equal(&ipv4, &mapped),
          "the link of an address that is not link-local does not count");
    CHECK(!nqptp_address_equal(&ipv4, &local), "different addresses differ");
    local.ip.s6_addr[0] ^= 1;
    CHECK(!nqptp_address_equal(&local, &scoped),
          "addresses that differ by one bit at the front differ");
    scoped = address_of("fe80::2");
    local = address_of("fe80::3");
    CHECK(!nqptp_address_equal(&local, &scoped),
          "addresses that differ by one bit at the end differ");
}

static void test_address_scope(void) {
    CHECK_EQ_U64(address_of("fe80::1%lo").scope_id, 1, "the name of an interface is its number");
    CHECK_EQ_U64(address_of("fe80::1%1").scope_id, 1, "a number is a scope");
    CHECK_EQ_U64(address_of("fe80::1%no-such").scope_id, 0,
                 "an unknown interface name gives no scope");
    CHECK_EQ_U64(address_of("2001:db8::1%lo").scope_id, 0, "an address of no link has no scope");
}

static void test_loopback_addresses(void) {
    static const char *const texts[] = {"127.0.0.1", "::1"};

    for (int n = 0; n < 2; n++) {
        struct nqptp_address read = address_of(texts[n]);
        CHECK(nqptp_address_equal(&read, &nqptp_loopback[n]), "%s is a loopback address", texts[n]);
    }
}

static void test_address_family(void) {
    static const uint8_t octets[4] = {192, 0, 2, 7};
    struct in_addr raw;
    memcpy(&raw, octets, sizeof raw);
    struct nqptp_address made = nqptp_address_from_ipv4(raw);
    struct nqptp_address read = address_of("192.0.2.7");
    struct nqptp_address ipv6 = address_of("2001:db8::ffff:192.0.2.7");

    CHECK(nqptp_address_equal(&made, &read),
          "an IPv4 address made of octets equals one read from text");
    CHECK_EQ_U64(made.scope_id, 0, "an IPv4 address has no scope");
    CHECK(nqptp_address_is_ipv4(&made), "an address made of IPv4 octets is known as IPv4");
    CHECK(!nqptp_address_is_ipv4(&ipv6),
          "an IPv6 address that ends like an IPv4 address is not known as IPv4");
}

/* --- in words -------------------------------------------------------------------------------- */

static void check_words(const uint8_t *data, size_t length, const char *words) {
    struct nqptp_message message = parsed(data, length);
    char text[NQPTP_MESSAGE_TEXT_MAX];

    CHECK_EQ_STR(nqptp_message_describe(&message, text), words, "%s", words);
}

static void test_words(void) {
    check_words(apple_sync, sizeof apple_sync,
                "Sync 98698aaf9c950008-32773, sequenceId 6699, flags 0608, correction 0 ns, "
                "logMessageInterval -3, origin 0.000000000 s");
    check_words(ptp4l_follow_up, sizeof ptp4l_follow_up,
                "Follow_Up 0242acfffe110002-1, sequenceId 65534, flags 0000, correction -10 ns, "
                "logMessageInterval -3, origin 1699581696.000000123 s");
    check_words(apple_announce, sizeof apple_announce,
                "Announce 98698aaf9c950008-32773, sequenceId 17, flags 0408, correction 0 ns, "
                "logMessageInterval -2, grandmaster 98698aaf9c950008, priority1 248, clockClass "
                "248, clockAccuracy 21, variance 436a, priority2 248, stepsRemoved 0");
    check_words(apple_delay_resp, sizeof apple_delay_resp,
                "Delay_Resp 98698aaf9c950008-32773, sequenceId 6699, flags 0608, correction 0 ns, "
                "logMessageInterval -3, to 020000fffe000001-32776");
    check_words(apple_signaling, sizeof apple_signaling,
                "Signaling 98698aaf9c950008-32773, sequenceId 11, flags 0408, correction 0 ns, "
                "logMessageInterval -128");
}

/* Any message of any type has words that are printable and fit. */
static void test_words_of_anything(void) {
    struct prng prng = {.state = 7};
    unsigned said = 0, wrong = 0, unnamed = 0;

    for (unsigned n = 0; n < 20000; n++) {
        struct nqptp_message message;
        char text[NQPTP_MESSAGE_TEXT_MAX];
        uint8_t data[64];
        prng_fill(&prng, data, sizeof data);
        if (n % 3 == 0)
            memset(data + 1, 0xFF, sizeof data - 1);
        data[1] = 2;
        data[2] = data[4] = 0;
        data[3] = sizeof data;
        if (nqptp_message_parse(data, sizeof data, &message) != NQPTP_MESSAGE_OK)
            continue;
        said++;
        nqptp_message_describe(&message, text);
        unnamed += strncmp(text, "(null)", 6) == 0;
        wrong += strlen(text) + 1 >= sizeof text;
        for (const char *c = text; *c; c++)
            wrong += *c < ' ' || *c > '~';
    }
    CHECK(said > 10000, "random messages of each type");
    CHECK_EQ_U64(wrong, 0, "random messages have printable words that fit");
    CHECK_EQ_U64(unnamed, 0, "messages in words: each type that is accepted has a name");
}

static void test_bytes_in_words(void) {
    static const uint8_t data[] = {0x00, 0x1B, 0x0A, 0xFF};
    char text[12];

    CHECK_EQ_STR(nqptp_bytes_describe(data, 4, text, sizeof text), "001b0aff",
                 "four bytes are shown");
    CHECK_EQ_STR(nqptp_bytes_describe(data, 0, text, sizeof text), "",
                 "no bytes are shown as nothing");
    CHECK_EQ_STR(nqptp_bytes_describe(data, 4, text, 11), "001b0a...",
                 "more bytes than fit end with dots");
    CHECK_EQ_STR(nqptp_bytes_describe(data, 4, text, 4), "...", "a buffer of four bytes has dots");
    for (int drop = 0; drop < NQPTP_DROP_COUNT; drop++)
        CHECK(strlen(nqptp_drop_name((enum nqptp_drop)drop)) > 2, "reason %d has a name", drop);
}

int main(void) {
    static void (*const tests[])(void) = {
        test_words,
        test_words_of_anything,
        test_bytes_in_words,
        test_sync_fields,
        test_follow_up_fields,
        test_announce_fields,
        test_other_fields,
        test_every_prefix,
        test_every_message_length,
        test_version,
        test_domain,
        test_types,
        test_minimum_of_each_type,
        test_ignored_header_fields,
        test_corrections_round_down,
        test_timestamps_wrap,
        test_random_bytes,
        test_delay_req,
        test_addresses,
        test_what_is_no_address,
        test_address_length_counts,
        test_address_equality,
        test_address_scope,
        test_loopback_addresses,
        test_address_family,
    };
    TAP_RUN(tests);
    return tap_done();
}
